//! Questions over a link, as another member asks them and answers them.

use super::super::link::{self, Frame, Query, QueryAnswer};
use super::gateway_requests::*;
use super::linking::{bytes, hello};
use super::*;
use crate::command::Scope;
use crate::limits::{ASK_AGAIN_NS, PAY_NOW_NS_MAX, QUERY_PARTS_MAX, SUMMARY_NS_MAX};
use crate::payments::{PaymentId, Summary, Totals, Window};

const ALL: Query = Query::Summary(Window::ALL);

/// Node 0 of two, and the other one's end of their link, which the test speaks for.
fn linked() -> (Rig, Client) {
    let mut rig = Rig::with_nodes(GATEWAY_TWO, &[0]);
    let linker = rig.connect_linker(0);
    rig.send(linker, bytes(&[Frame::Hello(hello())]));
    rig.run();
    (rig, linker)
}

/// By shard and number.
type Asked = (u32, u64);
/// By number.
type Answered = (u64, QueryAnswer);

fn ask(number: u64, shard: u32, query: Query) -> Frame<'static> {
    Frame::Query {
        number,
        shard,
        query,
    }
}

fn totals(count: u64) -> QueryAnswer {
    let cents = u128::from(count) * 100;
    QueryAnswer::Summary(Summary([Totals { count, cents }, Totals::default()]))
}

impl Rig {
    fn say_frames(&mut self, linker: Client, frames: &[Frame<'_>]) {
        self.send(linker, bytes(frames));
        self.run();
    }

    /// Questions that the linker was asked since the last call, by shard, and answers that it was given.
    fn queries_and_answers(&mut self, linker: Client) -> (Vec<Asked>, Vec<Answered>) {
        let bytes = std::mem::take(&mut self.socket(linker).outbound);
        let (mut queries, mut answers) = (Vec::new(), Vec::new());
        let mut rest = &bytes[..];
        while let Some((frame, length)) = link::read(rest).unwrap() {
            match frame {
                Frame::Query { number, shard, .. } => queries.push((shard, number)),
                Frame::Answer { number, answer } => answers.push((number, answer)),
                _ => {}
            }
            rest = &rest[length..];
        }
        queries.sort();
        (queries, answers)
    }

    fn open_queries(&self) -> usize {
        self.cores[0].runtime.node().queries.open_queries()
    }
}

#[test]
fn who_serves_a_shard_answers_for_it_and_nobody_else_does() {
    let (mut rig, linker) = linked();
    let unknown = id_in(GATEWAY_TWO, 0, 3);
    rig.say_frames(
        linker,
        &[
            ask(5, 0, ALL),
            ask(u64::MAX, 1, ALL),
            ask(5, 2, ALL),
            ask(0, 0, Query::Outcome(unknown)),
        ],
    );
    let (_, answers) = rig.queries_and_answers(linker);
    let expected = [
        (5, totals(0)),
        (u64::MAX, QueryAnswer::Refused),
        (5, totals(0)),
        (0, QueryAnswer::Outcome(None)),
    ];
    assert_eq!(answers, expected);
    assert_eq!(rig.open_queries(), 0);
}

#[test]
fn who_asks_for_what_there_is_not_is_closed() {
    for query in [
        ask(1, 4, ALL),
        ask(1, u32::MAX, Query::Outcome(PaymentId(1))),
        ask(1, 2, Query::Outcome(id_in(GATEWAY_TWO, 0, 0))),
    ] {
        let (mut rig, linker) = linked();
        rig.say_frames(linker, std::slice::from_ref(&query));
        assert!(rig.is_closed(linker), "{query:?}");
    }
}

#[test]
fn an_outcome_is_told_when_it_is_there() {
    let (mut rig, linker) = linked();
    let client = rig.connect(0);
    let id = id_in(GATEWAY_TWO, 0, 0);
    rig.ask(client, pay(id, "19.90"));
    let (pays, _) = rig.pays_and_lookups();
    rig.say_frames(linker, &[ask(8, 0, Query::Outcome(id))]);
    rig.say_frames(linker, &[ask(9, 0, Query::Outcome(id))]);
    assert_eq!(rig.queries_and_answers(linker).1, []);
    assert_eq!(rig.open_queries(), 2);
    rig.answer(&pays[0], 200);
    let (_, answers) = rig.queries_and_answers(linker);
    assert_eq!(answers.len(), 2);
    for ((number, answer), asked) in answers.into_iter().zip([8, 9]) {
        let QueryAnswer::Outcome(Some(payment)) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!((number, payment.id, payment.cents), (asked, id, 1990));
    }
    assert_eq!(rig.open_queries(), 0);
}

#[test]
fn who_asks_too_much_is_refused_and_nobody_is_asked_for_ever() {
    let (mut rig, linker) = linked();
    let client = rig.connect(0);
    let id = id_in(GATEWAY_TWO, 0, 0);
    rig.unreachable = [true; 2];
    rig.ask(client, pay(id, "19.90"));
    let queries = 0..=QUERY_PARTS_MAX as u64;
    let queries = queries.map(|number| ask(number, 0, Query::Outcome(id)));
    rig.say_frames(linker, &queries.collect::<Vec<_>>());
    let (_, answers) = rig.queries_and_answers(linker);
    assert_eq!(answers, [(QUERY_PARTS_MAX as u64, QueryAnswer::Refused)]);
    assert_eq!(rig.open_queries(), QUERY_PARTS_MAX);
    // Who asked knows when its time is over.
    rig.pass(PAY_NOW_NS_MAX);
    assert_eq!(rig.queries_and_answers(linker).1, []);
    assert_eq!(rig.open_queries(), 0);
}

#[test]
fn a_query_behind_a_purge_in_one_tick_is_told_that_nothing_is_there() {
    let (mut rig, linker) = linked();
    let client = rig.connect(0);
    let id = id_in(GATEWAY_TWO, 0, 0);
    rig.unreachable = [true; 2];
    rig.ask(client, pay(id, "19.90"));
    let purge = Frame::Reset {
        counter: 1,
        shard: 0,
        scope: Scope::Payments,
    };
    rig.say_frames(linker, &[purge, ask(8, 0, Query::Outcome(id))]);
    let (_, answers) = rig.queries_and_answers(linker);
    assert_eq!(answers, [(8, QueryAnswer::Outcome(None))]);
    assert_eq!(rig.open_queries(), 0);
}

#[test]
fn a_link_that_ends_takes_its_queries_with_it() {
    let (mut rig, linker) = linked();
    let client = rig.connect(0);
    let id = id_in(GATEWAY_TWO, 0, 0);
    rig.ask(client, pay(id, "19.90"));
    rig.say_frames(linker, &[ask(8, 0, Query::Outcome(id)), ask(9, 0, ALL)]);
    assert_eq!(rig.open_queries(), 2);
    rig.finish(linker);
    rig.run();
    assert_eq!(rig.open_queries(), 0);
    rig.pass(SUMMARY_NS_MAX);
    rig.check_counts();
}

#[test]
fn who_refuses_is_asked_again_after_a_while() {
    let (mut rig, linker) = linked();
    let client = rig.connect(0);
    rig.say_frames(linker, &[Frame::Owns(1), Frame::Owns(3)]);
    rig.send(client, summary());
    rig.run();
    let (queries, _) = rig.queries_and_answers(linker);
    let [(1, first), (3, third)] = queries[..] else {
        panic!("{queries:?}");
    };
    let answer = |number, answer| Frame::Answer { number, answer };
    rig.say_frames(
        linker,
        &[
            answer(first, QueryAnswer::Refused),
            answer(third, totals(30)),
        ],
    );
    rig.pass(ASK_AGAIN_NS - 1);
    assert_eq!(rig.queries_and_answers(linker).0, []);
    rig.pass(1);
    let (queries, _) = rig.queries_and_answers(linker);
    let [(1, again)] = queries[..] else {
        panic!("{queries:?}");
    };
    // Neither what was asked before, nor what was never asked, is answered by this.
    let stale = [first, third, again + 1].map(|number| answer(number, totals(500)));
    rig.say_frames(linker, &stale);
    assert_eq!(rig.replies(client), []);
    rig.say_frames(
        linker,
        &[answer(again, totals(7)), answer(again, totals(500))],
    );
    let reply = rig.replies(client).remove(0);
    assert_eq!(reply.totals(), [(37, "37.00"), (0, "0.00")]);
    rig.check_counts();
}

#[test]
fn a_shard_that_another_member_takes_over_is_asked_for_there() {
    let (mut rig, linker) = linked();
    let client = rig.connect(0);
    rig.say_frames(linker, &[Frame::Owns(1), Frame::Owns(3)]);
    rig.send(client, summary());
    rig.run();
    let (queries, _) = rig.queries_and_answers(linker);
    // It gives one of them away, to us, and its answer about that is too late.
    let answer = |at: usize, count| Frame::Answer {
        number: queries[at].1,
        answer: totals(count),
    };
    let said = [
        Frame::Released { shard: 1, to: 0 },
        answer(0, 500),
        answer(1, 30),
    ];
    rig.say_frames(linker, &said);
    rig.pass(SUMMARY_NS_MAX / 2);
    let reply = rig.replies(client).remove(0);
    assert_eq!(reply.totals(), [(30, "30.00"), (0, "0.00")]);
    rig.check_counts();
}

#[test]
fn what_cannot_be_read_is_not_told() {
    let (mut rig, linker) = linked();
    let client = rig.connect(0);
    rig.say_frames(linker, &[Frame::Owns(1), Frame::Owns(3)]);
    rig.send(client, summary());
    rig.run();
    let (queries, _) = rig.queries_and_answers(linker);
    let answer = |at: usize, answer| Frame::Answer {
        number: queries[at].1,
        answer,
    };
    rig.say_frames(
        linker,
        &[answer(0, QueryAnswer::Unreadable), answer(1, totals(1))],
    );
    let reply = rig.replies(client).remove(0);
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("storage unreadable"));
    rig.check_counts();
}

#[test]
fn an_answer_to_another_question_is_a_fault() {
    let (mut rig, linker) = linked();
    let client = rig.connect(0);
    rig.say_frames(linker, &[Frame::Owns(1), Frame::Owns(3)]);
    rig.send(client, summary());
    rig.run();
    let (queries, _) = rig.queries_and_answers(linker);
    let answer = Frame::Answer {
        number: queries[0].1,
        answer: QueryAnswer::Outcome(None),
    };
    rig.say_frames(linker, &[answer]);
    assert!(rig.is_closed(linker));
    // Its shards are ours then, and the summary is answered.
    rig.pass(SUMMARY_NS_MAX);
    assert_eq!(rig.replies(client)[0].status, 200);
    rig.check_counts();
}
