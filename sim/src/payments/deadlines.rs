//! When a payment has to be on its way, when it may go to the dearer processor, and what is known of its age.

use galo::payments::{PaymentId, Processor};

use super::book::{Known, State};
use super::Book;
use crate::trace::Checked;
use crate::{require, violation};

/// A processor that has been bad may be avoided for so long: probes, health, `Retry-After`, and what was
/// under way all take their time.
const DISTRUST_NS: u64 = 25_000_000_000;
/// With a shorter deadline nothing can be said of what fallback gets.
const DEADLINE_NS_MIN: u64 = 1_000_000_000;
/// A decision is taken before what the same tick settles is settled.
const SETTLED_MAX: usize = 4;
/// Payments that are open in a shard, of which none waits for the others.
const FEW: usize = 3;
/// The world may let so much time pass before a core has its turns.
const LATE_NS: u64 = 2_000_000_000;

impl Book {
    /// Fallback gets a payment: there must be a reason.
    pub(super) fn is_dear(&self, known: &Known) -> Checked {
        let Some(plan) = &self.plan else {
            violation!("there are no payments");
        };
        if plan.deadline_ns < DEADLINE_NS_MIN {
            return Ok(()); // Any wait for an answer, of whatever cause, is too long for it.
        }
        let cheap = &self.watched[Processor::Default as usize];
        let since_ns = known.accepted_ns.saturating_sub(DISTRUST_NS);
        // Its window may be full while more come than are allowed to wait, or while some have waited too
        // long already, because nobody was there.
        let id = PaymentId(known.id.expect("it is in a journal"));
        let open = |other: &&Known| matches!(other.state, State::Free | State::Bound { .. });
        let open = self.of_shard(id.shard(self.shards())).filter(open).count();
        let for_room = open + SETTLED_MAX >= plan.open_max * 3 / 4;
        let age_ns = self.now_ns - known.accepted_ns;
        let is_overdue = age_ns >= plan.deadline_ns * 3 / 4 || known.ageless;
        require!(
            for_room || is_overdue || cheap.bad_ns >= since_ns,
            "fallback gets a payment, and default has worked since {}: {known:?}",
            cheap.bad_ns
        );
        // With one that is slow, too, payments are late at once; and so they are while default seems slow, and has as
        // many as it may have.
        let dear = &self.watched[Processor::Fallback as usize];
        let is_late =
            age_ns >= plan.deadline_ns / 4 || dear.bad_ns >= since_ns || cheap.slow_ns >= since_ns;
        require!(
            for_room || is_overdue || is_late,
            "fallback gets a payment after {age_ns} ns of {}, with {open} open of {}: {known:?}",
            plan.deadline_ns,
            plan.open_max
        );
        Ok(())
    }

    /// A payment is bound: if it has waited for long, something kept it.
    pub(super) fn is_late(&self, shard: usize, known: &Known) -> Checked {
        let Some(plan) = &self.plan else {
            violation!("there are no payments");
        };
        let since_ns = known.accepted_ns.saturating_sub(DISTRUST_NS);
        let dear = &self.watched[Processor::Fallback as usize];
        let open = |other: &&Known| matches!(other.state, State::Free | State::Bound { .. });
        let few = self.of_shard(shard).filter(open).count() <= FEW;
        let kept = known.ageless
            || known.doubtful
            || !few
            || known.state != State::Free
            || dear.bad_ns >= since_ns
            || self.disturbed_ns >= since_ns;
        let age_ns = self.now_ns - known.accepted_ns;
        require!(
            age_ns <= plan.deadline_ns + LATE_NS || kept,
            "bound after {age_ns} ns of {}, and fallback has worked since {}: {known:?}",
            plan.deadline_ns,
            dear.bad_ns
        );
        Ok(())
    }

    // ---- Time --------------------------------------------------------------------

    /// The real-time clock has stepped.
    pub fn clock_stepped(&mut self) {
        self.ever_stepped = true;
        for shard in 0..self.stepped.len() {
            self.stepped[shard] = true;
            if !self.told[shard] {
                self.forget_ages(shard);
            }
        }
    }

    /// A shard has an owner, who has yet to know the time.
    pub fn owner_changed(&mut self, shard: usize, now_ns: u64) {
        self.disturbed(now_ns);
        self.told[shard] = false;
        if self.stepped[shard] {
            self.forget_ages(shard);
        }
    }

    /// Now he does.
    pub fn clock_told(&mut self, shard: usize) {
        self.told[shard] = true;
    }

    /// A record has told where the clock is.
    pub fn told_time(&mut self, shard: usize) {
        self.stepped[shard] = false;
    }

    /// The last records of a shard are lost, and what they told of the clock.
    pub fn cut(&mut self, shard: usize) {
        self.stepped[shard] |= self.ever_stepped;
    }

    /// Whatever waits may wait until then.
    pub fn disturbed(&mut self, until_ns: u64) {
        self.disturbed_ns = self.disturbed_ns.max(until_ns);
    }

    fn forget_ages(&mut self, shard: usize) {
        for known in self.of_shard_mut(shard) {
            known.ageless = true;
        }
    }
}
