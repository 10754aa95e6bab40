//! Status queries about single payments, asked for a summary's sake while they are under way.

use super::payments::{bound, in_doubt, pay, processed, state, CENTS, PAY};
use super::rig::processors::{response, stored, Call, Kind};
use super::*;
use crate::limits::{MILLISECOND_NS, PROCESSOR_LOOKUPS_MAX, SUMMARY_NS_MAX};
use crate::payments::{PaymentId, Processor};

fn ask_summary(rig: &mut Rig, client: Client) {
    rig.send(client, get("/payments-summary"));
    rig.run();
}

/// Payments of default and their cents, as a summary counts them.
#[track_caller]
fn counted(rig: &mut Rig, client: Client) -> u64 {
    let replies = rig.replies(client);
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(replies[0].status, 200, "{replies:?}");
    let body: serde_json::Value = serde_json::from_str(&replies[0].body).unwrap();
    let count = body["default"]["totalRequests"].as_u64().unwrap();
    let amount = body["default"]["totalAmount"].as_f64().unwrap();
    assert_eq!((amount * 100.0).round() as u64, count * CENTS);
    assert_eq!(body["fallback"]["totalRequests"], 0);
    count
}

#[track_caller]
fn lookup_of(rig: &mut Rig, id: PaymentId) -> Call {
    let call = rig.call();
    assert_eq!((call.at, call.kind), (Processor::Default, Kind::LookUp(id)));
    call
}

#[test]
fn a_payment_that_is_there_before_its_reply_counts_and_is_settled() {
    let mut rig = Rig::new(PAY);
    let client = rig.connect(0);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    ask_summary(&mut rig, client);
    assert_eq!(rig.replies(client), []);
    let lookup = lookup_of(&mut rig, id);
    rig.say(&lookup, response(200, &stored(&call.payment())));
    assert_eq!(counted(&mut rig, client), 1);
    assert_eq!(state(&rig, id), processed(&call));
    rig.answer(&call, 200);
    ask_summary(&mut rig, client);
    assert_eq!(counted(&mut rig, client), 1);
    let default = &rig.stats.core(0).payments.processors[0];
    assert_eq!((default.settled.get(), default.lookups.get()), (1, 1));
    assert_eq!(default.under_way.get(), 0);
}

#[test]
fn a_payment_that_is_not_there_does_not_count_whatever_comes_after() {
    let mut rig = Rig::new(PAY);
    let client = rig.connect(0);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    ask_summary(&mut rig, client);
    let lookup = lookup_of(&mut rig, id);
    // The reply to the payment overtakes that to the question.
    rig.answer(&call, 200);
    assert_eq!(state(&rig, id), processed(&call));
    rig.answer(&lookup, 404);
    assert_eq!(counted(&mut rig, client), 0);
    ask_summary(&mut rig, client);
    assert_eq!(counted(&mut rig, client), 1);
}

#[test]
fn an_answer_after_the_payment_is_settled_counts_once() {
    let mut rig = Rig::new(PAY);
    let client = rig.connect(0);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    ask_summary(&mut rig, client);
    let lookup = lookup_of(&mut rig, id);
    rig.answer(&call, 200);
    rig.say(&lookup, response(200, &stored(&call.payment())));
    assert_eq!(counted(&mut rig, client), 1);
    assert_eq!(rig.stats.core(0).payments.processors[0].settled.get(), 1);
}

#[test]
fn who_does_not_answer_is_not_waited_for() {
    let mut rig = Rig::new(PAY);
    let client = rig.connect(0);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    ask_summary(&mut rig, client);
    let lookup = lookup_of(&mut rig, id);
    rig.pass(SUMMARY_NS_MAX - 1);
    assert_eq!(rig.replies(client), []);
    rig.pass(1);
    assert_eq!(counted(&mut rig, client), 0);
    assert!(rig.is_hung_up(&lookup));
    assert_eq!(state(&rig, id), bound(&call), "the payment goes on");
    rig.answer(&call, 200);
    assert_eq!(state(&rig, id), processed(&call));
}

#[test]
fn a_question_whose_connection_breaks_is_asked_once_more() {
    for cut in ["", "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{\"corr"] {
        let mut rig = Rig::new(PAY);
        let clients: Vec<Client> = (0..2).map(|_| rig.connect(0)).collect();
        let id = pay(&mut rig, 1);
        let call = rig.call();
        ask_summary(&mut rig, clients[0]);
        let first = lookup_of(&mut rig, id);
        rig.say(&first, cut);
        rig.hang_up_on(&first);
        let second = lookup_of(&mut rig, id);
        rig.say(&second, response(200, &stored(&call.payment())));
        assert_eq!(counted(&mut rig, clients[0]), 1);
        assert_eq!(state(&rig, id), processed(&call));
        // But not for ever.
        let id = pay(&mut rig, 2);
        rig.call();
        ask_summary(&mut rig, clients[1]);
        for _ in 0..2 {
            let lookup = lookup_of(&mut rig, id);
            rig.hang_up_on(&lookup);
        }
        assert_eq!(counted(&mut rig, clients[1]), 1);
        assert_eq!(rig.calls(), []);
    }
}

#[test]
fn who_cannot_be_reached_is_not_waited_for() {
    let mut rig = Rig::new(PAY);
    let client = rig.connect(0);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    rig.hang_up_on(&call);
    rig.unreachable[0] = true;
    ask_summary(&mut rig, client);
    assert_eq!(counted(&mut rig, client), 0);
    assert_eq!(state(&rig, id), in_doubt(&call));
}

#[test]
fn a_question_that_was_not_sent_yet_serves_all_who_ask_and_one_that_was_none_but_its_own() {
    let mut rig = Rig::new(PAY);
    let clients: Vec<Client> = (0..3).map(|_| rig.connect(0)).collect();
    let id = pay(&mut rig, 1);
    let call = rig.call();
    for client in &clients[..2] {
        rig.send(*client, get("/payments-summary"));
    }
    rig.run();
    let first = lookup_of(&mut rig, id);
    ask_summary(&mut rig, clients[2]);
    let second = lookup_of(&mut rig, id);
    rig.answer(&first, 404);
    for client in &clients[..2] {
        assert_eq!(counted(&mut rig, *client), 0);
    }
    assert_eq!(rig.replies(clients[2]), []);
    rig.say(&second, response(200, &stored(&call.payment())));
    assert_eq!(counted(&mut rig, clients[2]), 1);
}

#[test]
fn so_many_are_asked_about_at_a_time_and_the_rest_behind_them() {
    let mut rig = Rig::new(PAY);
    let client = rig.connect(0);
    for number in 0..2000 {
        super::payments::accept(&mut rig, number);
    }
    rig.run();
    let mut under_way = rig.calls();
    while under_way.len() <= PROCESSOR_LOOKUPS_MAX {
        for call in under_way.drain(..) {
            rig.send_answer(&call, 200);
        }
        rig.pass(MILLISECOND_NS);
        under_way = rig.calls();
    }
    let settled = rig.stats.core(0).payments.processors[0].settled.get();
    ask_summary(&mut rig, client);
    let mut asked = Vec::new();
    let mut lookups = rig.calls();
    assert_eq!(lookups.len(), PROCESSOR_LOOKUPS_MAX);
    while !lookups.is_empty() {
        for lookup in lookups {
            let Kind::LookUp(id) = lookup.kind else {
                panic!("{lookup:?}: nothing else has room");
            };
            asked.push(id);
            rig.send_answer(&lookup, 404);
        }
        rig.run();
        lookups = rig.calls();
    }
    assert_eq!(counted(&mut rig, client), settled);
    let mut sent: Vec<PaymentId> = under_way.iter().map(|it| it.payment().id).collect();
    sent.sort();
    asked.sort();
    assert_eq!(asked, sent);
}

#[test]
fn a_payment_that_is_found_while_the_disk_is_full_is_looked_for_again() {
    let mut rig = Rig::new(PAY);
    let client = rig.connect(0);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    ask_summary(&mut rig, client);
    let lookup = lookup_of(&mut rig, id);
    rig.disk_full_once(0);
    rig.say(&lookup, response(200, &stored(&call.payment())));
    assert_eq!(state(&rig, id), in_doubt(&call));
    rig.replies(client);
    // The attempt is still under way: its reply settles it.
    rig.answer(&call, 200);
    assert_eq!(state(&rig, id), processed(&call));
    ask_summary(&mut rig, client);
    assert_eq!(counted(&mut rig, client), 1);
}
