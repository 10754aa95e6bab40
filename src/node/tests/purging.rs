//! Purges, on all shards wherever they are; and a gateway that is not there.

use super::gateway_requests::*;
use super::*;
use crate::limits::COMMAND_NS_MAX;

#[test]
fn a_purge_forgets_payments_everywhere_and_nothing_else() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(0);
    for shard in 0..4 {
        assert_eq!(
            rig.ask(client, transact(shard as u32 + 1, 'c', 5)).status,
            200
        );
        rig.ask(client, pay(id_in(GATEWAY_TWO, shard, 0), "19.90"));
        assert_eq!(rig.carry_out_all(), 1);
    }
    for shard in 0..4 {
        rig.ask(client, pay(id_in(GATEWAY_TWO, shard, 1), "19.90"));
    }
    let (under_way, _) = rig.pays_and_lookups();
    assert_eq!(under_way.len(), 4);
    let reply = rig.ask(client, purge());
    assert_eq!(
        (reply.status, &*reply.body),
        (200, "{\"status\":\"purged\"}")
    );
    let nothing = [(0, "0.00"), (0, "0.00")];
    assert_eq!(rig.ask(client, summary()).totals(), nothing);
    for shard in 0..4 {
        assert_eq!(rig.ask(client, statement(shard as u32 + 1)).balance(), 5);
        for nth in 0..2 {
            let id = id_in(GATEWAY_TWO, shard, nth);
            let shown = rig.ask(client, get(&format!("/payments/{id}")));
            assert_eq!(shown.status, 404);
        }
    }
    // What comes of what was under way is nobody's any more.
    for call in &under_way {
        rig.answer(call, 200);
    }
    assert_eq!(rig.ask(client, summary()).totals(), nothing);
    rig.check_counts();
}

#[test]
fn a_reset_forgets_payments_too() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(1);
    for shard in 0..4 {
        assert_eq!(
            rig.ask(client, transact(shard as u32 + 1, 'c', 5)).status,
            200
        );
        rig.ask(client, pay(id_in(GATEWAY_TWO, shard, 0), "19.90"));
        assert_eq!(rig.carry_out_all(), 1);
    }
    assert_eq!(rig.ask(client, reset()).body, "{\"status\":\"reset\"}");
    assert_eq!(
        rig.ask(client, summary()).totals(),
        [(0, "0.00"), (0, "0.00")]
    );
    for account in 1..5 {
        assert_eq!(rig.ask(client, statement(account)).balance(), 0);
    }
}

#[test]
fn a_purge_that_a_disk_does_not_take_says_so() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(0);
    for (shard, node) in [(0, 0), (1, 1)] {
        let id = id_in(GATEWAY_TWO, shard, 0);
        rig.ask(client, pay(id, "19.90"));
        assert_eq!(rig.carry_out_all(), 1);
        let mut plan = rig.cores[node].disk.0.lock().unwrap();
        plan.writes.push_back(Write::Fails(libc::ENOSPC));
        drop(plan);
        let reply = rig.ask(client, purge());
        assert_eq!(reply.status, 503);
        assert!(
            reply.body.contains("some payments may be forgotten"),
            "{reply:?}"
        );
        let shown = rig.ask(client, get(&format!("/payments/{id}")));
        assert_eq!(shown.status, 200);
    }
}

#[test]
fn a_purge_waits_for_owners_as_a_reset_does() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(0);
    rig.freeze(1);
    rig.send(client, purge() + &get("/health"));
    rig.pass(COMMAND_NS_MAX - 1);
    assert_eq!(rig.replies(client), []);
    rig.pass(1);
    assert_eq!(rig.statuses(client), [503, 200]);
    rig.thaw(1);
    assert_eq!(rig.ask(client, purge()).status, 200);
    rig.check_counts();
}

#[test]
fn what_is_forgotten_is_forgotten_once_whoever_serves_the_shard_then() {
    for (request, account) in [(reset().to_owned(), true), (purge().to_owned(), false)] {
        for by_another in [false, true] {
            let mut rig = Rig::new(Plan {
                nodes: 3,
                shards: 3,
                ..GATEWAY_TWO
            });
            let (reply_to, other) = (rig.connect(0), rig.connect(2));
            // Node 1 carries it out for its shard, and nobody hears of that.
            rig.hear(0, 1, false);
            rig.send(reply_to, &request);
            rig.run();
            assert_eq!(rig.replies(reply_to), []);
            // Client 4 is of shard 1, and so is the payment.
            let id = id_in(
                Plan {
                    shards: 3,
                    ..GATEWAY_TWO
                },
                1,
                0,
            );
            assert_eq!(rig.ask(other, transact(4, 'c', 5)).status, 200);
            assert_eq!(rig.ask(other, pay(id, "19.90")).status, 202);
            if by_another {
                // The next owner is asked again, be it who asks or the third.
                rig.kill(1);
            }
            rig.hear(0, 1, true);
            rig.cut(0, 1);
            rig.pass(COMMAND_NS_MAX / 2);
            assert_eq!(rig.statuses(reply_to), [200]);
            let shown = rig.ask(other, get(&format!("/payments/{id}")));
            assert_eq!(shown.status, 200, "{request}, {by_another}");
            assert_eq!(rig.ask(other, statement(4)).balance(), 5);
            // Another one is another one.
            assert_eq!(rig.ask(reply_to, &request).status, 200);
            let expected = if account { 0 } else { 5 };
            assert_eq!(rig.ask(other, statement(4)).balance(), expected);
            let shown = rig.ask(other, get(&format!("/payments/{id}")));
            assert_eq!(shown.status, 404);
            rig.check_counts();
        }
    }
}

#[test]
fn without_processors_payments_say_what_to_set() {
    let mut rig = Rig::new(Plan {
        log_bytes_max: u64::MAX,
        gateway: None,
        ..GATEWAY_TWO
    });
    let client = rig.connect(0);
    for shard in 0..2 {
        let id = id_in(GATEWAY_TWO, shard, 0);
        let requests = [
            pay(id, "19.90"),
            pay_now("19.90", ""),
            get(&format!("/payments/{id}")),
            summary(),
            purge(),
        ];
        for request in requests {
            let reply = rig.ask(client, request);
            assert_eq!(reply.status, 503);
            assert!(reply.body.contains("--processor-default"), "{reply:?}");
        }
    }
    // What is wrong with a request is said first.
    assert_eq!(rig.ask(client, pay_now("0", "")).status, 422);
    // Its turn is behind what was asked before.
    rig.send(
        client,
        transact(1, 'c', 5) + &summary() + &transact(1, 'c', 5),
    );
    rig.run();
    assert_eq!(rig.statuses(client), [200, 503, 200]);
}

#[test]
fn a_payment_that_is_repeated_over_a_lost_owner_is_accepted_once() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(0);
    let id = id_in(GATEWAY_TWO, 1, 0);
    rig.hear(0, 1, false);
    rig.send(client, pay(id, "19.90"));
    rig.run();
    assert_eq!(rig.replies(client), []);
    assert_eq!(rig.stats_of(1).sum(|core| &core.payments.accepted), 1);
    // Its reply is lost with it.
    rig.kill(1);
    rig.hear(0, 1, true);
    rig.cut(0, 1);
    rig.pass(COMMAND_NS_MAX / 2);
    assert_eq!(rig.statuses(client), [202]);
    assert_eq!(rig.stats.sum(|core| &core.payments.accepted), 0);
    assert_eq!(rig.stats.sum(|core| &core.duplicates), 1);
    assert_eq!(rig.ask(client, pay(id, "19.9")).status, 202);
    assert_eq!(rig.ask(client, pay(id, "19.91")).status, 422);
}
