//! What may be asked for, and what is answered to the rest.

use std::net::TcpListener;

use galo_testkit::ReservedPort;

use crate::server::{Bad, Fault, Server};
use crate::support::run::Run;

#[test]
fn wrong_usage_is_told_what_would_do() {
    let server = Server::start(Bad::default());
    let url = server.url();
    for (arguments, part) in [
        ("-r 0", "from 0.001"),
        ("-c 0", "a number from 1 to"),
        ("-d 30", "a time with its unit"),
        ("-n 10 -d 1s", "cannot be used with"),
        ("-t 5 -c 2", "--threads is at most --connections"),
        (
            "--mix health --verify",
            "--verify is about accounts and payments",
        ),
        ("--mix soap", "extrato"),
        ("--fail-on p98>5ms", "p99"),
        ("--fail-on p99>5", "a time with its unit"),
        ("--fail-on rps<-5%", "--compare FILE"),
        ("--interval 1ms", "100ms or more"),
        ("--watch-pid 4194305", "there is no process 4194305"),
        ("--csv /nowhere/at/all.csv", "/nowhere/at/all.csv"),
        ("--compare /nowhere/base.json", "/nowhere/base.json"),
        ("--compare /proc/self/status", "is no report"),
        ("--nonsense", "--nonsense"),
    ] {
        Run::new(&url, arguments).done().expect_refused(part);
    }
    for (url, part) in [
        ("https://127.0.0.1:1", "only http:// and unix:"),
        ("unix:relative", "absolute"),
        ("http://127.0.0.1:1/?x", "a host, a port and a path"),
    ] {
        Run::new(url, "").done().expect_refused(part);
    }
    // Before anything is sent.
    assert_eq!(server.seen(|seen| seen.connections), 0);
}

#[test]
fn a_target_that_never_answers_is_said_so() {
    // Connections to it come about, and nobody takes them.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf_url = deaf.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let none = format!("unix:{}/none", dir.path().display());
    let closed = ReservedPort::new();
    for (url, part) in [
        (closed.address(), "connection refused"),
        (deaf_url, "time-out"),
        (none, "connection refused"),
    ] {
        let done = Run::new(&url, "--timeout 500ms -d 1s").done();
        assert!(done.stderr.contains("never answered"), "{}", done.text());
        done.expect_refused(part);
    }
    for (fault, part) in [
        (Fault::Silence, "time-out"),
        (Fault::Garbage, "not HTTP"),
        (Fault::Close, "connection closed"),
        (Fault::Half, "half a reply"),
    ] {
        let bad = Bad {
            fault: Some((1, fault)),
            ..Bad::default()
        };
        let server = Server::start(bad);
        let done = Run::new(&server.url(), "--timeout 500ms -d 1s").done();
        done.expect_refused(part);
    }
}

#[test]
fn so_many_requests_and_no_more() {
    let server = Server::start(Bad::default());
    for arguments in ["-c 14 -n 1000", "-c 4 -t 2 -n 1001", "-c 3 -r 2000 -n 500"] {
        let before = server.seen(|seen| seen.requests.len());
        let report = Run::new(&server.url(), arguments).done();
        let report = report.expect_status(0).report();
        let sent = server.seen(|seen| seen.requests.len()) - before;
        assert_eq!(Some(report.requests), report.settings.requests);
        // And the sign of life.
        assert_eq!(report.requests + 1, sent as u64, "{arguments}");
    }
}

#[test]
fn a_connection_for_each_request() {
    let server = Server::start(Bad::default());
    let done = Run::new(&server.url(), "-c 4 -n 200 --no-keepalive").done();
    let report = done.expect_status(0).report();
    assert_eq!((report.requests, report.failed), (200, 0));
    assert!(!report.settings.keepalive);
    server.seen(|seen| assert_eq!(seen.connections, 201));
    // And otherwise one for each of four.
    let server = Server::start(Bad::default());
    let done = Run::new(&server.url(), "-c 4 -n 200").done();
    assert_eq!(done.expect_status(0).report().failed, 0);
    server.seen(|seen| assert!((2..=5).contains(&seen.connections), "{seen:?}"));
}

#[test]
fn the_warm_up_is_not_measured() {
    let server = Server::start(Bad::default());
    let arguments = "-c 8 -r 100 --warmup 500ms -d 1s";
    let done = Run::new(&server.url(), arguments).done();
    let report = done.expect_status(0).report();
    let sent = server.seen(|seen| seen.requests.len());
    assert_eq!(report.requests, 100);
    // All that came before the end are in an interval, and nothing of the warm-up is.
    let replies: u64 = report.series.iter().map(|point| point.replies).sum();
    assert_eq!(replies, (report.rate * report.elapsed_s).round() as u64);
    assert!((1..=100).contains(&replies), "{replies}");
    assert!((140..=152).contains(&sent), "{sent}");
    assert!(report.elapsed_s < 1.4, "{}", report.elapsed_s);
}

#[test]
fn the_same_seed_sends_the_same() {
    let requests = |seed: &str, mix: &str| {
        let server = Server::start(Bad::default());
        let arguments = format!("-c 1 -n 200 --seed {seed} --mix {mix}");
        let done = Run::new(&server.url(), &arguments).done();
        let report = done.expect_status(0).report();
        assert_eq!(report.settings.seed.to_string(), seed);
        let requests = server.seen(|seen| seen.requests.clone()).into_iter();
        requests
            .map(|request| (request.method, request.path, request.body))
            .collect::<Vec<_>>()
    };
    for mix in ["bank", "payments", "extrato"] {
        assert_eq!(requests("7", mix), requests("7", mix));
        assert_ne!(requests("7", mix), requests("8", mix));
    }
}

#[test]
fn the_mix_has_the_contests_parts() {
    let server = Server::start(Bad::default());
    let done = Run::new(&server.url(), "-n 340").done();
    let report = done.expect_status(0).report();
    let kinds = report.kinds.iter().map(|kind| (&*kind.kind, kind.requests));
    let parts = [("debit", 220), ("credit", 110), ("statement", 10)];
    assert_eq!(kinds.collect::<Vec<_>>(), parts);
    let posts = server.seen(|seen| seen.count("POST", "/clientes/"));
    assert_eq!(posts, 330);
}

#[test]
fn other_mixes_and_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_at(&dir.path().join("socket"), Bad::default());
    for mix in ["bank", "payments", "extrato", "health"] {
        let arguments = format!("-c 4 -t 2 -n 200 --mix {mix}");
        let done = Run::new(&server.url(), &arguments).done();
        let report = done.expect_status(0).report();
        assert_eq!((report.requests, report.failed), (200, 0), "{mix}");
        assert_eq!(report.settings.run, mix);
    }
    server.seen(|seen| {
        assert_eq!(seen.count("POST", "/payments"), 200);
        assert_eq!(seen.count("GET", "/health"), 201);
    });
}
