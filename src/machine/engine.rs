//! The seam to an engine that keeps the journals on several machines: what it is asked, and what it says.
//!
//! It keeps two streams of records, numbered in the order in which it took them: the log, with a subject for each shard,
//! and the leases, with a subject for each member. Beside them it has a store of files, one or more for each shard, so that
//! the log's front can go.

use std::path::PathBuf;

/// The number that a stream gave a record: from 1, ascending. Of 0 it is said where there is none.
pub type Sequence = u64;

/// Names a request, for its answer.
pub type RequestId = u64;

/// Where a record is, or is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The log of a shard, in the stream of all logs.
    Log(u32),
    /// The lease of a member, in the stream of all leases.
    Lease(u32),
}

impl Subject {
    /// Of the shard, or of the member.
    pub fn number(self) -> u32 {
        let (Subject::Log(number) | Subject::Lease(number)) = self;
        number
    }
}

/// A file that has all of a shard up to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardFile {
    /// Whose.
    pub shard: u32,
    /// Of its owner, who made it.
    pub epoch: u64,
    /// The shard's record.
    pub sequence: Sequence,
    /// Where it is.
    pub path: PathBuf,
}

/// What the engine is asked. Each request with an id is answered once ([`Answer`]), at the latest when its time is up.
/// Requests, and their answers, may overtake each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Append a record, if the last one of its subject is `expected` (0: if there is none).
    Append {
        /// For the answer.
        id: RequestId,
        /// Where to.
        subject: Subject,
        /// The last record that there may be.
        expected: Sequence,
        /// Its bytes.
        record: Vec<u8>,
    },
    /// The last record of a subject.
    Last {
        /// For the answer.
        id: RequestId,
        /// Whose.
        subject: Subject,
    },
    /// What the log's stream is like at the server that leads it.
    Inspect {
        /// For the answer.
        id: RequestId,
    },
    /// Let another server lead the log's stream. It has no answer.
    StepDown,
    /// From now on deliver the log's records behind this one, and no others, not even those under way of the last such
    /// request. It has no answer.
    Follow {
        /// The last one that is not to be delivered.
        after: Sequence,
    },
    /// Store a file that has all of a shard up to a record. Then files of the shard that are older go, and so do records of
    /// the log before the smallest of all shards' newest files.
    Keep {
        /// For the answer.
        id: RequestId,
        /// Which one. It is removed before the answer.
        kept: ShardFile,
    },
    /// Get the newest file of a shard.
    Fetch {
        /// For the answer.
        id: RequestId,
        /// Whose.
        shard: u32,
        /// Where to.
        file: PathBuf,
    },
    /// Tell another member something, once, if it is there. It has no answer; messages of one member to another may be
    /// lost, and keep their order.
    Publish {
        /// To whom.
        member: u32,
        /// Its bytes, at most [`crate::limits::MESSAGE_BYTES_MAX`].
        message: Vec<u8>,
    },
}

impl Request {
    /// Of its answer; `None`: there will be none.
    pub fn id(&self) -> Option<RequestId> {
        match self {
            Request::Append { id, .. }
            | Request::Last { id, .. }
            | Request::Inspect { id }
            | Request::Keep { id, .. }
            | Request::Fetch { id, .. } => Some(*id),
            Request::StepDown | Request::Follow { .. } | Request::Publish { .. } => None,
        }
    }
}

/// What the engine answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The record has this number, and a quorum of servers has the record.
    Acknowledged(Sequence),
    /// Nothing was appended by this request: this is the subject's last record. One that was sent before, and had no
    /// answer, may be that.
    Refused(Sequence),
    /// A subject's last record.
    Last(Option<(Sequence, Vec<u8>)>),
    /// What the log's stream is like.
    Inspected(Inspection),
    /// The file is stored.
    Kept,
    /// The file is there; `None`: the store has none of the shard.
    Fetched(Option<Sequence>),
    /// There was no answer in time: it may have happened, it may still happen, or it will not.
    Unknown,
}

/// What the log's stream is like at the server that leads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The first record that is there.
    pub first: Sequence,
    /// The last one.
    pub last: Sequence,
    /// Records between the first and the last that are not there. Nobody deletes any: they are lost.
    pub missing: u64,
    /// The smallest of all shards' newest files ([`Request::Keep`]); 0: some shard has none. The records before may be gone.
    pub kept: Sequence,
    /// Bytes of all records, with what the engine keeps of each.
    pub bytes: u64,
}

/// What the engine says to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// To a request.
    Answered(RequestId, Answer),
    /// The next record of the log ([`Request::Follow`]).
    LogDelivered {
        /// The shard of its subject.
        shard: u32,
        /// Its number in the log's stream.
        sequence: Sequence,
        /// Its bytes.
        record: Vec<u8>,
    },
    /// A record of a lease: the last of each when the engine is connected with, and each that is new.
    LeaseDelivered {
        /// The member of its subject.
        member: u32,
        /// Its number in the leases' stream.
        sequence: Sequence,
        /// Its bytes.
        record: Vec<u8>,
    },
    /// Another member's ([`Request::Publish`]).
    Message(Vec<u8>),
    /// The engine can be asked (again), or, `false`, not (any more). At first it cannot.
    Connected(bool),
}

/// A core's way to the engine that keeps its journals. Neither function blocks.
pub trait EnginePort: Send {
    /// Passes a request on.
    fn ask(&mut self, request: Request);
    /// What the engine says next, if it has said anything. The core is woken when there is more.
    fn next_event(&mut self) -> Option<EngineEvent>;
}
