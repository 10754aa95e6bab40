//! The world of several machines as a test: some seeds, planted bugs, and how long a takeover takes.

use galo::limits::{LEASE_SILENCE_NS, SECOND_NS};
use galo_sim::machines::sabotage::Sabotage;
use galo_sim::machines::{run, takeover_ns, Options};
use galo_sim::many::{many, Tally};

/// Few, because debug builds are slow: CI runs some thousands with an optimised one.
const SEEDS: u64 = 100;
/// Within these every kind of sabotage must be found.
const SELF_TEST_SEEDS: u64 = 1000;

#[test]
fn no_seed_breaks_a_promise() {
    let run = |seed| run(seed, Options::default());
    let summary = many(0, SEEDS, run, false, |_, _| {});
    assert!(summary.failed.is_empty(), "{:#?}", summary.failed);
    assert_eq!(summary.passed, SEEDS);
    for (name, count) in summary.coverage.list() {
        assert!(count > 0, "{SEEDS} seeds met no {name}");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in 100..110 {
        let runs = [(); 2].map(|()| run(seed, Options::default()));
        assert_eq!(runs[0].hash, runs[1].hash, "seed {seed}");
        assert_eq!(runs[0].coverage, runs[1].coverage, "seed {seed}");
    }
    let hashes = [110, 111].map(|seed| run(seed, Options::default()).hash);
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn every_sabotage_is_found() {
    for &sabotage in Sabotage::ALL {
        let options = Options {
            sabotage: Some(sabotage),
            ..Options::default()
        };
        let run = move |seed| run(seed, options);
        let summary = many(0, SELF_TEST_SEEDS, run, true, |_, _| {});
        assert!(!summary.failed.is_empty(), "{sabotage:?} is not found");
    }
}

#[test]
fn a_shard_whose_owner_is_killed_is_served_again_soon() {
    let mut took: Vec<u64> = (0..100)
        .map(|seed| takeover_ns(seed).expect("nothing is wrong"))
        .collect();
    took.sort_unstable();
    // A silent lease is waited for; what comes behind that is some rounds of messages.
    assert!(took[99] < LEASE_SILENCE_NS + SECOND_NS / 2, "{took:?}");
    assert!(took[0] > LEASE_SILENCE_NS / 2, "{took:?}");
}
