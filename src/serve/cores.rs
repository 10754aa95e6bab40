//! Starts the cores: first their threads and what these need of the system, last the shards and sockets they serve.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, RecvError, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{machines, random, ProcessEvent, ServeError};
use crate::api::operations::Process;
use crate::config::{self, ProcessorUrl, Serve};
use crate::io::{boottime_ns, monotonic_ns};
use crate::io::{Channel, Chosen, Control, Driver, Lack, Listeners, Setup, Upstream};
use crate::machine::engine::EnginePort;
use crate::members::Members;
use crate::nats::Client;
use crate::node::{PaymentSettings, Settings};
use crate::runtime::Runtime;
use crate::shard::{Directory, Owned, RealDisk};

/// 48 bits: see [`Settings::epoch`].
const EPOCH_MASK: u64 = (1 << 48) - 1;

/// A core's thread, and how it gets what it is to serve.
struct Waiting {
    setup: Sender<Setup<Runtime<RealDisk>>>,
    thread: JoinHandle<()>,
}

/// Cores that have what they need of the system, and nothing to serve yet. Dropping it gives that back.
pub(super) struct Engines {
    waiting: Vec<Waiting>,
    /// A core says that it serves.
    started: Receiver<()>,
}

impl Engines {
    /// Starts a thread for each core, which takes what this driver needs.
    pub fn take(
        settings: &Serve,
        driver: Driver,
        control: &Arc<Control>,
        events: &Sender<ProcessEvent>,
    ) -> Result<Engines, Lack> {
        let cpus = allowed_cpus().map_err(|errno| format!("cannot read the CPU set: {errno}"))?;
        let (start, started) = mpsc::channel();
        let (report, reports) = mpsc::channel();
        let mut engines = Engines {
            waiting: Vec::with_capacity(settings.cores),
            started,
        };
        for core in 0..settings.cores {
            let pin_to = settings.pin.then(|| cpus[core % cpus.len()]);
            let (control, events) = (control.clone(), events.clone());
            let (start, report) = (start.clone(), report.clone());
            let (setup, setups) = mpsc::channel();
            let run = move || {
                let engine = match driver.engine(&control, core, pin_to) {
                    Ok(engine) => engine,
                    Err(lack) => {
                        let _ = report.send(Err(lack));
                        return;
                    }
                };
                // Or nobody waits for a core among many, of which another lacks something.
                let _ = report.send(Ok(()));
                drop(report);
                let Ok(setup) = setups.recv() else {
                    return; // The start has failed.
                };
                // Whoever waits for it hears of a core that does not get so far, too: its sender is gone.
                let serves = move || start.send(()).unwrap_or_default();
                let exit = engine.run(setup, serves);
                // Nobody listens any more when the process is ending.
                let _ = events.send(ProcessEvent::Ended(core, exit));
            };
            let thread = std::thread::Builder::new()
                .name(format!("galo/{core}"))
                .spawn(run)
                .map_err(|error| format!("cannot start a thread: {error}"))?;
            engines.waiting.push(Waiting { setup, thread });
        }
        for _ in 0..settings.cores {
            reports.recv().expect("every core reports")?;
        }
        Ok(engines)
    }

    /// Gives each core what it is to serve, and waits until all do. `Err`: one does not; [`ProcessEvent::Ended`] says why.
    pub fn run(mut self, setups: Vec<Setup<Runtime<RealDisk>>>) -> Result<(), RecvError> {
        let cores = setups.len();
        for (waiting, setup) in self.waiting.drain(..).zip(setups) {
            waiting.setup.send(setup).expect("it waits for this");
        }
        (0..cores).try_for_each(|_| self.started.recv())
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        for waiting in self.waiting.drain(..) {
            drop(waiting.setup);
            // One that panicked has ended the process.
            let _ = waiting.thread.join();
        }
    }
}

/// What all cores are started with.
pub(super) struct Cores<'a> {
    /// Where an engine keeps the journals.
    pub client: Option<&'a Client>,
    pub settings: &'a Serve,
    pub chosen: &'a Chosen,
    pub members: Members,
    pub control: &'a Arc<Control>,
    pub directory: Directory<RealDisk>,
}

impl Cores<'_> {
    /// What each core is to serve: its sockets and its shards.
    pub fn setups(
        &self,
        listeners: &mut Listeners,
        links: Vec<OwnedFd>,
        owned: Vec<Owned<RealDisk>>,
    ) -> Result<Vec<Setup<Runtime<RealDisk>>>, ServeError> {
        let cores = self.members.cores;
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let process = Process {
            version: env!("CARGO_PKG_VERSION"),
            git_hash: config::GIT_HASH,
            driver: self.chosen.driver.name(),
            started_us: started.as_micros() as u64,
            started_ns: monotonic_ns(),
            resident_bytes,
            stats: Arc::new(match self.client {
                None => self.members.stats(),
                Some(_) => self.members.stats().with_engine(),
            }),
        };
        let mut shares: Vec<Vec<Owned<RealDisk>>> = (0..cores).map(|_| Vec::new()).collect();
        for owned in owned {
            let shard = owned.recovered.shard.identity().shard as usize;
            if self.client.is_none() {
                process.stats.shard_owned(shard, process.started_us);
            }
            shares[self.members.home(shard) % cores].push(owned);
        }
        let mut pairs = pair(&self.members)
            .map_err(|error| ServeError::System("cannot link the cores", error))?;
        let mut links = links.into_iter();
        let payments = self.settings.payments.as_ref().map(node_payments);
        let upstreams = match &self.settings.payments {
            None => None,
            Some(payments) => {
                let upstream = |url: &ProcessorUrl| {
                    let upstream = Upstream::new(&url.host, url.port);
                    Arc::new(upstream.with_kind("payment processor"))
                };
                let upstreams = payments.processors.each_ref().map(upstream);
                Upstream::resolve(&upstreams)
                    .map_err(|error| ServeError::System("cannot start a thread", error))?;
                Some(upstreams)
            }
        };
        let cluster = self.settings.cluster.as_ref();
        let mut setups = Vec::with_capacity(cores);
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
                docs: self.settings.docs,
                payments: payments.clone(),
                process: process.clone(),
            };
            let directory = self.directory.clone();
            let port = self.client.map(|client| {
                let wake = self.control.waker(core);
                Box::new(client.port(node.members.own() as u32, wake)) as Box<dyn EnginePort>
            });
            let machine = match &self.settings.replicate {
                None => Runtime::new(node, directory, share, monotonic_ns),
                Some(replicate) => {
                    let replica = machines::replica(replicate, &node.members, node.directory)?;
                    let clocks = (monotonic_ns as fn() -> u64, boottime_ns as fn() -> u64);
                    Runtime::replicated(node, directory, share, clocks, replica)
                }
            };
            setups.push(Setup {
                machine,
                listeners: listeners.take(core),
                peers: std::mem::take(&mut pairs[core]),
                link_listener: links.next(),
                link_paths: cluster.map_or_else(Vec::new, |cluster| cluster.socket_paths(cores)),
                upstreams: upstreams.clone(),
                engine: port,
                control: self.control.clone(),
                core,
            });
        }
        Ok(setups)
    }
}

/// What a node has to know of the settings.
fn node_payments(payments: &config::PaymentFlags) -> PaymentSettings {
    let processors = payments.processors.each_ref();
    PaymentSettings {
        hosts: processors.map(ProcessorUrl::authority),
        prefixes: processors.map(|url| url.prefix.clone()),
        deadline_ns: payments.deadline_ns,
        open_max: payments.queue,
    }
}

/// By core: the other's member number, and our ends of what the two have in common ([`Setup::peers`]).
fn pair(members: &Members) -> io::Result<Vec<Vec<(usize, OwnedFd, Channel)>>> {
    let cores = members.cores;
    let member = |core: usize| members.node * cores + core;
    let mut pairs: Vec<Vec<_>> = (0..cores).map(|_| Vec::new()).collect();
    for one in 0..cores {
        for other in one + 1..cores {
            let (ours, theirs) = UnixStream::pair()?;
            let (our_end, their_end) = Channel::pair()?;
            pairs[one].push((member(other), ours.into(), our_end));
            pairs[other].push((member(one), theirs.into(), their_end));
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
