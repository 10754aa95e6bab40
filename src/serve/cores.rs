//! Starting the cores: what each of them is given, and the threads.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{random, Event, ServeError};
use crate::api::operations::Process;
use crate::config::{self, ProcessorUrl, Serve};
use crate::host::Host;
use crate::io::{Chosen, Control, Listeners, Setup, Upstream};
use crate::node::{Members, Payments, Settings};
use crate::shard::{Directory, Owned, RealDisk};
use crate::stats::Stats;

/// 48 bits: see [`Settings::epoch`].
const EPOCH_MASK: u64 = (1 << 48) - 1;

/// What all cores are started with.
pub(super) struct Cores<'a> {
    pub settings: &'a Serve,
    pub chosen: &'a Chosen,
    pub members: Members,
    pub control: &'a Arc<Control>,
    pub directory: Directory<RealDisk>,
    pub events: &'a Sender<Event>,
}

impl Cores<'_> {
    /// Hands each core its sockets and its shards, and starts them.
    pub fn start(
        &self,
        listeners: &mut Listeners,
        links: Vec<OwnedFd>,
        owned: Vec<Owned<RealDisk>>,
    ) -> Result<(), ServeError> {
        let cores = self.members.cores;
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let process = Process {
            version: env!("CARGO_PKG_VERSION"),
            git_hash: config::GIT_HASH,
            driver: self.chosen.driver.name(),
            started_us: started.as_micros() as u64,
            started_ns: crate::io::monotonic_ns(),
            resident_bytes,
            stats: Arc::new(Stats::new(&self.members)),
        };
        let mut shares: Vec<Vec<Owned<RealDisk>>> = (0..cores).map(|_| Vec::new()).collect();
        for owned in owned {
            let shard = owned.recovered.shard.identity().shard as usize;
            process.stats.shard_owned(shard, process.started_us);
            shares[self.members.home(shard) % cores].push(owned);
        }
        let cpus = allowed_cpus()
            .map_err(|error| ServeError::System("cannot read the CPU set", error.into()))?;
        let mut pairs = pair(&self.members)
            .map_err(|error| ServeError::System("cannot link the cores", error))?;
        let mut links = links.into_iter();
        let payments = self.settings.payments.as_ref().map(node_payments);
        let upstreams = match &self.settings.payments {
            None => None,
            Some(payments) => {
                let upstream = |url: &ProcessorUrl| Arc::new(Upstream::new(&url.host, url.port));
                let upstreams = payments.processors.each_ref().map(upstream);
                Upstream::resolve(&upstreams).map_err(thread_refused)?;
                Some(upstreams)
            }
        };
        let cluster = self.settings.cluster.as_ref();
        for (core, share) in shares.into_iter().enumerate() {
            let node = Settings {
                members: Members {
                    core,
                    ..self.members.clone()
                },
                epoch: random()? as u64 & EPOCH_MASK,
                directory: self.directory.meta.directory,
                durability: self.settings.durability,
                allow_reset: self.settings.allow_reset,
                payments: payments.clone(),
                process: process.clone(),
            };
            let directory = self.directory.clone();
            let setup = Setup {
                machine: Host::new(node, directory, share, crate::io::monotonic_ns),
                listeners: listeners.take(core),
                peers: std::mem::take(&mut pairs[core]),
                link_listener: links.next(),
                link_paths: cluster.map_or_else(Vec::new, |cluster| cluster.socket_paths(cores)),
                processors: upstreams.clone(),
                control: self.control.clone(),
                core,
                pin: self.settings.pin.then(|| cpus[core % cpus.len()]),
            };
            let driver = self.chosen.driver;
            let events = self.events.clone();
            let run = move || {
                let exit = driver.run(setup);
                // Nobody listens any more when the process is ending.
                let _ = events.send(Event::Ended(core, exit));
            };
            std::thread::Builder::new()
                .name(format!("core-{core}"))
                .spawn(run)
                .map_err(thread_refused)?;
        }
        Ok(())
    }
}

fn thread_refused(error: io::Error) -> ServeError {
    ServeError::System("cannot start a thread", error)
}

/// What a node has to know of the settings.
fn node_payments(payments: &config::Payments) -> Payments {
    let processors = payments.processors.each_ref();
    Payments {
        hosts: processors.map(ProcessorUrl::authority),
        prefixes: processors.map(|url| url.prefix.clone()),
        deadline_ns: payments.deadline_ns,
        open_max: payments.queue,
    }
}

/// A socket pair for every pair of our cores, by core: the other's member number, and our end.
fn pair(members: &Members) -> io::Result<Vec<Vec<(usize, OwnedFd)>>> {
    let cores = members.cores;
    let member = |core: usize| members.node * cores + core;
    let mut pairs: Vec<Vec<(usize, OwnedFd)>> = (0..cores).map(|_| Vec::new()).collect();
    for one in 0..cores {
        for other in one + 1..cores {
            let (ours, theirs) = UnixStream::pair()?;
            pairs[one].push((member(other), ours.into()));
            pairs[other].push((member(one), theirs.into()));
        }
    }
    Ok(pairs)
}

fn allowed_cpus() -> nix::Result<Vec<usize>> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
    let is_in = |cpu: &usize| set.is_set(*cpu).unwrap_or(false);
    Ok((0..nix::sched::CpuSet::count()).filter(is_in).collect())
}

/// Resident memory of this process, bytes; 0 where `/proc` is not to be read.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten();
    pages.unwrap_or(0) * page_bytes.unwrap_or(4096) as u64
}
