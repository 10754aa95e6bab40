//! How a run ends before its time, and what its end leaves.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::server::{Bad, Fault, Server};
use crate::support::run::Run;

#[test]
fn ctrl_c_ends_a_run_with_its_report() {
    for (signal, fault) in [
        (Signal::SIGINT, None),
        (Signal::SIGTERM, None),
        // A reply that does not come holds nothing up.
        (Signal::SIGINT, Some((100, Fault::Silence))),
    ] {
        let server = Server::start(Bad {
            fault,
            ..Bad::default()
        });
        let running = Run::new(&server.url(), "-c 4 -r 500 -d 60s --timeout 50s")
            .start()
            .until(|| server.seen(|seen| seen.requests.len()) > 300);
        let given = Instant::now();
        running.process.signal(signal);
        let done = running.done().expect_status(0);
        // Two seconds on a machine that has nothing else to do.
        assert!(given.elapsed() < Duration::from_secs(8));
        let report = done.report();
        assert!(report.requests > 200, "{}", done.text());
        assert!(report.elapsed_s < 50.0, "{}", report.elapsed_s);
        assert!(done.stdout.contains("p99"), "{}", done.text());
    }
}

#[test]
fn ctrl_c_before_the_target_answers() {
    let server = Server::start(Bad {
        fault: Some((1, Fault::Silence)),
        ..Bad::default()
    });
    let running = Run::new(&server.url(), "--timeout 30s")
        .start()
        .until(|| server.seen(|seen| !seen.requests.is_empty()));
    let given = Instant::now();
    running.process.signal(Signal::SIGINT);
    running.done().expect_refused("stopped before");
    assert!(given.elapsed() < Duration::from_secs(20));
}

#[test]
fn the_series_has_a_line_for_each_interval() {
    let server = Server::start(Bad::default());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("series.csv");
    let done = Run::new(&server.url(), "-c 2 -d 1s --interval 200ms --csv")
        .arg(&path)
        .done();
    let report = done.expect_status(0).report();
    assert!(
        (5..=6).contains(&report.series.len()),
        "{:?}",
        report.series
    );
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.lines().count(), report.series.len() + 1, "{text}");
    let replies: u64 = report.series.iter().map(|point| point.replies).sum();
    // Each connection can have a reply that came after the end.
    let all: u64 = report.statuses.values().sum();
    assert!((all - 2..=all).contains(&replies), "{replies} of {all}");
}

#[test]
fn the_page_is_written() {
    let server = Server::start(Bad::default());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("page.html");
    let done = Run::new(&server.url(), "-c 2 -n 500 --html")
        .arg(&path)
        .done();
    done.expect_status(0);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("<!DOCTYPE html>") && text.contains("<svg"));
    assert!(!text.contains("<script"));
}
