//! The header fields: their lines, and what those that count come to.

use super::*;

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
