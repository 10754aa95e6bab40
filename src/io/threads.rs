//! How other threads reach a core: a flag to stop, one eventfd per core that wakes it, and the jobs that they do for it.

use crate::limits::{HANDED_MAX, JOB_THREADS};
use crate::machine::Job;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Mutex};

/// To wake a core; neither reading nor writing blocks.
pub(super) fn eventfd() -> nix::Result<EventFd> {
    EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
}

/// Shared by all cores of a process and by whoever stops them.
#[derive(Debug)]
pub struct Control {
    pub(super) stopping: AtomicBool,
    wakes: Vec<EventFd>,
    /// By core: it has come to [`clear`](Self::clear) since it was last asked for a sign of life.
    alive: Vec<AtomicBool>,
    /// By core: connections that another has accepted for it, from a socket that they share.
    handed: Vec<Mutex<Vec<OwnedFd>>>,
    /// How many have been accepted from such sockets.
    turns: AtomicUsize,
}

impl Control {
    /// For this many cores. Fails when descriptors have run out.
    pub fn new(cores: usize) -> std::io::Result<Arc<Control>> {
        let wakes = (0..cores)
            .map(|_| eventfd())
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Control {
            stopping: AtomicBool::new(false),
            wakes,
            handed: (0..cores).map(|_| Mutex::default()).collect(),
            turns: AtomicUsize::new(0),
            alive: (0..cores).map(|_| AtomicBool::new(false)).collect(),
        }))
    }

    /// Asks every core to stop: each calls [`crate::machine::Machine::stop`] once. Any thread may call it,
    /// any number of times.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for core in 0..self.wakes.len() {
            self.wake(core);
        }
    }

    /// Asks every core for a sign of life: each gives it when it comes round to its wakes, between two ticks.
    pub fn ask(&self) {
        for (core, alive) in self.alive.iter().enumerate() {
            alive.store(false, Ordering::Release);
            self.wake(core);
        }
    }

    /// The first core that was asked, and has not come round since.
    pub fn silent(&self) -> Option<usize> {
        let mut cores = self.alive.iter();
        cores.position(|alive| !alive.load(Ordering::Acquire))
    }

    /// Writes to the core's eventfd, so that it runs a tick.
    pub(super) fn wake(&self, core: usize) {
        // Fails only when the counter is full, and then the core is about to wake anyway.
        let _ = self.wakes[core].write(1);
    }

    /// Wakes a core, from any thread.
    pub fn waker(self: &Arc<Self>, core: usize) -> impl Fn() + Send + Sync + 'static {
        let control = self.clone();
        move || control.wake(core)
    }

    /// The core's eventfd, which its driver polls.
    pub(super) fn wake_fd(&self, core: usize) -> BorrowedFd<'_> {
        self.wakes[core].as_fd()
    }

    /// A core has accepted this connection from a socket that all share. They take turns: gives it back if it is this core's,
    /// or hands it over, unless the other one has not taken the last [`HANDED_MAX`] yet. (Who is woken first would have all
    /// of them.)
    pub(super) fn share(&self, core: usize, socket: OwnedFd) -> Option<OwnedFd> {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) % self.wakes.len();
        // One that stops may have left already.
        if turn == core || self.stopping.load(Ordering::Acquire) {
            return Some(socket);
        }
        let mut handed = self.handed[turn].lock().expect("nobody panics with it");
        if handed.len() == HANDED_MAX {
            return Some(socket);
        }
        handed.push(socket);
        drop(handed);
        self.wake(turn);
        None
    }

    /// What others have accepted for this core.
    pub(super) fn handed(&self, core: usize) -> Vec<OwnedFd> {
        let mut handed = self.handed[core].lock().expect("nobody panics with it");
        std::mem::take(&mut *handed)
    }

    /// Takes the wakes that have come in, so that the descriptor is no longer readable.
    pub(super) fn clear(&self, core: usize) {
        // Fails only when there were none.
        let _ = self.wakes[core].read();
        self.alive[core].store(true, Ordering::Release);
    }
}

/// The jobs that a core has started: counted when they begin, and collected when they end. The threads are the back
/// end's.
pub(super) struct Jobs<J: Job> {
    sender: mpsc::Sender<J::Done>,
    results: mpsc::Receiver<J::Done>,
    control: Arc<Control>,
    core: usize,
    /// Jobs that have no result yet.
    pub(super) outstanding: usize,
}

/// A job, and the way back. The result comes by a channel and a wake, so that the core waits in one place.
pub(super) struct Task<J: Job> {
    job: J,
    sender: mpsc::Sender<J::Done>,
    control: Arc<Control>,
    core: usize,
}

/// Of the threads that run a core's jobs, as `top -H` and `perf` show it: 15 bytes at most.
pub(super) fn thread_name(core: usize) -> String {
    format!("galo-job/{core}")
}

impl<J: Job> Jobs<J> {
    pub(super) fn new(control: Arc<Control>, core: usize) -> Jobs<J> {
        let (sender, results) = mpsc::channel();
        Jobs {
            sender,
            results,
            control,
            core,
            outstanding: 0,
        }
    }

    /// Counts a job as begun, and makes the task that a thread is to run.
    pub(super) fn begin(&mut self, job: J) -> Task<J> {
        self.outstanding += 1;
        Task {
            job,
            sender: self.sender.clone(),
            control: self.control.clone(),
            core: self.core,
        }
    }

    pub(super) fn next_done(&mut self) -> Option<J::Done> {
        let done = self.results.try_recv().ok()?;
        self.outstanding -= 1;
        Some(done)
    }
}

impl<J: Job> Task<J> {
    /// Runs the job on this thread, which it blocks, and sends back what comes of it.
    pub(super) fn run(self) {
        // Fails when the core has left; then nobody wants to know.
        let _ = self.sender.send(self.job.run());
        self.control.wake(self.core);
    }
}

/// Threads for a back end that has none of its own. They take jobs in turn, and end when the sender is gone.
pub(super) fn start_job_threads<J: Job>(core: usize) -> Result<mpsc::Sender<Task<J>>, String> {
    let (jobs, waiting) = mpsc::channel::<Task<J>>();
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..JOB_THREADS {
        let waiting = waiting.clone();
        let next = move || waiting.lock().expect("no job runs under it").recv();
        std::thread::Builder::new()
            .name(thread_name(core))
            .spawn(move || {
                while let Ok(task) = next() {
                    task.run();
                }
            })
            .map_err(|error| format!("cannot start a thread: {error}"))?;
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_takes_no_connections_is_given_a_bounded_number() {
        let control = Control::new(2).unwrap();
        let socket = || OwnedFd::from(eventfd().unwrap());
        // Every second turn is the other core's.
        let kept = |count: usize| {
            let kept = (0..count).filter(|_| control.share(1, socket()).is_some());
            kept.count()
        };
        assert_eq!(kept(2 * HANDED_MAX), HANDED_MAX);
        assert_eq!(kept(10), 10);
        assert_eq!(control.handed(0).len(), HANDED_MAX);
        assert_eq!(kept(10), 5);
    }
}
