//! What `/health` and `/metrics` show of payments and of the processors.

use std::time::{Duration, Instant};

use serde_json::Value;

use galo_testkit::{
    data_dir, get, new_id, on_both_drivers, payment, Driver, Launch, PaymentLedger, Processor,
    Random, Server, PATIENCE, PROCESSORS,
};

/// What `/health` says of payments, once it says so.
#[track_caller]
fn wait_for_health(server: &Server, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let health = server.get("/health").json();
        assert_eq!(health["status"], "healthy", "{health}");
        let payments = health["payments"].clone();
        if is_so(&payments) {
            return payments;
        }
        assert!(began.elapsed() < PATIENCE, "not {what}: {payments}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn metric(server: &Server, name: &str, processor: &str) -> f64 {
    server.metric(&format!("{name}{{processor=\"{processor}\"}}"))
}

fn start(data: &std::path::Path, driver: Driver, processors: &[Processor; 2]) -> Server {
    // One core: what several know of a processor may differ while only some have payments for it.
    Launch::driver(data, driver)
        .cores(1)
        .flag("payment-deadline", "2s")
        .processors_of(processors)
        .start()
}

#[test]
fn health_shows_processors_that_fail_and_that_recover() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        for processor in &processors {
            processor.set_failing(true);
            processor.set_delay(20);
        }
        let server = start(dir.path(), driver, &processors);
        let (mut random, mut book) = (Random::from_time(), PaymentLedger::default());
        book.pay(&mut server.connect(), &mut random, 30);
        let told = wait_for_health(&server, "told of both", |payments| {
            let both = payments["processors"].as_array().expect("a list");
            both.iter().all(|processor| {
                processor["circuit"] != "closed"
                    && processor["failing"] == true
                    && processor["min_response_ms"] == 20
            })
        });
        assert_eq!(told["open"], 30, "{told}");
        assert!(told["oldest"].as_f64() > Some(0.0), "{told}");
        for (told, name) in told["processors"]
            .as_array()
            .expect("a list")
            .iter()
            .zip(PROCESSORS)
        {
            assert_eq!(told["name"], name);
            assert!(told["latency_ms"].as_f64() >= Some(20.0), "{told}");
            assert!(told["health_age"].as_f64() >= Some(0.0), "{told}");
        }
        assert_eq!(server.metric("galo_payments_open"), 30.0);
        assert!(server.metric("galo_payments_oldest_seconds") > 0.0);
        for name in PROCESSORS {
            assert!(metric(&server, "galo_processor_circuit", name) > 0.0);
            assert_eq!(metric(&server, "galo_processor_failing", name), 1.0);
            assert_eq!(
                metric(&server, "galo_processor_response_min_seconds", name),
                0.02
            );
            assert!(metric(&server, "galo_processor_failed_total", name) > 0.0);
            assert_eq!(metric(&server, "galo_payments_settled_total", name), 0.0);
        }

        for processor in &processors {
            processor.set_failing(false);
        }
        let summary = book.expect_settled(server.address(), &processors);
        let told = wait_for_health(&server, "all well", |payments| {
            let both = payments["processors"].as_array().expect("a list");
            payments["open"] == 0 && both.iter().any(|one| one["circuit"] == "closed")
        });
        assert_eq!(
            (&told["oldest"], &told["in_doubt"]),
            (&Value::Null, &0.into())
        );
        assert_eq!(told["totals"]["accepted"], 30);
        for (name, totals) in PROCESSORS.iter().zip(summary.0) {
            let said = &told["totals"][name];
            assert_eq!(said["settled"], totals.count, "{told}");
            assert_eq!(
                metric(&server, "galo_payments_settled_total", name),
                totals.count as f64
            );
            let cents = metric(&server, "galo_payments_settled_cents_total", name);
            assert_eq!(cents, totals.cents as f64);
        }
        assert_eq!(server.metric("galo_payments_open"), 0.0);
        assert_eq!(server.metric("galo_payments_oldest_seconds"), 0.0);
    });
}

#[test]
fn health_shows_payments_in_flight_and_in_doubt() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        processors[0].set_delay(1_500);
        let server = start(dir.path(), driver, &processors);
        let (mut random, mut book) = (Random::from_time(), PaymentLedger::default());
        book.pay(&mut server.connect(), &mut random, 2);
        let told = wait_for_health(&server, "under way", |payments| {
            payments["processors"][0]["under_way"].as_u64() > Some(0)
        });
        assert!(told["processors"][0]["window"].as_u64() > Some(0), "{told}");
        assert!(metric(&server, "galo_processor_under_way", "default") > 0.0);
        book.expect_settled(server.address(), &processors);
        // Every reply is lost: nobody knows before the processor is asked again.
        processors[0].set_delay(0);
        processors[0].set_faults(&[("reset_before", 1.0)]);
        book.pay(&mut server.connect(), &mut random, 1);
        wait_for_health(&server, "in doubt", |payments| payments["in_doubt"] == 1);
        assert!(metric(&server, "galo_processor_unknown_total", "default") > 0.0);
        processors[0].set_faults(&[]);
        book.expect_settled(server.address(), &processors);
    });
}

#[test]
fn payments_are_counted_by_endpoint_and_status() {
    let (dir, processors) = (data_dir(), Processor::both());
    let server = start(dir.path(), Driver::Uring, &processors);
    let id = new_id(&mut Random::from_time());
    let mut connection = server.connect();
    for (request, status) in [
        (payment(&id, "1"), 202),
        (payment(&id, "1"), 202),
        (payment(&id, "2"), 422),
        (get(&format!("/payments/{id}")), 200),
        (get("/payments-summary"), 200),
        (get("/payments-summary?from=x"), 400),
    ] {
        assert_eq!(connection.ask(&request).status, status);
    }
    for (endpoint, status, count) in [
        ("payments", 202, 2.0),
        ("payments", 422, 1.0),
        ("payment", 200, 1.0),
        ("payments-summary", 200, 1.0),
        ("payments-summary", 400, 1.0),
    ] {
        let name = format!("galo_requests_total{{endpoint=\"{endpoint}\",status=\"{status}\"}}");
        assert_eq!(server.metric(&name), count, "{name}");
    }
    assert_eq!(server.metric("galo_payments_accepted_total"), 1.0);
}

/// Without processors there is nothing to tell.
#[test]
fn a_bank_tells_of_no_payments() {
    let dir = data_dir();
    let server = Launch::serve(dir.path()).start();
    assert!(server.get("/health").json().get("payments").is_none());
    let text = String::from_utf8(server.get("/metrics").body).expect("text");
    assert!(!text.contains("galo_processor"), "{text}");
}
