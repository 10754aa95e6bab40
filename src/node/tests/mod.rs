//! Tests of the node with its files, one file per theme, and the driver that they share: sockets are
//! byte strings, a disk does what it is told, and time stands still until it is told to pass.

mod anything;
mod bounds;
mod deadlines;
mod durability;
mod links;

mod pipelining;
mod stopping;
mod storage_full;

use std::collections::VecDeque;
use std::sync::Arc;

use tempfile::TempDir;

use super::{Durability, Members, Settings};
use crate::api::operations::Process;
use crate::clients::CONTEST;
use crate::host::Host;
use crate::io::{ConnectionId, Effect, Exit, Job as _, Machine, Now, Peer};
use crate::limits::{RECEIVE_BUFFER_BYTES, SECOND_NS};
use crate::shard::tests::faulty::{Faulty, Write};
use crate::shard::{self, Acquired, Directory, Done, Job, Meta};
use crate::stats::Stats;

/// More ticks than any of these tests needs without time passing: beyond, a core is spinning.
const TICKS_MAX: usize = 2000;
/// 2024-01-01.
const TIME_US: u64 = 1_704_067_200_000_000;

/// What a [`Rig`] is made with.
#[derive(Clone, Copy)]
struct Plan {
    cores: usize,
    shards: usize,
    durability: Durability,
}

/// One core with one shard, durability `process`.
const ONE: Plan = Plan {
    cores: 1,
    shards: 1,
    durability: Durability::Process,
};

/// The cores of one process, linked, without a kernel.
struct Rig {
    _dir: TempDir,
    /// By shard.
    disks: Vec<Faulty>,
    cores: Vec<Core>,
    now_ns: u64,
    stats: Arc<Stats>,
}

/// One core, and what a driver would keep for it.
struct Core {
    host: Host<Faulty>,
    sockets: Vec<Socket>,
    /// The machine is still to be told.
    sent: Vec<(ConnectionId, Result<usize, ()>)>,
    closed: Vec<ConnectionId>,
    done: VecDeque<Done<Faulty>>,
    /// Not begun: see [`Rig::disk_stuck`].
    jobs: VecDeque<Job<Faulty>>,
    disk_stuck: bool,
    accepting: bool,
    exit: Option<Exit>,
}

/// Our end of a connection.
struct Socket {
    id: ConnectionId,
    /// The core and the socket at the other end, if that is a core.
    linked: Option<(usize, usize)>,
    /// From the peer, not yet delivered.
    inbound: Vec<u8>,
    /// The peer sent FIN behind it.
    ended: bool,
    /// The end was delivered.
    end_told: bool,
    /// To the peer, a client.
    outbound: Vec<u8>,
    /// Bytes that the peer will still take.
    room: usize,
    /// A send waits for room.
    sending: bool,
    reading: bool,
    /// We sent FIN.
    finished: bool,
    closed: bool,
}

/// A client's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Client {
    core: usize,
    socket: usize,
}

/// A reply as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Rig {
    fn new(plan: Plan) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let meta = Meta {
            directory: 7,
            shards: plan.shards as u32,
        };
        let disks: Vec<Faulty> = (0..plan.shards).map(|_| Faulty::default()).collect();
        shard::create(&disks[0], &data, &meta, &CONTEST).unwrap();
        let stats = Arc::new(Stats::new(&Members::alone(0, plan.cores, plan.shards)));
        let core = |core: usize| {
            let settings = Settings {
                members: Members::alone(core, plan.cores, plan.shards),
                epoch: 0,
                directory: meta.directory,
                durability: plan.durability,
                allow_reset: true,
                process: Process {
                    version: "0",
                    git_hash: "0",
                    driver: "test",
                    started_us: TIME_US,
                    resident_bytes: || 0,
                    stats: stats.clone(),
                },
            };
            let own = (core..plan.shards).step_by(plan.cores);
            let directory = |shard: usize| Directory {
                disk: disks[shard].clone(),
                path: data.clone(),
                meta,
                card: format!("core {core}"),
            };
            let owned = own.map(
                |shard| match directory(shard).acquire(shard as u32).unwrap() {
                    Acquired::Ours(owned) => *owned,
                    Acquired::Held(card) => panic!("{card} has it"),
                },
            );
            Core {
                host: Host::new(settings, directory(0), owned.collect(), || 0),
                sockets: Vec::new(),
                sent: Vec::new(),
                closed: Vec::new(),
                done: VecDeque::new(),
                jobs: VecDeque::new(),
                disk_stuck: false,
                accepting: true,
                exit: None,
            }
        };
        let mut rig = Rig {
            cores: (0..plan.cores).map(core).collect(),
            disks,
            _dir: dir,
            now_ns: SECOND_NS,
            stats,
        };
        for one in 0..plan.cores {
            for other in one + 1..plan.cores {
                let (ours, theirs) = (
                    rig.open(one, Peer::Member(other)),
                    rig.open(other, Peer::Member(one)),
                );
                rig.cores[one].sockets[ours].linked = Some((other, theirs));
                rig.cores[other].sockets[theirs].linked = Some((one, ours));
            }
        }
        for core in 0..plan.cores {
            rig.tick(core, |_| ()); // Begins to greet.
        }
        rig.run();
        rig
    }

    fn open(&mut self, core: usize, peer: Peer) -> usize {
        let now = self.now();
        let core = &mut self.cores[core];
        core.host.tick_begin(now);
        let id = core.host.opened(peer).expect("room for a connection");
        core.sockets.push(Socket {
            id,
            linked: None,
            inbound: Vec::new(),
            ended: false,
            end_told: false,
            outbound: Vec::new(),
            room: usize::MAX,
            sending: false,
            reading: true,
            finished: false,
            closed: false,
        });
        core.host.tick_end();
        core.sockets.len() - 1
    }

    // ---- What a test does ----------------------------------------------------

    fn connect(&mut self, core: usize) -> Client {
        assert!(self.cores[core].accepting);
        let socket = self.open(core, Peer::Client);
        Client { core, socket }
    }

    /// Bytes of a client, to be delivered by the next tick together with everybody else's.
    fn send(&mut self, client: Client, bytes: impl AsRef<[u8]>) {
        self.socket(client)
            .inbound
            .extend_from_slice(bytes.as_ref());
    }

    /// The client sends FIN, and goes on reading.
    fn finish(&mut self, client: Client) {
        self.socket(client).ended = true;
    }

    /// The client takes `bytes` more, then no more.
    fn take_only(&mut self, client: Client, bytes: usize) {
        self.socket(client).room = bytes;
    }

    /// From now on, what the core hands to its background thread is not begun; or it is again.
    fn disk_stuck(&mut self, core: usize, stuck: bool) {
        self.cores[core].disk_stuck = stuck;
    }

    /// The next write to a shard's files finds no room.
    fn disk_full_once(&mut self, shard: usize) {
        let mut plan = self.disks[shard].0.lock().unwrap();
        plan.writes.push_back(Write::Fails(libc::ENOSPC));
    }

    fn stop(&mut self) {
        for core in 0..self.cores.len() {
            self.tick(core, Host::stop);
        }
        self.run();
    }

    /// The core is gone, and its sockets with it.
    fn kill(&mut self, core: usize) {
        self.cores[core].exit = Some(Exit::Stopped);
        self.hang_up(core);
    }

    /// Ticks until nothing happens any more without time passing.
    fn run(&mut self) {
        for _ in 0..TICKS_MAX {
            let mut idle = true;
            for core in 0..self.cores.len() {
                if self.cores[core].has_events(self.now_ns) {
                    idle = false;
                    self.tick(core, |_| ());
                }
            }
            if idle {
                return;
            }
        }
        panic!("a core spins");
    }

    /// Time passes, with a tick whenever a core wants one.
    fn pass(&mut self, ns: u64) {
        let end_ns = self.now_ns + ns;
        loop {
            self.run();
            let running = self.cores.iter().filter(|core| core.exit.is_none());
            match running.filter_map(|core| core.host.deadline_ns()).min() {
                Some(next_ns) if next_ns <= end_ns => self.now_ns = next_ns,
                _ => break,
            }
        }
        self.now_ns = end_ns;
        self.run();
    }

    /// Time passes without a tick: the process is paused. Then it goes on.
    fn pause(&mut self, ns: u64) {
        self.now_ns += ns;
        for core in 0..self.cores.len() {
            self.tick(core, |_| ());
        }
        self.run();
    }

    // ---- What a test sees ------------------------------------------------------

    /// What the client has got since the last call, as replies.
    fn replies(&mut self, client: Client) -> Vec<Reply> {
        let bytes = std::mem::take(&mut self.socket(client).outbound);
        let mut rest = std::str::from_utf8(&bytes).unwrap();
        let mut replies = Vec::new();
        while !rest.is_empty() {
            let (head, behind) = rest.split_once("\r\n\r\n").expect("a whole head");
            let status = head[9..12].parse().unwrap();
            let length = head
                .split("Content-Length: ")
                .nth(1)
                .map_or(0, |length| length.lines().next().unwrap().parse().unwrap());
            let (body, behind) = behind.split_at(length);
            rest = behind;
            replies.push(Reply {
                status,
                head: head.to_owned(),
                body: body.to_owned(),
            });
        }
        replies
    }

    fn statuses(&mut self, client: Client) -> Vec<u16> {
        self.replies(client).iter().map(|it| it.status).collect()
    }

    /// One request, one reply.
    fn ask(&mut self, client: Client, request: impl AsRef<[u8]>) -> Reply {
        self.send(client, request);
        self.run();
        let mut replies = self.replies(client);
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.remove(0)
    }

    fn is_closed(&mut self, client: Client) -> bool {
        self.socket(client).closed
    }

    fn exit(&self, core: usize) -> Option<&Exit> {
        self.cores[core].exit.as_ref()
    }

    fn socket(&mut self, client: Client) -> &mut Socket {
        &mut self.cores[client.core].sockets[client.socket]
    }

    // ---- A driver's loop ---------------------------------------------------------

    fn now(&self) -> Now {
        Now {
            monotonic_ns: self.now_ns,
            realtime_us: TIME_US + self.now_ns / 1000,
        }
    }

    fn tick(&mut self, index: usize, event: impl FnOnce(&mut Host<Faulty>)) {
        let now = self.now();
        let core = &mut self.cores[index];
        core.host.tick_begin(now);
        core.feed();
        event(&mut core.host);
        core.host.tick_end();
        while let Some(effect) = self.cores[index].host.next_effect() {
            self.carry_out(index, effect);
        }
    }

    fn carry_out(&mut self, index: usize, effect: Effect<Job<Faulty>>) {
        let core = &mut self.cores[index];
        let of = |id: ConnectionId, sockets: &[Socket]| {
            let at = sockets.iter().rposition(|it| it.id == id && !it.closed);
            at.expect("an effect is for an open socket")
        };
        match effect {
            Effect::Connect(_) => unreachable!("cores of one process are linked from the start"),
            Effect::Send(id) => {
                let at = of(id, &core.sockets);
                assert!(!core.sockets[at].sending, "one send at a time");
                core.sockets[at].sending = true;
                self.try_send(index, at);
            }
            Effect::Pause(id) => {
                let at = of(id, &core.sockets);
                core.sockets[at].reading = false;
            }
            Effect::Resume(id) => {
                let at = of(id, &core.sockets);
                core.sockets[at].reading = true;
            }
            Effect::ShutdownWrite(id) => {
                let at = of(id, &core.sockets);
                assert!(!core.sockets[at].sending);
                core.sockets[at].finished = true;
            }
            Effect::Close(id) => {
                let at = of(id, &core.sockets);
                core.sockets[at].closed = true;
                core.closed.push(id);
                core.sent.retain(|(other, _)| *other != id);
                self.tell_peer_of_end(index, at);
            }
            Effect::Start(job) => core.jobs.push_back(job),
            Effect::StopAccepting => core.accepting = false,
            Effect::Exit(exit) => {
                core.exit = Some(exit);
                self.hang_up(index);
            }
        }
    }

    fn try_send(&mut self, index: usize, at: usize) {
        let core = &mut self.cores[index];
        let socket = &mut core.sockets[at];
        let bytes = core.host.output(socket.id);
        assert!(!bytes.is_empty());
        let taken = bytes.len().min(socket.room);
        if taken == 0 {
            return;
        }
        let bytes = bytes[..taken].to_vec();
        socket.room -= if socket.room == usize::MAX { 0 } else { taken };
        socket.sending = false;
        core.sent.push((socket.id, Ok(taken)));
        match socket.linked {
            None => socket.outbound.extend_from_slice(&bytes),
            Some((other, theirs)) => {
                let theirs = &mut self.cores[other].sockets[theirs];
                theirs.inbound.extend_from_slice(&bytes);
            }
        }
    }

    fn hang_up(&mut self, index: usize) {
        for at in 0..self.cores[index].sockets.len() {
            self.cores[index].sockets[at].closed = true;
            self.tell_peer_of_end(index, at);
        }
    }

    fn tell_peer_of_end(&mut self, index: usize, at: usize) {
        if let Some((other, theirs)) = self.cores[index].sockets[at].linked {
            self.cores[other].sockets[theirs].ended = true;
        }
    }
}

impl Core {
    fn has_events(&self, now_ns: u64) -> bool {
        self.exit.is_none()
            && (self.host.ready()
                || self.host.deadline_ns().is_some_and(|at| at <= now_ns)
                || !self.sent.is_empty()
                || !self.closed.is_empty()
                || !self.done.is_empty()
                || (!self.jobs.is_empty() && !self.disk_stuck)
                || self.sockets.iter().any(Socket::has_events))
    }

    /// All that has happened since the last tick.
    fn feed(&mut self) {
        for (id, sent) in self.sent.drain(..) {
            self.host.sent(id, sent);
        }
        for id in self.closed.drain(..) {
            self.host.closed(id);
        }
        for socket in &mut self.sockets {
            if socket.closed {
                continue;
            }
            if socket.sending && socket.room > 0 {
                let bytes = self.host.output(socket.id);
                let taken = bytes.len().min(socket.room);
                socket.outbound.extend_from_slice(&bytes[..taken]);
                socket.room -= if socket.room == usize::MAX { 0 } else { taken };
                socket.sending = false;
                self.host.sent(socket.id, Ok(taken));
            }
            if !socket.reading {
                continue;
            }
            for bytes in std::mem::take(&mut socket.inbound).chunks(RECEIVE_BUFFER_BYTES) {
                self.host.received(socket.id, bytes);
            }
            if socket.ended && !std::mem::replace(&mut socket.end_told, true) {
                self.host.input_ended(socket.id, false);
            }
        }
        if !self.disk_stuck {
            self.done.extend(self.jobs.drain(..).map(|job| job.run()));
        }
        for done in self.done.drain(..) {
            self.host.job_done(done);
        }
    }
}

impl Socket {
    fn has_events(&self) -> bool {
        let readable = !self.inbound.is_empty() || (self.ended && !self.end_told);
        !self.closed && ((self.reading && readable) || (self.sending && self.room > 0))
    }
}

// ---- Requests ------------------------------------------------------------------

fn transact(client: u32, kind: char, amount: i64) -> String {
    let body = format!("{{\"valor\":{amount},\"tipo\":\"{kind}\",\"descricao\":\"descricao\"}}");
    format!(
        "POST /clientes/{client}/transacoes HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn statement(client: u32) -> String {
    get(&format!("/clientes/{client}/extrato"))
}

fn reset() -> &'static str {
    "POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
}

impl Reply {
    /// Of a transaction's or a statement's body.
    #[track_caller]
    fn balance(&self) -> i64 {
        assert_eq!(self.status, 200, "{self:?}");
        let key = if self.body.contains("\"total\":") {
            "\"total\":"
        } else {
            "\"saldo\":"
        };
        let behind = self.body.split(key).nth(1).expect("a balance");
        let digits = behind.find([',', '}']).unwrap();
        behind[..digits].parse().unwrap()
    }

    fn closes(&self) -> bool {
        self.head.contains("\r\nConnection: close")
    }
}
