//! A payment that a processor may have stays with it, as it was; one that was refused does not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use galo_testkit::{
    data_dir, new_id, now_us, on_both_drivers, payment, processed, us_of, Answer, Driver, Launch,
    Random, Request, ReservedPort, Scripted, Server, Summary,
};

fn serve(data: &std::path::Path, driver: Driver, processors: [&Scripted; 2]) -> Launch {
    // Whoever may go to the other one does so at once.
    Launch::driver(data, driver)
        .cores(1)
        .flag("payment-deadline", "1s")
        .processors(&processors[0].url(), &processors[1].url())
}

/// Does something to the first payment, and carries out all others.
fn first_time(answer: Answer) -> Scripted {
    Scripted::start(move |asked, before| match asked {
        _ if asked.is_health() => Scripted::healthy(),
        _ if !asked.is_payment() => Answer::status(404),
        _ if before.iter().any(Request::is_payment) => Answer::done(),
        _ => answer.clone(),
    })
}

fn pay(server: &Server) -> String {
    let id = new_id(&mut Random::from_time());
    let reply = server.ask(&payment(&id, "19.90"));
    assert_eq!(reply.status, 202, "{reply:?}");
    id
}

#[test]
fn a_processor_is_asked_as_it_expects() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let (first, second) = (Scripted::good(), Scripted::good());
        let server = Launch::driver(dir.path(), driver)
            .processors(&format!("{}/base", first.url()), &second.url())
            .start();
        let before = now_us() / 1000 * 1000;
        let id = pay(&server);
        let asked = first.wait_for_payments(1).remove(0);
        assert_eq!(asked.path, "/base/payments");
        assert_eq!(asked.header("host"), Some(first.host().as_str()));
        let content_type = asked.header("content-type").expect("a type");
        assert!(content_type.starts_with("application/json"), "{asked:?}");
        let json = asked.json();
        assert_eq!(json["correlationId"], id.as_str());
        assert!(asked.body.contains(r#""amount":19.90"#), "{asked:?}");
        let requested = json["requestedAt"].as_str().expect("a time");
        assert_eq!(
            (requested.len(), &requested[19..20], &requested[23..]),
            (24, ".", "Z")
        );
        assert!(
            (before..=now_us()).contains(&us_of(requested)),
            "{requested}"
        );
        let shown = processed(&server, &id);
        assert_eq!(
            us_of(shown["requested_at"].as_str().expect("a time")),
            us_of(requested)
        );
        assert!(second.payments().is_empty());
    });
}

/// Outcomes that leave it open whether the processor has the payment.
#[test]
fn a_payment_in_doubt_is_sent_again_as_it_was_and_to_nobody_else() {
    let cases = [
        Answer::Close,
        Answer::status(408),
        Answer::status(502),
        Answer::status(503),
        Answer::status(504),
        Answer::Reply(200, "Transfer-Encoding: nonsense\r\n", "x".into()),
    ];
    for answer in cases {
        on_both_drivers(|driver| {
            let dir = data_dir();
            let (first, second) = (first_time(answer.clone()), Scripted::good());
            let server = serve(dir.path(), driver, [&first, &second]).start();
            let id = pay(&server);
            let shown = processed(&server, &id);
            assert_eq!(shown["processor"], "default", "{answer:?}: {shown}");
            let attempts = first.payments();
            assert!(attempts.len() >= 2, "{answer:?}: {attempts:?}");
            for attempt in &attempts {
                assert_eq!(attempt.json(), attempts[0].json(), "{answer:?}");
            }
            assert!(second.payments().is_empty(), "{answer:?}");
        });
    }
}

/// It is there already: that is as good as 200, and what counts is what the processor has.
#[test]
fn a_payment_that_the_processor_has_already_is_processed() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let first = Scripted::start(|asked, before| match asked {
            _ if asked.is_health() => Scripted::healthy(),
            _ if !asked.is_payment() => stored(asked, "2026-01-01T00:00:00.1"),
            _ if before.iter().any(Request::is_payment) => Answer::Reply(422, "", "x".repeat(2000)),
            _ => Answer::Close,
        });
        let second = Scripted::good();
        let server = serve(dir.path(), driver, [&first, &second]).start();
        let id = pay(&server);
        let shown = processed(&server, &id);
        assert_eq!(shown["processor"], "default", "{shown}");
        assert_eq!(requested_us(&shown), us_of("2026-01-01T00:00:00.1"));
        assert!(second.payments().is_empty());
        let ours = server.summary();
        assert_eq!((ours.0[0].count, ours.0[0].cents), (1, 1990));
    });
}

/// As a processor tells of the payment that it is asked about. The real one leaves the Z away, and
/// zeros.
fn stored(asked: &Request, time: &str) -> Answer {
    let id = asked.path.rsplit('/').next().expect("an id");
    let body = format!(r#"{{"correlationId":"{id}","amount":19.90,"requestedAt":"{time}"}}"#);
    Answer::Reply(200, "", body)
}

fn requested_us(shown: &Value) -> u64 {
    us_of(shown["requested_at"].as_str().expect("a time"))
}

/// A refusal is certain: the other one may have it, with a time of its own.
#[test]
fn a_payment_that_was_refused_is_free() {
    for status in [500, 400, 404] {
        on_both_drivers(|driver| {
            let dir = data_dir();
            let first = Scripted::start(move |asked, _| match asked.is_health() {
                true => Scripted::healthy(),
                false => Answer::status(status),
            });
            let second = Scripted::good();
            let server = serve(dir.path(), driver, [&first, &second]).start();
            let id = pay(&server);
            let shown = processed(&server, &id);
            assert_eq!(shown["processor"], "fallback", "{status}: {shown}");
            let attempts = first.payments();
            assert!(!attempts.is_empty(), "the cheap one was not tried");
            let sent = second.payments().remove(0).json();
            assert_eq!(sent["requestedAt"], shown["requested_at"], "{shown}");
        });
    }
}

/// Who cannot be reached has nothing.
#[test]
fn a_processor_that_is_not_there_has_nothing() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let closed = ReservedPort::new();
        let url = format!("http://{}", closed.address());
        let second = Scripted::good();
        let server = Launch::driver(dir.path(), driver)
            .flag("payment-deadline", "1s")
            .processors(&url, &second.url())
            .start();
        let id = pay(&server);
        assert_eq!(processed(&server, &id)["processor"], "fallback");
    });
}

/// The attempt was under way when the node died: its successor must not believe that it was refused.
#[test]
fn a_payment_that_was_sent_before_a_kill_stays_with_its_processor() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let let_go = Arc::new(AtomicBool::new(false));
        let may_answer = let_go.clone();
        let first = Scripted::start(move |asked, before| match asked {
            _ if asked.is_health() => Scripted::healthy(),
            _ if !asked.is_payment() => Answer::status(404),
            _ if !before.iter().any(Request::is_payment) => Answer::Hang,
            // Certain only of this attempt: the first one may have been carried out.
            _ if !may_answer.load(Ordering::Relaxed) => Answer::status(500),
            _ => Answer::done(),
        });
        let second = Scripted::good();
        let server = serve(dir.path(), driver, [&first, &second]).start();
        let id = pay(&server);
        first.wait_for_payments(1);
        server.kill();
        let server = serve(dir.path(), driver, [&first, &second]).start();
        first.wait_for_payments(4);
        let shown = server.get(&format!("/payments/{id}")).json();
        assert_eq!(
            (&shown["status"], &shown["processor"]),
            (&"sent".into(), &"default".into())
        );
        let_go.store(true, Ordering::Relaxed);
        assert_eq!(processed(&server, &id)["processor"], "default");
        let attempts = first.payments();
        for attempt in &attempts {
            assert_eq!(attempt.json(), attempts[0].json());
        }
        assert!(second.payments().is_empty());
    });
}

/// For the summary the processor is asked what it has, rather than waited for.
#[test]
fn a_summary_asks_about_what_is_in_doubt() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let has_it = Arc::new(AtomicBool::new(false));
        let has = has_it.clone();
        let first = Scripted::start(move |asked, _| match asked {
            _ if asked.is_health() => Scripted::healthy(),
            _ if asked.is_payment() => Answer::Hang,
            _ if has.load(Ordering::Relaxed) => stored(asked, "2026-01-01T00:00:00.1"),
            _ => Answer::status(404),
        });
        let second = Scripted::good();
        let server = serve(dir.path(), driver, [&first, &second]).start();
        let id = pay(&server);
        first.wait_for_payments(1);
        let summary = || server.summary();
        assert_eq!(summary(), Summary::default(), "it does not have it");
        assert!(first
            .requests()
            .iter()
            .any(|asked| asked.path == format!("/payments/{id}")));
        has_it.store(true, Ordering::Relaxed);
        let ours = summary();
        assert_eq!((ours.0[0].count, ours.0[0].cents), (1, 1990));
        // It is settled with that, with the time that the processor has.
        let shown = server.get(&format!("/payments/{id}")).json();
        assert_eq!(shown["status"], "processed", "{shown}");
        assert_eq!(requested_us(&shown), us_of("2026-01-01T00:00:00.1"));
    });
}

/// A processor that does not answer costs the summary a second, and not more.
#[test]
fn a_summary_waits_a_second_at_most() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let (silent, second) = (Scripted::start(|_, _| Answer::Hang), Scripted::good());
        let server = serve(dir.path(), driver, [&silent, &second]).start();
        pay(&server);
        silent.wait_for_payments(1);
        let asked = std::time::Instant::now();
        let ours = server.summary();
        let took = asked.elapsed();
        assert_eq!(ours, Summary::default());
        assert!(took < Duration::from_millis(2_500), "{took:?}");
    });
}
