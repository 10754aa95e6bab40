//! `galo serve`: starts the cores from the settings, and stops them.
//!
//! The order at the start: what the data directory is, which decides how many cores there are; then what the cores
//! need of the system (files, threads, rings), which is taken before anything is made; then what can be taken by
//! somebody else (the node's name, each shard's lock, followed by its recovery; then addresses); then the cores serve.

mod cores;
mod machines;
mod made;
mod needs;
mod processors;
mod signals;
mod watch;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clients::{self, ClientsError};
use crate::cluster::{self, JoinError, NodeDescriptor};
use crate::config::{self, Replicate, Serve};
use crate::io::{
    bind_link, Chosen, Control, Inherited, Lack, ListenError, Listeners, SocketFile, Unfit,
};
use crate::limits::{LISTEN_RETRY_NS, LISTEN_WAIT_NS_MAX};
use crate::machine::Exit;
use crate::members::Members;
use crate::nats::{Client, ClientError};
use crate::node::{link, Durability};
use crate::shard::layout::{shard_dir, CREATION_LOCK, SHARD_LOCK};
use crate::shard::lock::ShardLock;
use crate::shard::{self, Acquired, Directory, Meta, Owned, RealDisk, Recovered, RecoveryError};
use crate::system::with_limit;
use crate::systemd;

use cores::{Cores, Engines};
use made::Made;
use signals::ReceivedSignal;

const LISTEN_WAIT_MAX: Duration = Duration::from_nanos(LISTEN_WAIT_NS_MAX);
const LISTEN_RETRY: Duration = Duration::from_nanos(LISTEN_RETRY_NS);

/// Why a server cannot start, or must not go on.
#[derive(Debug)]
pub enum ServeError {
    /// No driver can run here.
    Driver(String),
    /// An address cannot be listened on.
    Listen(ListenError),
    /// A descriptor that the process was started with cannot be listened on.
    Unfit(Unfit),
    /// What is said of such descriptors makes no sense.
    Inherited(String),
    /// The clients' file cannot be used.
    Clients(PathBuf, ClientsError),
    /// It cannot be a node of its cluster, or the one owner of its data.
    Join(JoinError),
    /// A data directory or a shard cannot be used.
    Data(RecoveryError),
    /// The processors are not those that payments are with.
    Processors(String),
    /// The system refused something that a process needs.
    System(&'static str, io::Error),
    /// The engine cannot be used, or this is no node of its cluster.
    Engine(String),
    /// A core must not go on.
    Core(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Driver(text)
            | ServeError::Processors(text)
            | ServeError::Inherited(text)
            | ServeError::Engine(text)
            | ServeError::Core(text) => f.write_str(text),
            ServeError::Listen(error) => error.fmt(f),
            ServeError::Unfit(error) => error.fmt(f),
            ServeError::Clients(path, error) => write!(f, "{}: {error}", path.display()),
            ServeError::Join(error) => error.fmt(f),
            ServeError::Data(error) => error.fmt(f),
            ServeError::System(what, error) => write!(f, "{what}: {}", with_limit(error)),
        }
    }
}

impl From<ListenError> for ServeError {
    fn from(error: ListenError) -> ServeError {
        ServeError::Listen(error)
    }
}

impl From<Unfit> for ServeError {
    fn from(error: Unfit) -> ServeError {
        ServeError::Unfit(error)
    }
}

impl From<JoinError> for ServeError {
    fn from(error: JoinError) -> ServeError {
        ServeError::Join(error)
    }
}

impl From<ClientError> for ServeError {
    fn from(error: ClientError) -> ServeError {
        ServeError::Engine(error.0)
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
    for line in &settings.warnings {
        log::warn!("{line}");
    }
    // Before anything is opened.
    let inherited = inherit(&mut settings)?;
    abort_on_panic();
    signals::withstand()?;
    crate::system::raise_limits();
    let disk = RealDisk;
    let meta = Meta::read(&disk, &settings.data)?;
    if let (Some(meta), Some(asked)) = (&meta, settings.shards) {
        meta.expect_shards(&settings.data, asked as u32)?;
    }
    if let (Some(_), Some(file)) = (&meta, &settings.clients) {
        let (data, file) = (settings.data.display(), file.display());
        log::warn!("--clients {file} is not read: {data} was made before, and keeps its clients");
    }
    let nodes = settings.nodes();
    let by_default = match &settings.replicate {
        Some(replicate) => replicate.shards_by_default(),
        None => nodes * settings.cores,
    };
    let asked = settings.shards.unwrap_or(by_default);
    let shards = meta.map_or(asked, |meta| meta.shards as usize);
    // Shards go round the nodes, and in each of them round its cores.
    let cores_max = shards.div_ceil(nodes);
    if settings.cores > cores_max {
        let data = settings.data.display();
        let idle = settings.cores - cores_max;
        log::warn!("{data} has {shards} shards: {idle} cores would be idle");
        settings.cores = cores_max;
    }
    let control = Control::new(settings.cores)
        .map_err(|error| ServeError::System("cannot make an eventfd", error))?;
    let (events, inbox) = mpsc::channel();
    let (chosen, engines) = signals::without_stops(|| {
        take_engines(&settings, shards, inherited.len(), &control, &events)
    })??;
    // Dropped when the start fails, behind what is locked.
    let mut made = Made::default();
    if let Some(cluster) = &settings.cluster {
        made.directory(&cluster.run)
            .map_err(|error| JoinError::Io("make", cluster.run.clone(), error))?;
        made.note(&cluster.links());
        cluster::prepare(cluster)?;
        made.note_lock(&cluster.lock_path(cluster.node));
    }
    let client = match &settings.replicate {
        None => None,
        Some(replicate) => {
            let client = signals::without_stops(|| Client::start(replicate.engine.clone()))?;
            let client = client.map_err(|error| ServeError::System("cannot start a thread", error));
            Some(Arc::new(client?))
        }
    };
    let began = Instant::now();
    let is_new = meta.is_none();
    machines::expect_seed(&settings, is_new)?;
    let meta = match meta {
        Some(meta) => meta,
        None => create(
            &disk,
            &settings,
            shards as u32,
            client.as_deref(),
            &mut made,
        )?,
    };
    let members = members(&settings, &meta);
    let descriptor = descriptor(&settings, &meta);
    let directory = Directory {
        disk,
        path: settings.data.clone(),
        meta,
        descriptor: match &descriptor {
            Some(descriptor) => descriptor.to_string(),
            None => format!("process {}", std::process::id()),
        },
    };
    if let (Some(client), Some(replicate)) = (&client, &settings.replicate) {
        machines::expect_room(&settings, meta.shards)?;
        machines::have_copies(client, &settings, replicate, &directory)?;
    }
    // The node's name is ours until the end.
    let (_name, owned) = match settings.cluster.as_ref().zip(descriptor.as_ref()) {
        None => (None, own(&directory)?),
        Some((cluster, descriptor)) => {
            let name = cluster::join(cluster, descriptor)?;
            let home = (0..meta.shards)
                .filter(|shard| members.is_in_process(members.home(*shard as usize)));
            (Some(name), cluster::claim(&directory, descriptor, home)?)
        }
    };
    machines::expect_no_copies(&settings, &owned)?;
    // Those of a cluster are in its charter.
    let alone = |it: &Replicate| it.seed;
    let payments = settings.payments.as_ref();
    if let Some(payments) = payments.filter(|_| settings.replicate.as_ref().is_none_or(alone)) {
        processors::expect(payments, &directory, &owned)?;
    }
    // Of two that start at once on the same directory, only the owner gets to replace a stale socket.
    let mut listeners = listen(&settings, inherited)?;
    let links = listen_for_nodes(&settings)?;
    let (link_files, links): (Vec<SocketFile>, Vec<OwnedFd>) = links.into_iter().unzip();
    // Before it is announced: whoever reads that it listens may stop it properly.
    signals::block_stops()?;
    announce(&settings, &chosen, &members, &owned, began.elapsed());
    if let (Some(client), Some(replicate), false) = (&client, &settings.replicate, is_new) {
        machines::check(client, &settings, replicate, &directory.meta, &events)?;
    }
    let cores = Cores {
        client: client.as_deref(),
        settings: &settings,
        chosen: &chosen,
        members,
        control: &control,
        directory,
    };
    let setups = cores.setups(&mut listeners, links, owned)?;
    signals::take(events)?;
    made.keep();
    // Where one does not start the inbox says why.
    if engines.run(setups).is_ok() {
        for address in listeners.addresses() {
            log::info!("listening on {address}");
        }
        systemd::notify(systemd::ServiceState::Ready);
    }
    let stopped = watch::watch(&inbox, &control, settings.cores);
    drop((listeners, link_files)); // Removes the sockets' files.
    stopped
}

/// The sockets that a service manager has passed to this process. Where there are some, nothing else is listened on that
/// was not asked for.
fn inherit(settings: &mut Serve) -> Result<Vec<Inherited>, ServeError> {
    let descriptors = systemd::inherited().map_err(ServeError::Inherited)?;
    let checked = descriptors.into_iter().map(Inherited::check);
    let inherited: Vec<Inherited> = checked.collect::<Result<_, _>>()?;
    if !inherited.is_empty() && settings.listen_is_default {
        settings.listen.clear();
    }
    for Inherited { address, .. } in &inherited {
        log::info!("inherited: a socket that listens on {address}");
    }
    Ok(inherited)
}

/// Takes what all cores need of the system, so that it is known before anything is made.
fn take_engines(
    settings: &Serve,
    shards: usize,
    inherited: usize,
    control: &Arc<Control>,
    events: &Sender<ProcessEvent>,
) -> Result<(Chosen, Engines), ServeError> {
    needs::expect_files(settings, shards, inherited).map_err(ServeError::Driver)?;
    needs::expect_all_threads(settings).map_err(ServeError::Driver)?;
    let take = |driver| Engines::take(settings, driver, control, events);
    let chosen = settings.io.decide().map_err(ServeError::Driver)?;
    let lack = match take(chosen.driver) {
        Ok(engines) => return Ok((chosen, engines)),
        Err(lack) => lack,
    };
    let chosen = chosen
        .lacking(lack, settings.io, settings.cores)
        .map_err(ServeError::Driver)?;
    match take(chosen.driver) {
        Ok(engines) => Ok((chosen, engines)),
        Err(Lack::Memory(text) | Lack::Other(text)) => Err(ServeError::Driver(text)),
    }
}

/// The cluster, as its first core here sees it.
fn members(settings: &Serve, meta: &Meta) -> Members {
    let shards = meta.shards as usize;
    let cluster = settings.cluster.as_ref().map(|it| (&it.nodes, it.node));
    let replicate = settings.replicate.as_ref().map(|it| (&it.nodes, it.node));
    match cluster.or(replicate) {
        None => Members::alone(0, settings.cores, shards),
        Some((nodes, node)) => Members {
            nodes: nodes.clone(),
            node,
            core: 0,
            cores: settings.cores,
            shards,
        },
    }
}

fn descriptor(settings: &Serve, meta: &Meta) -> Option<NodeDescriptor> {
    let cluster = settings.cluster.as_ref()?;
    Some(NodeDescriptor {
        node: cluster.name().to_owned(),
        nodes: cluster.nodes.clone(),
        cores: settings.cores,
        shards: meta.shards,
        directory: meta.directory,
        processors: settings
            .payments
            .as_ref()
            .map(|payments| payments.processors.each_ref().map(ToString::to_string)),
        protocol: link::VERSION,
        pid: std::process::id(),
    })
}

fn create(
    disk: &RealDisk,
    settings: &Serve,
    shards: u32,
    client: Option<&Client>,
    made: &mut Made,
) -> Result<Meta, ServeError> {
    let data = &settings.data;
    let clients: Vec<shard::Client> = match &settings.clients {
        None => clients::CONTEST.to_vec(),
        Some(path) => {
            clients::read(path).map_err(|error| ServeError::Clients(path.clone(), error))?
        }
    };
    made.directory(data).map_err(|error| RecoveryError::Io {
        action: "make the data directory",
        path: data.clone(),
        error,
    })?;
    // Whoever is second waits here, and finds the directory made.
    let lock = data.join(CREATION_LOCK);
    let descriptor = format!("process {}", std::process::id());
    let _lock = ShardLock::wait(&lock, &descriptor).map_err(|error| RecoveryError::Io {
        action: "lock",
        path: lock,
        error,
    })?;
    if let Some(meta) = Meta::read(disk, data)? {
        meta.expect_shards(data, shards)?;
        return Ok(meta);
    }
    let charter = match (client, &settings.replicate) {
        (Some(client), Some(replicate)) => Some(machines::found(
            client, settings, replicate, shards, &clients,
        )?),
        _ => None,
    };
    made.data(data);
    let (directory, shards) = match &charter {
        None => (random()?, shards),
        Some(charter) => (charter.directory, charter.shards),
    };
    let meta = Meta { directory, shards };
    match charter.map(|it| it.clients) {
        None => shard::create(disk, data, &meta, &clients)?,
        Some(Some(_)) => shard::create_copies(disk, data, &meta, &clients)?,
        // All of them come from the engine.
        Some(None) => shard::create(disk, data, &meta, &[])?,
    }
    log::info!("{} made: {shards} shards", data.display());
    Ok(meta)
}

fn random() -> Result<u128, ServeError> {
    let mut bytes = [0; 16];
    let file = std::fs::File::open("/dev/urandom");
    file.and_then(|mut file| io::Read::read_exact(&mut file, &mut bytes))
        .map_err(|error| ServeError::System("cannot read /dev/urandom", error))?;
    Ok(u128::from_le_bytes(bytes))
}

/// Listens. The kernel takes a killed process's ring down after the process is gone, and until then
/// its listeners are in use: so an address that is may be so no longer in a moment.
fn listen(settings: &Serve, inherited: Vec<Inherited>) -> Result<Listeners, ListenError> {
    let began = Instant::now();
    loop {
        match Listeners::bind_beside(&inherited, &settings.listen, settings.cores) {
            Err(ListenError::InUse(_)) if began.elapsed() < LISTEN_WAIT_MAX => {
                std::thread::sleep(LISTEN_RETRY);
            }
            done => return done,
        }
    }
}

/// The link sockets, one for each core.
fn listen_for_nodes(settings: &Serve) -> Result<Vec<(SocketFile, OwnedFd)>, ListenError> {
    let Some(cluster) = &settings.cluster else {
        return Ok(Vec::new());
    };
    let paths = (0..settings.cores).map(|core| cluster.socket_path(cluster.node, core));
    paths.map(|path| bind_link(&path)).collect()
}

/// Takes ownership of all shards; an error if another process has one.
fn own(directory: &Directory<RealDisk>) -> Result<Vec<Owned<RealDisk>>, ServeError> {
    let own = |shard| match directory.acquire(shard)? {
        Acquired::Ours(owned) => Ok(*owned),
        Acquired::Held(descriptor) => {
            let lock = shard_dir(&directory.path, shard).join(SHARD_LOCK);
            Err(JoinError::ForeignProcess(lock, descriptor).into())
        }
    };
    (0..directory.meta.shards).map(own).collect()
}

/// All that somebody who starts it wants to know, on one screen.
fn announce(
    settings: &Serve,
    chosen: &Chosen,
    members: &Members,
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
        Durability::Replicated => "replicated: acknowledged means that a quorum has it",
    };
    log::info!("durability {durability}");
    if let Some(cluster) = &settings.cluster {
        let numbers = owned
            .iter()
            .map(|owned| owned.recovered.shard.identity().shard.to_string());
        let numbers: Vec<String> = numbers.collect();
        log::info!(
            "node {} of {}: owns {} of {} shards ({})",
            cluster.name(),
            cluster.nodes.join(","),
            owned.len(),
            members.shards,
            numbers.join(",")
        );
    }
    if let Some(replicate) = &settings.replicate {
        log::info!(
            "node {} of {}: cluster {} at {}",
            replicate.nodes[replicate.node],
            replicate.nodes.join(","),
            replicate.engine.cluster,
            replicate.engine.servers.join(",")
        );
    }
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
    if let Some(payments) = &settings.payments {
        let [default, fallback] = &payments.processors;
        log::info!(
            "payments: default {default}, fallback {fallback}, deadline {:?}, at most {} open in a shard",
            Duration::from_nanos(payments.deadline_ns),
            payments.queue
        );
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

/// Events that end or change what [`watch`] does.
enum ProcessEvent {
    Signal(ReceivedSignal),
    Ended(usize, Exit),
    /// This is no node of the cluster that it is to be of.
    Unfit(String),
}
