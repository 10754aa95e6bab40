//! Who may link with a node, what becomes of who may not, and of links that break.

use super::super::link::{self, Frame, Hello};
use super::*;
use crate::command::{Command, Outcome, Scope};
use crate::limits::{DIAL_NS_MAX, FAULT_LOG_NS, HELLO_NS_MAX, STOP_SNAPSHOT_NS_MAX};

const TWO: Plan = Plan {
    nodes: 2,
    shards: 4,
    ..ONE
};

/// As member 1 of [`TWO`] says it.
pub fn hello() -> Hello {
    Hello {
        directory: 7,
        shards: 4,
        cores: 1,
        nodes: crc32c::crc32c(b"api0,api1"),
        member: 1,
        epoch: 99,
    }
}

pub fn bytes(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        link::write(&mut bytes, frame);
    }
    bytes
}

/// A credit that a member asks for.
pub fn credit(client: u32, counter: u64, amount: i64) -> Frame<'static> {
    Frame::Command {
        counter,
        key: None,
        command: Command::Transact {
            client,
            kind: crate::bank::Kind::Credit,
            amount,
            description: crate::bank::Description::new("x").unwrap().into(),
        },
    }
}

/// What it was sent since the last call.
pub fn frames(rig: &mut Rig, linker: Client) -> Vec<String> {
    let bytes = std::mem::take(&mut rig.socket(linker).outbound);
    let (mut rest, mut frames) = (&bytes[..], Vec::new());
    while let Some((frame, length)) = link::read(rest).unwrap() {
        frames.push(format!("{frame:?}"));
        rest = &rest[length..];
    }
    frames
}

#[test]
fn who_does_not_greet_in_time_is_closed() {
    let mut rig = Rig::with_nodes(TWO, &[0]);
    let linker = rig.connect_linker(0);
    rig.send(linker, &bytes(&[Frame::Hello(hello())])[..9]);
    rig.pass(HELLO_NS_MAX - 1);
    assert!(!rig.is_closed(linker));
    rig.pass(1);
    assert!(rig.is_closed(linker));
}

#[test]
fn who_is_not_of_the_cluster_is_closed_without_effect() {
    let mut rig = Rig::new(TWO);
    let good = bytes(&[Frame::Hello(hello())]);
    let differing = [
        Hello {
            directory: 8,
            ..hello()
        },
        Hello {
            shards: 5,
            ..hello()
        },
        Hello {
            cores: 2,
            ..hello()
        },
        Hello {
            nodes: 1,
            ..hello()
        },
        Hello {
            member: 0,
            ..hello()
        },
        Hello {
            member: 2,
            ..hello()
        },
        Hello {
            member: u32::MAX,
            ..hello()
        },
        Hello {
            epoch: u64::MAX,
            ..hello()
        },
    ];
    let mut openings: Vec<Vec<u8>> = differing.map(|it| bytes(&[Frame::Hello(it)])).into();
    let mut version = good.clone();
    version[13] += 1;
    openings.push(version);
    openings.push(bytes(&[Frame::Owns(0)]));
    openings.push(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec());
    openings.push(vec![0; 9]);
    let takes = bytes(&[Frame::Owns(1), Frame::Owns(3)]);
    for opening in openings {
        let linker = rig.connect_linker(0);
        rig.send(linker, [&opening[..], &takes].concat());
        rig.run();
        assert!(rig.is_closed(linker), "{opening:?}");
    }
    let client = rig.connect(0);
    assert_eq!(
        rig.ask(client, transact(1, 'c', 5)).status,
        200,
        "by member 1"
    );
}

#[test]
fn who_greets_twice_or_speaks_of_what_there_is_not_is_closed() {
    let statement = |counter| Frame::Command {
        counter,
        key: None,
        command: Command::Statement { client: 2 },
    };
    for frame in [
        Frame::Hello(hello()),
        Frame::Owns(4),
        Frame::Who(u32::MAX),
        Frame::Released { shard: 4, to: 0 },
        Frame::NotOwner {
            shard: 4,
            counter: 1,
        },
        Frame::Reset {
            counter: 1,
            shard: 4,
            scope: Scope::Everything,
        },
        Frame::Reset {
            counter: 0,
            shard: 0,
            scope: Scope::Payments,
        },
        statement(0),
        statement(u64::MAX),
    ] {
        let mut rig = Rig::with_nodes(TWO, &[0]);
        let linker = rig.connect_linker(0);
        rig.send(linker, bytes(&[Frame::Hello(hello()), statement(1)]));
        rig.run();
        assert!(!rig.is_closed(linker));
        rig.send(linker, bytes(std::slice::from_ref(&frame)));
        rig.run();
        assert!(rig.is_closed(linker), "{frame:?}");
        rig.check_counts();
    }
    // What makes no sense, but names only what there is, is as if it had not been said.
    let mut rig = Rig::with_nodes(TWO, &[0]);
    let linker = rig.connect_linker(0);
    let said = [
        Frame::Hello(hello()),
        Frame::Reply {
            shard: 1,
            counter: 1,
            outcome: Outcome::Accepted,
        },
        Frame::NotOwner {
            shard: 1,
            counter: 9,
        },
        Frame::Released { shard: 0, to: 77 },
        Frame::Released {
            shard: 1,
            to: u32::MAX,
        },
        Frame::Owns(0),
        Frame::Goodbye,
        Frame::Leaving,
        Frame::Leaving,
    ];
    rig.send(linker, bytes(&said));
    rig.run();
    assert!(!rig.is_closed(linker));
    let client = rig.connect(0);
    assert_eq!(rig.ask(client, transact(2, 'c', 5)).status, 200);
    rig.check_counts();
}

#[test]
fn who_comes_again_replaces_its_earlier_link_and_what_is_unread_on_that() {
    let mut rig = Rig::with_nodes(TWO, &[0]);
    let transact = |counter, amount| credit(2, counter, amount);
    let before = rig.connect_linker(0);
    rig.send(before, bytes(&[Frame::Hello(hello()), transact(1, 1)]));
    rig.run();
    assert!(frames(&mut rig, before)
        .iter()
        .any(|it| it.starts_with("Reply")));
    let half = bytes(&[transact(2, 10)]);
    rig.send(before, &half[..half.len() - 1]);
    rig.run();
    let next = rig.connect_linker(0);
    let life = Hello {
        epoch: 100,
        ..hello()
    };
    rig.send(next, bytes(&[Frame::Hello(life)]));
    rig.run();
    rig.send(before, &half[half.len() - 1..]);
    rig.send(next, bytes(&[transact(1, 100)]));
    rig.run();
    assert!(rig.is_closed(before) && !rig.is_closed(next));
    let client = rig.connect(0);
    assert_eq!(rig.ask(client, statement(2)).balance(), 101);
}

#[test]
fn there_are_not_more_linkers_than_there_may_be() {
    let mut rig = Rig::with_nodes(TWO, &[0]);
    let linkers: Vec<Client> = (0..2 + crate::limits::LINKERS_MAX)
        .map(|_| rig.connect_linker(0))
        .collect();
    let runtime = &mut rig.cores[0].runtime;
    assert_eq!(runtime.opened(Peer::Linker), Err(&b""[..]));
    rig.pass(HELLO_NS_MAX);
    for linker in linkers {
        assert!(rig.is_closed(linker));
    }
    let linker = rig.connect_linker(0);
    rig.send(linker, bytes(&[Frame::Hello(hello())]));
    rig.run();
    assert!(!rig.is_closed(linker));
}

#[test]
fn a_node_whose_peer_is_down_tries_at_growing_intervals() {
    let mut rig = Rig::with_nodes(TWO, &[1]);
    rig.pass(10 * SECOND_NS);
    let before_ns = rig.now_ns;
    let next_ns = rig.cores[1].runtime.deadline_ns().unwrap();
    assert!(next_ns <= before_ns + DIAL_NS_MAX);
    rig.now_ns = next_ns;
    rig.run();
    assert_eq!(
        rig.cores[1].runtime.deadline_ns(),
        Some(next_ns + DIAL_NS_MAX)
    );
    rig.restart(0);
    rig.pass(DIAL_NS_MAX);
    let client = rig.connect(1);
    for account in 1..=4 {
        assert_eq!(rig.ask(client, transact(account, 'c', 5)).status, 200);
    }
    assert_eq!(rig.owners(2), [0], "it is at home there");
}

#[test]
fn a_node_that_stops_while_its_peer_is_down_does_not_spin() {
    for cut in [false, true] {
        let mut rig = Rig::new(TWO);
        let client = rig.connect(1);
        rig.send(client, "GET /hea"); // Keeps it from being done at once.
        rig.run();
        if cut {
            rig.kill(0);
            rig.run();
        }
        rig.stop_node(1);
        rig.kill_if_running(0);
        rig.pass(STOP_SNAPSHOT_NS_MAX);
        assert_eq!(rig.exit(1), Some(&Exit::Stopped));
    }
}

#[test]
fn a_link_that_is_cut_while_both_live_is_made_again() {
    let mut rig = Rig::new(TWO);
    let clients = [rig.connect(0), rig.connect(1)];
    for round in 1..=5 {
        for client in clients {
            let requests = [1, 2, 3, 4].map(|account| transact(account, 'c', 1));
            rig.send(client, requests.concat());
        }
        for turn in 0..round {
            rig.tick(turn % 2, |_| ());
        }
        rig.cut(0, 1);
        rig.pass(DIAL_NS_MAX);
        for client in clients {
            assert_eq!(rig.statuses(client), [200; 4], "round {round}");
        }
        rig.check_counts();
    }
    let client = clients[0];
    for account in 1..=4 {
        assert_eq!(rig.ask(client, statement(account)).balance(), 10);
    }
    assert_eq!(
        [0, 1, 2, 3].map(|shard| rig.owners(shard)),
        [[0], [1], [0], [1]]
    );
}

#[test]
fn a_peer_with_the_same_fault_again_and_again_is_logged_now_and_then() {
    let mut rig = Rig::with_nodes(TWO, &[0]);
    let mut logged = Vec::new();
    for _ in 0..10 {
        let linker = rig.connect_linker(0);
        let differs = Hello {
            directory: 8,
            ..hello()
        };
        rig.send(linker, bytes(&[Frame::Hello(differs)]));
        rig.run();
        logged.extend(rig.cores[0].runtime.node().peers.last_logged.clone());
        rig.pass(FAULT_LOG_NS / 4);
    }
    assert!(logged[0].0.contains("another data directory"));
    logged.dedup();
    assert_eq!(logged.len(), 3);
}
