//! Every frame comes back as it was written, and nothing else is read.

use super::*;
use crate::bank::{Description, Kind};
use crate::command::ids::COUNTER_MAX;
use crate::limits::AMOUNT_CENTS_MAX;
use crate::payments::{PaymentState, Totals};

fn payment(state: PaymentState) -> Payment {
    Payment {
        id: PaymentId(u128::MAX - 5),
        cents: AMOUNT_CENTS_MAX,
        accepted_us: 1_700_000_000_000_001,
        attempts: u16::MAX,
        state,
    }
}

fn ask(query: Query) -> Frame<'static> {
    Frame::Query {
        number: u64::MAX,
        shard: 1023,
        query,
    }
}

fn answer(answer: QueryAnswer) -> Frame<'static> {
    Frame::Answer { number: 0, answer }
}

fn frames() -> Vec<Frame<'static>> {
    let transact = Command::Transact {
        client: 7,
        kind: Kind::Debit,
        amount: i64::MAX,
        description: Description::new("ação").unwrap().into(),
    };
    let command = |counter, key, command| Frame::Command {
        counter,
        key,
        command,
    };
    vec![
        command(1, None, transact),
        command(COUNTER_MAX, Some(u128::MAX - 1), transact),
        command(2, None, Command::Statement { client: 3 }),
        Frame::Reset {
            counter: 9,
            shard: 1,
            scope: Scope::Everything,
        },
        Frame::Reply {
            shard: 1,
            counter: 4,
            outcome: Outcome::Accepted,
        },
        Frame::NotOwner {
            shard: 1,
            counter: 5,
        },
        Frame::Hello(Hello {
            directory: 1 << 100,
            shards: 2,
            cores: 3,
            nodes: 4,
            member: 5,
            epoch: 6,
        }),
        Frame::Owns(1023),
        Frame::Released { shard: 3, to: 2 },
        Frame::Who(0),
        Frame::Leaving,
        Frame::Taking,
        Frame::Goodbye,
        Frame::Again(5),
        Frame::Begun(5),
        Frame::Reset {
            counter: 9,
            shard: 1,
            scope: Scope::Payments,
        },
        command(
            3,
            None,
            Command::Pay {
                id: PaymentId(1 << 127),
                cents: 1990,
            },
        ),
        command(
            4,
            None,
            Command::Show {
                id: PaymentId(u128::MAX),
            },
        ),
        ask(Query::Summary(Window::ALL)),
        ask(Query::Outcome(PaymentId(7))),
        answer(QueryAnswer::Summary(Summary([
            Totals {
                count: (1 << 48) - 1,
                cents: ((1 << 48) - 1) * u128::from(AMOUNT_CENTS_MAX),
            },
            Totals { count: 1, cents: 2 },
        ]))),
        answer(QueryAnswer::Outcome(None)),
        answer(QueryAnswer::Outcome(Some(payment(PaymentState::Free)))),
        answer(QueryAnswer::Outcome(Some(payment(PaymentState::Bound {
            to: Processor::Fallback,
            requested_us: 3000,
            in_doubt: true,
        })))),
        answer(QueryAnswer::Outcome(Some(payment(
            PaymentState::Processed {
                by: Processor::Default,
                requested_us: 4000,
            },
        )))),
        answer(QueryAnswer::Refused),
        answer(QueryAnswer::Unreadable),
        Frame::Health {
            processor: Processor::Fallback,
            failing: true,
            response_min_ms: u32::MAX,
        },
    ]
}

#[test]
fn frames_come_back_whole_and_wait_for_their_last_byte() {
    for frame in frames() {
        let mut bytes = Vec::new();
        write(&mut bytes, &frame);
        assert_eq!(read(&bytes), Ok(Some((frame, bytes.len()))));
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Ok(None));
        }
    }
}

#[test]
fn what_is_no_frame_is_refused() {
    let mut good = Vec::new();
    write(&mut good, &frames()[0]);
    let counter_zero = [&good[..5], &[0; 8], &good[13..]].concat();
    let counter_beyond = [&good[..5], &[255; 8], &good[13..]].concat();
    let unknown_kind = [&good[..4], &[99], &good[5..]].concat();
    let zero_amount = [&good[..20], &[0; 8], &good[28..]].concat();
    let too_long = [&u32::MAX.to_le_bytes()[..], &good[4..]].concat();
    let empty = [&0u32.to_le_bytes()[..], &good[4..]].concat();
    for bytes in [
        counter_zero,
        counter_beyond,
        unknown_kind,
        zero_amount,
        too_long,
        empty,
    ] {
        assert_eq!(read(&bytes), Err(BadFrame));
    }
    for frame in &frames()[2..] {
        // All but a transaction's have a length of their own.
        let mut bytes = Vec::new();
        write(&mut bytes, frame);
        bytes.push(0);
        let length = (bytes.len() - LENGTH_BYTES) as u32;
        bytes[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        assert_eq!(read(&bytes), Err(BadFrame), "{frame:?}");
    }
}

#[test]
fn another_version_is_told_from_noise() {
    let mut bytes = Vec::new();
    write(&mut bytes, &frames()[6]);
    bytes[13..17].copy_from_slice(&77u32.to_le_bytes());
    assert_eq!(
        read(&bytes),
        Ok(Some((Frame::OtherVersion(77), bytes.len())))
    );
}

/// A frame with some bytes of its content, counted behind its kind, replaced.
fn altered(frame: &Frame<'_>, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut altered = Vec::new();
    write(&mut altered, frame);
    altered[LENGTH_BYTES + 1 + at..][..bytes.len()].copy_from_slice(bytes);
    altered
}

#[test]
fn payments_and_queries_are_read_strictly() {
    let pay = |cents| Frame::Command {
        counter: 1,
        key: None,
        command: Command::Pay {
            id: PaymentId(1),
            cents,
        },
    };
    let reset = Frame::Reset {
        counter: 1,
        shard: 0,
        scope: Scope::Payments,
    };
    let bound = PaymentState::Bound {
        to: Processor::Default,
        requested_us: 1000,
        in_doubt: false,
    };
    let outcome = answer(QueryAnswer::Outcome(Some(payment(bound))));
    let totals = answer(QueryAnswer::Summary(Summary([
        Totals { count: 3, cents: 3 },
        Totals::default(),
    ])));
    let many = answer(QueryAnswer::Summary(Summary([
        Totals {
            count: 1,
            cents: 1 << 49,
        },
        Totals::default(),
    ])));
    let health = Frame::Health {
        processor: Processor::Default,
        failing: false,
        response_min_ms: 0,
    };
    let from_later_than_to = Window {
        from_us: 2,
        to_us: 1,
    };
    let mut turned = Vec::new();
    write(&mut turned, &ask(Query::Summary(from_later_than_to)));
    for (what, bytes) in [
        ("cents of zero", altered(&pay(1), 8 + 2 + 16, &[0; 8])),
        (
            "cents beyond",
            altered(&pay(1), 8 + 2 + 16, &(AMOUNT_CENTS_MAX + 1).to_le_bytes()),
        ),
        ("an unknown scope", altered(&reset, 8 + 4, &[2])),
        ("a window that ends before it begins", turned),
        (
            "an unknown query",
            altered(&ask(Query::Outcome(PaymentId(7))), 8 + 4, &[2]),
        ),
        (
            "an unknown answer",
            altered(&answer(QueryAnswer::Refused), 8, &[4]),
        ),
        ("neither a payment nor none", altered(&outcome, 9, &[2])),
        ("more payments than cents", altered(&totals, 9, &[4])),
        ("more cents than can be", altered(&totals, 17 + 8, &[1])),
        ("more payments than can be", altered(&many, 9 + 6, &[1])),
        ("an unknown state", altered(&outcome, 10 + 34, &[3])),
        ("an unknown processor", altered(&outcome, 10 + 35, &[2])),
        ("neither in doubt nor not", altered(&outcome, 10 + 44, &[2])),
        ("an unhealthy processor", altered(&health, 0, &[2])),
        ("neither failing nor not", altered(&health, 1, &[2])),
    ] {
        assert_eq!(read(&bytes), Err(BadFrame), "{what}");
    }
}
