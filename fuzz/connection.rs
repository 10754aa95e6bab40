//! What a connection makes of a stream of bytes, however it is cut on its way. Shared by the fuzz
//! target and by the properties that `cargo test` checks.

use galo::http::{parse, ParseState, Parsed};

/// The requests, refusals, and what is left waiting at the end, in order and as text.
///
/// `next_cut` is asked for the length of each piece; it is kept within what is left, and at least 1.
pub fn verdicts(stream: &[u8], mut next_cut: impl FnMut() -> usize) -> Vec<String> {
    let (mut input, mut scratch) = (Vec::new(), Vec::new());
    let mut progress = ParseState::default();
    let mut verdicts = Vec::new();
    let mut continued = false;
    let mut rest = stream;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(next_cut().clamp(1, rest.len()));
        rest = after;
        input.extend_from_slice(piece);
        loop {
            // Other connections use the same scratch in between.
            scratch.push(b'?');
            match parse(&input, &mut progress, &mut scratch) {
                Parsed::Request { request, consumed } => {
                    assert!((1..=input.len()).contains(&consumed));
                    verdicts.push(format!("{request:?} in {consumed} bytes"));
                    input.drain(..consumed);
                    continued = false;
                }
                Parsed::Incomplete { send_continue } => {
                    assert!(!(continued && send_continue), "asked to continue twice");
                    continued |= send_continue;
                    break;
                }
                Parsed::Bad(status) => {
                    verdicts.push(format!("{status:?}"));
                    return verdicts;
                }
            }
        }
    }
    let place = if progress.in_body() { "body" } else { "head" };
    verdicts.push(format!("{} bytes waiting in the {place}", input.len()));
    verdicts
}
