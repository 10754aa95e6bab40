//! The binary against servers that are bad on purpose: whatever is wrong with them must be seen, and nothing else.

// The official run's tests use the rest of it.
#[allow(dead_code)]
#[path = "../support/bank.rs"]
mod bank;
mod command;
mod gateway;
mod server;

mod ends;
mod faults;
mod flags;
mod gates;
mod stalls;
mod verify;
mod watch;
