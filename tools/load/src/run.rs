//! Which run it is.

use anyhow::Result;

use crate::cli::{Cli, Contest};
use crate::engine::Stop;
use crate::observer::Verdict;
use crate::process::{raise_limits, stop_on_signals};
use crate::{contest2024, contest2025, plain};

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
