//! The drivers: what moves bytes between the kernel and a [`Machine`](crate::machine::Machine).
//!
//! A driver knows sockets, rings and timers; it never sees an account. There is one loop (`event_loop.rs`), and two back
//! ends for it (`uring.rs`, `epoll.rs`), which know no machine.

pub(crate) mod address;
mod backend;
mod channel;
mod dials;
mod engine;
mod epoll;
mod error;
mod event_loop;
mod inherited;
mod links;
mod listen;
mod memory;
mod probe;
mod setup;
mod socket;
mod sockets;
mod threads;
mod upstream;
mod uring;

pub use address::Address;
pub use channel::Channel;
pub use engine::Engine;
pub use error::Lack;
pub use event_loop::{boottime_ns, monotonic_ns};
pub use inherited::{Inherited, Unfit};
pub use listen::{bind_link, ListenError, ListenSocket, Listeners, SocketFile};
pub use probe::{probe, Chosen, DriverChoice, Probe};
pub use setup::{Driver, Setup};
pub use threads::Control;
pub use upstream::Upstream;
