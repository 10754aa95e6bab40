//! `Idempotency-Key`: whatever happens to the nodes, a request that is repeated with its key has its
//! first outcome.

use crate::stack::{home, Stack};
use galo_testkit::{keyed, Reply};

/// A client of the second node's.
const CLIENT: u32 = 1;

#[test]
fn a_key_survives_kill_9_and_takeover_and_a_restart_of_both() {
    let mut stack = Stack::nodes();
    assert_eq!(home(CLIENT), 1);
    let applied = |stack: &Stack, node| ask(stack, node, 'c', 100, "aplicada");
    let refused = |stack: &Stack, node| ask(stack, node, 'd', 1_000_000, "recusada");
    // One through the other node, one directly.
    let first = applied(&stack, 0);
    assert_eq!(first.posted(), (100_000, 100));
    let first_refusal = refused(&stack, 1);
    assert_eq!(first_refusal.status, 422, "{first_refusal:?}");
    let expect_first = |stack: &Stack, node: usize| {
        for (reply, first) in [
            (applied(stack, node), &first),
            (refused(stack, node), &first_refusal),
        ] {
            assert_eq!((reply.status, &reply.body), (first.status, &first.body));
        }
        let other = ask(stack, node, 'c', 101, "aplicada");
        assert_eq!(
            other.status, 422,
            "the same key, another request: {other:?}"
        );
    };
    // Without a key it counts; what the keys remember does not change with it.
    let count = |stack: &Stack, node: usize| stack.node(node).transact(CLIENT, 'c', 1, "sem");
    expect_first(&stack, 0);
    expect_first(&stack, 1);
    assert_eq!(count(&stack, 0).posted().1, 101);

    stack.kill(1);
    expect_first(&stack, 0);
    assert_eq!(count(&stack, 0).posted().1, 102);

    stack.start(1);
    stack.wait_until_whole();
    expect_first(&stack, 1);
    assert_eq!(count(&stack, 1).posted().1, 103);

    stack.kill(0);
    stack.kill(1);
    stack.start(0);
    stack.start(1);
    stack.wait_until_whole();
    expect_first(&stack, 0);
    expect_first(&stack, 1);

    stack.stop(0);
    stack.stop(1);
    stack.start(0);
    stack.start(1);
    stack.wait_until_whole();
    expect_first(&stack, 0);
    expect_first(&stack, 1);
    assert_eq!(stack.node(0).balance(CLIENT), 103);
}

fn ask(stack: &Stack, node: usize, kind: char, amount: i64, key: &str) -> Reply {
    stack
        .node(node)
        .ask(&keyed(CLIENT, kind, amount, "com", key))
}
