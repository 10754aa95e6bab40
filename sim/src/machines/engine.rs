//! An engine as [`galo::replicate`] sees it: two streams in one line, whatever goes wrong around them.

use std::collections::BTreeMap;

use galo::machine::engine::{Answer, Inspection, Request, Sequence, Subject};
use galo::replicate::record::{Kind, Record};
use galo::replicate::Position;

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
    /// Of each shard, by the epochs in which they were stored, and their records.
    files: BTreeMap<(u32, u64, Sequence), File>,
    /// So many records of the log are gone.
    gone: Sequence,
    shards: usize,
    /// An election goes on until then: it answers nothing.
    pub away_until_ns: u64,
    sabotage: Option<Sabotage>,
}

/// What a request has brought about.
pub struct Done {
    pub answer: Option<Answer>,
    pub appended: Option<(Subject, Sequence)>,
}

/// All of a shard up to a record.
#[derive(Clone)]
pub struct File {
    pub sequence: Sequence,
    pub records: Vec<(Position, usize)>,
    pub writes: Vec<u64>,
}

impl Engine {
    pub fn new(shards: usize, sabotage: Option<Sabotage>) -> Engine {
        Engine {
            shards,
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
            Request::Fetch { shard, .. } => {
                let newest = self.newest_file(*shard);
                Some(Answer::Fetched(newest.map(|file| file.sequence)))
            }
            Request::Keep { .. }
            | Request::StepDown
            | Request::Follow { .. }
            | Request::Publish { .. } => None,
        };
        Done { answer, appended }
    }

    /// Stores a file of a shard, and lets go of what all files have.
    pub fn keep(&mut self, shard: u32, epoch: u64, file: File) {
        self.files.insert((shard, epoch, file.sequence), file);
        let before = match self.sabotage {
            Some(Sabotage::PurgedTooFar) => self.newest().max(),
            _ => self.newest().min(),
        };
        self.gone = self.gone.max(before.unwrap_or(0).saturating_sub(1));
    }

    /// Of each shard, the record that its newest file has; 0: there is none.
    fn newest(&self) -> impl Iterator<Item = Sequence> + '_ {
        let newest = (0..self.shards as u32).map(|it| self.newest_file(it));
        newest.map(|it| it.map_or(0, |file| file.sequence))
    }

    pub fn newest_file(&self, shard: u32) -> Option<&File> {
        let mut its = self.files.range((shard, 0, 0)..(shard + 1, 0, 0));
        its.next_back().map(|(_, file)| file)
    }

    /// The records that are there, with their numbers.
    pub fn records(&self) -> impl Iterator<Item = (Sequence, &Entry)> {
        (1..).zip(&self.log).skip(self.gone as usize)
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
                let at = self.log.iter().rposition(is_its)? as u64;
                (at >= self.gone).then(|| (at + 1, self.log[at as usize].record.clone()))
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
                first: self.gone + 1,
                last: self.log.len() as u64,
                missing: 0,
                kept: self.gone + 1,
                bytes: 0,
            };
        }
        let mut there = self.records().filter(|(_, entry)| !entry.missing);
        let first = there.next().map_or(self.gone + 1, |(sequence, _)| sequence);
        let behind = self.records().filter(|(sequence, _)| *sequence > first);
        let missing = behind.filter(|(_, entry)| entry.missing).count();
        let bytes = self.records().map(|(_, entry)| entry.record.len() as u64);
        Inspection {
            first,
            last: self.log.len() as u64,
            missing: missing as u64,
            kept: self.newest().min().unwrap_or(0),
            bytes: bytes.sum(),
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
