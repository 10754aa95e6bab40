use super::*;

/// The verdict on what was received, as text.
fn verdict(input: &[u8], ended: bool) -> String {
    let mut decoded = b"of the reply before".to_vec();
    match parse_reply(input, ended, &mut decoded) {
        Response::Incomplete => "incomplete".to_owned(),
        Response::Complete {
            status,
            body,
            keep_alive,
        } => {
            let close = if keep_alive { "" } else { " close" };
            format!("{status}{close} {:?}", String::from_utf8_lossy(body))
        }
        Response::Bad => "bad".to_owned(),
    }
}

#[test]
fn a_reply_ends_where_its_head_says() {
    for (reply, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            r#"200 "{}""#,
        ),
        ("HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", r#"200 """#),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n01;a\r\n}\r\n0\r\nA: b\r\n\r\n",
            r#"200 "{}""#,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
            r#"200 "0123456789""#,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", r#"204 """#),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", r#"304 """#),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n\
             HTTP/1.1 500 Oh\r\nContent-Length: 1\r\n\r\nx",
            r#"500 "x""#,
        ),
        ("HTTP/1.1 999 ?\r\nContent-Length: 0\r\n\r\n", r#"999 """#),
    ] {
        assert_eq!(verdict(reply.as_bytes(), false), expected, "{reply:?}");
        for cut in 0..reply.len() {
            for ended in [false, true] {
                let part = &reply.as_bytes()[..cut];
                assert_eq!(verdict(part, ended), "incomplete", "{reply:?} cut at {cut}");
            }
        }
        for more in ["x", "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"] {
            assert_eq!(verdict(format!("{reply}{more}").as_bytes(), false), "bad");
        }
    }
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
    ] {
        for body in ["", "x", "{}\r\n0\r\n\r\n"] {
            let reply = format!("{head}{body}");
            assert_eq!(verdict(reply.as_bytes(), false), "incomplete");
            let expected = format!("200 close {body:?}");
            assert_eq!(verdict(reply.as_bytes(), true), expected);
        }
    }
}

#[test]
fn a_connection_is_kept_if_both_sides_may() {
    for (version, header, kept) in [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "connection: a, CLOSE\r\n", false),
        (
            "1.1",
            "Connection: close\r\nConnection: keep-alive\r\n",
            false,
        ),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let reply = format!("HTTP/{version} 200 OK\r\n{header}Content-Length: 0\r\n\r\n");
        let expected = if kept { "200 \"\"" } else { "200 close \"\"" };
        assert_eq!(verdict(reply.as_bytes(), false), expected, "{reply:?}");
        assert_eq!(verdict(reply.as_bytes(), true), "200 close \"\"");
    }
}

#[test]
fn what_could_be_framed_in_two_ways_or_is_no_reply_is_bad() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for reply in [
        "x",
        "GET / HTTP/1.1\r\n",
        "HTTP/2.0 200 OK\r\n",
        "HTTP/1.1 20x OK\r\n",
        "HTTP/1.1 099 ?\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA b: c\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 204 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nContent-Length: x\r\n\r\n",
        &format!("{chunked}x"),
        &format!("{chunked}1\r\nab\r\n0\r\n\r\n"),
        &format!("{chunked}20000\r\n"),
        &format!("{chunked}0\r\nA b: c\r\n\r\n"),
    ] {
        for ended in [false, true] {
            assert_eq!(verdict(reply.as_bytes(), ended), "bad", "{reply:?}");
        }
    }
}

#[test]
fn replies_are_bounded() {
    let fields = |count| {
        let more = "A: b\r\n".repeat(count - 1);
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{more}\r\n")
    };
    assert_eq!(verdict(fields(HEADERS_MAX).as_bytes(), false), "200 \"\"");
    assert_eq!(verdict(fields(HEADERS_MAX + 1).as_bytes(), false), "bad");
    for length in [REPLY_BYTES_MAX + 1, usize::MAX] {
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(verdict(reply.as_bytes(), false), "bad");
    }
    let mut until_end = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    until_end.resize(REPLY_BYTES_MAX, b'x');
    assert!(verdict(&until_end, true).starts_with("200 close \"xxx"));
    until_end.push(b'x');
    for ended in [false, true] {
        assert_eq!(verdict(&until_end, ended), "bad");
    }
}
