//! A server that stops for 100 ms every second, as for a garbage collection.
//!
//! At 200 requests a second one is due every 5 ms: 20 of each second's 200 within the stall. The first of them is due
//! d < 5 ms after its beginning, and all of them get their replies at its end at the earliest: they take at least
//! 100 - d, 95 - d, .. 5 - d ms. So of all requests of a run of whole seconds
//!
//! - at least 1.5% (the first three of each stall) take more than 100 - 5 - 2 * 5 = 85 ms: the 99th percentile is more than that;
//! - for the same reason 5.5% take more than 45 ms: so is the 95th;
//! - in each second they take at least 20 * (100 - 5) - 5 * (0 + 1 + .. + 19) = 950 ms together: the mean is at least 4.75 ms.
//!
//! A busy machine makes all of it longer, and nothing shorter.

use std::time::Duration;

use crate::server::{Bad, Server, Stall};
use crate::support::run::{Done, Run};

const STALL: Stall = Stall {
    // So that no run of whole seconds begins or ends in one.
    first: Duration::from_millis(500),
    period: Duration::from_secs(1),
    length: Duration::from_millis(100),
};
const SECONDS: u64 = 4;
/// As many as are due in that time: by their number, so that a machine that is busy at the end leaves none unsent.
const REQUESTS: u64 = 200 * SECONDS;
/// A histogram's own error of three digits, and that of clocks.
const TOLERANCE: f64 = 0.998;

fn stalling() -> Server {
    Server::start(Bad {
        stall: Some(STALL),
        ..Bad::default()
    })
}

/// In open loop, whatever the number of connections.
#[track_caller]
fn expect_arithmetic(done: &Done) {
    let report = done.report();
    assert_eq!(report.failed, 0, "{}", done.text());
    // Nothing was left out, and so nothing hides.
    assert_eq!(report.latency.count, REQUESTS, "{}", done.text());
    assert!(
        report.latency.p99_us >= 85_000.0 * TOLERANCE,
        "{}",
        done.text()
    );
    assert!(
        report.latency.p95_us >= 45_000.0 * TOLERANCE,
        "{}",
        done.text()
    );
    assert!(
        report.latency.mean_us >= 4_750.0 * TOLERANCE,
        "{}",
        done.text()
    );
}

#[test]
fn open_loop_shows_a_stall_with_connections_to_spare() {
    let server = stalling();
    let arguments = format!("-c 64 -r 200 -n {REQUESTS}");
    let done = Run::new(&server.url(), &arguments).done().expect_status(0);
    expect_arithmetic(&done);
    // Each of the 20 had a connection of its own, and waited on it.
    let report = done.report();
    assert!(report.service.max_us > 50_000.0, "{}", done.text());
}

#[test]
fn open_loop_shows_a_stall_with_one_connection() {
    let server = stalling();
    let arguments = format!("-c 1 -r 200 -n {REQUESTS}");
    let done = Run::new(&server.url(), &arguments).done().expect_status(0);
    expect_arithmetic(&done);
    // Only one of each 20 is on the connection; the others begin at the end of the stall, and have waited before for at
    // least 19 * (95 - d) - 5 * (0 + 1 + .. + 18) = 19 * 90 - 855 = 855 ms together, which service time does not have.
    let report = done.report();
    let waited_us = report.latency.mean_us - report.service.mean_us;
    assert!(
        waited_us >= 855_000.0 / 200.0 * TOLERANCE,
        "{waited_us}\n{}",
        done.text()
    );
    // All but the last of the 19 by more than 5 ms.
    assert!(report.tool.waited >= 18 * SECONDS, "{}", done.text());
}

/// Why there is an open loop: one that waits for its reply asks nothing during a stall, and so a fifth of all that
/// its users would have seen is a single request.
#[test]
fn closed_loop_hides_it() {
    let server = stalling();
    let arguments = format!("-c 1 -d {SECONDS}s");
    let done = Run::new(&server.url(), &arguments).done().expect_status(0);
    let report = done.report();
    assert!(report.latency.max_us > 50_000.0, "{}", done.text());
    // Its p99 is, too, on a machine that is not so busy that it gets no more than some hundred replies a second.
    assert!(report.latency.p95_us < 45_000.0, "{}", done.text());
}
