//! What holds for each world of the simulator.

use std::fmt::Debug;

use galo_sim::many::{Options, Simulation, Tally};

/// Few, because debug builds are slow: CI runs some thousands with an optimised one.
const SEEDS: u64 = 100;

/// No seed breaks a promise, and together they meet everything but what is too `rare` for so few.
pub fn are_kept<S, C>(simulation: &Simulation<S, C>, rare: &[&str])
where
    S: Copy + Send + Sync,
    C: Tally,
{
    let summary = simulation.many(0, SEEDS, Options::default(), false, |_, _| {});
    assert!(summary.failed.is_empty(), "{:#?}", summary.failed);
    assert_eq!(summary.passed, SEEDS);
    for (name, count) in summary.coverage.list() {
        if !rare.contains(&name) {
            assert!(count > 0, "{SEEDS} seeds met no {name}");
        }
    }
}

pub fn a_seed_decides_everything<S, C>(simulation: &Simulation<S, C>)
where
    C: Debug + PartialEq,
{
    let run = |seed| (simulation.run)(seed, Options::default());
    for seed in 100..110 {
        let runs = [(); 2].map(|()| run(seed));
        assert_eq!(runs[0].hash, runs[1].hash, "seed {seed}");
        assert_eq!(runs[0].coverage, runs[1].coverage, "seed {seed}");
    }
    assert_ne!(run(110).hash, run(111).hash);
}

pub fn every_sabotage_is_found<S, C>(simulation: &Simulation<S, C>)
where
    S: Copy + Debug + Send + Sync,
    C: Tally,
{
    for &sabotage in simulation.sabotages {
        let summary = simulation.self_test(0, sabotage);
        assert!(!summary.failed.is_empty(), "{sabotage:?} is not found");
    }
}
