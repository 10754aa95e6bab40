//! Queries, whose answers take time: a summary of all shards, the outcome of a payment.
//!
//! A query of a client has a part for each shard that it is about ([`coordinator`]). A part is put to whoever serves
//! the shard, over a link or here, and answered there ([`participant`]). Queries are no commands: commands never wait
//! for an answer that takes time.

mod coordinator;
mod participant;

use super::gateway::Gateway;
use super::peers::Peers;
use super::router::Router;
use super::shards::Shards;
use super::transport::Transport;
#[cfg(test)]
use crate::machine::ConnectionId;
use coordinator::Coordinator;
use participant::Participant;

/// The parts that queries need.
pub(super) struct Context<'a> {
    pub(super) io: &'a mut Transport,
    pub(super) peers: &'a mut Peers,
    pub(super) router: &'a mut Router,
    pub(super) shards: &'a mut Shards,
    pub(super) gateway: Option<&'a mut Gateway>,
}

pub(super) struct Queries {
    /// Of our clients, to the owners of shards.
    coordinator: Coordinator,
    /// To us, of shards of ours.
    participant: Participant,
    /// Not after the earliest time at which one's time is over, or one is to be asked again; `u64::MAX`: none is open.
    /// Monotonic.
    pub(super) wake_ns: u64,
    /// This tick's batches have something in them that queries wait for.
    pub(super) has_notes: bool,
}

impl Queries {
    pub(super) fn new(members: usize) -> Queries {
        Queries {
            coordinator: Coordinator::default(),
            participant: Participant::new(members),
            wake_ns: u64::MAX,
            has_notes: false,
        }
    }

    fn wake_by(&mut self, at_ns: u64) {
        self.wake_ns = self.wake_ns.min(at_ns);
    }

    /// How many a connection waits for.
    #[cfg(test)]
    pub(super) fn of(&self, connection: ConnectionId) -> usize {
        self.coordinator.of(connection)
    }

    /// This tick's batch forgets a shard's payments.
    pub(super) fn forgotten(&mut self, shard: usize) {
        self.has_notes = true;
        self.participant.forgotten(shard);
    }

    /// A shard has another owner, or none: who asked us about it is to ask that one, and so are we.
    pub(super) fn owner_changed(&mut self, context: &mut Context<'_>, shard: usize) {
        self.forget_queries(context, shard);
        self.ask_again(context, shard);
    }

    /// Deals with whatever it is time for, and finds out what is next.
    pub(super) fn expire(&mut self, context: &mut Context<'_>) {
        self.expire_open(context);
        self.expire_queries(context);
        let participant_ns = self.participant.deadline_ns();
        self.wake_ns = self.coordinator.deadline_ns().min(participant_ns);
    }
}
