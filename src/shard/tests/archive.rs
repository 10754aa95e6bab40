//! Archives of a shard's files, and how far these are in an engine's log.

use super::faulty::Faulty;
use super::*;
use crate::shard::{acquire, LogPosition, PLACE_BYTES};

const PLACE: LogPosition = LogPosition {
    records: 6,
    place: [7; PLACE_BYTES],
};

/// Six records, a snapshot with four of them.
fn with_records(directory: &Directory) -> Vec<u8> {
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    for number in 0..6 {
        credit(&mut shard, &mut store, 1 + number % 5);
        if number == 3 {
            sync(&mut shard, &mut store);
            take_snapshot(&mut shard, &mut store);
        }
    }
    state(&shard)
}

fn data<D: Disk>(directory: &Directory, disk: D) -> acquire::Directory<D> {
    acquire::Directory {
        disk,
        path: directory.path().to_owned(),
        meta: directory.meta,
        descriptor: String::new(),
    }
}

/// A directory with records of its own, to which the archive of another one has come.
fn with_archive() -> (Directory, Vec<u8>) {
    let (theirs, ours) = (Directory::new(), Directory::new());
    let state = with_records(&theirs);
    let archive = data(&theirs, RealDisk).archive(0, PLACE).unwrap();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = ours.open();
    credit(&mut shard, &mut store, 2);
    let fetched = data(&ours, RealDisk).fetched(0);
    fs::rename(archive, fetched).unwrap();
    (ours, state)
}

fn is_restored(directory: &Directory, state_before: &[u8]) {
    let recovered = directory.open();
    assert_eq!(recovered.report.sequence, 6);
    assert!(state(&recovered.shard) == state_before);
    assert_eq!(recovered.log_position, Some(PLACE));
    assert!(!layout::archive(&directory.shard_dir()).exists());
}

#[test]
fn archive() {
    let (directory, state) = with_archive();
    assert!(data(&directory, RealDisk).restore(0).is_ok());
    is_restored(&directory, &state);
}

#[test]
fn archive_damaged() {
    let bytes = {
        let (directory, _) = with_archive();
        fs::read(data(&directory, RealDisk).fetched(0))
            .unwrap()
            .len()
    };
    for at in (0..bytes)
        .step_by(97)
        .filter(|at| !(160..4096).contains(at))
    {
        let (directory, _) = with_archive();
        edit(&data(&directory, RealDisk).fetched(0), |bytes| {
            bytes[at] ^= 1
        });
        let Err(error) = data(&directory, RealDisk).restore(0) else {
            panic!("byte {at} is not noticed");
        };
        let is_fine = matches!(
            error,
            RecoveryError::ArchiveDamaged { .. } | RecoveryError::Version { .. }
        );
        assert!(is_fine, "{at}: {error}");
        assert_eq!(directory.open().report.sequence, 1, "nothing was touched");
    }
    // Once it was accepted it is not trusted either.
    let (directory, _) = with_archive();
    let fetched = data(&directory, RealDisk).fetched(0);
    edit(&fetched, |bytes| bytes[5000] ^= 1);
    fs::rename(fetched, layout::archive(&directory.shard_dir())).unwrap();
    let error = directory.refusal();
    assert!(
        matches!(error, RecoveryError::ArchiveDamaged { .. }),
        "{error}"
    );
}

#[test]
fn an_archive_of_another_shard_is_refused() {
    let (directory, _) = with_archive();
    let mut other = data(&directory, RealDisk);
    other.meta.directory += 1;
    let Err(error) = other.restore(0) else {
        panic!("it is not ours");
    };
    assert!(matches!(error, RecoveryError::Foreign { .. }), "{error}");
}

#[test]
fn an_archive_whose_unpacking_was_interrupted_is_unpacked_again() {
    let (directory, state) = with_archive();
    let disk = Faulty::default();
    disk.0.lock().unwrap().create = Some(libc::ENOSPC);
    // Everything was removed, and nothing could be written.
    assert!(data(&directory, disk).restore(0).is_err());
    assert!(!directory.snapshot(0).exists() && !directory.snapshot(4).exists());
    is_restored(&directory, &state);
}

#[test]
fn a_place_in_the_log_counts_as_far_as_the_journal_is_there() {
    let directory = Directory::new();
    with_records(&directory);
    let note = |records| {
        let place = LogPosition { records, ..PLACE };
        data(&directory, RealDisk).note(0, place).unwrap();
        place
    };
    assert_eq!(directory.open().log_position, None);
    let place = note(6);
    assert_eq!(directory.open().log_position, Some(place));
    note(7);
    assert_eq!(directory.open().log_position, None, "a record is missing");
    note(5);
    edit(&layout::log_position(&directory.shard_dir()), |bytes| {
        bytes[40] ^= 1
    });
    assert_eq!(directory.open().log_position, None, "it is damaged");
}

#[test]
fn a_shard_begins_with_its_own_archive() {
    let directory = Directory::new();
    let fresh = data(&directory, RealDisk);
    assert!(fresh.is_unused(0).unwrap());
    assert_eq!(fresh.without_copies().unwrap(), [0]);
    let state = with_records(&directory);
    assert!(!fresh.is_unused(0).unwrap());
    fresh.archive(0, PLACE).unwrap();
    assert_eq!(fresh.without_copies().unwrap(), [0]);
    fresh.begin_with_archive(0).unwrap();
    assert!(fresh.without_copies().unwrap().is_empty());
    is_restored(&directory, &state);
    assert!(fresh.without_copies().unwrap().is_empty());
}
