//! Questions to the owner of a shard whose answer takes time: the summary of a window, the outcome of a
//! payment.

use super::Node;
use crate::payments::PaymentId;

impl<J> Node<J> {
    /// What came of a lookup: whether the processor has the payment; `None`: nobody knows.
    pub(super) fn looked_up(
        &mut self,
        shard: usize,
        id: PaymentId,
        question: u64,
        found: Option<bool>,
    ) {
        let _ = (shard, id, question, found);
        unimplemented!()
    }

    /// A payment of a shard of ours is settled, in this tick's batch.
    pub(super) fn payment_settled(&mut self, shard: usize, id: PaymentId) {
        let _ = (shard, id);
        unimplemented!()
    }
}
