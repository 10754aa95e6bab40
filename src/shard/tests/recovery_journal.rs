//! One test for each label of the journal's table in `recovery.rs`.

use super::faulty::{Faulty, Write};
use super::recovery::{at, is_version, segment_of, set_version, with_records, with_snapshots};
use super::*;
use crate::bank::Refusal;
use crate::payments::{PaymentId, Processor};
use crate::shard::error::Evidence;
use crate::shard::journal::{self, Stamp};
use crate::shard::payments::Settled;
use crate::shard::recovery::JournalCase;
use crate::shard::Identity;

#[test]
fn journal_version() {
    for version in [2, 4] {
        let (directory, _) = with_records(3, 0);
        set_version(&directory.segment(1), 60, version);
        let error = directory.refusal();
        assert!(is_version(&error, &directory.segment(1), version, 3));
    }
}

#[test]
fn journal_foreign() {
    let (directory, _) = with_records(3, 0);
    let identity = Identity {
        directory: 7,
        ..directory.meta.identity(0)
    };
    let header = journal::SegmentHeader {
        directory: identity.directory,
        shard: 0,
        first: 4,
        chain: 0,
    };
    fs::write(directory.segment(4), header.to_bytes()).unwrap();
    let error = directory.refusal();
    assert!(matches!(error, RecoveryError::Foreign { file } if file == directory.segment(4)));
}

#[test]
fn clean() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    credit(&mut shard, &mut store, 1);
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    let report = directory.open().report;
    assert_eq!(report.journal, JournalCase::Clean);
    assert_eq!(
        (report.snapshot, report.replayed, report.sequence),
        (1, 0, 1)
    );
}

#[test]
fn replay() {
    let (directory, state_before) = with_records(7, 3);
    let Recovered {
        mut shard,
        mut store,
        report,
        ..
    } = directory.open();
    assert_eq!(report.journal, JournalCase::Replay);
    assert_eq!((report.replayed, report.sequence), (7, 7));
    assert!(state(&shard) == state_before);
    // And on; the last record proves the first three durable, and no more.
    assert_eq!(shard.synced_sequence(), 3);
    assert_eq!(shard.time_us(0), TIME_US);
    assert!(store.needs_sync());
    sync(&mut shard, &mut store);
    assert_eq!(shard.synced_sequence(), 7);
    credit(&mut shard, &mut store, 1);
    sync(&mut shard, &mut store);
    assert_eq!(directory.open().report.sequence, 8);
}

/// After a failed sync the kernel may call pages clean that are not on the disk: the next process
/// reads them, its own syncs succeed, its records prove them durable, and a power loss takes them.
#[test]
fn what_a_failed_sync_left_in_memory_is_written_again() {
    let (directory, _) = with_records(7, 3);
    let disk = Faulty::default();
    let open = || open(&disk, directory.path(), &directory.meta, 0);
    // Record 7 proves the first three durable.
    let tail = (directory.segment(1), at(4) as u64, 4 * 64);
    disk.0.lock().unwrap().writes = [Write::Fails(libc::EIO)].into();
    let Err(RecoveryError::Io { path, .. }) = open() else {
        panic!("a sync could not make this durable");
    };
    assert_eq!(path, directory.segment(1));
    *disk.0.lock().unwrap() = Default::default();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = open().unwrap();
    assert_eq!(shard.synced_sequence(), 3);
    assert_eq!(
        disk.0.lock().unwrap().syncs,
        0,
        "taking a shard over waits for no device"
    );
    let done = store.sync().expect("it was written again").run();
    store.done(&mut shard, done).unwrap();
    assert_eq!(shard.synced_sequence(), 7);
    let plan = disk.0.lock().unwrap();
    assert_eq!(plan.written, [tail]);
    assert_eq!(plan.syncs, 1);
    assert!(plan.dir_syncs.contains(&directory.shard_dir()));
}

/// Rotation was all that the last process came to: the new segment's name may not be durable, and
/// the syncs of what is written into it do not make it so.
#[test]
fn a_segment_without_records_gets_a_durable_name() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    credit(&mut shard, &mut store, 1);
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    let header = journal::SegmentHeader {
        directory: directory.meta.directory,
        shard: 0,
        first: 2,
        chain: shard.log_end().chain,
    };
    fs::write(directory.segment(2), header.to_bytes()).unwrap();
    let disk = Faulty::default();
    let mut recovered = open(&disk, directory.path(), &directory.meta, 0).unwrap();
    assert_eq!(recovered.report.journal, JournalCase::Clean);
    let done = recovered.store.sync().expect("it was written again").run();
    recovered.store.done(&mut recovered.shard, done).unwrap();
    let plan = disk.0.lock().unwrap();
    assert_eq!(plan.written, [(directory.segment(2), 0, 64)]);
    assert_eq!(plan.syncs, 1);
    assert!(plan.dir_syncs.contains(&directory.shard_dir()));
}

#[test]
fn what_a_snapshot_proves_durable_is_not_written_again() {
    let (directory, _) = with_snapshots();
    let disk = Faulty::default();
    open(&disk, directory.path(), &directory.meta, 0).unwrap();
    let tail = (directory.segment(1), at(5) as u64, 2 * 64);
    assert_eq!(disk.0.lock().unwrap().written, [tail]);
}

#[test]
fn torn_tail() {
    type Damage = fn(&mut Vec<u8>);
    // Seven records, the first three synced: what is lost behind those is a torn tail.
    let cases: [(usize, Damage); 7] = [
        (6, |bytes| bytes.truncate(at(7) + 63)),
        (6, |bytes| bytes.truncate(at(7) + 1)),
        (6, |bytes| bytes[at(7) + 50] ^= 1),
        (6, |bytes| bytes[at(7)..].fill(0)),
        (7, |bytes| bytes.resize(bytes.len() + 4096, 0)),
        (7, |bytes| bytes.extend(*b"GALO")),
        // Later pages arrived, this one did not: none of those proves it durable.
        (4, |bytes| bytes[at(5)..at(6)].fill(0)),
    ];
    for (sequence, damage) in cases {
        let (directory, _) = with_records(7, 3);
        edit(&directory.segment(1), damage);
        let Recovered {
            mut shard,
            mut store,
            report,
            ..
        } = directory.open();
        let JournalCase::TornTail(torn) = &report.journal else {
            panic!("{report:?}");
        };
        assert_eq!(torn.offset as usize, at(sequence + 1));
        assert_eq!(report.sequence as usize, sequence);
        let length = fs::metadata(directory.segment(1)).unwrap().len();
        assert_eq!(length, torn.offset);
        // What comes after the cut is found again.
        credit(&mut shard, &mut store, 2);
        let again = directory.open();
        assert_eq!(again.report.journal, JournalCase::Replay);
        assert!(state(&again.shard) == state(&shard));
    }
}

#[test]
fn torn_tail_with_later_segments() {
    let (directory, _) = with_records(3, 0);
    edit(&directory.segment(1), |bytes| bytes.truncate(at(3)));
    segment_of(&directory, 4, |bytes, seed, stamp| {
        let stamp = Stamp {
            unsynced: 4,
            ..stamp
        };
        journal::append_reset(bytes, seed, &stamp, None);
    });
    let report = directory.open().report;
    let JournalCase::TornTail(torn) = report.journal else {
        panic!("{report:?}");
    };
    assert_eq!((torn.superfluous, report.sequence), (vec![4], 2));
    assert!(!directory.segment(4).exists());
    assert_eq!(directory.open().report.journal, JournalCase::Replay);
}

#[test]
fn damaged() {
    type Damage = fn(&mut Vec<u8>);
    let cases: [(usize, Damage); 4] = [
        (2, |bytes| bytes[at(2) + 48] ^= 1),
        (3, |bytes| bytes[at(3)..at(3) + 8].fill(0)),
        (1, |bytes| bytes[at(1) + 8] ^= 8),
        (2, |bytes| {
            bytes.drain(at(2)..at(3));
        }),
    ];
    for (sequence, damage) in cases {
        let (directory, _) = with_records(7, 3);
        edit(&directory.segment(1), damage);
        let before = fs::read(directory.segment(1)).unwrap();
        let error = directory.refusal();
        let RecoveryError::Damaged {
            file,
            offset,
            sequence: missing,
            evidence: Evidence::Record {
                sequence: later, ..
            },
            ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(file, &directory.segment(1));
        assert_eq!(
            (*offset as usize, *missing as usize),
            (at(sequence), sequence)
        );
        assert!(*later >= 4, "written after the sync");
        assert!(error.to_string().contains(&format!("byte {offset}")));
        assert_eq!(fs::read(directory.segment(1)).unwrap(), before, "untouched");
    }
}

#[test]
fn damaged_says_a_snapshot() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    for _ in 0..3 {
        credit(&mut shard, &mut store, 1);
    }
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    edit(&directory.segment(1), |bytes| bytes[at(3)] ^= 1);
    let error = directory.refusal();
    assert!(matches!(
        error,
        RecoveryError::Damaged { sequence: 3, evidence: Evidence::Snapshot(file), .. }
            if file == directory.snapshot(3)
    ));
}

#[test]
fn segment_missing() {
    let (directory, _) = with_records(3, 3);
    segment_of(&directory, 6, |bytes, seed, stamp| {
        journal::append_reset(bytes, seed, &stamp, None);
    });
    let error = directory.refusal();
    assert!(matches!(
        error,
        RecoveryError::SegmentMissing { sequence: 4, .. }
    ));

    fs::remove_file(directory.segment(1)).unwrap();
    let error = directory.refusal();
    assert!(matches!(
        error,
        RecoveryError::SegmentMissing {
            sequence: 1,
            evidence: Evidence::Needed,
            ..
        }
    ));
}

#[test]
fn half_segment() {
    for half in [0, 1, 63] {
        let (directory, state_before) = with_records(3, 3);
        let header = fs::read(directory.segment(1)).unwrap();
        fs::write(directory.segment(4), &header[..half]).unwrap();
        let recovered = directory.open();
        let file = directory.segment(4);
        assert_eq!(
            recovered.report.journal,
            JournalCase::HalfSegment(file.clone())
        );
        assert!(!file.exists());
        assert!(state(&recovered.shard) == state_before);
        assert_eq!(directory.open().report.journal, JournalCase::Replay);
    }
}

#[test]
fn half_segment_where_the_snapshot_continues() {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    credit(&mut shard, &mut store, 1);
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    fs::write(directory.segment(2), b"GALO").unwrap();
    let report = directory.open().report;
    assert_eq!(
        report.journal,
        JournalCase::HalfSegment(directory.segment(2))
    );
}

#[test]
fn journal_short() {
    let (directory, _) = with_snapshots();
    edit(&directory.segment(1), |bytes| bytes.truncate(at(4)));
    let error = directory.refusal();
    assert!(matches!(
        error,
        RecoveryError::JournalShort {
            sequence: 3,
            end: 4,
            ..
        }
    ));
    // A bad snapshot is a witness, too.
    edit(&directory.snapshot(4), |bytes| bytes[5000] ^= 1);
    let error = directory.refusal();
    assert!(matches!(
        error,
        RecoveryError::JournalShort {
            sequence: 3,
            end: 4,
            ..
        }
    ));
}

#[test]
fn disagree() {
    let (directory, _) = with_snapshots();
    // Another journal of the same directory: record 4 is a different one.
    fs::remove_file(directory.segment(1)).unwrap();
    let other = order(2, Kind::Credit, 7, "other");
    segment_of(&directory, 1, |bytes, seed, mut stamp| {
        for sequence in 1..=6 {
            stamp.sequence = sequence;
            stamp.unsynced = sequence as u32;
            stamp.chain = journal::append_transaction(bytes, seed, &stamp, &other);
        }
    });
    let error = directory.refusal();
    assert!(matches!(error, RecoveryError::Disagree { sequence: 4, .. }));
}

#[test]
fn does_not_apply() {
    let cases: [(u32, Kind, i64, &str); 2] = [
        (77, Kind::Credit, 1, "no such account"),
        (1, Kind::Debit, 100_001, "out of its bounds"),
    ];
    for (client, kind, amount, reason) in cases {
        let directory = Directory::new();
        segment_of(&directory, 1, |bytes, seed, stamp| {
            let order = order(client, kind, amount, "x");
            journal::append_transaction(bytes, seed, &stamp, &order);
        });
        let error = directory.refusal();
        assert!(
            matches!(
                error,
                RecoveryError::DoesNotApply {
                    offset: 64,
                    sequence: 1,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains(reason), "{error}");
    }
    // An outcome that is not what comes of it; one that was known before.
    let ids = Ids {
        forward: None,
        key: Some(1),
    };
    let order = order(1, Kind::Debit, 100, "x");
    let cases = [
        (Ok(-100), Ok(-201), "another balance"),
        (Ok(-100), Err(Refusal::Limit), "not have been refused"),
        (Ok(-100), Ok(-200), "still remembered"),
    ];
    for (first, second, reason) in cases {
        let directory = Directory::new();
        segment_of(&directory, 1, |bytes, seed, mut stamp| {
            stamp.chain = journal::append_remembered(bytes, seed, &stamp, &order, &ids, first);
            stamp.sequence += 1;
            journal::append_remembered(bytes, seed, &stamp, &order, &ids, second);
        });
        let error = directory.refusal();
        assert!(
            matches!(error, RecoveryError::DoesNotApply { sequence: 2, .. }),
            "{error}"
        );
        assert!(error.to_string().contains(reason), "{error}");
    }
    // An intact record of a kind that nobody knows yet.
    let directory = Directory::new();
    segment_of(&directory, 1, |bytes, seed, stamp| {
        journal::append_reset(bytes, seed, &stamp, None);
        bytes[at(1) + 10] = 4;
        let crc = crc32c::crc32c_append(seed, &bytes[at(1) + 4..]);
        bytes[at(1)..at(1) + 4].copy_from_slice(&crc.to_le_bytes());
    });
    let error = directory.refusal();
    assert!(
        matches!(error, RecoveryError::DoesNotApply { offset: 64, .. }),
        "{error}"
    );
}

/// What the journal of a payment says, in the order of records.
#[derive(Clone, Copy, Debug)]
enum Of {
    Accepted(u64),
    Bound(u64),
    Settled(u64),
    Purged,
    Reset,
}

/// A segment of these; the checksum of the last one.
fn payments_of(bytes: &mut Vec<u8>, seed: u32, mut stamp: Stamp, records: &[Of]) -> Stamp {
    let id = |number: u64| PaymentId::made_of(u128::from(number) << 64 | 1);
    let (mut settled, time_us) = (0, stamp.time_us);
    for record in records {
        let stamp_now = stamp;
        let crc = match *record {
            Of::Accepted(n) => journal::append_accepted(bytes, seed, &stamp_now, id(n), 1990),
            Of::Bound(n) => {
                journal::append_bound(bytes, seed, &stamp_now, id(n), Processor::Default, 1000)
            }
            Of::Settled(n) => {
                let entry = Settled {
                    id: id(n),
                    cents: 1990,
                    accepted_us: time_us,
                    requested_us: 1000,
                    by: Processor::Default,
                    attempts: 1,
                };
                settled += 1;
                journal::append_settled(bytes, seed, &stamp_now, settled - 1, &entry)
            }
            Of::Purged => journal::append_purged(bytes, seed, &stamp_now, settled, None),
            Of::Reset => journal::append_reset(bytes, seed, &stamp_now, None),
        };
        stamp.chain = crc;
        stamp.sequence += 1;
        stamp.unsynced += 1;
    }
    stamp
}

/// Acceptances are looked at together, but said to be wrong as if each were looked at by itself.
#[test]
fn does_not_apply_twice_accepted() {
    use Of::{Accepted, Bound, Purged, Reset, Settled};
    // And which record it is.
    let cases: [(&[Of], u64); 14] = [
        (&[Accepted(1), Accepted(2), Accepted(1)], 3),
        (&[Accepted(1), Accepted(2), Accepted(2), Accepted(1)], 3),
        (&[Accepted(1), Accepted(2), Accepted(1), Accepted(2)], 3),
        // Waiting at the time, and bound when it comes out.
        (&[Accepted(1), Accepted(2), Accepted(1), Bound(1)], 3),
        (&[Accepted(1), Accepted(2), Accepted(1), Bound(2)], 3),
        (&[Accepted(1), Accepted(1), Bound(1), Bound(1)], 2),
        // Bound before.
        (&[Accepted(1), Accepted(2), Bound(1), Accepted(1)], 4),
        (&[Accepted(1), Bound(1), Accepted(1), Bound(1)], 3),
        (&[Accepted(1), Bound(1), Accepted(1), Settled(1)], 3),
        (&[Accepted(1), Accepted(1), Bound(1), Settled(1)], 2),
        // Settled before, and the first of the queue.
        (&[Accepted(1), Bound(1), Settled(1), Accepted(1)], 4),
        (
            &[Accepted(1), Bound(1), Settled(1), Accepted(1), Bound(1)],
            4,
        ),
        // All is forgotten before it comes out.
        (&[Accepted(1), Accepted(1), Purged], 2),
        (&[Accepted(1), Accepted(1), Reset], 2),
    ];
    for (records, wrong) in cases {
        let directory = Directory::new();
        let mut ends = vec![journal::HEADER_BYTES];
        segment_of(&directory, 1, |bytes, seed, stamp| {
            for records in (1..=records.len()).map(|count| &records[..count]) {
                bytes.truncate(journal::HEADER_BYTES);
                payments_of(bytes, seed, stamp, records);
                ends.push(bytes.len());
            }
            // Also when what follows could be cut off.
            bytes.extend_from_slice(&[7; 64]);
        });
        let error = directory.refusal();
        let RecoveryError::DoesNotApply {
            file,
            offset,
            sequence,
            reason,
        } = &error
        else {
            panic!("{records:?}: {error}");
        };
        assert_eq!(*file, directory.segment(1));
        let expected = (ends[wrong as usize - 1] as u64, wrong);
        assert_eq!((*offset, *sequence), expected, "{records:?}");
        assert_eq!(*reason, "a payment that was accepted before");
    }
    // A payment may come again when nothing is known of it any more.
    for forgotten in [Purged, Reset] {
        let directory = Directory::new();
        segment_of(&directory, 1, |bytes, seed, stamp| {
            let records = [Accepted(1), Accepted(2), forgotten, Accepted(1), Bound(1)];
            payments_of(bytes, seed, stamp, &records);
        });
        assert_eq!(directory.open().shard.payments().open(), 1);
    }
}

/// It comes out at the end of the journal, and is in an earlier segment.
#[test]
fn does_not_apply_twice_accepted_in_an_earlier_segment() {
    let directory = Directory::new();
    let mut next = None;
    segment_of(&directory, 1, |bytes, seed, stamp| {
        let records = [Of::Accepted(1), Of::Accepted(2), Of::Accepted(1)];
        next = Some(payments_of(bytes, seed, stamp, &records));
    });
    let next = next.unwrap();
    segment_of(&directory, 4, |bytes, seed, _| {
        let identity = directory.meta.identity(0);
        let header = journal::SegmentHeader {
            directory: identity.directory,
            shard: 0,
            first: 4,
            chain: next.chain,
        };
        *bytes = header.to_bytes().to_vec();
        payments_of(bytes, seed, next, &[Of::Accepted(3)]);
    });
    let error = directory.refusal();
    let RecoveryError::DoesNotApply { file, offset, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*file, directory.segment(1));
    assert_eq!(*offset, 64 + 2 * 56);
}
