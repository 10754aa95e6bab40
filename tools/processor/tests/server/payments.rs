//! What a caller sees of payments.

use std::time::{Duration, Instant};

use galo_testkit::processor::JSON;
use galo_testkit::{Processor, PATIENCE};

use crate::client::{id, path, payment, Client, TIME};

#[test]
fn a_payment_is_carried_out_and_can_be_looked_up() {
    let server = Processor::start(&[]);
    let mut connection = server.connect();
    assert_eq!(connection.look_up(1).status, 404);
    let reply = connection.pay(1);
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.json_as(JSON)["message"],
        "payment processed successfully"
    );
    let reply = connection.look_up(1);
    assert_eq!(reply.status, 200);
    let expected = format!(
        r#"{{"correlationId":"{}","amount":19.90,"requestedAt":"2025-07-15T12:34:56.12"}}"#,
        id(1)
    );
    assert_eq!(reply.text(), expected);
}

#[test]
fn many_requests_come_one_after_another_on_one_connection() {
    let server = Processor::start(&[]);
    let mut connection = server.connect();
    for number in 0..500 {
        assert_eq!(connection.pay(number).status, 200);
    }
    assert_eq!(server.all().count, 500);
}

#[test]
fn two_threads_serve_many_connections() {
    let server = Processor::start(&["--threads", "2", "--delay", "1"]);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let mut connection = server.connect();
                for number in 0..100 {
                    assert_eq!(connection.pay(thread * 1000 + number).status, 200);
                }
            });
        }
    });
    assert_eq!(server.all().count, 800);
}

#[test]
fn a_reply_takes_as_long_as_the_delay_and_nothing_is_stored_before() {
    let server = Processor::start(&["--delay", "400"]);
    let mut connection = server.connect();
    let start = Instant::now();
    connection.send_payment(1);
    let before = server.connect().look_up(1).status;
    let looked = start.elapsed();
    assert_eq!(connection.reply().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(400));
    assert!(before == 404 || looked >= Duration::from_millis(400));
    assert_eq!(server.connect().look_up(1).status, 200);
}

#[test]
fn failing_is_500_after_the_delay_and_nothing_is_stored() {
    let server = Processor::start(&["--delay", "200", "--failing"]);
    let start = Instant::now();
    let reply = server.connect().pay(1);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(reply.status, 500);
    assert!(reply.body.len() >= 2000);
    assert_eq!(server.connect().look_up(1).status, 404);
    assert_eq!(server.all().count, 0);
}

#[test]
fn the_failure_switch_is_read_when_the_delay_is_over() {
    let server = Processor::start(&["--delay", "2000"]);
    let mut connection = server.connect();
    connection.send_payment(1);
    let reply = server.admin(
        "PUT",
        "/admin/configurations/failure",
        r#"{"failure":true}"#,
    );
    assert_eq!(reply.status, 200);
    assert_eq!(connection.reply().status, 500);
}

#[test]
fn a_caller_that_disconnects_during_the_delay_has_paid() {
    let server = Processor::start(&["--delay", "300", "--parallel", "1", "--waiting", "0"]);
    let mut connection = server.connect();
    connection.send_payment(1);
    // It is inside as soon as there is no place for another one.
    while server.connect().pay(2).status == 200 {
        // That one was first: the same again.
        assert_eq!(
            server.admin("POST", "/admin/purge-payments", "").status,
            200
        );
        connection = server.connect();
        connection.send_payment(1);
    }
    drop(connection);
    let start = Instant::now();
    while server.all().count != 1 {
        assert!(start.elapsed() < PATIENCE, "it is not stored");
        std::thread::yield_now();
    }
    assert_eq!(server.connect().look_up(1).status, 200);
}

#[test]
fn the_same_again_is_422_and_changes_nothing() {
    let server = Processor::start(&[]);
    let mut connection = server.connect();
    assert_eq!(connection.pay(1).status, 200);
    let other = payment(1, "1.00", "2026-01-01T00:00:00Z");
    let reply = connection.exchange("POST", "/payments", &other);
    assert_eq!(reply.status, 422);
    assert!(reply.body.len() >= 2000 && reply.json_as(JSON).is_object());
    let stored = connection.look_up(1);
    assert!(stored
        .text()
        .contains(r#""amount":19.90,"requestedAt":"2025-07-15T12:34:56.12""#));
    assert_eq!(server.all().count, 1);
}

#[test]
fn what_is_no_payment_is_400() {
    let server = Processor::start(&[]);
    let mut connection = server.connect();
    for body in [
        "",
        "{}",
        &payment(1, "19.999", TIME),
        &payment(1, "19.90", "2025-07-15T12:34:56.120"),
        &payment(1, "19.90", TIME).replace("0000-4000", "0000-400"),
    ] {
        let reply = connection.exchange("POST", "/payments", body);
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.body.len() >= 2000 && reply.json_as(JSON).is_object());
    }
    assert_eq!(server.all().count, 0);
}

#[test]
fn what_is_not_there_is_404_and_another_method_405() {
    let server = Processor::start(&[]);
    let mut connection = server.connect();
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/payments/x", 404),
        ("GET", "/payments", 405),
        ("POST", "/payments/service-health", 405),
        ("DELETE", &path(1), 405),
    ] {
        assert_eq!(
            connection.exchange(method, path, "").status,
            status,
            "{path}"
        );
    }
    assert_eq!(server.admin("GET", "/admin/x", "").status, 404);
    assert_eq!(server.admin("GET", "/admin/purge-payments", "").status, 405);
}

#[test]
fn replies_can_be_chunked() {
    let server = Processor::start(&["--chunked", "1"]);
    let mut connection = server.connect();
    let reply = connection.pay(1);
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    assert_eq!(
        reply.json_as(JSON)["message"],
        "payment processed successfully"
    );
    let reply = connection.pay(1);
    assert_eq!((reply.status, reply.header("content-length")), (422, None));
    assert!(reply.body.len() >= 2000 && reply.json_as(JSON).is_object());
    let reply = connection.look_up(1);
    assert_eq!(reply.json_as(JSON)["correlationId"], id(1));
}
