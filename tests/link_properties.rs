//! Properties of the links between nodes, over random input. What is checked is also a fuzz target.

#[path = "../fuzz/link.rs"]
mod link;

use galo::api::bank::Command;
use galo::api::payments;
use galo::bank::Kind;
use galo::node::link::{write, Answer, Frame, Question, Scope};
use galo::payments::{PaymentId, Processor, Summary, Totals, Window};
use galo::shard::payments::State;
use galo::shard::Payment;
use proptest::prelude::*;

/// Some are in one shard of two, some in the other; and one is of the node's own making.
fn id() -> impl Strategy<Value = PaymentId> {
    prop_oneof![0u128..6, Just(1 << 80 | 1)].prop_map(PaymentId::made_of)
}

fn processor() -> impl Strategy<Value = Processor> {
    prop_oneof![Just(Processor::Default), Just(Processor::Fallback)]
}

fn question() -> impl Strategy<Value = Question> {
    prop_oneof![
        (any::<u64>(), any::<u64>()).prop_map(|(one, other)| Question::Summary(Window {
            from_us: one.min(other),
            to_us: one.max(other),
        })),
        id().prop_map(Question::Outcome),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let totals = || {
        (0u64..1 << 40).prop_map(|count| Totals {
            count,
            cents: 1990 * u128::from(count),
        })
    };
    let state = prop_oneof![
        Just(State::Free),
        (processor(), any::<u64>(), any::<bool>()).prop_map(|(to, requested_us, in_doubt)| {
            State::Bound {
                to,
                requested_us,
                in_doubt,
            }
        }),
        (processor(), any::<u64>())
            .prop_map(|(by, requested_us)| State::Processed { by, requested_us }),
    ];
    let payment =
        (id(), any::<u64>(), any::<u16>(), state).prop_map(|(id, accepted_us, attempts, state)| {
            Payment {
                id,
                cents: 1990,
                accepted_us,
                attempts,
                state,
            }
        });
    prop_oneof![
        (totals(), totals()).prop_map(|(one, other)| Answer::Summary(Summary([one, other]))),
        prop::option::of(payment).prop_map(Answer::Outcome),
        Just(Answer::Refused),
        Just(Answer::Unreadable),
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
        (counter.clone(), shard.clone(), any::<u16>()).prop_map(|(counter, shard, status)| {
            Frame::Reply {
                shard,
                counter,
                status: match status % 4 {
                    0 => status,
                    1 => 202,
                    _ => 200,
                },
                body: b"{}",
            }
        }),
        // As the node numbers its first questions, and others.
        (0u64..8, answer()).prop_map(|(number, answer)| Frame::Answer { number, answer }),
        (any::<u64>(), shard, question()).prop_map(|(number, shard, question)| Frame::Ask {
            number,
            shard,
            question,
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
            command: galo::api::Command::Payments(match cents {
                0 => payments::Command::Show { id },
                cents => payments::Command::Pay { id, cents },
            }),
        }),
        (counter, any::<bool>(), any::<Option<u128>>()).prop_map(|(counter, reads, key)| {
            let client = 1;
            Frame::Command {
                counter,
                key: key.filter(|_| !reads),
                command: galo::api::Command::Bank(match reads {
                    true => Command::Statement { client },
                    false => Command::Transact {
                        client,
                        kind: Kind::Credit,
                        amount: 5,
                        description: "link".into(),
                    },
                }),
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
