//! Listening sockets that a service manager has made, and passes on.

use super::address::Address;
use super::socket::set_inherited;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{AcceptConn, SockType as Type};
use nix::sys::socket::{
    getsockname, getsockopt, AddressFamily, SockType, SockaddrLike, SockaddrStorage,
};
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// A listening socket that was there before the process; its file, if it has one, belongs to whoever made it.
#[derive(Debug)]
pub struct Inherited {
    /// Where it listens.
    pub address: Address,
    pub(super) socket: OwnedFd,
}

/// Why an inherited descriptor cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(RawFd, Cause);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    NoSocket,
    NoStream,
    NotListening,
    Family,
    Abstract,
    System(&'static str, Errno),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unfit(descriptor, cause) = self;
        write!(f, "the inherited descriptor {descriptor} is of no use: ")?;
        match cause {
            Cause::NoSocket => f.write_str("it is no socket; accepted: ListenStream= of a socket unit"),
            Cause::NoStream => f.write_str("it is no stream socket; accepted: ListenStream= of a socket unit"),
            Cause::NotListening => f.write_str(
                "it does not listen, or is a connection; accepted: ListenStream= with Accept=no",
            ),
            Cause::Family => f.write_str(
                "it is neither a TCP socket nor a Unix socket; accepted: ListenStream= with a port, an address or a path",
            ),
            Cause::Abstract => f.write_str(
                "an abstract Unix socket has no permissions: anybody on this machine could connect; accepted: ListenStream= with a path",
            ),
            Cause::System(call, errno) => write!(f, "{call}: {}", errno.desc()),
        }
    }
}

impl std::error::Error for Unfit {}

impl Inherited {
    /// Checks what a descriptor is.
    ///
    /// # Errors
    /// It is anything but a listening stream socket of TCP or with a path.
    pub fn check(socket: OwnedFd) -> Result<Inherited, Unfit> {
        let unfit = |cause| Unfit(socket.as_raw_fd(), cause);
        let failed = |call| move |errno| unfit(Cause::System(call, errno));
        match getsockopt(&socket, Type) {
            Ok(SockType::Stream) => {}
            // EINVAL: a type that nix has no name for.
            Ok(_) | Err(Errno::EINVAL) => return Err(unfit(Cause::NoStream)),
            Err(Errno::ENOTSOCK) => return Err(unfit(Cause::NoSocket)),
            Err(errno) => return Err(unfit(Cause::System("SO_TYPE", errno))),
        }
        let name: SockaddrStorage =
            getsockname(socket.as_raw_fd()).map_err(failed("getsockname"))?;
        let is_known = |family| {
            matches!(
                family,
                AddressFamily::Inet | AddressFamily::Inet6 | AddressFamily::Unix
            )
        };
        if !name.family().is_some_and(is_known) {
            return Err(unfit(Cause::Family));
        }
        if !getsockopt(&socket, AcceptConn).map_err(failed("SO_ACCEPTCONN"))? {
            return Err(unfit(Cause::NotListening));
        }
        let address = if let Some(name) = name.as_sockaddr_in() {
            Address::Tcp(name.ip().to_string(), name.port())
        } else if let Some(name) = name.as_sockaddr_in6() {
            Address::Tcp(name.ip().to_string(), name.port())
        } else {
            let path = name.as_unix_addr().and_then(|name| name.path());
            Address::Unix(path.ok_or_else(|| unfit(Cause::Abstract))?.to_owned())
        };
        if let Address::Tcp(..) = address {
            set_inherited(&socket).map_err(|(option, errno)| failed(option)(errno))?;
        }
        Ok(Inherited { address, socket })
    }
}
