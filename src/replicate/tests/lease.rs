//! The states of a lease, and when it lasts.

use super::*;
use crate::limits::{ENGINE_RETRY_NS, LEASE_NS, LEASE_RENEWAL_NS, LEASE_SILENCE_NS, TWIN_RENEWALS};
use crate::machine::engine::Answer;
use crate::replicate::lease::Lease;

const PROCESS: u64 = 77;

struct Rig {
    lease: Lease,
    out: Outbox,
    now_ns: u64,
}

impl Rig {
    fn new() -> Rig {
        let mut rig = Rig {
            lease: Lease::new(CLUSTER, US.member, PROCESS),
            out: Outbox::default(),
            now_ns: 1_000_000,
        };
        rig.advance();
        rig
    }

    /// With a lease that was taken with record 5.
    fn held() -> Rig {
        let mut rig = Rig::new();
        let (id, _) = asked(&mut rig.out);
        rig.answer(id, &Answer::Last(None));
        let (id, expected, record) = appended(&mut rig.out);
        assert_eq!((expected, &record.kind), (0, &Kind::Held));
        assert_eq!(record.writer.incarnation, 0, "not known yet");
        assert!(!rig.lease.lasts(rig.now_ns) && rig.lease.writer().is_none());
        rig.now_ns += 3;
        assert!(!rig.answer(id, &Answer::Acknowledged(5)));
        assert_eq!(rig.lease.writer(), Some(US));
        nothing_is_asked(&rig.out);
        rig
    }

    fn advance(&mut self) {
        self.lease.advance(&mut self.out, self.now_ns);
    }

    fn pass(&mut self, ns: u64) {
        self.now_ns += ns;
        self.advance();
    }

    /// Whether the lease is lost by it.
    fn answer(&mut self, id: RequestId, answer: &Answer) -> bool {
        self.lease.answered(&mut self.out, id, answer, self.now_ns)
    }

    fn last(&mut self, id: RequestId, sequence: Sequence, record: &Record) -> bool {
        self.answer(id, &Answer::Last(Some((sequence, record.to_bytes()))))
    }
}

fn lease_record(writer: Writer, kind: Kind) -> Record {
    record(Subject::Lease(US.member), writer, (78, 3), kind)
}

#[test]
fn it_lasts_from_the_moment_that_its_renewal_was_sent() {
    let mut rig = Rig::held();
    let sent_ns = rig.now_ns - 3;
    assert!(rig.lease.lasts(sent_ns + LEASE_NS - 1));
    assert!(!rig.lease.lasts(sent_ns + LEASE_NS));
    assert_eq!(rig.lease.wake_ns(), sent_ns + LEASE_RENEWAL_NS);
    rig.now_ns = sent_ns;
    rig.pass(LEASE_RENEWAL_NS);
    let (id, expected, renewal) = appended(&mut rig.out);
    assert_eq!((expected, renewal.writer, renewal.number), (5, US, 1));
    // It is sent again with nothing changed; what counts is when it was sent first.
    rig.pass(LEASE_NS / 2);
    rig.answer(id, &Answer::Unknown);
    rig.pass(ENGINE_RETRY_NS);
    let (id, _, again) = appended(&mut rig.out);
    assert_eq!(again, renewal);
    rig.answer(id, &Answer::Acknowledged(6));
    let until_ns = sent_ns + LEASE_RENEWAL_NS + LEASE_NS;
    assert!(rig.lease.lasts(until_ns - 1) && !rig.lease.lasts(until_ns));
    assert_eq!(rig.lease.age_ns(until_ns - 1), Some(until_ns - 1 - sent_ns));
}

#[test]
fn one_that_has_run_out_is_a_new_one_when_it_is_renewed() {
    let mut rig = Rig::held();
    rig.pass(LEASE_RENEWAL_NS);
    let (id, ..) = appended(&mut rig.out);
    rig.pass(2 * LEASE_NS);
    rig.answer(id, &Answer::Acknowledged(6));
    assert!(
        !rig.lease.lasts(rig.now_ns),
        "that was for a time that is over"
    );
    assert_eq!(rig.lease.age_ns(rig.now_ns), None);
    let (id, ..) = appended(&mut rig.out);
    rig.now_ns += 10;
    rig.answer(id, &Answer::Acknowledged(7));
    assert_eq!(rig.lease.age_ns(rig.now_ns), Some(10));
}

#[test]
fn whoever_may_have_it_is_waited_for() {
    let held = lease_record(THEM, Kind::Held);
    for bytes in [held.to_bytes(), b"from another version".to_vec()] {
        let mut rig = Rig::new();
        let (id, _) = asked(&mut rig.out);
        rig.answer(id, &Answer::Last(Some((4, bytes))));
        nothing_is_asked(&rig.out);
        rig.pass(LEASE_SILENCE_NS - 1);
        nothing_is_asked(&rig.out);
        // It lives.
        assert!(!rig.lease.delivered(5, &held, rig.now_ns));
        rig.pass(LEASE_SILENCE_NS - 1);
        nothing_is_asked(&rig.out);
        rig.pass(1);
        let (_, expected, record) = appended(&mut rig.out);
        assert_eq!((expected, record.kind), (5, Kind::Held));
    }
}

#[test]
fn another_process_that_goes_on_renewing_it_is_a_twin_and_one_that_was_killed_is_not() {
    let held = lease_record(THEM, Kind::Held);
    let mut rig = Rig::new();
    let (id, _) = asked(&mut rig.out);
    rig.last(id, 4, &held);
    for renewal in 1..TWIN_RENEWALS {
        rig.pass(LEASE_RENEWAL_NS);
        assert!(!rig.lease.seems_ours(rig.now_ns));
        rig.lease
            .delivered(4 + Sequence::from(renewal), &held, rig.now_ns);
        assert!(!rig.lease.has_twin());
    }
    rig.pass(2 * LEASE_RENEWAL_NS);
    assert!(rig.lease.seems_ours(rig.now_ns), "it renews no more");
    let mut twin = rig;
    twin.lease.delivered(9, &held, twin.now_ns);
    assert!(twin.lease.has_twin());
    // Once the lease is ours, nobody else renews it.
    let mut rig = Rig::held();
    for sequence in 6..20 {
        rig.pass(LEASE_RENEWAL_NS);
        let (id, ..) = appended(&mut rig.out);
        rig.answer(id, &Answer::Acknowledged(sequence));
    }
    assert!(!rig.lease.has_twin());
}

#[test]
fn nobody_is_waited_for_when_it_was_given_up_or_revoked() {
    for kind in [Kind::Ended, Kind::Revoked] {
        let mut rig = Rig::new();
        let (id, _) = asked(&mut rig.out);
        rig.last(id, 4, &lease_record(THEM, kind));
        let (_, expected, _) = appended(&mut rig.out);
        assert_eq!(expected, 4);
    }
}

#[test]
fn a_lost_acknowledgement_is_found() {
    let mut rig = Rig::held();
    rig.pass(LEASE_RENEWAL_NS);
    let (id, _, renewal) = appended(&mut rig.out);
    assert!(!rig.answer(id, &Answer::Refused(6)));
    let (id, _) = asked(&mut rig.out);
    assert!(!rig.last(id, 6, &renewal));
    assert!(rig.lease.lasts(rig.now_ns + LEASE_NS - 1));
    nothing_is_asked(&rig.out);
}

#[test]
fn a_renewal_that_is_delivered_is_acknowledged() {
    let mut rig = Rig::held();
    rig.pass(LEASE_RENEWAL_NS);
    let (id, _, renewal) = appended(&mut rig.out);
    assert!(!rig.lease.delivered(6, &renewal, rig.now_ns));
    assert!(rig.lease.lasts(rig.now_ns + LEASE_NS - 1));
    assert!(!rig.answer(id, &Answer::Refused(6)), "that is known");
    nothing_is_asked(&rig.out);
}

#[test]
fn a_revoked_one_is_lost_however_that_is_heard_of() {
    for by_delivery in [true, false] {
        let mut rig = Rig::held();
        rig.pass(LEASE_RENEWAL_NS);
        let (id, ..) = appended(&mut rig.out);
        let revoked = lease_record(THEM, Kind::Revoked);
        let lost = match by_delivery {
            true => rig.lease.delivered(6, &revoked, rig.now_ns),
            false => {
                rig.answer(id, &Answer::Refused(6));
                let (id, _) = asked(&mut rig.out);
                rig.last(id, 6, &revoked)
            }
        };
        assert!(lost && !rig.lease.lasts(rig.now_ns));
        assert_eq!(rig.lease.writer(), None);
        // The next incarnation begins.
        rig.advance();
        let (id, _) = asked(&mut rig.out);
        rig.last(id, 6, &revoked);
        let (id, expected, _) = appended(&mut rig.out);
        assert_eq!(expected, 6);
        rig.answer(id, &Answer::Acknowledged(8));
        let writer = rig.lease.writer().expect("it is held");
        assert_eq!(writer.incarnation, 8);
    }
}

#[test]
fn an_engine_that_lacks_the_lease_does_not_take_it_away() {
    let mut rig = Rig::held();
    rig.pass(LEASE_RENEWAL_NS);
    let (id, _, renewal) = appended(&mut rig.out);
    rig.answer(id, &Answer::Refused(0));
    let (id, _) = asked(&mut rig.out);
    assert!(!rig.answer(id, &Answer::Last(None)));
    nothing_is_asked(&rig.out);
    rig.pass(ENGINE_RETRY_NS);
    let (_, expected, again) = appended(&mut rig.out);
    assert_eq!((expected, again), (5, renewal));
}

#[test]
fn one_that_is_given_up_lasts_no_longer_from_the_moment_that_this_is_sent() {
    let mut rig = Rig::held();
    rig.lease.end();
    rig.advance();
    let (id, expected, ended) = appended(&mut rig.out);
    assert_eq!((expected, ended.kind), (5, Kind::Ended));
    assert!(!rig.lease.lasts(rig.now_ns) && !rig.lease.is_over());
    rig.answer(id, &Answer::Acknowledged(6));
    assert!(rig.lease.is_over());
    assert_eq!(rig.lease.writer(), None);
    rig.pass(10 * LEASE_NS);
    nothing_is_asked(&rig.out);
}

#[test]
fn one_that_was_never_taken_needs_not_be_given_up() {
    let mut rig = Rig::new();
    let (id, _) = asked(&mut rig.out);
    rig.last(id, 4, &lease_record(THEM, Kind::Held));
    rig.lease.end();
    rig.advance();
    nothing_is_asked(&rig.out);
    assert!(rig.lease.is_over());
}
