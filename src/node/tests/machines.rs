//! Nodes on several machines, whose journals an engine keeps.

use super::*;
use crate::limits::{
    COMMAND_NS_MAX, DIGEST_NS, INSPECTION_NS, LEASE_NS, LEASE_SILENCE_NS, MILLISECOND_NS,
};

const MACHINES: Plan = Plan {
    nodes: 3,
    shards: 3,
    durability: Durability::Replicated,
    ..ONE
};

/// Nodes that have so many shards among them.
fn machines(nodes: usize, shards: usize) -> Rig {
    let mut rig = Rig::new(Plan {
        nodes,
        shards,
        ..MACHINES
    });
    rig.pass(2 * SECOND_NS);
    rig
}

/// Three nodes, each with its shard.
fn three() -> Rig {
    let rig = machines(3, 3);
    for node in 0..3 {
        assert_eq!(owned(&rig, node), [node]);
    }
    rig
}

fn owned(rig: &Rig, node: usize) -> Vec<usize> {
    let shards = rig.cores[node].runtime.node().shards();
    shards.map(|it| it.identity().shard as usize).collect()
}

#[test]
fn every_node_answers_for_every_account() {
    let mut rig = three();
    for node in 0..3 {
        let client = rig.connect(node);
        for account in 1..=3 {
            let reply = rig.ask(client, transact(account, 'c', 5));
            assert_eq!(reply.balance(), 5 * (node as i64 + 1), "account {account}");
            assert_eq!(
                rig.ask(client, statement(account)).balance(),
                reply.balance()
            );
        }
    }
}

#[test]
fn every_node_has_every_record() {
    let mut rig = three();
    let client = rig.connect(0);
    for amount in 1..20 {
        rig.ask(client, transact(1 + amount as u32 % 3, 'c', amount));
    }
    rig.check_copies();
    // What was read from files again is the same.
    rig.kill(1);
    rig.restart(1);
    rig.pass(SECOND_NS);
    rig.check_copies();
}

#[test]
fn a_reply_waits_for_the_engine_and_ticks_gather_the_next_batch_meanwhile() {
    let mut rig = three();
    let clients: Vec<_> = (0..9).map(|_| rig.connect(0)).collect();
    let batches = rig.engine.batches(0);
    rig.engine.stuck = true;
    for client in &clients {
        rig.send(*client, transact(3, 'c', 1));
        rig.run();
        assert!(rig.statuses(*client).is_empty());
    }
    // What it rests on is not in the log, nor known not to be.
    let reader = rig.connect(0);
    rig.send(reader, get("/health") + &statement(3));
    rig.run();
    assert_eq!(rig.statuses(reader), [200]);
    rig.engine_goes_on();
    for client in clients {
        assert_eq!(rig.statuses(client), [200]);
    }
    assert_eq!(rig.replies(reader)[0].balance(), 9);
    assert_eq!(rig.engine.batches(0) - batches, 2, "one, then all others");
}

#[test]
fn a_reply_waits_for_the_records_of_its_own_shard_only() {
    let mut rig = machines(1, 2);
    let (late, other) = (rig.connect(0), rig.connect(0));
    rig.engine.stuck_log = Some(1);
    rig.send(late, transact(1, 'c', 5) + &transact(2, 'c', 5));
    rig.run();
    assert_eq!(rig.ask(other, transact(2, 'c', 5)).balance(), 10);
    assert!(rig.statuses(late).is_empty());
    // What waits behind what is late is answered with it, though it is in the log.
    rig.pass(COMMAND_NS_MAX);
    assert_eq!(rig.statuses(late), [503, 503]);
    rig.send(late, get("/health"));
    rig.run();
    assert_eq!(rig.statuses(late), [200]);
    rig.engine_goes_on();
    rig.pass(SECOND_NS);
    assert_eq!(rig.ask(late, statement(1)).balance(), 5);
}

#[test]
fn what_another_machine_answers_does_not_wait_for_a_shard_here() {
    let mut rig = three();
    let (writer, client) = (rig.connect(0), rig.connect(0));
    rig.engine.stuck_log = Some(0);
    rig.send(writer, transact(3, 'c', 5));
    rig.run();
    assert!(rig.statuses(writer).is_empty());
    assert_eq!(rig.ask(client, transact(1, 'c', 5)).balance(), 5);
    rig.engine_goes_on();
    assert_eq!(rig.statuses(writer), [200]);
}

#[test]
fn without_the_engine_writes_are_unanswered_then_refused_and_reads_go_on_until_the_lease_ends() {
    let mut rig = three();
    let (writer, reader, late) = (rig.connect(0), rig.connect(0), rig.connect(0));
    assert_eq!(rig.ask(writer, transact(3, 'c', 7)).balance(), 7);
    rig.engine.away = true;
    assert_eq!(rig.ask(reader, statement(3)).balance(), 7);
    rig.send(writer, transact(3, 'c', 1) + &get("/health"));
    rig.pass(COMMAND_NS_MAX - MILLISECOND_NS);
    assert!(rig.statuses(writer).is_empty());
    rig.pass(MILLISECOND_NS);
    let replies = rig.replies(writer);
    assert_eq!(replies.len(), 2);
    assert_eq!((replies[0].status, replies[1].status), (503, 200));
    assert!(
        replies[0].body.contains("unanswered"),
        "{}",
        replies[0].body
    );
    // The batch is still under way: nothing is known, and nothing more is begun.
    let reply = rig.ask(writer, transact(3, 'c', 1));
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("unavailable"), "{}", reply.body);
    rig.send(late, statement(3));
    rig.pass(COMMAND_NS_MAX);
    let reply = rig.replies(late).remove(0);
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("unavailable"), "{}", reply.body);
    // It is back: whoever owns the shard then knows what has happened.
    rig.engine.away = false;
    rig.deliver();
    rig.pass(3 * LEASE_SILENCE_NS);
    let balance = rig.ask(late, statement(3)).balance();
    assert!([7, 8].contains(&balance), "{balance}");
    assert_eq!(rig.ask(writer, transact(3, 'c', 1)).balance(), balance + 1);
    rig.check_copies();
}

#[test]
fn a_node_that_was_killed_forwards_before_it_has_its_lease_again() {
    let mut rig = three();
    rig.kill(1);
    rig.restart(1);
    rig.pass(SECOND_NS);
    assert!(owned(&rig, 1).is_empty());
    let client = rig.connect(1);
    assert_eq!(rig.ask(client, transact(3, 'c', 5)).balance(), 5);
}

#[test]
fn moments_of_an_account_keep_their_order_though_the_next_owners_clock_is_behind() {
    let mut rig = three();
    rig.stepped_us = 60 * SECOND_NS as i64 / 1000;
    let client = rig.connect(0);
    rig.ask(client, transact(3, 'c', 1));
    rig.kill(0);
    rig.stepped_us = 0;
    rig.pass(2 * LEASE_SILENCE_NS);
    let client = rig.connect(1);
    for _ in 0..3 {
        assert_eq!(rig.ask(client, transact(3, 'c', 1)).status, 200);
        rig.pass(SECOND_NS);
    }
    let told = rig.ask(client, statement(3)).body;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let list = told["ultimas_transacoes"].as_array().unwrap();
    let moments: Vec<_> = list
        .iter()
        .map(|it| it["realizada_em"].as_str().unwrap())
        .collect();
    assert_eq!(moments.len(), 4);
    assert!(
        moments.is_sorted_by(|later, earlier| later >= earlier),
        "{moments:?}"
    );
    rig.check_copies();
}

#[test]
fn what_waits_is_withdrawn_from_whom_it_is_of_though_its_place_was_another_clients_before() {
    let mut rig = machines(2, 4);
    assert_eq!(owned(&rig, 0), [0, 2]);
    rig.cut_off(0, true);
    rig.pass(SECOND_NS);
    let gone = rig.connect(0);
    rig.send(gone, transact(2, 'c', 5) + &transact(4, 'c', 5));
    rig.run();
    let before = rig.socket(gone).id;
    rig.tick(0, |runtime| runtime.input_ended(before, true));
    rig.run();
    let client = rig.connect(0);
    let id = rig.socket(client).id;
    assert_eq!(
        (id.index, id.generation),
        (before.index, before.generation + 1)
    );
    rig.send(client, transact(4, 'c', 7));
    rig.run();
    // The other node takes the shards over before any of it is late; what was asked here is in no log.
    rig.pass(LEASE_SILENCE_NS - SECOND_NS + 300 * MILLISECOND_NS);
    assert!(rig.statuses(client).is_empty());
    rig.cut_off(0, false);
    rig.pass(300 * MILLISECOND_NS);
    let reply = rig.replies(client).remove(0);
    assert_eq!(reply.status, 503, "{reply:?}");
    rig.pass(3 * SECOND_NS);
    assert_eq!(rig.ask(client, statement(4)).balance(), 0);
}

#[test]
fn a_write_that_the_engine_does_not_answer_keeps_the_statement_of_its_own_account_only() {
    let mut rig = three();
    let (writer, reader) = (rig.connect(1), rig.connect(1));
    rig.engine.away = true;
    rig.send(writer, transact(1, 'c', 7));
    rig.run();
    assert_eq!(rig.ask(reader, statement(4)).balance(), 0);
    rig.send(reader, statement(1));
    rig.run();
    assert!(rig.statuses(reader).is_empty());
    rig.pass(COMMAND_NS_MAX);
    assert_eq!(rig.statuses(writer), [503]);
    assert_eq!(rig.statuses(reader), [503]);
}

/// What a node says of the engine, and its status.
#[test]
fn health_tells_of_the_engine() {
    let mut rig = three();
    let client = rig.connect(0);
    for _ in 0..5 {
        rig.ask(client, transact(3, 'c', 1));
    }
    rig.pass(INSPECTION_NS);
    let records = rig.engine.log.len();
    for node in 0..3 {
        let (status, engine) = rig.engine_health(node);
        assert_eq!(status, "healthy", "{engine}");
        let look_age = engine["log"]["look_age"].as_f64().unwrap();
        assert!(look_age <= INSPECTION_NS as f64 / 1e9, "{engine}");
        let log = serde_json::json!({
            "seen": records, "last": records, "lag": 0, "look_age": look_age
        });
        assert_eq!(
            engine,
            serde_json::json!({
                "connected": true, "lease": true, "unacknowledged": 0.0, "log": log,
                "alarms": 0, "alarm": null
            })
        );
    }
    let metrics = rig.ask(client, get("/metrics")).body;
    let appends = rig.engine.batches(0);
    for line in [
        "galo_engine_connected 1".to_owned(),
        "galo_engine_lease 1".to_owned(),
        format!("galo_engine_log_seen {records}"),
        format!("galo_engine_appends_total {appends}"),
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}: {metrics}");
    }
}

#[test]
fn a_node_without_the_engine_is_degraded_until_it_is_back() {
    let mut rig = three();
    let writer = rig.connect(0);
    rig.engine.away = true;
    rig.send(writer, transact(3, 'c', 1));
    rig.pass(LEASE_NS / 2);
    let (status, engine) = rig.engine_health(0);
    assert_eq!(status, "degraded");
    assert_eq!(engine["connected"], false);
    assert_eq!(engine["lease"], true, "reads are answered");
    assert_eq!(engine["unacknowledged"], 1.0);
    rig.pass(LEASE_NS);
    let (_, engine) = rig.engine_health(0);
    assert_eq!(engine["lease"], false);
    rig.engine.away = false;
    rig.deliver();
    rig.pass(3 * LEASE_SILENCE_NS);
    for node in 0..3 {
        let (status, engine) = rig.engine_health(node);
        assert_eq!(status, "healthy", "{engine}");
        assert_eq!(engine["unacknowledged"], 0.0);
    }
}

#[test]
fn a_node_tells_that_the_log_has_holes_until_it_has_none() {
    let mut rig = three();
    rig.engine.missing = 7;
    rig.pass(INSPECTION_NS);
    let (status, engine) = rig.engine_health(0);
    assert_eq!(status, "degraded");
    let alarm = engine["alarm"].as_str().unwrap();
    assert!(alarm.contains("lacks 7 records"), "{alarm}");
    assert_ne!(engine["alarms"], 0);
    rig.engine.missing = 0;
    rig.pass(2 * INSPECTION_NS);
    let (status, engine) = rig.engine_health(0);
    assert_eq!(status, "healthy", "{engine}");
    assert_eq!(engine["alarm"], serde_json::Value::Null);
}

#[test]
fn another_node_goes_on_with_what_was_acknowledged() {
    let mut rig = three();
    let (there, here) = (rig.connect(0), rig.connect(1));
    assert_eq!(rig.ask(there, transact(3, 'c', 7)).balance(), 7);
    rig.kill(0);
    rig.send(here, statement(3));
    rig.pass(2 * LEASE_SILENCE_NS);
    assert_eq!(rig.statuses(here), [503]);
    let reply = rig.ask(here, statement(3));
    assert_eq!(reply.balance(), 7);
    // It comes back, and so does its shard.
    rig.restart(0);
    rig.pass(3 * SECOND_NS);
    assert_eq!(owned(&rig, 0), [0]);
    let there = rig.connect(0);
    assert_eq!(rig.ask(there, transact(3, 'c', 1)).balance(), 8);
    rig.check_copies();
}

#[test]
fn an_owner_that_was_paused_tells_nothing_that_is_not_so_any_more() {
    let mut rig = three();
    let (old, new) = (rig.connect(0), rig.connect(1));
    assert_eq!(rig.ask(old, transact(3, 'c', 7)).balance(), 7);
    // It has a write under way, and does not hear how it went.
    rig.cut_off(0, true);
    rig.send(old, transact(3, 'c', 100));
    rig.tick(0, |_| ());
    rig.freeze(0);
    rig.pass(2 * LEASE_SILENCE_NS);
    rig.cut_off(0, false);
    assert_eq!(rig.ask(new, transact(3, 'd', 5)).balance(), 2);
    rig.send(old, statement(3));
    rig.thaw(0);
    rig.pass(COMMAND_NS_MAX);
    let replies = rig.replies(old);
    assert_eq!(replies[0].status, 503, "{replies:?}");
    assert!(
        replies[1].status == 503 || replies[1].balance() == 2,
        "{replies:?}"
    );
    rig.pass(3 * SECOND_NS);
    assert_eq!(rig.ask(old, statement(3)).balance(), 2);
    assert_eq!(owned(&rig, 0), [0]);
    rig.check_copies();
}

#[test]
fn a_node_that_stops_leaves_nobody_waiting() {
    let mut rig = three();
    let client = rig.connect(1);
    assert_eq!(rig.ask(client, transact(3, 'c', 7)).balance(), 7);
    rig.stop_node(0);
    rig.send(client, transact(3, 'c', 1));
    rig.pass(100 * MILLISECOND_NS);
    assert_eq!(rig.replies(client)[0].balance(), 8);
    rig.pass(LEASE_NS);
    assert_eq!(rig.exit(0), Some(&Exit::Stopped));
    rig.check_copies();
}

#[test]
fn a_node_that_is_alone_stops_and_goes_on() {
    let mut rig = Rig::new(Plan {
        nodes: 1,
        ..MACHINES
    });
    rig.pass(2 * SECOND_NS);
    let client = rig.connect(0);
    assert_eq!(rig.ask(client, transact(3, 'c', 7)).balance(), 7);
    rig.stop_node(0);
    rig.pass(SECOND_NS);
    assert_eq!(rig.exit(0), Some(&Exit::Stopped));
    rig.restart(0);
    rig.pass(SECOND_NS);
    let client = rig.connect(0);
    assert_eq!(rig.ask(client, transact(3, 'c', 1)).balance(), 8);
}

#[test]
fn a_node_that_starts_without_the_engine_waits_for_it() {
    let mut rig = Rig::with_nodes(MACHINES, &[]);
    rig.engine.away = true;
    for node in 0..3 {
        rig.restart(node);
    }
    let client = rig.connect(0);
    rig.send(client, get("/health") + &statement(3));
    rig.pass(COMMAND_NS_MAX);
    assert_eq!(rig.statuses(client), [200, 503]);
    rig.engine.away = false;
    rig.deliver();
    rig.pass(2 * SECOND_NS);
    assert_eq!(rig.ask(client, transact(3, 'c', 7)).balance(), 7);
}

#[test]
fn a_message_between_members_that_is_lost_is_sent_again() {
    let mut rig = three();
    let client = rig.connect(1);
    for lost in 1..5 {
        rig.engine.lost_messages = lost;
        rig.send(client, transact(3, 'c', 1));
        rig.pass(COMMAND_NS_MAX);
        assert_eq!(rig.replies(client)[0].balance(), lost as i64);
    }
}

#[test]
fn a_commands_outcome_is_known_to_the_next_owner() {
    let mut rig = three();
    let client = rig.connect(1);
    let keyed = transact(3, 'c', 7).replace("Host: x", "Host: x\r\nIdempotency-Key: a");
    assert_eq!(rig.ask(client, &keyed).balance(), 7);
    rig.kill(0);
    rig.pass(2 * LEASE_SILENCE_NS);
    assert_eq!(rig.ask(client, &keyed).balance(), 7);
    assert_eq!(rig.ask(client, statement(3)).balance(), 7);
}

#[test]
fn snapshots_are_made_of_what_is_in_the_log() {
    let mut rig = three();
    for core in &mut rig.cores {
        core.runtime.set_thresholds(2048, 1024);
    }
    let client = rig.connect(0);
    for amount in 0..900 {
        rig.ask(client, transact(1 + amount % 3, 'c', 1));
        if amount % 100 == 0 {
            rig.pass(SECOND_NS);
        }
    }
    for node in 0..3 {
        let snapshots = rig.stats_of(node).core(0).snapshots.get();
        assert!(snapshots >= 3, "{snapshots}");
        rig.kill(node);
        rig.restart(node);
    }
    rig.pass(3 * LEASE_SILENCE_NS);
    let client = rig.connect(2);
    let balances: Vec<_> = (1..=3)
        .map(|it| rig.ask(client, statement(it)).balance())
        .collect();
    assert_eq!(balances, [300; 3]);
    rig.check_copies();
}

/// Some requests to all accounts, until the engine's log has lost its front.
fn until_the_front_is_gone(rig: &mut Rig) {
    let client = rig.connect(0);
    for amount in 1..300 {
        if rig.engine.gone > 20 {
            return;
        }
        rig.ask(client, transact(1 + amount as u32 % 3, 'c', amount));
        rig.pass(SECOND_NS / 10);
    }
    panic!("{} records are gone", rig.engine.gone);
}

const SHORT_LOG: Plan = Plan {
    log_bytes_max: 3_000,
    ..MACHINES
};

/// Three nodes whose log has lost its front.
fn without_the_front() -> Rig {
    let mut rig = Rig::new(SHORT_LOG);
    rig.pass(2 * SECOND_NS);
    until_the_front_is_gone(&mut rig);
    rig
}

#[test]
fn the_logs_front_goes_and_a_new_machine_begins_with_what_was_kept() {
    let mut rig = without_the_front();
    rig.check_copies();
    rig.kill(1);
    rig.replace(1);
    rig.pass(10 * SECOND_NS);
    assert_eq!(owned(&rig, 1), [1]);
    rig.check_copies();
    let (here, there) = (rig.connect(1), rig.connect(0));
    for account in 1..=3 {
        let balance = rig.ask(there, statement(account)).balance();
        assert!(balance > 0);
        assert_eq!(rig.ask(here, statement(account)).balance(), balance);
    }
}

#[test]
fn a_node_that_was_away_for_long_begins_with_what_was_kept() {
    let mut rig = Rig::new(SHORT_LOG);
    rig.pass(2 * SECOND_NS);
    let client = rig.connect(0);
    rig.ask(client, transact(1, 'c', 1));
    // It does not end, but hears nothing.
    rig.cut_off(2, true);
    rig.pass(5 * SECOND_NS);
    until_the_front_is_gone(&mut rig);
    rig.cut_off(2, false);
    rig.pass(20 * SECOND_NS);
    assert_eq!(owned(&rig, 2), [2]);
    rig.check_copies();
}

#[test]
fn a_node_gets_its_shards_back_once_its_copies_are_there() {
    let mut rig = without_the_front();
    rig.kill(2);
    rig.engine.gives_no_file = true;
    rig.replace(2);
    rig.pass(5 * SECOND_NS);
    let others = |rig: &Rig| [owned(rig, 0), owned(rig, 1)].concat();
    assert_eq!(others(&rig).len(), 3, "{:?}", others(&rig));
    let before = rig.stats_of(0).sum(|core| &core.takeovers);
    rig.pass(60 * SECOND_NS);
    let after = rig.stats_of(0).sum(|core| &core.takeovers);
    assert_eq!(after, before, "nobody gives what is not taken");
    let client = rig.connect(2);
    rig.ask(client, transact(2, 'c', 1));
    rig.engine.gives_no_file = false;
    rig.pass(15 * SECOND_NS);
    assert_eq!(owned(&rig, 2), [2]);
    rig.check_copies();
}

#[test]
fn a_start_reads_what_is_new_of_the_log() {
    let mut rig = three();
    let client = rig.connect(0);
    for amount in 1..50 {
        rig.ask(client, transact(1 + amount as u32 % 3, 'c', amount));
    }
    // After a stop all of it is noted, after a kill what was synced some time ago.
    for stopped in [true, false] {
        let end = rig.engine.log.len() as u64;
        rig.pass(15 * SECOND_NS);
        rig.ask(client, transact(1, 'c', 1));
        rig.pass(15 * SECOND_NS);
        match stopped {
            true => {
                rig.stop_node(1);
                rig.pass(5 * SECOND_NS);
            }
            false => rig.kill(1),
        }
        rig.restart(1);
        let read_from = rig.cores[1].asking.followed;
        // Some shards had nothing since.
        assert!(read_from > Some(end - 5), "{read_from:?} of {end}");
        rig.pass(5 * SECOND_NS);
        rig.check_copies();
    }
}

/// As a bit that has changed in memory, or in a file, would.
fn spoil(rig: &mut Rig, node: usize, shard: usize) {
    let copy = rig.cores[node].runtime.standby_mut(shard).unwrap();
    copy.spoil();
}

/// Spoils node 2's copy of shard 0, and has the owners write.
fn spoil_and_write(rig: &mut Rig) {
    spoil(rig, 2, 0);
    rig.pass(DIGEST_NS);
    let client = rig.connect(0);
    for account in 1..=3 {
        rig.ask(client, transact(account, 'c', 1));
    }
    rig.pass(SECOND_NS);
    let (_, engine) = rig.engine_health(2);
    assert_eq!(engine["alarms"], 1);
    let alarm = engine["alarm"].as_str().unwrap();
    assert!(alarm.contains("copy of shard 0 here is not"), "{alarm}");
    for node in 0..2 {
        assert_eq!(rig.engine_health(node).1["alarms"], 0);
    }
}

#[test]
fn a_copy_that_is_not_its_owners_starts_over() {
    let mut rig = without_the_front();
    rig.check_copies();
    spoil_and_write(&mut rig);
    rig.pass(10 * SECOND_NS);
    rig.check_copies();
    // And is like it from then on.
    rig.pass(DIGEST_NS);
    let client = rig.connect(0);
    rig.ask(client, transact(3, 'c', 1));
    rig.pass(SECOND_NS);
    rig.check_copies();
    assert_eq!(rig.engine_health(2).1["alarms"], 1);
}

#[test]
fn a_copy_that_differs_is_not_served_while_there_is_no_other() {
    let mut rig = three();
    spoil_and_write(&mut rig);
    rig.kill(0);
    rig.pass(10 * SECOND_NS);
    assert_eq!((owned(&rig, 1), owned(&rig, 2)), (vec![0, 1], vec![2]));
    let client = rig.connect(2);
    for account in 1..=3 {
        assert_eq!(rig.ask(client, statement(account)).balance(), 1);
    }
}
