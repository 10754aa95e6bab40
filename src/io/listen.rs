//! Listening sockets, and the files of those that are Unix sockets.

use super::address::Address;
use super::inherited::Inherited;
use super::socket::{connect_unix, set_inherited};
use crate::limits::BACKLOG;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{ReuseAddr, ReusePort};
use nix::sys::socket::{
    bind, getsockname, listen, setsockopt, socket, AddressFamily, Backlog, SockFlag, SockProtocol,
    SockType, SockaddrStorage, UnixAddr,
};
use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why an address cannot be listened on. Each names the address, and where it can the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// Another process listens on this address.
    InUse(Address),
    /// This process listens on it by another of its addresses.
    Overlap(Address, Address),
    /// The host's name has no address: the resolver's error.
    Unresolved(Address, String),
    /// The path exists and is no socket.
    NotASocket(PathBuf),
    /// Anything else: the call that failed, and why.
    System(Address, &'static str, Errno),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::InUse(address) => write!(
                f,
                "cannot listen on {address}: another process does; stop it, or choose another --listen"
            ),
            ListenError::Overlap(address, other) => write!(
                f,
                "cannot listen on {address}: {other}, which is given as well, is the same or has it in it; leave one of them out"
            ),
            ListenError::Unresolved(address, cause) => {
                write!(f, "cannot listen on {address}: no such host ({cause})")
            }
            ListenError::NotASocket(path) => write!(
                f,
                "cannot listen on unix:{0}: {0} exists and is not a socket; remove it, or choose another path",
                path.display()
            ),
            ListenError::System(address, call, errno) => {
                let hint = match errno {
                    Errno::EACCES => " (ports below 1024 need a privilege, a socket's directory must be writable)",
                    Errno::EADDRNOTAVAIL => " (this machine has no such address)",
                    Errno::ENOENT => " (the directory does not exist)",
                    _ => "",
                };
                write!(f, "cannot listen on {address}: {call}: {}{hint}", errno.desc())
            }
        }
    }
}

impl std::error::Error for ListenError {}

/// A listening socket of a core.
#[derive(Debug)]
pub struct ListenSocket {
    pub(super) socket: OwnedFd,
    /// It is a Unix socket.
    pub(super) unix: bool,
    /// The other cores have it, too: whoever accepts a connection gives each its share of them.
    pub(super) shared: bool,
}

/// Bound and listening sockets, a set for each core. Dropping it removes the files of Unix sockets,
/// so it lives as long as the server.
#[derive(Debug)]
pub struct Listeners {
    addresses: Vec<Address>,
    cores: Vec<Vec<ListenSocket>>,
    files: Vec<SocketFile>,
}

impl Listeners {
    /// Listens on every address, for this many cores: on TCP each core has a socket of its own
    /// (`SO_REUSEPORT`), a Unix socket is shared, and cores take turns at its connections. Connections inherit `TCP_NODELAY`.
    pub fn bind(addresses: &[Address], cores: usize) -> Result<Listeners, ListenError> {
        Listeners::bind_beside(&[], addresses, cores)
    }

    /// The same beside sockets that listen already, which are shared as a Unix socket is.
    pub fn bind_beside(
        inherited: &[Inherited],
        addresses: &[Address],
        cores: usize,
    ) -> Result<Listeners, ListenError> {
        assert!(cores > 0);
        let mut listeners = Listeners {
            addresses: Vec::with_capacity(inherited.len() + addresses.len()),
            cores: (0..cores).map(|_| Vec::new()).collect(),
            files: Vec::new(),
        };
        for Inherited { address, socket } in inherited {
            let sockets: Result<Vec<_>, _> = (0..cores).map(|_| copy(address, socket)).collect();
            listeners.add(address.clone(), sockets?, true);
        }
        for address in addresses {
            let bound = match address {
                Address::Tcp(..) => bind_tcp(address, cores),
                Address::Unix(path) => bind_unix(address, path, cores).map(|(file, sockets)| {
                    listeners.files.push(file);
                    (address.clone(), sockets)
                }),
            };
            let (actual, sockets) = bound.map_err(|error| match error {
                ListenError::InUse(_) => match listeners.in_use_by(address) {
                    Some(other) => ListenError::Overlap(address.clone(), other.clone()),
                    None => error,
                },
                error => error,
            })?;
            listeners.add(actual, sockets, matches!(address, Address::Unix(_)));
        }
        Ok(listeners)
    }

    /// One for each core.
    fn add(&mut self, address: Address, sockets: Vec<OwnedFd>, shared: bool) {
        let unix = matches!(address, Address::Unix(_));
        self.addresses.push(address);
        let shared = shared && self.cores.len() > 1;
        for (core, socket) in self.cores.iter_mut().zip(sockets) {
            core.push(ListenSocket {
                socket,
                unix,
                shared,
            });
        }
    }

    /// Which of our own addresses this one, which is in use, cannot be had beside.
    fn in_use_by(&self, address: &Address) -> Option<&Address> {
        let mut ours = self.addresses.iter();
        match address {
            Address::Unix(path) => {
                let is_this = |other: &Path| {
                    let [one, other] = [path, other].map(std::fs::symlink_metadata);
                    one.ok().zip(other.ok()).is_some_and(|(one, other)| {
                        (one.dev(), one.ino()) == (other.dev(), other.ino())
                    })
                };
                ours.find(|other| matches!(other, Address::Unix(other) if is_this(other)))
            }
            Address::Tcp(host, port) => {
                let wanted: Vec<IpAddr> = (host.as_str(), *port)
                    .to_socket_addrs()
                    .map_or(Vec::new(), |all| all.map(|at| at.ip()).collect());
                ours.find(|other| match other {
                    Address::Tcp(ip, taken) if taken == port => ip.parse().is_ok_and(|ip| {
                        let is_shared = |one: &IpAddr| covers(one, &ip) || covers(&ip, one);
                        wanted.iter().any(is_shared)
                    }),
                    _ => false,
                })
            }
        }
    }

    /// Where it really listens, ports and all: what was inherited, then in the order of [`bind`](Self::bind).
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// A core's sockets, for [`super::Setup::listeners`]. Once per core.
    pub fn take(&mut self, core: usize) -> Vec<ListenSocket> {
        std::mem::take(&mut self.cores[core])
    }
}

/// Whether who listens on `one` listens on `other`, too. Sockets of `[::]` are for IPv4 as well (ipv6(7)).
fn covers(one: &IpAddr, other: &IpAddr) -> bool {
    match one {
        _ if one.to_canonical() == other.to_canonical() => true,
        IpAddr::V4(one) => one.is_unspecified() && other.to_canonical().is_ipv4(),
        IpAddr::V6(one) => one.is_unspecified(),
    }
}

fn bind_tcp(address: &Address, cores: usize) -> Result<(Address, Vec<OwnedFd>), ListenError> {
    let Address::Tcp(host, port) = address else {
        unreachable!("bind_tcp gets TCP addresses")
    };
    let unresolved = |cause: String| ListenError::Unresolved(address.clone(), cause);
    let resolved = (host.as_str(), *port)
        .to_socket_addrs()
        .map_err(|error| unresolved(error.to_string()))?;
    let mut last = unresolved("no address".into());
    for candidate in resolved {
        match bind_tcp_at(address, candidate, cores) {
            Ok((at, sockets)) => {
                return Ok((Address::Tcp(at.ip().to_string(), at.port()), sockets))
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_tcp_at(
    address: &Address,
    at: SocketAddr,
    cores: usize,
) -> Result<(SocketAddr, Vec<OwnedFd>), ListenError> {
    // SO_REUSEPORT would let us join another process of this user unseen. So the first socket is
    // bound without it, which fails if anybody listens there. It never listens itself.
    let first = tcp_socket(address, at, false)?;
    let name: SockaddrStorage = getsockname(first.as_raw_fd())
        .map_err(|errno| ListenError::System(address.clone(), "getsockname", errno))?;
    let port = name
        .as_sockaddr_in()
        .map(|name| name.port())
        .or(name.as_sockaddr_in6().map(|name| name.port()))
        .expect("a TCP socket's name has a port");
    let at = SocketAddr::new(at.ip(), port);
    let sockets = if cores == 1 {
        vec![first]
    } else {
        drop(first);
        (0..cores)
            .map(|_| tcp_socket(address, at, true))
            .collect::<Result<_, _>>()?
    };
    for socket in &sockets {
        start(address, socket)?;
    }
    Ok((at, sockets))
}

fn tcp_socket(address: &Address, at: SocketAddr, share: bool) -> Result<OwnedFd, ListenError> {
    let failed = |call| {
        let address = address.clone();
        move |errno| match errno {
            Errno::EADDRINUSE => ListenError::InUse(address),
            errno => ListenError::System(address, call, errno),
        }
    };
    let family = match at {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Tcp,
    )
    .map_err(failed("socket"))?;
    setsockopt(&socket, ReuseAddr, &true).map_err(failed("SO_REUSEADDR"))?;
    set_inherited(&socket).map_err(|(option, errno)| failed(option)(errno))?;
    if share {
        setsockopt(&socket, ReusePort, &true).map_err(failed("SO_REUSEPORT"))?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(at)).map_err(failed("bind"))?;
    Ok(socket)
}

fn start(address: &Address, socket: &OwnedFd) -> Result<(), ListenError> {
    let backlog = Backlog::new(BACKLOG).expect("a valid backlog");
    listen(socket, backlog).map_err(|errno| match errno {
        Errno::EADDRINUSE => ListenError::InUse(address.clone()),
        errno => ListenError::System(address.clone(), "listen", errno),
    })
}

fn bind_unix(
    address: &Address,
    path: &Path,
    cores: usize,
) -> Result<(SocketFile, Vec<OwnedFd>), ListenError> {
    if is_socket(path)? {
        match connect_unix(path) {
            Err(Errno::ECONNREFUSED) => remove_stale(address, path)?,
            Err(Errno::ENOENT) => {}
            // Somebody listens.
            Ok(_) | Err(Errno::EAGAIN) => return Err(ListenError::InUse(address.clone())),
            Err(errno) => return Err(ListenError::System(address.clone(), "connect", errno)),
        }
    }
    let (file, first) = bind_file(address, path)?;
    start(address, &first)?;
    let mut sockets = vec![first];
    while sockets.len() < cores {
        sockets.push(copy(address, &sockets[0])?);
    }
    Ok((file, sockets))
}

/// Another descriptor of the same socket.
fn copy(address: &Address, socket: &OwnedFd) -> Result<OwnedFd, ListenError> {
    let copied = socket.try_clone();
    copied.map_err(|error| failed(address, "dup", error))
}

/// Listens on a link socket, for [`super::Setup::link_listener`]: no other user's process can connect
/// to it (mode 0600). The file is removed when it is dropped.
///
/// The caller owns the path, by a lock: a socket that is there is replaced, even if it is still
/// listened on, as the ring of a process that was just killed may do.
///
/// # Errors
/// Something else than a socket has the path, or the system refuses.
pub fn bind_link(path: &Path) -> Result<(SocketFile, OwnedFd), ListenError> {
    let address = Address::Unix(path.into());
    if is_socket(path)? {
        remove_stale(&address, path)?;
    }
    let (file, socket) = bind_file(&address, path)?;
    // Nobody can have connected: it does not listen yet.
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
        .map_err(|error| failed(&address, "chmod", error))?;
    start(&address, &socket)?;
    Ok((file, socket))
}

/// A socket that does not listen yet, and its file.
fn bind_file(address: &Address, path: &Path) -> Result<(SocketFile, OwnedFd), ListenError> {
    let failed = |call| move |errno| ListenError::System(address.clone(), call, errno);
    let name = UnixAddr::new(path).map_err(failed("path"))?;
    let socket = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(failed("socket"))?;
    bind(socket.as_raw_fd(), &name).map_err(|errno| match errno {
        Errno::EADDRINUSE => ListenError::InUse(address.clone()),
        errno => ListenError::System(address.clone(), "bind", errno),
    })?;
    let file = SocketFile::new(path).map_err(failed("open"))?;
    Ok((file, socket))
}

/// Whether a socket is there already.
fn is_socket(path: &Path) -> Result<bool, ListenError> {
    match std::fs::symlink_metadata(path) {
        Err(_) => Ok(false),
        Ok(metadata) if metadata.file_type().is_socket() => Ok(true),
        Ok(_) => Err(ListenError::NotASocket(path.into())),
    }
}

/// Removes a socket that a dead process left behind.
fn remove_stale(address: &Address, path: &Path) -> Result<(), ListenError> {
    std::fs::remove_file(path).map_err(|error| failed(address, "unlink of the stale socket", error))
}

fn failed(address: &Address, call: &'static str, error: std::io::Error) -> ListenError {
    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    ListenError::System(address.clone(), call, errno)
}

/// The file of a Unix socket, removed when dropped unless another has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Opened as a path only. While it is open, no other file can get the same inode.
    file: File,
}

impl SocketFile {
    fn new(path: &Path) -> Result<SocketFile, Errno> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
            .open(path)
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
        Ok(SocketFile {
            path: path.into(),
            file,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let (Ok(ours), Ok(now)) = (self.file.metadata(), std::fs::symlink_metadata(&self.path)) {
            if (ours.dev(), ours.ino()) == (now.dev(), now.ino()) {
                let _ = std::fs::remove_file(&self.path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::slice::from_ref;
    use std::time::Duration;

    #[test]
    fn ports_are_told_and_taken_ports_noticed() {
        for cores in [1, 3] {
            let any = "127.0.0.1:0".parse().unwrap();
            let mut bound = Listeners::bind(&[any], cores).unwrap();
            assert_eq!(bound.take(cores - 1).len(), 1);
            let actual = bound.addresses()[0].clone();
            assert!(!matches!(actual, Address::Tcp(_, 0)));
            for cores in [1, 2] {
                // One core's socket was taken and dropped; with one core nobody listens any more.
                if bound.cores.iter().any(|sockets| !sockets.is_empty()) {
                    let error = Listeners::bind(from_ref(&actual), cores).unwrap_err();
                    assert_eq!(error, ListenError::InUse(actual.clone()));
                }
            }
        }
    }

    #[test]
    fn addresses_of_ours_that_meet_are_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("d")).unwrap();
        let [one, same] = ["s", "d/../s"].map(|name| Address::Unix(directory.path().join(name)));
        // A port that is free, of which nobody else can know.
        let free = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
        let Address::Tcp(_, port) = free.addresses()[0] else {
            unreachable!()
        };
        drop(free);
        let tcp = |host: &str| Address::Tcp(host.to_owned(), port);
        for (first, second) in [
            (one.clone(), same),
            (one.clone(), one),
            (tcp("127.0.0.1"), tcp("127.0.0.1")),
            (tcp("0.0.0.0"), tcp("127.0.0.1")),
            (tcp("127.0.0.1"), tcp("0.0.0.0")),
            (tcp("::"), tcp("127.0.0.1")),
            (tcp("127.0.0.1"), tcp("::")),
        ] {
            for cores in [1, 2] {
                let both = [first.clone(), second.clone()];
                let error = Listeners::bind(&both, cores).unwrap_err();
                assert_eq!(error, ListenError::Overlap(second.clone(), first.clone()));
                let line = error.to_string();
                assert!(line.contains(&format!("{second}: {first}, ")), "{line}");
            }
        }
        // Beside one of ours that has nothing to do with it, it is another process.
        let other = Listeners::bind(&[tcp("127.0.0.1")], 1).unwrap();
        let error = Listeners::bind(&[tcp("127.0.0.2"), tcp("127.0.0.1")], 1).unwrap_err();
        assert_eq!(error, ListenError::InUse(tcp("127.0.0.1")));
        drop(other);
    }

    #[test]
    fn connections_inherit_nodelay() {
        for cores in [1, 2] {
            let any = "127.0.0.1:0".parse().unwrap();
            let mut bound = Listeners::bind(&[any], cores).unwrap();
            let Address::Tcp(host, port) = bound.addresses()[0].clone() else {
                unreachable!()
            };
            // The other core's socket is closed, so that this one gets the connection.
            let listener = TcpListener::from(bound.take(0).remove(0).socket);
            bound.cores.clear();
            let _client = TcpStream::connect((host, port)).unwrap();
            let (connection, _) = listener.accept().unwrap();
            assert!(connection.nodelay().unwrap());
        }
    }

    #[test]
    fn unresolved_hosts_are_named() {
        let nowhere: Address = "no-such-host.invalid:1".parse().unwrap();
        let error = Listeners::bind(from_ref(&nowhere), 1).unwrap_err();
        assert!(matches!(error, ListenError::Unresolved(at, _) if at == nowhere));
    }

    #[test]
    fn link_sockets_are_ours_alone_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let (first, old) = bind_link(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        // Whoever has the lock has the path, even if a dead process's ring still listens.
        let (second, new) = bind_link(&path).unwrap();
        drop((first, old));
        assert!(path.exists(), "the first must not remove the second's file");
        let _connected = UnixStream::connect(&path).unwrap();
        UnixListener::from(new).accept().unwrap();
        // Stale.
        let third = bind_link(&path).unwrap();
        drop(second);
        UnixStream::connect(&path).unwrap();
        drop(third);
        assert!(!path.exists());

        std::fs::write(&path, "precious").unwrap();
        let error = bind_link(&path).err();
        assert_eq!(error, Some(ListenError::NotASocket(path)));
        let nowhere = directory.path().join("no/s");
        let error = bind_link(&nowhere).err();
        let address = Address::Unix(nowhere);
        assert_eq!(
            error,
            Some(ListenError::System(address, "bind", Errno::ENOENT))
        );
    }

    #[test]
    fn unix_sockets_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let address = Address::Unix(path.clone());
        let addresses = [address.clone()];
        let mut first = Listeners::bind(&addresses, 2).unwrap();
        let error = Listeners::bind(&addresses, 1).unwrap_err();
        assert_eq!(error, ListenError::InUse(address.clone()));

        // Nobody listens, and the file is still there: stale.
        first.take(0);
        first.take(1);
        let second = Listeners::bind(&addresses, 1).unwrap();
        drop(first);
        assert!(path.exists(), "the first must not remove the second's file");
        drop(second);
        assert!(!path.exists());

        // The owner lives, and accepts nothing: its backlog is full.
        let owner = UnixListener::bind(&path).unwrap();
        listen(&owner, Backlog::new(0).unwrap()).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        let (sender, bound) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(Listeners::bind(&addresses, 1).err()));
        let error = bound.recv_timeout(Duration::from_secs(10));
        assert_eq!(error, Ok(Some(ListenError::InUse(address))), "no waiting");
        std::fs::remove_file(&path).unwrap();

        std::fs::write(&path, "precious").unwrap();
        let error = Listeners::bind(&[Address::Unix(path.clone())], 1).unwrap_err();
        assert_eq!(error, ListenError::NotASocket(path));
    }
}
