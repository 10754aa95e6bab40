//! The simulator as a test: some seeds, the ones that found something, and itself.

mod promises;

use galo_sim::many::Options;
use galo_sim::run::BANK_AND_GATEWAY;

#[test]
fn no_seed_breaks_a_promise() {
    // The rarest need more seeds than these.
    let rare = ["half_segments", "bad_snapshots", "timed_out"];
    promises::are_kept(&BANK_AND_GATEWAY, &rare);
}

#[test]
fn what_seeds_found_stays_mended() {
    let seeds = include_str!("../regressions.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next());
    for seed in seeds {
        let seed = seed.parse().expect("a line begins with a seed");
        let outcome = (BANK_AND_GATEWAY.run)(seed, Options::default());
        assert_eq!(outcome.violation, None, "seed {seed}");
    }
}

#[test]
fn a_seed_decides_everything() {
    promises::a_seed_decides_everything(&BANK_AND_GATEWAY);
}

#[test]
fn every_sabotage_is_found() {
    promises::every_sabotage_is_found(&BANK_AND_GATEWAY);
}
