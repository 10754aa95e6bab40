//! Payments of which nobody knows whether a processor has them: they stay with it, word for word, until
//! that is known.

use super::payments::{accept, bound, find, in_doubt, pay, processed, state, CENTS, PAY};
use super::rig::processors::{response, stored, Call, Kind};
use super::*;
use crate::api::processors::Stored;
use crate::limits::{
    ATTEMPT_NS_MAX, DISPATCH_RETRY_NS, MILLISECOND_NS, PROBE_NS_MAX, PROBE_NS_MIN,
};
use crate::payments::{PaymentId, PaymentState, Processor};

/// The processor says that it knows a payment, and then what it has of it.
#[track_caller]
fn answer_known(rig: &mut Rig, call: &Call, payment: &Stored) {
    rig.answer(call, 422);
    let lookup = rig.call();
    assert_eq!(
        (lookup.at, lookup.kind),
        (call.at, Kind::LookUp(payment.id))
    );
    rig.say(&lookup, response(200, &stored(payment)));
}

/// Something that leaves the outcome of an attempt open.
type Loss = (&'static str, fn(&mut Rig, &Call));

fn ways_to_lose_a_reply() -> Vec<Loss> {
    vec![
        ("time-out", |rig, _| rig.pass(ATTEMPT_NS_MAX)),
        ("end", |rig, call| rig.hang_up_on(call)),
        ("half a head", |rig, call| {
            rig.say(call, "HTTP/1.1 200 OK\r\nContent-Le");
            rig.hang_up_on(call);
        }),
        ("no HTTP", |rig, call| rig.say(call, "\0\x01\x02\r\n\r\n")),
        ("408", |rig, call| rig.answer(call, 408)),
        ("502", |rig, call| rig.answer(call, 502)),
        ("503", |rig, call| rig.answer(call, 503)),
        ("504", |rig, call| rig.answer(call, 504)),
    ]
}

#[test]
fn what_may_be_there_is_sent_again_as_it_was() {
    for (way, lose) in ways_to_lose_a_reply() {
        let mut rig = Rig::new(PAY);
        let id = pay(&mut rig, 1);
        let first = rig.call();
        lose(&mut rig, &first);
        assert_eq!(state(&rig, id), in_doubt(&first), "{way}");
        assert_eq!(rig.stats.core(0).payments.in_doubt.get(), 1);
        rig.pass(PROBE_NS_MIN - 1);
        assert_eq!(rig.calls(), [], "{way}");
        rig.pass(1);
        let again = rig.call();
        assert_eq!((again.at, again.kind), (first.at, first.kind), "{way}");
        answer_known(&mut rig, &again, &first.payment());
        assert_eq!(state(&rig, id), processed(&first), "{way}");
        assert_eq!(find(&rig, id).unwrap().attempts, 2);
        assert_eq!(rig.stats.core(0).payments.in_doubt.get(), 0);
    }
}

#[test]
fn a_refusal_does_not_free_what_is_in_doubt() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let first = rig.call();
    rig.hang_up_on(&first);
    for status in [500, 429, 400, 500] {
        rig.pass(2 * PROBE_NS_MAX);
        let again = rig.call();
        assert_eq!((again.at, again.kind), (first.at, first.kind));
        rig.answer(&again, status);
        assert_eq!(state(&rig, id), in_doubt(&first));
    }
    // Nor does the other one get it, however late it is.
    rig.pass(100 * SECOND_NS);
    assert!(rig.calls().iter().all(|call| call.at == Processor::Default));
    assert_eq!(state(&rig, id), in_doubt(&first));
}

#[test]
fn a_retry_that_is_carried_out_settles_with_the_first_time() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let first = rig.call();
    rig.hang_up_on(&first);
    rig.pass(PROBE_NS_MIN);
    let again = rig.call();
    rig.answer(&again, 200);
    assert_eq!(state(&rig, id), processed(&first));
}

#[test]
fn a_complete_head_decides_unless_it_says_2xx() {
    // Whether it is a processor that says so, the body tells: the processor is asked.
    let whole = response(200, "{\"message\":\"payment processed\"}");
    let head = whole.find("\r\n\r\n").unwrap() + 4;
    for cut in [head, head + 1, whole.len() - 1] {
        let mut rig = Rig::new(PAY);
        let id = pay(&mut rig, 1);
        let call = rig.call();
        rig.say(&call, &whole[..cut]);
        assert_eq!(state(&rig, id), bound(&call));
        rig.hang_up_on(&call);
        assert_eq!(state(&rig, id), in_doubt(&call));
        let lookup = rig.call();
        assert_eq!(lookup.kind, Kind::LookUp(id));
        rig.say(&lookup, response(200, &stored(&call.payment())));
        assert_eq!(state(&rig, id), processed(&call));
    }
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    rig.say(&call, "HTTP/1.1 500 x\r\nContent-Length: 2000\r\n\r\n{");
    rig.pass(ATTEMPT_NS_MAX);
    assert_eq!(state(&rig, id), PaymentState::Free);
}

#[test]
fn a_payment_that_is_known_already_is_settled_with_the_time_that_is_stored() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    let before = Stored {
        requested_us: call.payment().requested_us - 77_000,
        ..call.payment()
    };
    answer_known(&mut rig, &call, &before);
    let by = Processor::Default;
    let requested_us = before.requested_us;
    assert_eq!(
        state(&rig, id),
        PaymentState::Processed { by, requested_us }
    );
}

#[test]
fn who_knows_a_payment_and_does_not_have_it_gets_it_again() {
    for (status, body) in [(404, ""), (500, ""), (200, "{}"), (200, "cut")] {
        let mut rig = Rig::new(PAY);
        let id = pay(&mut rig, 1);
        let call = rig.call();
        rig.answer(&call, 422);
        assert_eq!(state(&rig, id), in_doubt(&call));
        let lookup = rig.call();
        rig.say(&lookup, response(status, body));
        assert_eq!(state(&rig, id), in_doubt(&call));
        assert_eq!(rig.calls(), []);
        rig.pass(PROBE_NS_MIN);
        let again = rig.call();
        assert_eq!(again.kind, call.kind);
        answer_known(&mut rig, &again, &call.payment());
        assert_eq!(state(&rig, id), processed(&call));
    }
}

#[test]
fn an_id_that_somebody_else_has_used_for_another_amount_is_not_counted_nor_sent_again() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    let other = Stored {
        cents: CENTS + 1,
        ..call.payment()
    };
    answer_known(&mut rig, &call, &other);
    assert_eq!(state(&rig, id), in_doubt(&call));
    // Others go on.
    let next = pay(&mut rig, 2);
    let its = rig.call();
    assert_eq!(its.payment().id, next);
    rig.answer(&its, 200);
    rig.pass(4 * SECOND_NS);
    assert_eq!(rig.calls(), []);
}

#[test]
fn an_outcome_that_cannot_be_journalled_is_asked_for_again() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    rig.disk_full_once(0);
    rig.answer(&call, 200);
    assert_eq!(state(&rig, id), in_doubt(&call));
    assert_eq!(rig.stats.core(0).payments.processors[0].settled.get(), 0);
    rig.pass(DISPATCH_RETRY_NS - 1);
    assert_eq!(rig.calls(), []);
    rig.pass(1);
    let again = rig.call();
    assert_eq!(again.kind, call.kind);
    answer_known(&mut rig, &again, &call.payment());
    assert_eq!(state(&rig, id), processed(&call));
    assert_eq!(rig.stats.core(0).payments.processors[0].settled.get(), 1);
}

#[test]
fn after_a_crash_what_was_bound_is_sent_again_as_it_was_and_the_rest_anew() {
    let mut rig = Rig::new(PAY);
    for number in 1..=7 {
        accept(&mut rig, number);
    }
    rig.run();
    let sent = rig.calls();
    assert_eq!(sent.len(), 4, "the first window");
    rig.answer(&sent[0], 200);
    let more = rig.calls();
    assert_eq!(more.len(), 2);
    rig.kill(0);
    rig.pass(10 * MILLISECOND_NS);
    rig.restart(0);
    let open = [&sent[1..], &more].concat();
    for call in &open {
        assert_eq!(state(&rig, call.payment().id), in_doubt(call));
    }
    // At once, as far as the window goes, before the one that was never sent.
    let again = rig.calls();
    assert_eq!(again.len(), 4);
    let first = again[0];
    rig.answer(&first, 200);
    let [one, other] = rig.calls().try_into().unwrap();
    let known = [again, vec![one, other]].concat();
    let (anew, again) = known.split_last().unwrap();
    for call in again {
        let is_it = |it: &&Call| it.payment().id == call.payment().id;
        assert_eq!(call.kind, open.iter().find(is_it).unwrap().kind);
    }
    assert_eq!(anew.payment().id, PaymentId::made_of(7));
    assert_eq!(
        anew.payment().requested_us,
        rig.now().realtime_us / 1000 * 1000
    );
    assert_eq!(state(&rig, sent[0].payment().id), processed(&sent[0]));
}

#[test]
fn a_shard_that_is_handed_over_with_attempts_under_way_is_asked_about_by_its_next_owner() {
    let mut rig = Rig::new(Plan {
        nodes: 2,
        shards: 2,
        ..PAY
    });
    let number = (1..)
        .find(|it| PaymentId::made_of(*it).shard(2) == 1)
        .unwrap();
    let id = pay(&mut rig, number);
    let call = rig.call();
    assert_eq!(call.core(), 1);
    rig.stop_node(1);
    assert_eq!(rig.owners(1), [0]);
    let again = rig.call();
    assert_eq!(
        (again.core(), again.at, again.kind),
        (0, call.at, call.kind)
    );
    answer_known(&mut rig, &again, &call.payment());
    assert_eq!(state(&rig, id), processed(&call));
}

#[test]
fn what_ends_while_its_shard_is_on_its_way_elsewhere_and_stays_is_asked_for_again() {
    for (status, stays) in [(500, true), (200, true), (500, false)] {
        let mut rig = Rig::new(Plan {
            nodes: 2,
            shards: 2,
            durability: Durability::Disk,
            ..PAY
        });
        rig.kill(1);
        rig.pass(SECOND_NS);
        let is_its = |number: &u128| PaymentId::made_of(*number).shard(2) == 1;
        let mut numbers = (1..).filter(is_its);
        let id = pay(&mut rig, numbers.next().unwrap());
        let call = rig.call();
        assert_eq!(call.core(), 0);
        // It is not let go before what it has journalled is synced.
        rig.disk_stuck(0, true);
        accept(&mut rig, numbers.next().unwrap());
        rig.restart(1);
        assert_eq!(rig.owners(1), [0]);
        rig.answer(&call, status);
        assert_eq!(state(&rig, id), bound(&call), "it is not served");
        if stays {
            rig.kill(1);
        }
        rig.disk_stuck(0, false);
        rig.pass(2 * SECOND_NS);
        assert_eq!(rig.owners(1), [usize::from(!stays)]);
        assert_eq!(state(&rig, id), in_doubt(&call));
        let calls = rig.calls();
        let is_it = |it: &&Call| it.kind == call.kind;
        let again = calls.iter().find(is_it).expect("it is sent again");
        rig.answer(again, 200);
        assert_eq!(state(&rig, id), processed(&call));
    }
}

#[test]
fn a_reply_to_who_does_not_own_the_shard_any_more_settles_nothing_there() {
    let mut rig = Rig::new(Plan {
        nodes: 2,
        shards: 2,
        ..PAY
    });
    rig.kill(1);
    rig.pass(SECOND_NS);
    let number = (1..)
        .find(|it| PaymentId::made_of(*it).shard(2) == 1)
        .unwrap();
    let id = pay(&mut rig, number);
    let call = rig.call();
    assert_eq!(call.core(), 0);
    rig.restart(1);
    rig.pass(100 * MILLISECOND_NS);
    assert_eq!(rig.owners(1), [1]);
    let again = rig.call();
    assert_eq!((again.core(), again.kind), (1, call.kind));
    rig.answer(&call, 200);
    assert_eq!(state(&rig, id), in_doubt(&call));
    rig.answer(&again, 200);
    assert_eq!(state(&rig, id), processed(&call));
    let settled = |node: usize| {
        rig.stats_of(node).core(0).payments.processors[0]
            .settled
            .get()
    };
    assert_eq!((settled(0), settled(1)), (0, 1));
}

#[test]
fn an_outcome_of_a_payment_that_was_forgotten_is_not_that_of_its_successor() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    let realtime_us = rig.now().realtime_us;
    rig.tick(0, |runtime| {
        runtime.node_mut().shard_mut(0).purge(None, realtime_us)
    });
    rig.run();
    assert_eq!(find(&rig, id), None);
    rig.pass(MILLISECOND_NS);
    assert_eq!(pay(&mut rig, 1), id);
    let anew = rig.call();
    assert!(anew.payment().requested_us > call.payment().requested_us);
    rig.answer(&call, 200);
    assert_eq!(state(&rig, id), in_doubt(&anew));
    rig.answer(&anew, 200);
    assert_eq!(state(&rig, id), processed(&anew));
}
