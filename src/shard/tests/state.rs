//! The shard in memory.

use super::*;
use crate::bank::Refusal;
use crate::limits::JOURNAL_BATCH_BYTES_MAX;

#[test]
fn a_usual_record_has_64_bytes() {
    let mut shard = Directory::new().open().shard;
    let index = shard.find(1).unwrap();
    let posted = shard.transact(index, Kind::Credit, 1, text("descricao!"), TIME_US, &NO_IDS);
    assert_eq!(posted.unwrap().balance, 1);
    assert_eq!(shard.batch().len(), 64);
    assert_eq!((shard.written_end().sequence, shard.sequence()), (0, 1));
}

#[test]
fn a_refusal_changes_nothing() {
    let mut shard = Directory::new().open().shard;
    let before = state(&shard);
    let index = shard.find(1).unwrap();
    let refusal = shard.transact(index, Kind::Debit, 100_001, text("d"), TIME_US, &NO_IDS);
    assert_eq!(refusal, Err(Refusal::Limit));
    let refusal = shard.transact(index, Kind::Debit, i64::MAX, text("d"), TIME_US, &NO_IDS);
    assert_eq!(refusal, Err(Refusal::Limit));
    assert!(state(&shard) == before && shard.batch().is_empty() && shard.sequence() == 0);
}

#[test]
fn time_never_goes_backwards() {
    let mut shard = Directory::new().open().shard;
    let index = shard.find(1).unwrap();
    for realtime_us in [TIME_US, 5, TIME_US + 1, 0] {
        let posted = shard.transact(index, Kind::Credit, 1, text("d"), realtime_us, &NO_IDS);
        posted.unwrap();
    }
    let times: Vec<u64> = shard
        .account(index)
        .statement()
        .map(|transaction| transaction.time_us() - TIME_US)
        .collect();
    assert_eq!(times, [1, 1, 0, 0]);
    assert_eq!(shard.time_us(0), TIME_US + 1);
    shard.refused();
    assert_eq!(shard.time_us(7), 7);
}

#[test]
fn a_full_batch_waits_for_the_next_tick() {
    let mut shard = Directory::new().open().shard;
    let index = shard.find(1).unwrap();
    while shard.accepts() {
        let posted = shard.transact(index, Kind::Credit, 1, text("d"), TIME_US, &NO_IDS);
        posted.unwrap();
    }
    assert!(shard.batch().len() <= JOURNAL_BATCH_BYTES_MAX);
    shard.written();
    assert!(shard.accepts() && shard.batch().is_empty());
}

#[test]
fn a_reset_is_carried_out_when_it_is_written() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    let before = state(&shard);
    credit(&mut shard, &mut store, 1);
    let index = shard.find(1).unwrap();
    for written in [false, true] {
        let posted = shard.transact(index, Kind::Credit, 1, text("d"), TIME_US, &NO_IDS);
        posted.unwrap();
        shard.reset(None, TIME_US);
        assert!(!shard.accepts());
        assert_eq!(shard.account(index).balance(), 2);
        if written {
            write(&mut shard, &mut store);
            assert_eq!(shard.account(index).balance(), 0);
            assert_eq!(shard.account(index).statement().count(), 0);
        } else {
            shard.refused();
            assert_eq!(shard.account(index).balance(), 1);
        }
        assert!(shard.accepts());
    }
    credit(&mut shard, &mut store, 2);
    let recovered = directory.open().shard;
    assert!(state(&recovered) == state(&shard) && state(&shard) != before);
}
