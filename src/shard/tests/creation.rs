//! Unmaking a directory that was made in vain.

use super::*;
use crate::shard::lock::ShardLock;
use crate::shard::{unmake, Locked};

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_nobody_has_served_goes_and_what_is_nobodys_stays() {
    let directory = Directory::new();
    fs::write(directory.path().join(".gitkeep"), "").unwrap();
    // Recovered, and owned for a while.
    drop(directory.open());
    drop(ShardLock::wait(&directory.shard_dir().join(layout::SHARD_LOCK), "us").unwrap());
    assert!(unmake(directory.path()).unwrap());
    assert_eq!(names(directory.path()), [".gitkeep"]);
    // And again, half-made by then.
    create(&RealDisk, directory.path(), &directory.meta, &CLIENTS).unwrap();
    fs::remove_file(directory.path().join(layout::META)).unwrap();
    fs::write(directory.shard_dir().join("snapshot.tmp"), "half").unwrap();
    fs::write(directory.path().join("galo.meta.tmp"), "half").unwrap();
    assert!(unmake(directory.path()).unwrap());
    assert_eq!(names(directory.path()), [".gitkeep"]);
}

#[test]
fn what_another_serves_is_left_alone() {
    let directory = Directory::new();
    let lock = directory.shard_dir().join(layout::SHARD_LOCK);
    let Locked::Ours(owner) = ShardLock::acquire(&lock, "another").unwrap() else {
        panic!("nobody has it");
    };
    assert!(!unmake(directory.path()).unwrap());
    directory.open();
    drop(owner);
    // It has served, and is gone.
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    credit(&mut shard, &mut store, 1);
    drop(store);
    assert!(!unmake(directory.path()).unwrap());
    assert_eq!(directory.open().report.sequence, 1);
    // So has one whose journal is in a snapshot.
    let Recovered {
        mut shard,
        mut store,
        ..
    } = directory.open();
    sync(&mut shard, &mut store);
    take_snapshot(&mut shard, &mut store);
    drop(store);
    assert!(!unmake(directory.path()).unwrap());
    assert_eq!(directory.open().report.snapshot, 1);
}
