//! Many runs, on all CPUs. A run that panics is a run that failed, whatever `panic` is set to.

use std::collections::BTreeMap;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::trace::Shown;

/// Counts of what runs met.
pub trait Tally: Clone + Default + Send + 'static {
    /// Adds another run's.
    fn add(&mut self, other: &Self);
    /// Names and numbers.
    fn list(&self) -> Vec<(&'static str, u64)>;
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome<C> {
    /// Of everything that happened.
    pub hash: u64,
    /// What was met on the way.
    pub coverage: C,
    /// The promise that was broken.
    pub violation: Option<String>,
}

/// How a run is done. `S`: what can be wrong in its world.
#[derive(Clone, Copy, Debug)]
pub struct Options<S> {
    /// What of it is shown.
    pub shown: Shown,
    /// What is wrong.
    pub sabotage: Option<S>,
}

impl<S> Default for Options<S> {
    fn default() -> Options<S> {
        Options {
            shown: Shown::Nothing,
            sabotage: None,
        }
    }
}

/// A world that seeds are of.
pub struct Simulation<S: 'static, C> {
    /// How `galo-sim` is asked for it.
    pub flag: &'static str,
    /// What can be wrong in it.
    pub sabotages: &'static [S],
    /// From which seed on one of these is soon met.
    pub first_seed: fn(S) -> u64,
    /// Within so many seeds from there on it must be found.
    pub self_test_seeds: u64,
    /// One run.
    pub run: fn(u64, Options<S>) -> Outcome<C>,
}

impl<S: Copy + Send + Sync, C: Tally> Simulation<S, C> {
    /// See [`many`].
    pub fn many(
        &self,
        from: u64,
        count: u64,
        options: Options<S>,
        first: bool,
        progress: impl FnMut(u64, &str),
    ) -> Summary<C> {
        let run = self.run;
        many(from, count, move |seed| run(seed, options), first, progress)
    }

    /// Runs seeds with something wrong, until that is found.
    pub fn self_test(&self, from: u64, sabotage: S) -> Summary<C> {
        let from = from + (self.first_seed)(sabotage);
        let options = Options {
            sabotage: Some(sabotage),
            ..Options::default()
        };
        self.many(from, self.self_test_seeds, options, true, |_, _| {})
    }
}

/// What came of all of them.
#[derive(Debug, Default)]
pub struct Summary<C> {
    /// Runs in which every promise was kept.
    pub passed: u64,
    /// What went wrong, by seed.
    pub failed: BTreeMap<u64, String>,
    /// What all of them met.
    pub coverage: C,
}

/// Tells of a panic.
type Tell = Box<dyn FnOnce(String)>;

std::thread_local! {
    /// In a thread that runs a seed: how a panic in that is told.
    static PRESENT: std::cell::RefCell<Option<Tell>> = const { std::cell::RefCell::new(None) };
}

enum Message<C> {
    Done(u64, Box<Outcome<C>>),
    /// The thread is of no use any more.
    Panicked(u64, String),
    /// There are no seeds left.
    Idle,
}

/// Runs `count` seeds from `from` on; `progress` is told of every failure as it happens. Stops early
/// at the first failure if `first`.
fn many<C: Tally>(
    from: u64,
    count: u64,
    run: impl Fn(u64) -> Outcome<C> + Send + Sync + 'static,
    first: bool,
    mut progress: impl FnMut(u64, &str),
) -> Summary<C> {
    tell_panics();
    let (sender, receiver) = mpsc::channel();
    let (next, run) = (Arc::new(AtomicU64::new(0)), Arc::new(run));
    let spawn = || {
        let (sender, next, run) = (sender.clone(), next.clone(), run.clone());
        thread::spawn(move || work(from, count, &*run, &sender, &next))
    };
    let threads = thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
    let mut working = threads.min(count.max(1));
    for _ in 0..working {
        spawn();
    }
    let mut summary = Summary::<C>::default();
    while working > 0 {
        let (seed, violation) = match receiver.recv().expect("there is a sender") {
            Message::Idle => {
                working -= 1;
                continue;
            }
            Message::Panicked(seed, message) => {
                spawn();
                (seed, message)
            }
            Message::Done(seed, outcome) => {
                summary.coverage.add(&outcome.coverage);
                match outcome.violation {
                    None => {
                        summary.passed += 1;
                        continue;
                    }
                    Some(violation) => (seed, violation),
                }
            }
        };
        progress(seed, &violation);
        summary.failed.insert(seed, violation);
        if first {
            next.store(count, Ordering::Relaxed);
        }
    }
    summary
}

fn work<C: Tally>(
    from: u64,
    count: u64,
    run: &impl Fn(u64) -> Outcome<C>,
    sender: &Sender<Message<C>>,
    next: &AtomicU64,
) {
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= count {
            break;
        }
        let seed = from.wrapping_add(index);
        let told = sender.clone();
        let tell = move |panic| drop(told.send(Message::Panicked(seed, panic)));
        PRESENT.replace(Some(Box::new(tell)));
        let outcome = run(seed);
        PRESENT.replace(None);
        let _ = sender.send(Message::Done(seed, Box::new(outcome)));
    }
    let _ = sender.send(Message::Idle);
}

/// A thread that panics in a run tells what happened. Where `panic` is `abort`, it never leaves the hook, for that
/// would end the process; elsewhere it ends, for whoever is in the hook keeps others from replacing it, as libtest does.
fn tell_panics() {
    static ONCE: Mutex<bool> = Mutex::new(false);
    let mut installed = ONCE.lock().expect("nobody panics with it");
    if std::mem::replace(&mut *installed, true) {
        return;
    }
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let present = PRESENT.try_with(|present| present.borrow_mut().take());
        let Ok(Some(tell)) = present else {
            return usual(info);
        };
        tell(format!("panic: {info}"));
        while cfg!(panic = "abort") {
            thread::park();
        }
    }));
}
