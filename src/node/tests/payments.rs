//! Payments on their way: accepted, bound, sent, and settled or refused.

use super::rig::processors::{response, Call, GATEWAY};
use super::*;
use crate::limits::{
    ATTEMPT_NS_MAX, DISPATCH_RETRY_NS, HEALTH_NS_MIN, MILLISECOND_NS, PROBE_NS_MIN,
    PROCESSOR_IDLE_NS_MAX, STOP_GRACE_NS,
};
use crate::payments::{Payment, PaymentId, PaymentState, Processor, Window};
use crate::shard::Accepted;

/// One core with one shard and two processors.
pub const PAY: Plan = Plan {
    gateway: Some(GATEWAY),
    ..ONE
};

pub const CENTS: u64 = 1990;

/// A payment with a number of the test's comes to the owner of its shard.
pub fn pay(rig: &mut Rig, number: u128) -> PaymentId {
    let id = accept(rig, number);
    rig.run();
    id
}

/// The same, up to the end of the tick.
pub fn accept(rig: &mut Rig, number: u128) -> PaymentId {
    let id = PaymentId::made_of(number);
    let shard = id.shard(rig.disks.len());
    let core = rig.owners(shard)[0];
    let realtime_us = rig.now().realtime_us;
    rig.tick(core, |runtime| {
        let accepted = runtime
            .node_mut()
            .shard_mut(shard)
            .pay(id, CENTS, realtime_us);
        assert_eq!(accepted, Accepted::New);
    });
    id
}

/// What the owner of a payment's shard knows of it.
pub fn find(rig: &Rig, id: PaymentId) -> Option<Payment> {
    let number = id.shard(rig.disks.len());
    let core = rig.owners(number)[0];
    let mut shards = rig.cores[core].runtime.shards();
    let shard = shards.find(|it| it.identity().shard as usize == number);
    shard.unwrap().payments().find(id).unwrap()
}

#[track_caller]
pub fn state(rig: &Rig, id: PaymentId) -> PaymentState {
    find(rig, id).expect("it is known").state
}

/// As it was sent, with no doubt about it.
pub fn bound(call: &Call) -> PaymentState {
    PaymentState::Bound {
        to: call.at,
        requested_us: call.payment().requested_us,
        in_doubt: false,
    }
}

pub fn in_doubt(call: &Call) -> PaymentState {
    PaymentState::Bound {
        to: call.at,
        requested_us: call.payment().requested_us,
        in_doubt: true,
    }
}

pub fn processed(call: &Call) -> PaymentState {
    PaymentState::Processed {
        by: call.at,
        requested_us: call.payment().requested_us,
    }
}

#[test]
fn a_payment_is_sent_to_default_and_settled_by_its_reply() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    assert_eq!(call.at, Processor::Default);
    let payment = call.payment();
    assert_eq!((payment.id, payment.cents), (id, CENTS));
    assert_eq!(payment.requested_us, rig.now().realtime_us / 1000 * 1000);
    assert_eq!(state(&rig, id), bound(&call));
    let stats = rig.stats.core(0);
    assert_eq!(
        (stats.payments.open.get(), stats.payments.in_doubt.get()),
        (1, 0)
    );
    rig.answer(&call, 200);
    assert_eq!(state(&rig, id), processed(&call));
    assert_eq!(find(&rig, id).unwrap().attempts, 1);
    let stats = &rig.stats.core(0).payments;
    assert_eq!(stats.open.get(), 0);
    let default = &stats.processors[0];
    assert_eq!(
        (default.settled.get(), default.settled_cents.get()),
        (1, CENTS)
    );
    assert_eq!(default.under_way.get(), 0);
}

#[test]
fn a_warm_payment_is_accepted_bound_and_sent_with_one_write_on_the_same_connection() {
    let mut rig = Rig::new(PAY);
    pay(&mut rig, 1);
    let first = rig.call();
    rig.answer(&first, 200);
    let writes = |rig: &Rig| rig.stats.sum(|core| &core.journal_writes);
    let before = writes(&rig);
    accept(&mut rig, 2);
    let second = rig.call();
    assert!(second.is_behind(&first));
    assert_eq!(writes(&rig), before + 1);
    rig.answer(&second, 200);
    assert_eq!(writes(&rig), before + 2);
    assert_eq!(rig.processor_connections(), 1);
}

#[test]
fn the_connection_used_last_is_used_next_and_idle_ones_are_closed() {
    let mut rig = Rig::new(PAY);
    accept(&mut rig, 1);
    accept(&mut rig, 2);
    rig.run();
    let [first, second]: [Call; 2] = rig.calls().try_into().unwrap();
    assert!(!second.is_behind(&first));
    rig.answer(&second, 200);
    rig.answer(&first, 200);
    rig.pass(SECOND_NS);
    pay(&mut rig, 3);
    let third = rig.call();
    assert!(third.is_behind(&first));
    rig.answer(&third, 200);
    rig.pass(HEALTH_NS_MIN);
    assert_eq!(rig.calls(), []);
    let [health, _] = std::mem::take(&mut rig.health_calls).try_into().unwrap();
    assert!(health.is_behind(&first));
    rig.answer(&health, 429);
    rig.pass(PROCESSOR_IDLE_NS_MAX - HEALTH_NS_MIN - SECOND_NS);
    assert!(rig.is_hung_up(&second) && !rig.is_hung_up(&third));
    rig.pass(HEALTH_NS_MIN + SECOND_NS);
    assert!(rig.is_hung_up(&third));
    assert_eq!(rig.processor_connections(), 0);
}

#[test]
fn nothing_is_left_to_wake_up_for_when_all_is_carried_out() {
    let mut rig = Rig::new(PAY);
    pay(&mut rig, 1);
    let call = rig.call();
    rig.answer(&call, 200);
    // Health was put off at the start, and is asked for once after the payment.
    rig.pass(PROCESSOR_IDLE_NS_MAX);
    assert_eq!(rig.calls(), []);
    for call in std::mem::take(&mut rig.health_calls) {
        rig.answer(&call, 429);
    }
    rig.pass(3 * PROCESSOR_IDLE_NS_MAX);
    assert_eq!(rig.calls(), []);
    assert_eq!(rig.processor_connections(), 0);
    assert_eq!(rig.cores[0].runtime.deadline_ns(), None);
}

#[test]
fn with_durability_disk_nothing_is_sent_before_the_sync() {
    let mut rig = Rig::new(Plan {
        durability: Durability::Disk,
        ..PAY
    });
    rig.disk_stuck(0, true);
    let id = pay(&mut rig, 1);
    assert_eq!(rig.processor_connections(), 1);
    assert_eq!(rig.calls(), []);
    assert!(matches!(state(&rig, id), PaymentState::Bound { .. }));
    rig.pass(2 * SECOND_NS);
    rig.disk_stuck(0, false);
    rig.run();
    let call = rig.call();
    assert_eq!(call.payment().id, id);
    rig.pass(5 * MILLISECOND_NS);
    rig.answer(&call, 200);
    assert_eq!(state(&rig, id), processed(&call));
    // The disk's time is not the processor's.
    let stats = &rig.cores[0].runtime.node().core_stats().payments.processors[0];
    assert!(
        stats.latency_ns.get() < 2 * SECOND_NS,
        "{}",
        stats.latency_ns.get()
    );
}

#[test]
fn a_refused_payment_is_free_and_tried_again_with_a_new_time() {
    for status in [500, 400, 404, 429] {
        let mut rig = Rig::new(PAY);
        let id = pay(&mut rig, 1);
        let first = rig.call();
        rig.answer(&first, status);
        assert_eq!(state(&rig, id), PaymentState::Free, "{status}");
        rig.pass(SECOND_NS);
        let second = rig.call();
        assert_eq!(second.at, Processor::Default);
        assert!(second.payment().requested_us > first.payment().requested_us);
        rig.answer(&second, 200);
        assert_eq!(state(&rig, id), processed(&second));
        assert_eq!(find(&rig, id).unwrap().attempts, 2);
        let default = &rig.stats.core(0).payments.processors[0];
        let (failed, busy) = (default.failed.get(), default.busy.get());
        assert_eq!((failed, busy), if status == 429 { (0, 1) } else { (1, 0) });
    }
}

#[test]
fn a_processor_that_cannot_be_reached_gets_nothing_bound() {
    let mut rig = Rig::new(PAY);
    rig.unreachable[0] = true;
    let id = pay(&mut rig, 1);
    assert_eq!(state(&rig, id), PaymentState::Free);
    rig.pass(SECOND_NS);
    assert_eq!(find(&rig, id).unwrap().attempts, 0);
    assert_eq!(state(&rig, id), PaymentState::Free);
    let tries = rig.stats.core(0).payments.processors[0].failed.get();
    assert!((3..10).contains(&tries), "{tries}: with growing intervals");
    rig.unreachable[0] = false;
    rig.pass(SECOND_NS);
    let call = rig.call();
    rig.answer(&call, 200);
    assert_eq!(state(&rig, id), processed(&call));
}

#[test]
fn what_cannot_be_journalled_is_not_sent() {
    let mut rig = Rig::new(PAY);
    rig.unreachable[0] = true;
    let id = pay(&mut rig, 1);
    rig.unreachable[0] = false;
    rig.disk_full_once(0);
    rig.pass(PROBE_NS_MIN);
    assert_eq!(rig.stats.sum(|core| &core.journal_full), 1, "it was tried");
    assert_eq!(rig.calls(), []);
    assert_eq!(state(&rig, id), PaymentState::Free);
    rig.pass(DISPATCH_RETRY_NS - 1);
    assert_eq!(rig.calls(), []);
    rig.pass(1);
    let call = rig.call();
    assert_eq!(
        call.payment().requested_us,
        rig.now().realtime_us / 1000 * 1000
    );
    assert_eq!(state(&rig, id), bound(&call));
    rig.answer(&call, 200);
    assert_eq!(state(&rig, id), processed(&call));
}

#[test]
fn a_payment_that_vanishes_with_its_batch_is_not_sent() {
    let mut rig = Rig::new(PAY);
    pay(&mut rig, 1);
    let first = rig.call();
    rig.answer(&first, 200);
    rig.disk_full_once(0);
    let id = pay(&mut rig, 2);
    assert_eq!(find(&rig, id), None);
    rig.pass(SECOND_NS);
    assert_eq!(rig.calls(), []);
    let default = &rig.stats.core(0).payments.processors[0];
    assert_eq!((default.under_way.get(), default.settled.get()), (0, 1));
    pay(&mut rig, 3);
    assert!(rig.call().is_behind(&first));
}

#[test]
fn a_reply_that_asks_to_close_is_the_last_of_its_connection() {
    let mut rig = Rig::new(PAY);
    pay(&mut rig, 1);
    let first = rig.call();
    rig.say(
        &first,
        response(200, "").replacen("\r\n", "\r\nConnection: close\r\n", 1),
    );
    assert!(rig.is_hung_up(&first));
    pay(&mut rig, 2);
    assert!(!rig.call().is_behind(&first));
}

#[test]
fn who_speaks_without_being_asked_is_hung_up_on() {
    let mut rig = Rig::new(PAY);
    pay(&mut rig, 1);
    let call = rig.call();
    rig.answer(&call, 200);
    rig.say(&call, "HTTP");
    assert!(rig.is_hung_up(&call));
    pay(&mut rig, 2);
    let call = rig.call();
    rig.answer(&call, 200);
    rig.hang_up_on(&call);
    assert!(rig.is_hung_up(&call));
    pay(&mut rig, 3);
    assert!(!rig.call().is_behind(&call));
}

#[test]
fn a_reply_may_come_in_pieces() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    for byte in response(200, "{\"message\":\"payment processed\"}").bytes() {
        assert_eq!(state(&rig, id), bound(&call));
        rig.say(&call, [byte]);
    }
    assert_eq!(state(&rig, id), processed(&call));
}

#[test]
fn a_stop_sends_nothing_more_and_what_is_bound_stays_bound() {
    let mut rig = Rig::new(PAY);
    let [sent, idle] = [1, 2].map(|number| {
        let id = pay(&mut rig, number);
        (id, rig.call())
    });
    rig.answer(&idle.1, 200);
    rig.stop();
    assert!(rig.is_hung_up(&idle.1));
    rig.pass(STOP_GRACE_NS);
    assert_eq!(rig.exit(0), Some(&Exit::Stopped));
    assert!(rig.is_hung_up(&sent.1));
    rig.restart(0);
    // As it was: the processor may have it.
    assert_eq!(state(&rig, sent.0), in_doubt(&sent.1));
    let again = rig.call();
    assert_eq!(again.kind, sent.1.kind);
    assert_eq!(state(&rig, idle.0), processed(&idle.1));
}

#[test]
fn payments_of_several_shards_take_turns() {
    let mut rig = Rig::new(Plan { shards: 3, ..PAY });
    rig.unreachable[0] = true;
    let ids: Vec<PaymentId> = (0..60).map(|number| pay(&mut rig, number)).collect();
    rig.unreachable[0] = false;
    let mut shards = Vec::new();
    rig.pass(PROBE_NS_MIN);
    while shards.len() < ids.len() {
        let calls = rig.calls();
        if calls.is_empty() {
            rig.pass(PROBE_NS_MIN);
        }
        for call in calls {
            shards.push(call.payment().id.shard(3));
            rig.answer(&call, 200);
        }
    }
    for shard in 0..3 {
        let first = shards.iter().take(30).filter(|it| **it == shard);
        assert!((8..=12).contains(&first.count()), "{shards:?}");
    }
    let summaries = rig.cores[0].runtime.shards().map(|shard| {
        let summary = shard.payments().summary(&Window::ALL).unwrap();
        summary.of(Processor::Default).count
    });
    assert_eq!(summaries.sum::<u64>(), 60);
}

#[test]
fn one_that_is_not_answered_in_time_is_given_up() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    rig.pass(ATTEMPT_NS_MAX - 1);
    assert_eq!(state(&rig, id), bound(&call));
    rig.pass(1);
    assert_eq!(state(&rig, id), in_doubt(&call));
    assert!(rig.is_hung_up(&call));
    assert_eq!(rig.stats.core(0).payments.processors[0].unknown.get(), 1);
}
