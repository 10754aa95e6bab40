//! The few calls on a single socket that the drivers have in common.

use super::error::Error;
use crate::limits::TCP_UNSENT_BYTES;
use crate::machine::Peer;
use libc::c_int;
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::sys::socket::sockopt::TcpNoDelay;
use nix::sys::socket::{
    connect, recv, send, setsockopt, shutdown, socket, AddressFamily, MsgFlags, Shutdown, SockFlag,
    SockType, UnixAddr,
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Whether it answers `EAGAIN` instead of waiting.
pub(super) fn set_nonblocking(socket: impl AsFd, nonblocking: bool) -> Result<(), Error> {
    let set = || {
        let mut flags = OFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFL)?);
        flags.set(OFlag::O_NONBLOCK, nonblocking);
        fcntl(&socket, FcntlArg::F_SETFL(flags)).map(drop)
    };
    set().map_err(Error::of("fcntl"))
}

/// Connects to a Unix socket, at once or not at all: `EAGAIN` when its backlog is full. The socket
/// does not block.
pub(super) fn connect_unix(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

/// Of a listening TCP socket: what the connections to it inherit. An error comes with the option's name.
pub(super) fn set_inherited(listener: &OwnedFd) -> Result<(), (&'static str, Errno)> {
    setsockopt(listener, TcpNoDelay, &true).map_err(|errno| ("TCP_NODELAY", errno))?;
    set_tcp(listener, libc::TCP_NOTSENT_LOWAT, TCP_UNSENT_BYTES as c_int)
        .map_err(|errno| ("TCP_NOTSENT_LOWAT", errno))
}

/// Sets an option of tcp(7) that is an int, and that nix does not know.
pub(super) fn set_tcp(socket: &OwnedFd, option: c_int, value: c_int) -> Result<(), Errno> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value is an int of this length, as the option wants.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            length,
        )
    };
    Errno::result(result).map(drop)
}

/// Sends FIN. A socket that is already broken needs none.
pub(super) fn shutdown_write(socket: &OwnedFd) {
    let _ = shutdown(socket.as_raw_fd(), Shutdown::Write);
}

/// Says why and closes, without waiting for anything. What the peer has sent is taken first, as far
/// as it is there: closing over unread bytes would send a reset, which overtakes the words. An upstream
/// has asked for nothing, and is told nothing.
pub(super) fn refuse(peer: Peer, socket: OwnedFd, words: &[u8]) {
    if let Peer::Upstream(_) = peer {
        return;
    }
    let fd = socket.as_raw_fd();
    let _ = send(fd, words, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
    shutdown_write(&socket);
    let mut unread = [0; 4096];
    let _ = recv(fd, &mut unread, MsgFlags::MSG_DONTWAIT);
}

/// Whether accepting may go on at once after this error. After any other (descriptors or memory
/// have run out) it pauses.
pub(super) fn accept_goes_on(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ECONNABORTED | Errno::EINTR | Errno::EAGAIN | Errno::EPROTO
    )
}

/// Says once that accepting pauses, until it has worked again.
#[derive(Default)]
pub(super) struct AcceptLog {
    paused: bool,
}

impl AcceptLog {
    pub(super) fn pauses(&mut self, errno: Errno) {
        if !std::mem::replace(&mut self.paused, true) {
            log::warn!(
                "accepting pauses: {} ({errno:?}); connections wait in the backlog",
                errno.desc()
            );
        }
    }

    pub(super) fn works(&mut self) {
        if std::mem::replace(&mut self.paused, false) {
            log::info!("accepting again");
        }
    }
}
