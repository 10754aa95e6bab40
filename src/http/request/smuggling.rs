//! Requests that two readers may frame differently, one of them in front of the other: each has its
//! exact status here, and none is ever taken. After the collections of PortSwigger ("HTTP Desync
//! Attacks") and of the http-garden project.

use super::tests::{verdict, Verdict};
use super::Status;
use super::Status::{BadRequest, NotImplemented};

/// Header lines beside `Host`, as they stand, and what follows the head.
const CORPUS: &[(&str, &str, &str, Status)] = &[
    (
        "CL.TE",
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\nG",
        BadRequest,
    ),
    (
        "TE.CL",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "8\r\nSMUGGLED\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "CL.TE with a length of nothing",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        BadRequest,
    ),
    (
        "CL with an unknown coding",
        "Content-Length: 1\r\nTransfer-Encoding: xchunked\r\n",
        "x",
        BadRequest,
    ),
    (
        "TE: space before the colon",
        "Transfer-Encoding : chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: tab before the colon",
        "Transfer-Encoding\t: chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: space before the name",
        " Transfer-Encoding: chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: vertical tab in the name",
        "Transfer-Encoding\x0b: chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: NUL in the name",
        "Transfer-Encoding\0: chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: vertical tab",
        "Transfer-Encoding: \x0bchunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: vertical tab behind",
        "Transfer-Encoding: chunked\x0b\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: form feed",
        "Transfer-Encoding:\x0cchunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: NUL",
        "Transfer-Encoding: chunked\0\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: CR before the value",
        "Transfer-Encoding:\rchunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: CR behind",
        "Transfer-Encoding: chunked\r\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: LF before the value",
        "Transfer-Encoding:\nchunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: folded",
        "Transfer-Encoding:\r\n chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: folded behind",
        "Transfer-Encoding: chunked\r\n ,x\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: hidden after LF",
        "X: y\nTransfer-Encoding: chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: hidden after CR",
        "X: y\rTransfer-Encoding: chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: hidden by a fold",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: two colons",
        "Transfer-Encoding:: chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: prefix",
        "Transfer-Encoding: xchunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: suffix",
        "Transfer-Encoding: chunkedx\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: two words",
        "Transfer-Encoding: x chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: quoted",
        "Transfer-Encoding: \"chunked\"\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: single quotes",
        "Transfer-Encoding: 'chunked'\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: not ASCII",
        "Transfer-Encoding: \u{ff}chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: Kelvin sign",
        "Transfer-Encoding: chun\u{212a}ed\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: identity",
        "Transfer-Encoding: identity\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: parameter",
        "Transfer-Encoding: chunked;x\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE: empty element",
        "Transfer-Encoding: ,chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE.TE: identity first",
        "Transfer-Encoding: identity, chunked\r\n",
        CHUNKS,
        NotImplemented,
    ),
    (
        "TE.TE: identity last",
        "Transfer-Encoding: chunked, identity\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE.TE: unknown first",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
        CHUNKS,
        NotImplemented,
    ),
    (
        "TE.TE: unknown last",
        "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "TE.TE: the same twice",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        CHUNKS,
        BadRequest,
    ),
    (
        "CL.CL: different",
        "Content-Length: 5\r\nContent-Length: 0\r\n",
        "hello",
        BadRequest,
    ),
    (
        "CL.CL: the same",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "hello",
        BadRequest,
    ),
    ("CL: list", "Content-Length: 5, 5\r\n", "hello", BadRequest),
    (
        "CL: list of one",
        "Content-Length: 5,\r\n",
        "hello",
        BadRequest,
    ),
    ("CL: plus", "Content-Length: +5\r\n", "hello", BadRequest),
    ("CL: minus", "Content-Length: -5\r\n", "hello", BadRequest),
    ("CL: minus zero", "Content-Length: -0\r\n", "", BadRequest),
    (
        "CL: hexadecimal",
        "Content-Length: 0x5\r\n",
        "hello",
        BadRequest,
    ),
    (
        "CL: hexadecimal digit",
        "Content-Length: a\r\n",
        "hellohello",
        BadRequest,
    ),
    (
        "CL: fraction",
        "Content-Length: 5.0\r\n",
        "hello",
        BadRequest,
    ),
    (
        "CL: exponent",
        "Content-Length: 5e0\r\n",
        "hello",
        BadRequest,
    ),
    (
        "CL: underscore",
        "Content-Length: 0_5\r\n",
        "hello",
        BadRequest,
    ),
    (
        "CL: inner space",
        "Content-Length: 0 5\r\n",
        "hello",
        BadRequest,
    ),
    ("CL: empty", "Content-Length:\r\n", "hello", BadRequest),
    ("CL: blank", "Content-Length: \t \r\n", "hello", BadRequest),
    (
        "CL: quoted",
        "Content-Length: \"5\"\r\n",
        "hello",
        BadRequest,
    ),
    (
        "CL: other digits",
        "Content-Length: \u{665}\r\n",
        "hello",
        BadRequest,
    ),
    (
        "CL: vertical tab",
        "Content-Length: \x0b5\r\n",
        "hello",
        BadRequest,
    ),
    ("CL: NUL", "Content-Length: 5\0\r\n", "hello", BadRequest),
    (
        "CL: space before the colon",
        "Content-Length : 5\r\n",
        "hello",
        BadRequest,
    ),
    (
        "CL: folded",
        "Content-Length: 5\r\n 0\r\n",
        "hello",
        BadRequest,
    ),
    (
        "CL: wraps around to 5",
        "Content-Length: 18446744073709551621\r\n",
        "hello",
        Status::BodyTooLarge,
    ),
    ("Host twice", "Host: b\r\n", "", BadRequest),
    (
        "Host twice, one folded",
        "X: y\r\n Host: b\r\n",
        "",
        BadRequest,
    ),
    ("chunk: 0x", TE, "0x5\r\nhello\r\n0\r\n\r\n", BadRequest),
    ("chunk: plus", TE, "+5\r\nhello\r\n0\r\n\r\n", BadRequest),
    ("chunk: minus", TE, "-5\r\nhello\r\n0\r\n\r\n", BadRequest),
    (
        "chunk: space before",
        TE,
        " 5\r\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: space behind",
        TE,
        "5 \r\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    ("chunk: space behind zero", TE, "0 \r\n\r\n", BadRequest),
    (
        "chunk: inner space",
        TE,
        "0 5\r\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: underscore",
        TE,
        "0_5\r\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    ("chunk: no size", TE, "\r\nhello\r\n0\r\n\r\n", BadRequest),
    (
        "chunk: no size, extension",
        TE,
        ";x\r\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: LF after the size",
        TE,
        "5\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: CR after the size",
        TE,
        "5\rhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: CR CR LF",
        TE,
        "5\r\r\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: LF after the data",
        TE,
        "5\r\nhello\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: nothing after the data",
        TE,
        "5\r\nhello0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: more data than size",
        TE,
        "5\r\nhello!\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: less data than size",
        TE,
        "5\r\nhell\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: LF in an extension",
        TE,
        "5;x\ny\r\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: LF ends an extension",
        TE,
        "5;x\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: CR in an extension",
        TE,
        "5;x\ry\r\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: LF in quotes",
        TE,
        "5;x=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    ("chunk: NUL", TE, "5\0\r\nhello\r\n0\r\n\r\n", BadRequest),
    (
        "chunk: NUL in an extension",
        TE,
        "5;\0\r\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: wraps around to 5",
        TE,
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        BadRequest,
    ),
    (
        "chunk: 64 bits",
        TE,
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        Status::BodyTooLarge,
    ),
    ("end: LF", TE, "0\n\r\n", BadRequest),
    ("end: LF LF", TE, "0\r\n\n", BadRequest),
    ("end: CR", TE, "0\r\n\rX", BadRequest),
    (
        "trailer: space before the colon",
        TE,
        "0\r\nX : y\r\n\r\n",
        BadRequest,
    ),
    ("trailer: folded", TE, "0\r\nX: y\r\n z\r\n\r\n", BadRequest),
    (
        "trailer: no colon",
        TE,
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        BadRequest,
    ),
    ("trailer: LF", TE, "0\r\nX: y\n\r\n", BadRequest),
    ("trailer: CR", TE, "0\r\nX: y\rz\r\n\r\n", BadRequest),
    ("trailer: NUL", TE, "0\r\nX: \0\r\n\r\n", BadRequest),
];

const TE: &str = "Transfer-Encoding: chunked\r\n";
const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";

#[test]
fn nothing_of_the_corpus_is_taken() {
    for (name, headers, body, status) in CORPUS {
        let input = format!("POST /x HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}");
        assert_eq!(verdict(input), Verdict::Bad(*status), "{name}");
    }
}

#[test]
fn neither_is_it_with_lf_line_ends() {
    for (name, headers, body, _) in CORPUS {
        let input = format!("POST /x HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}");
        let input = input.replace("\r\n", "\n");
        assert_eq!(verdict(input), Verdict::Bad(BadRequest), "{name}");
    }
}

/// An HTTP/1.0 proxy in front passes the field on without knowing it, and frames by other means.
#[test]
fn transfer_codings_in_http_1_0_are_refused() {
    for headers in [
        TE,
        "Transfer-Encoding: x\r\n",
        "Transfer-Encoding: x, chunked\r\n",
    ] {
        let input = format!("POST /x HTTP/1.0\r\nHost: a\r\n{headers}\r\n{CHUNKS}");
        assert_eq!(verdict(input), Verdict::Bad(BadRequest), "{headers:?}");
    }
}

/// So that the corpus is refused for what is wrong with it, and not for what it has in common.
#[test]
fn the_plain_forms_of_the_same_are_taken() {
    let hello = Verdict::Request {
        path: "/x".to_owned(),
        body: "hello".to_owned(),
    };
    for (headers, body) in [
        (TE, CHUNKS),
        ("Content-Length: 5\r\n", "hello"),
        (TE, "5;x=\"y;\";z\r\nhello\r\n000;x\r\nX: y\r\nZ:\r\n\r\n"),
        (TE, "0000000000000005 \t;x\r\nhello\r\n0\r\n\r\n"),
    ] {
        let input = format!("POST /x HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}");
        assert_eq!(verdict(&input), hello, "{input:?}");
    }
}
