//! How much a processor gets, when the other one does, and what it costs those who pay: nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use galo_testkit::{
    data_dir, new_id, on_both_drivers, payment, processed, wait_until, Answer, Launch,
    PaymentLedger, Processor, Random, Request, Scripted, Server, Summary, PATIENCE,
};

/// What "fast" is on a machine that builds and runs other tests meanwhile.
const FAST: Duration = Duration::from_millis(250);

fn silent() -> Scripted {
    Scripted::start(|_, _| Answer::Hang)
}

#[test]
fn accepting_stays_fast_while_both_processors_hang() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), [silent(), silent()]);
        let server = Launch::driver(dir.path(), driver)
            .cores(2)
            .processors(&processors[0].url(), &processors[1].url())
            .start();
        let mut random = Random::from_time();
        let mut connection = server.connect();
        let mut times = Vec::new();
        let began = Instant::now();
        // For some time: what was sent first has been waiting by then.
        while began.elapsed() < Duration::from_secs(4) {
            let request = payment(&new_id(&mut random), "19.90");
            let asked = Instant::now();
            let reply = connection.ask(&request);
            times.push(asked.elapsed());
            assert_eq!(reply.status, 202, "{reply:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100];
        assert!(p99 < FAST, "{p99:?} of {}", times.len());
        // A processor that answers nothing is not given everything.
        for processor in &processors {
            let given = processor.payments().len();
            assert!(given <= 64, "{given} of {} are in doubt", times.len());
        }
        assert_eq!(server.metric("galo_payments_open"), times.len() as f64);
    });
}

#[test]
fn beyond_the_queues_bound_payments_are_refused_for_now() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        for processor in &processors {
            processor.set_faults(&[("hang_lost", 1.0)]);
        }
        let server = Launch::driver(dir.path(), driver)
            .cores(1)
            .flag("payment-queue", "50")
            .processors_of(&processors)
            .start();
        let mut random = Random::from_time();
        let mut book = PaymentLedger::default();
        let mut connection = server.connect();
        let mut refused = 0;
        for _ in 0..80 {
            let id = new_id(&mut random);
            let asked = Instant::now();
            let reply = connection.ask(&payment(&id, "19.90"));
            assert!(asked.elapsed() < 8 * FAST, "{:?}", asked.elapsed());
            match reply.status {
                202 => {
                    book.sends(&id, "19.90");
                    book.acknowledged(&id);
                }
                503 => {
                    let after = reply.header("retry-after").expect("when to try again");
                    assert!(
                        after.parse::<u32>().is_ok_and(|seconds| seconds > 0),
                        "{after}"
                    );
                    refused += 1;
                }
                _ => panic!("{reply:?}"),
            }
        }
        assert_eq!((book.acknowledged_count(), refused), (50, 30));
        // What is known already is not one more.
        let known = book.ids().next().expect("one").to_owned();
        assert_eq!(server.ask(&payment(&known, "19.90")).status, 202);
        assert_eq!(server.metric("galo_payments_queue_full_total"), 30.0);
        for processor in &processors {
            processor.set_faults(&[]);
        }
        book.expect_settled(server.address(), &processors);
        book.pay(&mut connection, &mut random, 20);
        book.expect_settled(server.address(), &processors);
    });
}

/// Cheaper is worth waiting for, until the deadline.
#[test]
fn payments_wait_for_the_cheap_one_until_their_deadline() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        processors[0].set_failing(true);
        let server = Launch::driver(dir.path(), driver)
            .cores(1)
            .flag("payment-deadline", "3s")
            .processors_of(&processors)
            .start();
        let mut book = PaymentLedger::default();
        let began = Instant::now();
        book.pay(&mut server.connect(), &mut Random::from_time(), 20);
        while began.elapsed() < Duration::from_millis(1_500) {
            assert_eq!(processors[1].all().count, 0, "too early");
            std::thread::sleep(Duration::from_millis(50));
        }
        while processors[1].all().count < 20 {
            assert!(began.elapsed() < Duration::from_secs(6), "too late");
            std::thread::sleep(Duration::from_millis(50));
        }
        let summary = book.expect_settled(server.address(), &processors);
        assert_eq!((summary.0[0].count, summary.0[1].count), (0, 20));
        assert_eq!(fallback(&server, "deadline"), 20.0);
        assert_eq!(fallback(&server, "room"), 0.0);
        // It is well again, and nothing goes to the dear one any more.
        processors[0].set_failing(false);
        book.pay(&mut server.connect(), &mut Random::from_time(), 20);
        let summary = book.expect_settled(server.address(), &processors);
        assert_eq!((summary.0[0].count, summary.0[1].count), (20, 20));
    });
}

/// Nor for longer than there is room.
#[test]
fn payments_go_to_the_dear_one_when_the_queue_fills_up() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        processors[0].set_failing(true);
        let server = Launch::driver(dir.path(), driver)
            .cores(1)
            .flag("payment-queue", "100")
            .processors_of(&processors)
            .start();
        let (mut random, mut book) = (Random::from_time(), PaymentLedger::default());
        let mut connection = server.connect();
        let began = Instant::now();
        while book.acknowledged_count() < 300 {
            let id = new_id(&mut random);
            if connection.ask(&payment(&id, "1.00")).status == 202 {
                book.sends(&id, "1.00");
                book.acknowledged(&id);
            }
            assert!(began.elapsed() < PATIENCE, "the dear one was not asked");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(fallback(&server, "room") > 0.0);
        assert_eq!(fallback(&server, "deadline"), 0.0);
        processors[0].set_failing(false);
        let summary = book.expect_settled(server.address(), &processors);
        assert!(
            summary.0[1].count >= 200 && summary.0[0].count > 0,
            "{summary:?}"
        );
    });
}

fn fallback(server: &Server, reason: &str) -> f64 {
    server.metric(&format!(
        "galo_payments_dearer_total{{reason=\"{reason}\"}}"
    ))
}

/// Too many, it says, and for how long: it gets none before that.
#[test]
fn retry_after_is_obeyed() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let first = Scripted::start(|asked, before| match asked {
            _ if asked.is_health() => Scripted::healthy(),
            _ if !asked.is_payment() => Answer::status(404),
            _ if before.iter().filter(|asked| asked.is_payment()).count() == 4 => {
                Answer::Reply(429, "Retry-After: 2\r\n", String::new())
            }
            _ => Answer::done(),
        });
        let second = Scripted::good();
        let server = Launch::driver(dir.path(), driver)
            .cores(1)
            .processors(&first.url(), &second.url())
            .start();
        let mut random = Random::from_time();
        let ids: Vec<String> = (0..20).map(|_| new_id(&mut random)).collect();
        for id in &ids {
            assert_eq!(server.ask(&payment(id, "19.90")).status, 202);
            // One after the other, so that none is under way when it says so.
            if first.payments().len() < 5 {
                processed_or_refused(&server, id, &first);
            }
        }
        for id in &ids {
            assert_eq!(processed(&server, id)["processor"], "default");
        }
        let asked = first.payments();
        let pause = asked[5].at - asked[4].at;
        assert!(pause >= Duration::from_millis(1_950), "{pause:?}");
        assert!(second.payments().is_empty(), "it is not worth the fee");
    });
}

fn processed_or_refused(server: &Server, id: &str, first: &Scripted) {
    wait_until("the payment processed, or five attempts", || {
        let payment = server.get(&format!("/payments/{id}")).json();
        first.payments().len() >= 5 || payment["status"] == "processed"
    });
}

/// The tool's own limits, as the contest's processors have them: nothing is lost, and they are not hit
/// again and again.
#[test]
fn a_processor_with_few_places_is_not_overrun() {
    let dir = data_dir();
    let limits = ["--parallel", "8", "--waiting", "4"];
    let processors = Processor::both_with(&limits);
    for processor in &processors {
        processor.set_delay(20);
    }
    let server = Launch::serve(dir.path())
        .cores(2)
        .processors_of(&processors)
        .start();
    let mut book = PaymentLedger::default();
    book.pay(&mut server.connect(), &mut Random::from_time(), 400);
    book.expect_settled(server.address(), &processors);
    let busy = server.metric("galo_processor_busy_total{processor=\"default\"}");
    assert!(busy <= 80.0, "{busy} of 400");
}

/// A processor that fails is tried with one payment at a time, and opened up again when it works.
#[test]
fn a_processor_that_fails_is_probed_with_single_payments() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (of_script, most_of_script) = (inside.clone(), most.clone());
        let first = Scripted::start(move |asked, before| {
            if asked.is_health() {
                return Scripted::healthy();
            }
            if !asked.is_payment() {
                return Answer::status(404);
            }
            // Those of the last 50 ms have no reply yet. Whatever came at first, before it failed for
            // the first time, is no probe.
            let recent = before.iter().rev().filter(|one| one.is_payment());
            let recent = recent.take_while(|one| one.at + Duration::from_millis(45) > asked.at);
            let failed_before = before
                .first()
                .is_some_and(|one| asked.at > one.at + Duration::from_millis(500));
            if failed_before {
                of_script.fetch_add(1, Ordering::Relaxed);
                most_of_script.fetch_max(1 + recent.count(), Ordering::Relaxed);
            }
            Answer::Late(Duration::from_millis(50), 500)
        });
        let server = Launch::driver(dir.path(), driver)
            .cores(1)
            .processors(&first.url(), &Scripted::good().url())
            .start();
        let mut random = Random::from_time();
        for _ in 0..100 {
            let id = new_id(&mut random);
            assert_eq!(server.ask(&payment(&id, "19.90")).status, 202);
        }
        wait_until("three probes", || inside.load(Ordering::Relaxed) >= 3);
        assert_eq!(most.load(Ordering::Relaxed), 1, "probes at a time");
        assert_eq!(server.summary(), Summary::default());
    });
}

/// One of two cores asks, and only while there is something to know it for.
#[test]
fn health_is_asked_for_once_in_five_seconds() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), [Scripted::good(), Scripted::good()]);
        let server = Launch::driver(dir.path(), driver)
            .cores(2)
            .processors(&processors[0].url(), &processors[1].url())
            .start();
        let mut random = Random::from_time();
        let health = |processor: &Scripted| -> Vec<Instant> {
            let asked = processor.requests();
            asked
                .iter()
                .filter(|asked| asked.is_health())
                .map(|asked| asked.at)
                .collect()
        };
        std::thread::sleep(Duration::from_millis(300));
        assert!(
            processors
                .iter()
                .all(|processor| processor.requests().is_empty()),
            "nobody pays"
        );
        let began = Instant::now();
        while processors
            .iter()
            .any(|processor| health(processor).len() < 3)
        {
            assert!(began.elapsed() < PATIENCE, "it does not ask");
            assert_eq!(server.ask(&payment(&new_id(&mut random), "1")).status, 202);
            std::thread::sleep(Duration::from_millis(20));
        }
        for processor in &processors {
            for pair in health(processor).windows(2) {
                let apart = pair[1] - pair[0];
                assert!(apart >= Duration::from_millis(4_950), "{apart:?}");
            }
            let asked = processor.requests();
            let of_health: Vec<&Request> = asked.iter().filter(|asked| asked.is_health()).collect();
            assert!(of_health.iter().all(|asked| asked.method == "GET"));
        }
    });
}
