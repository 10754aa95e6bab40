//! `kill -9` of a node under load, again and again: nobody loses a transaction, and nobody has one
//! twice.

use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{self, Failure};
use crate::nginx::Balancer;
use crate::stack::Stack;
use crate::support::Random;

const KILLS: u32 = 20;

/// One of them.
struct Kill {
    node: usize,
    at: Instant,
    /// The node was gone.
    done: Instant,
}

/// The balancer repeats what the dead node had: no client notices.
#[test]
fn behind_http_no_request_fails() {
    let mut stack = Stack::behind(Balancer::Http);
    let (seen, _) = killed_under_load(&mut stack, false);
    let failures: Vec<&Failure> = seen.failures.iter().collect();
    assert!(failures.is_empty(), "{failures:?}");
    seen.check(&stack);
}

/// The balancer knows nothing of requests: those that were under way on connections to the dead node
/// end with them, and no other does.
#[test]
fn behind_stream_only_connections_to_the_dead_node_fail() {
    let mut stack = Stack::behind(Balancer::Stream);
    let (seen, kills) = killed_under_load(&mut stack, true);
    for failure in &seen.failures {
        let explains = |kill: &&Kill| {
            let of_node = failure.node.is_none_or(|node| node == kill.node);
            let ended = [UnexpectedEof, ConnectionReset, BrokenPipe].contains(&failure.how);
            ended && of_node && failure.from <= kill.done && kill.at <= failure.to
        };
        assert!(kills.iter().any(|kill| explains(&kill)), "{failure:?}");
    }
    assert!(!seen.failures.is_empty(), "no kill hit a request");
    assert!(
        seen.replies.iter().all(|replies| *replies > 100),
        "both nodes had their part: {:?}",
        seen.replies
    );
    seen.check(&stack);
}

fn killed_under_load(stack: &mut Stack, tells_nodes: bool) -> (load::Seen, Vec<Kill>) {
    let mut random = Random::from_time();
    let seed = random.next();
    eprintln!("seed {seed:#x}");
    let mut random = Random::new(seed);
    let mut kills: Vec<Kill> = Vec::new();
    let address = stack.address();
    let seen = load::run(&address, tells_nodes, seed, || {
        for _ in 0..KILLS {
            let node = random.within(0, 1) as usize;
            // The other one only when it is not what holds everything: a request may have been sent
            // to both by now, and there is no third. The same one at any moment.
            if kills.last().is_some_and(|last| last.node != node) {
                stack.wait_until_whole();
            }
            thread::sleep(Duration::from_millis(random.within(0, 500)));
            let at = Instant::now();
            stack.kill(node);
            let done = Instant::now();
            kills.push(Kill { node, at, done });
            thread::sleep(Duration::from_millis(random.within(0, 200)));
            stack.start(node);
        }
        stack.wait_until_whole();
    });
    seen.print();
    (seen, kills)
}
