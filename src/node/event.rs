//! What parts of a node find out that concerns others: [`super::core`] hands it on.

use super::link::Frame;
use super::transport::encoder::Caller;
use crate::command::Scope;
use crate::machine::{ConnectionId, Peer};
use crate::payments::PaymentId;

pub(super) enum NodeEvent {
    /// The driver was told to close a connection.
    Closing(ConnectionId, Peer),
    /// What a connection has sent may be gone on with.
    Resumable(ConnectionId),
    /// The request on a connection to an upstream leaves at this monotonic time.
    RequestLeaves(ConnectionId, u64),
    /// The link to a member can be used.
    Linked(usize),
    /// It cannot any more, and whatever the member has not answered it will not answer.
    LinkLost(usize),
    /// A member takes no shard any more.
    NoSuccessor(usize),
    /// We serve a shard from now on.
    Owned(usize),
    /// A member may take shards, or one came that may not stay. Behind what is known of them: commands that wait for a
    /// shard are carried out first.
    GiveAway,
    /// A shard has another owner, or none.
    OwnerChanged(usize),
    /// What a shard of ours has of payments is forgotten in this tick's batch.
    Forgotten(usize),
    /// A shard of ours is reset in this tick, for a client that waits for it.
    ResetHere(Caller, usize, Scope),
    /// A shard of another member was reset for a client.
    ResetThere(Caller, usize, Scope),
    /// A payment is accepted, and its client waits for its outcome: id, cents.
    PaymentAccepted(Caller, PaymentId, u64),
    /// A payment of a shard of ours is settled in this tick's batch.
    Settled(usize, PaymentId),
    /// Whether a processor has a payment, for the query of this number; `None`: nobody knows.
    StatusKnown(usize, PaymentId, u64, Option<bool>),
    /// For all other members.
    Announce(Frame<'static>),
}
