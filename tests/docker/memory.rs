//! What all three containers need under load.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::project::{Project, SERVICES};
use galo_testkit::{get, transaction, Connection, Crowd};

const RESIDENT_KIB_MAX: u64 = 30_000_000 / 1024;
const CONNECTIONS: u32 = 32;
const LOAD: Duration = Duration::from_secs(3);
/// More than a client's statement shows: what is measured has been in use.
const REQUESTS_MIN: u64 = 1_000;

/// As many as nginx lets in, beside those that ask meanwhile.
const CROWD: usize = 900;

/// Clients that pipeline, and do not read, end no process: what the kernel keeps for them fits into the containers, too.
pub fn suffices_for_a_crowd_that_does_not_read(project: &Project<'_>) {
    let mut nginx = project.pids("nginx");
    // A health check ends by itself.
    nginx.retain(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim_end() == "nginx")
    });
    assert!(nginx.len() > 1, "a master and its worker");
    let mut crowd = Crowd::connect(&project.address, CROWD);
    let mut polite = Connection::open(&project.address).expect("a connection");
    crowd.flood(
        &get("/clientes/1/extrato").repeat(8_000),
        usize::MAX,
        || {
            assert_eq!(polite.ask(&get("/clientes/1/extrato")).status, 200);
            false
        },
    );
    drop(crowd);
    // Its worker is started anew if it is ended.
    let now = project.pids("nginx");
    assert!(
        nginx.iter().all(|pid| now.contains(pid)),
        "{nginx:?} {now:?}"
    );
    for service in SERVICES {
        assert_eq!(
            project.inspect(service, "{{.RestartCount}}"),
            "0",
            "{service}"
        );
    }
}

/// The resident sets, added up, while requests are served.
pub fn stays_below_its_limit(project: &Project<'_>) {
    let stop = AtomicBool::new(false);
    let (asked, peak) = thread::scope(|scope| {
        let stop = &stop;
        let loads: Vec<_> = (0..CONNECTIONS)
            .map(|index| scope.spawn(move || load(project, 1 + index % 5, stop)))
            .collect();
        let peak = measure(project);
        stop.store(true, Ordering::Relaxed);
        let asked: u64 = loads.into_iter().map(|load| load.join().unwrap()).sum();
        (asked, peak)
    });
    println!(
        "{asked} requests on {CONNECTIONS} connections; resident {:.1} MB, proportionally {:.1} MB",
        megabytes(peak.resident_kib),
        megabytes(peak.proportional_kib),
    );
    assert!(asked > REQUESTS_MIN, "{asked} requests");
    assert!(peak.resident_kib <= RESIDENT_KIB_MAX, "{peak:?}");
}

fn load(project: &Project<'_>, client: u32, stop: &AtomicBool) -> u64 {
    let mut connection = Connection::open(&project.address).expect("a connection");
    let mut asked = 0;
    while !stop.load(Ordering::Relaxed) {
        connection
            .ask(&transaction(client, 'c', 1, "memoria"))
            .posted();
        asked += 1;
    }
    asked
}

/// All processes of all containers together.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    /// RSS: what processes share counts for each of them.
    resident_kib: u64,
    /// PSS: what n of them share counts one n-th for each.
    proportional_kib: u64,
}

/// The most of the time of the load.
fn measure(project: &Project<'_>) -> Memory {
    let mut peak = Memory::default();
    let end = Instant::now() + LOAD;
    while Instant::now() < end {
        let mut now = Memory::default();
        for service in SERVICES {
            for pid in project.pids(service) {
                // A health check has ended since, maybe.
                let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
                    continue;
                };
                now.resident_kib += kib(&rollup, "Rss:");
                now.proportional_kib += kib(&rollup, "Pss:");
            }
        }
        peak.resident_kib = peak.resident_kib.max(now.resident_kib);
        peak.proportional_kib = peak.proportional_kib.max(now.proportional_kib);
    }
    peak
}

/// A line of `smaps_rollup`. A process that is ending has none.
fn kib(rollup: &str, name: &str) -> u64 {
    let mut lines = rollup.lines().filter_map(|line| line.strip_prefix(name));
    let number = lines.next().and_then(|rest| rest.split_whitespace().next());
    number.map_or(0, |number| number.parse().expect("a number"))
}

fn megabytes(kib: u64) -> f64 {
    (kib * 1024) as f64 / 1e6
}
