//! What processors say, in all pairs that an answer to a payment and one to the question about it make; and what goes
//! wrong again and again.

use super::payments::{accept, find, in_doubt, pay, processed, state, PAY};
use super::rig::processors::{response, stored, Call, Kind};
use super::*;
use crate::api::processors::Stored;
use crate::http::Date;
use crate::limits::{
    MILLISECOND_NS, PAYMENT_OLD_NS, PROCESSOR_PARALLEL_MAX, RETRY_NS_MAX, RETRY_NS_MIN,
};
use crate::payments::answers::{rule, Anomaly, NextState, Said};
use crate::payments::{PaymentState, Processor};

const PAGE: &str = "<!doctype html><title>It works!</title>";

/// The processor answers so to a payment, or to the question about one.
fn say(rig: &mut Rig, call: &Call, said: Said, closes: bool, found: &Stored) {
    let (status, body) = match (said, call.kind) {
        (Said::Done, Kind::LookUp(_)) => (200, stored(found)),
        (Said::Done, _) => (200, "{\"message\":\"x\"}".to_owned()),
        (Said::Unreadable, _) => (200, PAGE.to_owned()),
        (Said::Refused, _) => (404, String::new()),
        (Said::Known, _) => (422, String::new()),
        (Said::Busy, _) => (429, String::new()),
        (Said::Failed, _) => (500, String::new()),
        (Said::Unsure, _) => (503, String::new()),
        (Said::Nothing, _) => return rig.hang_up_on(call),
        (Said::Unreachable, _) => unreachable!("it is not asked"),
    };
    let reply = response(status, &body);
    let reply = match closes {
        true => reply.replacen("\r\n", "\r\nConnection: close\r\n", 1),
        false => reply,
    };
    rig.say(call, reply);
}

fn anomalies(rig: &Rig, anomaly: Anomaly) -> u64 {
    let default = &rig.stats.core(0).payments.processors[0];
    default.anomalies[anomaly as usize].get()
}

/// To the payment it says one thing, to the question about it another.
fn a_pair(said: Said, asked: Said) {
    let mut rig = Rig::new(PAY);
    let client = rig.connect(0);
    rig.unreachable[0] = said == Said::Unreachable;
    let id = pay(&mut rig, 1);
    if said == Said::Unreachable {
        // Nobody asks who has nothing.
        rig.send(client, get("/payments-summary"));
        rig.run();
        assert_eq!(rig.calls(), []);
        assert_eq!(state(&rig, id), PaymentState::Free);
        return;
    }
    let call = rig.call();
    let found = Stored {
        requested_us: call.payment().requested_us - 77_000,
        ..call.payment()
    };
    let before = !said.is_asked_about();
    rig.unreachable[0] = asked == Said::Unreachable;
    if before {
        // It is asked for a summary's sake, while the payment is under way.
        rig.send(client, get("/payments-summary"));
        rig.run();
    }
    let early = if before { rig.calls().pop() } else { None };
    say(
        &mut rig,
        &call,
        said,
        !before && asked == Said::Unreachable,
        &found,
    );
    let late = if before { None } else { rig.calls().pop() };
    let question = early.or(late);
    assert_eq!(
        question.is_some(),
        asked != Said::Unreachable,
        "{said:?} {asked:?}"
    );
    if let Some(question) = question {
        assert_eq!(question.kind, Kind::LookUp(id));
        say(&mut rig, &question, asked, false, &found);
        if asked == Said::Nothing {
            // It is asked once more.
            let again = rig.call();
            assert_eq!(again.kind, Kind::LookUp(id));
            say(&mut rig, &again, asked, false, &found);
        }
    }
    let ruling = rule(said, Some(asked));
    let requested_us = found.requested_us;
    let by = Processor::Default;
    let expected = match ruling.next {
        NextState::Paid => processed(&call),
        NextState::Stored => PaymentState::Processed { by, requested_us },
        NextState::Free => PaymentState::Free,
        NextState::Bound => in_doubt(&call),
    };
    assert_eq!(state(&rig, id), expected, "{said:?} {asked:?}");
    let contradictions = u64::from(ruling.contradiction);
    assert_eq!(
        anomalies(&rig, Anomaly::Contradiction),
        contradictions,
        "{said:?} {asked:?}"
    );
    // Who has it, or may have it, keeps it, however late it is; who is free goes elsewhere.
    let mut elsewhere = false;
    for _ in 0..100 {
        rig.pass(SECOND_NS);
        for call in rig.calls() {
            let is_other = call.at == Processor::Fallback;
            elsewhere |= is_other;
            rig.answer(&call, if is_other { 200 } else { 500 });
        }
    }
    assert_eq!(
        elsewhere,
        ruling.next == NextState::Free,
        "{said:?} {asked:?}: {:?}",
        state(&rig, id)
    );
    let processors = &rig.stats.core(0).payments.processors;
    assert_eq!(processors[0].under_way.get(), 0);
}

macro_rules! pairs {
    ($($name:ident: $said:ident,)*) => {$(
        #[test]
        fn $name() {
            for asked in Said::ALL {
                a_pair(Said::$said, asked);
            }
        }
    )*};
}

pairs! {
    a_payment_that_is_done_whatever_is_said_of_it: Done,
    a_payment_whose_2xx_nobody_can_read_whatever_is_said_of_it: Unreadable,
    a_payment_that_is_refused_whatever_is_said_of_it: Refused,
    a_payment_that_is_known_whatever_is_said_of_it: Known,
    a_payment_that_is_too_many_whatever_is_said_of_it: Busy,
    a_payment_that_fails_whatever_is_said_of_it: Failed,
    a_payment_of_which_nobody_is_sure_whatever_is_said_of_it: Unsure,
    a_payment_without_an_answer_whatever_is_said_of_it: Nothing,
    a_payment_that_reaches_nobody: Unreachable,
}

/// What a payment gets for an answer, and the question about it: status and body; 0 is none.
type Wrong = ((u16, &'static str), (u16, &'static str));

const WRONG: [Wrong; 9] = [
    ((422, ""), (404, "")),
    ((422, ""), (500, "")),
    ((422, ""), (200, PAGE)),
    ((200, PAGE), (404, "")),
    ((404, ""), (404, "")),
    ((500, ""), (404, "")),
    ((503, ""), (404, "")),
    ((302, ""), (404, "")),
    ((0, ""), (404, "")),
];

fn answer_wrongly(rig: &mut Rig, call: &Call, wrong: &Wrong) {
    let (status, body) = match call.kind {
        Kind::Pay(_) => wrong.0,
        _ => wrong.1,
    };
    match status {
        0 => rig.hang_up_on(call),
        status => rig.say(call, response(status, body)),
    }
}

/// When attempts were made: their number is that of the doublings that have room, and their distances grow.
fn check_growth(attempts_ns: &[u64], wrong: &Wrong) {
    let mut least_ns = RETRY_NS_MIN / 2;
    for pair in attempts_ns.windows(2) {
        let rest_ns = pair[1] - pair[0];
        assert!(rest_ns >= least_ns, "{wrong:?}: {attempts_ns:?}");
        assert!(
            rest_ns <= RETRY_NS_MAX + SECOND_NS,
            "{wrong:?}: {attempts_ns:?}"
        );
        least_ns = (2 * least_ns).min(RETRY_NS_MAX / 2);
    }
}

#[test]
fn attempts_of_one_payment_grow_apart_whatever_the_reason_is() {
    for wrong in WRONG {
        let mut rig = Rig::new(PAY);
        // Nobody else takes it.
        rig.unreachable[1] = true;
        pay(&mut rig, 1);
        let mut attempts_ns = Vec::new();
        let end_ns = rig.now_ns + 300 * SECOND_NS;
        while rig.now_ns < end_ns {
            for call in rig.calls() {
                if let Kind::Pay(_) = call.kind {
                    attempts_ns.push(rig.now_ns);
                }
                answer_wrongly(&mut rig, &call, &wrong);
            }
            rig.pass(20 * MILLISECOND_NS);
        }
        check_growth(&attempts_ns, &wrong);
        // 10 doublings take up to 50 s; then it is every 15 to 30 s.
        let count = attempts_ns.len();
        assert!((15..=32).contains(&count), "{wrong:?}: {attempts_ns:?}");
    }
}

#[test]
fn a_payment_that_goes_wrong_takes_nothing_from_the_others() {
    for wrong in WRONG {
        let mut rig = Rig::new(PAY);
        // The processor has shown that it works.
        pay(&mut rig, 0);
        let call = rig.call();
        rig.answer(&call, 200);
        let poison = pay(&mut rig, 1);
        let mut attempts_ns = Vec::new();
        let mut late = 0;
        for number in 2..1000 {
            let id = pay(&mut rig, number);
            let mut calls = rig.calls();
            let its = |call: &Call| matches!(call.kind, Kind::Pay(payment) if payment.id == id);
            late += u32::from(!calls.iter().any(its));
            while let Some(call) = calls.pop() {
                match call.kind {
                    Kind::Pay(payment) if payment.id != poison => rig.answer(&call, 200),
                    Kind::LookUp(id) if id != poison => panic!("{call:?}"),
                    Kind::Pay(_) => {
                        assert_eq!(call.at, Processor::Default);
                        attempts_ns.push(rig.now_ns);
                        answer_wrongly(&mut rig, &call, &wrong);
                    }
                    _ => answer_wrongly(&mut rig, &call, &wrong),
                }
                calls.extend(rig.calls());
            }
            rig.pass(50 * MILLISECOND_NS);
        }
        // It was taken for the processor's fault once.
        assert!(late <= 4, "{wrong:?}: {late} had to wait");
        let stats = &rig.stats.core(0).payments;
        assert_eq!(stats.open.get(), 1, "{wrong:?}");
        assert_eq!(stats.processors[1].settled.get(), 0);
        check_growth(&attempts_ns, &wrong);
        assert!(
            (7..=13).contains(&attempts_ns.len()),
            "{wrong:?}: {attempts_ns:?}"
        );
    }
}

#[test]
fn a_payment_that_the_cheapest_never_takes_goes_to_the_other_one_in_time() {
    let mut rig = Rig::new(PAY);
    let id = pay(&mut rig, 1);
    let began_ns = rig.now_ns;
    let other = loop {
        rig.pass(20 * MILLISECOND_NS);
        let calls = rig.calls();
        if let Some(call) = calls.iter().find(|call| call.at == Processor::Fallback) {
            break *call;
        }
        for call in calls {
            rig.answer(&call, 400);
        }
        assert!(rig.now_ns < began_ns + 61 * SECOND_NS);
    };
    assert!(rig.now_ns >= began_ns + 58 * SECOND_NS);
    assert_eq!(rig.stats.core(0).payments.fallback_for_deadline.get(), 1);
    // Who refuses it, too, gets it again, ever later; and neither keeps it from the other.
    rig.answer(&other, 400);
    let mut attempts = [0, 0];
    for _ in 0..6000 {
        rig.pass(20 * MILLISECOND_NS);
        for call in rig.calls() {
            attempts[call.at as usize] += 1;
            rig.answer(&call, 400);
        }
    }
    for count in attempts {
        assert!((3..=10).contains(&count), "{attempts:?}");
    }
    assert_eq!(state(&rig, id), PaymentState::Free);
}

#[test]
fn a_processor_that_makes_no_sense_of_any_payment_gets_few() {
    for wrong in WRONG {
        let mut rig = Rig::new(PAY);
        for number in 0..200 {
            accept(&mut rig, number);
        }
        rig.run();
        let mut posts = 0;
        for _ in 0..500 {
            let mut calls = rig.calls();
            while let Some(call) = calls.pop() {
                posts += u32::from(matches!(call.kind, Kind::Pay(_)));
                answer_wrongly(&mut rig, &call, &wrong);
                calls.extend(rig.calls());
            }
            rig.pass(10 * MILLISECOND_NS);
        }
        assert!((5..=20).contains(&posts), "{wrong:?}: {posts} in 5 s");
        let shard = rig.cores[0].runtime.shards().next().unwrap();
        let bound = shard.payments().bound().count();
        assert!(bound <= 15, "{wrong:?}: {bound}");
    }
}

#[test]
fn retry_after_counts_whatever_the_status_and_however_it_is_written() {
    let date = |rig: &Rig| {
        let at = Date::new(rig.now().realtime_us + 5_000_000);
        String::from_utf8(at.text.to_vec()).unwrap()
    };
    for status in [429, 500, 503, 404] {
        for dated in [false, true] {
            let mut rig = Rig::new(PAY);
            let id = pay(&mut rig, 1);
            let call = rig.call();
            let when = match dated {
                true => date(&rig),
                false => "5".to_owned(),
            };
            rig.say(
                &call,
                format!("HTTP/1.1 {status} x\r\nRetry-After: {when}\r\nContent-Length: 0\r\n\r\n"),
            );
            rig.pass(4_990 * MILLISECOND_NS);
            assert_eq!(rig.calls(), [], "{status} {when}");
            rig.pass(10 * MILLISECOND_NS);
            assert_eq!(rig.call().payment().id, id, "{status} {when}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_counted_by_its_reason() {
    for (reply, anomaly) in [
        (response(404, ""), Anomaly::Status),
        (response(405, ""), Anomaly::Status),
        (response(400, "<html>"), Anomaly::Status),
        (response(302, ""), Anomaly::Status),
        (response(200, PAGE), Anomaly::Body),
        ("\x15\x03\x03\0\x02\x02\x46".to_owned(), Anomaly::Protocol),
        ("SSH-2.0-x\r\n".to_owned(), Anomaly::Protocol),
    ] {
        let mut rig = Rig::new(PAY);
        pay(&mut rig, 1);
        let call = rig.call();
        rig.say(&call, &reply);
        for other in Anomaly::ALL {
            let expected = u64::from(other == anomaly);
            assert_eq!(anomalies(&rig, other), expected, "{reply:?} {other:?}");
        }
    }
    // What happens to any processor is none.
    for status in [200, 429, 500, 502, 503, 504, 408] {
        let mut rig = Rig::new(PAY);
        pay(&mut rig, 1);
        let call = rig.call();
        rig.answer(&call, status);
        assert_eq!(
            Anomaly::ALL.map(|it| anomalies(&rig, it)),
            [0; Anomaly::ALL.len()]
        );
    }
}

#[test]
fn who_never_answers_anything_is_told_of_and_who_once_did_is_not() {
    for answers in [false, true] {
        let mut rig = Rig::new(PAY);
        if answers {
            pay(&mut rig, 0);
            let call = rig.call();
            rig.answer(&call, 200);
        }
        pay(&mut rig, 1);
        for _ in 0..3 {
            assert_eq!(anomalies(&rig, Anomaly::Silence), 0);
            let call = rig.call();
            rig.hang_up_on(&call);
            rig.pass(SECOND_NS);
        }
        assert_eq!(anomalies(&rig, Anomaly::Silence), u64::from(!answers));
    }
}

#[test]
fn health_is_degraded_while_payments_wait_and_none_is_settled() {
    let mut rig = Rig::new(PAY);
    let status = |rig: &mut Rig| {
        let client = rig.connect(0);
        let reply = rig.ask(client, get("/health"));
        assert_eq!(reply.status, 200);
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        let old = body["payments"]["old"].as_u64().unwrap();
        (body["status"].as_str().unwrap().to_owned(), old)
    };
    rig.unreachable = [true; 2];
    rig.pass(2 * PAYMENT_OLD_NS);
    for number in 0..5 {
        pay(&mut rig, number);
    }
    rig.pass(PAYMENT_OLD_NS - SECOND_NS);
    for number in 5..7 {
        pay(&mut rig, number);
    }
    assert_eq!(status(&mut rig), ("healthy".to_owned(), 0));
    rig.pass(2 * SECOND_NS);
    assert_eq!(status(&mut rig), ("degraded".to_owned(), 5));
    rig.unreachable = [false; 2];
    rig.pass(2 * SECOND_NS);
    // One is settled, another one is in doubt: all is well for as long again.
    let mut calls = rig.calls();
    let first = calls.remove(0);
    rig.answer(&first, 200);
    assert_eq!(status(&mut rig).0, "healthy");
    rig.unreachable = [true; 2];
    rig.calls().iter().for_each(|call| rig.hang_up_on(call));
    rig.pass(PAYMENT_OLD_NS + SECOND_NS);
    assert_eq!(status(&mut rig), ("degraded".to_owned(), 6));
    rig.unreachable = [false; 2];
    for _ in 0..40 {
        rig.pass(SECOND_NS);
        for call in rig.calls() {
            rig.answer(&call, 200);
        }
    }
    assert_eq!(status(&mut rig), ("healthy".to_owned(), 0));
}

#[test]
fn what_a_processor_refused_and_has_is_not_sent_to_the_other_one_and_survives_a_crash() {
    let mut rig = Rig::new(PAY);
    let client = rig.connect(0);
    let id = pay(&mut rig, 1);
    let call = rig.call();
    rig.send(client, get("/payments-summary"));
    rig.run();
    let question = rig.call();
    rig.answer(&call, 500);
    assert_eq!(state(&rig, id), PaymentState::Free);
    rig.say(&question, response(200, &stored(&call.payment())));
    assert_eq!(state(&rig, id), processed(&call));
    rig.kill(0);
    rig.restart(0);
    assert_eq!(state(&rig, id), processed(&call));
    assert_eq!(find(&rig, id).unwrap().attempts, 1);
}

#[test]
fn many_that_rest_leave_the_window_to_the_others() {
    let mut rig = Rig::new(PAY);
    let count = PROCESSOR_PARALLEL_MAX as u128;
    for number in 0..count {
        accept(&mut rig, number);
    }
    rig.run();
    // One in three is refused for ever.
    let refused = |call: &Call| call.payment().id.0.is_multiple_of(3);
    for _ in 0..1000 {
        for call in rig.calls() {
            match refused(&call) {
                true => rig.answer(&call, 400),
                false => rig.answer(&call, 200),
            }
        }
        rig.pass(10 * MILLISECOND_NS);
    }
    let open = rig.stats.core(0).payments.open.get();
    let third = count as u64 / 3;
    assert!((third - 60..third + 60).contains(&open), "{open}");
}
