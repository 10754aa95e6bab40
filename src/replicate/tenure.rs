//! The owner's side of a shard's log: one record under way at a time, until it is known to be in the log, or not.
//!
//! | answer to an append | the subject's last record | and then |
//! |---|---|---|
//! | acknowledged | | it is in the log, if our lease lasts; else its delivery tells |
//! | none | | the identical record again: if it has got there, it is refused |
//! | refused | is the record under way | the same as acknowledged: that was lost |
//! | refused | is what it expected | the identical record again |
//! | refused | is older than that | the engine lacks records: an alarm, and the identical record again later |
//! | refused | is another's | the shard is lost, and so may the record be |
//!
//! While the lease lasts, nobody else has claimed the shard. Beyond that an acknowledgement is not enough: a server that lacks
//! the newer epoch takes the batch of the former owner. What is delivered has no gap ([`super::Replica`]).

use super::outbox::{Alarm, Outbox, Part, Question};
use super::record::{Digest, Kind, Record, Writer};
use crate::limits::{ENGINE_FAULT_NS, ENGINE_RETRY_NS};
use crate::machine::engine::{Answer, RequestId, Sequence, Subject};

struct UnderWay {
    record: Record,
    bytes: Vec<u8>,
    /// It was refused: what is there instead?
    checking: bool,
    question: Question,
}

/// What became of the record under way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    InLog(Sequence, Record, Vec<u8>),
    ShardLost,
}

/// From taking a shard over to losing it, or giving it away.
pub(super) struct Tenure {
    cluster: u128,
    writer: Writer,
    epoch: u64,
    under_way: Option<UnderWay>,
    /// Whom the shard is to go to.
    successor: Option<u32>,
    /// Is to be the next record: it is about the one before.
    digest: Option<Digest>,
    /// A mark is to be the next record.
    mark: bool,
}

impl Tenure {
    pub(super) fn new(cluster: u128, writer: Writer, epoch: u64) -> Tenure {
        Tenure {
            cluster,
            writer,
            epoch,
            under_way: None,
            successor: None,
            digest: None,
            mark: false,
        }
    }

    /// Whether the shard may be served: it is not to go to another.
    pub(super) fn stays(&self) -> bool {
        self.successor.is_none()
    }

    /// Whether nothing is under way or to go before, and the shard stays.
    pub(super) fn may_append(&self) -> bool {
        self.stays() && self.is_idle() && self.digest.is_none()
    }

    /// Gives the shard away, once nothing is under way any more.
    pub(super) fn hand_over(&mut self, to: u32) {
        self.successor.get_or_insert(to);
    }

    /// Sends a mark, once nothing is under way any more.
    pub(super) fn mark(&mut self) {
        self.mark = true;
    }

    /// Sends a digest of what the copy is like behind the record that is under way.
    pub(super) fn digest(&mut self, digest: Digest) {
        self.digest = Some(digest);
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// A record of the shard was delivered. Whether it is the one under way, which is in the log, then.
    pub(super) fn delivered(&mut self, record: &Record) -> bool {
        let under_way = self.under_way.take_if(|it| it.record.is_same(record));
        under_way.is_some()
    }

    /// Sends a batch. `last`: the record before it, and its number.
    pub(super) fn append(
        &mut self,
        out: &mut Outbox,
        part: Part,
        kind: Kind,
        last: (Sequence, u64),
    ) {
        let Part::Shard(shard) = part else {
            unreachable!("a tenure is of a shard");
        };
        let record = Record {
            cluster: self.cluster,
            subject: Subject::Log(shard),
            writer: self.writer,
            epoch: self.epoch,
            number: last.1 + 1,
            previous: last.0,
            kind,
        };
        let under_way = UnderWay {
            bytes: record.to_bytes(),
            record,
            checking: false,
            question: Question::default(),
        };
        assert!(self.under_way.replace(under_way).is_none(), "one at a time");
        self.advance(out, part, last, 0);
    }

    pub(super) fn wake_ns(&self) -> u64 {
        self.under_way
            .as_ref()
            .map_or(u64::MAX, |it| it.question.due_ns())
    }

    pub(super) fn advance(
        &mut self,
        out: &mut Outbox,
        part: Part,
        last: (Sequence, u64),
        now_ns: u64,
    ) {
        let Some(it) = &mut self.under_way else {
            if let Some(digest) = self.digest.take() {
                self.append(out, part, Kind::Digest(digest), last);
            } else if let Some(to) = self.successor {
                self.append(out, part, Kind::Handover(to), last);
            } else if std::mem::take(&mut self.mark) {
                self.append(out, part, Kind::Mark, last);
            }
            return;
        };
        if !it.question.comes_due(now_ns) {
            return;
        }
        let (subject, expected) = (it.record.subject, it.record.previous);
        it.question.ask(match it.checking {
            true => out.last(part, subject),
            false => out.append(part, subject, expected, it.bytes.clone()),
        });
    }

    pub(super) fn answered(
        &mut self,
        out: &mut Outbox,
        id: RequestId,
        answer: &Answer,
        lease_lasts: bool,
        now_ns: u64,
    ) -> Fate {
        let Some(it) = &mut self.under_way else {
            return Fate::Open;
        };
        if !it.question.takes(id, now_ns) {
            return Fate::Open;
        }
        let expected = it.record.previous;
        match answer {
            // A number of the past is no answer: the stream is not the one that it was.
            Answer::Acknowledged(sequence) if *sequence > expected => {
                return self.in_log(*sequence, lease_lasts);
            }
            Answer::Refused(_) => it.checking = true,
            Answer::Last(last) => {
                it.checking = false;
                let last = last.as_ref();
                let sequence = last.map_or(0, |(sequence, _)| *sequence);
                if sequence < expected {
                    out.alarm(Alarm::LogBehind {
                        shard: it.record.subject.number(),
                        last: sequence,
                        copy: expected,
                    });
                    out.step_down(now_ns);
                    it.question.drop_at(now_ns + ENGINE_FAULT_NS);
                } else if sequence == expected {
                    it.question.drop_at(now_ns + ENGINE_RETRY_NS);
                } else if it.record.is_last(last) {
                    return self.in_log(sequence, lease_lasts);
                } else {
                    return Fate::ShardLost;
                }
            }
            _ => it.question.drop_at(now_ns + ENGINE_RETRY_NS),
        }
        Fate::Open
    }

    fn in_log(&mut self, sequence: Sequence, lease_lasts: bool) -> Fate {
        if let (false, Some(it)) = (lease_lasts, &mut self.under_way) {
            it.question.drop_at(u64::MAX);
            return Fate::Open;
        }
        let it = self.under_way.take().expect("it was asked for");
        Fate::InLog(sequence, it.record, it.bytes)
    }
}
