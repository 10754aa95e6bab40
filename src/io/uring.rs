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

mod buffers;
mod executor;
pub(super) mod ring;

use super::backend::{Backend, Next};
use super::dials::Dial;
use super::error::{Error, Lack};
use super::sockets::{self, Operation, SocketEvent, Tag};
use super::threads::Task;
use super::Control;
use crate::limits::{
    HEAVY_RECEIVES, RECEIVE_BUFFERS, RECEIVE_BUFFERS_LARGE, RECEIVE_BUFFER_BYTES, RING_RETRY_NS,
    RING_WAIT_NS_MAX, TICK_EVENTS_MAX,
};
use crate::machine::{ConnectionId, Job};
use executor::{Executor, Tasks};
use io_uring::cqueue;
use nix::errno::Errno;
use ring::{Group, Ring, Size};
use std::collections::VecDeque;
use std::future::Future;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a core has of the system before it has anything to serve.
pub(super) struct Engine {
    executor: Executor,
    uring: Uring,
}

impl Engine {
    /// Takes it, for a core on this thread.
    pub fn take(control: Arc<Control>, core: usize) -> Result<Engine, Lack> {
        // What a process that was killed just now had locked may still count: the kernel takes its rings down after
        // it is gone.
        let executor = patiently(|| Executor::make(core))?;
        let ring = patiently(|| Ring::new(&Size::SOCKETS).map_err(Lack::from))?;
        let uring = Uring::new(ring, executor.tasks(), control, core)?;
        Ok(Engine { executor, uring })
    }

    /// Runs a core to its end, on this thread.
    pub fn run<F: Future>(self, core: impl FnOnce(Uring) -> F) -> F::Output {
        self.executor.run(core(self.uring))
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

/// The ring that carries a core's sockets, and what is in flight there.
pub(super) struct Uring {
    ring: Ring,
    tasks: Tasks,
    control: Arc<Control>,
    core: usize,
    /// The timeout that is armed, if any: when, and its generation.
    timeout: Option<(u64, u32)>,
    timeout_generation: u32,
    /// Operations that will yet complete (the forgotten ones aside).
    in_flight: usize,
    /// Taken from the ring, and which of them is next.
    completions: Vec<cqueue::Entry>,
    next: usize,
    /// Completions that the tick may yet take up.
    room: usize,
    /// The machine reads it; then it is given back.
    buffer: Option<(u16, Group)>,
    /// To be read again once the tick is over, unless it pauses them: as many at a time as there are buffers, or what
    /// thousands send at once would be as many receives that fail, again and again. First those that are not heavy, or
    /// have not been read at all.
    to_read: VecDeque<ConnectionId>,
    to_read_heavy: VecDeque<ConnectionId>,
    /// What the machine wants of one connection at a time.
    receive_bytes_max: usize,
}

/// What this back end keeps of a connection.
pub(super) struct UringState {
    receive: Receive,
    /// Where to, while it is armed.
    group: Group,
    /// For so many receives it is read one buffer in each tick, so that it does not use up the buffers of all:
    /// it is new, or has filled one; see [`HEAVY_RECEIVES`].
    heavy: u8,
    /// It is among those that are to be read again.
    queued: bool,
}

type SocketConnection = sockets::SocketConnection<UringState>;
type Sockets = sockets::Sockets<UringState>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Receive {
    /// Its first bytes are waited for, and not read here.
    Greeting,
    Idle,
    Armed,
    Cancelling,
}

impl Uring {
    /// Arms the wake of this core.
    fn new(ring: Ring, tasks: Tasks, control: Arc<Control>, core: usize) -> Result<Uring, Error> {
        let mut uring = Uring {
            ring,
            tasks,
            control,
            core,
            timeout: None,
            timeout_generation: 0,
            in_flight: 0,
            completions: Vec::with_capacity(TICK_EVENTS_MAX),
            next: 0,
            room: TICK_EVENTS_MAX,
            buffer: None,
            to_read: VecDeque::new(),
            to_read_heavy: VecDeque::new(),
            receive_bytes_max: usize::MAX,
        };
        uring.arm_wake()?;
        Ok(uring)
    }

    // ---- Completions -------------------------------------------------------

    fn next_completion(&mut self) -> Option<cqueue::Entry> {
        if self.next == self.completions.len() {
            self.completions.clear();
            self.next = 0;
            if self.room == 0 || !self.ring.drain(&mut self.completions, self.room) {
                return None;
            }
        }
        let completion = self.completions[self.next].clone();
        self.next += 1;
        // A receive that found no buffer is nothing to the machine.
        self.room -= usize::from(completion.result() != -libc::ENOBUFS);
        Some(completion)
    }

    fn on_receive(
        &mut self,
        sockets: &mut Sockets,
        tag: Tag,
        completion: &cqueue::Entry,
        more: bool,
    ) -> Result<SocketEvent<'_>, Error> {
        let id = tag.id();
        let result = completion.result();
        let connection = in_flight(sockets, id);
        let state = &mut connection.state;
        if !more {
            state.receive = Receive::Idle;
        }
        if result > 0 {
            state.heavy = match result as usize >= RECEIVE_BUFFER_BYTES {
                true => HEAVY_RECEIVES,
                false => state.heavy.saturating_sub(1),
            };
        }
        if more && state.heavy > 0 && state.receive == Receive::Armed {
            state.receive = Receive::Cancelling;
            self.ring.cancel(tag)?;
        }
        let group = state.group;
        let is_wanted = !connection.closing && !connection.ended;
        let reset = match result {
            0 => Some(false),
            1.. => None,
            _ => match Errno::from_raw(-result) {
                // No buffer was left, or it was cancelled: armed again below, if wanted.
                Errno::ENOBUFS | Errno::ECANCELED | Errno::EAGAIN | Errno::EINTR => None,
                _ => Some(true),
            },
        };
        connection.ended |= reset.is_some();
        if !more && connection.closing {
            self.close_if_idle(sockets, id)?;
        } else if !more {
            self.read_again(connection);
        }
        let received = self.ring.received(completion, group);
        self.buffer = received.map(|(buffer, _)| (buffer, group));
        Ok(match (reset, received) {
            (Some(reset), _) if is_wanted => SocketEvent::InputEnded(id, reset),
            (None, Some((_, bytes))) if is_wanted && !bytes.is_empty() => {
                SocketEvent::received(in_flight(sockets, id), bytes)
            }
            _ => SocketEvent::Nothing,
        })
    }

    fn on_greeting(
        &mut self,
        sockets: &mut Sockets,
        id: ConnectionId,
    ) -> Result<SocketEvent<'static>, Error> {
        let connection = in_flight(sockets, id);
        connection.state.receive = Receive::Idle;
        if !connection.closing {
            return Ok(SocketEvent::Greeting(id));
        }
        self.close_if_idle(sockets, id)?;
        Ok(SocketEvent::Nothing)
    }

    fn on_doorbell(
        &mut self,
        sockets: &mut Sockets,
        id: ConnectionId,
        more: bool,
    ) -> Result<SocketEvent<'static>, Error> {
        // The kernel ends it when there was no room for a completion.
        if let Some(channel) = sockets
            .get(id)
            .filter(|_| !more)
            .and_then(|it| it.channel())
        {
            self.arm_doorbell(id, channel.doorbell())?;
        }
        Ok(SocketEvent::Nothing)
    }

    fn on_send(
        &mut self,
        sockets: &mut Sockets,
        id: ConnectionId,
        result: i32,
    ) -> Result<SocketEvent<'static>, Error> {
        let connection = in_flight(sockets, id);
        if connection.closing {
            connection.sending = false;
            self.close_if_idle(sockets, id)?;
            return Ok(SocketEvent::Nothing);
        }
        let sent = match result_of(result) {
            Ok(count) => Ok(count as usize),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(_) => Err(()),
        };
        connection.sent(sent);
        Ok(SocketEvent::Sent(id, sent))
    }

    // ---- Arming ------------------------------------------------------------

    /// A connection is to be read again.
    fn read_again(&mut self, connection: &mut SocketConnection) {
        if !std::mem::replace(&mut connection.state.queued, true) {
            let queue = match connection.state.heavy {
                0 => &mut self.to_read,
                _ => &mut self.to_read_heavy,
            };
            queue.push_back(connection.id);
        }
    }

    fn has_to_read(&self) -> bool {
        !self.to_read.is_empty() || !self.to_read_heavy.is_empty()
    }

    /// Reads connections again that are to be read and are not.
    fn arm_receives(&mut self, sockets: &mut Sockets) -> Result<(), Error> {
        let mut room = usize::from(RECEIVE_BUFFERS);
        while room > RECEIVE_BUFFERS_LARGE.into() {
            let Some(id) = self.to_read.pop_front() else {
                break;
            };
            self.arm_receive(sockets, id)?;
            room -= 1;
        }
        for _ in 0..room.min(self.to_read_heavy.len()) {
            let id = self.to_read_heavy.pop_front().expect("there are so many");
            self.arm_receive(sockets, id)?;
        }
        Ok(())
    }

    fn arm_receive(&mut self, sockets: &mut Sockets, id: ConnectionId) -> Result<(), Error> {
        let bytes_max = self.receive_bytes_max;
        let Some(connection) = sockets.get(id) else {
            return Ok(());
        };
        let state = &mut connection.state;
        state.queued = false;
        if !connection.reading || connection.ended || state.receive != Receive::Idle {
            return Ok(());
        }
        state.receive = Receive::Armed;
        state.group = match state.heavy > 1 && bytes_max > RECEIVE_BUFFER_BYTES {
            true => Group::Large,
            false => Group::Small,
        };
        self.in_flight += 1;
        let (socket, tag) = (
            connection.socket.as_raw_fd(),
            Tag::of(Operation::Receive, id),
        );
        if state.heavy > 0 || bytes_max < RECEIVE_BUFFER_BYTES {
            self.ring.receive_once(socket, state.group, bytes_max, tag)
        } else {
            self.ring.receive(socket, tag)
        }
    }

    fn arm_wake(&mut self) -> Result<(), Error> {
        let fd = self.control.wake_fd(self.core).as_raw_fd();
        self.in_flight += 1;
        self.ring.poll(fd, Tag::new(Operation::Wake, 0, 0))
    }

    fn arm_doorbell(&mut self, id: ConnectionId, doorbell: impl AsFd) -> Result<(), Error> {
        self.in_flight += 1;
        let tag = Tag::of(Operation::Doorbell, id);
        self.ring.poll_edges(doorbell.as_fd().as_raw_fd(), tag)
    }

    /// One that is armed for earlier stays: it costs one tick more than was asked for.
    fn arm_timeout(&mut self, deadline_ns: u64) -> Result<(), Error> {
        if let Some((armed_ns, generation)) = self.timeout {
            if armed_ns <= deadline_ns {
                return Ok(());
            }
            self.ring
                .timeout_remove(Tag::new(Operation::Timeout, generation, 0))?;
        }
        self.timeout_generation = (self.timeout_generation + 1) & 0xff_ffff;
        let tag = Tag::new(Operation::Timeout, self.timeout_generation, 0);
        self.ring.timeout(deadline_ns, tag)?;
        self.in_flight += 1;
        self.timeout = Some((deadline_ns, self.timeout_generation));
        Ok(())
    }

    fn close_if_idle(&mut self, sockets: &mut Sockets, id: ConnectionId) -> Result<(), Error> {
        let connection = in_flight(sockets, id);
        if connection.sending || connection.state.receive != Receive::Idle {
            return Ok(());
        }
        let socket = sockets.remove(id);
        self.ring.close(socket.into_raw_fd())
    }
}

impl<J: Job> Backend<J> for Uring {
    type State = UringState;

    const NONBLOCKING: bool = false;
    const HAS_OTHERS: bool = true;

    fn listen(&mut self, index: u32, socket: &OwnedFd) -> Result<(), Error> {
        self.in_flight += 1;
        let tag = Tag::new(Operation::Accept, 0, index);
        self.ring.accept(socket.as_raw_fd(), tag)
    }

    fn stop_listening(&mut self, index: u32, _socket: &OwnedFd) -> Result<bool, Error> {
        self.ring.cancel(Tag::new(Operation::Accept, 0, index))?;
        Ok(true)
    }

    fn open(
        &mut self,
        id: ConnectionId,
        socket: &OwnedFd,
        greeting: bool,
    ) -> Result<UringState, Error> {
        if greeting {
            self.in_flight += 1;
            let tag = Tag::of(Operation::Greeting, id);
            self.ring.poll(socket.as_raw_fd(), tag)?;
        } else {
            // Before those that are heavy: it has not been read at all.
            self.to_read.push_back(id);
        }
        Ok(UringState {
            receive: match greeting {
                true => Receive::Greeting,
                false => Receive::Idle,
            },
            group: Group::Small,
            heavy: 1,
            queued: !greeting,
        })
    }

    fn watch_doorbell(&mut self, id: ConnectionId, doorbell: impl AsFd) -> Result<(), Error> {
        self.arm_doorbell(id, doorbell)
    }

    fn ring(&mut self, doorbell: impl AsFd) -> Result<(), Error> {
        self.ring.ring(doorbell.as_fd().as_raw_fd())
    }

    fn unwatch_doorbell(&mut self, id: ConnectionId, _doorbell: impl AsFd) -> Result<(), Error> {
        self.ring.cancel(Tag::of(Operation::Doorbell, id))
    }

    fn update_reading(&mut self, connection: &mut SocketConnection) -> Result<(), Error> {
        if connection.reading {
            // Where a cancellation is on its way, after that.
            self.read_again(connection);
        } else if connection.state.receive == Receive::Armed {
            connection.state.receive = Receive::Cancelling;
            self.ring
                .cancel(Tag::of(Operation::Receive, connection.id))?;
        }
        Ok(())
    }

    unsafe fn send(
        &mut self,
        connection: &mut SocketConnection,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.in_flight += 1;
        let tag = Tag::of(Operation::Send, connection.id);
        // SAFETY: the caller's promise. `Event::Sent` follows the completion, and so does removal (`close_if_idle`).
        unsafe { self.ring.send(connection.socket.as_raw_fd(), bytes, tag) }
    }

    fn close(&mut self, sockets: &mut Sockets, id: ConnectionId) -> Result<(), Error> {
        let connection = in_flight(sockets, id);
        // Each by its name: to find all that is in flight for a descriptor, the kernel would go through what is
        // in flight for all of them (with 10,000, that is a second for every 3,000 that are closed).
        if connection.sending {
            self.ring.cancel(Tag::of(Operation::Send, id))?;
        }
        match connection.state.receive {
            Receive::Greeting => self.ring.cancel(Tag::of(Operation::Greeting, id))?,
            Receive::Armed => self.ring.cancel(Tag::of(Operation::Receive, id))?,
            Receive::Idle | Receive::Cancelling => {}
        }
        self.close_if_idle(sockets, id)
    }

    unsafe fn connect(&mut self, slot: u32, dial: &Dial) -> Result<(), Error> {
        self.in_flight += 1;
        let tag = Tag::new(Operation::Connect, 0, slot);
        // SAFETY: the address is on the heap, and stays there by the caller's promise. The kernel has copied it by the
        // time an entry is submitted, so nothing of one that `finish` gives up is read either.
        unsafe {
            self.ring
                .connect(dial.socket.as_raw_fd(), &dial.sockaddr, tag)
        }
    }

    fn start(&mut self, task: Task<J>) {
        self.tasks.start(move || task.run());
    }

    fn gather(&mut self, sockets: &mut Sockets, next: Next, _now_ns: u64) -> Result<(), Error> {
        let is_busy = self.tasks.are_waiting() || self.has_to_read() || self.ring.has_completions();
        self.arm_receives(sockets)?;
        match next {
            Next::Wait(deadline_ns) if !is_busy => {
                if let Some(deadline_ns) = deadline_ns {
                    self.arm_timeout(deadline_ns)?;
                }
                self.ring.enter_for_many(1)
            }
            // With nothing to submit, completions that are there already need no call.
            _ if !self.ring.has_submissions() && self.ring.has_completions() => Ok(()),
            _ => self.ring.enter_for_many(0),
        }
    }

    fn next_event(
        &mut self,
        sockets: &mut Sockets,
        receive_bytes_max: usize,
    ) -> Result<Option<SocketEvent<'_>>, Error> {
        if let Some((buffer, group)) = self.buffer.take() {
            self.ring.give_back(buffer, group);
        }
        let Some(completion) = self.next_completion() else {
            self.room = TICK_EVENTS_MAX;
            self.receive_bytes_max = receive_bytes_max;
            self.ring.publish();
            return Ok(None);
        };
        let tag = Tag::unpack(completion.user_data());
        let (result, more) = (completion.result(), cqueue::more(completion.flags()));
        if tag.operation != Operation::Forgotten && !more {
            self.in_flight -= 1;
        }
        Ok(Some(match tag.operation {
            Operation::Receive => self.on_receive(sockets, tag, &completion, more)?,
            Operation::Send => self.on_send(sockets, tag.id(), result)?,
            Operation::Accept => {
                // SAFETY: the kernel has just made this descriptor for us.
                let socket = result_of(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
                SocketEvent::Accepted(tag.index, socket, more)
            }
            Operation::Connect => SocketEvent::Connected(tag.index, result_of(result).map(drop)),
            Operation::Greeting => self.on_greeting(sockets, tag.id())?,
            Operation::Doorbell => self.on_doorbell(sockets, tag.id(), more)?,
            Operation::Wake => {
                self.tasks.woken();
                self.arm_wake()?;
                SocketEvent::Woken
            }
            Operation::Timeout => {
                self.timeout
                    .take_if(|(_, generation)| *generation == tag.generation);
                SocketEvent::Nothing
            }
            Operation::Forgotten => SocketEvent::Nothing,
        }))
    }

    async fn run_others(&mut self) {
        self.tasks.run().await;
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.ring.cancel_all()?;
        let mut completions = std::mem::take(&mut self.completions);
        completions.drain(..self.next);
        while self.in_flight > 0 {
            self.ring.enter(1)?;
            self.ring.drain(&mut completions, TICK_EVENTS_MAX);
            for completion in completions.drain(..) {
                let tag = Tag::unpack(completion.user_data());
                if tag.operation != Operation::Forgotten && !cqueue::more(completion.flags()) {
                    self.in_flight -= 1;
                }
                if tag.operation == Operation::Accept && completion.result() >= 0 {
                    // SAFETY: the kernel has just made this descriptor for us.
                    drop(unsafe { OwnedFd::from_raw_fd(completion.result()) });
                }
            }
        }
        Ok(())
    }
}

/// The connection of an operation that is in flight, or that has just ended.
fn in_flight(sockets: &mut Sockets, id: ConnectionId) -> &mut SocketConnection {
    sockets
        .get_closing(id)
        .expect("a connection outlives its operations")
}

/// A completion's result: a number, or a negated errno.
fn result_of(result: i32) -> Result<i32, Errno> {
    match result {
        0.. => Ok(result),
        _ => Err(Errno::from_raw(-result)),
    }
}
