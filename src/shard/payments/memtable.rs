//! The memtable: settled payments in memory, those that are not in a run's file yet, in the order of their numbers.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;

use super::hash::Hasher;
use super::PaymentState;
use crate::payments::{Payment, PaymentId, Processor, Summary, Window};

/// A settled payment; times in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The id that the client chose, or the node.
    pub id: PaymentId,
    /// Cents of the amount, positive.
    pub cents: u64,
    /// The moment of acceptance.
    pub accepted_us: u64,
    /// The `requestedAt` that its processor has stored.
    pub requested_us: u64,
    /// The processor that has it.
    pub by: Processor,
    /// Attempts until it was settled.
    pub attempts: u16,
}

impl Settled {
    /// The payment as the other layers know it.
    pub fn to_payment(self) -> Payment {
        Payment {
            id: self.id,
            cents: self.cents,
            accepted_us: self.accepted_us,
            attempts: self.attempts,
            state: PaymentState::Processed {
                by: self.by,
                requested_us: self.requested_us,
            },
        }
    }
}

/// Payments that will be one run.
#[derive(Default)]
struct Batch {
    /// Shared once it is full and written, while it is made a file.
    entries: Arc<Vec<Settled>>,
    /// Indices in `entries`, by id.
    ids: HashTable<u32>,
    /// Sequence of the record that settled the last one.
    sequence: u64,
}

impl Batch {
    fn find(&self, id: PaymentId, hash: u64) -> Option<&Settled> {
        let is_it = |at: &u32| self.entries[*at as usize].id == id;
        let at = self.ids.find(hash, is_it)?;
        Some(&self.entries[*at as usize])
    }

    fn own(&mut self) -> &mut Vec<Settled> {
        Arc::get_mut(&mut self.entries).expect("only what is full and written is shared")
    }
}

/// A full batch, to be written as a run.
#[derive(Clone)]
pub struct Full {
    /// The number of the first one.
    pub first: u64,
    /// In the order of their numbers.
    pub entries: Arc<Vec<Settled>>,
    /// The record of the last one.
    pub sequence: u64,
}

/// Settled payments in memory, in batches of a run's size.
pub struct Memtable {
    hasher: Hasher,
    /// Payments that make a run.
    run: usize,
    /// Each but the last is full.
    batches: VecDeque<Batch>,
    /// The number of the first one.
    first: u64,
    /// The number of the next one.
    next: u64,
    /// The number of the first one of this tick.
    fresh: u64,
}

impl Memtable {
    /// None yet, the next one having this number; so many make a run.
    pub fn new(hasher: Hasher, next: u64, run: usize) -> Memtable {
        assert!(run > 0);
        Memtable {
            hasher,
            run,
            batches: VecDeque::new(),
            first: next,
            next,
            fresh: next,
        }
    }

    /// The number of the first one that is here; of the next one, if there is none.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number of the next one.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Those from a number on, which is not before [`first`](Self::first).
    pub fn from(&self, number: u64) -> impl Iterator<Item = &Settled> {
        let skipped = (number - self.first) as usize;
        let batches = self.batches.iter().skip(skipped / self.run);
        let entries = batches.flat_map(|batch| batch.entries.iter());
        entries.skip(skipped % self.run)
    }

    /// A payment by its id and the id's hash, the newest batch first.
    pub fn find_hashed(&self, id: PaymentId, hash: u64) -> Option<&Settled> {
        let mut newest_first = self.batches.iter().rev();
        newest_first.find_map(|batch| batch.find(id, hash))
    }

    /// Adds the payments within `window` to `summary`.
    pub fn summary(&self, window: &Window, summary: &mut Summary) {
        for settled in self.batches.iter().flat_map(|batch| batch.entries.iter()) {
            if window.contains(settled.requested_us) {
                summary.add(settled.by, settled.cents);
            }
        }
    }

    /// One more, by the record with this sequence.
    pub fn push(&mut self, settled: Settled, sequence: u64) {
        let last = self.batches.back();
        if last.is_none_or(|batch| batch.entries.len() == self.run) {
            self.batches.push_back(Batch::default());
        }
        let batch = self.batches.back_mut().expect("just made sure");
        let at = batch.entries.len() as u32;
        batch.own().push(settled);
        batch.sequence = sequence;
        let (hasher, entries) = (self.hasher, &batch.entries);
        batch.ids.insert_unique(hasher.hash(settled.id), at, |at| {
            hasher.hash(entries[*at as usize].id)
        });
        self.next += 1;
    }

    /// The last one, of this tick, has never been settled.
    pub fn take_back(&mut self) {
        debug_assert!(self.next > self.fresh);
        let batch = self.batches.back_mut().expect("there is one");
        let settled = batch.own().pop().expect("there is one");
        let at = batch.entries.len() as u32;
        let found = batch
            .ids
            .find_entry(self.hasher.hash(settled.id), |other| *other == at);
        found.expect("each is in its batch's table").remove();
        if batch.entries.is_empty() {
            self.batches.pop_back();
        }
        self.next -= 1;
    }

    /// The tick's batch is in the journal: its payments stay.
    pub fn written(&mut self) {
        self.fresh = self.next;
    }

    /// What is to be the next run, if there are enough. Between ticks.
    pub fn full(&self) -> Option<Full> {
        debug_assert_eq!(self.fresh, self.next);
        let batch = self.batches.front()?;
        (batch.entries.len() == self.run).then(|| Full {
            first: self.first,
            entries: batch.entries.clone(),
            sequence: batch.sequence,
        })
    }

    /// The first run has its file.
    pub fn drop_run(&mut self) {
        let batch = self.batches.pop_front().expect("it was full");
        debug_assert_eq!(batch.entries.len(), self.run);
        self.first += batch.entries.len() as u64;
    }

    /// Those before a number are elsewhere. As if nothing were of this tick.
    pub fn cut(&mut self, number: u64) {
        let mut rest = Memtable::new(self.hasher, number.clamp(self.first, self.next), self.run);
        let sequence = self.batches.back().map_or(0, |batch| batch.sequence);
        self.from(rest.first)
            .for_each(|settled| rest.push(*settled, sequence));
        rest.written();
        *self = rest;
    }

    /// The next one is elsewhere; there are none here.
    pub fn pass(&mut self) {
        debug_assert!(self.batches.is_empty());
        self.next += 1;
        self.first = self.next;
    }

    /// Another number makes a run. As if nothing were of this tick.
    pub fn set_run(&mut self, run: usize) {
        assert!(run > 0);
        let batches = std::mem::take(&mut self.batches);
        *self = Memtable::new(self.hasher, self.first, run);
        for batch in batches {
            let entries = batch.entries.iter();
            entries.for_each(|settled| self.push(*settled, batch.sequence));
        }
        self.written();
    }

    /// Empties the memtable: all payments are forgotten.
    pub fn clear(&mut self) {
        self.batches.clear();
        self.first = self.next;
    }
}
