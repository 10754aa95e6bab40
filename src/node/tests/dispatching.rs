//! Who gets what, and when: the rule and the circuits at work.

use super::payments::{accept, find, in_doubt, pay, processed, state, CENTS, PAY};
use super::rig::processors::{Call, GATEWAY};
use super::rig::Gateway;
use super::*;
use crate::limits::{MILLISECOND_NS, PROCESSOR_PARALLEL_MAX};
use crate::payments::{PaymentId, PaymentState, Processor};

#[test]
fn who_fails_is_probed_with_single_payments_and_then_opened_up_step_by_step() {
    let mut rig = Rig::new(PAY);
    for number in 0..100 {
        accept(&mut rig, number);
    }
    rig.run();
    for call in rig.calls() {
        rig.answer(&call, 500);
    }
    let mut probes = 0;
    for _ in 0..30 {
        rig.pass(100 * MILLISECOND_NS);
        let calls = rig.calls();
        assert!(calls.len() <= 1, "{calls:?}");
        for call in calls {
            probes += 1;
            rig.answer(&call, 500);
        }
    }
    assert!((3..=8).contains(&probes), "{probes}");
    assert_eq!(rig.stats.core(0).payments.open.get(), 100);
    // It works again.
    let mut waves = Vec::new();
    let mut settled = 0;
    while settled < 100 {
        let calls = rig.calls();
        if calls.is_empty() {
            rig.pass(100 * MILLISECOND_NS);
            continue;
        }
        waves.push(calls.len());
        for call in calls {
            settled += 1;
            rig.send_answer(&call, 200);
        }
        rig.run();
    }
    assert_eq!(waves[..5], [1, 1, 2, 4, 8], "{waves:?}");
    assert_eq!(rig.stats.core(0).payments.open.get(), 0);
}

#[test]
fn the_other_one_gets_what_would_be_late() {
    let mut rig = Rig::new(PAY);
    rig.unreachable[0] = true;
    let id = pay(&mut rig, 1);
    rig.pass(50 * SECOND_NS);
    assert_eq!(rig.calls(), []);
    assert_eq!(state(&rig, id), PaymentState::Free);
    rig.pass(10 * SECOND_NS);
    let call = rig.call();
    assert_eq!(call.at, Processor::Fallback);
    rig.answer(&call, 200);
    assert_eq!(state(&rig, id), processed(&call));
    let stats = &rig.stats.core(0).payments;
    assert_eq!(stats.fallback_for_deadline.get(), 1);
    assert_eq!(stats.fallback_for_room.get(), 0);
    assert_eq!(stats.processors[1].settled.get(), 1);
}

#[test]
fn the_other_one_gets_some_when_the_queue_is_near_its_bound() {
    let mut rig = Rig::new(Plan {
        gateway: Some(Gateway {
            open_max: 16,
            ..GATEWAY
        }),
        ..PAY
    });
    rig.unreachable[0] = true;
    for number in 0..13 {
        pay(&mut rig, number);
    }
    assert_eq!(rig.processor_connections(), 0);
    let first = PaymentId::made_of(0);
    pay(&mut rig, 13);
    let call = rig.call();
    assert_eq!((call.at, call.payment().id), (Processor::Fallback, first));
    rig.answer(&call, 200);
    assert_eq!(rig.calls(), []);
    assert_eq!(rig.stats.core(0).payments.fallback_for_room.get(), 1);
    assert_eq!(rig.stats.core(0).payments.open.get(), 13);
}

#[test]
fn who_asks_for_patience_gets_it() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    rig.say(
        &call,
        "HTTP/1.1 429 x\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(state(&rig, id), PaymentState::Free);
    rig.pass(5 * SECOND_NS - 1);
    assert_eq!(rig.calls(), []);
    rig.pass(1);
    assert_eq!(rig.call().payment().id, id);
}

#[test]
fn while_both_hang_few_payments_come_into_doubt() {
    let mut rig = Rig::new(PAY);
    for number in 0..1000 {
        accept(&mut rig, number);
        rig.pass(60 * MILLISECOND_NS);
    }
    // Nothing came back in a minute; the deadline has begun to send some to the other one.
    let bound = |rig: &Rig| {
        let shard = rig.cores[0].runtime.shards().next().unwrap();
        shard.payments().bound().count()
    };
    assert!(bound(&rig) <= 24, "{}", bound(&rig));
    assert_eq!(rig.stats.core(0).payments.open.get(), 1000);
    rig.pass(60 * SECOND_NS);
    assert!(bound(&rig) <= 48, "{}", bound(&rig));
}

#[test]
fn a_processor_has_no_more_at_a_time_than_the_members_share() {
    let mut rig = Rig::new(Plan {
        nodes: 2,
        shards: 2,
        ..PAY
    });
    for number in 0..3000 {
        accept(&mut rig, number);
    }
    rig.run();
    let share = PROCESSOR_PARALLEL_MAX / 2;
    let mut most = 0;
    let mut under_way: Vec<Call> = Vec::new();
    for _ in 0..200 {
        under_way.extend(rig.calls());
        for core in 0..2 {
            let its = under_way.iter().filter(|call| call.core() == core).count();
            assert!(its <= share);
            most = most.max(its);
        }
        rig.pass(5 * MILLISECOND_NS);
        for call in under_way.drain(..) {
            rig.send_answer(&call, 200);
        }
        rig.run();
    }
    assert!(most >= share / 2, "{most}: it has opened up");
    let open = |node: usize| rig.stats_of(node).core(0).payments.open.get();
    assert_eq!((open(0), open(1)), (0, 0));
}

#[test]
fn who_has_been_tried_goes_before_who_has_not() {
    let mut rig = Rig::new(PAY);
    let first = pay(&mut rig, 1);
    let call = rig.call();
    rig.hang_up_on(&call);
    let second = pay(&mut rig, 2);
    assert_eq!(state(&rig, second), PaymentState::Free);
    rig.pass(SECOND_NS);
    let again = rig.call();
    assert_eq!(again.payment().id, first, "the probe");
    assert_eq!(state(&rig, first), in_doubt(&call));
    rig.answer(&again, 200);
    let next = rig.call();
    assert_eq!(next.payment().id, second);
    assert_eq!(find(&rig, second).unwrap().attempts, 1);
}

#[test]
fn who_cannot_wait_does_not_wait_for_a_connection_that_may_never_be_made() {
    let mut rig = Rig::new(PAY);
    rig.silent[0] = true;
    let id = pay(&mut rig, 1);
    let mut sent = None;
    for _ in 0..19 {
        rig.pass(3 * SECOND_NS);
        sent = rig.calls().pop();
        rig.give_up_connecting();
    }
    assert_eq!(sent, None);
    rig.pass(2 * SECOND_NS);
    let call = rig.call();
    assert_eq!((call.at, call.payment().id), (Processor::Fallback, id));
    assert_eq!(rig.stats.core(0).payments.fallback_for_deadline.get(), 1);
}

#[test]
fn accepting_does_not_wait_for_processors_that_hang() {
    let mut rig = Rig::new(PAY);
    let client = rig.connect(0);
    for number in 0..100 {
        let id = PaymentId::made_of(number);
        let body = format!("{{\"correlationId\":\"{id}\",\"amount\":19.90}}");
        let length = body.len();
        let request =
            format!("POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        assert_eq!(rig.ask(client, request).status, 202);
        rig.pass(SECOND_NS);
    }
}

#[test]
fn what_was_to_go_elsewhere_and_stays_is_sent_again() {
    // With durability `disk` a shard stays for as long as the disk is stuck.
    let mut rig = Rig::new(Plan {
        nodes: 2,
        shards: 2,
        durability: Durability::Disk,
        ..PAY
    });
    rig.kill(1);
    rig.pass(SECOND_NS);
    let mut numbers = (1..).filter(|it| PaymentId::made_of(*it).shard(2) == 1);
    let id = pay(&mut rig, numbers.next().unwrap());
    let call = rig.call();
    rig.disk_stuck(0, true);
    accept(&mut rig, numbers.next().unwrap());
    rig.begin_and_link(1);
    rig.run();
    // Its home is back, and the shard is on its way: the outcome is for whoever has it next.
    rig.answer(&call, 200);
    assert!(matches!(state(&rig, id), PaymentState::Bound { .. }));
    rig.kill(1);
    rig.disk_stuck(0, false);
    rig.pass(SECOND_NS);
    assert_eq!(rig.owners(1), [0]);
    let calls = rig.calls();
    let again = calls.iter().find(|it| it.payment().id == id).unwrap();
    assert_eq!((again.core(), again.kind), (0, call.kind));
    rig.answer(again, 200);
    assert_eq!(state(&rig, id), processed(&call));
}

#[test]
fn a_payment_that_a_processor_always_fails_at_does_not_keep_the_others() {
    let mut rig = Rig::new(PAY);
    let poison = pay(&mut rig, 1);
    let call = rig.call();
    rig.hang_up_on(&call);
    for number in 2..10 {
        pay(&mut rig, number);
    }
    for _ in 0..3000 {
        for call in rig.calls() {
            match call.payment().id == poison {
                true => rig.hang_up_on(&call),
                false => rig.answer(&call, 200),
            }
        }
        rig.pass(10 * MILLISECOND_NS);
    }
    assert_eq!(rig.stats.core(0).payments.open.get(), 1);
    assert_eq!(state(&rig, poison), in_doubt(&call));
}

#[test]
fn a_payment_that_a_processor_never_takes_does_not_keep_the_others() {
    let mut rig = Rig::new(PAY);
    let poison = pay(&mut rig, 1);
    for number in 2..10 {
        pay(&mut rig, number);
    }
    for _ in 0..3000 {
        for call in rig.calls() {
            match call.payment().id == poison {
                true => rig.answer(&call, 400),
                false => rig.answer(&call, 200),
            }
        }
        rig.pass(10 * MILLISECOND_NS);
    }
    assert_eq!(rig.stats.core(0).payments.open.get(), 1);
    assert_eq!(find(&rig, poison).map(|it| it.cents), Some(CENTS));
    // Nor does it write the journal full.
    assert!(find(&rig, poison).unwrap().attempts < 100);
}

#[test]
fn what_an_outage_of_our_own_made_late_goes_to_the_cheapest_that_works() {
    for works in [true, false] {
        let mut rig = Rig::new(PAY);
        rig.unreachable = [true; 2];
        for number in 0..300 {
            accept(&mut rig, number);
        }
        rig.kill(0);
        rig.pass(600 * SECOND_NS);
        rig.unreachable = [!works, false];
        rig.restart(0);
        let mut settled = [0; 2];
        while settled[0] + settled[1] < 300 {
            rig.pass(5 * MILLISECOND_NS);
            for call in rig.calls() {
                settled[call.at as usize] += 1;
                rig.send_answer(&call, 200);
            }
            rig.run();
        }
        assert_eq!(settled[usize::from(works)], 0, "{settled:?}");
        let stats = &rig.stats.core(0).payments;
        let dearer = stats.fallback_for_deadline.get();
        assert_eq!(dearer, if works { 0 } else { 300 });
    }
}
