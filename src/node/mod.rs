//! The node: the deterministic machine that a core runs.
//!
//! Bytes of a connection come in, are parsed into requests, each request is applied to a shard at
//! once and its reply written behind the connection's earlier ones; nothing leaves before the end
//! of the tick, when what the tick journalled has been written ([`Node::release`]). No I/O, no
//! clock, no thread: files are [`crate::runtime`]'s, sockets are [`crate::io`]'s.
//!
//! `core.rs` is the node and its tick, `input.rs` what happens to its connections; all else are its parts.

mod client;
mod core;
mod event;
mod gateway;
mod input;
pub mod link;
mod ownership;
mod peers;
mod queries;
mod refused;
mod resets;
mod router;
mod settings;
mod shards;
mod shutdown;
mod transport;

pub use self::core::Node;
pub use settings::{Durability, NotTaken, PaymentSettings, Settings};

#[cfg(test)]
mod tests;
