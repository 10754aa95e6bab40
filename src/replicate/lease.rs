//! Our own lease: while it lasts, nobody else has taken a shard of ours over, and its copy may be read.
//!
//! The lease counts from the moment that a renewal was *sent*, by our clock, and for [`LEASE_NS`]. Another member revokes it by
//! a record in its subject, and only when it has seen no new one for [`LEASE_SILENCE_NS`] by its own clock, which is longer,
//! however the clocks drift. A renewal expects the last record, so none can follow a revocation.
//!
//! | state | what is known | what is next |
//! |---|---|---|
//! | reading | nothing | the last record |
//! | waiting | an earlier incarnation, or a twin, may hold the lease | silence, as if it were another member's; then appending. A twin that renews it again and again is there to stay |
//! | appending | | acknowledged: held. Refused: checking |
//! | checking | another record is the last | ours: held. Another's: revoked, and reading, as the next incarnation |
//! | held | | the next renewal |
//! | over | the lease was given up | |

use super::outbox::{Outbox, Part, Question};
use super::record::{Kind, Record, Writer};
use crate::limits::{ENGINE_RETRY_NS, LEASE_NS, LEASE_RENEWAL_NS, LEASE_SILENCE_NS, TWIN_RENEWALS};
use crate::machine::engine::{Answer, RequestId, Sequence, Subject};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Waiting,
    Appending,
    Checking,
    Held,
    Over,
}

pub(super) struct Lease {
    cluster: u128,
    member: u32,
    /// Tells our records from those of a process that takes itself for the same member.
    process: u64,
    state: State,
    question: Question,
    /// 0: none yet.
    incarnation: u64,
    /// Of the renewal that is under way, or was the last.
    number: u64,
    /// When it was sent first.
    sent_ns: u64,
    /// The subject's last record.
    last: Sequence,
    until_ns: u64,
    /// Since when it lasts without a break; beyond `until_ns` of no meaning.
    since_ns: u64,
    /// It is to be given up.
    ending: bool,
    /// The record that is under way gives it up.
    gives_up: bool,
    /// While we wait: how often another process has renewed it, and when we have seen last that somebody holds it.
    renewals_of_twin: u32,
    held_ns: u64,
}

impl Lease {
    pub(super) fn new(cluster: u128, member: u32, process: u64) -> Lease {
        Lease {
            cluster,
            member,
            process,
            state: State::Reading,
            question: Question::default(),
            incarnation: 0,
            number: 0,
            sent_ns: 0,
            last: 0,
            until_ns: 0,
            since_ns: u64::MAX,
            ending: false,
            gives_up: false,
            renewals_of_twin: 0,
            held_ns: 0,
        }
    }

    /// Whether our copies of our shards may be read.
    pub(super) fn lasts(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns
    }

    /// When it ends, or has ended.
    pub(super) fn until_ns(&self) -> u64 {
        self.until_ns
    }

    /// For how long it has lasted without a break, nanoseconds.
    pub(super) fn age_ns(&self, now_ns: u64) -> Option<u64> {
        self.lasts(now_ns).then(|| now_ns - self.since_ns)
    }

    /// Who we are in the log; `None`: nobody yet, or not any more.
    pub(super) fn writer(&self) -> Option<Writer> {
        let is_known = !matches!(self.state, State::Reading | State::Waiting | State::Over);
        (is_known && self.incarnation != 0).then_some(Writer {
            member: self.member,
            incarnation: self.incarnation,
        })
    }

    /// Whether we are who we take ourselves for: as far as it seems no other process holds the lease, which it would renew.
    pub(super) fn seems_ours(&self, now_ns: u64) -> bool {
        match self.state {
            State::Reading => false,
            State::Waiting => now_ns >= self.held_ns + LEASE_RENEWAL_NS * 3 / 2,
            State::Appending | State::Checking | State::Held | State::Over => true,
        }
    }

    /// Whether another process that takes itself for the same member is there, and holds the lease.
    pub(super) fn has_twin(&self) -> bool {
        self.renewals_of_twin >= TWIN_RENEWALS
    }

    /// The lease is given up as soon as nothing of ours is under way: nobody needs to wait for its end.
    pub(super) fn end(&mut self) {
        self.ending = true;
        if matches!(self.state, State::Held | State::Waiting) {
            self.question.drop_at(0);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// When to be called again.
    pub(super) fn wake_ns(&self) -> u64 {
        self.question.due_ns()
    }

    pub(super) fn advance(&mut self, out: &mut Outbox, now_ns: u64) {
        if !self.question.comes_due(now_ns) {
            return;
        }
        match self.state {
            State::Reading | State::Checking => {
                let id = out.last(Part::Lease, Subject::Lease(self.member));
                self.question.ask(id);
            }
            State::Waiting if self.ending => self.state = State::Over,
            State::Waiting => self.renew(out, now_ns),
            State::Held => {
                self.number += 1;
                self.renew(out, now_ns);
            }
            State::Appending => self.send(out),
            State::Over => {}
        }
    }

    fn renew(&mut self, out: &mut Outbox, now_ns: u64) {
        self.state = State::Appending;
        self.sent_ns = now_ns;
        self.gives_up = self.ending;
        if self.gives_up {
            self.until_ns = 0; // From here on nobody needs to wait.
        }
        self.send(out);
    }

    fn send(&mut self, out: &mut Outbox) {
        let bytes = self.record().to_bytes();
        let subject = Subject::Lease(self.member);
        let id = out.append(Part::Lease, subject, self.last, bytes);
        self.question.ask(id);
    }

    /// The renewal that is under way.
    fn record(&self) -> Record {
        Record {
            cluster: self.cluster,
            subject: Subject::Lease(self.member),
            writer: Writer {
                member: self.member,
                incarnation: self.incarnation,
            },
            epoch: self.process,
            number: self.number,
            previous: self.last,
            kind: match self.gives_up {
                true => Kind::Ended,
                false => Kind::Held,
            },
        }
    }

    /// Whether we have lost it to somebody.
    pub(super) fn answered(
        &mut self,
        out: &mut Outbox,
        id: RequestId,
        answer: &Answer,
        now_ns: u64,
    ) -> bool {
        if !self.question.takes(id, now_ns) {
            return false;
        }
        match (self.state, answer) {
            (State::Appending, Answer::Acknowledged(sequence)) => self.renewed(*sequence, now_ns),
            (State::Appending, Answer::Refused(_)) => self.state = State::Checking,
            (State::Reading, Answer::Last(last)) => self.found(last.as_ref(), now_ns),
            (State::Checking, Answer::Last(last)) => {
                let last = last.as_ref();
                let sequence = last.map_or(0, |(sequence, _)| *sequence);
                if sequence <= self.last {
                    // The engine lacks what it had: the lease ends, unless that comes back.
                    self.state = State::Appending;
                    self.question.drop_at(now_ns + ENGINE_RETRY_NS);
                } else if self.record().is_last(last) {
                    self.renewed(sequence, now_ns);
                } else {
                    self.revoked();
                    self.advance(out, now_ns);
                    return true;
                }
            }
            _ => self.question.drop_at(now_ns + ENGINE_RETRY_NS),
        }
        self.advance(out, now_ns);
        false
    }

    /// A record of our lease's subject was delivered. Whether we have lost the lease to somebody.
    pub(super) fn delivered(&mut self, sequence: Sequence, record: &Record, now_ns: u64) -> bool {
        if sequence <= self.last {
            return false;
        }
        match self.state {
            State::Waiting => {
                let is_held = record.kind == Kind::Held;
                self.renewals_of_twin += u32::from(is_held && record.epoch != self.process);
                self.wait(sequence, is_held, now_ns);
                false
            }
            State::Appending | State::Checking if record.is_same(&self.record()) => {
                self.renewed(sequence, now_ns);
                false
            }
            State::Held | State::Appending | State::Checking => {
                self.revoked();
                true
            }
            State::Reading | State::Over => false,
        }
    }

    fn renewed(&mut self, sequence: Sequence, now_ns: u64) {
        self.last = sequence;
        if self.gives_up {
            self.state = State::Over;
            self.question.drop_at(u64::MAX);
            return;
        }
        if self.incarnation == 0 {
            self.incarnation = sequence;
        }
        if self.sent_ns >= self.until_ns {
            self.since_ns = self.sent_ns;
        }
        self.until_ns = self.sent_ns + LEASE_NS;
        self.state = State::Held;
        self.question.drop_at(match self.ending {
            true => now_ns,
            false => self.sent_ns + LEASE_RENEWAL_NS,
        });
    }

    /// What is in our subject before we have written anything.
    fn found(&mut self, last: Option<&(Sequence, Vec<u8>)>, now_ns: u64) {
        let subject = Subject::Lease(self.member);
        let record = last.and_then(|(_, bytes)| Record::read(subject, bytes));
        // What cannot be read may be a newer version's that holds the lease.
        let is_held = last.is_some() && record.is_none_or(|it| it.kind == Kind::Held);
        self.wait(last.map_or(0, |(sequence, _)| *sequence), is_held, now_ns);
    }

    /// `is_held`: by the subject's last record somebody may have the lease.
    fn wait(&mut self, last: Sequence, is_held: bool, now_ns: u64) {
        self.last = last;
        self.state = State::Waiting;
        if is_held {
            self.held_ns = now_ns;
        }
        self.question.drop_at(match is_held && !self.ending {
            true => now_ns + LEASE_SILENCE_NS,
            false => now_ns,
        });
    }

    fn revoked(&mut self) {
        let over = self.ending;
        *self = Lease::new(self.cluster, self.member, self.process);
        if over {
            self.state = State::Over;
            self.question.drop_at(u64::MAX);
        }
    }
}
