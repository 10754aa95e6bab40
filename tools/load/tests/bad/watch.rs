//! `--watch-pid`.

use std::process::{Command, Stdio};

use crate::server::{Bad, Server};
use crate::support::run::Run;

/// The server is in this process.
#[test]
fn memory_and_cpu_of_the_server_over_the_run() {
    let server = Server::start(Bad::default());
    let pid = std::process::id();
    let arguments = format!("-c 2 -d 1s --interval 200ms --warmup 300ms --watch-pid {pid}");
    let done = Run::new(&server.url(), &arguments).done().expect_status(0);
    let report = done.report();
    let [watched] = &report.watched[..] else {
        panic!("{:?}", report.watched);
    };
    assert!(watched.name.starts_with(&format!("pid {pid} (")));
    assert!((4..=7).contains(&watched.points.len()), "{watched:?}");
    assert!(watched
        .points
        .windows(2)
        .all(|pair| pair[0].at_s < pair[1].at_s));
    assert!(watched.points[0].at_s > 0.0 && watched.points[0].at_s < 0.9);
    assert!(watched
        .points
        .iter()
        .all(|point| point.resident_bytes > 1 << 20));
    // In closed loop one of both, the server or the tool, is at work at any time.
    assert!(watched.cpu > 0.0 && watched.ended.is_none(), "{watched:?}");
    assert!(watched.points.iter().any(|point| point.cpu > 0.0));
    assert!(done.stdout.contains(&watched.name), "{}", done.text());
}

#[test]
fn a_process_that_ends_in_the_middle() {
    let server = Server::start(Bad::default());
    // It reads until its standard input ends.
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let arguments = format!("-c 1 -d 2s --interval 200ms --watch-pid {}", child.id());
    let running = Run::new(&server.url(), &arguments)
        .start()
        .until(|| server.seen(|seen| seen.requests.len()) > 10);
    drop(child.stdin.take());
    child.wait().unwrap();
    let report = running.done().expect_status(0).report();
    let watched = &report.watched[0];
    let ended = watched.ended.as_deref().unwrap_or_default();
    assert!(ended.starts_with("it ended after "), "{watched:?}");
    assert!(watched.points.len() < report.series.len());
}
