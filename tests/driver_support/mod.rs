//! A machine that does what its clients tell it, line by line, and reports all that its driver
//! tells it; and a server that runs it. What it answers:
//!
//! - `echo TEXT`: TEXT. `big N`: N bytes that count up. `length` and anything: how long the line is.
//! - `hold`: nothing more is read here until `release` comes from another connection.
//! - `job N`: N, after a job. `jobs N`: N, after N jobs.  `after MS`: `due`, when it is time.
//! - `bye`: closes; `drop`: closes every other client's connection. `fin`: `bye`, and FIN.
//! - `ask TEXT`: sends `echo TEXT` over its first link. `connect N`: makes a link to member N.
//!   `unlink`: closes its links.
//! - `dial N`: connects to processor N, which then is a link, too.
//! - `deaf`: `deaf`, and closes the listeners.

// Each test file uses a part of it.
#![allow(dead_code)]

use galo::io::{Address, Channel, Control, Driver, Listeners, Setup, Upstream};
use galo::machine::{ConnectionId, Effect, Exit, Job, Machine, Now, Peer, Target};
use galo_testkit::{Connection as Client, PATIENCE};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{mpsc, Arc};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the driver told the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Opened(Peer),
    Received(ConnectionId, usize),
    InputEnded {
        reset: bool,
    },
    Sent(Result<usize, ()>),
    Closed(ConnectionId),
    /// A line over a link that is not for us to obey.
    FromLink(Peer, String),
    ConnectFailed(usize),
    DialFailed(usize),
    Stop,
}

/// Bytes of a `big` reply, from `at` on.
pub fn pattern(at: usize, length: usize) -> Vec<u8> {
    const PERIOD: usize = 251;
    let period: Vec<u8> = (0..=255).take(PERIOD).collect();
    let mut bytes = period.repeat(length / PERIOD + 2);
    bytes.drain(..at % PERIOD);
    bytes.truncate(length);
    bytes
}

pub struct Scripted {
    events: mpsc::Sender<Event>,
    connections: Vec<Option<Connection>>,
    generation: u32,
    bound: usize,
    effects: VecDeque<Effect<Sleep>>,
    now: Now,
    deadlines: Vec<(u64, ConnectionId)>,
    jobs_left: Vec<(ConnectionId, u32, u32)>,
    in_tick: bool,
}

struct Connection {
    id: ConnectionId,
    peer: Peer,
    line: Vec<u8>,
    held: bool,
    /// From `sent` on it is what is being sent.
    output: Vec<u8>,
    sent: usize,
    sending: bool,
    next: Vec<u8>,
    ended: bool,
    broken: bool,
    closing: bool,
    fin: bool,
}

/// A job that takes a moment.
#[derive(Debug)]
pub struct Sleep(ConnectionId);

impl Job for Sleep {
    type Done = ConnectionId;

    fn run(self) -> ConnectionId {
        std::thread::sleep(Duration::from_millis(1));
        self.0
    }
}

impl Scripted {
    pub fn new(events: mpsc::Sender<Event>, bound: usize) -> Scripted {
        Scripted {
            events,
            connections: Vec::new(),
            generation: 0,
            bound,
            effects: VecDeque::new(),
            now: Now::default(),
            deadlines: Vec::new(),
            jobs_left: Vec::new(),
            in_tick: false,
        }
    }

    fn tell(&self, event: Event) {
        assert!(self.in_tick, "{event:?} outside of a tick");
        // The test may have seen enough.
        let _ = self.events.send(event);
    }

    fn get(&mut self, id: ConnectionId) -> &mut Connection {
        let connection = self.connections[id.index as usize].as_mut();
        connection
            .filter(|connection| connection.id == id)
            .expect("the driver speaks of connections that are there")
    }

    fn reply(&mut self, id: ConnectionId, text: &str) {
        let open = self.connections[id.index as usize].as_mut();
        if let Some(connection) = open.filter(|connection| connection.id == id) {
            connection.next.extend_from_slice(text.as_bytes());
            connection.next.push(b'\n');
        }
    }

    fn close(&mut self, id: ConnectionId) {
        if !std::mem::replace(&mut self.get(id).closing, true) {
            self.effects.push_back(Effect::Close(id));
        }
    }

    fn others(&self, id: ConnectionId) -> Vec<ConnectionId> {
        self.connections
            .iter()
            .flatten()
            .filter(|other| other.id != id && other.peer == Peer::Client)
            .map(|other| other.id)
            .collect()
    }

    fn obey(&mut self, id: ConnectionId, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || rest.parse::<u32>().expect("a number");
        match word {
            "echo" => self.reply(id, rest),
            "big" => {
                let bytes = pattern(0, number() as usize);
                self.get(id).next.extend_from_slice(&bytes);
            }
            "hold" => {
                self.get(id).held = true;
                self.effects.push_back(Effect::Pause(id));
            }
            "release" => {
                for other in self.others(id) {
                    if std::mem::take(&mut self.get(other).held) {
                        self.effects.push_back(Effect::Resume(other));
                    }
                }
            }
            "job" => self.effects.push_back(Effect::Start(Sleep(id))),
            "jobs" => {
                self.jobs_left.push((id, number(), number()));
                for _ in 0..number() {
                    self.effects.push_back(Effect::Start(Sleep(id)));
                }
            }
            "after" => {
                let at = self.now.monotonic_ns + u64::from(number()) * 1_000_000;
                self.deadlines.push((at, id));
            }
            "bye" => self.close(id),
            "drop" => {
                for other in self.others(id) {
                    self.close(other);
                }
            }
            "fin" => {
                self.reply(id, "bye");
                self.get(id).fin = true;
            }
            "ask" => {
                let mut open = self.connections.iter().flatten();
                let link = open.find(|it| it.peer != Peer::Client && !it.closing);
                let to = link.expect("a link").id;
                self.reply(to, &format!("echo {rest}"));
            }
            "unlink" => {
                let open = self.connections.iter().flatten();
                let links: Vec<_> = open
                    .filter(|it| it.peer != Peer::Client)
                    .map(|it| it.id)
                    .collect();
                for link in links {
                    self.close(link);
                }
            }
            "connect" => self
                .effects
                .push_back(Effect::Connect(Target::Member(number() as usize))),
            "dial" => {
                let target = Target::Upstream(number() as usize);
                self.effects.push_back(Effect::Connect(target));
            }
            "deaf" => {
                self.effects.push_back(Effect::StopAccepting);
                self.reply(id, "deaf");
            }
            _ => self.reply(id, &line.len().to_string()),
        }
    }
}

impl Machine for Scripted {
    type Job = Sleep;

    fn tick_begin(&mut self, now: Now) {
        assert!(!std::mem::replace(&mut self.in_tick, true));
        assert!(now.monotonic_ns >= self.now.monotonic_ns && now.realtime_us > 0);
        self.now = now;
        let mut due = Vec::new();
        self.deadlines.retain(|(at, id)| {
            let waits = *at > now.monotonic_ns;
            if !waits {
                due.push(*id);
            }
            waits
        });
        for id in due {
            self.reply(id, "due");
        }
    }

    fn opened(&mut self, peer: Peer) -> Result<ConnectionId, &'static [u8]> {
        self.tell(Event::Opened(peer));
        if self.connections.iter().flatten().count() == self.bound {
            return Err(b"full\n");
        }
        let free = self.connections.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.generation += 1;
        let id = ConnectionId {
            index: index as u32,
            generation: self.generation,
        };
        self.connections[index] = Some(Connection {
            id,
            peer,
            line: Vec::new(),
            held: false,
            output: Vec::new(),
            sent: 0,
            sending: false,
            next: Vec::new(),
            ended: false,
            broken: false,
            closing: false,
            fin: false,
        });
        if matches!(peer, Peer::Member(_) | Peer::Linker) {
            self.get(id).next.extend_from_slice(b"hello\n");
        }
        Ok(id)
    }

    fn connect_failed(&mut self, target: Target) {
        self.tell(match target {
            Target::Member(member) => Event::ConnectFailed(member),
            Target::Upstream(number) => Event::DialFailed(number),
        });
    }

    fn received(&mut self, id: ConnectionId, bytes: &[u8]) {
        assert!(!bytes.is_empty());
        self.tell(Event::Received(id, bytes.len()));
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let mut line = std::mem::take(&mut self.get(id).line);
            line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = String::from_utf8(line).expect("text");
            match self.get(id).peer {
                Peer::Client => self.obey(id, &line),
                _ if line.starts_with("echo ") => self.obey(id, &line),
                link => self.tell(Event::FromLink(link, line)),
            }
        }
        self.get(id).line.extend_from_slice(rest);
    }

    fn input_ended(&mut self, id: ConnectionId, reset: bool) {
        self.tell(Event::InputEnded { reset });
        assert!(!std::mem::replace(&mut self.get(id).ended, true), "twice");
    }

    fn sent(&mut self, id: ConnectionId, bytes: Result<usize, ()>) {
        self.tell(Event::Sent(bytes));
        let connection = self.get(id);
        assert!(std::mem::take(&mut connection.sending));
        match bytes {
            Ok(count) => connection.sent += count,
            Err(()) => {
                connection.sent = connection.output.len();
                connection.next.clear();
                connection.broken = true;
            }
        }
        assert!(connection.sent <= connection.output.len());
    }

    fn closed(&mut self, id: ConnectionId) {
        self.tell(Event::Closed(id));
        assert!(self.get(id).closing);
        // Whoever still reads this will be noticed.
        self.get(id).output.fill(0xff);
        self.connections[id.index as usize] = None;
    }

    fn job_done(&mut self, id: ConnectionId) {
        assert!(self.in_tick);
        let Some(at) = self.jobs_left.iter().position(|(of, ..)| *of == id) else {
            return self.reply(id, "done");
        };
        self.jobs_left[at].1 -= 1;
        if self.jobs_left[at].1 == 0 {
            let (_, _, all) = self.jobs_left.remove(at);
            self.reply(id, &all.to_string());
        }
    }

    fn stop(&mut self) {
        self.tell(Event::Stop);
        self.effects.push_back(Effect::StopAccepting);
        self.effects.push_back(Effect::Exit(Exit::Stopped));
    }

    fn tick_end(&mut self) {
        assert!(std::mem::take(&mut self.in_tick));
        let mut closing = Vec::new();
        for connection in self.connections.iter_mut().flatten() {
            if connection.sending || connection.closing {
                continue;
            }
            let id = connection.id;
            if connection.sent == connection.output.len() {
                connection.output = std::mem::take(&mut connection.next);
                connection.sent = 0;
            }
            if !connection.output.is_empty() {
                connection.sending = true;
                self.effects.push_back(Effect::Send(id));
            }
            if std::mem::take(&mut connection.fin) {
                self.effects.push_back(Effect::ShutdownWrite(id));
            } else if connection.broken || connection.ended && !connection.sending {
                closing.push(id);
            }
        }
        for id in closing {
            self.close(id);
        }
    }

    fn next_effect(&mut self) -> Option<Effect<Sleep>> {
        assert!(!self.in_tick);
        self.effects.pop_front()
    }

    fn output(&self, id: ConnectionId) -> &[u8] {
        let connection = self.connections[id.index as usize].as_ref().unwrap();
        &connection.output[connection.sent..]
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.deadlines.iter().map(|(at, _)| *at).min()
    }

    fn ready(&self) -> bool {
        false
    }
}

/// One core in a thread, or more of them, joined by channels.
pub struct Server {
    pub address: Address,
    pub events: mpsc::Receiver<Event>,
    pub control: Arc<Control>,
    threads: Vec<JoinHandle<Exit>>,
    _listeners: Listeners,
}

impl Server {
    pub fn start(driver: Driver, address: &str) -> Server {
        Server::start_with(driver, address, 1, usize::MAX)
    }

    pub fn start_with(driver: Driver, address: &str, cores: usize, bound: usize) -> Server {
        let mut listeners = Listeners::bind(&[address.parse().unwrap()], cores).unwrap();
        let control = Control::new(cores).unwrap();
        let (sender, events) = mpsc::channel();
        let mut peers: Vec<Vec<(usize, OwnedFd, Channel)>> =
            (0..cores).map(|_| Vec::new()).collect();
        for a in 0..cores {
            for b in 0..a {
                let (to_a, to_b) = UnixStream::pair().unwrap();
                let (end_a, end_b) = Channel::pair().unwrap();
                peers[a].push((b, to_b.into(), end_a));
                peers[b].push((a, to_a.into(), end_b));
            }
        }
        let threads = peers
            .into_iter()
            .enumerate()
            .map(|(core, peers)| {
                let events = sender.clone();
                let control = control.clone();
                let listeners = listeners.take(core);
                std::thread::spawn(move || {
                    driver.run(Setup {
                        machine: Scripted::new(events, bound),
                        listeners,
                        peers,
                        link_listener: None,
                        link_paths: Vec::new(),
                        upstreams: None,
                        engine: None,
                        control,
                        core,
                    })
                })
            })
            .collect();
        Server {
            address: listeners.addresses()[0].clone(),
            events,
            control,
            threads,
            _listeners: listeners,
        }
    }

    /// One core that listens on a link socket, and knows those of others.
    pub fn start_linked(
        driver: Driver,
        bound: usize,
        link_listener: Option<OwnedFd>,
        link_paths: Vec<PathBuf>,
    ) -> Server {
        Server::start_one(driver, bound, link_listener, link_paths, None)
    }

    /// One core that knows two upstreams.
    pub fn start_paying(driver: Driver, bound: usize, upstreams: [Upstream; 2]) -> Server {
        let upstreams = Some(upstreams.map(Arc::new));
        Server::start_one(driver, bound, None, Vec::new(), upstreams)
    }

    fn start_one(
        driver: Driver,
        bound: usize,
        link_listener: Option<OwnedFd>,
        link_paths: Vec<PathBuf>,
        upstreams: Option<[Arc<Upstream>; 2]>,
    ) -> Server {
        let mut listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
        let control = Control::new(1).unwrap();
        let (sender, events) = mpsc::channel();
        let setup = Setup {
            machine: Scripted::new(sender, bound),
            listeners: listeners.take(0),
            peers: Vec::new(),
            link_listener,
            link_paths,
            upstreams,
            engine: None,
            control: control.clone(),
            core: 0,
        };
        Server {
            address: listeners.addresses()[0].clone(),
            events,
            control,
            threads: vec![std::thread::spawn(move || driver.run(setup))],
            _listeners: listeners,
        }
    }

    pub fn connect(&self) -> Client {
        connect(&self.address)
    }

    /// Waits for an event, passing over others.
    pub fn await_event(&self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.events.recv_timeout(PATIENCE).expect("the event");
            if wanted(&event) {
                return event;
            }
        }
    }

    pub fn stop(self) {
        self.control.stop();
        for thread in self.threads {
            assert_eq!(thread.join().unwrap(), Exit::Stopped);
        }
        let stops = self.events.iter().filter(|event| *event == Event::Stop);
        assert!(stops.count() >= 1);
    }
}

pub fn connect(address: &Address) -> Client {
    let address = galo_testkit::Address::parse(&address.to_string());
    Client::open(&address).unwrap()
}
