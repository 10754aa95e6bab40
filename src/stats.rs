//! Counters. Each core writes its own and any core reads all of them, so they are atomics that
//! nobody contends for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::api::Endpoint;
use crate::http::Status;

/// Upper bounds of the duration histogram, nanoseconds; one bucket more is for what is beyond.
pub const DURATION_BOUNDS_NS: [u64; 13] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    50_000_000,
    250_000_000,
    1_000_000_000,
];

const ENDPOINTS: usize = Endpoint::ALL.len();

/// A number that one core writes.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Only the owner may call this: it is a load and a store, not a locked addition.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed) + count, Relaxed);
    }

    /// Only the owner may call this.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Anyone may.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one core counts.
#[derive(Default)]
#[repr(align(128))]
pub struct CoreStats {
    replies: [[Counter; Status::ALL.len()]; ENDPOINTS],
    durations: [[Counter; DURATION_BOUNDS_NS.len() + 1]; ENDPOINTS],
    duration_sum_ns: [Counter; ENDPOINTS],
    /// Clients connected.
    pub connections: Counter,
    /// Connections taken since the start.
    pub connections_total: Counter,
    /// Connections refused at the bound.
    pub connections_refused: Counter,
    /// Commands sent to other cores.
    pub forwards: Counter,
    /// Shards taken over from other nodes.
    pub takeovers: Counter,
    /// Shards that came back home.
    pub handbacks: Counter,
    /// Commands sent, or carried out, again, because their owner was lost.
    pub retries: Counter,
    /// Repeats that were answered with the first outcome.
    pub duplicates: Counter,
    /// Records appended.
    pub journal_records: Counter,
    /// Bytes appended.
    pub journal_bytes: Counter,
    /// Writes that appended them.
    pub journal_writes: Counter,
    /// Writes that found no room.
    pub journal_full: Counter,
    /// `fdatasync` calls.
    pub journal_syncs: Counter,
    /// Snapshots finished.
    pub snapshots: Counter,
    /// When the oldest of the core's shards' newest snapshots was begun; microseconds since 1970.
    pub snapshot_time_us: Counter,
}

impl CoreStats {
    /// Counts a reply.
    pub fn replied(&self, endpoint: Endpoint, status: Status, duration_ns: u64) {
        let endpoint = endpoint as usize;
        self.replies[endpoint][status.index()].add(1);
        let bucket = DURATION_BOUNDS_NS.partition_point(|bound| *bound < duration_ns);
        self.durations[endpoint][bucket].add(1);
        self.duration_sum_ns[endpoint].add(duration_ns);
    }
}

/// All cores' counters.
pub struct Stats {
    cores: Box<[CoreStats]>,
}

impl Stats {
    /// For so many cores.
    pub fn new(cores: usize) -> Stats {
        Stats {
            cores: (0..cores).map(|_| CoreStats::default()).collect(),
        }
    }

    /// One core's.
    pub fn core(&self, core: usize) -> &CoreStats {
        &self.cores[core]
    }

    /// Adds something up over the cores.
    pub fn sum(&self, counter: impl Fn(&CoreStats) -> &Counter) -> u64 {
        self.cores.iter().map(|core| counter(core).get()).sum()
    }

    /// The smallest over the cores.
    pub fn min(&self, counter: impl Fn(&CoreStats) -> &Counter) -> u64 {
        self.cores
            .iter()
            .map(|core| counter(core).get())
            .min()
            .unwrap_or(0)
    }

    /// Replies to one endpoint with one status.
    pub fn replies(&self, endpoint: Endpoint, status: Status) -> u64 {
        self.sum(|core| &core.replies[endpoint as usize][status.index()])
    }

    /// Replies of all kinds.
    pub fn replies_in_all(&self) -> u64 {
        let pairs = Endpoint::ALL
            .iter()
            .flat_map(|e| Status::ALL.iter().map(move |s| (*e, *s)));
        pairs
            .map(|(endpoint, status)| self.replies(endpoint, status))
            .sum()
    }

    /// Replies to an endpoint that fell into a bucket of [`DURATION_BOUNDS_NS`] (not added up).
    pub fn durations(&self, endpoint: Endpoint, bucket: usize) -> u64 {
        self.sum(|core| &core.durations[endpoint as usize][bucket])
    }

    /// Nanoseconds.
    pub fn duration_sum_ns(&self, endpoint: Endpoint) -> u64 {
        self.sum(|core| &core.duration_sum_ns[endpoint as usize])
    }
}

/// How it is with the link between two members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LinkState {
    /// There is none.
    Down,
    /// Connected, not yet greeted.
    Connecting,
    /// In use.
    Up,
}

impl Stats {
    /// Says how a link is.
    pub fn link(&self, _core: usize, _member: usize, _state: LinkState) {}
    /// A shard is ours since then, microseconds since 1970.
    pub fn shard_owned(&self, _shard: usize, _since_us: u64) {}
    /// A shard is ours no longer.
    pub fn shard_lost(&self, _shard: usize) {}
}
