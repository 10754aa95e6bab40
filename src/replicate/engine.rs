//! The seam to the engine: what it is asked, and what it says.

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
    /// From now on deliver the log's records behind this one, and no others. It has no answer.
    Follow {
        /// The last one that is not to be delivered.
        after: Sequence,
    },
}

impl Request {
    /// Of its answer; `None`: there will be none.
    pub fn id(&self) -> Option<RequestId> {
        match self {
            Request::Append { id, .. } | Request::Last { id, .. } | Request::Inspect { id } => {
                Some(*id)
            }
            Request::StepDown | Request::Follow { .. } => None,
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
}
