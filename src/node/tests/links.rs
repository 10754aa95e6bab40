//! Several cores: whichever a client is connected to, it sees one bank.

use super::*;
use crate::limits::{BUFFER_BYTES, COMMAND_NS_MAX, CONNECTION_FORWARDS_MAX, LATE_NS};

/// Client `c` is in the shard, and at the core, of number `c % cores`.
fn cores(cores: usize) -> Plan {
    Plan {
        cores,
        shards: cores,
        ..ONE
    }
}

#[test]
fn any_core_answers_for_any_account() {
    let mut rig = Rig::new(cores(3));
    for core in 0..3 {
        let client = rig.connect(core);
        for account in 1..=5 {
            let reply = rig.ask(client, transact(account, 'c', 5));
            assert_eq!(reply.balance(), 5 * (core as i64 + 1));
        }
        assert_eq!(rig.ask(client, statement(6)).status, 404);
        assert_eq!(rig.ask(client, transact(2, 'd', 90_000)).status, 422);
    }
    assert_eq!(rig.stats.replies_in_all(), 3 * 7, "each counted once");
}

#[test]
fn replies_keep_the_order_of_requests_for_different_cores() {
    let mut rig = Rig::new(cores(3));
    let client = rig.connect(0);
    let accounts = [1, 1, 2, 3, 4, 2, 1, 5, 3, 3, 1];
    let requests = accounts.map(|id| transact(id, 'c', i64::from(id)) + &get("/nowhere"));
    rig.send(client, requests.concat());
    rig.run();
    let replies = rig.replies(client);
    let mut balances = [0; 6];
    assert_eq!(replies.len(), 2 * accounts.len());
    for (account, replies) in accounts.iter().zip(replies.chunks(2)) {
        balances[*account as usize] += i64::from(*account);
        assert_eq!(replies[0].balance(), balances[*account as usize]);
        assert_eq!(replies[1].status, 404);
    }
}

#[test]
fn two_cores_may_reset_each_other() {
    let mut rig = Rig::new(cores(2));
    let clients = [rig.connect(0), rig.connect(1)];
    for client in clients {
        rig.send(client, transact(1, 'c', 5) + reset() + &statement(1));
    }
    rig.run();
    for client in clients {
        assert_eq!(rig.statuses(client), [200, 200, 200]);
    }
}

#[test]
fn what_was_asked_of_a_core_that_is_gone_is_503_in_its_place() {
    let mut rig = Rig::new(cores(2));
    let client = rig.connect(0);
    rig.send(client, transact(1, 'c', 5) + &statement(2) + &statement(1));
    rig.tick(0, |_| ());
    rig.kill_core(1);
    rig.run();
    assert!(rig.replies(client).is_empty(), "its core may come back");
    rig.pass(COMMAND_NS_MAX + LATE_NS);
    let replies = rig.replies(client);
    assert!(replies[0].body.contains("unanswered"), "{replies:?}");
    assert_eq!(replies[0].status, 503);
    rig.pass(COMMAND_NS_MAX + LATE_NS);
    let more = rig.replies(client);
    let statuses: Vec<u16> = replies[1..]
        .iter()
        .chain(&more)
        .map(|it| it.status)
        .collect();
    assert_eq!(statuses, [200, 503]);
    rig.send(client, statement(1) + reset() + &statement(2));
    rig.pass(2 * (COMMAND_NS_MAX + LATE_NS));
    assert_eq!(rig.statuses(client), [503, 503, 200]);
}

#[test]
fn a_client_that_is_gone_is_not_answered() {
    let mut rig = Rig::new(cores(2));
    let client = rig.connect(0);
    rig.send(client, transact(1, 'c', 5));
    rig.tick(0, |_| ());
    let id = rig.socket(client).id;
    rig.tick(0, |runtime| runtime.input_ended(id, true));
    let next = rig.connect(0);
    rig.run();
    assert!(rig.statuses(client).is_empty());
    assert!(rig.statuses(next).is_empty());
    assert_eq!(rig.ask(next, statement(1)).balance(), 5);
}

#[test]
fn a_client_whose_last_requests_were_forwarded_is_read_again() {
    let mut rig = Rig::new(cores(2));
    let client = rig.connect(0);
    let padding = format!("\r\nX: {}\r\nHost", "x".repeat(2 * BUFFER_BYTES / 3));
    let long = statement(1).replacen("\r\nHost", &padding, 1);
    // While the first waits for core 1, the second waits for it, and what is behind fills the input.
    rig.send(client, statement(1) + &statement(2) + &long + &long);
    rig.tick(0, |_| ());
    assert!(!rig.socket(client).reading, "paused");
    rig.run();
    assert_eq!(rig.statuses(client), [200; 4]);
    rig.send(client, statement(2));
    rig.run();
    assert_eq!(rig.statuses(client), [200]);
}

#[test]
fn a_bad_request_behind_one_that_was_forwarded_is_refused_all_the_same() {
    let chunked =
        "POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for bad in [
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\nHost: x\n\n".to_owned(),
        format!("{chunked}zz\r\n"),
        format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(9000)),
    ] {
        let mut rig = Rig::new(cores(2));
        let client = rig.connect(0);
        rig.send(client, statement(1) + &bad);
        rig.run();
        let statuses = rig.statuses(client);
        assert_eq!(statuses.len(), 2, "{bad}");
        assert!(statuses[0] == 200 && statuses[1] >= 400, "{bad}");
        assert!(rig.socket(client).finished, "{bad}");
    }
}

#[test]
fn a_client_is_told_to_go_on_behind_the_reply_that_it_waits_for() {
    let mut rig = Rig::new(cores(2));
    let client = rig.connect(0);
    let request = transact(1, 'c', 5).replacen("Host", "Expect: 100-continue\r\nHost", 1);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    rig.send(client, statement(1) + &statement(1) + head + "\r\n\r\n");
    rig.run();
    assert_eq!(rig.statuses(client), [200, 200, 100]);
    rig.send(client, body);
    rig.run();
    assert_eq!(rig.statuses(client), [200]);
}

#[test]
fn a_reset_reaches_every_core_and_keeps_its_place_among_the_replies() {
    for core in 0..3 {
        let mut rig = Rig::new(cores(3));
        let client = rig.connect(core);
        let credits = [1, 2, 3, 4, 5].map(|id| transact(id, 'c', 5)).concat();
        let statements = [1, 2, 3, 4, 5].map(statement).concat();
        rig.send(client, credits + reset() + &statements);
        rig.run();
        let replies = rig.replies(client);
        assert_eq!(replies.len(), 11);
        assert_eq!(replies[5].body, "{\"status\":\"reset\"}", "core {core}");
        for reply in &replies[6..] {
            assert_eq!(reply.balance(), 0);
        }
    }
}

#[test]
fn frames_left_of_a_core_that_is_gone_are_dropped() {
    let mut rig = Rig::new(cores(2));
    let (here, resets, credits) = (rig.connect(0), rig.connect(1), rig.connect(1));
    rig.send(here, statement(1));
    rig.tick(0, |_| ());
    // Core 1 answers that behind a command that has to wait, because a reset is before it.
    rig.cores[1].sockets[0].reading = false;
    rig.send(resets, reset());
    rig.send(credits, transact(2, 'c', 5));
    rig.tick(1, |_| ());
    rig.cores[1].sockets[0].reading = true;
    rig.tick(1, |_| ());
    rig.kill_core(1);
    rig.pass(COMMAND_NS_MAX + LATE_NS);
    assert_eq!(rig.statuses(here), [503]);
}

#[test]
fn one_client_has_a_bounded_number_of_commands_at_other_cores() {
    let mut rig = Rig::new(cores(2));
    let client = rig.connect(0);
    let count = 3 * CONNECTION_FORWARDS_MAX as usize + 1;
    rig.send(client, statement(1).repeat(count));
    rig.tick(0, |_| ());
    let forwards = rig.stats.sum(|core| &core.forwards);
    assert_eq!(forwards, u64::from(CONNECTION_FORWARDS_MAX));
    rig.run();
    assert_eq!(rig.statuses(client), vec![200; count]);
}

#[test]
fn resets_at_once_at_every_core_are_all_carried_out() {
    let mut rig = Rig::new(cores(3));
    let clients: Vec<Client> = (0..9).map(|at| rig.connect(at % 3)).collect();
    for client in &clients {
        rig.send(*client, transact(1, 'c', 5) + reset());
    }
    rig.run();
    for client in &clients {
        assert_eq!(rig.statuses(*client), [200, 200]);
    }
    assert_eq!(rig.ask(clients[0], statement(1)).balance(), 0);
}
