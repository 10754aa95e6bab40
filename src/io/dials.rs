//! Connections to upstreams that a core is making. Each back end has its own way of waiting for them.

use super::socket::set_tcp;
use super::Upstream;
use crate::limits::CONNECT_SYNS_REPEATED;
use crate::machine::Target;
use nix::errno::Errno;
use nix::sys::socket::{
    setsockopt, socket, sockopt, AddressFamily, SockFlag, SockType, SockaddrStorage,
};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Connections to upstreams that are being made.
pub(super) struct Dials {
    /// The upstreams, by their numbers.
    upstreams: Option<[Arc<Upstream>; 2]>,
    /// Connections by slot; slots are used again.
    under_way: Vec<Option<Dial>>,
    free: Vec<u32>,
}

/// A connection that is being made.
pub(super) struct Dial {
    number: usize,
    address: SocketAddr,
    pub(super) socket: OwnedFd,
    /// On the heap: the kernel may read it when it is submitted.
    pub(super) sockaddr: Box<SockaddrStorage>,
}

impl Dials {
    pub(super) fn new(upstreams: Option<[Arc<Upstream>; 2]>) -> Dials {
        Dials {
            upstreams,
            under_way: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Makes a socket to connect to an upstream with, and says its slot. `None`: that has failed.
    pub(super) fn begin(&mut self, number: usize, nonblocking: bool) -> Option<u32> {
        let upstream = self.upstream(number)?;
        let address = upstream.address()?;
        let dial = match tcp_socket(address, nonblocking) {
            Ok(socket) => Dial {
                number,
                address,
                socket,
                sockaddr: Box::new(address.into()),
            },
            Err(errno) => {
                upstream.failed(address, errno);
                return None;
            }
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.under_way.push(None);
            (self.under_way.len() - 1) as u32
        });
        self.under_way[slot as usize] = Some(dial);
        Some(slot)
    }

    /// The connection that is being made in a slot.
    pub(super) fn get(&self, slot: u32) -> &Dial {
        let dial = self.under_way[slot as usize].as_ref();
        dial.expect("it is under way")
    }

    /// It has come to an end: the socket, if it is connected. The slot is free.
    pub(super) fn end(
        &mut self,
        slot: u32,
        result: Result<(), Errno>,
    ) -> (Target, Option<OwnedFd>) {
        let dial = self.under_way[slot as usize].take();
        let dial = dial.expect("it is under way");
        self.free.push(slot);
        let upstream = self.upstream(dial.number).expect("it was begun");
        let socket = match result {
            Ok(()) => {
                upstream.works();
                Some(dial.socket)
            }
            Err(errno) => {
                upstream.failed(dial.address, errno);
                None
            }
        };
        (Target::Upstream(dial.number), socket)
    }

    fn upstream(&self, number: usize) -> Option<&Arc<Upstream>> {
        let upstreams = self.upstreams.as_ref();
        upstreams.map(|upstreams| &upstreams[number])
    }
}

/// A socket to connect with. Requests are written whole, so nothing is gained by waiting for more.
fn tcp_socket(address: SocketAddr, nonblocking: bool) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let mut flags = SockFlag::SOCK_CLOEXEC;
    flags.set(SockFlag::SOCK_NONBLOCK, nonblocking);
    let socket = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    set_tcp(&socket, libc::TCP_SYNCNT, CONNECT_SYNS_REPEATED)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{fcntl, FcntlArg, FdFlag};
    use nix::sys::socket::getsockopt;

    fn upstreams(hosts: [&str; 2]) -> Option<[Arc<Upstream>; 2]> {
        Some(hosts.map(|host| Arc::new(Upstream::new(host, 1))))
    }

    #[test]
    fn sockets_have_their_options() {
        let mut dials = Dials::new(upstreams(["127.0.0.1", "::1"]));
        let slot = dials.begin(0, false).unwrap();
        let dial = dials.get(slot);
        assert_eq!(getsockopt(&dial.socket, sockopt::TcpNoDelay), Ok(true));
        let flags = fcntl(&dial.socket, FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        assert_eq!(*dial.sockaddr, SockaddrStorage::from(dial.address));
    }

    #[test]
    fn slots_are_used_again() {
        let mut dials = Dials::new(upstreams(["127.0.0.1", "127.0.0.2"]));
        let mut begin = |number| dials.begin(number, false).unwrap();
        assert_eq!(begin(0), 0);
        assert_eq!(begin(1), 1);
        let (target, socket) = dials.end(0, Ok(()));
        assert!(target == Target::Upstream(0) && socket.is_some());
        let (target, socket) = dials.end(1, Err(Errno::ECONNREFUSED));
        assert!(target == Target::Upstream(1) && socket.is_none());
        let slot = dials.begin(0, false).unwrap();
        assert!(slot < 2);
    }

    #[test]
    fn without_an_address_it_fails() {
        for upstreams in [None, upstreams(["name", "127.0.0.1"])] {
            let mut dials = Dials::new(upstreams);
            assert_eq!(dials.begin(0, false), None);
        }
    }
}
