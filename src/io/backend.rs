//! The interface of a back end, which is what the drivers differ in: gathering events, and starting operations.

use super::dials::Dial;
use super::error::Error;
use super::sockets::{SocketConnection, SocketEvent, Sockets};
use super::threads::Task;
use crate::machine::{ConnectionId, Job};
use std::os::fd::{AsFd, OwnedFd};

/// The operations of a driver that differ between io_uring and epoll. The loop around them is `event_loop.rs`.
pub(super) trait Backend<J: Job> {
    /// The state that the back end keeps of each connection.
    type State;

    /// Whether its sockets answer `EAGAIN` instead of waiting. epoll wants that; io_uring wants sockets that wait, or
    /// it would not.
    const NONBLOCKING: bool;

    /// Whether something else runs on this thread, too.
    const HAS_OTHERS: bool = false;

    /// Accepts from a listener, until it says that it does not ([`SocketEvent::Accepted`]).
    fn listen(&mut self, index: u32, socket: &OwnedFd) -> Result<(), Error>;

    /// Ceases to accept. Whether there will be an [`SocketEvent::Accepted`] yet that says so.
    fn stop_listening(&mut self, index: u32, socket: &OwnedFd) -> Result<bool, Error>;

    /// Begins to read a socket that is to become a connection. `greeting`: not yet; its first bytes are told by
    /// [`SocketEvent::Greeting`].
    fn open(
        &mut self,
        id: ConnectionId,
        socket: &OwnedFd,
        greeting: bool,
    ) -> Result<Self::State, Error>;

    /// Wakes the core whenever the doorbell of a connection's channel is rung.
    fn watch_doorbell(&mut self, id: ConnectionId, doorbell: impl AsFd) -> Result<(), Error>;

    /// Rings another core's doorbell, which stays open until [`gather`](Self::gather) has been called.
    fn ring(&mut self, doorbell: impl AsFd) -> Result<(), Error>;

    /// Is no longer woken by it.
    fn unwatch_doorbell(&mut self, id: ConnectionId, doorbell: impl AsFd) -> Result<(), Error>;

    /// Reads, or stops reading: what [`SocketConnection::reading`] says has changed.
    fn update_reading(
        &mut self,
        connection: &mut SocketConnection<Self::State>,
    ) -> Result<(), Error>;

    /// Sends, as far as there is room; see [`SocketConnection::sent`].
    ///
    /// # Safety
    /// `bytes` must stay where and as they are until [`SocketEvent::Sent`], until the connection is among [`Sockets::closed`],
    /// or until [`finish`](Self::finish).
    unsafe fn send(
        &mut self,
        connection: &mut SocketConnection<Self::State>,
        bytes: &[u8],
    ) -> Result<(), Error>;

    /// Gives up what is in flight of a connection that is closing, and removes it when nothing is.
    fn close(&mut self, sockets: &mut Sockets<Self::State>, id: ConnectionId) -> Result<(), Error>;

    /// Begins to connect; in the end there is an [`SocketEvent::Connected`].
    ///
    /// # Safety
    /// The dial must stay in its slot until then, or until [`finish`](Self::finish).
    unsafe fn connect(&mut self, slot: u32, dial: &Dial) -> Result<(), Error>;

    /// Runs a job on another thread.
    fn start(&mut self, task: Task<J>);

    /// Submits what was begun and looks for events; waits for some if there is nothing to go on with.
    fn gather(
        &mut self,
        sockets: &mut Sockets<Self::State>,
        next: Next,
        now_ns: u64,
    ) -> Result<(), Error>;

    /// What has been gathered, one by one, a tick's worth. `receive_bytes_max`: what the machine wants of one connection
    /// at a time.
    fn next_event(
        &mut self,
        sockets: &mut Sockets<Self::State>,
        receive_bytes_max: usize,
    ) -> Result<Option<SocketEvent<'_>>, Error>;

    /// Between two ticks: lets go on what else runs on this thread.
    async fn run_others(&mut self) {}

    /// Cancels everything and waits until the kernel has let go of all memory.
    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// What a core goes on with after a tick.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Events that are there without asking the kernel.
    Events,
    /// Work of the machine that needs no event.
    Work,
    /// Nothing, until something happens or it is so late (monotonic nanoseconds).
    Wait(Option<u64>),
}
