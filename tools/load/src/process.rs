//! This process: the signals that end a run before its time, and how many files it may open.

use std::thread;

use anyhow::{bail, Context, Result};
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use nix::sys::signal::{SigSet, Signal};

use crate::engine::Stop;
use crate::screen;

/// Of a process that a second Ctrl-C ends.
const INTERRUPTED: i32 = 130;
/// Of open files: what is watched, files of reports, the engine's own.
const OTHER_FILES: u64 = 64;

/// The first SIGINT or SIGTERM ends the run with its report, the second one at once. Blocked here and in all
/// threads to come, they are waited for in one.
///
/// # Errors
/// They cannot be blocked, or there is no thread.
pub fn stop_on_signals(stop: Stop) -> Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    signals
        .thread_block()
        .context("signals cannot be blocked")?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            while signals.wait().is_ok() {
                if stop.is_stopped() {
                    screen::give_back();
                    std::process::exit(INTERRUPTED);
                }
                stop.stop();
            }
        })
        .context("no thread")?;
    Ok(())
}

/// So many connections can be open at once. Those that cannot would be counted against the target.
///
/// # Errors
/// Fewer open files are allowed.
pub fn allow_connections(connections: usize) -> Result<()> {
    let (allowed, _) = getrlimit(Resource::RLIMIT_NOFILE).context("the limit of open files")?;
    suffices(allowed, connections)
}

fn suffices(allowed: u64, connections: usize) -> Result<()> {
    if allowed < connections as u64 + OTHER_FILES {
        bail!(
            "{connections} connections at once and {OTHER_FILES} files beside them: only {allowed} open files are allowed \
             (ulimit -n)"
        );
    }
    Ok(())
}

/// As many open files as are allowed: each connection is one.
///
/// # Errors
/// The system's.
pub fn raise_limits() -> Result<()> {
    let limit = Resource::RLIMIT_NOFILE;
    let raised = getrlimit(limit).and_then(|(_, hard)| setrlimit(limit, hard, hard));
    raised.context("the limit of open files cannot be raised")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_is_an_open_file() {
        suffices(1_024, 960).unwrap();
        let error = suffices(1_024, 961).unwrap_err().to_string();
        assert!(error.contains("961 connections"), "{error}");
        assert!(error.contains("only 1024 open files"), "{error}");
        suffices(u64::MAX, 65_536).unwrap();
        allow_connections(1).unwrap();
    }
}
