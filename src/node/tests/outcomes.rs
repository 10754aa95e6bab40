//! Payments without a `correlationId`, which are answered when they are carried out.

use super::gateway_requests::*;
use super::rig::processors::{Call, GATEWAY};
use super::*;
use crate::limits::{MILLISECOND_NS, PAY_NOW_NS_MAX, STOP_GRACE_NS, STOP_QUERIES_NS};
use crate::payments::PaymentId;

/// With one shard each.
const ELSEWHERE: Plan = Plan {
    shards: 2,
    ..GATEWAY_TWO
};

/// Of the n-th request of each kind: one whose payment is in the shard of node 0, for it has this key, and
/// one of node 1.
fn keys(nth: usize) -> [String; 2] {
    let mut keys = (0..).map(|number| format!("key-{nth}-{number}"));
    let shard = |key: &str| {
        const DIRECTORY: u128 = 7;
        let bits = crate::command::ids::key(DIRECTORY, key.as_bytes());
        PaymentId::made_of(bits).shard(ELSEWHERE.shards)
    };
    [0, 1].map(|node| keys.find(|key| shard(key) == node).unwrap())
}

impl Rig {
    /// The only payment that a processor was sent since the last call.
    #[track_caller]
    fn only_pay(&mut self) -> Call {
        let (pays, lookups) = self.pays_and_lookups();
        assert_eq!((pays.len(), lookups.len()), (1, 0));
        pays[0]
    }
}

#[test]
fn a_payment_is_answered_when_it_is_carried_out() {
    let mut rig = Rig::new(ELSEWHERE);
    let [one, other] = [0, 1].map(|node| rig.connect(node));
    let (first, second) = (keys(0), keys(1));
    for (client, key) in [
        (one, &first[0]),
        (one, &first[1]),
        (other, &second[0]),
        (other, &second[1]),
    ] {
        rig.send(client, pay_now("19.9", key));
        rig.run();
        assert_eq!(rig.replies(client), []);
        let call = rig.only_pay();
        rig.pass(MILLISECOND_NS);
        rig.answer(&call, 200);
        let reply = rig.replies(client).remove(0);
        assert_eq!(reply.status, 200);
        let id = call.payment().id;
        let begins = format!(
            "{{\"id\":\"{id}\",\"amount\":19.90,\"status\":\"processed\",\"processor\":\"default\""
        );
        assert!(reply.body.starts_with(&begins), "{reply:?}");
        // It is a payment like any other.
        let shown = rig.ask(client, get(&format!("/payments/{id}")));
        assert!(shown.body.contains("\"processed\""), "{shown:?}");
    }
    rig.check_counts();
}

#[test]
fn ids_of_our_making_are_all_different() {
    let mut rig = Rig::new(ELSEWHERE);
    let clients: Vec<Client> = (0..40).map(|at| rig.connect(at % 2)).collect();
    for client in &clients {
        rig.send(*client, pay_now("0.01", ""));
    }
    let mut ids = Vec::new();
    for _ in 0..20 {
        rig.run();
        let (pays, _) = rig.pays_and_lookups();
        for call in pays {
            ids.push(call.payment().id);
            rig.answer(&call, 200);
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), clients.len());
    for client in &clients {
        let reply = rig.replies(*client).remove(0);
        assert_eq!(reply.status, 200);
    }
    let total = rig.ask(clients[0], summary());
    assert_eq!(total.totals(), [(40, "0.40"), (0, "0.00")]);
}

#[test]
fn a_payment_that_takes_long_is_pending() {
    let mut rig = Rig::new(ELSEWHERE);
    let client = rig.connect(0);
    for key in keys(0) {
        rig.send(client, pay_now("19.90", &key));
        rig.run();
        let call = rig.only_pay();
        rig.pass(PAY_NOW_NS_MAX - 1);
        assert_eq!(rig.replies(client), []);
        rig.pass(1);
        let reply = rig.replies(client).remove(0);
        assert_eq!(reply.status, 202);
        let id = call.payment().id;
        let body = format!("{{\"id\":\"{id}\",\"amount\":19.90,\"status\":\"pending\"}}");
        assert_eq!(reply.body, body);
        // It is carried out after that all the same, and whoever asks again is told so at once.
        rig.answer(&call, 200);
        assert_eq!(rig.replies(client), []);
        let again = rig.ask(client, pay_now("19.90", &key));
        assert_eq!(again.status, 200);
        assert!(again.body.contains("\"processed\""));
        assert_eq!(rig.pays_and_lookups().0, []);
    }
    rig.check_counts();
}

#[test]
fn a_key_belongs_to_one_payment() {
    let mut rig = Rig::new(ELSEWHERE);
    let clients = [0, 1, 0, 1].map(|node| rig.connect(node));
    for key in keys(0) {
        for client in clients {
            rig.send(client, pay_now("19.90", &key));
        }
        rig.run();
        let call = rig.only_pay();
        let other = rig.connect(0);
        let other = rig.ask(other, pay_now("19.91", &key));
        assert_eq!(other.status, 422);
        assert!(other.body.contains("\"amount\""));
        rig.answer(&call, 200);
        for client in clients {
            assert_eq!(rig.statuses(client), [200]);
        }
    }
    rig.check_counts();
}

#[test]
fn an_owner_that_is_lost_meanwhile_is_replaced() {
    let mut rig = Rig::new(ELSEWHERE);
    let client = rig.connect(0);
    let [_, there] = keys(0);
    rig.send(client, pay_now("19.90", &there));
    rig.run();
    let first = rig.only_pay();
    rig.kill(1);
    rig.pass(200 * MILLISECOND_NS);
    assert_eq!(rig.owners(1), [0]);
    let call = rig.only_pay();
    assert_eq!(call.payment(), first.payment());
    assert_eq!(rig.replies(client), []);
    rig.answer(&call, 200);
    assert_eq!(rig.statuses(client), [200]);
    rig.check_counts();
}

#[test]
fn an_owner_that_is_lost_for_long_leaves_it_pending() {
    let mut rig = Rig::new(ELSEWHERE);
    let client = rig.connect(0);
    let [_, there] = keys(0);
    rig.send(client, pay_now("19.90", &there));
    rig.run();
    rig.disk_stuck(0, true);
    rig.kill(1);
    rig.pass(PAY_NOW_NS_MAX - 1);
    assert_eq!(rig.replies(client), []);
    rig.pass(1);
    assert_eq!(rig.statuses(client), [202]);
    rig.check_counts();
}

#[test]
fn what_the_disk_does_not_take_is_not_accepted() {
    let mut rig = Rig::new(GATEWAY_ONE);
    let client = rig.connect(0);
    rig.disk_full_once(0);
    let health = get("/health");
    rig.send(client, pay_now("19.90", "a") + &health);
    rig.run();
    let replies = rig.replies(client);
    assert_eq!((replies[0].status, replies[1].status), (503, 200));
    assert!(replies[0].body.contains("storage full"));
    assert_eq!(rig.pays_and_lookups().0, []);
    rig.check_counts();
    // Nothing of it is left.
    rig.send(client, pay_now("7", "a"));
    rig.pass(100 * MILLISECOND_NS);
    let call = rig.only_pay();
    assert_eq!(call.payment().cents, 700);
    rig.answer(&call, 200);
    assert_eq!(rig.statuses(client), [200]);
}

#[test]
fn what_is_settled_and_not_journalled_is_not_told() {
    for node in [0, 1] {
        let mut rig = Rig::new(ELSEWHERE);
        let client = rig.connect(node);
        let [here, _] = keys(0);
        rig.send(client, pay_now("19.90", &here));
        rig.run();
        let call = rig.only_pay();
        let mut plan = rig.cores[0].disk.0.lock().unwrap();
        plan.writes.push_back(Write::Fails(libc::ENOSPC));
        drop(plan);
        rig.answer(&call, 200);
        assert_eq!(rig.replies(client), []);
        // Its processor is asked again, for it is in doubt.
        rig.pass(2_000 * MILLISECOND_NS);
        let again = rig.only_pay();
        assert_eq!(again.payment(), call.payment());
        rig.answer(&again, 200);
        assert_eq!(rig.statuses(client), [200]);
        rig.check_counts();
    }
}

#[test]
fn durability_disk_tells_it_when_it_is_synced() {
    for node in [0, 1] {
        let mut rig = Rig::new(Plan {
            durability: Durability::Disk,
            ..ELSEWHERE
        });
        let client = rig.connect(node);
        let [here, _] = keys(0);
        rig.send(client, pay_now("19.90", &here));
        rig.run();
        let call = rig.only_pay();
        rig.disk_stuck(0, true);
        rig.answer(&call, 200);
        assert_eq!(rig.replies(client), []);
        rig.disk_stuck(0, false);
        rig.run();
        assert_eq!(rig.statuses(client), [200]);
    }
}

#[test]
fn a_full_queue_refuses_it() {
    let mut rig = Rig::new(Plan {
        gateway: Some(rig::Gateway {
            open_max: 1,
            ..GATEWAY
        }),
        ..GATEWAY_ONE
    });
    rig.unreachable = [true; 2];
    let clients = [rig.connect(0), rig.connect(0)];
    rig.send(clients[0], pay_now("19.90", ""));
    rig.run();
    let reply = rig.ask(clients[1], pay_now("19.90", ""));
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("queue full"));
    let stats =
        |count: fn(&crate::stats::CoreStats) -> &crate::stats::Counter| rig.stats.sum(count);
    assert_eq!(stats(|core| &core.payments.accepted), 1);
    assert_eq!(stats(|core| &core.payments.queue_full), 1);
}

#[test]
fn a_stop_leaves_it_pending() {
    let mut rig = Rig::new(GATEWAY_ONE);
    let clients = [rig.connect(0), rig.connect(0)];
    rig.send(clients[0], pay_now("19.90", ""));
    rig.run();
    rig.stop();
    // Within the grace one is accepted still.
    rig.send(clients[1], pay_now("0.10", ""));
    rig.pass(STOP_GRACE_NS);
    rig.pass(STOP_QUERIES_NS - STOP_GRACE_NS);
    for client in clients {
        assert_eq!(rig.statuses(client), [202]);
        assert!(rig.is_closed(client));
    }
    rig.run();
    assert_eq!(rig.exit(0), Some(&Exit::Stopped));
}

#[test]
fn what_is_forgotten_meanwhile_has_no_outcome() {
    for node in [0, 1] {
        let mut rig = Rig::new(ELSEWHERE);
        let (client, other) = (rig.connect(node), rig.connect(0));
        let [here, _] = keys(0);
        rig.send(client, pay_now("19.90", &here));
        rig.run();
        let reply = rig.ask(other, purge());
        assert_eq!(reply.body, "{\"status\":\"purged\"}");
        let reply = rig.replies(client).remove(0);
        assert_eq!(reply.status, 503);
        assert!(reply.body.contains("forgotten"));
        rig.check_counts();
    }
}
