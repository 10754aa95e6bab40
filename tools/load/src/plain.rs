//! The plain run: one mix, at one pace.

use anyhow::Result;

use crate::cli::Load;
use crate::engine::Stop;
use crate::run::Verdict;

/// All of it, its report included.
///
/// # Errors
/// Why nothing could be measured.
pub fn run(flags: &Load, stop: &Stop) -> Result<Verdict> {
    let _ = (flags, stop);
    todo!()
}
