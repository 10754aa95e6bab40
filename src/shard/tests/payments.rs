//! Payments in memory, and what the journal makes of them.

use super::recovery::edit_snapshot;
use super::*;
use crate::payments::{Payment, PaymentId, PaymentState, Processor, Summary, Totals, Window};
use crate::shard::check::check;
use crate::shard::Accepted;

const DEFAULT: Processor = Processor::Default;
const FALLBACK: Processor = Processor::Fallback;

fn id(number: u64) -> PaymentId {
    PaymentId::made_of(u128::from(number) << 64 | u128::from(number))
}

fn state_of(shard: &Shard, number: u64) -> Option<PaymentState> {
    let found = shard.payments().find(id(number)).unwrap();
    found.map(|payment| payment.state)
}

fn totals(shard: &Shard) -> [(u64, u128); 2] {
    let Summary(totals) = shard.payments().summary(&Window::ALL).unwrap();
    totals.map(|Totals { count, cents }| (count, cents))
}

fn pay_one(shard: &mut Shard, store: &mut Store<RealDisk>, number: u64) {
    assert_eq!(shard.pay(id(number), 1990, TIME_US + number), Accepted::New);
    write(shard, store);
}

#[test]
fn records_are_as_long_as_the_table_says() {
    let mut shard = Directory::new().open().shard;
    let mut ends = vec![];
    shard.pay(id(1), 1990, TIME_US);
    ends.push(shard.batch().len());
    shard.bind_payment(id(1), DEFAULT, TIME_US);
    ends.push(shard.batch().len());
    shard.settle_payment(id(1), TIME_US, TIME_US);
    ends.push(shard.batch().len());
    shard.purge(None, TIME_US);
    ends.push(shard.batch().len());
    assert_eq!(ends, [56, 56 + 64, 56 + 64 + 88, 56 + 64 + 88 + 40]);
}

#[test]
fn a_payment_goes_its_way() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    assert_eq!(shard.pay(id(1), 1990, TIME_US), Accepted::New);
    assert!(!shard.payments().is_written(id(1)));
    assert_eq!(shard.pay(id(1), 1990, TIME_US), Accepted::Repeated);
    assert_eq!(shard.pay(id(1), 1991, TIME_US), Accepted::OtherAmount);
    write(&mut shard, &mut store);
    assert!(shard.payments().is_written(id(1)));
    let queued = Payment {
        id: id(1),
        cents: 1990,
        accepted_us: TIME_US,
        attempts: 0,
        state: PaymentState::Free,
    };
    assert_eq!(shard.payments().find(id(1)), Ok(Some(queued)));
    assert_eq!(shard.payments().next_free(), Some(queued));

    let requested_us = shard.bind_payment(id(1), DEFAULT, TIME_US + 1_999);
    assert_eq!(requested_us, TIME_US + 1_000);
    write(&mut shard, &mut store);
    let bound = |in_doubt| PaymentState::Bound {
        to: DEFAULT,
        requested_us,
        in_doubt,
    };
    assert_eq!(state_of(&shard, 1), Some(bound(false)));
    assert_eq!(shard.payments().next_free(), None);
    assert_eq!((shard.payments().free(), shard.payments().open()), (0, 1));

    shard.payment_retried(id(1));
    shard.payment_in_doubt(id(1));
    assert!(!shard.payment_refused(id(1)));
    assert_eq!(state_of(&shard, 1), Some(bound(true)));
    assert!(shard.settle_payment(id(1), requested_us, TIME_US + 5_000));
    assert!(!shard.settle_payment(id(1), requested_us, TIME_US + 5_000));
    write(&mut shard, &mut store);
    assert_eq!(shard.pay(id(1), 1990, TIME_US), Accepted::Repeated);
    assert_eq!(shard.pay(id(1), 1, TIME_US), Accepted::OtherAmount);
    assert_eq!(totals(&shard), [(1, 1990), (0, 0)]);
    let settled = Payment {
        attempts: 2,
        state: PaymentState::Processed {
            by: DEFAULT,
            requested_us,
        },
        ..queued
    };
    assert_eq!(shard.payments().find(id(1)), Ok(Some(settled)));
    let recovered = directory.open().shard;
    assert_eq!(recovered.payments().find(id(1)), Ok(Some(settled)));
    assert_eq!(recovered.payments().settled(), 1);
}

#[test]
fn a_refused_payment_goes_first_and_may_go_to_the_other_one() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    (1..=3).for_each(|number| pay_one(&mut shard, &mut store, number));
    for number in [1, 2] {
        shard.bind_payment(id(number), DEFAULT, TIME_US);
    }
    write(&mut shard, &mut store);
    assert!(shard.payment_refused(id(2)));
    assert!(shard.payment_refused(id(1)));
    assert!(!shard.payment_refused(id(1)), "it is free");
    let order = |shard: &Shard| shard.payments().next_free().map(|payment| payment.id);
    assert_eq!(order(&shard), Some(id(1)));
    assert_eq!(shard.payments().oldest_us(), Some(TIME_US + 1));
    assert_eq!(shard.payments().newest_us(), Some(TIME_US + 3));
    let requested_us = shard.bind_payment(id(1), FALLBACK, TIME_US + 9_000);
    assert_eq!(order(&shard), Some(id(2)));
    write(&mut shard, &mut store);
    // Who recovers the shard knows of no refusal.
    let recovered = directory.open().shard;
    let to = |shard: &Shard, number| match state_of(shard, number) {
        Some(PaymentState::Bound { to, in_doubt, .. }) => Some((to, in_doubt)),
        _ => None,
    };
    assert_eq!(to(&recovered, 1), Some((FALLBACK, true)));
    assert_eq!(to(&recovered, 2), Some((DEFAULT, true)));
    assert_eq!(recovered.payments().bound().count(), 2);
    assert_eq!(
        recovered.payments().find(id(1)).unwrap().unwrap().attempts,
        2
    );
    assert_eq!(order(&recovered), Some(id(3)));
    assert!(shard.settle_payment(id(1), requested_us, TIME_US));
    assert_eq!(totals(&shard), [(0, 0), (1, 1990)]);
}

#[test]
fn a_refused_batch_leaves_nothing_to_send_and_nothing_settled() {
    let Recovered {
        mut shard,
        mut store,
        ..
    } = Directory::new().open();
    (1..=2).for_each(|number| pay_one(&mut shard, &mut store, number));
    let requested_us = shard.bind_payment(id(1), DEFAULT, TIME_US);
    write(&mut shard, &mut store);

    assert!(shard.settle_payment(id(1), requested_us, TIME_US));
    shard.bind_payment(id(2), FALLBACK, TIME_US);
    assert_eq!(shard.pay(id(3), 1, TIME_US), Accepted::New);
    shard.bind_payment(id(3), FALLBACK, TIME_US);
    assert_eq!(shard.pay(id(4), 1, TIME_US), Accepted::New);
    shard.refused();
    let in_doubt = PaymentState::Bound {
        to: DEFAULT,
        requested_us,
        in_doubt: true,
    };
    assert_eq!(state_of(&shard, 1), Some(in_doubt));
    assert_eq!(state_of(&shard, 2), Some(PaymentState::Free));
    assert_eq!(shard.payments().find(id(2)).unwrap().unwrap().attempts, 0);
    assert_eq!((state_of(&shard, 3), state_of(&shard, 4)), (None, None));
    assert_eq!(totals(&shard), [(0, 0), (0, 0)]);
    assert_eq!((shard.payments().free(), shard.payments().open()), (1, 2));
    // And it goes on.
    assert_eq!(shard.pay(id(3), 1, TIME_US), Accepted::New);
    assert!(shard.settle_payment(id(1), requested_us, TIME_US));
    write(&mut shard, &mut store);
    assert_eq!(totals(&shard), [(1, 1990), (0, 0)]);
}

#[test]
fn purge_and_reset_forget_payments_when_they_are_written() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    for (round, is_reset) in [(0, false), (10, true)] {
        for number in round + 1..=round + 3 {
            pay_one(&mut shard, &mut store, number);
        }
        let requested_us = shard.bind_payment(id(round + 1), DEFAULT, TIME_US);
        shard.bind_payment(id(round + 2), DEFAULT, TIME_US);
        write(&mut shard, &mut store);
        assert!(shard.settle_payment(id(round + 1), requested_us, TIME_US));
        for written in [false, true] {
            match is_reset {
                true => shard.reset(None, TIME_US),
                false => shard.purge(None, TIME_US),
            }
            assert!(!shard.accepts());
            assert_eq!(shard.payments().settled(), 1);
            if written {
                write(&mut shard, &mut store);
            } else {
                shard.refused();
                assert_eq!(shard.payments().open(), 3);
                assert!(shard.settle_payment(id(round + 1), requested_us, TIME_US));
            }
        }
        assert!(shard.accepts());
        let recovered = directory.open().shard;
        for shard in [&shard, &recovered] {
            assert_eq!(shard.payments().open(), 0);
            assert_eq!(shard.payments().settled(), 0);
            assert_eq!(state_of(shard, round + 1), None);
            assert_eq!(totals(shard), [(0, 0), (0, 0)]);
            assert_eq!(shard.payments().oldest_us(), None);
        }
        // Replies to what was sent before.
        assert!(!shard.payment_refused(id(round + 2)));
        assert!(!shard.settle_payment(id(round + 2), requested_us, TIME_US));
    }
}

#[test]
fn no_more_than_so_many_wait() {
    let Recovered {
        mut shard,
        mut store,
        ..
    } = Directory::new().open();
    shard.set_payments_max(2);
    (1..=2).for_each(|number| pay_one(&mut shard, &mut store, number));
    assert_eq!(shard.pay(id(3), 1, TIME_US), Accepted::Full);
    assert_eq!(shard.pay(id(2), 1990, TIME_US), Accepted::Repeated);
    assert!(shard.batch().is_empty());
    let requested_us = shard.bind_payment(id(2), DEFAULT, TIME_US);
    assert_eq!(shard.pay(id(3), 1, TIME_US), Accepted::Full);
    assert!(shard.settle_payment(id(2), requested_us, TIME_US));
    assert_eq!(shard.pay(id(3), 1, TIME_US), Accepted::New);
    write(&mut shard, &mut store);
    let order: Vec<PaymentId> = std::iter::from_fn(|| {
        let next = shard.payments().next_free()?.id;
        shard.bind_payment(next, DEFAULT, TIME_US);
        Some(next)
    })
    .collect();
    assert_eq!(order, [id(1), id(3)]);
}

#[test]
fn a_long_queue_is_compact_and_gives_its_memory_back() {
    const COUNT: u64 = 200_000;
    let mut shard = Directory::new().open().shard;
    for round in 0..2 {
        let number = |n| round * COUNT + n;
        for n in 0..COUNT {
            if !shard.accepts() {
                shard.written();
            }
            assert_eq!(shard.pay(id(number(n)), n + 1, TIME_US + n), Accepted::New);
        }
        shard.written();
        let bytes = shard.payments().queue_bytes();
        assert!(bytes < COUNT as usize * 48, "{bytes}");
        let mut most = bytes;
        for n in 0..COUNT {
            if !shard.accepts() {
                shard.written();
            }
            let next = shard.payments().next_free().unwrap();
            assert_eq!((next.id, next.cents), (id(number(n)), n + 1));
            assert_eq!(shard.payments().find(next.id), Ok(Some(next)));
            shard.bind_payment(next.id, DEFAULT, TIME_US);
            shard.written();
            assert!(shard.settle_payment(next.id, TIME_US, TIME_US));
            if n % 10_000 == 0 {
                let bytes = shard.payments().queue_bytes();
                assert!(
                    bytes <= most && bytes < (COUNT - n) as usize * 80 + 200_000,
                    "{bytes}"
                );
                most = bytes;
            }
        }
        shard.written();
        assert_eq!(shard.payments().open(), 0);
        let bytes = shard.payments().queue_bytes();
        assert!(bytes <= 200_000, "{bytes}");
    }
}

/// What recovery does for each payment: its id is hashed a few times, and the index is gone through from one end to
/// the other. One by one it was six times, and another part of the index for nearly each.
#[test]
fn recovering_a_long_queue_hashes_few_ids_and_walks_the_index_in_order() {
    const COUNT: u64 = 150_000;
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    for n in 0..COUNT {
        if !shard.accepts() {
            write(&mut shard, &mut store);
        }
        assert_eq!(shard.pay(id(n), n + 1, TIME_US + n), Accepted::New);
    }
    write(&mut shard, &mut store);
    sync(&mut shard, &mut store);
    let look = |hashes_max: u64| {
        let (before, _) = shard.payments().index_work();
        let recovered = directory.open();
        let payments = recovered.shard.payments();
        let (after, turns) = payments.index_work();
        let hashes = after - before;
        assert!(
            (COUNT..=hashes_max).contains(&hashes) && turns <= COUNT / 100,
            "{hashes} ids hashed, {turns} turns"
        );
        assert_eq!(payments.open(), COUNT as usize);
        let bytes = payments.queue_bytes();
        assert!(bytes < COUNT as usize * 48, "{bytes}");
        for n in (0..COUNT).step_by(1013) {
            assert_eq!(payments.find(id(n)), shard.payments().find(id(n)));
        }
        recovered.report.replayed
    };
    // All in the journal: the index grows.
    assert_eq!(look(5 * COUNT / 2), COUNT);
    // All in a snapshot, whose size is known.
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    drop((shard, store));
    assert_eq!(look(COUNT + COUNT / 100), 0);
}

/// A snapshot with two that wait, one that is settled, and two that are or were bound, and all of it in the
/// journal, too.
fn with_payments() -> (Directory, Recovered<RealDisk>) {
    let directory = Directory::new();
    let mut recovered = directory.open();
    let Recovered { shard, store, .. } = &mut recovered;
    (1..=5).for_each(|number| pay_one(shard, store, number));
    let bound = [1, 2, 3].map(|number| shard.bind_payment(id(number), DEFAULT, TIME_US));
    write(shard, store);
    assert!(shard.payment_refused(id(2)));
    assert!(shard.settle_payment(id(3), bound[2], TIME_US));
    write(shard, store);
    sync(shard, store);
    take_snapshot(shard, store);
    (directory, recovered)
}

fn states(shard: &Shard) -> Vec<Option<Payment>> {
    let numbers = 1..=5;
    numbers
        .map(|number| shard.payments().find(id(number)).unwrap())
        .collect()
}

#[test]
fn a_snapshot_has_what_the_journal_says() {
    let (directory, recovered) = with_payments();
    let end = recovered.shard.sequence();
    let found = directory.open();
    assert_eq!((found.report.snapshot, found.report.replayed), (end, 0));
    let mut expected = states(&recovered.shard);
    let PaymentState::Bound { in_doubt, .. } = &mut expected[0].as_mut().unwrap().state else {
        panic!("it is bound");
    };
    *in_doubt = true;
    let bound = expected[0].unwrap().state;
    // A refusal is in no record: who recovered from an older snapshot would not know of it, either.
    assert_eq!(expected[1].unwrap().state, PaymentState::Free);
    expected[1].as_mut().unwrap().state = bound;
    assert_eq!(states(&found.shard), expected);
}

/// What was bound before a restart is neither among those that wait, nor settled.
#[test]
fn a_snapshot_has_bound_payments_though_none_waited_since_the_start() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    pay_one(&mut shard, &mut store, 1);
    let requested_us = shard.bind_payment(id(1), DEFAULT, TIME_US);
    write(&mut shard, &mut store);
    let in_doubt = PaymentState::Bound {
        to: DEFAULT,
        requested_us,
        in_doubt: true,
    };
    for _ in 0..2 {
        // What the snapshot has of payments, and nothing else of them, is what the next one is made of.
        sync(&mut shard, &mut store);
        take_snapshot(&mut shard, &mut store);
        Recovered { shard, store, .. } = directory.open();
        assert_eq!(state_of(&shard, 1), Some(in_doubt));
        credit(&mut shard, &mut store, 1);
    }
    assert!(shard.settle_payment(id(1), requested_us, TIME_US));
    write(&mut shard, &mut store);
    assert_eq!(totals(&directory.open().shard), [(1, 1990), (0, 0)]);
}

#[test]
fn a_snapshot_during_which_all_is_forgotten_has_none_of_it() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    pay_one(&mut shard, &mut store, 1);
    shard.bind_payment(id(1), DEFAULT, TIME_US);
    write(&mut shard, &mut store);
    assert!(shard.payment_refused(id(1)));
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    credit(&mut shard, &mut store, 1);
    assert!(store.snapshot_begin(&mut shard));
    let accounts = store.snapshot_step(&mut shard);
    run(&mut shard, &mut store, accounts);
    // The refusal is in no record: whoever recovers the shard does not know of it.
    assert!(!shard.payment_refused(id(1)));
    shard.purge(None, TIME_US);
    write(&mut shard, &mut store);
    sync(&mut shard, &mut store);
    while let Some(job) = store.snapshot_step(&mut shard) {
        run(&mut shard, &mut store, Some(job));
    }
    let found = directory.open();
    assert_eq!(found.report.snapshot, shard.sequence());
    assert_eq!(found.shard.payments().open(), 0);
}

#[test]
fn check_sees_a_snapshot_that_lacks_payments() {
    for settled_since in [false, true] {
        let (directory, mut recovered) = with_payments();
        let Recovered { shard, store, .. } = &mut recovered;
        let path = directory.snapshot(shard.sequence());
        if settled_since {
            assert!(shard.settle_payment(id(1), TIME_US, TIME_US));
            write(shard, store);
        }
        assert!(check(directory.path(), &mut Vec::new()).is_ok());
        edit_snapshot(&path, |bytes| {
            let counts = bytes.len() - 64;
            bytes[counts + 36] = 0;
            bytes.drain(counts - 2 * 48..counts);
            // What the header says of their length.
            let length = 2 * 32 + 48 + 64_u32;
            bytes[108..112].copy_from_slice(&length.to_le_bytes());
        });
        let error = check(directory.path(), &mut Vec::new()).unwrap_err();
        match error {
            RecoveryError::SnapshotDamaged { file, .. } if !settled_since => assert_eq!(file, path),
            RecoveryError::DoesNotApply { .. } if settled_since => {}
            error => panic!("{error}"),
        }
    }
}

/// What breaks the rules of payments, whatever the checksums say.
#[test]
fn snapshot_older_with_bad_payments() {
    let (directory, recovered) = with_payments();
    let path = directory.snapshot(recovered.shard.sequence());
    let whole = fs::read(&path).unwrap();
    let counts = whole.len() - 64;
    let in_flight = counts - 2 * 48;
    let settled = in_flight - 48;
    let queued = settled - 2 * 32;
    assert_eq!(queued, 4096 + 5 * 704);
    let cases: [(&str, usize, u8); 16] = [
        ("another number of those that wait", counts + 16, 1),
        ("another number of settled ones", counts + 20, 2),
        ("more that came meanwhile than there are", counts + 24, 1),
        ("more that were settled meanwhile", counts + 28, 9),
        ("more that left than there are", counts + 32, 1),
        ("another number of those that are bound", counts + 36, 3),
        ("more that wait are gone than there are", counts + 40, 3),
        ("more settled ones are gone than there are", counts + 44, 2),
        ("more were forgotten than were settled", counts, 1),
        ("of a later time", counts + 48, 200),
        ("something where there is nothing", counts + 63, 1),
        ("a settled one is bound", settled + 43, 1),
        ("no such processor", in_flight + 42, 2),
        ("something where there is nothing", in_flight + 47, 1),
        ("neither bound nor free", in_flight + 43, 2),
        ("one that waits is there twice", queued + 32, 0),
    ];
    for (case, offset, value) in cases {
        fs::write(&path, &whole).unwrap();
        edit_snapshot(&path, |bytes| match case.contains("twice") {
            true => bytes.copy_within(queued..queued + 16, offset),
            false => bytes[offset] = value,
        });
        let found = directory.open();
        assert_eq!(found.report.snapshot, 0, "{case}");
        assert!(found.report.snapshots_bad.iter().eq([&path]), "{case}");
        let open = found.shard.payments().open();
        assert_eq!((open, totals(&found.shard)), (4, [(1, 1990), (0, 0)]));
    }
    for (what, offset, bytes) in [("nothing", in_flight + 16, 8), ("nothing", settled + 16, 8)] {
        fs::write(&path, &whole).unwrap();
        edit_snapshot(&path, |all| all[offset..offset + bytes].fill(0));
        assert_eq!(directory.open().report.snapshot, 0, "a payment of {what}");
    }
}
