//! The table of what a processor does, line by line.

use super::*;

const AMOUNT: u64 = 1990;

fn payment(id: u128) -> Payment {
    Payment {
        id,
        cents: AMOUNT,
        requested_us: 1_000_000 + id as u64,
    }
}

fn model(change: impl FnOnce(&mut Config)) -> Model {
    let mut config = Config::default();
    change(&mut config);
    Model::new(config)
}

/// All replies due by then.
fn done(model: &mut Model, now_ns: u64) -> Vec<(u64, Reply)> {
    std::iter::from_fn(|| model.take_done(now_ns)).collect()
}

fn told(failing: bool, min_response_ms: u64) -> Reply {
    Reply::Health {
        failing,
        min_response_ms,
    }
}

#[test]
fn without_a_delay_a_payment_is_stored_at_once() {
    let mut model = model(|_| ());
    model.pay(5, 1, payment(7));
    assert_eq!(model.deadline_ns(), Some(5));
    assert_eq!(done(&mut model, 5), [(1, Reply::Paid)]);
    assert_eq!(model.deadline_ns(), None);
    assert_eq!(model.payment(5, 7), Some(payment(7)));
    assert_eq!(model.payment(5, 8), None);
}

#[test]
fn a_delayed_payment_is_stored_when_the_delay_is_over_and_not_before() {
    let mut model = model(|config| config.delay_ms = 100);
    model.pay(0, 1, payment(7));
    assert_eq!(model.deadline_ns(), Some(100 * MS_NS));
    assert_eq!(done(&mut model, 100 * MS_NS - 1), []);
    assert_eq!(model.payment(100 * MS_NS - 1, 7), None);
    assert_eq!(model.payment(100 * MS_NS, 7), Some(payment(7)));
    assert_eq!(done(&mut model, 100 * MS_NS), [(1, Reply::Paid)]);
}

#[test]
fn the_failure_switch_is_read_after_the_delay() {
    let mut model = model(|config| config.delay_ms = 100);
    model.pay(0, 1, payment(1));
    model.configure(50 * MS_NS, |config| config.failing = true);
    assert_eq!(done(&mut model, 100 * MS_NS), [(1, Reply::Failed)]);
    assert_eq!(model.payment(100 * MS_NS, 1), None);

    model.pay(100 * MS_NS, 2, payment(1));
    model.configure(150 * MS_NS, |config| config.failing = false);
    assert_eq!(done(&mut model, 200 * MS_NS), [(2, Reply::Paid)]);

    // Due before the switch: as it stood then, however late anybody looks.
    model.pay(200 * MS_NS, 3, payment(3));
    model.configure(301 * MS_NS, |config| config.failing = true);
    assert_eq!(done(&mut model, 400 * MS_NS), [(3, Reply::Paid)]);
}

#[test]
fn the_delay_is_read_when_it_begins() {
    let mut model = model(|config| config.delay_ms = 100);
    model.pay(0, 1, payment(1));
    model.configure(0, |config| config.delay_ms = 10);
    model.pay(0, 2, payment(2));
    assert_eq!(done(&mut model, 10 * MS_NS), [(2, Reply::Paid)]);
    assert_eq!(done(&mut model, 100 * MS_NS), [(1, Reply::Paid)]);
}

#[test]
fn a_second_time_is_refused_and_changes_nothing() {
    let mut model = model(|_| ());
    model.pay(0, 1, payment(7));
    let other = Payment {
        id: 7,
        cents: 1,
        requested_us: 1,
    };
    model.pay(0, 2, other);
    assert_eq!(
        done(&mut model, 0),
        [(1, Reply::Paid), (2, Reply::Duplicate)]
    );
    assert_eq!(model.payment(0, 7), Some(payment(7)));
    assert_eq!(model.summary(0, None, None).cents, u128::from(AMOUNT));
    // The switch comes before the insert.
    model.configure(0, |config| config.failing = true);
    model.pay(0, 3, other);
    assert_eq!(done(&mut model, 0), [(3, Reply::Failed)]);
}

#[test]
fn two_of_the_same_inside_at_once_are_one() {
    let mut model = model(|config| config.delay_ms = 10);
    model.pay(0, 1, payment(7));
    model.pay(1, 2, payment(7));
    assert_eq!(
        done(&mut model, 20 * MS_NS),
        [(1, Reply::Paid), (2, Reply::Duplicate)]
    );
}

#[test]
fn a_caller_that_gives_up_during_the_delay_has_paid() {
    let mut model = model(|config| config.delay_ms = 10);
    model.pay(0, 1, payment(7));
    model.gave_up(1, 1);
    assert_eq!(model.payment(10 * MS_NS, 7), Some(payment(7)));
}

#[test]
fn eight_hundred_are_inside_five_hundred_wait_and_the_rest_is_turned_away() {
    let mut model = model(|config| config.delay_ms = 10);
    for token in 0..1302 {
        model.pay(0, token, payment(u128::from(token)));
    }
    assert_eq!(
        done(&mut model, 0),
        [(1300, Reply::Busy), (1301, Reply::Busy)]
    );
    // The places are held for as long as the delay takes.
    model.pay(10 * MS_NS - 1, 1302, payment(1302));
    assert_eq!(done(&mut model, 10 * MS_NS - 1), [(1302, Reply::Busy)]);

    let first = done(&mut model, 10 * MS_NS);
    assert_eq!(first.len(), 800);
    assert!(first.iter().map(|(token, _)| *token).eq(0..800));
    // Those that waited begin their own delay when they are let in, in order.
    assert_eq!(model.deadline_ns(), Some(20 * MS_NS));
    model.pay(10 * MS_NS, 1303, payment(1303));
    let then = done(&mut model, 20 * MS_NS);
    assert!(then
        .iter()
        .map(|(token, _)| *token)
        .eq((800..1300).chain([1303])));
    assert_eq!(model.summary(20 * MS_NS, None, None).count, 1301);
    assert_eq!(model.deadline_ns(), None);
}

#[test]
fn those_that_wait_are_let_in_at_the_time_a_place_is_free_however_late_anybody_looks() {
    let mut model = model(|config| {
        config.delay_ms = 10;
        config.parallel_max = 1;
        config.waiting_max = 2;
    });
    for token in 0..4 {
        model.pay(0, token, payment(u128::from(token)));
    }
    let replies = [
        (3, Reply::Busy),
        (0, Reply::Paid),
        (1, Reply::Paid),
        (2, Reply::Paid),
    ];
    assert_eq!(done(&mut model, 30 * MS_NS), replies);
}

#[test]
fn a_caller_that_gives_up_before_it_is_let_in_has_not_paid() {
    let mut model = model(|config| {
        config.delay_ms = 10;
        config.parallel_max = 1;
    });
    for token in 0..3 {
        model.pay(0, token, payment(u128::from(token)));
    }
    model.gave_up(1, 1);
    assert_eq!(
        done(&mut model, 20 * MS_NS),
        [(0, Reply::Paid), (2, Reply::Paid)]
    );
}

#[test]
fn health_is_told_once_per_window_two_wait_and_the_rest_is_turned_away() {
    const W: u64 = HEALTH_WINDOW_NS;
    let mut model = model(|config| config.delay_ms = 100);
    for token in 0..5 {
        model.health(1, token);
    }
    assert_eq!(
        done(&mut model, 1),
        [(0, told(false, 100)), (3, Reply::Busy), (4, Reply::Busy)]
    );
    assert_eq!(model.deadline_ns(), Some(1 + W));
    // They are told how it is when their turn has come.
    model.configure(2, |config| config.failing = true);
    assert_eq!(done(&mut model, W), []);
    assert_eq!(done(&mut model, 1 + W), [(1, told(true, 100))]);
    assert_eq!(done(&mut model, 2 * W), []);
    assert_eq!(done(&mut model, 1 + 2 * W), [(2, told(true, 100))]);
    assert_eq!(model.deadline_ns(), None);
    // That was this window's.
    model.health(3 * W, 5);
    assert_eq!(done(&mut model, 3 * W), []);
    assert_eq!(done(&mut model, 1 + 3 * W), [(5, told(true, 100))]);
    // Windows pass without anybody calling, and do not add up.
    model.health(10 * W + 2, 6);
    model.health(10 * W + 3, 7);
    assert_eq!(done(&mut model, 10 * W + 3), [(6, told(true, 100))]);
    assert_eq!(model.deadline_ns(), Some(1 + 11 * W));
}

#[test]
fn a_caller_of_health_that_gives_up_leaves_its_place() {
    let mut model = model(|_| ());
    for token in 0..3 {
        model.health(0, token);
    }
    model.gave_up(1, 1);
    model.health(1, 3);
    let tokens =
        |done: Vec<(u64, Reply)>| done.into_iter().map(|(token, _)| token).collect::<Vec<_>>();
    assert_eq!(tokens(done(&mut model, 1)), [0]);
    assert_eq!(tokens(done(&mut model, 2 * HEALTH_WINDOW_NS)), [2, 3]);
}

#[test]
fn health_does_not_pass_through_the_delay_or_the_limit() {
    let mut model = model(|config| {
        config.delay_ms = 5000;
        config.parallel_max = 1;
        config.waiting_max = 0;
    });
    model.pay(0, 1, payment(1));
    model.health(0, 2);
    assert_eq!(done(&mut model, 0), [(2, told(false, 5000))]);
}

#[test]
fn both_bounds_of_a_summary_are_inclusive_and_one_alone_means_nothing() {
    let mut model = model(|_| ());
    for (token, requested_us) in [999_999, 1_000_000, 1_500_000, 2_000_000, 2_000_001]
        .into_iter()
        .enumerate()
    {
        let payment = Payment {
            id: token as u128,
            cents: 1 << token,
            requested_us,
        };
        model.pay(0, token as u64, payment);
    }
    let mut cents = |from, to| model.summary(0, from, to).cents;
    assert_eq!(cents(Some(1_000_000), Some(2_000_000)), 0b01110);
    assert_eq!(cents(Some(1_000_001), Some(1_999_999)), 0b00100);
    assert_eq!(cents(Some(1_500_000), Some(1_500_000)), 0b00100);
    assert_eq!(cents(Some(2_000_000), Some(1_000_000)), 0);
    assert_eq!(cents(Some(0), Some(u64::MAX)), 0b11111);
    assert_eq!(cents(Some(2_000_000), None), 0b11111);
    assert_eq!(cents(None, Some(1)), 0b11111);
    assert_eq!(cents(None, None), 0b11111);
}

#[test]
fn a_summary_is_what_adding_one_by_one_gives() {
    let mut model = model(|_| ());
    let mut time_us = 1_700_000_000_000_000u64;
    for id in 0..20_000u64 {
        // Mostly forwards, sometimes far back, as retries are.
        time_us += id * id % 977;
        let requested_us = time_us - if id % 10 == 0 { 1_000_000 } else { 0 };
        let payment = Payment {
            id: u128::from(id),
            cents: 1 + id % 500,
            requested_us,
        };
        model.pay(id, id, payment);
        assert_eq!(model.take_done(id), Some((id, Reply::Paid)));
    }
    let all = model.stored(20_000).payments().to_vec();
    assert!(all.iter().map(|payment| payment.id).eq(0..20_000));
    for step in 0..200 {
        let from_us = 1_700_000_000_000_000 + step * 37_003;
        let to_us = from_us + step * step * 100;
        let inside = |payment: &&Payment| (from_us..=to_us).contains(&payment.requested_us);
        let inside: Vec<_> = all.iter().filter(inside).collect();
        let expected = Totals {
            count: inside.len() as u64,
            cents: inside.iter().map(|payment| u128::from(payment.cents)).sum(),
        };
        assert_eq!(model.summary(20_000, Some(from_us), Some(to_us)), expected);
    }
}

#[test]
fn purging_forgets_what_is_stored_and_not_what_is_inside() {
    let mut model = model(|config| config.delay_ms = 10);
    model.pay(0, 1, payment(1));
    model.pay(5 * MS_NS, 2, payment(2));
    model.purge(10 * MS_NS);
    assert_eq!(model.payment(10 * MS_NS, 1), None);
    assert_eq!(model.summary(10 * MS_NS, None, None), Totals::default());
    assert_eq!(model.summary(15 * MS_NS, None, None).count, 1);
    assert_eq!(
        done(&mut model, 15 * MS_NS),
        [(1, Reply::Paid), (2, Reply::Paid)]
    );
}
