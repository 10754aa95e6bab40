//! What measuring programs share.
//!
//! | module | what |
//! |---|---|
//! | `pair` | two servers side by side, and two nodes on one data directory |
//! | `server` | a server as a child process, and what `/proc` says of it |
//! | `strace` | system calls, counted |
//! | `callgrind` | instructions, counted |
//! | `instructions` | how many a request may take |
//! | `hop` | whose requests cross to another core |
//! | `client` | a few requests without a tool |

pub mod callgrind;
pub mod client;
pub mod hop;
pub mod instructions;
pub mod pair;
pub mod server;
pub mod strace;
