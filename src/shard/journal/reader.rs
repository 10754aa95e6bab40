//! Reads a segment: its records in order, and valid records behind bytes that cannot be read.

use super::frame::{LENGTH, RECORD_BYTES_MIN};
use super::record::{record_at, Reason, Record};
use super::{SegmentHeader, HEADER_BYTES};
use crate::codec::u16_at;

/// Where reading ended before the end of the segment, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadStop {
    /// Byte offset in the segment at which good records end.
    pub offset: usize,
    /// The rule that the bytes there break.
    pub reason: Reason,
}

/// The records of a segment, in order, as long as each one follows the one before.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    segment: &'a [u8],
    seed: u32,
    offset: usize,
    /// Sequence of the next record.
    sequence: u64,
    chain: u32,
    time_us: u64,
    stopped: bool,
}

impl<'a> Reader<'a> {
    /// Reads a segment whose header is known.
    pub fn new(segment: &'a [u8], header: &SegmentHeader, seed: u32) -> Reader<'a> {
        debug_assert!(segment.len() >= HEADER_BYTES);
        Reader {
            segment,
            seed,
            offset: HEADER_BYTES,
            sequence: header.first,
            chain: header.chain,
            time_us: 0,
            stopped: false,
        }
    }

    /// Bytes read and found good, the header included.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Sequence of the record that comes next.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Checksum of the last good record.
    pub fn crc(&self) -> u32 {
        self.chain
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Record<'a>, ReadStop>;

    fn next(&mut self) -> Option<Result<Record<'a>, ReadStop>> {
        if self.stopped || self.offset == self.segment.len() {
            return None;
        }
        let record = record_at(self.segment, self.offset, self.seed).and_then(|record| {
            let stamp = &record.stamp;
            let follows = stamp.sequence == self.sequence
                && stamp.chain == self.chain
                && stamp.time_us >= self.time_us;
            if follows {
                Ok(record)
            } else {
                Err(Reason::Chain)
            }
        });
        Some(match record {
            Ok(record) => {
                self.offset += record.bytes;
                self.sequence += 1;
                self.chain = record.crc;
                self.time_us = record.stamp.time_us;
                Ok(record)
            }
            Err(reason) => {
                self.stopped = true;
                Err(ReadStop {
                    offset: self.offset,
                    reason,
                })
            }
        })
    }
}

/// Scans bytes that cannot be read in order, from `start` on, for the valid record that proves the most to be
/// durable: the last durable sequence by its [`Stamp::durable_up_to`](super::Stamp::durable_up_to), and the record.
///
/// `first` is the least sequence that a record at `start` could have; no record can be so far on that
/// those between would not have had room.
pub fn scan_durable_up_to(
    segment: &[u8],
    start: usize,
    first: u64,
    seed: u32,
) -> Option<(u64, Record<'_>)> {
    let mut best: Option<(u64, Record<'_>)> = None;
    let mut offset = start.next_multiple_of(8);
    while offset + RECORD_BYTES_MIN <= segment.len() {
        let room = ((offset - start) / RECORD_BYTES_MIN) as u64;
        match record_at(segment, offset, seed) {
            Ok(record) if (first..=first.saturating_add(room)).contains(&record.stamp.sequence) => {
                let durable = record.stamp.durable_up_to();
                if best.is_none_or(|(most, _)| durable > most) {
                    best = Some((durable, record));
                }
                offset += record.bytes;
            }
            _ => offset += 8,
        }
    }
    best
}

/// Where the record behind the first `records` records begins, in a segment that was read and found
/// good that far.
pub fn offset_behind(segment: &[u8], records: u64) -> usize {
    let mut offset = HEADER_BYTES;
    for _ in 0..records {
        offset += usize::from(u16_at(segment, offset + LENGTH));
    }
    offset
}
