//! The parts of a replica, row by row of their tables. What they do together is the simulator's (`galo-sim --machines`).

mod follower;
mod lease;
mod peers;
mod record;
mod replica;
mod takeover;
mod tenure;

use super::outbox::{Alarm, Event, Outbox};
use super::record::{Kind, Record, Writer};
use crate::machine::engine::{Request, RequestId, Sequence, Subject};

const CLUSTER: u128 = 7;
const US: Writer = Writer {
    member: 0,
    incarnation: 5,
};
const THEM: Writer = Writer {
    member: 1,
    incarnation: 6,
};

fn record(subject: Subject, writer: Writer, place: (u64, u64), kind: Kind) -> Record {
    Record {
        cluster: CLUSTER,
        subject,
        writer,
        epoch: place.0,
        number: place.1,
        previous: 0,
        kind,
    }
}

/// The next request, which is the only one that waits: its id, and itself.
fn asked(out: &mut Outbox) -> (RequestId, Request) {
    let request = out.requests.pop_front().expect("something is asked");
    assert_eq!(out.requests.pop_front(), None, "and nothing else");
    let id = request.id().expect("it has an answer");
    (id, request)
}

/// The record that is to be appended, what it expects, and the request's id.
fn appended(out: &mut Outbox) -> (RequestId, Sequence, Record) {
    let (id, request) = asked(out);
    let Request::Append {
        subject,
        expected,
        record,
        ..
    } = request
    else {
        panic!("{request:?} appends nothing");
    };
    let record = Record::read(subject, &record).expect("it can be read");
    (id, expected, record)
}

fn nothing_is_asked(out: &Outbox) {
    assert_eq!(out.requests, []);
}

/// The alarm that was given, and that nothing else was.
fn alarm(out: &mut Outbox) -> Alarm {
    match out.events.pop_front() {
        Some(Event::Alarm(alarm)) if out.events.is_empty() => alarm,
        other => panic!("{other:?} is no alarm, or not the only event"),
    }
}
