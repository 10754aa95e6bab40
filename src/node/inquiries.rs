//! What a client waits for that takes time: a summary of all shards, the outcome of a payment.
//!
//! An inquiry has a part for each shard that it is about: a [question](super::questions) to whoever
//! serves that. A part waits while nobody does, and is asked again whenever somebody else does; answers to
//! what was asked before are dropped. Questions are no commands: these never wait for an answer that
//! takes time. The client gets one reply, when all parts are there or the time for them is over, and
//! nothing that it asks behind it is taken up before.

use std::collections::BTreeMap;

use super::commit::Dependency;
use super::encoder::ReplyTarget;
use super::link::{Answer, Frame, Question};
use super::questions::{From, Heard};
use super::replies::Progress;
use super::Node;
use crate::api::bank::{STORAGE_FULL, UNAVAILABLE};
use crate::api::payments::{self, FORGOTTEN, NO_SUMMARY, TOO_MANY_INQUIRIES, UNREADABLE};
use crate::api::{Endpoint, Problem};
use crate::command::{ids, Command, Ids};
use crate::http::Status;
use crate::limits::{
    ASK_AGAIN_NS, COMMAND_NS_MAX, INQUIRIES_MAX, INQUIRY_PARTS_MAX, PAY_NOW_NS_MAX,
};
use crate::machine::ConnectionId;
use crate::payments::{Payment, PaymentId, State, Summary, Window};

/// What a client wants to know, and what is known of it.
enum About {
    Summary {
        window: Window,
        /// Of the parts that are there.
        summary: Summary,
    },
    Outcome {
        shard: usize,
        payment: Payment,
    },
}

/// A client that waits.
struct Inquiry {
    connection: ConnectionId,
    reply_to: ReplyTarget,
    began_ns: u64,
    /// From then on it is answered as it stands. Monotonic.
    deadline_ns: u64,
    about: About,
    /// Why it will not be known.
    problem: Option<Problem>,
    /// Those that are not there, by number.
    parts: Vec<u64>,
}

/// What is still to be known of one shard.
struct Part {
    inquiry: u64,
    shard: usize,
    asked: Asked,
}

/// Who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Nobody is known to serve the shard.
    Nobody,
    /// We were: the question's number.
    Us(u64),
    Member(usize),
    /// Somebody, who refused; to be asked again. Monotonic.
    Later(u64),
}

/// See the top of this file.
#[derive(Default)]
pub(super) struct Inquiries {
    open: BTreeMap<u64, Inquiry>,
    parts: BTreeMap<u64, Part>,
    /// Numbers that were given, to both.
    counter: u64,
    /// Payments that were given an id of our making.
    payments: u64,
}

impl Inquiries {
    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn has_room(&self, parts: usize) -> bool {
        self.open.len() < INQUIRIES_MAX && self.parts.len() + parts <= INQUIRY_PARTS_MAX
    }

    /// How many a connection waits for.
    #[cfg(test)]
    pub(super) fn of(&self, connection: ConnectionId) -> usize {
        let open = self.open.values();
        open.filter(|it| it.connection == connection).count()
    }

    /// The part's next number: whoever was asked before has an answer to the one that it had.
    fn renumber(&mut self, number: u64) -> u64 {
        let next = self.number();
        let part = self.parts.remove(&number).expect("it is there");
        let inquiry = self.open.get_mut(&part.inquiry).expect("it has a part");
        let place = inquiry.parts.iter_mut().find(|it| **it == number);
        *place.expect("it is its part") = next;
        self.parts.insert(next, part);
        next
    }

    fn deadline_ns(&self) -> u64 {
        let again = self.parts.values().filter_map(|part| match part.asked {
            Asked::Later(again_ns) => Some(again_ns),
            _ => None,
        });
        let deadlines = self.open.values().map(|inquiry| inquiry.deadline_ns);
        deadlines.chain(again).min().unwrap_or(u64::MAX)
    }
}

impl About {
    fn question(&self) -> Question {
        match self {
            About::Summary { window, .. } => Question::Summary(*window),
            About::Outcome { payment, .. } => Question::Outcome(payment.id),
        }
    }

    /// Whether it is an answer to what was asked.
    fn fits(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (_, Answer::Refused | Answer::Unreadable) => true,
            (About::Summary { .. }, Answer::Summary(_)) => true,
            (About::Outcome { payment, .. }, Answer::Outcome(Some(settled))) => {
                settled.id == payment.id && matches!(settled.state, State::Processed { .. })
            }
            (About::Outcome { .. }, Answer::Outcome(None)) => true,
            _ => false,
        }
    }
}

impl Inquiry {
    /// Takes up an answer that fits, and is no refusal.
    fn process_input(&mut self, answer: &Answer) {
        match (&mut self.about, answer) {
            (_, Answer::Unreadable) => self.problem = Some(UNREADABLE),
            (About::Summary { summary, .. }, Answer::Summary(part)) => summary.merge(part),
            (About::Outcome { payment, .. }, Answer::Outcome(outcome)) => match outcome {
                Some(settled) => *payment = *settled,
                None => self.problem = Some(FORGOTTEN),
            },
            _ => unreachable!("it fits"),
        }
    }
}

impl<J> Node<J> {
    /// Begins to find out what processors have carried out.
    pub(super) fn summarise(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        window: Window,
    ) -> Progress {
        let shards = self.settings.members.shards;
        if !self.inquiries.has_room(shards) {
            return self.too_many_inquiries(index, reply_to, Endpoint::Summary);
        }
        // Nothing is between two bounds within one microsecond.
        let shards = if window.from_us <= window.to_us {
            0..shards
        } else {
            0..0
        };
        let summary = Summary::default();
        let about = About::Summary { window, summary };
        let began_ns = self.now.monotonic_ns;
        self.inquire_of(index, reply_to, about, shards, began_ns);
        Progress::Done
    }

    /// Accepts a payment that has no id, and is answered when it is carried out.
    pub(super) fn pay_now(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        cents: u64,
        key: Option<&[u8]>,
    ) -> Progress {
        if !self.inquiries.has_room(1) {
            return self.too_many_inquiries(index, reply_to, Endpoint::Payments);
        }
        let id = match key {
            Some(text) => PaymentId::made_of(ids::key(self.settings.directory, text)),
            None => self.new_payment_id(),
        };
        let shard = id.shard(self.settings.members.shards);
        if !self.serves(shard) {
            if self.forward_pay_now(index, shard, reply_to, id, cents) {
                return Progress::Done;
            }
            let status = Status::ServiceUnavailable;
            return self.answer(index, reply_to, Endpoint::Payments, status, UNAVAILABLE);
        }
        if !self.accepts(shard) {
            return self.postpone(index);
        }
        let command = Command::Pay { id, cents };
        let (status, dependency) = self.execute(shard, reply_to, &command, &Ids::default());
        if status != Status::Accepted {
            return self.reply(index, reply_to, Endpoint::Payments, status, dependency);
        }
        self.encoder.body.clear();
        let began_ns = self.now.monotonic_ns;
        self.await_outcome(index, reply_to, shard, id, cents, began_ns);
        Progress::Done
    }

    fn too_many_inquiries(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        endpoint: Endpoint,
    ) -> Progress {
        let status = Status::ServiceUnavailable;
        self.answer(index, reply_to, endpoint, status, TOO_MANY_INQUIRIES)
    }

    fn new_payment_id(&mut self) -> PaymentId {
        self.inquiries.payments += 1;
        let epoch = u128::from(self.settings.epoch) << 80;
        let member = (self.settings.members.own() as u128) << 64;
        PaymentId::made_of(epoch | member | u128::from(self.inquiries.payments))
    }

    /// A payment is accepted, and its client waits until it is carried out.
    pub(super) fn await_outcome(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        shard: usize,
        id: PaymentId,
        cents: u64,
        began_ns: u64,
    ) {
        let about = About::Outcome {
            shard,
            payment: Payment {
                id,
                cents,
                accepted_us: self.now.realtime_us,
                attempts: 0,
                state: State::Free,
            },
        };
        self.inquire_of(index, reply_to, about, shard..shard + 1, began_ns);
    }

    /// Asks the owners of shards, and answers at once if they know.
    fn inquire_of(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        about: About,
        shards: std::ops::Range<usize>,
        began_ns: u64,
    ) {
        let stop_ns = self.stop.as_ref().map_or(u64::MAX, |it| it.inquiries_ns());
        let within_ns = match about {
            About::Summary { .. } => COMMAND_NS_MAX,
            About::Outcome { .. } => PAY_NOW_NS_MAX,
        };
        let mut inquiry = Inquiry {
            connection: self.connections[index].id,
            reply_to,
            began_ns,
            deadline_ns: stop_ns.min(began_ns + within_ns),
            about,
            problem: None,
            parts: Vec::new(),
        };
        let number = self.inquiries.number();
        for shard in shards {
            let part = self.inquiries.number();
            match self.put(shard, part, inquiry.about.question()) {
                Ok(answer) => inquiry.process_input(&answer),
                Err(asked) => {
                    inquiry.parts.push(part);
                    let asked = Part {
                        inquiry: number,
                        shard,
                        asked,
                    };
                    self.inquiries.parts.insert(part, asked);
                }
            }
        }
        if inquiry.parts.is_empty() {
            return self.conclude(&inquiry);
        }
        let connection = &mut self.connections[index];
        connection.waiting += 1;
        // Nothing may be asked behind it before it is answered.
        connection.waiting_for = None;
        self.inquire_ns = self.inquire_ns.min(inquiry.deadline_ns);
        self.inquiries.open.insert(number, inquiry);
    }

    /// Puts a question to the owner of a shard: the answer, or who has been asked.
    fn put(&mut self, shard: usize, number: u64, question: Question) -> Result<Answer, Asked> {
        if self.serves(shard) {
            return match self.question(From::Here(number), shard, question) {
                Heard::Now(answer) => Ok(answer),
                Heard::Later(question) => Err(Asked::Us(question)),
            };
        }
        let Some(member) = self.routes[shard].member() else {
            return Err(Asked::Nobody);
        };
        let ask = Frame::Ask {
            number,
            shard: shard as u32,
            question,
        };
        let told = self.tell(member, &ask);
        Err(if told {
            Asked::Member(member)
        } else {
            Asked::Nobody
        })
    }

    /// Asks for a part once more.
    fn ask(&mut self, number: u64) {
        let number = self.inquiries.renumber(number);
        let part = &self.inquiries.parts[&number];
        let (shard, inquiry) = (part.shard, &self.inquiries.open[&part.inquiry]);
        match self.put(shard, number, inquiry.about.question()) {
            Ok(answer) => self.part_answered(number, &answer),
            Err(asked) => self.part_asked(number, asked),
        }
    }

    fn part_asked(&mut self, number: u64, asked: Asked) {
        let part = self.inquiries.parts.get_mut(&number).expect("it is there");
        part.asked = asked;
        if let Asked::Later(again_ns) = asked {
            self.inquire_ns = self.inquire_ns.min(again_ns);
        }
    }

    /// A shard has another owner, or none: whatever was asked about it is asked anew.
    pub(super) fn ask_again(&mut self, shard: usize) {
        let parts = self.inquiries.parts.iter();
        let its = parts.filter(|(_, part)| part.shard == shard);
        for number in its.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.ask(number);
        }
    }

    /// A member's answer.
    pub(super) fn answer_came(
        &mut self,
        member: usize,
        number: u64,
        answer: Answer,
    ) -> Result<(), String> {
        let part = self.inquiries.parts.get(&number);
        let Some(part) = part.filter(|part| part.asked == Asked::Member(member)) else {
            return Ok(()); // Nobody waits for it any more.
        };
        if !self.inquiries.open[&part.inquiry].about.fits(&answer) {
            return Err("answers what it was not asked".to_owned());
        }
        self.part_answered(number, &answer);
        Ok(())
    }

    /// A part is there, or is to be asked for again.
    pub(super) fn part_answered(&mut self, number: u64, answer: &Answer) {
        if *answer == Answer::Refused {
            let again_ns = self.now.monotonic_ns + ASK_AGAIN_NS;
            return self.part_asked(number, Asked::Later(again_ns));
        }
        let part = self.inquiries.parts.remove(&number);
        let part = part.expect("a question goes with its part");
        let open = self.inquiries.open.get_mut(&part.inquiry);
        let inquiry = open.expect("it waits for a part");
        inquiry.parts.retain(|it| *it != number);
        inquiry.process_input(answer);
        if inquiry.parts.is_empty() || inquiry.problem.is_some() {
            self.end_inquiry(part.inquiry);
        }
    }

    /// The journal has not taken what a shard's tick accepted: clients of ours are told so, by
    /// their payments and not by the questions about them: those are gone where the shard was begun to be
    /// let go in the same tick.
    pub(super) fn inquiries_refused(&mut self, shard: usize) {
        let payments = self.shards[shard].as_ref().expect("it is ours").payments();
        let is_gone = |about: &About| match about {
            About::Outcome { shard: of, payment } => {
                *of == shard && payments.find(payment.id) == Ok(None)
            }
            About::Summary { .. } => false,
        };
        let open = self.inquiries.open.iter();
        let gone = open.filter(|(_, inquiry)| is_gone(&inquiry.about));
        for number in gone.map(|(number, _)| *number).collect::<Vec<_>>() {
            let inquiry = self.inquiries.open.get_mut(&number);
            inquiry.expect("just listed").problem = Some(STORAGE_FULL);
            self.end_inquiry(number);
        }
    }

    /// Takes an inquiry out, with what is still asked for it.
    fn take_inquiry(&mut self, number: u64) -> Inquiry {
        let inquiry = self.inquiries.open.remove(&number).expect("it is open");
        for part in &inquiry.parts {
            let part = self.inquiries.parts.remove(part).expect("it is its part");
            if let Asked::Us(question) = part.asked {
                self.questions.remove(question);
            }
        }
        inquiry
    }

    /// Answers a client with what is known. It may be the middle of a tick or its end, so that what is
    /// asked behind waits for the next one.
    pub(super) fn end_inquiry(&mut self, number: u64) {
        let inquiry = self.take_inquiry(number);
        let connection = self.connections.get(inquiry.connection);
        let connection = connection.expect("what it waits for is dropped with it");
        connection.waiting -= 1;
        self.conclude(&inquiry);
        self.postpone(inquiry.connection.index as usize);
    }

    /// The reply to an inquiry, with the parts that are there.
    fn conclude(&mut self, inquiry: &Inquiry) {
        let index = inquiry.connection.index as usize;
        let Inquiry {
            reply_to, began_ns, ..
        } = *inquiry;
        let complete = inquiry.parts.is_empty();
        let (endpoint, lacks) = match inquiry.about {
            About::Summary { .. } => (Endpoint::Summary, (!complete).then_some(NO_SUMMARY)),
            About::Outcome { .. } => (Endpoint::Payments, None),
        };
        let mut dependency = Dependency::Written;
        let status = match (inquiry.problem.or(lacks), &inquiry.about) {
            (Some(problem), _) => {
                problem.write(&mut self.encoder.body);
                match problem == UNREADABLE {
                    true => Status::InternalError,
                    false => Status::ServiceUnavailable,
                }
            }
            (None, About::Summary { summary, .. }) => {
                payments::write_summary(&mut self.encoder.body, summary);
                Status::Ok
            }
            (None, About::Outcome { shard, payment }) => {
                // Who stops may tell of it in the tick that accepts it.
                let ours = self.shards[*shard].as_ref();
                if ours.is_some_and(|it| !it.payments().is_written(payment.id)) {
                    dependency = Dependency::Write { shard: *shard };
                }
                payments::write_pay_now(&mut self.encoder.body, payment)
            }
        };
        self.reply_late(index, reply_to, endpoint, status, dependency, began_ns);
    }

    /// A connection is closed: nobody waits for what it asked.
    pub(super) fn drop_inquiry(&mut self, connection: ConnectionId) {
        let mut open = self.inquiries.open.iter();
        let its = open.find(|(_, inquiry)| inquiry.connection == connection);
        if let Some((number, _)) = its {
            self.take_inquiry(*number);
            self.connections[connection.index as usize].waiting -= 1;
        }
    }

    /// We stop: whatever takes time has less of it.
    pub(super) fn hurry_inquiries(&mut self) {
        let Some(stop) = &self.stop else {
            return;
        };
        for inquiry in self.inquiries.open.values_mut() {
            inquiry.deadline_ns = inquiry.deadline_ns.min(stop.inquiries_ns());
            self.inquire_ns = self.inquire_ns.min(inquiry.deadline_ns);
        }
    }

    /// Deals with whatever it is time for, and finds out what is next.
    pub(super) fn inquire(&mut self) {
        let now_ns = self.now.monotonic_ns;
        self.expire_questions();
        let parts = self.inquiries.parts.iter();
        let due = parts
            .filter(|(_, part)| matches!(part.asked, Asked::Later(again_ns) if again_ns <= now_ns));
        for number in due.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.ask(number);
        }
        let open = self.inquiries.open.iter();
        let over = open.filter(|(_, inquiry)| inquiry.deadline_ns <= now_ns);
        for number in over.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.end_inquiry(number);
        }
        let questions_ns = self.questions.deadline_ns();
        self.inquire_ns = self.inquiries.deadline_ns().min(questions_ns);
    }
}
