//! Changes of a shard's payments: made in memory at once, and recorded in the tick's batch.

use super::in_flight::{InFlightPayment, Stand};
use super::queue::QueuedPayment;
use super::{Accepted, Course, PaymentUndo, Payments, Settled, Unreadable};
use crate::command::ForwardId;
use crate::payments::{PaymentId, Processor};
use crate::shard::{journal, Shard};

/// Changes of payments. What has no record is known in memory only: the next owner of the shard takes every bound
/// payment for one in doubt.
impl Shard {
    /// Payments of the shard, to be read.
    pub fn payments(&self) -> &Payments {
        &self.payments
    }

    /// How many may be open; beyond, [`Accepted::Full`].
    pub fn set_payments_max(&mut self, open_max: usize) {
        self.payments.open_max = open_max;
    }

    /// How many settled payments make a run, other than SETTLED_RUN: for tests and the simulator. Between
    /// ticks, and while none is being written.
    pub fn set_settled_run(&mut self, run: usize) {
        self.payments.memtable.set_run(run);
    }

    /// Accepts a payment, in memory and in the tick's batch. Only while [`accepts`](Self::accepts).
    pub fn pay(&mut self, id: PaymentId, cents: u64, time_us: u64) -> Accepted {
        debug_assert!(self.accepts());
        let payments = &self.payments;
        let hashes = payments.hasher.both(id);
        match payments.find_late(id, hashes) {
            Ok(Some(known)) if known.cents == cents => return Accepted::Repeated,
            Ok(Some(_)) => return Accepted::OtherAmount,
            Ok(None) if payments.open() < payments.open_max => {}
            Ok(None) => return Accepted::Full,
            Err(Unreadable) => return Accepted::Unreadable,
        }
        let stamp = self.record(time_us, |batch, seed, stamp| {
            journal::append_accepted(batch, seed, stamp, id, cents)
        });
        let entry = QueuedPayment {
            id,
            cents,
            accepted_us: stamp.time_us,
        };
        self.has_payments = true;
        self.payments.queue.push(entry, hashes.0);
        self.payments.undo.push(PaymentUndo::Accepted(id));
        Accepted::New
    }

    /// Binds a free payment to a processor, in memory and in the tick's batch: once that is written, it
    /// may be sent. The `requestedAt` to send: now, in whole milliseconds. Only while
    /// [`accepts`](Self::accepts). If the batch is refused, it is free again.
    pub fn bind_payment(&mut self, id: PaymentId, to: Processor, time_us: u64) -> u64 {
        debug_assert!(self.accepts());
        let requested_us = self.moment_us(self.time_us(time_us)) / 1000 * 1000;
        let bound = self.payments.bind(id, to, requested_us, BOUND);
        let before = bound.expect("only a free payment is bound");
        debug_assert!(before.is_none_or(|entry| !entry.is_bound()));
        self.record(time_us, |batch, seed, stamp| {
            journal::append_bound(batch, seed, stamp, id, to, requested_us)
        });
        self.payments.undo.push(PaymentUndo::Bound(id, before));
        requested_us
    }

    /// A bound payment is sent once more, as it was.
    pub fn payment_retried(&mut self, id: PaymentId) {
        let again = |entry: &mut InFlightPayment| {
            entry.attempts = entry.attempts.saturating_add(1);
            entry.course = entry.course.sent(entry.to);
        };
        self.payments.in_flight.change_bound(id, again);
    }

    /// The processor to which a payment is bound has refused it for certain: it is free again, unless it
    /// is in doubt. Whether it is.
    pub fn payment_refused(&mut self, id: PaymentId) -> bool {
        let mut is_free = false;
        self.payments.in_flight.change_bound(id, |entry| {
            is_free = entry.stand == BOUND;
            if is_free {
                entry.stand = Stand::Free;
            }
        });
        is_free
    }

    /// Replaces the course of an open payment.
    pub fn set_payment_course(&mut self, id: PaymentId, course: Course) {
        self.payments.in_flight.change(id, |entry| {
            debug_assert_eq!(entry.course.to, course.to);
            entry.course = course;
        });
    }

    /// No payment rests from this processor any more.
    pub fn end_payment_rests(&mut self, processor: Processor) {
        self.payments.in_flight.end_rests(processor);
    }

    /// Free payments that have rested enough take their turns.
    pub fn wake_payments(&mut self, now_ns: u64) {
        self.payments.in_flight.wake(now_ns);
    }

    /// An attempt of a bound payment is over, and nobody knows how: it stays with its processor until
    /// that has it.
    pub fn payment_in_doubt(&mut self, id: PaymentId) {
        let doubt = |entry: &mut InFlightPayment| entry.stand = Stand::Bound { in_doubt: true };
        self.payments.in_flight.change_bound(id, doubt);
    }

    /// The processor to which a payment is bound has it, with this `requestedAt`: settled, in memory and
    /// in the tick's batch. Only while [`accepts`](Self::accepts). So it may be with one that has refused it
    /// (no record tells that), unless another has it by now. `false`: it is not there (settled already, or
    /// forgotten), or was never bound. If the batch is refused, it is bound again, and in doubt.
    pub fn settle_payment(&mut self, id: PaymentId, requested_us: u64, time_us: u64) -> bool {
        debug_assert!(self.accepts());
        let in_flight = &self.payments.in_flight;
        let bound = in_flight.get(id).filter(|entry| entry.attempts > 0);
        let Some(entry) = bound.copied() else {
            return false;
        };
        let settled = Settled {
            id,
            cents: entry.cents,
            accepted_us: entry.accepted_us,
            requested_us,
            by: entry.to,
            attempts: entry.attempts,
        };
        let number = self.payments.memtable.next();
        let stamp = self.record(time_us, |batch, seed, stamp| {
            journal::append_settled(batch, seed, stamp, number, &settled)
        });
        self.payments.in_flight.remove(id);
        self.payments.memtable.push(settled, stamp.sequence);
        self.payments.undo.push(PaymentUndo::Settled(entry));
        true
    }

    /// Puts forgetting all payments into the batch; [`written`](Self::written) carries it out. Only while
    /// [`accepts`](Self::accepts), and only if it is not [known](Self::has_forgotten). ([`reset`](Self::reset)
    /// forgets them, too.)
    pub fn purge(&mut self, forward: Option<ForwardId>, time_us: u64) {
        debug_assert!(self.accepts());
        let number = self.payments.memtable.next();
        self.record(time_us, |batch, seed, stamp| {
            journal::append_purged(batch, seed, stamp, number, forward)
        });
        self.remember_forgotten(forward);
        self.has_payments = true;
        self.payments.purge = true;
    }
}

/// As a payment is once its record is written.
const BOUND: Stand = Stand::Bound { in_doubt: false };
