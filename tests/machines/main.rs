//! Promises of nodes on several machines, under load: three nodes, each with a directory of its own, and three
//! nats-servers. `cargo test --features machines-tests --test machines`; needs nats-server, see `testkit/src/nats.rs`.
//!
//! Whatever dies or is paused: nothing that was acknowledged is lost, nothing happens twice, no read is stale.

mod faults;
mod load;
mod machines;
mod payments;
mod progress;

mod absence;
mod founding;
mod kept;
mod short;
mod soak;
mod status;
