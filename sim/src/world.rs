//! What happens next: one thread, in which a seed decides it.

use std::collections::BTreeMap;

use galo::machine::{Machine, Now};
use galo::shard::Meta;

use crate::disk::SimDisk;
use crate::event;
use crate::jobs::Running;
use crate::journals::Journal;
use crate::model::Model;
use crate::payments::{Book, Processors};
use crate::plan::Plan;
use crate::processes::Cluster;
use crate::recovery::Promise;
use crate::request::Tag;
use crate::run::{Coverage, Options, REAL_US};
use crate::sabotage::Sabotage;
use crate::socket::Socket;
use crate::trace::{Checked, Trace, Who};
use galo_testkit::Random;

const SECOND_NS: u64 = 1_000_000_000;

/// Everything there is, but for the processes.
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
    pub fn new(seed: u64, plan: Plan, mut random: Random, odd: Random, options: Options) -> World {
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
            trace: Trace::new(options.shown),
            coverage: Coverage::default(),
            sabotage: options.sabotage,
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

    /// One step of the world.
    pub fn step(&mut self, cluster: &mut Cluster) -> Checked {
        let pass_ns = self.random.skewed(100_000);
        self.set_clock(self.now_ns + pass_ns);
        self.attend_processors()?;
        match self.random.below(100) {
            45..=79 => self.act(cluster)?,
            80..=92 if !self.slow_jobs || self.random.percent(8) => self.run_any_job(cluster)?,
            93..=95 => self.wait(cluster),
            96 if self.plan.clock_steps => self.step_clock(),
            97 if self.plan.full_disk && !self.is_quiescent() => {
                if self.random.percent(50) {
                    let room = self.random.below(600);
                    self.model.payments.disturbed(self.now_ns);
                    if self.plan.size_limit && self.odd.percent(70) {
                        let bytes = self.odd.skewed(20_000) - 1;
                        event!(
                            self.trace,
                            Who::Disk,
                            "no file may be larger than {bytes} bytes"
                        );
                        self.disk.limit_files(bytes);
                    } else {
                        event!(self.trace, Who::Disk, "is full but for {room} bytes");
                        self.disk.fill_up_to(room);
                    }
                } else {
                    event!(self.trace, Who::Disk, "has room again");
                    self.disk.make_room();
                }
            }
            98 | 99 if self.troubles => self.trouble(cluster)?,
            _ => {
                let member = self.random.index(cluster.members());
                self.tick(cluster, member)?;
            }
        }
        if cluster.is_alone() {
            return Ok(());
        }
        self.bury(cluster)
    }

    /// The real-time clock steps, either way.
    pub fn step_clock(&mut self) {
        let step_us = self.random.skewed(self.plan.clock_step_us_max) as i64;
        let back = self.random.percent(50);
        self.realtime_us += if back { -step_us } else { step_us };
        self.model.clocks.push((self.now_ns, self.realtime_us));
        self.model.payments.clock_stepped();
        self.coverage.clock_steps += 1;
        let direction = if back { "back" } else { "forward" };
        event!(
            self.trace,
            Who::Clock,
            "is set {direction} by {} ms",
            step_us / 1_000
        );
    }

    /// Lets time pass, at most to the next deadline.
    pub fn wait(&mut self, cluster: &Cluster) {
        if self.pass_long(cluster) {
            return;
        }
        let mut until_ns = self.now_ns + self.random.skewed(50_000_000);
        let stopping = cluster
            .processes
            .iter()
            .any(|process| process.is_stopping());
        let awake = cluster
            .cores()
            .filter(|(member, _)| {
                let process = &cluster.processes[cluster.node_of(*member)];
                process.paused_until_ns <= self.now_ns
            })
            .filter_map(|(_, core)| core.host.as_ref());
        let mut deadline_ns = awake.filter_map(|host| host.deadline_ns()).min();
        if !cluster.is_alone() {
            let wake = cluster
                .processes
                .iter()
                .map(|process| process.paused_until_ns);
            let wake = wake.filter(|at_ns| *at_ns > self.now_ns).min();
            deadline_ns = deadline_ns.into_iter().chain(wake).min();
        }
        if let Some(deadline_ns) = deadline_ns {
            let soon_ns = if cluster.is_alone() {
                SECOND_NS / 5
            } else {
                SECOND_NS
            };
            let soon = deadline_ns < self.now_ns + soon_ns;
            if soon || (self.plan.timeouts && !self.is_quiescent() && !stopping) {
                until_ns = deadline_ns;
            }
        }
        if stopping || (self.is_quiescent() && !cluster.is_alone()) {
            until_ns = until_ns.min(self.now_ns + SECOND_NS / 100);
        }
        self.set_clock(until_ns.max(self.now_ns));
    }
}
