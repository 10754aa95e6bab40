//! The form of a reply is the client's choice, where there is one; and the description of all replies.

use galo_testkit::http::request;
use galo_testkit::{data_dir, get, on_both_drivers, Launch, Reply};
use serde_json::{json, Value};

const DETAILS: &str = "application/problem+json";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn asking(path: &str, accept: &str) -> Vec<u8> {
    request("GET", path, &format!("Accept: {accept}\r\n"), "")
}

fn details(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).expect("JSON")
}

fn content_type(reply: &Reply) -> &str {
    reply.header("content-type").expect("a type")
}

#[test]
fn errors_are_problem_details_for_who_asks_for_them() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(2).start();
        let mut connection = server.connect();
        const LATE: &str = "not found\",\"field\":\"id\",\"rule\":\"the number of a client\"}";
        for client in [6, 7] {
            // Of a shard of this core, and of one of the other.
            let path = format!("/clientes/{client}/extrato");
            for accept in [
                "*/*",
                "application/json",
                "application/json, application/problem+json;q=0.9",
                "application/problem+json;q=0",
            ] {
                let reply = connection.ask(&asking(&path, accept));
                assert_eq!(
                    (reply.status, content_type(&reply)),
                    (404, "application/json")
                );
                assert_eq!(reply.text(), format!("{{\"error\":\"{LATE}"));
                assert_eq!(reply.header("vary"), None);
            }
            for accept in [DETAILS, "application/json;q=0.5, application/problem+json"] {
                let reply = connection.ask(&asking(&path, accept));
                assert_eq!((reply.status, content_type(&reply)), (404, DETAILS));
                assert_eq!(reply.header("vary"), Some("Accept"));
                assert_eq!(
                    details(&reply),
                    json!({
                        "type": "urn:galo:problem:not-found", "title": "not found", "status": 404,
                        "detail": "the number of a client", "field": "id"
                    })
                );
            }
        }
        // Of what succeeds there is one form; and of what is no request there are two.
        let good = connection.ask(&asking("/clientes/1/extrato", DETAILS));
        assert_eq!(
            (good.status, content_type(&good)),
            (200, "application/json")
        );
        connection.send(b"GET / HTTP/1.1\r\nAccept: application/problem+json\r\n\r\n");
        let reply = connection.reply();
        assert_eq!((reply.status, content_type(&reply)), (400, DETAILS));
        assert_eq!(details(&reply)["type"], "urn:galo:problem:bad-request");
    });
}

#[test]
fn metrics_are_openmetrics_for_who_asks_for_them() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let reply = server.ask(&asking("/metrics", PROMETHEUS));
        assert_eq!((reply.status, content_type(&reply)), (200, OPENMETRICS));
        let text = reply.text();
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        assert!(
            text.contains("\n# TYPE galo_requests counter\ngalo_requests_total{"),
            "{text}"
        );
        for accept in [
            "*/*",
            "text/plain",
            "application/openmetrics-text;version=0.0.1",
        ] {
            let reply = server.ask(&asking("/metrics", accept));
            assert_eq!(content_type(&reply), "text/plain; version=0.0.4");
            let text = reply.text();
            assert!(!text.contains("# EOF"), "{text}");
            assert!(
                text.contains("\n# TYPE galo_requests_total counter\n"),
                "{text}"
            );
        }
    });
}

#[test]
fn the_description_is_there_if_it_is_asked_for() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).arg("--docs").start();
        let reply = server.get("/openapi.json");
        assert_eq!(
            (reply.status, content_type(&reply)),
            (200, "application/json")
        );
        assert_eq!(reply.json()["openapi"], "3.1.0");
        assert!(reply.json()["paths"]["/payments"]["post"].is_object());
        let mut connection = server.connect();
        connection.send(b"HEAD /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = connection.reply_to_head();
        let length = reply.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(&*length));
    });
}

#[test]
fn without_it_its_path_is_like_any_unknown_one() {
    let dir = data_dir();
    let server = Launch::serve(dir.path()).start();
    let unknown = server.get("/nada");
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        let reply = server.ask(&request(method, "/openapi.json", "", ""));
        assert_eq!(
            (reply.status, reply.text()),
            (404, unknown.text()),
            "{method}"
        );
    }
    drop(server);
    let server = Launch::serve(dir.path()).env("GALO_DOCS", "on").start();
    assert_eq!(server.ask(&get("/openapi.json")).status, 200);
}
