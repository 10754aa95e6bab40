//! What the driver tells a node of its connections; by which protocol their bytes are read, and which part carries out
//! what they ask.

use super::client;
use super::link::Frame;
use super::peers::Received;
use super::resets;
use super::transport::commit::Dependency;
use super::transport::connections::{ConnectionState, ExpectedInput};
use super::transport::encoder::{Caller, ReplyTarget};
use super::transport::Progress;
use super::Node;
use crate::api::operations::{self, MetricsFormat};
use crate::api::{self, Call, Endpoint, Refused};
use crate::command::{ids, Command, ForwardId, Ids, Origin, Outcome, Scope};
use crate::http::{Request, Status};
use crate::limits::{IDLE_NS_MAX, LINKERS_MAX, RECEIVE_BYTES_SCARCE};
use crate::machine::{ConnectionId, Peer, Target};
use crate::payments::Processor;
use probe::probe;

/// Sent, without looking at what it asks, to a client beyond the bound.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/json\r\nContent-Length: 71\r\nRetry-After: 1\r\n\
    Connection: close\r\n\r\n\
    {\"error\":\"too many connections\",\"rule\":\"12000 at a time for each core\"}";

impl Node {
    // ---- Events -----------------------------------------------------

    /// See [`crate::machine::Machine::opened`].
    pub fn opened(&mut self, peer: Peer) -> Result<ConnectionId, &'static [u8]> {
        let io = &mut self.io;
        let deadline_ns = io.now_ns() + IDLE_NS_MAX;
        if matches!(peer, Peer::Client) && io.is_past_grace() {
            return Err(b"");
        }
        let linkers_max = io.settings.members.count() + LINKERS_MAX;
        let Some(connection) = io.connections.open(peer, linkers_max, deadline_ns) else {
            if peer == Peer::Linker {
                return Err(b"");
            }
            io.stats().connections_refused.add(1);
            return Err(TOO_MANY_CONNECTIONS);
        };
        let id = connection.id;
        match peer {
            Peer::Client => io.client_opened(deadline_ns),
            Peer::Member(_) | Peer::Linker => self.peers.opened(io, id, peer),
            Peer::Upstream(number) => {
                let gateway = self.gateway.as_mut().expect("it has asked for it");
                gateway.processor_opened(io, id, Processor::ALL[number]);
            }
        }
        self.hand_on();
        Ok(id)
    }

    /// See [`crate::machine::Machine::connect_failed`].
    pub fn connect_failed(&mut self, target: Target) {
        let io = &mut self.io;
        match target {
            Target::Member(member) => self.peers.failed(io, member),
            Target::Upstream(number) => {
                let gateway = self.gateway.as_mut().expect("it has asked for it");
                gateway.processor_failed(io, &mut self.shards, Processor::ALL[number]);
            }
        }
        self.hand_on();
    }

    /// See [`crate::machine::Machine::received`].
    pub fn received(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.io.connections.get(id) else {
            return;
        };
        let index = id.index as usize;
        if connection.state == ConnectionState::Finishing {
            // It is still sending: closing at once would reset it before it has read its reply.
            connection.state = ConnectionState::Refusing;
        }
        if connection.state != ConnectionState::Open {
            return; // Read and thrown away.
        }
        if connection.input.bytes.is_empty() || connection.is_upstream() {
            let consumed = self.process_input(index, bytes);
            self.io.keep(index, &bytes[consumed..]);
        } else {
            connection.input.bytes.extend_from_slice(bytes);
            self.resume(index);
        }
        self.hand_on();
    }

    /// See [`crate::machine::Machine::input_ended`].
    pub fn input_ended(&mut self, id: ConnectionId, reset: bool) {
        let Some(connection) = self.io.connections.get(id) else {
            return;
        };
        connection.input.ended = true;
        let peer = connection.peer;
        // A client may close one half and read on; a core that says nothing more is gone.
        if reset || !matches!(peer, Peer::Client) {
            self.broken(id.index as usize);
        } else {
            self.io.mark_dirty(id.index as usize);
        }
        self.hand_on();
    }

    /// See [`crate::machine::Machine::sent`].
    pub fn sent(&mut self, id: ConnectionId, bytes: Result<usize, ()>) {
        let Some(connection) = self.io.connections.get(id) else {
            return;
        };
        let index = id.index as usize;
        let is_closing = connection.is_closing();
        match bytes {
            Err(()) => self.broken(index),
            Ok(bytes) if !is_closing && self.io.sent(index, bytes) => self.all_sent(index),
            Ok(_) => {}
        }
        self.hand_on();
    }

    /// A connection has nothing in the kernel's hands any more.
    fn all_sent(&mut self, index: usize) {
        let connection = &self.io.connections[index];
        let is_client = connection.is_client();
        let has_input = !connection.input.bytes.is_empty();
        // Who has yet to greet gains no time by being greeted.
        if is_client && connection.input.arriving == ExpectedInput::Nothing {
            self.io.expect_arrival(index, IDLE_NS_MAX);
        } else {
            self.io.sweep_by(connection.arrival_deadline_ns);
        }
        // What it has sent behind that waits its turn: one that has little to be sent at a time would
        // otherwise be served once for each event, as often as those who have just asked.
        if is_client && has_input {
            self.io.postpone(index);
        } else {
            self.resume(index);
        }
    }

    /// A connection is of no use any more.
    pub(super) fn broken(&mut self, index: usize) {
        let connection = &self.io.connections[index];
        let (id, peer) = (connection.id, connection.peer);
        if let Peer::Member(member) = peer {
            self.peers.lost(&mut self.io, member, id);
        }
        self.io.close(index);
    }

    /// See [`crate::machine::Machine::output`].
    pub fn output(&self, id: ConnectionId) -> &[u8] {
        let connection = &self.io.connections[id.index as usize];
        debug_assert_eq!(connection.id.generation, id.generation);
        connection.output.sending()
    }

    /// See [`crate::machine::Machine::receive_bytes_max`].
    pub fn receive_bytes_max(&self) -> usize {
        match self.io.connections.scarce() {
            true => RECEIVE_BYTES_SCARCE,
            false => usize::MAX,
        }
    }

    /// See [`crate::machine::Machine::closed`].
    pub fn closed(&mut self, id: ConnectionId) {
        self.io.closed(id);
    }

    // ---- Bytes, by protocol -------------------------------------------------------

    /// Goes on with what is in a connection's own buffer.
    pub(super) fn resume(&mut self, index: usize) {
        let connection = &mut self.io.connections[index];
        if connection.state != ConnectionState::Open || connection.is_upstream() {
            return;
        }
        let input = std::mem::take(&mut connection.input.bytes);
        // The last of it may have been worked off while its reply was waited for.
        let consumed = match input.is_empty() {
            true => 0,
            false => self.process_input(index, &input),
        };
        self.io.keep_rest(index, input, consumed);
    }

    /// Works off what is at the front of a connection's input: how many bytes that was.
    pub(super) fn process_input(&mut self, index: usize, input: &[u8]) -> usize {
        match self.io.connections[index].peer {
            Peer::Client => self.requests(index, input),
            Peer::Member(_) | Peer::Linker => self.frames(index, input),
            Peer::Upstream(number) => {
                let (io, shards) = (&mut self.io, &mut self.shards);
                if let Some(gateway) = &mut self.gateway {
                    let processor = Processor::ALL[number];
                    gateway.processor_received(io, shards, index, processor, input);
                }
                input.len()
            }
        }
    }

    fn requests(&mut self, index: usize, input: &[u8]) -> usize {
        let mut requests = client::Requests::begin(&mut self.io, index, input);
        while let Some((request, last)) = requests.next(&mut self.io) {
            if self.request(index, &request, last) == Progress::Blocked {
                break;
            }
            requests.done(&mut self.io);
        }
        requests.end(&mut self.io)
    }

    /// A peer has a bounded number of commands open, which bounds what is written for it here.
    fn frames(&mut self, index: usize, input: &[u8]) -> usize {
        let mut consumed = 0;
        while self.io.connections[index].state == ConnectionState::Open {
            let received = self.peers.read(&mut self.io, index, &input[consumed..]);
            let progress = match received {
                Ok(None) => break,
                Ok(Some((Received::Done, length))) => Ok((Progress::Done, length)),
                Ok(Some((Received::Frame(from, frame), length))) => self
                    .frame(index, from, frame)
                    .map(|progress| (progress, length)),
                Err(problem) => Err(problem),
            };
            match progress {
                Ok((Progress::Done, length)) => consumed += length,
                Ok((Progress::Blocked, _)) => break,
                Err(problem) => self.peers.reject(&mut self.io, index, &problem),
            }
            self.hand_on();
        }
        consumed
    }

    // ---- What is asked --------------------------------------------------------------

    /// Answers a client's request, or begins to. `last`: nothing is received behind it.
    fn request(&mut self, index: usize, request: &Request<'_>, last: bool) -> Progress {
        let reply_to = client::reply_target(&self.io, request, last);
        let (endpoint, call) = api::route(request, self.io.settings.docs);
        let caller = self.io.caller(index, reply_to, endpoint);
        if !matches!(call, Call::Command(..)) {
            probe!(galo, request, endpoint.c_name().as_ptr(), -1);
        }
        let progress = self.call(&caller, &call);
        if progress == Progress::Done {
            self.io.finish_behind(&caller);
        }
        progress
    }

    fn call(&mut self, caller: &Caller, call: &Call<'_>) -> Progress {
        let io = &mut self.io;
        let has_payments = io.settings.payments.is_some();
        match call {
            call if !has_payments && call.needs_payments() => return self.not_configured(caller),
            Call::Command(command, key) => {
                let shard = self.shards.number_for(command);
                probe!(galo, request, caller.endpoint.c_name().as_ptr(), shard);
                let key = key.map(|text| ids::key(io.settings.directory, text));
                if self.shards.serves(shard) {
                    let ids = Ids { forward: None, key };
                    return self.command(caller, shard, command, &ids);
                }
                let (peers, router) = (&mut self.peers, &mut self.router);
                return router.forward(io, peers, caller, shard, command, key);
            }
            // What needs no shard still waits for its turn among the connection's replies.
            _ if io.must_wait(caller) => return Progress::Blocked,
            Call::Reset => self.reset(caller, Scope::Everything),
            Call::Purge => self.reset(caller, Scope::Payments),
            Call::Summary(window) => {
                let (queries, mut context) = self.queries();
                queries.summarise(&mut context, caller, *window);
            }
            Call::PayNow(cents, key) => {
                let (queries, mut context) = self.queries();
                return queries.pay_now(&mut context, caller, *cents, *key);
            }
            Call::Health => {
                let (settings, body) = (&io.settings, &mut io.encoder.body);
                let (process, members) = (&settings.process, &settings.members);
                operations::write_health(body, process, members, has_payments, io.now);
                io.reply(caller, Status::Ok, Dependency::Nothing);
            }
            Call::Metrics => {
                let format = match caller.accepts().openmetrics {
                    true => MetricsFormat::OpenMetrics,
                    false => MetricsFormat::Text,
                };
                let (process, body) = (&io.settings.process, &mut io.encoder.body);
                operations::write_metrics(body, process, has_payments, io.now, format);
                io.reply(caller, Status::Ok, Dependency::Nothing);
            }
            Call::Docs => {
                let body = &mut io.encoder.body;
                body.extend_from_slice(operations::OPENAPI.as_bytes());
                io.reply(caller, Status::Ok, Dependency::Nothing);
            }
            Call::Options(allow) => io.reply_allowing(caller, Status::Ok, Some(allow)),
            Call::Refused(Refused { allow, problem }) => {
                let status = io.encoder.problem(caller, problem);
                io.reply_allowing(caller, status, *allow);
            }
        }
        Progress::Done
    }

    /// Carries out a command for a shard that is served here.
    fn command(&mut self, caller: &Caller, shard: usize, command: &Command, ids: &Ids) -> Progress {
        let (io, shards) = (&mut self.io, &mut self.shards);
        if io.must_wait(caller) {
            return Progress::Blocked;
        }
        if !shards.accepts(shard) {
            return io.postpone(caller.index());
        }
        let (status, dependency) = shards.execute(io, shard, caller, command, ids);
        io.reply(caller, status, dependency);
        Progress::Done
    }

    fn not_configured(&mut self, caller: &Caller) -> Progress {
        let io = &mut self.io;
        if io.must_wait(caller) {
            return Progress::Blocked;
        }
        let status = io.encoder.outcome(caller, &Outcome::NotConfigured);
        io.reply(caller, status, Dependency::Nothing);
        Progress::Done
    }

    fn reset(&mut self, client: &Caller, scope: Scope) {
        let (io, shards) = (&mut self.io, &mut self.shards);
        let (peers, router) = (&mut self.peers, &mut self.router);
        let what = (client, scope);
        self.resets.begin(io, peers, router, shards, what);
    }

    /// A frame of a member, in this incarnation of it.
    fn frame(&mut self, index: usize, from: Origin, frame: Frame<'_>) -> Result<Progress, String> {
        let member = from.member as usize;
        let (io, shards) = (&mut self.io, &mut self.shards);
        let (peers, router) = (&mut self.peers, &mut self.router);
        match frame {
            Frame::Owns(shard) => {
                let what = (shard as usize, member);
                self.ownership.owned_by(io, peers, router, shards, what);
            }
            Frame::Released { shard, to } => {
                let what = (shard as usize, member, to as usize);
                self.ownership.released_by(io, peers, router, shards, what);
            }
            Frame::Who(shard) => {
                if shards.serves(shard as usize) {
                    io.write_frame(index, &Frame::Owns(shard));
                }
            }
            Frame::Command {
                counter,
                key,
                command,
            } => {
                let shard = shards.number_for(&command);
                let endpoint = Endpoint::of(&command);
                let Some(caller) = self.member_calls(index, member, shard, counter, endpoint)
                else {
                    return Ok(Progress::Done);
                };
                probe!(galo, hop__received, member, shard, counter);
                if command.is_payment() && self.io.settings.payments.is_none() {
                    return Ok(self.not_configured(&caller)); // The member has processors.
                }
                let forward = Some(ForwardId {
                    origin: from,
                    counter,
                });
                let ids = Ids { forward, key };
                return Ok(self.command(&caller, shard, &command, &ids));
            }
            Frame::Reset {
                counter,
                shard,
                scope,
            } => {
                let (shard, endpoint) = (shard as usize, resets::endpoint(scope));
                let Some(caller) = self.member_calls(index, member, shard, counter, endpoint)
                else {
                    return Ok(Progress::Done);
                };
                let forward = ForwardId {
                    origin: from,
                    counter,
                };
                let (io, shards) = (&mut self.io, &mut self.shards);
                let what = (forward, scope);
                return Ok(resets::reset_for_member(io, shards, &caller, shard, what));
            }
            Frame::Reply {
                shard,
                counter,
                outcome,
            } => {
                if !peers.is_stale(member, shard) {
                    router.replied(io, (member, shard as usize, counter), &outcome);
                }
                router.answered(io, peers, member);
            }
            Frame::NotOwner { shard, counter } => {
                let own = shard as usize;
                if !peers.is_stale(member, shard) && router.is_oldest(member, own, counter) {
                    self.ownership.owner_lost(io, peers, router, own, None);
                }
                router.answered(io, peers, member);
            }
            Frame::Query {
                number,
                shard,
                query,
            } => {
                let (queries, mut context) = self.queries();
                let from = (member, number);
                queries.asked(&mut context, from, shard as usize, query)?;
            }
            Frame::Answer { number, answer } => {
                let (queries, mut context) = self.queries();
                queries.answer_came(&mut context, member, number, answer)?;
            }
            Frame::Health {
                processor,
                failing,
                response_min_ms,
            } => {
                if let Some(gateway) = &mut self.gateway {
                    let told = (failing, response_min_ms);
                    gateway.health_told(io, shards, processor, told);
                }
            }
            Frame::Hello(_)
            | Frame::OtherVersion(_)
            | Frame::Again(_)
            | Frame::Begun(_)
            | Frame::Leaving
            | Frame::Taking
            | Frame::Goodbye => unreachable!("peers keep these to themselves"),
        }
        Ok(Progress::Done)
    }

    /// A member has sent a command for a shard. `None`: it is not carried out here, which the member is told.
    fn member_calls(
        &mut self,
        index: usize,
        member: usize,
        shard: usize,
        counter: u64,
        endpoint: Endpoint,
    ) -> Option<Caller> {
        let (io, number) = (&mut self.io, shard as u32);
        if self.shards.serves(shard) && !self.peers.refuses(member, shard) {
            let reply_to = ReplyTarget::Member {
                shard: number,
                counter,
            };
            return Some(io.caller(index, reply_to, endpoint));
        }
        self.peers.refuse_command(io, member, number, counter);
        None
    }
}
