//! What processors say of themselves: asked for by one, told to all.

use super::payments::{bound, pay, state, PAY};
use super::rig::processors::{response, Call};
use super::*;
use crate::limits::{HEALTH_NS_MIN, HEALTH_REPLY_NS_MAX, MILLISECOND_NS};
use crate::payments::circuit::CircuitState;
use crate::payments::Processor;

const TWO: Plan = Plan {
    nodes: 2,
    shards: 4,
    ..PAY
};

/// Questions about health since the last call; there are none about payments.
#[track_caller]
fn asked(rig: &mut Rig) -> Vec<Call> {
    assert_eq!(rig.calls(), []);
    std::mem::take(&mut rig.health_calls)
}

#[test]
fn one_member_asks_each_of_them_once_in_five_seconds_and_tells_the_others() {
    let mut rig = Rig::new(TWO);
    rig.unreachable = [true; 2];
    for number in 0..20 {
        pay(&mut rig, number);
    }
    rig.pass(HEALTH_NS_MIN);
    rig.unreachable = [false; 2];
    let mut times: [Vec<u64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..400 {
        rig.pass(100 * MILLISECOND_NS);
        for call in rig.calls() {
            rig.answer(&call, 500);
        }
        for call in std::mem::take(&mut rig.health_calls) {
            assert_eq!(call.core(), 0);
            times[call.at as usize].push(rig.now_ns);
            let body = "{\"failing\":true,\"minResponseTime\":77}";
            rig.say(&call, response(200, body));
        }
    }
    for processor in Processor::ALL {
        let times = &times[processor as usize];
        assert!(times.len() >= 7, "{times:?}");
        let apart = times.windows(2).all(|it| it[1] - it[0] >= HEALTH_NS_MIN);
        assert!(apart, "{times:?}");
        for node in 0..2 {
            let stats = &rig.stats_of(node).core(0).payments.processors[processor as usize];
            assert_eq!((stats.failing.get(), stats.response_min_ms.get()), (1, 77));
            assert!(stats.health_ns.get() > 0);
        }
    }
    for node in 0..2 {
        let default = &rig.stats_of(node).core(0).payments.processors[0];
        assert_ne!(default.circuit.get(), CircuitState::Closed as u64);
    }
}

#[test]
fn nobody_asks_while_there_are_no_payments() {
    let mut rig = Rig::new(PAY);
    rig.pass(10 * HEALTH_NS_MIN);
    assert_eq!(asked(&mut rig), []);
    pay(&mut rig, 1);
    let payment = rig.call();
    let calls = asked(&mut rig);
    assert_eq!(calls.len(), 2, "it is time to");
    rig.answer(&payment, 200);
    for call in calls {
        rig.answer(&call, 429);
    }
    // Once more, for the payment was still open then.
    rig.pass(HEALTH_NS_MIN);
    for call in asked(&mut rig) {
        rig.answer(&call, 429);
    }
    rig.pass(10 * HEALTH_NS_MIN);
    assert_eq!(asked(&mut rig), []);
}

#[test]
fn who_takes_the_shard_over_does_not_ask_before_its_time() {
    let mut rig = Rig::new(TWO);
    rig.pass(HEALTH_NS_MIN);
    for number in 0..20 {
        pay(&mut rig, number);
    }
    rig.calls();
    assert_eq!(asked(&mut rig).len(), 2);
    let began_ns = rig.now_ns;
    rig.kill(0);
    rig.run();
    while rig.now_ns < began_ns + HEALTH_NS_MIN {
        rig.calls();
        assert_eq!(asked(&mut rig), []);
        rig.pass(100 * MILLISECOND_NS);
    }
    rig.pass(SECOND_NS);
    rig.calls();
    let calls = asked(&mut rig);
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call.core() == 1));
}

#[test]
fn what_is_no_answer_changes_nothing_and_is_not_asked_for_again_at_once() {
    for reply in [
        response(429, ""),
        response(500, ""),
        response(200, "fine"),
        response(200, "{\"failing\":\"no\"}"),
    ] {
        let mut rig = Rig::new(PAY);
        rig.pass(HEALTH_NS_MIN);
        pay(&mut rig, 1);
        let payment = rig.call();
        for call in asked(&mut rig) {
            rig.say(&call, &reply);
        }
        rig.pass(HEALTH_NS_MIN - 1);
        assert_eq!(asked(&mut rig), []);
        let stats = &rig.stats.core(0).payments.processors[0];
        assert_eq!((stats.failing.get(), stats.health_ns.get()), (0, 0));
        assert_eq!(stats.circuit.get(), CircuitState::Closed as u64);
        assert_eq!(state(&rig, payment.payment().id), bound(&payment));
        rig.pass(1);
        assert_eq!(asked(&mut rig).len(), 2);
    }
}

#[test]
fn who_hangs_is_not_asked_twice_at_a_time() {
    let mut rig = Rig::new(PAY);
    rig.pass(HEALTH_NS_MIN);
    pay(&mut rig, 1);
    rig.call();
    let calls = asked(&mut rig);
    rig.pass(HEALTH_REPLY_NS_MAX - 1);
    assert_eq!(asked(&mut rig), []);
    assert!(calls.iter().all(|call| !rig.is_hung_up(call)));
    rig.pass(1);
    assert!(calls.iter().all(|call| rig.is_hung_up(call)));
    assert_eq!(asked(&mut rig).len(), 2);
}

#[test]
fn who_says_that_it_works_is_probed_at_once() {
    let mut rig = Rig::new(PAY);
    pay(&mut rig, 1);
    let first = rig.call();
    rig.answer(&first, 500);
    // Probes become rare.
    while rig.health_calls.is_empty() {
        rig.pass(MILLISECOND_NS);
        for call in rig.calls() {
            rig.answer(&call, 500);
        }
    }
    let health = rig.health_calls[0];
    assert_eq!(health.at, Processor::Default);
    // The next failure is fresh, and the next probe not due.
    let id = loop {
        rig.pass(10 * MILLISECOND_NS);
        if let Some(call) = rig.calls().pop() {
            rig.answer(&call, 500);
            break pay(&mut rig, 2);
        }
    };
    rig.pass(MILLISECOND_NS);
    assert_eq!(rig.calls(), []);
    // With one that does not rest.
    let body = "{\"failing\":false,\"minResponseTime\":0}";
    rig.say(&health, response(200, body));
    assert_eq!(rig.call().payment().id, id);
}

#[test]
fn who_says_that_it_works_again_gets_what_rests_at_once() {
    for doubt in [false, true] {
        let mut rig = Rig::new(PAY);
        rig.unreachable[1] = true;
        let id = pay(&mut rig, 1);
        let mut failing = true;
        let mut attempts_ns = Vec::new();
        while failing {
            rig.pass(20 * MILLISECOND_NS);
            for call in rig.calls() {
                attempts_ns.push(rig.now_ns);
                match doubt {
                    true => rig.hang_up_on(&call),
                    false => rig.answer(&call, 500),
                }
            }
            for health in std::mem::take(&mut rig.health_calls) {
                failing = rig.now_ns < 40 * SECOND_NS;
                let body = format!("{{\"failing\":{failing},\"minResponseTime\":0}}");
                rig.say(&health, response(200, &body));
            }
        }
        // What it says again and again is no news: they had grown apart.
        let [.., before_ns, last_ns] = attempts_ns[..] else {
            panic!("{attempts_ns:?}");
        };
        assert!(last_ns - before_ns > 6 * SECOND_NS, "{attempts_ns:?}");
        assert!(last_ns < rig.now_ns, "{attempts_ns:?}");
        let call = rig.call();
        assert_eq!(call.payment().id, id);
        rig.answer(&call, 200);
        assert_eq!(rig.stats.core(0).payments.open.get(), 0);
    }
}
