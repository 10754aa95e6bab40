//! glommio's executor, under which a core on io_uring runs, and which has the threads for its jobs.

use super::super::error::{Error, Lack};
use super::super::threads::thread_name;
use crate::limits::{GLOMMIO_IO_MEMORY_BYTES, GLOMMIO_RING_ENTRIES, JOB_THREADS};
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};
use nix::errno::Errno;
use nix::sys::prctl;
use std::cell::Cell;
use std::ffi::CString;
use std::future::{poll_fn, Future};
use std::rc::Rc;
use std::task::Poll;

pub(super) struct Executor {
    executor: LocalExecutor,
    unfinished: Rc<Cell<usize>>,
}

/// What a core has its executor do beside itself.
pub(super) struct Tasks {
    /// Jobs that glommio's own tasks have not done with: some of them have a result.
    unfinished: Rc<Cell<usize>>,
    /// Those tasks have something to do: a job to hand over, or one to clear away.
    waiting: bool,
}

impl Executor {
    pub(super) fn make(core: usize) -> Result<Executor, Lack> {
        // glommio's threads get the name that the thread has which starts them. Where prctl(2) is refused, so be it.
        let own = prctl::get_name();
        let jobs = CString::new(thread_name(core)).expect("there is no NUL in it");
        let _ = prctl::set_name(&jobs);
        let executor = Executor::start();
        if let Ok(own) = own {
            let _ = prctl::set_name(&own);
        }
        executor
    }

    fn start() -> Result<Executor, Lack> {
        // Unbound: glommio would put the cores of two containers on the same CPU.
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(GLOMMIO_IO_MEMORY_BYTES)
            .ring_depth(GLOMMIO_RING_ENTRIES)
            .blocking_thread_pool_placement(PoolPlacement::Unbound(JOB_THREADS))
            .make()
            .map_err(refused)?;
        Ok(Executor {
            executor,
            unfinished: Rc::default(),
        })
    }

    pub(super) fn tasks(&self) -> Tasks {
        Tasks {
            unfinished: self.unfinished.clone(),
            waiting: false,
        }
    }

    pub(super) fn run<T>(self, core: impl Future<Output = T>) -> T {
        let result = self.executor.run(core);
        if self.unfinished.get() > 0 {
            // A background thread whose executor is gone panics when its job is done, even one whose
            // result has come back already: it has yet to tell the executor.
            std::mem::forget(self.executor);
        }
        result
    }
}

fn refused(error: GlommioError<()>) -> Lack {
    match error.raw_os_error() {
        Some(errno) => Lack::from(Error {
            call: "io_uring_setup for glommio",
            errno: Errno::from_raw(errno),
        }),
        None => Lack::Other(format!("glommio does not start: {error}")),
    }
}

impl Tasks {
    /// Runs a job on one of the executor's threads.
    pub(super) fn start(&mut self, job: impl FnOnce() + Send + 'static) {
        let running = glommio::executor().spawn_blocking(job);
        let unfinished = self.unfinished.clone();
        unfinished.set(unfinished.get() + 1);
        glommio::spawn_local(async move {
            running.await;
            unfinished.set(unfinished.get() - 1);
        })
        .detach();
        self.waiting = true;
    }

    /// A job may have come back.
    pub(super) fn woken(&mut self) {
        self.waiting |= self.unfinished.get() > 0;
    }

    /// Whether [`run`](Self::run) has anything to do.
    pub(super) fn are_waiting(&self) -> bool {
        self.waiting
    }

    /// Lets the executor poll its other tasks once, if they have anything to do.
    pub(super) async fn run(&mut self) {
        let mut passed = !std::mem::take(&mut self.waiting);
        poll_fn(|context| {
            if std::mem::replace(&mut passed, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}
