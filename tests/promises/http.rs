//! HTTP/1.1 on the wire: bytes in, statuses out, and whether the connection stays.

use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use galo_testkit::{data_dir, get, on_both_drivers, post, transaction, Connection, Launch, Server};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Open,
    Closed,
}
use Then::{Closed, Open};

/// What is sent, what comes back, and what becomes of the connection.
type Case = (&'static str, &'static [u16], Then);

const CREDIT: &str = r#"{"valor":1,"tipo":"c","descricao":"um"}"#;

/// `{}` stands for [`CREDIT`], which has 39 (hexadecimal 27) bytes.
const GOOD: &[Case] = &[
    ("GET /health HTTP/1.1\r\nHost: x\r\n\r\n", &[200], Open),
    ("GET /health HTTP/1.1\r\nhOsT:x\r\n\r\n", &[200], Open),
    ("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &[200], Closed),
    ("GET /health HTTP/1.1\r\nHost: x\r\nConnection: x, CLOSE\r\n\r\n", &[200], Closed),
    ("GET /health HTTP/1.0\r\n\r\n", &[200], Closed),
    ("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &[200], Open),
    ("\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n", &[200], Open),
    // Targets.
    ("GET http://galo:9999/health HTTP/1.1\r\nHost: x\r\n\r\n", &[200], Open),
    ("GET /health?a=b&c=%zz?/ HTTP/1.1\r\nHost: x\r\n\r\n", &[200], Open),
    ("GET /%68ealth HTTP/1.1\r\nHost: x\r\n\r\n", &[200], Open),
    ("GET /clientes/%31/extrato HTTP/1.1\r\nHost: x\r\n\r\n", &[200], Open),
    ("GET /clientes%2f1/extrato HTTP/1.1\r\nHost: x\r\n\r\n", &[404], Open),
    ("GET /he%zzalth HTTP/1.1\r\nHost: x\r\n\r\n", &[400], Open),
    // As load balancers ask unless told otherwise, HAProxy without a Host.
    ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", &[200], Open),
    ("OPTIONS / HTTP/1.0\r\n\r\n", &[200], Closed),
    ("OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n", &[200], Open),
    ("GET /Health HTTP/1.1\r\nHost: x\r\n\r\n", &[404], Open),
    ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", &[200], Open),
    ("OPTIONS /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nContent-Length: 39\r\n\r\n{}", &[200], Open),
    ("OPTIONS /nada HTTP/1.1\r\nHost: x\r\n\r\n", &[404], Open),
    // Methods.
    ("PUT /health HTTP/1.1\r\nHost: x\r\n\r\n", &[405], Open),
    ("get /health HTTP/1.1\r\nHost: x\r\n\r\n", &[405], Open),
    ("GET /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\n\r\n", &[405], Open),
    // Bodies.
    ("POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nContent-Length: 39\r\n\r\n{}", &[200], Open),
    (
        "POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n27\r\n{}\r\n0\r\n\r\n",
        &[200],
        Open,
    ),
    (
        "POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
         27;name=\"value\"\r\n{}\r\n00\r\nTrailer: x\r\n\r\n",
        &[200],
        Open,
    ),
    (
        "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 39\r\n\r\n{}GET /nada HTTP/1.1\r\nHost: x\r\n\r\n",
        &[200, 404],
        Open,
    ),
    (
        "POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nExpect: x\r\nContent-Length: 39\r\n\r\n{}",
        &[417],
        Closed,
    ),
    (
        "POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 39\r\n\r\n{}",
        &[415],
        Open,
    ),
    (
        "POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\n\
         Transfer-Encoding: chunked\r\n\r\n27\r\n{}\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        &[415, 200],
        Open,
    ),
    // Pipelines.
    (
        "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /nada HTTP/1.1\r\nHost: x\r\n\r\n\
         GET /clientes/2/extrato HTTP/1.1\r\nHost: x\r\n\r\n",
        &[200, 404, 200],
        Open,
    ),
    (
        "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /nada HTTP/1.1\r\nHost: x\r\n\r\n",
        &[200],
        Closed,
    ),
    ("GET /health HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01", &[200, 400], Closed),
];

/// Whatever two readers could read in two ways: refused, and nothing behind it is read.
const SMUGGLED: &[Case] = &[
    ("POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nab", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\nab", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\nab", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", &[501], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", &[400], Closed),
    ("POST /reset HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", &[400], Closed),
    ("POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", &[400], Closed),
    ("GET /health HTTP/1.1\nHost: x\n\n", &[400], Closed),
    ("GET /health HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", &[400], Closed),
    ("GET /health HTTP/1.1\r\nHost: x\r\nX: y\r\n folded\r\n\r\n", &[400], Closed),
    ("GET /health HTTP/1.1\r\n Host: x\r\n\r\n", &[400], Closed),
    ("GET /health HTTP/1.1\r\nHost : x\r\n\r\n", &[400], Closed),
    ("GET /health HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\nab", &[400], Closed),
    ("GET /health HTTP/1.1\r\nHost: x\r\nX\r\n\r\n", &[400], Closed),
    ("GET /health HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", &[400], Closed),
    ("GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", &[400], Closed),
    ("GET /health HTTP/1.1\r\n\r\n", &[400], Closed),
    ("GET  /health HTTP/1.1\r\nHost: x\r\n\r\n", &[400], Closed),
    ("GET /health  HTTP/1.1\r\nHost: x\r\n\r\n", &[400], Closed),
    ("GET health HTTP/1.1\r\nHost: x\r\n\r\n", &[400], Closed),
    ("GET /health\r\n\r\n", &[400], Closed),
    ("GET /health HTTP/2.0\r\nHost: x\r\n\r\n", &[505], Closed),
    ("GET /health HTTX/1.1\r\nHost: x\r\n\r\n", &[400], Closed),
    ("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", &[400], Closed),
    ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n", &[400], Closed),
    // A good request behind a bad one is no request.
    ("GET /health HTTP/1.1\r\nHost : x\r\n\r\nPOST /reset HTTP/1.1\r\nHost: x\r\n\r\n", &[400], Closed),
];

#[derive(Clone, Copy, Debug)]
enum Cut {
    OneWrite,
    Halves,
    Bytes,
}

#[test]
fn requests_are_read_as_rfc_9112_has_it_however_they_are_cut() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        for cut in [Cut::OneWrite, Cut::Halves, Cut::Bytes] {
            for case in GOOD {
                try_case(&server, case, cut);
            }
        }
        // Accepted three times each, and never by mistake.
        assert_eq!(server.balance(1), 9);
    });
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_however_it_is_cut() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver)
            .arg("--allow-reset")
            .start();
        server.transact(1, 'c', 77, "fica").posted();
        for cut in [Cut::OneWrite, Cut::Halves, Cut::Bytes] {
            for case in SMUGGLED {
                try_case(&server, case, cut);
            }
        }
        assert_eq!(server.balance(1), 77, "a reset came through");
    });
}

fn try_case(server: &Server, (sent, statuses, then): &Case, cut: Cut) {
    let bytes = sent.replace("{}", CREDIT).into_bytes();
    let mut connection = server.connect();
    let parts: Vec<&[u8]> = match cut {
        Cut::OneWrite => vec![&bytes],
        Cut::Halves => bytes.chunks(bytes.len() / 2 + 1).collect(),
        Cut::Bytes => bytes.chunks(1).collect(),
    };
    for part in parts {
        // Where the server has closed already, what is left cannot be sent.
        if connection.try_send(part).is_err() {
            assert_eq!(*then, Closed, "{sent:?} {cut:?}");
            break;
        }
    }
    for status in *statuses {
        let reply = connection
            .try_reply()
            .unwrap_or_else(|error| panic!("{error}: {sent:?} {cut:?}"));
        assert_eq!(reply.status, *status, "{sent:?} {cut:?}: {reply:?}");
        if *status >= 400 {
            let json = reply.json();
            assert!(json["error"].is_string() && json["rule"].is_string());
        }
        if *status == 405 {
            let allow = reply.header("allow");
            let known = ["GET, HEAD, OPTIONS", "POST, OPTIONS"];
            assert!(known.contains(&allow.unwrap()), "{reply:?}");
        }
        let accepted = reply.header("accept-encoding");
        assert_eq!(accepted, (*status == 415).then_some("identity"), "{sent:?}");
        let is_last = std::ptr::eq(status, statuses.last().unwrap());
        let closes = reply.header("connection") == Some("close");
        assert_eq!(closes, is_last && *then == Closed, "{sent:?}: {reply:?}");
        assert!(reply
            .header("date")
            .is_some_and(|date| date.ends_with(" GMT")));
    }
    match then {
        Closed => connection.expect_close(),
        Open => assert_eq!(connection.ask(&get("/nada")).status, 404, "{sent:?}"),
    }
}

#[test]
fn head_is_get_without_the_body() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        let mut connection = server.connect();
        for path in ["/", "/clientes/1/extrato", "/clientes/6/extrato", "/nada"] {
            let full = connection.ask(&get(path));
            connection.send(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
            let head = connection.reply_to_head();
            assert_eq!(head.status, full.status);
            assert_eq!(head.header("content-type"), full.header("content-type"));
            assert_eq!(head.header("content-length"), full.header("content-length"));
        }
        connection.send(b"HEAD /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = connection.reply_to_head();
        assert_eq!(
            (head.status, head.header("allow")),
            (405, Some("POST, OPTIONS"))
        );
        // No byte of a body is in the way of the next reply.
        assert_eq!(connection.ask(&get("/health")).status, 200);
    });
}

#[test]
fn options_tell_the_methods_and_nothing_else() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        let mut connection = server.connect();
        for (target, allow) in [
            ("/", "GET, HEAD, OPTIONS"),
            ("/metrics", "GET, HEAD, OPTIONS"),
            ("/clientes/1/transacoes", "POST, OPTIONS"),
            ("/payments", "POST, OPTIONS"),
            ("*", "GET, HEAD, POST, OPTIONS"),
        ] {
            connection.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
            let reply = connection.reply();
            assert_eq!((reply.status, reply.header("allow")), (200, Some(allow)));
            assert_eq!(reply.header("content-length"), Some("0"));
            assert_eq!(reply.header("content-type"), None);
        }
        let root = connection.ask(&get("/")).json();
        assert_eq!(
            root["status"],
            connection.ask(&get("/health")).json()["status"]
        );
    });
}

#[test]
fn a_client_that_expects_100_continue_gets_it_once() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        let mut connection = server.connect();
        let request = transaction(1, 'c', 1, "espera");
        let head = request.len() - request.iter().rev().position(|b| *b == b'\n').unwrap();
        let mut with_expectation = request[..head - 2].to_vec();
        with_expectation.extend(b"Expect: 100-continue\r\n\r\n");
        for _ in 0..2 {
            connection.send(&with_expectation);
            assert_eq!(connection.reply().status, 100);
            connection.send(&request[head..]);
            connection.reply().posted();
        }
        // Who does not wait is not told.
        let mut whole = with_expectation.clone();
        whole.extend(&request[head..]);
        connection.ask(&whole).posted();
        // Nor is who speaks HTTP/1.0, or sends no body.
        connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(connection.reply().status, 200);
        let old = String::from_utf8(with_expectation).unwrap();
        connection.send(old.replace("HTTP/1.1", "HTTP/1.0").as_bytes());
        assert!(!connection.is_readable(Duration::from_millis(100)));
        connection.send(&request[head..]);
        connection.reply().posted();
        connection.expect_close();
    });
}

/// Segments that a TCP connection has received data in, by the kernel's count.
fn segments_received(connection: &Connection) -> u32 {
    use std::os::fd::AsRawFd;
    // Up to `tcpi_data_segs_in` of Linux' `struct tcp_info`, which is longer than libc's.
    const DATA_SEGMENTS_IN: usize = 152;
    let mut info = [0u8; DATA_SEGMENTS_IN + 4];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info`.
    let result = unsafe {
        libc::getsockopt(
            connection.fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    assert_eq!((result, length as usize), (0, info.len()));
    u32::from_ne_bytes(info[DATA_SEGMENTS_IN..].try_into().unwrap())
}

#[test]
fn a_hundred_pipelined_requests_are_answered_in_order_and_in_few_writes() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(1).start();
        let writes_before = server.metric("galo_journal_writes_total");
        let mut connection = server.connect();
        let requests: Vec<u8> = (1..=100)
            .flat_map(|amount| transaction(3, 'c', amount, "muitos"))
            .collect();
        connection.send(&requests);
        let mut balance = 0;
        for amount in 1..=100 {
            balance += amount;
            assert_eq!(connection.reply().posted(), (1_000_000, balance));
        }
        // The kernel hands over these 13 KB in some four to eight pieces.
        let segments = segments_received(&connection);
        assert!(segments <= 30, "{segments} segments");
        let writes = server.metric("galo_journal_writes_total") - writes_before;
        assert!((1.0..=30.0).contains(&writes), "{writes} journal writes");
    });
}

/// A head of 8 KiB, a body of 64 KiB, and 100 fields are taken, and no more. Who sends more is told,
/// although it is still sending.
#[test]
fn a_request_beyond_its_bounds_is_answered_while_it_is_sent() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        let head_of = |bytes: usize| {
            let frame = "GET /health HTTP/1.1\r\nHost: x\r\nX: \r\n\r\n".len();
            let filler = "x".repeat(bytes - frame);
            format!("GET /health HTTP/1.1\r\nHost: x\r\nX: {filler}\r\n\r\n").into_bytes()
        };
        assert_eq!(server.ask(&head_of(8 * 1024)).status, 200);
        expect_refusal(&server, &head_of(8 * 1024 + 1), 431);
        expect_refusal(&server, &head_of(300 * 1024), 431);
        let fields_of = |count: usize| {
            let fields = "X: y\r\n".repeat(count - 1);
            format!("GET /health HTTP/1.1\r\nHost: x\r\n{fields}\r\n").into_bytes()
        };
        assert_eq!(server.ask(&fields_of(100)).status, 200);
        expect_refusal(&server, &fields_of(101), 431);
        let body_of = |bytes: usize| {
            let filler = " ".repeat(bytes - CREDIT.len());
            post("/clientes/1/transacoes", &format!("{filler}{CREDIT}"))
        };
        server.ask(&body_of(64 * 1024)).posted();
        expect_refusal(&server, &body_of(64 * 1024 + 1), 413);
        expect_refusal(&server, &body_of(300 * 1024), 413);
        let mut chunked =
            b"POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_vec();
        for _ in 0..300 {
            chunked.extend(b"400\r\n");
            chunked.extend([b' '; 1024]);
            chunked.extend(b"\r\n");
        }
        expect_refusal(&server, &chunked, 413);
        assert_eq!(server.balance(1), 1);
    });
}

fn expect_refusal(server: &Server, bytes: &[u8], status: u16) {
    let mut connection = server.connect();
    for part in bytes.chunks(16 * 1024) {
        if connection.try_send(part).is_err() {
            break;
        }
    }
    let reply = connection.reply();
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.header("connection"), Some("close"));
    connection.expect_close();
}

/// A head that has begun has ten seconds, however it drips; then its body has twenty.
#[test]
fn a_head_has_ten_seconds_and_a_body_twenty() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).start();
        let mut idle = server.connect();
        assert_eq!(idle.ask(&get("/health")).status, 200);
        let request = transaction(1, 'c', 1, "nunca");
        thread::scope(|scope| {
            for (sent, drip, seconds) in [
                (&b"GET /health HTTP/1.1\r\nHost: "[..], None, 10),
                (&b"GET /health HTTP/1.1\r\nHost: "[..], Some(b"x"), 10),
                (&request[..request.len() - 1], None, 20),
            ] {
                let server = &server;
                scope.spawn(move || {
                    let mut connection = server.connect();
                    assert_eq!(connection.ask(&get("/health")).status, 200);
                    let began = Instant::now();
                    connection.send(sent);
                    while let Some(drip) = drip {
                        connection.send(drip);
                        if connection.is_readable(Duration::from_millis(300)) {
                            break;
                        }
                    }
                    let reply = connection.reply();
                    let took = began.elapsed();
                    assert_eq!(reply.status, 408, "{reply:?}");
                    assert_eq!(reply.header("connection"), Some("close"));
                    connection.expect_close();
                    let promised = Duration::from_secs(seconds);
                    assert!(took + Duration::from_millis(100) >= promised, "{took:?}");
                    assert!(took < promised + Duration::from_secs(4), "{took:?}");
                });
            }
        });
        // Who sends nothing may be silent for longer.
        assert_eq!(idle.ask(&get("/health")).status, 200);
    });
}

/// A client that closes its sending side is still answered.
#[test]
fn a_half_closed_connection_is_answered() {
    on_both_drivers(|driver| {
        use std::os::fd::AsRawFd;
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver).cores(2).start();
        let mut connection = server.connect();
        let requests: Vec<u8> = (0..50)
            .flat_map(|count| transaction(1 + count % 2, 'c', 1, "um"))
            .collect();
        connection.send(&requests);
        let fd = connection.fd().as_raw_fd();
        nix::sys::socket::shutdown(fd, nix::sys::socket::Shutdown::Write).unwrap();
        for _ in 0..50 {
            connection.reply().posted();
        }
        connection.expect_close();
        // Half a request, and then no more: nobody to answer.
        let mut connection = server.connect();
        connection.send(&requests[..40]);
        let fd = connection.fd().as_raw_fd();
        nix::sys::socket::shutdown(fd, nix::sys::socket::Shutdown::Write).unwrap();
        match connection.try_reply() {
            Ok(reply) => assert_eq!(reply.status, 400, "{reply:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}"),
        }
    });
}
