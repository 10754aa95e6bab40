//! When a reply leaves: after the write, or after the sync.

use super::*;
use crate::limits::SYNC_DELAY_NS_MAX;

const DISK: Plan = Plan {
    durability: Durability::Disk,
    ..ONE
};

fn syncs(rig: &Rig, shard: usize) -> usize {
    rig.disks[shard].0.lock().unwrap().syncs
}

#[test]
fn with_process_a_reply_does_not_wait_for_the_disk_and_a_sync_follows() {
    let mut rig = Rig::new(ONE);
    rig.disk_stuck(0, true);
    let client = rig.connect(0);
    assert_eq!(rig.ask(client, transact(1, 'c', 5)).balance(), 5);
    rig.disk_stuck(0, false);
    let before = syncs(&rig, 0);
    rig.pass(SYNC_DELAY_NS_MAX - 1);
    assert_eq!(syncs(&rig, 0), before);
    rig.pass(1);
    assert_eq!(syncs(&rig, 0), before + 1);
    rig.pass(10 * SYNC_DELAY_NS_MAX);
    assert_eq!(syncs(&rig, 0), before + 1, "nothing was written since");
}

#[test]
fn with_disk_nothing_that_may_tell_of_a_write_leaves_before_its_sync() {
    let mut rig = Rig::new(DISK);
    let (writer, reader) = (rig.connect(0), rig.connect(0));
    rig.disk_stuck(0, true);
    rig.send(writer, transact(1, 'c', 5) + &get("/health"));
    rig.run();
    rig.send(reader, statement(1));
    rig.run();
    assert!(rig.statuses(writer).is_empty());
    assert!(rig.statuses(reader).is_empty());
    rig.disk_stuck(0, false);
    rig.run();
    assert_eq!(rig.statuses(writer), [200, 200]);
    assert_eq!(rig.replies(reader)[0].balance(), 5);
}

#[test]
fn with_disk_what_tells_of_no_shard_does_not_wait() {
    let mut rig = Rig::new(DISK);
    let (writer, mut other) = (rig.connect(0), rig.connect(0));
    rig.disk_stuck(0, true);
    rig.send(
        writer,
        get("/health") + &transact(1, 'c', 5) + &get("/metrics"),
    );
    rig.run();
    // In front of the write, but not behind it: a connection's bytes keep their order.
    assert_eq!(rig.statuses(writer), [200]);
    let expected = "POST /clientes/1/extrato HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    for (request, status) in [
        (get("/health"), 200),
        (get("/metrics"), 200),
        (get("/nothing"), 404),
        (expected.to_owned(), 405),
        (transact(1, 'x', 5), 422),
        (get("/payments-summary"), 503),
    ] {
        rig.send(other, &request);
        rig.run();
        assert_eq!(rig.statuses(other), [status], "{request}");
    }
    // What waits already is not overtaken, a tick later, either.
    rig.send(writer, get("/health"));
    rig.run();
    assert!(rig.statuses(writer).is_empty());
    // On one connection: what must wait, and what is asked behind it.
    rig.send(other, get("/health") + &statement(1) + &get("/health"));
    rig.run();
    assert_eq!(rig.statuses(other), [200]);
    rig.send(other, get("/health"));
    rig.run();
    assert!(rig.statuses(other).is_empty());
    // What is no request is refused at once, too.
    let late = std::mem::replace(&mut other, rig.connect(0));
    rig.send(other, "\x16\x03\x01");
    rig.run();
    assert_eq!(rig.statuses(other), [400]);
    rig.disk_stuck(0, false);
    rig.run();
    assert_eq!(rig.statuses(writer), [200, 200, 200]);
    assert_eq!(rig.statuses(late), [200, 200, 200]);
}

#[test]
fn with_disk_a_repeat_waits_for_the_sync_of_the_first() {
    let mut rig = Rig::new(DISK);
    let (first, repeat) = (rig.connect(0), rig.connect(0));
    let request = transact(1, 'c', 5).replace("Host: x", "Host: x\r\nIdempotency-Key: a");
    rig.disk_stuck(0, true);
    rig.send(first, &request);
    rig.run();
    rig.send(repeat, &request);
    rig.run();
    assert!(rig.statuses(first).is_empty() && rig.statuses(repeat).is_empty());
    rig.disk_stuck(0, false);
    rig.run();
    assert_eq!(rig.replies(first), rig.replies(repeat));
}

#[test]
fn with_disk_a_write_during_a_sync_waits_for_the_next_one() {
    let mut rig = Rig::new(DISK);
    let client = rig.connect(0);
    rig.disk_stuck(0, true);
    rig.send(client, transact(1, 'c', 5));
    rig.run();
    rig.send(client, transact(1, 'c', 6));
    rig.run();
    let job = rig.cores[0].jobs.pop_front().unwrap();
    assert!(rig.cores[0].jobs.is_empty(), "one sync at a time");
    rig.cores[0].done.push_back(job.run());
    rig.run();
    assert_eq!(rig.replies(client)[0].balance(), 5);
    rig.disk_stuck(0, false);
    rig.run();
    assert_eq!(rig.replies(client)[0].balance(), 11);
}

#[test]
fn with_disk_a_reply_waits_for_every_shard_that_was_written_before() {
    let mut rig = Rig::new(Plan { shards: 2, ..DISK });
    let client = rig.connect(0);
    rig.disk_stuck(0, true);
    rig.send(client, transact(1, 'c', 5) + &transact(2, 'c', 6));
    rig.run();
    let jobs: Vec<_> = rig.cores[0].jobs.drain(..).collect();
    let [first, second] = jobs.try_into().ok().expect("one for each shard");
    // In either order.
    rig.cores[0].done.push_back(second.run());
    rig.run();
    assert!(rig.statuses(client).is_empty());
    rig.cores[0].done.push_back(first.run());
    rig.run();
    assert_eq!(rig.statuses(client), [200, 200]);
}

#[test]
fn a_failed_sync_ends_the_core_and_acknowledges_nothing() {
    let mut rig = Rig::new(DISK);
    let client = rig.connect(0);
    rig.disks[0].0.lock().unwrap().sync = Some(libc::EIO);
    rig.send(client, transact(1, 'c', 5));
    rig.run();
    assert!(rig.statuses(client).is_empty());
    assert!(matches!(rig.exit(0), Some(Exit::Failed(reason)) if reason.contains("fdatasync")));
}

#[test]
fn a_write_that_breaks_ends_the_core_and_acknowledges_nothing() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    let broken = Write::Fails(libc::EIO);
    rig.disks[0].0.lock().unwrap().writes.push_back(broken);
    rig.send(client, transact(1, 'c', 5));
    rig.run();
    assert!(rig.statuses(client).is_empty());
    assert!(matches!(rig.exit(0), Some(Exit::Failed(reason)) if reason.contains("journal")));
}

#[test]
fn with_disk_connections_that_come_and_go_leave_nothing_behind() {
    let mut rig = Rig::new(DISK);
    let writer = rig.connect(0);
    rig.disk_stuck(0, true);
    rig.send(writer, transact(1, 'c', 5));
    rig.run();
    for _ in 0..100 {
        let client = rig.connect(0);
        rig.finish(client);
        rig.run();
        assert!(rig.is_closed(client));
    }
    assert_eq!(
        rig.cores[0].runtime.node().io.commit.held(),
        1,
        "for the one reply"
    );
}
