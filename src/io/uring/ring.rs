//! The socket ring: one io_uring with the flags, sizes and calls that the uring driver uses.

use super::super::error::Error;
use super::super::sockets::{Operation, Tag};
use super::buffers::ReceiveBuffers;
use crate::limits::{
    COMPLETIONS_MAX, RECEIVE_BUFFERS, RECEIVE_BUFFERS_LARGE, RECEIVE_BUFFER_BYTES,
    RECEIVE_BUFFER_LARGE_BYTES, RING_ENTRIES,
};
use io_uring::types::{CancelBuilder, Fd, TimeoutFlags, Timespec};
use io_uring::{cqueue, opcode, squeue, EnterFlags, IoUring};
use nix::errno::Errno;
use nix::sys::socket::{SockaddrLike, SockaddrStorage};
use std::os::fd::RawFd;

/// How many operations that wait for a socket one `io_uring_enter` takes up, unless more are waited for (Linux 6.13,
/// `IO_LOCAL_TW_DEFAULT_MAX`; before, it was all of them).
const COMPLETIONS_PER_ENTER: usize = 20;

/// Which provided buffers are received into: a buffer ring each, by its group's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// [`RECEIVE_BUFFERS`] buffers of the small size.
    Small = 0,
    /// [`RECEIVE_BUFFERS_LARGE`] buffers of the large size.
    Large = 1,
}

/// Sizes of a ring's queues.
pub(in crate::io) struct Size {
    /// Entries of the submission queue.
    pub submissions: u32,
    /// Entries of the completion queue.
    pub completions: u32,
    /// Receive buffers; a power of two.
    pub buffers: u16,
    /// Large receive buffers; a power of two.
    pub buffers_large: u16,
}

impl Size {
    /// The ring that serves a core's sockets.
    pub const SOCKETS: Size = Size {
        submissions: RING_ENTRIES,
        completions: COMPLETIONS_MAX,
        buffers: RECEIVE_BUFFERS,
        buffers_large: RECEIVE_BUFFERS_LARGE,
    };
    /// To try what is allowed: the kernel takes a ring down late, and what this one locked is hardly missed.
    pub const PROBE: Size = Size {
        submissions: 1,
        completions: 2,
        buffers: 1,
        buffers_large: 1,
    };
}

/// One io_uring for sockets, with its receive buffers. Belongs to one thread.
pub(in crate::io) struct Ring {
    /// First, so that it is gone before the memory that it writes to.
    uring: IoUring,
    /// Receive buffers by [`Group`].
    buffers: [ReceiveBuffers; 2],
    /// Read by the kernel when a timeout is submitted, which is before the next is armed.
    timespec: Box<Timespec>,
    enter_flags: EnterFlags,
}

impl Ring {
    /// Makes a ring. Needs Linux 6.1.
    pub(in crate::io) fn new(size: &Size) -> Result<Ring, Error> {
        let uring = IoUring::builder()
            // Completions are worked off in our calls only, never by interrupting us.
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            // One bad entry does not hold up the others.
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(size.completions)
            .build(size.submissions)
            .map_err(Error::of("io_uring_setup"))?;
        let map = |count, bytes| ReceiveBuffers::new(count, bytes).map_err(Error::of("mmap"));
        let buffers = [
            map(size.buffers, RECEIVE_BUFFER_BYTES)?,
            map(size.buffers_large, RECEIVE_BUFFER_LARGE_BYTES)?,
        ];
        for (group, buffers) in [Group::Small, Group::Large].into_iter().zip(&buffers) {
            // SAFETY: the buffer ring is mapped for as long as `buffers` lives, which is longer than
            // `uring` (fields are dropped in order).
            unsafe {
                uring.submitter().register_buf_ring_with_flags(
                    buffers.ring_address(),
                    buffers.count(),
                    group as u16,
                    0,
                )
            }
            .map_err(Error::of("io_uring_register"))?;
        }
        let mut enter_flags = EnterFlags::GETEVENTS;
        // Or an idle core, whose receives are all in flight, would look like one that waits for a
        // disk (Linux 6.15).
        enter_flags.set(EnterFlags::NO_IOWAIT, uring.params().is_feature_no_iowait());
        Ok(Ring {
            uring,
            enter_flags,
            buffers,
            timespec: Box::new(Timespec::new()),
        })
    }

    pub(in crate::io) fn register_probe(&self, probe: &mut io_uring::Probe) -> Result<(), Error> {
        self.uring
            .submitter()
            .register_probe(probe)
            .map_err(Error::of("io_uring_register"))
    }

    /// Whether `io_uring_enter` is allowed.
    pub(in crate::io) fn try_enter(&self) -> Result<(), Error> {
        self.enter_raw(0, 0)
    }

    fn enter_raw(&self, submit: u32, wait: u32) -> Result<(), Error> {
        // SAFETY: no argument is passed; the flags are ones that take none.
        let result = unsafe {
            self.uring.submitter().enter::<libc::sigset_t>(
                submit,
                wait,
                self.enter_flags.bits(),
                None,
            )
        };
        match result.map_err(Error::of("io_uring_enter")) {
            Ok(_) => Ok(()),
            // A signal came while waiting; or completions are to be drained before more is
            // submitted: both are what happens next anyway.
            Err(error) if matches!(error.errno, Errno::EINTR | Errno::EBUSY | Errno::EAGAIN) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Submits what is queued, and waits for this many completions (0: works off what is there).
    pub(super) fn enter(&mut self, wait: u32) -> Result<(), Error> {
        let submit = self.uring.submission().len() as u32;
        self.enter_raw(submit, wait)
    }

    /// [`enter`](Self::enter), and again as long as more may have completed: what has waited for a socket the kernel takes
    /// up few at a time, and of thousands the last would wait for hundreds of ticks.
    pub(super) fn enter_for_many(&mut self, wait: u32) -> Result<(), Error> {
        let mut before = self.uring.completion().len();
        self.enter(wait)?;
        loop {
            let now = self.uring.completion().len();
            if now < before + COMPLETIONS_PER_ENTER || now >= COMPLETIONS_MAX as usize / 2 {
                return Ok(());
            }
            before = now;
            self.enter(0)?;
        }
    }

    /// Whether anything waits to be submitted.
    pub(super) fn has_submissions(&mut self) -> bool {
        !self.uring.submission().is_empty()
    }

    /// Whether there is anything to drain.
    pub(super) fn has_completions(&mut self) -> bool {
        !self.uring.completion().is_empty()
    }

    /// Moves completions into `into`, at most so many. Whether there were any.
    pub(super) fn drain(&mut self, into: &mut Vec<cqueue::Entry>, most: usize) -> bool {
        into.extend(self.uring.completion().take(most));
        !into.is_empty()
    }

    /// The bytes of a receive completion, and the buffer to [`give_back`](Self::give_back).
    pub(super) fn received(
        &self,
        completion: &cqueue::Entry,
        group: Group,
    ) -> Option<(u16, &[u8])> {
        let buffer = cqueue::buffer_select(completion.flags())?;
        let length = completion.result().max(0) as usize;
        Some((buffer, self.buffers[group as usize].get(buffer, length)))
    }

    /// Lends a buffer to the kernel again, once [`publish`](Self::publish) is called.
    pub(super) fn give_back(&mut self, buffer: u16, group: Group) {
        self.buffers[group as usize].give_back(buffer);
    }

    /// Makes the buffers that were given back visible to the kernel.
    pub(super) fn publish(&mut self) {
        self.buffers.iter_mut().for_each(ReceiveBuffers::publish);
    }

    /// # Safety
    /// What the entry points to must stay as it is until its completion was drained.
    unsafe fn push(&mut self, entry: squeue::Entry, tag: Tag) -> Result<(), Error> {
        let entry = entry.user_data(tag.pack());
        loop {
            // SAFETY: the caller's promise.
            if unsafe { self.uring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.enter(0)?;
        }
    }

    /// What nobody waits for.
    ///
    /// # Safety
    /// As [`push`](Self::push).
    unsafe fn push_forgotten(&mut self, entry: squeue::Entry) -> Result<(), Error> {
        let entry = entry.flags(squeue::Flags::SKIP_SUCCESS);
        // SAFETY: the caller's promise.
        unsafe { self.push(entry, Tag::new(Operation::Forgotten, 0, 0)) }
    }

    /// Accepts until it is cancelled or fails.
    pub(super) fn accept(&mut self, listener: RawFd, tag: Tag) -> Result<(), Error> {
        let entry = opcode::AcceptMulti::new(Fd(listener))
            .flags(libc::SOCK_CLOEXEC)
            .build();
        // SAFETY: points to nothing.
        unsafe { self.push(entry, tag) }
    }

    /// Connects.
    ///
    /// # Safety
    /// `address` must stay where and as it is until this tag's completion was drained.
    pub(super) unsafe fn connect(
        &mut self,
        socket: RawFd,
        address: &SockaddrStorage,
        tag: Tag,
    ) -> Result<(), Error> {
        let entry = opcode::Connect::new(Fd(socket), address.as_ptr(), address.len()).build();
        // SAFETY: the caller's promise.
        unsafe { self.push(entry, tag) }
    }

    /// Receives into small buffers until the end, a failure, or a cancellation.
    pub(super) fn receive(&mut self, socket: RawFd, tag: Tag) -> Result<(), Error> {
        let entry = opcode::RecvMulti::new(Fd(socket), Group::Small as u16).build();
        // SAFETY: the buffers of the group live as long as the ring.
        unsafe { self.push(entry, tag) }
    }

    /// Receives once, up to this many bytes (or what the buffer holds, if that is less).
    pub(super) fn receive_once(
        &mut self,
        socket: RawFd,
        group: Group,
        bytes_max: usize,
        tag: Tag,
    ) -> Result<(), Error> {
        let bytes_max = bytes_max.min(RECEIVE_BUFFER_LARGE_BYTES) as u32;
        let entry = opcode::Recv::new(Fd(socket), std::ptr::null_mut(), bytes_max)
            .buf_group(group as u16)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        // SAFETY: the buffers of the group live as long as the ring.
        unsafe { self.push(entry, tag) }
    }

    /// Sends.
    ///
    /// # Safety
    /// `bytes` must stay where and as they are until this tag's completion was drained.
    pub(super) unsafe fn send(
        &mut self,
        socket: RawFd,
        bytes: &[u8],
        tag: Tag,
    ) -> Result<(), Error> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(socket), bytes.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL)
            .build();
        // SAFETY: the caller's promise.
        unsafe { self.push(entry, tag) }
    }

    /// Polls a descriptor once for input.
    pub(super) fn poll(&mut self, fd: RawFd, tag: Tag) -> Result<(), Error> {
        let entry = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).build();
        // SAFETY: points to nothing.
        unsafe { self.push(entry, tag) }
    }

    /// Polls a descriptor for input: once for whatever is there, and for each that is written from then on.
    pub(super) fn poll_edges(&mut self, fd: RawFd, tag: Tag) -> Result<(), Error> {
        let entry = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32)
            .multi(true)
            .build();
        // SAFETY: points to nothing.
        unsafe { self.push(entry, tag) }
    }

    /// Adds one to an eventfd, together with what is submitted next. Its failure is nobody's concern.
    pub(super) fn ring(&mut self, eventfd: RawFd) -> Result<(), Error> {
        static ONE: u64 = 1;
        let entry = opcode::Write::new(Fd(eventfd), (&raw const ONE).cast(), 8).build();
        // SAFETY: a static stays.
        unsafe { self.push_forgotten(entry) }
    }

    /// Cancels the operation with this tag.
    pub(super) fn cancel(&mut self, tag: Tag) -> Result<(), Error> {
        self.cancel_with(CancelBuilder::user_data(tag.pack()))
    }

    /// Cancels every operation of the ring.
    pub(super) fn cancel_all(&mut self) -> Result<(), Error> {
        self.cancel_with(CancelBuilder::any())
    }

    fn cancel_with(&mut self, target: CancelBuilder) -> Result<(), Error> {
        let entry = opcode::AsyncCancel2::new(target).build();
        // SAFETY: points to nothing.
        unsafe { self.push_forgotten(entry) }
    }

    /// Submits the close of a descriptor.
    pub(super) fn close(&mut self, fd: RawFd) -> Result<(), Error> {
        let entry = opcode::Close::new(Fd(fd)).build();
        // SAFETY: points to nothing.
        unsafe { self.push_forgotten(entry) }
    }

    /// Completes at this time. No more than one per submission.
    pub(super) fn timeout(&mut self, monotonic_ns: u64, tag: Tag) -> Result<(), Error> {
        *self.timespec = Timespec::new()
            .sec(monotonic_ns / 1_000_000_000)
            .nsec((monotonic_ns % 1_000_000_000) as u32);
        let timespec: *const Timespec = &*self.timespec;
        let entry = opcode::Timeout::new(timespec)
            .flags(TimeoutFlags::ABS)
            .build();
        // SAFETY: the kernel copies the time when the entry is submitted; until then it is not
        // written again (one timeout per submission), and it lives on the heap as long as the ring.
        unsafe { self.push(entry, tag) }
    }

    /// Takes a timeout back; it completes at once.
    pub(super) fn timeout_remove(&mut self, tag: Tag) -> Result<(), Error> {
        let entry = opcode::TimeoutRemove::new(tag.pack()).build();
        // SAFETY: points to nothing.
        unsafe { self.push_forgotten(entry) }
    }
}
