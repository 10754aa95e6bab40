//! The epoll driver, for where io_uring is refused: the same ticks on plain system calls.
//!
//! Level-triggered: a socket is read once per tick, into one buffer that all share, and is reported
//! again if there is more. It is watched for room only while a send is stuck.

use super::backend::{Backend, Next};
use super::dials::Dial;
use super::error::{Error, Lack};
use super::socket::accept_goes_on;
use super::sockets::{self, Operation, SocketEvent, Tag};
use super::threads::{start_job_threads, Task};
use super::Control;
use crate::limits::{EPOLL_RECEIVE_BYTES, TICK_EVENTS_MAX};
use crate::machine::{ConnectionId, Job};
use crate::system::with_limit;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{accept4, connect, getsockopt, recv, send, sockopt, MsgFlags, SockFlag};
use nix::unistd::write;
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc;

/// What a core has of the system before it has anything to serve.
pub(super) struct Engine<J: Job> {
    epoll: Epoll,
    jobs: mpsc::Sender<Task<J>>,
    /// Events that needed no waiting; the next tick tells.
    queued: VecDeque<SocketEvent<'static>>,
    /// What the last [`gather`](Backend::gather) found, and which of it is next.
    found: Vec<EpollEvent>,
    found_count: usize,
    next: usize,
    /// The machine was told that there is room for the send of the next one.
    told_writable: bool,
    /// Connections that the tick may yet accept.
    accepts_left: usize,
    /// The last tick was given only what was queued, without a look at the sockets.
    looked_away: bool,
    buffer: Box<[u8]>,
}

/// What this back end keeps of a connection.
pub(super) struct EpollState {
    /// The events for which epoll watches the socket now.
    watched: EpollFlags,
    /// Its first bytes are not read here.
    greeting: bool,
}

type SocketConnection = sockets::SocketConnection<EpollState>;
type Sockets = sockets::Sockets<EpollState>;

impl<J: Job> Engine<J> {
    /// Makes the epoll of a core on this thread.
    pub fn take(control: &Control, core: usize) -> Result<Engine<J>, Lack> {
        let refused = |errno: Errno| format!("epoll: {}", with_limit(&errno.into()));
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(refused)?;
        let wake = Tag::new(Operation::Wake, 0, 0).pack();
        let event = EpollEvent::new(EpollFlags::EPOLLIN, wake);
        epoll.add(control.wake_fd(core), event).map_err(refused)?;
        Ok(Engine {
            epoll,
            jobs: start_job_threads(core)?,
            queued: VecDeque::new(),
            found: vec![EpollEvent::empty(); TICK_EVENTS_MAX],
            found_count: 0,
            next: 0,
            told_writable: false,
            accepts_left: 0,
            looked_away: false,
            buffer: vec![0; EPOLL_RECEIVE_BYTES].into(),
        })
    }

    fn on_connection(
        &mut self,
        sockets: &mut Sockets,
        id: ConnectionId,
        flags: EpollFlags,
        bytes_max: usize,
    ) -> Result<SocketEvent<'_>, Error> {
        let told_writable = std::mem::take(&mut self.told_writable);
        let Some(connection) = sockets.get(id) else {
            return Ok(SocketEvent::Nothing);
        };
        let broken = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        let is_writable = broken || flags.contains(EpollFlags::EPOLLOUT);
        if connection.sending && is_writable && !told_writable {
            connection.sending = false;
            // It may be readable, too.
            self.told_writable = true;
            self.next -= 1;
            return Ok(SocketEvent::Writable(id));
        }
        let is_readable = broken || flags.contains(EpollFlags::EPOLLIN);
        if !is_readable || !connection.reading || connection.ended {
            return Ok(SocketEvent::Nothing);
        }
        if std::mem::take(&mut connection.state.greeting) {
            return Ok(SocketEvent::Greeting(id));
        }
        let socket = connection.socket.as_raw_fd();
        let bytes_max = bytes_max.min(self.buffer.len());
        let reset = match recv(socket, &mut self.buffer[..bytes_max], MsgFlags::empty()) {
            Ok(0) => false,
            Ok(count) => return Ok(SocketEvent::received(connection, &self.buffer[..count])),
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(SocketEvent::Nothing),
            Err(_) => true,
        };
        connection.ended = true;
        self.watch(connection)?;
        Ok(SocketEvent::InputEnded(id, reset))
    }

    fn on_listener(
        &mut self,
        sockets: &mut Sockets,
        index: u32,
    ) -> Result<SocketEvent<'static>, Error> {
        let listener = &sockets.listeners[index as usize];
        let socket = listener.socket.as_ref().filter(|_| listener.armed);
        let (Some(socket), 1..) = (socket, self.accepts_left) else {
            return Ok(SocketEvent::Nothing);
        };
        self.accepts_left -= 1;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let result = match accept4(socket.as_raw_fd(), flags) {
            // SAFETY: the kernel has just made this descriptor for us.
            Ok(fd) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(Errno::EAGAIN) => return Ok(SocketEvent::Nothing),
            Err(errno) => Err(errno),
        };
        let armed = !matches!(result, Err(errno) if !accept_goes_on(errno));
        match armed {
            // There may be more.
            true => self.next -= 1,
            false => self.unwatch(socket)?,
        }
        Ok(SocketEvent::Accepted(index, result, armed))
    }

    fn on_dial(&mut self, sockets: &mut Sockets, slot: u32) -> Result<SocketEvent<'static>, Error> {
        let socket = &sockets.dials.get(slot).socket;
        let error = getsockopt(socket, sockopt::SocketError).map_err(Error::of("getsockopt"))?;
        let result = match error {
            0 => Ok(()),
            error => Err(Errno::from_raw(error)),
        };
        self.unwatch(socket)?;
        Ok(SocketEvent::Connected(slot, result))
    }

    /// Has epoll watch for the events that matter in the connection's present state.
    fn watch(&mut self, connection: &mut SocketConnection) -> Result<(), Error> {
        let mut wanted = EpollFlags::empty();
        wanted.set(EpollFlags::EPOLLIN, connection.reading && !connection.ended);
        wanted.set(EpollFlags::EPOLLOUT, connection.sending);
        let watched = std::mem::replace(&mut connection.state.watched, wanted);
        if wanted == watched {
            return Ok(());
        }
        let (socket, tag) = (
            &connection.socket,
            Tag::of(Operation::Receive, connection.id),
        );
        // A socket that nothing is wanted of is taken out: epoll reports hang-ups unasked.
        if watched.is_empty() {
            return self.watch_for(socket, wanted, tag);
        } else if wanted.is_empty() {
            return self.unwatch(socket);
        }
        let mut event = EpollEvent::new(wanted, tag.pack());
        let modified = self.epoll.modify(socket, &mut event);
        modified.map_err(Error::of("epoll_ctl"))
    }

    fn watch_for(&self, socket: impl AsFd, flags: EpollFlags, tag: Tag) -> Result<(), Error> {
        let event = EpollEvent::new(flags, tag.pack());
        let added = self.epoll.add(socket, event);
        added.map_err(Error::of("epoll_ctl"))
    }

    fn unwatch(&self, socket: impl AsFd) -> Result<(), Error> {
        self.epoll.delete(socket).map_err(Error::of("epoll_ctl"))
    }
}

impl<J: Job> Backend<J> for Engine<J> {
    type State = EpollState;

    const NONBLOCKING: bool = true;

    fn listen(&mut self, index: u32, socket: &OwnedFd) -> Result<(), Error> {
        // Exclusive: of the cores that share a Unix socket, one is woken.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
        self.watch_for(socket, flags, Tag::new(Operation::Accept, 0, index))
    }

    fn stop_listening(&mut self, _index: u32, socket: &OwnedFd) -> Result<bool, Error> {
        // Another core may share it, and then closing would leave it watched here.
        self.unwatch(socket)?;
        Ok(false)
    }

    fn open(
        &mut self,
        id: ConnectionId,
        socket: &OwnedFd,
        greeting: bool,
    ) -> Result<EpollState, Error> {
        let watched = EpollFlags::EPOLLIN;
        self.watch_for(socket, watched, Tag::of(Operation::Receive, id))?;
        Ok(EpollState { watched, greeting })
    }

    fn watch_doorbell(&mut self, id: ConnectionId, doorbell: impl AsFd) -> Result<(), Error> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        self.watch_for(doorbell, flags, Tag::of(Operation::Doorbell, id))
    }

    fn ring(&mut self, doorbell: impl AsFd) -> Result<(), Error> {
        // Fails only if the counter is full: who has filled its own doorbell does not want to hear it.
        let _ = write(doorbell, &1_u64.to_ne_bytes());
        Ok(())
    }

    fn unwatch_doorbell(&mut self, _id: ConnectionId, doorbell: impl AsFd) -> Result<(), Error> {
        // Closing it is not enough: the other end has it, too.
        self.unwatch(doorbell)
    }

    fn update_reading(&mut self, connection: &mut SocketConnection) -> Result<(), Error> {
        self.watch(connection)
    }

    unsafe fn send(
        &mut self,
        connection: &mut SocketConnection,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let sent = match send(connection.socket.as_raw_fd(), bytes, flags) {
            // It waits for room.
            Err(Errno::EAGAIN) => return self.watch(connection),
            Ok(count) => Ok(count),
            Err(Errno::EINTR) => Ok(0),
            Err(_) => Err(()),
        };
        connection.sent(sent);
        self.queued
            .push_back(SocketEvent::Sent(connection.id, sent));
        self.watch(connection)
    }

    fn close(&mut self, sockets: &mut Sockets, id: ConnectionId) -> Result<(), Error> {
        drop(sockets.remove(id));
        // A send that is through and not yet told was given up with it.
        self.queued
            .retain(|event| !matches!(event, SocketEvent::Sent(other, _) if *other == id));
        Ok(())
    }

    unsafe fn connect(&mut self, slot: u32, dial: &Dial) -> Result<(), Error> {
        match connect(dial.socket.as_raw_fd(), &*dial.sockaddr) {
            // There is room to send when it is connected.
            Ok(()) | Err(Errno::EINPROGRESS) => {
                let tag = Tag::new(Operation::Connect, 0, slot);
                self.watch_for(&dial.socket, EpollFlags::EPOLLOUT, tag)
            }
            Err(errno) => {
                self.queued
                    .push_back(SocketEvent::Connected(slot, Err(errno)));
                Ok(())
            }
        }
    }

    fn start(&mut self, task: Task<J>) {
        let sent = self.jobs.send(task);
        assert!(sent.is_ok(), "the threads outlive their core");
    }

    fn gather(&mut self, _sockets: &mut Sockets, next: Next, now_ns: u64) -> Result<(), Error> {
        (self.found_count, self.next) = (0, 0);
        self.accepts_left = TICK_EVENTS_MAX;
        let queued = matches!(next, Next::Events) || !self.queued.is_empty();
        // What is queued is told at once, without asking the kernel; but not twice in a row, or a
        // machine that always has something to send would starve the others.
        self.looked_away = queued && !self.looked_away;
        if self.looked_away {
            return Ok(());
        }
        let timeout = match next {
            Next::Wait(None) if !queued => EpollTimeout::NONE,
            Next::Wait(Some(at)) if !queued => {
                // Rounded up, or the last millisecond would be spent asking.
                let ms = at.saturating_sub(now_ns).div_ceil(1_000_000);
                EpollTimeout::from(u16::try_from(ms).unwrap_or(u16::MAX))
            }
            _ => EpollTimeout::ZERO,
        };
        match self.epoll.wait(&mut self.found, timeout) {
            Ok(count) => self.found_count = count,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::of("epoll_wait")(errno)),
        }
        Ok(())
    }

    fn next_event(
        &mut self,
        sockets: &mut Sockets,
        receive_bytes_max: usize,
    ) -> Result<Option<SocketEvent<'_>>, Error> {
        if let Some(event) = self.queued.pop_front() {
            return Ok(Some(event));
        }
        let Some(found) = self.found[..self.found_count].get(self.next) else {
            return Ok(None);
        };
        let (tag, flags) = (Tag::unpack(found.data()), found.events());
        self.next += 1;
        Ok(Some(match tag.operation {
            Operation::Receive => {
                self.on_connection(sockets, tag.id(), flags, receive_bytes_max)?
            }
            Operation::Accept => self.on_listener(sockets, tag.index)?,
            Operation::Connect => self.on_dial(sockets, tag.index)?,
            Operation::Doorbell => SocketEvent::Nothing,
            _ => SocketEvent::Woken,
        }))
    }
}
