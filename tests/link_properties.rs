//! Properties of the links between nodes, over random input. What is checked is also a fuzz target.

#[path = "../fuzz/link.rs"]
mod link;

use galo::api::bank::Command;
use galo::bank::Kind;
use galo::node::link::{write, Frame, Scope};
use proptest::prelude::*;

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
        (counter.clone(), shard, any::<u16>()).prop_map(|(counter, shard, status)| Frame::Reply {
            shard,
            counter,
            status: if status % 3 == 0 { status } else { 200 },
            body: b"{}",
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
