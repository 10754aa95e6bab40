//! A payment's body is judged as the rules say, whatever is in it.
#![no_main]

#[path = "../payment.rs"]
mod payment;

libfuzzer_sys::fuzz_target!(|data: &[u8]| payment::check(data));
