//! A processor whose answers make no sense: one line that says what to look at, a payment that is not lost, and attempts
//! that grow apart.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use galo_testkit::{
    data_dir, new_id, on_both_drivers, payment, processed, Answer, Driver, Launch, Random, Request,
    Scripted, Server, Service,
};

/// From the first payment to the line.
const TOLD: Duration = Duration::from_secs(5);

fn serve(data: &std::path::Path, driver: Driver, default: &str, fallback: &Scripted) -> Server {
    Launch::driver(data, driver)
        .cores(2)
        .processors(default, &fallback.url())
        .start()
}

fn pay(server: &Server) -> String {
    let id = new_id(&mut Random::from_time());
    let reply = server.ask(&payment(&id, "19.90"));
    assert_eq!(reply.status, 202, "{reply:?}");
    id
}

fn lines(server: &Server) -> Vec<String> {
    let mut lines = server.log();
    lines.retain(|line| line.contains("makes no sense"));
    lines
}

/// One payment, one line; it names the processor, its URL, the payment, and what is said.
#[track_caller]
fn expect_line(server: &Server, url: &str, id: &str, words: &[&str]) {
    let paid = Instant::now();
    let line = server.wait_for_log("makes no sense");
    assert!(paid.elapsed() < TOLD, "{line}");
    let named = [
        "WARN",
        "payment processor default",
        url,
        id,
        "--processor-default",
    ];
    for word in named.iter().chain(words) {
        assert!(line.contains(word), "{word:?} is not in {line}");
    }
}

#[test]
fn a_url_that_is_wrong_is_said_in_one_line() {
    let page = "<!doctype html><title>It works!</title>";
    let cases: [(&str, Answer, &[&str]); 8] = [
        ("", Answer::status(404), &["404", "host, port and path"]),
        (
            "/payments",
            Answer::status(404),
            &["404", "without /payments"],
        ),
        ("", Answer::status(405), &["405", "host, port and path"]),
        ("/x", Answer::Reply(400, "", page.into()), &["400", "TLS"]),
        (
            "",
            Answer::Reply(301, "Location: https://elsewhere/\r\n", String::new()),
            &["301", "redirects"],
        ),
        ("", Answer::status(308), &["308", "redirects"]),
        (
            "",
            Answer::Reply(200, "", page.into()),
            &["200", "web page"],
        ),
        ("", Answer::Close, &["no answer", "TLS"]),
    ];
    for (path, answer, words) in cases {
        on_both_drivers(|driver| {
            let (dir, said) = (data_dir(), answer.clone());
            let default = Scripted::start(move |_, _| said.clone());
            let fallback = Scripted::good();
            let url = format!("{}{path}", default.url());
            let server = serve(dir.path(), driver, &url, &fallback);
            let id = pay(&server);
            expect_line(&server, &url, &id, words);
            // However often it is tried.
            default.wait_for_payments(5);
            assert_eq!(lines(&server).len(), 1, "{:?}", lines(&server));
            server.stop();
        });
    }
}

#[test]
fn a_port_for_tls_is_said_in_one_line() {
    on_both_drivers(|driver| {
        let tls = Service::start(|mut socket| {
            let _ = socket.read(&mut [0; 4096]);
            // An alert: unexpected message.
            let _ = socket.write_all(&[21, 3, 1, 0, 2, 2, 10]);
        });
        let url = tls.url();
        let (dir, fallback) = (data_dir(), Scripted::good());
        let server = serve(dir.path(), driver, &url, &fallback);
        let id = pay(&server);
        expect_line(&server, &url, &id, &["a record of TLS", "port"]);
        server.stop();
    });
}

/// A payment that is new, and known, it says, and not there: once 20 attempts a second for ever.
#[test]
fn a_new_payment_that_is_known_and_not_there_is_logged_and_stays() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let default = Scripted::start(|asked, _| match asked {
            _ if asked.is_health() => Scripted::healthy(),
            _ if asked.is_payment() => Answer::status(422),
            _ => Answer::status(404),
        });
        let fallback = Scripted::good();
        let server = serve(dir.path(), driver, &default.url(), &fallback);
        let id = pay(&server);
        let line = server.wait_for_log("makes no sense");
        for word in ["default", &id, "422", "404"] {
            assert!(line.contains(word), "{word:?} is not in {line}");
        }
        let attempts = default.wait_for_payments(6);
        // 50 + 100 + 200 + 400 + 800 ms, less up to half.
        let took = attempts[5].at - attempts[0].at;
        assert!(took > Duration::from_millis(775), "{took:?}");
        let reason = "{processor=\"default\",reason=\"contradiction\"}";
        let metric = server.metric(&format!("galo_processor_anomalies_total{reason}"));
        assert!((5.0..=6.0).contains(&metric), "{metric}");
        assert_eq!(lines(&server).len(), 1, "{:?}", lines(&server));
        let shown = server.get(&format!("/payments/{id}")).json();
        assert_eq!(shown["in_doubt"], true, "{shown}");
        assert!(fallback.payments().is_empty());
        server.stop();
    });
}

/// A page that says 200 has carried nothing out.
#[test]
fn a_payment_whose_2xx_is_no_processors_is_not_processed_before_the_processor_says_so() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let default = Scripted::start(|asked, before| match asked {
            _ if asked.is_health() => Scripted::healthy(),
            _ if !asked.is_payment() => Answer::status(404),
            _ if before.iter().filter(|it| it.is_payment()).count() < 3 => {
                Answer::Reply(200, "Content-Type: text/html\r\n", "<html></html>".into())
            }
            _ => Answer::done(),
        });
        let fallback = Scripted::good();
        let server = serve(dir.path(), driver, &default.url(), &fallback);
        let id = pay(&server);
        assert_eq!(processed(&server, &id)["processor"], "default");
        let attempts = default.payments();
        assert_eq!(attempts.len(), 4);
        assert!(attempts.iter().all(|it| it.json() == attempts[0].json()));
        let asked = default.requests();
        let is_question = |it: &&Request| it.path == format!("/payments/{id}");
        assert_eq!(asked.iter().filter(is_question).count(), 3);
        server.stop();
    });
}
