//! SIGTERM of a node under load, and its return: its shards go to the other one and come back, and
//! behind the HTTP balancer no client notices.

use std::thread;
use std::time::Duration;

use crate::load;
use crate::nginx::Balancer;
use crate::stack::{home, Stack};
use galo_testkit::Random;

#[test]
fn a_graceful_stop_and_return_lose_nothing() {
    let mut stack = Stack::behind(Balancer::Http);
    let address = stack.address();
    let mut random = Random::from_time();
    let seed = random.next();
    eprintln!("seed {seed:#x}");
    let seen = load::run(&address, false, seed, |_| {
        for node in [0, 1, 1] {
            thread::sleep(Duration::from_millis(random.between(100, 500)));
            stack.stop(node);
            stack.wait_until_whole();
            assert_eq!(stack.health(1 - node).shards, [0, 1]);
            stack.start(node);
            stack.wait_until_whole();
        }
    });
    seen.print();
    seen.expect_no_failure();
    seen.check(&stack);
}

/// Both stop, and whoever returns first has everything until the other is back.
#[test]
fn a_node_that_starts_alone_serves_all_shards_and_hands_over_what_is_not_its_own() {
    let mut stack = Stack::nodes();
    for client in 1..=5 {
        stack
            .node(home(client))
            .transact(client, 'c', 7, "antes")
            .posted();
    }
    stack.stop(1);
    stack.stop(0);
    stack.start(1);
    stack.wait_until_whole();
    for client in 1..=5 {
        let (_, balance) = stack.node(1).transact(client, 'c', 1, "so").posted();
        assert_eq!(balance, 8);
    }
    stack.start(0);
    stack.wait_until_whole();
    for client in 1..=5 {
        for node in 0..2 {
            assert_eq!(stack.node(node).balance(client), 8);
        }
    }
}
