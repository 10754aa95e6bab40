//! What processors are asked for, what they tell, and whether it was time to ask.

use galo::payments::{PaymentId, Processor};
use galo_processor::model::Payment;

use super::book::{State, Stored};
use super::Book;
use crate::trace::Checked;
use crate::{require, violation};

/// The shortest rest of a payment that went wrong, the first time and at most.
const REST_NS_MIN: u64 = galo::limits::RETRY_NS_MIN / 2;
const REST_NS_MAX: u64 = galo::limits::RETRY_NS_MAX / 2;
/// For so long after a change of who owns what, or after a processor has said that it works again, payments may be sent
/// again at any time: whoever acts on it has to hear of it first.
const REST_GRACE_NS: u64 = 15_000_000_000;
/// Between two questions about health.
const HEALTH_NS: u64 = galo::limits::HEALTH_NS_MIN;

impl Book {
    /// How a processor is at present.
    pub fn watched(&mut self, which: Processor, now_ns: u64, good: bool, heard: bool) {
        self.now_ns = now_ns;
        let watched = &mut self.watched[which as usize];
        if !good {
            watched.bad_ns = now_ns;
        }
        if !heard {
            watched.unheard_ns = now_ns;
        }
    }

    /// It does not look good to those who ask it, whatever it is like.
    pub fn looks_bad(&mut self, which: Processor, now_ns: u64) {
        self.watched[which as usize].bad_ns = now_ns;
    }

    /// A question about a payment is not answered as it should be.
    pub fn unheard(&mut self, which: Processor, now_ns: u64) {
        self.watched[which as usize].unheard_ns = now_ns;
    }

    /// Whether a processor answered all questions since then.
    pub(super) fn was_heard(&self, which: Processor, since_ns: u64) -> bool {
        self.watched[which as usize].unheard_ns < since_ns
    }

    /// Whether a processor was asked for it before, with this `requestedAt`.
    pub fn was_asked(&self, payment: &Payment) -> bool {
        let known = self.by_id.get(&payment.id).map(|tag| &self.known[*tag]);
        known.is_some_and(|known| known.asked_us == payment.requested_us)
    }

    /// A processor is asked for a payment. `durable`: what it rests on must survive a loss of power.
    pub fn arrived(
        &mut self,
        which: Processor,
        payment: &Payment,
        now_ns: u64,
        durable: bool,
    ) -> Checked {
        self.now_ns = now_ns;
        let Some(tag) = self.by_id.get(&payment.id) else {
            violation!("{which:?} is asked for {payment:?}, and nobody asked us for it");
        };
        let known = &self.known[*tag];
        let bound = match known.state {
            State::Bound { to, requested_us } => (to, requested_us),
            // One that was sent before is late.
            State::Settled { by, requested_us } => (by, requested_us),
            State::Purged => return Ok(()),
            State::None | State::Free if known.doubtful => return Ok(()),
            State::None | State::Free => {
                violation!("{which:?} is asked for {payment:?}, which is not bound: {known:?}")
            }
        };
        require!(
            (bound == (which, payment.requested_us) && known.cents == payment.cents)
                || known.doubtful,
            "{which:?} is asked for {payment:?}, which is {known:?}"
        );
        let shard = PaymentId(payment.id).shard(self.shards());
        require!(
            !durable || known.bound <= self.floors[shard] || known.doubtful,
            "{which:?} is asked for a payment whose record is not durable: {known:?}"
        );
        self.known[*tag].asked_us = payment.requested_us;
        Ok(())
    }

    /// A processor is asked for a payment in the tick of this time, once more perhaps: not before it has rested,
    /// longer each time. `shuffled_ns`: as in [`health_asked`](Self::health_asked).
    pub fn comes_again(
        &mut self,
        which: Processor,
        payment: &Payment,
        asked_ns: u64,
        shuffled_ns: u64,
    ) -> Checked {
        let works_again_ns = self.watched[which as usize].works_again_ns;
        let known = &mut self.known[self.by_id[&payment.id]];
        let (count, last_ns) = known.attempts[which as usize];
        let at_any_time = |since_ns: u64| since_ns + REST_GRACE_NS >= last_ns;
        let free = count == 0
            || at_any_time(shuffled_ns)
            || works_again_ns.is_some_and(at_any_time)
            || known.purge_asked
            || known.doubtful;
        if !free {
            let rest_ns = (REST_NS_MIN << (count - 1).min(32)).min(REST_NS_MAX);
            require!(
                asked_ns >= last_ns + rest_ns,
                "{which:?} is asked at {asked_ns} for what it was asked for at {last_ns}, the {count}. time: {known:?}"
            );
        }
        known.attempts[which as usize] = (if free { 1 } else { count + 1 }, asked_ns);
        Ok(())
    }

    /// A processor tells how it is.
    pub fn health_told(&mut self, which: Processor, failing: bool, now_ns: u64) {
        let watched = &mut self.watched[which as usize];
        if std::mem::replace(&mut watched.failing, failing) && !failing {
            watched.works_again_ns = Some(now_ns);
        }
    }

    /// A processor has stored a payment.
    pub fn stored(&mut self, which: Processor, payment: &Payment, now_ns: u64) -> Checked {
        self.now_ns = now_ns;
        let known = &self.known[self.by_id[&payment.id]];
        self.watched[which as usize].took(known.bound_ns, now_ns, self.plan.as_ref());
        let other = self.stored[which.other() as usize].get(&payment.id);
        if let (Some(other), false) = (other, known.doubtful) {
            violation!("paid twice: {payment:?} at {which:?}, {other:?} before: {known:?}");
        }
        self.inserts += 1;
        let stored = Stored {
            cents: payment.cents,
            requested_us: payment.requested_us,
            number: self.inserts,
        };
        let before = self.stored[which as usize].insert(payment.id, stored);
        assert!(before.is_none(), "the processor says 422 then");
        Ok(())
    }

    /// A processor is asked about its health. `asked_ns`: by a core, in the tick of this time;
    /// `shuffled_ns`: when a process last came or went, or a shard last changed its owner.
    pub fn health_asked(&mut self, which: Processor, asked_ns: u64, shuffled_ns: u64) -> Checked {
        let before = self.watched[which as usize].health_ns.replace(asked_ns);
        let Some(before_ns) = before else {
            return Ok(());
        };
        require!(
            asked_ns >= before_ns + HEALTH_NS || shuffled_ns >= before_ns,
            "{which:?} is asked about its health at {before_ns} and at {asked_ns}"
        );
        Ok(())
    }
}
