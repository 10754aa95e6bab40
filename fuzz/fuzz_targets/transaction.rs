//! A body is judged as the rules say, whatever is in it.
#![no_main]

#[path = "../transaction.rs"]
mod transaction;

libfuzzer_sys::fuzz_target!(|data: &[u8]| transaction::check(data));
