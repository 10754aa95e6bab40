//! One test for each label of the tables in `recovery.rs`.

use super::*;
use crate::shard::error::Evidence;
use crate::shard::journal::{self, Stamp, HEADER_BYTES};
use crate::shard::recovery::JournalCase;
use crate::shard::{snapshot, Identity};

/// Of the records that `credit` writes.
const RECORD: usize = 64;

/// Where record `n` begins in the first segment.
const fn at(n: usize) -> usize {
    HEADER_BYTES + (n - 1) * RECORD
}

/// Credits, each written by itself; synced after the first `synced`.
fn with_records(records: usize, synced: usize) -> (Directory, Vec<u8>) {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    for n in 1..=records {
        credit(&mut shard, &mut store, 1 + n as u32 % 5);
        if n == synced {
            sync(&mut shard, &mut store);
        }
    }
    (directory, state(&shard))
}

/// Writes a segment by itself, for what no shard would write.
fn segment_of(directory: &Directory, first: u64, records: impl FnOnce(&mut Vec<u8>, u32, Stamp)) {
    let identity = directory.meta.identity(0);
    let seed = journal::seed(&identity);
    let header = journal::Header {
        directory: identity.directory,
        shard: 0,
        first,
        chain: seed,
    };
    let mut bytes = header.to_bytes().to_vec();
    let stamp = Stamp {
        chain: seed,
        unsynced: 1,
        sequence: first,
        time_us: TIME_US,
    };
    records(&mut bytes, seed, stamp);
    fs::write(directory.segment(first), bytes).unwrap();
}

#[test]
fn fresh() {
    let directory = Directory::new();
    let recovered = directory.open();
    assert_eq!(recovered.shard.sequence(), 0);
    assert_eq!(recovered.report.accounts, 5);
    for client in CLIENTS {
        let account = recovered
            .shard
            .account(recovered.shard.find(client.id).unwrap());
        assert_eq!((account.id(), account.limit()), (client.id, client.limit));
    }
    assert_eq!(recovered.shard.find(0), None);
    assert_eq!(recovered.shard.find(6), None);

    let empty = tempfile::tempdir().unwrap();
    assert_eq!(Meta::read(&RealDisk, empty.path()).unwrap(), None);
    let absent = empty.path().join("a/b");
    assert_eq!(Meta::read(&RealDisk, &absent).unwrap(), None);
    create(&RealDisk, &absent, &directory.meta, &CLIENTS).unwrap();
    assert_eq!(
        Meta::read(&RealDisk, &absent).unwrap(),
        Some(directory.meta)
    );
}

#[test]
fn fresh_after_an_interrupted_creation() {
    let directory = Directory::new();
    fs::remove_file(directory.path().join(layout::META)).unwrap();
    fs::write(directory.path().join("galo.meta.tmp"), b"GALO").unwrap();
    fs::write(directory.segment(1), b"GALO").unwrap();
    fs::write(directory.shard_dir().join("snapshot.tmp"), b"").unwrap();
    fs::write(directory.shard_dir().join(layout::SHARD_LOCK), b"7\n").unwrap();
    assert_eq!(Meta::read(&RealDisk, directory.path()).unwrap(), None);
    create(&RealDisk, directory.path(), &directory.meta, &CLIENTS).unwrap();
    assert_eq!(directory.open().report.journal, JournalCase::Clean);
    let lock = directory.shard_dir().join(layout::SHARD_LOCK);
    assert!(lock.exists(), "somebody may hold it");
}

#[test]
fn fresh_spreads_clients_over_shards() {
    let dir = tempfile::tempdir().unwrap();
    let meta = Meta {
        directory: 1,
        shards: 3,
    };
    create(&RealDisk, dir.path(), &meta, &CLIENTS).unwrap();
    for (number, clients) in [vec![3], vec![1, 4], vec![2, 5]].into_iter().enumerate() {
        let shard = open(&RealDisk, dir.path(), &meta, number as u32)
            .unwrap()
            .shard;
        let found: Vec<u32> = shard
            .accounts()
            .iter()
            .map(|account| account.id())
            .collect();
        assert_eq!(found, clients);
        for client in 0..10 {
            assert_eq!(shard.find(client).is_some(), clients.contains(&client));
        }
    }
}

#[test]
fn not_ours() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), b"").unwrap();
    let error = Meta::read(&RealDisk, dir.path()).unwrap_err();
    assert!(matches!(&error, RecoveryError::NotOurs { name, .. } if name == "thesis.tex"));

    let directory = Directory::new();
    fs::remove_file(directory.path().join(layout::META)).unwrap();
    fs::write(directory.shard_dir().join("thesis.tex"), b"").unwrap();
    let error = create(&RealDisk, directory.path(), &directory.meta, &CLIENTS).unwrap_err();
    assert!(matches!(error, RecoveryError::NotOurs { .. }));
    assert!(directory.snapshot(0).exists(), "nothing was removed");
}

#[test]
fn meta_damaged() {
    let directory = Directory::new();
    edit(&directory.path().join(layout::META), |bytes| bytes[20] ^= 1);
    let error = Meta::read(&RealDisk, directory.path()).unwrap_err();
    assert!(matches!(error, RecoveryError::MetaDamaged { .. }));
}

/// Sets a header's version, and its checksum to match: what a later galo would write.
fn future(path: &Path, crc: usize) {
    edit(path, |bytes| {
        bytes[8] = 2;
        let sum = crc32c::crc32c(&bytes[..crc]);
        bytes[crc..crc + 4].copy_from_slice(&sum.to_le_bytes());
    });
}

fn is_future(error: &RecoveryError, path: &Path) -> bool {
    matches!(error, RecoveryError::Future { file, version: 2, known: 1 } if file == path)
}

#[test]
fn meta_future() {
    let directory = Directory::new();
    let file = directory.path().join(layout::META);
    future(&file, 60);
    let error = Meta::read(&RealDisk, directory.path()).unwrap_err();
    assert!(is_future(&error, &file));
    assert!(error.to_string().contains("version 2"));
}

#[test]
fn shards_differ() {
    let directory = Directory::new();
    let meta = Meta::read(&RealDisk, directory.path()).unwrap().unwrap();
    meta.expect_shards(directory.path(), 1).unwrap();
    let error = meta
        .expect_shards(directory.path(), 4)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("with 1 shards") && error.contains("4 are"),
        "{error}"
    );
}

#[test]
fn leftover() {
    let directory = Directory::new();
    let leftover = directory.shard_dir().join("snapshot.tmp");
    fs::write(&leftover, b"half").unwrap();
    assert_eq!(directory.open().report.leftovers, 1);
    assert!(!leftover.exists());
}

/// Snapshots that end with 0 and 4, four records before, two after.
fn with_snapshots() -> (Directory, Vec<u8>) {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    for n in 1..=4 {
        credit(&mut shard, &mut store, n);
    }
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    credit(&mut shard, &mut store, 1);
    credit(&mut shard, &mut store, 5);
    (directory, state(&shard))
}

#[test]
fn snapshot_newest() {
    let (directory, state_before) = with_snapshots();
    let recovered = directory.open();
    assert_eq!(
        (recovered.report.snapshot, recovered.report.replayed),
        (4, 2)
    );
    assert_eq!(recovered.shard.synced_sequence(), 4);
    assert!(state(&recovered.shard) == state_before);
}

#[test]
fn snapshot_older() {
    for damage in [100, 3000, 4096 + 16, 4096 + 5 * 704 - 1] {
        let (directory, state_before) = with_snapshots();
        edit(&directory.snapshot(4), |bytes| bytes[damage] ^= 0x40);
        let Recovered {
            mut shard,
            mut store,
            report,
        } = directory.open();
        assert_eq!((report.snapshot, report.replayed), (0, 6));
        assert_eq!(report.snapshots_bad, [directory.snapshot(4)]);
        assert!(state(&shard) == state_before);
        // It goes when there is a new one, and what the good one needs stays.
        sync(&mut shard, &mut store);
        take_snapshot(&mut shard, &mut store);
        assert!(!directory.snapshot(4).exists());
        assert!(directory.snapshot(0).exists() && directory.snapshot(6).exists());
        assert_eq!(directory.open().report.snapshot, 6);
    }
}

#[test]
fn snapshot_none() {
    let (directory, _) = with_snapshots();
    edit(&directory.snapshot(4), |bytes| bytes.truncate(5000));
    edit(&directory.snapshot(0), |bytes| bytes.clear());
    let error = directory.refusal();
    assert!(matches!(&error, RecoveryError::NoSnapshot { bad, .. } if bad.len() == 2));
    fs::remove_dir_all(directory.shard_dir()).unwrap();
    let error = directory.refusal();
    assert!(matches!(&error, RecoveryError::NoSnapshot { bad, .. } if bad.is_empty()));
}

#[test]
fn snapshot_future() {
    let (directory, _) = with_snapshots();
    future(&directory.snapshot(4), 124);
    assert!(is_future(&directory.refusal(), &directory.snapshot(4)));
}

#[test]
fn snapshot_foreign() {
    let (directory, _) = with_snapshots();
    let mut other = directory.meta.identity(0);
    other.directory += 1;
    let dir = tempfile::tempdir().unwrap();
    let mut writer = snapshot::Writer::new(RealDisk, dir.path());
    let position = snapshot::Position {
        from: 8,
        end: 7,
        chain: 0,
        time_us: 0,
    };
    writer
        .finish(&snapshot::Header::new(&other, &position, 0, 0))
        .unwrap();
    fs::copy(layout::snapshot(dir.path(), 7), directory.snapshot(7)).unwrap();
    let error = directory.refusal();
    assert!(matches!(error, RecoveryError::Foreign { file } if file == directory.snapshot(7)));
}

#[test]
fn journal_future() {
    let (directory, _) = with_records(3, 0);
    future(&directory.segment(1), 60);
    assert!(is_future(&directory.refusal(), &directory.segment(1)));
}

#[test]
fn journal_foreign() {
    let (directory, _) = with_records(3, 0);
    let identity = Identity {
        directory: 7,
        ..directory.meta.identity(0)
    };
    let header = journal::Header {
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
    } = directory.open();
    assert_eq!(report.journal, JournalCase::Replay);
    assert_eq!((report.replayed, report.sequence), (7, 7));
    assert!(state(&shard) == state_before);
    // And on: nothing counts as synced that this owner has not synced.
    assert_eq!(shard.synced_sequence(), 0);
    assert_eq!(shard.time_us(0), TIME_US);
    assert!(store.needs_sync());
    credit(&mut shard, &mut store, 1);
    sync(&mut shard, &mut store);
    assert_eq!(directory.open().report.sequence, 8);
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
        // Later pages arrived, this one did not: none of those vouches for it.
        (4, |bytes| bytes[at(5)..at(6)].fill(0)),
    ];
    for (sequence, damage) in cases {
        let (directory, _) = with_records(7, 3);
        edit(&directory.segment(1), damage);
        let Recovered {
            mut shard,
            mut store,
            report,
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
        journal::append_reset(bytes, seed, &stamp);
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
        journal::append_reset(bytes, seed, &stamp);
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
    segment_of(&directory, 1, |bytes, seed, mut stamp| {
        for sequence in 1..=6 {
            stamp.sequence = sequence;
            stamp.unsynced = sequence as u32;
            stamp.chain =
                journal::append_transaction(bytes, seed, &stamp, 2, Kind::Credit, 7, text("other"));
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
            journal::append_transaction(bytes, seed, &stamp, client, kind, amount, text("x"));
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
    // An intact record of a kind from the future.
    let directory = Directory::new();
    segment_of(&directory, 1, |bytes, seed, stamp| {
        journal::append_reset(bytes, seed, &stamp);
        bytes[at(1) + 10] = 3;
        let crc = crc32c::crc32c_append(seed, &bytes[at(1) + 4..]);
        bytes[at(1)..at(1) + 4].copy_from_slice(&crc.to_le_bytes());
    });
    let error = directory.refusal();
    assert!(
        matches!(error, RecoveryError::DoesNotApply { offset: 64, .. }),
        "{error}"
    );
}
