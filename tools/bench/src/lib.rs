//! What measuring programs share.
//!
//! | module | what |
//! |---|---|
//! | `server` | a server as a child process, and what `/proc` says of it |
//! | `strace` | system calls, counted |
//! | `client` | a few requests without a tool |

pub mod client;
pub mod server;
pub mod strace;
