//! `galo check`: verifies a data directory without serving it.

use std::io::Write;
use std::path::Path;

use crate::shard::check::check;
use crate::shard::RecoveryError;

/// Prints what is in the directory. `Err`: the first damage, with file and offset.
pub fn run(data: &Path) -> Result<(), RecoveryError> {
    let mut out = std::io::stdout().lock();
    let summary = check(data, &mut out)?;
    // Whether somebody still reads this changes nothing about the directory.
    let _ = writeln!(
        out,
        "{}: good: {} shards, {} accounts, {} journal records, {} bytes",
        data.display(),
        summary.shards,
        summary.accounts,
        summary.records,
        summary.bytes
    );
    Ok(())
}
