//! Bytes on a link.
#![no_main]

#[path = "../link.rs"]
mod link;

libfuzzer_sys::fuzz_target!(|data: &[u8]| link::check(data));
