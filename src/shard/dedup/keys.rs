//! Outcomes by `Idempotency-Key`: the last [`KEYS_MAX`], for [`KEY_NS_MAX`] by the shard's time, which does
//! not step ([`clock`](crate::shard::clock)).
//!
//! A ring, in the order of the records, and an index from keys to places in it. A key that was used
//! again after its time may be there twice until the older one leaves.
//!
//! In a file, a key takes 40 bytes, little-endian:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 16 | key |
//! | 16 | 8 | balance afterwards, cents; 0 when it was refused |
//! | 24 | 8 | fingerprint of the request |
//! | 32 | 4 | seconds of the shard's time; later by what it was spared since |
//! | 36 | 1 | why it was refused; 0: it was not |
//! | 37 | 3 | zero |

use std::collections::VecDeque;

use hashbrown::HashTable;

use super::{from_stored, to_stored, DedupCounts, Remembered};
use crate::codec::{put, u32_at, u64_at};
use crate::limits::{
    JOURNAL_BATCH_BYTES_MAX, KEYS_MAX, KEY_NS_MAX, SECOND_NS, SECOND_US, SNAPSHOT_SLICE_BYTES,
};
use crate::shard::journal::REMEMBERED_BYTES_MIN;

/// Bytes of a key in a file.
pub const KEY_BYTES: usize = 40;

/// For so long a key is remembered.
const KEY_S_MAX: u32 = (KEY_NS_MAX / SECOND_NS) as u32;

/// Those that are remembered, and those of one tick on top: nothing leaves before its end.
const RING: usize = KEYS_MAX + JOURNAL_BATCH_BYTES_MAX / REMEMBERED_BYTES_MIN;

/// Keys past their time that leave at the end of one tick. They are not found any more, so this only
/// says how soon room is made; a tick is not to pause for all that came in one second.
const EXPIRED_MAX: usize = 1024;

/// Twice as large as its contents, the index clears itself up in place, and never grows.
const INDEX: usize = 2 * RING;

const _: () = {
    assert!(
        INDEX < u32::MAX as usize,
        "places in the ring are told apart by 32 bits"
    );
    assert!(KEY_S_MAX as u64 * SECOND_NS == KEY_NS_MAX);
    assert!(size_of::<KeyEntry>() == KEY_BYTES);
};

/// A key, what came with it, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key's hash: [`ids::key`](crate::command::ids::key).
    pub key: u128,
    /// The request's fingerprint, by which another request with the same key is told apart.
    pub fingerprint: u64,
    /// Outcome of the request.
    pub outcome: Remembered,
    /// Time of its record, seconds of the shard's time.
    pub time_s: u32,
}

/// A key as the ring and the file have it.
#[derive(Clone, Copy, Debug)]
struct KeyEntry {
    /// Low, high: a u128 would want to be aligned.
    key: [u64; 2],
    balance: i64,
    fingerprint: u64,
    time_s: u32,
    code: u8,
}

/// Microseconds as whole seconds in 32 bits; from 2106 on, the last of them.
pub fn seconds(time_us: u64) -> u32 {
    u32::try_from(time_us / SECOND_US).unwrap_or(u32::MAX)
}

/// A key is a keyed hash already.
fn hash(key: [u64; 2]) -> u64 {
    key[0]
}

fn halves(key: u128) -> [u64; 2] {
    [key as u64, (key >> 64) as u64]
}

impl KeyEntry {
    fn is_alive(&self, now_s: u32) -> bool {
        now_s.saturating_sub(self.time_s) <= KEY_S_MAX
    }

    fn outcome(&self) -> Remembered {
        from_stored(self.code, self.balance).expect("made from an outcome, or read and checked")
    }

    fn write(&self, into: &mut Vec<u8>) {
        put(into, self.key[0]);
        put(into, self.key[1]);
        put(into, self.balance);
        put(into, self.fingerprint);
        put(into, self.time_s);
        into.extend_from_slice(&[self.code, 0, 0, 0]);
    }

    fn read(bytes: &[u8]) -> Result<KeyEntry, &'static str> {
        let entry = KeyEntry {
            key: [u64_at(bytes, 0), u64_at(bytes, 8)],
            balance: u64_at(bytes, 16) as i64,
            fingerprint: u64_at(bytes, 24),
            time_s: u32_at(bytes, 32),
            code: bytes[36],
        };
        if bytes[37..KEY_BYTES] != [0; 3] {
            return Err("bytes that should be zero behind a key");
        }
        match from_stored(entry.code, entry.balance) {
            Some(_) => Ok(entry),
            None => Err("a key without an outcome"),
        }
    }
}

/// The outcomes by `Idempotency-Key`: a ring, and an index by key.
#[derive(Debug, Default)]
pub struct Keys {
    /// The keys, oldest first.
    ring: VecDeque<KeyEntry>,
    /// Places in the ring, counted since the shard was opened, of the ring's first.
    first: u64,
    /// Places, their low 32 bits, by key.
    index: HashTable<u32>,
    /// How many at the ring's end are of this tick.
    fresh: usize,
    /// The last record that a snapshot's keys are of.
    through: u64,
}

/// Keys being copied out: places in the ring.
#[derive(Debug)]
pub struct KeysCopy {
    next: u64,
    end: u64,
}

impl Keys {
    fn entry(&self, place: u32) -> &KeyEntry {
        &self.ring[place.wrapping_sub(self.first as u32) as usize]
    }

    /// What is remembered of a key, unless its time is over.
    pub fn find(&self, key: u128, time_us: u64) -> Option<Key> {
        let entry = self.find_alive(halves(key), seconds(time_us))?;
        Some(Key {
            key,
            fingerprint: entry.fingerprint,
            outcome: entry.outcome(),
            time_s: entry.time_s,
        })
    }

    /// Whether a key's outcome is of a tick that is over.
    pub fn is_settled(&self, key: u128, time_us: u64) -> bool {
        let place = self.place_alive(halves(key), seconds(time_us));
        place.is_some_and(|place| {
            (place.wrapping_sub(self.first as u32) as usize) < self.ring.len() - self.fresh
        })
    }

    fn find_alive(&self, key: [u64; 2], now_s: u32) -> Option<&KeyEntry> {
        let place = self.place_alive(key, now_s)?;
        Some(self.entry(place))
    }

    fn place_alive(&self, key: [u64; 2], now_s: u32) -> Option<u32> {
        let is_it = |place: &u32| {
            let entry = self.entry(*place);
            entry.key == key && entry.is_alive(now_s)
        };
        self.index.find(hash(key), is_it).copied()
    }

    /// Whether there is none, not even one past its time.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// `Err`: it is known, and its time not over.
    pub fn remember(&mut self, key: Key) -> Result<(), &'static str> {
        let (code, balance) = to_stored(key.outcome);
        // One that was spared a part of a second is not to be the younger one.
        let before_s = self.ring.back().map_or(0, |newest| newest.time_s);
        self.push(KeyEntry {
            key: halves(key.key),
            balance,
            fingerprint: key.fingerprint,
            time_s: key.time_s.max(before_s),
            code,
        })?;
        self.fresh += 1;
        Ok(())
    }

    fn push(&mut self, entry: KeyEntry) -> Result<(), &'static str> {
        if self.ring.capacity() == 0 {
            // Once, and for good. Nearly all of it is touched only when it is used.
            self.ring = VecDeque::with_capacity(RING);
            self.index = HashTable::with_capacity(INDEX);
        }
        if self.find_alive(entry.key, entry.time_s).is_some() {
            return Err("a key that came before, and is still remembered");
        }
        let place = (self.first + self.ring.len() as u64) as u32;
        self.ring.push_back(entry);
        let (ring, first) = (&self.ring, self.first as u32);
        self.index.insert_unique(hash(entry.key), place, |place| {
            hash(ring[place.wrapping_sub(first) as usize].key)
        });
        Ok(())
    }

    /// Whether a snapshot's keys do not have those of a record.
    pub fn lack(&self, sequence: u64) -> bool {
        sequence > self.through
    }

    /// So much that has gone by does not count for those from before this tick. Microseconds.
    pub fn spare(&mut self, gap_us: u64) {
        let gap_s = seconds(gap_us.saturating_add(SECOND_US - 1));
        let before = self.ring.len() - self.fresh;
        for entry in self.ring.iter_mut().take(before) {
            entry.time_s = entry.time_s.saturating_add(gap_s);
        }
        // Those of this tick came after all of that.
        let newest_s = before
            .checked_sub(1)
            .map_or(0, |newest| self.ring[newest].time_s);
        for entry in self.ring.iter_mut().skip(before) {
            entry.time_s = entry.time_s.max(newest_s);
        }
    }

    /// What the tick brought stays, and what need not be remembered any more leaves.
    pub fn written(&mut self, time_us: u64) {
        self.fresh = 0;
        let now_s = seconds(time_us);
        let mut expired = EXPIRED_MAX;
        while let Some(oldest) = self.ring.front() {
            if self.ring.len() <= KEYS_MAX {
                if oldest.is_alive(now_s) || expired == 0 {
                    break;
                }
                expired -= 1;
            }
            self.unindex(oldest.key, self.first as u32);
            self.ring.pop_front();
            self.first += 1;
        }
    }

    /// Takes back what the tick brought.
    pub fn refused(&mut self) {
        for _ in 0..std::mem::take(&mut self.fresh) {
            let place = self.first + self.ring.len() as u64 - 1;
            let newest = self.ring.back().expect("it was put there in this tick");
            self.unindex(newest.key, place as u32);
            self.ring.pop_back();
        }
    }

    fn unindex(&mut self, key: [u64; 2], place: u32) {
        let found = self.index.find_entry(hash(key), |other| *other == place);
        found
            .expect("every key of the ring is in the index")
            .remove();
    }

    /// Begins to copy what there is now. Between ticks.
    pub fn copy(&self) -> KeysCopy {
        KeysCopy {
            next: self.first,
            end: self.first + self.ring.len() as u64,
        }
    }

    /// Appends the next keys; nothing: that was all. Between ticks.
    pub fn slice(&self, copying: &mut KeysCopy, into: &mut Vec<u8>) {
        debug_assert_eq!(self.fresh, 0);
        let from = copying.next.max(self.first);
        let to = copying
            .end
            .min(from + (SNAPSHOT_SLICE_BYTES / KEY_BYTES) as u64);
        if from >= to {
            return;
        }
        copying.next = to;
        let range = (from - self.first) as usize..(to - self.first) as usize;
        into.reserve_exact(range.len() * KEY_BYTES);
        self.ring.range(range).for_each(|entry| entry.write(into));
    }

    /// How many of those that were copied are still there: the last ones.
    pub fn left(&self, copying: &KeysCopy) -> u32 {
        copying.end.saturating_sub(self.first) as u32
    }

    /// Reads what was copied. `Err`: where, and what is wrong there.
    pub fn read(bytes: &[u8], counts: &DedupCounts) -> Result<Keys, (usize, &'static str)> {
        if counts.keys as usize > KEYS_MAX || counts.keys_gone > counts.keys {
            return Err((0, "more keys than there can be"));
        }
        let mut keys = Keys {
            through: counts.keys_through,
            ..Keys::default()
        };
        let mut time_s = 0;
        for (n, bytes) in bytes.chunks_exact(KEY_BYTES).enumerate() {
            let read = KeyEntry::read(bytes).and_then(|entry| {
                if entry.time_s < time_s {
                    return Err("a key that is older than the one before it");
                }
                time_s = entry.time_s;
                match n < counts.keys_gone as usize {
                    true => Ok(()),
                    false => keys.push(entry),
                }
            });
            read.map_err(|reason| (n * KEY_BYTES, reason))?;
        }
        Ok(keys)
    }

    /// Bytes that are allocated, used or not.
    #[cfg(test)]
    pub fn allocated_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<KeyEntry>() + self.index.allocation_size()
    }
}
