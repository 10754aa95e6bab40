//! The contest's load passes.

use galo_testkit::{contest_2024, data_dir, on_both_drivers, Driver, Launch};

#[test]
fn the_contests_sequence_passes_on_one_core() {
    on_both_drivers(|driver| sequence(driver, 1));
}

#[test]
fn the_contests_sequence_passes_on_two_cores() {
    on_both_drivers(|driver| sequence(driver, 2));
}

fn sequence(driver: Driver, cores: usize) {
    let dir = data_dir();
    let server = Launch::driver(dir.path(), driver).cores(cores).start();
    contest_2024(server.address());
}
