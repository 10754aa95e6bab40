//! Taking a shard over: what is asked in which order, and what each answer leads to. Exactly one row matches; each has a
//! test of its label.
//!
//! | label | step | what is known | next |
//! |---|---|---|---|
//! | holes | inspect | records are missing in the log's stream | alarm, another server is to lead; begun anew after a while |
//! | sound | inspect | none is | read |
//! | behind | read | the shard's last record is older than our copy's | the same as holes |
//! | owned | read | it is of an owner whose lease may last | begun anew after a while |
//! | unreadable | read | nobody of this version has written it | alarm; begun anew after a while |
//! | free | read | there is none, or it is of an owner whose lease is over, or it gives the shard away | claim: an epoch record, behind exactly that |
//! | claimed | claim | the epoch record is acknowledged | follow |
//! | refused | claim | it is refused | check |
//! | unanswered | any | there was no answer | the same again after a while |
//! | lost_answer | check | the last record is our epoch record | follow |
//! | beaten | check | it is another's | begun anew after a while |
//! | followed | any | our epoch record was delivered, and so was all before it | served |
//!
//! Only the last row makes an owner. Records are followed without a gap, so a copy that has come as far as its own epoch record
//! has everything that was acknowledged by any owner before; what a server may have lost shows as a gap.

use super::engine::{Answer, Request, RequestId, Sequence, Subject};
use super::follower::is_sound;
use super::outbox::{Alarm, Outbox, Part};
use super::position::Position;
use super::record::{Kind, Record, Writer};
use crate::limits::{ENGINE_FAULT_NS, ENGINE_RETRY_NS};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Inspect,
    Read,
    Claim,
    Check,
    Follow,
}

/// An attempt to own a shard.
pub(super) struct Takeover {
    cluster: u128,
    writer: Writer,
    shard: u32,
    step: Step,
    asked: Option<RequestId>,
    /// When to ask; `u64::MAX`: an answer is to come.
    ask_ns: u64,
    /// How far our copy had come when the last record was asked for.
    copied: Sequence,
    /// From the claim on: the epoch record.
    claim: Option<Record>,
}

/// Whether the attempt goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    GoesOn,
    /// It may be begun anew then.
    BeginAnew(u64),
}

impl Takeover {
    pub(super) fn new(cluster: u128, writer: Writer, shard: u32) -> Takeover {
        Takeover {
            cluster,
            writer,
            shard,
            step: Step::Inspect,
            asked: None,
            ask_ns: 0,
            copied: 0,
            claim: None,
        }
    }

    pub(super) fn wake_ns(&self) -> u64 {
        self.ask_ns
    }

    /// The epoch that it is about, once that is known.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.claim.as_ref().map(|it| it.epoch)
    }

    /// `position`: our copy's.
    pub(super) fn advance(&mut self, out: &mut Outbox, position: &Position, now_ns: u64) {
        if now_ns < self.ask_ns {
            return;
        }
        self.copied = position.sequence;
        self.ask_ns = u64::MAX;
        let (part, subject) = (Part::Shard(self.shard), Subject::Log(self.shard));
        self.asked = match (self.step, &self.claim) {
            (Step::Inspect, _) => Some(out.inspect(part)),
            (Step::Claim, Some(claim)) => {
                Some(out.append(part, subject, claim.previous, claim.to_bytes()))
            }
            (Step::Read | Step::Check | Step::Claim, _) => Some(out.last(part, subject)),
            (Step::Follow, _) => None,
        };
    }

    /// `is_free`: whether the shard may be taken from who is its owner at a position.
    pub(super) fn answered(
        &mut self,
        out: &mut Outbox,
        id: RequestId,
        answer: &Answer,
        is_free: impl Fn(&Position) -> bool,
        now_ns: u64,
    ) -> Progress {
        if self.asked != Some(id) {
            return Progress::GoesOn;
        }
        self.asked = None;
        self.ask_ns = now_ns;
        match (self.step, answer) {
            (Step::Inspect, Answer::Inspected(inspection)) => {
                if !is_sound(out, inspection) {
                    return Progress::BeginAnew(now_ns + ENGINE_FAULT_NS);
                }
                self.step = Step::Read;
            }
            (Step::Read, Answer::Last(last)) => {
                let last = last.as_ref();
                let sequence = last.map_or(0, |(sequence, _)| *sequence);
                if sequence < self.copied {
                    out.alarm(Alarm::LogBehind {
                        shard: self.shard,
                        last: sequence,
                        copy: self.copied,
                    });
                    out.requests.push_back(Request::StepDown);
                    return Progress::BeginAnew(now_ns + ENGINE_FAULT_NS);
                }
                let Some(there) = self.owner_behind(last) else {
                    out.alarm(Alarm::Unreadable {
                        shard: self.shard,
                        sequence,
                    });
                    return Progress::BeginAnew(now_ns + ENGINE_FAULT_NS);
                };
                if !is_free(&there) {
                    return Progress::BeginAnew(now_ns + ENGINE_RETRY_NS);
                }
                self.claim = Some(self.epoch_record(&there));
                self.step = Step::Claim;
            }
            (Step::Claim, Answer::Acknowledged(_)) => self.step = Step::Follow,
            (Step::Claim, Answer::Refused(_)) => self.step = Step::Check,
            (Step::Check, Answer::Last(last)) => {
                let subject = Subject::Log(self.shard);
                let found = last.as_ref();
                let found = found.and_then(|(_, bytes)| Record::read(subject, bytes));
                let claim = self.claim.as_ref();
                if !found.is_some_and(|it| claim.is_some_and(|claim| claim.is_same(&it))) {
                    return Progress::BeginAnew(now_ns + ENGINE_RETRY_NS);
                }
                self.step = Step::Follow;
            }
            _ => self.ask_ns = now_ns + ENGINE_RETRY_NS,
        }
        Progress::GoesOn
    }

    /// Where the log stands behind its last record; `None`: it cannot be read.
    fn owner_behind(&self, last: Option<&(Sequence, Vec<u8>)>) -> Option<Position> {
        let Some((sequence, bytes)) = last else {
            return Some(Position::default());
        };
        let record = Record::read(Subject::Log(self.shard), bytes)?;
        (record.cluster == self.cluster).then(|| Position::behind(*sequence, &record))
    }

    fn epoch_record(&self, there: &Position) -> Record {
        Record {
            cluster: self.cluster,
            subject: Subject::Log(self.shard),
            writer: self.writer,
            epoch: there.epoch + 1,
            number: 0,
            previous: there.sequence,
            kind: Kind::Epoch,
        }
    }
}
