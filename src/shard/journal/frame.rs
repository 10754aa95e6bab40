//! The frame of a record: the fields that every record has, and the optional forward id behind them.

use crate::codec::{put_at, u64_at, Number};
use crate::command::ids::{ForwardId, Origin, COUNTER_MAX};

pub(super) const CRC: usize = 0;
pub(super) const CHAIN: usize = CRC + 4;
pub(super) const LENGTH: usize = CHAIN + 4;
pub(super) const KIND: usize = LENGTH + 2;
pub(super) const FLAGS: usize = KIND + 1;
pub(super) const UNSYNCED: usize = FLAGS + 1;
pub(super) const SEQUENCE: usize = UNSYNCED + 4;
pub(super) const TIME: usize = SEQUENCE + 8;
/// Bytes of a record without payload.
pub const RECORD_BYTES_MIN: usize = TIME + 8;

pub(super) const FORWARD_BYTES: usize = 8 + 8;
/// Among a record's flags: it has a forward id.
pub(super) const FLAG_FORWARD: u8 = 1;

/// The fields that every record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Checksum of the record before.
    pub chain: u32,
    /// Records not known to be durable, this one included; `u32::MAX`: that many or more.
    pub unsynced: u32,
    /// Number of the record in its journal, from 1.
    pub sequence: u64,
    /// The shard's time, microseconds since 1970.
    pub time_us: u64,
}

impl Stamp {
    /// The last record that was durable when this one was written, as far as it says; 0: it does not.
    pub fn durable_up_to(&self) -> u64 {
        match self.unsynced {
            // A count at its limit says "that many or more".
            u32::MAX => 0,
            unsynced => self.sequence.saturating_sub(unsynced.into()),
        }
    }
}

/// A record while it is put together. Aligned, because that is what the checksum is fastest over; of
/// one size, because copying that is faster than copying what is used of it.
#[repr(C, align(8))]
pub(super) struct Buffer<const BYTES: usize>(pub(super) [u8; BYTES]);

impl<const BYTES: usize> Buffer<BYTES> {
    /// Writes a field at an offset.
    #[inline]
    pub(super) fn put(&mut self, offset: usize, number: impl Number) {
        put_at(&mut self.0, offset, number);
    }
}

pub(super) fn append<const BYTES: usize>(
    into: &mut Vec<u8>,
    seed: u32,
    kind: u8,
    stamp: &Stamp,
    buffer: &mut Buffer<BYTES>,
    bytes: usize,
) -> u32 {
    debug_assert!(bytes.is_multiple_of(8) && (RECORD_BYTES_MIN..=BYTES).contains(&bytes));
    debug_assert!(stamp.unsynced > 0 && stamp.sequence > 0);
    let record = &mut buffer.0;
    put_at(record, CHAIN, stamp.chain);
    put_at(record, LENGTH, bytes as u16);
    record[KIND] = kind;
    put_at(record, UNSYNCED, stamp.unsynced);
    put_at(record, SEQUENCE, stamp.sequence);
    put_at(record, TIME, stamp.time_us);
    let crc = crc32c::crc32c_append(seed, &record[CHAIN..bytes]);
    put_at(record, CRC, crc);
    let end = into.len() + bytes;
    into.extend_from_slice(record);
    into.truncate(end);
    crc
}

/// Puts the forward id, if there is one, behind a record of so many bytes; how many it has then.
pub(super) fn put_forward(record: &mut [u8], bytes: usize, forward: Option<ForwardId>) -> usize {
    let Some(ForwardId { origin, counter }) = forward else {
        return bytes;
    };
    debug_assert!((1..=COUNTER_MAX).contains(&counter));
    record[FLAGS] |= FLAG_FORWARD;
    put_at(record, bytes, origin.to_bits());
    put_at(record, bytes + 8, counter);
    bytes + FORWARD_BYTES
}

/// The forward id behind a record of so many bytes, if it has one; `Err`: that is not all of it, or something else.
pub(super) fn forward_of(record: &[u8], bytes: usize) -> Result<Option<ForwardId>, &'static str> {
    match (record[FLAGS], record.len().checked_sub(bytes)) {
        (0, Some(0)) => Ok(None),
        (FLAG_FORWARD, Some(FORWARD_BYTES)) => forward_at(&record[bytes..]).map(Some),
        _ => Err("flags that this version does not know, or another length than they say"),
    }
}

pub(super) fn forward_at(bytes: &[u8]) -> Result<ForwardId, &'static str> {
    let counter = u64_at(bytes, 8);
    if !(1..=COUNTER_MAX).contains(&counter) {
        return Err("a counter that nobody counts to");
    }
    Ok(ForwardId {
        origin: Origin::from_bits(u64_at(bytes, 0)),
        counter,
    })
}
