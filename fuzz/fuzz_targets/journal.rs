//! A journal that was changed yields a prefix of what was written, and nothing else.
#![no_main]

#[path = "../journal.rs"]
mod journal;

libfuzzer_sys::fuzz_target!(|data: &[u8]| journal::check(data));
