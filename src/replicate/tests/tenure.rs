//! One test for each row of the table of `tenure.rs`.

use super::*;
use crate::limits::{ENGINE_FAULT_NS, ENGINE_RETRY_NS};
use crate::machine::engine::Answer;
use crate::replicate::outbox::Part;
use crate::replicate::tenure::{Fate, Tenure};

const SHARD: u32 = 3;
const PART: Part = Part::Shard(SHARD);
/// The last record, and its number.
const LAST: (Sequence, u64) = (9, 4);

struct Rig {
    tenure: Tenure,
    out: Outbox,
    now_ns: u64,
}

impl Rig {
    /// With a batch under way; and the id of its request, and the record.
    fn new() -> (Rig, RequestId, Record) {
        let mut rig = Rig {
            tenure: Tenure::new(CLUSTER, US, 2),
            out: Outbox::default(),
            now_ns: 1,
        };
        assert!(rig.tenure.may_append());
        let batch = Kind::Batch(b"a batch".to_vec());
        rig.tenure.append(&mut rig.out, PART, batch, LAST);
        assert!(!rig.tenure.may_append(), "one at a time");
        let (id, expected, record) = appended(&mut rig.out);
        assert_eq!((expected, record.previous), (9, 9));
        assert_eq!((record.epoch, record.number), (2, 5));
        (rig, id, record)
    }

    fn answer(&mut self, id: RequestId, answer: &Answer) -> Fate {
        self.answer_with(id, answer, true)
    }

    fn answer_with(&mut self, id: RequestId, answer: &Answer, lease_lasts: bool) -> Fate {
        let (out, now_ns) = (&mut self.out, self.now_ns);
        let fate = self.tenure.answered(out, id, answer, lease_lasts, now_ns);
        self.tenure.advance(out, PART, LAST, now_ns);
        fate
    }

    /// The identical record is sent again after some time, and not before.
    fn is_sent_again(&mut self, record: &Record, after_ns: u64) {
        nothing_is_asked(&self.out);
        assert_eq!(self.tenure.wake_ns(), self.now_ns + after_ns);
        self.now_ns += after_ns;
        self.tenure.advance(&mut self.out, PART, LAST, self.now_ns);
        let (_, expected, again) = appended(&mut self.out);
        assert_eq!((&again, expected), (record, record.previous));
    }

    /// It was refused, and the last record is asked for.
    fn refused() -> (Rig, RequestId, Record) {
        let (mut rig, id, record) = Rig::new();
        assert_eq!(rig.answer(id, &Answer::Refused(12)), Fate::Open);
        let (id, request) = asked(&mut rig.out);
        let subject = Subject::Log(SHARD);
        assert_eq!(request, Request::Last { id, subject });
        (rig, id, record)
    }
}

#[test]
fn acknowledged() {
    let (mut rig, id, record) = Rig::new();
    let bytes = record.to_bytes();
    let fate = rig.answer(id, &Answer::Acknowledged(10));
    assert_eq!(fate, Fate::InLog(10, record, bytes));
    assert!(rig.tenure.may_append());
}

#[test]
fn acknowledged_with_a_number_of_the_past() {
    for sequence in [0, 9] {
        let (mut rig, id, record) = Rig::new();
        assert_eq!(rig.answer(id, &Answer::Acknowledged(sequence)), Fate::Open);
        rig.is_sent_again(&record, ENGINE_RETRY_NS);
    }
}

#[test]
fn acknowledged_when_the_lease_has_run_out() {
    let (mut rig, id, record) = Rig::new();
    let fate = rig.answer_with(id, &Answer::Acknowledged(10), false);
    assert_eq!(fate, Fate::Open);
    assert!(!rig.tenure.may_append());
    assert_eq!(rig.tenure.wake_ns(), u64::MAX, "it is not sent again");
    let other = record_of(US, (2, 4));
    assert!(!rig.tenure.delivered(&other));
    assert!(rig.tenure.delivered(&record));
    assert!(rig.tenure.may_append());
}

#[test]
fn unanswered() {
    let (mut rig, id, record) = Rig::new();
    assert_eq!(rig.answer(id, &Answer::Unknown), Fate::Open);
    rig.is_sent_again(&record, ENGINE_RETRY_NS);
}

#[test]
fn refused_and_there() {
    let (mut rig, id, record) = Rig::refused();
    let bytes = record.to_bytes();
    let fate = rig.answer(id, &Answer::Last(Some((10, bytes.clone()))));
    assert_eq!(fate, Fate::InLog(10, record, bytes));
}

#[test]
fn refused_and_nothing_is_behind_what_it_expects() {
    let (mut rig, id, record) = Rig::refused();
    let before = record_of(US, (2, 4)).to_bytes();
    assert_eq!(rig.answer(id, &Answer::Last(Some((9, before)))), Fate::Open);
    rig.is_sent_again(&record, ENGINE_RETRY_NS);
}

#[test]
fn refused_and_what_it_expects_is_not_there() {
    for last in [None, Some((8, record_of(US, (2, 3)).to_bytes()))] {
        let (mut rig, id, record) = Rig::refused();
        let sequence = last.as_ref().map_or(0, |it| it.0);
        assert_eq!(rig.answer(id, &Answer::Last(last)), Fate::Open);
        let expected = Alarm::LogBehind {
            shard: SHARD,
            last: sequence,
            copy: 9,
        };
        assert_eq!(alarm(&mut rig.out), expected);
        assert_eq!(rig.out.requests.pop_front(), Some(Request::StepDown));
        rig.is_sent_again(&record, ENGINE_FAULT_NS);
    }
}

#[test]
fn refused_and_another_is_there() {
    for other in [record_of(THEM, (3, 0)), record_of(US, (2, 6))] {
        let (mut rig, id, _) = Rig::refused();
        let fate = rig.answer(id, &Answer::Last(Some((12, other.to_bytes()))));
        assert_eq!(fate, Fate::ShardLost);
    }
}

#[test]
fn a_handover_waits_for_what_is_under_way_and_nothing_follows_it() {
    let (mut rig, id, _) = Rig::new();
    rig.tenure.hand_over(1);
    assert!(!rig.tenure.stays());
    rig.tenure.advance(&mut rig.out, PART, LAST, rig.now_ns);
    nothing_is_asked(&rig.out);
    let fate = rig
        .tenure
        .answered(&mut rig.out, id, &Answer::Acknowledged(10), true, 1);
    assert!(matches!(fate, Fate::InLog(10, ..)));
    assert!(!rig.tenure.may_append());
    rig.tenure.advance(&mut rig.out, PART, (10, 5), rig.now_ns);
    let (_, expected, handover) = appended(&mut rig.out);
    assert_eq!((expected, handover.kind), (10, Kind::Handover(1)));
    assert_eq!((handover.epoch, handover.number), (2, 6));
}

fn record_of(writer: Writer, place: (u64, u64)) -> Record {
    let kind = match place.1 {
        0 => Kind::Epoch,
        _ => Kind::Batch(Vec::new()),
    };
    record(Subject::Log(SHARD), writer, place, kind)
}
