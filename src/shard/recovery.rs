//! From files to a shard.

use std::path::Path;

use super::disk::Disk;
use super::{Meta, RecoveryError, Shard, Store};

/// A shard that is ready to serve.
pub struct Recovered<D: Disk> {
    /// The accounts.
    pub shard: Shard,
    /// The files.
    pub store: Store<D>,
    /// What was found.
    pub report: Report,
}

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Accounts of the shard.
    pub accounts: usize,
    /// End sequence of the snapshot that was used.
    pub snapshot: u64,
    /// Records replayed over it.
    pub replayed: u64,
    /// The last record.
    pub sequence: u64,
}

/// Opens one shard of a data directory that [`Meta::read`] found. Hold the shard's
/// [`Ownership`](super::ownership::Ownership).
pub fn open<D: Disk>(
    disk: &D,
    dir: &Path,
    meta: &Meta,
    shard: u32,
) -> Result<Recovered<D>, RecoveryError> {
    let _ = (disk, dir, meta, shard);
    todo!("recovery")
}
