//! One test for each row of the table of `takeover.rs`, by its label; `followed` and `void` are in `tests/follower.rs`.

use super::*;
use crate::limits::{ENGINE_FAULT_NS, ENGINE_RETRY_NS};
use crate::machine::engine::Answer;
use crate::replicate::position::{Owner, Position};
use crate::replicate::takeover::{Progress, Takeover};

const SHARD: u32 = 3;
struct Rig {
    takeover: Takeover,
    out: Outbox,
    position: Position,
    now_ns: u64,
    /// Of former owners, those whose leases are over.
    over: Vec<Writer>,
}

impl Rig {
    /// At the step where the last record is read. Our copy stands behind the record 9, of another's epoch 4.
    fn new() -> Rig {
        let mut rig = Rig {
            takeover: Takeover::new(CLUSTER, US, SHARD),
            out: Outbox::default(),
            position: Position {
                sequence: 9,
                epoch: 4,
                number: 2,
                owner: Owner::Member(THEM),
            },
            now_ns: 1,
            over: vec![THEM],
        };
        rig.advance();
        rig
    }

    /// At the step where an epoch record is under way.
    fn claiming() -> Rig {
        let mut rig = Rig::new();
        let (id, _) = asked(&mut rig.out);
        assert_eq!(rig.last(id, 9, &batch()), Progress::GoesOn);
        rig
    }

    fn advance(&mut self) {
        let position = &self.position;
        self.takeover.advance(&mut self.out, position, self.now_ns);
    }

    fn answer(&mut self, id: RequestId, answer: &Answer) -> Progress {
        let over = self.over.clone();
        let is_free = |owner: &Owner| match owner {
            Owner::Nobody | Owner::Released(_) => true,
            Owner::Member(owner) => over.contains(owner),
        };
        let (takeover, position) = (&mut self.takeover, &self.position);
        let (out, now_ns) = (&mut self.out, self.now_ns);
        let progress = takeover.answered(out, id, answer, position, is_free, now_ns);
        if progress == Progress::GoesOn {
            self.advance();
        }
        progress
    }

    fn last(&mut self, id: RequestId, sequence: Sequence, record: &Record) -> Progress {
        self.answer(id, &Answer::Last(Some((sequence, record.to_bytes()))))
    }
}

fn batch() -> Record {
    record(Subject::Log(SHARD), THEM, (4, 2), Kind::Batch(Vec::new()))
}

#[test]
fn behind() {
    for last in [Some((8, batch().to_bytes())), None] {
        let mut rig = Rig::new();
        let (id, request) = asked(&mut rig.out);
        let subject = Subject::Log(SHARD);
        assert_eq!(request, Request::Last { id, subject });
        let sequence = last.as_ref().map_or(0, |it| it.0);
        let progress = rig.answer(id, &Answer::Last(last));
        assert_eq!(progress, Progress::BeginAnew(1 + ENGINE_FAULT_NS));
        let expected = Alarm::LogBehind {
            shard: SHARD,
            last: sequence,
            copy: 9,
        };
        assert_eq!(alarm(&mut rig.out), expected);
        assert_eq!(rig.out.requests, [Request::StepDown]);
    }
}

#[test]
fn behind_what_has_been_delivered_since_it_was_asked_is_not_behind() {
    let mut rig = Rig::new();
    let (id, _) = asked(&mut rig.out);
    (rig.position.sequence, rig.position.number) = (10, 3);
    assert_eq!(rig.last(id, 9, &batch()), Progress::GoesOn);
    assert!(rig.out.events.is_empty());
    let (_, behind, _) = appended(&mut rig.out);
    assert_eq!(behind, 10);
}

/// Whatever the record says: it may be void.
#[test]
fn ahead() {
    let foreign = b"from another version".to_vec();
    let handover = record(Subject::Log(SHARD), THEM, (4, 3), Kind::Handover(0));
    for bytes in [handover.to_bytes(), foreign] {
        let mut rig = Rig::new();
        let (id, _) = asked(&mut rig.out);
        let progress = rig.answer(id, &Answer::Last(Some((10, bytes))));
        assert_eq!(progress, Progress::BeginAnew(1 + ENGINE_RETRY_NS));
        nothing_is_asked(&rig.out);
        assert!(rig.out.events.is_empty());
    }
}

#[test]
fn owned() {
    let mut rig = Rig::new();
    rig.over.clear();
    let (id, _) = asked(&mut rig.out);
    let progress = rig.last(id, 9, &batch());
    assert_eq!(progress, Progress::BeginAnew(1 + ENGINE_RETRY_NS));
    nothing_is_asked(&rig.out);
}

#[test]
fn free() {
    let nobody = Position::default();
    let over = Rig::new().position;
    let released = Position {
        owner: Owner::Released(2),
        ..over
    };
    for (position, epoch) in [(nobody, 1), (over, 5), (released, 5)] {
        let mut rig = Rig::new();
        asked(&mut rig.out);
        rig.takeover = Takeover::new(CLUSTER, US, SHARD);
        rig.position = position;
        rig.advance();
        let (id, _) = asked(&mut rig.out);
        let last = (position.sequence > 0).then(|| (position.sequence, batch().to_bytes()));
        assert_eq!(rig.answer(id, &Answer::Last(last)), Progress::GoesOn);
        let (_, behind, claim) = appended(&mut rig.out);
        assert_eq!(behind, position.sequence);
        assert_eq!((claim.writer, claim.epoch, claim.number), (US, epoch, 0));
        assert_eq!((claim.kind, claim.previous), (Kind::Epoch, behind));
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
    for steps in 0..3 {
        let mut rig = match steps {
            0 => Rig::new(),
            _ => Rig::claiming(),
        };
        if steps == 2 {
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
