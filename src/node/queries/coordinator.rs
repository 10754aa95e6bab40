//! The coordinator's side: what a client waits for.
//!
//! A query has a part for each shard that it is about. A part waits while nobody serves its shard, and is put
//! again whenever somebody else does; answers to what was put before are dropped. The client gets one reply, when
//! all parts are there or the time for them is over, and nothing that it asks behind it is taken up before.

use std::collections::BTreeMap;

use super::super::link::{Frame, Query, QueryAnswer};
use super::super::router::RoutedWork;
use super::super::transport::commit::Dependency;
use super::super::transport::encoder::Caller;
use super::super::transport::{Progress, Transport};
use super::participant::{Answering, From};
use super::{Context, Queries};
use crate::api::payments;
use crate::api::problem::{
    Problem, FORGOTTEN, NO_SUMMARY, STORAGE_FULL, TOO_MANY_QUERIES, UNREADABLE,
};
use crate::command::{ids, Command, Ids};
use crate::http::Status;
use crate::limits::{ASK_AGAIN_NS, COMMAND_NS_MAX, PAY_NOW_NS_MAX, QUERIES_MAX, QUERY_PARTS_MAX};
use crate::machine::ConnectionId;
use crate::payments::{Payment, PaymentId, PaymentState, Summary, Window};

/// What a client wants to know, and what is known of it.
enum QuerySubject {
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
struct ClientQuery {
    client: Caller,
    /// From then on it is answered as it stands. Monotonic.
    deadline_ns: u64,
    about: QuerySubject,
    /// Why it will not be known.
    failure: Option<QueryFailure>,
    /// Those that are not there, by number.
    parts: Vec<u64>,
}

/// Why something will not be known.
#[derive(Clone, Copy)]
enum QueryFailure {
    /// A shard's files are damaged.
    Unreadable,
    /// The payment was purged meanwhile.
    Forgotten,
    /// The payment was not accepted after all.
    StorageFull,
    /// A shard's owner has not answered in time.
    Incomplete,
}

impl QueryFailure {
    fn problem(self) -> Problem {
        match self {
            QueryFailure::Unreadable => UNREADABLE,
            QueryFailure::Forgotten => FORGOTTEN,
            QueryFailure::StorageFull => STORAGE_FULL,
            QueryFailure::Incomplete => NO_SUMMARY,
        }
    }
}

/// What is still to be known of one shard.
struct Part {
    query: u64,
    shard: usize,
    asked: AskedOwner,
}

/// Where a part stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskedOwner {
    /// Nobody is known to serve the shard.
    Nobody,
    /// We were: the query's number.
    Us(u64),
    Member(usize),
    /// Somebody, who refused; to be asked again. Monotonic.
    Later(u64),
}

/// See the top of this file.
#[derive(Default)]
pub(super) struct Coordinator {
    open: BTreeMap<u64, ClientQuery>,
    parts: BTreeMap<u64, Part>,
    /// Numbers that were given, to both.
    counter: u64,
    /// Payments that were given an id of our making.
    payments: u64,
}

impl Coordinator {
    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn has_room(&self, parts: usize) -> bool {
        self.open.len() < QUERIES_MAX && self.parts.len() + parts <= QUERY_PARTS_MAX
    }

    /// How many a connection waits for.
    #[cfg(test)]
    pub(super) fn of(&self, connection: ConnectionId) -> usize {
        let open = self.open.values();
        open.filter(|it| it.client.connection == connection).count()
    }

    /// The part's next number: whoever was asked before has an answer to the one that it had.
    fn renumber(&mut self, number: u64) -> u64 {
        let next = self.number();
        let part = self.parts.remove(&number).expect("it is there");
        let query = self.open.get_mut(&part.query).expect("it has a part");
        let place = query.parts.iter_mut().find(|it| **it == number);
        *place.expect("it is its part") = next;
        self.parts.insert(next, part);
        next
    }

    pub(super) fn deadline_ns(&self) -> u64 {
        let again = self.parts.values().filter_map(|part| match part.asked {
            AskedOwner::Later(again_ns) => Some(again_ns),
            _ => None,
        });
        let deadlines = self.open.values().map(|query| query.deadline_ns);
        deadlines.chain(again).min().unwrap_or(u64::MAX)
    }
}

impl QuerySubject {
    fn query(&self) -> Query {
        match self {
            QuerySubject::Summary { window, .. } => Query::Summary(*window),
            QuerySubject::Outcome { payment, .. } => Query::Outcome(payment.id),
        }
    }

    /// Whether it is an answer to what was asked.
    fn fits(&self, answer: &QueryAnswer) -> bool {
        match (self, answer) {
            (_, QueryAnswer::Refused | QueryAnswer::Unreadable) => true,
            (QuerySubject::Summary { .. }, QueryAnswer::Summary(_)) => true,
            (QuerySubject::Outcome { payment, .. }, QueryAnswer::Outcome(Some(settled))) => {
                settled.id == payment.id && matches!(settled.state, PaymentState::Processed { .. })
            }
            (QuerySubject::Outcome { .. }, QueryAnswer::Outcome(None)) => true,
            _ => false,
        }
    }
}

impl ClientQuery {
    /// Takes up an answer that fits, and is no refusal.
    fn take_answer(&mut self, answer: &QueryAnswer) {
        match (&mut self.about, answer) {
            (_, QueryAnswer::Unreadable) => self.failure = Some(QueryFailure::Unreadable),
            (QuerySubject::Summary { summary, .. }, QueryAnswer::Summary(part)) => {
                summary.merge(part)
            }
            (QuerySubject::Outcome { payment, .. }, QueryAnswer::Outcome(outcome)) => match outcome
            {
                Some(settled) => *payment = *settled,
                None => self.failure = Some(QueryFailure::Forgotten),
            },
            _ => unreachable!("it fits"),
        }
    }
}

impl Queries {
    /// Begins to find out what processors have carried out.
    pub(in crate::node) fn summarise(
        &mut self,
        context: &mut Context<'_>,
        client: &Caller,
        window: Window,
    ) {
        let shards = context.shards.count();
        if !self.coordinator.has_room(shards) {
            return too_many(context.io, client);
        }
        // Nothing is between two bounds within one microsecond.
        let shards = match window.from_us <= window.to_us {
            true => 0..shards,
            false => 0..0,
        };
        let summary = Summary::default();
        self.begin(
            context,
            client,
            QuerySubject::Summary { window, summary },
            shards,
        );
    }

    /// Accepts a payment that has no id, and is answered when it is carried out.
    pub(in crate::node) fn pay_now(
        &mut self,
        context: &mut Context<'_>,
        client: &Caller,
        cents: u64,
        key: Option<&[u8]>,
    ) -> Progress {
        let Context { io, shards, .. } = context;
        if !self.coordinator.has_room(1) {
            too_many(io, client);
            return Progress::Done;
        }
        let id = match key {
            Some(text) => PaymentId::made_of(ids::key(io.settings.directory, text)),
            None => self.new_payment_id(io),
        };
        let shard = id.shard(shards.count());
        if !shards.serves(shard) {
            let router = &mut context.router;
            let work = RoutedWork::PayNow { id, cents };
            router.forward_alone(io, context.peers, client, shard, work);
            return Progress::Done;
        }
        if !shards.accepts(shard) {
            return io.postpone(client.index());
        }
        let command = Command::Pay { id, cents };
        let (status, dependency) = shards.execute(io, shard, client, &command, &Ids::default());
        if status == Status::Accepted {
            io.encoder.body.clear();
            self.await_outcome(context, client, id, cents);
        } else {
            io.reply(client, status, dependency);
        }
        Progress::Done
    }

    fn new_payment_id(&mut self, io: &Transport) -> PaymentId {
        self.coordinator.payments += 1;
        let epoch = u128::from(io.settings.epoch) << 80;
        let member = (io.settings.members.own() as u128) << 64;
        PaymentId::made_of(epoch | member | u128::from(self.coordinator.payments))
    }

    /// A payment is accepted, and its client waits until it is carried out.
    pub(in crate::node) fn await_outcome(
        &mut self,
        context: &mut Context<'_>,
        client: &Caller,
        id: PaymentId,
        cents: u64,
    ) {
        let shard = id.shard(context.shards.count());
        let about = QuerySubject::Outcome {
            shard,
            payment: Payment {
                id,
                cents,
                accepted_us: context.io.now.realtime_us,
                attempts: 0,
                state: PaymentState::Free,
            },
        };
        self.begin(context, client, about, shard..shard + 1);
    }

    /// Asks the owners of shards, and answers at once if they know.
    fn begin(
        &mut self,
        context: &mut Context<'_>,
        client: &Caller,
        about: QuerySubject,
        shards: std::ops::Range<usize>,
    ) {
        let stop = context.io.stop.as_ref();
        let stop_ns = stop.map_or(u64::MAX, |stop| stop.queries_ns);
        let within_ns = match about {
            QuerySubject::Summary { .. } => COMMAND_NS_MAX,
            QuerySubject::Outcome { .. } => PAY_NOW_NS_MAX,
        };
        let mut query = ClientQuery {
            client: *client,
            deadline_ns: stop_ns.min(client.began_ns + within_ns),
            about,
            failure: None,
            parts: Vec::new(),
        };
        let number = self.coordinator.number();
        for shard in shards {
            let part = self.coordinator.number();
            match self.put(context, shard, part, query.about.query()) {
                Ok(answer) => query.take_answer(&answer),
                Err(asked) => {
                    query.parts.push(part);
                    let asked = Part {
                        query: number,
                        shard,
                        asked,
                    };
                    self.coordinator.parts.insert(part, asked);
                }
            }
        }
        if query.parts.is_empty() {
            return conclude(context, &query);
        }
        let connection = &mut context.io.connections[client.index()];
        connection.waiting += 1;
        // Nothing may be asked behind it before it is answered.
        connection.waiting_for = None;
        self.wake_by(query.deadline_ns);
        self.coordinator.open.insert(number, query);
    }

    /// Puts a query to the owner of a shard: the answer, or who has been asked.
    fn put(
        &mut self,
        context: &mut Context<'_>,
        shard: usize,
        number: u64,
        query: Query,
    ) -> Result<QueryAnswer, AskedOwner> {
        if context.shards.serves(shard) {
            return match self.query(context, From::Here(number), shard, query) {
                Answering::Now(answer) => Ok(answer),
                Answering::Later(query) => Err(AskedOwner::Us(query)),
            };
        }
        let ask = Frame::Query {
            number,
            shard: shard as u32,
            query,
        };
        let member = context.router.member(shard);
        let told = member.filter(|member| context.peers.tell(context.io, *member, &ask));
        Err(told.map_or(AskedOwner::Nobody, AskedOwner::Member))
    }

    /// Asks for a part once more.
    fn ask(&mut self, context: &mut Context<'_>, number: u64) {
        // The answer to another part may have ended its query.
        if !self.coordinator.parts.contains_key(&number) {
            return;
        }
        let number = self.coordinator.renumber(number);
        let part = &self.coordinator.parts[&number];
        let (shard, query) = (part.shard, &self.coordinator.open[&part.query]);
        match self.put(context, shard, number, query.about.query()) {
            Ok(answer) => self.part_answered(context, number, &answer),
            Err(asked) => self.part_asked(number, asked),
        }
    }

    fn part_asked(&mut self, number: u64, asked: AskedOwner) {
        let part = self
            .coordinator
            .parts
            .get_mut(&number)
            .expect("it is there");
        part.asked = asked;
        if let AskedOwner::Later(again_ns) = asked {
            self.wake_by(again_ns);
        }
    }

    /// A shard has another owner, or none: whatever was asked about it is asked anew.
    pub(super) fn ask_again(&mut self, context: &mut Context<'_>, shard: usize) {
        let parts = self.coordinator.parts.iter();
        let its = parts.filter(|(_, part)| part.shard == shard);
        for number in its.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.ask(context, number);
        }
    }

    /// A member has answered a part. The error says what is wrong with it.
    pub(in crate::node) fn answer_came(
        &mut self,
        context: &mut Context<'_>,
        member: usize,
        number: u64,
        answer: QueryAnswer,
    ) -> Result<(), String> {
        let part = self.coordinator.parts.get(&number);
        let Some(part) = part.filter(|part| part.asked == AskedOwner::Member(member)) else {
            return Ok(()); // Nobody waits for it any more.
        };
        if !self.coordinator.open[&part.query].about.fits(&answer) {
            return Err("answers what it was not asked".to_owned());
        }
        self.part_answered(context, number, &answer);
        Ok(())
    }

    /// A part is there, or is to be asked for again.
    pub(super) fn part_answered(
        &mut self,
        context: &mut Context<'_>,
        number: u64,
        answer: &QueryAnswer,
    ) {
        if *answer == QueryAnswer::Refused {
            let again_ns = context.io.now_ns() + ASK_AGAIN_NS;
            return self.part_asked(number, AskedOwner::Later(again_ns));
        }
        let part = self.coordinator.parts.remove(&number);
        let part = part.expect("a query goes with its part");
        let open = self.coordinator.open.get_mut(&part.query);
        let query = open.expect("it waits for a part");
        query.parts.retain(|it| *it != number);
        query.take_answer(answer);
        if query.parts.is_empty() || query.failure.is_some() {
            self.end(context, part.query);
        }
    }

    /// The journal has not taken what a shard's tick accepted: clients of ours are told so, by
    /// their payments and not by the queries about them: those are gone where the shard was begun to be
    /// released in the same tick.
    pub(super) fn queries_refused(&mut self, context: &mut Context<'_>, shard: usize) {
        let payments = context.shards.shard(shard).payments();
        let is_gone = |about: &QuerySubject| match about {
            QuerySubject::Outcome { shard: of, payment } => {
                *of == shard && payments.find(payment.id) == Ok(None)
            }
            QuerySubject::Summary { .. } => false,
        };
        let open = self.coordinator.open.iter();
        let gone = open.filter(|(_, query)| is_gone(&query.about));
        for number in gone.map(|(number, _)| *number).collect::<Vec<_>>() {
            let query = self.coordinator.open.get_mut(&number);
            query.expect("just listed").failure = Some(QueryFailure::StorageFull);
            self.end(context, number);
        }
    }

    /// Takes a query out, with what is still asked for it.
    fn take(&mut self, number: u64) -> ClientQuery {
        let query = self.coordinator.open.remove(&number).expect("it is open");
        for part in &query.parts {
            let part = self.coordinator.parts.remove(part).expect("it is its part");
            if let AskedOwner::Us(query) = part.asked {
                self.participant.remove(query);
            }
        }
        query
    }

    /// Answers a client with what is known. It may be the middle of a tick or its end, so that what is
    /// asked behind waits for the next one.
    fn end(&mut self, context: &mut Context<'_>, number: u64) {
        let query = self.take(number);
        let connection = context.io.connections.get(query.client.connection);
        let connection = connection.expect("what it waits for is dropped with it");
        connection.waiting -= 1;
        if !connection.is_closing() {
            conclude(context, &query);
            context.io.postpone(query.client.index());
        }
    }

    /// A connection is closed: nobody waits for what it asked.
    pub(in crate::node) fn drop_of(&mut self, io: &mut Transport, connection: ConnectionId) {
        let mut open = self.coordinator.open.iter();
        let its = open.find(|(_, query)| query.client.connection == connection);
        if let Some((number, _)) = its {
            self.take(*number);
            io.connections[connection.index as usize].waiting -= 1;
        }
    }

    /// We stop: whatever takes time has less of it.
    pub(in crate::node) fn hurry(&mut self, until_ns: u64) {
        for query in self.coordinator.open.values_mut() {
            query.deadline_ns = query.deadline_ns.min(until_ns);
            self.wake_ns = self.wake_ns.min(query.deadline_ns);
        }
    }

    /// Asks again whom it is time to ask, and answers whose time is over.
    pub(super) fn expire_queries(&mut self, context: &mut Context<'_>) {
        let now_ns = context.io.now_ns();
        let parts = self.coordinator.parts.iter();
        let due = parts.filter(
            |(_, part)| matches!(part.asked, AskedOwner::Later(again_ns) if again_ns <= now_ns),
        );
        for number in due.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.ask(context, number);
        }
        let open = self.coordinator.open.iter();
        let over = open.filter(|(_, query)| query.deadline_ns <= now_ns);
        for number in over.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.end(context, number);
        }
    }
}

fn too_many(io: &mut Transport, client: &Caller) {
    io.answer(client, &TOO_MANY_QUERIES);
}

/// The reply to a query, with the parts that are there.
fn conclude(context: &mut Context<'_>, query: &ClientQuery) {
    let io = &mut *context.io;
    let lacks = match query.about {
        QuerySubject::Summary { .. } if !query.parts.is_empty() => Some(QueryFailure::Incomplete),
        _ => None,
    };
    let (status, dependency) = match (query.failure.or(lacks), &query.about) {
        (Some(failure), _) => {
            let status = io.encoder.problem(&query.client, &failure.problem());
            let dependency = match failure {
                QueryFailure::Forgotten => Dependency::AllWritten,
                _ => Dependency::Nothing,
            };
            (status, dependency)
        }
        (None, QuerySubject::Summary { summary, .. }) => {
            payments::write_summary(&mut io.encoder.body, summary);
            (Status::Ok, Dependency::AllWritten)
        }
        (None, QuerySubject::Outcome { shard, payment }) => {
            let shard = *shard;
            // Who stops may tell of it in the tick that accepts it.
            let ours = context.shards.get(shard);
            let is_new = ours.is_some_and(|it| !it.payments().is_written(payment.id));
            let dependency = match is_new {
                true => Dependency::Write { shard },
                false => Dependency::Written { shard },
            };
            let status = payments::write_pay_now(&mut io.encoder.body, payment);
            (status, dependency)
        }
    };
    io.reply(&query.client, status, dependency);
}
