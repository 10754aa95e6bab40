//! A journal that finds no room: replies that rest on it are taken back before anybody sees them.

use super::*;

/// Clients 1, 3 and 5 are in shard 1, clients 2 and 4 in shard 0.
const TWO_SHARDS: Plan = Plan { shards: 2, ..ONE };

#[test]
fn what_rested_on_the_refused_write_is_503_and_the_rest_stays() {
    let mut rig = Rig::new(TWO_SHARDS);
    let client = rig.connect(0);
    assert_eq!(rig.ask(client, transact(1, 'c', 100)).balance(), 100);
    rig.disk_full_once(1);
    let requests = [
        get("/health"),
        transact(1, 'c', 5),
        transact(2, 'c', 7),
        statement(1),
        "DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        transact(1, 'd', 1_000_000),
        statement(2),
        statement(9),
        transact(1, 'x', 5),
    ];
    rig.send(client, requests.concat());
    rig.run();
    let replies = rig.replies(client);
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200, 503, 200, 200, 405, 503, 200, 404, 422]);
    assert!(replies[1].body.contains("storage full"));
    assert!(replies[1].head.contains("\r\nRetry-After: "));
    assert_eq!(replies[2].balance(), 7);
    assert_eq!(replies[3].balance(), 100, "as it was before");
    assert!(replies[4].head.contains("\r\nAllow: GET, HEAD"));
    assert_eq!(replies[6].balance(), 7);
    assert_eq!(rig.stats.sum(|core| &core.journal_full), 1);
    // There is room again.
    assert_eq!(rig.ask(client, transact(1, 'c', 5)).balance(), 105);
}

#[test]
fn both_shards_may_be_refused_and_several_connections() {
    let mut rig = Rig::new(TWO_SHARDS);
    let clients: Vec<Client> = (0..5).map(|_| rig.connect(0)).collect();
    rig.disk_full_once(0);
    rig.disk_full_once(1);
    for client in &clients {
        let requests = [1, 2].map(|id| transact(id, 'c', 1) + &statement(id));
        rig.send(*client, requests.concat());
    }
    rig.run();
    for client in &clients {
        let replies = rig.replies(*client);
        let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        assert_eq!(statuses, [503, 200, 503, 200]);
        assert_eq!((replies[1].balance(), replies[3].balance()), (0, 0));
    }
    for (count, client) in (1..).zip(&clients) {
        assert_eq!(rig.ask(*client, transact(1, 'c', 1)).balance(), count);
        assert_eq!(rig.ask(*client, transact(2, 'c', 1)).balance(), count);
    }
}

#[test]
fn a_request_that_closes_still_closes_when_it_is_refused() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    rig.disk_full_once(0);
    let request = transact(1, 'c', 5).replacen("Host", "Connection: close\r\nHost", 1);
    let reply = rig.ask(client, request);
    assert_eq!((reply.status, reply.closes()), (503, true));
    assert!(rig.is_closed(client));
}

#[test]
fn another_core_is_told_of_the_refusal() {
    let mut rig = Rig::new(Plan {
        cores: 2,
        shards: 2,
        ..ONE
    });
    let client = rig.connect(0);
    rig.disk_full_once(1);
    rig.send(
        client,
        transact(1, 'c', 5) + &statement(1) + &transact(1, 'c', 6),
    );
    rig.run();
    let replies = rig.replies(client);
    assert_eq!(replies[0].status, 503);
    assert_eq!(replies[1].balance(), 0);
    assert_eq!(replies[2].status, 503);
}

#[test]
fn what_is_held_for_the_disk_is_not_taken_back_by_a_later_refusal() {
    let mut rig = Rig::new(Plan {
        durability: Durability::Disk,
        ..ONE
    });
    let client = rig.connect(0);
    rig.disk_stuck(0, true);
    rig.send(client, transact(1, 'c', 5));
    rig.run();
    rig.disk_full_once(0);
    rig.send(client, transact(1, 'c', 5));
    rig.run();
    assert!(rig.statuses(client).is_empty());
    rig.disk_stuck(0, false);
    rig.run();
    assert_eq!(rig.statuses(client), [200, 503]);
    assert_eq!(rig.ask(client, statement(1)).balance(), 5);
}

#[test]
fn a_refused_reset_says_that_some_accounts_may_be_back_at_the_start() {
    for full in [0, 1] {
        let mut rig = Rig::new(TWO_SHARDS);
        let client = rig.connect(0);
        rig.send(client, transact(1, 'c', 5) + &transact(2, 'c', 5));
        rig.run();
        assert_eq!(rig.statuses(client), [200, 200]);
        rig.disk_full_once(full);
        let reply = rig.ask(client, reset());
        assert_eq!(reply.status, 503);
        assert!(
            !reply.body.contains("nothing was changed"),
            "{}",
            reply.body
        );
        assert_eq!(rig.ask(client, reset()).status, 200);
        assert_eq!(rig.ask(client, statement(1)).balance(), 0);
        assert_eq!(rig.ask(client, statement(2)).balance(), 0);
    }
}

#[test]
fn a_repeat_of_what_is_in_the_journal_needs_no_room() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    let keyed = |key: &str, amount| {
        let field = format!("Idempotency-Key: {key}\r\nHost");
        transact(1, 'c', amount).replacen("Host", &field, 1)
    };
    let first = rig.ask(client, keyed("old", 5));
    rig.disk_full_once(0);
    rig.send(
        client,
        keyed("new", 7) + &keyed("old", 5) + &keyed("new", 7) + &keyed("old", 6),
    );
    rig.run();
    let replies = rig.replies(client);
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses[..3], [503, 200, 503]);
    assert_eq!(replies[1].body, first.body);
    assert_eq!(rig.ask(client, keyed("new", 7)).balance(), 12);
    assert_eq!(rig.ask(client, keyed("old", 6)).status, 422);
}
