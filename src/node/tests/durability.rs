//! When a reply leaves: after the write, or after the sync.

use super::super::link::Frame;
use super::linking::{bytes, credit, frames, hello};
use super::*;
use crate::command::{Command, Outcome};
use crate::limits::SYNC_DELAY_NS_MAX;
use crate::runtime::Work;

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
fn with_disk_a_statement_waits_for_what_has_changed_its_account() {
    let mut rig = Rig::new(DISK);
    let (writer, reader, other) = (rig.connect(0), rig.connect(0), rig.connect(0));
    rig.disk_stuck(0, true);
    rig.send(writer, transact(1, 'c', 5));
    rig.run();
    assert_eq!(rig.ask(other, statement(2)).balance(), 0);
    // Of the same tick, too.
    rig.send(writer, transact(3, 'c', 5));
    rig.send(reader, statement(3));
    rig.run();
    assert!(rig.statuses(reader).is_empty());
    assert_eq!(rig.ask(other, statement(2)).balance(), 0);
    // The first sync covers the first account only.
    let job = rig.cores[0].jobs.pop_front().unwrap();
    rig.cores[0].done.push_back(job.run());
    rig.run();
    assert_eq!(rig.ask(other, statement(1)).balance(), 5);
    assert!(rig.statuses(reader).is_empty());
    // What forgets everything has changed every account.
    rig.send(writer, reset());
    rig.run();
    rig.send(other, statement(2));
    rig.run();
    assert!(rig.statuses(other).is_empty());
    rig.disk_stuck(0, false);
    rig.run();
    assert_eq!(rig.replies(reader)[0].balance(), 5);
    assert_eq!(rig.replies(other)[0].balance(), 0);
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

/// The syncs that wait, by shard.
fn stuck_syncs<const N: usize>(rig: &mut Rig, core: usize) -> [Work<Faulty>; N] {
    let jobs: Vec<_> = rig.cores[core].jobs.drain(..).collect();
    jobs.try_into().ok().expect("one for each shard")
}

#[test]
fn with_disk_a_reply_waits_for_its_own_shard_only() {
    let mut rig = Rig::new(Plan { shards: 2, ..DISK });
    let (writer, reader, other) = (rig.connect(0), rig.connect(0), rig.connect(0));
    rig.disk_stuck(0, true);
    rig.send(writer, transact(1, 'c', 5));
    rig.send(reader, statement(1));
    rig.send(other, transact(2, 'c', 6));
    rig.run();
    let [first, second] = stuck_syncs(&mut rig, 0);
    rig.cores[0].done.push_back(first.run());
    rig.run();
    // By their numbers accounts of two shards take turns.
    let answered: Vec<bool> = [writer, reader, other]
        .map(|client| !rig.statuses(client).is_empty())
        .into();
    assert_eq!(answered[0], answered[1]);
    assert_ne!(answered[0], answered[2], "{answered:?}");
    rig.cores[0].done.push_back(second.run());
    rig.run();
    let late = if answered[0] { other } else { writer };
    assert_eq!(rig.statuses(late), [200]);
    // What waits for all is told behind all: a summary of what no disk has would be too early.
    rig.send(writer, transact(1, 'c', 5));
    rig.send(other, reset());
    rig.run();
    assert!(rig.statuses(other).is_empty());
    rig.disk_stuck(0, false);
    rig.run();
    assert_eq!(rig.statuses(other), [200]);
}

#[test]
fn with_disk_what_another_member_is_asked_and_answers_does_not_wait_for_a_shard_here() {
    let mut rig = Rig::new(Plan {
        cores: 2,
        shards: 2,
        ..DISK
    });
    let (here, there) = (rig.connect(0), rig.connect(0));
    rig.disk_stuck(0, true);
    // Each account is at another core.
    for client in [here, there] {
        rig.send(client, transact(if client == here { 2 } else { 1 }, 'c', 5));
    }
    rig.run();
    assert!(rig.statuses(here).is_empty());
    assert_eq!(rig.statuses(there), [200]);
}

#[test]
fn with_disk_frames_for_a_member_keep_the_order_of_their_shard_and_wait_for_no_other() {
    let plan = Plan {
        nodes: 2,
        shards: 4,
        ..DISK
    };
    let mut rig = Rig::with_nodes(plan, &[0]);
    let linker = rig.connect_linker(0);
    rig.send(linker, bytes(&[Frame::Hello(hello())]));
    rig.run();
    // Two shards stay here, while the other node has none of its own yet.
    let shards: Vec<u32> = rig.cores[0]
        .runtime
        .node()
        .shards()
        .map(|it| it.identity().shard)
        .filter(|shard| shard % 2 == 0)
        .collect();
    let [one, other] = shards[..] else {
        panic!("{shards:?}");
    };
    frames(&mut rig, linker);
    let client_of = |shard: u32| if shard == 0 { 4 } else { shard };
    let transact = |shard, counter, amount| credit(client_of(shard), counter, amount);
    // Nobody has the account: nothing is written, and the reply waits all the same for what was told before.
    let nobody = Frame::Command {
        counter: 2,
        key: None,
        command: Command::Statement {
            client: 100 + client_of(one),
        },
    };
    rig.disk_stuck(0, true);
    let asked = [
        transact(one, 1, 5),
        nobody,
        transact(other, 1, 7),
        Frame::Again(one),
        Frame::Who(other),
    ];
    rig.send(linker, bytes(&asked));
    rig.run();
    assert!(frames(&mut rig, linker).is_empty());
    let [first, second] = stuck_syncs(&mut rig, 0);
    rig.cores[0].done.push_back(second.run());
    rig.run();
    let told = frames(&mut rig, linker);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with(&format!("Reply {{ shard: {other}, counter: 1")));
    assert_eq!(told[1], format!("Owns({other})"));
    rig.cores[0].done.push_back(first.run());
    rig.run();
    let told = frames(&mut rig, linker);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with(&format!("Reply {{ shard: {one}, counter: 1")));
    let none = Frame::Reply {
        shard: one,
        counter: 2,
        outcome: Outcome::NoSuchClient,
    };
    assert_eq!(told[1], format!("{none:?}"));
    assert_eq!(told[2], format!("Begun({one})"));
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
