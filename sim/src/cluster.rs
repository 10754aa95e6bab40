//! The processes of a cluster, and their cores.

use std::collections::VecDeque;

use galo::machine::Exit;
use galo::members::Members;
use galo::payments::Processor;
use galo::runtime::Runtime;
use galo::shard::{Directory, Meta, Owned};

use crate::disk::SimDisk;
use crate::plan::Life;
use crate::trace::node_name;

/// Where the files are.
pub const DATA: &str = "/data";

/// A connection that a core wants to make.
#[derive(Clone, Copy, Debug)]
pub struct Dial {
    pub to: Processor,
    /// It is known by then whether somebody listens.
    pub due_ns: u64,
}

/// One core of a process that is there.
pub struct Core {
    /// Until it exits.
    pub runtime: Option<Runtime<SimDisk>>,
    pub accepts: bool,
    /// A signal has come.
    pub stop_wanted: bool,
    /// The machine was told, then.
    pub stopped_ns: Option<u64>,
    /// It was done in time.
    pub stopped_clean: bool,
    pub exited: Option<Exit>,
    /// Members that it wants to be connected with.
    pub connecting: Vec<usize>,
    /// Connections with processors that it wants.
    pub dialing: Vec<Dial>,
    /// The shards that it had after its last tick.
    pub owned: Vec<usize>,
}

/// A process before it serves.
pub struct Starting {
    /// To be taken.
    pub shards: VecDeque<u32>,
    /// By core.
    pub owned: Vec<Vec<Owned<SimDisk>>>,
}

/// A place for a process.
pub struct Process {
    /// Of the present life, or the last one.
    pub disk: SimDisk,
    pub starting: Option<Starting>,
    /// Empty: it is not there, or it is still starting.
    pub cores: Vec<Core>,
    /// It gets no tick before that.
    pub paused_until_ns: u64,
    /// Nobody gets a connection with it before that.
    pub refuses_until_ns: u64,
    /// A core has given up: what is left of the process goes on until then.
    pub fails_ns: Option<u64>,
}

/// All of them.
pub struct Cluster {
    pub processes: Vec<Process>,
    pub life: Life,
    pub meta: Meta,
}

impl Process {
    pub fn new(disk: SimDisk) -> Process {
        Process {
            disk,
            starting: None,
            cores: Vec::new(),
            paused_until_ns: 0,
            refuses_until_ns: 0,
            fails_ns: None,
        }
    }

    pub fn is_up(&self) -> bool {
        !self.cores.is_empty()
    }

    pub fn is_down(&self) -> bool {
        self.cores.is_empty() && self.starting.is_none()
    }

    pub fn is_stopping(&self) -> bool {
        self.cores.iter().any(|core| core.stop_wanted)
    }

    pub fn has_failed(&self) -> bool {
        let failed = |core: &Core| matches!(core.exited, Some(Exit::Failed(_)));
        self.cores.iter().any(failed)
    }

    pub fn has_stopped(&self) -> bool {
        self.is_up() && self.cores.iter().all(|core| core.exited.is_some())
    }
}

impl Cluster {
    pub fn is_alone(&self) -> bool {
        self.processes.len() == 1
    }

    /// Members, whether they are there or not.
    pub fn members(&self) -> usize {
        self.processes.len() * self.life.cores
    }

    pub fn node_of(&self, member: usize) -> usize {
        member / self.life.cores
    }

    pub fn core(&mut self, member: usize) -> Option<&mut Core> {
        let (node, core) = (member / self.life.cores, member % self.life.cores);
        self.processes[node].cores.get_mut(core)
    }

    /// The same, to look at.
    pub fn at(&self, member: usize) -> Option<&Core> {
        let (node, core) = (member / self.life.cores, member % self.life.cores);
        self.processes[node].cores.get(core)
    }

    /// All that are there.
    pub fn cores(&self) -> impl Iterator<Item = (usize, &Core)> {
        let per = self.life.cores;
        let of = move |(node, process)| {
            let process: &Process = process;
            let numbered = process.cores.iter().enumerate();
            numbered.map(move |(core, it)| (node * per + core, it))
        };
        self.processes.iter().enumerate().flat_map(of)
    }

    /// How a member sees the cluster.
    pub fn view(&self, node: usize, core: usize) -> Members {
        let shards = self.meta.shards as usize;
        if self.is_alone() {
            return Members::alone(core, self.life.cores, shards);
        }
        let names = 0..self.processes.len();
        Members {
            nodes: names.map(node_name).collect(),
            node,
            core,
            cores: self.life.cores,
            shards,
        }
    }

    /// Who is to own a shard.
    pub fn home(&self, shard: usize) -> usize {
        self.view(0, 0).home(shard)
    }

    pub fn directory(&self, node: usize) -> Directory<SimDisk> {
        Directory {
            disk: self.processes[node].disk.clone(),
            path: DATA.into(),
            meta: self.meta,
            descriptor: node_name(node),
        }
    }
}
