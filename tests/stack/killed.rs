//! `kill -9` of a node under load, again and again: nobody loses a transaction, and nobody has one
//! twice.

use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{self, How};
use crate::nginx::Balancer;
use crate::stack::Stack;
use galo_testkit::Random;

const KILLS: u32 = 20;

/// After its process is gone, the kernel keeps a ring's listening socket for some milliseconds: who
/// connects then is not refused, and gets no reply.
const LET_GO: Duration = Duration::from_millis(200);

/// One of them.
struct Kill {
    node: usize,
    at: Instant,
    /// The process was gone by then.
    gone: Instant,
}

/// The balancer repeats what the dead node had: no client notices.
#[test]
fn behind_http_no_request_fails() {
    let mut stack = Stack::behind(Balancer::Http);
    let (seen, _) = killed_under_load(&mut stack, false);
    seen.expect_no_failure();
    seen.check(&stack);
}

/// The balancer knows nothing of requests: those that were under way on connections to the dead node
/// end with them, and no other does.
#[test]
fn behind_stream_only_connections_to_the_dead_node_fail() {
    let mut stack = Stack::behind(Balancer::Stream);
    let (seen, kills) = killed_under_load(&mut stack, true);
    for failure in &seen.failures {
        let ended = matches!(
            failure.how,
            How::Ended(UnexpectedEof | ConnectionReset | BrokenPipe)
        );
        let explains = |kill: &Kill| {
            let (gone, of_node) = match failure.node {
                Some(node) => (kill.gone, node == kill.node),
                None => (kill.gone + LET_GO, true),
            };
            of_node && failure.from <= gone && kill.at <= failure.to
        };
        assert!(ended && kills.iter().any(explains), "{failure}");
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
    let seen = load::run(&address, tells_nodes, seed, |progress| {
        for _ in 0..KILLS {
            let node = random.between(0, 1) as usize;
            // The same one at any moment; the other one when it holds nothing that this one had: what
            // has been sent to both has no third to go to.
            if kills.last().is_some_and(|last| last.node != node) {
                stack.wait_until_whole();
                progress.wait_for_what_is_under_way();
            }
            thread::sleep(Duration::from_millis(random.between(0, 500)));
            let at = Instant::now();
            stack.kill(node);
            let gone = Instant::now();
            kills.push(Kill { node, at, gone });
            thread::sleep(Duration::from_millis(random.between(0, 200)));
            stack.start(node);
        }
        stack.wait_until_whole();
    });
    seen.print();
    (seen, kills)
}
