//! The epoll driver, for where io_uring is refused: the same ticks on plain system calls.
//!
//! Level-triggered: a socket is read once per tick, into one buffer that all share, and is reported
//! again if there is more. It is watched for room only while a send is stuck.

use super::dials::Dials;
use super::links::Links;
use super::setup::{pin, with_link, Lack};
use super::socket::{accept_goes_on, refuse, set_nonblocking, shutdown_write, AcceptLog};
use super::sockets::earliest;
use super::{clock, Control, Setup};
use crate::limits::{ACCEPT_RETRY_NS, EPOLL_RECEIVE_BYTES, JOB_THREADS, TICK_EVENTS_MAX};
use crate::machine::{ConnectionId, Effect, Exit, Job, Machine, Peer, Target};
use crate::system::with_limit;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{accept4, connect, getsockopt, recv, send, sockopt, MsgFlags, SockFlag};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{mpsc, Arc, Mutex};

/// What a core has of the system before it has anything to serve.
pub(super) struct Engine<J: Job> {
    jobs: Jobs<J>,
    epoll: Epoll,
}

impl<J: Job> Engine<J> {
    /// Takes it, for a core on this thread.
    pub fn take(
        control: &Arc<Control>,
        core: usize,
        pin_to: Option<usize>,
    ) -> Result<Engine<J>, Lack> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|errno| format!("epoll: {}", with_limit(&errno.into())))?;
        let jobs = Jobs::start_threads(control.clone(), core)?;
        // After the background threads have started, which are to stay free.
        if let Some(cpu) = pin_to {
            pin(cpu)?;
        }
        Ok(Engine { jobs, epoll })
    }

    /// Runs a core to its end.
    pub fn run<M: Machine<Job = J>>(self, setup: Setup<M>, started: impl FnOnce()) -> Exit {
        let run = || -> Result<Exit, Errno> {
            let listeners = with_link(setup.listeners, setup.link_listener);
            let links = Links::new(setup.peers, setup.link_paths);
            let dials = Dials::new(setup.upstreams);
            let control = &setup.control;
            let sockets = Sockets::new(self.epoll, listeners, links, dials, control, setup.core)?;
            let mut core = Core {
                machine: setup.machine,
                sockets,
                jobs: self.jobs,
                control: setup.control,
                core: setup.core,
                stop_told: false,
            };
            started();
            loop {
                if let Some(exit) = core.tick()? {
                    return Ok(exit);
                }
            }
        };
        run().unwrap_or_else(|errno| Exit::Failed(format!("epoll: {}", errno.desc())))
    }
}

struct Core<M: Machine> {
    machine: M,
    sockets: Sockets,
    jobs: Jobs<M::Job>,
    control: Arc<Control>,
    core: usize,
    stop_told: bool,
}

impl<M: Machine> Core<M> {
    /// One tick; then waits if there is nothing to go on with.
    fn tick(&mut self) -> Result<Option<Exit>, Errno> {
        let now = clock::now();
        self.machine.tick_begin(now);
        if self.sockets.feed(&mut self.machine, now.monotonic_ns)? {
            self.control.clear(self.core);
        }
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

        let (busy, deadline_ns) = (self.machine.ready(), self.machine.deadline_ns());
        self.sockets.gather(busy, deadline_ns, now.monotonic_ns)?;
        Ok(None)
    }

    fn carry_out(&mut self, effect: Effect<M::Job>) -> Result<Option<Exit>, Errno> {
        match effect {
            Effect::Send(id) => self.sockets.send(id, self.machine.output(id))?,
            Effect::Pause(id) => self.sockets.read(id, false)?,
            Effect::Resume(id) => self.sockets.read(id, true)?,
            Effect::ShutdownWrite(id) => self.sockets.shutdown_write(id),
            Effect::Close(id) => self.sockets.close(id),
            Effect::Connect(Target::Member(member)) => self.sockets.links.connect(member),
            Effect::Connect(Target::Upstream(number)) => self.sockets.dial(number)?,
            Effect::Start(job) => self.jobs.start(job),
            Effect::TrimMemory => super::memory::trim(),
            Effect::StopAccepting => self.sockets.stop_accepting(),
            Effect::Exit(exit) => return Ok(Some(exit)),
        }
        Ok(None)
    }
}

struct Sockets {
    epoll: Epoll,
    connections: Vec<Option<Connection>>,
    listeners: Vec<Listener>,
    links: Links,
    dials: Dials,
    accept_retry_ns: Option<u64>,
    accept_log: AcceptLog,
    /// What the last [`gather`](Self::gather) found.
    events: Vec<EpollEvent>,
    events_found: usize,
    /// Sends that are through, and connections that are gone, since the last tick.
    sent: Vec<(ConnectionId, Result<usize, ()>)>,
    closed: Vec<ConnectionId>,
    /// The last tick was given only what was queued here, without a look at the sockets.
    looked_away: bool,
    buffer: Box<[u8]>,
}

struct Listener {
    /// Who connects: [`Peer::Client`] or [`Peer::Linker`].
    peer: Peer,
    /// `None`: closed.
    socket: Option<OwnedFd>,
}

struct Connection {
    socket: OwnedFd,
    generation: u32,
    /// What epoll watches now.
    watched: EpollFlags,
    /// The machine wants to read.
    reading: bool,
    /// The peer has sent its last.
    ended: bool,
    /// A send waits for room.
    stuck: bool,
    /// The kernel has not yet taken all of what was asked to be sent.
    unsent: bool,
    /// FIN follows when that send is through.
    shutdown_after_send: bool,
}

/// What an event is about: kind (8 bits), generation (24), index (32).
const CONNECTION: u64 = 0;
const LISTENER: u64 = 1 << 56;
const WAKE: u64 = 2 << 56;
const DIAL: u64 = 3 << 56;

impl Sockets {
    fn new(
        epoll: Epoll,
        listeners: Vec<(Peer, OwnedFd)>,
        links: Links,
        dials: Dials,
        control: &Control,
        core: usize,
    ) -> Result<Sockets, Errno> {
        epoll.add(
            control.wake_fd(core),
            EpollEvent::new(EpollFlags::EPOLLIN, WAKE),
        )?;
        for (_, socket) in &listeners {
            set_nonblocking(socket, true)?;
        }
        let listener = |(peer, socket)| Listener {
            peer,
            socket: Some(socket),
        };
        let sockets = Sockets {
            epoll,
            connections: Vec::new(),
            listeners: listeners.into_iter().map(listener).collect(),
            links,
            dials,
            accept_retry_ns: None,
            accept_log: AcceptLog::default(),
            events: vec![EpollEvent::empty(); TICK_EVENTS_MAX],
            events_found: 0,
            sent: Vec::new(),
            closed: Vec::new(),
            looked_away: false,
            buffer: vec![0; EPOLL_RECEIVE_BYTES].into(),
        };
        sockets.watch_listeners()?;
        Ok(sockets)
    }

    fn watch_listeners(&self) -> Result<(), Errno> {
        for (index, listener) in self.listeners.iter().enumerate() {
            // Exclusive: of the cores that share a Unix socket, one is woken.
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
            let event = EpollEvent::new(flags, LISTENER | index as u64);
            if let Some(socket) = &listener.socket {
                self.epoll.add(socket, event)?;
            }
        }
        Ok(())
    }

    /// Waits for events, no longer than there is nothing else to do.
    fn gather(&mut self, busy: bool, deadline_ns: Option<u64>, now_ns: u64) -> Result<(), Errno> {
        self.events_found = 0;
        let queued = !self.sent.is_empty()
            || !self.closed.is_empty()
            || self.links.has_made()
            || self.dials.has_failed();
        // What is queued is told at once, without asking the kernel; but not twice in a row, or a
        // machine that always has something to send would starve the others.
        self.looked_away = queued && !self.looked_away;
        if self.looked_away {
            return Ok(());
        }
        let timeout = match earliest(deadline_ns, self.accept_retry_ns) {
            _ if busy || queued => EpollTimeout::ZERO,
            None => EpollTimeout::NONE,
            Some(at) => {
                // Rounded up, or the last millisecond would be spent asking.
                let ms = at.saturating_sub(now_ns).div_ceil(1_000_000);
                EpollTimeout::from(u16::try_from(ms).unwrap_or(u16::MAX))
            }
        };
        match self.epoll.wait(&mut self.events, timeout) {
            Ok(found) => self.events_found = found,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Takes up what was gathered. Says whether the core was woken.
    fn feed<M: Machine>(&mut self, machine: &mut M, now_ns: u64) -> Result<bool, Errno> {
        for (member, socket) in self.links.take_made() {
            match socket {
                Some(socket) => self.open(machine, Peer::Member(member), socket)?,
                None => machine.connect_failed(Target::Member(member)),
            }
        }
        for target in self.dials.take_failed() {
            machine.connect_failed(target);
        }
        for (id, sent) in self.sent.drain(..) {
            machine.sent(id, sent);
        }
        for id in self.closed.drain(..) {
            machine.closed(id);
        }
        if self.accept_retry_ns.is_some_and(|at| at <= now_ns) {
            self.accept_retry_ns = None;
            self.watch_listeners()?;
        }
        let mut woken = false;
        for at in 0..self.events_found {
            let (flags, data) = (self.events[at].events(), self.events[at].data());
            let index = data as u32;
            match data & 0xff << 56 {
                CONNECTION => {
                    let id = ConnectionId {
                        index,
                        generation: (data >> 32) as u32,
                    };
                    self.on_connection(machine, id, flags)?;
                }
                LISTENER => self.on_listener(machine, index as usize)?,
                DIAL => self.on_dial(machine, index)?,
                _ => woken = true,
            }
        }
        Ok(woken)
    }

    fn on_connection<M: Machine>(
        &mut self,
        machine: &mut M,
        id: ConnectionId,
        flags: EpollFlags,
    ) -> Result<(), Errno> {
        let Some(connection) = get(&mut self.connections, id) else {
            return Ok(());
        };
        let broken = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        if connection.stuck && (broken || flags.contains(EpollFlags::EPOLLOUT)) {
            connection.stuck = false;
            self.try_send(id, machine.output(id))?;
        }
        let Some(connection) = get(&mut self.connections, id) else {
            return Ok(());
        };
        if !connection.reading || connection.ended {
            return self.watch(id);
        }
        if !broken && !flags.contains(EpollFlags::EPOLLIN) {
            return self.watch(id);
        }
        let bytes_max = self.buffer.len().min(machine.receive_bytes_max());
        let end = match recv(
            connection.socket.as_raw_fd(),
            &mut self.buffer[..bytes_max],
            MsgFlags::empty(),
        ) {
            Ok(0) => Some(false),
            Ok(count) => {
                machine.received(id, &self.buffer[..count]);
                None
            }
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Err(_) => Some(true),
        };
        if let Some(reset) = end {
            connection.ended = true;
            machine.input_ended(id, reset);
        }
        self.watch(id)
    }

    fn on_listener<M: Machine>(&mut self, machine: &mut M, index: usize) -> Result<(), Errno> {
        for _ in 0..TICK_EVENTS_MAX {
            let listener = &self.listeners[index];
            let (peer, Some(socket)) = (listener.peer, &listener.socket) else {
                break;
            };
            match accept4(
                socket.as_raw_fd(),
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            ) {
                Ok(fd) => {
                    self.accept_log.works();
                    // SAFETY: the kernel has just made this descriptor for us.
                    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
                    if peer == Peer::Client || self.links.admits(&socket) {
                        self.open(machine, peer, socket)?;
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(errno) if accept_goes_on(errno) => {}
                Err(errno) => {
                    self.accept_log.pauses(errno);
                    if self.accept_retry_ns.is_none() {
                        let sockets = self.listeners.iter().flat_map(|it| &it.socket);
                        for socket in sockets {
                            self.epoll.delete(socket)?;
                        }
                    }
                    self.accept_retry_ns = Some(clock::monotonic_ns() + ACCEPT_RETRY_NS);
                    break;
                }
            }
        }
        Ok(())
    }

    fn on_dial<M: Machine>(&mut self, machine: &mut M, slot: u32) -> Result<(), Errno> {
        let socket = &self.dials.get(slot).socket;
        let result = match getsockopt(socket, sockopt::SocketError)? {
            0 => Ok(()),
            error => Err(Errno::from_raw(error)),
        };
        self.epoll.delete(socket)?;
        match self.dials.end(slot, result) {
            (number, Some(socket)) => self.open(machine, Peer::Upstream(number), socket),
            (number, None) => {
                machine.connect_failed(Target::Upstream(number));
                Ok(())
            }
        }
    }

    /// Takes over a connected socket, or refuses it.
    fn open<M: Machine>(
        &mut self,
        machine: &mut M,
        peer: Peer,
        socket: OwnedFd,
    ) -> Result<(), Errno> {
        let id = match machine.opened(peer) {
            Ok(id) => id,
            Err(words) => {
                refuse(peer, socket, words);
                return Ok(());
            }
        };
        if let Peer::Member(_) = peer {
            set_nonblocking(&socket, true)?;
        }
        let index = id.index as usize;
        if index >= self.connections.len() {
            self.connections.resize_with(index + 1, || None);
        }
        let before = self.connections[index].replace(Connection {
            socket,
            generation: id.generation,
            watched: EpollFlags::empty(),
            reading: true,
            ended: false,
            stuck: false,
            unsent: false,
            shutdown_after_send: false,
        });
        assert!(before.is_none(), "an index is free after closed()");
        self.watch(id)
    }

    /// Begins to connect to an upstream. There is room to send when it is done.
    fn dial(&mut self, number: usize) -> Result<(), Errno> {
        let Some(slot) = self.dials.begin(number, SockFlag::SOCK_NONBLOCK) else {
            return Ok(());
        };
        let dial = self.dials.get(slot);
        match connect(dial.socket.as_raw_fd(), &*dial.sockaddr) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => {
                self.dials.fail(slot, errno);
                return Ok(());
            }
        }
        let event = EpollEvent::new(EpollFlags::EPOLLOUT, DIAL | u64::from(slot));
        self.epoll.add(&dial.socket, event)
    }

    /// Sends what there is room for; waits for room if there is none.
    fn send(&mut self, id: ConnectionId, bytes: &[u8]) -> Result<(), Errno> {
        self.try_send(id, bytes)?;
        self.watch(id)
    }

    fn try_send(&mut self, id: ConnectionId, bytes: &[u8]) -> Result<(), Errno> {
        let Some(connection) = get(&mut self.connections, id) else {
            return Ok(());
        };
        assert!(!connection.stuck, "one send at a time");
        let sent = match send(
            connection.socket.as_raw_fd(),
            bytes,
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(count) => Ok(count),
            Err(Errno::EAGAIN) => {
                connection.stuck = true;
                connection.unsent = true;
                return Ok(());
            }
            Err(Errno::EINTR) => Ok(0),
            Err(_) => Err(()),
        };
        connection.unsent = sent.is_ok_and(|count| count < bytes.len());
        if sent == Ok(bytes.len()) && std::mem::take(&mut connection.shutdown_after_send) {
            shutdown_write(&connection.socket);
        }
        self.sent.push((id, sent));
        Ok(())
    }

    fn read(&mut self, id: ConnectionId, reading: bool) -> Result<(), Errno> {
        if let Some(connection) = get(&mut self.connections, id) {
            connection.reading = reading;
        }
        self.watch(id)
    }

    fn shutdown_write(&mut self, id: ConnectionId) {
        if let Some(connection) = get(&mut self.connections, id) {
            match connection.unsent {
                true => connection.shutdown_after_send = true,
                false => shutdown_write(&connection.socket),
            }
        }
    }

    fn close(&mut self, id: ConnectionId) {
        if get(&mut self.connections, id).is_some() {
            self.connections[id.index as usize] = None;
            // Sends that are through and not yet told were given up with it.
            self.sent.retain(|(other, _)| *other != id);
            self.closed.push(id);
        }
    }

    fn stop_accepting(&mut self) {
        for listener in &mut self.listeners {
            if let Some(socket) = listener.socket.take_if(|_| listener.peer == Peer::Client) {
                // Another core may share it, and then closing would leave it watched here.
                let _ = self.epoll.delete(&socket);
            }
        }
    }

    /// Has epoll watch for what matters now.
    fn watch(&mut self, id: ConnectionId) -> Result<(), Errno> {
        let Some(connection) = get(&mut self.connections, id) else {
            return Ok(());
        };
        let mut wanted = EpollFlags::empty();
        wanted.set(EpollFlags::EPOLLIN, connection.reading && !connection.ended);
        wanted.set(EpollFlags::EPOLLOUT, connection.stuck);
        if wanted == connection.watched {
            return Ok(());
        }
        let data = CONNECTION | u64::from(id.generation) << 32 | u64::from(id.index);
        let mut event = EpollEvent::new(wanted, data);
        let socket = &connection.socket;
        // A socket that nothing is wanted of is taken out: epoll reports hang-ups unasked.
        if connection.watched.is_empty() {
            self.epoll.add(socket, event)?;
        } else if wanted.is_empty() {
            self.epoll.delete(socket)?;
        } else {
            self.epoll.modify(socket, &mut event)?;
        }
        connection.watched = wanted;
        Ok(())
    }
}

/// The connection, unless it is gone.
fn get(connections: &mut [Option<Connection>], id: ConnectionId) -> Option<&mut Connection> {
    connections
        .get_mut(id.index as usize)?
        .as_mut()
        .filter(|connection| connection.generation == id.generation)
}

/// Background threads, which take jobs in turn.
struct Jobs<J: Job> {
    jobs: mpsc::Sender<J>,
    results: mpsc::Receiver<J::Done>,
    outstanding: usize,
}

impl<J: Job> Jobs<J> {
    fn start_threads(control: Arc<Control>, core: usize) -> Result<Jobs<J>, String> {
        let (jobs, waiting) = mpsc::channel::<J>();
        let waiting = Arc::new(Mutex::new(waiting));
        let (sender, results) = mpsc::channel();
        for _ in 0..JOB_THREADS {
            let (waiting, sender, control) = (waiting.clone(), sender.clone(), control.clone());
            let next = move || waiting.lock().expect("no job runs under it").recv();
            std::thread::Builder::new()
                .name(format!("jobs-{core}"))
                .spawn(move || {
                    // Ends when the core is gone.
                    while let Ok(job) = next() {
                        let _ = sender.send(job.run());
                        control.wake(core);
                    }
                })
                .map_err(|error| format!("cannot start a thread: {error}"))?;
        }
        Ok(Jobs {
            jobs,
            results,
            outstanding: 0,
        })
    }

    fn start(&mut self, job: J) {
        self.jobs.send(job).expect("the threads outlive their core");
        self.outstanding += 1;
    }

    fn next_done(&mut self) -> Option<J::Done> {
        if self.outstanding == 0 {
            return None;
        }
        let done = self.results.try_recv().ok()?;
        self.outstanding -= 1;
        Some(done)
    }
}
