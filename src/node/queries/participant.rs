//! The participant's side: what the owner of a shard is asked.
//!
//! A summary is of the moment at which the query arrives: what is settled by then, and of what is
//! not, what the processors say that they hold, all asked at once. A payment that is settled later, by
//! its own reply, is counted only if its processor said that it was there. An outcome is told when it is in
//! the journal: until then the disk may refuse it, and the payment is in doubt once more.

use std::collections::{BTreeMap, BTreeSet};

use super::super::link::{self, Frame, Query, QueryAnswer};
use super::super::transport::commit::Dependency;
use super::{Context, Queries};
use crate::limits::{PAY_NOW_NS_MAX, QUERY_PARTS_MAX, SUMMARY_NS_MAX};
use crate::payments::{PaymentId, PaymentState, Summary, Window};
use crate::shard::payments::Unreadable;

/// To whom the answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// A query of this core, by the part's number.
    Here(u64),
    /// Another member, by the number that it gave.
    Member(usize, u64),
}

/// What comes of a query at once.
pub(super) enum Answering {
    Now(QueryAnswer),
    /// The answer follows. The number that the query has here.
    Later(u64),
}

enum OpenSubject {
    Summary {
        window: Window,
        /// Of the payments whose processor is known to have them.
        summary: Summary,
        /// How many are still to say what they hold.
        status_queries: usize,
    },
    Outcome(PaymentId),
}

/// A query without an answer.
pub(super) struct OpenQuery {
    from: From,
    shard: usize,
    /// From then on it is answered with what is known. Monotonic.
    deadline_ns: u64,
    about: OpenSubject,
}

/// See the top of this file.
pub(super) struct Participant {
    open: BTreeMap<u64, OpenQuery>,
    counter: u64,
    /// Those about outcomes, by payment.
    outcomes: BTreeSet<(PaymentId, u64)>,
    /// Those whose payment is settled in this tick's batch of its shard.
    settled: Vec<(usize, u64)>,
    /// Shards whose payments this tick's batch forgets.
    forgets: Vec<usize>,
    /// By member: how many are open.
    of_members: Vec<usize>,
}

impl Participant {
    pub(super) fn new(members: usize) -> Participant {
        Participant {
            open: BTreeMap::new(),
            counter: 0,
            outcomes: BTreeSet::new(),
            settled: Vec::new(),
            forgets: Vec::new(),
            of_members: vec![0; members],
        }
    }

    fn insert(&mut self, open: OpenQuery) -> u64 {
        self.counter += 1;
        if let From::Member(member, _) = open.from {
            self.of_members[member] += 1;
        }
        if let OpenSubject::Outcome(id) = open.about {
            self.outcomes.insert((id, self.counter));
        }
        self.open.insert(self.counter, open);
        self.counter
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<OpenQuery> {
        let open = self.open.remove(&number)?;
        if let From::Member(member, _) = open.from {
            self.of_members[member] -= 1;
        }
        if let OpenSubject::Outcome(id) = open.about {
            self.outcomes.remove(&(id, number));
        }
        Some(open)
    }

    /// Whether this tick's batch of a shard forgets its payments, which is dealt with.
    fn take_forgets(&mut self, shard: usize) -> bool {
        let before = self.forgets.len();
        self.forgets.retain(|it| *it != shard);
        self.forgets.len() < before
    }

    /// This tick's batch forgets a shard's payments.
    pub(super) fn forgotten(&mut self, shard: usize) {
        // Also if none is open yet: one may be before the batch is written.
        if !self.forgets.contains(&shard) {
            self.forgets.push(shard);
        }
    }

    fn those(&self, are: impl Fn(&OpenQuery) -> bool) -> Vec<u64> {
        let those = self.open.iter().filter(|(_, open)| are(open));
        those.map(|(number, _)| *number).collect()
    }

    /// The first one's time is over then. Monotonic.
    pub(super) fn deadline_ns(&self) -> u64 {
        let deadlines = self.open.values().map(|open| open.deadline_ns);
        deadlines.min().unwrap_or(u64::MAX)
    }
}

impl Queries {
    /// Another member asks; the answer goes to it now or later. The error says what is wrong with the member.
    pub(in crate::node) fn asked(
        &mut self,
        context: &mut Context<'_>,
        (member, number): (usize, u64),
        shard: usize,
        query: Query,
    ) -> Result<(), String> {
        if let Query::Outcome(id) = query {
            if id.shard(context.shards.count()) != shard {
                return Err("asks for a payment in the wrong shard".to_owned());
            }
        }
        let has_room = self.participant.of_members[member] < QUERY_PARTS_MAX;
        let answer = if has_room && context.shards.serves(shard) {
            match self.query(context, From::Member(member, number), shard, query) {
                Answering::Now(answer) => answer,
                Answering::Later(_) => return Ok(()),
            }
        } else {
            QueryAnswer::Refused
        };
        tell(context, (member, number), shard, answer);
        Ok(())
    }

    /// A query about a shard that is served here.
    pub(super) fn query(
        &mut self,
        context: &mut Context<'_>,
        from: From,
        shard: usize,
        query: Query,
    ) -> Answering {
        match query {
            Query::Summary(window) => self.query_summary(context, from, shard, window),
            Query::Outcome(id) => self.query_outcome(context, from, shard, id),
        }
    }

    fn query_summary(
        &mut self,
        context: &mut Context<'_>,
        from: From,
        shard: usize,
        window: Window,
    ) -> Answering {
        let payments = context.shards.shard(shard).payments();
        let Ok(summary) = payments.summary(&window) else {
            return Answering::Now(QueryAnswer::Unreadable);
        };
        let is_within = |state| matches!(state, PaymentState::Bound { requested_us, .. } if window.contains(requested_us));
        let unknown = payments.bound().filter(|it| is_within(it.state));
        let unknown: Vec<PaymentId> = unknown.map(|it| it.id).collect();
        let gateway = context.gateway.as_mut().filter(|_| !unknown.is_empty());
        let Some(gateway) = gateway else {
            return Answering::Now(QueryAnswer::Summary(summary));
        };
        let number = self.open_query(OpenQuery {
            from,
            shard,
            deadline_ns: context.io.now_ns() + SUMMARY_NS_MAX,
            about: OpenSubject::Summary {
                window,
                summary,
                status_queries: unknown.len(),
            },
        });
        for id in unknown {
            gateway.query_status(context.io, context.shards, shard, id, number);
        }
        Answering::Later(number)
    }

    fn query_outcome(
        &mut self,
        context: &mut Context<'_>,
        from: From,
        shard: usize,
        id: PaymentId,
    ) -> Answering {
        let its_shard = context.shards.shard(shard);
        let payment = match its_shard.payments().find(id) {
            Ok(Some(payment)) => payment,
            Ok(None) => return Answering::Now(QueryAnswer::Outcome(None)),
            Err(Unreadable) => return Answering::Now(QueryAnswer::Unreadable),
        };
        let is_settled = matches!(payment.state, PaymentState::Processed { .. });
        if is_settled && its_shard.batch().is_empty() {
            return Answering::Now(QueryAnswer::Outcome(Some(payment)));
        }
        let number = self.open_query(OpenQuery {
            from,
            shard,
            deadline_ns: context.io.now_ns() + PAY_NOW_NS_MAX,
            about: OpenSubject::Outcome(id),
        });
        if is_settled {
            // Perhaps only in this tick's batch.
            self.participant.settled.push((shard, number));
            self.has_notes = true;
        }
        Answering::Later(number)
    }

    fn open_query(&mut self, open: OpenQuery) -> u64 {
        self.wake_by(open.deadline_ns);
        self.participant.insert(open)
    }

    /// Ends a query, if it is still open, with its answer.
    fn answer_query(&mut self, context: &mut Context<'_>, number: u64, answer: QueryAnswer) {
        let Some(open) = self.participant.remove(number) else {
            return;
        };
        match open.from {
            From::Here(part) => self.part_answered(context, part, &answer),
            From::Member(member, number) => tell(context, (member, number), open.shard, answer),
        }
    }

    /// What came of a status query: whether the processor has the payment; `None`: nobody knows.
    pub(in crate::node) fn status_known(
        &mut self,
        context: &mut Context<'_>,
        shard: usize,
        id: PaymentId,
        query: u64,
        found: Option<bool>,
    ) {
        let Some(open) = self.participant.open.get_mut(&query) else {
            return; // It has been answered, or nobody wants to know any more.
        };
        if found.is_none() && context.io.stop.is_some() {
            // It was not sent any more. Who has the shard next can find out.
            return self.answer_query(context, query, QueryAnswer::Refused);
        }
        let OpenSubject::Summary {
            window,
            summary,
            status_queries,
        } = &mut open.about
        else {
            unreachable!("outcomes are not looked up");
        };
        debug_assert_eq!(open.shard, shard);
        *status_queries -= 1;
        let its_shard = context.shards.get(shard).filter(|_| found == Some(true));
        let Ok(payment) = its_shard.map_or(Ok(None), |it| it.payments().find(id)) else {
            return self.answer_query(context, query, QueryAnswer::Unreadable);
        };
        if let Some((payment, PaymentState::Processed { by, requested_us })) =
            payment.map(|it| (it, it.state))
        {
            if window.contains(requested_us) {
                summary.add(by, payment.cents);
            }
        }
        if *status_queries == 0 {
            let answer = QueryAnswer::Summary(*summary);
            self.answer_query(context, query, answer);
        }
    }

    /// A payment of a shard of ours is settled, in this tick's batch.
    pub(in crate::node) fn settled(&mut self, shard: usize, id: PaymentId) {
        self.has_notes = true;
        let Participant {
            outcomes, settled, ..
        } = &mut self.participant;
        let numbers = outcomes.range((id, 0)..=(id, u64::MAX));
        settled.extend(numbers.map(|(_, number)| (shard, *number)));
    }

    /// The tick's batch of a shard is in the journal: what it settled may be told.
    pub(in crate::node) fn written(&mut self, context: &mut Context<'_>, shard: usize) {
        if self.participant.take_forgets(shard) {
            for number in self.vanished(context, shard) {
                self.answer_query(context, number, QueryAnswer::Outcome(None));
            }
        }
        for number in self.take_settled(shard) {
            let Some(open) = self.participant.open.get(&number) else {
                continue;
            };
            let OpenSubject::Outcome(id) = open.about else {
                unreachable!("it is about an outcome");
            };
            let answer = match context.shards.shard(shard).payments().find(id) {
                Ok(payment) => QueryAnswer::Outcome(payment),
                Err(Unreadable) => QueryAnswer::Unreadable,
            };
            self.answer_query(context, number, answer);
        }
    }

    /// The tick's batch of a shard is not in the journal: what it settled is not, and what it accepted is
    /// gone.
    pub(in crate::node) fn refused(&mut self, context: &mut Context<'_>, shard: usize) {
        self.participant.take_forgets(shard);
        self.take_settled(shard);
        for number in self.vanished(context, shard) {
            // Ours go with their queries.
            if let From::Member(..) = self.participant.open[&number].from {
                self.answer_query(context, number, QueryAnswer::Outcome(None));
            }
        }
        self.queries_refused(context, shard);
    }

    fn take_settled(&mut self, shard: usize) -> Vec<u64> {
        let settled = std::mem::take(&mut self.participant.settled);
        let (its, others): (Vec<_>, Vec<_>) = settled.into_iter().partition(|(of, _)| *of == shard);
        self.participant.settled = others;
        let Participant {
            settled, forgets, ..
        } = &self.participant;
        self.has_notes = !settled.is_empty() || !forgets.is_empty();
        its.into_iter().map(|(_, number)| number).collect()
    }

    /// Queries about payments that are not there any more.
    fn vanished(&self, context: &mut Context<'_>, shard: usize) -> Vec<u64> {
        let payments = context.shards.shard(shard).payments();
        let is_its = |number| self.participant.open[number].shard == shard;
        let outcomes = self.participant.outcomes.iter();
        let its = outcomes.filter(|(id, number)| is_its(number) && payments.find(*id) == Ok(None));
        its.map(|(_, number)| *number).collect()
    }

    /// A shard has another owner, or none: who asked us about it is to ask that one.
    pub(super) fn forget_queries(&mut self, context: &mut Context<'_>, shard: usize) {
        for number in self.participant.those(|open| open.shard == shard) {
            let from = self.participant.remove(number).map(|open| open.from);
            if let Some(From::Member(member, number)) = from {
                tell(context, (member, number), shard, QueryAnswer::Refused);
            }
        }
    }

    /// The link of a member is gone: it asks again over the next one.
    pub(in crate::node) fn forget_queries_of(&mut self, member: usize) {
        let is_its = |open: &OpenQuery| matches!(open.from, From::Member(of, _) if of == member);
        for number in self.participant.those(is_its) {
            self.participant.remove(number);
        }
    }

    /// Summaries whose time is over tell what is known. Who waits for an outcome knows when to stop.
    pub(super) fn expire_open(&mut self, context: &mut Context<'_>) {
        let now_ns = context.io.now_ns();
        for number in self.participant.those(|open| open.deadline_ns <= now_ns) {
            match self.participant.open[&number].about {
                OpenSubject::Summary { summary, .. } => {
                    self.answer_query(context, number, QueryAnswer::Summary(summary));
                }
                OpenSubject::Outcome(_) => {
                    self.participant.remove(number);
                }
            }
        }
    }
}

/// Answers a member that asked for something of a shard.
fn tell(
    context: &mut Context<'_>,
    (member, number): (usize, u64),
    shard: usize,
    answer: QueryAnswer,
) {
    if let Some(index) = context.peers.link(member) {
        let out = context.io.write_raw(index, Dependency::Written { shard });
        link::write(out, &Frame::Answer { number, answer });
    }
}

#[cfg(test)]
impl Queries {
    /// How many queries of others, and of our own, are without an answer.
    #[track_caller]
    pub(crate) fn open_queries(&self) -> usize {
        let open = &self.participant.open;
        let is_outcome = |open: &&OpenQuery| matches!(open.about, OpenSubject::Outcome(_));
        let outcomes = open.values().filter(is_outcome).count();
        assert_eq!(self.participant.outcomes.len(), outcomes);
        for (member, count) in self.participant.of_members.iter().enumerate() {
            let is_its =
                |open: &&OpenQuery| matches!(open.from, From::Member(of, _) if of == member);
            assert_eq!(open.values().filter(is_its).count(), *count);
        }
        open.len()
    }
}
