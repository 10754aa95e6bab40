//! The node: the deterministic machine that a core runs.
//!
//! Bytes of a connection come in, are parsed into requests, each request is applied to a shard at
//! once and its reply written behind the connection's earlier ones; nothing leaves before the end
//! of the tick, when what the tick journalled has been written ([`Node::release`]). No I/O, no
//! clock, no thread: files are [`crate::host`]'s, sockets are [`crate::io`]'s.
//!
//! The path of a request: [`Node::received`] → [`Node::process_input`] (parse, one by one) →
//! [`Node::request`] (route) → [`Node::execute`] (apply) → [`Node::release`] (reply).

mod buffers;
mod commit;
mod connection;
mod encoder;
mod gateway;
mod inquiries;
mod lifecycle;
pub mod link;
mod links;
mod ownership;
mod questions;
mod replies;
mod requests;
mod resets;
mod routes;
mod settings;

use std::collections::VecDeque;

use crate::limits::{IDLE_NS_MAX, LINKERS_MAX, RECEIVE_BYTES_SCARCE, SEND_NS_MAX};
use crate::machine::{ConnectionId, Effect, Now, Peer, Target};
use crate::payments::Processor;
use crate::shard::Shard;
use crate::stats::CoreStats;
use commit::CommitGate;
use connection::{Arriving, Connections, State};
use encoder::Encoder;
pub use settings::{Durability, Payments, Settings};

use gateway::Processors;
use inquiries::Inquiries;
use lifecycle::Stop;
use links::Link;
use ownership::ShardOwnership;
use questions::Questions;
use resets::Reset;
use routes::Route;

/// Sent, without looking at what it asks, to a client beyond the bound.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/json\r\nContent-Length: 71\r\nRetry-After: 1\r\n\
    Connection: close\r\n\r\n\
    {\"error\":\"too many connections\",\"rule\":\"12000 at a time for each core\"}";

/// See the module.
pub struct Node<J> {
    settings: Settings,
    /// By number: those that are ours.
    shards: Vec<Option<Shard>>,
    /// By shard.
    ownerships: Vec<ShardOwnership>,
    /// By shard.
    routes: Vec<Route>,
    /// In all routes.
    commands: usize,
    connections: Connections,
    /// By member; our own place is never used.
    links: Vec<Link>,
    processors: Processors,
    now: Now,
    /// Decoded chunked bodies.
    decoded: Vec<u8>,
    encoder: Encoder,
    commit: CommitGate,
    /// Connections that this tick has to look at before it ends.
    dirty: Vec<ConnectionId>,
    /// Connections that wait for their turn in a later tick: this one had done its part for them, or a
    /// shard took no more.
    postponed: VecDeque<ConnectionId>,
    /// Counts ticks.
    tick: u32,
    /// What this tick did for clients and members so far; see [`crate::limits::TICK_WORK_MAX`].
    work: u32,
    /// Closed for what they held, and not yet logged; and when the last line was. Monotonic.
    evicted: (u64, u64),
    /// Buffers were scarce, and what was freed since may still be with the allocator.
    untrimmed: bool,
    /// Shards that this tick resets.
    resets: Vec<Reset>,
    /// Of our clients, to the owners of shards.
    inquiries: Inquiries,
    /// To us, of shards of ours.
    questions: Questions,
    /// Shards that we want to own: for the host to try.
    wanted: Vec<u32>,
    effects: VecDeque<Effect<J>>,
    /// Not after the earliest deadline of any connection.
    sweep_ns: u64,
    /// Not after the earliest time at which a command's time is over.
    expire_ns: u64,
    /// Not after the earliest time at which an inquiry's or a question's time is over, or one is to be
    /// asked again.
    inquire_ns: u64,
    /// Not after the earliest time to connect, to try for a shard, or to offer one.
    timers_ns: u64,
    /// Not after the earliest time to look at payments that wait.
    pay_ns: u64,
    /// The last line about a peer that is not as it should be, and when it was logged.
    complaint: Option<(String, u64)>,
    started: bool,
    stop: Option<Stop>,
}

impl<J> Node<J> {
    /// `shards`: those that are ours at the start.
    pub fn new(settings: Settings, shards: Vec<Shard>) -> Node<J> {
        let members = &settings.members;
        assert!(members.core < members.cores && members.node < members.nodes.len());
        let places = members.shards;
        let mut node = Node {
            shards: (0..places).map(|_| None).collect(),
            ownerships: vec![ShardOwnership::new(); places],
            routes: (0..places).map(|_| Route::new()).collect(),
            commands: 0,
            links: (0..members.count()).map(|_| Link::new()).collect(),
            questions: Questions::new(members.count(), places),
            processors: Processors::new(members.count(), places),
            commit: CommitGate::new(places),
            settings,
            connections: Connections::default(),
            now: Now::default(),
            encoder: Encoder::new(),
            decoded: Vec::new(),
            dirty: Vec::new(),
            postponed: VecDeque::new(),
            tick: 0,
            work: 0,
            evicted: (0, 0),
            untrimmed: false,
            resets: Vec::new(),
            inquiries: Inquiries::default(),
            wanted: Vec::new(),
            effects: VecDeque::new(),
            sweep_ns: u64::MAX,
            expire_ns: u64::MAX,
            inquire_ns: u64::MAX,
            timers_ns: u64::MAX,
            pay_ns: u64::MAX,
            complaint: None,
            started: false,
            stop: None,
        };
        for shard in shards {
            let number = shard.identity().shard as usize;
            node.commit.owned(&shard);
            node.shards[number] = Some(shard);
            node.owned_by_us(number);
        }
        node.acquire_first();
        node.dial_first();
        node
    }

    fn stats(&self) -> &CoreStats {
        self.settings.process.stats.core(self.settings.members.core)
    }

    // ---- Events ------------------------------------------------------------

    /// See [`crate::machine::Machine::tick_begin`].
    pub fn tick_begin(&mut self, now: Now) {
        debug_assert!(now.monotonic_ns >= self.now.monotonic_ns);
        self.now = now;
        self.tick = self.tick.wrapping_add(1);
        self.work = 0;
        self.encoder.date.update(now.realtime_us);
        if let Some(step_us) = self
            .settings
            .process
            .stats
            .clock_seen(now.monotonic_ns, now.realtime_us)
        {
            log::warn!(
                "the clock has stepped by {:+.3} s (or the machine slept): moments that clients see follow it, durations do not",
                step_us as f64 / 1e6
            );
        }
        if !std::mem::replace(&mut self.started, true) {
            for shard in self.shards.iter_mut().flatten() {
                shard.tell_time(now);
            }
            self.started();
            self.health_put_off();
        }
        if !self.processors.findings.is_empty() || !self.processors.told.is_empty() {
            self.resume_findings();
        }
        if !self.resets.is_empty() {
            self.resume_resets();
        }
        self.run_timers();
        self.take_turns();
    }

    /// See [`crate::machine::Machine::opened`].
    pub fn opened(&mut self, peer: Peer) -> Result<ConnectionId, &'static [u8]> {
        let deadline_ns = self.now.monotonic_ns + IDLE_NS_MAX;
        if self.is_past_grace() && peer == Peer::Client {
            return Err(b"");
        }
        let linkers_max = self.settings.members.count() + LINKERS_MAX;
        let Some(connection) = self.connections.open(peer, linkers_max, deadline_ns) else {
            if peer == Peer::Linker {
                return Err(b"");
            }
            self.stats().connections_refused.add(1);
            return Err(TOO_MANY_CONNECTIONS);
        };
        let id = connection.id;
        match peer {
            Peer::Client => {
                self.sweep_ns = self.sweep_ns.min(deadline_ns);
                self.stats().connections_total.add(1);
                self.stats()
                    .connections
                    .set(self.connections.clients() as u64);
            }
            Peer::Member(_) | Peer::Linker => self.link_opened(id, peer),
            Peer::Upstream(number) => self.processor_opened(id, Processor::ALL[number]),
        }
        Ok(id)
    }

    /// See [`crate::machine::Machine::connect_failed`].
    pub fn connect_failed(&mut self, target: Target) {
        match target {
            Target::Member(member) => self.link_failed(member),
            Target::Upstream(number) => self.processor_failed(Processor::ALL[number]),
        }
    }

    /// See [`crate::machine::Machine::received`].
    pub fn received(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let index = id.index as usize;
        if connection.state == State::Finishing {
            // It is still sending: closing at once would reset it before it has read its reply.
            connection.state = State::Refusing;
        }
        if connection.state != State::Open {
            return; // Read and thrown away.
        }
        if let Peer::Upstream(number) = connection.peer {
            return self.processor_received(index, Processor::ALL[number], bytes);
        }
        if connection.input.is_empty() {
            let taken = self.process_input(index, bytes);
            self.keep(index, &bytes[taken..]);
        } else {
            connection.input.extend_from_slice(bytes);
            self.resume(index);
        }
    }

    /// See [`crate::machine::Machine::input_ended`].
    pub fn input_ended(&mut self, id: ConnectionId, reset: bool) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        connection.input_ended = true;
        let peer = connection.peer;
        if let Peer::Member(member) = peer {
            self.link_lost(member, id);
        }
        // A client may close one half and read on; a core that says nothing more is gone.
        if reset || peer != Peer::Client {
            self.close(id.index as usize);
        } else {
            self.mark_dirty(id.index as usize);
        }
    }

    /// See [`crate::machine::Machine::sent`].
    pub fn sent(&mut self, id: ConnectionId, bytes: Result<usize, ()>) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let index = id.index as usize;
        let Ok(bytes) = bytes else {
            let peer = connection.peer;
            if let Peer::Member(member) = peer {
                self.link_lost(member, id);
            }
            return self.close(index);
        };
        if connection.state == State::Closing {
            return;
        }
        let now_ns = self.now.monotonic_ns;
        let (connection, buffers) = self.connections.with_buffers(index);
        if bytes > 0 {
            connection.progress_ns = now_ns;
        }
        if connection.output.sent(bytes, buffers) {
            // Who has yet to greet gains no time by being greeted.
            let is_client = connection.peer == Peer::Client;
            if is_client && connection.arriving == Arriving::Nothing {
                self.expect_arrival(index, IDLE_NS_MAX);
            } else {
                self.sweep_ns = self.sweep_ns.min(connection.arrival_deadline_ns);
            }
            self.mark_dirty(index);
            // What it has sent behind that waits its turn: one that has little to be sent at a time would
            // otherwise be served once for each event, as often as those who have just asked.
            if is_client && !self.connections[index].input.is_empty() {
                self.postpone(index);
            } else {
                self.resume(index);
            }
        } else {
            connection.send_deadline_ns = self.now.monotonic_ns + SEND_NS_MAX;
            self.effects.push_back(Effect::Send(id));
        }
    }

    /// See [`crate::machine::Machine::closed`].
    pub fn closed(&mut self, id: ConnectionId) {
        if self.connections.get(id).is_some() {
            self.connections.free(id.index as usize);
            self.stats()
                .connections
                .set(self.connections.clients() as u64);
        }
    }

    /// Carries out what waits for our own shards, connects to whom it is time to connect to, tries for
    /// shards that it is time to try for, and gives away what it is time to give away.
    fn run_timers(&mut self) {
        if self.commands > 0 {
            for shard in 0..self.routes.len() {
                self.carry_out_pending(shard);
            }
        }
        let now_ns = self.now.monotonic_ns;
        if self.timers_ns > now_ns {
            return;
        }
        self.dial();
        self.acquire();
        if self.stop.is_none() {
            self.return_home();
        }
        let dials = self.links.iter().map(Link::dial_ns);
        let offers = self.links.iter().filter_map(|link| link.offer_ns(now_ns));
        let tries = self.ownerships.iter().map(ShardOwnership::try_ns);
        self.timers_ns = dials.chain(offers).chain(tries).min().unwrap_or(u64::MAX);
    }

    // ---- What the host needs -----------------------------------------------------

    /// Our shards, ascending.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().flatten()
    }

    /// One of them, between ticks: its batch is written or refused.
    pub fn shard_mut(&mut self, shard: usize) -> &mut Shard {
        self.shard(shard)
    }

    /// Counters of this core.
    pub fn core_stats(&self) -> &CoreStats {
        self.stats()
    }

    /// Where effects are put, in order.
    pub fn effects(&mut self) -> &mut VecDeque<Effect<J>> {
        &mut self.effects
    }

    /// The time of this tick.
    pub fn now(&self) -> Now {
        self.now
    }

    /// See [`crate::machine::Machine::output`].
    pub fn output(&self, id: ConnectionId) -> &[u8] {
        let connection = &self.connections[id.index as usize];
        debug_assert_eq!(connection.id, id);
        connection.output.sending()
    }

    /// See [`crate::machine::Machine::receive_bytes_max`].
    pub fn receive_bytes_max(&self) -> usize {
        match self.connections.scarce() {
            true => RECEIVE_BYTES_SCARCE,
            false => usize::MAX,
        }
    }

    /// See [`crate::machine::Machine::deadline_ns`].
    pub fn deadline_ns(&self) -> Option<u64> {
        let events = [self.sweep_ns, self.expire_ns, self.timers_ns];
        let events = events.into_iter().chain([self.inquire_ns, self.pay_ns]);
        let next_ns = events.min().expect("there are some");
        (next_ns != u64::MAX).then_some(next_ns)
    }

    /// See [`crate::machine::Machine::ready`].
    pub fn ready(&self) -> bool {
        !self.postponed.is_empty()
            || !self.resets.is_empty()
            || self.processors.is_ready()
            || (self.commands > 0 && self.routes.iter().any(Route::has_work_for_us))
    }
}

#[cfg(test)]
mod tests;
