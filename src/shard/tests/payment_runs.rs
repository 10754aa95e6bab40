//! Runs of settled payments: making them, reading them, and the rows of recovery's table.

use super::faulty::{Faulty, Write};
use super::*;
use crate::command::{Command, Ids, Outcome};
use crate::payments::{PaymentId, PaymentState, Processor, Summary, Window};
use crate::shard::check::check;
use crate::shard::payments::{fill, Settled, Unreadable};
use crate::shard::{Accepted, Done};

/// Settled payments of a run here.
const RUN: usize = 4;

fn id(number: u64) -> PaymentId {
    PaymentId::made_of(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834))
}

/// Every third goes to the other one; not in the order of time.
fn settled(number: u64) -> Settled {
    Settled {
        id: id(number),
        cents: 100 + number,
        accepted_us: TIME_US,
        requested_us: TIME_US + (number ^ 5) * 1000,
        by: Processor::ALL[usize::from(number.is_multiple_of(3))],
        attempts: 1,
    }
}

/// From accepted to settled, a tick for each step.
fn settle<D: Disk>(shard: &mut Shard, store: &mut Store<D>, number: u64) {
    let payment = settled(number);
    let accepted = shard.pay(payment.id, payment.cents, payment.accepted_us);
    assert_eq!(accepted, Accepted::New);
    write(shard, store);
    shard.bind_payment(payment.id, payment.by, TIME_US);
    write(shard, store);
    assert!(shard.settle_payment(payment.id, payment.requested_us, TIME_US));
    write(shard, store);
}

/// All jobs about runs that can be done now.
fn make_runs<D: Disk>(shard: &mut Shard, store: &mut Store<D>) -> usize {
    let mut made = 0;
    while let Some(job) = store.run_step(shard) {
        run(shard, store, Some(job));
        made += 1;
    }
    made
}

fn summary_of(numbers: impl IntoIterator<Item = u64>, window: &Window) -> Summary {
    let mut summary = Summary::default();
    for payment in numbers.into_iter().map(settled) {
        if window.contains(payment.requested_us) {
            summary.add(payment.by, payment.cents);
        }
    }
    summary
}

/// Everything that can be asked about the first so many.
fn expect_all(shard: &Shard, count: u64) {
    let payments = shard.payments();
    assert_eq!(payments.settled(), count);
    for number in 0..count + 3 {
        let found = payments.find(id(number)).unwrap();
        let payment = settled(number);
        let expected = (number < count).then_some(payment.to_payment());
        assert_eq!(found, expected, "{number}");
    }
    for from in 0..count {
        for to in from..count + 8 {
            let window = Window {
                from_us: TIME_US + from * 1000,
                to_us: TIME_US + to * 1000,
            };
            let expected = summary_of(0..count, &window);
            assert_eq!(payments.summary(&window), Ok(expected), "{from} to {to}");
        }
    }
}

/// Ten settled payments, the first eight of them in runs, and no snapshot of any.
fn with_runs() -> (Directory, Recovered<RealDisk>) {
    let directory = Directory::new();
    let mut recovered = directory.open();
    let Recovered { shard, store, .. } = &mut recovered;
    shard.set_settled_run(RUN);
    (0..10).for_each(|number| settle(shard, store, number));
    assert!(
        store.run_step(shard).is_none(),
        "the journal is not durable"
    );
    sync(shard, store);
    assert_eq!(make_runs(shard, store), 2);
    assert!(directory.run(0).exists() && directory.run(4).exists());
    (directory, recovered)
}

impl Directory {
    fn run(&self, first: u64) -> PathBuf {
        layout::run(&self.shard_dir(), first)
    }
}

#[test]
fn runs_are_read_as_memory_was() {
    let (directory, recovered) = with_runs();
    let mut shard = recovered.shard;
    expect_all(&shard, 10);
    for number in 0..10 {
        let cents = settled(number).cents;
        assert_eq!(shard.pay(id(number), cents, TIME_US), Accepted::Repeated);
        assert_eq!(shard.pay(id(number), 1, TIME_US), Accepted::OtherAmount);
    }
    assert!(check(directory.path(), &mut Vec::new()).is_ok());
}

#[test]
fn run_newest() {
    // All of it is in the journal, too, and after a snapshot some of it is there.
    let (directory, mut recovered) = with_runs();
    for with_snapshot in [false, true] {
        if with_snapshot {
            let Recovered { shard, store, .. } = &mut recovered;
            take_snapshot(shard, store);
        }
        let found = directory.open();
        assert_eq!(found.shard.payments().runs(), 2);
        expect_all(&found.shard, 10);
        let summary = check(directory.path(), &mut Vec::new()).unwrap();
        assert_eq!((summary.payments_open, summary.payments_settled), (0, 10));
    }
}

#[test]
fn a_run_that_was_made_while_a_snapshot_was_is_not_in_it() {
    let (directory, mut recovered) = with_runs();
    let Recovered { shard, store, .. } = &mut recovered;
    (10..12).for_each(|number| settle(shard, store, number));
    sync(shard, store);
    assert!(store.snapshot_begin(shard));
    let job = store.snapshot_step(shard);
    run(shard, store, job);
    assert_eq!(make_runs(shard, store), 1);
    (12..14).for_each(|number| settle(shard, store, number));
    sync(shard, store);
    while let Some(job) = store.snapshot_step(shard) {
        run(shard, store, Some(job));
    }
    assert!(!store.snapshot_under_way());
    expect_all(shard, 14);
    expect_all(&directory.open().shard, 14);
}

#[test]
fn run_version() {
    let (directory, _) = with_runs();
    edit(&directory.run(4), |bytes| {
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    });
    let error = directory.refusal();
    assert!(
        matches!(&error, RecoveryError::Version { file, version: 2, known: 1 }
            if *file == directory.run(4)),
        "{error}"
    );
}

#[test]
fn run_foreign() {
    let (directory, _) = with_runs();
    edit(&directory.run(0), |bytes| {
        bytes[16] ^= 1;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    });
    let error = directory.refusal();
    assert!(
        matches!(&error, RecoveryError::Foreign { file } if *file == directory.run(0)),
        "{error}"
    );
}

#[test]
fn run_damaged() {
    let whole = fs::read(with_runs().0.run(4)).unwrap();
    assert_eq!(whole.len(), 4096 + RUN * (32 + 20) + 64);
    let in_blocks = 4096..4096 + RUN * (32 + 20);
    // Header, index, its zeros, entries, ids, filter.
    for at in [
        0, 9, 33, 52, 61, 64, 80, 111, 112, 135, 136, 4095, 4096, 4200, 4230, 4303, 4304, 4367,
    ] {
        let (directory, _) = with_runs();
        let file = directory.run(4);
        edit(&file, |bytes| bytes[at] ^= 4);
        let Err(error) = check(directory.path(), &mut Vec::new()) else {
            panic!("check has not seen byte {at}");
        };
        assert!(
            matches!(&error, RecoveryError::RunDamaged { file: named, .. } if *named == file),
            "{at}: {error}"
        );
        if in_blocks.contains(&at) {
            // Who serves looks when it is asked, and then says nothing rather than something wrong.
            let shard = directory.open().shard;
            let window = Window {
                from_us: settled(5).requested_us,
                to_us: settled(5).requested_us,
            };
            let payments = shard.payments();
            let entries = at < 4096 + RUN * 32;
            let expected = match entries {
                true => Err(Unreadable),
                false => Ok(summary_of([5], &window)),
            };
            assert_eq!(payments.summary(&window), expected, "{at}");
            assert_eq!(payments.find(id(5)), Err(Unreadable), "{at}");
            let other = payments.find(id(1)).unwrap();
            assert_eq!(other.map(|it| it.id), Some(id(1)));
        } else {
            let error = directory.refusal();
            let is_it = matches!(error, RecoveryError::RunDamaged { .. });
            assert!(is_it, "{at}: {error}");
        }
    }
    for length in [0, 63, 64, 4096, whole.len() - 1] {
        let (directory, _) = with_runs();
        edit(&directory.run(0), |bytes| bytes.truncate(length));
        let error = directory.refusal();
        let is_it = matches!(error, RecoveryError::RunDamaged { offset: 0, .. });
        assert!(is_it, "{length}: {error}");
    }
}

#[test]
fn a_payment_that_may_be_in_a_damaged_run_is_not_accepted() {
    let (directory, _) = with_runs();
    edit(&directory.run(4), |bytes| bytes[4096 + RUN * 32] ^= 1);
    let mut shard = directory.open().shard;
    let cents = settled(5).cents;
    assert_eq!(shard.pay(id(5), cents, TIME_US), Accepted::Unreadable);
    assert_eq!(
        shard.pay(id(1), settled(1).cents, TIME_US),
        Accepted::Repeated
    );
    assert!(shard.batch().is_empty());
    // Who asks is told which it is: not that the queue is full, nor that there is no such payment.
    let pay = Command::Pay { id: id(5), cents };
    for command in [pay, Command::Show { id: id(5) }] {
        let applied = shard.apply(&command, &Ids::default(), TIME_US);
        assert_eq!(applied.outcome, Outcome::Unreadable);
    }
}

#[test]
fn run_missing() {
    // Between two, and what the snapshot does not have any more.
    for (removed, missing) in [(0, 0), (4, 4)] {
        let (directory, mut recovered) = with_runs();
        let Recovered { shard, store, .. } = &mut recovered;
        take_snapshot(shard, store);
        fs::remove_file(directory.run(removed)).unwrap();
        let error = directory.refusal();
        assert!(
            matches!(error, RecoveryError::RunMissing { number, .. } if number == missing),
            "{error}"
        );
    }
    // One of another time of the same shard.
    let (directory, _) = with_runs();
    fs::remove_file(directory.segment(1)).unwrap();
    let made = Directory::new();
    fs::copy(made.segment(1), directory.segment(1)).unwrap();
    let error = directory.refusal();
    let file = directory.run(4);
    assert!(
        matches!(&error, RecoveryError::JournalShort { snapshot, .. } if *snapshot == file),
        "{error}"
    );
}

#[test]
fn run_forgotten() {
    let (directory, mut recovered) = with_runs();
    let Recovered { shard, store, .. } = &mut recovered;
    shard.purge(None, TIME_US);
    write(shard, store);
    expect_all(shard, 0);
    assert_eq!(make_runs(shard, store), 0, "the purge is not durable");
    // Nor is it for whoever recovers the shard now, but it is known.
    let mut found = directory.open();
    expect_all(&found.shard, 0);
    assert_eq!(found.shard.payments().runs(), 0);
    assert!(directory.run(0).exists());
    sync(&mut found.shard, &mut found.store);
    assert_eq!(make_runs(&mut found.shard, &mut found.store), 1);
    assert!(!directory.run(0).exists() && !directory.run(4).exists());
    assert!(check(directory.path(), &mut Vec::new()).is_ok());
    expect_all(&directory.open().shard, 0);
    // The numbers go on.
    let Recovered { shard, store, .. } = &mut found;
    shard.set_settled_run(RUN);
    (0..5).for_each(|number| settle(shard, store, number));
    sync(shard, store);
    assert_eq!(make_runs(shard, store), 1);
    assert!(directory.run(10).exists());
    expect_all(shard, 5);
    expect_all(&directory.open().shard, 5);
}

#[test]
fn a_run_that_was_forgotten_while_it_was_made_is_removed() {
    let (directory, mut recovered) = with_runs();
    let Recovered { shard, store, .. } = &mut recovered;
    (10..12).for_each(|number| settle(shard, store, number));
    sync(shard, store);
    let job = store.run_step(shard);
    shard.purge(None, TIME_US);
    write(shard, store);
    sync(shard, store);
    assert!(store.run_step(shard).is_none(), "one at a time");
    assert!(!store.is_idle());
    run(shard, store, job);
    assert!(directory.run(8).exists());
    expect_all(shard, 0);
    assert_eq!(make_runs(shard, store), 1);
    for first in [0, 4, 8] {
        assert!(!directory.run(first).exists());
    }
    assert!(store.is_idle());
    expect_all(&directory.open().shard, 0);
}

#[test]
fn an_unfinished_run_is_left_over() {
    let (directory, _) = with_runs();
    fs::write(directory.shard_dir().join("payments.tmp"), b"half").unwrap();
    let found = directory.open();
    assert_eq!(found.report.leftovers, 1);
    expect_all(&found.shard, 10);
}

#[test]
fn a_run_that_failed_is_made_later() {
    let directory = Directory::new();
    let disk = Faulty::default();
    let recovered = open(&disk, directory.path(), &directory.meta, 0).unwrap();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = recovered;
    shard.set_settled_run(RUN);
    (0..6).for_each(|number| settle(&mut shard, &mut store, number));
    sync(&mut shard, &mut store);
    type Fault = fn(&mut super::faulty::Plan, Option<i32>);
    let faults: [Fault; 4] = [
        |plan, errno| plan.create = errno,
        |plan, errno| plan.writes = errno.map(Write::Fails).into_iter().collect(),
        |plan, errno| plan.sync = errno,
        |plan, errno| plan.rename = errno,
    ];
    for fault in faults {
        fault(&mut disk.0.lock().unwrap(), Some(libc::ENOSPC));
        let done = store.run_step(&shard).unwrap().run();
        assert!(matches!(done, Done::RunFailed { .. }));
        store.done(&mut shard, done).unwrap();
        assert!(!store.run_under_way());
        fault(&mut disk.0.lock().unwrap(), None);
        expect_all(&shard, 6);
        let names = fs::read_dir(directory.shard_dir()).unwrap();
        let left = names.filter(|name| {
            let name = name.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("payments")
        });
        assert_eq!(left.count(), 0);
    }
    assert_eq!(store.counters().runs_failed, 4);
    assert_eq!(make_runs(&mut shard, &mut store), 1);
    expect_all(&shard, 6);
}

/// A fiftieth of ten million, in two shards.
#[test]
fn many_settled_payments_are_found_and_summed_up() {
    const COUNT: u64 = 200_000;
    let dir = tempfile::tempdir().unwrap();
    let meta = Meta {
        directory: 77,
        shards: 2,
    };
    create(&RealDisk, dir.path(), &meta, &CLIENTS).unwrap();
    fill(&RealDisk, dir.path(), &meta, (0..COUNT).map(settled)).unwrap();
    let found = check(dir.path(), &mut Vec::new()).unwrap();
    assert_eq!((found.payments_open, found.payments_settled), (0, COUNT));
    let mut shards = [0, 1].map(|shard| open(&RealDisk, dir.path(), &meta, shard).unwrap().shard);
    let runs: usize = shards.iter().map(|shard| shard.payments().runs()).sum();
    assert_eq!(runs, 8);
    let windows = [
        (0, COUNT),
        (1, COUNT),
        (777, 123_456),
        (5, 5),
        (150_000, 150_511),
    ];
    for (from, to) in windows {
        let window = Window {
            from_us: TIME_US + from * 1000,
            to_us: TIME_US + to * 1000,
        };
        let mut sum = Summary::default();
        for shard in &shards {
            sum.merge(&shard.payments().summary(&window).unwrap());
        }
        assert_eq!(sum, summary_of(0..COUNT, &window), "{from} to {to}");
    }
    for number in (0..COUNT + 1000).step_by(397) {
        let shard = &mut shards[id(number).shard(2)];
        let state = shard
            .payments()
            .find(id(number))
            .unwrap()
            .map(|payment| payment.state);
        let payment = settled(number);
        let expected = PaymentState::Processed {
            by: payment.by,
            requested_us: payment.requested_us,
        };
        assert_eq!(state, (number < COUNT).then_some(expected), "{number}");
        let accepted = match number < COUNT {
            true => Accepted::Repeated,
            false => Accepted::New,
        };
        assert_eq!(shard.pay(id(number), payment.cents, TIME_US), accepted);
    }
}
