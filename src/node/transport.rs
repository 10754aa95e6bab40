//! What every part of a node stands on: the time, the settings, the connections, and what is written to them.
//!
//! A reply is written straight behind its connection's earlier output. Until the tick's journal write is done
//! it may have to be written anew ([`super::refused`]); with durability `disk` it then waits for an `fdatasync`
//! ([`commit`]). What a part finds out that concerns another one is put on [`Transport::events`].

mod accounts;
mod buffers;
pub(super) mod commit;
pub(super) mod connections;
mod deadlines;
pub(super) mod encoder;

use std::collections::VecDeque;
use std::convert::Infallible;

use super::event::NodeEvent;
use super::link::{self, Frame};
use super::settings::{Durability, Settings};
use super::shutdown::Stop;
use crate::api::problem::Problem;
use crate::api::Endpoint;
use crate::http::{Accepts, Framing, ParseState, Status};
use crate::limits::{
    CLIENT_BUFFERS_BYTES_SCARCE, CONNECTION_WORK_MAX, KIB, LATE_NS, LINGER_NS, SEND_NS_MAX,
    STUCK_INPUT_BYTES_MAX, TICK_WORK_TURNS, TURN_WORK,
};
use crate::machine::{ConnectionId, Effect, Now, Peer};
use crate::stats::CoreStats;
use buffers::Budget;
use commit::{CommitGate, Dependency, Op};
use connections::{ConnectionState, Connections, ExpectedInput};
use encoder::{Caller, Encoder, ReplyTarget};

/// What became of a request at the front of a connection's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// It stays where it is. Each reason to wait has its waker:
    ///
    /// | why | until |
    /// |---|---|
    /// | a reply from another member must come before (`waiting`) | it is there: `router::settle`, [`NodeEvent::Resumable`] |
    /// | a reset must come before (`waiting`) | all shards are through: `Resets::resume`, [`NodeEvent::Resumable`] |
    /// | a reply that takes time must come before (`waiting`) | the tick after `Queries::end` |
    /// | it is not its turn (`postponed`) | [`Transport::next_turn`] |
    /// | the shard takes no more in this tick (`postponed`) | the same |
    /// | too much waits to be sent (`Output::is_full`) | its turn after [`Transport::sent`] |
    Blocked,
}

/// Who is served when: a tick is bounded, and so is what it does for one connection.
#[derive(Default)]
struct Turns {
    /// Connections that wait for their turn in a later tick: this one had done its part for them, or a
    /// shard took no more.
    postponed: VecDeque<ConnectionId>,
    tick: u32,
    /// What this tick did for clients and members so far; see [`crate::limits::TICK_WORK_MAX`].
    work: u32,
}

/// Whether it is time for what has a deadline. At the end of a tick, because what arrived in time may only
/// now have been looked at; and later still when this process itself was late (paused, or starved), for
/// then there may be more of that in the sockets.
pub(super) fn is_due(at_ns: &mut u64, now_ns: u64) -> bool {
    if now_ns < *at_ns {
        return false;
    }
    let late = now_ns - *at_ns > LATE_NS;
    if late {
        *at_ns = now_ns + LATE_NS;
    }
    !late
}

pub(super) struct Transport {
    pub(super) settings: Settings,
    pub(super) now: Now,
    /// While the node stops.
    pub(super) stop: Option<Stop>,
    pub(super) connections: Connections,
    pub(super) encoder: Encoder,
    pub(super) commit: CommitGate,
    /// A body that came in chunks, while it is looked at.
    pub(super) decoded: Vec<u8>,
    /// For the driver, in order.
    pub(super) effects: VecDeque<Effect<Infallible>>,
    /// For other parts, in order.
    pub(super) events: VecDeque<NodeEvent>,
    /// Connections that this tick has to look at before it ends.
    dirty: Vec<ConnectionId>,
    turns: Turns,
    budget: Budget,
    /// Not after the earliest deadline of any connection. Monotonic.
    pub(super) sweep_ns: u64,
    /// Not after the earliest time to connect to a member, to try for a shard, or to offer one. Monotonic.
    pub(super) timers_ns: u64,
}

impl Transport {
    pub(super) fn new(settings: Settings) -> Transport {
        Transport {
            commit: CommitGate::new(settings.members.shards),
            settings,
            now: Now::default(),
            stop: None,
            connections: Connections::default(),
            encoder: Encoder::new(),
            decoded: Vec::new(),
            effects: VecDeque::new(),
            events: VecDeque::new(),
            dirty: Vec::new(),
            turns: Turns::default(),
            budget: Budget::default(),
            sweep_ns: u64::MAX,
            timers_ns: 0,
        }
    }

    pub(super) fn stats(&self) -> &CoreStats {
        self.settings.process.stats.core(self.settings.members.core)
    }

    pub(super) fn now_ns(&self) -> u64 {
        self.now.monotonic_ns
    }

    pub(super) fn tick_begin(&mut self, now: Now) {
        debug_assert!(now.monotonic_ns >= self.now.monotonic_ns);
        self.now = now;
        self.turns.tick = self.turns.tick.wrapping_add(1);
        self.turns.work = 0;
        self.encoder.date.update(now.realtime_us);
        let stats = &self.settings.process.stats;
        if let Some(step_us) = stats.clock_seen(now.monotonic_ns, now.realtime_us) {
            log::warn!(
                "the clock has stepped by {:+.3} s (or the machine slept): moments that clients see follow it, durations do not",
                step_us as f64 / 1e6
            );
        }
    }

    /// A connection has a deadline then.
    pub(super) fn sweep_by(&mut self, deadline_ns: u64) {
        self.sweep_ns = self.sweep_ns.min(deadline_ns);
    }

    /// A timer of members or shards is due then.
    pub(super) fn wake_by(&mut self, at_ns: u64) {
        self.timers_ns = self.timers_ns.min(at_ns);
    }

    /// What a connection has sent may be gone on with, once the part that says so is done.
    pub(super) fn resume_later(&mut self, id: ConnectionId) {
        self.events.push_back(NodeEvent::Resumable(id));
    }

    // ---- Connections ------------------------------------------------------------

    /// Has the tick look at a connection before it ends.
    pub(super) fn mark_dirty(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(connection.id);
        }
    }

    /// The peer has this long to send something.
    pub(super) fn expect_arrival(&mut self, index: usize, within_ns: u64) {
        let deadline_ns = self.now.monotonic_ns + within_ns;
        self.connections[index].arrival_deadline_ns = deadline_ns;
        self.sweep_by(deadline_ns);
    }

    /// Has the driver close a connection; ends in [`NodeEvent::Closing`] for whom that concerns.
    pub(super) fn close(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if connection.state != ConnectionState::Closing {
            debug_assert_ne!(connection.state, ConnectionState::Free);
            connection.state = ConnectionState::Closing;
            let (id, peer) = (connection.id, connection.peer);
            self.effects.push_back(Effect::Close(id));
            if peer == Peer::Client {
                self.connections.drop_unsent(index);
            }
            self.events.push_back(NodeEvent::Closing(id, peer));
        }
    }

    /// A client has connected.
    pub(super) fn client_opened(&mut self, deadline_ns: u64) {
        self.sweep_by(deadline_ns);
        let stats = self.stats();
        stats.connections_total.add(1);
        stats.connections.set(self.connections.clients() as u64);
    }

    /// The driver holds nothing of a connection any more.
    pub(super) fn closed(&mut self, id: ConnectionId) {
        if self.connections.get(id).is_some() {
            self.connections.free(id.index as usize);
            let clients = self.connections.clients();
            self.stats().connections.set(clients as u64);
        }
    }

    /// Keeps what could not be worked off yet of what was received.
    pub(super) fn keep(&mut self, index: usize, rest: &[u8]) {
        let scarce = self.connections.scarce();
        let (connection, buffers) = self.connections.with_buffers(index);
        if rest.is_empty() || connection.state != ConnectionState::Open {
            return;
        }
        debug_assert!(connection.input.bytes.is_empty());
        if !scarce {
            connection.input.bytes = buffers.take();
        }
        connection.input.bytes.extend_from_slice(rest);
        self.update_read_interest(index);
    }

    /// The same of a connection's own buffer, of which so many bytes were worked off.
    pub(super) fn keep_rest(&mut self, index: usize, mut input: Vec<u8>, consumed: usize) {
        let scarce = self.connections.scarce();
        let (connection, buffers) = self.connections.with_buffers(index);
        if connection.state != ConnectionState::Open || consumed == input.len() {
            buffers.give(input);
        } else {
            input.drain(..consumed);
            if scarce && input.capacity() > 2 * input.len() {
                input.shrink_to_fit();
            }
            connection.input.bytes = input;
        }
        self.update_read_interest(index);
    }

    /// Reads a connection's socket, or does not, by how much of its input lies unused.
    fn update_read_interest(&mut self, index: usize) {
        self.connections.count(index, self.now.monotonic_ns);
        let scarce = self.connections.scarce();
        let connection = &mut self.connections[index];
        // An incomplete request is bounded by the parser and must go on arriving; what lies behind
        // a request that waits need not.
        // A link goes on while much waits to be sent: two that waited for each other would do so forever.
        let full = connection.is_client() && connection.output.is_full(scarce);
        let stuck = connection.postponed || connection.waiting > 0 || full;
        let input_max = match scarce && connection.is_client() {
            true => 1,
            false => STUCK_INPUT_BYTES_MAX,
        };
        let input = &mut connection.input;
        if stuck && !input.paused && input.bytes.len() >= input_max {
            input.paused = true;
            self.effects.push_back(Effect::Pause(connection.id));
        } else if input.paused && !stuck && connection.state == ConnectionState::Open {
            input.paused = false;
            self.effects.push_back(Effect::Resume(connection.id));
        }
    }

    /// The kernel took `bytes` of what it was asked to send. Whether that was all of it.
    pub(super) fn sent(&mut self, index: usize, bytes: usize) -> bool {
        let now_ns = self.now.monotonic_ns;
        let (connection, buffers) = self.connections.with_buffers(index);
        if bytes > 0 {
            connection.progress_ns = now_ns;
        }
        let all = connection.output.sent(bytes, buffers);
        if all {
            self.mark_dirty(index);
        } else {
            connection.send_deadline_ns = now_ns + SEND_NS_MAX;
            self.effects.push_back(Effect::Send(connection.id));
        }
        all
    }

    // ---- Turns --------------------------------------------------------------------

    /// Has a connection wait for its turn in a later tick.
    pub(super) fn postpone(&mut self, index: usize) -> Progress {
        let connection = &mut self.connections[index];
        if !connection.postponed {
            connection.postponed = true;
            self.turns.postponed.push_back(connection.id);
        }
        Progress::Blocked
    }

    /// The next connection whose turn it is, of `left` that wait: what arrives in this tick is left room for.
    pub(super) fn next_turn(&mut self, left: &mut usize) -> Option<usize> {
        while *left > 0 && self.turns.work < TICK_WORK_TURNS {
            *left -= 1;
            let id = self.turns.postponed.pop_front()?;
            if let Some(connection) = self.connections.get(id) {
                connection.postponed = false;
                self.mark_dirty(id.index as usize);
                return Some(id.index as usize);
            }
        }
        None
    }

    /// How many connections wait for their turn.
    pub(super) fn postponed(&self) -> usize {
        self.turns.postponed.len()
    }

    /// Whether this tick still does something for a connection.
    pub(super) fn has_turn(&mut self, index: usize) -> bool {
        let connection = &mut self.connections[index];
        if connection.turn.0 != self.turns.tick {
            connection.turn = (self.turns.tick, 0);
        }
        connection.turn.1 < CONNECTION_WORK_MAX
    }

    /// What this tick did for clients and members so far.
    pub(super) fn work(&self) -> u32 {
        self.turns.work
    }

    // ---- Requests of a client, one by one (`client.rs`) ----------------------------------

    /// How far the request at the front was parsed, and the buffer for a body that came in chunks.
    pub(super) fn requests_begin(&mut self, index: usize) -> (ParseState, Vec<u8>) {
        let parse = std::mem::take(&mut self.connections[index].input.parse);
        (parse, std::mem::take(&mut self.decoded))
    }

    /// Whether the next request of this connection may be looked at.
    pub(super) fn takes_requests(&self, index: usize) -> bool {
        let scarce = self.connections.scarce();
        let connection = &self.connections[index];
        connection.state == ConnectionState::Open
            && !connection.postponed
            && !connection.output.is_full(scarce)
    }

    /// A request of so many bytes was answered, or is on its way to be. `work_before`: what the tick had done then.
    pub(super) fn request_done(&mut self, index: usize, bytes: usize, work_before: u32) {
        self.turns.work += (bytes / KIB) as u32;
        let connection = &mut self.connections[index];
        connection.turn.1 += (self.turns.work - work_before).max(1);
        connection.progress_ns = self.now.monotonic_ns;
        connection.input.arriving = ExpectedInput::Nothing;
    }

    /// Takes back what [`requests_begin`](Self::requests_begin) gave. `is_served`: there was a request.
    pub(super) fn requests_end(
        &mut self,
        index: usize,
        parse: ParseState,
        decoded: Vec<u8>,
        is_served: bool,
    ) {
        self.turns.work += if is_served { TURN_WORK } else { 0 };
        self.connections[index].input.parse = parse;
        self.decoded = decoded;
    }

    // ---- Replies ----------------------------------------------------------------------

    /// A request of a connection, which is here now.
    pub(super) fn caller(&self, index: usize, reply_to: ReplyTarget, endpoint: Endpoint) -> Caller {
        Caller {
            connection: self.connections[index].id,
            reply_to,
            endpoint,
            began_ns: self.now.monotonic_ns,
        }
    }

    /// Whether replies that a client is owed must come before this one. (A member's have numbers.)
    pub(super) fn must_wait(&self, caller: &Caller) -> bool {
        caller.is_client() && self.connections[caller.index()].waiting > 0
    }

    /// A connection takes no further request, if this one said so.
    pub(super) fn finish_behind(&mut self, caller: &Caller) {
        let connection = &mut self.connections[caller.index()];
        if caller.reply_to.closes() && connection.state == ConnectionState::Open {
            connection.state = ConnectionState::Finishing;
        }
    }

    /// Writes a reply whose body is in the encoder.
    pub(super) fn reply(&mut self, caller: &Caller, status: Status, dependency: Dependency) {
        self.begin_op(caller, status, dependency);
        self.encode(caller, status, None);
    }

    /// A reply that rests on nothing, with the methods that are allowed if it says so.
    pub(super) fn reply_allowing(
        &mut self,
        caller: &Caller,
        status: Status,
        allow: Option<&'static str>,
    ) {
        self.begin_op(caller, status, Dependency::of_nothing(caller));
        self.encode(caller, status, allow);
    }

    /// Says that something is wrong, for which no shard was looked at.
    pub(super) fn answer(&mut self, caller: &Caller, problem: &Problem) {
        let status = self.encoder.problem(caller, problem);
        self.reply(caller, status, Dependency::of_nothing(caller));
    }

    /// Refuses what cannot be understood, or did not come in time, and closes. `received`: as much of it as there is.
    pub(super) fn refuse(&mut self, index: usize, status: Status, received: &[u8]) -> Progress {
        if self.connections[index].waiting > 0 {
            return Progress::Blocked;
        }
        let framing = Framing {
            head_only: false,
            close: true,
            http10: false,
        };
        let reply_to = ReplyTarget::Client {
            framing,
            gzip: false,
            accepts: Accepts::of_fragment(received),
        };
        let caller = self.caller(index, reply_to, Endpoint::None);
        self.answer(&caller, &Problem::of_framing(status));
        self.connections[index].state = ConnectionState::Refusing;
        Progress::Done
    }

    /// Writes a frame that is no reply. What says how it is with a shard comes behind the replies of that shard.
    pub(super) fn write_frame(&mut self, index: usize, frame: &Frame<'_>) {
        let dependency = match *frame {
            Frame::Owns(shard)
            | Frame::Released { shard, .. }
            | Frame::NotOwner { shard, .. }
            | Frame::Begun(shard) => Dependency::Written {
                shard: shard as usize,
            },
            _ => Dependency::Nothing,
        };
        link::write(self.write_raw(index, dependency), frame);
    }

    /// Where to write bytes that are no reply.
    pub(super) fn write_raw(&mut self, index: usize, dependency: Dependency) -> &mut Vec<u8> {
        self.begin_raw(index, dependency);
        let (connection, buffers) = self.connections.with_buffers(index);
        connection.output.writer(buffers)
    }

    /// What is no reply is noted all the same: it marks where the reply before it ends.
    pub(super) fn begin_raw(&mut self, index: usize, dependency: Dependency) {
        let nobody = ReplyTarget::Member {
            shard: 0,
            counter: 0,
        };
        let caller = self.caller(index, nobody, Endpoint::None);
        self.begin_op(&caller, Status::Ok, dependency);
    }

    fn begin_op(&mut self, caller: &Caller, status: Status, dependency: Dependency) {
        self.mark_dirty(caller.index());
        let connection = &self.connections[caller.index()];
        debug_assert!(!matches!(
            connection.state,
            ConnectionState::Free | ConnectionState::Closing
        ));
        self.commit.ops.push(Op {
            caller: *caller,
            start: connection.output.end(),
            dependency,
            status,
        });
    }

    /// Appends the reply whose body is in the encoder.
    pub(super) fn encode(&mut self, caller: &Caller, status: Status, allow: Option<&'static str>) {
        self.turns.work += 1 + (self.encoder.body.len() / KIB) as u32;
        let (connection, buffers) = self.connections.with_buffers(caller.index());
        let out = connection.output.writer(buffers);
        self.encoder.write(out, caller, status, allow);
    }

    // ---- The journal, and the end of a tick -------------------------------------------------

    /// A batch of the tick is in the journal of a shard.
    pub(super) fn journal_written(&mut self, shard: usize, records: u64, bytes: u64) {
        self.commit.written(shard);
        let stats = self.stats();
        stats.journal_writes.add(1);
        stats.journal_records.add(records);
        stats.journal_bytes.add(bytes);
    }

    /// Whether replies wait for anything behind the journal write.
    pub(super) fn replies_wait(&self) -> bool {
        self.settings.durability != Durability::Process
    }

    /// Counts the tick's replies, releases what may leave, and sends it. `monotonic_ns`: the present, after the
    /// journal writes; `lease_lasts`: by then, where that counts.
    pub(super) fn release(&mut self, monotonic_ns: u64, lease_lasts: bool) {
        let mut dirty = std::mem::take(&mut self.dirty);
        if self.settings.durability == Durability::Replicated {
            self.commit.lease(lease_lasts);
        }
        let waits = self.replies_wait() && self.commit.is_waiting();
        if waits {
            let (connections, mut kept) = (&mut self.connections, Vec::new());
            self.commit
                .release_replies(connections, &mut dirty, &mut kept);
            for op in kept {
                self.count_reply(&op, op.status, monotonic_ns);
            }
        }
        self.count_replies(waits, monotonic_ns);
        if waits {
            self.commit.hold_frames(&mut self.connections);
            self.commit
                .release_frames(&mut self.connections, &mut dirty);
        }
        for id in dirty.drain(..) {
            let Some(connection) = self.connections.get(id) else {
                continue;
            };
            connection.dirty = false;
            self.commit.release(connection);
            self.flush(id.index as usize, monotonic_ns);
        }
        self.dirty = dirty;
        let held = self.connections.held_by_clients();
        self.stats().client_buffers.set(held as u64);
        if held > CLIENT_BUFFERS_BYTES_SCARCE || self.budget.untrimmed {
            self.bound_buffers(held);
        }
    }

    /// Counts the tick's replies, and notes which must wait, if any `waits`.
    fn count_replies(&mut self, waits: bool, now_ns: u64) {
        let is_kept = self.settings.durability == Durability::Replicated;
        let mut ops = std::mem::take(&mut self.commit.ops);
        for op in ops.drain(..) {
            let id = Some(op.caller.connection).filter(|_| waits);
            match id.and_then(|id| self.connections.get(id)) {
                Some(connection) if connection.is_link() => self.commit.note_frame(op),
                Some(connection) => {
                    self.commit.hold_back(&op, connection);
                    let is_kept = is_kept && connection.is_client();
                    match connection.waits_in().filter(|_| is_kept) {
                        Some(queue) => self.commit.keep(op, queue, self.now.monotonic_ns),
                        None => self.count_reply(&op, op.status, now_ns),
                    }
                }
                None => self.count_reply(&op, op.status, now_ns),
            }
        }
        self.commit.ops = ops;
    }

    /// Counts a reply. A command from another core is counted where its request came in.
    pub(super) fn count_reply(&self, op: &Op, status: Status, now_ns: u64) {
        if matches!(op.caller.reply_to, ReplyTarget::Client { .. }) {
            let took_ns = now_ns.saturating_sub(op.caller.began_ns);
            let endpoint = op.caller.endpoint as usize;
            self.stats().replied(endpoint, status as usize, took_ns);
        }
    }

    /// Sends what may leave, and moves a connection on that has nothing left to send.
    fn flush(&mut self, index: usize, monotonic_ns: u64) {
        let scarce = self.connections.scarce();
        let (connection, buffers) = self.connections.with_buffers(index);
        if matches!(
            connection.state,
            ConnectionState::Free | ConnectionState::Closing
        ) {
            return;
        }
        let started = connection.output.start(buffers, scarce);
        self.connections.count(index, self.now.monotonic_ns);
        let connection = &mut self.connections[index];
        let id = connection.id;
        if started {
            self.effects.push_back(Effect::Send(id));
            connection.send_deadline_ns = self.now.monotonic_ns + SEND_NS_MAX;
            let deadline_ns = connection.send_deadline_ns;
            if connection.is_upstream() {
                let event = NodeEvent::RequestLeaves(id, monotonic_ns);
                self.events.push_back(event);
            }
            self.sweep_by(deadline_ns);
            return;
        }
        if !connection.output.is_empty() || connection.waiting > 0 || connection.postponed {
            return;
        }
        let stops = self.stop.is_some() && connection.is_idle() && self.is_past_grace();
        let connection = &mut self.connections[index];
        match connection.state {
            ConnectionState::Finishing => self.close(index),
            ConnectionState::Open | ConnectionState::Lingering | ConnectionState::Refusing
                if connection.input.ended =>
            {
                self.close(index);
            }
            ConnectionState::Open if stops => self.close(index),
            ConnectionState::Refusing => {
                connection.state = ConnectionState::Lingering;
                if std::mem::take(&mut connection.input.paused) {
                    self.effects.push_back(Effect::Resume(id));
                }
                self.effects.push_back(Effect::ShutdownWrite(id));
                self.expect_arrival(index, LINGER_NS);
            }
            _ => {}
        }
    }
}
