//! The payments gateway: payments, as their users see them.

use std::time::{Duration, Instant};

use serde_json::Value;

use galo_testkit::http::request;
use galo_testkit::{
    cents, data_dir, get, new_id, now_us, on_both_drivers, payment, post, processed, stored, us_of,
    Driver, Launch, PaymentLedger, Processor, Random, Reply, Scripted, Server, Summary, Totals,
    PATIENCE,
};

/// A server with both processors, as they are.
fn serve(data: &std::path::Path, driver: Driver, processors: &[Processor; 2]) -> Launch {
    Launch::driver(data, driver)
        .cores(2)
        .processors_of(processors)
}

/// The text of a member that is a number.
fn number<'a>(reply: &'a Reply, name: &str) -> &'a str {
    let text = std::str::from_utf8(&reply.body).expect("text");
    let (_, rest) = text.split_once(&format!("\"{name}\":")).expect(name);
    rest.split([',', '}']).next().expect(name)
}

#[test]
fn a_payment_with_an_id_is_accepted_and_carried_out_afterwards() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        let server = serve(dir.path(), driver, &processors).start();
        let mut random = Random::from_time();
        let mut book = PaymentLedger::default();
        let before = now_us();
        book.pay(&mut server.connect(), &mut random, 50);
        // An id is an id in either case.
        let id = new_id(&mut random);
        book.sends(&id, "19.90");
        let reply = server.ask(&payment(&id.to_uppercase(), "19.90"));
        assert_eq!(reply.status, 202, "{reply:?}");
        book.acknowledged(&id);
        let summary = book.expect_settled(server.address(), &processors);
        assert_eq!(
            summary.0[1],
            Totals::default(),
            "the dear one was not needed"
        );
        assert_eq!(summary.count(), 51);
        let json = processed(&server, &id);
        assert_eq!(json["processor"], "default");
        assert_eq!(json["attempts"], 1);
        let requested = us_of(json["requested_at"].as_str().expect("a time"));
        assert!((before - 1000..=now_us()).contains(&requested));
        server.stop();
    });
}

#[test]
fn a_payment_without_an_id_is_answered_when_it_is_carried_out() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        processors[0].set_delay(300);
        let server = serve(dir.path(), driver, &processors).start();
        let body = r#"{"amount":100.00,"description":"a gift"}"#;
        let (asked, asked_us) = (Instant::now(), now_us());
        let reply = server.ask(&post("/payments", body));
        assert!(asked.elapsed() >= Duration::from_millis(300), "{reply:?}");
        assert_eq!(reply.status, 200, "{reply:?}");
        let json = reply.json();
        assert_eq!(
            (&json["status"], &json["processor"]),
            (&"processed".into(), &"default".into())
        );
        assert_eq!(cents(number(&reply, "amount")), 10_000);
        let at = json["timestamp"].as_f64().expect("seconds since 1970") * 1e6;
        assert!(
            (asked_us as f64 - 1e6..=now_us() as f64 + 1e6).contains(&at),
            "{json}"
        );
        let id = json["id"].as_str().expect("an id");
        let stored = &processors[0].payments([id].into_iter())[0];
        assert_eq!(stored.as_ref().expect("it has it").cents, 10_000);
        assert_eq!(processed(&server, id)["processor"], "default");
        // Another one is another one, whatever it says.
        let other = server.ask(&post("/payments", body)).json();
        assert_ne!(other["id"], json["id"]);
        assert_eq!(
            server.summary().0[0],
            Totals {
                count: 2,
                cents: 20_000
            }
        );
    });
}

/// Nobody carries it out: after five seconds the client has its id, and can ask.
#[test]
fn a_payment_without_an_id_is_pending_after_five_seconds() {
    let (dir, processors) = (data_dir(), Processor::both());
    for processor in &processors {
        processor.set_failing(true);
    }
    let server = serve(dir.path(), Driver::Uring, &processors).start();
    let mut random = Random::from_time();
    let key = new_id(&mut random);
    let body = r#"{"amount":0.01,"description":"later"}"#;
    let header = format!("Idempotency-Key: {key}\r\n");
    let keyed = request("POST", "/payments", &header, body);
    let asked = Instant::now();
    let reply = server.ask(&keyed);
    let took = asked.elapsed();
    assert!(
        (Duration::from_millis(4_500)..Duration::from_secs(8)).contains(&took),
        "{took:?}"
    );
    assert_eq!(reply.status, 202, "{reply:?}");
    let json = reply.json();
    assert_eq!(json["status"], "pending", "{json}");
    let id = json["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.summary(), Summary::default());
    processors[0].set_failing(false);
    assert_eq!(processed(&server, &id)["processor"], "default");
    // With its key it is the same payment.
    let again = server.ask(&keyed);
    assert_eq!(
        (again.status, &again.json()["id"]),
        (200, &id.into()),
        "{again:?}"
    );
    assert_eq!(stored(&processors).count(), 1);
    assert_eq!(server.summary().0[0], Totals { count: 1, cents: 1 });
}

#[test]
fn bad_payments_are_refused_with_the_reason() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        let server = serve(dir.path(), driver, &processors).start();
        let id = new_id(&mut Random::from_time());
        for body in [
            "",
            "{",
            "amount=1",
            r#"{"amount":1,}"#,
            "{'amount':1}",
            "\u{feff}{}",
        ] {
            let reply = server.ask(&post("/payments", body));
            assert_eq!(reply.status, 400, "{body}: {reply:?}");
        }
        let with_id = |id: &str| format!(r#"{{"correlationId":{id},"amount":19.90}}"#);
        let ids = [
            r#""""#,
            r#""4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b""#,
            r#""4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b33""#,
            r#""4a7901b8-7d26-4d9d-aa19-4dc1c7cf60bg""#,
            r#""4a7901b87d264d9daa194dc1c7cf60b3""#,
            r#""4a7901b8-7d26-4d9d-aa194-dc1c7cf60b3""#,
            "17",
            "[]",
        ];
        for body in ids.map(with_id) {
            let reply = server.ask(&post("/payments", &body));
            assert_eq!(reply.status, 422, "{body}: {reply:?}");
            assert_eq!(reply.json()["field"], "correlationId", "{body}: {reply:?}");
        }
        let amounts = [
            "", // missing
            r#","amount":0"#,
            r#","amount":0.00"#,
            r#","amount":-1"#,
            r#","amount":-0.01"#,
            r#","amount":"19.90""#,
            r#","amount":null"#,
            r#","amount":true"#,
            r#","amount":[1]"#,
            r#","amount":{}"#,
            r#","amount":19.901"#,
            r#","amount":0.001"#,
            r#","amount":1e400"#,
            r#","amount":1e-3"#,
            r#","amount":99999999999999999999999999"#,
        ];
        for amount in amounts {
            for before in [
                format!(r#""correlationId":"{id}""#),
                r#""description":"x""#.into(),
            ] {
                let body = format!("{{{before}{amount}}}");
                let reply = server.ask(&post("/payments", &body));
                assert_eq!(reply.status, 422, "{body}: {reply:?}");
                assert_eq!(reply.json()["field"], "amount", "{body}: {reply:?}");
            }
        }
        assert_eq!(server.get(&format!("/payments/{id}")).status, 404);
        for path in [
            "/payments/x",
            "/payments/4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b",
        ] {
            let status = server.get(path).status;
            assert!([400, 404, 422].contains(&status), "{path}: {status}");
        }
        assert_eq!(server.get("/payments").status, 405);
        assert_eq!(server.ask(&post("/payments-summary", "")).status, 405);
        assert_eq!(server.get("/purge-payments").status, 405);
        // Nothing came of any of it.
        assert_eq!(server.summary(), Summary::default());
        assert_eq!(stored(&processors).count(), 0);
        assert_eq!(server.metric("galo_payments_accepted_total"), 0.0);
    });
}

/// What a number may look like, and is nevertheless the same amount.
#[test]
fn an_amount_is_read_exactly() {
    let (dir, processors) = (data_dir(), Processor::both());
    let server = serve(dir.path(), Driver::Uring, &processors).start();
    let mut random = Random::from_time();
    let mut book = PaymentLedger::default();
    for (written, same) in [
        ("19.90", "19.90"),
        ("19.9", "19.90"),
        ("0.01", "0.01"),
        ("1", "1.00"),
        ("0.29", "0.29"),
        ("4.35", "4.35"),
        ("1.1", "1.10"),
        ("90071992.54", "90071992.54"),
        ("1234567890.12", "1234567890.12"),
    ] {
        let id = new_id(&mut random);
        book.sends(&id, same);
        let reply = server.ask(&payment(&id, written));
        assert_eq!(reply.status, 202, "{written}: {reply:?}");
        book.acknowledged(&id);
    }
    let summary = book.expect_settled(server.address(), &processors);
    assert_eq!(summary.0[0].cents, 132_463_992_921);
    let text = String::from_utf8(server.get("/payments-summary").body).expect("text");
    assert!(text.contains(r#""totalAmount":1324639929.21"#), "{text}");
}

#[test]
fn the_same_id_again_is_the_same_payment() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        let launch = || serve(dir.path(), driver, &processors);
        let server = launch().start();
        let mut random = Random::from_time();
        let mut book = PaymentLedger::default();
        let id = new_id(&mut random);
        book.sends(&id, "19.90");
        // On several connections at once, so that several cores have it.
        let mut connections: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for connection in &mut connections {
            connection.send(&payment(&id, "19.90"));
        }
        for connection in &mut connections {
            let reply = connection.reply();
            assert_eq!(reply.status, 202, "{reply:?}");
        }
        book.acknowledged(&id);
        let expect_known = |server: &Server| {
            // As the same number, however it is written.
            for amount in ["19.90", "19.9"] {
                let reply = server.ask(&payment(&id, amount));
                assert!((200..300).contains(&reply.status), "{reply:?}");
            }
            for amount in ["19.91", "1"] {
                let reply = server.ask(&payment(&id, amount));
                assert_eq!(reply.status, 422, "{reply:?}");
            }
        };
        expect_known(&server);
        book.expect_settled(server.address(), &processors);
        expect_known(&server);
        server.kill();
        let server = launch().start();
        expect_known(&server);
        server.stop();
        let server = launch().start();
        expect_known(&server);
        let summary = book.expect_settled(server.address(), &processors);
        assert_eq!(summary.count(), 1);
    });
}

#[test]
fn without_processors_payments_are_refused_with_what_to_set() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        let id = new_id(&mut Random::from_time());
        for request in [
            payment(&id, "1"),
            post("/payments", r#"{"amount":1.00,"description":"x"}"#),
            get("/payments-summary"),
            get(&format!("/payments/{id}")),
            post("/purge-payments", ""),
        ] {
            let reply = server.ask(&request);
            assert_eq!(reply.status, 503, "{reply:?}");
            let said = String::from_utf8(reply.body).expect("text");
            for name in [
                "--processor-default",
                "--processor-fallback",
                "DEFAULT_PAYMENT_PROCESSOR_URL",
                "FALLBACK_PAYMENT_PROCESSOR_URL",
            ] {
                assert!(said.contains(name), "{said}");
            }
        }
        // The bank does not mind.
        server.transact(1, 'c', 1, "um").posted();
    });
}

#[test]
fn processors_are_taken_from_the_environment_too() {
    let (dir, processors) = (data_dir(), [Scripted::good(), Scripted::good()]);
    let server = Launch::serve(dir.path())
        .env("DEFAULT_PAYMENT_PROCESSOR_URL", processors[0].url())
        .env("FALLBACK_PAYMENT_PROCESSOR_URL", processors[1].url())
        .start();
    let id = new_id(&mut Random::from_time());
    assert_eq!(server.ask(&payment(&id, "1")).status, 202);
    assert_eq!(processed(&server, &id)["processor"], "default");
    assert_eq!(processors[0].payments().len(), 1);
}

/// A payment on its way: accepted, then with somebody, then processed by them.
#[test]
fn a_payment_shows_where_it_stands() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        for processor in &processors {
            processor.set_failing(true);
        }
        let server = serve(dir.path(), driver, &processors).start();
        let id = new_id(&mut Random::from_time());
        assert_eq!(server.ask(&payment(&id, "12.34")).status, 202);
        let show = || server.get(&format!("/payments/{id}"));
        let wait_for = |is_there: &dyn Fn(&Value) -> bool| {
            let began = Instant::now();
            loop {
                let reply = show();
                assert_eq!(reply.status, 200, "{reply:?}");
                assert_eq!(cents(number(&reply, "amount")), 1234);
                let json = reply.json();
                if is_there(&json) {
                    return json;
                }
                assert!(began.elapsed() < PATIENCE, "it stays so: {json}");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        // Refused, and free again.
        let free =
            wait_for(&|json| json["status"] == "accepted" && json["attempts"].as_u64() > Some(1));
        let accepted = us_of(free["accepted_at"].as_str().expect("a time"));
        assert!(accepted <= now_us());
        processors[0].set_delay(1000);
        processors[0].set_failing(false);
        let sent = wait_for(&|json| json["status"] == "sent");
        assert_eq!(sent["processor"], "default", "{sent}");
        let requested = sent["requested_at"].as_str().expect("a time").to_owned();
        assert!(us_of(&requested) >= accepted / 1000 * 1000);
        let done = processed(&server, &id);
        assert_eq!(done["processor"], "default", "{done}");
        let stored = processors[0].payments([id.as_str()].into_iter());
        let stored = stored[0].as_ref().expect("it has it");
        let requested = done["requested_at"].as_str().expect("a time");
        assert_eq!(stored.requested_us, us_of(requested));
    });
}
