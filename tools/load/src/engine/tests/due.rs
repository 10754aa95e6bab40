//! What is due at a time of its own.

use std::sync::Mutex;
use std::time::Instant;

use super::*;

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

/// The last of them is due 50 µs before the end, sooner than the thread may wake up.
#[test]
fn what_was_due_before_the_end_is_sent_if_a_connection_was_free() {
    let server = Server::tcp(Peer::serve);
    for threads in [1, 2] {
        let plan = Plan {
            // More than requests: none ever waits for a connection. And no more than a listener keeps waiting.
            connections: 110,
            threads,
            pace: Pace::Open(Arrivals::constant(10_000.0)),
            ..plan(&server.target, End::After(ms(10)))
        };
        let (measured, ..) = go(&plan);
        let total = &measured.total;
        let failures = total.failures.most_frequent();
        assert_eq!((total.requests(), failures), (100, Vec::new()));
        assert_eq!(measured.unsent, 0);
    }
}

#[test]
fn a_stop_leaves_nothing_unsent_if_a_connection_was_free() {
    let server = Server::tcp(Peer::serve);
    let plan = Plan {
        // More than can be due before the stop is seen, on any machine that runs tests at all.
        connections: 1_000,
        pace: Pace::Open(Arrivals::constant(1_000.0)),
        ..plan(&server.target, End::After(Duration::from_secs(3_600)))
    };
    let stop = Stop::default();
    let mut seen = Seen {
        stop: Some(stop.clone()),
        ..Seen::default()
    };
    let (measured, _) = run(&plan, numbers(&plan), &stop, &mut seen).unwrap();
    assert!(measured.total.requests() > 0);
    assert_eq!(measured.unsent, 0);
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
