//! What a node is told at its start.

use crate::api::operations::Process;

/// When a reply leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After the `pwrite`: survives the process, not a power loss (`fdatasync` follows shortly).
    Process,
    /// After the `fdatasync`: survives a power loss.
    Disk,
}

/// What a node is told at its start.
#[derive(Clone)]
pub struct Settings {
    /// Which core this is.
    pub core: usize,
    /// Of how many. Shard `s` belongs to core `s % cores`.
    pub cores: usize,
    /// Shards in all. Client `c` is in shard `c % shards`.
    pub shards: usize,
    /// When a reply leaves.
    pub durability: Durability,
    /// Whether `POST /reset` may.
    pub allow_reset: bool,
    /// What `/health` and `/metrics` tell.
    pub process: Process,
}
