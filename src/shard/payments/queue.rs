//! The queue: payments that were never bound to a processor, first in, first out. A million of them take some
//! 45 MB, which go back to the system as they leave.
//!
//! An entry is 32 bytes, in pieces of anonymous memory (little-endian):
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 16 | id |
//! | 16 | 8 | cents; 0: it has left |
//! | 24 | 8 | when it was accepted, microseconds since 1970 |

use std::collections::VecDeque;

use hashbrown::HashTable;

use super::hash::Hasher;
use crate::codec::{put_at, u128_at, u64_at};
use crate::payments::PaymentId;
use crate::shard::mapping::Mapping;

/// Bytes of an entry, in memory and in a snapshot.
pub const ENTRY_BYTES: usize = 32;
const CENTS: usize = 16;
const ACCEPTED: usize = CENTS + 8;

/// Entries of one piece of memory.
const PIECE: u64 = 2048;

/// Parts of the index: one of them grows at a time, which is as long as a tick may pause for it.
const PARTS: usize = 64;
/// A part with room for fewer is not shrunk.
const PART_MIN: usize = 64;
/// Entries whose ids are read before the first of them is dealt with, so that the processor fetches them at the same time.
pub const TOGETHER: usize = 32;

/// A payment in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedPayment {
    /// The id that the client chose, or the node.
    pub id: PaymentId,
    /// Positive; in a snapshot's copy 0: it has left.
    pub cents: u64,
    /// When it was accepted; microseconds since 1970.
    pub accepted_us: u64,
}

impl QueuedPayment {
    pub fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        put_at(&mut bytes, 0, self.id.0);
        put_at(&mut bytes, CENTS, self.cents);
        put_at(&mut bytes, ACCEPTED, self.accepted_us);
        bytes
    }

    /// Reads an entry of [`ENTRY_BYTES`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> QueuedPayment {
        QueuedPayment {
            id: PaymentId(u128_at(bytes, 0)),
            cents: u64_at(bytes, CENTS),
            accepted_us: u64_at(bytes, ACCEPTED),
        }
    }
}

/// The memory: entries by position, counted since the shard was opened.
#[derive(Default)]
struct Pieces {
    pieces: VecDeque<Mapping>,
    /// One that was left, for the next that is needed.
    spare: Option<Mapping>,
    /// The number of the first one.
    base: u64,
}

impl Pieces {
    fn bytes(&self, position: u64) -> &[u8] {
        let piece = &self.pieces[(position / PIECE - self.base) as usize];
        &piece[(position % PIECE) as usize * ENTRY_BYTES..][..ENTRY_BYTES]
    }

    fn get(&self, position: u64) -> QueuedPayment {
        QueuedPayment::from_bytes(self.bytes(position))
    }

    fn id(&self, position: u64) -> PaymentId {
        PaymentId(u128_at(self.bytes(position), 0))
    }

    fn set(&mut self, position: u64, entry: QueuedPayment) {
        let at = (position / PIECE - self.base) as usize;
        if at == self.pieces.len() {
            let piece = self.spare.take().unwrap_or_else(|| {
                Mapping::zeroed(PIECE as usize * ENTRY_BYTES).expect("memory for queued payments")
            });
            self.pieces.push_back(piece);
        }
        let piece = &mut self.pieces[at];
        piece[(position % PIECE) as usize * ENTRY_BYTES..][..ENTRY_BYTES]
            .copy_from_slice(&entry.to_bytes());
    }

    /// Nothing before `position` is needed any more.
    fn advance(&mut self, position: u64) {
        while self.base < position / PIECE {
            self.base += 1;
            self.spare = self.pieces.pop_front().or(self.spare.take());
        }
    }
}

/// The queue of a shard: pieces of memory, and an index by id.
pub struct Queue {
    hasher: Hasher,
    pieces: Pieces,
    /// The position of the first one: it has not left, unless it is `end`.
    first: u64,
    /// The position behind the last one.
    end: u64,
    /// From here on they are not in the index: of recovery, before they are looked for.
    indexed: u64,
    /// From here on they are of this tick.
    fresh: u64,
    /// Payments that have not left.
    live: usize,
    /// Those before this position are copied out.
    copied: u64,
    /// Which of those have left since, but for those that were the first then.
    left: Vec<u64>,
    /// Positions, their low 32 bits, by id.
    index: [HashTable<u32>; PARTS],
    #[cfg(test)]
    turn: usize,
    #[cfg(test)]
    turns: u64,
}

impl Queue {
    /// None yet; nothing is allocated before the first.
    pub fn new(hasher: Hasher) -> Queue {
        Queue {
            hasher,
            pieces: Pieces::default(),
            first: 0,
            end: 0,
            indexed: 0,
            fresh: 0,
            live: 0,
            copied: 0,
            left: Vec::new(),
            index: [const { HashTable::new() }; PARTS],
            #[cfg(test)]
            turn: 0,
            #[cfg(test)]
            turns: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.live
    }

    /// The position of the first one.
    pub fn first_position(&self) -> u64 {
        self.first
    }

    /// The position behind the last one.
    pub fn end_position(&self) -> u64 {
        self.end
    }

    fn part(hash: u64) -> usize {
        (hash >> 40) as usize % PARTS
    }

    /// A position from its low 32 bits.
    fn widen(first: u64, low: u32) -> u64 {
        first + u64::from(low.wrapping_sub(first as u32))
    }

    /// A payment's position in the queue.
    pub fn find(&self, id: PaymentId) -> Option<u64> {
        self.find_hashed(id, self.hasher.hash(id))
    }

    pub fn find_hashed(&self, id: PaymentId, hash: u64) -> Option<u64> {
        let is_it = |low: &u32| self.pieces.id(Self::widen(self.first, *low)) == id;
        let low = self.index[Self::part(hash)].find(hash, is_it)?;
        Some(Self::widen(self.first, *low))
    }

    /// The payment at a position from first to end.
    pub fn get(&self, position: u64) -> QueuedPayment {
        debug_assert!((self.first..self.end).contains(&position));
        self.pieces.get(position)
    }

    pub fn bytes(&self, position: u64) -> &[u8] {
        debug_assert!((self.first..self.end).contains(&position));
        self.pieces.bytes(position)
    }

    /// Whether the entry there is of this tick.
    pub fn is_fresh(&self, position: u64) -> bool {
        position >= self.fresh
    }

    /// The payment that came first.
    pub fn oldest(&self) -> Option<QueuedPayment> {
        (self.first < self.end).then(|| self.get(self.first))
    }

    /// The position of the payment that came first, if it has this id.
    pub fn find_oldest(&self, id: PaymentId) -> Option<u64> {
        let is_it = self.first < self.end && self.pieces.id(self.first) == id;
        is_it.then_some(self.first)
    }

    /// The payment that came last and has not left.
    pub fn newest(&self) -> Option<QueuedPayment> {
        let mut positions = (self.first..self.end).rev();
        positions.find_map(|position| Some(self.get(position)).filter(|entry| entry.cents > 0))
    }

    /// How many were accepted before this, as far as they came in that order. Where some have left from their
    /// midst, up to so many more.
    pub fn older_than(&self, accepted_us: u64) -> usize {
        let (mut low, mut high) = (self.first, self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).accepted_us < accepted_us {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        self.live.min((low - self.first) as usize)
    }

    /// Appends a payment that is not in the queue, with its id's hash.
    pub fn push(&mut self, entry: QueuedPayment, hash: u64) {
        debug_assert!(self.find_hashed(entry.id, hash).is_none());
        let position = self.end;
        self.push_unindexed(entry);
        self.index(position, hash);
        self.set_indexed();
    }

    /// Puts the payment at a position into the index.
    pub fn index(&mut self, position: u64, hash: u64) {
        let part = Self::part(hash);
        if self.index[part].len() == self.index[part].capacity() {
            self.resize(part, 1);
        }
        let rehash = |_: &u32| unreachable!("there is room");
        self.index[part].insert_unique(hash, position as u32, rehash);
        #[cfg(test)]
        self.count_turn(part);
    }

    // ---- What recovery does, some at a time ----------------------------------

    /// One more, which is not in the index yet: how many there are of that kind before it.
    pub fn push_unindexed(&mut self, entry: QueuedPayment) -> u32 {
        debug_assert!(entry.cents > 0);
        let before = (self.end - self.indexed) as u32;
        self.pieces.set(self.end, entry);
        self.end += 1;
        self.live += 1;
        before
    }

    /// From this position on they are not in the index.
    pub fn indexed(&self) -> u64 {
        self.indexed
    }

    /// Notes that all payments are in the index.
    pub fn set_indexed(&mut self) {
        self.indexed = self.end;
    }

    /// So many are to be put into the index, which is empty.
    pub fn expect(&mut self, count: usize) {
        debug_assert!(self.index.iter().all(HashTable::is_empty));
        self.index = [(); PARTS].map(|()| HashTable::with_capacity(count.div_ceil(PARTS)));
    }

    /// Whether the one at a position, which is not in the index, has left.
    pub fn has_left(&self, position: u64) -> bool {
        position < self.first || self.pieces.get(position).cents == 0
    }

    /// Makes room in the index for some with these hashes, and for so many times as many in all, at once if they are many.
    pub fn reserve(&mut self, hashes: impl ExactSizeIterator<Item = u64>, times: usize) {
        if hashes.len() < PARTS {
            return;
        }
        let mut more = [0; PARTS];
        hashes.for_each(|hash| more[Self::part(hash)] += 1);
        for (part, more) in more.into_iter().enumerate() {
            let table = &self.index[part];
            if table.len() + more > table.capacity() {
                self.resize(part, more * times);
            }
        }
    }

    /// About where in memory the index has, or would have, one with this hash.
    pub fn place(&self, hash: u64) -> u32 {
        let part = Self::part(hash);
        let bucket = hash as usize & self.index[part].num_buckets().wrapping_sub(1);
        (part << 26 | bucket & ((1 << 26) - 1)) as u32
    }

    /// The one at a position leaves; with its id's hash.
    pub fn remove(&mut self, position: u64, hash: u64) -> QueuedPayment {
        let entry = self.get(position);
        debug_assert!(entry.cents > 0);
        if position < self.indexed {
            self.unindex(position, hash);
        }
        self.pieces
            .set(position, QueuedPayment { cents: 0, ..entry });
        self.live -= 1;
        if position < self.copied && position > self.first {
            self.left.push(position);
        }
        self.skip();
        entry
    }

    /// Those before a position are copied out: from now on, who leaves of them is kept in mind.
    pub fn copied(&mut self, before: u64) {
        self.copied = before;
    }

    /// Copying is over: who left since their copy was made, in any order. All before
    /// [`first_position`](Self::first_position) have, too.
    pub fn copy_over(&mut self) -> Vec<u64> {
        self.copied = 0;
        std::mem::take(&mut self.left)
    }

    /// The last one of this tick has never been; it may have left already.
    pub fn take_back(&mut self) {
        debug_assert!(self.end > self.fresh);
        if self.end == self.first {
            // It had left, and nothing was before it.
            return;
        }
        self.end -= 1;
        let entry = self.pieces.get(self.end);
        if entry.cents > 0 {
            self.unindex(self.end, self.hasher.hash(entry.id));
            self.live -= 1;
        }
        self.set_indexed();
    }

    fn unindex(&mut self, position: u64, hash: u64) {
        let number = Self::part(hash);
        let part = &mut self.index[number];
        let found = part.find_entry(hash, |low| *low == position as u32);
        found
            .expect("every queued payment is in the index")
            .remove();
        if part.capacity() > PART_MIN && part.len() < part.capacity() / 4 {
            self.resize(number, 0);
        }
    }

    /// Makes a part of the index anew, with room for twice what it has, and for so many more.
    ///
    /// The table could do that by itself, but one entry after the other, and each is a cache miss: it has only
    /// positions, and their ids lie anywhere in memory. Reading some of them before the first is
    /// hashed lets the processor fetch them at the same time.
    fn resize(&mut self, part: usize, more: usize) {
        let old = std::mem::take(&mut self.index[part]);
        let mut new = HashTable::with_capacity(old.len() + more.max(old.len()));
        let mut lows = old.iter();
        let mut some = [(0, PaymentId(0)); TOGETHER];
        loop {
            let mut read = 0;
            for (into, low) in some.iter_mut().zip(lows.by_ref()) {
                *into = (*low, self.pieces.id(Self::widen(self.first, *low)));
                read += 1;
            }
            for (low, id) in &some[..read] {
                let hash = self.hasher.hash(*id);
                new.insert_unique(hash, *low, |_| unreachable!("there is room"));
            }
            if read < TOGETHER {
                break;
            }
        }
        self.index[part] = new;
    }

    /// Makes `first` one that has not left.
    fn skip(&mut self) {
        while self.first < self.end && self.pieces.get(self.first).cents == 0 {
            self.first += 1;
        }
        self.pieces.advance(self.first);
    }

    /// The tick's batch is in the journal: its payments stay.
    pub fn written(&mut self) {
        self.fresh = self.end;
    }

    /// Empties the queue: all payments are forgotten.
    pub fn clear(&mut self) {
        self.first = self.end;
        self.indexed = self.end;
        self.live = 0;
        self.pieces.advance(self.first);
        self.index = [const { HashTable::new() }; PARTS];
    }

    #[cfg(test)]
    fn count_turn(&mut self, part: usize) {
        self.turns += u64::from(std::mem::replace(&mut self.turn, part) != part);
    }

    /// How often another part of the index was put into than the time before.
    #[cfg(test)]
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Bytes that are allocated, used or not.
    #[cfg(test)]
    pub fn allocated_bytes(&self) -> usize {
        let pieces = self.pieces.pieces.len() + usize::from(self.pieces.spare.is_some());
        let index: usize = self.index.iter().map(HashTable::allocation_size).sum();
        pieces * PIECE as usize * ENTRY_BYTES + index
    }
}
