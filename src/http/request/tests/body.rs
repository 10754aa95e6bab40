//! Where a body ends, when a client is told to send it, and the bounds of head and body.

use super::*;

#[test]
fn a_length_is_digits() {
    let large = "9".repeat(40);
    let padded = format!("{}5", "0".repeat(40));
    for (value, expected) in [
        ("5", taken("hello")),
        ("005", taken("hello")),
        (&padded, taken("hello")),
        ("0", taken("")),
        ("6", Verdict::Incomplete),
        ("65536", Verdict::Incomplete),
        ("65537", Verdict::Bad(Status::BodyTooLarge)),
        ("18446744073709551616", Verdict::Bad(Status::BodyTooLarge)),
        ("18446744073709551621", Verdict::Bad(Status::BodyTooLarge)),
        (&large, Verdict::Bad(Status::BodyTooLarge)),
    ] {
        let input = post(&format!("Content-Length: {value}\n"), "hello");
        assert_eq!(verdict(input), expected, "{value}");
    }
}

#[test]
fn every_method_may_have_a_body() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let head = format!("{method} /x HTTP/1.1\r\nHost: a\r\n");
        let input = format!("{head}Content-Length: 5\r\n\r\nhello");
        assert_eq!(verdict(input), taken("hello"), "{method}");
        let input = format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(verdict(input), taken("hello"), "{method}");
    }
}

#[test]
fn transfer_codings_come_to_this() {
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    let bad = Verdict::Bad(Status::BadRequest);
    let unknown = Verdict::Bad(Status::NotImplemented);
    for (headers, expected) in [
        ("Transfer-Encoding: chunked\n", taken("hello")),
        ("transfer-encoding:ChUnKeD \t\n", taken("hello")),
        ("Transfer-Encoding: gzip, chunked\n", unknown.clone()),
        ("Transfer-Encoding: identity, chunked\n", unknown.clone()),
        (
            "Transfer-Encoding: gzip\nTransfer-Encoding: chunked\n",
            unknown.clone(),
        ),
        (
            "Transfer-Encoding: gzip;a=b,deflate , chunked\n",
            unknown.clone(),
        ),
        ("Transfer-Encoding: gzip\n", bad.clone()),
        ("Transfer-Encoding: identity\n", bad.clone()),
        ("Transfer-Encoding: chunked, gzip\n", bad.clone()),
        ("Transfer-Encoding: chunked, identity\n", bad.clone()),
        ("Transfer-Encoding: chunked, chunked\n", bad.clone()),
        ("Transfer-Encoding: gzip, chunked, chunked\n", bad.clone()),
        (
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n",
            bad.clone(),
        ),
        (
            "Transfer-Encoding: chunked\nTransfer-Encoding: x\n",
            bad.clone(),
        ),
        ("Transfer-Encoding: chunked;a=b\n", bad.clone()),
        ("Transfer-Encoding:\n", bad.clone()),
        ("Transfer-Encoding: ,chunked\n", bad.clone()),
        ("Transfer-Encoding: chunked,\n", bad.clone()),
    ] {
        assert_eq!(verdict(post(headers, chunks)), expected, "{headers:?}");
    }
}

#[test]
fn expectations_other_than_continue_fail() {
    for (headers, expected) in [
        ("Expect: 100-continue\nContent-Length: 2\n", taken("{}")),
        ("expect: 100-Continue\nContent-Length: 2\n", taken("{}")),
        ("Expect: 200-ok\n", Verdict::Bad(Status::ExpectationFailed)),
        (
            "Expect: 100-continue, x\n",
            Verdict::Bad(Status::ExpectationFailed),
        ),
        (
            "Expect: 100-continue\nExpect: x\n",
            Verdict::Bad(Status::ExpectationFailed),
        ),
        ("Expect:\n", Verdict::Bad(Status::ExpectationFailed)),
        (
            "Expect: 100-continue\nContent-Length: 65537\n",
            Verdict::Bad(Status::BodyTooLarge),
        ),
    ] {
        assert_eq!(verdict(post(headers, "{}")), expected, "{headers:?}");
    }
}

/// The answers while the input grows to each of these lengths before its end.
fn continues(input: &[u8], lengths: &[usize]) -> Vec<bool> {
    let (mut progress, mut scratch) = (ParseState::default(), Vec::new());
    lengths
        .iter()
        .map(|&length| {
            let parsed = parse(&input[..input.len() - length], &mut progress, &mut scratch);
            matches!(
                parsed,
                Parsed::Incomplete {
                    send_continue: true
                }
            )
        })
        .collect()
}

#[test]
fn a_client_that_waits_is_told_to_continue_once() {
    let input = post("Expect: 100-continue\nContent-Length: 5\n", "hello");
    // From an incomplete head to the request.
    assert_eq!(
        continues(&input, &[6, 5, 5, 4, 0]),
        [false, true, false, false, false]
    );
    // The body has begun with the end of the head.
    assert_eq!(continues(&input, &[6, 4, 3]), [false, false, false]);
    assert_eq!(continues(&input, &[0]), [false]);
    let input = post(
        "Expect: 100-continue\nTransfer-Encoding: chunked\n",
        "0\r\n\r\n",
    );
    assert_eq!(continues(&input, &[5, 4, 0]), [true, false, false]);
    // There is nothing to wait for.
    let input = post("Expect: 100-continue\n", "");
    assert_eq!(continues(&input, &[1, 0]), [false, false]);
    let input = post("Content-Length: 5\n", "hello");
    assert_eq!(continues(&input, &[5, 4]), [false, false]);
    // HTTP/1.0 knows no such reply.
    let input = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(continues(input, &[5, 4, 0]), [false, false, false]);
}

#[test]
fn progress_says_whether_the_body_is_awaited() {
    let input = post("Content-Length: 5\n", "hello");
    let (mut progress, mut scratch) = (ParseState::default(), Vec::new());
    for (length, in_body) in [
        (0, false),
        (9, false),
        (input.len() - 5, true),
        (input.len(), false),
    ] {
        parse(&input[..length], &mut progress, &mut scratch);
        assert_eq!(progress.in_body(), in_body, "{length} bytes");
    }
}

/// A request whose head has so many bytes.
fn head_of(bytes: usize) -> Vec<u8> {
    let padding = bytes - post("A: \n", "").len();
    post(&format!("A: {}\n", "b".repeat(padding)), "")
}

#[test]
fn a_head_is_bounded() {
    let too_large = Verdict::Bad(Status::HeadTooLarge);
    assert_eq!(verdict(head_of(HEAD_BYTES_MAX)), taken(""));
    assert_eq!(verdict(head_of(HEAD_BYTES_MAX + 1)), too_large);
    let mut skipped = b"\r\n".to_vec();
    skipped.extend(head_of(HEAD_BYTES_MAX - 1));
    assert_eq!(verdict(&skipped), too_large, "empty lines count");
    // Without an end: at the bound, not before.
    let endless = vec![b'G'; HEAD_BYTES_MAX + 1];
    assert_eq!(verdict(&endless), too_large);
    assert_eq!(verdict(&endless[1..]), too_large);
    assert_eq!(verdict(&endless[2..]), Verdict::Incomplete);
    // Whatever is wrong with it.
    let lines = "A : b\n".repeat(HEAD_BYTES_MAX);
    assert_eq!(verdict(lines), too_large);
}

#[test]
fn header_fields_are_bounded() {
    let fields = |count: usize| post(&"A: b\n".repeat(count - 1), "");
    assert_eq!(verdict(fields(HEADERS_MAX)), taken(""));
    let too_many = Verdict::Bad(Status::HeadTooLarge);
    assert_eq!(verdict(fields(HEADERS_MAX + 1)), too_many);
}

#[test]
fn a_body_is_bounded() {
    let body = "b".repeat(BODY_BYTES_MAX);
    let headers = format!("Content-Length: {BODY_BYTES_MAX}\n");
    assert_eq!(verdict(post(&headers, &body)), taken(&body));
    let chunked = "Transfer-Encoding: chunked\n";
    let whole = format!("{BODY_BYTES_MAX:x}\r\n{body}\r\n");
    let input = post(chunked, &format!("{whole}0\r\n\r\n"));
    assert_eq!(verdict(input), taken(&body));
    let too_large = Verdict::Bad(Status::BodyTooLarge);
    let input = post(chunked, &format!("{whole}1\r\n"));
    assert_eq!(verdict(input), too_large);
    let single = "1\r\nb\r\n".repeat(BODY_ENCODED_BYTES_MAX / 6);
    let input = post(chunked, &format!("{single}0\r\n\r\n"));
    assert_eq!(verdict(input), too_large);
}

#[test]
fn pipelined_requests_come_one_by_one() {
    let mut input = b"\r\nPOST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n\
        POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}\r\n\
        GET /c HTTP/1.1\r\nHost: a\r\n\r\nGET /d"
        .to_vec();
    let (mut progress, mut scratch) = (ParseState::default(), b"old".to_vec());
    for (path, body) in [("/a", "abcde"), ("/b", "{}"), ("/c", "")] {
        let parsed = parse(&input, &mut progress, &mut scratch);
        let Parsed::Request { request, consumed } = parsed else {
            panic!("{parsed:?}");
        };
        assert_eq!(
            (request.path, request.body),
            (path.as_bytes(), body.as_bytes())
        );
        input.drain(..consumed);
    }
    let left = parse(&input, &mut progress, &mut scratch);
    assert_eq!(
        left,
        Parsed::Incomplete {
            send_continue: false
        }
    );
    assert_eq!(input, b"GET /d");
}
