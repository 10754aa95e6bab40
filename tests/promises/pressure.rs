//! Clients that ask for too much: what they cost is bounded, and others do not notice.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::sys::resource::Resource;
use nix::sys::socket::setsockopt;

use galo_testkit::{data_dir, get, on_both_drivers, transaction, wait_until, Connection, Launch};

const SLOW_READERS: usize = 10;
/// For each of them: twice what waits to be sent, and what waits to be taken up, in buffers that
/// grow by doubling. The requests that each of them sends are worth many times as much.
const SLOW_READER_KIB_MAX: u64 = 1024;

/// A client that sends requests and never reads a reply is dropped after ten seconds.
#[test]
fn slow_readers_are_bounded_and_dropped_and_others_do_not_notice() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(1).start();
        let mut healthy = server.connect();
        for _ in 0..10 {
            let long = transaction(5, 'c', 1, "0123456789");
            healthy.ask(&long).posted();
        }
        let resident_before = server.resident_kib();
        let slow: Vec<_> = (0..SLOW_READERS).map(|_| server.connect()).collect();
        for connection in &slow {
            let flags = OFlag::from_bits_retain(fcntl(connection.fd(), FcntlArg::F_GETFL).unwrap());
            fcntl(
                connection.fd(),
                FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK),
            )
            .unwrap();
        }
        let requests = get("/clientes/5/extrato").repeat(200);
        let began = Instant::now();
        let mut last_progress = began;
        let mut answered = 0.0;
        let mut resident_max = 0;
        let mut slowest = Duration::ZERO;
        loop {
            for connection in &slow {
                // As much as the kernel takes; an end in the middle of a request is as good.
                while nix::unistd::write(connection.fd(), &requests).is_ok() {
                    last_progress = Instant::now();
                }
            }
            let asked = Instant::now();
            let (_, balance) = healthy.ask(&transaction(1, 'c', 1, "um")).posted();
            assert!(balance > 0);
            slowest = slowest.max(asked.elapsed());
            resident_max = resident_max.max(server.resident_kib());
            if server.metric("galo_connections_open") <= 2.0 {
                break;
            }
            let extratos = "galo_requests_total{endpoint=\"extrato\",status=\"200\"}";
            let count = server.metric(extratos);
            if std::mem::replace(&mut answered, count) != count {
                last_progress = Instant::now();
            }
            // Ten seconds, once the kernel's own buffers are full, too.
            assert!(
                last_progress.elapsed() < Duration::from_secs(16),
                "they stay"
            );
            sleep(Duration::from_millis(100));
        }
        assert!(began.elapsed() >= Duration::from_secs(9), "too early");
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        let grown = resident_max.saturating_sub(resident_before);
        let bound = SLOW_READERS as u64 * SLOW_READER_KIB_MAX;
        assert!(grown < bound, "{grown} KiB more, at most {bound}");
        drop(slow);
    });
}

/// Descriptors run out: those who are connected are served, the others wait, and are served when
/// there is room.
#[test]
fn connections_beyond_the_descriptor_limit_wait() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver)
            .cores(1)
            .limit(Resource::RLIMIT_NOFILE, 64)
            .start();
        let mut connections: Vec<Connection> = (0..100).map(|_| server.connect()).collect();
        for connection in &mut connections {
            connection.send(&get("/health"));
        }
        let line = server.wait_for_log("accepting pauses");
        assert!(line.contains("EMFILE"), "{line}");
        let (served, waiting): (Vec<_>, Vec<_>) = connections
            .into_iter()
            .enumerate()
            .partition(|(index, _)| *index < 20);
        let mut served: Vec<Connection> = served.into_iter().map(|(_, it)| it).collect();
        let mut waiting: Vec<Connection> = waiting.into_iter().map(|(_, it)| it).collect();
        for connection in &mut served {
            assert_eq!(connection.reply().status, 200);
            // A journal write and a sync need no descriptor.
            let request = transaction(1, 'c', 1, "um");
            connection.ask(&request).posted();
        }
        let last = waiting.last().unwrap();
        assert!(!last.is_readable(Duration::from_millis(300)), "no room");
        // Whoever was answered leaves, and so the next can come.
        while let Some(mut connection) = take_readable(&mut waiting) {
            assert_eq!(connection.reply().status, 200);
        }
        drop(served);
        for mut connection in waiting {
            assert_eq!(connection.reply().status, 200);
        }
        server.wait_for_log("accepting again");
        assert_eq!(server.balance(1), 20);
        server.stop();
    });
}

/// The first that has a reply now or soon.
fn take_readable(connections: &mut Vec<Connection>) -> Option<Connection> {
    let soon = Duration::from_millis(1);
    let index = connections.iter().position(|it| it.is_readable(soon))?;
    Some(connections.remove(index))
}

/// Many who connect and go away again, in the middle of whatever they were doing.
#[test]
fn clients_that_vanish_leave_nothing_behind() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(2).start();
        let descriptors = || {
            let path = format!("/proc/{}/fd", server.pid());
            std::fs::read_dir(path).unwrap().count()
        };
        let request = transaction(1, 'c', 1, "some");
        server.ask(&request).posted();
        let before = descriptors();
        for round in 0..300 {
            let mut connection = server.connect();
            match round % 4 {
                0 => {}
                1 => connection.send(&request[..round % request.len()]),
                2 => connection.send(&get("/clientes/2/extrato").repeat(50)),
                _ => {
                    // Reset instead of FIN.
                    connection.send(&request);
                    let linger = libc::linger {
                        l_onoff: 1,
                        l_linger: 0,
                    };
                    let option = nix::sys::socket::sockopt::Linger;
                    setsockopt(&connection.fd(), option, &linger).unwrap();
                }
            }
        }
        wait_until("connections and descriptors as before", || {
            server.metric("galo_connections_open") <= 1.0 && descriptors() <= before
        });
        server.stop();
    });
}
