//! Counters and gauges. Each core writes its own and any core reads all of them, so they are atomics without
//! contention.

mod engine;
mod payments;

pub use engine::EngineStats;
pub use payments::{PaymentStats, ProcessorStats};

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicU8, Ordering::Relaxed};

use crate::limits::CLOCK_STEP_US;

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

/// Endpoints that replies are counted by. What the numbers of an endpoint, a status, a processor or an anomaly stand
/// for is known where they are counted and written out.
pub const ENDPOINTS: usize = 11;
/// Statuses that replies are counted by: as many as [`Status::ALL`](crate::http::Status::ALL) has.
pub const STATUSES: usize = 16;
/// Payment processors, by number: default, fallback.
pub const PROCESSORS: usize = 2;
/// Kinds of senseless answers of a processor: [`Anomaly`](crate::payments::answers::Anomaly).
pub const ANOMALIES: usize = 6;

/// A counter or gauge that one core writes and all cores read.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Only the owner may call this: it is a load and a store, not a locked addition.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed) + count, Relaxed);
    }

    /// Replaces the value. Only the core that owns the counter may call this.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value as last written; any thread may read it.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// How long ago the monotonic time is that it holds; 0 for what another core, which is ahead, calls now.
    pub fn age_ns(&self, now_ns: u64) -> u64 {
        let age_ns = now_ns.wrapping_sub(self.get()) as i64;
        age_ns.max(0) as u64
    }
}

/// The counters and gauges of one core, which it alone writes.
#[derive(Default)]
#[repr(align(128))]
pub struct CoreStats {
    replies: [[Counter; STATUSES]; ENDPOINTS],
    durations: [[Counter; DURATION_BOUNDS_NS.len() + 1]; ENDPOINTS],
    duration_sum_ns: [Counter; ENDPOINTS],
    /// Clients' connections that are open now.
    pub connections: Counter,
    /// Connections taken since the start.
    pub connections_total: Counter,
    /// Connections refused at the bound.
    pub connections_refused: Counter,
    /// Connections closed for what they held.
    pub clients_evicted: Counter,
    /// Bytes of the buffers of clients.
    pub client_buffers: Counter,
    /// Commands sent to other cores, of this process or another.
    pub forwards: Counter,
    /// Shards taken over from other nodes.
    pub takeovers: Counter,
    /// Shards that were handed back to this core, whose home is here.
    pub handbacks: Counter,
    /// Commands sent, or carried out, again, because their owner was lost.
    pub retries: Counter,
    /// Repeats that were answered with the first outcome.
    pub duplicates: Counter,
    /// Records appended to journals.
    pub journal_records: Counter,
    /// Bytes appended to journals.
    pub journal_bytes: Counter,
    /// Write calls that appended records: one a tick and shard.
    pub journal_writes: Counter,
    /// Writes to a journal that found no room on the disk.
    pub journal_full: Counter,
    /// Calls of `fdatasync` for journals.
    pub journal_syncs: Counter,
    /// Snapshots that were finished, of all shards.
    pub snapshots: Counter,
    /// When the oldest of the core's shards' newest snapshots was finished. Monotonic.
    pub snapshot_ns: Counter,
    /// Counters of the payments gateway.
    pub payments: PaymentStats,
}

impl CoreStats {
    /// Counts a reply, by the numbers of its endpoint and status, and the time from request to reply.
    pub fn replied(&self, endpoint: usize, status: usize, duration_ns: u64) {
        self.replies[endpoint][status].add(1);
        let bucket = DURATION_BOUNDS_NS.partition_point(|bound| *bound < duration_ns);
        self.durations[endpoint][bucket].add(1);
        self.duration_sum_ns[endpoint].add(duration_ns);
    }
}

/// How it is with the link between two members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LinkState {
    /// There is no connection to the member.
    Down,
    /// Connected, not yet greeted.
    Connecting,
    /// Greeted, and in use.
    Up,
}

/// What all cores of a node count, and how they are linked.
pub struct Stats {
    cores: Box<[CoreStats]>,
    /// This node's number, and how many nodes there are.
    node: usize,
    nodes: usize,
    /// By shard: since when this process owns it; microseconds since 1970. 0: it does not.
    owned_since_us: Box<[AtomicU64]>,
    /// By core and member: [`LinkState`].
    links: Box<[AtomicU8]>,
    /// Real time less monotonic time, as some core saw them last, but for small steps; microseconds.
    /// `i64::MIN`: none did.
    clock_offset_us: AtomicI64,
    /// By processor and anomaly: no line about it before this. Monotonic nanoseconds.
    anomaly_lines_ns: [[AtomicU64; ANOMALIES]; PROCESSORS],
    engine: Option<Box<EngineStats>>,
}

impl Stats {
    /// For the cores of a node. It owns nothing yet, and is linked to nobody.
    /// `node`: its number, of so many `nodes` with as many cores each.
    pub fn new(cores: usize, node: usize, nodes: usize, shards: usize) -> Stats {
        let links = cores * nodes * cores;
        Stats {
            cores: (0..cores).map(|_| CoreStats::default()).collect(),
            node,
            nodes,
            owned_since_us: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            links: (0..links).map(|_| AtomicU8::new(0)).collect(),
            anomaly_lines_ns: Default::default(),
            clock_offset_us: AtomicI64::new(i64::MIN),
            engine: None,
        }
    }

    /// For shards whose journals an engine keeps.
    pub fn with_engine(mut self) -> Stats {
        self.engine = Some(Box::new(EngineStats::new(self.cores.len())));
        self
    }

    /// What the cores have with the engine, where one keeps the journals.
    pub fn engine(&self) -> Option<&EngineStats> {
        self.engine.as_deref()
    }

    /// A core sees the time. How far real time has stepped since any core saw it, if it is far: the core that sees
    /// it first is told. Microseconds.
    pub fn clock_seen(&self, monotonic_ns: u64, realtime_us: u64) -> Option<i64> {
        let offset_us = realtime_us.wrapping_sub(monotonic_ns / 1_000) as i64;
        let seen_us = self.clock_offset_us.load(Relaxed);
        let step_us = offset_us.saturating_sub(seen_us);
        if seen_us != i64::MIN && step_us.unsigned_abs() <= CLOCK_STEP_US {
            return None;
        }
        self.clock_offset_us
            .compare_exchange(seen_us, offset_us, Relaxed, Relaxed)
            .ok()?;
        (seen_us != i64::MIN).then_some(step_us)
    }

    /// Whether a line about an anomaly is due, of all cores together; then the next one is, after `pause_ns`. Any
    /// core may call this.
    pub fn anomaly_line_is_due(
        &self,
        processor: usize,
        anomaly: usize,
        now_ns: u64,
        pause_ns: u64,
    ) -> bool {
        let next = &self.anomaly_lines_ns[processor][anomaly];
        let due_ns = next.load(Relaxed);
        let then_ns = now_ns.saturating_add(pause_ns);
        due_ns <= now_ns
            && next
                .compare_exchange(due_ns, then_ns, Relaxed, Relaxed)
                .is_ok()
    }

    /// A shard is this process's. Only the core that owns it may call this.
    pub fn shard_owned(&self, shard: usize, since_us: u64) {
        self.owned_since_us[shard].store(since_us.max(1), Relaxed);
    }

    /// A shard is this process's no longer. Only the core that owned it may call this.
    pub fn shard_lost(&self, shard: usize) {
        self.owned_since_us[shard].store(0, Relaxed);
    }

    /// The shards that are this process's, ascending, each with since when: microseconds since 1970.
    pub fn owned(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let shards = self.owned_since_us.iter().enumerate();
        shards
            .map(|(shard, since_us)| (shard, since_us.load(Relaxed)))
            .filter(|(_, since_us)| *since_us > 0)
    }

    /// Tells how a core's link to a member is. Only that core may call this.
    pub fn link(&self, core: usize, member: usize, state: LinkState) {
        self.links[self.link_index(core, member)].store(state as u8, Relaxed);
    }

    fn link_state(&self, core: usize, member: usize) -> LinkState {
        match self.links[self.link_index(core, member)].load(Relaxed) {
            0 => LinkState::Down,
            1 => LinkState::Connecting,
            _ => LinkState::Up,
        }
    }

    fn link_index(&self, core: usize, member: usize) -> usize {
        core * self.nodes * self.cores.len() + member
    }

    /// All links to another node: each of our cores has one to each of its.
    fn links_to(&self, node: usize) -> impl Iterator<Item = LinkState> + '_ {
        let cores = self.cores.len();
        let theirs = move |core| (0..cores).map(move |their| (core, node * cores + their));
        let pairs = (0..cores).flat_map(theirs);
        pairs.map(|(core, member)| self.link_state(core, member))
    }

    /// How the links to another node are: up if all are, down if none is there.
    pub fn link_to(&self, node: usize) -> LinkState {
        let mut least = LinkState::Up;
        let mut most = LinkState::Down;
        for state in self.links_to(node) {
            least = least.min(state);
            most = most.max(state);
        }
        match (least, most) {
            (LinkState::Up, _) => LinkState::Up,
            (_, LinkState::Down) => LinkState::Down,
            _ => LinkState::Connecting,
        }
    }

    /// Links to cores of other nodes that are up.
    pub fn links_up(&self) -> usize {
        let others = (0..self.nodes).filter(|node| *node != self.node);
        let states = others.flat_map(|node| self.links_to(node));
        states.filter(|state| *state == LinkState::Up).count()
    }

    /// The counters that core `core` writes.
    pub fn core(&self, core: usize) -> &CoreStats {
        &self.cores[core]
    }

    /// The counters of all cores, by core number.
    pub fn cores(&self) -> impl Iterator<Item = &CoreStats> {
        self.cores.iter()
    }

    /// The sum of one counter over all cores.
    pub fn sum(&self, counter: impl Fn(&CoreStats) -> &Counter) -> u64 {
        self.cores.iter().map(|core| counter(core).get()).sum()
    }

    /// Replies to one endpoint with one status.
    pub fn replies(&self, endpoint: usize, status: usize) -> u64 {
        self.sum(|core| &core.replies[endpoint][status])
    }

    /// Replies of all endpoints and statuses, of all cores.
    pub fn replies_in_all(&self) -> u64 {
        let of = |core: &CoreStats| core.replies.iter().flatten().map(Counter::get).sum::<u64>();
        self.cores.iter().map(of).sum()
    }

    /// Replies to an endpoint that fell into a bucket of [`DURATION_BOUNDS_NS`] (not added up).
    pub fn durations(&self, endpoint: usize, bucket: usize) -> u64 {
        self.sum(|core| &core.durations[endpoint][bucket])
    }

    /// Nanoseconds from request to reply, summed over the replies of an endpoint.
    pub fn duration_sum_ns(&self, endpoint: usize) -> u64 {
        self.sum(|core| &core.duration_sum_ns[endpoint])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_up_when_all_links_to_it_are() {
        let stats = Stats::new(2, 1, 3, 6);
        assert_eq!(stats.link_to(2), LinkState::Down);
        stats.link(0, 4, LinkState::Connecting);
        assert_eq!(stats.link_to(2), LinkState::Connecting);
        for (core, member) in [(0, 4), (0, 5), (1, 4)] {
            stats.link(core, member, LinkState::Up);
            assert_eq!(stats.link_to(2), LinkState::Connecting);
        }
        stats.link(1, 5, LinkState::Up);
        assert_eq!(
            (stats.link_to(2), stats.link_to(0)),
            (LinkState::Up, LinkState::Down)
        );
        stats.link(0, 3, LinkState::Up); // Between our own cores: not counted.
        assert_eq!(stats.links_up(), 4);
        stats.link(1, 4, LinkState::Down);
        assert_eq!(
            (stats.link_to(2), stats.links_up()),
            (LinkState::Connecting, 3)
        );
    }

    #[test]
    fn a_step_of_the_clock_is_told_once_with_its_size() {
        let stats = Stats::new(2, 0, 1, 2);
        let seen = |monotonic_ms: u64, realtime_ms: u64| {
            stats.clock_seen(monotonic_ms * 1_000_000, realtime_ms * 1_000)
        };
        // A machine that has been up for longer than since 1970, by its clock.
        assert_eq!(seen(9_000, 0), None);
        assert_eq!(seen(10_000, 1_000), None);
        assert_eq!(seen(10_000, 2_000), None, "a second is none yet");
        assert_eq!(seen(10_500, 3_600_500), Some(3_599_000_000));
        assert_eq!(seen(10_500, 3_600_500), None, "another core");
        assert_eq!(seen(11_000, 0), Some(-3_601_000_000));
        assert_eq!(seen(11_001, 1), None);
    }

    #[test]
    fn an_anomaly_has_a_line_now_and_then() {
        let stats = Stats::new(2, 0, 1, 2);
        let due =
            |processor, anomaly, now_ns| stats.anomaly_line_is_due(processor, anomaly, now_ns, 100);
        assert!(due(0, 3, 7));
        assert!(!due(0, 3, 106));
        assert!(due(1, 3, 106));
        assert!(due(0, 4, 106));
        assert!(due(0, 3, 107));
    }

    #[test]
    fn shards_come_and_go() {
        let stats = Stats::new(1, 0, 1, 3);
        stats.shard_owned(2, 70);
        stats.shard_owned(0, 0);
        assert_eq!(stats.owned().collect::<Vec<_>>(), [(0, 1), (2, 70)]);
        stats.shard_lost(2);
        assert_eq!(stats.owned().collect::<Vec<_>>(), [(0, 1)]);
    }
}
