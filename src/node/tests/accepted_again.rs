//! Payments that are forgotten while a processor is asked to carry them out, and accepted anew: what becomes
//! of the first ones counts for their successors as far as it says something about these.

use super::payments::{bound, find, in_doubt, pay, processed, state, PAY};
use super::rig::processors::{response, stored, Call, Kind};
use super::*;
use crate::limits::{DISPATCH_RETRY_NS, HEALTH_NS_MIN, MILLISECOND_NS, PROBE_NS_MIN};
use crate::payments::{PaymentId, Processor};

/// All payments are forgotten, and one with the same id as before is accepted and sent.
fn successor(rig: &mut Rig, id: PaymentId) -> Call {
    let realtime_us = rig.now().realtime_us;
    rig.tick(0, |runtime| {
        runtime.node_mut().shard_mut(0).purge(None, realtime_us)
    });
    rig.run();
    assert_eq!(find(rig, id), None);
    assert_eq!(pay(rig, 1), id);
    let call = rig.call();
    assert_eq!(call.payment().id, id);
    call
}

#[test]
fn one_that_was_settled_in_vain_is_not_lost_behind_an_attempt_of_its_predecessor() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let first = rig.call();
    rig.pass(MILLISECOND_NS);
    let anew = successor(&mut rig, id);
    assert!(anew.payment().requested_us > first.payment().requested_us);
    rig.disk_full_once(0);
    rig.answer(&anew, 200);
    assert_eq!(state(&rig, id), in_doubt(&anew));
    rig.answer(&first, 500);
    rig.pass(DISPATCH_RETRY_NS + PROBE_NS_MIN);
    let again = rig.call();
    assert_eq!(again.kind, anew.kind);
    rig.answer(&again, 200);
    assert_eq!(state(&rig, id), processed(&anew));
}

#[test]
fn one_is_not_sent_again_for_its_predecessors_sake() {
    let mut rig = Rig::new(PAY);
    // The processor works, so that it is the payment's own fault.
    pay(&mut rig, 2);
    let call = rig.call();
    rig.answer(&call, 200);
    let id = pay(&mut rig, 1);
    let first = rig.call();
    // It is to be sent again, after a while, as it was.
    rig.answer(&first, 422);
    let lookup = rig.call();
    rig.say(&lookup, response(404, ""));
    rig.pass(MILLISECOND_NS);
    let anew = successor(&mut rig, id);
    assert_eq!(state(&rig, id), bound(&anew));
    rig.pass(PROBE_NS_MIN);
    assert_eq!(rig.calls(), []);
    rig.answer(&anew, 200);
    assert_eq!(state(&rig, id), processed(&anew));
}

#[test]
fn one_of_the_same_moment_is_not_freed_by_the_refusal_of_its_predecessor() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let first = rig.call();
    let anew = successor(&mut rig, id);
    assert_eq!(anew.kind, first.kind, "time stands still");
    rig.answer(&first, 500);
    assert_eq!(state(&rig, id), in_doubt(&anew));
    rig.answer(&anew, 200);
    assert_eq!(state(&rig, id), processed(&anew));
}

#[test]
fn one_whose_predecessor_may_be_there_is_not_freed_by_a_refusal() {
    let ends: [fn(&mut Rig, &Call); 3] = [
        |rig, call| rig.answer(call, 200),
        |rig, call| rig.answer(call, 422),
        |rig, call| rig.hang_up_on(call),
    ];
    for end in ends {
        let mut rig = Rig::new(PAY);
        let id = pay(&mut rig, 1);
        let first = rig.call();
        rig.pass(MILLISECOND_NS);
        let anew = successor(&mut rig, id);
        end(&mut rig, &first);
        rig.answer(&anew, 500);
        assert_eq!(state(&rig, id), in_doubt(&anew));
        // The same processor is asked, and has the first one.
        rig.pass(HEALTH_NS_MIN);
        let again = rig.calls().pop().unwrap();
        assert_eq!((again.at, again.kind), (Processor::Default, anew.kind));
        rig.answer(&again, 422);
        let lookup = rig.calls().pop().unwrap();
        assert_eq!(lookup.kind, Kind::LookUp(id));
        rig.say(&lookup, response(200, &stored(&first.payment())));
        assert_eq!(state(&rig, id), processed(&first));
    }
}
