//! The verdicts on a stream are the same however it is cut. The first byte seeds the cuts.
#![no_main]

#[path = "../connection.rs"]
mod connection;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&seed, stream)) = data.split_first() else {
        return;
    };
    let mut cut = usize::from(seed);
    let cuts = || {
        cut = cut * 29 % 257;
        cut
    };
    let expected = connection::verdicts(stream, || stream.len());
    assert_eq!(connection::verdicts(stream, cuts), expected);
    assert_eq!(connection::verdicts(stream, || 1), expected);
});
