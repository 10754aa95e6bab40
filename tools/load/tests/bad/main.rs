//! The binary against servers that are bad on purpose: whatever is wrong with them must be seen, and nothing else.
//!
//! | file | what |
//! |---|---|
//! | `server` | what can be wrong with how replies come |
//! | `gateway`, `../support/bank` | what can be wrong with what they say |
//! | `command` | the binary, and what it leaves |
//! | the others | tests |

// The official run's tests use the rest of it.
#[allow(dead_code)]
#[path = "../support/bank.rs"]
mod bank;
mod command;
mod gateway;
mod server;

#[cfg(feature = "root-tests")]
mod container;
mod ends;
mod faults;
mod flags;
mod gates;
mod outputs;
mod stalls;
mod verify;
mod watch;
