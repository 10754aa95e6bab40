//! Requests that come without waiting for replies.

use super::*;
use crate::limits::{BUFFER_BYTES, JOURNAL_BATCH_BYTES_MAX, OUTPUT_BYTES_MAX};

#[test]
fn replies_come_in_the_order_of_the_requests_however_they_are_cut() {
    let requests = [
        transact(1, 'c', 6),
        get("/nowhere"),
        statement(1),
        get("/health"),
        transact(9, 'c', 1),
        transact(1, 'd', 6),
        transact(1, 'd', 1_000_000),
    ]
    .concat();
    let expected = [200, 404, 200, 200, 404, 200, 422];
    let mut rig = Rig::new(ONE);
    for cut in 0..requests.len() {
        let client = rig.connect(0);
        rig.send(client, &requests[..cut]);
        rig.run();
        rig.send(client, &requests[cut..]);
        rig.run();
        assert_eq!(rig.statuses(client), expected, "cut at {cut}");
    }
}

#[test]
fn a_request_behind_a_reset_waits_for_the_next_tick() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    let other = rig.connect(0);
    let requests = [
        &transact(1, 'c', 5)[..],
        reset(),
        &transact(1, 'c', 7),
        &statement(1),
        reset(),
        &statement(1),
    ];
    rig.send(client, requests.concat());
    rig.send(other, get("/health") + &statement(1));
    rig.tick(0, |_| ());
    assert_eq!(
        rig.socket(client)
            .outbound
            .windows(4)
            .filter(|it| it == b"HTTP")
            .count(),
        1,
        "the reset itself is answered when the journal has it"
    );
    rig.run();
    let replies = rig.replies(client);
    assert_eq!(replies.len(), 6);
    assert_eq!(replies[0].balance(), 5);
    assert_eq!(replies[2].balance(), 7);
    assert_eq!(replies[3].balance(), 7);
    assert_eq!(replies[5].balance(), 0);
    assert_eq!(rig.statuses(other), [200, 200]);
}

#[test]
fn what_a_full_batch_cannot_take_goes_into_the_next_one() {
    const RECORD_BYTES_MIN: usize = 48;
    const EACH: usize = 300;
    let mut rig = Rig::new(ONE);
    let clients = JOURNAL_BATCH_BYTES_MAX / RECORD_BYTES_MIN / EACH + 1;
    let clients: Vec<Client> = (0..clients).map(|_| rig.connect(0)).collect();
    for client in &clients {
        rig.send(*client, transact(4, 'c', 1).repeat(EACH));
    }
    rig.tick(0, |_| ());
    assert!(
        rig.cores[0].runtime.ready(),
        "some are left for the next tick"
    );
    rig.run();
    let mut balances = Vec::new();
    for client in &clients {
        let own: Vec<i64> = rig.replies(*client).iter().map(Reply::balance).collect();
        assert_eq!(own.len(), EACH);
        assert!(own.is_sorted(), "in order");
        balances.extend(own);
    }
    balances.sort_unstable();
    let all = (clients.len() * EACH) as i64;
    assert!(balances.into_iter().eq(1..=all), "each once");
}

#[test]
fn a_client_that_does_not_read_is_not_read_either_and_goes_on_when_it_reads() {
    // Of each length there is one that ends just where the output is full.
    let mut rig = Rig::new(ONE);
    for count in 60..70 {
        let client = rig.connect(0);
        rig.take_only(client, 0);
        let requests = get("/metrics").repeat(count - 1);
        let filler = format!(
            "GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
            "x".repeat(7000)
        );
        rig.send(client, requests + &filler);
        rig.run();
        rig.send(client, get("/health"));
        rig.run();
        assert!(!rig.socket(client).reading, "paused");
        let output = rig.cores[0]
            .runtime
            .output(rig.cores[0].sockets[client.socket].id);
        assert!(output.len() < OUTPUT_BYTES_MAX + 8 * BUFFER_BYTES);
        rig.take_only(client, usize::MAX);
        rig.run();
        assert_eq!(rig.statuses(client), vec![200; count + 1], "{count}");
        rig.send(client, get("/health"));
        rig.run();
        assert_eq!(rig.statuses(client), [200], "{count}");
    }
}

#[test]
fn nothing_behind_connection_close_is_taken_up() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    let last = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    rig.send(client, transact(1, 'c', 5) + last + &transact(1, 'c', 5));
    rig.run();
    let replies = rig.replies(client);
    assert_eq!(replies.len(), 2);
    assert!(!replies[0].closes() && replies[1].closes());
    assert!(rig.is_closed(client));
    let other = rig.connect(0);
    assert_eq!(rig.ask(other, statement(1)).balance(), 5);
}

#[test]
fn a_half_closed_client_gets_its_replies_and_then_the_end() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    rig.send(
        client,
        [&transact(1, 'c', 5)[..], reset(), &statement(1)].concat(),
    );
    rig.finish(client);
    rig.run();
    assert_eq!(rig.statuses(client), [200, 200, 200]);
    assert!(rig.is_closed(client));
}

#[test]
fn a_bad_request_is_answered_behind_the_good_ones_and_closes_in_two_steps() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    rig.send(
        client,
        statement(1) + "GET / HTTP/1.1\r\nHost : x\r\n\r\n" + &statement(1),
    );
    rig.run();
    let replies = rig.replies(client);
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[1].status, 400);
    assert!(replies[1].closes());
    assert!(rig.socket(client).finished && !rig.is_closed(client));
    rig.send(client, statement(1));
    rig.finish(client);
    rig.run();
    assert!(rig.statuses(client).is_empty());
    assert!(rig.is_closed(client));
}

#[test]
fn a_client_that_waits_with_its_body_is_told_to_go_on_once() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    let request = transact(1, 'c', 5).replacen("Host", "Expect: 100-continue\r\nHost", 1);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    rig.send(client, statement(1) + head + "\r\n\r\n");
    rig.run();
    assert_eq!(rig.statuses(client), [200, 100]);
    rig.send(client, body);
    rig.run();
    assert_eq!(rig.statuses(client), [200]);
}

#[test]
fn a_pause_ends_even_when_the_last_of_the_input_fills_the_output() {
    let mut rig = Rig::new(ONE);
    for count in 1..40 {
        let client = rig.connect(0);
        rig.take_only(client, 0);
        let large = format!(
            "GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
            "x".repeat(900)
        );
        rig.send(client, large.repeat(count));
        rig.run();
        rig.take_only(client, usize::MAX);
        rig.run();
        assert_eq!(rig.statuses(client), vec![200; count], "{count}");
        rig.send(client, get("/health"));
        rig.run();
        assert_eq!(rig.statuses(client), [200], "{count}: it is read again");
    }
}
