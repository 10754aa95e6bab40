//! The other members' leases, as we see them, and revoking one that has run out.
//!
//! A lease is *over* for an incarnation when its subject has a later record that is not that incarnation's renewal. It
//! is *silent* when no new record was seen for [`LEASE_SILENCE_NS`], while our own lease was renewed all the time: when the
//! engine is away, everybody is silent.

use super::outbox::{Outbox, Part, Question};
use super::record::{Kind, Record, Writer};
use crate::limits::{ENGINE_RETRY_NS, LEASE_SILENCE_NS};
use crate::machine::engine::{Answer, RequestId, Sequence, Subject};

/// A member's lease.
pub(super) struct Peer {
    member: u32,
    /// Its last record that we have seen; 0: none.
    sequence: Sequence,
    /// Whose renewal that is, if it is one.
    held_by: Option<u64>,
    seen_ns: u64,
    /// The revocation, or behind it what the subject's last record is.
    question: Question,
    is_reading: bool,
}

impl Peer {
    pub(super) fn new(member: u32) -> Peer {
        Peer {
            member,
            sequence: 0,
            held_by: None,
            seen_ns: 0,
            question: Question::default(),
            is_reading: false,
        }
    }

    /// A record of its subject, delivered or read.
    pub(super) fn seen(&mut self, sequence: Sequence, record: Option<&Record>, now_ns: u64) {
        if sequence <= self.sequence {
            return;
        }
        self.sequence = sequence;
        self.seen_ns = now_ns;
        // What cannot be read may be a newer version's that holds the lease.
        self.held_by = match record {
            None => Some(0),
            Some(record) if record.kind == Kind::Held => Some(match record.writer.incarnation {
                0 => sequence,
                incarnation => incarnation,
            }),
            Some(_) => None,
        };
    }

    /// Whether an incarnation has no lease any more, and will not have one again.
    pub(super) fn is_over(&self, incarnation: u64) -> bool {
        match self.held_by {
            Some(holder) => holder > incarnation,
            None => self.sequence > incarnation,
        }
    }

    /// Whether the member seems to be there.
    pub(super) fn is_alive(&self, now_ns: u64) -> bool {
        self.held_by.is_some() && now_ns < self.seen_ns + LEASE_SILENCE_NS
    }

    /// When an incarnation's lease may be revoked. `since_ns`: since when our own lease lasts.
    pub(super) fn revocable_ns(&self, since_ns: u64) -> u64 {
        let silent_ns = self.seen_ns.max(since_ns) + LEASE_SILENCE_NS;
        silent_ns.max(self.question.due_ns())
    }

    /// Revokes the lease that we have seen last. Call it once that is [revocable](Self::revocable_ns).
    pub(super) fn revoke(&mut self, out: &mut Outbox, cluster: u128, us: Writer) {
        if self.question.is_open() {
            return;
        }
        let subject = Subject::Lease(self.member);
        let record = Record {
            cluster,
            subject,
            writer: us,
            epoch: 0,
            number: 0,
            previous: self.sequence,
            kind: Kind::Revoked,
        };
        let part = Part::Peer(self.member);
        let id = out.append(part, subject, self.sequence, record.to_bytes());
        self.question.ask(id);
    }

    pub(super) fn answered(
        &mut self,
        out: &mut Outbox,
        id: RequestId,
        answer: &Answer,
        now_ns: u64,
    ) {
        if !self.question.takes(id, now_ns) {
            return;
        }
        match (self.is_reading, answer) {
            (false, Answer::Acknowledged(sequence)) => {
                self.sequence = *sequence;
                self.held_by = None;
            }
            // It lives, or our own record had no answer before: its last record tells.
            (false, _) => {
                self.is_reading = true;
                let part = Part::Peer(self.member);
                self.question
                    .ask(out.last(part, Subject::Lease(self.member)));
            }
            (true, answer) => {
                if let Answer::Last(Some((sequence, bytes))) = answer {
                    let record = Record::read(Subject::Lease(self.member), bytes);
                    self.seen(*sequence, record.as_ref(), now_ns);
                }
                self.is_reading = false;
                self.question.drop_at(now_ns + ENGINE_RETRY_NS);
            }
        }
    }
}
