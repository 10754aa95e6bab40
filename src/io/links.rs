//! A core's links to other cores and processes: those it makes, and who is let in at its own socket.
//!
//! A link socket is for this user's processes only. Its directory and its mode say so, and both ends
//! ask the kernel (`SO_PEERCRED`, unix(7)): a directory may be a volume that others can write to.

use super::clock;
use super::socket::connect_unix;
use crate::limits::STRANGER_LOG_NS;
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The links that a core makes, and the log lines about those that fail.
pub(super) struct Links {
    paths: Vec<PathBuf>,
    /// What was last said about a member's socket, until a link to it is made.
    said: Vec<Option<Failure>>,
    /// When it was last said that somebody was not let in.
    stranger_said_ns: Option<u64>,
}

/// Why a link is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The other end is this user's.
    Stranger(u32),
    System(Errno),
}

impl Links {
    /// `paths`: by member number.
    pub(super) fn new(paths: Vec<PathBuf>) -> Links {
        Links {
            said: vec![None; paths.len()],
            paths,
            stranger_said_ns: None,
        }
    }

    /// Makes a link, or not: a socket that does not block.
    pub(super) fn connect(&mut self, member: usize) -> Option<OwnedFd> {
        let path = &self.paths[member];
        let said = &mut self.said[member];
        match connect_link(path) {
            Ok(socket) => {
                *said = None;
                Some(socket)
            }
            Err(failure) => {
                // It is tried again and again; the log is not to tell of each time.
                if !failure.is_ordinary() && said.replace(failure) != Some(failure) {
                    log::warn!("no link to {}: {failure}", path.display());
                }
                None
            }
        }
    }

    /// Whether somebody who has connected to our link socket is let in.
    pub(super) fn admits(&mut self, socket: &OwnedFd) -> bool {
        let Err(failure) = check_user(socket) else {
            return true;
        };
        let now_ns = clock::monotonic_ns();
        if self
            .stranger_said_ns
            .is_none_or(|at| now_ns >= at + STRANGER_LOG_NS)
        {
            self.stranger_said_ns = Some(now_ns);
            log::warn!("a connection to our link socket is closed: {failure}");
        }
        false
    }
}

impl Failure {
    /// What comes of a node that is not there, starts, or is slow.
    fn is_ordinary(self) -> bool {
        matches!(
            self,
            Failure::System(Errno::ENOENT | Errno::ECONNREFUSED | Errno::EAGAIN)
        )
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure::System(errno)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Stranger(uid) => write!(
                f,
                "the other end is user {uid}'s, and not our own user's ({}); all nodes run as one user",
                geteuid()
            ),
            Failure::System(errno) => f.write_str(errno.desc()),
        }
    }
}

fn connect_link(path: &Path) -> Result<OwnedFd, Failure> {
    let socket = connect_unix(path)?;
    check_user(&socket)?;
    Ok(socket)
}

fn check_user(socket: &OwnedFd) -> Result<(), Failure> {
    match getsockopt(socket, PeerCredentials)?.uid() {
        uid if uid == geteuid().as_raw() => Ok(()),
        uid => Err(Failure::Stranger(uid)),
    }
}
