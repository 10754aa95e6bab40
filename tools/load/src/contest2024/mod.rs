//! The official run of Rinha de Backend 2024/Q1: its fixed sequence, its ramps, its checks and its score.

use anyhow::Result;

use crate::cli::Rinha2024;
use crate::engine::Stop;
use crate::run::Verdict;

/// All of it, its report included.
///
/// # Errors
/// Why nothing could be measured.
pub fn run(flags: &Rinha2024, stop: &Stop) -> Result<Verdict> {
    let _ = (flags, stop);
    todo!()
}
