//! Galo: a bank ledger and a payments gateway in one small binary.
//!
//! The binary is `main.rs`; this library is shared by the binary, the simulator and the tools. The layers and the
//! modules of each are in `docs/design.md`.

#[cfg(not(target_os = "linux"))]
compile_error!("galo runs on Linux only");

pub mod api;
pub mod bank;
pub mod clients;
pub(crate) mod cluster;
pub mod cluster_status;
pub(crate) mod codec;
pub mod command;
pub mod config;
pub mod healthcheck;
pub mod http;
pub mod io;
pub mod limits;
pub mod log;
pub mod machine;
pub mod members;
pub mod nats;
pub mod node;
pub mod payments;
pub mod replicate;
pub mod runtime;
pub mod serve;
pub mod shard;
pub(crate) mod stats;
pub mod system;
pub(crate) mod systemd;
