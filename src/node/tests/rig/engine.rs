//! An engine that keeps the journals of a [`Rig`]'s nodes, and what goes wrong on the way to it.

use std::collections::{BTreeMap, VecDeque};
use std::fs;

use super::Rig;
use crate::limits::ENGINE_ANSWER_NS;
use crate::machine::engine::{
    Answer, EngineEvent, Inspection, Request, RequestId, Sequence, Subject,
};
use crate::machine::Machine;
use crate::replicate::record::{self, Content};
use crate::runtime::Runtime;
use crate::shard::tests::faulty::Faulty;

#[derive(Default)]
pub struct Engine {
    shards: usize,
    /// Of the shard with this number; the record with sequence `n` is at `n - 1`.
    pub log: Vec<(u32, Vec<u8>)>,
    leases: BTreeMap<u32, (Sequence, Vec<u8>)>,
    leases_last: Sequence,
    /// The newest file of each shard, by its owner's epoch and its record.
    files: BTreeMap<u32, (u64, Sequence, Vec<u8>)>,
    /// So many records of the log are gone.
    pub gone: Sequence,
    /// What is asked is lost.
    pub away: bool,
    /// What is asked waits: [`Rig::engine_goes_on`].
    pub stuck: bool,
    /// So do records of this shard.
    pub stuck_log: Option<u32>,
    waiting: VecDeque<(usize, u64, Request)>,
    /// By member: what it asks is lost, and it is told nothing.
    pub cut: Vec<bool>,
    /// So many messages between members are lost, the next ones.
    pub lost_messages: usize,
    /// The store gives nothing.
    pub gives_no_file: bool,
    /// Records that whoever looks at the log is told to be missing.
    pub missing: u64,
}

/// What a core has with the engine.
#[derive(Default)]
pub struct Asking {
    /// Which life of the core this is.
    life: u64,
    said: VecDeque<EngineEvent>,
    /// Until when there is to be an answer.
    open: BTreeMap<RequestId, u64>,
    /// The last record of the log that it was told, once it has asked for them.
    told: Option<Sequence>,
    /// Behind which one it asked for them first.
    pub followed: Option<Sequence>,
    /// By member: the same of the leases.
    leases: BTreeMap<u32, Sequence>,
    /// It was told that the engine can be asked.
    connected: bool,
}

impl Engine {
    pub fn new(shards: usize) -> Engine {
        Engine {
            shards,
            ..Engine::default()
        }
    }

    /// How many batches the log has of a shard.
    pub fn batches(&self, shard: u32) -> usize {
        let its = self.log.iter().filter(|(of, _)| *of == shard);
        its.filter(|(_, bytes)| matches!(record::content(bytes), Content::Batch(_)))
            .count()
    }

    fn last(&self, subject: Subject) -> Option<(Sequence, Vec<u8>)> {
        match subject {
            Subject::Lease(member) => self.leases.get(&member).cloned(),
            Subject::Log(shard) => {
                let at = self.log.iter().rposition(|(of, _)| *of == shard)?;
                let sequence = at as u64 + 1;
                assert!(sequence > self.gone, "a shard's last record is gone");
                Some((sequence, self.log[at].1.clone()))
            }
        }
    }

    fn append(&mut self, subject: Subject, record: Vec<u8>) -> Sequence {
        match subject {
            Subject::Log(shard) => {
                self.log.push((shard, record));
                self.log.len() as u64
            }
            Subject::Lease(member) => {
                self.leases_last += 1;
                self.leases.insert(member, (self.leases_last, record));
                self.leases_last
            }
        }
    }

    fn answer(&mut self, request: Request) -> Option<Answer> {
        match request {
            Request::Append {
                subject,
                expected,
                record,
                ..
            } => {
                let last = self.last(subject).map_or(0, |(sequence, _)| sequence);
                Some(match last == expected {
                    true => Answer::Acknowledged(self.append(subject, record)),
                    false => Answer::Refused(last),
                })
            }
            Request::Last { subject, .. } => Some(Answer::Last(self.last(subject))),
            Request::Inspect { .. } => {
                let there = &self.log[self.gone as usize..];
                Some(Answer::Inspected(Inspection {
                    first: self.gone + 1,
                    last: self.log.len() as u64,
                    missing: self.missing,
                    kept: self.gone + 1,
                    bytes: there.iter().map(|(_, record)| record.len() as u64).sum(),
                }))
            }
            Request::Keep { kept, .. } => {
                let bytes = fs::read(&kept.path).ok()?;
                fs::remove_file(&kept.path).unwrap();
                let file = (kept.epoch, kept.sequence, bytes);
                self.files.insert(kept.shard, file);
                if self.files.len() == self.shards {
                    let kept = self.files.values().map(|(_, sequence, _)| *sequence);
                    let kept = kept.min().expect("there are files");
                    self.gone = self.gone.max(kept - 1);
                }
                Some(Answer::Kept)
            }
            Request::Fetch { shard, file, .. } => {
                let newest = self.files.get(&shard).filter(|_| !self.gives_no_file);
                if let Some((.., bytes)) = newest {
                    fs::write(file, bytes).unwrap();
                }
                Some(Answer::Fetched(newest.map(|(_, sequence, _)| *sequence)))
            }
            Request::StepDown | Request::Follow { .. } | Request::Publish { .. } => None,
        }
    }
}

impl Rig {
    pub(super) fn ask_engine(&mut self, member: usize, request: Request) {
        let asking = &mut self.cores[member].asking;
        let life = asking.life;
        if let Some(id) = request.id() {
            asking.open.insert(id, self.now_ns + ENGINE_ANSWER_NS);
        }
        match request {
            Request::Follow { after } => {
                asking.told = Some(after);
                asking.followed.get_or_insert(after);
                let is_of_log = |it: &EngineEvent| matches!(it, EngineEvent::LogDelivered { .. });
                asking.said.retain(|it| !is_of_log(it));
                self.deliver();
            }
            _ if self.engine.away || self.engine.is_cut(member) => asking.connected(false),
            _ if self.engine.is_stuck(&request) => {
                self.engine.waiting.push_back((member, life, request))
            }
            _ => self.carry_out_request(member, life, request),
        }
    }

    fn carry_out_request(&mut self, member: usize, life: u64, request: Request) {
        if let Request::Publish {
            member: to,
            message,
        } = request
        {
            let to = to as usize;
            let is_lost = self.engine.lost_messages > 0 || self.engine.is_cut(to);
            self.engine.lost_messages = self.engine.lost_messages.saturating_sub(1);
            if !is_lost && self.cores[to].exit.is_none() {
                let said = &mut self.cores[to].asking.said;
                said.push_back(EngineEvent::Message(message));
            }
            return;
        }
        let id = request.id();
        let answer = self.engine.answer(request);
        let asking = &mut self.cores[member].asking;
        if let (Some(id), Some(answer)) = (id, answer) {
            if asking.life == life && asking.open.remove(&id).is_some() {
                let answered = EngineEvent::Answered(id, answer);
                asking.said.push_back(answered);
            }
        }
        self.deliver();
    }

    /// What waits is carried out, also what nobody waits for any more.
    pub fn engine_goes_on(&mut self) {
        (self.engine.stuck, self.engine.stuck_log) = (false, None);
        for (member, life, request) in std::mem::take(&mut self.engine.waiting) {
            self.carry_out_request(member, life, request);
        }
        self.run();
    }

    /// Whether a node reaches the engine.
    pub fn cut_off(&mut self, node: usize, cut: bool) {
        for member in self.members(node) {
            self.engine.cut.resize(self.cores.len(), false);
            self.engine.cut[member] = cut;
        }
        self.deliver();
    }

    /// Tells everybody what is new of the streams.
    pub fn deliver(&mut self) {
        for (member, core) in self.cores.iter_mut().enumerate() {
            let asking = &mut core.asking;
            if core.exit.is_some() || self.engine.is_cut(member) || self.engine.away {
                continue;
            }
            asking.connected(true);
            for (owner, (sequence, record)) in &self.engine.leases {
                if asking.leases.insert(*owner, *sequence) != Some(*sequence) {
                    asking.said.push_back(EngineEvent::LeaseDelivered {
                        member: *owner,
                        sequence: *sequence,
                        record: record.clone(),
                    });
                }
            }
            let Some(told) = &mut asking.told else {
                continue;
            };
            *told = self.engine.gone.max(*told);
            for (shard, record) in &self.engine.log[*told as usize..] {
                *told += 1;
                asking.said.push_back(EngineEvent::LogDelivered {
                    shard: *shard,
                    sequence: *told,
                    record: record.clone(),
                });
            }
        }
    }
}

impl Engine {
    fn is_stuck(&self, request: &Request) -> bool {
        let log = self.stuck_log.map(Subject::Log);
        let is_its = |subject: &Subject| Some(subject) == log.as_ref();
        let of_log = matches!(request, Request::Append { subject, .. } if is_its(subject));
        self.stuck || of_log
    }

    fn is_cut(&self, member: usize) -> bool {
        self.cut.get(member).is_some_and(|cut| *cut)
    }
}

impl Asking {
    pub fn new(life: u64) -> Asking {
        Asking {
            life,
            ..Asking::default()
        }
    }

    fn connected(&mut self, connected: bool) {
        if std::mem::replace(&mut self.connected, connected) != connected {
            self.said.push_back(EngineEvent::Connected(connected));
        }
    }

    /// When a request is given up; `u64::MAX`: none is open.
    pub fn wake_ns(&self) -> u64 {
        self.open.values().copied().min().unwrap_or(u64::MAX)
    }

    pub fn has_events(&self, now_ns: u64) -> bool {
        !self.said.is_empty() || self.wake_ns() <= now_ns
    }

    pub fn feed(&mut self, runtime: &mut Runtime<Faulty>, now_ns: u64) {
        self.open.retain(|id, due_ns| {
            if *due_ns <= now_ns {
                let unknown = EngineEvent::Answered(*id, Answer::Unknown);
                self.said.push_back(unknown);
            }
            *due_ns > now_ns
        });
        for event in self.said.drain(..) {
            runtime.engine_says(event);
        }
    }
}
