//! One table per rule: input, and what it comes to. Each input is also fed byte by byte, and in two
//! parts at every place.

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

#[test]
fn methods_are_case_sensitive_tokens() {
    for (method, expected) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("OPTIONS", Method::Options),
        ("get", Method::Other),
        ("options", Method::Other),
        ("DELETE", Method::Other),
        ("!#$%&'*+-.^_`|~09azAZ", Method::Other),
    ] {
        let input = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        with_request(input, |request| assert_eq!(request.method, expected));
    }
}

#[test]
fn targets_have_these_paths_and_queries() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/a/b%20c;d=e,f:g@h", "/a/b%20c;d=e,f:g@h", None),
        ("/a?", "/a", Some("")),
        ("/a?b=c?d/e", "/a", Some("b=c?d/e")),
        ("//a/b", "//a/b", None),
        ("/http://a/b", "/http://a/b", None),
        // Checked where it is decoded: target.rs.
        ("/%zz", "/%zz", None),
        ("http://a/b/c?d", "/b/c", Some("d")),
        ("HTTPS://a.b:443/", "/", None),
        ("http://[::1]:80/b", "/b", None),
        ("http://a", "/", None),
        ("http://a?b", "/", Some("b")),
        ("http://a?b/c", "/", Some("b/c")),
    ] {
        let input = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        with_request(input, |request| {
            assert_eq!(request.path, path.as_bytes(), "{target}");
            assert_eq!(request.query, query.map(str::as_bytes), "{target}");
        });
    }
    with_request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", |request| {
        assert_eq!((request.method, request.path), (Method::Options, &b"*"[..]));
    });
}

#[test]
fn these_request_lines_are_refused() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET HTTP/1.1",
        "GET / ",
        "GET /",
        "GET",
        "G(T / HTTP/1.1",
        "GET: / HTTP/1.1",
        // Targets.
        "GET /#a HTTP/1.1",
        "GET /a?b#c HTTP/1.1",
        "GET /a\"b HTTP/1.1",
        "GET /a\\b HTTP/1.1",
        "GET /a{b} HTTP/1.1",
        "GET /a[b] HTTP/1.1",
        "GET /a?b[c] HTTP/1.1",
        "GET /ç HTTP/1.1",
        "GET /a\u{0}b HTTP/1.1",
        "GET /a\u{b}b HTTP/1.1",
        "GET /a\u{7f}b HTTP/1.1",
        "GET a HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS *? HTTP/1.1",
        "GET ?a HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "GET ftp://a/b HTTP/1.1",
        "GET http:/a/b HTTP/1.1",
        "GET http:///b HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http://:80/ HTTP/1.1",
        "GET http://user@a/ HTTP/1.1",
        "GET http://a#b HTTP/1.1",
        "CONNECT a:443 HTTP/1.1",
        "CONNECT /a HTTP/1.1",
        // Versions that have not the form of one.
        "GET / HTTP/1",
        "GET / HTTP/1.",
        "GET / HTTP/11",
        "GET / HTTP/1.10",
        "GET / HTTP/1.1.1",
        "GET / HTTP/01.1",
        "GET / http/1.1",
        "GET / HTTP/a.b",
        "GET / HTTP /1.1",
        "GET / H",
        "GET / XTTP/2.0",
        "GET / HTTP/2.0 x",
    ] {
        let input = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(verdict(&input), Verdict::Bad(Status::BadRequest), "{line}");
    }
}

#[test]
fn versions_other_than_1_x_are_not_supported() {
    for version in ["0.9", "2.0", "3.0", "9.9", "0.0"] {
        let input = format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n");
        let expected = Verdict::Bad(Status::VersionNotSupported);
        assert_eq!(verdict(&input), expected, "{version}");
    }
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(verdict(preface), Verdict::Bad(Status::VersionNotSupported));
}

#[test]
fn a_higher_minor_version_is_taken_as_1_1() {
    for (input, expected) in [
        (
            "\r\nPOST /x?y HTTP/1.2\r\nHost: a\r\nContent-Length: 1\r\n\r\nz",
            taken("z"),
        ),
        ("GET /x HTTP/1.9\r\nHost: a\r\n\r\n", taken("")),
        ("GET /x HTTP/1.9\r\n\r\n", Verdict::Bad(Status::BadRequest)),
    ] {
        assert_eq!(verdict(input), expected, "{input:?}");
    }
    with_request("GET / HTTP/1.2\r\nHost: a\r\n\r\n", |request| {
        assert!(!request.close && !request.http10);
    });
}

#[test]
fn empty_lines_before_a_request_are_skipped_up_to_a_bound() {
    for (before, expected) in [
        ("\r\n", taken("")),
        ("\r\n\r\n\r\n\r\n", taken("")),
        ("\r\n\r\n\r\n\r\n\r\n", Verdict::Bad(Status::BadRequest)),
        ("\n", Verdict::Bad(Status::BadRequest)),
        ("\r\n\n", Verdict::Bad(Status::BadRequest)),
        ("\r", Verdict::Bad(Status::BadRequest)),
        ("\r\r\n", Verdict::Bad(Status::BadRequest)),
        (" \r\n", Verdict::Bad(Status::BadRequest)),
    ] {
        let input = format!("{before}GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(verdict(&input), expected, "{input:?}");
    }
    for input in ["", "\r", "\r\n", "\r\n\r", "\r\n\r\n\r\n\r\n"] {
        assert_eq!(verdict(input), Verdict::Incomplete, "{input:?}");
    }
}

#[test]
fn what_cannot_begin_a_request_is_refused_at_once() {
    for input in [
        &b"\x16\x03\x01"[..],
        b"\0",
        b"\x80",
        b" ",
        b"/",
        b"{",
        b"\"",
        b"\r\n\x16",
    ] {
        assert_eq!(
            verdict(input),
            Verdict::Bad(Status::BadRequest),
            "{input:?}"
        );
    }
    for input in [
        "G",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
        "G\n\r",
    ] {
        assert_eq!(verdict(input), Verdict::Incomplete, "{input:?}");
    }
}

#[test]
fn these_header_lines_are_refused() {
    for line in [
        "A : b",
        "A\t: b",
        " A: b",
        "\tA: b",
        ": b",
        "A",
        "A b: c",
        "A@: b",
        "A(b): c",
        "\"A\": b",
        "Á: b",
        "A\0: b",
        "A: b\0c",
        "A: b\u{1}c",
        "A: b\u{b}c",
        "A: b\u{7f}c",
        // Folded (RFC 9112, section 5.2).
        "A: b\r\n c: d",
        "A: b\r\n\tc",
        "A:\r\n b",
        // Line ends that are none.
        "A: b\rc",
        "A: b\r\r",
        "A\r: b",
        "A: b\nC: d",
        "A: b\n",
        "\rA: b",
    ] {
        for input in [
            format!("GET /x HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"),
            format!("GET /x HTTP/1.1\r\n{line}\r\nHost: a\r\n\r\n"),
        ] {
            assert_eq!(
                verdict(&input),
                Verdict::Bad(Status::BadRequest),
                "{input:?}"
            );
        }
    }
    for line in [
        "A:b",
        "A:",
        "A: \t",
        "A:\t b \t",
        "A: \u{e7}",
        "!#$%&'*+-.^_`|~9z: b",
    ] {
        assert_eq!(
            verdict(post(&format!("{line}\n"), "")),
            taken(""),
            "{line:?}"
        );
    }
}

#[test]
fn lf_alone_ends_no_line() {
    for input in [
        "GET /x HTTP/1.1\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\n\n",
        "GET /x HTTP/1.1\r\nHost: a\n\n",
        "GET /x HTTP/1.1\n\n",
        "GET /x\n\n",
    ] {
        assert_eq!(
            verdict(input),
            Verdict::Bad(Status::BadRequest),
            "{input:?}"
        );
    }
}

#[test]
fn a_host_is_named_once() {
    let bad = Verdict::Bad(Status::BadRequest);
    for (rest, expected) in [
        ("1.1\r\nHost: a\r\n", taken("")),
        ("1.1\r\nhOsT:[::1]:9999\r\n", taken("")),
        ("1.1\r\nHost:\r\n", taken("")),
        ("1.1\r\n", bad.clone()),
        ("1.1\r\nHost: a\r\nHost: a\r\n", bad.clone()),
        ("1.1\r\nHost: a b\r\n", bad.clone()),
        ("1.1\r\nHost: a, b\r\n", bad.clone()),
        ("1.1\r\nHost: u@a\r\n", bad.clone()),
        ("1.1\r\nHost: a/b\r\n", bad.clone()),
        ("1.0\r\n", taken("")),
        ("1.0\r\nHost: a\r\n", taken("")),
        ("1.0\r\nHost: a\r\nHost: b\r\n", bad.clone()),
    ] {
        let input = format!("GET /x HTTP/{rest}\r\n");
        assert_eq!(verdict(&input), expected, "{rest:?}");
    }
}

#[test]
fn connections_are_closed_when_asked() {
    for (rest, close, http10) in [
        ("1.1\r\n", false, false),
        ("1.1\r\nConnection: close\r\n", true, false),
        ("1.1\r\nconnection: CLOSE\r\n", true, false),
        ("1.1\r\nConnection: keep-alive\r\n", false, false),
        ("1.1\r\nConnection: keep-alive, close\r\n", true, false),
        (
            "1.1\r\nConnection: close\r\nConnection: keep-alive\r\n",
            true,
            false,
        ),
        ("1.1\r\nConnection: upgrade , ,\tclose\r\n", true, false),
        ("1.1\r\nConnection: closed, not-close\r\n", false, false),
        ("1.0\r\n", true, true),
        ("1.0\r\nConnection: Keep-Alive\r\n", false, true),
        (
            "1.0\r\nConnection: x\r\nConnection: y,keep-alive\r\n",
            false,
            true,
        ),
        ("1.0\r\nConnection: keep-alive, close\r\n", true, true),
    ] {
        let input = format!("GET / HTTP/{rest}Host: a\r\n\r\n");
        with_request(input, |request| {
            assert_eq!((request.close, request.http10), (close, http10), "{rest:?}");
        });
    }
}

#[test]
fn gzip_is_accepted_by_those_who_say_so() {
    for (headers, expected) in [
        ("", false),
        ("Accept-Encoding: gzip\n", true),
        ("Accept-Encoding: x-GZIP\n", true),
        ("Accept-Encoding: gzip, deflate, br\n", true),
        ("Accept-Encoding: deflate,br\n", false),
        ("Accept-Encoding:\n", false),
        ("Accept-Encoding: *\n", true),
        ("Accept-Encoding: *;q=0\n", false),
        ("Accept-Encoding: gzip;q=0, *\n", false),
        ("Accept-Encoding: *;q=0, gzip;q=0.1\n", true),
        ("Accept-Encoding: gzip;q=0\n", false),
        ("Accept-Encoding: gzip;q=0.000\n", false),
        ("Accept-Encoding: gzip;q=0.001\n", true),
        ("Accept-Encoding: gzip ; Q=1.000\n", true),
        ("Accept-Encoding: gzip;q=0, x-gzip\n", true),
        ("Accept-Encoding: br\nAccept-Encoding: gzip\n", true),
        ("Accept-Encoding: *\nAccept-Encoding: gzip;q=0\n", false),
        ("Accept-Encoding: identity, gzip;q=0.5\n", false),
        ("Accept-Encoding: identity;q=0.5, gzip;q=0.5\n", true),
        ("Accept-Encoding: identity;q=0, *;q=0.5\n", true),
        ("Accept-Encoding: gzip;q=1.001\n", false),
        ("Accept-Encoding: gzip;q=2\n", false),
        ("Accept-Encoding: gzip;q=0.5555\n", false),
        ("Accept-Encoding: gzip;q=.5\n", false),
        ("Accept-Encoding: gzip;q=0.+5\n", false),
        ("Accept-Encoding: gzip;q=\n", false),
        ("Accept-Encoding: gzip;\n", false),
        ("Accept-Encoding: gzip;level=9\n", false),
        ("Accept-Encoding: gzipped, agzip\n", false),
    ] {
        with_request(post(headers, ""), |request| {
            assert_eq!(request.accepts_gzip, expected, "{headers:?}");
        });
    }
}

#[test]
fn accept_is_read_from_all_its_fields() {
    for (headers, expected) in [
        ("", false),
        ("Accept: */*\n", false),
        ("accept: application/problem+json\n", true),
        ("Accept: */*\nAccept: application/problem+json\n", true),
        (
            "Accept: application/problem+json;q=0.9\nAccept: */*\n",
            false,
        ),
        ("Cookie: application/problem+json\n", false),
        ("X-Accept: application/problem+json\n", false),
    ] {
        with_request(post(headers, ""), |request| {
            assert_eq!(request.accepts.problem_details, expected, "{headers:?}");
        });
    }
}

#[test]
fn an_idempotency_key_is_visible_ascii_and_named_once() {
    let longest = "k".repeat(KEY_CHARS_MAX);
    let all: String = ('!'..='~').collect();
    let (all_low, all_high) = all.split_at(47);
    let field = |value: &str| format!("Idempotency-Key: {value}\n");
    for (headers, expected) in [
        (String::new(), None),
        (field("a"), Some(Ok("a"))),
        (field(&longest), Some(Ok(&longest[..]))),
        (field(all_low), Some(Ok(all_low))),
        (field(all_high), Some(Ok(all_high))),
        (field(" \t a,b\t "), Some(Ok("a,b"))),
        ("idempotency-KEY:a\n".to_owned(), Some(Ok("a"))),
        ("Idempotency_Key: a\n".to_owned(), None),
        ("X-Idempotency-Key: a\n".to_owned(), None),
        (
            format!("Accept: b\n{}Accept: c\n", field("a")),
            Some(Ok("a")),
        ),
        (field(""), Some(Err(BadKey))),
        (field(" \t"), Some(Err(BadKey))),
        (field(&format!("{longest}k")), Some(Err(BadKey))),
        (field(&"k".repeat(7000)), Some(Err(BadKey))),
        (field("a b"), Some(Err(BadKey))),
        (field("a\tb"), Some(Err(BadKey))),
        (field("\u{e7}"), Some(Err(BadKey))),
        (field("a").repeat(2), Some(Err(BadKey))),
        (field("a").repeat(3), Some(Err(BadKey))),
        (field("a") + &field(""), Some(Err(BadKey))),
        (field("") + &field("a"), Some(Err(BadKey))),
    ] {
        for framing in ["", "Content-Length: 1\n", "Transfer-Encoding: chunked\n"] {
            let body = match framing {
                "" => "",
                "Content-Length: 1\n" => "x",
                _ => "1\r\nx\r\n0\r\n\r\n",
            };
            for before in ["", "\r\n"] {
                let request = post(&format!("{headers}{framing}"), body);
                let input = [before.as_bytes(), &request].concat();
                let expected = expected.map(|key| key.map(str::as_bytes));
                // Whole; and the head by itself, the body later in another buffer.
                with_request(&input, |request| {
                    assert_eq!(request.idempotency_key, expected, "{headers:?}");
                });
                let (mut progress, mut scratch) = (ParseState::default(), Vec::new());
                let head = input.len() - body.len();
                for cut in [head - 1, head] {
                    let piece = input[..cut].to_vec();
                    let parsed = parse(&piece, &mut progress, &mut scratch);
                    assert_eq!(
                        owned(parsed) == Verdict::Incomplete,
                        cut < head || !body.is_empty()
                    );
                }
                match parse(&input, &mut progress, &mut scratch) {
                    Parsed::Request { request, .. } => {
                        assert_eq!(request.idempotency_key, expected, "{headers:?}");
                    }
                    other => panic!("{other:?}: {headers:?}"),
                }
            }
        }
    }
    // What another version's head is read from is a copy.
    let input = "\r\nGET / HTTP/1.2\r\nHost: a\r\nIdempotency-Key: key\r\n\r\n";
    with_request(input, |request| {
        assert_eq!(request.idempotency_key, Some(Ok(&b"key"[..])));
    });
}

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
