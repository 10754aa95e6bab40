//! Processes start, and stop or die.

use std::sync::Arc;

use galo::api::operations::Process as Facts;
use galo::machine::{Machine, Peer};
use galo::node::{PaymentSettings, Settings};
use galo::runtime::Runtime;
use galo::shard::{Acquired, Owned};

use crate::cluster::{Cluster, Core, Process, Starting};
use crate::disk::SimDisk;
use crate::payments::wire::HOSTS;
use crate::sabotage::Sabotage;
use crate::socket::{Ended, Far, Socket};
use crate::trace::{Checked, Who};
use crate::world::{clock_ns, World};
use crate::{event, violation};

impl World {
    /// A handle for the next life of some process.
    pub fn next_process(&mut self) -> SimDisk {
        self.lives_begun += 1;
        self.disk.of(self.lives_begun)
    }

    // ---- Starting ----------------------------------------------------------------

    /// A process that is not there comes back.
    pub fn restart(&mut self, cluster: &mut Cluster, node: usize) {
        event!(self.trace, Who::Node(node), "starts");
        self.coverage.restarts += 1;
        let shards = (0..cluster.meta.shards)
            .filter(|shard| cluster.node_of(cluster.home(*shard as usize)) == node)
            .collect();
        let owned = (0..cluster.life.cores).map(|_| Vec::new()).collect();
        let mut process = Process::new(self.next_process());
        process.starting = Some(Starting { shards, owned });
        cluster.processes[node] = process;
    }

    /// The next thing that a starting process does: it takes a shard that is at home there and free.
    pub fn start_on(&mut self, cluster: &mut Cluster, node: usize) -> Checked {
        let directory = cluster.directory(node);
        let process = &mut cluster.processes[node];
        let Some(starting) = &mut process.starting else {
            return Ok(());
        };
        let Some(shard) = starting.shards.pop_front() else {
            let owned = process.starting.take().expect("just seen").owned;
            self.start(cluster, node, owned);
            return Ok(());
        };
        let acquired = directory.acquire(shard);
        let events = process.disk.events();
        match acquired {
            _ if events.killed => {}
            Ok(Acquired::Ours(mut owned)) => {
                let home = cluster.home(shard as usize);
                self.recovered(Who::Core(home), &mut owned)?;
                let core = home % cluster.life.cores;
                let starting = cluster.processes[node].starting.as_mut();
                starting.expect("just seen").owned[core].push(*owned);
            }
            Ok(Acquired::Held(descriptor)) => {
                event!(
                    self.trace,
                    Who::Node(node),
                    "leaves shard {shard} to {descriptor}"
                );
            }
            Err(error) => {
                if events.failed == 0 && self.disk.full_events() == 0 {
                    violation!("node {node}: recovery refuses: {error}");
                }
                self.kill(cluster, node)?;
            }
        }
        Ok(())
    }

    /// The cores begin, with the shards that they have (by core, ascending).
    pub fn start(&mut self, cluster: &mut Cluster, node: usize, owned: Vec<Vec<Owned<SimDisk>>>) {
        let started_us = self.now().realtime_us;
        let facts = Facts {
            version: "0.0.0",
            git_hash: "unknown",
            driver: "simulator",
            started_us,
            started_ns: self.now_ns,
            resident_bytes: || 4096,
            stats: Arc::new(cluster.view(node, 0).stats()),
        };
        self.shuffled_ns = self.now_ns;
        let directory = cluster.directory(node);
        for (core, owned) in owned.into_iter().enumerate() {
            let epoch = match self.sabotage {
                Some(Sabotage::EpochRepeated) => 1,
                _ => self.random.next() >> 16,
            };
            let settings = Settings {
                members: cluster.view(node, core),
                epoch,
                directory: cluster.meta.directory,
                durability: cluster.life.durability,
                allow_reset: self.plan.resets == Some(true),
                docs: false,
                payments: self.plan.payments.as_ref().map(|plan| PaymentSettings {
                    hosts: HOSTS.map(str::to_owned),
                    prefixes: plan.prefixes.map(str::to_owned),
                    deadline_ns: match self.sabotage {
                        Some(Sabotage::DeadlineForgotten) => 100 * plan.deadline_ns,
                        _ => plan.deadline_ns,
                    },
                    open_max: plan.open_max,
                }),
                process: facts.clone(),
            };
            let numbers = owned
                .iter()
                .map(|owned| owned.recovered.shard.identity().shard as usize)
                .collect();
            let runtime = Runtime::new(settings, directory.clone(), owned, clock_ns);
            cluster.processes[node].cores.push(Core {
                runtime: Some(runtime),
                accepts: true,
                stop_wanted: false,
                stopped_ns: None,
                stopped_clean: false,
                exited: None,
                connecting: Vec::new(),
                dialing: Vec::new(),
                owned: numbers,
            });
        }
        self.link_cores(cluster, node);
    }

    /// Connects every core of a process with every other.
    fn link_cores(&mut self, cluster: &mut Cluster, node: usize) {
        let cores = cluster.life.cores;
        let now = self.now();
        let first = node * cores;
        for from in 0..cores {
            for to in from + 1..cores {
                let ends = [self.next_socket, self.next_socket + 1];
                self.add_socket(Socket::new(first + from, Far::Link(ends[1])));
                self.add_socket(Socket::new(first + to, Far::Link(ends[0])));
                for (end, other) in [(from, to), (to, from)] {
                    let runtime = cluster.processes[node].cores[end].runtime.as_mut();
                    let runtime = runtime.expect("it has just begun");
                    // The tick is ended by the first one of the world, which begins with no effects.
                    runtime.tick_begin(now);
                    let id = runtime.opened(Peer::Member(first + other));
                    let socket = ends[usize::from(end > other)];
                    let socket = self.sockets.get_mut(&socket).expect("just made");
                    socket.id = Some(id.expect("links have no bound"));
                }
            }
        }
    }

    // ---- Ends --------------------------------------------------------------------

    /// kill -9: of a process whatever it is doing, background jobs included.
    pub fn kill(&mut self, cluster: &mut Cluster, node: usize) -> Checked {
        event!(self.trace, Who::Node(node), "is killed");
        self.coverage.node_kills += 1;
        let per = cluster.life.cores;
        let disk = cluster.processes[node].disk.clone();
        let mut at = 0;
        while at < self.jobs.len() {
            if self.jobs[at].member / per != node {
                at += 1;
                continue;
            }
            let running = self.jobs.swap_remove(at);
            if let Some(job) = running.job.filter(|_| self.random.percent(50)) {
                let within = Some(self.random.skewed(8));
                disk.set_faults(|faults| faults.kill_in = within);
                drop(galo::machine::Job::run(job));
            }
        }
        disk.kill();
        self.gone(cluster, node)
    }

    /// What a process that is gone leaves to the others.
    pub fn gone(&mut self, cluster: &mut Cluster, node: usize) -> Checked {
        self.shuffled_ns = self.now_ns;
        let per = cluster.life.cores;
        for at in self.sockets_that(|socket| socket.member / per == node) {
            let reset = self.random.percent(20);
            self.drop_socket(at, if reset { Ended::Reset } else { Ended::Fin });
        }
        self.jobs.retain(|job| job.member / per != node);
        let disk = cluster.processes[node].disk.clone();
        cluster.processes[node] = Process::new(disk);
        Ok(())
    }

    /// SIGTERM.
    pub fn signal(&mut self, cluster: &mut Cluster, node: usize) {
        event!(self.trace, Who::Node(node), "is told to stop");
        let process = &mut cluster.processes[node];
        process.paused_until_ns = 0;
        for core in &mut process.cores {
            core.stop_wanted = true;
        }
    }

    /// Buries processes that died in an operation, gave up, or are done.
    pub fn bury(&mut self, cluster: &mut Cluster) -> Checked {
        for node in 0..cluster.processes.len() {
            let process = &mut cluster.processes[node];
            if process.is_down() {
                continue;
            }
            let killed = process.disk.events().killed;
            let failed = process.has_failed();
            if failed && process.fails_ns.is_none() {
                // The other cores may go on for a moment.
                process.fails_ns = Some(self.now_ns + self.random.skewed(2_000_000));
            }
            if killed {
                self.coverage.killed_within += 1;
                self.kill(cluster, node)?;
            } else if failed && process.fails_ns <= Some(self.now_ns) {
                self.coverage.failures += 1;
                self.kill(cluster, node)?;
            } else if !failed && process.has_stopped() {
                event!(self.trace, Who::Node(node), "has stopped");
                self.coverage.node_stops += 1;
                process.disk.kill();
                self.gone(cluster, node)?;
            }
        }
        Ok(())
    }
}
