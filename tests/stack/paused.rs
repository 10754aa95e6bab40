//! A node that is merely paused keeps its shards: requests for them wait, are refused in time, and
//! are never applied twice.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::journals;
use crate::keys::keyed;
use crate::stack::{home, Stack};
use crate::support::{transaction, Connection, Reply, PATIENCE};

/// A client whose shard is the paused node's, and one of the other's.
const PAUSED: u32 = 1;
const AWAKE: u32 = 2;
/// What a command waits for its owner: `COMMAND_NS_MAX`.
const WAIT: Duration = Duration::from_secs(2);
/// What is answered "at once" takes less, and what waits takes so much longer at most. (Other tests
/// run meanwhile.)
const AT_ONCE: Duration = Duration::from_secs(1);
const REQUESTS: usize = 20;

/// Pauses a node while this lives.
struct Pause<'a>(&'a Stack, usize);

impl<'a> Pause<'a> {
    fn new(stack: &'a Stack, node: usize) -> Pause<'a> {
        stack.node(node).signal(Signal::SIGSTOP);
        Pause(stack, node)
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
            assert!(
                took >= WAIT - WAIT / 10 && took < WAIT + AT_ONCE,
                "{took:?}"
            );
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
    let journalled = journals::read(&stack.data());
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

fn expect_unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    assert!(reply.json()["error"].is_string(), "{reply:?}");
}

/// Together they may have more requests under way than wait for one shard: `SHARD_COMMANDS_MAX`,
/// and `CONNECTION_FORWARDS_MAX` of each.
const CONNECTIONS: usize = 80;
const CONNECTION_REQUESTS: usize = 64;
const QUEUE: usize = 4096;
const ROUNDS: usize = 3;
/// From the end of the first round to that of the last.
const GROWTH_KIB_MAX: u64 = 2048;

#[test]
fn beyond_the_queue_requests_are_refused_at_once_and_memory_does_not_grow() {
    let stack = Stack::nodes();
    let pause = Pause::new(&stack, 1);
    let requests = transaction(PAUSED, 'c', 1, "fila").repeat(CONNECTION_REQUESTS);
    let mut connections: Vec<Connection> =
        (0..CONNECTIONS).map(|_| stack.node(0).connect()).collect();
    let mut resident = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for connection in &mut connections {
            connection.send(&requests);
        }
        // The last first: the first ones fill the queue. Replies come in the order of requests, so of
        // a connection that has some in the queue, all behind those come late.
        let mut at_once = 0;
        for connection in connections.iter_mut().rev() {
            for _ in 0..CONNECTION_REQUESTS {
                expect_unavailable(&connection.reply());
                at_once += usize::from(began.elapsed() < AT_ONCE);
            }
        }
        let beyond = CONNECTIONS * CONNECTION_REQUESTS - QUEUE;
        assert!(
            (beyond / 2..=beyond).contains(&at_once),
            "{at_once} of {beyond} at once"
        );
        let took = began.elapsed();
        assert!(
            took >= WAIT - WAIT / 10 && took < WAIT + 2 * AT_ONCE,
            "{took:?}"
        );
        resident.push(stack.node(0).resident_kib());
        // The other shard is as it was.
        stack.node(0).transact(AWAKE, 'c', 1, "um").posted();
    }
    let grown = resident[ROUNDS - 1].saturating_sub(resident[0]);
    assert!(grown < GROWTH_KIB_MAX, "{resident:?} KiB");
    drop(pause);
    let began = Instant::now();
    while stack.node(0).transact(PAUSED, 'c', 1, "fim").status != 200 {
        assert!(
            began.elapsed() < PATIENCE,
            "its shard does not answer again"
        );
    }
    // At most what was sent, each once.
    let most = (ROUNDS * CONNECTIONS * CONNECTION_REQUESTS) as i64;
    let balance = stack.node(0).balance(PAUSED);
    assert!((1..=most + 1).contains(&balance), "{balance}");
}
