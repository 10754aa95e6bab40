//! Each fault as its victim sees it, and what the processor has of it afterwards.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use galo_testkit::{Connection, Processor};

use crate::client::Client;

/// The first payment suffers it; the second one, on a connection of its own, does not.
fn spoilt(fault: &str) -> (Processor, Connection) {
    let server = Processor::start(&["--fault", &format!("{fault}@1")]);
    let mut connection = server.connect();
    connection.send_payment(1);
    (server, connection)
}

/// The spoilt payment is stored or not, and the next one is paid.
fn check(server: &Processor, stored: bool) {
    let status = server.connect().look_up(1).status;
    assert_eq!(status, if stored { 200 } else { 404 });
    let again = server.connect().pay(1).status;
    assert_eq!(again, if stored { 422 } else { 200 });
}

#[test]
fn a_lost_reply_is_the_end_of_the_connection_without_a_byte() {
    let (server, mut connection) = spoilt("reply_lost");
    let (bytes, end) = connection.rest();
    assert!(bytes.is_empty() && end.is_ok(), "{bytes:?} {end:?}");
    check(&server, true);
}

#[test]
fn a_reset_comes_before_the_insert_or_after_it() {
    for (fault, stored) in [("reset_before", false), ("reset_after", true)] {
        let (server, mut connection) = spoilt(fault);
        let (bytes, end) = connection.rest();
        assert!(bytes.is_empty());
        let error = end.expect_err("no orderly end");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        check(&server, stored);
    }
}

#[test]
fn a_reset_after_the_insert_comes_after_the_delay() {
    let server = Processor::start(&["--delay", "200", "--fault", "reset_after=1"]);
    let start = Instant::now();
    let mut connection = server.connect();
    connection.send_payment(1);
    let (_, end) = connection.rest();
    assert!(end.is_err() && start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_reply_is_cut_within_its_head() {
    let (server, mut connection) = spoilt("cut_head");
    let (bytes, end) = connection.rest();
    assert!(end.is_ok());
    assert!(bytes.starts_with(b"HTTP/1.1 200"));
    assert!(!bytes.windows(4).any(|end| end == b"\r\n\r\n"));
    check(&server, true);
}

#[test]
fn a_reply_is_cut_within_its_body() {
    let (server, mut connection) = spoilt("cut_body");
    let (bytes, end) = connection.rest();
    assert!(end.is_ok());
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    assert!(head.to_lowercase().contains("content-length: 44"), "{head}");
    assert_eq!(body, r#"{"message":"payment pr"#);
    check(&server, true);
}

#[test]
fn nothing_ever_comes_whether_stored_or_not() {
    for (fault, stored) in [("hang_stored", true), ("hang_lost", false)] {
        let (server, mut connection) = spoilt(fault);
        connection
            .tcp()
            .set_read_timeout(Some(Duration::from_millis(300)))
            .expect("a time-out");
        let (bytes, end) = connection.rest();
        assert!(bytes.is_empty());
        let error = end.expect_err("still open");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        check(&server, stored);
    }
}

#[test]
fn a_slow_reply_comes_byte_by_byte_and_the_connection_goes_on() {
    let (server, mut connection) = spoilt("drip");
    let start = Instant::now();
    connection.tcp().peek(&mut [0]).expect("a first byte");
    let first = start.elapsed();
    let reply = connection.reply();
    assert_eq!(reply.status, 200);
    let pauses = u32::try_from(reply.length - 1).expect("a short reply");
    assert!(start.elapsed() - first >= Duration::from_millis(20) * (pauses - 1));
    assert_eq!(connection.pay(2).status, 200);
    check(&server, true);
}

/// For each of so many payments whether its reply was lost.
fn lost(server: &Processor, from: u64) -> Vec<bool> {
    let one = |number| {
        let mut connection = server.connect();
        connection.send_payment(number);
        is_lost(&mut connection)
    };
    (from..from + 60).map(one).collect()
}

/// Whether the connection ends without a reply.
fn is_lost(connection: &mut Connection) -> bool {
    if connection.tcp().peek(&mut [0]).expect("an orderly end") == 0 {
        return true;
    }
    assert_eq!(connection.reply().status, 200);
    false
}

#[test]
fn a_seed_decides_which_payments_suffer() {
    let flags = ["--fault", "reply_lost=0.5", "--seed", "7"];
    let server = Processor::start(&flags);
    let first = lost(&server, 0);
    let count = first.iter().filter(|lost| **lost).count();
    assert!((10..50).contains(&count), "{count}");
    assert_eq!(first, lost(&Processor::start(&flags), 0));
    // All were stored.
    assert_eq!(server.all().count, 60);

    let set = |body| {
        let reply = server.admin("PUT", "/admin/configurations/faults", body);
        assert_eq!(reply.status, 200);
    };
    // From the beginning again.
    set(r#"{"reply_lost":0.5,"seed":7}"#);
    assert_eq!(first, lost(&server, 100));
    set(r#"{"reply_lost":0.5,"seed":8}"#);
    assert_ne!(first, lost(&server, 200));
    set(r#"{"nth":{"2":"reply_lost"}}"#);
    let second = lost(&server, 300);
    assert!(second.iter().enumerate().all(|(n, lost)| *lost == (n == 1)));
    set("{}");
    assert!(lost(&server, 400).iter().all(|lost| !lost));
}
