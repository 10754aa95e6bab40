//! What all connections together may hold in memory.

use super::*;
use crate::limits::{
    CLIENT_BUFFERS_BYTES_CALM, CLIENT_BUFFERS_BYTES_MAX, CLIENT_BUFFERS_BYTES_SCARCE,
    CONNECTION_FORWARDS_MAX, KIB, LINK_COMMANDS_MAX, LINK_FRAME_BYTES_MAX, MIB,
    PROCESSOR_BUFFERS_BYTES_MAX, SHARD_COMMANDS_MAX, SHARD_COMMANDS_SCARCE,
};
use crate::node::tests::rig::processors::{response, GATEWAY};
use crate::payments::Processor;

/// One tick may go beyond the bound by what it takes in and answers.
const TICK_BYTES_MAX: usize = 4 * MIB;

/// Bytes of the buffers of all connections, looked at one by one.
fn held(rig: &Rig) -> usize {
    let connections = &rig.cores[0].runtime.node().io.connections;
    let all = (0..connections.len()).map(|index| &connections[index]);
    all.map(|it| it.input.bytes.capacity() + it.output.capacity())
        .sum()
}

fn many(rig: &mut Rig, count: usize) -> Vec<Client> {
    (0..count).map(|_| rig.connect(0)).collect()
}

fn evicted(rig: &Rig) -> u64 {
    rig.stats.sum(|core| &core.clients_evicted)
}

/// Ticks until nothing is left to do, with a polite client that is answered in each of them.
#[track_caller]
fn run_beside_a_polite_client(rig: &mut Rig, polite: Client) {
    let mut ticks = 0;
    while ticks == 0 || rig.cores[0].has_events(rig.now_ns) {
        rig.send(polite, statement(2));
        rig.now_ns += 1_000_000;
        rig.tick(0, |_| ());
        assert_eq!(rig.statuses(polite), [200]);
        rig.tick(0, |_| ()); // It has its reply.
        let bytes = held(rig);
        assert!(
            bytes <= CLIENT_BUFFERS_BYTES_MAX + TICK_BYTES_MAX,
            "{bytes}"
        );
        assert_eq!(
            bytes,
            rig.cores[0].runtime.node().io.connections.held_by_clients()
        );
        ticks += 1;
        assert!(ticks < 5000, "a core spins");
    }
}

#[test]
fn clients_that_do_not_read_share_a_budget_and_others_do_not_notice() {
    const CLIENTS: usize = 1500;
    let mut rig = Rig::new(ONE);
    for _ in 0..10 {
        let client = rig.connect(0);
        assert_eq!(rig.ask(client, transact(1, 'c', 1)).status, 200);
    }
    let polite = rig.connect(0);
    let slow = many(&mut rig, CLIENTS);
    for client in &slow {
        rig.take_only(*client, 0);
        rig.send(*client, statement(1).repeat(100));
    }
    run_beside_a_polite_client(&mut rig, polite);
    assert!(held(&rig) > CLIENT_BUFFERS_BYTES_SCARCE);
    assert_eq!(rig.cores[0].trims, 0);
    let unread = rig.unread_bytes(0);
    assert!(unread > CLIENTS * KIB, "{unread} are left in sockets");

    // They read after all: each gets all of its replies, but for those that were closed.
    let open: Vec<Client> = slow.into_iter().filter(|it| !rig.is_closed(*it)).collect();
    assert_eq!(open.len() as u64, CLIENTS as u64 - evicted(&rig));
    for client in &open {
        rig.take_only(*client, usize::MAX);
    }
    run_beside_a_polite_client(&mut rig, polite);
    for client in open {
        assert_eq!(rig.statuses(client), vec![200; 100]);
    }
    assert!(held(&rig) <= CLIENT_BUFFERS_BYTES_CALM);
    assert_eq!(rig.cores[0].trims, 1, "memory goes back, once");
}

#[test]
fn those_that_hold_most_for_longest_are_closed_first() {
    const LARGE: usize = 60 * KIB;
    let mut rig = Rig::new(ONE);
    let polite = rig.connect(0);
    let head = format!(
        "POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        LARGE + 100
    );
    let half = head + &" ".repeat(LARGE);
    let first = many(&mut rig, CLIENT_BUFFERS_BYTES_MAX / LARGE / 4);
    for client in &first {
        rig.send(*client, &half);
    }
    run_beside_a_polite_client(&mut rig, polite);
    assert_eq!(evicted(&rig), 0);
    let small = many(&mut rig, 100);
    for client in &small {
        rig.send(*client, "POST /clientes/1/transacoes HTTP/1.1\r\n");
    }
    run_beside_a_polite_client(&mut rig, polite);
    rig.now_ns += SECOND_NS;
    let last = many(&mut rig, CLIENT_BUFFERS_BYTES_MAX / LARGE);
    for client in &last {
        rig.send(*client, &half);
    }
    run_beside_a_polite_client(&mut rig, polite);
    assert!(evicted(&rig) > 0);
    let mut closed = |clients: &[Client]| clients.iter().filter(|it| rig.is_closed(**it)).count();
    assert_eq!(closed(&first), first.len());
    assert_eq!(closed(&small), 0);
    assert!(closed(&last) < last.len() / 2);
}

#[test]
fn a_processor_that_says_much_and_never_ends_takes_nothing_from_clients() {
    let mut rig = Rig::new(Plan {
        gateway: Some(GATEWAY),
        ..ONE
    });
    let client = rig.connect(0);
    let endless = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 65000\r\n\r\n{}",
        "x".repeat(60 * KIB)
    );
    let held = |rig: &Rig| {
        rig.cores[0]
            .runtime
            .node()
            .io
            .connections
            .held_by_processors()
    };
    let (mut sent, mut cut) = (0, 0);
    for round in 0..60 {
        let ids = round * 20..(round + 1) * 20;
        let payments: Vec<String> = ids.map(payment).collect();
        rig.send(client, payments.concat());
        rig.run();
        assert_eq!(rig.statuses(client), [202; 20]);
        // First it answers well, so that it is sent much at a time; then it never ends.
        let answer = match round < 40 {
            true => response(200, "{}"),
            false => endless.clone(),
        };
        for at in 0..rig.cores[0].sockets.len() {
            let socket = &mut rig.cores[0].sockets[at];
            let is_asked = socket.processor == Some(Processor::Default) && !socket.closed;
            if is_asked && !std::mem::take(&mut socket.outbound).is_empty() {
                socket.inbound.extend_from_slice(answer.as_bytes());
                sent += usize::from(round >= 40);
            }
        }
        rig.run();
        let bytes = held(&rig);
        assert!(bytes <= PROCESSOR_BUFFERS_BYTES_MAX + 128 * KIB, "{bytes}");
        let sockets = rig.cores[0].sockets.iter();
        cut = sockets
            .filter(|it| it.processor.is_some() && it.closed)
            .count();
    }
    assert!(sent * 60 * KIB > PROCESSOR_BUFFERS_BYTES_MAX, "{sent}");
    assert!(cut > 0);
    assert_eq!(
        rig.cores[0].runtime.node().io.connections.held_by_clients(),
        0
    );
}

#[test]
fn a_member_that_does_not_read_answers_is_asked_no_more_than_it_may_be_owed() {
    let mut rig = Rig::new(Plan {
        nodes: 2,
        shards: 2,
        ..ONE
    });
    let client = rig.connect(0);
    for _ in 0..10 {
        assert_eq!(rig.ask(client, transact(2, 'c', 1)).status, 200);
    }
    // Client 2 is in shard 0, which is at home with node 0: node 1 forwards.
    const EACH: usize = CONNECTION_FORWARDS_MAX as usize;
    const { assert!(SHARD_COMMANDS_MAX == LINK_COMMANDS_MAX) };
    let pipelining = [EACH; SHARD_COMMANDS_SCARCE / EACH];
    let single = [1; SHARD_COMMANDS_MAX - SHARD_COMMANDS_SCARCE];
    let requests = pipelining.into_iter().chain(single);
    let clients: Vec<(Client, usize)> = requests.map(|count| (rig.connect(1), count)).collect();
    rig.hear(1, 0, false);
    for (client, requests) in &clients {
        rig.send(*client, statement(2).repeat(*requests));
    }
    rig.run();
    let owed = rig.unread_bytes(1);
    assert!(owed <= LINK_COMMANDS_MAX * LINK_FRAME_BYTES_MAX, "{owed}");
    assert!(owed > LINK_COMMANDS_MAX * 200, "{owed}");
    rig.hear(1, 0, true);
    rig.run();
    for (client, requests) in clients {
        assert_eq!(rig.statuses(client), vec![200; requests]);
    }
}

fn payment(n: usize) -> String {
    let id = format!("4a7901b8-7d26-4d9d-aa19-{n:012}");
    let body = format!("{{\"correlationId\":\"{id}\",\"amount\":1.00}}");
    let length = body.len();
    format!("POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
}
