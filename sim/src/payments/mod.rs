//! Payments in the simulated world.
//!
//! - `plan`: what a seed decides about them.
//! - `phase`: what is wrong with a processor for a while. `processors`: the two of them; `connections`:
//!   how they are reached; `service`: what they do with requests, and what of a reply comes through; `wire`: what is said there.
//! - `quiescence`: time that passes, and what must be true once nothing goes wrong any more.
//! - `author`: what clients ask.
//! - `book`: what is known of each payment: what clients asked, what the journals say (`records`), what processors were asked
//!   and have stored (`attempts`), when they had to be (`deadlines`). `judge`: whether replies agree with that; `summary`:
//!   the same for summaries; `compare`: for shards.

mod attempts;
pub mod author;
pub mod book;
mod compare;
pub mod connections;
mod deadlines;
mod judge;
mod phase;
mod plan;
mod processors;
mod quiescence;
mod records;
mod service;
mod summary;
pub mod wire;

/// The beginning of a payment's id, for the trace.
pub fn short_id(id: u128) -> String {
    format!("{:08x}", id >> 96)
}

pub use book::{Book, State, Tag};
pub use phase::Phase;
pub use plan::Plan;
pub use processors::Processors;
pub use records::Entry;
pub use summary::Question;
