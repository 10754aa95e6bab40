//! Steps of the real-time clock: moments follow it, durations do not.

use super::payments::{pay, state, PAY};
use super::*;
use crate::http::iso8601;
use crate::limits::{KEY_NS_MAX, SECOND_NS};
use crate::payments::{PaymentState, Processor};

const HOURS_US: i64 = 2 * 3600 * 1_000_000;

fn keyed(key: &str) -> String {
    transact(1, 'c', 5).replace("Host: x", &format!("Host: x\r\nIdempotency-Key: {key}"))
}

fn json(reply: &Reply) -> serde_json::Value {
    serde_json::from_str(&reply.body).unwrap()
}

#[test]
fn a_key_is_remembered_for_ten_minutes_whatever_the_clock_shows() {
    for step_us in [HOURS_US, -HOURS_US] {
        let mut rig = Rig::new(ONE);
        let first = {
            let client = rig.connect(0);
            rig.ask(client, keyed("a"))
        };
        rig.stepped_us = step_us;
        for passed_ns in [0, KEY_NS_MAX / 2, KEY_NS_MAX / 2] {
            rig.pass(passed_ns);
            let client = rig.connect(0);
            assert_eq!(rig.ask(client, keyed("a")).body, first.body);
            rig.stepped_us = -rig.stepped_us;
        }
        rig.pass(2 * SECOND_NS);
        let client = rig.connect(0);
        assert_eq!(rig.ask(client, keyed("a")).balance(), 10);
    }
}

#[test]
fn a_key_outlives_a_step_while_nobody_was_there() {
    for step_us in [HOURS_US, -HOURS_US] {
        let mut rig = Rig::new(ONE);
        let client = rig.connect(0);
        let first = rig.ask(client, keyed("a"));
        for _ in 0..3 {
            rig.kill(0);
            rig.stepped_us += step_us;
            rig.restart(0);
            let client = rig.connect(0);
            assert_eq!(rig.ask(client, keyed("a")).body, first.body);
        }
    }
}

#[test]
fn a_statement_tells_what_the_clock_showed() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    let mut expected = Vec::new();
    for stepped_us in [0, HOURS_US, -HOURS_US, 0] {
        rig.stepped_us = stepped_us;
        rig.pass(SECOND_NS);
        let moment = iso8601(rig.now().realtime_us);
        let moment = std::str::from_utf8(&moment).unwrap().to_owned();
        assert_eq!(rig.ask(client, transact(1, 'c', 5)).status, 200);
        let told = json(&rig.ask(client, statement(1)));
        assert_eq!(told["saldo"]["data_extrato"], moment);
        expected.insert(0, moment);
        let list = told["ultimas_transacoes"].as_array().unwrap();
        let told: Vec<_> = list
            .iter()
            .map(|it| it["realizada_em"].as_str().unwrap())
            .collect();
        assert_eq!(told, expected);
    }
}

#[test]
fn a_payment_goes_to_the_dear_one_when_its_time_is_over_whatever_the_clock_shows() {
    let deadline_ns = PAY.gateway.unwrap().deadline_ns;
    for step_us in [HOURS_US, -HOURS_US] {
        let mut rig = Rig::new(PAY);
        rig.unreachable = [true, false];
        let id = pay(&mut rig, 1);
        rig.stepped_us = step_us;
        rig.pass(deadline_ns / 2);
        rig.stepped_us = -step_us;
        assert_eq!(state(&rig, id), PaymentState::Free);
        rig.pass(deadline_ns / 2);
        let call = rig.call();
        assert_eq!(call.at, Processor::Fallback);
        // It is told when that is by the clock.
        let told_us = call.payment().requested_us;
        let now_us = rig.now().realtime_us;
        assert!(told_us <= now_us && now_us - told_us < deadline_ns / 1000);
    }
}

#[test]
fn what_is_told_of_durations_does_not_step() {
    let mut rig = Rig::new(PAY);
    rig.unreachable = [true, true];
    pay(&mut rig, 1);
    let client = rig.connect(0);
    rig.pass(SECOND_NS);
    rig.stepped_us = HOURS_US;
    for _ in 0..2 {
        rig.pass(SECOND_NS);
        rig.stepped_us = -rig.stepped_us;
        let health = json(&rig.ask(client, get("/health")));
        let now_s = rig.now_ns as f64 / 1e9;
        assert_eq!(health["uptime"].as_f64(), Some(now_s));
        let age_s = health["payments"]["oldest"].as_f64().unwrap();
        assert!((age_s - (now_s - 1.0)).abs() < 0.2, "{age_s} at {now_s}");
        let moment = iso8601(rig.now().realtime_us);
        assert_eq!(health["timestamp"].as_str().unwrap().as_bytes(), moment);
        let metrics = rig.ask(client, get("/metrics")).body;
        let value = |name: &str| -> f64 {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().parse().unwrap()
        };
        assert!((value("galo_payments_oldest_seconds ") - age_s).abs() < 0.2);
        assert!(value("galo_snapshot_age_seconds ") <= now_s);
    }
}

#[test]
fn a_core_notices_a_step_of_the_clock() {
    let mut rig = Rig::new(ONE);
    rig.run();
    rig.stepped_us = HOURS_US;
    rig.pass(SECOND_NS);
    let now = rig.now();
    let seen = rig.stats.clock_seen(now.monotonic_ns, now.realtime_us);
    assert_eq!(seen, None, "the core has seen it, and told");
}
