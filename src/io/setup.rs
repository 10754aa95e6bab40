//! What a driver is started with, and which drivers there are.

use super::{epoll, uring, Control, Upstream};
use crate::machine::{Exit, Job, Machine, Peer};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// What moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// A glommio executor, and a socket ring of our own on it.
    Uring,
    /// Plain epoll, for where io_uring is refused.
    Epoll,
}

/// Everything that one core is started with.
pub struct Setup<M> {
    /// What is driven.
    pub machine: M,
    /// Listening sockets of this core; see [`super::Listeners::take`]. Closed on
    /// [`crate::machine::Effect::StopAccepting`].
    pub listeners: Vec<OwnedFd>,
    /// Connected stream sockets to other cores of the process, by the other's member number. They
    /// are opened before anything else happens, in this order.
    pub peers: Vec<(usize, OwnedFd)>,
    /// Where other members of this cluster connect to this one, see [`super::bind_link`]; only this
    /// user's processes are let in (SO_PEERCRED). Stays open on [`crate::machine::Effect::StopAccepting`].
    pub link_listener: Option<OwnedFd>,
    /// The link sockets of all members, by member number; those that the machine never connects to
    /// may be anything.
    pub link_paths: Vec<PathBuf>,
    /// Where the servers that this side connects to are, by number; `None`: there are none, and the machine connects to
    /// none.
    pub upstreams: Option<[Arc<Upstream>; 2]>,
    /// Shared with the thread that stops the cores.
    pub control: Arc<Control>,
    /// This core's number.
    pub core: usize,
}

/// Why a core cannot have what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// There is no more memory to lock, which only io_uring needs: what was refused.
    Memory(String),
    /// Anything else.
    Other(String),
}

impl From<String> for Lack {
    fn from(text: String) -> Lack {
        Lack::Other(text)
    }
}

/// What a core has of the system before it has anything to serve: rings or an epoll, and threads for what blocks.
/// It stays on the thread that took it.
pub struct Engine<J: Job>(Kind<J>);

enum Kind<J: Job> {
    Uring(Box<uring::Engine>),
    Epoll(epoll::Engine<J>),
}

impl<J: Job> Engine<J> {
    /// Runs a core until its machine says [`crate::machine::Effect::Exit`]. `started` is called once it serves.
    pub fn run<M: Machine<Job = J>>(self, setup: Setup<M>, started: impl FnOnce()) -> Exit {
        match self.0 {
            Kind::Uring(engine) => engine.run(setup, started),
            Kind::Epoll(engine) => engine.run(setup, started),
        }
    }
}

impl Driver {
    /// Every driver.
    pub const ALL: [Driver; 2] = [Driver::Uring, Driver::Epoll];

    /// As in `--io`, logs and `/health`.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Uring => "uring",
            Driver::Epoll => "epoll",
        }
    }

    /// Takes what a core needs, on the calling thread. `pin_to`: the CPU to stay on; `None`: wherever the kernel
    /// likes.
    pub fn engine<J: Job>(
        self,
        control: &Arc<Control>,
        core: usize,
        pin_to: Option<usize>,
    ) -> Result<Engine<J>, Lack> {
        Ok(Engine(match self {
            Driver::Uring => Kind::Uring(Box::new(uring::Engine::take(pin_to)?)),
            Driver::Epoll => Kind::Epoll(epoll::Engine::take(control, core, pin_to)?),
        }))
    }

    /// Runs a core on the calling thread until its machine says [`crate::machine::Effect::Exit`].
    pub fn run<M: Machine>(self, setup: Setup<M>) -> Exit {
        match self.engine(&setup.control, setup.core, None) {
            Ok(engine) => engine.run(setup, || {}),
            Err(Lack::Memory(text) | Lack::Other(text)) => Exit::Failed(text),
        }
    }
}

/// All listening sockets of a core, and who connects there.
pub(super) fn with_link(clients: Vec<OwnedFd>, link: Option<OwnedFd>) -> Vec<(Peer, OwnedFd)> {
    let clients = clients.into_iter().map(|socket| (Peer::Client, socket));
    let link = link.into_iter().map(|socket| (Peer::Linker, socket));
    clients.chain(link).collect()
}

/// Keeps the calling thread on one CPU.
pub(super) fn pin(cpu: usize) -> Result<(), String> {
    let mut set = nix::sched::CpuSet::new();
    set.set(cpu)
        .and_then(|()| nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set))
        .map_err(|error| format!("cannot pin to CPU {cpu}: {error}; run without --pin"))
}
