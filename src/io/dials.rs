//! A core's connections to upstreams that are on their way. How one is waited for is each
//! driver's own.

use super::Upstream;
use crate::limits::CONNECT_SYNS_REPEATED;
use crate::machine::Target;
use nix::errno::Errno;
use nix::sys::socket::{
    setsockopt, socket, sockopt, AddressFamily, SockFlag, SockType, SockaddrStorage,
};
use std::ffi::c_int;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

/// See the module.
pub(super) struct Dials {
    /// By the upstream's number.
    upstreams: Option<[Arc<Upstream>; 2]>,
    /// By slot; slots are used again.
    under_way: Vec<Option<Dial>>,
    free: Vec<u32>,
    /// Those that nothing has to be waited for. The next tick tells the machine.
    failed: Vec<Target>,
}

/// One connection on its way.
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
            failed: Vec::new(),
        }
    }

    /// Makes a socket to connect to an upstream with, and says its slot. `None`: that has failed, see
    /// [`take_failed`](Self::take_failed).
    pub(super) fn begin(&mut self, number: usize, flags: SockFlag) -> Option<u32> {
        let upstream = self.upstream(number);
        let begun = upstream.and_then(|upstream| {
            let address = upstream.address()?;
            let socket = match tcp_socket(address, flags) {
                Ok(socket) => socket,
                Err(errno) => {
                    upstream.failed(address, errno);
                    return None;
                }
            };
            Some(Dial {
                number,
                address,
                socket,
                sockaddr: Box::new(address.into()),
            })
        });
        let Some(dial) = begun else {
            self.failed.push(Target::Upstream(number));
            return None;
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.under_way.push(None);
            (self.under_way.len() - 1) as u32
        });
        self.under_way[slot as usize] = Some(dial);
        Some(slot)
    }

    /// What is under way in a slot.
    pub(super) fn get(&self, slot: u32) -> &Dial {
        let dial = self.under_way[slot as usize].as_ref();
        dial.expect("it is under way")
    }

    /// It has come to an end: the socket, if it is connected. The slot is free.
    pub(super) fn end(&mut self, slot: u32, result: Result<(), Errno>) -> (usize, Option<OwnedFd>) {
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
        (dial.number, socket)
    }

    /// It has failed between ticks: the next one tells.
    pub(super) fn fail(&mut self, slot: u32, errno: Errno) {
        let (number, _) = self.end(slot, Err(errno));
        self.failed.push(Target::Upstream(number));
    }

    /// Whether there is anything to take.
    pub(super) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Those that failed between ticks, in order.
    pub(super) fn take_failed(&mut self) -> Vec<Target> {
        std::mem::take(&mut self.failed)
    }

    fn upstream(&self, number: usize) -> Option<&Arc<Upstream>> {
        let upstreams = self.upstreams.as_ref();
        upstreams.map(|upstreams| &upstreams[number])
    }
}

/// A socket to connect with. Requests are written whole, so nothing is gained by waiting for more.
fn tcp_socket(address: SocketAddr, flags: SockFlag) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(
        family,
        SockType::Stream,
        flags | SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    repeat_syns(&socket, CONNECT_SYNS_REPEATED)?;
    Ok(socket)
}

/// Sets `TCP_SYNCNT`, tcp(7), which nix does not know.
fn repeat_syns(socket: &OwnedFd, count: c_int) -> Result<(), Errno> {
    let length = size_of_val(&count) as libc::socklen_t;
    // SAFETY: the value is an int of this length, as the option wants.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SYNCNT,
            (&raw const count).cast(),
            length,
        )
    };
    Errno::result(result).map(drop)
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
        let slot = dials.begin(0, SockFlag::empty()).unwrap();
        let dial = dials.get(slot);
        assert_eq!(getsockopt(&dial.socket, sockopt::TcpNoDelay), Ok(true));
        let flags = fcntl(&dial.socket, FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        assert_eq!(*dial.sockaddr, SockaddrStorage::from(dial.address));
    }

    #[test]
    fn slots_are_used_again() {
        let mut dials = Dials::new(upstreams(["127.0.0.1", "127.0.0.2"]));
        let mut begin = |number| dials.begin(number, SockFlag::empty()).unwrap();
        assert_eq!(begin(0), 0);
        assert_eq!(begin(1), 1);
        let (number, socket) = dials.end(0, Ok(()));
        assert!(number == 0 && socket.is_some());
        dials.fail(1, Errno::ECONNREFUSED);
        assert!(dials.has_failed());
        assert_eq!(dials.take_failed(), [Target::Upstream(1)]);
        let slot = dials.begin(0, SockFlag::empty()).unwrap();
        assert!(slot < 2);
    }

    #[test]
    fn without_an_address_it_fails_by_the_next_tick() {
        for upstreams in [None, upstreams(["name", "127.0.0.1"])] {
            let mut dials = Dials::new(upstreams);
            assert!(!dials.has_failed());
            assert_eq!(dials.begin(0, SockFlag::empty()), None);
            assert_eq!(dials.take_failed(), [Target::Upstream(0)]);
            assert!(!dials.has_failed());
        }
    }
}
