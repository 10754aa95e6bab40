//! The official run of Rinha de Backend 2025: stages of two processors, users who pay, totals that are compared, and the
//! score.

use anyhow::Result;

use crate::cli::Rinha2025;
use crate::engine::Stop;
use crate::run::Verdict;

/// All of it, its report included.
///
/// # Errors
/// Why nothing could be measured.
pub fn run(flags: &Rinha2025, stop: &Stop) -> Result<Verdict> {
    let _ = (flags, stop);
    todo!()
}
