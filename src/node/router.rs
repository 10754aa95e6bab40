//! To the owner of a shard: commands of our clients for shards that we do not serve.
//!
//! They wait in their shard's queue until an owner is known, and stay there until it has answered. When
//! it is lost they are sent again to the next one, in their order and with the ids that they had: what
//! the first one had carried out already, the next one knows. Should that be us, we carry them out. Who
//! has no answer in time is told so.

use std::collections::VecDeque;

use super::event::NodeEvent;
use super::link::Frame;
use super::peers::Peers;
use super::shards::Shards;
use super::transport::commit::Dependency;
use super::transport::encoder::Caller;
use super::transport::{Progress, Transport};
use crate::api::problem::{UNANSWERED, UNAVAILABLE};
use crate::command::{Command, ForwardId, Ids, Origin, Outcome, Scope};
use crate::http::Status;
use crate::limits::{
    COMMANDS_MAX, COMMAND_NS_MAX, CONNECTION_FORWARDS_MAX, SHARD_COMMANDS_MAX,
    SHARD_COMMANDS_SCARCE,
};
#[cfg(test)]
use crate::machine::ConnectionId;
use crate::payments::PaymentId;
use probe::probe;

/// Who serves a shard, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Us,
    Member(usize),
}

/// The way to one shard.
struct Route {
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
    caller: Caller,
    /// Monotonic.
    since_ns: u64,
    /// Some owner may have carried it out.
    tried: bool,
    key: Option<u128>,
    work: RoutedWork,
}

/// What is to be done.
#[derive(Clone, Copy)]
pub(super) enum RoutedWork {
    Command(Command),
    /// A payment whose outcome its client waits for.
    PayNow {
        id: PaymentId,
        cents: u64,
    },
    Reset(Scope),
}

impl RoutedWork {
    /// `None` for a reset.
    fn command(self) -> Option<Command> {
        match self {
            RoutedWork::Command(command) => Some(command),
            RoutedWork::PayNow { id, cents } => Some(Command::Pay { id, cents }),
            RoutedWork::Reset(_) => None,
        }
    }
}

impl Route {
    fn new() -> Route {
        Route {
            owner: Owner::Nobody,
            pending: VecDeque::new(),
            sent: 0,
            counter: 0,
        }
    }

    fn is_at(&self, member: usize) -> bool {
        self.owner == Owner::Member(member)
    }

    /// Whether commands wait that this node has to carry out.
    fn has_work_for_us(&self) -> bool {
        self.owner == Owner::Us && !self.pending.is_empty()
    }

    /// The next one's time is over then. Monotonic.
    fn expires_ns(&self) -> u64 {
        self.pending
            .front()
            .map_or(u64::MAX, |it| it.since_ns + COMMAND_NS_MAX)
    }
}

pub(super) struct Router {
    /// Indexed by shard number.
    routes: Vec<Route>,
    /// Commands in all routes.
    pub(super) commands: usize,
    /// Not after the earliest time at which a command's time is over. Monotonic.
    pub(super) expire_ns: u64,
}

impl Router {
    pub(super) fn new(shards: usize) -> Router {
        Router {
            routes: (0..shards).map(|_| Route::new()).collect(),
            commands: 0,
            expire_ns: u64::MAX,
        }
    }

    // ---- Who serves a shard -----------------------------------------------------------

    /// Whether a member serves a shard, as far as we know.
    pub(super) fn is_at(&self, shard: usize, member: usize) -> bool {
        self.routes[shard].is_at(member)
    }

    /// The other member that serves a shard, as far as we know.
    pub(super) fn member(&self, shard: usize) -> Option<usize> {
        match self.routes[shard].owner {
            Owner::Member(member) => Some(member),
            Owner::Nobody | Owner::Us => None,
        }
    }

    /// Whether nobody is known to serve a shard.
    pub(super) fn is_nowhere(&self, shard: usize) -> bool {
        self.routes[shard].owner == Owner::Nobody
    }

    /// Whether the oldest command that a member has got for a shard is this one.
    pub(super) fn is_oldest(&self, member: usize, shard: usize, counter: u64) -> bool {
        let route = &self.routes[shard];
        let oldest = route.pending.front().map(|pending| pending.counter);
        route.is_at(member) && route.sent > 0 && oldest == Some(counter)
    }

    /// A member serves a shard: it gets what waits for it.
    pub(super) fn owned_by(
        &mut self,
        io: &mut Transport,
        peers: &mut Peers,
        shard: usize,
        member: usize,
    ) {
        self.set_owner(io, shard, Owner::Member(member));
        // What it has got of us for the shard before, and does not carry out, comes again behind this.
        peers.begin_again(io, member, shard as u32);
        self.send_pending(io, peers, shard);
    }

    /// We serve a shard from now on.
    pub(super) fn owned_by_us(&mut self, io: &mut Transport, shard: usize) {
        self.set_owner(io, shard, Owner::Us);
        io.events.push_back(NodeEvent::Owned(shard));
    }

    /// Nobody is known to serve a shard any more.
    pub(super) fn owned_by_nobody(&mut self, io: &mut Transport, shard: usize) {
        self.set_owner(io, shard, Owner::Nobody);
    }

    /// None of the commands has got to this owner yet, and no query.
    fn set_owner(&mut self, io: &mut Transport, shard: usize, owner: Owner) {
        let route = &mut self.routes[shard];
        (route.owner, route.sent) = (owner, 0);
        io.events.push_back(NodeEvent::OwnerChanged(shard));
    }

    // ---- Commands of clients -------------------------------------------------------------

    /// Puts a client's command into its shard's queue, and sends it if the owner is known.
    pub(super) fn forward(
        &mut self,
        io: &mut Transport,
        peers: &mut Peers,
        caller: &Caller,
        shard: usize,
        command: &Command,
        key: Option<u128>,
    ) -> Progress {
        let has_room = self.has_room(shard);
        let connection = &mut io.connections[caller.index()];
        // Replies of one shard come in order; those of two need not.
        let one_more = connection.waiting_for == Some(shard)
            && connection.waiting < CONNECTION_FORWARDS_MAX
            && self.routes[shard].pending.len() < SHARD_COMMANDS_SCARCE
            && has_room;
        if connection.waiting > 0 && !one_more {
            return Progress::Blocked;
        }
        if has_room {
            connection.waiting_for = Some(shard);
            self.enqueue(io, peers, caller, shard, RoutedWork::Command(*command), key);
        } else {
            io.answer(caller, &UNAVAILABLE);
        }
        Progress::Done
    }

    /// Puts what a client asks into its shard's queue, whose answer is not yet the reply: nothing may be asked behind it.
    pub(super) fn forward_alone(
        &mut self,
        io: &mut Transport,
        peers: &mut Peers,
        caller: &Caller,
        shard: usize,
        work: RoutedWork,
    ) {
        if self.has_room(shard) {
            io.connections[caller.index()].waiting_for = None;
            self.enqueue(io, peers, caller, shard, work, None);
        } else {
            io.answer(caller, &UNAVAILABLE);
        }
    }

    fn has_room(&self, shard: usize) -> bool {
        self.routes[shard].pending.len() < SHARD_COMMANDS_MAX && self.commands < COMMANDS_MAX
    }

    fn enqueue(
        &mut self,
        io: &mut Transport,
        peers: &mut Peers,
        caller: &Caller,
        shard: usize,
        work: RoutedWork,
        key: Option<u128>,
    ) {
        io.connections[caller.index()].waiting += 1;
        let route = &mut self.routes[shard];
        route.counter += 1;
        route.pending.push_back(Pending {
            counter: route.counter,
            caller: *caller,
            since_ns: io.now_ns(),
            tried: false,
            key,
            work,
        });
        self.commands += 1;
        self.expire_ns = self.expire_ns.min(route.expires_ns());
        self.send_pending(io, peers, shard);
    }

    /// Sends what the owner has not got, if it is another member.
    fn send_pending(&mut self, io: &mut Transport, peers: &mut Peers, shard: usize) {
        let route = &mut self.routes[shard];
        let Owner::Member(member) = route.owner else {
            return;
        };
        let Some(link) = peers.link(member) else {
            return;
        };
        let room = peers.commands_room(member);
        let mut again = 0;
        let mut count = 0;
        for pending in route.pending.iter_mut().skip(route.sent).take(room) {
            again += u64::from(std::mem::replace(&mut pending.tried, true));
            count += 1;
            let Pending { counter, key, .. } = *pending;
            let frame = match (pending.work, pending.work.command()) {
                (RoutedWork::Reset(scope), _) => Frame::Reset {
                    counter,
                    shard: shard as u32,
                    scope,
                },
                (_, command) => Frame::Command {
                    counter,
                    key,
                    command: command.expect("it is no reset"),
                },
            };
            io.write_frame(link, &frame);
            probe!(galo, hop__sent, member, shard, counter);
        }
        route.sent += count;
        peers.commands_sent(member, count);
        let stats = io.stats();
        stats.forwards.add(count as u64 - again);
        stats.retries.add(again);
    }

    /// A member has answered a command: if it had as many as it may have, it gets more.
    pub(super) fn answered(&mut self, io: &mut Transport, peers: &mut Peers, member: usize) {
        if !peers.command_answered(member) {
            return;
        }
        for shard in 0..self.routes.len() {
            if self.routes[shard].is_at(member) {
                self.send_pending(io, peers, shard);
            }
        }
    }

    // ---- What comes of them --------------------------------------------------------------

    /// Whether commands wait that this node has to carry out.
    pub(super) fn has_work_for_us(&self) -> bool {
        self.routes.iter().any(Route::has_work_for_us)
    }

    /// Carries out what waits for our shards.
    pub(super) fn carry_out_all(&mut self, io: &mut Transport, shards: &mut Shards) {
        for shard in 0..self.routes.len() {
            self.carry_out(io, shards, shard);
        }
    }

    /// Carries out what waits for a shard of ours, as far as this tick takes it.
    pub(super) fn carry_out(&mut self, io: &mut Transport, shards: &mut Shards, shard: usize) {
        let route = &mut self.routes[shard];
        while route.owner == Owner::Us && shards.serves(shard) && shards.accepts(shard) {
            let Some(pending) = route.pending.pop_front() else {
                return;
            };
            self.commands -= 1;
            io.stats().retries.add(u64::from(pending.tried));
            let forward = Some(ForwardId {
                origin: Origin {
                    member: io.settings.members.own() as u16,
                    epoch: io.settings.epoch,
                },
                counter: pending.counter,
            });
            let Some(command) = pending.work.command() else {
                let RoutedWork::Reset(scope) = pending.work else {
                    unreachable!("all else is a command");
                };
                shards.forget(io, shard, scope, forward);
                let event = NodeEvent::ResetHere(pending.caller, shard, scope);
                io.events.push_back(event);
                continue;
            };
            let key = pending.key;
            let ids = Ids { forward, key };
            let (status, dependency) = shards.execute(io, shard, &pending.caller, &command, &ids);
            settle(io, shard, &pending, status, dependency);
        }
    }

    /// The owner's answer to the oldest command that it has got; an answer to another one comes from who is no
    /// longer asked, or too late: the client has been answered.
    pub(super) fn replied(
        &mut self,
        io: &mut Transport,
        (member, shard, counter): (usize, usize, u64),
        outcome: &Outcome<'_>,
    ) {
        if !self.is_oldest(member, shard, counter) {
            return;
        }
        let route = &mut self.routes[shard];
        route.sent -= 1;
        self.commands -= 1;
        let pending = route.pending.pop_front().expect("just seen");
        let status = io.encoder.outcome(&pending.caller, outcome);
        settle(io, shard, &pending, status, Dependency::Nothing);
    }

    /// Answers those whose time is over, and finds out whose is next.
    pub(super) fn expire(&mut self, io: &mut Transport) {
        self.expire_ns = u64::MAX;
        for shard in 0..self.routes.len() {
            self.expire_shard(io, shard);
            self.expire_ns = self.expire_ns.min(self.routes[shard].expires_ns());
        }
    }

    fn expire_shard(&mut self, io: &mut Transport, shard: usize) {
        let route = &mut self.routes[shard];
        while route.expires_ns() <= io.now_ns() {
            // Should the owner answer it yet, the answer finds others here and is dropped.
            let pending = route.pending.pop_front().expect("one expires");
            route.sent = route.sent.saturating_sub(1);
            self.commands -= 1;
            let problem = match pending.tried {
                true => UNANSWERED,
                false => UNAVAILABLE,
            };
            let status = io.encoder.problem(&pending.caller, &problem);
            settle(io, shard, &pending, status, Dependency::Nothing);
        }
    }
}

/// Hands an outcome, whose body is in the encoder, to who asked.
fn settle(
    io: &mut Transport,
    shard: usize,
    pending: &Pending,
    status: Status,
    dependency: Dependency,
) {
    let caller = pending.caller;
    let Some(connection) = io.connections.get(caller.connection) else {
        return io.encoder.body.clear();
    };
    connection.waiting -= 1;
    if connection.is_closing() {
        return io.encoder.body.clear();
    }
    match pending.work {
        RoutedWork::Reset(scope) if status == Status::Ok => {
            io.encoder.body.clear();
            let event = NodeEvent::ResetThere(caller, shard, scope);
            io.events.push_back(event);
        }
        RoutedWork::PayNow { id, cents } if status == Status::Accepted => {
            io.encoder.body.clear();
            let event = NodeEvent::PaymentAccepted(caller, id, cents);
            io.events.push_back(event);
        }
        _ => io.reply(&caller, status, dependency),
    }
    io.mark_dirty(caller.index());
    io.resume_later(caller.connection);
}

#[cfg(test)]
impl Router {
    /// The connections of the commands that wait. All counts are what they count.
    #[track_caller]
    pub(super) fn check_counts(&self) -> Vec<ConnectionId> {
        for route in &self.routes {
            assert!(route.sent <= route.pending.len());
            let counters = route.pending.iter().rev().map(|it| it.counter);
            assert!(counters.eq((1..=route.counter).rev().take(route.pending.len())));
        }
        let pending = self.routes.iter().flat_map(|route| &route.pending);
        let connections: Vec<_> = pending.map(|it| it.caller.connection).collect();
        assert_eq!(self.commands, connections.len());
        connections
    }
}
