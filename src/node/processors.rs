//! The connections to the payment processors: attempts, lookups and questions about health on their way,
//! and what comes back.

use super::Node;
use crate::io::{ConnectionId, Target};
use crate::payments::{PaymentId, Processor};

impl<J> Node<J> {
    /// A connection to a processor is there.
    pub(super) fn processor_opened(&mut self, id: ConnectionId, processor: Processor) {
        let _ = (id, processor);
        unimplemented!()
    }

    /// A connection to a processor could not be made.
    pub(super) fn processor_failed(&mut self, processor: Processor) {
        let _ = (processor, Target::Processor(processor));
        unimplemented!()
    }

    /// Asks a processor whether it has a payment of a shard of ours. Ends in
    /// [`looked_up`](Self::looked_up), in a later tick; if it has it, it is settled by then.
    pub(super) fn look_up(&mut self, shard: usize, id: PaymentId, question: u64) {
        let _ = (shard, id, question);
        unimplemented!()
    }

    /// What another member was told by a processor about its health.
    pub(super) fn health_told(
        &mut self,
        processor: Processor,
        failing: bool,
        response_min_ms: u32,
    ) {
        let _ = (processor, failing, response_min_ms);
        unimplemented!()
    }
}
