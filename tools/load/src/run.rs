//! Which run it is, what ends it before its time, and how it ended.

use std::thread;

use anyhow::{bail, Context, Result};
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use nix::sys::signal::{SigSet, Signal};

use crate::cli::{Cli, Contest};
use crate::engine::Stop;
use crate::{contest2024, contest2025, plain, screen};

/// How a run ended, as the exit status says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 0.
    Good,
    /// 1: a reply, a check, the verification or a rule of `--fail-on` failed.
    Failed,
}

/// Of a process that a second Ctrl-C ends.
const INTERRUPTED: i32 = 130;

/// Does what was asked for.
///
/// # Errors
/// Why nothing could be measured: exit status 2.
pub fn run(cli: Cli) -> Result<Verdict> {
    let stop = Stop::default();
    stop_on_signals(stop.clone())?;
    raise_limits()?;
    match (cli.contest, cli.load) {
        (Some(Contest::Rinha2024(flags)), _) => contest2024::run(&flags, &stop),
        (Some(Contest::Rinha2025(flags)), _) => contest2025::run(&flags, &stop),
        (None, Some(flags)) => plain::run(&flags, &stop),
        (None, None) => unreachable!("clap demands a target where there is no subcommand"),
    }
}

/// The first SIGINT or SIGTERM ends the run with its report, the second one at once. Blocked here and in all
/// threads to come, they are waited for in one.
fn stop_on_signals(stop: Stop) -> Result<()> {
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

/// Of open files: what is watched, files of reports, the engine's own.
const OTHER_FILES: u64 = 64;

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
fn raise_limits() -> Result<()> {
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
