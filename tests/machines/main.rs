//! Promises of nodes on several machines, under load: three machines, each with a node and a nats-server, on a network that can
//! be cut. `cargo test --features machines-tests --test machines`; needs nats-server, see `testkit/src/nats.rs`, and root: without,
//! all is on loopback, and tests that cut the network fail.
//!
//! Whatever happens: nothing that was acknowledged is lost, nothing happens twice, no read is stale. `short` has each fault
//! once or twice, `soak` as often as it takes to meet what is rare.

mod clients;
mod faults;
mod load;
mod machines;
mod payments;

mod absence;
mod founding;
mod kept;
mod short;
mod soak;
mod status;
