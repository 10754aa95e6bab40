//! Containers that go and come back under load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::project::{Project, NODES};
use galo_testkit::Writer;

const WRITERS: u32 = 20;

/// Each node is restarted, and one is killed, while clients write through `lb-http.conf`: every
/// request has its 200, and everything is there once. Nobody has written before.
pub fn fail_no_request(project: &Project<'_>) {
    let mut writers = Writer::several(WRITERS);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let runs: Vec<_> = writers
            .iter_mut()
            .map(|writer| {
                let go_on = |writer: &Writer| !stop.load(Ordering::Relaxed) && writer.has_room();
                scope.spawn(move || writer.run(&project.address, go_on))
            })
            .collect();
        for node in NODES {
            project.restart(node);
        }
        killed(project, NODES[0]);
        stop.store(true, Ordering::Relaxed);
        for run in runs {
            run.join().unwrap().expect("a connection that stays");
        }
    });
    let acknowledged: u64 = writers.iter().map(|writer| writer.acknowledged).sum();
    println!("{acknowledged} requests over two restarts and a kill -9, none failed");
    Writer::settle_at(&mut writers, &project.address);
}

/// `kill -9` by the machine, not by the engine, which would take it for our wish: the engine starts
/// it again.
fn killed(project: &Project<'_>, node: &str) {
    let pid = project.pid(node);
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a process");
    let is_another = |now: &str| now != "0" && now != pid.to_string();
    project.wait_until(node, "{{.State.Pid}}", is_another);
    project.wait_until_healthy(node);
}
