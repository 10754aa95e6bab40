//! From the start of all processes to the end of all of them.

use std::path::Path;

use galo::node::Durability;
use galo::shard::{self, check, Acquired, Meta, Owned, RecoveryError};

use crate::cluster::{Cluster, Process, DATA};
use crate::disk::{Crash, SimDisk};
use crate::plan::{Ending, Life};
use crate::socket::{Ended, Far, Pace};
use crate::trace::{Checked, Violation, Who};
use crate::world::{Promise, World};
use crate::{event, require, step, violation};

/// Rounds in which what is under way must come to its end.
const ROUNDS_MAX: u64 = 50_000;
/// Time in which it must, and in which a cluster must be as it should be.
const QUIESCENCE_NS_MAX: u64 = 60_000_000_000;

/// By process and core.
type Shares = Vec<Vec<Vec<Owned<SimDisk>>>>;

impl World {
    /// Serves until it ends; then the disk is as the end left it.
    pub fn live(&mut self, life: &Life, last: bool) -> Checked {
        let mut cluster = self.recover(life)?;
        self.slow_jobs = life.slow_jobs;
        self.free_phases();
        self.quiescent_ns = u64::MAX;
        self.settled_ns = u64::MAX;
        self.troubles = !cluster.is_alone();
        self.disk.set_short_writes(self.plan.short_writes);
        let mut broken = false;
        for step in 0..life.steps {
            if step == life.steps / 2 {
                self.doom(&cluster, life.ending);
            }
            self.step(&mut cluster)?;
            broken = match life.ending {
                _ if cluster.is_alone() => {
                    let process = &cluster.processes[0];
                    process.disk.events().killed || process.has_failed()
                }
                Ending::PowerWithin => {
                    let doomed = cluster.processes.iter();
                    let mut doomed = doomed.filter(|process| !process.is_down());
                    doomed.any(|process| process.disk.events().killed)
                }
                _ => false,
            };
            if broken {
                break;
            }
        }
        if broken {
            if cluster.processes[0].has_failed() {
                // The other cores may go on for a moment.
                for _ in 0..self.random.below(20) {
                    self.step(&mut cluster)?;
                }
                self.coverage.failures += 1;
            } else {
                self.coverage.killed_within += 1;
            }
        } else {
            if last || self.random.percent(30) {
                self.quiesce(&mut cluster)?;
                self.probe(&mut cluster)?;
            }
            if matches!(life.ending, Ending::Stop | Ending::StopThenPower) {
                self.stop(&mut cluster)?;
            }
        }
        let power = match life.ending {
            Ending::Power | Ending::PowerWithin | Ending::StopThenPower => true,
            Ending::SyncFails | Ending::OperationFails => self.random.percent(50),
            Ending::Kill | Ending::KillWithin | Ending::Stop => false,
        };
        self.end(cluster, power);
        Ok(())
    }

    /// What will go wrong in the second half of a life.
    fn doom(&mut self, cluster: &Cluster, ending: Ending) {
        let node = self.random.index(cluster.processes.len());
        let disk = &cluster.processes[node].disk;
        disk.set_faults(|faults| match ending {
            Ending::KillWithin | Ending::PowerWithin => {
                faults.kill_in = Some(self.random.skewed(40));
            }
            Ending::SyncFails => faults.sync_fails_in = Some(self.random.skewed(8)),
            Ending::OperationFails => faults.fail_in = Some(self.random.skewed(40)),
            _ => {}
        });
    }

    pub fn end(&mut self, cluster: Cluster, power: bool) {
        for at in self.sockets.keys().copied().collect::<Vec<_>>() {
            self.drop_socket(at, Ended::Reset);
        }
        self.jobs.clear();
        drop(cluster);
        self.crash(power);
        match power {
            true => self.coverage.power_losses += 1,
            false => self.coverage.kills += 1,
        }
        let pass_ns = self.random.skewed(self.plan.gap_ns_max);
        self.set_clock(self.now_ns + pass_ns);
    }

    /// Of all processes, or of the machine.
    fn crash(&mut self, power: bool) {
        let crash = if power { Crash::Power } else { Crash::Process };
        match crash {
            Crash::Process => event!(self.trace, Who::World, "every process ends"),
            Crash::Power => event!(self.trace, Who::World, "the power fails"),
        }
        self.disk.crash(crash);
        if power {
            self.promises.fill(Promise::Durable);
        }
    }

    // ---- The beginning -----------------------------------------------------------

    pub fn recover(&mut self, life: &Life) -> Checked<Cluster> {
        self.durable = life.durability == Durability::Disk;
        self.trace.set_cores(life.cores);
        event!(
            self.trace,
            Who::World,
            "nodes start: {}, cores of each: {}, durability: {}",
            life.nodes,
            life.cores,
            format!("{:?}", life.durability).to_lowercase()
        );
        let mut attempts = 0;
        let (mut cluster, shares) = loop {
            attempts += 1;
            let disks: Vec<SimDisk> = (0..life.nodes).map(|_| self.next_process()).collect();
            if attempts < 4 && self.happens(15) {
                let within = Some(self.random.skewed(30));
                let fails = self.random.percent(30);
                let node = self.random.index(disks.len());
                let disk = match self.meta {
                    None => &self.disk,
                    Some(_) => &disks[node],
                };
                disk.set_faults(|faults| match fails {
                    true => faults.fail_in = within,
                    false => faults.kill_in = within,
                });
            }
            // Nobody starts on a disk without any room.
            self.disk.make_room();
            let result = self.open(life, &disks);
            let events = disks.iter().chain([&self.disk]).map(SimDisk::events);
            let (mut killed, mut failed) = (false, false);
            for events in events {
                killed |= events.killed;
                failed |= events.failed > 0;
            }
            if killed || (failed && result.is_err()) {
                event!(self.trace, Who::World, "a process dies while it starts");
                self.coverage.interrupted_recoveries += 1;
                drop(result);
                let power = self.random.percent(50);
                self.crash(power);
                continue;
            }
            match result {
                Ok(opened) => break opened,
                Err(error) => violation!("recovery refuses: {error}"),
            }
        };
        self.meta = Some(cluster.meta);
        let mut shares = shares;
        let mut all: Vec<&mut Owned<SimDisk>> = shares.iter_mut().flatten().flatten().collect();
        all.sort_by_key(|owned| owned.recovered.shard.identity().shard);
        for owned in all {
            let home = cluster.home(owned.recovered.shard.identity().shard as usize);
            self.recovered(Who::Core(home), owned)?;
        }
        self.model.forget_open();
        for disk in cluster.processes.iter().map(|process| &process.disk) {
            disk.set_faults(|faults| (faults.fail_in, faults.kill_in) = (None, None));
        }
        self.disk
            .set_faults(|faults| (faults.fail_in, faults.kill_in) = (None, None));
        self.check()?;
        // What was made is sound: it must be found in what is done with it.
        self.disk.set_sabotage(self.sabotage);
        step!(self.trace, Who::World, "{life:?}");
        self.core_gone = false;
        for (node, owned) in shares.into_iter().enumerate() {
            self.start(&mut cluster, node, owned);
        }
        Ok(cluster)
    }

    /// All processes take what is at home with them, and the first makes the directory before.
    fn open(&mut self, life: &Life, disks: &[SimDisk]) -> Result<(Cluster, Shares), RecoveryError> {
        let dir = Path::new(DATA);
        let meta = match Meta::read(&self.disk, dir)? {
            Some(meta) => meta,
            None => {
                let meta = Meta {
                    directory: u128::from(self.random.next()) << 64 | 1,
                    shards: self.plan.shards,
                };
                shard::create(&self.disk, dir, &meta, &self.plan.clients)?;
                meta
            }
        };
        let cluster = Cluster {
            processes: disks.iter().cloned().map(Process::new).collect(),
            life: life.clone(),
            meta,
        };
        let empty = || (0..life.cores).map(|_| Vec::new()).collect();
        let mut shares: Shares = disks.iter().map(|_| empty()).collect();
        for shard in 0..meta.shards {
            let home = cluster.home(shard as usize);
            let node = cluster.node_of(home);
            match cluster.directory(node).acquire(shard)? {
                Acquired::Ours(owned) => shares[node][home % life.cores].push(*owned),
                Acquired::Held(descriptor) => panic!("{descriptor} has shard {shard} and is dead"),
            }
        }
        Ok((cluster, shares))
    }

    /// `galo check` finds nothing.
    fn check(&mut self) -> Checked {
        let checked = check::check_on(&self.disk, Path::new(DATA), &mut std::io::sink());
        checked.map_err(|error| Violation(format!("galo check: {error}")))?;
        Ok(())
    }

    // ---- Quiescence ----------------------------------------------------------------

    /// Faults are switched off, clients read: everybody comes back to his place, and everything that
    /// was asked gets its answer.
    pub fn quiesce(&mut self, cluster: &mut Cluster) -> Checked {
        event!(
            self.trace,
            Who::World,
            "no more faults: everything is to come right"
        );
        self.quiescent_ns = self.now_ns;
        self.troubles = false;
        self.slow_jobs = false;
        self.disk.make_room();
        self.disk.set_short_writes(0);
        for process in &mut cluster.processes {
            process
                .disk
                .set_faults(|faults| *faults = Default::default());
            process.paused_until_ns = 0;
            process.refuses_until_ns = 0;
        }
        for socket in self.sockets.values_mut() {
            socket.stuck_until_ns = 0;
            let Some(client) = socket.client_mut() else {
                continue;
            };
            client.reads = true;
            client.reads_from_ns = 0;
            client.pace = Pace::Usual;
            if client.finished && socket.input_end.is_none() {
                socket.input_end = Some(Ended::Fin);
            }
        }
        match cluster.is_alone() {
            true => self.settled_ns = self.quiescent_ns,
            false => self.until_settled(cluster)?,
        }
        if self.plan.payments.is_some() {
            self.heal_processors(cluster)?;
        }
        self.until_answered(cluster)?;
        if self.plan.payments.is_some() {
            self.until_paid(cluster)?;
        }
        Ok(())
    }

    /// Every shard is at home, and everybody is connected with everybody.
    fn until_settled(&mut self, cluster: &mut Cluster) -> Checked {
        let begun_ns = self.now_ns;
        let mut missing = self.missing(cluster);
        while missing.is_some() {
            if self.now_ns > begun_ns + QUIESCENCE_NS_MAX {
                violation!("after {QUIESCENCE_NS_MAX} ns without faults: {missing:?}");
            }
            self.round(cluster)?;
            missing = self.missing(cluster);
        }
        event!(self.trace, Who::World, "every shard is at home");
        self.settled_ns = self.now_ns;
        Ok(())
    }

    /// What is not as it should be in a cluster without faults.
    fn missing(&self, cluster: &Cluster) -> Option<String> {
        for (node, process) in cluster.processes.iter().enumerate() {
            if !process.is_up() || process.is_stopping() || process.has_failed() {
                return Some(format!("node {node} does not serve"));
            }
        }
        for shard in 0..self.plan.shards as usize {
            let home = cluster.home(shard);
            let core = cluster.at(home);
            if !core.is_some_and(|core| core.owned.contains(&shard)) {
                return Some(format!("shard {shard} is not at home with member {home}"));
            }
        }
        let sound = |socket: &crate::socket::Socket| {
            socket.id.is_some() && !socket.closing && socket.input_end.is_none()
        };
        for one in 0..cluster.members() {
            for other in one + 1..cluster.members() {
                let linked = self.sockets.values().any(|socket| {
                    let Far::Link(far) = socket.far else {
                        return false;
                    };
                    let Some(far) = self.sockets.get(&far) else {
                        return false;
                    };
                    socket.member == one && far.member == other && sound(socket) && sound(far)
                });
                if !linked {
                    return Some(format!("no link between members {one} and {other}"));
                }
            }
        }
        None
    }

    pub fn until_answered(&mut self, cluster: &mut Cluster) -> Checked {
        let begun_ns = self.now_ns;
        let waits = |world: &World| {
            let mut clients = world.sockets.values().filter_map(|socket| socket.client());
            clients.any(|client| !client.asked.is_empty())
        };
        let mut rounds = 0;
        // A cluster may have to wait for times to be over; one process only for its turns.
        while match cluster.is_alone() {
            true => rounds < ROUNDS_MAX,
            false => self.now_ns < begun_ns + QUIESCENCE_NS_MAX,
        } {
            rounds += 1;
            // A sync may have failed before quiescence, and be told only now.
            if cluster.is_alone() && cluster.processes[0].has_failed() {
                return Ok(());
            }
            if !waits(self) && self.unanswered.is_empty() {
                return Ok(());
            }
            self.ask_again(cluster);
            self.round(cluster)?;
        }
        let clients = self.sockets.values().filter_map(|socket| socket.client());
        let stuck: Vec<_> = clients
            .filter(|client| !client.asked.is_empty())
            .map(|client| (client.name, &client.asked))
            .collect();
        violation!("no answer after {rounds} rounds: {stuck:?}");
    }

    /// Every core has a tick, every job is run, and who is not there comes back.
    pub fn round(&mut self, cluster: &mut Cluster) -> Checked {
        for node in 0..cluster.processes.len() {
            if cluster.processes[node].is_down() && !cluster.is_alone() {
                self.restart(cluster, node);
            }
        }
        let wait_percent = if self.settled_ns == u64::MAX { 20 } else { 2 };
        if !cluster.is_alone() && self.random.percent(wait_percent) {
            self.wait(cluster);
        }
        self.ticks(cluster)?;
        if self.plan.payments.is_some() {
            self.skip_idle_time(cluster);
        }
        Ok(())
    }

    pub fn ticks(&mut self, cluster: &mut Cluster) -> Checked {
        for member in 0..cluster.members() {
            self.run_any_job(cluster)?;
            let pass_ns = self.random.skewed(1_000_000);
            self.set_clock(self.now_ns + pass_ns);
            self.attend_processors()?;
            self.tick(cluster, member)?;
        }
        match cluster.is_alone() {
            true => Ok(()),
            false => self.bury(cluster),
        }
    }

    /// Reads every account, and writes to some, over new connections.
    fn probe(&mut self, cluster: &mut Cluster) -> Checked {
        event!(self.trace, Who::World, "every account is looked at");
        let clients: Vec<u32> = self.plan.clients.iter().map(|client| client.id).collect();
        for ids in clients.chunks(8).take(4) {
            let doors = self.doors(cluster);
            if doors.is_empty() {
                return Ok(());
            }
            let member = *self.random.pick(&doors);
            let at = self.connect(member);
            for id in ids {
                self.ask(at, |author| author.statement_of(*id));
                self.ask(at, |author| {
                    author.transaction_of(*id, galo::bank::Kind::Credit, 1)
                });
                self.ask(at, |author| author.statement_of(*id));
            }
        }
        self.until_answered(cluster)?;
        if self.plan.payments.is_some() {
            self.probe_payments(cluster)?;
        }
        if cluster.is_alone() {
            return Ok(());
        }
        self.check()
    }

    /// SIGTERM: it ends in time, and everything is on the disk.
    fn stop(&mut self, cluster: &mut Cluster) -> Checked {
        event!(self.trace, Who::World, "all nodes are to stop");
        self.slow_jobs = false;
        // From now on processes only leave.
        self.troubles = false;
        self.settled_ns = u64::MAX;
        let together = self.random.percent(50);
        for process in &cluster.processes {
            process
                .disk
                .set_faults(|faults| *faults = Default::default());
        }
        let mut clean = true;
        while cluster.processes.iter().any(|process| !process.is_down()) {
            let mut stopping = cluster.processes.iter().any(Process::is_stopping);
            for node in 0..cluster.processes.len() {
                let process = &cluster.processes[node];
                if process.is_up() && !process.is_stopping() && (together || !stopping) {
                    self.signal(cluster, node);
                    stopping = true;
                }
            }
            if self.random.percent(20) {
                self.ticks(cluster)?;
            } else {
                self.step(cluster)?;
            }
            if cluster.is_alone() {
                let process = &cluster.processes[0];
                require!(!process.has_failed(), "a stop failed");
                if process.has_stopped() {
                    clean = process.cores.iter().all(|core| core.stopped_clean);
                    break;
                }
            }
        }
        if clean && cluster.is_alone() {
            self.coverage.clean_stops += 1;
            for shard in 0..self.plan.shards as usize {
                let sequence = self.model.sequence(shard);
                self.model.raise_floor(shard, sequence);
            }
        }
        Ok(())
    }
}
