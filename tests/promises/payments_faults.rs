//! Whatever a processor does to a payment, or to its reply: paid once, by one of them, and the summary
//! says so.

use std::time::Duration;

use galo_testkit::{
    data_dir, now_us, on_both_drivers, summary, Driver, Launch, PaymentLedger, Processor, Random,
    Summary, FAULTS,
};

const PAYMENTS: usize = 60;

/// One fault at a time, at the default one, at the other one, at both; each happens to half of the
/// payments, at first.
fn a_fault_pays_nothing_twice(driver: Driver, fault: &str) {
    let places = [&[0][..], &[1], &[0, 1]];
    // At once: where nothing is answered, each takes as long as an attempt may.
    std::thread::scope(|scope| {
        let threads = places.map(|places| scope.spawn(move || at(driver, fault, places)));
        let results = threads.map(|thread| thread.join());
        assert!(results.iter().all(Result::is_ok), "see above");
    });
}

fn at(driver: Driver, fault: &str, places: &[usize]) {
    let (dir, processors) = (data_dir(), Processor::both());
    let server = Launch::driver(dir.path(), driver)
        .cores(2)
        .flag("payment-deadline", "1s")
        .processors_of(&processors)
        .start();
    for place in places {
        processors[*place].set_faults(&[(fault, 0.5)]);
    }
    if places == [1] {
        processors[0].set_failing(true);
    }
    let mut random = Random::from_time();
    let mut book = PaymentLedger::default();
    let mut connection = server.connect();
    for _ in 0..3 {
        book.pay(&mut connection, &mut random, PAYMENTS / 3);
        std::thread::sleep(Duration::from_millis(100));
        // Paid and confirmed or not: the summary is what the processors have. They are asked before
        // and after, because more may come to them meanwhile.
        let to = now_us();
        let theirs = || Summary([0, 1].map(|number| processors[number].totals(0, to)));
        let before = theirs();
        let ours = Summary::of(&server.ask(&summary(0, to)));
        let after = theirs();
        for number in [0, 1] {
            let within = before.0[number].count..=after.0[number].count;
            assert!(
                within.contains(&ours.0[number].count),
                "{fault} {places:?}: {ours:?} is not between {before:?} and {after:?}"
            );
        }
    }
    for processor in &processors {
        processor.set_faults(&[]);
        processor.set_failing(false);
    }
    let summary = book.expect_settled(server.address(), &processors);
    assert_eq!(summary.count(), PAYMENTS as u64);
    server.stop();
}

macro_rules! faults {
    ($($name:ident: $number:literal,)*) => {$(
        #[test]
        fn $name() {
            on_both_drivers(|driver| a_fault_pays_nothing_twice(driver, FAULTS[$number]));
        }
    )*};
}

faults! {
    a_reply_that_is_lost_pays_nothing_twice: 0,
    a_reset_before_the_payment_pays_nothing_twice: 1,
    a_reset_after_the_payment_pays_nothing_twice: 2,
    a_reply_cut_in_its_head_pays_nothing_twice: 3,
    a_reply_cut_in_its_body_pays_nothing_twice: 4,
    silence_after_the_payment_pays_nothing_twice: 5,
    silence_before_the_payment_pays_nothing_twice: 6,
    a_reply_that_drips_pays_nothing_twice: 7,
}
