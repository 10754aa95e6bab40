//! One record: its layout as a table is at the top of the journal's file.

use super::frame::{
    append, forward_at, forward_of, put_forward, Buffer, Stamp, CHAIN, CRC, FLAGS, FLAG_FORWARD,
    FORWARD_BYTES, KIND, LENGTH, RECORD_BYTES_MIN, SEQUENCE, TIME, UNSYNCED,
};
use super::payment::{self, PaymentEvent};
use crate::bank::{Description, Kind, Order, Refusal};
use crate::codec::{u128_at, u16_at, u32_at, u64_at};
use crate::command::ids::COUNTER_MAX;
use crate::command::{ForwardId, Ids};
use crate::limits::{DESCRIPTION_BYTES_MAX, RECORD_BYTES_MAX};
use crate::shard::clock::Reading;
use crate::shard::dedup::Remembered;

const ACCOUNT: usize = RECORD_BYTES_MIN;
const DIRECTION: usize = ACCOUNT + 4;
const DESCRIPTION_LENGTH: usize = DIRECTION + 1;
const REFUSAL: usize = DESCRIPTION_LENGTH + 1;
const ZERO: usize = REFUSAL + 1;
const AMOUNT: usize = ZERO + 1;
/// Offset of the ids, or of the description in a record without ids.
const IDS: usize = AMOUNT + 8;
const TRANSACTION_BYTES_MAX: usize = IDS + DESCRIPTION_BYTES_MAX;

const KEY_BYTES: usize = 16;
const BALANCE_BYTES: usize = 8;
const REMEMBERED_BYTES_MAX: usize =
    TRANSACTION_BYTES_MAX + FORWARD_BYTES + KEY_BYTES + BALANCE_BYTES;
/// The shortest record with an id: with one, and a description of up to 8 bytes.
pub const REMEMBERED_BYTES_MIN: usize = IDS + FORWARD_BYTES + BALANCE_BYTES + 8;

const KIND_TRANSACTION: u8 = 1;
const KIND_RESET: u8 = 2;
const KIND_REFUSED: u8 = 3;
const KIND_CLOCK: u8 = 8;

const CLOCK_OFFSET: usize = RECORD_BYTES_MIN;
const CLOCK_GAP: usize = CLOCK_OFFSET + 8;
const CLOCK_BYTES: usize = CLOCK_GAP + 8;

const FLAG_KEY: u8 = 2;

const _: () = {
    assert!(RECORD_BYTES_MIN == 32 && IDS == 48);
    assert!(FORWARD_BYTES == KEY_BYTES);
    assert!(TRANSACTION_BYTES_MAX.is_multiple_of(8) && REMEMBERED_BYTES_MAX.is_multiple_of(8));
    assert!(TRANSACTION_BYTES_MAX < REMEMBERED_BYTES_MAX);
    assert!(REMEMBERED_BYTES_MAX <= RECORD_BYTES_MAX);
    assert!(RECORD_BYTES_MAX.is_multiple_of(8) && RECORD_BYTES_MAX <= u16::MAX as usize);
};

/// Fills in what was ordered, the description from `description` on; bytes of the record.
fn fill<const BYTES: usize>(
    buffer: &mut Buffer<BYTES>,
    order: &Order<'_>,
    description: usize,
) -> usize {
    debug_assert!(order.amount > 0);
    let text = order.description.as_str().as_bytes();
    buffer.put(ACCOUNT, order.client);
    buffer.0[DIRECTION] = order.kind.to_byte();
    buffer.0[DESCRIPTION_LENGTH] = text.len() as u8;
    buffer.put(AMOUNT, order.amount);
    buffer.0[description..description + text.len()].copy_from_slice(text);
    (description + text.len()).next_multiple_of(8)
}

/// Appends a transaction's record; its checksum.
pub fn append_transaction(into: &mut Vec<u8>, seed: u32, stamp: &Stamp, order: &Order<'_>) -> u32 {
    let mut buffer = Buffer([0; TRANSACTION_BYTES_MAX]);
    let bytes = fill(&mut buffer, order, IDS);
    append(into, seed, KIND_TRANSACTION, stamp, &mut buffer, bytes)
}

/// Appends the record of a transaction with ids, and what came of it; its checksum. One that was
/// refused has a key.
pub fn append_remembered(
    into: &mut Vec<u8>,
    seed: u32,
    stamp: &Stamp,
    order: &Order<'_>,
    ids: &Ids,
    outcome: Remembered,
) -> u32 {
    debug_assert!(!ids.is_empty() && (outcome.is_ok() || ids.key.is_some()));
    let mut buffer = Buffer([0; REMEMBERED_BYTES_MAX]);
    let mut end = IDS;
    let mut flags = 0;
    if let Some(forward) = &ids.forward {
        debug_assert!((1..=COUNTER_MAX).contains(&forward.counter));
        flags |= FLAG_FORWARD;
        buffer.put(end, forward.origin.to_bits());
        buffer.put(end + 8, forward.counter);
        end += FORWARD_BYTES;
    }
    if let Some(key) = ids.key {
        flags |= FLAG_KEY;
        buffer.put(end, key);
        end += KEY_BYTES;
    }
    buffer.put(end, outcome.unwrap_or(0));
    end += 8;
    let bytes = fill(&mut buffer, order, end);
    buffer.0[FLAGS] = flags;
    let kind = match outcome {
        Ok(_) => KIND_TRANSACTION,
        Err(refusal) => {
            buffer.0[REFUSAL] = refusal.to_byte();
            KIND_REFUSED
        }
    };
    append(into, seed, kind, stamp, &mut buffer, bytes)
}

/// Appends the record of a reset of all accounts and payments, which may have been forwarded; its checksum.
pub fn append_reset(
    into: &mut Vec<u8>,
    seed: u32,
    stamp: &Stamp,
    forward: Option<ForwardId>,
) -> u32 {
    let mut buffer = Buffer([0; RECORD_BYTES_MIN + FORWARD_BYTES]);
    let bytes = put_forward(&mut buffer.0, RECORD_BYTES_MIN, forward);
    append(into, seed, KIND_RESET, stamp, &mut buffer, bytes)
}

/// Appends the record of how real time goes on; its checksum.
pub fn append_clock(into: &mut Vec<u8>, seed: u32, stamp: &Stamp, reading: Reading) -> u32 {
    let mut buffer = Buffer([0; CLOCK_BYTES]);
    buffer.put(CLOCK_OFFSET, reading.offset_us);
    buffer.put(CLOCK_GAP, reading.gap_us);
    append(into, seed, KIND_CLOCK, stamp, &mut buffer, CLOCK_BYTES)
}

/// A record whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it begins in its segment.
    pub offset: usize,
    /// Bytes of the record, its padding included.
    pub bytes: usize,
    /// Checksum of the record, which the next one has in its stamp ([`Stamp::chain`]).
    pub crc: u32,
    /// The fields that every record has.
    pub stamp: Stamp,
    /// The change that the record makes.
    pub event: Event<'a>,
}

/// The change that a record makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A transaction was carried out.
    Transaction {
        /// The order that was carried out.
        order: Order<'a>,
        /// The ids that it came with.
        ids: Ids,
        /// Cents, afterwards; only there with ids.
        balance: Option<i64>,
    },
    /// Nothing moved, and a repeat is to be told so again.
    Refused {
        /// The order that was refused.
        order: Order<'a>,
        /// Under which ids; a key is among them.
        ids: Ids,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// All accounts back to the start, and all payments forgotten.
    Reset {
        /// Under which id it came from another member.
        forward: Option<ForwardId>,
    },
    /// A change of a payment, or of all of them.
    Payment(PaymentEvent),
    /// The clocks were read: how real time goes on.
    Clock(Reading),
    /// The checksum is right, and yet it is not a record that this code writes: why.
    Unknown(&'static str),
}

/// Why a record was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The segment ends within the record.
    Partial,
    /// Zeros where a record should begin: the file grew, its contents were never written.
    Zeros,
    /// A length that no record has.
    Length,
    /// The checksum is wrong.
    Checksum,
    /// A valid record, but not the one that comes next.
    Chain,
}

impl Reason {
    /// The reason as messages and errors print it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Partial => "the file ends within a record",
            Reason::Zeros => "zeros where a record should begin",
            Reason::Length => "a record of an impossible length",
            Reason::Checksum => "a record's checksum is wrong",
            Reason::Chain => "a record that does not follow the one before it",
        }
    }
}

/// The checksum of the record before the first of some records.
pub fn chain_at(records: &[u8]) -> u32 {
    u32_at(records, CHAIN)
}

/// Reads the record at `offset`, whatever its place in the chain.
pub fn record_at(segment: &[u8], offset: usize, seed: u32) -> Result<Record<'_>, Reason> {
    let Some(head) = segment.get(offset..offset + RECORD_BYTES_MIN) else {
        return Err(Reason::Partial);
    };
    let bytes = usize::from(u16_at(head, LENGTH));
    if !(RECORD_BYTES_MIN..=RECORD_BYTES_MAX).contains(&bytes) || bytes % 8 != 0 {
        let zeros = head.iter().all(|byte| *byte == 0);
        return Err(if zeros { Reason::Zeros } else { Reason::Length });
    }
    let Some(record) = segment.get(offset..offset + bytes) else {
        return Err(Reason::Partial);
    };
    let crc = u32_at(record, CRC);
    if crc32c::crc32c_append(seed, &record[CHAIN..]) != crc {
        return Err(Reason::Checksum);
    }
    Ok(Record {
        offset,
        bytes,
        crc,
        stamp: Stamp {
            chain: u32_at(record, CHAIN),
            unsynced: u32_at(record, UNSYNCED),
            sequence: u64_at(record, SEQUENCE),
            time_us: u64_at(record, TIME),
        },
        event: event(record),
    })
}

fn event(record: &[u8]) -> Event<'_> {
    match record[KIND] {
        KIND_TRANSACTION | KIND_REFUSED => transaction(record).unwrap_or_else(Event::Unknown),
        KIND_RESET => match forward_of(record, RECORD_BYTES_MIN) {
            Ok(forward) => Event::Reset { forward },
            Err(reason) => Event::Unknown(reason),
        },
        KIND_CLOCK if record.len() == CLOCK_BYTES && record[FLAGS] == 0 => Event::Clock(Reading {
            offset_us: u64_at(record, CLOCK_OFFSET) as i64,
            gap_us: u64_at(record, CLOCK_GAP),
        }),
        KIND_CLOCK => Event::Unknown("a clock with flags, or of another length than it has"),
        kind => payment::event(kind, record).map_or_else(Event::Unknown, Event::Payment),
    }
}

fn transaction(record: &[u8]) -> Result<Event<'_>, &'static str> {
    let flags = record[FLAGS];
    if flags & !(FLAG_FORWARD | FLAG_KEY) != 0 {
        return Err("flags that this version does not know");
    }
    let has = |flag| flags & flag != 0;
    let mut rest = record.get(IDS..).ok_or("a transaction that is too short")?;
    let mut take = |bytes| {
        let (taken, left) = rest.split_at_checked(bytes)?;
        rest = left;
        Some(taken)
    };
    let mut ids = Ids::default();
    let mut balance = None;
    if has(FLAG_FORWARD) {
        let bytes = take(FORWARD_BYTES).ok_or("a forward id that is too short")?;
        ids.forward = Some(forward_at(bytes)?);
    }
    if has(FLAG_KEY) {
        let bytes = take(KEY_BYTES).ok_or("a key that is too short")?;
        ids.key = Some(u128_at(bytes, 0));
    }
    if flags != 0 {
        let bytes = take(BALANCE_BYTES).ok_or("a balance that is too short")?;
        balance = Some(u64_at(bytes, 0) as i64);
    }
    let text = take(usize::from(record[DESCRIPTION_LENGTH]))
        .ok_or("a description longer than its record")?;
    if rest.len() >= 8 || rest.iter().any(|byte| *byte != 0) || record[ZERO] != 0 {
        return Err("bytes that should be zero");
    }
    let amount = u64_at(record, AMOUNT) as i64;
    if amount <= 0 {
        return Err("an amount that is not positive");
    }
    let order = Order {
        client: u32_at(record, ACCOUNT),
        kind: Kind::from_byte(record[DIRECTION]).ok_or("neither a credit nor a debit")?,
        amount,
        description: std::str::from_utf8(text)
            .ok()
            .and_then(Description::new)
            .ok_or("a description that is not 1 to 10 characters")?,
    };
    match (record[KIND], record[REFUSAL], balance) {
        (KIND_TRANSACTION, 0, balance) => Ok(Event::Transaction {
            order,
            ids,
            balance,
        }),
        (KIND_REFUSED, refusal, Some(0)) if has(FLAG_KEY) => Ok(Event::Refused {
            order,
            ids,
            refusal: Refusal::from_byte(refusal).ok_or("a refusal for no known reason")?,
        }),
        _ => Err("neither a transaction nor a refusal"),
    }
}
