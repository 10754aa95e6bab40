//! What must hold for any bytes on a link. Shared by the fuzz target and by the properties that
//! `cargo test` checks.

use std::sync::Arc;

use galo::api::operations::Process;
use galo::machine::{Now, Peer};
use galo::members::Members;
use galo::node::link::{self, Frame, Hello};
use galo::node::{Durability, Node, PaymentSettings, Settings};

const DIRECTORY: u128 = 7;
const REQUESTS: &[u8] =
    b"POST /clientes/1/transacoes HTTP/1.1\r\nHost: x\r\nContent-Length: 41\r\n\r\n\
    {\"valor\":1,\"tipo\":\"c\",\"descricao\":\"link\"}\
    GET /clientes/1/extrato HTTP/1.1\r\nHost: x\r\n\r\n";
const SUMMARY: &[u8] = b"GET /payments-summary HTTP/1.1\r\nHost: x\r\n\r\n";
const PAYMENT: &[u8] = b"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n\
    {\"amount\":1}";

/// The first node of two, of which the second speaks.
fn node() -> Node {
    let members = Members {
        nodes: vec!["a".to_owned(), "b".to_owned()],
        node: 0,
        core: 0,
        cores: 1,
        shards: 2,
    };
    let process = Process {
        version: "0",
        git_hash: "0",
        driver: "fuzz",
        started_us: 1,
        started_ns: 1,
        resident_bytes: || 0,
        stats: Arc::new(members.stats()),
    };
    let settings = Settings {
        members,
        epoch: 1,
        directory: DIRECTORY,
        durability: Durability::Process,
        allow_reset: true,
        docs: true,
        payments: Some(PaymentSettings {
            hosts: ["default".to_owned(), "fallback".to_owned()],
            prefixes: [String::new(), String::new()],
            deadline_ns: 1_000_000_000,
            open_max: 10,
        }),
        process,
    };
    Node::new(settings, Vec::new())
}

/// Checks bytes that come over a link: a frame that is read is written the same, and a node takes
/// whatever it is, in the middle of its clients' requests.
pub fn check(input: &[u8]) {
    let mut rest = input;
    while let Ok(Some((frame, length))) = link::read(rest) {
        if !matches!(frame, Frame::OtherVersion(_)) {
            let mut written = Vec::new();
            link::write(&mut written, &frame);
            assert_eq!(written, &rest[..length], "{frame:?}");
        }
        rest = &rest[length..];
    }

    let mut node = node();
    let mut now = Now {
        monotonic_ns: 1,
        realtime_us: 1,
    };
    node.tick_begin(now);
    let peer = node.opened(Peer::Linker).expect("room for a link");
    let clients = [REQUESTS, SUMMARY, PAYMENT].map(|requests| {
        let client = node.opened(Peer::Client).expect("room for a client");
        (client, requests)
    });
    let hello = Hello {
        directory: DIRECTORY,
        shards: 2,
        cores: 1,
        nodes: crc32c::crc32c(b"a,b"),
        member: 1,
        epoch: 9,
    };
    let mut greeting = Vec::new();
    link::write(&mut greeting, &Frame::Hello(hello));
    link::write(&mut greeting, &Frame::Owns(1));
    node.received(peer, &greeting);
    for (client, requests) in clients {
        node.received(client, requests);
    }
    let (first, second) = input.split_at(input.len() / 2);
    for bytes in [first, second] {
        if !bytes.is_empty() {
            node.received(peer, bytes);
        }
        node.events_over();
        node.release(now.monotonic_ns, true);
        while node.next_effect().is_some() {}
        now.monotonic_ns += 1_000_000_000;
        node.tick_begin(now);
    }
    node.input_ended(peer, true);
    node.release(now.monotonic_ns, true);
}
