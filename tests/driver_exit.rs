//! A core may leave the moment its last job is done.

use galo::io::{probe, Control, Driver, Probe, Setup};
use galo::machine::{ConnectionId, Effect, Exit, Job, Machine, Now, Peer, Target};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

struct Nothing;

impl Job for Nothing {
    type Done = ();
    fn run(self) {}
}

/// Starts a job, and leaves when it is done.
#[derive(Default)]
struct Leaver {
    started: bool,
    done: bool,
    effects: Vec<Effect<Nothing>>,
}

impl Machine for Leaver {
    type Job = Nothing;

    fn tick_begin(&mut self, _: Now) {}
    fn opened(&mut self, _: Peer) -> Result<ConnectionId, &'static [u8]> {
        Err(b"")
    }
    fn connect_failed(&mut self, _: Target) {}
    fn received(&mut self, _: ConnectionId, _: &[u8]) {}
    fn input_ended(&mut self, _: ConnectionId, _: bool) {}
    fn sent(&mut self, _: ConnectionId, _: Result<usize, ()>) {}
    fn closed(&mut self, _: ConnectionId) {}
    fn job_done(&mut self, (): ()) {
        self.done = true;
    }
    fn stop(&mut self) {}
    fn tick_end(&mut self) {
        if !std::mem::replace(&mut self.started, true) {
            self.effects.push(Effect::Start(Nothing));
        }
        if self.done {
            self.effects.push(Effect::Exit(Exit::Stopped));
        }
    }
    fn next_effect(&mut self) -> Option<Effect<Nothing>> {
        self.effects.pop()
    }
    fn output(&self, _: ConnectionId) -> &[u8] {
        b""
    }
    fn deadline_ns(&self) -> Option<u64> {
        None
    }
    fn ready(&self) -> bool {
        false
    }
}

/// A panic of any thread ends the server: it would be killed by SIGABRT where it was to end well.
#[test]
fn leaving_right_after_a_job_leaves_no_panic_behind() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    for driver in Driver::ALL {
        if driver == Driver::Uring && matches!(probe(), Probe::Refused(_)) {
            continue;
        }
        for _ in 0..100 {
            let setup = Setup {
                machine: Leaver::default(),
                listeners: Vec::new(),
                peers: Vec::new(),
                link_listener: None,
                link_paths: Vec::new(),
                upstreams: None,
                engine: None,
                control: Control::new(1).unwrap(),
                core: 0,
            };
            // In a thread of its own, as a core is.
            let core = std::thread::spawn(move || driver.run(setup));
            assert_eq!(core.join().unwrap(), Exit::Stopped);
        }
    }
    std::thread::sleep(Duration::from_millis(50));
    let _ = std::panic::take_hook();
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}
