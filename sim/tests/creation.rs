//! A data directory whose making was interrupted anywhere, and which has served since, stays.

use std::path::Path;

use galo::clients::CONTEST;
use galo::machine::Job;
use galo::shard::{self, Done, Meta, RecoveryError};
use galo_sim::disk::{Crash, SimDisk};
use galo_testkit::Random;

const META: Meta = Meta {
    directory: 7,
    shards: 2,
};

fn start(disk: &SimDisk) -> Result<(), RecoveryError> {
    let dir = Path::new("/data");
    if Meta::read(disk, dir)?.is_none() {
        shard::create(disk, dir, &META, &CONTEST)?;
    }
    for number in 0..META.shards {
        let mut recovered = shard::open(disk, dir, &META, number)?;
        // What recovery leaves to the first sync.
        if let Some(job) = recovered.store.sync() {
            let done = job.run();
            assert!(disk.events().killed || matches!(done, Done::Synced { .. }));
        }
    }
    Ok(())
}

#[test]
fn a_killed_creation_does_not_take_a_later_life_with_it() {
    let mut killed = 0;
    for operation in 1..60 {
        for seed in 0..20 {
            let disk = SimDisk::new(Random::new(seed << 8 | operation));
            disk.set_faults(|faults| faults.kill_in = Some(operation));
            let _ = start(&disk);
            killed += u64::from(disk.events().killed);
            disk.crash(Crash::Process);
            start(&disk).expect("a killed start can be repeated");
            disk.crash(Crash::Power);
            let meta = Meta::read(&disk, Path::new("/data")).expect("it can be read");
            assert_eq!(
                meta,
                Some(META),
                "killed in operation {operation}, seed {seed}"
            );
        }
    }
    assert!(killed > 500, "the range covers the start: {killed}");
}
