//! SIGTERM and SIGINT: finish what was received, write a snapshot, exit 0 within 2 s.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use galo_testkit::{
    data_dir, get, on_both_drivers, transaction, Connection, Launch, Server, Writer, PATIENCE,
};

/// After a closing snapshot there is nothing to replay.
fn expect_nothing_to_replay(server: &Server) {
    let line = server.wait_for_log("records replayed");
    assert!(line.contains(" 0 records replayed"), "{line}");
}

#[test]
fn idle_connections_do_not_delay_a_stop() {
    on_both_drivers(|driver| {
        for (signal, cores) in [(Signal::SIGTERM, 2), (Signal::SIGINT, 1)] {
            let dir = data_dir();
            let launch = || Launch::driver(dir.path(), driver).cores(cores);
            let mut server = launch().start();
            let mut connections: Vec<_> = (0..20).map(|_| server.connect()).collect();
            for connection in &mut connections[..10] {
                connection.ask(&transaction(1, 'c', 1, "um")).posted();
            }
            server.signal(signal);
            let log = server.expect_stop(Instant::now());
            assert!(log.iter().any(|line| line.contains(signal.as_str())));
            for connection in &mut connections {
                connection.expect_close();
            }
            let server = launch().start();
            expect_nothing_to_replay(&server);
            assert_eq!(server.balance(1), 10);
        }
    });
}

/// Half a request cannot be finished: it is waited for, and given up in time.
#[test]
fn half_a_request_delays_a_stop_no_longer_than_promised() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let launch = || Launch::driver(dir.path(), driver).cores(2);
        let mut server = launch().start();
        let request = transaction(1, 'c', 1, "metade");
        let mut in_head = server.connect();
        in_head.send(&request[..20]);
        let mut in_body = server.connect();
        in_body.send(&request[..request.len() - 5]);
        let mut whole = server.connect();
        whole.ask(&request).posted();
        server.signal(Signal::SIGTERM);
        server.expect_stop(Instant::now());
        in_head.expect_close();
        in_body.expect_close();
        let server = launch().start();
        expect_nothing_to_replay(&server);
        assert_eq!(server.balance(1), 1);
    });
}

/// Half a request that becomes a whole one is answered, and told that it was the last.
#[test]
fn a_request_that_has_begun_is_finished() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        // One core: another one's answer would say nothing of what this one has seen.
        let mut server = Launch::driver(dir.path(), driver).cores(1).start();
        let request = transaction(1, 'c', 1, "metade");
        let mut connection = server.connect();
        connection.send(&request[..request.len() - 5]);
        // Once this is answered, what was sent before has been seen.
        assert_eq!(server.get("/health").status, 200);
        let signalled = Instant::now();
        server.signal(Signal::SIGTERM);
        // It no longer listens: its core knows.
        while Connection::open(server.address()).is_ok() {
            thread::yield_now();
        }
        connection.send(&request[request.len() - 5..]);
        let reply = connection.reply();
        assert_eq!(reply.posted().1, 1);
        assert_eq!(reply.header("connection"), Some("close"));
        connection.expect_close();
        server.expect_stop(signalled);
    });
}

#[test]
fn a_stop_under_load_keeps_what_was_answered_and_answers_what_was_received() {
    on_both_drivers(|driver| {
        for cores in [1, 2] {
            let dir = data_dir();
            let launch = || Launch::driver(dir.path(), driver).cores(cores);
            let mut server = launch().start();
            let address = server.address().clone();
            let mut writers = Writer::several(10);
            let replies = AtomicU64::new(0);
            thread::scope(|scope| {
                for writer in &mut writers {
                    let (address, replies) = (&address, &replies);
                    scope.spawn(move || {
                        let go_on = |_: &Writer| {
                            replies.fetch_add(1, Ordering::Relaxed);
                            true
                        };
                        let end = writer.run(address, go_on).expect_err("the stop ends it");
                        // Between two replies, never within one.
                        assert_ne!(end.kind(), ErrorKind::InvalidData, "{end}");
                        assert_ne!(end.kind(), ErrorKind::TimedOut, "{end}");
                    });
                }
                while replies.load(Ordering::Relaxed) < 300 {
                    thread::sleep(Duration::from_millis(1));
                }
                server.signal(Signal::SIGTERM);
                server.expect_stop(Instant::now());
            });
            let server = launch().start();
            expect_nothing_to_replay(&server);
            Writer::settle(&mut writers, &server);
        }
    });
}

/// Many requests in one write just before the signal: every one has been received, so every one is
/// answered, whole and in order.
#[test]
fn what_was_pipelined_before_the_signal_is_answered() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let launch = || Launch::driver(dir.path(), driver).cores(2);
        let mut server = launch().start();
        let mut connection = server.connect();
        let requests: Vec<u8> = (0..200)
            .flat_map(|count| transaction(1 + count % 2, 'c', 1, "muitos"))
            .collect();
        connection.send(&requests);
        // The first reply is there: the rest is being worked on, or done.
        connection.reply().posted();
        let signalled = Instant::now();
        server.signal(Signal::SIGTERM);
        for _ in 1..200 {
            connection.reply().posted();
        }
        connection.expect_close();
        server.expect_stop(signalled);
        let server = launch().start();
        assert_eq!(server.balance(1) + server.balance(2), 200);
    });
}

#[test]
fn a_second_signal_stops_at_once() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        // One core: another one's answer would say nothing of what this one has seen.
        let launch = || Launch::driver(dir.path(), driver).cores(1);
        let mut server = launch().start();
        server.transact(1, 'c', 1, "um").posted();
        // This keeps the first stop waiting for a second.
        let mut half = server.connect();
        half.send(b"POST /clientes/1/transacoes HTTP/1.1\r\nContent-Le");
        assert_eq!(server.get("/health").status, 200);
        // So soon after the first, another says nothing new: perf sends two.
        server.signal(Signal::SIGTERM);
        server.signal(Signal::SIGINT);
        server.wait_for_log("finishing what was received");
        thread::sleep(Duration::from_millis(150));
        assert!(server.is_running());
        let again = Instant::now();
        server.signal(Signal::SIGINT);
        let status = server.wait(PATIENCE);
        assert!(status.code() == Some(0) && status.signal().is_none());
        let took = again.elapsed();
        assert!(took < Duration::from_millis(700), "took {took:?}");
        let server = launch().start();
        assert_eq!(server.balance(1), 1, "the journal has it");
    });
}

/// New connections are no longer taken while the old ones are finished.
#[test]
fn a_stopping_server_does_not_listen() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let mut server = Launch::driver(dir.path(), driver).start();
        let address = server.address().clone();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            // Connections in a row, of which each is answered, closed unanswered, or refused.
            let knocker = scope.spawn(|| {
                let mut refused = false;
                while !stop.load(Ordering::Relaxed) {
                    match Connection::open(&address) {
                        Ok(mut connection) => {
                            assert!(!refused, "it listens again");
                            if connection.try_send(&get("/health")).is_ok() {
                                if let Err(error) = connection.try_reply() {
                                    assert_ne!(error.kind(), ErrorKind::TimedOut);
                                }
                            }
                        }
                        Err(error) => {
                            let ends = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
                            assert!(ends.contains(&error.kind()), "{error}");
                            refused = true;
                        }
                    }
                }
                refused
            });
            thread::sleep(Duration::from_millis(50));
            server.signal(Signal::SIGTERM);
            let began = Instant::now();
            let stopped = catch_unwind(AssertUnwindSafe(|| server.expect_stop(began)));
            thread::sleep(Duration::from_millis(20));
            stop.store(true, Ordering::Relaxed); // Also if it was late, or the scope would wait for ever.
            assert!(knocker.join().expect("as expected"));
            stopped.unwrap_or_else(|panic| resume_unwind(panic));
        });
    });
}
