//! Records of payments: their layouts are in the table at the top of the journal's file.

use super::frame::{
    append, forward_of, put_forward, Buffer, Stamp, FLAGS, FORWARD_BYTES, RECORD_BYTES_MIN,
};
use crate::codec::{u128_at, u16_at, u64_at};
use crate::command::ids::ForwardId;
use crate::payments::{PaymentId, Processor};
use crate::shard::payments::Settled;

const KIND_ACCEPTED: u8 = 4;
const KIND_BOUND: u8 = 5;
const KIND_SETTLED: u8 = 6;
const KIND_PURGED: u8 = 7;

const ID: usize = RECORD_BYTES_MIN;
const ID_END: usize = ID + 16;

const ACCEPTED_CENTS: usize = ID_END;
const ACCEPTED_BYTES: usize = ACCEPTED_CENTS + 8;

const BOUND_REQUESTED: usize = ID_END;
const BOUND_PROCESSOR: usize = BOUND_REQUESTED + 8;
const BOUND_ZERO: usize = BOUND_PROCESSOR + 1;
const BOUND_BYTES: usize = BOUND_ZERO + 7;

const SETTLED_NUMBER: usize = ID_END;
const SETTLED_CENTS: usize = SETTLED_NUMBER + 8;
const SETTLED_ACCEPTED: usize = SETTLED_CENTS + 8;
const SETTLED_REQUESTED: usize = SETTLED_ACCEPTED + 8;
const SETTLED_PROCESSOR: usize = SETTLED_REQUESTED + 8;
const SETTLED_ZERO: usize = SETTLED_PROCESSOR + 1;
const SETTLED_ATTEMPTS: usize = SETTLED_ZERO + 1;
const SETTLED_ZEROS: usize = SETTLED_ATTEMPTS + 2;
const SETTLED_BYTES: usize = SETTLED_ZEROS + 4;

const PURGED_NUMBER: usize = RECORD_BYTES_MIN;
const PURGED_BYTES: usize = PURGED_NUMBER + 8;

const _: () = {
    assert!(ACCEPTED_BYTES == 56 && BOUND_BYTES == 64);
    assert!(SETTLED_BYTES == 88 && PURGED_BYTES == 40);
};

/// What a record says about payments; times in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentEvent {
    /// One was accepted, at the record's time.
    Accepted {
        /// The id it was accepted with.
        id: PaymentId,
        /// Cents of the amount, positive.
        cents: u64,
    },
    /// One may be sent to a processor from now on.
    Bound {
        /// The id it was accepted with.
        id: PaymentId,
        /// The processor that it is bound to.
        to: Processor,
        /// The `requestedAt` that it is sent with, microseconds since 1970.
        requested_us: u64,
    },
    /// A processor has confirmed a payment.
    Settled {
        /// How many were settled before.
        number: u64,
        /// All that is known of it.
        settled: Settled,
    },
    /// All payments were forgotten.
    Purged {
        /// How many were settled before.
        number: u64,
        /// Under which id it came from another member.
        forward: Option<ForwardId>,
    },
}

/// Appends the record of a payment that was accepted; its checksum.
pub fn append_accepted(
    into: &mut Vec<u8>,
    seed: u32,
    stamp: &Stamp,
    id: PaymentId,
    cents: u64,
) -> u32 {
    debug_assert!(cents > 0);
    let mut buffer = Buffer([0; ACCEPTED_BYTES]);
    buffer.put(ID, id.0);
    buffer.put(ACCEPTED_CENTS, cents);
    append(
        into,
        seed,
        KIND_ACCEPTED,
        stamp,
        &mut buffer,
        ACCEPTED_BYTES,
    )
}

/// Appends the record of a payment that may be sent from now on; its checksum.
pub fn append_bound(
    into: &mut Vec<u8>,
    seed: u32,
    stamp: &Stamp,
    id: PaymentId,
    to: Processor,
    requested_us: u64,
) -> u32 {
    let mut buffer = Buffer([0; BOUND_BYTES]);
    buffer.put(ID, id.0);
    buffer.put(BOUND_REQUESTED, requested_us);
    buffer.0[BOUND_PROCESSOR] = to as u8;
    append(into, seed, KIND_BOUND, stamp, &mut buffer, BOUND_BYTES)
}

/// Appends the record of a payment that a processor has; its checksum.
pub fn append_settled(
    into: &mut Vec<u8>,
    seed: u32,
    stamp: &Stamp,
    number: u64,
    settled: &Settled,
) -> u32 {
    debug_assert!(settled.cents > 0);
    let mut buffer = Buffer([0; SETTLED_BYTES]);
    buffer.put(ID, settled.id.0);
    buffer.put(SETTLED_NUMBER, number);
    buffer.put(SETTLED_CENTS, settled.cents);
    buffer.put(SETTLED_ACCEPTED, settled.accepted_us);
    buffer.put(SETTLED_REQUESTED, settled.requested_us);
    buffer.0[SETTLED_PROCESSOR] = settled.by as u8;
    buffer.put(SETTLED_ATTEMPTS, settled.attempts);
    append(into, seed, KIND_SETTLED, stamp, &mut buffer, SETTLED_BYTES)
}

/// Appends the record of a purge, which may have been forwarded; its checksum.
pub fn append_purged(
    into: &mut Vec<u8>,
    seed: u32,
    stamp: &Stamp,
    number: u64,
    forward: Option<ForwardId>,
) -> u32 {
    let mut buffer = Buffer([0; PURGED_BYTES + FORWARD_BYTES]);
    buffer.put(PURGED_NUMBER, number);
    let bytes = put_forward(&mut buffer.0, PURGED_BYTES, forward);
    append(into, seed, KIND_PURGED, stamp, &mut buffer, bytes)
}

/// What a record whose checksum is right says.
pub(super) fn event(kind: u8, record: &[u8]) -> Result<PaymentEvent, &'static str> {
    let bytes = match kind {
        KIND_ACCEPTED => ACCEPTED_BYTES,
        KIND_BOUND => BOUND_BYTES,
        KIND_SETTLED => SETTLED_BYTES,
        KIND_PURGED => {
            let forward = forward_of(record, PURGED_BYTES)?;
            let number = u64_at(record, PURGED_NUMBER);
            return Ok(PaymentEvent::Purged { number, forward });
        }
        _ => return Err("a kind of record that this version does not know"),
    };
    if record.len() != bytes {
        return Err("a payment's record of another length than it has");
    }
    if record[FLAGS] != 0 {
        return Err("flags that this version does not know");
    }
    let id = PaymentId(u128_at(record, ID));
    match kind {
        KIND_ACCEPTED => Ok(PaymentEvent::Accepted {
            id,
            cents: positive(u64_at(record, ACCEPTED_CENTS))?,
        }),
        KIND_BOUND => Ok(PaymentEvent::Bound {
            id,
            to: processor(record[BOUND_PROCESSOR])?,
            requested_us: zeros(&record[BOUND_ZERO..]).map(|()| u64_at(record, BOUND_REQUESTED))?,
        }),
        _ => {
            zeros(&record[SETTLED_ZERO..SETTLED_ATTEMPTS])?;
            zeros(&record[SETTLED_ZEROS..])?;
            Ok(PaymentEvent::Settled {
                number: u64_at(record, SETTLED_NUMBER),
                settled: Settled {
                    id,
                    cents: positive(u64_at(record, SETTLED_CENTS))?,
                    accepted_us: u64_at(record, SETTLED_ACCEPTED),
                    requested_us: u64_at(record, SETTLED_REQUESTED),
                    by: processor(record[SETTLED_PROCESSOR])?,
                    attempts: u16_at(record, SETTLED_ATTEMPTS),
                },
            })
        }
    }
}

fn positive(cents: u64) -> Result<u64, &'static str> {
    match cents {
        0 => Err("a payment of nothing"),
        cents => Ok(cents),
    }
}

fn processor(number: u8) -> Result<Processor, &'static str> {
    Processor::from_number(number).ok_or("a processor that this version does not know")
}

fn zeros(bytes: &[u8]) -> Result<(), &'static str> {
    match bytes.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err("bytes that should be zero"),
    }
}
