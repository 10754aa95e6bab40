//! Promises of the whole stack: two nodes, and nginx before them with each of the project's
//! configurations. `cargo test --features stack-tests --test stack`; needs nginx and its stream
//! module (Debian: nginx, libnginx-mod-stream).
//!
//! One node runs on io_uring, the other on epoll. Only reading journals back links the server.

#[path = "../../tools/bench/src/nginx.rs"]
mod nginx;

mod journals;
mod load;
mod stack;

mod contest;
mod keys;
mod killed;
mod paused;
mod payments;
mod payments_once;
mod script;
mod stopped;
