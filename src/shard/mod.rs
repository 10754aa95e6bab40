//! A shard: a part of the accounts and payments, in memory and in files.
//!
//! - [`state`]: the accounts in memory and the tick's batch; deterministic, no I/O. `apply`: a command to it.
//! - [`journal`], [`snapshot`], [`meta`]: the files' layouts, and reading and writing them.
//! - [`layout`]: the files' names. [`disk`]: the seam to the file system.
//! - [`store`]: a shard's files while it serves; [`job`]: the part of that which blocks.
//! - [`recovery`]: from files to a shard; [`creation`]: the files of a new directory;
//!   [`chain`]: what both recovery and check make of a journal; [`check`]: verifying without serving.
//! - [`clock`]: a shard's time, by which its records are told apart from the moments that clients see.
//! - [`lock`]: at most one process serves a shard; [`acquire`]: becoming that process.
//! - [`log_position`], [`archive`]: where an engine keeps the journals, how far the files are, and all of them in one.
//! - [`payments`]: open payments in memory, settled ones in files.
//! - [`dedup`]: earlier commands and their outcomes, by which a repeated command is recognised.

pub mod accounts;
pub(crate) mod acquire;
mod apply;
mod archive;
pub(crate) mod chain;
pub mod check;
pub mod clock;
pub(crate) mod creation;
pub mod dedup;
mod digest;
pub(crate) mod disk;
pub(crate) mod error;
pub(crate) mod job;
pub mod journal;
pub mod layout;
pub(crate) mod lock;
mod log_position;
pub mod mapping;
pub(crate) mod meta;
pub mod payments;
pub mod recovery;
pub(crate) mod snapshot;
pub(crate) mod state;
pub(crate) mod store;

#[cfg(test)]
pub(crate) mod tests;

pub use acquire::{Acquired, Directory, Owned};
pub use apply::Applied;
pub use creation::{create, create_copies, unmake, Client};
pub use dedup::DedupResult;
pub use disk::{Disk, DiskFile, RealDisk};
pub use error::RecoveryError;
pub use job::{Done, StoreJob};
pub use lock::Locked;
pub use log_position::{LogPosition, PLACE_BYTES};
pub use meta::Meta;
pub use payments::{Accepted, Payments};
pub use recovery::{bound_payments, open, Recovered};
pub use state::{LogEnd, Shard};
pub use store::{AppendError, Appended, Store};

/// Which shard of which directory a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Random, from when the directory was made.
    pub directory: u128,
    /// This shard, from 0.
    pub shard: u32,
    /// Shards of the directory; a client belongs to shard `client % shards`.
    pub shards: u32,
}
