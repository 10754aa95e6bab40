//! What must hold for any journal segment. Shared by the fuzz target and by the properties that
//! `cargo test` checks.

use galo::bank::{Description, Kind, Order, Refusal};
use galo::command::{ForwardId, Ids, Origin};
use galo::payments::{PaymentId, Processor};
use galo::shard::clock::Reading;
use galo::shard::dedup::Remembered;
use galo::shard::journal::{
    self, Event, PaymentEvent, Reader, Record, SegmentHeader, Stamp, HEADER_BYTES,
};
use galo::shard::payments::Settled;

const SEED: u32 = 0x5eed;
const HEADER: SegmentHeader = SegmentHeader {
    directory: 1,
    shard: 0,
    first: 1,
    chain: SEED,
};

/// More could be a forged checksum, which a fuzzer finds and a failing device does not.
const CHANGES_MAX: usize = 3;

/// The first byte says how many records are written; then each three bytes change one byte
/// (little-endian offset, what is flipped in it); what is left over is appended.
pub fn check(data: &[u8]) {
    let Some((&records, changes)) = data.split_first() else {
        return;
    };
    let written = journal_of(records);
    let mut segment = written.clone();
    let changes = changes.chunks_exact(3);
    segment.extend(changes.remainder());
    for change in changes.take(CHANGES_MAX) {
        let offset = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(byte) = segment.get_mut(HEADER_BYTES + offset) {
            *byte ^= change[2];
        }
    }
    let mut reader = Reader::new(&segment, &HEADER, SEED);
    let mut again = HEADER.to_bytes().to_vec();
    let mut stop = None;
    for record in reader.by_ref() {
        match record {
            Ok(record) => append(&mut again, &record),
            Err(at) => stop = Some(at),
        }
    }
    // A prefix of what was written, whatever was changed, and nothing besides.
    assert_eq!(written[..reader.offset()], segment[..reader.offset()]);
    assert_eq!(written[..reader.offset()], again);
    assert_eq!(stop.is_none(), reader.offset() == segment.len());
    if let Some(stop) = stop {
        assert_eq!(stop.offset, reader.offset());
        if let Some((durable, record)) =
            journal::scan_durable_up_to(&segment, stop.offset, reader.sequence(), SEED)
        {
            assert!(durable < record.stamp.sequence);
            assert!(record.stamp.sequence <= u64::from(records));
        }
    }
    let _ = SegmentHeader::read(data);
    let _ = journal::record_at(data, 0, 0);
}

fn stamp(sequence: u64, chain: u32) -> Stamp {
    Stamp {
        chain,
        unsynced: 1 + (sequence as u32 - 1) % 4,
        sequence,
        time_us: sequence / 3,
    }
}

/// None, one, the other, both.
fn ids(sequence: u64) -> Ids {
    let forward = ForwardId {
        origin: Origin {
            member: sequence as u16,
            epoch: sequence << 20,
        },
        counter: sequence,
    };
    Ids {
        forward: (sequence & 1 == 1).then_some(forward),
        key: (sequence & 2 == 2).then_some(u128::from(sequence) << 60),
    }
}

/// Only what has a key may be refused.
fn outcome(sequence: u64) -> Remembered {
    match sequence % 8 {
        2 => Err(Refusal::Limit),
        7 => Err(Refusal::Overflow),
        _ => Ok(-(sequence as i64)),
    }
}

fn append_order(
    into: &mut Vec<u8>,
    stamp: &Stamp,
    order: &Order<'_>,
    ids: &Ids,
    outcome: Remembered,
) -> u32 {
    match ids.is_empty() {
        true => journal::append_transaction(into, SEED, stamp, order),
        false => journal::append_remembered(into, SEED, stamp, order, ids, outcome),
    }
}

/// One of each kind.
fn payment(sequence: u64) -> PaymentEvent {
    let id = PaymentId(u128::from(sequence) << 90 | 0xdead);
    let by = Processor::ALL[sequence as usize / 2 % 2];
    match sequence % 4 {
        0 => PaymentEvent::Accepted {
            id,
            cents: sequence,
        },
        1 => PaymentEvent::Bound {
            id,
            to: by,
            requested_us: sequence << 40,
        },
        2 => PaymentEvent::Settled {
            number: sequence,
            settled: Settled {
                id,
                cents: sequence << 30,
                accepted_us: sequence / 3,
                requested_us: sequence,
                by,
                attempts: sequence as u16,
            },
        },
        _ => PaymentEvent::Purged {
            number: sequence,
            forward: ids(sequence).forward,
        },
    }
}

fn append_payment(into: &mut Vec<u8>, stamp: &Stamp, event: &PaymentEvent) -> u32 {
    match event {
        PaymentEvent::Accepted { id, cents } => {
            journal::append_accepted(into, SEED, stamp, *id, *cents)
        }
        PaymentEvent::Bound {
            id,
            to,
            requested_us,
        } => journal::append_bound(into, SEED, stamp, *id, *to, *requested_us),
        PaymentEvent::Settled { number, settled } => {
            journal::append_settled(into, SEED, stamp, *number, settled)
        }
        PaymentEvent::Purged { number, forward } => {
            journal::append_purged(into, SEED, stamp, *number, *forward)
        }
    }
}

fn journal_of(records: u8) -> Vec<u8> {
    let mut bytes = HEADER.to_bytes().to_vec();
    let mut chain = SEED;
    for sequence in 1..=u64::from(records) {
        let stamp = stamp(sequence, chain);
        chain = if sequence % 7 == 0 {
            journal::append_reset(&mut bytes, SEED, &stamp, ids(sequence).forward)
        } else if sequence % 5 == 0 {
            let reading = Reading {
                offset_us: 1_000_000 - 300_000 * sequence as i64,
                gap_us: sequence,
            };
            journal::append_clock(&mut bytes, SEED, &stamp, reading)
        } else if sequence % 3 == 0 {
            append_payment(&mut bytes, &stamp, &payment(sequence))
        } else {
            let text = &"galo garnis\u{e9} \u{1f413}"[..1 + sequence as usize % 10];
            let text = Description::new(text).expect("1 to 10 characters");
            let order = Order {
                client: sequence as u32 % 5,
                kind: Kind::Debit,
                amount: sequence as i64,
                description: text,
            };
            append_order(
                &mut bytes,
                &stamp,
                &order,
                &ids(sequence),
                outcome(sequence),
            )
        };
    }
    bytes
}

/// What was read says all that was written.
fn append(into: &mut Vec<u8>, record: &Record<'_>) {
    let crc = match record.event {
        Event::Transaction {
            order,
            ids,
            balance,
        } => append_order(into, &record.stamp, &order, &ids, Ok(balance.unwrap_or(0))),
        Event::Refused {
            order,
            ids,
            refusal,
        } => append_order(into, &record.stamp, &order, &ids, Err(refusal)),
        Event::Reset { forward } => journal::append_reset(into, SEED, &record.stamp, forward),
        Event::Payment(event) => append_payment(into, &record.stamp, &event),
        Event::Clock(reading) => journal::append_clock(into, SEED, &record.stamp, reading),
        Event::Unknown(reason) => panic!("never written: {reason}"),
    };
    assert_eq!(crc, record.crc);
}
