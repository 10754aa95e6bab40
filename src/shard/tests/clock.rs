//! A shard's time, and the moments that clients see: in steps of the clock, and across recoveries.

use super::*;
use crate::command::ids;
use crate::limits::{CLOCK_APART_US, KEY_NS_MAX, SECOND_US};
use crate::machine::Now;
use crate::shard::{snapshot, DedupResult};

const HOUR_US: u64 = 3600 * SECOND_US;
const KEY_US_MAX: u64 = KEY_NS_MAX / 1000;
/// Another boot's: nobody may take it for his own.
const BOOT_NS: u64 = 77_000_000_000;

/// So long after `TIME_US`, with the clock off by a step.
fn at(since_us: u64, stepped_us: i64) -> Now {
    Now {
        monotonic_ns: BOOT_NS + since_us * 1000,
        realtime_us: (TIME_US + since_us).saturating_add_signed(stepped_us),
    }
}

fn key(number: u128) -> Ids {
    Ids {
        forward: None,
        key: Some(ids::key(7, &number.to_le_bytes())),
    }
}

fn recognise(shard: &mut Shard, ids: &Ids, now: Now) -> DedupResult {
    let time_us = shard.tell_time(now);
    shard.recognise(0, Kind::Credit, 1, text("x"), time_us, ids)
}

fn is_known(shard: &mut Shard, number: u128, now: Now) -> bool {
    matches!(
        recognise(shard, &key(number), now),
        DedupResult::Repeated(Ok(_))
    )
}

/// A credit of one cent to the first client, in memory.
fn post(shard: &mut Shard, ids: &Ids, now: Now) {
    assert_eq!(recognise(shard, ids, now), DedupResult::New);
    let time_us = shard.tell_time(now);
    let posted = shard.transact(0, Kind::Credit, 1, text("x"), time_us, ids);
    posted.unwrap();
}

/// When the first client's transactions were, the latest first.
fn moments(shard: &Shard) -> Vec<u64> {
    let statement = shard.account(0).statement();
    statement.map(|transaction| transaction.time_us()).collect()
}

/// An incarnation in which the first key is used, at the beginning of time.
fn use_first_key(directory: &Directory) {
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    post(&mut shard, &key(1), at(0, 0));
    write(&mut shard, &mut store);
    drop((shard, store));
}

#[test]
fn moments_follow_the_clock_and_ages_do_not() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    let hours = 3 * HOUR_US as i64;
    let mut expected = Vec::new();
    for (number, now) in [
        at(0, 0),
        at(SECOND_US, hours),
        at(2 * SECOND_US, hours),
        at(3 * SECOND_US, -hours),
        at(4 * SECOND_US, 0),
    ]
    .into_iter()
    .enumerate()
    {
        post(&mut shard, &key(number as u128), now);
        assert_eq!(shard.moment_us(shard.now_us(now)), now.realtime_us);
        expected.insert(0, now.realtime_us);
        write(&mut shard, &mut store);
    }
    assert_eq!(moments(&shard), expected);
    // One record for each step.
    assert_eq!(shard.sequence(), 5 + 3);
    // All are remembered for ten minutes from when they came, and no longer.
    for (number, since_us) in [0, 1, 2, 3, 4].map(|it| (it, it as u64 * SECOND_US)) {
        assert!(is_known(
            &mut shard,
            number,
            at(since_us + KEY_US_MAX, hours)
        ));
        let late = at(since_us + KEY_US_MAX + SECOND_US, -hours);
        assert!(!is_known(&mut shard, number, late));
    }
    // The journal has it all, and a snapshot does.
    assert_eq!(moments(&directory.open().shard), expected);
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    drop((shard, store));
    let recovered = directory.open();
    assert_eq!(recovered.report.replayed, 0);
    assert_eq!(moments(&recovered.shard), expected);
}

#[test]
fn a_clock_that_is_read_a_moment_later_has_not_stepped() {
    let mut shard = Directory::new().open().shard;
    post(&mut shard, &NO_IDS, at(0, 0));
    let apart = CLOCK_APART_US as i64;
    for stepped_us in [apart, -apart, 1, 0] {
        post(&mut shard, &NO_IDS, at(SECOND_US, stepped_us));
    }
    assert_eq!(shard.sequence(), 5);
    post(&mut shard, &NO_IDS, at(SECOND_US, apart + 1));
    assert_eq!(shard.sequence(), 7, "that was a step");
}

#[test]
fn a_batch_that_is_refused_has_told_nothing_of_the_clock() {
    let directory = Directory::new();
    use_first_key(&directory);
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    let now = at(KEY_US_MAX, HOUR_US as i64);
    for _ in 0..2 {
        assert!(is_known(&mut shard, 1, now));
        post(&mut shard, &key(2), now);
        assert_eq!(shard.sequence(), 3);
        // In the same tick, too.
        assert!(is_known(&mut shard, 1, now) && is_known(&mut shard, 2, now));
        shard.refused();
        assert_eq!(shard.sequence(), 1);
    }
    post(&mut shard, &key(2), now);
    write(&mut shard, &mut store);
    assert!(is_known(&mut shard, 1, now) && is_known(&mut shard, 2, now));
    let expected = moments(&shard);
    assert_eq!(expected, [now.realtime_us, TIME_US]);
    assert_eq!(moments(&directory.open().shard), expected);
}

/// Incarnations of a shard, each with a step of the clock before it; whether a snapshot is taken in each.
#[test]
fn keys_outlive_whatever_the_clock_does_between_two_lives() {
    let hours = 2 * HOUR_US as i64;
    for with_snapshots in [false, true] {
        let directory = Directory::new();
        let mut stepped_us = 0;
        let mut since_us = 0;
        for (incarnation, step_us) in [0, hours, -hours, 2 * hours, 0, -3 * hours]
            .into_iter()
            .enumerate()
        {
            stepped_us += step_us;
            since_us += 10 * SECOND_US;
            let Recovered {
                mut shard,
                mut store,
                ..
            } = directory.open();
            for known in 0..incarnation as u128 {
                let now = at(since_us, stepped_us);
                assert!(
                    is_known(&mut shard, known, now),
                    "{known} in incarnation {incarnation}"
                );
            }
            // It is taken before anything of the clock is in the journal.
            if with_snapshots && incarnation % 3 == 2 {
                if let Some(job) = store.sync() {
                    run(&mut shard, &mut store, Some(job));
                }
                take_snapshot(&mut shard, &mut store);
            }
            post(
                &mut shard,
                &key(incarnation as u128),
                at(since_us, stepped_us),
            );
            write(&mut shard, &mut store);
            since_us += SECOND_US;
            post(&mut shard, &NO_IDS, at(since_us, stepped_us));
            write(&mut shard, &mut store);
            if with_snapshots && incarnation % 3 == 0 {
                sync(&mut shard, &mut store);
                take_snapshot(&mut shard, &mut store);
            }
            for known in 0..=incarnation as u128 {
                assert!(is_known(&mut shard, known, at(since_us, stepped_us)));
            }
            assert_eq!(moments(&shard)[0], at(since_us, stepped_us).realtime_us);
        }
        // What an incarnation has seen of time counts in the next ones.
        let mut shard = directory.open().shard;
        let now = at(since_us, stepped_us);
        assert!(is_known(&mut shard, 0, now));
        let old = at(since_us + KEY_US_MAX - 5 * SECOND_US, stepped_us);
        assert!(!is_known(&mut shard, 0, old) && is_known(&mut shard, 5, old));
        // And they are forgotten at last.
        let late = at(since_us + KEY_US_MAX + 2 * SECOND_US, stepped_us);
        assert!(!is_known(&mut shard, 5, late));
    }
}

#[test]
fn a_key_that_was_used_again_is_replayed_as_it_was() {
    let directory = Directory::new();
    use_first_key(&directory);
    // Nobody was there for an hour, or the clock has stepped: it is remembered for ten minutes more.
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    assert!(is_known(&mut shard, 1, at(HOUR_US, 0)));
    let known = at(HOUR_US + KEY_US_MAX, 0);
    assert!(is_known(&mut shard, 1, known));
    let later = at(HOUR_US + KEY_US_MAX + 2 * SECOND_US, 0);
    post(&mut shard, &key(1), later);
    write(&mut shard, &mut store);
    drop((shard, store));
    let mut shard = directory.open().shard;
    assert_eq!(shard.account(0).balance(), 2);
    assert!(is_known(&mut shard, 1, later));
}

#[test]
fn payments_that_wait_have_the_ages_that_real_time_says_after_a_recovery() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    let time_us = shard.tell_time(at(0, 0));
    let id = crate::payments::PaymentId::made_of(1);
    let accepted = shard.pay(id, 1990, time_us);
    assert_eq!(accepted, crate::shard::Accepted::New);
    write(&mut shard, &mut store);
    // In one incarnation it is as old as it is.
    let hours = 2 * HOUR_US as i64;
    let age_us =
        |shard: &mut Shard, now: Now| shard.tell_time(now) - shard.payments().oldest_us().unwrap();
    assert_eq!(age_us(&mut shard, at(7 * SECOND_US, hours)), 7 * SECOND_US);
    assert_eq!(age_us(&mut shard, at(8 * SECOND_US, -hours)), 8 * SECOND_US);
    drop((shard, store));
    for (stepped_us, expected_us) in [
        (0, 9 * SECOND_US),
        // Not to be told from the time for which nobody was there.
        (hours, 9 * SECOND_US + 2 * HOUR_US),
        (-hours, 0),
    ] {
        let mut shard = directory.open().shard;
        let now = at(9 * SECOND_US, stepped_us);
        assert_eq!(age_us(&mut shard, now), expected_us);
        // And from then on it ages as it does.
        let later = at(11 * SECOND_US, -stepped_us);
        let expected_us = expected_us + 2 * SECOND_US;
        assert_eq!(age_us(&mut shard, later), expected_us);
    }
}

#[test]
fn files_are_as_ever_as_long_as_the_clock_does_not_step() {
    let directory = Directory::new();
    let version = |end| {
        let bytes = fs::read(directory.snapshot(end)).unwrap();
        u32::from_le_bytes(bytes[8..12].try_into().unwrap())
    };
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    post(&mut shard, &NO_IDS, at(0, 0));
    write(&mut shard, &mut store);
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    assert_eq!(version(1), 3);
    post(&mut shard, &NO_IDS, at(0, SECOND_US as i64));
    write(&mut shard, &mut store);
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    assert_eq!(version(3), snapshot::VERSION);
}

#[test]
fn where_owners_have_other_clocks_no_moment_is_before_the_last_one() {
    let directory = Directory::new();
    // The first owner's clock is an hour ahead.
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    shard.keep_order();
    post(&mut shard, &key(0), at(0, HOUR_US as i64));
    write(&mut shard, &mut store);
    drop((shard, store));
    let first = TIME_US + HOUR_US;
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    shard.keep_order();
    // At once, after a pause, and in quick succession behind that.
    for (number, since_us) in
        (1..).zip([0, 5 * SECOND_US, 5 * SECOND_US + 500, 5 * SECOND_US + 600])
    {
        post(&mut shard, &key(number), at(since_us, 0));
        write(&mut shard, &mut store);
    }
    let told = moments(&shard);
    assert_eq!(told, [first + 600, first + 500, first, first, first]);
    // Once real time is as far, it is told as ever.
    post(&mut shard, &key(9), at(2 * HOUR_US, 0));
    assert_eq!(moments(&shard)[0], TIME_US + 2 * HOUR_US);
}
