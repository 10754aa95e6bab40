//! An engine as [`galo::replicate`] sees it: two streams in one line, whatever goes wrong around them.

use std::collections::BTreeMap;

use galo::machine::engine::{Answer, Inspection, Request, Sequence, Subject};
use galo::replicate::record::{Kind, Record};

use super::sabotage::Sabotage;

/// A record of a stream.
pub struct Entry {
    pub number: u32,
    pub record: Vec<u8>,
    /// The server that leads now has lost it. Others have it.
    pub missing: bool,
}

#[derive(Default)]
pub struct Engine {
    /// Of the log: the record with sequence `n` is at `n - 1`.
    pub log: Vec<Entry>,
    /// Of the leases: the last one of each member.
    pub leases: BTreeMap<u32, (Sequence, Vec<u8>)>,
    leases_last: Sequence,
    /// An election goes on until then: it answers nothing.
    pub away_until_ns: u64,
    sabotage: Option<Sabotage>,
}

/// What a request has brought about.
pub struct Done {
    pub answer: Option<Answer>,
    pub appended: Option<(Subject, Sequence)>,
}

impl Engine {
    pub fn new(sabotage: Option<Sabotage>) -> Engine {
        Engine {
            sabotage,
            ..Engine::default()
        }
    }

    /// Takes up a request that has got here.
    pub fn ask(&mut self, request: &Request) -> Done {
        let mut appended = None;
        let answer = match request {
            Request::Append {
                subject,
                expected,
                record,
                ..
            } => {
                let last = self.last(*subject).map_or(0, |(sequence, _)| sequence);
                if self.ignores(*subject, record) {
                    let answer = Some(Answer::Acknowledged(last + 1));
                    return Done { answer, appended };
                }
                if last == *expected || self.ignores_expected(*subject) {
                    let sequence = self.append(*subject, record);
                    appended = Some((*subject, sequence));
                    Some(Answer::Acknowledged(sequence))
                } else {
                    Some(Answer::Refused(last))
                }
            }
            Request::Last { subject, .. } => Some(Answer::Last(self.last(*subject))),
            Request::Inspect { .. } => Some(Answer::Inspected(self.inspect())),
            Request::StepDown | Request::Follow { .. } | Request::Publish { .. } => None,
        };
        Done { answer, appended }
    }

    fn ignores_expected(&self, subject: Subject) -> bool {
        match self.sabotage {
            Some(Sabotage::LogNotFenced) => matches!(subject, Subject::Log(_)),
            Some(Sabotage::LeaseNotFenced) => matches!(subject, Subject::Lease(_)),
            _ => false,
        }
    }

    fn ignores(&self, subject: Subject, record: &[u8]) -> bool {
        let is_revocation =
            || Record::read(subject, record).is_some_and(|it| it.kind == Kind::Revoked);
        self.sabotage == Some(Sabotage::RevokedInName) && is_revocation()
    }

    fn append(&mut self, subject: Subject, record: &[u8]) -> Sequence {
        match subject {
            Subject::Log(number) => {
                self.log.push(Entry {
                    number,
                    record: record.to_vec(),
                    missing: false,
                });
                self.log.len() as u64
            }
            Subject::Lease(member) => {
                self.leases_last += 1;
                let entry = (self.leases_last, record.to_vec());
                self.leases.insert(member, entry);
                self.leases_last
            }
        }
    }

    fn last(&self, subject: Subject) -> Option<(Sequence, Vec<u8>)> {
        match subject {
            Subject::Log(number) => {
                let is_its = |entry: &Entry| entry.number == number && !entry.missing;
                let at = self.log.iter().rposition(is_its)?;
                Some((at as u64 + 1, self.log[at].record.clone()))
            }
            Subject::Lease(member) => self.leases.get(&member).cloned(),
        }
    }

    /// Whether a request to append would be done.
    pub fn accepts(&self, request: &Request) -> bool {
        matches!(request, Request::Append { subject, expected, .. }
            if self.last(*subject).map_or(0, |(sequence, _)| sequence) == *expected)
    }

    /// Whether this is a subject's last record.
    pub fn has_last(&self, subject: Subject, record: &[u8]) -> bool {
        self.last(subject).is_some_and(|(_, last)| last == record)
    }

    fn inspect(&self) -> Inspection {
        if self.sabotage == Some(Sabotage::HolesHidden) {
            return Inspection {
                first: 1,
                last: self.log.len() as u64,
                missing: 0,
            };
        }
        let there = |entry: &Entry| !entry.missing;
        let first = self.log.iter().position(there).unwrap_or(0);
        let missing = self.log.iter().skip(first).filter(|it| it.missing).count();
        Inspection {
            first: first as u64 + 1,
            last: self.log.len() as u64,
            missing: missing as u64,
        }
    }

    /// A server that has lost some of these records leads from now on.
    pub fn lose(&mut self, lost: impl Fn(usize) -> bool) {
        if self.sabotage == Some(Sabotage::HolesHidden) {
            let mut at = 0;
            self.log.retain(|_| {
                at += 1;
                !lost(at - 1)
            });
            return;
        }
        for (at, entry) in self.log.iter_mut().enumerate() {
            entry.missing |= lost(at);
        }
    }

    /// A sound server leads from now on.
    pub fn heal(&mut self) {
        for entry in &mut self.log {
            entry.missing = false;
        }
    }
}
