//! A shard's payments in a snapshot, little-endian.
//!
//! They are copied out in slices while payments go on, and yet are of one moment, that of the last slice: it
//! has what came since the others, and says what left since. Replaying adds the records behind that. Where there
//! has never been a payment, there is nothing at all.
//!
//! | bytes | what |
//! |---|---|
//! | 32 each | the queue, oldest first, as in `queue.rs` |
//! | 48 each | settled ones, in the order of their numbers |
//! | 32 each | queued meanwhile |
//! | 48 each | those that were settled meanwhile |
//! | 4 each | which queued payments have left the queue: places in it, not counting those that are gone |
//! | 48 each | payments in flight, in no order |
//! | 64 | how many, as below |
//!
//! A settled payment, or one in flight:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 16 | id |
//! | 16 | 8 | cents |
//! | 24 | 8 | when it was accepted, microseconds since 1970 |
//! | 32 | 8 | what the processor was told |
//! | 40 | 2 | attempts |
//! | 42 | 1 | processor |
//! | 43 | 5 | zero |
//!
//! Whoever reads one that has been attempted takes it for bound, and in doubt. That a processor has refused one for
//! certain is in no record, so it is not here, either: should this snapshot be unreadable for a while, whoever
//! recovers without it goes on with a payment that is bound, and what he does rests on no record of a refusal.
//!
//! How many:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | settled ones that were forgotten |
//! | 8 | 8 | number of the first settled one here that is not gone; of the next one, if there is none |
//! | 16 | 4 | queued |
//! | 20 | 4 | settled |
//! | 24 | 4 | queued meanwhile |
//! | 28 | 4 | settled meanwhile |
//! | 32 | 4 | left the queue |
//! | 36 | 4 | in flight |
//! | 40 | 4 | so many of the first that were queued, meanwhile included, are gone |
//! | 44 | 4 | so many of the first that are settled, meanwhile included, are gone: forgotten, or in a run |
//! | 48 | 8 | the last record that all this is of |
//! | 56 | 8 | zero |

use super::in_flight::{Course, InFlightPayment, Stand};
use super::memtable::{Memtable, Settled};
use super::queue::{self, QueuedPayment};
use super::Payments;
use crate::codec::{put, put_at, u128_at, u16_at, u32_at, u32s, u64_at};
use crate::limits::{SETTLED_RUN, SNAPSHOT_SLICE_BYTES};
use crate::payments::{PaymentId, Processor};

const ENTRY_BYTES: usize = 48;
const LEFT_BYTES: usize = 4;
const COUNTS_BYTES: usize = 64;

const SLICE_QUEUED: u64 = (SNAPSHOT_SLICE_BYTES / queue::ENTRY_BYTES) as u64;
const SLICE_SETTLED: u64 = (SNAPSHOT_SLICE_BYTES / ENTRY_BYTES) as u64;

/// Numbers that are copied in their order while the first ones go: how many were copied, and the last
/// ones of them without a gap, those that may still be there.
#[derive(Debug, Default)]
struct Copied {
    copied: u64,
    begin: u64,
    end: u64,
}

impl Copied {
    /// The next ones, at most so many, of those that are there: `first..end`.
    fn next(&mut self, (first, end): (u64, u64), most: u64) -> std::ops::Range<u64> {
        if self.copied == 0 || self.end < first {
            (self.begin, self.end) = (first, first);
        }
        let next = self.end..end.min(self.end.saturating_add(most)).max(self.end);
        self.end = next.end;
        self.copied += next.end - next.start;
        next
    }

    /// The first one that is still there, and how many went before it.
    fn gone(&self, first: u64) -> (u64, u32) {
        if self.copied == 0 || self.end < first {
            return (first, self.copied as u32);
        }
        let first_kept = self.begin.max(first);
        let kept = self.end - first_kept;
        (first_kept, (self.copied - kept) as u32)
    }
}

/// The progress of copying the payments into a snapshot.
#[derive(Debug, Default)]
pub struct PaymentsCopy {
    stage: Stage,
    queued: Copied,
    settled: Copied,
    counts: PaymentCounts,
    /// Bytes that were copied so far.
    bytes: u64,
}

/// Where to stop before the last slice: a position, a number.
#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Begun,
    Queue(u64),
    Settled(u64),
    Last,
    Done,
}

impl PaymentsCopy {
    /// Bytes that were copied so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[derive(Debug, Default)]
struct PaymentCounts {
    floor: u64,
    first: u64,
    queued: u32,
    settled: u32,
    queued_again: u32,
    settled_again: u32,
    left: u32,
    in_flight: u32,
    queued_gone: u32,
    settled_gone: u32,
    through: u64,
}

impl PaymentCounts {
    fn to_bytes(&self) -> [u8; COUNTS_BYTES] {
        let mut bytes = [0; COUNTS_BYTES];
        put_at(&mut bytes, 0, self.floor);
        put_at(&mut bytes, 8, self.first);
        let counts = [
            self.queued,
            self.settled,
            self.queued_again,
            self.settled_again,
            self.left,
            self.in_flight,
            self.queued_gone,
            self.settled_gone,
        ];
        for (bytes, count) in bytes[16..48].chunks_exact_mut(4).zip(counts) {
            put_at(bytes, 0, count);
        }
        put_at(&mut bytes, 48, self.through);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<PaymentCounts, &'static str> {
        if bytes[56..COUNTS_BYTES].iter().any(|byte| *byte != 0) {
            return Err("bytes that should be zero behind the payments");
        }
        let counts = PaymentCounts {
            floor: u64_at(bytes, 0),
            first: u64_at(bytes, 8),
            queued: u32_at(bytes, 16),
            settled: u32_at(bytes, 20),
            queued_again: u32_at(bytes, 24),
            settled_again: u32_at(bytes, 28),
            left: u32_at(bytes, 32),
            in_flight: u32_at(bytes, 36),
            queued_gone: u32_at(bytes, 40),
            settled_gone: u32_at(bytes, 44),
            through: u64_at(bytes, 48),
        };
        let queued = u64::from(counts.queued) + u64::from(counts.queued_again);
        let settled = u64::from(counts.settled) + u64::from(counts.settled_again);
        let gone = u64::from(counts.queued_gone) + u64::from(counts.left);
        if gone > queued || u64::from(counts.settled_gone) > settled {
            return Err("more payments are gone than there were");
        }
        if counts.floor > counts.first {
            return Err("payments that were forgotten");
        }
        Ok(counts)
    }
}

/// What a snapshot has of payments that are all settled, and in runs.
pub(super) fn settled_elsewhere(settled: u64) -> [u8; COUNTS_BYTES] {
    let counts = PaymentCounts {
        first: settled,
        ..PaymentCounts::default()
    };
    counts.to_bytes()
}

fn write_entry(into: &mut Vec<u8>, settled: &Settled) {
    put(into, settled.id.0);
    put(into, settled.cents);
    put(into, settled.accepted_us);
    put(into, settled.requested_us);
    put(into, settled.attempts);
    into.extend_from_slice(&[settled.by as u8, 0, 0, 0, 0, 0]);
}

fn read_entry(bytes: &[u8]) -> Result<Settled, &'static str> {
    let settled = Settled {
        id: PaymentId(u128_at(bytes, 0)),
        cents: u64_at(bytes, 16),
        accepted_us: u64_at(bytes, 24),
        requested_us: u64_at(bytes, 32),
        by: Processor::from_number(bytes[42]).ok_or("a payment of an unknown processor")?,
        attempts: u16_at(bytes, 40),
    };
    if settled.cents == 0 || bytes[43..ENTRY_BYTES] != [0; 5] {
        return Err("a payment that is none");
    }
    Ok(settled)
}

impl Payments {
    /// The next ones, as they are in the file: SNAPSHOT_SLICE_BYTES at most, the last time all there is;
    /// `None`: that was all. Between ticks; `sequence` is the last record.
    pub(in crate::shard) fn slice(
        &mut self,
        copying: &mut PaymentsCopy,
        sequence: u64,
    ) -> Option<Vec<u8>> {
        debug_assert!(self.undo.is_empty());
        let mut bytes = Vec::new();
        loop {
            copying.stage = match copying.stage {
                Stage::Begun => Stage::Queue(self.queue.end_position()),
                Stage::Queue(until) => {
                    copying.counts.queued +=
                        self.slice_queue(copying, until, SLICE_QUEUED, &mut bytes);
                    match bytes.is_empty() {
                        true => Stage::Settled(self.memtable.next()),
                        false => Stage::Queue(until),
                    }
                }
                Stage::Settled(until) => {
                    copying.counts.settled +=
                        self.slice_settled(copying, until, SLICE_SETTLED, &mut bytes);
                    match bytes.is_empty() {
                        true => Stage::Last,
                        false => Stage::Settled(until),
                    }
                }
                Stage::Last if self.have_never_been() => Stage::Done,
                Stage::Last => {
                    copying.counts.through = sequence;
                    self.slice_last(copying, &mut bytes);
                    Stage::Done
                }
                Stage::Done => return None,
            };
            if !bytes.is_empty() {
                copying.bytes += bytes.len() as u64;
                return Some(bytes);
            }
        }
    }

    /// Neither since the shard was opened, nor in its snapshot: every other one was queued, or settled.
    fn have_never_been(&self) -> bool {
        self.through == 0 && self.queue.end_position() + self.memtable.next() == 0
    }

    fn slice_queue(
        &mut self,
        copying: &mut PaymentsCopy,
        until: u64,
        most: u64,
        bytes: &mut Vec<u8>,
    ) -> u32 {
        let first = self.queue.first_position();
        let next = copying.queued.next((first, until), most);
        let count = (next.end - next.start) as u32;
        bytes.reserve_exact(count as usize * queue::ENTRY_BYTES);
        next.for_each(|position| bytes.extend_from_slice(self.queue.bytes(position)));
        self.queue.copied(copying.queued.end);
        count
    }

    fn slice_settled(
        &self,
        copying: &mut PaymentsCopy,
        until: u64,
        most: u64,
        bytes: &mut Vec<u8>,
    ) -> u32 {
        let first = self.memtable.first();
        let next = copying.settled.next((first, until), most);
        let count = (next.end - next.start) as u32;
        bytes.reserve_exact(count as usize * ENTRY_BYTES);
        let settled = self.memtable.from(next.start).take(count as usize);
        settled.for_each(|settled| write_entry(bytes, settled));
        count
    }

    fn slice_last(&mut self, copying: &mut PaymentsCopy, bytes: &mut Vec<u8>) {
        // None of those that left is in what is only copied now.
        let left = self.queue.copy_over();
        let until = self.queue.end_position();
        copying.counts.queued_again = self.slice_queue(copying, until, u64::MAX, bytes);
        self.queue.copy_over();
        let until = self.memtable.next();
        copying.counts.settled_again = self.slice_settled(copying, until, u64::MAX, bytes);
        let counts = &mut copying.counts;
        let queued_first;
        (queued_first, counts.queued_gone) = copying.queued.gone(self.queue.first_position());
        for position in left.iter().filter(|position| **position >= queued_first) {
            let place = (position - queued_first) as u32;
            put(bytes, place);
            counts.left += 1;
        }
        for entry in self.in_flight.iter() {
            let settled = Settled {
                id: entry.id,
                cents: entry.cents,
                accepted_us: entry.accepted_us,
                requested_us: entry.requested_us,
                by: entry.to,
                attempts: entry.attempts,
            };
            write_entry(bytes, &settled);
            counts.in_flight += 1;
        }
        (counts.first, counts.settled_gone) = copying.settled.gone(self.memtable.first());
        counts.floor = self.floor;
        bytes.extend_from_slice(&counts.to_bytes());
    }

    /// Ends a copy that cannot be finished.
    pub(in crate::shard) fn slice_abandon(&mut self) {
        self.queue.copy_over();
    }

    /// Reads what was copied. Nothing at all: there have never been any. `Err`: where, and what is wrong
    /// there. `from` and `end` are the snapshot's. Whatever is bound is in doubt.
    pub(in crate::shard) fn read(
        directory: u128,
        bytes: &[u8],
        (from, end): (u64, u64),
    ) -> Result<Payments, (usize, &'static str)> {
        let mut payments = Payments::new(directory);
        if bytes.is_empty() {
            return Ok(payments);
        }
        let Some(counts_at) = bytes.len().checked_sub(COUNTS_BYTES) else {
            return Err((0, "the payments are cut short"));
        };
        let at_counts = |reason| (counts_at, reason);
        let counts = PaymentCounts::from_bytes(&bytes[counts_at..]).map_err(at_counts)?;
        if !(from.saturating_sub(1)..=end).contains(&counts.through) {
            return Err(at_counts("the payments are of another time"));
        }
        payments.through = counts.through;
        let mut parts = Sections {
            bytes: &bytes[..counts_at],
            at: 0,
        };
        let mut take = |count: u32, bytes: usize| {
            let taken = parts.take(count as usize * bytes);
            taken.ok_or((counts_at, "there are not as many payments as that"))
        };
        let queued = take(counts.queued, queue::ENTRY_BYTES)?;
        let settled = take(counts.settled, ENTRY_BYTES)?;
        let queued_again = take(counts.queued_again, queue::ENTRY_BYTES)?;
        let settled_again = take(counts.settled_again, ENTRY_BYTES)?;
        let left = take(counts.left, LEFT_BYTES)?;
        let in_flight = take(counts.in_flight, ENTRY_BYTES)?;
        if parts.at != counts_at {
            return Err((counts_at, "there are more payments than that"));
        }
        payments.read_queue(&counts, [queued, queued_again], left)?;
        payments.read_settled(&counts, [settled, settled_again])?;
        payments.read_in_flight(in_flight)?;
        payments.written(counts.through);
        Ok(payments)
    }

    fn read_queue(
        &mut self,
        counts: &PaymentCounts,
        parts: [Section<'_>; 2],
        left: Section<'_>,
    ) -> Result<(), (usize, &'static str)> {
        let mut places = u32s(left.bytes).collect::<Vec<u32>>();
        places.sort_unstable();
        let mut left_places = places.iter().copied().peekable();
        let gone = counts.queued_gone as usize;
        let twice = |at: u64| (at as usize, TWICE);
        let copied = || entries(parts, queue::ENTRY_BYTES).skip(gone);
        let there = copied().filter(|(_, bytes)| QueuedPayment::from_bytes(bytes).cents > 0);
        let expected = there.count().saturating_sub(places.len());
        self.queue.expect(expected);
        for (place, (at, bytes)) in copied().enumerate() {
            if left_places.next_if_eq(&(place as u32)).is_some() {
                continue;
            }
            let entry = QueuedPayment::from_bytes(bytes);
            if entry.cents == 0 {
                // It left before it was copied.
                continue;
            }
            self.arrive(entry, at as u64).map_err(twice)?;
        }
        self.all_arrived().map_err(twice)?;
        match left_places.next() {
            None => Ok(()),
            Some(_) => Err((left.at, "a payment left that was not there")),
        }
    }

    fn read_settled(
        &mut self,
        counts: &PaymentCounts,
        parts: [Section<'_>; 2],
    ) -> Result<(), (usize, &'static str)> {
        self.floor = counts.floor;
        self.memtable = Memtable::new(self.hasher, counts.first, SETTLED_RUN);
        let gone = counts.settled_gone as usize;
        for (at, bytes) in entries(parts, ENTRY_BYTES).skip(gone) {
            let settled = read_entry(bytes).map_err(|reason| (at, reason))?;
            let hash = self.hasher.hash(settled.id);
            if self.is_in_memory(settled.id, hash) {
                return Err((at, TWICE));
            }
            self.memtable.push(settled, self.through);
        }
        Ok(())
    }

    fn read_in_flight(&mut self, part: Section<'_>) -> Result<(), (usize, &'static str)> {
        for (at, bytes) in part.entries(ENTRY_BYTES) {
            let read = read_entry(bytes).map_err(|reason| (at, reason))?;
            let hash = self.hasher.hash(read.id);
            if self.is_in_memory(read.id, hash) {
                return Err((at, TWICE));
            }
            let entry = InFlightPayment {
                id: read.id,
                cents: read.cents,
                accepted_us: read.accepted_us,
                requested_us: read.requested_us,
                to: read.by,
                attempts: read.attempts,
                stand: match read.attempts {
                    // Its first record could not be written.
                    0 => Stand::Free,
                    _ => Stand::Bound { in_doubt: true },
                },
                fresh: false,
                course: Course::new(read.by),
            };
            self.in_flight.put_hashed(entry, hash);
        }
        Ok(())
    }
}

const TWICE: &str = "a payment that is there twice";

/// Entries of one kind, and where they begin.
#[derive(Clone, Copy)]
struct Section<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Section<'a> {
    fn entries(self, entry_bytes: usize) -> impl Iterator<Item = (usize, &'a [u8])> {
        let entries = self.bytes.chunks_exact(entry_bytes).enumerate();
        entries.map(move |(n, bytes)| (self.at + n * entry_bytes, bytes))
    }
}

fn entries<'a>(
    parts: [Section<'a>; 2],
    entry_bytes: usize,
) -> impl Iterator<Item = (usize, &'a [u8])> {
    parts
        .into_iter()
        .flat_map(move |part| part.entries(entry_bytes))
}

/// What is left to be taken apart.
struct Sections<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Sections<'a> {
    fn take(&mut self, bytes: usize) -> Option<Section<'a>> {
        let part = self.bytes.get(self.at..self.at.checked_add(bytes)?)?;
        let at = self.at;
        self.at += bytes;
        Some(Section { bytes: part, at })
    }
}
