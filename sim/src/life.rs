//! One life of the process: recovery, serving, its end.

use std::path::Path;
use std::sync::Arc;

use galo::api::operations::Process as Facts;
use galo::host::Host;
use galo::io::{Exit, Machine, Now, Peer};
use galo::node::{Durability, Members, Settings};
use galo::shard::recovery::JournalCase;
use galo::shard::{self, check, Directory, Meta, Owned, Recovered, RecoveryError};
use galo::stats::Stats;

use crate::crash::Crash;
use crate::disk::SimDisk;
use crate::journals::Journal;
use crate::plan::{Ending, Life};
use crate::socket::{Ended, Far, Socket};
use crate::trace::{Checked, Violation};
use crate::world::{clock_ns, World};
use crate::{require, violation};

/// Where the files are.
const DATA: &str = "/data";
/// Rounds in which what is under way must come to its end.
const ROUNDS_MAX: u64 = 5_000;

/// One core.
pub struct Core {
    pub host: Host<SimDisk>,
    pub durable: bool,
    pub accepts: bool,
    /// A signal has come.
    pub stop_wanted: bool,
    /// The machine was told, then.
    pub stopped_ns: Option<u64>,
    /// It was done in time.
    pub stopped_clean: bool,
    pub exited: Option<Exit>,
}

/// All cores.
pub struct Process {
    pub cores: Vec<Core>,
    /// By shard.
    pub journals: Vec<Journal>,
}

impl Process {
    /// Sockets that are links' ends.
    pub fn links(&self) -> usize {
        self.cores.len() * (self.cores.len() - 1)
    }

    pub fn is_stopping(&self) -> bool {
        self.cores.iter().any(|core| core.stop_wanted)
    }

    fn has_failed(&self) -> bool {
        let failed = |core: &Core| matches!(core.exited, Some(Exit::Failed(_)));
        self.cores.iter().any(failed)
    }
}

/// What recovery is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// All that was written is there.
    Written,
    /// All that was synced is.
    Durable,
}

impl World {
    /// Serves until it ends; then the disk is as the end left it. What the next life must find.
    pub fn live(&mut self, life: &Life, promise: Promise, last: bool) -> Checked<Promise> {
        let mut process = self.recover(life, promise)?;
        self.slow_jobs = life.slow_jobs;
        self.calm_ns = u64::MAX;
        self.disk
            .set_faults(|faults| faults.short_writes = self.plan.short_writes);
        for step in 0..life.steps {
            if step == life.steps / 2 {
                self.disk.set_faults(|faults| match life.ending {
                    Ending::KillWithin | Ending::PowerWithin => {
                        faults.kill_in = Some(self.random.skewed(40));
                    }
                    Ending::SyncFails => faults.sync_fails_in = Some(self.random.skewed(8)),
                    Ending::OperationFails => faults.fail_in = Some(self.random.skewed(40)),
                    _ => {}
                });
            }
            self.step(&mut process)?;
            if self.disk.events().killed || process.has_failed() {
                break;
            }
        }
        if process.has_failed() {
            // The other cores may go on for a moment.
            for _ in 0..self.random.below(20) {
                self.step(&mut process)?;
            }
            self.coverage.failures += 1;
        } else if self.disk.events().killed {
            self.coverage.killed_within += 1;
        } else {
            if last || self.random.percent(30) {
                self.calm_down(&mut process)?;
                self.probe(&mut process)?;
            }
            if matches!(life.ending, Ending::Stop | Ending::StopThenPower) {
                self.stop(&mut process)?;
            }
        }
        let power = match life.ending {
            Ending::Power | Ending::PowerWithin | Ending::StopThenPower => true,
            Ending::SyncFails | Ending::OperationFails => self.random.percent(50),
            Ending::Kill | Ending::KillWithin | Ending::Stop => false,
        };
        self.end(process, power)
    }

    fn end(&mut self, process: Process, power: bool) -> Checked<Promise> {
        while self.sockets.len() > process.links() {
            self.drop_socket(self.sockets.len() - 1);
        }
        self.sockets.clear();
        self.jobs.clear();
        let doubtful = self.disk.events().syncs_failed > 0;
        drop(process);
        let crash = if power { Crash::Power } else { Crash::Process };
        self.trace
            .note(format_args!("{crash:?} ends, a sync failed: {doubtful}"));
        self.disk.crash(crash);
        let pass_ns = self.random.skewed(1 << 40);
        self.set_clock(self.now_ns + pass_ns);
        Ok(if power || doubtful {
            self.coverage.power_losses += 1;
            Promise::Durable
        } else {
            self.coverage.kills += 1;
            Promise::Written
        })
    }

    // ---- The beginning -----------------------------------------------------------

    fn recover(&mut self, life: &Life, mut promise: Promise) -> Checked<Process> {
        let mut attempts = 0;
        let (meta, recovered) = loop {
            attempts += 1;
            if attempts < 4 && self.random.percent(15) {
                let within = Some(self.random.skewed(30));
                let fails = self.random.percent(30);
                self.disk.set_faults(|faults| match fails {
                    true => faults.fail_in = within,
                    false => faults.kill_in = within,
                });
            }
            // Nobody starts on a disk without any room.
            self.disk.make_room();
            let result = self.open();
            let events = self.disk.events();
            if events.killed || (events.failed > 0 && result.is_err()) {
                self.trace.note(format_args!(
                    "killed or failed while recovering: {events:?}"
                ));
                self.coverage.interrupted_recoveries += 1;
                drop(result);
                let power = self.random.percent(50);
                if power || events.syncs_failed > 0 {
                    promise = Promise::Durable;
                }
                self.disk
                    .crash(if power { Crash::Power } else { Crash::Process });
                continue;
            }
            match result {
                Ok(result) => break result,
                Err(error) => violation!("recovery refuses: {error}"),
            }
        };
        self.disk
            .set_faults(|faults| (faults.fail_in, faults.kill_in) = (None, None));
        let journals = self.verify(&meta, &recovered, promise)?;
        Ok(self.start(life, &meta, recovered, journals))
    }

    fn open(&mut self) -> Result<(Meta, Vec<Recovered<SimDisk>>), RecoveryError> {
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
        let open = |shard| shard::open(&self.disk, dir, &meta, shard);
        let recovered = (0..meta.shards).map(open).collect::<Result<_, _>>()?;
        Ok((meta, recovered))
    }

    /// Whether what was recovered is what had to be.
    fn verify(
        &mut self,
        meta: &Meta,
        recovered: &[Recovered<SimDisk>],
        promise: Promise,
    ) -> Checked<Vec<Journal>> {
        require!(meta.shards == self.plan.shards, "another number of shards");
        let mut journals = Vec::new();
        for (number, recovered) in recovered.iter().enumerate() {
            let sequence = recovered.shard.sequence();
            let least = match promise {
                Promise::Written => self.model.sequence(number),
                Promise::Durable => self.model.floor(number),
            };
            self.trace.note(format_args!(
                "shard {number}: {} records of {} (at least {least}), {:?}",
                sequence,
                self.model.sequence(number),
                recovered.report
            ));
            require!(
                sequence >= least,
                "{promise:?}: shard {number} ends with record {sequence}, {least} had to be there"
            );
            self.coverage.lost_records += self.model.sequence(number).saturating_sub(sequence);
            self.coverage.replayed += recovered.report.replayed;
            match recovered.report.journal {
                JournalCase::TornTail(_) => self.coverage.torn_tails += 1,
                JournalCase::HalfSegment(_) => self.coverage.half_segments += 1,
                _ => {}
            }
            self.coverage.bad_snapshots += recovered.report.snapshots_bad.len() as u64;
            self.model.cut(number, sequence)?;
            let identity = meta.identity(number as u32);
            let newest = recovered.store.snapshots().last();
            let from = newest.map_or(1, |snapshot| snapshot.from);
            let mut journal = Journal::new(&self.disk, Path::new(DATA), identity, from)?;
            journal.read_to(&self.disk, sequence, &mut self.model)?;
            self.model.compare(&recovered.shard, false)?;
            journals.push(journal);
        }
        self.model.forget_open();
        let checked = check::check_on(&self.disk, Path::new(DATA), &mut std::io::sink());
        checked.map_err(|error| Violation(format!("galo check: {error}")))?;
        Ok(journals)
    }

    fn start(
        &mut self,
        life: &Life,
        meta: &Meta,
        recovered: Vec<Recovered<SimDisk>>,
        journals: Vec<Journal>,
    ) -> Process {
        let cores = life.cores;
        // What was made is sound: it must be found in what is done with it.
        self.disk.set_sabotage(self.sabotage);
        self.trace.note(format_args!("begins: {life:?}"));
        let started_us = (self.realtime_us + (self.now_ns / 1_000) as i64).max(0) as u64;
        let members = |core| Members::alone(core, cores, self.plan.shards as usize);
        let process = Facts {
            version: "0.0.0",
            git_hash: "unknown",
            driver: "simulator",
            started_us,
            resident_bytes: || 4096,
            stats: Arc::new(Stats::new(&members(0))),
        };
        let mut shards: Vec<Vec<Owned<SimDisk>>> = (0..cores).map(|_| Vec::new()).collect();
        for (number, mut recovered) in recovered.into_iter().enumerate() {
            recovered
                .store
                .set_thresholds(self.plan.segment_bytes, self.plan.snapshot_bytes);
            let lock = ();
            shards[number % cores].push(Owned { recovered, lock });
        }
        let directory = Directory {
            disk: self.disk.clone(),
            path: DATA.into(),
            meta: *meta,
            card: String::new(),
        };
        let host = |(core, recovered)| {
            let settings = Settings {
                members: members(core),
                epoch: 0,
                directory: meta.directory,
                durability: life.durability,
                allow_reset: self.plan.resets == Some(true),
                process: process.clone(),
            };
            Core {
                host: Host::new(settings, directory.clone(), recovered, clock_ns),
                durable: life.durability == Durability::Disk,
                accepts: true,
                stop_wanted: false,
                stopped_ns: None,
                stopped_clean: false,
                exited: None,
            }
        };
        let cores = shards.into_iter().enumerate().map(host).collect();
        let mut process = Process { cores, journals };
        self.link(&mut process);
        process
    }

    /// Connects every core with every other.
    fn link(&mut self, process: &mut Process) {
        let count = process.cores.len();
        assert!(self.sockets.is_empty());
        self.core_gone = false;
        let place = |from: usize, to: usize| from * (count - 1) + to - usize::from(to > from);
        for from in 0..count {
            let host = &mut process.cores[from].host;
            host.tick_begin(Now {
                monotonic_ns: self.now_ns,
                realtime_us: (self.realtime_us + (self.now_ns / 1_000) as i64).max(0) as u64,
            });
            for to in (0..count).filter(|to| *to != from) {
                assert_eq!(self.sockets.len(), place(from, to));
                let mut socket = Socket::new(from, Far::Link(place(to, from)));
                socket.id = Some(host.opened(Peer::Member(to)).expect("links have no bound"));
                self.sockets.push(socket);
            }
            // The tick is ended by the first one of the world, which begins with no effects.
        }
    }

    // ---- The end -------------------------------------------------------------------

    /// Faults are switched off, clients read: everything that was asked gets its answer.
    pub fn calm_down(&mut self, process: &mut Process) -> Checked {
        self.trace.note(format_args!("calm"));
        self.calm_ns = self.now_ns;
        self.slow_jobs = false;
        self.disk.make_room();
        self.disk.set_faults(|faults| {
            faults.short_writes = 0;
            (faults.fail_in, faults.sync_fails_in, faults.kill_in) = (None, None, None);
        });
        let links = process.links();
        for socket in &mut self.sockets[links..] {
            let client = socket.client_mut().expect("behind the links");
            client.reads = true;
            if client.finished && socket.input_end.is_none() {
                socket.input_end = Some(Ended::Fin);
            }
        }
        self.until_answered(process)
    }

    fn until_answered(&mut self, process: &mut Process) -> Checked {
        let links = process.links();
        for _ in 0..ROUNDS_MAX {
            let waiting = self.sockets[links..].iter().any(|socket| {
                let client = socket.client().expect("behind the links");
                !client.asked.is_empty()
            });
            // A sync may have failed before it became calm, and be told only now.
            if !waiting || process.has_failed() {
                return Ok(());
            }
            self.round(process)?;
        }
        let clients = self.sockets[links..].iter().filter_map(Socket::client);
        let stuck: Vec<_> = clients
            .filter(|client| !client.asked.is_empty())
            .map(|client| (client.name, &client.asked))
            .collect();
        violation!("no answer after {ROUNDS_MAX} rounds: {stuck:?}");
    }

    /// Every core has a tick, and every job is run.
    fn round(&mut self, process: &mut Process) -> Checked {
        for core in 0..process.cores.len() {
            self.run_any_job()?;
            let pass_ns = self.random.skewed(1_000_000);
            self.set_clock(self.now_ns + pass_ns);
            self.tick(process, core)?;
        }
        Ok(())
    }

    /// Reads every account, and writes to some, over new connections.
    fn probe(&mut self, process: &mut Process) -> Checked {
        self.trace.note(format_args!("probe"));
        let clients: Vec<u32> = self.plan.clients.iter().map(|client| client.id).collect();
        for ids in clients.chunks(8).take(4) {
            let core = self.random.index(process.cores.len());
            self.names += 1;
            self.sockets.push(Socket::of_client(core, self.names));
            let at = self.sockets.len() - 1;
            for id in ids {
                self.ask(at, |author| author.statement_of(*id));
                self.ask(at, |author| {
                    author.transaction_of(*id, galo::bank::Kind::Credit, 1)
                });
                self.ask(at, |author| author.statement_of(*id));
            }
        }
        self.until_answered(process)
    }

    /// SIGTERM: it ends in time, and everything is on the disk.
    fn stop(&mut self, process: &mut Process) -> Checked {
        self.trace.note(format_args!("stop"));
        self.slow_jobs = false;
        self.disk
            .set_faults(|faults| (faults.fail_in, faults.sync_fails_in) = (None, None));
        for core in &mut process.cores {
            core.stop_wanted = true;
        }
        while process.cores.iter().any(|core| core.exited.is_none()) {
            if self.random.percent(20) {
                self.round(process)?;
            } else {
                self.step(process)?;
            }
            require!(!process.has_failed(), "a stop failed");
        }
        if process.cores.iter().all(|core| core.stopped_clean) {
            self.coverage.clean_stops += 1;
            for shard in 0..self.plan.shards as usize {
                let sequence = self.model.sequence(shard);
                self.model.raise_floor(shard, sequence);
            }
        }
        Ok(())
    }
}
