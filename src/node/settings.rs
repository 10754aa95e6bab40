//! What a node is told at its start.

use crate::api::operations::Process;
use crate::members::Members;

/// When a reply leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After the `pwrite`: survives the process, not a power loss (`fdatasync` follows shortly).
    Process,
    /// After the `fdatasync`: survives a power loss.
    Disk,
    /// After a quorum of the engine's servers has it: survives the loss of a machine.
    Replicated,
}

/// Why a tick's batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The disk has no room.
    NoRoom,
    /// Nothing is known of the engine, or more waits for it than may.
    NoEngine,
}

/// How payments are carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentSettings {
    /// What each processor is called in requests (`Host`), by number.
    pub hosts: [String; 2],
    /// In front of each processor's paths; empty, or with a slash in front and none behind.
    pub prefixes: [String; 2],
    /// From accepting a payment to the latest moment to have it carried out, at whatever fee.
    pub deadline_ns: u64,
    /// Payments that may be open in one shard.
    pub open_max: usize,
}

/// What a node is told at its start.
#[derive(Clone)]
pub struct Settings {
    /// The cluster, and which member of it this is.
    pub members: Members,
    /// Random: tells this incarnation of the member from its others. 48 bits.
    pub epoch: u64,
    /// Id of the data directory.
    pub directory: u128,
    /// When a reply leaves.
    pub durability: Durability,
    /// Whether `POST /reset` may.
    pub allow_reset: bool,
    /// Whether there is `/openapi.json`.
    pub docs: bool,
    /// The payment processors; `None`: payments are refused, saying what to set.
    pub payments: Option<PaymentSettings>,
    /// What `/health` and `/metrics` tell.
    pub process: Process,
}
