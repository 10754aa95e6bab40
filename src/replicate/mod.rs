//! Shards whose journals are kept by an engine on several machines: who owns a shard, what its log holds, and who may
//! answer a read. Deterministic like [`crate::machine`]: what the engine says and the time go in, requests to it and
//! [`Event`]s come out.
//!
//! The engine ([`crate::machine::engine`]) keeps two streams of records, numbered in the order in which it took them: the log, with a
//! subject for each shard, and the leases, with a subject for each member. It appends a record only if the last one of
//! its subject has the number that the writer expects; all that is promised here rests on that.
//!
//! - **One owner.** A member owns a shard from its `epoch` record in the shard's subject on ([`takeover`]), until there is a
//!   newer one. An owner has one batch under way at a time, which expects the record before it: behind a newer epoch
//!   nothing of an older one is accepted, or, where the engine has lost the epoch, applied.
//! - **What is acknowledged stays.** A batch is in the log when the engine says so while our lease lasts, or when it is
//!   delivered ([`tenure`]).
//! - **Equal copies.** Each member follows the whole log, record by record without a gap, and applies it to its copy
//!   ([`follower`], [`Event::Record`]).
//! - **Reads by lease.** A member may answer from its copy while its lease lasts ([`lease`]); another takes a shard from it only
//!   when that has ended, and has been revoked ([`peers`]).
//! - **The log's front goes**, once it is long: each owner stores its shards as files, and the engine forgets what all files
//!   have ([`Replica::next_to_keep`]). A copy that lacks what is gone comes from there ([`Event::Behind`]).
//!
//! [`record`]: the records, as bytes. [`position`]: places in a log. [`shard`]: one log as a member has it. [`replica`]: the
//! whole of a member. [`outbox`]: what leaves it.

mod follower;
mod lease;
mod outbox;
mod peers;
mod position;
pub mod record;
mod replica;
mod shard;
mod takeover;
mod tenure;

#[cfg(test)]
mod tests;

pub use outbox::{Alarm, Event};
pub use position::{Owner, Place, Position, PLACE_BYTES};
pub use record::Digest;
pub use replica::{Replica, Settings};
