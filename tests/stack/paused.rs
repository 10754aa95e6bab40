//! A node that is merely paused keeps its shards: requests for them wait, are refused in time, and
//! are never applied twice.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::journals;
use crate::stack::{home, Stack};
use galo_testkit::{keyed, transaction, wait_until, Connection, Reply};

/// A client whose shard is the paused node's, and one of the other's.
const PAUSED: u32 = 1;
const AWAKE: u32 = 2;
/// What a command waits for its owner: `COMMAND_NS_MAX`.
pub const WAIT: Duration = Duration::from_secs(2);
/// Whoever is answered earlier has not waited. (Some of it, because a tick's time is its beginning's.)
pub const WAITED: Duration = Duration::from_millis(1_900);
/// What is answered "at once" takes less, and what waits takes so much longer at most. (Other tests
/// run meanwhile.)
pub const AT_ONCE: Duration = Duration::from_secs(1);
const REQUESTS: usize = 20;

/// Pauses a node while this lives.
pub struct Pause<'a>(&'a Stack, usize);

impl<'a> Pause<'a> {
    pub fn new(stack: &'a Stack, node: usize) -> Pause<'a> {
        stack.node(node).signal(Signal::SIGSTOP);
        let pause = Pause(stack, node);
        wait_until("all threads stopped", || pause.is_complete());
        pause
    }

    /// Whether every thread has stopped: the signal itself says nothing about that.
    fn is_complete(&self) -> bool {
        let tasks = format!("/proc/{}/task", self.0.node(self.1).pid());
        let mut tasks = std::fs::read_dir(tasks).expect("it is there");
        tasks.all(|task| {
            let path = task.expect("a thread").path().join("status");
            std::fs::read_to_string(path).is_ok_and(|status| status.contains("\nState:\tT"))
        })
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.node(self.1).signal(Signal::SIGCONT);
    }
}

#[test]
fn shards_of_a_paused_node_wait_and_others_do_not() {
    let stack = Stack::nodes();
    assert_eq!((home(AWAKE), home(PAUSED)), (0, 1));
    let key = |index: usize| format!("chave-{index}");
    let keyed = |index: usize| keyed(PAUSED, 'c', 1000, &format!("k{index}"), &key(index));
    let unkeyed = |index: usize| transaction(PAUSED, 'c', 1, &format!("u{index}"));
    let pause = Pause::new(&stack, 1);
    thread::scope(|scope| {
        let mut waiting = Vec::new();
        for index in 0..REQUESTS {
            let request = if index % 2 == 0 {
                keyed(index)
            } else {
                unkeyed(index)
            };
            waiting.push(scope.spawn(|| {
                let mut connection = stack.node(0).connect();
                let asked = Instant::now();
                let request = request;
                (connection.ask(&request), asked.elapsed())
            }));
        }
        // Meanwhile, on a connection that stays, and on new ones.
        let began = Instant::now();
        let mut connection = stack.node(0).connect();
        let mut count = 0;
        while began.elapsed() < WAIT / 2 {
            let asked = Instant::now();
            connection.ask(&transaction(AWAKE, 'c', 1, "um")).posted();
            stack.node(0).transact(AWAKE, 'c', 1, "um").posted();
            assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
            count += 2;
        }
        assert_eq!(stack.node(0).balance(AWAKE), count);
        for request in waiting {
            let (reply, took) = request.join().unwrap();
            expect_unavailable(&reply);
            assert!(took >= WAITED && took < WAIT + AT_ONCE, "{took:?}");
        }
    });
    drop(pause);
    // It goes on where it was, with what it was sent before; a repeat with a key changes nothing.
    stack.wait_until_whole();
    for round in 0..2 {
        for index in (0..REQUESTS).step_by(2) {
            let node = (index / 2 + round) % 2;
            stack.node(node).ask(&keyed(index)).posted();
        }
    }
    let journalled = journals::transactions(&stack.data());
    let times = |description: String| {
        let of_paused = journalled.iter().filter(|entry| entry.client == PAUSED);
        of_paused
            .filter(|entry| entry.description == description)
            .count()
    };
    let mut expected = 0;
    for index in 0..REQUESTS {
        if index % 2 == 0 {
            assert_eq!(times(format!("k{index}")), 1);
            expected += 1000;
        } else {
            let times = times(format!("u{index}"));
            assert!(times <= 1, "u{index}: {times} times");
            expected += times as i64;
        }
    }
    assert_eq!(stack.node(0).balance(PAUSED), expected);
    assert_eq!(stack.node(1).balance(PAUSED), expected);
}

pub fn expect_unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    assert!(reply.json()["error"].is_string(), "{reply:?}");
}

/// What may wait for one shard: `SHARD_COMMANDS_MAX`, and `CONNECTION_FORWARDS_MAX` of each connection until
/// `SHARD_COMMANDS_SCARCE` wait, then one.
const QUEUE: usize = 4096;
const QUEUE_SCARCE: usize = 1024;
const CONNECTION_REQUESTS: usize = 64;
/// Beyond those that fill the queue.
const MORE_CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;
/// In one of the rounds behind the third: less than 256 bytes for each request. What is not given back grows in all of them;
/// buffers that connections get for the first time, when others take the CPU, in one.
const GROWTH_KIB_MAX: u64 = 1024;

#[test]
fn beyond_the_queue_requests_are_refused_at_once_and_memory_does_not_grow() {
    let stack = Stack::nodes();
    let node = stack.node(0);
    let pause = Pause::new(&stack, 1);
    let request = transaction(PAUSED, 'c', 1, "fila");
    let connect = |count: usize, requests: usize| -> Vec<(Connection, usize)> {
        (0..count).map(|_| (node.connect(), requests)).collect()
    };
    let mut filling = connect(QUEUE_SCARCE / CONNECTION_REQUESTS, CONNECTION_REQUESTS);
    filling.extend(connect(QUEUE - QUEUE_SCARCE, 1));
    let mut more = connect(MORE_CONNECTIONS, CONNECTION_REQUESTS);
    let send = |connections: &mut [(Connection, usize)]| {
        for (connection, requests) in connections {
            connection.send(&request.repeat(*requests));
        }
    };
    let expect_refused = |connections: &mut [(Connection, usize)]| {
        for (connection, requests) in connections {
            for _ in 0..*requests {
                expect_unavailable(&connection.reply());
            }
        }
    };
    let mut resident = Vec::new();
    for round in 0..ROUNDS {
        let began = Instant::now();
        let (pipelining, single) = filling.split_at_mut(QUEUE_SCARCE / CONNECTION_REQUESTS);
        for (connections, waiting) in [(pipelining, QUEUE_SCARCE), (single, QUEUE)] {
            send(connections);
            while round == 0 && node.metric("galo_forwards_total") < waiting as f64 {
                assert!(began.elapsed() < WAITED, "the queue does not fill up");
            }
        }
        if round == 0 {
            send(&mut more);
            expect_refused(&mut more);
            assert!(began.elapsed() < WAITED, "{:?}", began.elapsed());
            expect_refused(&mut filling);
            assert!(began.elapsed() >= WAITED, "{:?}", began.elapsed());
        } else {
            // What the paused node was sent before may keep the room for as long as it is paused.
            expect_refused(&mut filling);
        }
        assert!(began.elapsed() < WAIT + AT_ONCE, "{:?}", began.elapsed());
        resident.push(node.resident_kib());
        // The other shard is as it was.
        node.transact(AWAKE, 'c', 1, "um").posted();
    }
    let rounds = resident[2..].windows(2);
    let least = rounds.map(|pair| pair[1].saturating_sub(pair[0])).min();
    assert!(least < Some(GROWTH_KIB_MAX), "{resident:?} KiB");
    drop(pause);
    wait_until("an answer of its shard", || {
        node.transact(PAUSED, 'c', 1, "fim").status == 200
    });
    // At most what was sent, each once.
    let most = (ROUNDS * QUEUE + MORE_CONNECTIONS * CONNECTION_REQUESTS) as i64;
    let balance = node.balance(PAUSED);
    assert!((1..=most + 1).contains(&balance), "{balance}");
}
