//! The drivers: what moves bytes between the kernel and a [`Machine`](crate::machine::Machine).
//!
//! A driver knows sockets, rings and timers; it never sees an account. Both drivers make the same
//! loop visible: gather what is ready, feed it to the machine, end the tick, carry out the effects.

pub mod address;
mod buffers;
mod clock;
mod control;
mod dials;
mod epoll;
mod links;
mod listen;
mod memory;
mod probe;
mod ring;
mod setup;
mod socket;
mod sockets;
mod upstream;
mod uring;

pub use address::Address;
pub use clock::monotonic_ns;
pub use control::Control;
pub use listen::{bind_link, ListenError, Listeners, SocketFile};
pub use probe::{probe, Choice, Chosen, Probe};
pub use setup::{Driver, Engine, Lack, Setup};
pub use upstream::Upstream;
