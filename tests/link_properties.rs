//! Properties of the links between nodes, over random input. What is checked is also a fuzz target.

#[path = "../fuzz/link.rs"]
mod link;

use std::sync::LazyLock;

use galo::bank::{Account, Description, Kind, Posted, Refusal, Transaction};
use galo::command::{Command, Outcome, Scope, Statement};
use galo::limits::STATEMENT_TRANSACTIONS;
use galo::node::link::{read, write, Frame, Query, QueryAnswer};
use galo::payments::{Payment, PaymentId, PaymentState, Processor, Summary, Totals, Window};
use proptest::prelude::*;

/// Some are in one shard of two, some in the other; and one is of the node's own making.
fn id() -> impl Strategy<Value = PaymentId> {
    prop_oneof![0u128..6, Just(1 << 80 | 1)].prop_map(PaymentId::made_of)
}

fn processor() -> impl Strategy<Value = Processor> {
    prop_oneof![Just(Processor::Default), Just(Processor::Fallback)]
}

fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        (any::<u64>(), any::<u64>()).prop_map(|(one, other)| Query::Summary(Window {
            from_us: one.min(other),
            to_us: one.max(other),
        })),
        id().prop_map(Query::Outcome),
    ]
}

fn payment() -> impl Strategy<Value = Payment> {
    let state = prop_oneof![
        Just(PaymentState::Free),
        (processor(), any::<u64>(), any::<bool>()).prop_map(|(to, requested_us, in_doubt)| {
            PaymentState::Bound {
                to,
                requested_us,
                in_doubt,
            }
        }),
        (processor(), any::<u64>())
            .prop_map(|(by, requested_us)| PaymentState::Processed { by, requested_us }),
    ];
    (id(), any::<u64>(), any::<u16>(), state).prop_map(|(id, accepted_us, attempts, state)| {
        Payment {
            id,
            cents: 1990,
            accepted_us,
            attempts,
            state,
        }
    })
}

/// With a full statement, the longest text among it.
static ACCOUNT: LazyLock<Account> = LazyLock::new(|| {
    let mut account = Account::new(1, 1000, 0);
    for sequence in 1..=STATEMENT_TRANSACTIONS as u64 {
        let description = Description::new("\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}");
        let description = description.expect("ten characters");
        let transaction = Transaction::new(Kind::Credit, 7, description, sequence);
        let balance = account.check(Kind::Credit, 7).expect("a small one");
        account.post(&transaction, balance, sequence);
    }
    account
});

fn outcome() -> impl Strategy<Value = Outcome<'static>> {
    prop_oneof![
        (any::<i64>(), any::<i64>())
            .prop_map(|(limit, balance)| Outcome::Posted(Posted { limit, balance })),
        any::<u64>().prop_map(|moment_us| Outcome::Statement(Statement::of(&ACCOUNT, moment_us))),
        payment().prop_map(Outcome::Payment),
        prop::sample::select(vec![
            Outcome::Refused(Refusal::Limit),
            Outcome::Refused(Refusal::Overflow),
            Outcome::KeyReused,
            Outcome::NoSuchClient,
            Outcome::Accepted,
            Outcome::OtherAmount,
            Outcome::QueueFull,
            Outcome::Unreadable,
            Outcome::NoSuchPayment,
            Outcome::Forgotten(Scope::Everything),
            Outcome::Forgotten(Scope::Payments),
            Outcome::NotConfigured,
            Outcome::StorageFull,
            Outcome::NotForgotten(Scope::Everything),
            Outcome::NotForgotten(Scope::Payments),
        ]),
    ]
}

fn answer() -> impl Strategy<Value = QueryAnswer> {
    let totals = || {
        (0u64..1 << 40).prop_map(|count| Totals {
            count,
            cents: 1990 * u128::from(count),
        })
    };
    prop_oneof![
        (totals(), totals()).prop_map(|(one, other)| QueryAnswer::Summary(Summary([one, other]))),
        prop::option::of(payment()).prop_map(QueryAnswer::Outcome),
        Just(QueryAnswer::Refused),
        Just(QueryAnswer::Unreadable),
    ]
}

/// Frames that a node may send, to a node that may not expect them.
fn frame() -> impl Strategy<Value = Frame<'static>> {
    let counter = 1u64..6;
    let shard = 0u32..3;
    prop_oneof![
        shard.clone().prop_map(Frame::Owns),
        (shard.clone(), 0u32..4).prop_map(|(shard, to)| Frame::Released { shard, to }),
        shard.clone().prop_map(Frame::Who),
        Just(Frame::Leaving),
        Just(Frame::Goodbye),
        (counter.clone(), shard.clone()).prop_map(|(counter, shard)| Frame::Reset {
            counter,
            shard,
            scope: if counter % 2 == 0 {
                Scope::Payments
            } else {
                Scope::Everything
            },
        }),
        (counter.clone(), shard.clone())
            .prop_map(|(counter, shard)| Frame::NotOwner { shard, counter }),
        (counter.clone(), shard.clone(), outcome()).prop_map(|(counter, shard, outcome)| {
            Frame::Reply {
                shard,
                counter,
                outcome,
            }
        }),
        // As the node numbers its first queries, and others.
        (0u64..8, answer()).prop_map(|(number, answer)| Frame::Answer { number, answer }),
        (any::<u64>(), shard, query()).prop_map(|(number, shard, query)| Frame::Query {
            number,
            shard,
            query,
        }),
        (processor(), any::<bool>(), any::<u32>()).prop_map(
            |(processor, failing, response_min_ms)| Frame::Health {
                processor,
                failing,
                response_min_ms,
            }
        ),
        (counter.clone(), id(), 0u64..3).prop_map(|(counter, id, cents)| Frame::Command {
            counter,
            key: None,
            command: match cents {
                0 => Command::Show { id },
                cents => Command::Pay { id, cents },
            },
        }),
        (counter, any::<bool>(), any::<Option<u128>>()).prop_map(|(counter, reads, key)| {
            let client = 1;
            Frame::Command {
                counter,
                key: key.filter(|_| !reads),
                command: match reads {
                    true => Command::Statement { client },
                    false => Command::Transact {
                        client,
                        kind: Kind::Credit,
                        amount: 5,
                        description: Description::new("link").unwrap().into(),
                    },
                },
            }
        }),
    ]
}

fn bytes_of(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        write(&mut bytes, frame);
    }
    bytes
}

proptest! {
    #[test]
    fn frames_come_back_as_they_were_written(frame in frame()) {
        let mut bytes = Vec::new();
        write(&mut bytes, &frame);
        let length = bytes.len();
        prop_assert_eq!(read(&bytes), Ok(Some((frame, length))));
        // Cut short within, it is none.
        let content = (length - 5) as u32;
        bytes[..4].copy_from_slice(&content.to_le_bytes());
        let is_text = matches!(read(&bytes), Ok(Some((Frame::Command { .. }, _))));
        prop_assert!(is_text || read(&bytes).is_err());
    }

    #[test]
    fn any_bytes_are_taken(input in prop::collection::vec(any::<u8>(), 0..200)) {
        link::check(&input);
    }

    #[test]
    fn any_frames_are_taken(frames in prop::collection::vec(frame(), 0..12)) {
        link::check(&bytes_of(&frames));
    }

    #[test]
    fn frames_with_a_byte_changed_are_taken(
        frames in prop::collection::vec(frame(), 1..8),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut input = bytes_of(&frames);
        let at = at.index(input.len());
        input[at] = byte;
        link::check(&input);
    }
}

#[test]
fn the_seeds_of_the_fuzzer_are_taken() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/link");
    let mut taken = 0;
    for seed in std::fs::read_dir(seeds).expect("the seeds are in the repository") {
        link::check(&std::fs::read(seed.unwrap().path()).unwrap());
        taken += 1;
    }
    assert!(taken > 0);
}
