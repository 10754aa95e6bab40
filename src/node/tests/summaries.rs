//! Summaries: of all shards wherever they are, of what processors hold whether we have heard of it or not,
//! and in time.

use super::gateway_requests::*;
use super::*;
use crate::limits::{
    COMMAND_NS_MAX, MILLISECOND_NS, QUERIES_MAX, STOP_GRACE_NS, STOP_QUERIES_NS, SUMMARY_NS_MAX,
};

const NONE: [(u64, &str); 2] = [(0, "0.00"), (0, "0.00")];

/// Within the window of requestedAt from and to, in milliseconds of the rig's time.
fn summary_within(from_ms: u64, to_ms: u64) -> String {
    // The rig's time begins with 2024, and a second has passed.
    let time = |ms: u64| format!("2024-01-01T00:00:{:02}.{:03}Z", ms / 1000, ms % 1000);
    let (from, to) = (time(from_ms), time(to_ms));
    get(&format!("/payments-summary?from={from}&to={to}"))
}

#[test]
fn a_summary_is_of_all_shards_wherever_they_are() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let clients = [rig.connect(0), rig.connect(1)];
    for (shard, amount) in ["1.00", "0.20", "0.03", "400"].into_iter().enumerate() {
        let id = id_in(GATEWAY_TWO, shard, 0);
        let reply = rig.ask(clients[shard / 2], pay(id, amount));
        assert_eq!(reply.status, 202);
        assert_eq!(rig.carry_out_all(), 1);
        rig.pass(10 * MILLISECOND_NS);
    }
    for client in clients {
        let all = rig.ask(client, summary());
        assert_eq!(all.totals(), [(4, "401.23"), (0, "0.00")]);
        // Both bounds are in.
        let some = rig.ask(client, summary_within(1010, 1020));
        assert_eq!(some.totals(), [(2, "0.23"), (0, "0.00")]);
        let first = rig.ask(client, summary_within(0, 1009));
        assert_eq!(first.totals(), [(1, "1.00"), (0, "0.00")]);
        assert_eq!(rig.ask(client, summary_within(1031, 9000)).totals(), NONE);
    }
    rig.check_counts();
}

#[test]
fn bounds_within_one_microsecond_have_nothing_between_them() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(0);
    let bound = "2024-01-01T00:00:01.0000005Z";
    let reply = rig.ask(
        client,
        get(&format!("/payments-summary?from={bound}&to={bound}")),
    );
    assert_eq!(reply.totals(), NONE);
}

#[test]
fn what_a_processor_holds_counts_before_it_has_said_so() {
    for node in [0, 1] {
        let mut rig = Rig::new(GATEWAY_TWO);
        let client = rig.connect(node);
        // In a shard of node 0: asked here, or over the link.
        rig.ask(client, pay(id_in(GATEWAY_TWO, 0, 0), "19.90"));
        let (pays, _) = rig.pays_and_lookups();
        rig.send(client, summary());
        rig.run();
        assert_eq!(rig.replies(client), []);
        let (_, lookups) = rig.pays_and_lookups();
        rig.has_it(&lookups[0], &pays[0]);
        let reply = rig.replies(client).remove(0);
        assert_eq!(reply.totals(), [(1, "19.90"), (0, "0.00")]);
        // Its own reply says nothing new, and nothing is asked again.
        rig.answer(&pays[0], 200);
        let reply = rig.ask(client, summary());
        assert_eq!(reply.totals(), [(1, "19.90"), (0, "0.00")]);
        assert_eq!(rig.pays_and_lookups(), (vec![], vec![]));
        rig.check_counts();
    }
}

#[test]
fn a_summary_is_of_the_moment_at_which_it_was_asked_for() {
    let mut rig = Rig::new(GATEWAY_ONE);
    let client = rig.connect(0);
    rig.ask(client, pay(id_in(GATEWAY_ONE, 0, 0), "19.90"));
    rig.ask(client, pay(id_in(GATEWAY_ONE, 0, 1), "0.10"));
    let (pays, _) = rig.pays_and_lookups();
    assert_eq!(pays.len(), 2);
    rig.send(client, summary());
    rig.run();
    let (_, lookups) = rig.pays_and_lookups();
    assert_eq!(lookups.len(), 2);
    // It was not there when it was asked for, and is stored a moment later.
    rig.answer(&lookups[0], 404);
    for call in &pays {
        rig.answer(call, 200);
    }
    assert_eq!(rig.replies(client), []);
    rig.answer(&lookups[1], 404);
    assert_eq!(rig.replies(client)[0].totals(), NONE);
    let later = rig.ask(client, summary());
    assert_eq!(later.totals(), [(2, "20.00"), (0, "0.00")]);
}

#[test]
fn what_lies_outside_the_window_is_not_asked_for() {
    let mut rig = Rig::new(GATEWAY_ONE);
    let client = rig.connect(0);
    rig.ask(client, pay(id_in(GATEWAY_ONE, 0, 0), "19.90"));
    assert_eq!(rig.pays_and_lookups().0.len(), 1);
    assert_eq!(rig.ask(client, summary_within(0, 999)).totals(), NONE);
    assert_eq!(rig.ask(client, summary_within(1001, 9000)).totals(), NONE);
    assert_eq!(rig.pays_and_lookups(), (vec![], vec![]));
    rig.send(client, summary_within(1000, 1000));
    rig.run();
    assert_eq!(rig.pays_and_lookups().1.len(), 1);
}

#[test]
fn what_a_processor_does_not_say_in_time_is_left_out() {
    for node in [0, 1] {
        let mut rig = Rig::new(GATEWAY_TWO);
        let client = rig.connect(node);
        for nth in 0..2 {
            rig.ask(client, pay(id_in(GATEWAY_TWO, 0, nth), "19.90"));
        }
        let (pays, _) = rig.pays_and_lookups();
        rig.answer(&pays[0], 200);
        rig.send(client, summary());
        rig.run();
        assert_eq!(rig.pays_and_lookups().1.len(), 1);
        rig.pass(SUMMARY_NS_MAX - 1);
        assert_eq!(rig.replies(client), []);
        rig.pass(1);
        let reply = rig.replies(client).remove(0);
        assert_eq!(reply.totals(), [(1, "19.90"), (0, "0.00")]);
        rig.check_counts();
    }
}

#[test]
fn an_owner_that_is_lost_in_the_middle_is_replaced() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(0);
    let id = id_in(GATEWAY_TWO, 1, 0);
    rig.ask(client, pay(id, "19.90"));
    let (pays, _) = rig.pays_and_lookups();
    rig.send(client, summary());
    rig.run();
    assert_eq!(rig.pays_and_lookups().1.len(), 1);
    rig.kill(1);
    rig.pass(200 * MILLISECOND_NS);
    assert_eq!(rig.owners(1), [0]);
    assert_eq!(rig.replies(client), []);
    // It is sent once more, and asked about, by the one who has the shard now.
    let (again, lookups) = rig.pays_and_lookups();
    assert_eq!(again[0].payment(), pays[0].payment());
    assert_eq!(lookups.len(), 1);
    rig.has_it(&lookups[0], &pays[0]);
    let reply = rig.replies(client).remove(0);
    assert_eq!(reply.totals(), [(1, "19.90"), (0, "0.00")]);
    rig.check_counts();
}

#[test]
fn a_shard_that_changes_hands_is_asked_for_where_it_goes() {
    for node in [0, 1] {
        let mut rig = Rig::new(GATEWAY_TWO);
        let client = rig.connect(node);
        rig.ask(client, pay(id_in(GATEWAY_TWO, 1, 0), "19.90"));
        let (pays, _) = rig.pays_and_lookups();
        rig.send(client, summary());
        rig.run();
        assert_eq!(rig.pays_and_lookups().1.len(), 1);
        rig.stop_node(1);
        rig.pass(100 * MILLISECOND_NS);
        assert_eq!(rig.owners(1), [0]);
        let (_, lookups) = rig.pays_and_lookups();
        rig.has_it(&lookups[0], &pays[0]);
        let reply = rig.replies(client).remove(0);
        assert_eq!(reply.totals(), [(1, "19.90"), (0, "0.00")]);
        rig.check_counts();
    }
}

#[test]
fn a_shard_that_nobody_has_is_waited_for_so_long() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(0);
    rig.disk_stuck(0, true);
    rig.kill(1);
    rig.send(client, summary());
    rig.pass(COMMAND_NS_MAX - 1);
    assert_eq!(rig.replies(client), []);
    rig.pass(1);
    let reply = rig.replies(client).remove(0);
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("unavailable"), "{reply:?}");
    assert!(reply.head.contains("\r\nRetry-After: 1"));
    // Who has them in time, has them in time.
    rig.send(client, summary());
    rig.pass(COMMAND_NS_MAX / 2);
    assert_eq!(rig.replies(client), []);
    rig.disk_stuck(0, false);
    rig.pass(200 * MILLISECOND_NS);
    assert_eq!(rig.replies(client)[0].totals(), NONE);
    rig.check_counts();
}

#[test]
fn an_owner_that_says_nothing_is_waited_for_so_long() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(0);
    rig.freeze(1);
    rig.send(client, summary());
    rig.pass(COMMAND_NS_MAX);
    assert_eq!(rig.statuses(client), [503]);
    rig.send(client, summary());
    rig.pass(COMMAND_NS_MAX / 2);
    // It answers both; the first one's part is none of the second's.
    rig.thaw(1);
    assert_eq!(rig.replies(client)[0].totals(), NONE);
    rig.check_counts();
}

#[test]
fn what_is_asked_behind_a_summary_is_answered_behind_it() {
    for node in [0, 1] {
        let mut rig = Rig::new(GATEWAY_TWO);
        let client = rig.connect(node);
        let ids = [0, 1].map(|shard| id_in(GATEWAY_TWO, shard, 0));
        rig.ask(client, pay(ids[0], "19.90"));
        let (pays, _) = rig.pays_and_lookups();
        let behind = [
            summary(),
            pay(ids[1], "1"),
            transact(1, 'c', 5),
            get("/health"),
            statement(0),
        ];
        rig.send(client, transact(1, 'c', 5) + &summary() + &behind.concat());
        rig.run();
        assert_eq!(rig.statuses(client), [200]);
        let (others, lookups) = rig.pays_and_lookups();
        assert_eq!(others, []);
        rig.answer(&lookups[0], 404);
        let replies = rig.replies(client);
        assert_eq!(replies[0].totals(), NONE);
        assert_eq!(replies.len(), 1, "the second one waits, too");
        let (others, lookups) = rig.pays_and_lookups();
        assert_eq!(others, []);
        rig.has_it(&lookups[0], &pays[0]);
        let replies = rig.replies(client);
        assert_eq!(replies[0].totals(), [(1, "19.90"), (0, "0.00")]);
        assert_eq!(replies[1].status, 202);
        assert_eq!(replies[2].balance(), 10);
        assert_eq!(replies[3].status, 200);
        assert_eq!(replies[4].status, 404);
        rig.check_counts();
    }
}

#[test]
fn who_goes_away_is_not_waited_for() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(0);
    for shard in [0, 1] {
        rig.ask(client, pay(id_in(GATEWAY_TWO, shard, 0), "19.90"));
    }
    assert_eq!(rig.pays_and_lookups().0.len(), 2);
    rig.send(client, summary());
    rig.run();
    let (_, lookups) = rig.pays_and_lookups();
    let id = rig.socket(client).id;
    rig.tick(0, |runtime| runtime.input_ended(id, true));
    rig.run();
    assert!(rig.is_closed(client));
    rig.check_counts();
    let open = |rig: &Rig, core: usize| rig.cores[core].runtime.node().queries.open_queries();
    assert_eq!(
        [open(&rig, 0), open(&rig, 1)],
        [0, 1],
        "members are not told"
    );
    for lookup in &lookups {
        rig.answer(lookup, 404);
    }
    assert_eq!([open(&rig, 0), open(&rig, 1)], [0, 0]);
    rig.check_counts();
}

#[test]
fn a_stop_is_not_held_up() {
    let mut rig = Rig::new(GATEWAY_ONE);
    let clients = [rig.connect(0), rig.connect(0)];
    rig.ask(clients[0], pay(id_in(GATEWAY_ONE, 0, 0), "19.90"));
    let (pays, _) = rig.pays_and_lookups();
    for client in clients {
        rig.send(client, summary());
    }
    rig.run();
    // What the processor says yet, counts yet.
    let (_, lookups) = rig.pays_and_lookups();
    assert_eq!(lookups.len(), 1, "one lookup serves both");
    rig.stop();
    rig.pass(STOP_GRACE_NS);
    rig.has_it(&lookups[0], &pays[0]);
    rig.pass(STOP_QUERIES_NS);
    for client in clients {
        assert_eq!(rig.replies(client)[0].totals(), [(1, "19.90"), (0, "0.00")]);
        assert!(rig.is_closed(client));
    }
    assert_eq!(rig.exit(0), Some(&Exit::Stopped));
}

#[test]
fn who_stops_leaves_what_it_cannot_find_out_to_the_next() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(0);
    rig.ask(client, pay(id_in(GATEWAY_TWO, 0, 0), "19.90"));
    let (pays, _) = rig.pays_and_lookups();
    // In the tick of the stop itself, in which nothing is asked any more.
    rig.send(client, summary());
    rig.tick(0, Runtime::stop);
    rig.pass(100 * MILLISECOND_NS);
    assert_eq!(rig.owners(0), [1]);
    let (again, lookups) = rig.pays_and_lookups();
    assert_eq!((again.len(), lookups.len()), (1, 1));
    rig.has_it(&lookups[0], &pays[0]);
    let reply = rig.replies(client).remove(0);
    assert_eq!(reply.totals(), [(1, "19.90"), (0, "0.00")]);
    // Without anybody to leave it to, it says nothing rather than too little.
    let mut rig = Rig::new(GATEWAY_ONE);
    let client = rig.connect(0);
    rig.ask(client, pay(id_in(GATEWAY_ONE, 0, 0), "19.90"));
    assert_eq!(rig.pays_and_lookups().0.len(), 1);
    rig.send(client, summary());
    rig.tick(0, Runtime::stop);
    rig.pass(STOP_QUERIES_NS);
    assert_eq!(rig.statuses(client), [503]);
    assert!(rig.is_closed(client));
}

#[test]
fn a_stop_answers_what_cannot_be_known_in_time() {
    let mut rig = Rig::new(GATEWAY_TWO);
    let client = rig.connect(0);
    rig.freeze(1);
    rig.send(client, summary());
    rig.run();
    rig.tick(0, Runtime::stop);
    rig.pass(STOP_QUERIES_NS - 1);
    assert_eq!(rig.replies(client), []);
    rig.pass(1);
    assert_eq!(rig.statuses(client), [503]);
    assert!(rig.is_closed(client));
}

#[test]
fn those_in_the_works_are_bounded() {
    let mut rig = Rig::new(GATEWAY_TWO);
    rig.freeze(1);
    let clients: Vec<Client> = (0..=QUERIES_MAX).map(|_| rig.connect(0)).collect();
    for client in &clients {
        rig.send(*client, summary());
    }
    rig.run();
    let (last, others) = clients.split_last().unwrap();
    let reply = rig.replies(*last).remove(0);
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("too many requests"));
    assert!(others.iter().all(|client| rig.replies(*client).is_empty()));
    rig.thaw(1);
    for client in others {
        assert_eq!(rig.statuses(*client), [200]);
    }
    assert_eq!(rig.ask(*last, summary()).totals(), NONE);
    rig.check_counts();
}
