//! Sockets that a service manager has opened, and passes on. The manager is the test.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};

use galo_testkit::{data_dir, get, on_both_drivers, transaction, Address, Connection, Launch};
use nix::sys::socket::{bind, socket, AddressFamily, SockFlag, SockType, SockaddrIn};

use crate::systemd::{serving, with_own_pid};

/// A process that inherits these as descriptors 3 and on.
fn inheriting(sockets: &[&OwnedFd]) -> Launch {
    pass(with_own_pid("LISTEN_PID"), sockets)
}

fn pass(launch: Launch, sockets: &[&OwnedFd]) -> Launch {
    let numbers: Vec<i32> = sockets.iter().map(|socket| socket.as_raw_fd()).collect();
    let mut moved = vec![0; numbers.len()];
    launch
        .env("LISTEN_FDS", numbers.len().to_string())
        .before_exec(move || {
            // SAFETY: plain system calls; none of the two steps overwrites what it has yet to read.
            unsafe {
                for (number, moved) in numbers.iter().zip(&mut moved) {
                    *moved = libc::fcntl(*number, libc::F_DUPFD_CLOEXEC, 200);
                }
                for (moved, to) in moved.iter().zip(3..) {
                    if libc::dup2(*moved, to) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
            }
            Ok(())
        })
}

fn tcp() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

/// The inodes of TCP sockets on which a process listens.
fn listening_inodes(pid: u32) -> BTreeSet<u64> {
    let own: BTreeSet<u64> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| {
            let name = link.to_str()?.strip_prefix("socket:[")?;
            name.strip_suffix(']')?.parse().ok()
        })
        .collect();
    let mut listening = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let Ok(table) = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")) else {
            continue; // No IPv6 here.
        };
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            if fields[3] == "0A" {
                listening.insert(fields[9].parse().unwrap());
            }
        }
    }
    own.intersection(&listening).copied().collect()
}

fn inode(socket: &OwnedFd) -> u64 {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
    let name = link.to_str().unwrap();
    name["socket:[".len()..name.len() - 1].parse().unwrap()
}

#[test]
fn inherited_sockets_are_served_and_nothing_else_is_opened() {
    on_both_drivers(|driver| {
        for cores in [1, 2] {
            let dir = data_dir();
            let path = dir.path().join("galo.sock");
            let unix = UnixListener::bind(&path).unwrap().into();
            let (tcp, at) = tcp();
            let launch = serving(inheriting(&[&tcp, &unix]), &dir.path().join("data"), driver);
            let server = launch.cores(cores).start_listening(2);
            let expected = [Address::Tcp(at.to_string()), Address::Unix(path.clone())];
            assert_eq!(server.addresses, expected);
            assert_eq!(
                listening_inodes(server.pid()),
                BTreeSet::from([inode(&tcp)])
            );
            // Each of so many connections is answered, while all are open.
            for address in &server.addresses {
                let mut connections: Vec<_> = (0..32)
                    .map(|_| Connection::open(address).expect("it listens"))
                    .collect();
                for connection in &mut connections {
                    connection.ask(&get("/clientes/1/extrato")).statement();
                }
            }
            server.stop();
            assert!(path.exists(), "whoever made it removes it");
        }
    });
}

/// With an account of one core only, a request is forwarded if the other core has its connection.
#[test]
fn cores_share_the_connections_of_an_inherited_socket() {
    const CONNECTIONS: u64 = 64;
    on_both_drivers(|driver| {
        let dir = data_dir();
        let unix = UnixListener::bind(dir.path().join("galo.sock"))
            .unwrap()
            .into();
        let (tcp, _) = tcp();
        let server = serving(inheriting(&[&tcp, &unix]), &dir.path().join("data"), driver)
            .cores(2)
            .start_listening(2);
        let mut before = 0;
        for address in &server.addresses {
            let open = |_| Connection::open(address).expect("it listens");
            let mut connections: Vec<_> = (0..CONNECTIONS).map(open).collect();
            for connection in &mut connections {
                connection.send(&get("/clientes/1/extrato"));
            }
            for connection in &mut connections {
                connection.reply().statement();
            }
            let forwards = server.metric("galo_forwards_total") as u64 - before;
            before += forwards;
            // In turn.
            assert_eq!(forwards, CONNECTIONS / 2, "{address}");
        }
    });
}

#[test]
fn clients_wait_while_it_is_restarted() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let data = dir.path().join("data");
        let (tcp, at) = tcp();
        let start = || serving(inheriting(&[&tcp]), &data, driver).start_listening(1);
        let server = start();
        server.transact(1, 'c', 5, "um").posted();
        server.stop();
        let mut between = Connection::open(&Address::Tcp(at.to_string())).expect("a queue");
        between.send(&transaction(1, 'c', 7, "dois"));
        let server = start();
        assert_eq!(between.reply().posted().1, 12);
        server.kill();
        let mut between = Connection::open(&Address::Tcp(at.to_string())).expect("a queue");
        between.send(&transaction(1, 'c', 1, "tres"));
        let _server = start();
        assert_eq!(between.reply().posted().1, 13);
    });
}

#[test]
fn what_is_asked_for_is_listened_on_beside_inherited_sockets() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let data = dir.path().join("data");
        let (tcp, at) = tcp();
        let server = serving(inheriting(&[&tcp]), &data, driver)
            .cores(2)
            .env("GALO_LISTEN", "127.0.0.1:0")
            .start_listening(2);
        assert_eq!(server.addresses[0], Address::Tcp(at.to_string()));
        for address in &server.addresses {
            let mut connection = Connection::open(address).expect("it listens");
            assert_eq!(connection.ask(&get("/health")).status, 200);
        }
        server.stop();
        let again = serving(inheriting(&[&tcp]), &data, driver).flag("listen", at.to_string());
        again
            .run()
            .refused(1, &[&at.to_string(), "leave one of them out"]);
    });
}

#[test]
fn sockets_of_another_process_are_not_ours() {
    let dir = data_dir();
    let (tcp, at) = tcp();
    let launch = Launch::serve(&dir.path().join("data")).env("LISTEN_PID", "1");
    let server = pass(launch, &[&tcp]).start();
    assert_ne!(*server.address(), Address::Tcp(at.to_string()));
    assert_eq!(server.addresses.len(), 1);
}

#[test]
fn what_cannot_be_listened_on_is_refused() {
    let dir = data_dir();
    let data = dir.path().join("data");
    let run = |sockets: &[&OwnedFd]| {
        let launch = inheriting(sockets).arg("serve").flag("data", &data);
        launch.run()
    };
    let (good, at) = tcp();
    let (pair, _other) = UnixStream::pair().unwrap();
    let name = format!("galo-test-{}", std::process::id());
    let name = UnixAddress::from_abstract_name(name).unwrap();
    let unbound = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    bind(unbound.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let bad: [(OwnedFd, &str); 7] = [
        (File::open("/dev/null").unwrap().into(), "no socket"),
        (
            UdpSocket::bind("127.0.0.1:0").unwrap().into(),
            "no stream socket",
        ),
        (
            socket(
                AddressFamily::Unix,
                SockType::SeqPacket,
                SockFlag::SOCK_CLOEXEC,
                None,
            )
            .unwrap(),
            "no stream socket",
        ),
        (TcpStream::connect(at).unwrap().into(), "Accept=no"),
        (pair.into(), "Accept=no"),
        (unbound, "does not listen"),
        (UnixListener::bind_addr(&name).unwrap().into(), "abstract"),
    ];
    for (socket, words) in &bad {
        run(&[socket]).refused(1, &["descriptor 3", words]);
        // However good the others are.
        run(&[&good, socket]).refused(1, &["descriptor 4", words]);
    }
    assert!(!data.exists(), "a refused start leaves nothing");
    for count in ["x", "-1", "3", "4294967295"] {
        let launch = inheriting(&[&good]).env("LISTEN_FDS", count);
        let outcome = launch.arg("serve").flag("data", &data).run();
        outcome.refused(1, &["LISTEN_FDS", &format!("'{count}'")]);
    }
}
