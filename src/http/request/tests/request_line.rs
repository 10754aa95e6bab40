//! The request line, and what comes before it.

use super::*;

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
