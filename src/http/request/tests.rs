//! One table per rule: input, and what it comes to. Each input is also fed byte by byte, and in two
//! parts at every place.

mod body;
mod fields;
mod request_line;
mod target;

use super::*;
use crate::limits::{BODY_ENCODED_BYTES_MAX, HEADERS_MAX, KEY_CHARS_MAX};

/// What the first request of an input comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Request { path: String, body: String },
    Incomplete,
    Bad(Status),
}

fn owned(parsed: Parsed<'_>) -> Verdict {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    match parsed {
        Parsed::Request { request, .. } => Verdict::Request {
            path: text(request.path),
            body: text(request.body),
        },
        Parsed::Incomplete { .. } => Verdict::Incomplete,
        Parsed::Bad(status) => Verdict::Bad(status),
    }
}

/// Feeds the input up to each of these offsets; the first verdict that is one.
fn verdict_at(input: &[u8], offsets: impl Iterator<Item = usize>) -> Verdict {
    let (mut progress, mut scratch) = (ParseState::default(), b"old".to_vec());
    offsets
        .map(|offset| owned(parse(&input[..offset], &mut progress, &mut scratch)))
        .find(|verdict| *verdict != Verdict::Incomplete)
        .unwrap_or(Verdict::Incomplete)
}

pub(super) fn verdict(input: impl AsRef<[u8]>) -> Verdict {
    let input = input.as_ref();
    let whole = verdict_at(input, std::iter::once(input.len()));
    assert_eq!(verdict_at(input, 0..=input.len()), whole, "byte by byte");
    // Every place is too many for the inputs that test bounds.
    for cut in (1..input.len()).step_by(1 + input.len() / 500) {
        let parts = [cut, input.len()].into_iter();
        assert_eq!(verdict_at(input, parts), whole, "cut at {cut}");
    }
    whole
}

fn taken(body: &str) -> Verdict {
    Verdict::Request {
        path: "/x".to_owned(),
        body: body.to_owned(),
    }
}

/// `POST /x` with these header lines (LF stands for CRLF) beside Host, and whatever follows.
fn post(headers: &str, body: &str) -> Vec<u8> {
    let headers = headers.replace('\n', "\r\n");
    format!("POST /x HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}").into_bytes()
}

/// The request that must be there.
fn with_request<T>(input: impl AsRef<[u8]>, look: impl FnOnce(Request<'_>) -> T) -> T {
    let input = input.as_ref();
    let text = String::from_utf8_lossy(input);
    match parse(input, &mut ParseState::default(), &mut Vec::new()) {
        Parsed::Request { request, consumed } => {
            assert_eq!(consumed, input.len(), "{text:?}");
            look(request)
        }
        other => panic!("{other:?}: {text:?}"),
    }
}

#[test]
fn a_request_has_these_parts() {
    let input = b"POST /clientes/1/transacoes?a=b HTTP/1.1\r\nHost: localhost:9999\r\n\
        Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}GET";
    let (mut progress, mut scratch) = (ParseState::default(), vec![7]);
    let Parsed::Request { request, consumed } = parse(input, &mut progress, &mut scratch) else {
        panic!("no request");
    };
    let expected = Request {
        method: Method::Post,
        path: b"/clientes/1/transacoes",
        query: Some(b"a=b"),
        body: b"{}",
        close: false,
        http10: false,
        accepts_gzip: false,
        accepts: Accepts::USUAL,
        body_coded: false,
        idempotency_key: None,
    };
    assert_eq!(request, expected);
    assert_eq!(consumed, input.len() - 3);
    assert_eq!(scratch, [7], "only a chunked body needs it");
    assert!(!progress.in_body());
}
