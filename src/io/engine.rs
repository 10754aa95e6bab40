//! The resources of a core (rings or an epoll, threads), taken at the start, and the loop that runs on them.

use super::error::Lack;
use super::{epoll, event_loop, uring, Control, Driver, Setup};
use crate::machine::{Exit, Job, Machine};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What a core has of the system before it has anything to serve: rings or an epoll, and threads for what blocks.
/// It stays on the thread that took it.
pub struct Engine<J: Job>(EngineKind<J>);

enum EngineKind<J: Job> {
    Uring(Box<uring::Engine>),
    Epoll(Box<epoll::Engine<J>>),
}

impl<J: Job> Engine<J> {
    /// Runs a core until its machine says [`crate::machine::Effect::Exit`]. `started` is called once it serves.
    pub fn run<M: Machine<Job = J>>(self, setup: Setup<M>, started: impl FnOnce()) -> Exit {
        match self.0 {
            EngineKind::Uring(engine) => engine.run(|uring| event_loop::run(uring, setup, started)),
            EngineKind::Epoll(epoll) => alone(event_loop::run(*epoll, setup, started)),
        }
    }
}

impl Driver {
    /// Takes what a core needs, on the calling thread. `pin_to`: the CPU to stay on; `None`: wherever the kernel
    /// likes.
    pub fn engine<J: Job>(
        self,
        control: &Arc<Control>,
        core: usize,
        pin_to: Option<usize>,
    ) -> Result<Engine<J>, Lack> {
        let kind = match self {
            Driver::Uring => {
                EngineKind::Uring(Box::new(uring::Engine::take(control.clone(), core)?))
            }
            Driver::Epoll => EngineKind::Epoll(Box::new(epoll::Engine::take(control, core)?)),
        };
        // After its background threads have started, which are to stay free.
        if let Some(cpu) = pin_to {
            pin(cpu)?;
        }
        Ok(Engine(kind))
    }

    /// Runs a core on the calling thread until its machine says [`crate::machine::Effect::Exit`].
    pub fn run<M: Machine>(self, setup: Setup<M>) -> Exit {
        match self.engine(&setup.control, setup.core, None) {
            Ok(engine) => engine.run(setup, || {}),
            Err(Lack::Memory(text) | Lack::Other(text)) => Exit::Failed(text),
        }
    }
}

/// Runs a core that has its thread to itself: it waits in its back end.
fn alone(core: impl Future<Output = Exit>) -> Exit {
    match pin!(core).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(exit) => exit,
        Poll::Pending => unreachable!("nothing else runs on this thread"),
    }
}

/// Keeps the calling thread on one CPU.
fn pin(cpu: usize) -> Result<(), String> {
    let mut set = nix::sched::CpuSet::new();
    set.set(cpu)
        .and_then(|()| nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set))
        .map_err(|error| format!("cannot pin to CPU {cpu}: {error}; run without --pin"))
}
