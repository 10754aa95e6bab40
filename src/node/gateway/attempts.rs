//! Payments on their way to a processor, and how that ended: what becomes of them is the table in
//! [`answers`](crate::payments::answers).
//!
//! An attempt outlives its shard's stay here: its outcome still says how the processor is, and counts for the payment
//! only while that is served here and bound as it was when it was sent.
//!
//! One that went wrong rests, longer each time ([`backoff`]): before the same processor gets it again, and no other.

use super::super::shards::Shards;
use super::super::transport::Transport;
use super::anomalies::HeardAnswer;
use super::settlement::Confirmation;
use super::Gateway;
use super::{Answer, UpstreamWork};
use crate::api::processors::{is_done, write_payment, Stored};
use crate::limits::{
    ATTEMPT_NS_MAX, PROBE_NS_MAX, PROBE_NS_MIN, REFUSALS_SPARED_MAX, RETRY_NS_MIN, SECOND_NS,
};
use crate::machine::ConnectionId;
use crate::payments::answers::{rule, Asked, NextState, Said};
use crate::payments::circuit::{AttemptOutcome, CircuitState, Ticket};
use crate::payments::{backoff, choice, Payment, PaymentId, PaymentState, Processor};
use crate::shard::payments::Course;
use probe::probe;

/// What a processor is sent, word for word the same however often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) struct PaymentOrder {
    pub(in crate::node) shard: usize,
    pub(in crate::node) id: PaymentId,
    pub(in crate::node) cents: u64,
    pub(in crate::node) requested_us: u64,
    pub(in crate::node) to: Processor,
}

impl PaymentOrder {
    pub(in crate::node) fn write_body(&self, out: &mut Vec<u8>) {
        let payment = Stored {
            id: self.id,
            cents: self.cents,
            requested_us: self.requested_us,
        };
        write_payment(out, &payment);
    }
}

/// A payment under way, or about to be.
#[derive(Clone, Copy)]
pub(in crate::node) struct Attempt {
    pub(in crate::node) order: PaymentOrder,
    pub(in crate::node) ticket: Ticket,
}

/// What an answer to a payment says of its processor.
fn outcome(heard: &HeardAnswer) -> AttemptOutcome {
    match heard.said {
        Said::Done => AttemptOutcome::Done,
        Said::Busy => {
            let wait_s = heard.wait_ns.map(|wait_ns| wait_ns.div_ceil(SECOND_NS));
            AttemptOutcome::Busy(wait_s.map(|wait_s| u32::try_from(wait_s).unwrap_or(u32::MAX)))
        }
        Said::Nothing => AttemptOutcome::Unknown,
        // The last two are Done if the answer to the query about it says so.
        Said::Refused | Said::Failed | Said::Unsure | Said::Unreachable => AttemptOutcome::Failed,
        Said::Known | Said::Unreadable => AttemptOutcome::Failed,
    }
}

impl Gateway {
    /// A payment is to be sent in this tick.
    pub(in crate::node) fn attempt(&mut self, io: &Transport, order: PaymentOrder) -> Attempt {
        let now_ns = io.now.monotonic_ns;
        let upstream = self.upstream(order.to);
        upstream.under_way += 1;
        let ticket = upstream.circuit.sent(now_ns);
        Attempt { order, ticket }
    }

    /// Sends a payment whose binding is in the journal.
    pub(in crate::node) fn send_payment(
        &mut self,
        io: &mut Transport,
        attempt: Attempt,
        connection: ConnectionId,
    ) {
        let to = attempt.order.to;
        self.ask_processor(
            io,
            connection,
            to,
            UpstreamWork::Pay(attempt),
            ATTEMPT_NS_MAX,
        );
    }

    /// How an attempt ended.
    pub(in crate::node) fn attempt_over(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        attempt: &Attempt,
        answer: Answer<'_>,
    ) {
        let Attempt { order, ticket } = *attempt;
        let PaymentOrder { shard, id, to, .. } = order;
        let heard = self.hear(io, to, Asked::Payment, Some(id), answer, is_done);
        let said = heard.said;
        if !self.is_as_sent(shards, &order) {
            let outcome = match said {
                Said::Known => AttemptOutcome::Done,
                _ => outcome(&heard),
            };
            self.ticket_over(io, to, ticket, outcome, false, heard.wait_ns);
            // What may be there of a payment that was forgotten is there of its successor, too.
            let successor = self.bound_to(shards, shard, id).filter(|it| it.to == to);
            if successor.is_some() && rule(said, None).next != NextState::Free {
                shards.shard(shard).payment_in_doubt(id);
            }
            return;
        }
        if said.is_asked_about() {
            // Whether the processor works, its answer to that will tell.
            shards.shard(shard).payment_in_doubt(id);
            let course = self.course(shards, shard, id);
            self.set_course(shards, shard, id, Course { said, ..course });
            return self.verify(io, shard, id, to, ticket);
        }
        let outcome = outcome(&heard);
        let suspect =
            outcome != AttemptOutcome::Done && self.is_suspect(shards, shard, id, to, said);
        self.ticket_over(io, to, ticket, outcome, suspect, heard.wait_ns);
        match rule(said, None).next {
            NextState::Paid | NextState::Stored => self.settle(
                io,
                shards,
                Confirmation {
                    shard,
                    id,
                    by: to,
                    requested_us: order.requested_us,
                    queries: Vec::new(),
                },
            ),
            NextState::Free => {
                probe!(galo, payment__refused, shard, to as usize, id.0 >> 64, id.0);
                // Of two attempts, one says nothing of the other.
                if self.is_under_way(&order) {
                    shards.shard(shard).payment_in_doubt(id);
                }
                match shards.shard(shard).payment_refused(id) {
                    true => self.rest(io, shards, shard, id, to, &heard),
                    false => self.retry_later(io, shards, shard, id, to, &heard),
                }
            }
            NextState::Bound => {
                shards.shard(shard).payment_in_doubt(id);
                self.retry_later(io, shards, shard, id, to, &heard);
            }
        }
    }

    /// The circuit learns how an attempt ended. `suspect`: it may be the payment's own fault.
    pub(in crate::node) fn ticket_over(
        &mut self,
        io: &Transport,
        to: Processor,
        ticket: Ticket,
        outcome: AttemptOutcome,
        suspect: bool,
        wait_ns: Option<u64>,
    ) {
        let now_ns = io.now.monotonic_ns;
        let upstream = self.upstream(to);
        let spared = suspect && matches!(outcome, AttemptOutcome::Failed | AttemptOutcome::Unknown);
        let known = if spared {
            AttemptOutcome::Spared
        } else {
            outcome
        };
        upstream.circuit.ended(ticket, known, now_ns);
        upstream.under_way -= 1;
        match (known, wait_ns) {
            (AttemptOutcome::Done, _) => {
                (upstream.retry_ns, upstream.retry_again_ns) = (0, PROBE_NS_MIN);
                upstream.done_ns = now_ns;
                upstream.spared = (upstream.spared + 1).min(REFUSALS_SPARED_MAX);
            }
            (AttemptOutcome::Failed, Some(wait_ns)) => upstream.circuit.hold(wait_ns, now_ns),
            _ => {}
        }
        let stats = &io.stats().payments.processors[to as usize];
        match outcome {
            AttemptOutcome::Done | AttemptOutcome::Spared => {}
            AttemptOutcome::Failed => stats.failed.add(1),
            AttemptOutcome::Busy(_) => stats.busy.add(1),
            AttemptOutcome::Unknown => stats.unknown.add(1),
        }
    }

    /// Whether what a processor says, which is wrong, may be the payment's own fault: it has gone wrong there before,
    /// and others have not since; or it is an answer that is about the payment, and others are carried out.
    pub(in crate::node) fn is_suspect(
        &mut self,
        shards: &Shards,
        shard: usize,
        id: PaymentId,
        to: Processor,
        said: Said,
    ) -> bool {
        let tried = self.tried(shards, shard, id);
        let its = tried.filter(|(_, course)| course.to == to && course.wrong_ns > 0);
        let upstream = self.upstream(to);
        if its.is_some_and(|(_, course)| upstream.done_ns > course.wrong_ns) {
            return true;
        }
        let about_it = matches!(said, Said::Refused | Said::Known | Said::Unreadable);
        let spared = about_it && upstream.spared > 0;
        upstream.spared -= u32::from(spared);
        spared
    }

    /// An open payment of a shard of ours that was bound at least once, and what came of its attempts.
    pub(in crate::node) fn tried(
        &self,
        shards: &Shards,
        shard: usize,
        id: PaymentId,
    ) -> Option<(Payment, Course)> {
        shards.get(shard)?.payments().in_flight(id)
    }

    /// The same of one that is known to be so.
    pub(in crate::node) fn course(&self, shards: &Shards, shard: usize, id: PaymentId) -> Course {
        self.tried(shards, shard, id).expect("it was bound").1
    }

    pub(in crate::node) fn set_course(
        &mut self,
        shards: &mut Shards,
        shard: usize,
        id: PaymentId,
        course: Course,
    ) {
        shards.shard(shard).set_payment_course(id, course);
    }

    /// Whether a payment is ours, and bound as it was when it was sent: it may be settled by now, or have
    /// been forgotten, and perhaps accepted anew.
    fn is_as_sent(&self, shards: &Shards, order: &PaymentOrder) -> bool {
        let bound = self.bound_to(shards, order.shard, order.id);
        bound.is_some_and(|now| now == *order)
    }

    /// Whether its processor is being asked to carry out a payment of this id.
    fn is_under_way(&self, order: &PaymentOrder) -> bool {
        let is_its = |other: &PaymentOrder| (other.id, other.to) == (order.id, order.to);
        let mut work = self.work();
        work.any(|work| matches!(work, UpstreamWork::Pay(attempt) if is_its(&attempt.order)))
    }

    /// A payment of a shard of ours that is bound, as it is to be sent.
    pub(in crate::node) fn bound_to(
        &self,
        shards: &Shards,
        shard: usize,
        id: PaymentId,
    ) -> Option<PaymentOrder> {
        if !shards.serves(shard) {
            return None;
        }
        let (payment, _) = self.tried(shards, shard, id)?;
        let PaymentState::Bound {
            to, requested_us, ..
        } = payment.state
        else {
            return None;
        };
        Some(PaymentOrder {
            shard,
            id,
            cents: payment.cents,
            requested_us,
            to,
        })
    }

    /// A payment has gone wrong at a processor: what is known of it then, and how often it was sent.
    fn went_wrong(
        &mut self,
        io: &Transport,
        shards: &mut Shards,
        shard: usize,
        id: PaymentId,
        to: Processor,
        heard: &HeardAnswer,
    ) -> Course {
        let now_ns = io.now.monotonic_ns;
        let (payment, course) = self.tried(shards, shard, id).expect("it was sent");
        let mut rest_ns = backoff::rest_ns(id, payment.attempts).max(heard.wait_ns.unwrap_or(0));
        let circuit = &self.upstreams[to as usize].circuit;
        if let (CircuitState::Open, Some(probe_ns)) = (circuit.state(), circuit.wake_ns(now_ns)) {
            // Should it be this payment that the processor fails at, another one finds that out.
            if self.others_wait(shards, shard, id) {
                rest_ns = rest_ns.max(probe_ns - now_ns + RETRY_NS_MIN / 2);
            }
        }
        let mut course = Course {
            said: heard.said,
            wrong_ns: now_ns,
            ..course
        };
        course.rest_ns[to as usize] = now_ns + rest_ns;
        course
    }

    /// Whether any payment waits beside this one, of a shard of ours.
    fn others_wait(&self, shards: &Shards, shard: usize, id: PaymentId) -> bool {
        let is_free = |(payment, _): &(Payment, Course)| payment.state == PaymentState::Free;
        let own = usize::from(self.tried(shards, shard, id).as_ref().is_some_and(is_free));
        let retries = self.upstreams.iter().map(|upstream| upstream.retries.len());
        let free = shards.served().map(|shard| shard.payments().free());
        free.chain(retries).sum::<usize>() > own
    }

    /// A payment was refused, and is free: it rests from that processor, but not for longer than the other one can
    /// do without it.
    fn rest(
        &mut self,
        io: &Transport,
        shards: &mut Shards,
        shard: usize,
        id: PaymentId,
        to: Processor,
        heard: &HeardAnswer,
    ) {
        let now = io.now;
        let mut course = self.went_wrong(io, shards, shard, id, to, heard);
        let outlooks = Processor::ALL.map(|processor| self.outlook(io, processor));
        let cheapest = choice::cheapest(&outlooks);
        let dearer = &outlooks[1 - cheapest];
        let (payment, _) = self.tried(shards, shard, id).expect("it was sent");
        let its_shard = shards.get(shard).expect("it is ours");
        let age_us = its_shard.now_us(now).saturating_sub(payment.accepted_us);
        let age_ns = age_us.saturating_mul(1000);
        let deadline_ns = io.settings.payments().deadline_ns;
        let patience_ns = choice::patience_ns(age_ns, deadline_ns, dearer);
        let urgent_ns = now.monotonic_ns + patience_ns;
        let dearer_ns = course.rest_ns[1 - cheapest].max(urgent_ns);
        let due_ns = course.rest_ns[cheapest].min(dearer_ns);
        course.due_ns = due_ns.max(now.monotonic_ns);
        self.set_course(shards, shard, id, course);
    }

    /// A payment may be with a processor, and that is to be asked again after a while.
    pub(in crate::node) fn retry_later(
        &mut self,
        io: &Transport,
        shards: &mut Shards,
        shard: usize,
        id: PaymentId,
        to: Processor,
        heard: &HeardAnswer,
    ) {
        let now_ns = io.now.monotonic_ns;
        let mut course = self.went_wrong(io, shards, shard, id, to, heard);
        course.due_ns = course.rest_ns[to as usize];
        self.set_course(shards, shard, id, course);
        let upstream = self.upstream(to);
        if upstream.retry_ns <= now_ns {
            upstream.retry_ns = now_ns + upstream.retry_again_ns;
            // Less often than probes in the end: should it be this payment that it fails at, others get
            // their turn at finding out whether it works.
            upstream.retry_again_ns = (2 * upstream.retry_again_ns).min(2 * PROBE_NS_MAX);
        }
        upstream.retries.insert((course.due_ns, id), shard);
    }

    /// A shard is ours, or once more as it was before: its payments that a processor may have, and that
    /// are not under way, are to be sent again, at once if may be.
    pub(in crate::node) fn gather_retries(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        number: usize,
    ) {
        for upstream in &mut self.upstreams {
            upstream.retries.retain(|_, shard| *shard != number);
        }
        let under_way = |work: &UpstreamWork| match work {
            UpstreamWork::Pay(Attempt { order, .. }) if order.shard == number => {
                Some((order.requested_us, order.id, order.to))
            }
            _ => None,
        };
        let key = |(requested_us, id, to): &(u64, PaymentId, Processor)| {
            (*requested_us, *id, *to as usize)
        };
        let mut under_way: Vec<_> = self.work().filter_map(under_way).collect();
        under_way.sort_unstable_by_key(key);
        let shard = shards.shard(number);
        let bound = shard.payments().bound();
        // An attempt of a payment that was forgotten is none of its successor.
        let mut gathered: Vec<_> = bound
            .filter_map(|payment| match payment.state {
                PaymentState::Bound {
                    to, requested_us, ..
                } => Some((requested_us, payment.id, to)),
                _ => None,
            })
            .filter(|sent| under_way.binary_search_by_key(&key(sent), key).is_err())
            .collect();
        gathered.sort_unstable_by_key(key);
        // They are due now, one after the other.
        let first_ns = io.now.monotonic_ns.saturating_sub(gathered.len() as u64);
        for (place, (_, id, to)) in gathered.into_iter().enumerate() {
            shard.payment_in_doubt(id);
            let due_ns = first_ns + 1 + place as u64;
            let (_, course) = shard.payments().in_flight(id).expect("it is bound");
            shard.set_payment_course(id, Course { due_ns, ..course });
            self.upstream(to).retries.insert((due_ns, id), number);
        }
    }
}
