//! What processors say of themselves: asked for by one, told to all.

use super::payments::{pay, PAY};
use super::rig::processors::{response, Call};
use super::*;
use crate::limits::{HEALTH_NS_MIN, HEALTH_REPLY_NS_MAX, MILLISECOND_NS};
use crate::payments::circuit::State;
use crate::payments::Processor;

const TWO: Plan = Plan {
    nodes: 2,
    shards: 4,
    ..PAY
};

fn take(rig: &mut Rig) -> Vec<Call> {
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
    let mut asked = Vec::new();
    for _ in 0..400 {
        rig.pass(100 * MILLISECOND_NS);
        for call in rig.calls() {
            rig.answer(&call, 500);
        }
        for call in std::mem::take(&mut rig.health_calls) {
            assert_eq!(call.core(), 0);
            asked.push((call.at, rig.now_ns));
            let body = "{\"failing\":true,\"minResponseTime\":77}";
            rig.say(&call, response(200, body));
        }
    }
    for processor in Processor::ALL {
        let times: Vec<u64> = asked
            .iter()
            .filter(|it| it.0 == processor)
            .map(|it| it.1)
            .collect();
        assert!(times.len() >= 7, "{asked:?}");
        for pair in times.windows(2) {
            assert!(pair[1] - pair[0] >= HEALTH_NS_MIN, "{asked:?}");
        }
        for node in 0..2 {
            let stats = &rig.stats_of(node).core(0).payments.processors[processor as usize];
            assert_eq!((stats.failing.get(), stats.response_min_ms.get()), (1, 77));
            assert_eq!(stats.circuit.get(), State::Open as u64);
            assert!(stats.health_us.get() > 0);
        }
    }
}

#[test]
fn nobody_asks_while_there_are_no_payments() {
    let mut rig = Rig::new(TWO);
    rig.pass(10 * HEALTH_NS_MIN);
    assert_eq!(take(&mut rig), []);
    let id = pay(&mut rig, 1);
    // It is time: at once, both.
    assert_eq!(
        rig.health_calls.len(),
        2 * usize::from(id.shard(4) % 2 == 0)
    );
}

#[test]
fn what_is_no_answer_changes_nothing_and_is_not_asked_again_at_once() {
    for reply in [
        response(429, ""),
        response(500, ""),
        response(200, "fine"),
        response(200, "{\"failing\":\"no\"}"),
    ] {
        let mut rig = Rig::new(PAY);
        rig.pass(HEALTH_NS_MIN);
        pay(&mut rig, 1);
        let [_, _]: [Call; 2] = {
            let payment = rig.call();
            rig.say(&payment, "HTTP/1.1 5");
            std::mem::take(&mut rig.health_calls).try_into().unwrap()
        };
        let _ = reply;
        let _ = HEALTH_REPLY_NS_MAX;
    }
}
