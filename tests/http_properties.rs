//! Properties of the HTTP parser and encoder, over random input. The first is also a fuzz target.

#[path = "../fuzz/connection.rs"]
mod connection;

use connection::verdicts;
use galo::http::client::{parse_reply, Response};
use galo::http::{write, ContentType, Date, Framing, Reply, Status};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A body as it is framed: headers that say so, and the bytes.
fn framed_body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let chunk = (vec(any::<u8>(), 1..40), select(vec!["", ";a", " ;a=\"b\""]));
    let chunked = (vec(chunk, 0..4), select(vec!["", "A: b\r\n"])).prop_map(|(chunks, trailer)| {
        let mut body = Vec::new();
        for (data, extension) in chunks {
            body.extend(format!("{:x}{extension}\r\n", data.len()).bytes());
            body.extend(data);
            body.extend(b"\r\n");
        }
        body.extend(format!("0\r\n{trailer}\r\n").bytes());
        ("Transfer-Encoding: chunked\r\n".to_owned(), body)
    });
    prop_oneof![
        Just((String::new(), Vec::new())),
        vec(any::<u8>(), 0..100)
            .prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body)),
        chunked,
    ]
}

/// A request that is taken.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let target = select(vec!["/", "/a/b%20c?d=e", "http://a/b", "http://a?b"]);
    let header = select(vec![
        "A: b\r\n",
        "Accept-Encoding: gzip;q=0.5, *;q=0\r\n",
        "Connection: keep-alive\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "Idempotency-Key: a-Key~1\r\n",
        "idempotency-key:\t!\t \r\n",
        "Idempotency-Key: no key\r\n",
        "X:\r\n",
    ]);
    (
        select(vec!["", "\r\n", "\r\n\r\n"]),
        select(vec!["GET", "HEAD", "POST", "PUT"]),
        target,
        select(vec!["1.1", "1.2"]),
        vec(header, 0..6),
        framed_body(),
    )
        .prop_map(
            |(before, method, target, version, headers, (framing, body))| {
                let headers = headers.concat();
                let head = format!(
                    "{before}{method} {target} HTTP/{version}\r\nHost: a\r\n{headers}{framing}\r\n"
                );
                [head.into_bytes(), body].concat()
            },
        )
}

/// Bytes that matter, so that mutations hit the parser's branches and not only its checks.
fn telling_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        3 => select(b"\r\n\t :;,/?#%*\"0159afzGH\0\x0b\x7f\x80\xff".to_vec()),
        1 => any::<u8>(),
    ]
}

/// Requests one after the other, then damaged: bytes overwritten, put in, or taken out.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let mutation = (any::<prop::sample::Index>(), 0..3, telling_byte());
    (vec(request(), 1..5), vec(mutation, 0..3))
        .prop_map(|(requests, mutations)| damaged(requests.concat(), mutations))
}

/// Each mutation overwrites a byte (0), puts one in (1), or takes one out.
fn damaged(
    mut stream: Vec<u8>,
    mutations: impl IntoIterator<Item = (prop::sample::Index, i32, u8)>,
) -> Vec<u8> {
    for (index, kind, byte) in mutations {
        let index = index.index(stream.len());
        match kind {
            0 => stream[index] = byte,
            1 => stream.insert(index, byte),
            _ => drop(stream.remove(index)),
        }
    }
    stream
}

fn assert_cuts_do_not_matter(stream: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
    let whole = verdicts(stream, || stream.len());
    let mut cuts = cuts.iter().copied().cycle();
    prop_assert_eq!(&verdicts(stream, || cuts.next().unwrap_or(1)), &whole);
    prop_assert_eq!(&verdicts(stream, || 1), &whole);
    Ok(())
}

/// A reply of a processor that is taken: its bytes, its status, whether it ends with the connection.
fn processor_reply() -> impl Strategy<Value = (Vec<u8>, u16, bool)> {
    let interim = select(vec![
        "",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 A\r\nA:b\r\n\r\n",
    ]);
    let header = select(vec![
        "A: b\r\n",
        "Connection: keep-alive\r\n",
        "Connection: close\r\n",
        "Retry-After: 5\r\n",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "X:\r\n",
    ]);
    let status = select(vec![200_u16, 204, 404, 422, 429, 500, 503]);
    (interim, status, vec(header, 0..6), framed_body()).prop_map(
        |(interim, status, headers, (framing, body))| {
            let headers = headers.concat();
            let head = format!("{interim}HTTP/1.1 {status} A\r\n{headers}{framing}\r\n");
            let body = if status == 204 { Vec::new() } else { body };
            let until_end = framing.is_empty() && status != 204;
            ([head.into_bytes(), body].concat(), status, until_end)
        },
    )
}

/// The verdict on each prefix, in order. Whoever reads a reply sees some of them, as its bytes are
/// cut, and the last, and stops at the first that is final: so what is final must stay, but for bytes
/// after a complete reply, which are bad.
fn assert_prefixes_agree(stream: &[u8]) -> Result<(), TestCaseError> {
    let mut decoded = Vec::new();
    // Nothing known, then the status, then the end, then bad.
    let mut stage = (0, None);
    for length in 0..=stream.len() {
        let now = match parse_reply(&stream[..length], false, &mut decoded) {
            Response::Incomplete { status: None } => (0, None),
            Response::Incomplete { status } => (1, status),
            Response::Complete { status, .. } => (2, Some(status)),
            Response::Bad => (3, None),
        };
        prop_assert!(
            now.0 >= stage.0,
            "{:?} after {:?} at {}",
            now,
            stage,
            length
        );
        prop_assert!(now.0 != 2 || stage.0 != 2, "complete twice at {}", length);
        prop_assert!(
            now.0 == 3 || stage.0 == 0 || now.1 == stage.1,
            "another status"
        );
        // The end completes, but never mends, and what is complete is so without it.
        let at_end = parse_reply(&stream[..length], true, &mut decoded);
        match at_end {
            Response::Incomplete { status } => {
                prop_assert!(now.0 < 2);
                prop_assert_eq!(status, now.1);
            }
            Response::Complete {
                status, keep_alive, ..
            } => {
                prop_assert!(now.0 == 1 || now.0 == 2);
                prop_assert_eq!(Some(status), now.1);
                prop_assert!(!keep_alive);
            }
            Response::Bad => prop_assert_eq!(now.0, 3),
        }
        stage = now;
    }
    Ok(())
}

#[test]
fn the_seeds_of_the_fuzzer_are_cut() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/request");
    let mut requests = 0;
    for seed in std::fs::read_dir(seeds).expect("the seeds are in the repository") {
        let stream = std::fs::read(seed.unwrap().path()).unwrap();
        for cut in [3, 7, 64] {
            assert_cuts_do_not_matter(&stream[1..], &[cut]).unwrap();
        }
        let whole = verdicts(&stream[1..], || stream.len());
        requests += whole.iter().filter(|it| it.starts_with("Request")).count();
    }
    assert!(requests > 5, "{requests}");
}

proptest! {
    #[test]
    fn requests_are_taken_one_by_one(
        requests in vec(request(), 1..5),
        cuts in vec(1_usize..80, 1..8),
    ) {
        let stream = requests.concat();
        let verdicts = verdicts(&stream, || stream.len());
        prop_assert_eq!(verdicts.len(), requests.len() + 1, "{:?}", verdicts);
        for (verdict, request) in verdicts.iter().zip(&requests) {
            let ending = format!(" in {} bytes", request.len());
            prop_assert!(verdict.ends_with(&ending), "{} is not{}", verdict, ending);
        }
        assert_cuts_do_not_matter(&stream, &cuts)?;
    }

    #[test]
    fn cuts_do_not_matter_to_damaged_requests(
        stream in stream(),
        cuts in vec(1_usize..80, 1..8),
    ) {
        assert_cuts_do_not_matter(&stream, &cuts)?;
    }

    #[test]
    fn cuts_do_not_matter_to_arbitrary_bytes(
        stream in vec(telling_byte(), 0..200),
        cuts in vec(1_usize..80, 1..8),
    ) {
        assert_cuts_do_not_matter(&stream, &cuts)?;
        // Past the check of the first byte, and past the head.
        let line = b"POST / HTTP/1.1\r\nHost: a\r\n";
        assert_cuts_do_not_matter(&[line, &stream[..]].concat(), &cuts)?;
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_cuts_do_not_matter(&[head, &stream[..]].concat(), &cuts)?;
    }

    #[test]
    fn cuts_do_not_matter_at_the_bounds(
        padding in 8_000_usize..8_300,
        body in 65_000_usize..66_000,
        cuts in vec(1_usize..5_000, 1..8),
    ) {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "b".repeat(padding));
        assert_cuts_do_not_matter(head.as_bytes(), &cuts)?;
        let chunked = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body:x}\r\n{}\r\n0\r\n\r\n",
            "b".repeat(body),
        );
        assert_cuts_do_not_matter(chunked.as_bytes(), &cuts)?;
    }

    #[test]
    fn a_processors_reply_is_taken_when_it_is_all_there((reply, status, until_end) in processor_reply()) {
        assert_prefixes_agree(&reply)?;
        let mut decoded = Vec::new();
        let verdict = parse_reply(&reply, until_end, &mut decoded);
        let taken = matches!(verdict, Response::Complete { status: it, .. } if it == status);
        prop_assert!(taken, "{:?}", verdict);
    }

    #[test]
    fn cuts_do_not_matter_to_damaged_replies(
        (reply, ..) in processor_reply(),
        mutations in vec((any::<prop::sample::Index>(), 0..3, telling_byte()), 0..4),
        more in vec(telling_byte(), 0..4),
    ) {
        let mut stream = damaged(reply, mutations);
        stream.extend(more);
        assert_prefixes_agree(&stream)?;
    }

    #[test]
    fn cuts_do_not_matter_to_arbitrary_replies(stream in vec(telling_byte(), 0..120)) {
        assert_prefixes_agree(&stream)?;
        for head in [
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_prefixes_agree(&[head.as_bytes(), &stream].concat())?;
        }
    }

    #[test]
    fn replies_parse_back(
        status in select(Status::ALL),
        metrics: bool,
        body in vec(any::<u8>(), 0..300),
        flags: [bool; 5],
        allow in select(vec![None, Some("GET, HEAD")]),
        retry_after_s: Option<u32>,
        realtime_us: u64,
    ) {
        let [gzipped, vary, head_only, close, http10] = flags;
        let content_type = if metrics { ContentType::Metrics } else { ContentType::Json };
        let body = &body[..];
        let reply = Reply { status, content_type, body, gzipped, vary, allow, retry_after_s };
        let date = Date::new(realtime_us);
        let mut out = Vec::new();
        write(&mut out, &reply, &date, Framing { head_only, close, http10 });

        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(end)) = response.parse(&out) else {
            return Err(TestCaseError::fail(out.escape_ascii().to_string()));
        };
        prop_assert_eq!(response.version, Some(1));
        prop_assert_eq!(response.code, Some(status.code()));
        prop_assert_eq!(response.reason, Some(status.reason()));
        prop_assert_eq!(&out[end..], if head_only { &[] } else { body });
        let header = |name: &str| {
            let mut values = response.headers.iter().filter(|header| header.name == name);
            let value = values.next().map(|header| String::from_utf8_lossy(header.value).into_owned());
            assert!(values.next().is_none(), "{name} twice");
            value
        };
        prop_assert_eq!(header("Content-Length"), Some(body.len().to_string()));
        prop_assert_eq!(header("Date").map(String::into_bytes), Some(date.text.to_vec()));
        prop_assert!(header("Content-Type").is_some());
        prop_assert_eq!(header("Content-Encoding"), gzipped.then(|| "gzip".to_owned()));
        prop_assert_eq!(header("Vary"), vary.then(|| "Accept-Encoding".to_owned()));
        prop_assert_eq!(header("Allow"), allow.map(str::to_owned));
        let accepted = (status == Status::UnsupportedMediaType).then(|| "identity".to_owned());
        prop_assert_eq!(header("Accept-Encoding"), accepted);
        prop_assert_eq!(header("Retry-After"), retry_after_s.map(|seconds| seconds.to_string()));
        let connection = match (close, http10) {
            (true, _) => Some("close"),
            (false, true) => Some("keep-alive"),
            (false, false) => None,
        };
        prop_assert_eq!(header("Connection"), connection.map(str::to_owned));
    }
}
