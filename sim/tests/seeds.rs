//! The simulator as a test: some seeds, the ones that found something, and itself.

use galo_sim::many::{many, Tally};
use galo_sim::run::{run, Options};
use galo_sim::sabotage::Sabotage;

/// Few, because debug builds are slow: CI runs some thousands with the release build.
const SEEDS: u64 = 100;
/// Within these every kind of sabotage must be found.
const SELF_TEST_SEEDS: u64 = 300;

#[test]
fn no_seed_breaks_a_promise() {
    let run = |seed| run(seed, Options::default());
    let summary = many(0, SEEDS, run, false, |_, _| {});
    assert!(summary.failed.is_empty(), "{:#?}", summary.failed);
    assert_eq!(summary.passed, SEEDS);
    let coverage = summary.coverage;
    for (name, count) in coverage.list() {
        // The rarest need more seeds than these.
        if !["half_segments", "bad_snapshots", "timed_out"].contains(&name) {
            assert!(count > 0, "{SEEDS} seeds met no {name}");
        }
    }
}

#[test]
fn what_seeds_found_stays_mended() {
    let seeds = include_str!("../regressions.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next());
    for seed in seeds {
        let seed = seed.parse().expect("a line begins with a seed");
        assert_eq!(run(seed, Options::default()).violation, None, "seed {seed}");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in 100..110 {
        let runs = [(); 2].map(|()| run(seed, Options::default()));
        assert_eq!(runs[0].hash, runs[1].hash, "seed {seed}");
        assert_eq!(runs[0].coverage, runs[1].coverage, "seed {seed}");
    }
    let other = run(111, Options::default()).hash;
    assert_ne!(run(110, Options::default()).hash, other);
}

#[test]
fn every_sabotage_is_found() {
    for &sabotage in Sabotage::ALL {
        let options = Options {
            sabotage: Some(sabotage),
            ..Options::default()
        };
        let from = sabotage.first_seed();
        let run = move |seed| run(seed, options);
        let summary = many(from, SELF_TEST_SEEDS, run, true, |_, _| {});
        assert!(!summary.failed.is_empty(), "{sabotage:?} is not found");
    }
}
