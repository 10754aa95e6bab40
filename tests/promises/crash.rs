//! `kill -9`: what was acknowledged is there after a restart, once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use galo_testkit::{data_dir, on_both_drivers, Launch, Random, Writer};

const ROUNDS: usize = 4;
const WRITERS: u32 = 10;

#[test]
fn what_was_acknowledged_survives_kill_9_on_one_core() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        survives(|| Launch::driver(dir.path(), driver).cores(1), dir.path());
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9_on_two_cores() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        survives(|| Launch::driver(dir.path(), driver).cores(2), dir.path());
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9_with_durability_disk() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let launch = || {
            Launch::driver(dir.path(), driver)
                .cores(2)
                .flag("durability", "disk")
        };
        survives(launch, dir.path());
    });
}

fn survives(launch: impl Fn() -> Launch, data: &std::path::Path) {
    let mut random = Random::from_time();
    let mut writers = Writer::several(WRITERS);
    for _ in 0..ROUNDS {
        let server = launch().start();
        Writer::settle(&mut writers, &server);
        // At a random moment, counted in replies: a time would pass before or after the load.
        let replies_max = random.between(1, 600);
        let replies = AtomicU64::new(0);
        let address = server.address().clone();
        thread::scope(|scope| {
            let killer = thread::current();
            for writer in &mut writers {
                let (address, replies, killer) = (&address, &replies, killer.clone());
                scope.spawn(move || {
                    let go_on = |_: &Writer| {
                        if replies.fetch_add(1, Ordering::Relaxed) + 1 == replies_max {
                            killer.unpark();
                        }
                        true
                    };
                    writer
                        .run(address, go_on)
                        .expect_err("only the kill ends it");
                });
            }
            while replies.load(Ordering::Relaxed) < replies_max {
                thread::park_timeout(std::time::Duration::from_millis(100));
            }
            server.kill();
        });
        // Nothing was damaged: a torn tail at most, which galo expects.
        let checked = Launch::bare().arg("check").flag("data", data).run().good();
        assert!(checked.contains("good"), "{checked}");
    }
    let server = launch().start();
    Writer::settle(&mut writers, &server);
    server.stop();
    let checked = Launch::bare().arg("check").flag("data", data).run().good();
    assert!(checked.contains("good"), "{checked}");
    let total: u64 = writers.iter().map(|writer| writer.acknowledged).sum();
    assert!(total > 0);
}
