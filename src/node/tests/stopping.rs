//! A stop: what was received is finished, everything is on disk, and it takes less than two seconds.

use super::*;
use crate::limits::{STOP_GRACE_NS, STOP_NS_MAX, STOP_SNAPSHOT_NS_MAX};

const TWO_CORES: Plan = Plan {
    cores: 2,
    shards: 2,
    ..ONE
};

fn stopped(rig: &Rig) -> bool {
    rig.cores
        .iter()
        .all(|core| core.exit == Some(Exit::Stopped))
}

#[test]
fn idle_connections_are_closed_after_the_grace() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    assert_eq!(rig.ask(client, transact(1, 'c', 5)).status, 200);
    rig.stop();
    assert!(!rig.cores[0].accepting);
    rig.pass(STOP_GRACE_NS - 1);
    assert!(!rig.is_closed(client) && !stopped(&rig));
    rig.pass(1);
    assert!(rig.is_closed(client) && stopped(&rig));
    assert_eq!(rig.stats.sum(|core| &core.snapshots), 1);
}

#[test]
fn a_request_within_the_grace_is_answered_and_told_that_it_was_the_last() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    rig.stop();
    rig.send(client, transact(1, 'c', 5) + &transact(1, 'c', 5));
    rig.run();
    let replies = rig.replies(client);
    assert_eq!(replies.len(), 2);
    assert!(!replies[0].closes() && replies[1].closes());
    assert!(rig.is_closed(client));
    rig.pass(STOP_GRACE_NS);
    assert!(stopped(&rig));
}

#[test]
fn a_request_that_is_half_there_is_given_up_in_time() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    rig.send(client, "GET /hea");
    rig.run();
    rig.stop();
    rig.pass(STOP_NS_MAX - 1);
    assert!(!rig.is_closed(client));
    rig.pass(1);
    assert!(rig.is_closed(client) && stopped(&rig));
}

#[test]
fn a_client_that_does_not_read_is_given_up_in_time() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    rig.take_only(client, 10);
    rig.send(client, get("/metrics"));
    rig.run();
    rig.stop();
    rig.pass(STOP_NS_MAX);
    assert!(rig.is_closed(client) && stopped(&rig));
}

#[test]
fn a_stuck_disk_is_given_up_in_time() {
    for durability in [Durability::Process, Durability::Disk] {
        let mut rig = Rig::new(Plan { durability, ..ONE });
        let client = rig.connect(0);
        rig.disk_stuck(0, true);
        rig.send(client, transact(1, 'c', 5));
        rig.run();
        rig.stop();
        rig.pass(STOP_SNAPSHOT_NS_MAX - 1);
        assert!(rig.is_closed(client) && !stopped(&rig));
        rig.pass(1);
        assert!(stopped(&rig));
    }
}

#[test]
fn a_snapshot_that_fails_does_not_keep_it() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    assert_eq!(rig.ask(client, transact(1, 'c', 5)).status, 200);
    rig.disks[0].0.lock().unwrap().create = Some(libc::ENOSPC);
    rig.stop();
    rig.pass(STOP_GRACE_NS);
    assert!(stopped(&rig));
}

#[test]
fn commands_on_their_way_between_cores_are_finished() {
    let mut rig = Rig::new(TWO_CORES);
    let clients = [rig.connect(0), rig.connect(1)];
    for client in clients {
        rig.send(client, transact(1, 'c', 5) + &transact(2, 'c', 5));
    }
    rig.tick(0, |_| ());
    rig.tick(1, |_| ());
    rig.stop();
    rig.pass(STOP_GRACE_NS);
    for client in clients {
        assert_eq!(rig.statuses(client), [200, 200]);
        assert!(rig.is_closed(client));
    }
    assert!(stopped(&rig));
}

#[test]
fn a_core_stays_for_as_long_as_another_one_has_clients() {
    let mut rig = Rig::new(TWO_CORES);
    let client = rig.connect(0);
    let request = transact(1, 'c', 5);
    rig.send(client, &request[..9]);
    rig.run();
    rig.stop();
    rig.pass(10 * STOP_GRACE_NS);
    assert!(rig.exit(1).is_none());
    rig.send(client, &request[9..]);
    rig.run();
    assert_eq!(rig.statuses(client), [200]);
    assert!(stopped(&rig));
}

#[test]
fn a_core_that_hangs_does_not_keep_the_others() {
    let mut rig = Rig::new(TWO_CORES);
    let client = rig.connect(0);
    let idle = rig.connect(0);
    rig.tick(0, Runtime::stop);
    rig.send(client, transact(1, 'c', 5));
    // Core 1 never ticks again.
    for _ in 0..4 {
        rig.tick(0, |_| ());
    }
    while rig.exit(0).is_none() {
        rig.now_ns = rig.cores[0]
            .runtime
            .deadline_ns()
            .unwrap()
            .max(rig.now_ns + 1);
        for _ in 0..8 {
            if rig.exit(0).is_none() {
                rig.tick(0, |_| ());
            }
        }
    }
    assert!(rig.now_ns <= SECOND_NS + STOP_SNAPSHOT_NS_MAX);
    assert!(rig.is_closed(client) && rig.is_closed(idle));
}

#[test]
fn a_reply_that_was_late_at_the_grace_is_sent_and_then_nothing_is_waited_for() {
    let mut rig = Rig::new(Plan {
        durability: Durability::Disk,
        ..ONE
    });
    let client = rig.connect(0);
    rig.disk_stuck(0, true);
    rig.send(client, transact(1, 'c', 5));
    rig.run();
    rig.stop();
    rig.pass(2 * STOP_GRACE_NS);
    rig.disk_stuck(0, false);
    rig.run();
    assert_eq!(rig.statuses(client), [200]);
    assert!(rig.is_closed(client), "it has nothing more to come for");
    assert!(stopped(&rig));
}
