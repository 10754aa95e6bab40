//! The world of several machines as a test: some seeds, planted bugs, and how long a takeover takes.

mod promises;

use galo::limits::{LEASE_SILENCE_NS, SECOND_NS};
use galo_sim::machines::{takeover_ns, MACHINES};

#[test]
fn no_seed_breaks_a_promise() {
    promises::are_kept(&MACHINES, &[]);
}

#[test]
fn a_seed_decides_everything() {
    promises::a_seed_decides_everything(&MACHINES);
}

#[test]
fn every_sabotage_is_found() {
    promises::every_sabotage_is_found(&MACHINES);
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
