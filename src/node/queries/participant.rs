//! The participant's side: what the owner of a shard is asked.
//!
//! A summary is of the moment at which the question arrives: what is settled by then, and of what is
//! not, what the processors say that they hold, all asked at once. A payment that is settled later, by
//! its own reply, is counted only if its processor said that it was there. An outcome is told when it is in
//! the journal: until then the disk may refuse it, and the payment is in doubt once more.

use std::collections::{BTreeMap, BTreeSet};

use super::super::link::{Answer, Frame, Question};
use super::super::peers::Peers;
use super::super::transport::Transport;
use super::{Around, Queries};
use crate::limits::{INQUIRY_PARTS_MAX, PAY_NOW_NS_MAX, SUMMARY_NS_MAX};
use crate::payments::{PaymentId, State, Summary, Window};
use crate::shard::payments::Unreadable;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// An inquiry of this core, by the part's number.
    Here(u64),
    /// Another member, by the number that it gave.
    Member(usize, u64),
}

/// What comes of a question at once.
pub(super) enum Heard {
    Now(Answer),
    /// The answer follows. The number that the question has here.
    Later(u64),
}

enum About {
    Summary {
        window: Window,
        /// What is known.
        summary: Summary,
        /// How many are still to say what they hold.
        lookups: usize,
    },
    Outcome(PaymentId),
}

/// A question without an answer.
pub(super) struct Open {
    from: From,
    shard: usize,
    /// Monotonic.
    deadline_ns: u64,
    about: About,
}

/// See the top of this file.
pub(super) struct Questions {
    open: BTreeMap<u64, Open>,
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

impl Questions {
    pub(super) fn new(members: usize) -> Questions {
        Questions {
            open: BTreeMap::new(),
            counter: 0,
            outcomes: BTreeSet::new(),
            settled: Vec::new(),
            forgets: Vec::new(),
            of_members: vec![0; members],
        }
    }

    fn insert(&mut self, open: Open) -> u64 {
        self.counter += 1;
        if let From::Member(member, _) = open.from {
            self.of_members[member] += 1;
        }
        if let About::Outcome(id) = open.about {
            self.outcomes.insert((id, self.counter));
        }
        self.open.insert(self.counter, open);
        self.counter
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<From> {
        let open = self.open.remove(&number)?;
        if let From::Member(member, _) = open.from {
            self.of_members[member] -= 1;
        }
        if let About::Outcome(id) = open.about {
            self.outcomes.remove(&(id, number));
        }
        Some(open.from)
    }

    /// Whether this tick's batch of a shard forgets its payments, which is dealt with.
    fn take_forgets(&mut self, shard: usize) -> bool {
        let before = self.forgets.len();
        self.forgets.retain(|it| *it != shard);
        self.forgets.len() < before
    }

    /// This tick's batch forgets a shard's payments.
    pub(super) fn forgotten(&mut self, shard: usize) {
        if !self.open.is_empty() {
            self.forgets.push(shard);
        }
    }

    fn those(&self, are: impl Fn(&Open) -> bool) -> Vec<u64> {
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
    /// Another member asks.
    pub(in crate::node) fn asked(
        &mut self,
        around: &mut Around<'_>,
        (member, number): (usize, u64),
        shard: usize,
        question: Question,
    ) -> Result<(), String> {
        if let Question::Outcome(id) = question {
            if id.shard(around.shards.count()) != shard {
                return Err("asks for a payment in the wrong shard".to_owned());
            }
        }
        let has_room = self.questions.of_members[member] < INQUIRY_PARTS_MAX;
        let answer = if has_room && around.shards.serves(shard) {
            match self.question(around, From::Member(member, number), shard, question) {
                Heard::Now(answer) => answer,
                Heard::Later(_) => return Ok(()),
            }
        } else {
            Answer::Refused
        };
        tell(around.io, around.peers, member, number, answer);
        Ok(())
    }

    /// A question about a shard that is served here.
    pub(super) fn question(
        &mut self,
        around: &mut Around<'_>,
        from: From,
        shard: usize,
        question: Question,
    ) -> Heard {
        match question {
            Question::Summary(window) => self.question_summary(around, from, shard, window),
            Question::Outcome(id) => self.question_outcome(around, from, shard, id),
        }
    }

    fn question_summary(
        &mut self,
        around: &mut Around<'_>,
        from: From,
        shard: usize,
        window: Window,
    ) -> Heard {
        let payments = around.shards.shard(shard).payments();
        let Ok(summary) = payments.summary(&window) else {
            return Heard::Now(Answer::Unreadable);
        };
        let is_within = |state| matches!(state, State::Bound { requested_us, .. } if window.contains(requested_us));
        let unknown = payments.bound().filter(|it| is_within(it.state));
        let unknown: Vec<PaymentId> = unknown.map(|it| it.id).collect();
        let gateway = around.gateway.as_mut().filter(|_| !unknown.is_empty());
        let Some(gateway) = gateway else {
            return Heard::Now(Answer::Summary(summary));
        };
        let number = self.open_question(Open {
            from,
            shard,
            deadline_ns: around.io.now_ns() + SUMMARY_NS_MAX,
            about: About::Summary {
                window,
                summary,
                lookups: unknown.len(),
            },
        });
        for id in unknown {
            gateway.look_up(around.io, around.shards, shard, id, number);
        }
        Heard::Later(number)
    }

    fn question_outcome(
        &mut self,
        around: &mut Around<'_>,
        from: From,
        shard: usize,
        id: PaymentId,
    ) -> Heard {
        let its_shard = around.shards.shard(shard);
        let payment = match its_shard.payments().find(id) {
            Ok(Some(payment)) => payment,
            Ok(None) => return Heard::Now(Answer::Outcome(None)),
            Err(Unreadable) => return Heard::Now(Answer::Unreadable),
        };
        let is_settled = matches!(payment.state, State::Processed { .. });
        if is_settled && its_shard.batch().is_empty() {
            return Heard::Now(Answer::Outcome(Some(payment)));
        }
        let number = self.open_question(Open {
            from,
            shard,
            deadline_ns: around.io.now_ns() + PAY_NOW_NS_MAX,
            about: About::Outcome(id),
        });
        if is_settled {
            // Perhaps only in this tick's batch.
            self.questions.settled.push((shard, number));
        }
        Heard::Later(number)
    }

    fn open_question(&mut self, open: Open) -> u64 {
        self.wake_by(open.deadline_ns);
        self.questions.insert(open)
    }

    /// Ends a question.
    fn answer_question(&mut self, around: &mut Around<'_>, number: u64, answer: Answer) {
        match self.questions.remove(number) {
            Some(From::Here(part)) => self.part_answered(around, part, &answer),
            Some(From::Member(member, number)) => {
                tell(around.io, around.peers, member, number, answer);
            }
            None => {}
        }
    }

    /// What came of a lookup: whether the processor has the payment; `None`: nobody knows.
    pub(in crate::node) fn looked_up(
        &mut self,
        around: &mut Around<'_>,
        shard: usize,
        id: PaymentId,
        question: u64,
        found: Option<bool>,
    ) {
        let Some(open) = self.questions.open.get_mut(&question) else {
            return; // It has been answered, or nobody wants to know any more.
        };
        if found.is_none() && around.io.stop.is_some() {
            // It was not sent any more. Who has the shard next can find out.
            return self.answer_question(around, question, Answer::Refused);
        }
        let About::Summary {
            window,
            summary,
            lookups,
        } = &mut open.about
        else {
            unreachable!("outcomes are not looked up");
        };
        debug_assert_eq!(open.shard, shard);
        *lookups -= 1;
        let its_shard = around.shards.get(shard).filter(|_| found == Some(true));
        let Ok(payment) = its_shard.map_or(Ok(None), |it| it.payments().find(id)) else {
            return self.answer_question(around, question, Answer::Unreadable);
        };
        if let Some((payment, State::Processed { by, requested_us })) =
            payment.map(|it| (it, it.state))
        {
            if window.contains(requested_us) {
                summary.add(by, payment.cents);
            }
        }
        if *lookups == 0 {
            let answer = Answer::Summary(*summary);
            self.answer_question(around, question, answer);
        }
    }

    /// A payment of a shard of ours is settled, in this tick's batch.
    pub(in crate::node) fn payment_settled(&mut self, shard: usize, id: PaymentId) {
        let Questions {
            outcomes, settled, ..
        } = &mut self.questions;
        let numbers = outcomes.range((id, 0)..=(id, u64::MAX));
        settled.extend(numbers.map(|(_, number)| (shard, *number)));
    }

    /// The tick's batch of a shard is in the journal: what it settled may be told.
    pub(in crate::node) fn written(&mut self, around: &mut Around<'_>, shard: usize) {
        if self.questions.take_forgets(shard) {
            for number in self.vanished(around, shard) {
                self.answer_question(around, number, Answer::Outcome(None));
            }
        }
        for number in self.take_settled(shard) {
            let Some(open) = self.questions.open.get(&number) else {
                continue;
            };
            let About::Outcome(id) = open.about else {
                unreachable!("it is about an outcome");
            };
            let answer = match around.shards.shard(shard).payments().find(id) {
                Ok(payment) => Answer::Outcome(payment),
                Err(Unreadable) => Answer::Unreadable,
            };
            self.answer_question(around, number, answer);
        }
    }

    /// The tick's batch of a shard is not in the journal: what it settled is not, and what it accepted is
    /// gone.
    pub(in crate::node) fn refused(&mut self, around: &mut Around<'_>, shard: usize) {
        self.questions.take_forgets(shard);
        self.take_settled(shard);
        for number in self.vanished(around, shard) {
            // Ours go with their inquiries.
            if let From::Member(..) = self.questions.open[&number].from {
                self.answer_question(around, number, Answer::Outcome(None));
            }
        }
        self.inquiries_refused(around, shard);
    }

    fn take_settled(&mut self, shard: usize) -> Vec<u64> {
        let settled = std::mem::take(&mut self.questions.settled);
        let (its, others): (Vec<_>, Vec<_>) = settled.into_iter().partition(|(of, _)| *of == shard);
        self.questions.settled = others;
        its.into_iter().map(|(_, number)| number).collect()
    }

    /// Questions about payments that are not there any more.
    fn vanished(&self, around: &mut Around<'_>, shard: usize) -> Vec<u64> {
        let payments = around.shards.shard(shard).payments();
        let is_its = |number| self.questions.open[number].shard == shard;
        let outcomes = self.questions.outcomes.iter();
        let its = outcomes.filter(|(id, number)| is_its(number) && payments.find(*id) == Ok(None));
        its.map(|(_, number)| *number).collect()
    }

    /// A shard has another owner, or none: who asked us about it is to ask that one.
    pub(super) fn forget_questions(&mut self, around: &mut Around<'_>, shard: usize) {
        for number in self.questions.those(|open| open.shard == shard) {
            if let Some(From::Member(member, number)) = self.questions.remove(number) {
                tell(around.io, around.peers, member, number, Answer::Refused);
            }
        }
    }

    /// The link of a member is gone: it asks again over the next one.
    pub(in crate::node) fn forget_questions_of(&mut self, member: usize) {
        let is_its = |open: &Open| matches!(open.from, From::Member(of, _) if of == member);
        for number in self.questions.those(is_its) {
            self.questions.remove(number);
        }
    }

    /// Summaries whose time is over tell what is known. Who waits for an outcome knows when to stop.
    pub(super) fn expire_questions(&mut self, around: &mut Around<'_>) {
        let now_ns = around.io.now_ns();
        for number in self.questions.those(|open| open.deadline_ns <= now_ns) {
            match self.questions.open[&number].about {
                About::Summary { summary, .. } => {
                    self.answer_question(around, number, Answer::Summary(summary));
                }
                About::Outcome(_) => {
                    self.questions.remove(number);
                }
            }
        }
    }
}

fn tell(io: &mut Transport, peers: &Peers, member: usize, number: u64, answer: Answer) {
    peers.tell(io, member, &Frame::Answer { number, answer });
}

#[cfg(test)]
impl Queries {
    /// How many questions of others, and of our own, are without an answer.
    #[track_caller]
    pub(crate) fn open_questions(&self) -> usize {
        let open = &self.questions.open;
        let is_outcome = |open: &&Open| matches!(open.about, About::Outcome(_));
        let outcomes = open.values().filter(is_outcome).count();
        assert_eq!(self.questions.outcomes.len(), outcomes);
        for (member, count) in self.questions.of_members.iter().enumerate() {
            let is_its = |open: &&Open| matches!(open.from, From::Member(of, _) if of == member);
            assert_eq!(open.values().filter(is_its).count(), *count);
        }
        open.len()
    }
}
