//! The jobs of a core: counted when they begin, and collected when they end. The thread they run on is the back end's.

use super::Control;
use crate::machine::Job;
use std::sync::{mpsc, Arc};

/// The jobs that a core has started.
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
