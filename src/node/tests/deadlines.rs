//! Clients that are too slow.

use super::*;
use crate::limits::{BODY_NS_MAX, HEAD_NS_MAX, IDLE_NS_MAX, LATE_NS, LINGER_NS, SEND_NS_MAX};

/// Sends one byte after the other at even intervals, each before anything is due.
fn drip(rig: &mut Rig, client: Client, bytes: &str, every_ns: u64) {
    for byte in bytes.bytes() {
        rig.send(client, [byte]);
        rig.pass(every_ns);
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    rig.pass(IDLE_NS_MAX - 1);
    assert!(!rig.is_closed(client));
    assert_eq!(rig.ask(client, get("/health")).status, 200);
    rig.pass(IDLE_NS_MAX - 1);
    assert!(!rig.is_closed(client), "counted from its last reply");
    rig.pass(1);
    assert!(rig.is_closed(client));
    assert!(rig.statuses(client).is_empty());
    assert_eq!(rig.stats.sum(|core| &core.connections), 0);
}

#[test]
fn line_ends_keep_no_connection_open() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    drip(&mut rig, client, "\r\n\r\n", IDLE_NS_MAX / 4);
    assert!(rig.is_closed(client));
}

#[test]
fn a_head_that_drips_in_is_408_and_closed_when_the_time_for_it_is_over() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    drip(&mut rig, client, "GET /he", HEAD_NS_MAX / 8);
    assert!(rig.statuses(client).is_empty());
    rig.pass(HEAD_NS_MAX / 8);
    let replies = rig.replies(client);
    assert_eq!(replies.len(), 1);
    assert_eq!((replies[0].status, replies[0].closes()), (408, true));
    assert!(rig.socket(client).finished);
    // The rest of its head gains it nothing.
    rig.send(client, "alth HTTP/1.1\r\nHost: x\r\n\r\n");
    rig.pass(LINGER_NS);
    assert!(rig.statuses(client).is_empty());
    assert!(rig.is_closed(client));
}

#[test]
fn what_arrived_while_the_process_was_paused_is_in_time() {
    let mut rig = Rig::new(ONE);
    let (half, idle) = (rig.connect(0), rig.connect(0));
    rig.send(half, "GET /health HT");
    rig.run();
    rig.pause(2 * IDLE_NS_MAX);
    // Both are overdue by now, and what they sent meanwhile is still in their sockets.
    rig.send(half, "TP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(rig.ask(idle, get("/health")).status, 200);
    assert_eq!(rig.statuses(half), [200]);
    // Who sent nothing is told so, soon after.
    let late = rig.connect(0);
    rig.send(late, "GET /health HT");
    rig.run();
    rig.pause(2 * HEAD_NS_MAX);
    assert!(rig.statuses(late).is_empty());
    rig.pass(LATE_NS);
    assert_eq!(rig.statuses(late), [408]);
}

#[test]
fn a_body_has_a_time_of_its_own() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    let request = transact(1, 'c', 5);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    rig.send(client, &head[..9]);
    rig.pass(HEAD_NS_MAX - 1);
    rig.send(client, &head[9..]);
    rig.send(client, "\r\n\r\n");
    drip(&mut rig, client, &body[..9], BODY_NS_MAX / 10);
    assert!(rig.statuses(client).is_empty());
    rig.pass(BODY_NS_MAX / 10);
    assert_eq!(rig.statuses(client), [408]);
    rig.pass(LINGER_NS);
    assert!(rig.is_closed(client));
    let other = rig.connect(0);
    assert_eq!(rig.ask(other, statement(1)).balance(), 0);
}

#[test]
fn who_goes_on_sending_after_a_refusal_is_closed_in_time() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    rig.send(client, "\x16\x03\x01");
    rig.run();
    assert_eq!(rig.statuses(client), [400]);
    drip(&mut rig, client, "abcde", LINGER_NS / 5);
    assert!(rig.is_closed(client));
}

#[test]
fn a_reader_that_takes_nothing_is_dropped_and_one_that_takes_something_is_not() {
    let mut rig = Rig::new(ONE);
    let (still, slow) = (rig.connect(0), rig.connect(0));
    for client in [still, slow] {
        rig.take_only(client, 10);
        rig.send(client, get("/metrics"));
    }
    rig.pass(SEND_NS_MAX - 1);
    rig.take_only(slow, 10);
    assert!(!rig.is_closed(still));
    rig.pass(1);
    assert!(rig.is_closed(still) && !rig.is_closed(slow));
    rig.take_only(slow, usize::MAX);
    rig.run();
    assert_eq!(rig.statuses(slow), [200]);
    assert_eq!(rig.ask(slow, get("/health")).status, 200);
}

#[test]
fn a_reply_that_waits_for_the_disk_is_no_fault_of_the_client() {
    let mut rig = Rig::new(Plan {
        durability: Durability::Disk,
        ..ONE
    });
    let client = rig.connect(0);
    rig.disk_stuck(0, true);
    rig.send(client, transact(1, 'c', 5));
    rig.pass(3 * IDLE_NS_MAX);
    assert!(!rig.is_closed(client));
    rig.disk_stuck(0, false);
    rig.run();
    assert_eq!(rig.statuses(client), [200]);
}

#[test]
fn a_core_that_owes_nothing_wants_no_tick() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    assert_eq!(rig.ask(client, transact(1, 'c', 5)).status, 200);
    rig.finish(client);
    rig.pass(IDLE_NS_MAX);
    assert!(rig.is_closed(client));
    assert_eq!(rig.cores[0].runtime.deadline_ns(), None);
}

#[test]
fn a_request_that_is_late_while_the_disk_hangs_costs_no_tick_after_tick() {
    let mut rig = Rig::new(Plan {
        durability: Durability::Disk,
        ..ONE
    });
    let (writer, late) = (rig.connect(0), rig.connect(0));
    rig.disk_stuck(0, true);
    rig.send(writer, transact(1, 'c', 5));
    rig.send(late, "GET /hea");
    rig.pass(HEAD_NS_MAX);
    rig.pass(IDLE_NS_MAX);
    rig.disk_stuck(0, false);
    rig.run();
    assert_eq!(rig.statuses(writer), [200]);
    assert_eq!(rig.statuses(late), [408]);
}
