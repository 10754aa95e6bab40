//! The lock.

use crate::shard::lock::ShardLock;
use crate::shard::Locked;

#[test]
fn one_owner_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let Locked::Ours(owner) = ShardLock::acquire(&path, "the first").unwrap() else {
        panic!("nobody has it");
    };
    let Locked::Held(descriptor) = ShardLock::acquire(&path, "the second").unwrap() else {
        panic!("the first has it");
    };
    assert_eq!(descriptor, "the first");
    drop(owner);
    let again = ShardLock::acquire(&path, "the second").unwrap();
    assert!(matches!(again, Locked::Ours(_)));
}

#[test]
fn waits_for_the_owner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let owner = ShardLock::wait(&path, "the first").unwrap();
    std::thread::scope(|scope| {
        let next = scope.spawn(|| ShardLock::wait(&path, "the second").map(drop));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!next.is_finished());
        drop(owner);
        next.join().unwrap().unwrap();
    });
}

#[test]
fn asking_who_has_it_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    assert_eq!(ShardLock::holder(&path).unwrap(), None);
    assert!(!path.exists());
    let owner = ShardLock::wait(&path, "a rather long descriptor").unwrap();
    let holder = || ShardLock::holder(&path).unwrap();
    assert_eq!(holder().as_deref(), Some("a rather long descriptor"));
    drop(owner);
    assert_eq!(holder(), None);
    let _owner = ShardLock::wait(&path, "short").unwrap();
    assert_eq!(holder().as_deref(), Some("short"));
}

/// The one that has been waited for was removed by its owner: whoever comes later has another file, and would have
/// another lock.
#[test]
fn a_lock_that_its_owner_has_removed_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let owner = ShardLock::wait(&path, "the first").unwrap();
    std::thread::scope(|scope| {
        let next = scope.spawn(|| ShardLock::wait(&path, "the second").unwrap());
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::remove_file(&path).unwrap();
        drop(owner);
        let _next = next.join().unwrap();
        let third = ShardLock::acquire(&path, "the third").unwrap();
        assert!(matches!(third, Locked::Held(descriptor) if descriptor == "the second"));
    });
}

#[test]
fn a_descriptor_that_cannot_be_written_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let Locked::Ours(mut owner) = ShardLock::acquire(&path, "the first").unwrap() else {
        panic!("nobody has it");
    };
    owner.expect_descriptor().unwrap();
    drop(owner);
    // A device that is full for ever.
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let Locked::Ours(mut owner) = ShardLock::acquire(&path, "the second").unwrap() else {
        panic!("nobody has it");
    };
    let error = owner.expect_descriptor().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
}
