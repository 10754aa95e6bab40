//! What a shard remembers of commands with ids.

use super::*;
use crate::bank::{Posted, Refusal};
use crate::command::{ids, ForwardId, Origin};
use crate::limits::{KEYS_MAX, KEY_NS_MAX, SHARD_COMMANDS_MAX, SNAPSHOT_SLICE_BYTES};
use crate::shard::DedupResult;

const A: Origin = Origin {
    member: 3,
    epoch: 0xa000_0000_0001,
};
const A_LATER: Origin = Origin {
    member: 3,
    epoch: 0x0000_0000_0002,
};
const B: Origin = Origin {
    member: 4,
    epoch: 0xa000_0000_0001,
};
const KEY_US_MAX: u64 = KEY_NS_MAX / 1000;

fn forward(origin: Origin, counter: u64) -> Ids {
    Ids {
        forward: Some(ForwardId { origin, counter }),
        key: None,
    }
}

fn key(number: u128) -> Ids {
    Ids {
        forward: None,
        key: Some(ids::key(7, &number.to_le_bytes())),
    }
}

fn both(origin: Origin, counter: u64, number: u128) -> Ids {
    Ids {
        key: key(number).key,
        ..forward(origin, counter)
    }
}

fn posted(client: u32, balance: i64) -> DedupResult {
    let limit = CLIENTS[client as usize - 1].limit;
    DedupResult::Repeated(Ok(Posted { limit, balance }))
}

const REFUSED: DedupResult = DedupResult::Repeated(Err(Refusal::Limit));

/// What is known of a credit of one cent to a client.
fn recognise_at(shard: &Shard, client: u32, ids: &Ids, time_us: u64) -> DedupResult {
    let index = shard.find(client).unwrap();
    shard.recognise(index, Kind::Credit, 1, text("x"), time_us, ids)
}

fn recognise(shard: &Shard, client: u32, ids: &Ids) -> DedupResult {
    recognise_at(shard, client, ids, TIME_US)
}

/// Such a credit, which nobody knows yet.
fn post_at(shard: &mut Shard, client: u32, ids: &Ids, time_us: u64) {
    assert_eq!(recognise_at(shard, client, ids, time_us), DedupResult::New);
    let index = shard.find(client).unwrap();
    let posted = shard.transact(index, Kind::Credit, 1, text("x"), time_us, ids);
    posted.unwrap();
}

fn post(shard: &mut Shard, client: u32, ids: &Ids) {
    post_at(shard, client, ids, TIME_US);
}

/// What is known of a debit that is always beyond the limit.
fn recognise_too_much(shard: &Shard, client: u32, ids: &Ids) -> DedupResult {
    let index = shard.find(client).unwrap();
    shard.recognise(index, Kind::Debit, i64::MAX, text("x"), TIME_US, ids)
}

/// Carries out a debit beyond every limit.
fn post_too_much(shard: &mut Shard, client: u32, ids: &Ids) {
    assert_eq!(recognise_too_much(shard, client, ids), DedupResult::New);
    let index = shard.find(client).unwrap();
    let refused = shard.transact(index, Kind::Debit, i64::MAX, text("x"), TIME_US, ids);
    assert_eq!(refused, Err(Refusal::Limit));
}

fn in_memory() -> Shard {
    Directory::new().open().shard
}

#[test]
fn a_repeat_gets_the_first_outcome() {
    for ids in [forward(A, 1), key(1), both(A, 1, 1)] {
        let mut shard = in_memory();
        post(&mut shard, 2, &ids);
        // In the same tick, and in later ones.
        assert_eq!(recognise(&shard, 2, &ids), posted(2, 1));
        shard.written();
        post(&mut shard, 2, &NO_IDS);
        shard.written();
        assert_eq!(recognise(&shard, 2, &ids), posted(2, 1));
    }
}

#[test]
fn a_command_with_both_ids_is_known_by_either() {
    let mut shard = in_memory();
    post(&mut shard, 1, &both(A, 1, 1));
    shard.written();
    assert_eq!(recognise(&shard, 1, &forward(A, 1)), posted(1, 1));
    assert_eq!(recognise(&shard, 1, &key(1)), posted(1, 1));
    // The forward id comes first: it is of the very same command.
    post(&mut shard, 1, &key(2));
    assert_eq!(recognise(&shard, 1, &both(A, 1, 2)), posted(1, 1));
    assert_eq!(recognise(&shard, 1, &both(A, 2, 2)), posted(1, 2));
    assert_eq!(recognise(&shard, 1, &forward(B, 1)), DedupResult::New);
}

#[test]
fn another_request_with_the_same_key_is_told_so() {
    let mut shard = in_memory();
    post(&mut shard, 1, &key(1));
    shard.written();
    let recognise = |client, kind, amount, description| {
        let index = shard.find(client).unwrap();
        shard.recognise(index, kind, amount, text(description), TIME_US, &key(1))
    };
    assert_eq!(recognise(1, Kind::Credit, 1, "x"), posted(1, 1));
    assert_eq!(
        recognise(2, Kind::Credit, 1, "x"),
        DedupResult::OtherRequest
    );
    assert_eq!(recognise(1, Kind::Debit, 1, "x"), DedupResult::OtherRequest);
    assert_eq!(
        recognise(1, Kind::Credit, 2, "x"),
        DedupResult::OtherRequest
    );
    assert_eq!(
        recognise(1, Kind::Credit, 1, "y"),
        DedupResult::OtherRequest
    );
    assert_eq!(
        recognise(1, Kind::Credit, 1, "x\0"),
        DedupResult::OtherRequest
    );
}

#[test]
fn a_refusal_is_remembered_for_its_key_only() {
    let mut shard = in_memory();
    post_too_much(&mut shard, 1, &forward(A, 1));
    assert!(shard.batch().is_empty() && shard.sequence() == 0);
    assert_eq!(
        recognise_too_much(&shard, 1, &forward(A, 1)),
        DedupResult::New
    );
    let before = state(&shard);
    post_too_much(&mut shard, 1, &both(A, 2, 1));
    assert_eq!(shard.sequence(), 1);
    shard.written();
    assert!(state(&shard) == before);
    assert_eq!(recognise_too_much(&shard, 1, &key(1)), REFUSED);
    assert_eq!(recognise_too_much(&shard, 1, &forward(A, 2)), REFUSED);
    // Whatever the balance is by now; and an overflow is told from a limit.
    let index = shard.find(1).unwrap();
    let credit = |shard: &mut Shard, ids: &Ids| {
        shard.transact(index, Kind::Credit, i64::MAX, text("x"), TIME_US, ids)
    };
    credit(&mut shard, &NO_IDS).unwrap();
    assert_eq!(recognise_too_much(&shard, 1, &key(1)), REFUSED);
    assert_eq!(credit(&mut shard, &key(2)), Err(Refusal::Overflow));
    let again = shard.recognise(index, Kind::Credit, i64::MAX, text("x"), TIME_US, &key(2));
    assert_eq!(again, DedupResult::Repeated(Err(Refusal::Overflow)));
}

#[test]
fn a_key_is_forgotten_after_its_time() {
    let mut shard = in_memory();
    post(&mut shard, 1, &key(1));
    shard.written();
    assert_eq!(
        recognise_at(&shard, 1, &key(1), TIME_US + KEY_US_MAX),
        posted(1, 1)
    );
    let later_us = TIME_US + KEY_US_MAX + 1_000_000;
    assert_eq!(recognise_at(&shard, 1, &key(1), later_us), DedupResult::New);
    // Used again, by another request even; taken back; used once more.
    for _ in 0..2 {
        post_at(&mut shard, 2, &key(1), later_us);
        assert_eq!(recognise_at(&shard, 2, &key(1), later_us), posted(2, 1));
        shard.refused();
        assert_eq!(recognise_at(&shard, 2, &key(1), later_us), DedupResult::New);
        assert_eq!(recognise(&shard, 1, &key(1)), posted(1, 1), "as it was");
    }
    post_at(&mut shard, 2, &key(1), later_us);
    shard.written();
    // The clock went back; the shard's time did not.
    assert_eq!(recognise(&shard, 2, &key(1)), posted(2, 1));
}

#[test]
fn the_oldest_keys_are_forgotten_at_the_end_of_a_tick() {
    let mut shard = in_memory();
    let end = KEYS_MAX as u128;
    for number in 0..end {
        if !shard.accepts() {
            shard.written();
        }
        post(&mut shard, 1, &key(number));
    }
    shard.written();
    assert_eq!(recognise(&shard, 1, &key(0)), posted(1, 1));
    for number in end..end + 3 {
        post(&mut shard, 1, &key(number));
    }
    assert_eq!(recognise(&shard, 1, &key(0)), posted(1, 1));
    shard.refused();
    assert_eq!(recognise(&shard, 1, &key(end)), DedupResult::New);
    for number in end..end + 3 {
        post(&mut shard, 1, &key(number));
    }
    shard.written();
    assert_eq!(recognise(&shard, 1, &key(2)), DedupResult::New);
    assert_eq!(recognise(&shard, 1, &key(3)), posted(1, 4));
    assert_eq!(
        recognise(&shard, 1, &key(end + 2)),
        posted(1, KEYS_MAX as i64 + 3)
    );
}

#[test]
fn a_hundred_thousand_keys_take_less_than_six_megabytes() {
    let mut shard = in_memory();
    assert_eq!(shard.dedup().allocated_bytes(), 0);
    post(&mut shard, 1, &NO_IDS);
    shard.written();
    assert_eq!(shard.dedup().allocated_bytes(), 0);
    post(&mut shard, 1, &key(0));
    let allocated = shard.dedup().allocated_bytes();
    assert!((4_000_000..6_000_000).contains(&allocated), "{allocated}");
    // And never more, however many come.
    for number in 1..2 * KEYS_MAX as u128 {
        if !shard.accepts() {
            shard.written();
        }
        post(&mut shard, 1, &key(number));
    }
    assert_eq!(shard.dedup().allocated_bytes(), allocated);
}

#[test]
fn counters_that_were_answered_are_forgotten_at_the_end_of_a_tick() {
    let mut shard = in_memory();
    let most = SHARD_COMMANDS_MAX as u64;
    for counter in 2..=most {
        post(&mut shard, 1, &forward(A, counter));
    }
    shard.written();
    // One that was refused before, and had room the second time.
    post(&mut shard, 1, &forward(A, 1));
    post(&mut shard, 1, &forward(A, most + 2));
    assert_eq!(recognise(&shard, 1, &forward(A, 1)), posted(1, most as i64));
    shard.written();
    for counter in [1, 2, most + 1] {
        assert_eq!(recognise(&shard, 1, &forward(A, counter)), DedupResult::New);
    }
    assert_eq!(recognise(&shard, 1, &forward(A, 3)), posted(1, 2));
    let allocated = shard.dedup().allocated_bytes();
    for counter in most + 3..6 * most {
        post(&mut shard, 1, &forward(A, counter));
        if counter % most == 0 {
            shard.written();
        }
    }
    assert_eq!(shard.dedup().allocated_bytes(), allocated);
}

#[test]
fn a_new_epoch_begins_anew() {
    let mut shard = in_memory();
    post(&mut shard, 1, &forward(A, 1));
    post(&mut shard, 1, &forward(B, 1));
    shard.written();
    assert_eq!(recognise(&shard, 1, &forward(A_LATER, 1)), DedupResult::New);
    post(&mut shard, 1, &forward(A_LATER, 2));
    assert_eq!(recognise(&shard, 1, &forward(A, 1)), DedupResult::New);
    assert_eq!(recognise(&shard, 1, &forward(A_LATER, 2)), posted(1, 3));
    shard.refused();
    assert_eq!(recognise(&shard, 1, &forward(A_LATER, 2)), DedupResult::New);
    assert_eq!(recognise(&shard, 1, &forward(A, 1)), posted(1, 1));
    post(&mut shard, 1, &forward(A_LATER, 2));
    shard.written();
    assert_eq!(recognise(&shard, 1, &forward(A, 1)), DedupResult::New);
    assert_eq!(recognise(&shard, 1, &forward(A_LATER, 2)), posted(1, 3));
    assert_eq!(recognise(&shard, 1, &forward(B, 1)), posted(1, 2));
}

#[test]
fn what_found_no_room_in_the_journal_was_never_known() {
    let mut shard = in_memory();
    post(&mut shard, 1, &both(A, 5, 5));
    shard.written();
    let news = [both(A, 3, 1), forward(B, 1), key(2), both(A, 7, 3)];
    for _ in 0..2 {
        for ids in &news {
            post(&mut shard, 1, ids);
        }
        post_too_much(&mut shard, 1, &key(4));
        shard.refused();
        for ids in &news {
            assert_eq!(recognise(&shard, 1, ids), DedupResult::New);
        }
        assert_eq!(recognise_too_much(&shard, 1, &key(4)), DedupResult::New);
        assert_eq!(recognise(&shard, 1, &forward(A, 5)), posted(1, 1));
        assert_eq!(recognise(&shard, 1, &key(5)), posted(1, 1));
        assert_eq!(shard.sequence(), 1);
    }
}

#[test]
fn a_reset_and_a_purge_with_ids_are_known_again() {
    let ids = [forward(A, 1), forward(A, 2)].map(|ids| ids.forward.unwrap());
    for with_snapshot in [false, true] {
        let directory = Directory::new();
        let Recovered {
            mut shard,
            mut store,
            ..
        } = directory.open();
        for (id, purges) in ids.iter().zip([false, true]) {
            post(&mut shard, 1, &NO_IDS);
            let forget = |shard: &mut Shard| match purges {
                true => shard.purge(Some(*id), TIME_US),
                false => shard.reset(Some(*id), TIME_US),
            };
            forget(&mut shard);
            assert!(shard.has_forgotten(id));
            shard.refused();
            assert!(!shard.has_forgotten(id), "it has never been");
            forget(&mut shard);
            write(&mut shard, &mut store);
            assert!(shard.has_forgotten(id));
        }
        if with_snapshot {
            sync(&mut shard, &mut store);
            take_snapshot(&mut shard, &mut store);
        }
        drop((shard, store));
        let shard = directory.open().shard;
        assert!(ids.iter().all(|id| shard.has_forgotten(id)));
        let other = forward(B, 1).forward.unwrap();
        assert!(!shard.has_forgotten(&other));
    }
}

/// Ids of every sort, a reset among them, an incarnation that ends.
fn live(shard: &mut Shard, store: &mut Store<RealDisk>) {
    post(shard, 1, &forward(A, 1));
    post(shard, 1, &both(B, 1, 71));
    write(shard, store);
    post_too_much(shard, 1, &key(72));
    post(shard, 2, &key(73));
    shard.reset(None, TIME_US);
    write(shard, store);
    post(shard, 2, &forward(A_LATER, 9));
    post(shard, 2, &NO_IDS);
    post(shard, 2, &forward(A_LATER, 4));
    write(shard, store);
}

/// What is known after that.
fn expect_lived(shard: &Shard) {
    assert_eq!(
        recognise(shard, 1, &forward(A, 1)),
        DedupResult::New,
        "an old incarnation"
    );
    assert_eq!(recognise(shard, 1, &forward(B, 1)), posted(1, 2));
    assert_eq!(recognise(shard, 1, &key(71)), posted(1, 2));
    assert_eq!(recognise(shard, 2, &key(71)), DedupResult::OtherRequest);
    assert_eq!(recognise_too_much(shard, 1, &key(72)), REFUSED);
    assert_eq!(
        recognise(shard, 2, &key(73)),
        posted(2, 1),
        "a reset forgets none"
    );
    assert_eq!(recognise(shard, 2, &forward(A_LATER, 9)), posted(2, 1));
    assert_eq!(recognise(shard, 2, &forward(A_LATER, 4)), posted(2, 3));
    assert_eq!(recognise(shard, 2, &forward(A_LATER, 5)), DedupResult::New);
}

#[test]
fn the_journal_alone_brings_them_back() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    live(&mut shard, &mut store);
    expect_lived(&shard);
    let recovered = directory.open();
    assert_eq!(recovered.report.snapshot, 0);
    expect_lived(&recovered.shard);
    assert!(state(&recovered.shard) == state(&shard));
}

#[test]
fn a_snapshot_alone_brings_them_back() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    live(&mut shard, &mut store);
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    let recovered = directory.open();
    assert_eq!(recovered.report.replayed, 0);
    expect_lived(&recovered.shard);
}

/// However much happens before, while, and after it is copied: accounts, windows and keys are of
/// different moments.
#[test]
fn a_fuzzy_snapshot_and_the_journal_bring_them_back() {
    const STEPS: usize = 6;
    for moment in 0..STEPS {
        let directory = Directory::new();
        let Recovered {
            mut shard,
            mut store,
            ..
        } = directory.open();
        let origin = Origin {
            member: 9,
            epoch: 9,
        };
        let numbers = 1..=20;
        for number in numbers.clone() {
            post(&mut shard, 5, &both(origin, number, number.into()));
            write(&mut shard, &mut store);
        }
        sync(&mut shard, &mut store);
        assert!(store.snapshot_begin(&mut shard));
        for step in 0..STEPS {
            if step == moment {
                live(&mut shard, &mut store);
            }
            let number = 100 + step as u64;
            post(&mut shard, 4, &both(B, number, number.into()));
            write(&mut shard, &mut store);
            if let Some(job) = store.snapshot_step(&mut shard) {
                run(&mut shard, &mut store, Some(job));
            }
        }
        sync(&mut shard, &mut store);
        while let Some(job) = store.snapshot_step(&mut shard) {
            run(&mut shard, &mut store, Some(job));
        }
        let recovered = directory.open();
        assert_ne!(recovered.report.snapshot, 0);
        for shard in [&shard, &recovered.shard] {
            expect_lived(shard);
            for number in numbers.clone() {
                let outcome = posted(5, number as i64);
                assert_eq!(recognise(shard, 5, &key(number.into())), outcome);
                assert_eq!(recognise(shard, 5, &forward(origin, number)), outcome);
            }
            for step in 0..STEPS as u64 {
                let by_key = recognise(shard, 4, &key(100 + u128::from(step)));
                assert_eq!(recognise(shard, 4, &forward(B, 100 + step)), by_key);
                assert!(matches!(by_key, DedupResult::Repeated(Ok(_))));
            }
        }
        assert!(state(&recovered.shard) == state(&shard));
    }
}

/// Keys that are forgotten while later ones are copied do not come back, nor leave a hole: a key among
/// them may be used again, and the journal says so.
#[test]
fn keys_may_be_forgotten_while_they_are_copied() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    let mut next = 0;
    let mut more = |shard: &mut Shard, store: &mut Store<RealDisk>, count: usize| {
        for _ in 0..count {
            if !shard.accepts() {
                write(shard, store);
            }
            post(shard, 1, &key(next));
            next += 1;
        }
        write(shard, store);
    };
    more(&mut shard, &mut store, KEYS_MAX);
    assert!(store.snapshot_begin(&mut shard));
    // The accounts; the first keys.
    for _ in 0..2 {
        let job = store.snapshot_step(&mut shard);
        let Some(StoreJob::Slice(slice)) = &job else {
            panic!("a slice");
        };
        assert!((5 * 704..=SNAPSHOT_SLICE_BYTES).contains(&slice.bytes.len()));
        run(&mut shard, &mut store, job);
    }
    more(&mut shard, &mut store, 7_000);
    // Forgotten, though copied, and used again.
    post(&mut shard, 2, &key(100));
    write(&mut shard, &mut store);
    more(&mut shard, &mut store, 14_000);
    sync(&mut shard, &mut store);
    let mut keys = 0;
    while let Some(job) = store.snapshot_step(&mut shard) {
        if let StoreJob::Slice(slice) = &job {
            assert!(slice.bytes.len() <= SNAPSHOT_SLICE_BYTES);
            keys += slice.bytes.len() / 40;
        }
        run(&mut shard, &mut store, Some(job));
    }
    assert_eq!(
        keys,
        KEYS_MAX - 21_001,
        "what came meanwhile is in the journal"
    );
    let recovered = directory.open();
    assert_ne!(recovered.report.snapshot, 0);
    for shard in [&shard, &recovered.shard] {
        for number in [0, 99, 101, 20_999, 21_000] {
            assert_eq!(
                recognise(shard, 1, &key(number)),
                DedupResult::New,
                "{number}"
            );
        }
        assert_eq!(recognise(shard, 2, &key(100)), posted(2, 1));
        for number in [21_001, 50_000, 99_999, 100_000, 120_999] {
            assert_eq!(
                recognise(shard, 1, &key(number)),
                posted(1, number as i64 + 1)
            );
        }
        // All of them would be in the way of what is not there.
        for number in 0..121_000 {
            let known = recognise(shard, 1, &key(number)) != DedupResult::New;
            assert_eq!(known, number > 21_000 || number == 100, "{number}");
        }
    }
}
