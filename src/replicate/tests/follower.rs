//! What a shard's log makes of records that are delivered, and what is done when some are not.

use super::*;
use crate::limits::{ENGINE_FAULT_NS, INSPECTION_NS};
use crate::machine::engine::{Answer, Inspection, Sequence};
use crate::replicate::follower::Follower;
use crate::replicate::position::{Owner, Place, Position};
use crate::replicate::shard::ShardLog;

const SHARD: u32 = 3;

struct Rig {
    log: ShardLog,
    out: Outbox,
}

impl Rig {
    fn new() -> Rig {
        Rig {
            log: ShardLog::new(CLUSTER, SHARD, Place::default(), true),
            out: Outbox::default(),
        }
    }

    fn deliver(&mut self, sequence: Sequence, writer: Writer, place: (u64, u64), kind: Kind) {
        let record = record(Subject::Log(SHARD), writer, place, kind);
        let bytes = record.to_bytes();
        self.log.delivered(&mut self.out, sequence, bytes, Some(US));
    }

    /// What happened: the records' numbers, and the other events.
    fn happened(&mut self) -> (Vec<(Sequence, bool)>, Vec<Event>) {
        let (mut records, mut others) = (Vec::new(), Vec::new());
        for event in self.out.events.drain(..) {
            match event {
                Event::Record { sequence, ours, .. } => records.push((sequence, ours)),
                other => others.push(other),
            }
        }
        (records, others)
    }
}

fn batch() -> Kind {
    Kind::Batch(b"a batch".to_vec())
}

#[test]
fn records_of_owners_are_applied_in_their_order_once() {
    let mut rig = Rig::new();
    rig.deliver(1, THEM, (1, 0), Kind::Epoch);
    rig.deliver(4, THEM, (1, 1), batch());
    rig.deliver(4, THEM, (1, 1), batch());
    rig.deliver(6, THEM, (1, 2), Kind::Handover(2));
    let records = vec![(1, false), (4, false), (6, false)];
    assert_eq!(rig.happened(), (records, Vec::new()));
    let position = Position {
        sequence: 6,
        epoch: 1,
        number: 2,
        owner: Owner::Released(2),
    };
    assert_eq!(rig.log.position, position);
}

/// The last row of the table of `takeover.rs`.
#[test]
fn followed() {
    let mut rig = Rig::new();
    rig.deliver(1, THEM, (1, 0), Kind::Epoch);
    rig.log.take_over(US);
    rig.deliver(2, THEM, (1, 1), batch());
    assert!(rig.log.tenure().is_none());
    rig.deliver(5, US, (2, 0), Kind::Epoch);
    let (records, others) = rig.happened();
    assert_eq!(records.len(), 3);
    assert_eq!(others, [Event::Owned(SHARD)]);
    assert!(rig.log.tenure().is_some_and(|tenure| tenure.may_append()));
}

/// The row before it: our claim went behind an epoch that the server lacked.
#[test]
fn void() {
    let mut rig = Rig::new();
    rig.deliver(1, THEM, (1, 0), Kind::Epoch);
    rig.log.take_over(US);
    rig.deliver(2, THEM, (2, 0), Kind::Epoch);
    rig.log.take_over(US);
    rig.happened();
    rig.deliver(3, US, (2, 0), Kind::Epoch);
    let alarm = Alarm::Repeated {
        shard: SHARD,
        sequence: 3,
    };
    assert_eq!(rig.happened(), (Vec::new(), vec![Event::Alarm(alarm)]));
    assert!(rig.log.tenure().is_none());
    assert!(rig.log.again_ns().is_some(), "it may be begun anew");
    assert_eq!(rig.log.position.owner, Owner::Member(THEM));
}

#[test]
fn an_epoch_follows_the_one_before_it() {
    let mut rig = Rig::new();
    for epoch in [0, 2, u64::MAX] {
        rig.deliver(epoch.min(3) + 1, THEM, (epoch, 0), Kind::Epoch);
        assert_eq!(rig.log.position.owner, Owner::Nobody);
    }
    rig.deliver(9, THEM, (1, 0), Kind::Epoch);
    assert_eq!(rig.log.position.owner, Owner::Member(THEM));
}

#[test]
fn an_owner_learns_of_a_newer_one() {
    let mut rig = Rig::new();
    rig.deliver(1, US, (1, 0), Kind::Epoch);
    rig.log.append(&mut rig.out, b"a batch".to_vec());
    rig.happened();
    rig.deliver(2, THEM, (2, 0), Kind::Epoch);
    assert_eq!(rig.happened(), (vec![], vec![Event::Lost(SHARD)]));
    // The other's record is for a copy that has nothing of ours.
    assert_eq!(rig.log.resume(), 1);
    rig.deliver(2, THEM, (2, 0), Kind::Epoch);
    assert_eq!(rig.happened(), (vec![(2, false)], vec![]));
}

#[test]
fn the_batch_under_way_may_be_delivered_before_it_is_acknowledged() {
    let mut rig = Rig::new();
    rig.deliver(1, US, (1, 0), Kind::Epoch);
    rig.log.append(&mut rig.out, b"a batch".to_vec());
    rig.happened();
    rig.deliver(2, US, (1, 1), batch());
    assert_eq!(rig.happened(), (vec![(2, true)], Vec::new()));
    assert!(rig.log.tenure().is_some_and(|tenure| tenure.may_append()));
}

#[test]
fn a_record_of_a_former_owner_is_not_applied() {
    let mut rig = Rig::new();
    rig.deliver(1, THEM, (1, 0), Kind::Epoch);
    rig.deliver(2, US, (2, 0), Kind::Epoch);
    rig.happened();
    rig.deliver(3, THEM, (1, 1), batch());
    let alarm = Alarm::NotTheOwners {
        shard: SHARD,
        sequence: 3,
    };
    let others = vec![Event::Lost(SHARD), Event::Alarm(alarm)];
    assert_eq!(rig.happened(), (Vec::new(), others));
    assert_eq!(
        rig.log.position.sequence, 3,
        "the next one stands behind it"
    );
    assert_eq!(rig.log.position.epoch, 2);
}

#[test]
fn a_record_that_is_there_twice_is_applied_once() {
    let mut rig = Rig::new();
    rig.deliver(1, THEM, (1, 0), Kind::Epoch);
    rig.deliver(2, THEM, (1, 1), batch());
    rig.happened();
    rig.deliver(3, THEM, (1, 1), batch());
    let alarm = Alarm::Repeated {
        shard: SHARD,
        sequence: 3,
    };
    assert_eq!(rig.happened(), (Vec::new(), vec![Event::Alarm(alarm)]));
    rig.deliver(4, THEM, (1, 2), batch());
    assert_eq!(rig.happened(), (vec![(4, false)], Vec::new()));
}

#[test]
fn a_log_that_cannot_be_read_is_closed() {
    let mut rig = Rig::new();
    rig.deliver(1, US, (1, 0), Kind::Epoch);
    rig.happened();
    let bytes = b"from another version".to_vec();
    rig.log.delivered(&mut rig.out, 2, bytes, Some(US));
    let alarm = Alarm::Unreadable {
        shard: SHARD,
        sequence: 2,
    };
    let others = vec![Event::Lost(SHARD), Event::Alarm(alarm)];
    assert_eq!(rig.happened(), (Vec::new(), others));
    rig.deliver(3, THEM, (2, 0), Kind::Epoch);
    assert_eq!(rig.happened(), (Vec::new(), Vec::new()));
    assert_eq!(rig.log.again_ns(), None, "nor is it taken over");
}

// ---- The stream --------------------------------------------------------------------------

#[test]
fn what_is_missing_in_a_gap_is_asked_for_and_told_if_it_does_not_come() {
    let mut out = Outbox::default();
    let mut follower = Follower::new(&mut out, 4);
    let follow = Request::Follow { after: 4 };
    assert_eq!(out.requests.pop_front(), Some(follow.clone()));
    let look = |out: &mut Outbox, follower: &mut Follower, now_ns| {
        follower.advance(out, now_ns);
        let (id, _) = asked(out);
        assert!(!follower.answered(out, id, &stream(1, 9, 0), now_ns));
    };
    assert!(!follower.is_next(4, 0), "that is known");
    assert!(!follower.is_next(6, 0));
    look(&mut out, &mut follower, 0);
    assert!(out.events.is_empty(), "it may come now");
    assert_eq!(out.requests, [Request::Follow { after: 4 }]);
    out.requests.clear();
    assert!(!follower.is_next(7, ENGINE_FAULT_NS - 1));
    nothing_is_asked(&out);
    assert!(!follower.is_next(6, ENGINE_FAULT_NS));
    look(&mut out, &mut follower, ENGINE_FAULT_NS);
    let (after, before) = (4, 6);
    assert_eq!(alarm(&mut out), Alarm::Gap { after, before });
    assert_eq!(out.requests, [Request::StepDown, follow.clone()]);
    out.requests.clear();
    assert!(follower.is_next(5, ENGINE_FAULT_NS + 1));
    assert!(follower.is_next(6, ENGINE_FAULT_NS + 1));
    // One somewhere else is another one.
    assert!(!follower.is_next(9, 2 * ENGINE_FAULT_NS));
    look(&mut out, &mut follower, 2 * ENGINE_FAULT_NS);
    assert!(out.events.is_empty());
    assert_eq!(out.requests, [Request::Follow { after: 6 }]);
}

fn stream(first: Sequence, last: Sequence, kept: Sequence) -> Answer {
    Answer::Inspected(Inspection {
        first,
        last,
        kept,
        ..Inspection::default()
    })
}

#[test]
fn a_gap_at_the_front_is_none_if_what_is_gone_was_kept() {
    let mut out = Outbox::default();
    let mut follower = Follower::new(&mut out, 4);
    out.requests.clear();
    assert!(!follower.is_next(20, 0));
    follower.advance(&mut out, 0);
    let (id, _) = asked(&mut out);
    assert!(follower.answered(&mut out, id, &stream(20, 30, 20), 1));
    nothing_is_asked(&out);
    assert!(out.events.is_empty() && follower.is_sound(1));
    follower.go_to(&mut out, 24);
    assert_eq!(out.requests, [Request::Follow { after: 24 }]);
    assert!(follower.is_next(25, 2));
}

#[test]
fn the_newest_records_are_asked_for_when_none_comes() {
    let mut out = Outbox::default();
    let mut follower = Follower::new(&mut out, 4);
    out.requests.clear();
    let inspected = |last| stream(1, last, 0);
    follower.advance(&mut out, 0);
    let (id, _) = asked(&mut out);
    follower.answered(&mut out, id, &inspected(4), 10);
    nothing_is_asked(&out);
    assert_eq!(follower.wake_ns(), 10 + INSPECTION_NS);
    follower.advance(&mut out, 10 + INSPECTION_NS);
    let (id, _) = asked(&mut out);
    // Some come meanwhile: the rest is on its way.
    assert!(follower.is_next(5, 20 + INSPECTION_NS));
    follower.answered(&mut out, id, &inspected(8), 20 + INSPECTION_NS);
    nothing_is_asked(&out);
    follower.advance(&mut out, 20 + 2 * INSPECTION_NS);
    let (id, _) = asked(&mut out);
    follower.answered(&mut out, id, &inspected(8), 30 + 2 * INSPECTION_NS);
    assert_eq!(out.requests, [Request::Follow { after: 5 }]);
    assert_eq!(follower.wake_ns(), 30 + 2 * INSPECTION_NS + ENGINE_FAULT_NS);
}

#[test]
fn a_stream_is_sound_while_nothing_is_known_to_be_missing() {
    let (first, last, missing) = (1, 4, 0);
    let sound = Inspection {
        first,
        last,
        missing,
        ..Inspection::default()
    };
    for (inspection, fault) in [
        (sound, None),
        (
            Inspection {
                missing: 2,
                ..sound
            },
            Some(Alarm::Holes { missing: 2, first }),
        ),
        (
            Inspection { first: 2, ..sound },
            Some(Alarm::Holes { missing, first: 2 }),
        ),
        (
            Inspection {
                first: 3,
                kept: 2,
                ..sound
            },
            Some(Alarm::Holes { missing, first: 3 }),
        ),
        (
            Inspection {
                first: 3,
                kept: 3,
                ..sound
            },
            None,
        ),
        (
            Inspection { last: 3, ..sound },
            Some(Alarm::StreamBehind { last: 3, copy: 4 }),
        ),
    ] {
        let mut out = Outbox::default();
        let mut follower = Follower::new(&mut out, 4);
        out.requests.clear();
        assert!(!follower.is_sound(1), "nothing is known");
        follower.advance(&mut out, 1);
        let (id, _) = asked(&mut out);
        follower.answered(&mut out, id, &Answer::Inspected(inspection), 10);
        assert_eq!(follower.is_sound(10), fault.is_none());
        match fault {
            None => nothing_is_asked(&out),
            Some(fault) => {
                assert_eq!(alarm(&mut out), fault);
                assert_eq!(out.requests, [Request::StepDown]);
            }
        }
        // Later that is looked at again, for whoever asks, once.
        assert!(!follower.is_sound(1 + ENGINE_FAULT_NS));
        out.requests.clear();
        follower.advance(&mut out, 1 + ENGINE_FAULT_NS);
        asked(&mut out);
        assert!(!follower.is_sound(2 + ENGINE_FAULT_NS));
        follower.advance(&mut out, 2 + ENGINE_FAULT_NS);
        nothing_is_asked(&out);
    }
}

#[test]
fn another_server_is_asked_to_lead_once_in_a_while_however_many_want_it() {
    let mut out = Outbox::default();
    for _ in 0..1000 {
        out.step_down(5);
    }
    assert_eq!(out.requests, [Request::StepDown]);
    out.step_down(4 + ENGINE_FAULT_NS);
    assert_eq!(out.requests.len(), 1);
    out.step_down(5 + ENGINE_FAULT_NS);
    assert_eq!(out.requests.len(), 2);
}
