//! What goes wrong, and what only seems to.

use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use super::*;

#[test]
fn a_connection_that_was_closed_while_idle_is_no_failure() {
    let server = Server::tcp(|peer| {
        peer.request();
        peer.reply(OK);
    });
    let users = Users {
        first: 1,
        last: 1,
        pause: ms(200),
    };
    let plan = Plan {
        pace: Pace::Users(users),
        ..plan(&server.target, End::Requests(3))
    };
    let (measured, ..) = go(&plan);
    assert_eq!(measured.total.failures.most_frequent(), []);
    assert_eq!((server.requests(), server.connections()), (3, 3));
    assert!(measured.elapsed >= ms(400));
}

/// Closed loop: the next request is written before anything could say that the connection is gone.
#[test]
fn a_connection_that_was_closed_and_not_yet_seen_to_be_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let (closed, is_closed) = channel();
    let server = Server::unix(&directory.path().join("socket"), move |peer| {
        peer.request();
        peer.reply(OK);
        peer.stream.shut();
        closed.send(()).unwrap();
    });
    let plan = plan(&server.target, End::Requests(5));
    let mut traffic = numbers(&plan);
    traffic[0].judging = Some(Box::new(move || is_closed.recv().unwrap()));
    let (measured, _) = run(&plan, traffic, &Stop::default(), &mut Seen::default()).unwrap();
    assert_eq!(measured.total.failures.most_frequent(), []);
    assert_eq!((server.requests(), server.connections()), (5, 5));
}

#[test]
fn bytes_that_nobody_asked_for_are_a_failure_of_no_request() {
    let (judged, is_judged) = channel();
    let is_judged = Mutex::new(is_judged);
    let server = Server::tcp(move |peer| {
        peer.request();
        peer.reply(OK);
        is_judged.lock().unwrap().recv().unwrap();
        peer.reply(b"more");
    });
    let plan = Plan {
        pace: Pace::Users(Users {
            first: 1,
            last: 1,
            pause: ms(300),
        }),
        ..plan(&server.target, End::Requests(2))
    };
    let mut traffic = numbers(&plan);
    traffic[0].judging = Some(Box::new(move || judged.send(()).unwrap()));
    let (measured, _) = run(&plan, traffic, &Stop::default(), &mut Seen::default()).unwrap();
    let total = &measured.total;
    let failures = total.failures.most_frequent();
    let [(FailureKind::NotHttp, 1, example)] = failures[..] else {
        panic!("{failures:?}");
    };
    assert!(example.ends_with("\nmore"), "{example}");
    assert_eq!((total.requests(), total.failed_count()), (2, 0));
    assert_eq!(server.connections(), 2);
}

#[test]
fn failures_are_told_apart() {
    type Each = fn(&mut Peer);
    let cases: [(FailureKind, Each, &str); 7] = [
        // Closed with bytes that nobody has read.
        (
            FailureKind::Reset,
            |peer| peer.stream.wait_for_bytes(),
            "reset",
        ),
        (
            FailureKind::Closed,
            |peer| drop(peer.request()),
            "before a reply",
        ),
        (
            FailureKind::HalfReply,
            |peer| {
                peer.request();
                peer.reply(&OK[..OK.len() - 1]);
            },
            "Content-Length: 2\r\n\r\n{",
        ),
        (
            FailureKind::NotHttp,
            |peer| {
                peer.request();
                peer.reply(b"SSH-2.0-OpenSSH_9.9\r\n");
                peer.request();
            },
            "SSH-2.0",
        ),
        (
            FailureKind::NotHttp,
            |peer| {
                peer.request();
                peer.reply(&[OK, OK].concat());
                peer.request();
            },
            "more than one reply",
        ),
        (
            FailureKind::TimeOut,
            |peer| while peer.request().is_some() {},
            "no reply in 100ms",
        ),
        (
            FailureKind::WrongContent,
            |peer| {
                while peer.request().is_some() {
                    peer.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
                }
            },
            "not {}",
        ),
    ];
    for (kind, each, part) in cases {
        let server = Server::tcp(each);
        let plan = Plan {
            timeout: match kind {
                FailureKind::TimeOut => ms(100),
                _ => Duration::from_secs(60),
            },
            ..plan(&server.target, End::Requests(3))
        };
        let (measured, traffic, _) = go(&plan);
        let total = &measured.total;
        let [(found, 3, example)] = total.failures.most_frequent()[..] else {
            panic!("{kind}: {:?}", total.failures);
        };
        assert_eq!(found, kind, "{example}");
        assert!(example.starts_with("GET /0 HTTP/1.1\n"), "{example}");
        assert!(example.contains(part), "{kind}: {example}");
        assert_eq!((total.requests(), total.failed_count()), (3, 3));
        // Each request was either judged or lost.
        let traffic = &traffic[0];
        match kind {
            FailureKind::WrongContent => assert_eq!(traffic.judged, [0, 1, 2]),
            _ => assert_eq!(traffic.lost, [0, 1, 2].map(|number| (number, true))),
        }
        if kind == FailureKind::TimeOut {
            assert!(total.latency().min() >= 99_900_000);
            assert!(measured.elapsed >= ms(300));
        }
    }
}

#[test]
fn where_nobody_listens_it_does_not_spin() {
    // A port that is taken, so that nobody else comes to listen there, by the other end of a connection.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let nothing = format!("unix:{}/nothing", directory.path().display());
    for target in [address, nothing] {
        let (measured, traffic, _) = go(&plan(&target.parse().unwrap(), End::Requests(5)));
        let failures = measured.total.failures.most_frequent();
        assert!(
            matches!(failures[..], [(FailureKind::Refused, 5, _)]),
            "{target}: {failures:?}"
        );
        assert!(traffic[0].lost.iter().all(|(_, sent)| !sent));
        assert!(measured.elapsed >= ms(40));
    }
}
