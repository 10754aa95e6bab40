//! To the owner of a shard: commands of our clients for shards that we do not serve.
//!
//! They wait in their shard's queue until an owner is known, and stay there until it has answered. When
//! it is lost they are sent again to the next one, in their order and with the ids that they had: what
//! the first one had carried out already, the next one knows. Should that be us, we carry them out. Who
//! has no answer in time is told so.

use std::collections::VecDeque;

use super::commit::Dependency;
use super::encoder::ReplyTarget;
use super::link::Frame;
use super::replies::Progress;
use super::resets;
use super::Node;
use crate::api::bank::{UNANSWERED, UNAVAILABLE};
use crate::api::Endpoint;
use crate::command::{Command, ForwardId, Ids, Origin, Outcome, Scope};
use crate::http::Status;
use crate::limits::{
    COMMANDS_MAX, COMMAND_NS_MAX, CONNECTION_FORWARDS_MAX, SHARD_COMMANDS_MAX,
    SHARD_COMMANDS_SCARCE,
};
use crate::machine::ConnectionId;
use crate::payments::PaymentId;

/// Who serves a shard, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Us,
    Member(usize),
}

/// The way to one shard.
pub(super) struct Route {
    owner: Owner,
    /// Without an answer, in the order of their counters, which have no gaps.
    pending: VecDeque<Pending>,
    /// How many of the first of them the owner has got.
    sent: usize,
    counter: u64,
}

/// A command that waits for the owner of its shard.
#[derive(Clone, Copy)]
struct Pending {
    counter: u64,
    connection: ConnectionId,
    reply_to: ReplyTarget,
    endpoint: Endpoint,
    began_ns: u64,
    /// Some owner may have carried it out.
    tried: bool,
    key: Option<u128>,
    work: Work,
}

/// What is to be done.
#[derive(Clone, Copy)]
enum Work {
    Command(Command),
    /// A payment whose outcome its client waits for.
    PayNow {
        id: PaymentId,
        cents: u64,
    },
    Reset(Scope),
}

impl Work {
    /// `None` for a reset.
    fn command(self) -> Option<Command> {
        match self {
            Work::Command(command) => Some(command),
            Work::PayNow { id, cents } => Some(Command::Pay { id, cents }),
            Work::Reset(_) => None,
        }
    }
}

impl Route {
    pub(super) fn new() -> Route {
        Route {
            owner: Owner::Nobody,
            pending: VecDeque::new(),
            sent: 0,
            counter: 0,
        }
    }

    /// Whether a member serves the shard, as far as we know.
    pub(super) fn is_at(&self, member: usize) -> bool {
        self.owner == Owner::Member(member)
    }

    /// The other member that serves the shard, as far as we know.
    pub(super) fn member(&self) -> Option<usize> {
        match self.owner {
            Owner::Member(member) => Some(member),
            Owner::Nobody | Owner::Us => None,
        }
    }

    /// Whether nobody is known to serve the shard.
    pub(super) fn is_nowhere(&self) -> bool {
        self.owner == Owner::Nobody
    }

    /// Whether commands wait that this node has to carry out.
    pub(super) fn has_work_for_us(&self) -> bool {
        self.owner == Owner::Us && !self.pending.is_empty()
    }

    /// The next one's time is over then. Monotonic.
    fn expires_ns(&self) -> u64 {
        self.pending
            .front()
            .map_or(u64::MAX, |pending| pending.began_ns + COMMAND_NS_MAX)
    }
}

impl<J> Node<J> {
    /// Puts a client's command into its shard's queue, and sends it if the owner is known.
    pub(super) fn forward(
        &mut self,
        index: usize,
        shard: usize,
        reply_to: ReplyTarget,
        endpoint: Endpoint,
        command: &Command,
        key: Option<u128>,
    ) -> Progress {
        let connection = &self.connections[index];
        // Replies of one shard come in order; those of two need not.
        let one_more = connection.waiting_for == Some(shard)
            && connection.waiting < CONNECTION_FORWARDS_MAX
            && self.routes[shard].pending.len() < SHARD_COMMANDS_SCARCE
            && self.has_room(shard);
        if connection.waiting > 0 && !one_more {
            return Progress::Blocked;
        }
        if !self.has_room(shard) {
            let status = Status::ServiceUnavailable;
            return self.answer(index, reply_to, endpoint, status, UNAVAILABLE);
        }
        self.connections[index].waiting_for = Some(shard);
        self.enqueue(
            index,
            shard,
            reply_to,
            endpoint,
            Work::Command(*command),
            key,
        );
        Progress::Done
    }

    /// Has a shard of another member forget, for a client. `false`: no room in its queue.
    pub(super) fn forward_reset(
        &mut self,
        index: usize,
        shard: usize,
        reply_to: ReplyTarget,
        scope: Scope,
    ) -> bool {
        let endpoint = resets::endpoint(scope);
        // It goes on to other shards.
        self.forward_alone(index, shard, reply_to, endpoint, Work::Reset(scope))
    }

    /// Has a payment accepted by another member, for a client that waits for its outcome. `false`: no
    /// room in its queue.
    pub(super) fn forward_pay_now(
        &mut self,
        index: usize,
        shard: usize,
        reply_to: ReplyTarget,
        id: PaymentId,
        cents: u64,
    ) -> bool {
        let work = Work::PayNow { id, cents };
        self.forward_alone(index, shard, reply_to, Endpoint::Payments, work)
    }

    /// Its answer is not yet the reply: nothing may be asked behind it.
    fn forward_alone(
        &mut self,
        index: usize,
        shard: usize,
        reply_to: ReplyTarget,
        endpoint: Endpoint,
        work: Work,
    ) -> bool {
        let has_room = self.has_room(shard);
        if has_room {
            self.connections[index].waiting_for = None;
            self.enqueue(index, shard, reply_to, endpoint, work, None);
        }
        has_room
    }

    fn has_room(&self, shard: usize) -> bool {
        self.routes[shard].pending.len() < SHARD_COMMANDS_MAX && self.commands < COMMANDS_MAX
    }

    fn enqueue(
        &mut self,
        index: usize,
        shard: usize,
        reply_to: ReplyTarget,
        endpoint: Endpoint,
        work: Work,
        key: Option<u128>,
    ) {
        let connection = &mut self.connections[index];
        connection.waiting += 1;
        let route = &mut self.routes[shard];
        route.counter += 1;
        route.pending.push_back(Pending {
            counter: route.counter,
            connection: connection.id,
            reply_to,
            endpoint,
            began_ns: self.now.monotonic_ns,
            tried: false,
            key,
            work,
        });
        self.commands += 1;
        self.expire_ns = self.expire_ns.min(route.expires_ns());
        self.send_pending(shard);
    }

    /// Sends what the owner has not got, if it is another member.
    fn send_pending(&mut self, shard: usize) {
        let Owner::Member(member) = self.routes[shard].owner else {
            return;
        };
        let Some(id) = self.links[member].greeted() else {
            return;
        };
        let first = self.routes[shard].sent;
        let room = self.links[member].commands_room();
        let count = room.min(self.routes[shard].pending.len() - first);
        let mut again = 0;
        for at in first..first + count {
            let pending = &mut self.routes[shard].pending[at];
            again += u64::from(std::mem::replace(&mut pending.tried, true));
            let Pending {
                counter, key, work, ..
            } = *pending;
            let shard = shard as u32;
            let frame = match (work, work.command()) {
                (Work::Reset(scope), _) => Frame::Reset {
                    counter,
                    shard,
                    scope,
                },
                (_, command) => Frame::Command {
                    counter,
                    key,
                    command: command.expect("it is no reset"),
                },
            };
            self.write_frame(id.index as usize, &frame);
        }
        self.routes[shard].sent += count;
        self.links[member].commands_sent(count);
        let stats = self.stats();
        stats.forwards.add(count as u64 - again);
        stats.retries.add(again);
    }

    /// A member has answered a command, of which it had as many as it may have.
    pub(super) fn send_more(&mut self, member: usize) {
        for shard in 0..self.routes.len() {
            if self.routes[shard].is_at(member) {
                self.send_pending(shard);
            }
        }
    }

    /// A member says that it serves a shard.
    pub(super) fn owned_by(&mut self, shard: usize, member: usize) {
        // Who has the lock knows better; and what is known already needs nothing.
        if self.shards[shard].is_some() || self.routes[shard].is_at(member) {
            return;
        }
        self.taken(shard);
        self.set_owner(shard, Owner::Member(member));
        // What it has got of us for the shard before, and does not carry out, comes again behind this.
        if self.tell(member, &Frame::Again(shard as u32)) {
            self.links[member].begins_again(shard as u32);
        }
        self.send_pending(shard);
    }

    /// We serve a shard from now on, and carry out what waits for it.
    pub(super) fn owned_by_us(&mut self, shard: usize) {
        self.set_owner(shard, Owner::Us);
        self.payments_owned(shard);
        self.carry_out_pending(shard);
    }

    /// Nobody is known to serve a shard any more.
    pub(super) fn owned_by_nobody(&mut self, shard: usize) {
        self.set_owner(shard, Owner::Nobody);
    }

    /// None of the commands has got to this owner yet, and no question.
    fn set_owner(&mut self, shard: usize, owner: Owner) {
        let route = &mut self.routes[shard];
        (route.owner, route.sent) = (owner, 0);
        self.forget_questions(shard);
        self.ask_again(shard);
    }

    /// Carries out what waits for a shard of ours, as far as this tick takes it.
    pub(super) fn carry_out_pending(&mut self, shard: usize) {
        while self.routes[shard].has_work_for_us() && self.serves(shard) && self.accepts(shard) {
            let pending = self.routes[shard]
                .pending
                .pop_front()
                .expect("there is one");
            self.commands -= 1;
            self.stats().retries.add(u64::from(pending.tried));
            let forward = Some(ForwardId {
                origin: Origin {
                    member: self.settings.members.own() as u16,
                    epoch: self.settings.epoch,
                },
                counter: pending.counter,
            });
            if let Work::Reset(scope) = pending.work {
                let Pending {
                    connection,
                    reply_to,
                    ..
                } = pending;
                self.reset_here(connection, shard, reply_to, scope, forward);
                continue;
            }
            let command = pending.work.command().expect("it is no reset");
            let ids = Ids {
                forward,
                key: pending.key,
            };
            let (status, dependency) = self.execute(shard, pending.reply_to, &command, &ids);
            self.settle(shard, pending, status, dependency);
        }
    }

    /// The owner's answer to the oldest command that it has got.
    pub(super) fn replied(
        &mut self,
        member: usize,
        shard: usize,
        counter: u64,
        outcome: &Outcome<'_>,
    ) {
        if let Some(pending) = self.next_sent(member, shard, counter) {
            let status = pending.reply_to.write(&mut self.encoder.body, outcome);
            self.settle(shard, pending, status, Dependency::Written);
        }
    }

    /// A command came to a member that serves its shard no longer.
    pub(super) fn not_owner(&mut self, member: usize, shard: usize, counter: u64) {
        let route = &self.routes[shard];
        let oldest = route.pending.front().map(|pending| pending.counter);
        if route.is_at(member) && route.sent > 0 && oldest == Some(counter) {
            self.owner_lost(shard, None);
        }
    }

    /// The command that an answer is to. `None`: it comes from who is no longer asked, or too late: the
    /// client has been answered.
    fn next_sent(&mut self, member: usize, shard: usize, counter: u64) -> Option<Pending> {
        let route = &mut self.routes[shard];
        if !route.is_at(member) || route.sent == 0 || route.pending.front()?.counter != counter {
            return None;
        }
        route.sent -= 1;
        self.commands -= 1;
        route.pending.pop_front()
    }

    /// Hands an outcome, whose body is in `self.encoder.body`, to who asked.
    fn settle(&mut self, shard: usize, pending: Pending, status: Status, dependency: Dependency) {
        let index = pending.connection.index as usize;
        let Some(connection) = self.connections.get(pending.connection) else {
            return self.encoder.body.clear();
        };
        connection.waiting -= 1;
        if connection.is_closing() {
            return self.encoder.body.clear();
        }
        let Pending {
            reply_to,
            endpoint,
            began_ns,
            ..
        } = pending;
        match pending.work {
            Work::Reset(scope) if status == Status::Ok => {
                self.encoder.body.clear();
                self.reset_next(index, shard, reply_to, scope);
            }
            Work::PayNow { id, cents } if status == Status::Accepted => {
                self.encoder.body.clear();
                self.await_outcome(index, reply_to, shard, id, cents, began_ns);
            }
            _ => self.reply_late(index, reply_to, endpoint, status, dependency, began_ns),
        }
        self.mark_dirty(index);
        self.resume(index);
    }

    /// Answers those whose time is over, and finds out whose is next.
    pub(super) fn expire(&mut self) {
        self.expire_ns = u64::MAX;
        for shard in 0..self.routes.len() {
            self.expire_shard(shard);
            self.expire_ns = self.expire_ns.min(self.routes[shard].expires_ns());
        }
    }

    fn expire_shard(&mut self, shard: usize) {
        while self.routes[shard].expires_ns() <= self.now.monotonic_ns {
            let route = &mut self.routes[shard];
            // Should the owner answer it yet, the answer finds others here and is dropped.
            let pending = route.pending.pop_front().expect("one expires");
            route.sent = route.sent.saturating_sub(1);
            self.commands -= 1;
            let problem = if pending.tried {
                UNANSWERED
            } else {
                UNAVAILABLE
            };
            problem.write(&mut self.encoder.body);
            self.settle(
                shard,
                pending,
                Status::ServiceUnavailable,
                Dependency::Nothing,
            );
        }
    }
}

#[cfg(test)]
impl<J> Node<J> {
    /// Between ticks: all counts of commands are what they count.
    #[track_caller]
    pub(crate) fn check_counts(&self) {
        let pending = || self.routes.iter().flat_map(|route| &route.pending);
        assert_eq!(self.commands, pending().count());
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            let waiting = pending().filter(|it| it.connection == connection.id);
            let inquiries = self.inquiries.of(connection.id);
            if self.resets.is_empty() {
                assert_eq!(connection.waiting as usize, waiting.count() + inquiries);
            }
        }
        for route in &self.routes {
            assert!(route.sent <= route.pending.len());
            let counters = route.pending.iter().rev().map(|it| it.counter);
            assert!(counters.eq((1..=route.counter).rev().take(route.pending.len())));
        }
    }
}
