//! The engine against servers that behave, stall, break off and lie.

mod due;
mod failure;
mod server;

use std::thread::sleep;

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
    assert_eq!((measured.total.requests(), measured.dropped), (0, 3));
    assert!(measured.stopped);
    let mut lost: Vec<_> = traffic.iter().map(|it| it.lost.len()).collect();
    lost.sort();
    assert_eq!(lost, [1, 2]);
    assert!((ms(50)..Duration::from_secs(60)).contains(&measured.elapsed));
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
