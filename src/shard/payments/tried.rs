//! Open payments that were bound to a processor at least once: those that are bound, and those that were
//! refused and are free again. As few as processors may have at a time, and those that wait for another try.

use std::collections::BTreeSet;

use hashbrown::HashTable;

use super::hash::Hasher;
use super::{Payment, State};
use crate::payments::{PaymentId, Processor};

/// Where a payment stands with the processor that it was bound to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It was refused, or never sent.
    Free,
    /// It may be there.
    Bound {
        /// An attempt of unknown outcome is over.
        in_doubt: bool,
    },
}

/// See the top of this file; times in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// By which it is known.
    pub id: PaymentId,
    /// Positive.
    pub cents: u64,
    /// When it was accepted.
    pub accepted_us: u64,
    /// What the processor was told.
    pub requested_us: u64,
    /// Which processor.
    pub to: Processor,
    /// How often it was sent.
    pub attempts: u16,
    /// Whether the processor may have it.
    pub stand: Stand,
    /// It was accepted in this tick.
    pub fresh: bool,
}

impl Entry {
    /// No other processor may be asked.
    pub fn is_bound(&self) -> bool {
        self.stand != Stand::Free
    }

    /// For others.
    pub fn to_payment(self) -> Payment {
        Payment {
            id: self.id,
            cents: self.cents,
            accepted_us: self.accepted_us,
            attempts: self.attempts,
            state: match self.stand {
                Stand::Free => State::Free,
                Stand::Bound { in_doubt } => State::Bound {
                    to: self.to,
                    requested_us: self.requested_us,
                    in_doubt,
                },
            },
        }
    }

    fn age(&self) -> Age {
        (self.accepted_us, self.id)
    }

    fn turn(&self) -> Turn {
        (self.to_payment().turn_us(), self.id)
    }
}

/// What is in order of acceptance.
type Age = (u64, PaymentId);
/// What is in the order in which it is sent.
type Turn = (u64, PaymentId);

/// See the top of this file.
pub struct Tried {
    hasher: Hasher,
    table: HashTable<Entry>,
    /// All.
    ages: BTreeSet<Age>,
    /// Those that are free.
    free: BTreeSet<Age>,
    /// The same.
    turns: BTreeSet<Turn>,
}

impl Tried {
    /// None yet.
    pub fn new(hasher: Hasher) -> Tried {
        Tried {
            hasher,
            table: HashTable::new(),
            ages: BTreeSet::new(),
            free: BTreeSet::new(),
            turns: BTreeSet::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// How many of them are free.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// One of them.
    pub fn get(&self, id: PaymentId) -> Option<&Entry> {
        self.get_hashed(id, self.hasher.hash(id))
    }

    /// The same with the id's hash.
    pub fn get_hashed(&self, id: PaymentId, hash: u64) -> Option<&Entry> {
        self.table.find(hash, |entry| entry.id == id)
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.table.iter()
    }

    /// When the first one was accepted.
    pub fn oldest_us(&self) -> Option<u64> {
        self.ages.first().map(|(accepted_us, _)| *accepted_us)
    }

    /// The free one whose turn is first.
    pub fn next_free(&self) -> Option<&Entry> {
        self.turns.first().and_then(|(_, id)| self.get(*id))
    }

    /// When the free one that was accepted last was.
    pub fn newest_free_us(&self) -> Option<u64> {
        self.free.last().map(|(accepted_us, _)| *accepted_us)
    }

    /// Adds one, or puts it in the place of what is known of it.
    pub fn put(&mut self, entry: Entry) {
        let hasher = self.hasher;
        let hash = hasher.hash(entry.id);
        if let Some(known) = self.table.find_mut(hash, |other| other.id == entry.id) {
            debug_assert_eq!(known.age(), entry.age());
            self.turns.remove(&known.turn());
            *known = entry;
        } else {
            self.ages.insert(entry.age());
            let rehash = |entry: &Entry| hasher.hash(entry.id);
            self.table.insert_unique(hash, entry, rehash);
        }
        if entry.is_bound() {
            self.free.remove(&entry.age());
        } else {
            self.free.insert(entry.age());
            self.turns.insert(entry.turn());
        }
    }

    /// Changes one that is bound; whether there is one.
    pub fn change_bound(&mut self, id: PaymentId, change: impl FnOnce(&mut Entry)) -> bool {
        let Some(mut entry) = self.get(id).copied().filter(Entry::is_bound) else {
            return false;
        };
        change(&mut entry);
        self.put(entry);
        true
    }

    /// One leaves.
    pub fn remove(&mut self, id: PaymentId) -> Option<Entry> {
        let hasher = self.hasher;
        let found = self
            .table
            .find_entry(hasher.hash(id), |entry| entry.id == id);
        let (entry, _) = found.ok()?.remove();
        self.ages.remove(&entry.age());
        self.free.remove(&entry.age());
        self.turns.remove(&entry.turn());
        if self.table.capacity() > 64 && self.table.len() < self.table.capacity() / 8 {
            let room = 2 * self.table.len();
            self.table.shrink_to(room, |entry| hasher.hash(entry.id));
        }
        Some(entry)
    }

    /// All leave.
    pub fn clear(&mut self) {
        *self = Tried::new(self.hasher);
    }
}
