//! A core's links to other cores and processes: those it makes, and which connections to its own socket are accepted.
//!
//! A link socket is for this user's processes only. Its directory and its mode say so, and both ends
//! ask the kernel (`SO_PEERCRED`, unix(7)): a directory may be a volume that others can write to.

use super::channel::{Channel, NoChannel};
use super::socket::connect_unix;
use super::sockets::{Carrier, Offer};
use crate::limits::FAULT_LOG_NS;
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The links that a core makes, and the log lines about those that fail.
pub(super) struct Links {
    paths: Vec<PathBuf>,
    /// By member number: the failure last logged, until a link is made.
    last_logged: Vec<Option<LinkFailure>>,
    /// When a refused connection was last logged, monotonic.
    foreign_logged_ns: Option<u64>,
    no_channel_logged: Option<NoChannel>,
}

/// Why there is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkFailure {
    /// The other end is a process of this user.
    ForeignUser(u32),
    System(Errno),
}

impl Links {
    /// `paths`: the link sockets, by member number.
    pub(super) fn new(paths: Vec<PathBuf>) -> Links {
        Links {
            last_logged: vec![None; paths.len()],
            paths,
            foreign_logged_ns: None,
            no_channel_logged: None,
        }
    }

    /// Makes a link, or not: a socket that does not block, and what carries its bytes.
    pub(super) fn connect(&mut self, member: usize) -> Option<(OwnedFd, Carrier)> {
        let path = &self.paths[member];
        let last_logged = &mut self.last_logged[member];
        match connect_link(path) {
            Ok(socket) => {
                *last_logged = None;
                let carrier = match Channel::offer() {
                    Ok((channel, parts)) => {
                        let parts = Some(parts);
                        Carrier::Offered(Box::new(Offer { channel, parts }))
                    }
                    Err(reason) => {
                        self.log_no_channel(&reason);
                        Carrier::Socket
                    }
                };
                Some((socket, carrier))
            }
            Err(failure) => {
                // Connecting is repeated at short intervals: only a change is logged.
                if !failure.is_ordinary() && last_logged.replace(failure) != Some(failure) {
                    log::warn!("no link to {}: {failure}", path.display());
                }
                None
            }
        }
    }

    /// A link has no channel, which makes it slower, and nothing else. Connecting is repeated: only a change is logged.
    pub(super) fn log_no_channel(&mut self, reason: &NoChannel) {
        if self.no_channel_logged.replace(*reason) != Some(*reason) {
            log::warn!("a link's frames go over its socket, not through shared memory: {reason}");
        }
    }

    /// Whether a connection to our link socket is accepted: the other end is a process of our user.
    pub(super) fn admits(&mut self, socket: &OwnedFd, now_ns: u64) -> bool {
        let Err(failure) = check_user(socket) else {
            return true;
        };
        if self
            .foreign_logged_ns
            .is_none_or(|at| now_ns >= at + FAULT_LOG_NS)
        {
            self.foreign_logged_ns = Some(now_ns);
            log::warn!("a connection to our link socket is closed: {failure}");
        }
        false
    }
}

impl LinkFailure {
    /// Whether it is what a node causes that is not there, starts, or is slow.
    fn is_ordinary(self) -> bool {
        matches!(
            self,
            LinkFailure::System(Errno::ENOENT | Errno::ECONNREFUSED | Errno::EAGAIN)
        )
    }
}

impl From<Errno> for LinkFailure {
    fn from(errno: Errno) -> LinkFailure {
        LinkFailure::System(errno)
    }
}

impl fmt::Display for LinkFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkFailure::ForeignUser(uid) => write!(
                f,
                "the other end is user {uid}'s, and not our own user's ({}); all nodes run as one user",
                geteuid()
            ),
            LinkFailure::System(errno) => f.write_str(errno.desc()),
        }
    }
}

fn connect_link(path: &Path) -> Result<OwnedFd, LinkFailure> {
    let socket = connect_unix(path)?;
    check_user(&socket)?;
    Ok(socket)
}

fn check_user(socket: &OwnedFd) -> Result<(), LinkFailure> {
    match getsockopt(socket, PeerCredentials)?.uid() {
        uid if uid == geteuid().as_raw() => Ok(()),
        uid => Err(LinkFailure::ForeignUser(uid)),
    }
}
