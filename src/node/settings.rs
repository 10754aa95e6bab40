//! What a node is told at its start.

use super::Members;
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
    /// The cluster, and which member of it this is.
    pub members: Members,
    /// Random: tells this life of the member from its others. 48 bits.
    pub epoch: u64,
    /// Id of the data directory.
    pub directory: u128,
    /// When a reply leaves.
    pub durability: Durability,
    /// Whether `POST /reset` may.
    pub allow_reset: bool,
    /// What `/health` and `/metrics` tell.
    pub process: Process,
}
