//! The binary against servers that are bad on purpose: whatever is wrong with them must be seen, and nothing else.
//!
//! | file | what |
//! |---|---|
//! | `server` | what can be wrong with how replies come |
//! | `gateway`, `../support/bank` | what can be wrong with what they say |
//! | `../support/run` | the binary, and what it leaves |
//! | the others | tests |

mod gateway;
mod server;
#[path = "../support/mod.rs"]
mod support;

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
