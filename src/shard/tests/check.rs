//! `galo check`.

use super::recovery::{edit_snapshot, with_dedup_table, DEDUP, KEYS};
use super::*;
use crate::shard::check::check;
use crate::shard::LogPosition;

fn lines(
    directory: &Directory,
) -> (
    Result<crate::shard::check::CheckSummary, RecoveryError>,
    String,
) {
    let mut output = Vec::new();
    let summary = check(directory.path(), &mut output);
    (summary, String::from_utf8(output).unwrap())
}

fn with_records() -> Directory {
    let directory = Directory::new();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    for n in 0..10 {
        credit(&mut shard, &mut store, 1 + n % 5);
        if n == 6 {
            sync(&mut shard, &mut store);
            take_snapshot(&mut shard, &mut store);
        }
    }
    directory
}

#[test]
fn says_what_is_there() {
    let directory = with_records();
    let (summary, output) = lines(&directory);
    let summary = summary.unwrap();
    assert_eq!(
        (summary.shards, summary.accounts, summary.records),
        (1, 5, 10)
    );
    let bytes: u64 = fs::read_dir(directory.shard_dir())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(summary.bytes, bytes);
    assert!(output.contains("last sequence 10"), "{output}");
}

#[test]
fn a_torn_tail_is_no_damage_and_stays() {
    let directory = with_records();
    edit(&directory.segment(1), |bytes| bytes.extend([7; 9]));
    let before = fs::read(directory.segment(1)).unwrap();
    let (summary, output) = lines(&directory);
    assert_eq!(summary.unwrap().records, 10);
    assert!(output.contains("9 bytes of a torn tail"), "{output}");
    assert_eq!(fs::read(directory.segment(1)).unwrap(), before);
}

#[test]
fn finds_damage_anywhere_in_a_snapshot() {
    for snapshot in [0, 7] {
        for offset in [0, 8, 40, 127, 128, 4095, 4096, 4096 + 3519] {
            let directory = with_records();
            edit(&directory.snapshot(snapshot), |bytes| bytes[offset] ^= 0x10);
            let (summary, _) = lines(&directory);
            let error = summary.unwrap_err();
            let name = directory.snapshot(snapshot).display().to_string();
            assert!(error.to_string().contains(&name), "{error}");
        }
    }
}

#[test]
fn finds_an_account_that_breaks_its_rules() {
    let directory = with_records();
    // The second account's limit; and every checksum as it should be.
    edit_snapshot(&directory.snapshot(7), |bytes| {
        bytes[4096 + 704 + 15] = 0x80;
    });
    let error = lines(&directory).0.unwrap_err();
    assert!(
        matches!(
            error,
            RecoveryError::Unsound {
                offset: 4800,
                client: 2,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn finds_an_outcome_that_breaks_its_rules() {
    for (offset, reported) in [(DEDUP + 8, DEDUP), (KEYS + 40 + 38, KEYS + 40)] {
        let (directory, _) = with_dedup_table();
        lines(&directory).0.unwrap();
        edit_snapshot(&directory.snapshot(4), |bytes| bytes[offset] = 99);
        let error = lines(&directory).0.unwrap_err();
        assert!(
            matches!(
                &error,
                RecoveryError::SnapshotDamaged { file, offset, .. }
                    if *file == directory.snapshot(4) && *offset == reported as u64
            ),
            "{error}"
        );
    }
}

#[test]
fn refuses_what_is_no_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let error = check(dir.path(), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, RecoveryError::NotMade { .. }));
}

#[test]
fn says_of_a_copy_that_it_is_one_and_of_an_archive_that_waits() {
    let directory = with_records();
    let data = crate::shard::Directory {
        disk: RealDisk,
        path: directory.path().to_owned(),
        meta: directory.meta,
        descriptor: String::new(),
    };
    let place = LogPosition {
        records: 9,
        ..LogPosition::BEGIN
    };
    data.note(0, place).unwrap();
    let (summary, output) = lines(&directory);
    assert_eq!(summary.unwrap().records, 10);
    assert!(
        output.contains("; a cluster's copy, noted at record 9\n"),
        "{output}"
    );
    edit(&layout::log_position(&directory.shard_dir()), |bytes| {
        bytes[50] ^= 1
    });
    let (summary, output) = lines(&directory);
    assert_eq!(summary.unwrap().records, 10);
    assert!(output.contains("log-position says nothing"), "{output}");
    data.archive(0, place).unwrap();
    data.begin_with_archive(0).unwrap();
    let (summary, output) = lines(&directory);
    let archive = layout::archive(&directory.shard_dir());
    assert_eq!(
        summary.unwrap().bytes,
        fs::metadata(&archive).unwrap().len()
    );
    assert!(
        output.contains("shard 0: an archive of 2 files with record 9"),
        "{output}"
    );
    edit(&archive, |bytes| bytes[4100] ^= 1);
    let error = lines(&directory).0.unwrap_err().to_string();
    assert!(error.contains(&archive.display().to_string()), "{error}");
}
