//! Payments on their way to a processor, and how that ended.
//!
//! | reply | the payment |
//! |---|---|
//! | 2xx | is there, with the `requestedAt` that was sent |
//! | 422 | is there; since when, and with which amount, the processor is asked ([`super::lookups`]) |
//! | 429, 500, other 4xx than 408 | is not there: free again, unless it is in doubt |
//! | others, half a head, none in time | is in doubt: sent again as it was |
//!
//! The head of a reply decides, whatever becomes of its body. An attempt outlives its shard's stay here:
//! its outcome still says how the processor is, and counts for the payment only while that is served here
//! and bound as it was when it was sent.

use super::lookups::Finding;
use super::processors::{Answer, Work};
use super::Node;
use crate::api::processors::{write_payment, Stored};
use crate::io::ConnectionId;
use crate::limits::{ATTEMPT_NS_MAX, PROBE_NS_MAX, PROBE_NS_MIN};
use crate::payments::circuit::{Outcome, Ticket};
use crate::payments::{PaymentId, Processor};
use crate::shard::payments::State;

/// What a processor is sent, word for word the same however often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) shard: usize,
    pub(super) id: PaymentId,
    pub(super) cents: u64,
    pub(super) requested_us: u64,
    pub(super) to: Processor,
}

impl Order {
    pub(super) fn write_body(&self, out: &mut Vec<u8>) {
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
pub(super) struct Attempt {
    pub(super) order: Order,
    pub(super) ticket: Ticket,
}

/// What a reply says of the payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Carried,
    Known,
    Refused,
    InDoubt,
}

fn judge(answer: Answer<'_>) -> (Verdict, Outcome) {
    let (status, retry_after_s) = match answer {
        Answer::Whole {
            status,
            retry_after_s,
            ..
        } => (status, retry_after_s),
        Answer::Head { status } => (status, None),
        Answer::None => return (Verdict::InDoubt, Outcome::Unknown),
    };
    match status {
        200..=299 => (Verdict::Carried, Outcome::Done),
        422 => (Verdict::Known, Outcome::Done),
        429 => (Verdict::Refused, Outcome::Busy(retry_after_s)),
        408 => (Verdict::InDoubt, Outcome::Failed),
        400..=500 => (Verdict::Refused, Outcome::Failed),
        _ => (Verdict::InDoubt, Outcome::Failed),
    }
}

impl<J> Node<J> {
    /// A payment is to be sent in this tick.
    pub(super) fn attempt(&mut self, order: Order) -> Attempt {
        let now_ns = self.now.monotonic_ns;
        let side = self.processors.side(order.to);
        side.under_way += 1;
        let ticket = side.circuit.sent(now_ns);
        Attempt { order, ticket }
    }

    /// Sends a payment whose binding is in the journal.
    pub(super) fn send_payment(&mut self, attempt: Attempt, connection: ConnectionId) {
        let to = attempt.order.to;
        self.ask_processor(connection, to, Work::Pay(attempt), ATTEMPT_NS_MAX);
    }

    /// How an attempt ended.
    pub(super) fn attempt_over(&mut self, attempt: &Attempt, answer: Answer<'_>) {
        let now_ns = self.now.monotonic_ns;
        let Attempt { order, ticket } = *attempt;
        let (verdict, outcome) = judge(answer);
        let side = self.processors.side(order.to);
        side.circuit.ended(ticket, outcome, now_ns);
        side.under_way -= 1;
        if outcome == Outcome::Done {
            (side.retry_ns, side.retry_again_ns) = (0, PROBE_NS_MIN);
        }
        let stats = &self.stats().payments.processors[order.to as usize];
        match outcome {
            Outcome::Done => {}
            Outcome::Failed => stats.failed.add(1),
            Outcome::Busy(_) => stats.busy.add(1),
            Outcome::Unknown => stats.unknown.add(1),
        }
        let Order {
            shard,
            id,
            requested_us,
            to,
            ..
        } = order;
        if !self.is_as_sent(&order) {
            // What may be there of a payment that was forgotten is there of its successor, too.
            let successor = self.bound_to(shard, id).filter(|it| it.to == to);
            if successor.is_some() && verdict != Verdict::Refused {
                self.shard(shard).payment_in_doubt(id);
            }
            return;
        }
        match verdict {
            Verdict::Carried => self.found(Finding {
                shard,
                id,
                by: to,
                requested_us,
                questions: Vec::new(),
            }),
            Verdict::Known => {
                self.shard(shard).payment_in_doubt(id);
                self.verify(shard, id, to);
            }
            Verdict::Refused => {
                // Of two attempts, one says nothing of the other.
                if self.is_under_way(&order) {
                    self.shard(shard).payment_in_doubt(id);
                }
                if !self.shard(shard).payment_refused(id) {
                    self.retry_later(shard, id, to);
                }
            }
            Verdict::InDoubt => {
                self.shard(shard).payment_in_doubt(id);
                self.retry_later(shard, id, to);
            }
        }
    }

    /// Whether a payment is ours, and bound as it was when it was sent: it may be settled by now, or have
    /// been forgotten, and perhaps accepted anew.
    fn is_as_sent(&self, order: &Order) -> bool {
        let bound = self.bound_to(order.shard, order.id);
        bound.is_some_and(|now| now == *order)
    }

    /// Whether its processor is being asked to carry out a payment of this id.
    fn is_under_way(&self, order: &Order) -> bool {
        let is_its = |other: &Order| (other.id, other.to) == (order.id, order.to);
        let mut work = self.processors.work();
        work.any(|work| matches!(work, Work::Pay(attempt) if is_its(&attempt.order)))
    }

    /// A payment of a shard of ours that is bound, as it is to be sent.
    pub(super) fn bound_to(&self, shard: usize, id: PaymentId) -> Option<Order> {
        if !self.serves(shard) {
            return None;
        }
        let payment = self.shards[shard].as_ref()?.payments().find(id)?;
        let State::Bound {
            to, requested_us, ..
        } = payment.state
        else {
            return None;
        };
        Some(Order {
            shard,
            id,
            cents: payment.cents,
            requested_us,
            to,
        })
    }

    /// A payment may be with a processor, and that is to be asked again: after a while, or as soon as it
    /// has carried out another one.
    pub(super) fn retry_later(&mut self, shard: usize, id: PaymentId, to: Processor) {
        let now_ns = self.now.monotonic_ns;
        let side = self.processors.side(to);
        if side.retry_ns <= now_ns {
            side.retry_ns = now_ns + side.retry_again_ns;
            // Less often than probes in the end: should it be this payment that it fails at, others get
            // their turn at finding out whether it works.
            side.retry_again_ns = (2 * side.retry_again_ns).min(2 * PROBE_NS_MAX);
        }
        side.retries.push_back((shard, id));
    }

    /// A shard is ours, or once more as it was before: its payments that a processor may have, and that
    /// are not under way, are to be sent again, at once if may be.
    pub(super) fn gather_retries(&mut self, number: usize) {
        for side in &mut self.processors.sides {
            side.retries.retain(|(shard, _)| *shard != number);
        }
        let under_way = |work: &Work| match work {
            Work::Pay(Attempt { order, .. }) if order.shard == number => {
                Some((order.requested_us, order.id, order.to))
            }
            _ => None,
        };
        let key = |(requested_us, id, to): &(u64, PaymentId, Processor)| {
            (*requested_us, *id, *to as usize)
        };
        let mut under_way: Vec<_> = self.processors.work().filter_map(under_way).collect();
        under_way.sort_unstable_by_key(key);
        let shard = self.shards[number].as_mut().expect("it is ours");
        let bound = shard.payments().bound();
        // An attempt of a payment that was forgotten is none of its successor.
        let mut gathered: Vec<_> = bound
            .filter_map(|payment| match payment.state {
                State::Bound {
                    to, requested_us, ..
                } => Some((requested_us, payment.id, to)),
                _ => None,
            })
            .filter(|sent| under_way.binary_search_by_key(&key(sent), key).is_err())
            .collect();
        gathered.sort_unstable_by_key(key);
        for (_, id, to) in gathered {
            shard.payment_in_doubt(id);
            self.processors.side(to).retries.push_back((number, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_frees_or_settles() {
        let whole = |status| Answer::Whole {
            status,
            retry_after_s: Some(5),
            body: b"",
        };
        for (status, verdict, outcome) in [
            (200, Verdict::Carried, Outcome::Done),
            (201, Verdict::Carried, Outcome::Done),
            (302, Verdict::InDoubt, Outcome::Failed),
            (400, Verdict::Refused, Outcome::Failed),
            (404, Verdict::Refused, Outcome::Failed),
            (408, Verdict::InDoubt, Outcome::Failed),
            (422, Verdict::Known, Outcome::Done),
            (429, Verdict::Refused, Outcome::Busy(Some(5))),
            (500, Verdict::Refused, Outcome::Failed),
            (501, Verdict::InDoubt, Outcome::Failed),
            (502, Verdict::InDoubt, Outcome::Failed),
            (503, Verdict::InDoubt, Outcome::Failed),
            (504, Verdict::InDoubt, Outcome::Failed),
        ] {
            assert_eq!(judge(whole(status)), (verdict, outcome), "{status}");
        }
        let head = judge(Answer::Head { status: 200 });
        assert_eq!(head, (Verdict::Carried, Outcome::Done));
        let none = judge(Answer::None);
        assert_eq!(none, (Verdict::InDoubt, Outcome::Unknown));
    }
}
