//! A payment processor to test against: what the contest's processors do, and faults that theirs have
//! only now and then.
//!
//! [`model`] decides, [`fault`] spoils; both are values without sockets, clocks or chance, so that the
//! simulator runs them as well. [`body`] and [`answer`] are the bytes around them, and [`server`] is all of it
//! over HTTP.

#[cfg(feature = "server")]
pub mod answer;
#[cfg(feature = "server")]
pub mod body;
#[cfg(feature = "server")]
pub mod decimal;
pub mod fault;
pub mod model;
#[cfg(feature = "server")]
pub mod server;
