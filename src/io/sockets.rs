//! The uring driver's sockets: what is in flight for each, and what its completions mean.

use super::dials::Dials;
use super::links::Links;
use super::ring::{Error, Group, Operation, Ring, Tag};
use super::socket::{accept_goes_on, refuse, set_nonblocking, shutdown_write, AcceptLog};
use super::{clock, Control};
use crate::limits::{
    ACCEPT_RETRY_NS, HEAVY_RECEIVES, RECEIVE_BUFFERS, RECEIVE_BUFFERS_LARGE, RECEIVE_BUFFER_BYTES,
    TICK_EVENTS_MAX,
};
use crate::machine::{ConnectionId, Machine, Peer, Target};
use io_uring::cqueue;
use nix::errno::Errno;
use nix::sys::socket::SockFlag;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

/// All sockets of one core, and the ring that carries them.
pub(super) struct Sockets {
    ring: Ring,
    connections: Vec<Option<Connection>>,
    listeners: Vec<Listener>,
    links: Links,
    dials: Dials,
    control: Arc<Control>,
    core: usize,
    /// When the paused listeners are armed anew.
    accept_retry_ns: Option<u64>,
    accept_log: AcceptLog,
    /// Gone since the last tick; the machine is still to be told.
    closed: Vec<ConnectionId>,
    /// The timeout that is armed, if any: when, and its generation.
    timeout: Option<(u64, u32)>,
    timeout_generation: u32,
    /// Operations that will yet complete (the forgotten ones aside).
    in_flight: usize,
    /// Reused by every tick.
    completions: Vec<cqueue::Entry>,
    /// To be read again once the tick is over, unless it pauses them: as many at a time as there are buffers, or what
    /// thousands send at once would be as many receives that fail, again and again. First those that are not heavy, or
    /// have not been read at all.
    to_read: VecDeque<ConnectionId>,
    to_read_heavy: VecDeque<ConnectionId>,
    /// What the machine wants of one connection at a time.
    receive_bytes_max: usize,
}

struct Connection {
    socket: OwnedFd,
    generation: u32,
    receive: Receive,
    /// Where to, while it is armed.
    group: Group,
    /// The machine wants to read.
    reading: bool,
    /// For so many receives it is read one buffer in each tick, so that it does not use up the buffers of all:
    /// it is new, or has filled one; see [`HEAVY_RECEIVES`].
    heavy: u8,
    /// It is among those that are to be read again.
    queued: bool,
    /// The peer has sent its last.
    ended: bool,
    /// Bytes of the send that is in flight.
    sending: Option<usize>,
    /// FIN follows when that send is through.
    shutdown_after_send: bool,
    /// Closed as soon as nothing is in flight.
    closing: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Receive {
    Idle,
    Armed,
    Cancelling,
}

struct Listener {
    /// Who connects: [`Peer::Client`] or [`Peer::Linker`].
    peer: Peer,
    /// `None`: closed.
    socket: Option<OwnedFd>,
    armed: bool,
    closing: bool,
}

impl Sockets {
    /// Arms the listeners and the wake of this core.
    pub(super) fn new(
        ring: Ring,
        listeners: Vec<(Peer, OwnedFd)>,
        links: Links,
        dials: Dials,
        control: Arc<Control>,
        core: usize,
    ) -> Result<Sockets, Error> {
        let mut sockets = Sockets {
            ring,
            connections: Vec::new(),
            listeners: Vec::with_capacity(listeners.len()),
            links,
            dials,
            control,
            core,
            accept_retry_ns: None,
            accept_log: AcceptLog::default(),
            closed: Vec::new(),
            timeout: None,
            timeout_generation: 0,
            in_flight: 0,
            completions: Vec::with_capacity(TICK_EVENTS_MAX),
            to_read: VecDeque::new(),
            to_read_heavy: VecDeque::new(),
            receive_bytes_max: usize::MAX,
        };
        for (peer, socket) in listeners {
            blocking(&socket)?;
            sockets.listeners.push(Listener {
                peer,
                socket: Some(socket),
                armed: false,
                closing: false,
            });
        }
        sockets.arm_listeners()?;
        sockets.arm_wake()?;
        Ok(sockets)
    }

    /// Takes up what has completed, a tick's worth.
    pub(super) fn feed<M: Machine>(&mut self, machine: &mut M, now_ns: u64) -> Result<(), Error> {
        for (member, socket) in self.links.take_made() {
            match socket {
                Some(socket) => self.open(machine, Peer::Member(member), socket)?,
                None => machine.connect_failed(Target::Member(member)),
            }
        }
        for target in self.dials.take_failed() {
            machine.connect_failed(target);
        }
        for id in self.closed.drain(..) {
            machine.closed(id);
        }
        if self.accept_retry_ns.is_some_and(|at| at <= now_ns) {
            self.accept_retry_ns = None;
            self.arm_listeners()?;
        }
        let mut completions = std::mem::take(&mut self.completions);
        let mut room = TICK_EVENTS_MAX;
        while room > 0 && self.ring.drain(&mut completions, room) {
            for completion in completions.drain(..) {
                // A receive that found no buffer is nothing to the machine.
                room -= usize::from(completion.result() != -libc::ENOBUFS);
                self.take_up(machine, &completion)?;
            }
        }
        self.completions = completions;
        self.receive_bytes_max = machine.receive_bytes_max();
        self.ring.publish();
        Ok(())
    }

    /// Takes over a connected socket, or refuses it.
    fn open<M: Machine>(
        &mut self,
        machine: &mut M,
        peer: Peer,
        socket: OwnedFd,
    ) -> Result<(), Error> {
        let id = match machine.opened(peer) {
            Ok(id) => id,
            Err(words) => {
                refuse(peer, socket, words);
                return Ok(());
            }
        };
        if let Peer::Member(_) = peer {
            blocking(&socket)?;
        }
        let index = id.index as usize;
        if index >= self.connections.len() {
            self.connections.resize_with(index + 1, || None);
        }
        let before = self.connections[index].replace(Connection {
            socket,
            generation: id.generation,
            receive: Receive::Idle,
            group: Group::Small,
            reading: true,
            heavy: 1,
            queued: false,
            ended: false,
            sending: None,
            shutdown_after_send: false,
            closing: false,
        });
        assert!(before.is_none(), "an index is free after closed()");
        self.read_again(id, true);
        Ok(())
    }

    // ---- Completions -------------------------------------------------------

    fn take_up<M: Machine>(
        &mut self,
        machine: &mut M,
        completion: &cqueue::Entry,
    ) -> Result<(), Error> {
        let tag = Tag::unpack(completion.user_data());
        let more = cqueue::more(completion.flags());
        if tag.operation != Operation::Forgotten && !more {
            self.in_flight -= 1;
        }
        match tag.operation {
            Operation::Receive => self.on_receive(machine, tag, completion, more)?,
            Operation::Send => self.on_send(machine, tag, completion.result())?,
            Operation::Accept => self.on_accept(machine, tag, completion.result(), more)?,
            Operation::Connect => self.on_connect(machine, tag, completion.result())?,
            Operation::Wake => {
                self.control.clear(self.core);
                self.arm_wake()?;
            }
            Operation::Timeout => {
                if self.timeout.is_some_and(|(_, it)| it == tag.generation) {
                    self.timeout = None;
                }
            }
            Operation::Forgotten => {}
        }
        Ok(())
    }

    fn on_receive<M: Machine>(
        &mut self,
        machine: &mut M,
        tag: Tag,
        completion: &cqueue::Entry,
        more: bool,
    ) -> Result<(), Error> {
        let id = id_of(tag);
        let result = completion.result();
        let connection = self.connections[tag.index as usize]
            .as_mut()
            .filter(|connection| connection.generation == tag.generation)
            .expect("a connection outlives its operations");
        if !more {
            connection.receive = Receive::Idle;
        }
        if result > 0 {
            connection.heavy = match result as usize >= RECEIVE_BUFFER_BYTES {
                true => HEAVY_RECEIVES,
                false => connection.heavy.saturating_sub(1),
            };
        }
        let stop_multishot = more && connection.heavy > 0 && connection.receive == Receive::Armed;
        if stop_multishot {
            connection.receive = Receive::Cancelling;
        }
        let group = connection.group;
        let wanted = !connection.closing && !connection.ended;
        let end = match result {
            0 => Some(false),
            1.. => None,
            _ => match Errno::from_raw(-result) {
                // No buffer was left, or it was cancelled: armed again below, if wanted.
                Errno::ENOBUFS | Errno::ECANCELED | Errno::EAGAIN | Errno::EINTR => None,
                _ => Some(true),
            },
        };
        if end.is_some() {
            connection.ended = true;
        }
        if let Some((buffer, bytes)) = self.ring.received(completion, group) {
            if wanted && !bytes.is_empty() {
                machine.received(id, bytes);
            }
            self.ring.give_back(buffer, group);
        }
        if let (Some(reset), true) = (end, wanted) {
            machine.input_ended(id, reset);
        }
        if stop_multishot {
            self.ring.cancel(tag)?;
        }
        if more {
            return Ok(());
        }
        self.read_again(id, false);
        self.close_if_idle(id)
    }

    fn on_send<M: Machine>(&mut self, machine: &mut M, tag: Tag, result: i32) -> Result<(), Error> {
        let id = id_of(tag);
        let connection = self.connections[tag.index as usize]
            .as_mut()
            .filter(|connection| connection.generation == tag.generation)
            .expect("a connection outlives its operations");
        let asked = connection.sending.take().expect("it was sending");
        if connection.closing {
            return self.close_if_idle(id);
        }
        let sent = match result {
            0.. => Ok(result as usize),
            _ => match Errno::from_raw(-result) {
                Errno::EAGAIN | Errno::EINTR => Ok(0),
                _ => Err(()),
            },
        };
        if sent == Ok(asked) && std::mem::take(&mut connection.shutdown_after_send) {
            shutdown_write(&connection.socket);
        }
        machine.sent(id, sent);
        Ok(())
    }

    fn on_accept<M: Machine>(
        &mut self,
        machine: &mut M,
        tag: Tag,
        result: i32,
        more: bool,
    ) -> Result<(), Error> {
        let listener = &mut self.listeners[tag.index as usize];
        listener.armed = more;
        if listener.closing && !more {
            listener.socket = None;
        }
        let peer = listener.peer;
        if result >= 0 {
            self.accept_log.works();
            // SAFETY: the kernel has just made this descriptor for us.
            let socket = unsafe { OwnedFd::from_raw_fd(result) };
            if peer == Peer::Client || self.links.admits(&socket) {
                self.open(machine, peer, socket)?;
            }
        } else {
            let errno = Errno::from_raw(-result);
            if !accept_goes_on(errno) && !self.listeners[tag.index as usize].closing {
                self.accept_log.pauses(errno);
                self.accept_retry_ns = Some(clock::monotonic_ns() + ACCEPT_RETRY_NS);
                return Ok(());
            }
        }
        if !more && self.accept_retry_ns.is_none() {
            self.arm_listeners()?;
        }
        Ok(())
    }

    fn on_connect<M: Machine>(
        &mut self,
        machine: &mut M,
        tag: Tag,
        result: i32,
    ) -> Result<(), Error> {
        let result = match result {
            0.. => Ok(()),
            _ => Err(Errno::from_raw(-result)),
        };
        match self.dials.end(tag.index, result) {
            (number, Some(socket)) => self.open(machine, Peer::Upstream(number), socket),
            (number, None) => {
                machine.connect_failed(Target::Upstream(number));
                Ok(())
            }
        }
    }

    // ---- Effects -----------------------------------------------------------

    /// Sends the machine's output of a connection.
    ///
    /// # Safety
    /// `bytes` must stay where and as they are until the machine was told `sent` or `closed`, or
    /// until [`finish`](Self::finish).
    pub(super) unsafe fn send(&mut self, id: ConnectionId, bytes: &[u8]) -> Result<(), Error> {
        let Some(connection) = get(&mut self.connections, id) else {
            return Ok(());
        };
        assert!(connection.sending.is_none(), "one send at a time");
        connection.sending = Some(bytes.len());
        let socket = connection.socket.as_raw_fd();
        self.in_flight += 1;
        let tag = Tag::new(Operation::Send, id.generation, id.index);
        // SAFETY: the caller's promise: `sent` follows the completion, and `closed` follows it too
        // (`close_if_idle`).
        unsafe { self.ring.send(socket, bytes, tag) }
    }

    /// Stops reading.
    pub(super) fn pause(&mut self, id: ConnectionId) -> Result<(), Error> {
        let Some(connection) = get(&mut self.connections, id) else {
            return Ok(());
        };
        connection.reading = false;
        if connection.receive == Receive::Armed {
            connection.receive = Receive::Cancelling;
            let tag = Tag::new(Operation::Receive, id.generation, id.index);
            self.ring.cancel(tag)?;
        }
        Ok(())
    }

    /// Reads again; where a cancellation is on its way, after that.
    pub(super) fn resume(&mut self, id: ConnectionId) -> Result<(), Error> {
        if let Some(connection) = get(&mut self.connections, id) {
            connection.reading = true;
        }
        self.read_again(id, false);
        Ok(())
    }

    /// Sends FIN, behind what is being sent.
    pub(super) fn shutdown_write(&mut self, id: ConnectionId) {
        if let Some(connection) = get(&mut self.connections, id) {
            match connection.sending {
                Some(_) => connection.shutdown_after_send = true,
                None => shutdown_write(&connection.socket),
            }
        }
    }

    /// Gives up what is in flight, and closes behind it.
    pub(super) fn close(&mut self, id: ConnectionId) -> Result<(), Error> {
        let Some(connection) = get(&mut self.connections, id) else {
            return Ok(());
        };
        connection.closing = true;
        // Each by its name: to find all that is in flight for a descriptor, the kernel would go through what is
        // in flight for all of them (with 10,000, that is a second for every 3,000 that are closed).
        let is_sending = connection.sending.is_some();
        let is_receiving = connection.receive == Receive::Armed;
        for (operation, in_flight) in [
            (Operation::Send, is_sending),
            (Operation::Receive, is_receiving),
        ] {
            if in_flight {
                let tag = Tag::new(operation, id.generation, id.index);
                self.ring.cancel(tag)?;
            }
        }
        self.close_if_idle(id)
    }

    /// Makes a link. What comes of it, the next tick tells.
    pub(super) fn connect(&mut self, member: usize) {
        self.links.connect(member);
    }

    /// Begins to connect to an upstream.
    pub(super) fn dial(&mut self, number: usize) -> Result<(), Error> {
        // It may block: the ring waits for it.
        let Some(slot) = self.dials.begin(number, SockFlag::empty()) else {
            return Ok(());
        };
        let dial = self.dials.get(slot);
        let tag = Tag::new(Operation::Connect, 0, slot);
        self.in_flight += 1;
        // SAFETY: the address is on the heap, and stays until `on_connect` ends the dial. The kernel
        // has copied it by the time an entry is submitted, so nothing of one that `finish` gives up is
        // read either.
        unsafe {
            self.ring
                .connect(dial.socket.as_raw_fd(), &dial.sockaddr, tag)
        }
    }

    /// Closes the clients' listeners.
    pub(super) fn stop_accepting(&mut self) -> Result<(), Error> {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if listener.peer != Peer::Client {
                continue;
            }
            listener.closing = true;
            if listener.armed {
                self.ring
                    .cancel(Tag::new(Operation::Accept, 0, index as u32))?;
            } else {
                listener.socket = None;
            }
        }
        Ok(())
    }

    // ---- Between ticks -----------------------------------------------------

    /// Whether the next tick has something to do already.
    pub(super) fn has_events(&mut self) -> bool {
        !self.closed.is_empty()
            || self.has_to_read()
            || self.links.has_made()
            || self.dials.has_failed()
            || self.ring.has_completions()
    }

    /// Submits and goes on.
    pub(super) fn submit(&mut self) -> Result<(), Error> {
        self.arm_receives()?;
        // With nothing to submit, completions that are there already need no call.
        if self.ring.has_submissions() || !self.ring.has_completions() {
            self.ring.enter_for_many(0)?;
        }
        Ok(())
    }

    /// Submits, and waits until something happens or it is `deadline_ns`.
    pub(super) fn wait(&mut self, deadline_ns: Option<u64>) -> Result<(), Error> {
        self.arm_receives()?;
        self.arm_timeout(deadline_ns)?;
        let wait = u32::from(!self.has_to_read());
        self.ring.enter_for_many(wait)
    }

    /// Cancels everything and waits until the kernel has let go of all memory.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.ring.cancel_all()?;
        let mut completions = std::mem::take(&mut self.completions);
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

    // ---- Arming ------------------------------------------------------------

    /// A connection is to be read again, unless it is closing. `new`: for the first time.
    fn read_again(&mut self, id: ConnectionId, new: bool) {
        if let Some(connection) = get(&mut self.connections, id) {
            if !std::mem::replace(&mut connection.queued, true) {
                let queue = match new || connection.heavy == 0 {
                    true => &mut self.to_read,
                    false => &mut self.to_read_heavy,
                };
                queue.push_back(id);
            }
        }
    }

    fn has_to_read(&self) -> bool {
        !self.to_read.is_empty() || !self.to_read_heavy.is_empty()
    }

    /// Reads connections again that are to be read and are not.
    fn arm_receives(&mut self) -> Result<(), Error> {
        let mut room = usize::from(RECEIVE_BUFFERS);
        while room > RECEIVE_BUFFERS_LARGE.into() {
            let Some(id) = self.to_read.pop_front() else {
                break;
            };
            self.arm_receive(id)?;
            room -= 1;
        }
        for _ in 0..room.min(self.to_read_heavy.len()) {
            let id = self.to_read_heavy.pop_front().expect("there are so many");
            self.arm_receive(id)?;
        }
        Ok(())
    }

    fn arm_receive(&mut self, id: ConnectionId) -> Result<(), Error> {
        let bytes_max = self.receive_bytes_max;
        let Some(connection) = get(&mut self.connections, id) else {
            return Ok(());
        };
        connection.queued = false;
        if !connection.reading || connection.ended || connection.receive != Receive::Idle {
            return Ok(());
        }
        connection.receive = Receive::Armed;
        let socket = connection.socket.as_raw_fd();
        self.in_flight += 1;
        let tag = Tag::new(Operation::Receive, id.generation, id.index);
        connection.group = match connection.heavy > 1 && bytes_max > RECEIVE_BUFFER_BYTES {
            true => Group::Large,
            false => Group::Small,
        };
        if connection.heavy > 0 || bytes_max < RECEIVE_BUFFER_BYTES {
            let group = connection.group;
            self.ring.receive_once(socket, group, bytes_max, tag)
        } else {
            self.ring.receive(socket, tag)
        }
    }

    fn arm_listeners(&mut self) -> Result<(), Error> {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if let (Some(socket), false, false) =
                (&listener.socket, listener.armed, listener.closing)
            {
                let tag = Tag::new(Operation::Accept, 0, index as u32);
                self.ring.accept(socket.as_raw_fd(), tag)?;
                listener.armed = true;
                self.in_flight += 1;
            }
        }
        Ok(())
    }

    fn arm_wake(&mut self) -> Result<(), Error> {
        let fd = self.control.wake_fd(self.core).as_raw_fd();
        self.in_flight += 1;
        self.ring.poll(fd, Tag::new(Operation::Wake, 0, 0))
    }

    /// One that is armed for earlier stays: it costs one tick more than was asked for.
    fn arm_timeout(&mut self, deadline_ns: Option<u64>) -> Result<(), Error> {
        let Some(deadline_ns) = earliest(deadline_ns, self.accept_retry_ns) else {
            return Ok(());
        };
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

    fn close_if_idle(&mut self, id: ConnectionId) -> Result<(), Error> {
        let place = &mut self.connections[id.index as usize];
        let Some(connection) = place.take_if(|connection| {
            connection.closing
                && connection.sending.is_none()
                && connection.receive == Receive::Idle
        }) else {
            return Ok(());
        };
        self.closed.push(id);
        self.ring.close(connection.socket.into_raw_fd())
    }
}

/// The connection, unless it is gone or going.
fn get(connections: &mut [Option<Connection>], id: ConnectionId) -> Option<&mut Connection> {
    connections
        .get_mut(id.index as usize)?
        .as_mut()
        .filter(|connection| connection.generation == id.generation && !connection.closing)
}

fn id_of(tag: Tag) -> ConnectionId {
    ConnectionId {
        index: tag.index,
        generation: tag.generation,
    }
}

fn blocking(socket: &OwnedFd) -> Result<(), Error> {
    set_nonblocking(socket, false).map_err(|errno| Error {
        call: "fcntl",
        errno,
    })
}

/// The earlier of two times, if there is any.
pub(super) fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
