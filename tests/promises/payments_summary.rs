//! What `/payments-summary` tells, and `/purge-payments` forgets.

use galo_testkit::{
    amount, cents, data_dir, get, iso, new_id, now_us, on_both_drivers, payment, post, processed,
    summary, us_of, wait_until, Driver, Launch, PaymentLedger, Processor, Random, Summary,
};

/// A server with both processors, as they are.
fn serve(data: &std::path::Path, driver: Driver, processors: &[Processor; 2]) -> Launch {
    Launch::driver(data, driver)
        .cores(2)
        .processors_of(processors)
}

#[test]
fn a_summary_counts_what_is_within_both_bounds() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        let server = serve(dir.path(), driver, &processors).start();
        let mut random = Random::from_time();
        let mut connection = server.connect();
        let mut known = Vec::new();
        for round in 0..30 {
            // Some go to the other one.
            processors[0].set_failing(round % 10 == 9);
            let (id, amount) = (new_id(&mut random), amount(&mut random));
            assert_eq!(connection.ask(&payment(&id, &amount)).status, 202);
            if round % 10 != 9 {
                let json = processed(&server, &id);
                let at = us_of(json["requested_at"].as_str().expect("a time"));
                known.push((at, cents(&amount)));
            }
        }
        processors[0].set_failing(false);
        wait_until("all payments settled", || server.summary().count() >= 30);
        let mut ask = |from: u64, to: u64| {
            let ours = Summary::of(&connection.ask(&summary(from, to)));
            let theirs = Summary([0, 1].map(|number| processors[number].totals(from, to)));
            assert_eq!(ours, theirs, "from {} to {}", iso(from), iso(to));
            ours
        };
        let times: Vec<u64> = known.iter().map(|(at, _)| *at).collect();
        for (index, (at, _)) in known.iter().enumerate() {
            // A window of a moment.
            let of_moment = known.iter().filter(|(time, _)| time == at);
            let moment = ask(*at, *at);
            assert!(moment.count() >= of_moment.clone().count() as u64);
            assert!(moment.0[0].cents >= of_moment.map(|(_, cents)| cents).sum());
            let other = times[random.between(0, times.len() as u64 - 1) as usize];
            let (from, to) = (*at.min(&other), *at.max(&other));
            ask(from, to);
            if from + 2000 < to {
                ask(from + 1000, to);
                ask(from, to - 1000);
            }
            if index == 0 {
                assert_eq!(ask(0, from - 1000).count(), 0);
            }
        }
        // Without a bound there is none.
        let whole = server.summary();
        assert_eq!(whole.count(), 30);
        let from_on = |from: u64| get(&format!("/payments-summary?from={}", iso(from)));
        let up_to = |to: u64| get(&format!("/payments-summary?to={}", iso(to)));
        assert_eq!(Summary::of(&server.ask(&from_on(0))), whole);
        assert_eq!(Summary::of(&server.ask(&up_to(now_us()))), whole);
        let first = *times.iter().min().expect("some");
        let none = Summary::of(&server.ask(&up_to(first - 1_000_000)));
        assert_eq!(none, Summary::default());
        assert_eq!(
            Summary::of(&server.ask(&from_on(now_us() + 60_000_000))),
            none
        );
    });
}

#[test]
fn bounds_that_are_none_are_refused() {
    let (dir, processors) = (data_dir(), Processor::both());
    let server = serve(dir.path(), Driver::Uring, &processors).start();
    for query in [
        "from=yesterday",
        "from=",
        "to=2020-07-10",
        "from=2020-13-10T12:34:56.000Z",
        "from=2020-02-30T12:34:56.000Z",
        "from=2020-07-10T24:34:56.000Z",
        "to=2020-07-10T12:60:56.000Z",
        "to=1594384496",
        "from=2020-07-10T12:35:56.000Z&to=2020-07-10T12:34:56.000Z",
        "from=2020-07-10T12:34:56.001Z&to=2020-07-10T12:34:56.000Z",
    ] {
        let reply = server.get(&format!("/payments-summary?{query}"));
        assert_eq!(reply.status, 400, "{query}: {reply:?}");
    }
    for query in [
        "",
        "from=2020-07-10T12:34:56.000Z&to=2020-07-10T12:35:56.000Z",
        "to=2020-07-10T12:35:56.000Z&from=2020-07-10T12:34:56.000Z",
        "from=2020-07-10T12:34:56.000Z&to=2020-07-10T12:34:56.000Z",
        "from=2020-07-10T12%3A34%3A56.000Z",
        "from=2020-07-10T12:34:56Z",
        "from=2024-02-29T23:59:59.999999Z",
        "other=1",
    ] {
        let reply = server.get(&format!("/payments-summary?{query}"));
        assert_eq!(Summary::of(&reply), Summary::default(), "{query}");
    }
}

#[test]
fn purging_is_forbidden_unless_allowed() {
    let (dir, processors) = (data_dir(), Processor::both());
    let server = serve(dir.path(), Driver::Uring, &processors).start();
    let mut book = PaymentLedger::default();
    book.pay(&mut server.connect(), &mut Random::from_time(), 3);
    let reply = server.ask(&post("/purge-payments", ""));
    assert_eq!(reply.status, 403, "{reply:?}");
    let why = reply.json()["rule"].as_str().map(str::to_owned);
    assert!(why.expect("a reason").contains("--allow-reset"));
    book.expect_settled(server.address(), &processors);
}

#[test]
fn purging_forgets_all_payments_and_lasts() {
    on_both_drivers(|driver| {
        let (dir, processors) = (data_dir(), Processor::both());
        let launch = || serve(dir.path(), driver, &processors).arg("--allow-reset");
        let server = launch().start();
        let mut random = Random::from_time();
        server.transact(1, 'c', 7, "sete").posted();
        let mut forgotten = PaymentLedger::default();
        forgotten.pay(&mut server.connect(), &mut random, 40);
        forgotten.expect_settled(server.address(), &processors);
        // Some are still open.
        for processor in &processors {
            processor.set_failing(true);
        }
        forgotten.pay(&mut server.connect(), &mut random, 10);
        let reply = server.ask(&post("/purge-payments", ""));
        assert_eq!(reply.status, 200, "{reply:?}");
        for id in forgotten.ids() {
            let status = server.get(&format!("/payments/{id}")).status;
            assert_eq!(status, 404, "{id}");
        }
        assert_eq!(server.summary(), Summary::default());
        assert_eq!(server.balance(1), 7, "the bank is another matter");
        for processor in &processors {
            processor.set_failing(false);
            assert_eq!(
                processor.admin("POST", "/admin/purge-payments", "").status,
                200
            );
        }
        // What comes afterwards counts, and what was forgotten does not come back.
        let mut book = PaymentLedger::default();
        book.pay(&mut server.connect(), &mut random, 5);
        book.expect_settled(server.address(), &processors);
        server.kill();
        let server = launch().start();
        book.expect_settled(server.address(), &processors);
        server.stop();
        let server = launch().start();
        book.expect_settled(server.address(), &processors);
        // `/reset` forgets them, too.
        assert_eq!(server.ask(&post("/reset", "")).status, 200);
        assert_eq!(server.summary(), Summary::default());
        assert_eq!(server.balance(1), 0);
    });
}
