//! The `galo` binary.
fn main() {}
