//! A member: a replica, its copies of the shards, its clock, and who waits for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use galo::machine::engine::{Answer, RequestId, Sequence};
use galo::replicate::{Position, Replica};

use super::engine::File;

/// Something that has got to a member.
pub enum Arrival {
    Answer(RequestId, Answer),
    Log(u32, Sequence, Vec<u8>),
    Lease(u32, Sequence, Vec<u8>),
}

/// A clock that goes too fast or too slow.
pub struct Clock {
    pub begun_ns: u64,
    pub permille: u64,
}

impl Clock {
    /// What it shows.
    pub fn shows(&self, true_ns: u64) -> u64 {
        self.begun_ns + (u128::from(true_ns) * u128::from(self.permille) / 1000) as u64
    }

    /// When it will show that, or a little later.
    pub fn when(&self, shown_ns: u64) -> u64 {
        let shown_ns = shown_ns.saturating_sub(self.begun_ns);
        (u128::from(shown_ns) * 1000).div_ceil(u128::from(self.permille)) as u64
    }
}

/// A reader that waits.
pub struct Read {
    /// What it has seen: so many writes.
    pub seen: usize,
    /// What it has to see at least.
    pub floor: usize,
}

/// A member's copy of a shard.
#[derive(Default)]
pub struct Copy {
    /// By record: where the log's copy is then, and how many writes it has. Survives a crash, but for the end.
    pub records: Vec<(Position, usize)>,
    pub writes: Vec<u64>,
    /// How many of `writes` are known to be in the log; the others were journalled here only.
    pub safe: usize,
    /// And so many have been sent.
    pub sent: usize,
    pub reads: Vec<Read>,
}

impl Copy {
    pub fn position(&self) -> Position {
        self.records
            .last()
            .map_or_else(Position::default, |it| it.0)
    }

    /// All of it that is in the log, up to its last record.
    pub fn to_file(&self) -> File {
        File {
            sequence: self.position().sequence,
            records: self.records.clone(),
            writes: self.writes[..self.safe].to_vec(),
        }
    }

    /// From a file.
    pub fn restored(&mut self, file: File) {
        self.safe = file.writes.len();
        self.sent = self.safe;
        self.records = file.records;
        self.writes = file.writes;
        self.reads.clear();
    }

    /// What is not in the log is taken back.
    pub fn take_back(&mut self) {
        self.writes.truncate(self.safe);
        self.sent = self.safe;
        self.reads.clear();
    }

    /// A process dies: the last `lost` records did not get to its disk.
    pub fn crash(&mut self, lost: usize) {
        self.records
            .truncate(self.records.len() - lost.min(self.records.len()));
        self.safe = self.records.last().map_or(0, |it| it.1);
        self.take_back();
    }
}

pub struct Member {
    pub clock: Clock,
    /// Tells what was meant for an earlier process of this member.
    pub life: u64,
    /// While it is there.
    pub replica: Option<Replica>,
    pub copies: Vec<Copy>,
    /// The shard that is being kept.
    pub keeping: Option<u32>,
    /// What is on its way to the engine, by request.
    pub files: BTreeMap<RequestId, File>,
    /// What has come from there, by shard.
    pub fetched: BTreeMap<u32, File>,
    /// Requests that were not answered yet.
    pub open: BTreeSet<RequestId>,
    /// The last record of the log that was sent to it.
    pub delivered: Sequence,
    /// Behind which record it has asked for more, the last time.
    pub follow: Sequence,
    /// By member: the same of the leases.
    pub leases: Vec<Sequence>,
    /// It does nothing before that.
    pub paused_until_ns: u64,
    /// What has arrived meanwhile.
    pub inbox: VecDeque<Arrival>,
    /// Nothing gets from it to the engine before that.
    pub mute_until_ns: u64,
    /// Nothing gets to it before that.
    pub deaf_until_ns: u64,
    /// Nothing that is new gets to it before that.
    pub stalled_until_ns: u64,
    pub wake_ns: u64,
}

impl Member {
    pub fn new(clock: Clock, shards: usize, members: usize) -> Member {
        Member {
            clock,
            life: 0,
            replica: None,
            copies: (0..shards).map(|_| Copy::default()).collect(),
            keeping: None,
            files: BTreeMap::new(),
            fetched: BTreeMap::new(),
            open: BTreeSet::new(),
            delivered: 0,
            follow: 0,
            leases: vec![0; members],
            paused_until_ns: 0,
            inbox: VecDeque::new(),
            mute_until_ns: 0,
            deaf_until_ns: 0,
            stalled_until_ns: 0,
            wake_ns: u64::MAX,
        }
    }
}
