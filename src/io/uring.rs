//! The uring driver: a glommio executor runs the core, a ring of our own carries its sockets.
//!
//! glommio gives the core its background threads; its rings lack DEFER_TASKRUN, and its streams
//! poll, then receive, then send, so the sockets have a ring with one multishot receive each.
//!
//! A core with nothing to do waits in the socket ring, not in the executor: what else can wake it (a
//! job that is done, a request to stop) writes to the eventfd that the ring polls. The executor runs
//! when it has a job to hand over or to clear away. Parking it on a read of an eventfd that the ring
//! signals was measured too: 2.6 system calls per request against 2.0 at one connection, and at 32
//! 129,000 requests per CPU second against 151,000 (medians of four interleaved runs).

use super::dials::Dials;
use super::links::Links;
use super::ring::{Error, Ring, Size};
use super::setup::{pin, with_link, Lack};
use super::sockets::Sockets;
use super::{clock, Control, Setup};
use crate::limits::{
    GLOMMIO_IO_MEMORY_BYTES, GLOMMIO_RING_ENTRIES, JOB_THREADS, RING_RETRY_NS, RING_WAIT_NS_MAX,
};
use crate::machine::{Effect, Exit, Job, Machine, Target};
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};
use nix::errno::Errno;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{mpsc, Arc};
use std::task::Poll;
use std::time::{Duration, Instant};

/// What a core has of the system before it has anything to serve.
pub(super) struct Engine {
    executor: LocalExecutor,
    ring: Ring,
}

impl Engine {
    /// Takes it, for a core on this thread.
    pub fn take(pin_to: Option<usize>) -> Result<Engine, Lack> {
        // What a process that was killed just now had locked may still count: the kernel takes its rings down after
        // it is gone.
        let executor = patiently(|| {
            // Unbound: glommio would put the cores of two containers on the same CPU.
            LocalExecutorBuilder::new(Placement::Unbound)
                .io_memory(GLOMMIO_IO_MEMORY_BYTES)
                .ring_depth(GLOMMIO_RING_ENTRIES)
                .blocking_thread_pool_placement(PoolPlacement::Unbound(JOB_THREADS))
                .make()
                .map_err(glommio_refused)
        })?;
        let ring = patiently(|| Ring::new(&Size::SOCKETS).map_err(Lack::from))?;
        // After glommio has started its background threads, which are to stay free.
        if let Some(cpu) = pin_to {
            pin(cpu)?;
        }
        Ok(Engine { executor, ring })
    }

    /// Runs a core to its end.
    pub fn run<M: Machine>(self, setup: Setup<M>, started: impl FnOnce()) -> Exit {
        let Engine { executor, ring } = self;
        let (exit, jobs_left) = executor.run(drive(ring, setup, started));
        if jobs_left > 0 {
            // A background thread whose executor is gone panics when its job is done, even one whose
            // result has come back already: it has yet to tell the executor.
            std::mem::forget(executor);
        }
        exit
    }
}

/// Tries again for a while when there is no memory to lock.
fn patiently<T>(mut take: impl FnMut() -> Result<T, Lack>) -> Result<T, Lack> {
    let began = Instant::now();
    loop {
        match take() {
            Err(Lack::Memory(_)) if began.elapsed() < Duration::from_nanos(RING_WAIT_NS_MAX) => {
                std::thread::sleep(Duration::from_nanos(RING_RETRY_NS));
            }
            done => return done,
        }
    }
}

fn glommio_refused(error: GlommioError<()>) -> Lack {
    match error.raw_os_error() {
        Some(errno) => Lack::from(Error {
            call: "io_uring_setup for glommio",
            errno: Errno::from_raw(errno),
        }),
        None => Lack::Other(format!("glommio does not start: {error}")),
    }
}

/// Drives a core to its end. Says how it ended, and how many jobs glommio has not done with.
async fn drive<M: Machine>(ring: Ring, setup: Setup<M>, started: impl FnOnce()) -> (Exit, usize) {
    let listeners = with_link(setup.listeners, setup.link_listener);
    let links = Links::new(setup.peers, setup.link_paths);
    let dials = Dials::new(setup.upstreams);
    let control = setup.control.clone();
    let mut core = match Sockets::new(ring, listeners, links, dials, control, setup.core) {
        Ok(sockets) => Core {
            sockets,
            machine: setup.machine,
            jobs: Jobs::new(setup.control.clone(), setup.core),
            control: setup.control,
            stop_told: false,
        },
        Err(error) => return (Exit::Failed(error.to_string()), 0),
    };
    started();
    let exit = loop {
        match core.tick() {
            Ok(None) => {}
            Ok(Some(exit)) => break exit,
            Err(error) => break Exit::Failed(error.to_string()),
        }
        if std::mem::take(&mut core.jobs.want_executor) {
            let_executor_run().await;
        }
    };
    if let Err(error) = core.sockets.finish() {
        log::error!("{error}");
        // The kernel may still read the machine's output.
        std::mem::forget(core.machine);
    }
    (exit, core.jobs.unfinished.get())
}

struct Core<M: Machine> {
    /// Before the machine, whose output the kernel may be reading.
    sockets: Sockets,
    machine: M,
    jobs: Jobs<M::Job>,
    control: Arc<Control>,
    stop_told: bool,
}

impl<M: Machine> Core<M> {
    /// One tick; then submits, and waits if there is nothing to go on with.
    fn tick(&mut self) -> Result<Option<Exit>, Error> {
        let now = clock::now();
        self.machine.tick_begin(now);
        self.sockets.feed(&mut self.machine, now.monotonic_ns)?;
        while let Some(done) = self.jobs.next_done() {
            self.machine.job_done(done);
        }
        if self.control.stopping() && !std::mem::replace(&mut self.stop_told, true) {
            self.machine.stop();
        }
        self.machine.tick_end();

        while let Some(effect) = self.machine.next_effect() {
            if let Some(exit) = self.carry_out(effect)? {
                return Ok(Some(exit));
            }
        }

        let deadline_ns = self.machine.deadline_ns();
        let busy = self.machine.ready()
            || self.jobs.want_executor
            || self.sockets.has_events()
            || deadline_ns.is_some_and(|at| at <= now.monotonic_ns);
        match busy {
            true => self.sockets.submit()?,
            false => self.sockets.wait(deadline_ns)?,
        }
        Ok(None)
    }

    fn carry_out(&mut self, effect: Effect<M::Job>) -> Result<Option<Exit>, Error> {
        match effect {
            // SAFETY: the machine keeps its output in place until it is told `sent` or `closed`
            // (`Effect::Send`); and it is dropped after `Sockets::finish`, or not at all.
            Effect::Send(id) => unsafe { self.sockets.send(id, self.machine.output(id))? },
            Effect::Pause(id) => self.sockets.pause(id)?,
            Effect::Resume(id) => self.sockets.resume(id)?,
            Effect::ShutdownWrite(id) => self.sockets.shutdown_write(id),
            Effect::Close(id) => self.sockets.close(id)?,
            Effect::Connect(Target::Member(member)) => self.sockets.connect(member),
            Effect::Connect(Target::Upstream(number)) => self.sockets.dial(number)?,
            Effect::Start(job) => self.jobs.start(job),
            Effect::TrimMemory => super::memory::trim(),
            Effect::StopAccepting => self.sockets.stop_accepting()?,
            Effect::Exit(exit) => return Ok(Some(exit)),
        }
        Ok(None)
    }
}

/// The jobs that a core has given to glommio's background thread.
struct Jobs<J: Job> {
    results: mpsc::Receiver<J::Done>,
    sender: mpsc::Sender<J::Done>,
    control: Arc<Control>,
    core: usize,
    /// Without a result yet.
    outstanding: usize,
    /// Of which glommio's own tasks have not heard yet: those, and some that have a result.
    unfinished: Rc<Cell<usize>>,
    /// glommio's own tasks have something to do: a job to hand over, or one to clear away.
    want_executor: bool,
}

impl<J: Job> Jobs<J> {
    fn new(control: Arc<Control>, core: usize) -> Jobs<J> {
        let (sender, results) = mpsc::channel();
        Jobs {
            results,
            sender,
            control,
            core,
            outstanding: 0,
            unfinished: Rc::default(),
            want_executor: false,
        }
    }

    fn start(&mut self, job: J) {
        let sender = self.sender.clone();
        let control = self.control.clone();
        let core = self.core;
        // The result comes back by the channel and a wake, so that the core waits in one place.
        let running = glommio::executor().spawn_blocking(move || {
            // Fails when the core has left; then nobody wants to know.
            let _ = sender.send(job.run());
            control.wake(core);
        });
        let unfinished = self.unfinished.clone();
        unfinished.set(unfinished.get() + 1);
        glommio::spawn_local(async move {
            running.await;
            unfinished.set(unfinished.get() - 1);
        })
        .detach();
        self.outstanding += 1;
        self.want_executor = true;
    }

    fn next_done(&mut self) -> Option<J::Done> {
        if self.outstanding == 0 {
            return None;
        }
        let done = self.results.try_recv().ok()?;
        self.outstanding -= 1;
        self.want_executor = true;
        Some(done)
    }
}

/// Lets the executor poll its other tasks, once.
async fn let_executor_run() {
    let mut passed = false;
    poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
