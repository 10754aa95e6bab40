//! What tests of the workspace share. Nothing that is shipped depends on it, and it depends on nothing of the workspace:
//! the programs are processes.
//!
//! | module | what |
//! |---|---|
//! | `process`, `programs` | a child process with its log; where the workspace's programs are |
//! | `socket`, `http` | addresses and streams; requests and replies as bytes |
//! | `client`, `crowd`, `service` | a connection to a server; many that do not read; a server for tests |
//! | `galo`, `processor`, `load` | the server, the payment processor, the load tester |
//! | `bank`, `writer` | transactions and statements; clients that know their balances |
//! | `payments`, `ledger` | payments and summaries; what was promised and what must come of it |
//! | `nats` | the engine of several machines: servers that are killed and started again |
//! | `nats_client` | a connection to one of them |
//! | `network` | machines whose network can be cut |
//! | `mount` | a file system that can be full |
//! | `scripted` | a payment processor that a test scripts |
//! | `browser` | Chromium, and what a page looks like in it |
//! | `terminal` | a terminal that is driven |
//! | `markdown` | tables of the manual |
//! | `random` | seeded random numbers |

mod bank;
pub mod browser;
mod client;
mod crowd;
mod galo;
pub mod http;
mod ledger;
mod load;
pub mod markdown;
mod mount;
mod nats;
mod nats_client;
mod network;
mod payments;
pub mod process;
pub mod processor;
pub mod programs;
mod random;
mod scripted;
mod service;
mod socket;
pub mod terminal;
mod writer;

pub use bank::{keyed, transaction, Listed, Statement, CONTEST};
pub use client::Connection;
pub use crowd::{need_files, Crowd};
pub use galo::{data_dir, on_both_drivers, Driver, Launch, Server};
pub use http::{get, post, Reply, Request};
pub use ledger::{amount, processed, PaymentLedger};
pub use load::contest_2024;
pub use mount::Mount;
pub use nats::{find_nats_server, nats_server, NatsCluster};
pub use nats_client::NatsClient;
pub use network::{Machine, Network};
pub use payments::{
    cents, decimal, id_text, iso, new_id, now_us, parse_cents, parse_id, parse_time, payment,
    summary, us_of, Summary, Totals, PROCESSORS,
};
pub use process::Process;
pub use processor::{stored, Processor, ProcessorApi, FAULTS};
pub use random::Random;
pub use scripted::{Answer, Scripted};
pub use service::Service;
pub use socket::{Address, ReservedPort, Socket};
pub use writer::Writer;

use std::thread::sleep;
use std::time::{Duration, Instant};

/// For whatever takes no time unless something is broken: a loaded machine must not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until it is so; `what` it waits for is said if that never happens.
#[track_caller]
pub fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    wait_within(PATIENCE, what, is_so);
}

/// The same for what takes longer.
#[track_caller]
pub fn wait_within(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(
            began.elapsed() < patience,
            "not within {patience:?}: {what}"
        );
        sleep(Duration::from_millis(2));
    }
}
