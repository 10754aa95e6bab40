//! Queries to a processor about one payment: whether it has it, and since when. Asked for a summary's
//! sake, and when a processor says that it knows a payment.
//!
//! They have connections of their own number, beside the window of the payments, for they must be answered
//! while payments hang. A query that has not been sent yet serves whoever asks the same meanwhile; one
//! that was sent may have been answered before whoever comes now.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::super::event::NodeEvent;
use super::super::shards::Shards;
use super::super::transport::Transport;
use super::anomalies::HeardAnswer;
use super::settlement::{tell_queries, Confirmation};
use super::{Answer, Gateway, UpstreamWork};
use crate::api::processors::{read_payment, Stored};
use crate::limits::{PROCESSOR_LOOKUPS_MAX, SUMMARY_NS_MAX};
use crate::payments::answers::{rule, Anomaly, Asked, NextState, Said};
use crate::payments::circuit::{AttemptOutcome, Ticket};
use crate::payments::{PaymentId, PaymentState, Processor};
use crate::shard::payments::Unreadable;

/// A query about one payment.
pub(in crate::node) struct StatusQuery {
    pub(in crate::node) shard: usize,
    pub(in crate::node) id: PaymentId,
    /// Attempts that ended in this query: the payment is settled, or sent again, depending on the answer.
    verify: Vec<Ticket>,
    /// Who is to be told.
    queries: Vec<u64>,
    /// Nobody waits for it any longer. Monotonic.
    deadline_ns: u64,
    /// It was asked already, and the connection broke.
    again: bool,
}

/// Status queries that wait for a connection to one processor, each payment once, in their order.
#[derive(Default)]
pub(in crate::node) struct StatusQueries {
    waiting: HashMap<PaymentId, StatusQuery>,
    /// Those, as they came.
    pub(in crate::node) order: VecDeque<PaymentId>,
    under_way: usize,
}

impl StatusQueries {
    /// Puts one in, if it is not there yet.
    fn push(&mut self, shard: usize, id: PaymentId, deadline_ns: u64) -> &mut StatusQuery {
        let status_query = match self.waiting.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.order.push_back(id);
                entry.insert(StatusQuery {
                    shard,
                    id,
                    verify: Vec::new(),
                    queries: Vec::new(),
                    deadline_ns,
                    again: false,
                })
            }
        };
        // Who was first is told late, if it comes to that, and not the other one too early.
        status_query.deadline_ns = deadline_ns;
        status_query
    }

    /// One is asked once more: that its connection broke says nothing of the payment.
    fn push_again(&mut self, status_query: StatusQuery) {
        let StatusQuery {
            verify,
            queries,
            deadline_ns,
            ..
        } = status_query;
        let known = self.waiting.entry(status_query.id);
        if let Entry::Vacant(_) = known {
            // Those who are before it have as much time, or more.
            self.order.push_front(status_query.id);
        }
        let waiting = known.or_insert(StatusQuery {
            verify: Vec::new(),
            queries: Vec::new(),
            ..status_query
        });
        waiting.deadline_ns = waiting.deadline_ns.max(deadline_ns);
        waiting.verify.extend(verify);
        waiting.queries.extend(queries);
        waiting.again = true;
    }

    /// The one that has waited longest.
    pub(in crate::node) fn next(&mut self) -> Option<StatusQuery> {
        let id = self.order.pop_front()?;
        Some(self.waiting.remove(&id).expect("it is in the order"))
    }

    fn next_if(&mut self, is: impl FnOnce(&StatusQuery) -> bool) -> Option<StatusQuery> {
        let id = self.order.front()?;
        is(&self.waiting[id]).then(|| self.next())?
    }

    /// When the one that has waited longest is given up. Monotonic.
    pub(in crate::node) fn deadline_ns(&self) -> u64 {
        let first = self.order.front();
        first.map_or(u64::MAX, |id| self.waiting[id].deadline_ns)
    }
}

impl Gateway {
    /// Asks a processor whether it has a payment of a shard of ours. Ends in
    /// `Event::StatusKnown`, in a later tick; if it has it, it is settled by then.
    pub(in crate::node) fn query_status(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        shard: usize,
        id: PaymentId,
        query: u64,
    ) {
        match self.bound_to(shards, shard, id) {
            Some(order) if io.stop.is_none() => {
                let deadline_ns = io.now.monotonic_ns + SUMMARY_NS_MAX;
                let status_queries = &mut self.upstream(order.to).status_queries;
                let status_query = status_queries.push(shard, id, deadline_ns);
                status_query.queries.push(query);
            }
            bound => {
                let found = match bound {
                    Some(_) => None,
                    None => self.is_settled_here(shards, shard, id),
                };
                self.told
                    .push(NodeEvent::StatusKnown(shard, id, query, found));
            }
        }
    }

    /// Asks a processor what it has of a payment of which it says that it has it, or what nobody can read: it is
    /// settled with that, and the attempt ends with it.
    pub(in crate::node) fn verify(
        &mut self,
        io: &Transport,
        shard: usize,
        id: PaymentId,
        by: Processor,
        ticket: Ticket,
    ) {
        let deadline_ns = io.now.monotonic_ns + SUMMARY_NS_MAX;
        let status_queries = &mut self.upstream(by).status_queries;
        status_queries
            .push(shard, id, deadline_ns)
            .verify
            .push(ticket);
    }

    /// Sends what waits, as far as there are connections; gives up what has waited too long.
    pub(in crate::node) fn send_status_queries(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        processor: Processor,
    ) {
        let now_ns = io.now.monotonic_ns;
        loop {
            let upstream = self.upstream(processor);
            let room = PROCESSOR_LOOKUPS_MAX - upstream.status_queries.under_way;
            let is_late = |status_query: &StatusQuery| status_query.deadline_ns <= now_ns;
            if let Some(late) = upstream.status_queries.next_if(is_late) {
                self.status_unknown(io, shards, processor, late);
                continue;
            }
            let waiting = upstream.status_queries.order.len();
            if waiting == 0 || room == 0 {
                return;
            }
            let Some(connection) = upstream.take_idle() else {
                upstream.pool.wanted_beside += waiting.min(room);
                return;
            };
            let status_query = upstream.status_queries.next().expect("one waits");
            upstream.status_queries.under_way += 1;
            let within_ns = status_query.deadline_ns - now_ns;
            let stats = &io.stats().payments.processors[processor as usize];
            stats.lookups.add(1);
            self.ask_processor(
                io,
                connection,
                processor,
                UpstreamWork::Status(status_query),
                within_ns,
            );
        }
    }

    /// A processor has told what it has of a payment, or has not.
    pub(in crate::node) fn status_answered(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        processor: Processor,
        status_query: StatusQuery,
        answer: Answer<'_>,
    ) {
        self.upstream(processor).status_queries.under_way -= 1;
        let id = status_query.id;
        let mut stored = None;
        let heard = self.hear(io, processor, Asked::Lookup, Some(id), answer, |body| {
            stored = read_payment(body).filter(|it| it.id == id);
            stored.is_some()
        });
        let has_time = io.stop.is_none() && status_query.deadline_ns > io.now.monotonic_ns;
        let is_whole = matches!(answer, Answer::Whole { .. });
        if !is_whole && has_time && !status_query.again {
            return self
                .upstream(processor)
                .status_queries
                .push_again(status_query);
        }
        self.status_heard(io, shards, processor, status_query, &heard, stored);
    }

    /// Nobody knows more of a payment than before.
    pub(in crate::node) fn status_unknown(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        processor: Processor,
        status_query: StatusQuery,
    ) {
        self.status_heard(
            io,
            shards,
            processor,
            status_query,
            &HeardAnswer::UNREACHABLE,
            None,
        );
    }

    /// What becomes of a payment that was asked about, and of the attempts that ended in that.
    fn status_heard(
        &mut self,
        io: &mut Transport,
        shards: &mut Shards,
        processor: Processor,
        status_query: StatusQuery,
        heard: &HeardAnswer,
        stored: Option<Stored>,
    ) {
        let StatusQuery {
            shard,
            id,
            verify,
            queries,
            ..
        } = status_query;
        let its = self.its_to_settle(shards, shard, id, processor);
        let sent = its.map_or(Said::Nothing, |(_, course)| course.said);
        let ruling = rule(sent, Some(heard.said));
        for ticket in &verify {
            let suspect =
                heard.said != Said::Done && self.is_suspect(shards, shard, id, processor, sent);
            let outcome = match heard.said {
                Said::Done => AttemptOutcome::Done,
                Said::Nothing | Said::Unreachable => AttemptOutcome::Unknown,
                _ => AttemptOutcome::Failed,
            };
            self.ticket_over(io, processor, *ticket, outcome, suspect, heard.wait_ns);
        }
        if let Some(stored) = stored {
            let by = processor;
            if its.is_some_and(|(cents, _)| cents != stored.cents) {
                // Somebody else has used the id there: ours is not carried out, and never will be. To
                // settle it would be to claim what did not happen, and to send it elsewhere to pay an id
                // twice. It stays as it is, for people to look into, and is not sent again before
                // somebody else has the shard.
                if !verify.is_empty() {
                    let what = "that it has carried out another amount with this id";
                    self.status_makes_no_sense(io, by, Anomaly::Amount, id, heard.status, what);
                }
                return tell_queries(io, shard, id, &queries, Some(false));
            }
            if ruling.contradiction {
                let what = "that it has what it refused";
                self.status_makes_no_sense(io, by, Anomaly::Contradiction, id, heard.status, what);
            } else if its.is_none() && self.is_elsewhere(shards, shard, id, by) {
                let what = "that it has what it refused, and the other one may have it since";
                self.status_makes_no_sense(io, by, Anomaly::Contradiction, id, heard.status, what);
            }
            // Also what is settled, or forgotten, by now.
            return self.settle(
                io,
                shards,
                Confirmation {
                    shard,
                    id,
                    by,
                    requested_us: stored.requested_us,
                    queries,
                },
            );
        }
        let retries = !verify.is_empty()
            && self
                .bound_to(shards, shard, id)
                .is_some_and(|it| it.to == processor);
        if retries && ruling.next == NextState::Bound {
            if ruling.contradiction {
                let what = match sent {
                    Said::Known => "nothing of it, and 422 to the payment: that it knows it",
                    _ => "that it does not have it, and 2xx to the payment",
                };
                self.status_makes_no_sense(
                    io,
                    processor,
                    Anomaly::Contradiction,
                    id,
                    heard.status,
                    what,
                );
            }
            // What it said to the payment stays.
            let heard = HeardAnswer {
                said: sent,
                ..*heard
            };
            self.retry_later(io, shards, shard, id, processor, &heard);
        }
        // It was not there when it was asked for, even if it is settled by now.
        let found = (heard.status == Some(404)).then_some(false);
        tell_queries(io, shard, id, &queries, found);
    }

    fn status_makes_no_sense(
        &self,
        io: &Transport,
        by: Processor,
        anomaly: Anomaly,
        id: PaymentId,
        status: Option<u16>,
        what: &str,
    ) {
        let about = (Asked::Lookup, Some(id));
        self.makes_no_sense(io, by, anomaly, about, status, what);
    }

    /// Whether the other processor has, or may have, a payment of a shard of ours. One whose file cannot be read may be
    /// anywhere.
    fn is_elsewhere(&self, shards: &Shards, shard: usize, id: PaymentId, by: Processor) -> bool {
        let shard = shards.get(shard).filter(|_| shards.serves(shard));
        let found = shard.map_or(Ok(None), |shard| shard.payments().find(id));
        match found.map(|payment| payment.map(|it| it.state)) {
            Ok(None | Some(PaymentState::Free)) => false,
            Ok(Some(PaymentState::Bound { to, .. })) => to != by,
            Ok(Some(PaymentState::Processed { by: other, .. })) => other != by,
            Err(Unreadable) => true,
        }
    }
}
