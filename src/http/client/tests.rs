use super::*;

/// The verdict on what was received, as text; of a complete reply, what is not usual.
fn verdict(input: &[u8], ended: bool) -> String {
    let mut decoded = b"of the reply before".to_vec();
    match parse_reply(input, ended, &mut decoded) {
        Response::Incomplete { status: None } => "incomplete".to_owned(),
        Response::Incomplete {
            status: Some(status),
        } => format!("incomplete {status}"),
        Response::Complete {
            status,
            retry_after,
            body,
            keep_alive,
        } => {
            let RetryAfter { seconds, date_s } = retry_after;
            let after = seconds.map_or_else(String::new, |s| format!(" after {s}"));
            let at = date_s.map_or_else(String::new, |s| format!(" at {s}"));
            let retry = after + &at;
            let close = if keep_alive { "" } else { " close" };
            format!("{status}{retry}{close} {:?}", String::from_utf8_lossy(body))
        }
        Response::Bad => "bad".to_owned(),
    }
}

#[test]
fn a_request_says_what_it_must() {
    let mut out = b"before".to_vec();
    let mut request = Outgoing {
        method: "POST",
        host: "payment-processor-default:8080",
        path: "/payments",
        body: b"{}",
    };
    write_request(&mut out, &request);
    (request.method, request.path, request.body) = ("GET", "/payments/service-health", b"");
    write_request(&mut out, &request);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "beforePOST /payments HTTP/1.1\r\nHost: payment-processor-default:8080\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}\
         GET /payments/service-health HTTP/1.1\r\nHost: payment-processor-default:8080\r\n\r\n"
    );
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
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;a\r\n}\r\n0\r\nA: b\r\n\r\n",
            r#"200 "{}""#,
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
        let head = reply.find("\r\n\r\nHTTP").map_or(0, |at| at + 4);
        let last = reply[head..].find("HTTP").unwrap() + head;
        let last = reply[last..].rfind("HTTP").unwrap() + last;
        let end = reply[last..].find("\r\n\r\n").unwrap() + last + 4;
        for cut in 0..reply.len() {
            let (head, status) = if cut < end {
                ("incomplete", String::new())
            } else {
                ("incomplete", format!(" {}", &expected[..3]))
            };
            for ended in [false, true] {
                assert_eq!(
                    verdict(&reply.as_bytes()[..cut], ended),
                    format!("{head}{status}"),
                    "{reply:?} cut at {cut}"
                );
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
            assert_eq!(verdict(reply.as_bytes(), false), "incomplete 200");
            assert_eq!(
                verdict(reply.as_bytes(), true),
                format!("200 close {body:?}")
            );
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
fn retry_after_counts_as_seconds_and_as_a_date() {
    for (header, expected) in [
        ("Retry-After: 5\r\n", "429 after 5 \"\""),
        ("retry-after:\t0 \r\n", "429 after 0 \"\""),
        (
            "Retry-After: 2\r\nRetry-After: 7\r\nRetry-After: x\r\n",
            "429 after 7 \"\"",
        ),
        (
            "Retry-After: 99999999999999999999\r\n",
            "429 after 18446744073709551615 \"\"",
        ),
        // All forms that RFC 9110 has of a date.
        (
            "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            "429 at 784111777 \"\"",
        ),
        (
            "Retry-After: Sunday, 06-Nov-94 08:49:37 GMT\r\n",
            "429 at 784111777 \"\"",
        ),
        (
            "Retry-After: Sun Nov  6 08:49:37 1994\r\n",
            "429 at 784111777 \"\"",
        ),
        // By the processor's own clock, whatever ours says.
        (
            "Date: Sun, 06 Nov 1994 08:49:30 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            "429 after 7 \"\"",
        ),
        (
            "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 09:00:00 GMT\r\n",
            "429 after 0 \"\"",
        ),
        (
            "Retry-After: 9\r\nDate: x\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            "429 after 9 at 784111777 \"\"",
        ),
        ("Date: Sun, 06 Nov 1994 09:00:00 GMT\r\n", "429 \"\""),
        ("Retry-After: Sun, 06 Nov 1994\r\n", "429 \"\""),
        ("Retry-After: -1\r\n", "429 \"\""),
        ("Retry-After:\r\n", "429 \"\""),
        ("", "429 \"\""),
    ] {
        let reply = format!("HTTP/1.1 429 Slow\r\n{header}Content-Length: 0\r\n\r\n");
        assert_eq!(verdict(reply.as_bytes(), false), expected, "{header:?}");
    }
}

#[test]
fn what_could_be_framed_in_two_ways_or_is_no_reply_is_bad() {
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
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "HTTP/1.1 100 Continue\r\nContent-Length: x\r\n\r\n",
    ] {
        for ended in [false, true] {
            assert_eq!(verdict(reply.as_bytes(), ended), "bad", "{reply:?}");
        }
    }
}

#[test]
fn heads_and_replies_are_bounded() {
    let filled = |start: &str, bytes: usize| {
        let padding = bytes - start.len() - "A: \r\n\r\n".len();
        format!("{start}A: {}\r\n\r\n", "b".repeat(padding))
    };
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
    let largest = filled(start, HEAD_BYTES_MAX);
    assert_eq!(verdict(largest.as_bytes(), false), "200 \"\"");
    let larger = filled(start, HEAD_BYTES_MAX + 1);
    assert_eq!(verdict(larger.as_bytes(), false), "bad");
    assert_eq!(verdict(&larger.as_bytes()[..HEAD_BYTES_MAX], false), "bad");
    assert_eq!(
        verdict(&larger.as_bytes()[..HEAD_BYTES_MAX - 1], false),
        "incomplete"
    );
    // Interim ones count.
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(HEAD_BYTES_MAX / 25 + 1);
    assert_eq!(verdict(interim.as_bytes(), false), "bad");
    let fields = |count| format!("{start}{}\r\n", "A: b\r\n".repeat(count - 1));
    assert_eq!(verdict(fields(HEADERS_MAX).as_bytes(), false), "200 \"\"");
    assert_eq!(verdict(fields(HEADERS_MAX + 1).as_bytes(), false), "bad");

    let sized = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let length = PROCESSOR_REPLY_BYTES_MAX - sized(10_000).len();
    let whole = sized(length) + &"x".repeat(length);
    assert!(verdict(whole.as_bytes(), false).starts_with("200 \"xxx"));
    assert_eq!(verdict(sized(length).as_bytes(), false), "incomplete 200");
    for length in [length + 1, usize::MAX] {
        assert_eq!(verdict(sized(length).as_bytes(), false), "bad");
    }
    let mut until_end = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    until_end.resize(PROCESSOR_REPLY_BYTES_MAX, b'x');
    assert!(verdict(&until_end, true).starts_with("200 close \"xxx"));
    until_end.push(b'x');
    for ended in [false, true] {
        assert_eq!(verdict(&until_end, ended), "bad");
    }
}

#[test]
fn a_wait_is_the_longest_that_was_asked_for() {
    let now_us = 784_111_770_500_000;
    for (seconds, date_s, expected_ns) in [
        (None, None, None),
        (Some(5), None, Some(5_000_000_000)),
        (None, Some(784_111_777), Some(6_500_000_000)),
        (Some(9), Some(784_111_777), Some(9_000_000_000)),
        // It is over.
        (None, Some(784_111_000), Some(0)),
        (Some(u64::MAX), Some(u64::MAX), Some(u64::MAX)),
    ] {
        let retry_after = RetryAfter { seconds, date_s };
        assert_eq!(retry_after.wait_ns(now_us), expected_ns, "{retry_after:?}");
    }
}
