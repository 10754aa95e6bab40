//! The drivers there are, and everything that a driver is started with.

use super::{Channel, Control, ListenSocket, Upstream};
use crate::machine::engine::EnginePort;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// An I/O driver: what moves bytes between the kernel and a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// A glommio executor, and a socket ring of our own on it.
    Uring,
    /// Plain epoll, for where io_uring is refused.
    Epoll,
}

/// Everything that one core is started with.
pub struct Setup<M> {
    /// The machine that the driver runs.
    pub machine: M,
    /// Listening sockets of this core; see [`super::Listeners::take`]. Closed on
    /// [`crate::machine::Effect::StopAccepting`].
    pub listeners: Vec<ListenSocket>,
    /// The other cores of the process, by member number: a connected stream socket, whose end says that the other core
    /// is gone, and the channel. They are opened before anything else happens, in this order.
    pub peers: Vec<(usize, OwnedFd, Channel)>,
    /// Where other members of this cluster connect to this one, see [`super::bind_link`]; only this
    /// user's processes are let in (SO_PEERCRED). Stays open on [`crate::machine::Effect::StopAccepting`].
    pub link_listener: Option<OwnedFd>,
    /// The link sockets of all members, by member number; those that the machine never connects to
    /// may be anything.
    pub link_paths: Vec<PathBuf>,
    /// Where the servers that this side connects to are, by number; `None`: there are none, and the machine connects to
    /// none.
    pub upstreams: Option<[Arc<Upstream>; 2]>,
    /// The engine; `None`: the machine asks for nothing of it.
    pub engine: Option<Box<dyn EnginePort>>,
    /// Shared with the thread that stops the cores.
    pub control: Arc<Control>,
    /// This core's number in its process.
    pub core: usize,
}

impl Driver {
    /// All drivers, the preferred one first.
    pub const ALL: [Driver; 2] = [Driver::Uring, Driver::Epoll];

    /// As in `--io`, logs and `/health`.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Uring => "uring",
            Driver::Epoll => "epoll",
        }
    }
}
