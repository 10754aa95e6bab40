//! Several nodes: whoever serves a shard, and whoever dies, one bank.

use super::*;
use crate::limits::COMMAND_NS_MAX;

/// Client `c` is in shard `c % shards`; shard `s` is at home at node `s % nodes`.
fn nodes(nodes: usize) -> Plan {
    Plan {
        nodes,
        shards: 2 * nodes,
        ..ONE
    }
}

#[test]
fn any_member_answers_for_any_account() {
    for cores in 1..=2 {
        let mut rig = Rig::new(Plan { cores, ..nodes(3) });
        for core in 0..rig.cores.len() {
            let client = rig.connect(core);
            for account in 1..=5 {
                let reply = rig.ask(client, transact(account, 'c', 5));
                assert_eq!(reply.balance(), 5 * (core as i64 + 1));
            }
            assert_eq!(rig.ask(client, statement(6)).status, 404);
        }
        rig.check_counts();
    }
}

#[test]
fn the_owner_dies_and_who_waits_is_answered_by_who_takes_over() {
    let mut rig = Rig::new(nodes(2));
    let clients = [0; 3].map(|core| rig.connect(core));
    rig.send(clients[0], transact(1, 'c', 5) + &transact(1, 'c', 6));
    rig.send(clients[1], transact(3, 'c', 7));
    rig.tick(0, |_| ());
    rig.tick(1, |_| ()); // Carried out, and answered; but nobody hears of it.
    rig.cut(0, 1);
    rig.kill(1);
    rig.send(clients[2], transact(5, 'c', 8));
    rig.run();
    let balances = clients.map(|client| {
        let replies = rig.replies(client);
        replies.iter().map(Reply::balance).collect::<Vec<_>>()
    });
    assert_eq!(balances, [vec![5, 11], vec![7], vec![8]]);
    for shard in 0..4 {
        assert_eq!(rig.owners(shard), [0]);
    }
    let stats = &rig.stats;
    assert_eq!(stats.sum(|core| &core.duplicates), 3);
    assert_eq!(stats.sum(|core| &core.forwards), 3);
    assert_eq!(stats.sum(|core| &core.retries), 3);
    assert_eq!(stats.sum(|core| &core.takeovers), 2);
    assert_eq!(stats.sum(|core| &core.handbacks), 0);
    rig.check_counts();
}

#[test]
fn a_quiet_cluster_wants_no_tick() {
    let mut rig = Rig::new(nodes(3));
    let client = rig.connect(0);
    for account in 1..=5 {
        assert_eq!(rig.ask(client, transact(account, 'c', 5)).status, 200);
    }
    rig.finish(client);
    rig.pass(200 * SECOND_NS);
    for core in &rig.cores {
        assert_eq!(core.runtime.deadline_ns(), None);
    }
}

#[test]
fn what_is_taken_up_because_a_command_before_it_expired_is_journalled_before_its_reply_leaves() {
    let mut rig = Rig::new(nodes(2));
    let client = rig.connect(0);
    rig.freeze(1);
    rig.send(client, statement(1) + &transact(2, 'c', 5));
    rig.pass(COMMAND_NS_MAX - 1);
    rig.now_ns += 1;
    rig.tick(0, |_| ());
    assert_eq!(rig.statuses(client), [503, 200]);
    rig.kill(0);
    rig.kill(1);
    rig.restart(0);
    let client = rig.connect(0);
    assert_eq!(rig.ask(client, statement(2)).balance(), 5);
}
