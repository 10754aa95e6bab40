//! One test for each row of the table of `takeover.rs`, by its label; `followed` is in `tests/follower.rs`.

use super::*;
use crate::limits::{ENGINE_FAULT_NS, ENGINE_RETRY_NS};
use crate::replicate::engine::{Answer, Inspection};
use crate::replicate::position::{Owner, Position};
use crate::replicate::takeover::{Progress, Takeover};

const SHARD: u32 = 3;
const SOUND: Answer = Answer::Inspected(Inspection {
    first: 1,
    last: 20,
    missing: 0,
});

struct Rig {
    takeover: Takeover,
    out: Outbox,
    position: Position,
    now_ns: u64,
    /// Of former owners, those whose leases are over.
    over: Vec<Writer>,
}

impl Rig {
    fn new() -> Rig {
        let mut rig = Rig {
            takeover: Takeover::new(CLUSTER, US, SHARD),
            out: Outbox::default(),
            position: Position::default(),
            now_ns: 1,
            over: vec![THEM],
        };
        rig.advance();
        rig
    }

    /// At the step where the last record is read.
    fn reading() -> Rig {
        let mut rig = Rig::new();
        let (id, request) = asked(&mut rig.out);
        assert_eq!(request, Request::Inspect { id });
        assert_eq!(rig.answer(id, &SOUND), Progress::GoesOn);
        rig
    }

    /// At the step where an epoch record is under way, behind the record 9 of another's epoch 4.
    fn claiming() -> Rig {
        let mut rig = Rig::reading();
        let (id, _) = asked(&mut rig.out);
        let batch = record(Subject::Log(SHARD), THEM, (4, 2), Kind::Batch(Vec::new()));
        assert_eq!(rig.last(id, 9, &batch), Progress::GoesOn);
        rig
    }

    fn advance(&mut self) {
        self.takeover
            .advance(&mut self.out, &self.position, self.now_ns);
    }

    fn answer(&mut self, id: RequestId, answer: &Answer) -> Progress {
        let over = self.over.clone();
        let is_free = |there: &Position| match there.owner {
            Owner::Nobody | Owner::Released(_) => true,
            Owner::Member(owner) => over.contains(&owner),
        };
        let takeover = &mut self.takeover;
        let progress = takeover.answered(&mut self.out, id, answer, is_free, self.now_ns);
        if progress == Progress::GoesOn {
            self.advance();
        }
        progress
    }

    fn last(&mut self, id: RequestId, sequence: Sequence, record: &Record) -> Progress {
        self.answer(id, &Answer::Last(Some((sequence, record.to_bytes()))))
    }

    fn steps_down(&mut self) {
        assert_eq!(self.out.requests, [Request::StepDown]);
    }
}

#[test]
fn holes() {
    for (first, missing) in [(1, 1), (2, 0), (5, 7)] {
        let mut rig = Rig::new();
        let (id, _) = asked(&mut rig.out);
        let inspection = Inspection {
            first,
            last: 20,
            missing,
        };
        let progress = rig.answer(id, &Answer::Inspected(inspection));
        assert_eq!(progress, Progress::BeginAnew(1 + ENGINE_FAULT_NS));
        assert_eq!(alarm(&mut rig.out), Alarm::Holes { missing, first });
        rig.steps_down();
    }
}

#[test]
fn sound() {
    let mut rig = Rig::reading();
    let (id, request) = asked(&mut rig.out);
    let subject = Subject::Log(SHARD);
    assert_eq!(request, Request::Last { id, subject });
}

#[test]
fn behind() {
    let batch = record(Subject::Log(SHARD), THEM, (4, 2), Kind::Batch(Vec::new()));
    for last in [Some((9, batch.to_bytes())), None] {
        let mut rig = Rig::new();
        rig.position.sequence = 10;
        let (id, _) = asked(&mut rig.out);
        rig.answer(id, &SOUND);
        let (id, _) = asked(&mut rig.out);
        let sequence = last.as_ref().map_or(0, |it| it.0);
        let progress = rig.answer(id, &Answer::Last(last));
        assert_eq!(progress, Progress::BeginAnew(1 + ENGINE_FAULT_NS));
        let expected = Alarm::LogBehind {
            shard: SHARD,
            last: sequence,
            copy: 10,
        };
        assert_eq!(alarm(&mut rig.out), expected);
        rig.steps_down();
    }
}

#[test]
fn behind_what_has_been_delivered_since_it_was_asked_is_not_behind() {
    let mut rig = Rig::reading();
    let (id, _) = asked(&mut rig.out);
    rig.position.sequence = 10;
    let batch = record(Subject::Log(SHARD), THEM, (4, 2), Kind::Batch(Vec::new()));
    assert_eq!(rig.last(id, 9, &batch), Progress::GoesOn);
    assert!(rig.out.events.is_empty());
}

#[test]
fn owned() {
    let mut rig = Rig::reading();
    rig.over.clear();
    let (id, _) = asked(&mut rig.out);
    let epoch = record(Subject::Log(SHARD), THEM, (4, 0), Kind::Epoch);
    let progress = rig.last(id, 9, &epoch);
    assert_eq!(progress, Progress::BeginAnew(1 + ENGINE_RETRY_NS));
    nothing_is_asked(&rig.out);
}

#[test]
fn unreadable() {
    let other_cluster = Record {
        cluster: CLUSTER + 1,
        ..record(Subject::Log(SHARD), THEM, (4, 0), Kind::Epoch)
    };
    for bytes in [b"from another version".to_vec(), other_cluster.to_bytes()] {
        let mut rig = Rig::reading();
        let (id, _) = asked(&mut rig.out);
        let progress = rig.answer(id, &Answer::Last(Some((9, bytes))));
        assert_eq!(progress, Progress::BeginAnew(1 + ENGINE_FAULT_NS));
        let expected = Alarm::Unreadable {
            shard: SHARD,
            sequence: 9,
        };
        assert_eq!(alarm(&mut rig.out), expected);
        nothing_is_asked(&rig.out);
    }
}

#[test]
fn free() {
    let subject = Subject::Log(SHARD);
    let handover = record(subject, THEM, (4, 3), Kind::Handover(2));
    let batch = record(subject, THEM, (4, 2), Kind::Batch(Vec::new()));
    for (last, expected, epoch) in [
        (None, 0, 1),
        (Some((9, batch.to_bytes())), 9, 5),
        (Some((12, handover.to_bytes())), 12, 5),
    ] {
        let mut rig = Rig::reading();
        let (id, _) = asked(&mut rig.out);
        assert_eq!(rig.answer(id, &Answer::Last(last)), Progress::GoesOn);
        let (_, behind, claim) = appended(&mut rig.out);
        assert_eq!(behind, expected);
        assert_eq!((claim.writer, claim.epoch, claim.number), (US, epoch, 0));
        assert_eq!((claim.kind, claim.previous), (Kind::Epoch, expected));
        assert_eq!(rig.takeover.epoch(), Some(epoch));
    }
}

#[test]
fn claimed() {
    let mut rig = Rig::claiming();
    let (id, ..) = appended(&mut rig.out);
    assert_eq!(rig.answer(id, &Answer::Acknowledged(10)), Progress::GoesOn);
    // Its delivery is what is waited for.
    nothing_is_asked(&rig.out);
    assert_eq!(rig.takeover.wake_ns(), u64::MAX);
}

#[test]
fn refused() {
    let mut rig = Rig::claiming();
    let (id, ..) = appended(&mut rig.out);
    assert_eq!(rig.answer(id, &Answer::Refused(10)), Progress::GoesOn);
    let (id, request) = asked(&mut rig.out);
    let subject = Subject::Log(SHARD);
    assert_eq!(request, Request::Last { id, subject });
}

#[test]
fn unanswered() {
    for steps in 0..4 {
        let mut rig = match steps {
            0 => Rig::new(),
            1 => Rig::reading(),
            _ => Rig::claiming(),
        };
        if steps == 3 {
            let (id, ..) = appended(&mut rig.out);
            rig.answer(id, &Answer::Refused(10));
        }
        let (id, request) = asked(&mut rig.out);
        assert_eq!(rig.answer(id, &Answer::Unknown), Progress::GoesOn);
        nothing_is_asked(&rig.out);
        assert_eq!(rig.takeover.wake_ns(), 1 + ENGINE_RETRY_NS);
        rig.now_ns += ENGINE_RETRY_NS;
        rig.advance();
        let (again, repeated) = asked(&mut rig.out);
        assert_ne!(again, id, "late answers are not for this one");
        let with_id = |request: Request, id| match request {
            Request::Append {
                subject,
                expected,
                record,
                ..
            } => Request::Append {
                id,
                subject,
                expected,
                record,
            },
            Request::Last { subject, .. } => Request::Last { id, subject },
            Request::Inspect { .. } => Request::Inspect { id },
            other => panic!("{other:?}"),
        };
        assert_eq!(with_id(repeated, 0), with_id(request, 0));
    }
}

#[test]
fn lost_answer() {
    let mut rig = Rig::claiming();
    let (id, _, claim) = appended(&mut rig.out);
    rig.answer(id, &Answer::Refused(10));
    let (id, _) = asked(&mut rig.out);
    assert_eq!(rig.last(id, 10, &claim), Progress::GoesOn);
    nothing_is_asked(&rig.out);
    assert_eq!(rig.takeover.wake_ns(), u64::MAX);
}

#[test]
fn beaten() {
    let mut rig = Rig::claiming();
    let (id, ..) = appended(&mut rig.out);
    rig.answer(id, &Answer::Refused(10));
    let (id, _) = asked(&mut rig.out);
    let other = record(Subject::Log(SHARD), THEM, (5, 0), Kind::Epoch);
    let progress = rig.last(id, 10, &other);
    assert_eq!(progress, Progress::BeginAnew(1 + ENGINE_RETRY_NS));
    nothing_is_asked(&rig.out);
}

#[test]
fn answers_to_earlier_requests_do_not_count() {
    let mut rig = Rig::claiming();
    let (id, ..) = appended(&mut rig.out);
    assert_eq!(rig.answer(id - 1, &Answer::Refused(9)), Progress::GoesOn);
    nothing_is_asked(&rig.out);
    assert_eq!(rig.answer(id, &Answer::Acknowledged(10)), Progress::GoesOn);
    nothing_is_asked(&rig.out);
}
