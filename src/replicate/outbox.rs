//! What leaves a replica: requests to the engine, and events for whoever serves the shards.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;

use crate::limits::ENGINE_FAULT_NS;
use crate::machine::engine::{Request, RequestId, Sequence, ShardFile, Subject};

/// What happened, for whoever has the shards' copies. In the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The shard's next record: it goes into the local copy of its log, and, unless it is our own batch that was
    /// appended last, is applied.
    Record {
        /// Whose.
        shard: u32,
        /// Its number in the log's stream.
        sequence: Sequence,
        /// Its bytes ([`super::record`]).
        record: Vec<u8>,
        /// It is the batch that was appended last here.
        ours: bool,
    },
    /// The shard is ours, and its copy has everything: it may be served.
    Owned(u32),
    /// The shard is not ours any more. What its copy has beyond the last [`Event::Record`] is to be taken back, then
    /// [`Replica::resume`](super::Replica::resume): it may have happened or not, which the records to come tell.
    Lost(u32),
    /// The log does not have any more what the shard's copy lacks: it is to be [fetched](super::Replica::fetch), then
    /// [`Replica::restored`](super::Replica::restored).
    Behind(u32),
    /// The shard's file is in the engine's store, or, `false`, it is not known to be.
    Kept(u32, bool),
    /// The shard's file has come from the engine's store, or, `false`, it has not.
    Fetched(u32, bool),
    /// Another process takes itself for this member, and holds its lease: there is nothing to be done here.
    Twin,
    /// What a person should know of.
    Alarm(Alarm),
}

/// What a person should know of. Each is told again for as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The server that leads the log's stream lacks records: no shard is taken over. It was asked to step down.
    Holes {
        /// How many.
        missing: u64,
        /// The first record that is there.
        first: Sequence,
    },
    /// The log's stream ends before our copy of it does: no shard is taken over.
    StreamBehind {
        /// The last record that the engine has.
        last: Sequence,
        /// The last one that was delivered.
        copy: Sequence,
    },
    /// A shard's log ends before our copy of it does: the shard is not served, or not written to.
    LogBehind {
        /// The shard.
        shard: u32,
        /// The last record that the engine has.
        last: Sequence,
        /// The last one of our copy.
        copy: Sequence,
    },
    /// A record of the log that is not delivered, though later ones are.
    Gap {
        /// Behind this one.
        after: Sequence,
        /// Before this one.
        before: Sequence,
    },
    /// A record that no member of this version writes, or not there. The shard is closed here.
    Unreadable {
        /// The shard.
        shard: u32,
        /// The record.
        sequence: Sequence,
    },
    /// A record that is in the log twice: a server that lacked it has taken it again. It was applied once, by everybody.
    Repeated {
        /// The shard.
        shard: u32,
        /// The second one.
        sequence: Sequence,
    },
    /// Our copy of a shard is not what the owner's was.
    Differs {
        /// The shard.
        shard: u32,
        /// Behind this record.
        sequence: Sequence,
    },
    /// A record of somebody who did not own the shard: a server took it that lacked the newer epoch. It is not applied, by
    /// anybody.
    NotTheOwners {
        /// The shard.
        shard: u32,
        /// The record.
        sequence: Sequence,
    },
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alarm::Holes { missing, first } => write!(
                f,
                "the engine's leading server lacks {missing} records, its first is {first}: no shard is taken over; it is asked to step down"
            ),
            Alarm::StreamBehind { last, copy } => write!(
                f,
                "the engine's log ends at {last}, the copy here at {copy}: no shard is taken over"
            ),
            Alarm::LogBehind { shard, last, copy } => write!(
                f,
                "the engine's log of shard {shard} ends at {last}, the copy here at {copy}: the shard is not served, or not written to"
            ),
            Alarm::Gap { after, before } => write!(
                f,
                "the engine delivers record {before} behind {after}: what is between is asked for again"
            ),
            Alarm::Unreadable { shard, sequence } => write!(
                f,
                "record {sequence} of the engine's log is none that this version writes: shard {shard} is closed here"
            ),
            Alarm::Repeated { shard, sequence } => write!(
                f,
                "record {sequence} of the engine's log repeats one of shard {shard}: it is applied once"
            ),
            Alarm::Differs { shard, sequence } => write!(
                f,
                "the copy of shard {shard} here is not what its owner had behind record {sequence} of the engine's log: it starts over"
            ),
            Alarm::NotTheOwners { shard, sequence } => write!(
                f,
                "record {sequence} of the engine's log is by somebody who did not own shard {shard}: it is not applied"
            ),
        }
    }
}

/// Which part of the replica an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Lease,
    Follower,
    Peer(u32),
    Shard(u32),
    /// A shard's file, which is to have this record.
    Keep(u32, Sequence),
    Fetch(u32),
}

/// A part's question to the engine, one at a time: when it is to be asked, and which answer counts.
#[derive(Default)]
pub(super) struct Question {
    asked: Option<RequestId>,
    /// `u64::MAX`: an answer is to come, or there is nothing to ask.
    due_ns: u64,
}

impl Question {
    pub(super) fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Whether it is time to ask; that is said once.
    pub(super) fn comes_due(&mut self, now_ns: u64) -> bool {
        let is_due = now_ns >= self.due_ns;
        if is_due {
            self.due_ns = u64::MAX;
        }
        is_due
    }

    /// It is asked; earlier answers do not count any more.
    pub(super) fn ask(&mut self, id: RequestId) {
        self.asked = Some(id);
        self.due_ns = u64::MAX;
    }

    /// Whether its answer is to come.
    pub(super) fn is_open(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether an answer is this question's. Then the next may be asked at once.
    pub(super) fn takes(&mut self, id: RequestId, now_ns: u64) -> bool {
        let is_its = self.asked == Some(id);
        if is_its {
            self.drop_at(now_ns);
        }
        is_its
    }

    /// No answer counts any more; the next question is due then.
    pub(super) fn drop_at(&mut self, due_ns: u64) {
        (self.asked, self.due_ns) = (None, due_ns);
    }
}

/// What leaves a replica, and whose answers are to come.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) requests: VecDeque<Request>,
    pub(super) events: VecDeque<Event>,
    last_id: RequestId,
    waiting: BTreeMap<RequestId, Part>,
    /// Not before that another server is asked to lead again.
    step_down_ns: u64,
}

impl Outbox {
    pub(super) fn append(
        &mut self,
        part: Part,
        subject: Subject,
        expected: Sequence,
        record: Vec<u8>,
    ) -> RequestId {
        let id = self.id(part);
        self.requests.push_back(Request::Append {
            id,
            subject,
            expected,
            record,
        });
        id
    }

    pub(super) fn last(&mut self, part: Part, subject: Subject) -> RequestId {
        let id = self.id(part);
        self.requests.push_back(Request::Last { id, subject });
        id
    }

    pub(super) fn keep(&mut self, kept: ShardFile) {
        let id = self.id(Part::Keep(kept.shard, kept.sequence));
        self.requests.push_back(Request::Keep { id, kept });
    }

    pub(super) fn fetch(&mut self, shard: u32, file: PathBuf) {
        let id = self.id(Part::Fetch(shard));
        self.requests.push_back(Request::Fetch { id, shard, file });
    }

    pub(super) fn inspect(&mut self) -> RequestId {
        let id = self.id(Part::Follower);
        self.requests.push_back(Request::Inspect { id });
        id
    }

    /// Another server is to lead the log's stream, however many ask for it.
    pub(super) fn step_down(&mut self, now_ns: u64) {
        if now_ns >= self.step_down_ns {
            self.step_down_ns = now_ns + ENGINE_FAULT_NS;
            self.requests.push_back(Request::StepDown);
        }
    }

    pub(super) fn alarm(&mut self, alarm: Alarm) {
        self.events.push_back(Event::Alarm(alarm));
    }

    /// Whose answer this is; each is taken once.
    pub(super) fn answered(&mut self, id: RequestId) -> Option<Part> {
        self.waiting.remove(&id)
    }

    fn id(&mut self, part: Part) -> RequestId {
        self.last_id += 1;
        self.waiting.insert(self.last_id, part);
        self.last_id
    }
}
