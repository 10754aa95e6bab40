//! A shard's payments: those that are open in memory, those that are settled on disk.

use crate::payments::{PaymentId, Processor, Summary, Window};

/// What came of asking to accept a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the batch.
    New,
    /// It was accepted before.
    Repeated,
    /// The id belongs to a payment of another amount.
    OtherAmount,
    /// As many wait as may.
    Full,
}

/// One payment, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// By which it is known.
    pub id: PaymentId,
    /// Positive.
    pub cents: u64,
    /// When it was accepted; microseconds since 1970.
    pub accepted_us: u64,
    /// How often it was sent to a processor, as far as this process and the journal know.
    pub attempts: u16,
    /// Where it stands.
    pub state: State,
}

/// Where a payment stands; times in microseconds since 1970, multiples of 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No processor has it, nor may get it without our doing: any may be asked.
    Free,
    /// One processor has, or may have it, and no other may be asked.
    Bound {
        /// Which.
        to: Processor,
        /// What it was told.
        requested_us: u64,
        /// An attempt of which no outcome is known is over; or this process does not know of any.
        in_doubt: bool,
    },
    /// Carried out.
    Processed {
        /// By whom.
        by: Processor,
        /// What that one has stored.
        requested_us: u64,
    },
}

/// See the top of this file.
pub struct Payments {}

impl Payments {
    /// Where a payment stands; those of old are looked up on disk (mapped files).
    pub fn find(&self, id: PaymentId) -> Option<Payment> {
        let _ = id;
        unimplemented!()
    }

    /// Whether what is known of an open or settled payment's acceptance is in the journal, and not only
    /// in this tick's batch.
    pub fn is_written(&self, id: PaymentId) -> bool {
        let _ = id;
        unimplemented!()
    }

    /// The free one that was accepted first.
    pub fn next_free(&self) -> Option<Payment> {
        unimplemented!()
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        unimplemented!()
    }

    /// How many are open: free or bound.
    pub fn open(&self) -> usize {
        unimplemented!()
    }

    /// How many may be open.
    pub fn open_max(&self) -> usize {
        unimplemented!()
    }

    /// When the open one that was accepted first was; microseconds since 1970.
    pub fn oldest_us(&self) -> Option<u64> {
        unimplemented!()
    }

    /// When the free one that was accepted last was.
    pub fn newest_us(&self) -> Option<u64> {
        unimplemented!()
    }

    /// Those with one processor and without a known outcome, in no order.
    pub fn bound(&self) -> impl Iterator<Item = Payment> + '_ {
        std::iter::empty()
    }

    /// What processors have confirmed, this tick's included.
    pub fn summary(&self, window: &Window) -> Summary {
        let _ = window;
        unimplemented!()
    }

    /// Confirmed payments, all of them.
    pub fn settled(&self) -> u64 {
        unimplemented!()
    }
}

/// What changes payments. All but what is said to be journalled is known in memory only: whoever has the
/// shard next takes every bound payment for one in doubt.
impl super::Shard {
    /// The payments.
    pub fn payments(&self) -> &Payments {
        unimplemented!()
    }

    /// How many may be open; beyond, [`Accepted::Full`].
    pub fn set_payments_max(&mut self, open_max: usize) {
        let _ = open_max;
        unimplemented!()
    }

    /// Accepts a payment, in memory and in the tick's batch. Only while [`accepts`](Self::accepts).
    pub fn pay(&mut self, id: PaymentId, cents: u64, realtime_us: u64) -> Accepted {
        let _ = (id, cents, realtime_us);
        unimplemented!()
    }

    /// Binds a free payment to a processor, in memory and in the tick's batch: once that is written, it
    /// may be sent. The `requestedAt` to send: now, in whole milliseconds. Only while
    /// [`accepts`](Self::accepts). If the batch is refused, it is free again.
    pub fn bind_payment(&mut self, id: PaymentId, to: Processor, realtime_us: u64) -> u64 {
        let _ = (id, to, realtime_us);
        unimplemented!()
    }

    /// A bound payment is sent once more, as it was.
    pub fn payment_retried(&mut self, id: PaymentId) {
        let _ = id;
        unimplemented!()
    }

    /// The processor to which a payment is bound has refused it for certain: it is free again, unless it
    /// is in doubt. Whether it is.
    pub fn payment_refused(&mut self, id: PaymentId) -> bool {
        let _ = id;
        unimplemented!()
    }

    /// An attempt of a bound payment is over, and nobody knows how: it stays with its processor until
    /// that has it.
    pub fn payment_in_doubt(&mut self, id: PaymentId) {
        let _ = id;
        unimplemented!()
    }

    /// The processor to which a payment is bound has it, with this `requestedAt`: settled, in memory and
    /// in the tick's batch. Only while [`accepts`](Self::accepts). `false`: it is not open (settled
    /// already, or forgotten). If the batch is refused, it is bound again, and in doubt.
    pub fn settle_payment(&mut self, id: PaymentId, requested_us: u64, realtime_us: u64) -> bool {
        let _ = (id, requested_us, realtime_us);
        unimplemented!()
    }

    /// Puts forgetting all payments into the batch; [`written`](Self::written) carries it out. Only while
    /// [`accepts`](Self::accepts). ([`reset`](Self::reset) forgets them, too.)
    pub fn purge(&mut self, realtime_us: u64) {
        let _ = realtime_us;
        unimplemented!()
    }
}
