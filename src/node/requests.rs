//! The path of a request: from what a connection has received to the reply, or to whom it is forwarded.

use super::commit::Dependency;
use super::connection::{Arriving, State};
use super::encoder::ReplyTarget;
use super::replies::Progress;
use super::Node;
use crate::api::{self, operations, Call, Endpoint, Problem, Refused};
use crate::command::{ids, Command, Ids, Outcome, Scope};
use crate::http::{self, Framing, Parsed, Request, Status};
use crate::limits::{
    BODY_NS_MAX, CONNECTION_WORK_MAX, HEAD_NS_MAX, IDLE_NS_MAX, KIB, STUCK_INPUT_BYTES_MAX,
    TICK_WORK_MAX, TICK_WORK_TURNS, TURN_WORK,
};
use crate::machine::{Effect, Peer};
use crate::shard::Shard;

impl<J> Node<J> {
    /// Takes up what is in a connection's own buffer.
    pub(super) fn resume(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if connection.state != State::Open || matches!(connection.peer, Peer::Upstream(_)) {
            return;
        }
        if connection.input.is_empty() {
            // The last of it may have been taken up while its reply was waited for.
            return self.update_read_interest(index);
        }
        let mut input = std::mem::take(&mut connection.input);
        let taken = self.process_input(index, &input);
        if self.connections[index].state != State::Open || taken == input.len() {
            self.connections.buffers.give(input);
        } else {
            input.drain(..taken);
            if self.connections.scarce() && input.capacity() > 2 * input.len() {
                input.shrink_to_fit();
            }
            self.connections[index].input = input;
        }
        self.update_read_interest(index);
    }

    /// Keeps what could not be taken up yet.
    pub(super) fn keep(&mut self, index: usize, rest: &[u8]) {
        let scarce = self.connections.scarce();
        let (connection, buffers) = self.connections.with_buffers(index);
        if rest.is_empty() || connection.state != State::Open {
            return;
        }
        debug_assert!(connection.input.is_empty());
        if !scarce {
            connection.input = buffers.take();
        }
        connection.input.extend_from_slice(rest);
        self.update_read_interest(index);
    }

    /// Reads a connection's socket, or does not, by how much of its input lies unused.
    pub(super) fn update_read_interest(&mut self, index: usize) {
        self.connections.count(index, self.now.monotonic_ns);
        let scarce = self.connections.scarce();
        let connection = &mut self.connections[index];
        // An incomplete request is bounded by the parser and must go on arriving; what lies behind
        // a request that waits need not.
        // A link goes on while much waits to be sent: two that waited for each other would do so forever.
        let full = connection.peer == Peer::Client && connection.output.is_full(scarce);
        let stuck = connection.postponed || connection.waiting > 0 || full;
        let input_max = match scarce && connection.peer == Peer::Client {
            true => 1,
            false => STUCK_INPUT_BYTES_MAX,
        };
        if stuck && !connection.paused && connection.input.len() >= input_max {
            connection.paused = true;
            self.effects.push_back(Effect::Pause(connection.id));
        } else if connection.paused && !stuck && connection.state == State::Open {
            connection.paused = false;
            self.effects.push_back(Effect::Resume(connection.id));
        }
    }

    /// Takes up the requests at the front of `input`, one by one: how many bytes that was.
    pub(super) fn process_input(&mut self, index: usize, input: &[u8]) -> usize {
        if self.connections[index].peer != Peer::Client {
            return self.process_frames(index, input);
        }
        let mut decoded = std::mem::take(&mut self.decoded);
        let mut progress = std::mem::take(&mut self.connections[index].progress);
        let mut taken = 0;
        let mut is_served = false;
        while taken < input.len() && self.takes_requests(index) {
            if !self.has_turn(index) {
                self.postpone(index);
                break;
            }
            match http::parse(&input[taken..], &mut progress, &mut decoded) {
                Parsed::Request { request, consumed } => {
                    let last = taken + consumed == input.len();
                    if !last && self.work >= TICK_WORK_MAX {
                        self.postpone(index);
                        progress = http::ParseState::default();
                        break;
                    }
                    let work_before = self.work;
                    if self.request(index, &request, last) == Progress::Blocked {
                        break;
                    }
                    self.work += (consumed / KIB) as u32;
                    is_served = true;
                    let connection = &mut self.connections[index];
                    connection.turn.1 += (self.work - work_before).max(1);
                    connection.progress_ns = self.now.monotonic_ns;
                    connection.arriving = Arriving::Nothing;
                    taken += consumed;
                }
                Parsed::Incomplete {
                    send_continue: true,
                } if self.connections[index].waiting > 0 => {
                    // `100 Continue` has its place among the replies, too: asked once more later.
                    progress = http::ParseState::default();
                    break;
                }
                Parsed::Incomplete { send_continue } => {
                    // A line end too many behind a body is not the beginning of a head.
                    let idle = input[taken..]
                        .iter()
                        .all(|byte| matches!(byte, b'\r' | b'\n'));
                    let part = match progress.in_body() {
                        true => Arriving::Body,
                        false if idle => Arriving::Nothing,
                        false => Arriving::Head,
                    };
                    self.arriving(index, part, send_continue);
                    break;
                }
                Parsed::Bad(status) => {
                    if self.refuse(index, status) == Progress::Done {
                        taken = input.len();
                    }
                    // If it waits for its turn, it is judged from its first byte again.
                    progress = http::ParseState::default();
                    break;
                }
            }
        }
        if is_served {
            self.work += TURN_WORK;
        }
        self.connections[index].progress = progress;
        self.decoded = decoded;
        taken
    }

    /// Whether the next request of this connection may be looked at.
    pub(super) fn takes_requests(&self, index: usize) -> bool {
        let scarce = self.connections.scarce();
        let connection = &self.connections[index];
        connection.state == State::Open
            && !connection.postponed
            && !connection.output.is_full(scarce)
    }

    /// Whether this tick still does something for a connection.
    fn has_turn(&mut self, index: usize) -> bool {
        let connection = &mut self.connections[index];
        if connection.turn.0 != self.tick {
            connection.turn = (self.tick, 0);
        }
        connection.turn.1 < CONNECTION_WORK_MAX
    }

    /// Serves connections that wait for their turn, in turn, and leaves room for what arrives in this tick.
    pub(super) fn take_turns(&mut self) {
        for _ in 0..self.postponed.len() {
            if self.work >= TICK_WORK_TURNS {
                break;
            }
            let id = self.postponed.pop_front().expect("there are so many");
            if let Some(connection) = self.connections.get(id) {
                connection.postponed = false;
                self.mark_dirty(id.index as usize);
                self.resume(id.index as usize);
            }
        }
    }

    /// The request at the front is not all there yet: its time is running, anew once its head is
    /// there. Who drips bytes gains nothing.
    pub(super) fn arriving(&mut self, index: usize, part: Arriving, send_continue: bool) {
        let connection = &mut self.connections[index];
        if std::mem::replace(&mut connection.arriving, part) != part {
            self.expect_arrival(
                index,
                match part {
                    Arriving::Nothing => IDLE_NS_MAX,
                    Arriving::Head => HEAD_NS_MAX,
                    Arriving::Body => BODY_NS_MAX,
                },
            );
        }
        if send_continue {
            self.write_raw(index, http::CONTINUE);
        }
    }

    /// Answers one request, or begins to. `last`: nothing is received behind it.
    pub(super) fn request(&mut self, index: usize, request: &Request<'_>, last: bool) -> Progress {
        let reply_to = ReplyTarget::Client {
            framing: Framing {
                head_only: request.method == http::Method::Head,
                // What was received is finished before a stop closes.
                close: request.close || (last && self.stop.is_some()),
                http10: request.http10,
            },
            gzip: request.accepts_gzip,
        };
        let (endpoint, call) = api::route(request);
        let taken = match call {
            Call::Command(Command::Pay { .. } | Command::Show { .. }, _)
            | Call::PayNow(..)
            | Call::Summary(_)
            | Call::Purge
                if self.settings.payments.is_none() =>
            {
                self.not_configured(index, reply_to, endpoint)
            }
            Call::Command(command, key) => {
                let shard = command.shard(self.settings.members.shards);
                let key = key.map(|text| ids::key(self.settings.directory, text));
                if self.serves(shard) {
                    let ids = Ids { forward: None, key };
                    self.command(index, reply_to, shard, &command, &ids)
                } else {
                    self.forward(index, shard, reply_to, endpoint, &command, key)
                }
            }
            // What needs no shard still waits for its turn among the connection's replies.
            _ if self.connections[index].waiting > 0 => Progress::Blocked,
            Call::Reset => self.reset_all(index, reply_to, Scope::Everything),
            Call::Purge => self.reset_all(index, reply_to, Scope::Payments),
            Call::Summary(window) => self.summarise(index, reply_to, window),
            Call::PayNow(cents, key) => self.pay_now(index, reply_to, cents, key),
            Call::Health => {
                operations::write_health(
                    &mut self.encoder.body,
                    &self.settings.process,
                    &self.settings.members,
                    self.settings.payments.is_some(),
                    self.now,
                );
                self.reply(index, reply_to, endpoint, Status::Ok, Dependency::Nothing)
            }
            Call::Metrics => {
                operations::write_metrics(
                    &mut self.encoder.body,
                    &self.settings.process,
                    self.settings.payments.is_some(),
                    self.now,
                );
                self.reply(index, reply_to, endpoint, Status::Ok, Dependency::Nothing)
            }
            Call::Options(allow) => self.reply_with(
                index,
                reply_to,
                endpoint,
                Status::Ok,
                Dependency::Nothing,
                Some(allow),
            ),
            Call::Refused(Refused {
                status,
                allow,
                problem,
            }) => {
                problem.write(&mut self.encoder.body);
                self.reply_with(
                    index,
                    reply_to,
                    endpoint,
                    status,
                    Dependency::Nothing,
                    allow,
                )
            }
        };
        if taken == Progress::Done
            && reply_to.closes()
            && self.connections[index].state == State::Open
        {
            self.connections[index].state = State::Finishing;
        }
        taken
    }

    /// Carries out a command for a shard that is served here.
    pub(super) fn command(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        shard: usize,
        command: &Command,
        ids: &Ids,
    ) -> Progress {
        if self.connections[index].waiting > 0 && matches!(reply_to, ReplyTarget::Client { .. }) {
            return Progress::Blocked;
        }
        if !self.accepts(shard) {
            return self.postpone(index);
        }
        let endpoint = Endpoint::of(command);
        if command.is_payment() && self.settings.payments.is_none() {
            return self.not_configured(index, reply_to, endpoint); // For a member that has processors.
        }
        let (status, dependency) = self.execute(shard, reply_to, command, ids);
        self.reply(index, reply_to, endpoint, status, dependency)
    }

    /// Applies a command to a shard of ours, and writes what came of it into `self.encoder.body`. The reply's status, and
    /// what it rests on.
    pub(super) fn execute(
        &mut self,
        number: usize,
        reply_to: ReplyTarget,
        command: &Command,
        ids: &Ids,
    ) -> (Status, Dependency) {
        let stats = self.settings.process.stats.core(self.settings.members.core);
        let shard = self.shards[number].as_mut().expect("it is ours");
        let time_us = shard.tell_time(self.now);
        let applied = shard.apply(command, ids, time_us);
        stats.duplicates.add(applied.repeated.into());
        match applied.outcome {
            Outcome::Accepted if !applied.repeated => stats.payments.accepted.add(1),
            Outcome::QueueFull => stats.payments.queue_full.add(1),
            _ => {}
        }
        let dependency = match applied.is_written {
            true => Dependency::Written,
            false => Dependency::of(number, command),
        };
        (
            reply_to.write(&mut self.encoder.body, &applied.outcome),
            dependency,
        )
    }

    fn not_configured(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        endpoint: Endpoint,
    ) -> Progress {
        if self.connections[index].waiting > 0 && matches!(reply_to, ReplyTarget::Client { .. }) {
            return Progress::Blocked;
        }
        let status = reply_to.write(&mut self.encoder.body, &Outcome::NotConfigured);
        self.reply(index, reply_to, endpoint, status, Dependency::Nothing)
    }

    /// Whether this tick takes more for a shard of ours.
    pub(super) fn accepts(&self, shard: usize) -> bool {
        self.shards[shard].as_ref().is_some_and(Shard::accepts)
    }

    pub(super) fn shard(&mut self, shard: usize) -> &mut Shard {
        self.shards[shard].as_mut().expect("it is ours")
    }

    pub(super) fn postpone(&mut self, index: usize) -> Progress {
        let connection = &mut self.connections[index];
        if !connection.postponed {
            connection.postponed = true;
            self.postponed.push_back(connection.id);
        }
        Progress::Blocked
    }

    /// Says that something is wrong, for which no shard was looked at.
    pub(super) fn answer(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        endpoint: Endpoint,
        status: Status,
        problem: Problem,
    ) -> Progress {
        problem.write(&mut self.encoder.body);
        self.reply(index, reply_to, endpoint, status, Dependency::Nothing)
    }

    /// Refuses what cannot be understood, or did not come in time, and closes.
    pub(super) fn refuse(&mut self, index: usize, status: Status) -> Progress {
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
        };
        self.answer(
            index,
            reply_to,
            Endpoint::None,
            status,
            Problem::of_framing(status),
        );
        self.connections[index].state = State::Refusing;
        Progress::Done
    }
}
