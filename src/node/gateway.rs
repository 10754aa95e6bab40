//! The connections to the payment processors, and what is under way on each of them.
//!
//! A connection carries one request at a time, and then the next one, of whatever kind: a payment
//! ([`dispatch`], [`attempts`]), a query about one ([`status_queries`]), or about health
//! ([`health`]). One is made only when something waits for it, so that there are never more than
//! were of use at once. A payment is not bound to a processor before there is a connection to send it on:
//! one that cannot be reached has nothing of ours.

mod anomalies;
mod attempts;
mod dispatch;
mod health;
mod settlement;
mod status_queries;

use std::collections::{BTreeMap, VecDeque};

use super::event::NodeEvent;
use super::settings::{PaymentSettings, Settings};
use super::shards::Shards;
use super::transport::commit::Dependency;
use super::transport::Transport;
use crate::http::client::{parse_reply, write_request, Outgoing, Response, RetryAfter};
use crate::limits::{
    PROBE_NS_MIN, PROCESSOR_BUFFERS_BYTES_MAX, PROCESSOR_IDLE_NS_MAX, PROCESSOR_PARALLEL_MAX,
};
use crate::machine::{ConnectionId, Effect, Target};
use crate::payments::circuit::{AttemptOutcome, Circuit};
use crate::payments::{PaymentId, Processor};
use attempts::Attempt;
use health::ProcessorHealth;
use settlement::Confirmation;
use status_queries::{StatusQueries, StatusQuery};

impl Settings {
    /// How payments are carried out, where they are.
    fn payments(&self) -> &PaymentSettings {
        let payments = self.payments.as_ref();
        payments.expect("nothing is sent to processors that are not set")
    }
}

/// How a record begins with which TLS refuses what is none (RFC 8446, section 5.1): an alert, of any version.
const TLS_ALERT: [u8; 2] = [21, 3];

/// What this core knows of the processors, and wants of them.
pub(in crate::node) struct Gateway {
    /// Indexed by `Processor as usize`.
    pub(in crate::node) upstreams: [UpstreamState; 2],
    /// What is under way, by the connection's index.
    work: Vec<Option<UpstreamWork>>,
    /// Bound in this tick: to be sent once the journal has that, each on its connection.
    pub(in crate::node) unsent: Vec<(Attempt, ConnectionId)>,
    /// Payments that a processor has, and that are not settled: the batch had no room.
    pub(in crate::node) confirmations: VecDeque<Confirmation>,
    /// Settled in this tick's batches: shard, processor, cents.
    pub(in crate::node) confirmed: Vec<(usize, Processor, u64)>,
    /// Answers to queries about payments that need no processor, for the next tick.
    pub(in crate::node) told: Vec<NodeEvent>,
    /// By shard: nothing of it is sent before this. Monotonic.
    pub(in crate::node) paused_ns: Vec<u64>,
    /// The shard whose turn is first.
    pub(in crate::node) first: usize,
    /// A batch took no more, and payments are left.
    pub(in crate::node) left: bool,
    /// The old payments are not counted again before this. Monotonic.
    pub(in crate::node) count_old_ns: u64,
    /// By processor: there were payments since it was last asked about its health.
    pub(in crate::node) busy: [bool; 2],
    /// A path or a body that is being made.
    pub(in crate::node) scratch: Vec<u8>,
    /// Not after the earliest time to look at payments that wait. Monotonic.
    pub(in crate::node) wake_ns: u64,
}

/// What is known of one processor, and under way there.
pub(in crate::node) struct UpstreamState {
    pub(in crate::node) circuit: Circuit,
    pub(in crate::node) window_max: u32,
    pool: Pool,
    /// Payments under way, or about to be.
    pub(in crate::node) under_way: u32,
    /// Payments that it may have, with no attempt under way, by when they are to be sent again, monotonic: their
    /// shards. One whose [`Course`](crate::shard::payments::Course) says another time is in here more than once.
    pub(in crate::node) retries: BTreeMap<(u64, PaymentId), usize>,
    /// While it does not work, none is sent again before this. Monotonic.
    pub(in crate::node) retry_ns: u64,
    /// From a retry that failed to the next.
    pub(in crate::node) retry_again_ns: u64,
    /// When it last carried out a payment. Monotonic.
    pub(in crate::node) done_ns: u64,
    /// As many refusals are taken for the payments' own faults.
    pub(in crate::node) spared: u32,
    /// It has said something that only a processor says.
    pub(in crate::node) understood: bool,
    /// Requests without an answer, one after the other.
    pub(in crate::node) silent: u32,
    pub(in crate::node) status_queries: StatusQueries,
    pub(in crate::node) health: ProcessorHealth,
}

/// The connections to one processor.
#[derive(Default)]
struct Pool {
    /// Without work; the one that was used last is the last.
    idle: Vec<ConnectionId>,
    /// On their way: when each was begun, oldest first. Monotonic.
    connecting: VecDeque<u64>,
    /// When the last one failed that counted.
    failed_ns: u64,
    /// Those that are wanted beside those that are there: for payments, and for queries.
    wanted: usize,
    wanted_beside: usize,
}

/// What a connection carries.
pub(in crate::node) enum UpstreamWork {
    Pay(Attempt),
    Status(StatusQuery),
    Health,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Answer<'a> {
    /// All of it is there.
    Whole {
        status: u16,
        retry_after: RetryAfter,
        body: &'a [u8],
    },
    /// Its head is, and the rest will not come.
    Head {
        status: u16,
    },
    /// It is no reply.
    Bad {
        tls: bool,
    },
    None,
}

impl UpstreamState {
    fn new(window_max: u32) -> UpstreamState {
        UpstreamState {
            circuit: Circuit::new(window_max),
            window_max,
            pool: Pool::default(),
            under_way: 0,
            retries: BTreeMap::new(),
            retry_ns: 0,
            retry_again_ns: PROBE_NS_MIN,
            done_ns: 0,
            spared: 0,
            understood: false,
            silent: 0,
            status_queries: StatusQueries::default(),
            health: ProcessorHealth::default(),
        }
    }

    /// A connection without work.
    pub(in crate::node) fn take_idle(&mut self) -> Option<ConnectionId> {
        self.pool.idle.pop()
    }

    /// None is without work, and some are on their way.
    pub(in crate::node) fn waits_for_connection(&self) -> bool {
        self.pool.idle.is_empty() && !self.pool.connecting.is_empty()
    }

    /// Not used after all.
    pub(in crate::node) fn give_back(&mut self, id: ConnectionId) {
        self.pool.idle.push(id);
    }
}

impl Gateway {
    /// `members`: who share what a processor may have at a time.
    pub(in crate::node) fn new(members: usize, shards: usize) -> Gateway {
        let window_max = (PROCESSOR_PARALLEL_MAX / members).max(1) as u32;
        Gateway {
            upstreams: [
                UpstreamState::new(window_max),
                UpstreamState::new(window_max),
            ],
            work: Vec::new(),
            unsent: Vec::new(),
            confirmations: VecDeque::new(),
            confirmed: Vec::new(),
            told: Vec::new(),
            paused_ns: vec![0; shards],
            first: 0,
            left: false,
            count_old_ns: 0,
            busy: [false; 2],
            scratch: Vec::new(),
            wake_ns: u64::MAX,
        }
    }

    pub(in crate::node) fn upstream(&mut self, processor: Processor) -> &mut UpstreamState {
        &mut self.upstreams[processor as usize]
    }

    /// What is under way on connections.
    pub(in crate::node) fn work(&self) -> impl Iterator<Item = &UpstreamWork> {
        self.work.iter().flatten()
    }

    /// What a connection carries leaves now: the journal may have taken its time since it was made.
    pub(in crate::node) fn request_leaves(&mut self, id: ConnectionId, now_ns: u64) {
        if let Some(UpstreamWork::Pay(attempt)) = &mut self.work[id.index as usize] {
            let circuit = &mut self.upstreams[attempt.order.to as usize].circuit;
            circuit.leaves(&mut attempt.ticket, now_ns);
        }
    }

    fn has_work(&self, index: usize) -> bool {
        self.work.get(index).is_some_and(Option::is_some)
    }

    /// The tick before has left something.
    pub(in crate::node) fn has_left(&self) -> bool {
        !self.confirmations.is_empty() || !self.told.is_empty()
    }

    /// Something is left that needs no event.
    pub(in crate::node) fn is_ready(&self) -> bool {
        self.left || self.has_left()
    }

    // ---- Connections -----------------------------------------------------------

    /// Makes the connections that are wanted, but for those that are on their way already.
    pub(in crate::node) fn connect_processors(&mut self, io: &mut Transport) {
        for processor in Processor::ALL {
            let now_ns = io.now.monotonic_ns;
            let upstream = self.upstream(processor);
            let wanted = std::mem::take(&mut upstream.pool.wanted);
            let beside = std::mem::take(&mut upstream.pool.wanted_beside);
            for _ in upstream.pool.connecting.len()..wanted + beside {
                upstream.pool.connecting.push_back(now_ns);
                let target = Target::Upstream(processor as usize);
                io.effects.push_back(Effect::Connect(target));
            }
        }
    }

    /// A connection to a processor is there.
    pub(in crate::node) fn processor_opened(
        &mut self,
        io: &mut Transport,
        id: ConnectionId,
        processor: Processor,
    ) {
        self.upstream(processor).pool.connecting.pop_front();
        self.processor_idle(io, id, processor);
    }

    /// A connection has no work: it waits for some, or is closed.
    fn processor_idle(&mut self, io: &mut Transport, id: ConnectionId, processor: Processor) {
        let index = id.index as usize;
        if io.stop.is_some() {
            return io.close(index);
        }
        io.expect_arrival(index, PROCESSOR_IDLE_NS_MAX);
        self.upstream(processor).pool.idle.push(id);
    }

    /// A connection to a processor could not be made: nothing was sent.
    pub(in crate::node) fn processor_failed(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        processor: Processor,
    ) {
        let now_ns = io.now.monotonic_ns;
        let upstream = self.upstream(processor);
        let began_ns = upstream.pool.connecting.pop_front().unwrap_or(now_ns);
        // Those that were under way when one failed have no news; nor have those that were made for
        // queries while no payment may be sent.
        let is_news = began_ns >= upstream.pool.failed_ns;
        if is_news && upstream.circuit.has_room(upstream.under_way, now_ns) {
            upstream.pool.failed_ns = now_ns;
            let ticket = upstream.circuit.sent(now_ns);
            upstream
                .circuit
                .ended(ticket, AttemptOutcome::Failed, now_ns);
        }
        // One of those who wait for a connection goes without, or it would be tried again and again.
        if let Some(status_query) = upstream.status_queries.next() {
            self.status_unknown(io, shards, processor, status_query);
        } else {
            upstream.health.wanted = false;
        }
        let stats = &io.stats().payments.processors[processor as usize];
        stats.failed.add(1);
    }

    /// A connection to a processor is being closed: what it carries is over.
    pub(in crate::node) fn processor_closed(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        index: usize,
        processor: Processor,
    ) {
        if !self.has_work(index) {
            let id = io.connections[index].id;
            return self.upstream(processor).pool.idle.retain(|it| *it != id);
        }
        let input = std::mem::take(&mut io.connections[index].input.bytes);
        self.take_reply(io, shards, index, processor, &input, true);
        io.connections.buffers.give(input);
    }

    /// A shard is not ours any more: requests for its payments that have not left do not leave.
    pub(in crate::node) fn withdraw(&self, io: &mut Transport, shard: usize) {
        for (index, work) in self.work.iter().enumerate() {
            let is_its =
                matches!(work, Some(UpstreamWork::Pay(attempt)) if attempt.order.shard == shard);
            if is_its && io.connections[index].output.has_unreleased() {
                io.close(index);
            }
        }
    }

    /// Of a stop: nothing is sent any more, and what is under way may end.
    pub(in crate::node) fn stop_processors(&mut self, io: &mut Transport, shards: &mut Shards) {
        for processor in Processor::ALL {
            for id in std::mem::take(&mut self.upstream(processor).pool.idle) {
                io.close(id.index as usize);
            }
            while let Some(status_query) = self.upstream(processor).status_queries.next() {
                self.status_unknown(io, shards, processor, status_query);
            }
        }
    }

    // ---- Requests and replies --------------------------------------------------

    /// Writes a request to a connection that has no other; the peer has so long to answer.
    pub(in crate::node) fn ask_processor(
        &mut self,
        io: &mut Transport,
        id: ConnectionId,
        processor: Processor,
        work: UpstreamWork,
        within_ns: u64,
    ) {
        let index = id.index as usize;
        let connection = &io.connections[index];
        debug_assert!(connection.id == id && connection.output.is_empty());
        let dependency = match &work {
            UpstreamWork::Pay(attempt) => Dependency::Written {
                shard: attempt.order.shard,
            },
            UpstreamWork::Status(_) | UpstreamWork::Health => Dependency::Nothing,
        };
        io.begin_raw(index, dependency);
        let mut scratch = std::mem::take(&mut self.scratch);
        let payments = io.settings.payments();
        let number = processor as usize;
        scratch.clear();
        scratch.extend_from_slice(payments.prefixes[number].as_bytes());
        let method = match &work {
            UpstreamWork::Pay(_) => "POST",
            UpstreamWork::Status(_) | UpstreamWork::Health => "GET",
        };
        scratch.extend_from_slice(b"/payments");
        match &work {
            UpstreamWork::Pay(_) => {}
            UpstreamWork::Status(status_query) => {
                scratch.push(b'/');
                scratch.extend_from_slice(&status_query.id.text());
            }
            UpstreamWork::Health => scratch.extend_from_slice(b"/service-health"),
        }
        let path_bytes = scratch.len();
        if let UpstreamWork::Pay(attempt) = &work {
            attempt.order.write_body(&mut scratch);
        }
        let (path, body) = scratch.split_at(path_bytes);
        let request = Outgoing {
            method,
            host: &payments.hosts[number],
            path: std::str::from_utf8(path).expect("made of text"),
            body,
        };
        let (connection, buffers) = io.connections.with_buffers(index);
        write_request(connection.output.writer(buffers), &request);
        self.scratch = scratch;
        let works = &mut self.work;
        if works.len() <= index {
            works.resize_with(index + 1, || None);
        }
        debug_assert!(works[index].is_none());
        works[index] = Some(work);
        io.expect_arrival(index, within_ns);
    }

    /// Bytes from a processor.
    pub(in crate::node) fn processor_received(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        index: usize,
        processor: Processor,
        bytes: &[u8],
    ) {
        if !self.has_work(index) {
            return io.close(index); // It speaks without being asked.
        }
        if io.connections[index].input.bytes.is_empty() {
            if !self.take_reply(io, shards, index, processor, bytes, false) {
                io.connections[index].input.bytes.extend_from_slice(bytes);
                self.bound_reply(io, index);
            }
            return;
        }
        let mut input = std::mem::take(&mut io.connections[index].input.bytes);
        input.extend_from_slice(bytes);
        if self.take_reply(io, shards, index, processor, &input, false) {
            io.connections.buffers.give(input);
        } else {
            io.connections[index].input.bytes = input;
            self.bound_reply(io, index);
        }
    }

    /// A reply that is not all there ends where it is, once such replies take too much memory together.
    fn bound_reply(&mut self, io: &mut Transport, index: usize) {
        io.connections.count(index, io.now.monotonic_ns);
        if io.connections.held_by_processors() > PROCESSOR_BUFFERS_BYTES_MAX {
            io.close(index);
        }
    }

    /// Takes the reply to what a connection carries, if it is all there, or if nothing will follow
    /// (`ended`). Whether it did.
    fn take_reply(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        index: usize,
        processor: Processor,
        input: &[u8],
        ended: bool,
    ) -> bool {
        let mut decoded = std::mem::take(&mut io.decoded);
        let (answer, keep_alive) = match parse_reply(input, ended, &mut decoded) {
            Response::Complete {
                status,
                retry_after,
                body,
                keep_alive,
            } => {
                let answer = Answer::Whole {
                    status,
                    retry_after,
                    body,
                };
                (Some(answer), keep_alive)
            }
            Response::Incomplete { .. } if !ended => (None, false),
            Response::Incomplete {
                status: Some(status),
            } => (Some(Answer::Head { status }), false),
            Response::Incomplete { status: None } => (Some(Answer::None), false),
            Response::Bad => {
                let tls = input.starts_with(&TLS_ALERT);
                (Some(Answer::Bad { tls }), false)
            }
        };
        let Some(answer) = answer else {
            io.decoded = decoded;
            return false;
        };
        match self.work[index].take().expect("it was asked") {
            UpstreamWork::Pay(attempt) => self.attempt_over(io, shards, &attempt, answer),
            UpstreamWork::Status(status_query) => {
                self.status_answered(io, shards, processor, status_query, answer)
            }
            UpstreamWork::Health => self.health_over(io, shards, processor, answer),
        }
        io.decoded = decoded;
        let connection = &io.connections[index];
        if connection.is_closing() {
            return true;
        }
        // Who answers half a request cannot be asked another one.
        if keep_alive && connection.output.is_empty() {
            self.processor_idle(io, connection.id, processor);
        } else {
            io.close(index);
        }
        true
    }
}
