//! Promises that need root to be tried: `cargo test --features root-tests --test root`.

#[path = "../driver_support/mod.rs"]
mod driver_support;

mod container;
mod foreign_user;
mod full_disk;
mod limits;
