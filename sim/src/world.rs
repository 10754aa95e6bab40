//! Everything there is in a run, but for the processes.

use std::collections::BTreeMap;

use galo::machine::Now;
use galo::runtime::{Work, WorkDone};
use galo::shard::Meta;

use crate::coverage::Coverage;
use crate::disk::SimDisk;
use crate::journals::Journal;
use crate::model::Model;
use crate::payments::{Book, Processors};
use crate::plan::Plan;
use crate::request::Tag;
use crate::sabotage::Sabotage;
use crate::socket::Socket;
use crate::trace::{Shown, Trace};
use galo_testkit::Random;

/// Real time when a run begins; microseconds since 1970.
pub const REAL_US: i64 = 1_700_000_000_000_000;

/// A job that was handed out.
pub struct Running {
    pub member: usize,
    /// Until it is run.
    pub job: Option<Work<SimDisk>>,
    /// From then on.
    pub done: Option<WorkDone<SimDisk>>,
    /// The shards' last records when it was handed out.
    pub sequences: Vec<u64>,
    /// Shards that its member has let go of since.
    pub let_go: Vec<usize>,
}

/// What recovery is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// All that was written is there.
    Written,
    /// All that was synced is.
    Durable,
}

/// See the module.
pub struct World {
    pub plan: Plan,
    pub random: Random,
    /// For what only some seeds have.
    pub odd: Random,
    pub trace: Trace,
    /// The one that makes the directory, and looks on.
    pub disk: SimDisk,
    /// Once the directory is made.
    pub meta: Option<Meta>,
    pub model: Model,
    /// By shard: how far it was read.
    pub journals: Vec<Option<Journal>>,
    /// By shard: what its next owner is held to.
    pub promises: Vec<Promise>,
    pub coverage: Coverage,
    pub sabotage: Option<Sabotage>,
    pub now_ns: u64,
    /// When the last tick began.
    pub tick_ns: u64,
    /// Real time at `now_ns` 0.
    pub realtime_us: i64,
    /// In the order in which they were made.
    pub sockets: BTreeMap<u64, Socket>,
    pub next_socket: u64,
    pub jobs: Vec<Running>,
    /// Clients so far.
    pub names: u64,
    /// Processes so far.
    pub lives_begun: u64,
    /// Keyed requests without an answer that nobody is asking at present.
    pub unanswered: Vec<Tag>,
    /// From then on no faults and no new work: what is under way must come to its end.
    pub quiescent_ns: u64,
    /// From then on everybody is there and knows it.
    pub settled_ns: u64,
    /// Processes and links are to suffer.
    pub troubles: bool,
    /// What a device does takes long.
    pub slow_jobs: bool,
    /// A core has exited.
    pub core_gone: bool,
    pub processors: Processors,
    /// When a process last came or went, or a shard's owner.
    pub shuffled_ns: u64,
    /// With durability `disk`: what leaves the machine rests on what survives a loss of power.
    pub durable: bool,
}

std::thread_local! {
    static CLOCK_NS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// `CLOCK_MONOTONIC` of the world that runs in this thread.
pub fn clock_ns() -> u64 {
    CLOCK_NS.get()
}

impl World {
    /// Before anything has happened.
    pub fn new(seed: u64, plan: Plan, mut random: Random, odd: Random, shown: Shown) -> World {
        let shards = plan.shards as usize;
        let book = Book::new(plan.payments.as_ref(), shards);
        let mut model = Model::new(&plan.clients, plan.shards, book);
        model.clocks.push((0, REAL_US));
        World {
            model,
            journals: (0..shards).map(|_| None).collect(),
            processors: Processors::new(plan.payments.as_ref(), seed),
            shuffled_ns: 0,
            durable: false,
            promises: vec![Promise::Durable; shards],
            meta: None,
            plan,
            disk: SimDisk::new(random.fork()),
            random,
            odd,
            trace: Trace::new(shown),
            coverage: Coverage::default(),
            sabotage: None,
            now_ns: 0,
            tick_ns: 0,
            realtime_us: REAL_US,
            sockets: BTreeMap::new(),
            next_socket: 0,
            jobs: Vec::new(),
            names: 0,
            lives_begun: 0,
            unanswered: Vec::new(),
            quiescent_ns: u64::MAX,
            settled_ns: u64::MAX,
            troubles: false,
            core_gone: false,
            slow_jobs: false,
        }
    }

    pub fn set_clock(&mut self, now_ns: u64) {
        assert!(now_ns >= self.now_ns);
        self.now_ns = now_ns;
        self.trace.set_now(now_ns);
        CLOCK_NS.set(now_ns);
    }

    pub fn now(&self) -> Now {
        self.now_at(self.now_ns)
    }

    /// The same at another monotonic time, if the clock has not stepped in between.
    pub fn now_at(&self, monotonic_ns: u64) -> Now {
        Now {
            monotonic_ns,
            realtime_us: (self.realtime_us + (monotonic_ns / 1_000) as i64).max(0) as u64,
        }
    }

    /// Whether this happens now; it does so `percent` times in a hundred, and never in a story.
    pub fn happens(&mut self, percent: u64) -> bool {
        !self.plan.scripted && self.random.percent(percent)
    }

    pub fn is_quiescent(&self) -> bool {
        self.quiescent_ns != u64::MAX
    }
}
