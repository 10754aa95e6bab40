//! A server to test, and a client to test it with.

mod book;
pub mod client;
mod contest;
mod load;
mod payments;
mod processor;
mod scripted;
mod server;

pub use book::{amount, processed, Book};
pub use client::{get, post, transaction, Address, Connection, Reply};
pub use contest::contest;
pub use load::{Random, Writer};
pub use payments::{
    cents, iso, new_id, now_us, payment, summary, us_of, Summary, Totals, PROCESSORS,
};
pub use processor::{stored, Processor, FAULTS};
pub use scripted::{Answer, Asked, Scripted};
pub use server::{data_dir, on_both_drivers, Driver, Launch, Server};

use std::time::Duration;

/// For whatever takes no time unless something is broken: a loaded machine must not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The contest's clients and their limits.
pub const CONTEST: [(u32, i64); 5] = [
    (1, 100_000),
    (2, 80_000),
    (3, 1_000_000),
    (4, 10_000_000),
    (5, 500_000),
];
