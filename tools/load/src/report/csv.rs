//! The time series as comma-separated values.

use std::path::Path;

use anyhow::Result;

use super::Report;

/// Writes one line for each point; what was watched is in columns of its own.
///
/// # Errors
/// The file's, with its path.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    let _ = (report, path);
    todo!()
}
