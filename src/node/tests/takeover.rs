//! Shards change hands: when their owner dies, stops, comes back, or cannot have them.

use super::super::link::{Frame, Hello};
use super::linking::{bytes, hello};
use super::*;
use crate::limits::{
    ACQUIRE_AFTER_ERROR_NS, ACQUIRE_GRACE_NS, ACQUIRE_NS_MAX, COMMAND_NS_MAX, MILLISECOND_NS,
    STOP_GRACE_NS, STOP_SNAPSHOT_NS_MAX,
};
use crate::machine::Job;

/// Client `c` is in shard `c % shards`; shard `s` is at home at node `s % nodes`.
fn nodes(nodes: usize) -> Plan {
    Plan {
        nodes,
        shards: 2 * nodes,
        ..ONE
    }
}

/// With durability `disk` a shard stays for as long as the disk is stuck, for replies wait for it.
fn nodes_disk(count: usize) -> Plan {
    Plan {
        durability: Durability::Disk,
        ..nodes(count)
    }
}

fn owners(rig: &Rig) -> Vec<Vec<usize>> {
    (0..rig.disks.len())
        .map(|shard| rig.owners(shard))
        .collect()
}

#[test]
fn an_owner_that_stops_hands_its_shards_over_before_it_exits() {
    let mut rig = Rig::new(nodes(2));
    let (here, there) = (rig.connect(0), rig.connect(1));
    rig.send(here, transact(1, 'c', 5) + &transact(2, 'c', 5));
    rig.send(there, transact(1, 'c', 5) + &transact(3, 'c', 5));
    rig.tick(0, |_| ());
    rig.tick(1, |_| ());
    rig.stop_node(1);
    assert_eq!(owners(&rig), [[0]; 4]);
    assert!(rig.exit(1).is_none(), "it has a client");
    // Within the grace it answers for everything, as ever.
    rig.send(there, transact(1, 'c', 5) + &statement(3));
    rig.run();
    assert_eq!(rig.statuses(here), [200, 200]);
    assert_eq!(rig.statuses(there), [200; 4]);
    rig.pass(STOP_GRACE_NS);
    assert_eq!(rig.exit(1), Some(&Exit::Stopped));
    assert_eq!(rig.ask(here, statement(1)).balance(), 15);
    assert_eq!(rig.stats.sum(|core| &core.takeovers), 2);
    assert!(!rig.is_closed(here));
}

#[test]
fn a_node_that_comes_back_gets_its_shards_in_the_middle_of_traffic() {
    for durability in [Durability::Process, Durability::Disk] {
        let mut rig = Rig::new(Plan {
            durability,
            ..nodes(2)
        });
        rig.kill(1);
        rig.run();
        assert_eq!(owners(&rig), [[0]; 4]);
        let clients: Vec<Client> = (0..4).map(|_| rig.connect(0)).collect();
        let mut asked = 0;
        for turn in 0..40 {
            if turn == 5 {
                rig.restart(1);
            }
            for client in &clients {
                rig.send(*client, transact(1, 'c', 1) + &transact(3, 'c', 1));
            }
            asked += 1;
            rig.tick(turn % 2, |_| ());
            if rig.exit(1).is_none() {
                rig.tick(1, |_| ());
            }
        }
        rig.pass(50 * MILLISECOND_NS);
        assert_eq!(owners(&rig), [[0], [1], [0], [1]]);
        for client in &clients {
            assert_eq!(rig.statuses(*client), vec![200; 2 * asked]);
        }
        for account in [1, 3] {
            let balance = rig.ask(clients[0], statement(account)).balance();
            assert_eq!(balance, 4 * asked as i64);
        }
        assert_eq!(rig.stats_of(1).sum(|core| &core.handbacks), 2);
        rig.check_counts();
    }
}

#[test]
fn what_waits_for_a_shard_is_carried_out_before_that_goes_on_to_its_home() {
    let mut rig = Rig::new(nodes(2));
    let client = rig.connect(0);
    rig.kill(1);
    while rig.cores[0].jobs.is_empty() {
        rig.tick(0, |_| ()); // Learns that the owner is gone, and tries for its shards.
    }
    let acquired: Vec<_> = rig.cores[0].jobs.drain(..).map(Job::run).collect();
    rig.send(client, transact(1, 'c', 5));
    // The home is back, and linked, before the core hears that the shards are its own.
    rig.restart(1);
    rig.run();
    assert!(rig.statuses(client).is_empty());
    rig.cores[0].done.extend(acquired);
    rig.tick(0, |_| ());
    assert_eq!(rig.statuses(client), [200], "in the same tick");
    rig.run();
    assert_eq!(owners(&rig), [[0], [1], [0], [1]]);
}

#[test]
fn both_nodes_stop_at_once_and_leave_closing_snapshots() {
    for delay in 0..6 {
        let mut rig = Rig::new(nodes(2));
        let (here, there) = (rig.connect(0), rig.connect(1));
        for account in 1..=4 {
            assert_eq!(rig.ask(here, transact(account, 'c', 5)).status, 200);
        }
        rig.tick(0, Runtime::stop);
        for turn in 0..delay {
            rig.tick(turn % 2, |_| ());
        }
        rig.tick(1, Runtime::stop);
        let requests = [1, 2, 3, 4]
            .map(|account| transact(account, 'c', 5))
            .concat();
        rig.send(here, &requests);
        rig.send(there, &requests);
        rig.pass(STOP_GRACE_NS);
        assert_eq!(rig.statuses(here), [200; 4], "delay {delay}");
        assert_eq!(rig.statuses(there), [200; 4], "delay {delay}");
        rig.pass(STOP_SNAPSHOT_NS_MAX / 2);
        let snapshots = |node: usize| rig.stats_of(node).sum(|core| &core.snapshots);
        assert_eq!(rig.exit(0), Some(&Exit::Stopped));
        assert_eq!(rig.exit(1), Some(&Exit::Stopped));
        assert!(
            snapshots(0) + snapshots(1) >= 4,
            "of every shard, by its last owner"
        );
    }
}

#[test]
fn a_paused_owner_costs_its_shards_only() {
    let mut rig = Rig::new(nodes(3));
    let (client, other) = (rig.connect(0), rig.connect(0));
    rig.freeze(1);
    rig.send(client, transact(1, 'c', 5));
    rig.pass(COMMAND_NS_MAX - 1);
    assert!(rig.replies(client).is_empty());
    for account in [2, 3, 5] {
        assert_eq!(rig.ask(other, transact(account, 'c', 7)).status, 200);
    }
    rig.pass(1);
    let replies = rig.replies(client);
    assert_eq!(replies[0].status, 503);
    assert!(replies[0].head.contains("\r\nRetry-After: 1"));
    assert!(replies[0].body.contains("unanswered"));
    rig.send(client, transact(4, 'c', 1));
    rig.run();
    rig.thaw(1);
    // The late reply is dropped; what it tells has happened.
    assert_eq!(rig.statuses(client), [200]);
    assert_eq!(rig.ask(client, statement(1)).balance(), 5);
    assert_eq!(owners(&rig), [[0], [1], [2], [0], [1], [2]]);
    rig.check_counts();
}

#[test]
fn what_waits_for_a_paused_owner_is_bounded() {
    use crate::limits::{CONNECTION_FORWARDS_MAX, SHARD_COMMANDS_MAX, SHARD_COMMANDS_SCARCE};
    let mut rig = Rig::new(nodes(2));
    rig.freeze(1);
    let mut connect =
        |count: usize| -> Vec<Client> { (0..count).map(|_| rig.connect(0)).collect() };
    let each = CONNECTION_FORWARDS_MAX as usize;
    let pipelining = connect(SHARD_COMMANDS_SCARCE / each);
    let single = connect(SHARD_COMMANDS_MAX - SHARD_COMMANDS_SCARCE);
    let [last] = connect(1)[..] else { panic!() };
    let mut bytes = Vec::new();
    for round in 0..12 {
        for client in &pipelining {
            rig.send(*client, transact(1, 'c', 1).repeat(each));
        }
        for client in &single {
            rig.send(*client, transact(1, 'c', 1));
        }
        rig.run();
        // One too many for the shard, but not for another one.
        assert_eq!(
            rig.ask(last, transact(1, 'c', 1)).status,
            503,
            "round {round}"
        );
        rig.send(last, transact(3, 'c', 1));
        rig.pass(COMMAND_NS_MAX);
        assert_eq!(rig.statuses(last), [503]);
        for client in &pipelining {
            assert_eq!(rig.statuses(*client), vec![503; each]);
        }
        for client in &single {
            assert_eq!(rig.statuses(*client), [503]);
        }
        rig.check_counts();
        bytes.push(rig.unread_bytes(1));
    }
    assert_eq!(
        bytes[10], bytes[11],
        "a paused member is not sent more and more"
    );
    rig.thaw(1);
    let client = rig.connect(0);
    assert_eq!(rig.ask(client, transact(1, 'c', 1)).status, 200);
    rig.check_counts();
}

#[test]
fn pipelines_leave_room_in_an_owners_queue() {
    use crate::limits::{CONNECTION_FORWARDS_MAX, SHARD_COMMANDS_MAX, SHARD_COMMANDS_SCARCE};
    let mut rig = Rig::new(nodes(2));
    rig.freeze(1);
    let each = CONNECTION_FORWARDS_MAX as usize;
    // Without the rule these would have the queue full.
    let pipelining: Vec<Client> = (0..SHARD_COMMANDS_MAX / each)
        .map(|_| rig.connect(0))
        .collect();
    for client in &pipelining {
        rig.send(*client, transact(1, 'c', 1).repeat(each));
    }
    rig.run();
    let forwards = rig.stats_of(0).sum(|core| &core.forwards);
    let full = SHARD_COMMANDS_SCARCE / each;
    let others = pipelining.len() - full;
    assert_eq!(forwards as usize, SHARD_COMMANDS_SCARCE + others);
    let client = rig.connect(0);
    rig.send(client, transact(1, 'c', 1));
    rig.run();
    rig.thaw(1);
    rig.run();
    assert_eq!(rig.statuses(client), [200]);
    for client in &pipelining {
        assert_eq!(rig.statuses(*client), vec![200; each]);
    }
    rig.check_counts();
}

#[test]
fn a_third_node_learns_who_took_over() {
    for cores in [1, 2] {
        let mut rig = Rig::new(Plan {
            cores,
            shards: 3 * cores,
            ..nodes(3)
        });
        let clients: Vec<Client> = (0..2 * cores).map(|core| rig.connect(core)).collect();
        rig.kill(2);
        for client in &clients {
            let requests = [1, 2, 3, 4, 5].map(|account| transact(account, 'c', 1));
            rig.send(*client, requests.concat());
        }
        rig.pass(ACQUIRE_NS_MAX);
        for client in &clients {
            assert_eq!(rig.statuses(*client), [200; 5]);
        }
        rig.check_counts();
    }
}

#[test]
fn a_shard_that_cannot_be_recovered_here_is_left_to_others_and_tried_again() {
    let mut rig = Rig::new(nodes(3));
    let client = rig.connect(2);
    assert_eq!(rig.ask(client, transact(1, 'c', 5)).status, 200);
    for node in [0, 2] {
        rig.cores[node].disk.0.lock().unwrap().create = Some(libc::EIO);
        rig.cores[node].disk.0.lock().unwrap().open = Some(libc::EIO);
    }
    rig.kill(1);
    rig.send(client, transact(1, 'c', 5));
    rig.run();
    assert!(rig.owners(1).is_empty() && rig.replies(client).is_empty());
    rig.cores[0].disk.0.lock().unwrap().create = None;
    rig.cores[0].disk.0.lock().unwrap().open = None;
    rig.pass(ACQUIRE_AFTER_ERROR_NS);
    assert_eq!(rig.owners(1), [0]);
    assert_eq!(rig.replies(client)[0].balance(), 10);
}

#[test]
fn a_home_that_does_not_take_its_shard_is_not_offered_it_all_the_time() {
    let mut rig = Rig::new(nodes(2));
    rig.kill(1);
    rig.run();
    let client = rig.connect(0);
    // It greets, and is paused when it is given its shards.
    rig.begin_and_link(1);
    rig.freeze(1);
    let mut unanswered = 0;
    for _ in 0..100 {
        rig.send(client, transact(1, 'c', 1));
        rig.run();
        unanswered += usize::from(rig.statuses(client) != [200]);
        rig.pass(20 * MILLISECOND_NS);
        rig.statuses(client);
    }
    assert!((1..=10).contains(&unanswered), "{unanswered}");
    rig.thaw(1);
    rig.pass(30 * SECOND_NS);
    assert_eq!(
        owners(&rig),
        [[0], [1], [0], [1]],
        "in the end it gets them"
    );
}

#[test]
fn a_reset_reaches_every_shard_during_a_takeover() {
    let mut rig = Rig::new(nodes(2));
    let client = rig.connect(0);
    for account in 1..=4 {
        assert_eq!(rig.ask(client, transact(account, 'c', 5)).status, 200);
    }
    rig.send(client, reset());
    rig.tick(0, |_| ());
    rig.tick(0, |_| ()); // Shard 1's turn: sent.
    rig.kill(1);
    rig.pass(ACQUIRE_NS_MAX);
    assert_eq!(rig.statuses(client), [200]);
    for account in 1..=4 {
        assert_eq!(rig.ask(client, statement(account)).balance(), 0);
    }
    rig.check_counts();
}

#[test]
fn a_pipelining_client_keeps_its_order_across_a_takeover() {
    for ticks in 0..12 {
        let mut rig = Rig::new(nodes(2));
        let client = rig.connect(0);
        let requests = (0..30).map(|at| transact([1, 1, 2][at % 3], 'c', 1) + &get("/nowhere"));
        rig.send(client, requests.collect::<String>());
        for turn in 0..ticks {
            rig.tick(turn % 2, |_| ());
        }
        rig.kill(1);
        rig.pass(ACQUIRE_NS_MAX);
        let replies = rig.replies(client);
        let mut balances = [0; 3];
        for (at, pair) in replies.chunks(2).enumerate() {
            let account = [1, 1, 2][at % 3];
            balances[account] += 1;
            assert_eq!(pair[0].balance(), balances[account], "after {ticks} ticks");
            assert_eq!(pair[1].status, 404);
        }
        assert_eq!(balances, [0, 20, 10]);
    }
}

#[test]
fn with_disk_nothing_leaves_before_its_sync_when_shards_change_hands() {
    let disk = Plan {
        durability: Durability::Disk,
        ..nodes(2)
    };
    // A takeover: what the next owner carries out waits for its sync, here and at who asks.
    let mut rig = Rig::new(disk);
    let client = rig.connect(0);
    rig.send(client, transact(1, 'c', 5));
    rig.tick(0, |_| ());
    rig.kill(1);
    rig.tick(0, |_| ());
    rig.tick(0, |_| ());
    rig.tick(0, |_| ()); // It has it.
    assert_eq!(rig.owners(1), [0]);
    rig.disk_stuck(0, true);
    rig.run();
    assert!(rig.replies(client).is_empty());
    rig.disk_stuck(0, false);
    rig.run();
    assert_eq!(rig.replies(client)[0].balance(), 5);

    // A hand-over: the shard goes when what was journalled is synced, and its replies with it.
    let mut rig = Rig::new(disk);
    let client = rig.connect(0);
    rig.disk_stuck(1, true);
    rig.send(client, transact(1, 'c', 5));
    rig.run();
    rig.stop_node(1);
    assert_eq!(rig.owners(1), [1]);
    assert!(rig.replies(client).is_empty());
    rig.disk_stuck(1, false);
    rig.run();
    assert_eq!(rig.replies(client)[0].balance(), 5);
    assert_eq!(rig.owners(1), [0]);
    assert_eq!(rig.ask(client, statement(1)).balance(), 5);
}

#[test]
fn a_stop_while_a_shard_is_on_its_way_here_leaves_it_to_who_stays() {
    let mut rig = Rig::new(nodes_disk(2));
    rig.kill(1);
    rig.run();
    let client = rig.connect(0);
    rig.disk_stuck(0, true);
    rig.send(client, transact(1, 'c', 5));
    rig.run();
    rig.restart(1);
    assert_eq!(rig.owners(1), [0], "not yet synced");
    rig.send(client, transact(1, 'c', 5));
    rig.run();
    rig.tick(1, Runtime::stop);
    rig.disk_stuck(0, false);
    rig.pass(ACQUIRE_GRACE_NS);
    assert_eq!(owners(&rig), [[0]; 4]);
    let balances: Vec<i64> = rig.replies(client).iter().map(Reply::balance).collect();
    assert_eq!(balances, [5, 10]);
    assert_eq!(rig.exit(1), Some(&Exit::Stopped));
}

#[test]
fn a_home_that_is_gone_again_before_it_has_its_shard_leaves_it_where_it_is() {
    for leaves in [false, true] {
        let mut rig = Rig::new(nodes_disk(2));
        rig.kill(1);
        rig.run();
        let (writer, client) = (rig.connect(0), rig.connect(0));
        rig.disk_stuck(0, true);
        rig.send(writer, transact(1, 'c', 5));
        rig.run();
        rig.restart(1);
        assert_eq!(rig.owners(1), [0], "not yet synced");
        let there = rig.connect(1);
        rig.send(client, transact(1, 'c', 5));
        rig.send(there, transact(1, 'c', 5));
        rig.run();
        match leaves {
            false => rig.kill(1),
            true => rig.stop_node(1),
        }
        rig.run();
        rig.disk_stuck(0, false);
        rig.run();
        let clients = match leaves {
            false => vec![writer, client],
            true => vec![writer, client, there],
        };
        let balances = clients
            .iter()
            .map(|client| rig.replies(*client)[0].balance());
        let mut balances: Vec<i64> = balances.collect();
        balances.sort_unstable();
        assert_eq!(balances, [5, 10, 15][..clients.len()]);
        assert_eq!(rig.owners(1), [0]);
        rig.check_counts();
    }
}

#[test]
fn a_shard_goes_home_over_a_link_that_takes_the_place_of_another() {
    // With another shard, trying for that would look at this one, too.
    let plan = Plan {
        shards: 2,
        ..nodes_disk(2)
    };
    let mut rig = Rig::with_nodes(plan, &[0]);
    rig.pass(ACQUIRE_GRACE_NS);
    let client = rig.connect(0);
    rig.disk_stuck(0, true);
    rig.send(client, transact(1, 'c', 5));
    rig.run();
    let hello = Hello {
        shards: 2,
        ..hello()
    };
    let greeting = bytes(&[Frame::Hello(hello)]);
    let before = rig.connect_linker(0);
    rig.send(before, &greeting);
    rig.run();
    assert_eq!(rig.owners(1), [0], "not yet synced");
    // The home has begun anew before the end of its first link is seen.
    let after = rig.connect_linker(0);
    rig.send(after, &greeting);
    rig.run();
    assert!(rig.is_closed(before));
    let node = rig.cores[0].runtime.node();
    assert_eq!(node.releasing(), 1, "it is on its way once more");
}

#[test]
fn what_was_sent_behind_a_refused_command_is_not_carried_out_before_it() {
    let mut rig = Rig::new(nodes_disk(3));
    rig.kill(1);
    rig.cores[2].disk.0.lock().unwrap().open = Some(libc::EIO);
    rig.run();
    let (client, writer) = (rig.connect(2), rig.connect(0));
    rig.pass(ACQUIRE_GRACE_NS);
    assert_eq!(rig.ask(client, transact(1, 'c', 5)).balance(), 5);
    rig.disk_stuck(0, true);
    rig.send(writer, transact(1, 'c', 5));
    rig.run();
    rig.restart(1);
    assert_eq!(rig.owners(1), [0]);
    // It is on its way to its home, and this one is refused.
    rig.hear(2, 0, false);
    rig.send(client, transact(1, 'c', 1));
    rig.tick(2, |_| ());
    rig.tick(0, |_| ());
    rig.kill(1);
    rig.tick(0, |_| ()); // It stays after all.
    rig.send(client, transact(1, 'c', 1));
    rig.tick(2, |_| ());
    rig.tick(0, |_| ());
    rig.hear(2, 0, true);
    rig.disk_stuck(0, false);
    rig.run();
    let balances: Vec<i64> = rig.replies(client).iter().map(Reply::balance).collect();
    assert_eq!(balances, [11, 12]);
}
