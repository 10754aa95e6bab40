//! One test for each label of the tables of directory and snapshots in `recovery.rs`.

use super::*;
use crate::command::{ForwardId, Origin};
use crate::shard::dedup::DedupCounts;
use crate::shard::journal::{self, Stamp, HEADER_BYTES};
use crate::shard::recovery::JournalCase;
use crate::shard::{snapshot, DedupResult};

/// Of the records that `credit` writes.
const RECORD: usize = 64;

/// Where record `n` begins in the first segment.
pub const fn at(n: usize) -> usize {
    HEADER_BYTES + (n - 1) * RECORD
}

/// Credits, each written by itself; synced after the first `synced`.
pub fn with_records(records: usize, synced: usize) -> (Directory, Vec<u8>) {
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
pub fn segment_of(
    directory: &Directory,
    first: u64,
    records: impl FnOnce(&mut Vec<u8>, u32, Stamp),
) {
    let identity = directory.meta.identity(0);
    let seed = journal::seed(&identity);
    let header = journal::SegmentHeader {
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
fn a_directory_remembers_processors_and_stays_what_it_is() {
    let directory = Directory::new();
    let meta = directory.meta;
    let known = || Meta::processors(&RealDisk, directory.path()).unwrap();
    assert_eq!(known(), None, "as one from before there were any");
    let marks = ["http://a", "http://b"].map(|url| meta.mark(url));
    assert_ne!(marks[0], marks[1]);
    for marks in [marks, [marks[1], marks[0]]] {
        Meta::set_processors(&RealDisk, directory.path(), &marks).unwrap();
        assert_eq!(known(), Some(marks));
        let read = Meta::read(&RealDisk, directory.path()).unwrap();
        assert_eq!(read, Some(meta));
    }
    // In another directory they have other marks.
    let other = Meta {
        directory: meta.directory + 1,
        ..meta
    };
    assert_ne!(other.mark("http://a"), marks[0]);
    // What was to take its place and was not does not matter.
    fs::write(directory.path().join("galo.meta.tmp"), b"GALO").unwrap();
    Meta::set_processors(&RealDisk, directory.path(), &marks).unwrap();
    assert_eq!(known(), Some(marks));
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

/// Making the directory anew would remove what people have.
#[test]
fn meta_missing() {
    let (with_journal, _) = with_records(1, 0);
    let (with_snapshot, _) = with_snapshots();
    fs::remove_file(with_snapshot.segment(1)).unwrap();
    for (directory, file) in [
        (&with_journal, with_journal.segment(1)),
        (&with_snapshot, with_snapshot.snapshot(4)),
    ] {
        fs::remove_file(directory.path().join(layout::META)).unwrap();
        for error in [
            Meta::read(&RealDisk, directory.path()).unwrap_err(),
            create(&RealDisk, directory.path(), &directory.meta, &CLIENTS).unwrap_err(),
        ] {
            assert!(matches!(&error, RecoveryError::MetaMissing { file: named } if *named == file));
        }
        assert!(file.exists());
    }
}

#[test]
fn meta_damaged() {
    let directory = Directory::new();
    edit(&directory.path().join(layout::META), |bytes| bytes[20] ^= 1);
    let error = Meta::read(&RealDisk, directory.path()).unwrap_err();
    assert!(matches!(error, RecoveryError::MetaDamaged { .. }));
}

/// Sets a header's version, and its checksum to match: what another galo would write.
pub fn set_version(path: &Path, crc: usize, version: u8) {
    edit(path, |bytes| {
        bytes[8] = version;
        let sum = crc32c::crc32c(&bytes[..crc]);
        bytes[crc..crc + 4].copy_from_slice(&sum.to_le_bytes());
    });
}

/// Refused as of another version than the known one, and the message says what to do.
pub fn is_version(error: &RecoveryError, path: &Path, other: u8, ours: u32) -> bool {
    let other = u32::from(other);
    let advice = match other > ours {
        true => "which a later galo wrote",
        false => "which an earlier galo wrote",
    };
    error.to_string().contains(advice)
        && matches!(
            error,
            RecoveryError::Version { file, version, known }
                if file == path && (*version, *known) == (other, ours)
        )
}

#[test]
fn meta_version() {
    let directory = Directory::new();
    let file = directory.path().join(layout::META);
    set_version(&file, 60, 2);
    let error = Meta::read(&RealDisk, directory.path()).unwrap_err();
    assert!(is_version(&error, &file, 2, 1));
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
pub fn with_snapshots() -> (Directory, Vec<u8>) {
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
    assert_eq!(recovered.shard.synced_sequence(), 4, "the snapshot says so");
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
            ..
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

/// Changes a snapshot's bytes, and its checksums to match.
pub fn edit_snapshot(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    edit(path, |bytes| {
        change(bytes);
        let body = crc32c::crc32c(&bytes[4096..]);
        bytes[76..80].copy_from_slice(&body.to_le_bytes());
        let header = crc32c::crc32c(&bytes[..124]);
        bytes[124..128].copy_from_slice(&header.to_le_bytes());
    });
}

/// Offset of the dedup table.
pub const DEDUP: usize = 4096 + 5 * 704;
/// A window's head and its outcomes, and a key.
const WINDOW: usize = 24 + 2 * 16;
pub const KEYS: usize = DEDUP + 2 * WINDOW;

/// A snapshot that ends with record 4, with two windows of two outcomes and four keys; and two
/// records behind it.
pub fn with_dedup_table() -> (Directory, [Ids; 6]) {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    let index = shard.find(1).unwrap();
    let ids = [1, 2, 3, 4, 5, 6].map(|n: u64| Ids {
        forward: Some(ForwardId {
            origin: Origin {
                member: n as u16 % 2,
                epoch: 77,
            },
            counter: n,
        }),
        key: Some(u128::from(n) << 100),
    });
    for (n, ids) in ids.iter().enumerate() {
        let time_us = TIME_US + n as u64 * 1_000_000;
        let posted = shard.transact(index, Kind::Credit, 1, text("x"), time_us, ids);
        posted.unwrap();
        write(&mut shard, &mut store);
        if n == 3 {
            sync(&mut shard, &mut store);
            take_snapshot(&mut shard, &mut store);
        }
    }
    let bytes = fs::metadata(directory.snapshot(4)).unwrap().len();
    assert_eq!(bytes as usize, KEYS + 4 * 40);
    (directory, ids)
}

/// A dedup table that breaks its rules is refused, whatever the checksums say.
#[test]
fn snapshot_older_with_a_bad_dedup_table() {
    let cases: [(&str, usize, u8); 17] = [
        ("another number of windows", 104, 1),
        ("another number of outcomes in windows", 88, 5),
        ("another number of keys", 96, 3),
        ("more keys gone than there are", 100, 5),
        ("keys of a later time", 80, 5),
        ("a window of a later time", DEDUP + 8, 5),
        ("more outcomes than counted", DEDUP + 16, 3),
        ("fewer outcomes than counted", DEDUP + 16, 1),
        ("more outcomes than there can be", DEDUP + 20, 1),
        ("the same member twice", DEDUP + WINDOW + 6, 1),
        ("no counter", DEDUP + 24, 0),
        ("counters out of order", DEDUP + 24, 3),
        ("a refusal for no known reason", DEDUP + 24 + 7, 3),
        ("a refusal with a balance", DEDUP + 24 + 7, 1),
        ("a key refused with a balance", KEYS + 36, 1),
        ("bytes behind a key", KEYS + 37, 1),
        ("keys out of order", KEYS + 40 + 35, 0),
    ];
    for (what, offset, byte) in cases {
        let (directory, ids) = with_dedup_table();
        edit_snapshot(&directory.snapshot(4), |bytes| {
            assert_ne!(bytes[offset], byte, "{what}");
            bytes[offset] = byte;
        });
        let Recovered { shard, report, .. } = directory.open();
        assert_eq!(report.snapshots_bad, [directory.snapshot(4)], "{what}");
        assert_eq!((report.snapshot, report.replayed), (0, 6), "{what}");
        for (n, ids) in ids.iter().enumerate() {
            let known = shard.recognise(0, Kind::Credit, 1, text("x"), TIME_US, ids);
            let balance = n as i64 + 1;
            assert!(
                matches!(known, DedupResult::Repeated(Ok(posted)) if posted.balance == balance)
            );
        }
    }
    let (directory, _) = with_dedup_table();
    edit_snapshot(&directory.snapshot(4), |bytes| {
        // The same key twice, the second time while it is remembered.
        bytes.copy_within(KEYS..KEYS + 16, KEYS + 40);
    });
    assert_eq!(directory.open().report.snapshot, 0);
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
fn snapshot_version() {
    for version in [2, snapshot::VERSION as u8 + 1] {
        let (directory, _) = with_snapshots();
        set_version(&directory.snapshot(4), 124, version);
        let error = directory.refusal();
        let known = snapshot::VERSION;
        assert!(is_version(&error, &directory.snapshot(4), version, known));
    }
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
        offset_us: 0,
    };
    let counts = DedupCounts {
        keys_through: 7,
        ..DedupCounts::default()
    };
    writer
        .finish(&snapshot::SnapshotHeader::new(
            &other, &position, 0, &counts, 0, 0,
        ))
        .unwrap();
    fs::copy(layout::snapshot(dir.path(), 7), directory.snapshot(7)).unwrap();
    let error = directory.refusal();
    assert!(matches!(error, RecoveryError::Foreign { file } if file == directory.snapshot(7)));
}
