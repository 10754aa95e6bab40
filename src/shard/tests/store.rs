//! The files of a shard while it serves: full disks, broken disks, segments that come and go.

use super::faulty::{Faulty, Write};
use super::*;
use crate::limits::{JOURNAL_SEGMENT_BYTES, SNAPSHOT_JOURNAL_BYTES_MIN, SNAPSHOT_SLICE_BYTES};
use crate::shard::{AppendError, Done};

fn faulty(directory: &Directory) -> (Faulty, Shard, Store<Faulty>) {
    let disk = Faulty::default();
    let recovered = open(&disk, directory.path(), &directory.meta, 0).unwrap();
    *disk.0.lock().unwrap() = Default::default();
    (disk, recovered.shard, recovered.store)
}

fn transact(shard: &mut Shard, client: u32) {
    let index = shard.find(client).unwrap();
    let posted = shard.transact(index, Kind::Debit, 10, text("d"), TIME_US, &NO_IDS);
    posted.unwrap();
}

#[test]
fn a_short_write_is_finished() {
    let directory = Directory::new();
    let (disk, mut shard, mut store) = faulty(&directory);
    disk.0.lock().unwrap().writes = [Write::Short(7), Write::Short(1)].into();
    credit(&mut shard, &mut store, 1);
    assert_eq!(directory.open().report.sequence, 1);
}

#[test]
fn a_full_disk_leaves_the_journal_as_it_was() {
    for errno in [libc::ENOSPC, libc::EDQUOT, libc::EFBIG] {
        let directory = Directory::new();
        let (disk, mut shard, mut store) = faulty(&directory);
        credit(&mut shard, &mut store, 1);
        let (before, sequence) = (state(&shard), shard.sequence());
        transact(&mut shard, 1);
        transact(&mut shard, 2);
        disk.0.lock().unwrap().writes = [Write::Short(70), Write::Fails(errno)].into();
        let result = store.append(&shard);
        assert!(matches!(result, Err(AppendError::Full(_))));
        shard.refused();
        assert!(state(&shard) == before && shard.sequence() == sequence);
        // Room again: it resumes by itself.
        credit(&mut shard, &mut store, 3);
        let recovered = directory.open();
        assert_eq!(recovered.report.sequence, 2);
        assert!(state(&recovered.shard) == state(&shard));
    }
}

#[test]
fn refusing_on_a_full_disk_costs_no_sync() {
    let directory = Directory::new();
    let (disk, mut shard, mut store) = faulty(&directory);
    for _ in 0..3 {
        transact(&mut shard, 1);
        disk.0.lock().unwrap().writes = [Write::Fails(libc::ENOSPC)].into();
        let result = store.append(&shard);
        assert!(matches!(result, Err(AppendError::Full(_))));
        shard.refused();
    }
    assert_eq!(disk.0.lock().unwrap().syncs, 0);
}

#[test]
fn a_broken_disk_is_fatal() {
    let directory = Directory::new();
    let (disk, mut shard, mut store) = faulty(&directory);
    transact(&mut shard, 1);
    disk.0.lock().unwrap().writes = [Write::Fails(libc::EIO)].into();
    let result = store.append(&shard);
    assert!(matches!(result, Err(AppendError::Fatal(_))));
    // Full, and what was written cannot be cut off.
    disk.0.lock().unwrap().writes = [Write::Short(8), Write::Fails(libc::ENOSPC)].into();
    disk.0.lock().unwrap().set_len = Some(libc::EIO);
    let result = store.append(&shard);
    assert!(matches!(result, Err(AppendError::Fatal(_))));
}

#[test]
fn a_failed_sync_is_fatal() {
    let directory = Directory::new();
    let (disk, mut shard, mut store) = faulty(&directory);
    credit(&mut shard, &mut store, 1);
    disk.0.lock().unwrap().sync = Some(libc::EIO);
    let done = store.sync().unwrap().run();
    assert!(matches!(done, Done::SyncFailed { shard: 0, .. }));
    assert!(store.done(&mut shard, done).is_err());
    assert_eq!(shard.synced_sequence(), 0);
    assert!(store.sync().is_none(), "never retried");
}

#[test]
fn one_sync_at_a_time() {
    let directory = Directory::new();
    let (_, mut shard, mut store) = faulty(&directory);
    // The names of what has just been made.
    sync(&mut shard, &mut store);
    assert!(store.sync().is_none(), "nothing to sync");
    credit(&mut shard, &mut store, 1);
    let job = store.sync();
    credit(&mut shard, &mut store, 1);
    assert!(store.sync().is_none(), "under way");
    run(&mut shard, &mut store, job);
    assert_eq!((shard.synced_sequence(), shard.sequence()), (1, 2));
    sync(&mut shard, &mut store);
    assert!(!store.needs_sync());
}

#[test]
fn a_sync_that_finds_no_descriptor_is_done_later() {
    let directory = Directory::new();
    let (disk, mut shard, mut store) = faulty(&directory);
    credit(&mut shard, &mut store, 1);
    disk.0.lock().unwrap().sync_dir = Some(libc::EMFILE);
    let job = store.sync();
    credit(&mut shard, &mut store, 1);
    run(&mut shard, &mut store, job);
    assert_eq!(shard.synced_sequence(), 0);
    assert!(store.needs_sync() && !store.is_syncing());
    disk.0.lock().unwrap().sync_dir = None;
    sync(&mut shard, &mut store);
    assert!(!store.needs_sync());
    assert!(!disk.0.lock().unwrap().dir_syncs.is_empty());
}

/// Fills the current segment, in batches.
fn fill_segment<D: Disk>(shard: &mut Shard, store: &mut Store<D>) {
    let segments = store.segments().len();
    while store.segments().len() == segments {
        while shard.accepts() {
            let index = shard.find(1 + shard.sequence() as u32 % 5).unwrap();
            let posted =
                shard.transact(index, Kind::Credit, 1, text("descricao!"), TIME_US, &NO_IDS);
            posted.unwrap();
        }
        write(shard, store);
    }
}

#[test]
fn segments_rotate_are_synced_together_and_go_when_covered() {
    let directory = Directory::new();
    let (disk, mut shard, mut store) = faulty(&directory);
    fill_segment(&mut shard, &mut store);
    disk.0.lock().unwrap().syncs = 0;
    sync(&mut shard, &mut store);
    assert_eq!(disk.0.lock().unwrap().syncs, 2, "both segments");
    assert!(fs::metadata(directory.segment(1)).unwrap().len() >= JOURNAL_SEGMENT_BYTES);
    assert!(state(&directory.open().shard) == state(&shard));

    // The two newest snapshots stay, and the journal back to the older one.
    take_snapshot(&mut shard, &mut store);
    assert_eq!(store.segments().len(), 2);
    fill_segment(&mut shard, &mut store);
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    assert_eq!((store.snapshots().len(), store.segments().len()), (2, 2));
    assert!(!directory.segment(1).exists() && !directory.snapshot(0).exists());
    fill_segment(&mut shard, &mut store);
    let newest = store.snapshots()[1].end;
    edit(&directory.snapshot(newest), |bytes| bytes[4500] ^= 1);
    let recovered = directory.open();
    assert_eq!(recovered.report.snapshots_bad.len(), 1);
    assert!(state(&recovered.shard) == state(&shard));
}

#[test]
fn a_new_segment_that_finds_no_room_is_tried_again() {
    let directory = Directory::new();
    let (disk, mut shard, mut store) = faulty(&directory);
    while store.counters().journal_bytes < JOURNAL_SEGMENT_BYTES {
        while shard.accepts() {
            let index = shard.find(1).unwrap();
            let posted =
                shard.transact(index, Kind::Credit, 1, text("descricao!"), TIME_US, &NO_IDS);
            posted.unwrap();
        }
        write(&mut shard, &mut store);
    }
    let before = shard.sequence();
    for (create, writes) in [
        (Some(libc::ENOSPC), vec![]),
        (None, vec![Write::Short(9), Write::Fails(libc::ENOSPC)]),
    ] {
        transact(&mut shard, 1);
        disk.0.lock().unwrap().create = create;
        disk.0.lock().unwrap().writes = writes.into();
        let result = store.append(&shard);
        assert!(matches!(result, Err(AppendError::Full(_))));
        shard.refused();
        assert_eq!(store.segments(), [1]);
    }
    disk.0.lock().unwrap().create = None;
    credit(&mut shard, &mut store, 1);
    assert_eq!(store.segments(), [1, before + 1]);
    assert!(state(&directory.open().shard) == state(&shard));
}

#[test]
fn a_snapshot_waits_for_the_journal() {
    let directory = Directory::new();
    let (_, mut shard, mut store) = faulty(&directory);
    assert!(!store.snapshot_begin(&mut shard), "nothing new");
    credit(&mut shard, &mut store, 1);
    assert!(store.snapshot_begin(&mut shard));
    let job = store.snapshot_step(&mut shard);
    run(&mut shard, &mut store, job);
    credit(&mut shard, &mut store, 2);
    assert!(store.snapshot_step(&mut shard).is_none(), "not durable");
    assert!(store.snapshot_under_way() && !store.snapshot_begin(&mut shard));
    sync(&mut shard, &mut store);
    let job = store.snapshot_step(&mut shard);
    run(&mut shard, &mut store, job);
    assert_eq!(store.snapshots().last().unwrap().end, 2);
    assert_eq!(store.snapshots().last().unwrap().from, 2);
}

/// More was journalled while a snapshot was copied than the next one waits for; that one already has
/// it all. It was due and never begun, and an idle core ticked without pause.
#[test]
fn a_snapshot_that_has_everything_is_followed_by_none() {
    let directory = Directory::new();
    let (_, mut shard, mut store) = faulty(&directory);
    credit(&mut shard, &mut store, 1);
    assert!(store.snapshot_begin(&mut shard));
    let job = store.snapshot_step(&mut shard);
    run(&mut shard, &mut store, job);
    while store.counters().journal_bytes < SNAPSHOT_JOURNAL_BYTES_MIN + 64 {
        fill_segment(&mut shard, &mut store);
    }
    sync(&mut shard, &mut store);
    let job = store.snapshot_step(&mut shard);
    run(&mut shard, &mut store, job);
    assert_eq!(store.snapshots().last().unwrap().end, shard.sequence());
    assert!(!store.snapshot_due(), "nothing new");
    credit(&mut shard, &mut store, 1);
    assert!(store.snapshot_due());
}

#[test]
fn a_failed_snapshot_is_not_fatal() {
    let directory = Directory::new();
    let (disk, mut shard, mut store) = faulty(&directory);
    credit(&mut shard, &mut store, 1);
    sync(&mut shard, &mut store);
    disk.0.lock().unwrap().rename = Some(libc::ENOSPC);
    take_snapshot(&mut shard, &mut store);
    assert_eq!(store.counters().snapshots_failed, 1);
    assert!(!directory.shard_dir().join("snapshot.tmp").exists());
    disk.0.lock().unwrap().rename = None;
    take_snapshot(&mut shard, &mut store);
    assert_eq!(directory.open().report.snapshot, 1);
}

#[test]
fn slices_are_bounded_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let meta = Meta {
        directory: 3,
        shards: 1,
    };
    let clients: Vec<Client> = (0..1000).map(|n| client(2 * n, 5)).collect();
    create(&RealDisk, dir.path(), &meta, &clients).unwrap();
    let mut shard = open(&RealDisk, dir.path(), &meta, 0).unwrap().shard;
    // Every other client is missing: found and not found by search.
    for n in 0..2002 {
        let found = shard.find(n).map(|index| shard.account(index).id());
        assert_eq!(found, (n < 2000 && n % 2 == 0).then_some(n));
    }
    shard.snapshot_begin();
    let mut copied = Vec::new();
    while let Some(slice) = shard.snapshot_slice() {
        assert!(slice.len() <= SNAPSHOT_SLICE_BYTES && slice.len() % 704 == 0);
        copied.extend(slice);
    }
    assert!(copied == state(&shard));
}
