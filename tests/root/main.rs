//! Promises that need root to be tried: `cargo test --features root-tests --test root`.

// The other promises use the rest of it.
#[allow(dead_code, unused_imports)]
#[path = "../promises/support/mod.rs"]
mod support;

#[path = "../driver_support/mod.rs"]
mod driver_support;

mod full_disk;
mod limits;
mod strangers;
