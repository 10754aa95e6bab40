//! Payments that a processor has, however that is known: from its answer to the payment, or to a status query.

use super::super::event::NodeEvent;
use super::super::shards::Shards;
use super::super::transport::Transport;
use super::Gateway;
use crate::payments::{PaymentId, PaymentState, Processor};
use crate::shard::payments::Course;
use probe::probe;

/// A payment that a processor has.
pub(in crate::node) struct Confirmation {
    pub(in crate::node) shard: usize,
    pub(in crate::node) id: PaymentId,
    pub(in crate::node) by: Processor,
    pub(in crate::node) requested_us: u64,
    /// Who is to be told.
    pub(in crate::node) queries: Vec<u64>,
}

impl Gateway {
    /// A payment of a shard of ours that is settled if this processor has it: it is bound to it, or was refused by it
    /// and nobody else may have it. Its cents, and what came of its attempts.
    pub(super) fn its_to_settle(
        &self,
        shards: &Shards,
        shard: usize,
        id: PaymentId,
        by: Processor,
    ) -> Option<(u64, Course)> {
        if !shards.serves(shard) {
            return None;
        }
        let (payment, course) = self.tried(shards, shard, id)?;
        (course.to == by).then_some((payment.cents, course))
    }

    /// What is known of a payment that is not bound; `None`: not even that, it is not ours.
    pub(super) fn is_settled_here(
        &self,
        shards: &Shards,
        shard: usize,
        id: PaymentId,
    ) -> Option<bool> {
        if !shards.serves(shard) {
            return None;
        }
        let payment = shards.get(shard)?.payments().find(id);
        let state = payment.ok().flatten().map(|it| it.state);
        Some(matches!(state, Some(PaymentState::Processed { .. })))
    }

    /// Settles a payment, or has that wait for the next tick's batch.
    pub(in crate::node) fn settle(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        confirmation: Confirmation,
    ) {
        let Confirmation { shard, id, by, .. } = confirmation;
        let Some((cents, course)) = self.its_to_settle(shards, shard, id, by) else {
            let found = self.is_settled_here(shards, shard, id);
            return tell_queries(io, shard, id, &confirmation.queries, found);
        };
        if !shards.accepts(shard) {
            return self.confirmations.push_back(confirmation);
        }
        if course.due_ns > 0 {
            let retries = &mut self.upstream(by).retries;
            retries.remove(&(course.due_ns, id));
        }
        let now = io.now;
        let requested_us = confirmation.requested_us;
        let its_shard = shards.shard(shard);
        let time_us = its_shard.tell_time(now);
        let settled = its_shard.settle_payment(id, requested_us, time_us);
        debug_assert!(settled, "it was bound");
        probe!(galo, payment__settled, shard, by as usize, id.0 >> 64, id.0);
        self.confirmed.push((shard, by, cents));
        io.events.push_back(NodeEvent::Settled(shard, id));
        tell_queries(io, shard, id, &confirmation.queries, Some(true));
    }

    /// Goes on with what the tick before has left.
    pub(in crate::node) fn resume(&mut self, io: &mut Transport, shards: &mut Shards) {
        for confirmation in std::mem::take(&mut self.confirmations) {
            self.settle(io, shards, confirmation);
        }
        io.events.extend(self.told.drain(..));
    }
}

pub(super) fn tell_queries(
    io: &mut Transport,
    shard: usize,
    id: PaymentId,
    queries: &[u64],
    found: Option<bool>,
) {
    let told = queries.iter();
    io.events
        .extend(told.map(|query| NodeEvent::StatusKnown(shard, id, *query, found)));
}
