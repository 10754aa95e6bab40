//! A node: the parts, the order of a tick, and who is called when.
//!
//! ```text
//! tick_begin   the time; what the tick before has left; timers; connections whose turn it is
//! events       bytes by the protocol of their connection: client, member, processor
//! events_over  deadlines; payments to their processors
//!              (the runtime writes each shard's batch, and says for each whether it is written or refused)
//! release      replies leave
//! ```
//!
//! Parts put on `Transport::events` what concerns others; [`Node::hand_on`] hands it on, behind every event.

use std::convert::Infallible;

use super::event::NodeEvent;
use super::gateway::Gateway;
use super::link::Frame;
use super::ownership::{self, Ownership};
use super::peers::Peers;
use super::queries::{Context, Queries};
use super::refused;
use super::resets::Resets;
use super::router::Router;
use super::settings::{NotTaken, Settings};
use super::shards::Shards;
use super::shutdown::Stop;
use super::transport::{is_due, Transport};
use crate::command::Outcome;
use crate::machine::{Effect, Now, Peer};
use crate::payments::Processor;
use crate::shard::Shard;
use crate::stats::{CoreStats, EngineStats};

/// The deterministic machine of one core: its parts, and whether it has had its first tick.
pub struct Node {
    pub(super) io: Transport,
    pub(super) peers: Peers,
    pub(super) shards: Shards,
    pub(super) router: Router,
    pub(super) ownership: Ownership,
    /// `None`: payments are not configured.
    pub(super) gateway: Option<Gateway>,
    pub(super) queries: Queries,
    pub(super) resets: Resets,
    started: bool,
}

impl Node {
    /// `ours`: the shards that are ours at the start.
    pub fn new(settings: Settings, ours: Vec<Shard>) -> Node {
        let members = &settings.members;
        assert!(members.core < members.cores && members.node < members.nodes.len());
        let (count, places) = (members.count(), members.shards);
        let has_payments = settings.payments.is_some();
        let mut io = Transport::new(settings);
        let mut shards = Shards::new(places);
        let mut router = Router::new(places);
        for shard in ours {
            io.commit.owned(&shard);
            router.owned_by_us(&mut io, shard.identity().shard as usize);
            shards.put(shard);
        }
        let members = &io.settings.members;
        let mut node = Node {
            peers: Peers::new(members),
            ownership: Ownership::new(&io.settings, &shards),
            gateway: has_payments.then(|| Gateway::new(count, places)),
            queries: Queries::new(count),
            resets: Resets::default(),
            io,
            shards,
            router,
            started: false,
        };
        node.hand_on();
        node
    }

    // ---- The tick -----------------------------------------------------------------

    /// See [`crate::machine::Machine::tick_begin`].
    pub fn tick_begin(&mut self, now: Now) {
        self.io.tick_begin(now);
        if !std::mem::replace(&mut self.started, true) {
            for shard in self.shards.ours_mut() {
                shard.tell_time(now);
            }
            self.ownership.started(now.monotonic_ns);
            if let Some(gateway) = &mut self.gateway {
                gateway.health_put_off(&self.io);
            }
        }
        if let Some(gateway) = self.gateway.as_mut().filter(|it| it.has_left()) {
            gateway.resume(&mut self.io, &mut self.shards);
        }
        if !self.resets.begun.is_empty() {
            let (io, shards) = (&mut self.io, &mut self.shards);
            let (peers, router) = (&mut self.peers, &mut self.router);
            self.resets.resume(io, peers, router, shards);
        }
        if self.router.commands > 0 {
            let (io, shards) = (&mut self.io, &mut self.shards);
            self.router.carry_out_all(io, shards);
        }
        if self.io.timers_ns <= now.monotonic_ns {
            self.run_timers();
        }
        self.hand_on();
        let mut left = self.io.postponed();
        while let Some(index) = self.io.next_turn(&mut left) {
            self.resume(index);
            self.hand_on();
        }
    }

    /// Connects, tries for shards and gives shards away, if it is time to.
    fn run_timers(&mut self) {
        self.peers.dial(&mut self.io);
        self.ownership.acquire(&self.io, &self.peers, &self.router);
        if self.io.stop.is_none() {
            self.give_away();
        }
        let peers_ns = self.peers.wake_ns(self.io.now_ns());
        self.io.timers_ns = self.ownership.try_ns().min(peers_ns);
    }

    fn give_away(&mut self) {
        let (io, shards) = (&mut self.io, &mut self.shards);
        ownership::give_away(io, &self.peers, &mut self.router, shards);
    }

    /// Deadlines; that may work off what has waited, so it comes before the journal is written.
    pub fn events_over(&mut self) {
        let now_ns = self.io.now_ns();
        if is_due(&mut self.io.sweep_ns, now_ns) {
            self.io.sweep();
            self.hand_on();
        }
        if is_due(&mut self.router.expire_ns, now_ns) {
            self.router.expire(&mut self.io);
            self.hand_on();
        }
        if is_due(&mut self.queries.wake_ns, now_ns) {
            let (queries, mut context) = self.queries();
            queries.expire(&mut context);
            self.hand_on();
        }
        if let Some(gateway) = &mut self.gateway {
            gateway.dispatch(&mut self.io, &mut self.shards);
            self.hand_on();
        }
    }

    /// The tick's batch of a shard, so many records of so many bytes together, is in the journal.
    #[inline(always)] // Else it is a call for each tick, for it has two callers.
    pub fn journal_written(&mut self, shard: usize, records: u64, bytes: u64) {
        self.shards.written(shard);
        self.io.journal_written(shard, records, bytes);
        if self.queries.has_notes {
            let (queries, mut context) = self.queries();
            queries.written(&mut context, shard);
        }
        if let Some(gateway) = &mut self.gateway {
            gateway.payments_written(&mut self.io, shard);
        }
    }

    /// The tick's batch of a shard was not taken: what the shard did is undone, and its replies are written anew.
    pub fn journal_refused(&mut self, shard: usize, why: NotTaken) {
        let (io, shards) = (&mut self.io, &mut self.shards);
        let refused = match why {
            NotTaken::NoRoom => Outcome::StorageFull,
            NotTaken::NoEngine => Outcome::Unavailable,
        };
        if why == NotTaken::NoRoom {
            io.stats().journal_full.add(1);
        }
        shards.shard(shard).refused();
        io.commit.refused(shard);
        if let Some(gateway) = &mut self.gateway {
            gateway.payments_refused(io, shards, shard);
        }
        self.resets.refused(shard);
        refused::rewrite_replies(io, shards, shard, &refused);
        let (queries, mut context) = self.queries();
        queries.refused(&mut context, shard);
    }

    /// Ends the tick: its replies leave. `monotonic_ns`: the present, after the journal writes; `lease_lasts`: by then,
    /// where journals are kept by an engine.
    pub fn release(&mut self, monotonic_ns: u64, lease_lasts: bool) {
        let io = &mut self.io;
        if io.stop.is_some() && io.is_past_grace() && io.connections.clients() == 0 {
            self.peers.say_goodbye(io);
        }
        io.release(monotonic_ns, lease_lasts);
        self.hand_on();
    }

    // ---- What parts find out that concerns others --------------------------------------

    pub(super) fn queries(&mut self) -> (&mut Queries, Context<'_>) {
        let context = Context {
            io: &mut self.io,
            peers: &mut self.peers,
            router: &mut self.router,
            shards: &mut self.shards,
            gateway: self.gateway.as_mut(),
        };
        (&mut self.queries, context)
    }

    /// Hands on what parts have found out, until nothing is left.
    pub(super) fn hand_on(&mut self) {
        while let Some(event) = self.io.events.pop_front() {
            let (io, shards) = (&mut self.io, &mut self.shards);
            let (peers, router) = (&mut self.peers, &mut self.router);
            match event {
                NodeEvent::Closing(id, Peer::Client) => self.queries.drop_of(io, id),
                NodeEvent::Closing(id, Peer::Upstream(number)) => {
                    if let Some(gateway) = &mut self.gateway {
                        let processor = Processor::ALL[number];
                        gateway.processor_closed(io, shards, id.index as usize, processor);
                    }
                }
                NodeEvent::Resumable(id) if io.connections.get(id).is_some() => {
                    self.resume(id.index as usize);
                }
                NodeEvent::RequestLeaves(id, monotonic_ns) => {
                    if let Some(gateway) = &mut self.gateway {
                        gateway.request_leaves(id, monotonic_ns);
                    }
                }
                NodeEvent::Linked(member) => {
                    peers.introduce(io, shards, member);
                    io.events.push_back(NodeEvent::GiveAway);
                }
                NodeEvent::GiveAway => self.give_away(),
                NodeEvent::LinkLost(member) => {
                    self.queries.forget_queries_of(member);
                    self.ownership.member_lost(io, peers, router, member);
                    // It may have another link already, of which the next event tells.
                    self.ownership
                        .successor_lost(io, peers, router, shards, member);
                }
                NodeEvent::NoSuccessor(member) => {
                    self.ownership
                        .successor_lost(io, peers, router, shards, member);
                }
                NodeEvent::Owned(shard) if shards.serves(shard) => {
                    if let Some(gateway) = &mut self.gateway {
                        gateway.payments_owned(io, shards, shard);
                    }
                    router.carry_out(io, shards, shard);
                }
                NodeEvent::OwnerChanged(shard) => {
                    let (queries, mut context) = self.queries();
                    queries.owner_changed(&mut context, shard);
                }
                NodeEvent::Forgotten(shard) => self.queries.forgotten(shard),
                NodeEvent::ResetHere(client, shard, scope) => {
                    self.resets.here(client, shard, scope)
                }
                NodeEvent::ResetThere(client, shard, scope) => {
                    let what = (&client, shard, scope);
                    self.resets.done(io, peers, router, shards, what);
                }
                NodeEvent::PaymentAccepted(client, id, cents) => {
                    let (queries, mut context) = self.queries();
                    queries.await_outcome(&mut context, &client, id, cents);
                }
                NodeEvent::Settled(shard, id) if self.queries.wake_ns != u64::MAX => {
                    self.queries.settled(shard, id);
                }
                NodeEvent::StatusKnown(shard, id, query, found) => {
                    let (queries, mut context) = self.queries();
                    queries.status_known(&mut context, shard, id, query, found);
                }
                NodeEvent::Announce(frame) => peers.tell_all(io, &frame),
                // Of no concern to anybody by now.
                NodeEvent::Closing(..)
                | NodeEvent::Resumable(_)
                | NodeEvent::Settled(..)
                | NodeEvent::Owned(_) => {}
            }
        }
    }

    // ---- For the runtime ----------------------------------------------------------------

    /// The shards that are owned here, in ascending order of their numbers.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.ours()
    }

    /// One of them, between ticks: its batch is written or refused.
    pub fn shard_mut(&mut self, shard: usize) -> &mut Shard {
        self.shards.shard(shard)
    }

    /// Whether the tick has journalled anything for one of them.
    pub fn has_batch(&self, shard: usize) -> bool {
        self.shards.has_batch(shard)
    }

    /// Counters of this core.
    pub fn core_stats(&self) -> &CoreStats {
        self.io.stats()
    }

    /// What the cores of this process have with the engine, where one keeps the journals; and which of them this is.
    pub fn engine_stats(&self) -> Option<(&EngineStats, usize)> {
        let settings = &self.io.settings;
        Some((settings.process.stats.engine()?, settings.members.core))
    }

    /// What this node is called.
    pub fn name(&self) -> &str {
        let members = &self.io.settings.members;
        &members.nodes[members.node]
    }

    /// The time of this tick.
    pub fn now(&self) -> Now {
        self.io.now
    }

    /// What makes the batches of a shard safe begins (an `fdatasync`, an append to the engine): all that there are.
    pub fn safety_begun(&mut self, shard: usize) {
        self.io.commit.begun(shard);
    }

    /// That is done: replies that waited for it may leave.
    pub fn safe(&mut self, shard: usize) {
        self.io.commit.done(shard);
    }

    /// A shard to try for: ends in [`acquired`](Self::acquired) or [`not_acquired`](Self::not_acquired).
    pub fn next_wanted(&mut self) -> Option<u32> {
        self.ownership.wanted.pop_front()
    }

    /// A shard is ours.
    pub fn acquired(&mut self, shard: Shard) {
        let (io, shards) = (&mut self.io, &mut self.shards);
        let (peers, router) = (&mut self.peers, &mut self.router);
        self.ownership.acquired(io, peers, router, shards, shard);
        self.hand_on();
    }

    /// A shard is not ours; `failed`: nobody else has it either, but it cannot be recovered.
    pub fn not_acquired(&mut self, shard: usize, failed: bool) {
        let (ownership, router) = (&mut self.ownership, &self.router);
        ownership.not_acquired(&mut self.io, &self.peers, router, shard, failed);
    }

    /// How many shards of ours are to be released, each as soon as nothing is under way for it.
    pub fn releasing(&self) -> usize {
        self.shards.releasing
    }

    /// Whether one of ours is.
    pub fn is_releasing(&self, shard: usize) -> bool {
        self.shards.releasing_to(shard).is_some()
    }

    /// A shard's lock was dropped.
    pub fn released(&mut self, shard: usize) {
        self.not_ours(shard);
    }

    /// A shard of ours is not ours any more, between ticks: what rests on it, and has not been told, is told to nobody.
    /// As it was here.
    pub fn lost(&mut self, shard: usize) -> Shard {
        refused::withdraw(&mut self.io, shard);
        if let Some(gateway) = &self.gateway {
            gateway.withdraw(&mut self.io, shard);
        }
        self.not_ours(shard)
    }

    fn not_ours(&mut self, shard: usize) -> Shard {
        let (io, shards) = (&mut self.io, &mut self.shards);
        let (peers, router) = (&self.peers, &mut self.router);
        let taken = self.ownership.released(io, peers, router, shards, shard);
        self.hand_on();
        taken
    }

    /// To whom a shard of ours is to go.
    pub fn successor(&self, shard: usize) -> Option<usize> {
        self.shards.releasing_to(shard)
    }

    /// Where an engine keeps the journals: whether copies here are too far behind for shards to be given to us.
    pub fn set_behind(&mut self, is_behind: bool) {
        self.peers.set_behind(&mut self.io, is_behind);
    }

    /// See [`crate::machine::Machine::stop`].
    pub fn stop(&mut self) {
        let (io, shards) = (&mut self.io, &mut self.shards);
        if io.stop.is_some() {
            return;
        }
        let stop = Stop::begin(io.now_ns());
        let queries_ns = stop.queries_ns;
        io.sweep_by(stop.grace_ns);
        io.stop = Some(stop);
        io.effects.push_back(Effect::StopAccepting);
        self.peers.tell_all(io, &Frame::Leaving);
        if let Some(gateway) = &mut self.gateway {
            gateway.stop_processors(io, shards);
        }
        ownership::give_away(io, &self.peers, &mut self.router, shards);
        self.queries.hurry(queries_ns);
        self.hand_on();
    }

    /// Whether a stop has come to where no client is left, and no other node will ask any more.
    pub fn is_quiet(&self) -> bool {
        let (io, now_ns) = (&self.io, self.io.now_ns());
        let is_changing = || self.ownership.is_changing_hands(&self.shards, now_ns);
        let is_left = || io.connections.clients() > 0 || is_changing() || !self.peers.are_done(io);
        let stop = io.stop.as_ref();
        stop.is_some_and(|stop| now_ns >= stop.deadline_ns || !is_left())
    }

    /// What the driver is to do next.
    pub fn next_effect(&mut self) -> Option<Effect<Infallible>> {
        self.io.effects.pop_front()
    }

    /// When something is due, though nothing happens; `u64::MAX`: nothing is. Monotonic.
    pub fn deadline_ns(&self) -> u64 {
        let gateway_ns = self.gateway.as_ref().map_or(u64::MAX, |it| it.wake_ns);
        let io_ns = self.io.sweep_ns.min(self.io.timers_ns);
        let parts_ns = self.router.expire_ns.min(self.queries.wake_ns);
        io_ns.min(parts_ns).min(gateway_ns)
    }

    /// Answers clients whose replies have waited for the engine for too long.
    pub fn answer_late(&mut self) {
        if self.over_ns() <= self.io.now_ns() {
            refused::answer_late(&mut self.io);
        }
    }

    /// When a reply that waits for the engine has waited for too long; `u64::MAX`: none waits. Monotonic.
    pub fn over_ns(&self) -> u64 {
        self.io.commit.over_ns()
    }

    /// See [`crate::machine::Machine::ready`].
    pub fn ready(&self) -> bool {
        self.io.postponed() > 0
            || !self.resets.begun.is_empty()
            || self.gateway.as_ref().is_some_and(Gateway::is_ready)
            || (self.router.commands > 0 && self.router.has_work_for_us())
    }
}
