//! Questions to a processor about one payment: whether it has it, and since when. Asked for a summary's
//! sake, and when a processor says that it knows a payment.
//!
//! They have connections of their own number, beside the window of the payments, for they must be answered
//! while payments hang. A question that has not been sent yet serves whoever asks the same meanwhile; one
//! that was sent may have been answered before whoever comes now.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::processors::{Answer, Work};
use super::Node;
use crate::api::processors::read_payment;
use crate::limits::{PROCESSOR_LOOKUPS_MAX, SUMMARY_NS_MAX};
use crate::payments::{PaymentId, Processor};
use crate::shard::payments::State;

/// A question about one payment.
pub(super) struct Lookup {
    pub(super) shard: usize,
    pub(super) id: PaymentId,
    /// It is sent again, or settled, depending on this.
    verify: bool,
    /// Who is to be told.
    questions: Vec<u64>,
    /// Nobody waits for it any longer. Monotonic.
    deadline_ns: u64,
    /// It was asked already, and the connection broke.
    again: bool,
}

/// A payment that a processor has.
pub(super) struct Finding {
    pub(super) shard: usize,
    pub(super) id: PaymentId,
    pub(super) by: Processor,
    pub(super) requested_us: u64,
    /// Who is to be told.
    pub(super) questions: Vec<u64>,
}

/// Of one processor.
#[derive(Default)]
pub(super) struct Lookups {
    waiting: HashMap<PaymentId, Lookup>,
    /// Those, as they came.
    order: VecDeque<PaymentId>,
    under_way: usize,
}

impl Lookups {
    /// Puts one in; `questions` is who asks, if it is a summary.
    fn push(&mut self, shard: usize, id: PaymentId, question: Option<u64>, deadline_ns: u64) {
        let lookup = match self.waiting.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.order.push_back(id);
                entry.insert(Lookup {
                    shard,
                    id,
                    verify: false,
                    questions: Vec::new(),
                    deadline_ns,
                    again: false,
                })
            }
        };
        // Who was first is told late, if it comes to that, and not the other one too early.
        lookup.deadline_ns = deadline_ns;
        lookup.verify |= question.is_none();
        lookup.questions.extend(question);
    }

    /// One is asked once more: that its connection broke says nothing of the payment.
    fn push_again(&mut self, lookup: Lookup) {
        let Lookup {
            verify,
            questions,
            deadline_ns,
            ..
        } = lookup;
        let known = self.waiting.entry(lookup.id);
        if let Entry::Vacant(_) = known {
            // Those who are before it have as much time, or more.
            self.order.push_front(lookup.id);
        }
        let waiting = known.or_insert(Lookup {
            verify: false,
            questions: Vec::new(),
            ..lookup
        });
        waiting.deadline_ns = waiting.deadline_ns.max(deadline_ns);
        waiting.verify |= verify;
        waiting.questions.extend(questions);
        waiting.again = true;
    }

    /// The one that has waited longest.
    pub(super) fn next(&mut self) -> Option<Lookup> {
        let id = self.order.pop_front()?;
        Some(self.waiting.remove(&id).expect("it is in the order"))
    }

    fn next_if(&mut self, is: impl FnOnce(&Lookup) -> bool) -> Option<Lookup> {
        let id = self.order.front()?;
        is(&self.waiting[id]).then(|| self.next())?
    }

    /// When the one that has waited longest is given up. Monotonic.
    pub(super) fn deadline_ns(&self) -> u64 {
        let first = self.order.front();
        first.map_or(u64::MAX, |id| self.waiting[id].deadline_ns)
    }
}

impl<J> Node<J> {
    /// Asks a processor whether it has a payment of a shard of ours. Ends in
    /// [`looked_up`](Self::looked_up), in a later tick; if it has it, it is settled by then.
    pub(super) fn look_up(&mut self, shard: usize, id: PaymentId, question: u64) {
        match self.bound_to(shard, id) {
            Some(order) if self.stop.is_none() && self.settings.payments.is_some() => {
                let deadline_ns = self.now.monotonic_ns + SUMMARY_NS_MAX;
                let lookups = &mut self.processors.side(order.to).lookups;
                lookups.push(shard, id, Some(question), deadline_ns);
            }
            Some(_) => self.processors.told.push((shard, id, question, None)),
            None => {
                let found = self.is_settled_here(shard, id);
                self.processors.told.push((shard, id, question, found));
            }
        }
    }

    /// Asks a processor what it has of a payment that it says it knows: it is settled with that.
    pub(super) fn verify(&mut self, shard: usize, id: PaymentId, by: Processor) {
        let deadline_ns = self.now.monotonic_ns + SUMMARY_NS_MAX;
        let lookups = &mut self.processors.side(by).lookups;
        lookups.push(shard, id, None, deadline_ns);
    }

    /// What is known of a payment that is not bound; `None`: not even that, it is not ours.
    fn is_settled_here(&self, shard: usize, id: PaymentId) -> Option<bool> {
        if !self.serves(shard) {
            return None;
        }
        let payment = self.shards[shard].as_ref()?.payments().find(id);
        Some(payment.is_some_and(|it| matches!(it.state, State::Processed { .. })))
    }

    /// Sends what waits, as far as there are connections; gives up what has waited too long.
    pub(super) fn send_lookups(&mut self, processor: Processor) {
        let now_ns = self.now.monotonic_ns;
        loop {
            let side = self.processors.side(processor);
            let room = PROCESSOR_LOOKUPS_MAX - side.lookups.under_way;
            let is_late = |lookup: &Lookup| lookup.deadline_ns <= now_ns;
            if let Some(late) = side.lookups.next_if(is_late) {
                self.looked_up_in_vain(processor, late);
                continue;
            }
            let waiting = side.lookups.order.len();
            if waiting == 0 || room == 0 {
                return;
            }
            let Some(connection) = side.take_idle() else {
                side.wanted_beside += waiting.min(room);
                return;
            };
            let lookup = side.lookups.next().expect("one waits");
            side.lookups.under_way += 1;
            let within_ns = lookup.deadline_ns - now_ns;
            let stats = &self.stats().payments.processors[processor as usize];
            stats.lookups.add(1);
            self.ask_processor(connection, processor, Work::LookUp(lookup), within_ns);
        }
    }

    /// A processor has told what it has of a payment, or has not.
    pub(super) fn lookup_over(&mut self, processor: Processor, lookup: Lookup, answer: Answer<'_>) {
        self.processors.side(processor).lookups.under_way -= 1;
        let has_time = self.stop.is_none() && lookup.deadline_ns > self.now.monotonic_ns;
        let (status, body) = match answer {
            Answer::Whole { status, body, .. } => (status, body),
            _ if has_time && !lookup.again => {
                return self.processors.side(processor).lookups.push_again(lookup);
            }
            _ => return self.looked_up_in_vain(processor, lookup),
        };
        let Lookup { shard, id, .. } = lookup;
        let order = self.bound_to(shard, id).filter(|it| it.to == processor);
        match (status, read_payment(body)) {
            // Also what is settled, or forgotten, by now.
            (200, Some(stored))
                if stored.id == id && order.is_none_or(|it| it.cents == stored.cents) =>
            {
                self.found(Finding {
                    shard,
                    id,
                    by: processor,
                    requested_us: stored.requested_us,
                    questions: lookup.questions,
                });
            }
            (200, Some(stored)) if stored.id == id => {
                // Somebody else has used the id there: ours is not carried out, and never will be. To
                // settle it would be to claim what did not happen, and to send it elsewhere to pay an id
                // twice. It stays as it is, for people to look into, and is not sent again before
                // somebody else has the shard.
                if lookup.verify {
                    let name = processor.name();
                    log::error!("payment {id}: {name} has carried out another amount with this id");
                }
                self.tell_questions(shard, id, &lookup.questions, Some(false));
            }
            // It was not there when it was asked for, even if it is settled by now.
            (404, _) => {
                self.tell_questions(shard, id, &lookup.questions, Some(false));
                if lookup.verify && order.is_some() {
                    self.retry_later(shard, id, processor);
                }
            }
            _ => self.looked_up_in_vain(processor, lookup),
        }
    }

    /// Nobody knows more of a payment than before.
    pub(super) fn looked_up_in_vain(&mut self, processor: Processor, lookup: Lookup) {
        let Lookup { shard, id, .. } = lookup;
        let order = self.bound_to(shard, id).filter(|it| it.to == processor);
        if lookup.verify && order.is_some() {
            self.retry_later(shard, id, processor);
        }
        self.tell_questions(shard, id, &lookup.questions, None);
    }

    fn tell_questions(
        &mut self,
        shard: usize,
        id: PaymentId,
        questions: &[u64],
        found: Option<bool>,
    ) {
        for question in questions {
            self.looked_up(shard, id, *question, found);
        }
    }

    /// Settles a payment, or has that wait for the next tick's batch.
    pub(super) fn found(&mut self, finding: Finding) {
        let Finding { shard, id, by, .. } = finding;
        let order = self.bound_to(shard, id).filter(|it| it.to == by);
        let Some(order) = order else {
            let found = self.is_settled_here(shard, id);
            return self.tell_questions(shard, id, &finding.questions, found);
        };
        if !self.accepts(shard) {
            return self.processors.findings.push_back(finding);
        }
        let now = self.now;
        let requested_us = finding.requested_us;
        let its_shard = self.shard(shard);
        let time_us = its_shard.tell_time(now);
        let settled = its_shard.settle_payment(id, requested_us, time_us);
        debug_assert!(settled, "it was bound");
        self.processors.confirmed.push((shard, by, order.cents));
        self.payment_settled(shard, id);
        self.tell_questions(shard, id, &finding.questions, Some(true));
    }

    /// Goes on with what the tick before has left.
    pub(super) fn resume_findings(&mut self) {
        for finding in std::mem::take(&mut self.processors.findings) {
            self.found(finding);
        }
        for (shard, id, question, found) in std::mem::take(&mut self.processors.told) {
            self.looked_up(shard, id, question, found);
        }
    }
}
