//! A cluster without a kernel, and the driver of each of its cores: sockets are byte strings, a disk
//! does what it is told, and time stands still until it is told to pass.

mod driver;
pub mod engine;
pub mod processors;
mod sight;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::api::operations::Process;
use crate::clients::CONTEST;
use crate::limits::SECOND_NS;
use crate::machine::{ConnectionId, Exit, Machine, Peer, Target};
use crate::members::Members;
use crate::node::{Durability, Settings};
use crate::payments::Processor;
use crate::replicate;
use crate::runtime::{Runtime, Work, WorkDone};
use crate::shard::tests::faulty::{Faulty, Write};
use crate::shard::{self, Acquired, Directory, Meta};
use crate::stats::{LinkState, Stats};

/// More ticks than any of these tests needs without time passing: beyond, a core is spinning.
const TICKS_MAX: usize = 2000;
/// 2024-01-01.
const TIME_US: u64 = 1_704_067_200_000_000;

std::thread_local! {
    /// `CLOCK_MONOTONIC` of the rig whose tick this is.
    static CLOCK_NS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// What a [`Rig`] is made with.
#[derive(Clone, Copy)]
pub struct Plan {
    pub nodes: usize,
    pub cores: usize,
    pub shards: usize,
    pub durability: Durability,
    /// `None`: there are no processors.
    /// From so many bytes on the front of the engine's log goes.
    pub log_bytes_max: u64,
    pub gateway: Option<Gateway>,
}

/// How payments are carried out.
#[derive(Clone, Copy)]
pub struct Gateway {
    pub deadline_ns: u64,
    pub open_max: usize,
}

/// One core with one shard, durability `process`.
pub const ONE: Plan = Plan {
    nodes: 1,
    cores: 1,
    shards: 1,
    durability: Durability::Process,
    log_bytes_max: u64::MAX,
    gateway: None,
};

/// The nodes of a cluster.
pub struct Rig {
    _dir: TempDir,
    data: PathBuf,
    meta: Meta,
    plan: Plan,
    /// By shard: those of a node that is alone. In a cluster each core has its own.
    pub disks: Vec<Faulty>,
    /// By member.
    pub cores: Vec<Core>,
    pub now_ns: u64,
    /// How far the real-time clock has stepped; microseconds.
    pub stepped_us: i64,
    /// By node.
    stats_of: Vec<Arc<Stats>>,
    /// The first node's.
    pub stats: Arc<Stats>,
    /// Lives that were begun.
    epochs: u64,
    /// By the processor's number: nobody listens there.
    pub unreachable: [bool; 2],
    /// By the processor's number: who connects there hears nothing.
    pub silent: [bool; 2],
    /// Who does so: cores.
    unheard: Vec<(usize, Processor)>,
    /// Questions about health that processors have got, and not answered.
    pub health_calls: Vec<processors::Call>,
    /// With durability `replicated`.
    pub engine: engine::Engine,
}

/// One core, and what a driver would keep for it.
pub struct Core {
    pub runtime: Runtime<Faulty>,
    /// For the shards that it comes to own.
    pub disk: Faulty,
    /// Those of earlier lives of the core are among them, closed.
    pub sockets: Vec<Socket>,
    /// The machine is still to be told.
    sent: Vec<(ConnectionId, Result<usize, ()>)>,
    closed: Vec<ConnectionId>,
    connect_failed: Vec<Target>,
    pub done: VecDeque<WorkDone<Faulty>>,
    /// Not begun: see [`Rig::disk_stuck`].
    pub jobs: VecDeque<Work<Faulty>>,
    disk_stuck: bool,
    pub asking: engine::Asking,
    /// Its process is paused.
    frozen: bool,
    pub accepting: bool,
    /// How often memory was to be given back.
    pub trims: usize,
    pub exit: Option<Exit>,
}

/// Our end of a connection.
pub struct Socket {
    pub id: ConnectionId,
    /// Of a link that the machine is still to be told of.
    unopened: Option<Peer>,
    /// The core and the socket at the other end, if that is a core.
    linked: Option<(usize, usize)>,
    /// Who is at the other end, if that is a processor.
    pub processor: Option<Processor>,
    /// From the peer, not yet delivered.
    pub inbound: Vec<u8>,
    /// The peer sent FIN behind it.
    pub ended: bool,
    /// The end was delivered.
    end_told: bool,
    /// To the peer, a client.
    pub outbound: Vec<u8>,
    /// Bytes that the peer will still take.
    room: usize,
    /// A send waits for room.
    sending: bool,
    pub reading: bool,
    /// We sent FIN.
    pub finished: bool,
    pub closed: bool,
}

/// A client's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub core: usize,
    pub socket: usize,
}

impl Rig {
    /// With all nodes running, and linked.
    pub fn new(plan: Plan) -> Rig {
        let nodes: Vec<usize> = (0..plan.nodes).collect();
        Rig::with_nodes(plan, &nodes)
    }

    /// With some of the nodes running.
    pub fn with_nodes(plan: Plan, nodes: &[usize]) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let meta = Meta {
            directory: 7,
            shards: plan.shards as u32,
        };
        let disks: Vec<Faulty> = (0..plan.shards).map(|_| Faulty::default()).collect();
        shard::create(&disks[0], &data, &meta, &CONTEST).unwrap();
        let stats = |node| {
            let stats = members(&plan, node, 0).stats();
            Arc::new(match plan.durability {
                Durability::Replicated => stats.with_engine(),
                Durability::Process | Durability::Disk => stats,
            })
        };
        let stats_of: Vec<Arc<Stats>> = (0..plan.nodes).map(stats).collect();
        let mut rig = Rig {
            _dir: dir,
            data,
            meta,
            plan,
            disks,
            cores: Vec::new(),
            now_ns: SECOND_NS,
            stepped_us: 0,
            stats: stats_of[0].clone(),
            stats_of,
            epochs: 0,
            unreachable: [false; 2],
            silent: [false; 2],
            unheard: Vec::new(),
            health_calls: Vec::new(),
            engine: engine::Engine::new(plan.shards),
        };
        if plan.durability == Durability::Replicated {
            (0..plan.nodes).for_each(|node| rig.make(node));
        }
        for member in 0..plan.nodes * plan.cores {
            let mut core = rig.core(member, false);
            core.exit = Some(Exit::Stopped);
            rig.cores.push(core);
        }
        // All have their shards before the first one ticks.
        for node in nodes {
            rig.begin(*node);
        }
        for node in nodes {
            for member in rig.members(*node) {
                rig.tick(member, |_| ()); // Begins to greet.
            }
        }
        rig.run();
        rig
    }

    fn make(&self, node: usize) {
        let (disk, data) = (Faulty::default(), self.data_of(node));
        shard::create(&disk, &data, &self.meta, &CONTEST).unwrap();
    }

    /// A node that is gone comes back on another machine.
    pub fn replace(&mut self, node: usize) {
        std::fs::remove_dir_all(self.data_of(node)).unwrap();
        self.make(node);
        self.restart(node);
    }

    /// A new life of a core, with its home shards as far as they are free (`owning`), or without any.
    fn core(&self, member: usize, owning: bool) -> Core {
        let Plan { nodes, cores, .. } = self.plan;
        let members = members(&self.plan, member / cores, member % cores);
        let disk = match nodes {
            1 => self.disks[0].clone(),
            _ => Faulty::default(),
        };
        let directory = |disk: &Faulty| Directory {
            disk: disk.clone(),
            path: self.data_of(member / cores),
            meta: self.meta,
            descriptor: members.name(member),
        };
        let is_replicated = self.plan.durability == Durability::Replicated;
        let (mut owned, own) = (Vec::new(), members.own());
        let candidates: Vec<Vec<u32>> = (0..members.shards)
            .map(|shard| members.candidates(shard).map(|it| it as u32).collect())
            .collect();
        let wanted = |shard: &usize| match is_replicated {
            true => candidates[*shard].contains(&(own as u32)),
            false => members.home(*shard) == own,
        };
        for shard in (0..members.shards).filter(wanted).filter(|_| owning) {
            let disk = match nodes {
                1 => &self.disks[shard],
                _ => &disk,
            };
            match directory(disk).acquire(shard as u32).unwrap() {
                Acquired::Ours(it) => owned.push(*it),
                Acquired::Held(descriptor) => assert!(nodes > 1, "{descriptor} has it"),
            }
        }
        let directory = directory(&disk);
        let settings = Settings {
            members,
            epoch: self.epochs,
            directory: self.meta.directory,
            durability: self.plan.durability,
            allow_reset: true,
            docs: true,
            payments: self.plan.gateway.map(processors::settings),
            process: Process {
                version: "0",
                git_hash: "0",
                driver: "test",
                started_us: TIME_US,
                started_ns: 0,
                resident_bytes: || 0,
                stats: self.stats_of[member / cores].clone(),
            },
        };
        let clock: fn() -> u64 = || CLOCK_NS.get();
        let replica = replicate::Settings {
            cluster: self.meta.directory,
            member: own as u32,
            members: (nodes * cores) as u32,
            process: self.epochs << 8 | own as u64,
            candidates,
            log_bytes_max: self.plan.log_bytes_max,
        };
        let runtime = match is_replicated {
            true => Runtime::replicated(settings, directory, owned, (clock, clock), replica),
            false => Runtime::new(settings, directory, owned, clock),
        };
        Core {
            runtime,
            disk,
            sockets: Vec::new(),
            sent: Vec::new(),
            closed: Vec::new(),
            connect_failed: Vec::new(),
            done: VecDeque::new(),
            jobs: VecDeque::new(),
            disk_stuck: false,
            asking: engine::Asking::new(self.epochs),
            frozen: false,
            accepting: true,
            trims: 0,
            exit: None,
        }
    }

    /// The data directory of a node: all have one, unless an engine keeps the journals.
    fn data_of(&self, node: usize) -> PathBuf {
        match self.plan.durability {
            Durability::Replicated => self.data.with_file_name(format!("data{node}")),
            Durability::Process | Durability::Disk => self.data.clone(),
        }
    }

    /// The members that a node's cores are.
    fn members(&self, node: usize) -> std::ops::Range<usize> {
        node * self.plan.cores..(node + 1) * self.plan.cores
    }

    /// A node that is not running is about to.
    fn begin(&mut self, node: usize) {
        self.epochs += 1;
        for member in self.members(node) {
            assert!(self.cores[member].exit.is_some(), "it runs");
            let mut core = self.core(member, true);
            core.sockets = std::mem::take(&mut self.cores[member].sockets);
            self.cores[member] = core;
        }
        for one in self.members(node) {
            for other in one + 1..self.members(node).end {
                let ours = self.open(one, Peer::Member(other));
                let theirs = self.open(other, Peer::Member(one));
                self.cores[one].sockets[ours].linked = Some((other, theirs));
                self.cores[other].sockets[theirs].linked = Some((one, ours));
            }
        }
    }

    fn open(&mut self, core: usize, peer: Peer) -> usize {
        let now = self.now();
        let core = &mut self.cores[core];
        core.runtime.tick_begin(now);
        let id = core.runtime.opened(peer).expect("room for a connection");
        core.sockets.push(Socket::new(id));
        core.runtime.tick_end();
        core.sockets.len() - 1
    }

    // ---- What a test does ----------------------------------------------------

    pub fn connect(&mut self, core: usize) -> Client {
        assert!(self.cores[core].accepting);
        let socket = self.open(core, Peer::Client);
        Client { core, socket }
    }

    /// Somebody connects to the link socket of a core, and says what the test has it say.
    pub fn connect_linker(&mut self, core: usize) -> Client {
        let socket = self.open(core, Peer::Linker);
        Client { core, socket }
    }

    /// Bytes of a client, to be delivered by the next tick together with everybody else's.
    pub fn send(&mut self, client: Client, bytes: impl AsRef<[u8]>) {
        self.socket(client)
            .inbound
            .extend_from_slice(bytes.as_ref());
    }

    /// The client sends FIN, and goes on reading.
    pub fn finish(&mut self, client: Client) {
        self.socket(client).ended = true;
    }

    /// The client takes `bytes` more, then no more.
    pub fn take_only(&mut self, client: Client, bytes: usize) {
        self.socket(client).room = bytes;
    }

    /// From now on, what the core hands to its background thread is not begun; or it is again.
    pub fn disk_stuck(&mut self, core: usize, stuck: bool) {
        self.cores[core].disk_stuck = stuck;
    }

    /// The next write to a shard's files finds no room.
    pub fn disk_full_once(&mut self, shard: usize) {
        let mut plan = self.disks[shard].0.lock().unwrap();
        plan.writes.push_back(Write::Fails(libc::ENOSPC));
    }

    /// All nodes are told to stop.
    pub fn stop(&mut self) {
        for core in 0..self.cores.len() {
            if self.cores[core].exit.is_none() {
                self.tick(core, Runtime::stop);
            }
        }
        self.run();
    }

    /// One node is told to stop.
    pub fn stop_node(&mut self, node: usize) {
        for member in self.members(node) {
            self.tick(member, Runtime::stop);
        }
        self.run();
    }

    /// The core is gone, and its sockets with it; its process is not.
    pub fn kill_core(&mut self, core: usize) {
        self.cores[core].exit = Some(Exit::Stopped);
        self.hang_up(core);
    }

    /// The node is gone, with its sockets, its locks, and what it had under way.
    pub fn kill(&mut self, node: usize) {
        for member in self.members(node) {
            self.kill_core(member);
        }
        self.end(node);
    }

    pub fn kill_if_running(&mut self, node: usize) {
        if self.cores[self.members(node).start].exit.is_none() {
            self.kill(node);
        }
    }

    fn end(&mut self, node: usize) {
        if self.plan.nodes == 1 {
            self.disks.iter().for_each(Faulty::release_locks);
        }
        for member in self.members(node) {
            let core = &mut self.cores[member];
            core.jobs.clear();
            core.done.clear();
            core.disk.release_locks();
        }
    }

    /// A node that is gone runs again.
    pub fn restart(&mut self, node: usize) {
        self.begin(node);
        for member in self.members(node) {
            self.tick(member, |_| ()); // Begins to greet.
        }
        self.run();
    }

    /// The same, up to where it has greeted who runs already, and no further.
    pub fn begin_and_link(&mut self, node: usize) {
        self.begin(node);
        let others = (0..self.plan.nodes).filter(|it| *it != node && !self.is_gone(*it));
        let others: Vec<usize> = others.collect();
        let greeted = |rig: &Rig| {
            let mut others = others.iter().map(|it| rig.stats_of[*it].link_to(node));
            others.all(|state| state == LinkState::Up)
        };
        for _ in 0..TICKS_MAX {
            for core in 0..self.cores.len() {
                if !greeted(self) && self.cores[core].has_events(self.now_ns) {
                    self.tick(core, |_| ());
                }
            }
        }
        assert!(greeted(self));
    }

    /// What was sent to a core and is not delivered: bytes.
    pub fn unread_bytes(&self, core: usize) -> usize {
        let sockets = self.cores[core].sockets.iter();
        sockets.map(|socket| socket.inbound.len()).sum()
    }

    /// The process is paused: no ticks, but its sockets and its locks stay.
    pub fn freeze(&mut self, node: usize) {
        for member in self.members(node) {
            self.cores[member].frozen = true;
        }
    }

    /// It goes on.
    pub fn thaw(&mut self, node: usize) {
        for member in self.members(node) {
            self.cores[member].frozen = false;
        }
        self.run();
    }

    /// The link between two members breaks, and what is on its way with it.
    pub fn cut(&mut self, one: usize, other: usize) {
        for (here, there) in [(one, other), (other, one)] {
            for socket in &mut self.cores[here].sockets {
                if !socket.closed && socket.linked.is_some_and(|(core, _)| core == there) {
                    socket.inbound.clear();
                    socket.ended = true;
                }
            }
        }
    }

    /// Whether a member reads what another one has sent it.
    pub fn hear(&mut self, member: usize, other: usize, hears: bool) {
        for socket in &mut self.cores[member].sockets {
            if socket.linked.is_some_and(|(core, _)| core == other) {
                socket.reading = hears;
            }
        }
    }

    /// Ticks until nothing happens any more without time passing.
    pub fn run(&mut self) {
        for _ in 0..TICKS_MAX {
            let mut idle = true;
            for core in 0..self.cores.len() {
                if self.cores[core].has_events(self.now_ns) {
                    idle = false;
                    self.tick(core, |_| ());
                }
            }
            if idle {
                return;
            }
        }
        panic!("a core spins");
    }

    /// Time passes, with a tick whenever a core wants one.
    pub fn pass(&mut self, ns: u64) {
        let end_ns = self.now_ns + ns;
        loop {
            self.run();
            let running = self.cores.iter().filter(|core| core.runs());
            let asked = running.clone().map(|core| core.asking.wake_ns());
            let asked = asked.filter(|at_ns| *at_ns != u64::MAX);
            let wanted = running.filter_map(|core| core.runtime.deadline_ns());
            match wanted.chain(asked).min() {
                Some(next_ns) if next_ns <= end_ns => self.now_ns = next_ns,
                _ => break,
            }
        }
        self.now_ns = end_ns;
        self.run();
    }

    /// Time passes without a tick: the process is paused. Then it goes on.
    pub fn pause(&mut self, ns: u64) {
        self.now_ns += ns;
        for core in 0..self.cores.len() {
            self.tick(core, |_| ());
        }
        self.run();
    }
}

fn members(plan: &Plan, node: usize, core: usize) -> Members {
    Members {
        nodes: (0..plan.nodes).map(|node| format!("api{node}")).collect(),
        node,
        core,
        cores: plan.cores,
        shards: plan.shards,
    }
}
