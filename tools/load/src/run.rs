//! A run, from its flags to its report.

use anyhow::Result;

use crate::cli::{Cli, Output};
use crate::report::Report;

/// How a run ended, as the exit status says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 0.
    Good,
    /// 1: a reply, a check, the verification or a gate failed.
    Failed,
}

/// Does what was asked for. An error (exit status 2) says why nothing could be measured.
pub fn run(cli: Cli) -> Result<Verdict> {
    let _ = cli;
    todo!()
}

/// Prints and writes the report, compares it, and judges it by `--fail-on`.
pub fn finish(report: &Report, output: &Output) -> Result<Verdict> {
    let _ = (report, output);
    todo!()
}
