//! The lock.

use crate::shard::ownership::{Ownership, OwnershipError};

#[test]
fn one_owner_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let owner = Ownership::acquire(&path).unwrap();
    let error = Ownership::acquire(&path).unwrap_err();
    let OwnershipError::Held { pid, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*pid, Some(std::process::id()));
    assert!(error.to_string().contains("another galo owns this shard"));
    drop(owner);
    Ownership::acquire(&path).unwrap();
}

#[test]
fn waits_for_the_owner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let owner = Ownership::acquire(&path).unwrap();
    std::thread::scope(|scope| {
        let next = scope.spawn(|| Ownership::wait(&path).map(drop));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!next.is_finished());
        drop(owner);
        next.join().unwrap().unwrap();
    });
}
