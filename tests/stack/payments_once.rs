//! Payments of two nodes: whoever is asked, whoever dies or stops, each is one payment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::nginx::Balancer;
use crate::paused::{expect_unavailable, Pause, AT_ONCE, WAIT, WAITED};
use crate::stack::{Stack, NODES};
use galo_testkit::{
    get, new_id, payment, post, Connection, PaymentLedger, Processor, Random, Reply,
};

const PAYERS: usize = 8;
const KILLS: usize = 6;
const PAYMENTS: usize = 24;

/// nginx repeats what a dead node had, with the key that it gave it.
#[test]
fn a_payment_without_an_id_that_is_repeated_is_one_payment() {
    let processors = Processor::both();
    for processor in &processors {
        processor.set_delay(30);
    }
    let mut stack = Stack::gateway(Balancer::Http, &processors);
    let address = stack.address();
    let book = Mutex::new(PaymentLedger::default());
    let is_over = AtomicBool::new(false);
    let pay = || {
        let mut connection = Connection::open(&address).expect("nginx is there");
        while !is_over.load(Ordering::Relaxed) {
            let body = r#"{"amount":1.10,"description":"once"}"#;
            let reply = connection.ask(&post("/payments", body));
            assert!([200, 202].contains(&reply.status), "{reply:?}");
            let json = reply.json();
            let id = json["id"].as_str().expect("an id");
            let mut book = book.lock().unwrap();
            book.sends(id, "1.10");
            book.acknowledged(id);
        }
    };
    thread::scope(|scope| {
        let payers: Vec<_> = (0..PAYERS).map(|_| scope.spawn(pay)).collect();
        for kill in 0..KILLS {
            thread::sleep(Duration::from_millis(700));
            if payers.iter().any(|payer| payer.is_finished()) {
                break;
            }
            stack.kill(kill % 2);
            thread::sleep(Duration::from_millis(100));
            stack.start(kill % 2);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    stack.wait_until_whole();
    let book = book.into_inner().unwrap();
    // Each reply named another one, and the processors have no more than these.
    let summary = book.expect_settled(&address, &processors);
    eprintln!("{} payments", summary.count());
    assert!(summary.count() > PAYMENTS as u64);
}

#[test]
fn both_nodes_tell_the_same() {
    let processors = Processor::both();
    let mut stack = Stack::gateway_nodes(&processors);
    let (mut random, mut book) = (Random::from_time(), PaymentLedger::default());
    for node in 0..NODES.len() {
        book.pay(&mut stack.node(node).connect(), &mut random, PAYMENTS);
    }
    for node in 0..NODES.len() {
        book.expect_settled(stack.node(node).address(), &processors);
        // Known here, though the other node was told, or owns it.
        for id in book.ids() {
            let reply = stack.node(node).ask(&payment(id, "2000.01"));
            assert_eq!(reply.status, 422, "{reply:?}");
        }
    }
    // One has everything, and then the other.
    for node in 0..NODES.len() {
        stack.kill(node);
        stack.wait_until_whole();
        book.expect_settled(stack.node(1 - node).address(), &processors);
        stack.start(node);
        stack.wait_until_whole();
    }
}

/// Half of the payments are the paused node's: who sends them is told so in time, and may send them
/// again, to whomever. No summary is told without its part.
#[test]
fn payments_of_a_paused_node_wait_and_are_refused_in_time() {
    let processors = Processor::both();
    let stack = Stack::gateway_nodes(&processors);
    let (mut random, mut book) = (Random::from_time(), PaymentLedger::default());
    book.pay(&mut stack.node(0).connect(), &mut random, PAYMENTS);
    book.expect_settled(stack.node(0).address(), &processors);
    let ids: Vec<String> = (0..PAYMENTS).map(|_| new_id(&mut random)).collect();
    let timed = |request: Vec<u8>| -> (Reply, Duration) {
        let mut connection = stack.node(0).connect();
        let asked = Instant::now();
        (connection.ask(&request), asked.elapsed())
    };
    let pause = Pause::new(&stack, 1);
    let replies = thread::scope(|scope| {
        let summary = scope.spawn(|| timed(get("/payments-summary")));
        let payments: Vec<_> = ids
            .iter()
            .map(|id| scope.spawn(move || timed(payment(id, "19.90"))))
            .collect();
        let (reply, took) = summary.join().expect("see above");
        expect_unavailable(&reply);
        assert!(took >= WAITED && took < WAIT + AT_ONCE, "{took:?}");
        payments
            .into_iter()
            .map(|it| it.join().expect("see above"))
            .collect::<Vec<_>>()
    });
    let mut refused = 0;
    for (id, (reply, took)) in ids.iter().zip(replies) {
        book.sends(id, "19.90");
        if reply.status == 202 {
            assert!(took < AT_ONCE, "{took:?}");
            book.acknowledged(id);
        } else {
            expect_unavailable(&reply);
            assert!(took >= WAITED && took < WAIT + AT_ONCE, "{took:?}");
            refused += 1;
        }
    }
    assert!((1..PAYMENTS).contains(&refused), "{refused} of {PAYMENTS}");
    drop(pause);
    stack.wait_until_whole();
    for id in &ids {
        let reply = stack.node(0).ask(&payment(id, "19.90"));
        assert_eq!(reply.status, 202, "{reply:?}");
        book.acknowledged(id);
    }
    let address = stack.node(1).address();
    let summary = book.expect_settled(address, &processors);
    assert_eq!(summary, stack.node(0).summary());
    assert_eq!(summary.count(), 2 * PAYMENTS as u64);
}
