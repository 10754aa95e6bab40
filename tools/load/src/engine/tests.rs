//! The engine against servers that behave, stall, break off and lie.

mod server;

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::*;
use crate::measure::FailureKind;
use server::{Peer, Server, OK};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Its requests' paths are their numbers.
struct Numbers {
    target: Target,
    next: usize,
    /// How long it takes over the request with this number.
    slow: Option<(usize, Duration)>,
    /// Done with each reply.
    judging: Option<Box<dyn FnMut() + Send>>,
    judged: Vec<usize>,
    lost: Vec<(usize, bool)>,
}

impl Traffic for Numbers {
    type Ticket = usize;

    fn next(&mut self, stream: usize, out: &mut Vec<u8>) -> (Kind, usize) {
        let number = self.next;
        self.next += 1;
        if let Some((_, time)) = self.slow.filter(|(slow, _)| *slow == number) {
            sleep(time);
        }
        let path = format!("/{number}");
        self.target.write_request(out, "GET", &path, b"");
        (Kind::ALL[stream], number)
    }

    fn judge(&mut self, ticket: usize, status: u16, body: &[u8]) -> Result<(), Failure> {
        self.judged.push(ticket);
        if let Some(judging) = &mut self.judging {
            judging();
        }
        match (status, body) {
            (200, b"{}") => Ok(()),
            _ => Err(Failure::new(FailureKind::WrongContent, "not {}")),
        }
    }

    fn lost(&mut self, ticket: usize, sent: bool) {
        self.lost.push((ticket, sent));
    }
}

fn numbers(plan: &Plan) -> Vec<Numbers> {
    let one = |_| Numbers {
        target: plan.target.clone(),
        next: 0,
        slow: None,
        judging: None,
        judged: Vec::new(),
        lost: Vec::new(),
    };
    (0..plan.threads).map(one).collect()
}

/// Closed loop, one connection, no time-out that a test could meet.
fn plan(target: &Target, end: End) -> Plan {
    Plan {
        target: target.clone(),
        connections: 1,
        threads: 1,
        pace: Pace::Closed,
        keepalive: true,
        warmup: Duration::ZERO,
        end,
        timeout: Duration::from_secs(60),
        interval: ms(50),
    }
}

/// What was shown.
#[derive(Default)]
struct Seen {
    stop: Option<Stop>,
    points: Vec<Point>,
    parts: Vec<f64>,
    of_warmup: usize,
    idle: usize,
}

impl Watcher for Seen {
    fn interval(&mut self, progress: &Progress<'_>) {
        self.parts.push(progress.part);
        match progress.point {
            Some(point) => self.points.push(*point),
            None => self.of_warmup += 1,
        }
        if let Some(stop) = &self.stop {
            stop.stop();
        }
    }

    fn idle(&mut self) {
        self.idle += 1;
    }
}

fn go(plan: &Plan) -> (Measured, Vec<Numbers>, Seen) {
    let mut seen = Seen::default();
    let result = run(plan, numbers(plan), &Stop::default(), &mut seen);
    let (measured, traffic) = result.unwrap();
    (measured, traffic, seen)
}

#[test]
fn threads_share_a_count_exactly() {
    let server = Server::tcp(Peer::serve);
    let plan = Plan {
        connections: 5,
        threads: 3,
        ..plan(&server.target, End::Requests(100))
    };
    let (measured, traffic, seen) = go(&plan);
    assert_eq!((server.requests(), server.connections()), (100, 5));
    let judged: Vec<_> = traffic.iter().map(|it| it.judged.len()).collect();
    assert_eq!(judged, [34, 33, 33]);
    let total = &measured.total;
    assert_eq!((total.requests(), total.in_time), (100, 100));
    assert_eq!((total.failed_count(), measured.unsent), (0, 0));
    assert_eq!(total.bytes, 100 * OK.len() as u64);
    assert_eq!(measured.busy.len(), 3);
    assert_eq!(seen.parts.last(), Some(&1.0));
    assert!(seen.idle > 0);
    let replies = seen.points.iter().map(|point| point.replies);
    assert_eq!(replies.sum::<u64>(), 100);
    let length_s: f64 = seen.points.iter().map(|point| point.length_s).sum();
    assert!((length_s - measured.elapsed.as_secs_f64()).abs() < 1e-6);
    let points: Vec<_> = measured.series.points().copied().collect();
    assert_eq!(points, seen.points);
}

/// While the server stalls, requests are due, 59 of them at least, and none has its reply before the stall's end. So the
/// i-th of them has waited for 300 ms less (i + 1) times 5 ms, or longer; a tester that waits for replies
/// before it sends the next would see two slow ones.
#[test]
fn a_stall_is_in_the_latency_of_all_that_were_due_in_it() {
    let turn = Mutex::new(());
    let server = Server::tcp(move |peer| {
        while let Some(path) = peer.request() {
            let _turn = turn.lock().unwrap();
            if path == "/20" {
                sleep(ms(300));
            }
            peer.reply(OK);
        }
    });
    let plan = Plan {
        connections: 2,
        pace: Pace::Open(Arrivals::constant(200.0)),
        ..plan(&server.target, End::Requests(200))
    };
    let (measured, ..) = go(&plan);
    let latency = measured.total.latency();
    assert_eq!(latency.len(), 200);
    let sum_ms = latency.mean() / 1e6 * 200.0;
    let bound_ms: f64 = (0..59).map(|i| 295.0 - 5.0 * f64::from(i)).sum();
    assert!(sum_ms > bound_ms * 0.998, "{sum_ms}, not {bound_ms}");
    // Three digits are kept, so 100 ms may stand for a little less.
    assert!(latency.count_between(99_900_000, u64::MAX) >= 40);
    // Two of them at most were begun at once, and one may have been due in the stall's last millisecond.
    let late = measured.total.late;
    assert!(late.by_target + late.by_tool >= 56, "{late:?}");
}

#[test]
fn the_tool_admits_that_it_was_slow() {
    let server = Server::tcp(Peer::serve);
    let plan = Plan {
        // More than requests: none ever waits for a connection.
        connections: 120,
        pace: Pace::Open(Arrivals::constant(1_000.0)),
        ..plan(&server.target, End::Requests(100))
    };
    let mut traffic = numbers(&plan);
    traffic[0].slow = Some((50, ms(30)));
    let (measured, _) = run(&plan, traffic, &Stop::default(), &mut Seen::default()).unwrap();
    let late = measured.total.late;
    // 29 at least were due in these 30 ms; the last of them in their last millisecond.
    assert!(late.by_tool >= 28 && late.by_target == 0, "{late:?}");
    assert!(late.by_tool_max >= ms(28), "{late:?}");
    // And it does not make the target look better: latency counts from when they were due.
    let latency = measured.total.latency();
    assert!(latency.count_between(9_990_000, u64::MAX) >= 19);
}

/// The thread sleeps over the end of the run, with connections that are free and requests that are due.
#[test]
fn what_was_due_is_sent_even_if_the_tool_wakes_up_after_the_end() {
    let server = Server::tcp(Peer::serve);
    let plan = Plan {
        connections: 120,
        pace: Pace::Open(Arrivals::constant(1_000.0)),
        ..plan(&server.target, End::After(ms(100)))
    };
    let mut traffic = numbers(&plan);
    traffic[0].slow = Some((90, ms(30)));
    let (measured, _) = run(&plan, traffic, &Stop::default(), &mut Seen::default()).unwrap();
    let total = &measured.total;
    assert_eq!((total.requests(), measured.unsent), (100, 0));
    assert!(total.late.by_tool >= 9, "{:?}", total.late);
    assert_eq!(measured.elapsed, ms(100));
}

#[test]
fn without_keepalive_each_request_has_its_connection() {
    let server = Server::tcp(Peer::serve);
    let plan = Plan {
        connections: 3,
        keepalive: false,
        ..plan(&server.target, End::Requests(30))
    };
    let (measured, ..) = go(&plan);
    assert_eq!((server.requests(), server.connections()), (30, 30));
    assert_eq!(measured.total.failed_count(), 0);
}

#[test]
fn replies_come_in_all_forms() {
    let forms: [(&[&[u8]], bool); 5] = [
        (&[OK], true),
        (
            &[b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 2\r\n\r\n{", b"}"],
            true,
        ),
        (
            &[
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
                b"1\r\n}\r\n0\r\n\r\n",
            ],
            true,
        ),
        (
            &[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"],
            false,
        ),
        (&[b"HTTP/1.0 200 OK\r\n\r\n", b"{}"], false),
    ];
    for (parts, goes_on) in forms {
        let server = Server::tcp(move |peer| {
            while peer.request().is_some() {
                for part in parts {
                    peer.reply(part);
                    sleep(ms(1));
                }
                if !goes_on {
                    break;
                }
            }
        });
        let (measured, ..) = go(&plan(&server.target, End::Requests(4)));
        let failures = measured.total.failures.most_frequent();
        assert_eq!(failures, [], "{parts:?}");
        assert_eq!(server.connections(), if goes_on { 1 } else { 4 });
    }
}

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

#[test]
fn unix_sockets_are_targets_too() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::unix(&directory.path().join("socket"), Peer::serve);
    let plan = Plan {
        connections: 4,
        threads: 2,
        ..plan(&server.target, End::Requests(40))
    };
    let (measured, ..) = go(&plan);
    assert_eq!(measured.total.failures.most_frequent(), []);
    assert_eq!((server.requests(), server.connections()), (40, 4));
}

#[test]
fn a_warm_up_is_judged_and_not_counted() {
    let server = Server::tcp(Peer::serve);
    let plan = Plan {
        warmup: ms(200),
        ..plan(&server.target, End::Requests(50))
    };
    let (measured, traffic, seen) = go(&plan);
    assert_eq!(measured.total.requests(), 50);
    assert!(traffic[0].judged.len() > 50);
    assert_eq!(traffic[0].judged.len(), server.requests());
    assert!(seen.of_warmup > 0);
    assert_eq!(seen.points[0].at_s, 0.0);
}

/// Without that, what is watched beside the run would count from before.
#[test]
fn the_end_of_a_warm_up_is_shown_even_within_an_interval() {
    let server = Server::tcp(Peer::serve);
    let plan = Plan {
        warmup: ms(30),
        ..plan(&server.target, End::Requests(5))
    };
    let (.., seen) = go(&plan);
    assert_eq!(seen.of_warmup, 1);
}

#[test]
fn replies_after_the_end_count_but_not_in_time() {
    let server = Server::tcp(|peer| {
        while peer.request().is_some() {
            sleep(ms(600));
            peer.reply(OK);
        }
    });
    let plan = Plan {
        connections: 4,
        pace: Pace::Open(Arrivals::constant(100.0)),
        ..plan(&server.target, End::After(ms(300)))
    };
    let (measured, _, seen) = go(&plan);
    let total = &measured.total;
    assert_eq!((total.requests(), total.in_time), (4, 0));
    assert_eq!((measured.elapsed, measured.unsent), (ms(300), 26));
    // Nor are they in the last interval's rate; their latency is.
    let replies: Vec<_> = seen.points.iter().map(|point| point.replies).collect();
    assert_eq!(replies, [0; 6]);
    assert!(seen.points[5].max_us >= 590_000.0);
}

#[test]
fn a_stopped_run_ends_soon_and_drops_what_is_under_way() {
    let server = Server::tcp(|peer| while peer.request().is_some() {});
    let plan = Plan {
        connections: 3,
        threads: 2,
        ..plan(&server.target, End::After(Duration::from_secs(3_600)))
    };
    let stop = Stop::default();
    let mut seen = Seen {
        stop: Some(stop.clone()),
        ..Seen::default()
    };
    let (measured, traffic) = run(&plan, numbers(&plan), &stop, &mut seen).unwrap();
    assert_eq!(measured.total.requests(), 0);
    let mut lost: Vec<_> = traffic.iter().map(|it| it.lost.len()).collect();
    lost.sort();
    assert_eq!(lost, [1, 2]);
    assert!((ms(50)..Duration::from_secs(60)).contains(&measured.elapsed));
}

#[test]
fn users_come_in_time_and_pause() {
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let of_server = arrivals.clone();
    let server = Server::tcp(move |peer| {
        while peer.request().is_some() {
            of_server.lock().unwrap().push(Instant::now());
            peer.reply(OK);
        }
    });
    let users = Users {
        first: 1,
        last: 5,
        pause: Duration::from_secs(3_600),
    };
    let plan = Plan {
        threads: 2,
        pace: Pace::Users(users),
        ..plan(&server.target, End::After(ms(1_000)))
    };
    let began = Instant::now();
    let (measured, ..) = go(&plan);
    // The fifth comes when the run is over.
    assert_eq!((measured.total.requests(), server.connections()), (4, 4));
    for (number, at) in arrivals.lock().unwrap().iter().enumerate() {
        assert!(at.duration_since(began) >= number as u32 * ms(250));
    }
}

#[test]
fn streams_are_told_to_the_traffic_and_threads_share_them() {
    let server = Server::tcp(Peer::serve);
    let stream = |rate| {
        vec![Segment {
            from: rate,
            to: rate,
            length: ms(100),
        }]
    };
    let plan = Plan {
        connections: 400,
        threads: 2,
        pace: Pace::Open(Arrivals::streams(vec![stream(1_000.0), stream(500.0)])),
        ..plan(&server.target, End::Requests(1_000_000))
    };
    // It ends when nothing more will ever be due.
    let (measured, traffic, _) = go(&plan);
    let count = |kind| measured.total.of(kind).map(|tally| tally.requests);
    assert_eq!(
        [count(Kind::ALL[0]), count(Kind::ALL[1])],
        [Some(100), Some(50)]
    );
    assert_eq!([traffic[0].next, traffic[1].next], [75, 75]);
}

#[test]
#[should_panic(expected = "no more")]
fn a_panic_of_the_traffic_is_the_callers() {
    struct Panics;
    impl Traffic for Panics {
        type Ticket = ();
        fn next(&mut self, _: usize, _: &mut Vec<u8>) -> (Kind, ()) {
            panic!("no more");
        }
        fn judge(&mut self, (): (), _: u16, _: &[u8]) -> Result<(), Failure> {
            Ok(())
        }
        fn lost(&mut self, (): (), _: bool) {}
    }
    let server = Server::tcp(Peer::serve);
    let plan = Plan {
        connections: 2,
        threads: 2,
        ..plan(&server.target, End::After(Duration::from_secs(3_600)))
    };
    let traffic = vec![Panics, Panics];
    let _ = run(&plan, traffic, &Stop::default(), &mut Seen::default());
}
