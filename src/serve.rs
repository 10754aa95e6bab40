//! `galo serve`: from settings to running cores, and back to nothing.
//!
//! The order at the start: what needs no file is found out first (limits, driver), then what can be
//! taken by somebody else (the data directory's locks, addresses), then recovery, then the cores.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{SigSet, Signal};

use crate::api::operations::Process;
use crate::clients::{self, ClientsError};
use crate::config::{self, Serve};
use crate::host::Host;
use crate::io::{Chosen, Control, Exit, ListenError, Listeners, Setup};
use crate::limits::{LISTEN_RETRY_NS, LISTEN_WAIT_NS_MAX, STOP_REPEAT_NS_MIN, STOP_WAIT_NS_MAX};
use crate::node::{Durability, Members, Settings};
use crate::shard::layout::{shard_dir, CREATION_LOCK, SHARD_LOCK};
use crate::shard::ownership::Ownership;
use crate::shard::{
    self, Acquired, Client, Directory, Meta, Owned, RealDisk, Recovered, RecoveryError,
};
use crate::stats::Stats;

const LISTEN_WAIT_MAX: Duration = Duration::from_nanos(LISTEN_WAIT_NS_MAX);
const LISTEN_RETRY: Duration = Duration::from_nanos(LISTEN_RETRY_NS);
const STOP_WAIT_MAX: Duration = Duration::from_nanos(STOP_WAIT_NS_MAX);
const STOP_REPEAT_MIN: Duration = Duration::from_nanos(STOP_REPEAT_NS_MIN);

/// Why it does not serve, or no longer.
#[derive(Debug)]
pub enum ServeError {
    /// No driver can run here.
    Driver(String),
    /// An address cannot be listened on.
    Listen(ListenError),
    /// The clients' file cannot be used.
    Clients(PathBuf, ClientsError),
    /// Another process has a shard: its lock file, and the card in it.
    Held(PathBuf, String),
    /// The data cannot be used.
    Data(RecoveryError),
    /// The system refused something that a process needs.
    System(&'static str, io::Error),
    /// A core must not go on.
    Core(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Driver(text) | ServeError::Core(text) => f.write_str(text),
            ServeError::Listen(error) => error.fmt(f),
            ServeError::Clients(path, error) => write!(f, "{}: {error}", path.display()),
            ServeError::Held(path, card) => write!(
                f,
                "another galo owns this shard: {} is locked by {card}. \
                 Stop it, or name another directory with --data",
                path.display()
            ),
            ServeError::Data(error) => error.fmt(f),
            ServeError::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl From<ListenError> for ServeError {
    fn from(error: ListenError) -> ServeError {
        ServeError::Listen(error)
    }
}

impl From<RecoveryError> for ServeError {
    fn from(error: RecoveryError) -> ServeError {
        ServeError::Data(error)
    }
}

/// Serves until it is told to stop.
pub fn run(mut settings: Serve) -> Result<(), ServeError> {
    log::info!("{}", config::version());
    abort_on_panic();
    crate::io::raise_limits();
    let chosen = settings.io.decide().map_err(ServeError::Driver)?;
    let disk = RealDisk;
    let made = Meta::read(&disk, &settings.data)?;
    if let (Some(meta), Some(asked)) = (&made, settings.shards) {
        meta.expect_shards(&settings.data, asked as u32)?;
    }
    let shards = made.map_or(settings.shards.unwrap_or(settings.cores), |meta| {
        meta.shards as usize
    });
    if settings.cores > shards {
        let data = settings.data.display();
        log::warn!(
            "{data} has {shards} shards: {} cores would be idle",
            settings.cores - shards
        );
        settings.cores = shards;
    }
    let began = Instant::now();
    let meta = match made {
        Some(meta) => meta,
        None => create(&disk, &settings, shards as u32)?,
    };
    let directory = Directory {
        disk,
        path: settings.data.clone(),
        meta,
        card: format!("process {}", std::process::id()),
    };
    let owned = own(&directory)?;
    // Of two that start at once on the same directory, only the owner gets to replace a stale socket.
    let mut listeners = listen(&settings)?;
    // Before it is announced: whoever reads that it listens may stop it properly.
    block_signals()?;
    announce(&settings, &chosen, &listeners, &owned, began.elapsed());

    let control = Control::new(settings.cores)
        .map_err(|error| ServeError::System("cannot make an eventfd", error))?;
    let (events, inbox) = mpsc::channel();
    start_cores(
        &settings,
        &chosen,
        &mut listeners,
        &control,
        directory,
        owned,
        &events,
    )?;
    start_signals(events)?;
    let stopped = watch(&inbox, &control, settings.cores);
    drop(listeners); // Removes the sockets' files.
    stopped
}

fn create(disk: &RealDisk, settings: &Serve, shards: u32) -> Result<Meta, ServeError> {
    let data = &settings.data;
    let clients: Vec<Client> = match &settings.clients {
        None => clients::CONTEST.to_vec(),
        Some(path) => {
            clients::read(path).map_err(|error| ServeError::Clients(path.clone(), error))?
        }
    };
    make_directory(data).map_err(|error| RecoveryError::Io {
        action: "make the data directory",
        path: data.clone(),
        error,
    })?;
    // Whoever is second waits here, and finds the directory made.
    let lock = data.join(CREATION_LOCK);
    let card = format!("process {}", std::process::id());
    let _lock = Ownership::wait(&lock, &card).map_err(|error| RecoveryError::Io {
        action: "lock",
        path: lock,
        error,
    })?;
    if let Some(meta) = Meta::read(disk, data)? {
        meta.expect_shards(data, shards)?;
        return Ok(meta);
    }
    let meta = Meta {
        directory: random_id()?,
        shards,
    };
    shard::create(disk, data, &meta, &clients)?;
    log::info!(
        "{} made: {} clients in {shards} shards",
        data.display(),
        clients.len()
    );
    Ok(meta)
}

/// Makes a directory and those above it that are missing, durably: each new name is synced.
fn make_directory(path: &Path) -> io::Result<()> {
    let missing = path
        .ancestors()
        .take_while(|at| !at.as_os_str().is_empty() && !at.exists());
    let missing: Vec<&Path> = missing.collect();
    std::fs::create_dir_all(path)?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty());
        std::fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn random_id() -> Result<u128, ServeError> {
    let mut bytes = [0; 16];
    let file = std::fs::File::open("/dev/urandom");
    file.and_then(|mut file| io::Read::read_exact(&mut file, &mut bytes))
        .map_err(|error| ServeError::System("cannot read /dev/urandom", error))?;
    Ok(u128::from_le_bytes(bytes))
}

/// Listens. The kernel takes a killed process's ring down after the process is gone, and until then
/// its listeners are in use: so an address that is may be so no longer in a moment.
fn listen(settings: &Serve) -> Result<Listeners, ListenError> {
    let began = Instant::now();
    loop {
        match Listeners::bind(&settings.listen, settings.cores) {
            Err(ListenError::InUse(_)) if began.elapsed() < LISTEN_WAIT_MAX => {
                std::thread::sleep(LISTEN_RETRY);
            }
            done => return done,
        }
    }
}

/// Takes all shards.
fn own(directory: &Directory<RealDisk>) -> Result<Vec<Owned<RealDisk>>, ServeError> {
    let own = |shard| match directory.acquire(shard)? {
        Acquired::Ours(owned) => Ok(*owned),
        Acquired::Held(card) => {
            let lock = shard_dir(&directory.path, shard).join(SHARD_LOCK);
            Err(ServeError::Held(lock, card))
        }
    };
    (0..directory.meta.shards).map(own).collect()
}

/// All that somebody who starts it wants to know, on one screen.
fn announce(
    settings: &Serve,
    chosen: &Chosen,
    listeners: &Listeners,
    owned: &[Owned<RealDisk>],
    took: Duration,
) {
    let driver = format!("I/O driver {}: {}", chosen.driver.name(), chosen.reason);
    if chosen.fallback {
        log::warn!("{driver}");
    } else {
        log::info!("{driver}");
    }
    let pinned = if settings.pin {
        "one CPU each"
    } else {
        "not pinned"
    };
    log::info!("cores: {} ({pinned})", settings.cores);
    let durability = match settings.durability {
        Durability::Process => "process: acknowledged means written, synced within 100 ms",
        Durability::Disk => "disk: acknowledged means synced",
    };
    log::info!("durability {durability}");
    let sum = |of: fn(&Recovered<RealDisk>) -> u64| -> u64 {
        owned.iter().map(|owned| of(&owned.recovered)).sum()
    };
    log::info!(
        "data {}: {} accounts in {} shards, {} records replayed, recovered in {:.1} ms",
        settings.data.display(),
        sum(|recovered| recovered.report.accounts as u64),
        owned.len(),
        sum(|recovered| recovered.report.replayed),
        took.as_secs_f64() * 1e3
    );
    for address in listeners.addresses() {
        log::info!("listening on {address}");
    }
}

/// A core that panicked may have left anything behind: the process ends, and recovers when it starts.
fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}

/// What [`watch`] waits for.
enum Event {
    Signal(Signal),
    Ended(usize, Exit),
}

fn start_cores(
    settings: &Serve,
    chosen: &Chosen,
    listeners: &mut Listeners,
    control: &Arc<Control>,
    directory: Directory<RealDisk>,
    owned: Vec<Owned<RealDisk>>,
    events: &Sender<Event>,
) -> Result<(), ServeError> {
    let cores = settings.cores;
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let process = Process {
        version: env!("CARGO_PKG_VERSION"),
        git_hash: config::GIT_HASH,
        driver: chosen.driver.name(),
        started_us: started.as_micros() as u64,
        resident_bytes,
        stats: Arc::new(Stats::new(cores)),
    };
    let shards = owned.len();
    let mut shares: Vec<Vec<Owned<RealDisk>>> = (0..cores).map(|_| Vec::new()).collect();
    for (shard, owned) in owned.into_iter().enumerate() {
        shares[shard % cores].push(owned);
    }
    let cpus = allowed_cpus()
        .map_err(|error| ServeError::System("cannot read the CPU set", error.into()))?;
    let mut links =
        link(cores).map_err(|error| ServeError::System("cannot link the cores", error))?;
    for (core, share) in shares.into_iter().enumerate() {
        let node = Settings {
            members: Members::alone(core, cores, shards),
            epoch: 0,
            directory: directory.meta.directory,
            durability: settings.durability,
            allow_reset: settings.allow_reset,
            process: process.clone(),
        };
        let setup = Setup {
            machine: Host::new(node, directory.clone(), share, crate::io::monotonic_ns),
            listeners: listeners.take(core),
            peers: std::mem::take(&mut links[core]),
            link_listener: None,
            link_paths: Vec::new(),
            control: control.clone(),
            core,
            pin: settings.pin.then(|| cpus[core % cpus.len()]),
        };
        let driver = chosen.driver;
        let events = events.clone();
        let run = move || {
            let exit = driver.run(setup);
            // Nobody listens any more when the process is ending.
            let _ = events.send(Event::Ended(core, exit));
        };
        std::thread::Builder::new()
            .name(format!("core-{core}"))
            .spawn(run)
            .map_err(|error| ServeError::System("cannot start a thread", error))?;
    }
    Ok(())
}

/// A socket pair for every pair of cores.
fn link(cores: usize) -> io::Result<Vec<Vec<(usize, OwnedFd)>>> {
    let mut links: Vec<Vec<(usize, OwnedFd)>> = (0..cores).map(|_| Vec::new()).collect();
    for one in 0..cores {
        for other in one + 1..cores {
            let (ours, theirs) = UnixStream::pair()?;
            links[one].push((other, ours.into()));
            links[other].push((one, theirs.into()));
        }
    }
    Ok(links)
}

fn allowed_cpus() -> nix::Result<Vec<usize>> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
    let is_in = |cpu: &usize| set.is_set(*cpu).unwrap_or(false);
    Ok((0..nix::sched::CpuSet::count()).filter(is_in).collect())
}

fn signals() -> SigSet {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals
}

/// For this thread and those that it starts: a thread of its own takes them.
fn block_signals() -> Result<(), ServeError> {
    signals()
        .thread_block()
        .map_err(|errno| ServeError::System("cannot block signals", errno.into()))
}

fn start_signals(events: Sender<Event>) -> Result<(), ServeError> {
    let run = move || {
        while let Ok(signal) = signals().wait() {
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(run)
        .map(|_| ())
        .map_err(|error| ServeError::System("cannot start a thread", error))
}

/// Waits for the end: of all cores after a signal, or of one that failed.
fn watch(inbox: &Receiver<Event>, control: &Control, cores: usize) -> Result<(), ServeError> {
    let mut running = cores;
    let mut stopping: Option<Instant> = None;
    while running > 0 {
        let event = match stopping {
            None => inbox.recv().ok(),
            Some(since) => inbox
                .recv_timeout(STOP_WAIT_MAX.saturating_sub(since.elapsed()))
                .ok(),
        };
        match event {
            Some(Event::Signal(signal)) if stopping.is_none() => {
                log::info!("{signal}: finishing what was received; once more stops at once");
                stopping = Some(Instant::now());
                control.stop();
            }
            Some(Event::Signal(_)) if is_repeated(stopping) => {}
            Some(Event::Signal(signal)) => {
                log::warn!("{signal} again: stopped at once");
                return Ok(());
            }
            Some(Event::Ended(_, Exit::Stopped)) => running -= 1,
            Some(Event::Ended(core, Exit::Failed(reason))) => {
                return Err(ServeError::Core(format!(
                    "core {core} cannot go on: {reason}"
                )));
            }
            None => {
                log::warn!("{running} cores are not done in time: the journal holds everything");
                return Ok(());
            }
        }
    }
    log::info!("stopped");
    Ok(())
}

/// Whether a signal now only says again what the one at `stopping` said.
fn is_repeated(stopping: Option<Instant>) -> bool {
    stopping.is_some_and(|since| since.elapsed() < STOP_REPEAT_MIN)
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
