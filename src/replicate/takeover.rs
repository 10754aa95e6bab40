//! Taking a shard over: what is asked in which order, and what each answer leads to. It is begun when the shard is free, and
//! the log's stream was found sound just now ([`super::follower`]). Exactly one row matches; each has a test of its label.
//!
//! | label | step | what is known | next |
//! |---|---|---|---|
//! | behind | read | the shard's last record is older than our copy's | alarm, another server is to lead; begun anew after a while |
//! | ahead | read | it is newer: our copy is to come to it first | begun anew after a while |
//! | owned | read | our copy has come to it, and by that the shard is not free | begun anew after a while |
//! | free | read | our copy has come to it, and the shard is free | claim: the next epoch's record, behind exactly that |
//! | claimed | claim | the epoch record is acknowledged | follow |
//! | refused | claim | it is refused | check |
//! | unanswered | any | there was no answer | the same again after a while |
//! | lost_answer | check | the last record is our epoch record | follow |
//! | beaten | check | it is another's | begun anew after a while |
//! | void | any | a record was delivered that counts for nothing: ours may be that | begun anew |
//! | followed | any | our epoch record was delivered, as the next epoch's | served |
//!
//! Only the last row makes an owner. Records are followed without a gap, so a copy that has come as far as its own epoch record
//! has everything that was acknowledged by any owner before; what a server may have lost shows as a gap. What a record
//! says counts only in our copy: by itself it may be void, taken by a server that lacked what was before.

use super::outbox::{Alarm, Outbox, Part, Question};
use super::position::{Owner, Position};
use super::record::{Kind, Record, Writer};
use crate::limits::{ENGINE_FAULT_NS, ENGINE_RETRY_NS};
use crate::machine::engine::{Answer, RequestId, Sequence, Subject};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
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
    question: Question,
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
            step: Step::Read,
            question: Question::default(),
            copied: 0,
            claim: None,
        }
    }

    pub(super) fn wake_ns(&self) -> u64 {
        self.question.due_ns()
    }

    /// `position`: our copy's.
    pub(super) fn advance(&mut self, out: &mut Outbox, position: &Position, now_ns: u64) {
        if !self.question.comes_due(now_ns) {
            return;
        }
        self.copied = position.sequence;
        let (part, subject) = (Part::Shard(self.shard), Subject::Log(self.shard));
        self.question.ask(match (self.step, &self.claim) {
            (Step::Follow, _) => return,
            (Step::Claim, Some(claim)) => {
                out.append(part, subject, claim.previous, claim.to_bytes())
            }
            _ => out.last(part, subject),
        });
    }

    /// `position`: our copy's. `is_free`: whether the shard may be taken from its owner there.
    pub(super) fn answered(
        &mut self,
        out: &mut Outbox,
        id: RequestId,
        answer: &Answer,
        position: &Position,
        is_free: impl Fn(&Owner) -> bool,
        now_ns: u64,
    ) -> Progress {
        if !self.question.takes(id, now_ns) {
            return Progress::GoesOn;
        }
        match (self.step, answer) {
            (Step::Read, Answer::Last(last)) => {
                let last = last.as_ref().map_or(0, |(sequence, _)| *sequence);
                if last < self.copied {
                    out.alarm(Alarm::LogBehind {
                        shard: self.shard,
                        last,
                        copy: self.copied,
                    });
                    out.step_down(now_ns);
                    return Progress::BeginAnew(now_ns + ENGINE_FAULT_NS);
                }
                if last > position.sequence || !is_free(&position.owner) {
                    return Progress::BeginAnew(now_ns + ENGINE_RETRY_NS);
                }
                self.claim = Some(self.epoch_record(position));
                self.step = Step::Claim;
            }
            (Step::Claim, Answer::Acknowledged(_)) => self.step = Step::Follow,
            (Step::Claim, Answer::Refused(_)) => self.step = Step::Check,
            (Step::Check, Answer::Last(last)) => {
                let claim = self.claim.as_ref();
                if !claim.is_some_and(|claim| claim.is_last(last.as_ref())) {
                    return Progress::BeginAnew(now_ns + ENGINE_RETRY_NS);
                }
                self.step = Step::Follow;
            }
            _ => self.question.drop_at(now_ns + ENGINE_RETRY_NS),
        }
        Progress::GoesOn
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
