//! How much of what it lets in.

use std::time::{Duration, Instant};

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::resource::{getrlimit, setrlimit, Resource};

use galo_testkit::{get, Connection, Processor, PATIENCE};

use crate::client::Client;

/// Which of them have something to read; waits until one has.
fn readable(connections: &[Connection]) -> Vec<usize> {
    let mut fds: Vec<_> = connections
        .iter()
        .map(|connection| PollFd::new(connection.fd(), PollFlags::POLLIN))
        .collect();
    let patience = PollTimeout::try_from(PATIENCE).expect("half a minute");
    assert_ne!(poll(&mut fds, patience), Ok(0), "nothing comes");
    let ready = fds
        .iter()
        .enumerate()
        .filter(|(_, fd)| fd.any() == Some(true));
    ready.map(|(index, _)| index).collect()
}

#[test]
fn the_one_after_800_inside_and_500_waiting_is_429() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("raised");
    let server = Processor::start(&["--delay", "3600000"]);
    let mut connections: Vec<Connection> = (0..1301).map(|_| server.connect()).collect();
    for (number, connection) in connections.iter_mut().enumerate() {
        connection.send_payment(number as u64);
    }
    // Which one was last is not for us to say.
    let ready = readable(&connections);
    let [index] = ready[..] else {
        panic!("{} are turned away", ready.len());
    };
    let reply = connections[index].reply();
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("retry-after"), Some("5"));
    // All 1300 are there now.
    assert_eq!(connections[index].pay(2000).status, 429);
    assert_eq!(server.all().count, 0);
}

#[test]
fn those_that_wait_go_on_when_a_place_is_free() {
    let server = Processor::start(&["--delay", "1000", "--parallel", "2", "--waiting", "1"]);
    let start = Instant::now();
    let mut connections: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    for (number, connection) in connections.iter_mut().enumerate() {
        connection.send_payment(number as u64);
    }
    let mut statuses = connections
        .iter_mut()
        .map(|connection| connection.reply().status)
        .collect::<Vec<_>>();
    assert!(start.elapsed() >= Duration::from_millis(2000));
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[test]
fn who_waits_and_goes_leaves_its_place() {
    let server = Processor::start(&["--delay", "3600000", "--parallel", "1", "--waiting", "1"]);
    let mut connections: Vec<Connection> = (0..3).map(|_| server.connect()).collect();
    for (number, connection) in connections.iter_mut().enumerate() {
        connection.send_payment(number as u64);
    }
    let [turned_away] = readable(&connections)[..] else {
        panic!("one is turned away");
    };
    let mut last = connections.swap_remove(turned_away);
    assert_eq!(last.reply().status, 429);
    // One of these is inside and holds its place, the other one gives its up.
    drop(connections);
    let start = Instant::now();
    last.tcp()
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a time-out");
    loop {
        last.send_payment(9);
        let mut byte = [0];
        match last.tcp().peek(&mut byte) {
            Ok(_) => assert_eq!(last.reply().status, 429),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                break;
            }
        }
        assert!(start.elapsed() < PATIENCE);
    }
    // And now it waits itself.
    assert_eq!(server.connect().pay(10).status, 429);
}

#[test]
fn health_is_told_every_five_seconds_two_wait_and_the_rest_is_429() {
    let server = Processor::start(&["--delay", "100"]);
    let start = Instant::now();
    let mut connections: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    for connection in &mut connections {
        connection.send(&get("/payments/service-health"));
    }
    let mut told = Vec::new();
    let mut turned_away = 0;
    while !connections.is_empty() {
        let ready = readable(&connections);
        for index in ready.into_iter().rev() {
            let reply = connections.swap_remove(index).reply();
            if reply.status == 429 {
                assert_eq!(reply.header("retry-after"), Some("5"));
                turned_away += 1;
            } else {
                assert_eq!(reply.text(), r#"{"failing":false,"minResponseTime":100}"#);
                told.push(start.elapsed());
            }
        }
    }
    assert_eq!(turned_away, 1);
    assert_eq!(told.len(), 3);
    assert!(told[0] < Duration::from_secs(5));
    assert!(told[1] >= Duration::from_secs(5));
    assert!(told[2] >= Duration::from_secs(10));
}
