//! The loop of a core: gather what is ready, read the clock, feed it to the machine, end the tick, carry out the effects.

mod channels;
#[cfg(test)]
mod tests;

use super::backend::{Backend, Next};
use super::dials::Dials;
use super::error::Error;
use super::links::Links;
use super::listen::ListenSocket;
use super::socket::{accept_goes_on, refuse, set_nonblocking, AcceptLog};
use super::sockets::{Carrier, Listener, SocketEvent, Sockets};
use super::threads::Jobs;
use super::{memory, Control, Setup};
use crate::limits::{ACCEPT_RETRY_NS, UNIX_SEND_BUFFER_BYTES};
use crate::machine::engine::EnginePort;
use crate::machine::{ConnectionId, Effect, Exit, Machine, Now, Peer, Target};
use channels::Channels;
use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SndBuf;
use nix::time::{clock_gettime, ClockId};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// Readings of the clocks until they are close together: this thread may be kept from the CPU in between, and
/// that is not to look like a step.
const READINGS: usize = 3;
/// Two readings at most this far apart are of one moment. Nanoseconds.
const CLOSE_NS: u64 = 100_000;

struct Core<M: Machine, B: Backend<M::Job>> {
    /// Before the machine, whose output the kernel may be reading.
    back: B,
    sockets: Sockets<B::State>,
    machine: M,
    core: usize,
    /// It has a listener in common with other cores.
    shares: bool,
    links: Links,
    /// There has been a link: until then there is nothing to do for channels.
    has_links: bool,
    channels: Channels,
    /// Those that were to be connected to between ticks: a socket and what carries its bytes, or `None` if that has
    /// failed. The next tick tells.
    connected: Vec<(Target, Option<(OwnedFd, Carrier)>)>,
    jobs: Jobs<M::Job>,
    engine: Option<Box<dyn EnginePort>>,
    control: Arc<Control>,
    stop_told: bool,
    /// When those listeners that paused are armed anew.
    accept_retry_ns: Option<u64>,
    accept_log: AcceptLog,
}

/// Drives a machine to its end. `started` is called once it serves.
pub(super) async fn run<M: Machine, B: Backend<M::Job>>(
    back: B,
    setup: Setup<M>,
    started: impl FnOnce(),
) -> Exit {
    let mut core = Core::new(back, setup);
    let exit = match core.run(started).await {
        Ok(exit) => exit,
        Err(error) => Exit::Failed(error.to_string()),
    };
    if let Err(error) = core.back.finish() {
        log::error!("{error}");
        // The kernel may still read the machine's output.
        std::mem::forget(core.machine);
    }
    exit
}

impl<M: Machine, B: Backend<M::Job>> Core<M, B> {
    fn new(back: B, setup: Setup<M>) -> Core<M, B> {
        let clients = setup.listeners.into_iter();
        let clients = clients.map(|it| (Peer::Client, it));
        let link = setup.link_listener.map(|socket| ListenSocket {
            socket,
            unix: true,
            shared: false,
        });
        let link = link.map(|it| (Peer::Linker, it));
        let listeners = clients.chain(link).map(|(peer, it)| Listener {
            peer,
            unix: it.unix,
            shared: it.shared,
            socket: Some(it.socket),
            armed: false,
            closing: false,
        });
        let listeners: Vec<Listener> = listeners.collect();
        let peers = setup.peers.into_iter();
        let connected = peers.map(|(member, socket, channel)| {
            let carrier = Carrier::Channel(Box::new(channel));
            (Target::Member(member), Some((socket, carrier)))
        });
        Core {
            back,
            core: setup.core,
            shares: listeners.iter().any(|it| it.shared),
            sockets: Sockets::new(listeners, Dials::new(setup.upstreams)),
            machine: setup.machine,
            links: Links::new(setup.link_paths),
            has_links: false,
            channels: Channels::default(),
            connected: connected.collect(),
            jobs: Jobs::new(setup.control.clone(), setup.core),
            engine: setup.engine,
            control: setup.control,
            stop_told: false,
            accept_retry_ns: None,
            accept_log: AcceptLog::default(),
        }
    }

    async fn run(&mut self, started: impl FnOnce()) -> Result<Exit, Error> {
        for socket in self.sockets.listeners.iter().flat_map(|it| &it.socket) {
            set_nonblocking(socket, B::NONBLOCKING)?;
        }
        self.arm_listeners()?;
        started();
        loop {
            if let Some(exit) = self.tick()? {
                return Ok(exit);
            }
            if B::HAS_OTHERS {
                self.back.run_others().await;
            }
        }
    }

    fn tick(&mut self) -> Result<Option<Exit>, Error> {
        let now = now();
        self.machine.tick_begin(now);
        self.feed(now.monotonic_ns)?;
        self.machine.tick_end();
        while let Some(effect) = self.machine.next_effect() {
            if let Some(exit) = self.carry_out(effect)? {
                return Ok(Some(exit));
            }
        }
        let next = self.next(now.monotonic_ns);
        let has_channels = self.has_links && self.channels.are_open();
        let next = match has_channels {
            true => self.channels_wait(next)?,
            false => next,
        };
        self.back
            .gather(&mut self.sockets, next, now.monotonic_ns)?;
        if has_channels {
            self.channels_awake();
        }
        Ok(None)
    }

    // ---- Events ------------------------------------------------------------

    /// Tells the machine what has happened.
    fn feed(&mut self, now_ns: u64) -> Result<(), Error> {
        if !self.connected.is_empty() {
            for (target, link) in std::mem::take(&mut self.connected) {
                match link {
                    Some((socket, carrier)) => self.connected(target, socket, carrier)?,
                    None => self.machine.connect_failed(target),
                }
            }
        }
        for id in self.sockets.closed.drain(..) {
            self.machine.closed(id);
        }
        if self.has_links && self.channels.are_open() {
            self.tell_channels_sent();
        }
        if self.accept_retry_ns.is_some_and(|at| at <= now_ns) {
            self.accept_retry_ns = None;
            self.arm_listeners()?;
        }
        loop {
            let bytes_max = self.machine.receive_bytes_max();
            let Some(event) = self.back.next_event(&mut self.sockets, bytes_max)? else {
                break;
            };
            match event {
                SocketEvent::Nothing => {}
                SocketEvent::Woken => self.control.clear(self.core),
                SocketEvent::Received(id, bytes) => self.machine.received(id, bytes),
                SocketEvent::LinkReceived(id, bytes) => {
                    let connection = self.sockets.get(id);
                    if connection.is_some_and(|it| it.channel().is_some()) {
                        self.senseless(id);
                    } else {
                        self.machine.received(id, bytes);
                        self.link_received(id)?;
                    }
                }
                SocketEvent::Greeting(id) => self.greeted(id)?,
                SocketEvent::InputEnded(id, reset) => {
                    self.drain_channel(id);
                    self.machine.input_ended(id, reset);
                }
                SocketEvent::Writable(id) => self.send(id)?,
                SocketEvent::Sent(id, sent) => self.machine.sent(id, sent),
                SocketEvent::Accepted(index, result, armed) => {
                    self.accepted(index, result, armed, now_ns)?
                }
                SocketEvent::Connected(slot, result) => {
                    let (target, socket) = self.sockets.dials.end(slot, result);
                    match socket {
                        Some(socket) => self.connected(target, socket, Carrier::Socket)?,
                        None => self.machine.connect_failed(target),
                    }
                }
            }
        }
        if self.has_links && self.channels.are_open() {
            self.feed_channels()?;
        }
        // Behind the wake that tells of them: what comes from here on wakes the core again.
        if self.shares {
            for socket in self.control.handed(self.core) {
                self.open(Peer::Client, socket, Carrier::Socket)?;
            }
        }
        while self.jobs.outstanding > 0 {
            let Some(done) = self.jobs.next_done() else {
                break;
            };
            self.machine.job_done(done);
        }
        if let Some(engine) = &mut self.engine {
            while let Some(event) = engine.next_event() {
                self.machine.engine_says(event);
            }
        }
        let stopping = self.control.stopping.load(Ordering::Acquire);
        if stopping && !std::mem::replace(&mut self.stop_told, true) {
            self.machine.stop();
        }
        Ok(())
    }

    fn accepted(
        &mut self,
        index: u32,
        result: Result<OwnedFd, Errno>,
        armed: bool,
        now_ns: u64,
    ) -> Result<(), Error> {
        let listener = &mut self.sockets.listeners[index as usize];
        let (peer, unix, shared) = (listener.peer, listener.unix, listener.shared);
        let closing = listener.closing;
        listener.armed = armed;
        if closing && !armed {
            listener.socket = None;
        }
        match result {
            Ok(socket) => {
                self.accept_log.works();
                if unix && peer == Peer::Client {
                    // Not inherited from the listening socket.
                    setsockopt(&socket, SndBuf, &UNIX_SEND_BUFFER_BYTES)
                        .map_err(Error::of("SO_SNDBUF"))?;
                }
                let ours = match shared {
                    true => self.control.share(self.core, socket),
                    false => Some(socket),
                };
                let Some(socket) = ours else {
                    return self.arm_again(armed);
                };
                if peer == Peer::Client {
                    self.open(peer, socket, Carrier::Socket)?;
                } else if self.links.admits(&socket, now_ns) {
                    self.open(peer, socket, Carrier::Expected { held: false })?;
                }
            }
            Err(errno) if closing || accept_goes_on(errno) => {}
            Err(errno) => {
                self.accept_log.pauses(errno);
                self.accept_retry_ns = Some(now_ns + ACCEPT_RETRY_NS);
            }
        }
        self.arm_again(armed)
    }

    fn arm_again(&mut self, armed: bool) -> Result<(), Error> {
        if !armed && self.accept_retry_ns.is_none() {
            self.arm_listeners()?;
        }
        Ok(())
    }

    /// Accepts from all listeners, but for those that are to be closed.
    fn arm_listeners(&mut self) -> Result<(), Error> {
        for (listener, index) in self.sockets.listeners.iter_mut().zip(0..) {
            if let (Some(socket), false, false) =
                (&listener.socket, listener.armed, listener.closing)
            {
                self.back.listen(index, socket)?;
                listener.armed = true;
            }
        }
        Ok(())
    }

    fn connected(
        &mut self,
        target: Target,
        socket: OwnedFd,
        carrier: Carrier,
    ) -> Result<(), Error> {
        let peer = match target {
            Target::Member(member) => Peer::Member(member),
            Target::Upstream(number) => Peer::Upstream(number),
        };
        self.open(peer, socket, carrier)
    }

    /// Takes over a connected socket, or refuses it.
    fn open(&mut self, peer: Peer, socket: OwnedFd, carrier: Carrier) -> Result<(), Error> {
        let id = match self.machine.opened(peer) {
            Ok(id) => id,
            Err(words) => {
                refuse(peer, socket, words);
                return Ok(());
            }
        };
        if let Peer::Member(_) = peer {
            set_nonblocking(&socket, B::NONBLOCKING)?;
        }
        self.has_links |= !matches!(carrier, Carrier::Socket);
        let greeting = matches!(carrier, Carrier::Expected { .. });
        let state = self.back.open(id, &socket, greeting)?;
        if let Carrier::Channel(channel) = &carrier {
            self.watch_channel(id, channel.doorbell())?;
        }
        self.sockets.insert(id, socket, carrier, state);
        Ok(())
    }

    // ---- Effects -----------------------------------------------------------

    fn carry_out(&mut self, effect: Effect<M::Job>) -> Result<Option<Exit>, Error> {
        match effect {
            Effect::Send(id) => self.send(id)?,
            Effect::Pause(id) => self.read(id, false)?,
            Effect::Resume(id) => self.read(id, true)?,
            Effect::ShutdownWrite(id) => {
                if let Some(connection) = self.sockets.get(id) {
                    connection.shutdown_write();
                }
            }
            Effect::Close(id) => {
                if let Some(connection) = self.sockets.get(id) {
                    connection.closing = true;
                    if !matches!(connection.carrier, Carrier::Socket) {
                        self.close_channel(id)?;
                    }
                    self.back.close(&mut self.sockets, id)?;
                }
            }
            Effect::Connect(Target::Member(member)) => {
                let link = self.links.connect(member);
                self.connected.push((Target::Member(member), link));
            }
            Effect::Connect(Target::Upstream(number)) => {
                match self.sockets.dials.begin(number, B::NONBLOCKING) {
                    // SAFETY: it stays in its slot until `Event::Connected` ends it.
                    Some(slot) => unsafe { self.back.connect(slot, self.sockets.dials.get(slot))? },
                    None => self.connected.push((Target::Upstream(number), None)),
                }
            }
            Effect::Start(job) => self.back.start(self.jobs.begin(job)),
            Effect::Ask(request) => {
                if let Some(engine) = &mut self.engine {
                    engine.ask(*request);
                }
            }
            Effect::TrimMemory => memory::trim(),
            Effect::StopAccepting => self.stop_accepting()?,
            Effect::Exit(exit) => return Ok(Some(exit)),
        }
        Ok(None)
    }

    /// Sends the machine's output of a connection.
    fn send(&mut self, id: ConnectionId) -> Result<(), Error> {
        let Some(connection) = self.sockets.get(id) else {
            return Ok(());
        };
        let bytes = self.machine.output(id);
        if !matches!(connection.carrier, Carrier::Socket)
            && self.channels.send(connection, bytes, &mut self.links)
        {
            return Ok(());
        }
        connection.send(bytes.len());
        // SAFETY: the machine keeps its output in place until it is told `sent` or `closed` (`Effect::Send`); and it is
        // dropped after `Backend::finish`, or not at all.
        unsafe { self.back.send(connection, bytes) }
    }

    fn read(&mut self, id: ConnectionId, reading: bool) -> Result<(), Error> {
        let Some(connection) = self.sockets.get(id) else {
            return Ok(());
        };
        if let Some(channel) = connection.channel() {
            // Its socket is read in any case: the end of that is the channel's.
            channel.reading = reading;
            return Ok(());
        }
        connection.reading = reading;
        self.back.update_reading(connection)
    }

    fn stop_accepting(&mut self) -> Result<(), Error> {
        for (listener, index) in self.sockets.listeners.iter_mut().zip(0..) {
            let (Peer::Client, Some(socket)) = (listener.peer, &listener.socket) else {
                continue;
            };
            listener.closing = true;
            if listener.armed {
                listener.armed = self.back.stop_listening(index, socket)?;
            }
            if !listener.armed {
                listener.socket = None;
            }
        }
        Ok(())
    }

    /// The reason for the next tick.
    fn next(&self, now_ns: u64) -> Next {
        if !self.sockets.closed.is_empty()
            || !self.connected.is_empty()
            || self.has_links && self.channels.is_urgent(self.stop_told)
        {
            return Next::Events;
        }
        let deadline_ns = self.machine.deadline_ns();
        if self.machine.ready() || deadline_ns.is_some_and(|at| at <= now_ns) {
            return Next::Work;
        }
        Next::Wait(match (deadline_ns, self.accept_retry_ns) {
            (Some(deadline), Some(retry)) => Some(deadline.min(retry)),
            (deadline, retry) => deadline.or(retry),
        })
    }
}

/// Reads both clocks (through the vDSO: no system call).
fn now() -> Now {
    let mut monotonic_before_ns = monotonic_ns();
    for reading in 1.. {
        let realtime_us = realtime_us();
        let monotonic_ns = monotonic_ns();
        if monotonic_ns - monotonic_before_ns <= CLOSE_NS || reading == READINGS {
            return Now {
                monotonic_ns,
                realtime_us,
            };
        }
        monotonic_before_ns = monotonic_ns;
    }
    unreachable!("the last reading is taken as it is")
}

/// `CLOCK_REALTIME`, microseconds since 1970; before that, 0.
fn realtime_us() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_REALTIME).expect("CLOCK_REALTIME exists");
    u64::try_from(time.tv_sec()).map_or(0, |seconds| {
        seconds * 1_000_000 + time.tv_nsec() as u64 / 1_000
    })
}

/// The time by `CLOCK_BOOTTIME`, nanoseconds: it goes on while the machine sleeps.
pub fn boottime_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("CLOCK_BOOTTIME exists");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// The time by `CLOCK_MONOTONIC`, nanoseconds.
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}
