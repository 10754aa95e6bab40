//! How other threads reach a core: a flag to stop, and one eventfd per core that wakes it.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Shared by all cores of a process and by whoever stops them.
#[derive(Debug)]
pub struct Control {
    pub(super) stopping: AtomicBool,
    wakes: Vec<EventFd>,
}

impl Control {
    /// For this many cores. Fails when descriptors have run out.
    pub fn new(cores: usize) -> std::io::Result<Arc<Control>> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wakes = (0..cores)
            .map(|_| EventFd::from_value_and_flags(0, flags))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Control {
            stopping: AtomicBool::new(false),
            wakes,
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

    /// Writes to the core's eventfd, so that it runs a tick.
    pub(super) fn wake(&self, core: usize) {
        // Fails only when the counter is full, and then the core is about to wake anyway.
        let _ = self.wakes[core].write(1);
    }

    /// The core's eventfd, which its driver polls.
    pub(super) fn wake_fd(&self, core: usize) -> BorrowedFd<'_> {
        self.wakes[core].as_fd()
    }

    /// Takes the wakes that have come in, so that the descriptor is no longer readable.
    pub(super) fn clear(&self, core: usize) {
        // Fails only when there were none.
        let _ = self.wakes[core].read();
    }
}
