//! A shard's payments: open ones in memory, settled ones in files.
//!
//! An open payment is in the [`queue`] until it is bound to a processor for the first time, and [`in_flight`]
//! from then on. A settled one is in the [`memtable`] until there are enough for a file, then in a [`run`]. So a
//! payment moves in one direction only.
//!
//! Like the accounts, payments change at once and are final when their tick's batch is in the journal.

mod arriving;
mod changes;
mod copy;
mod fill;
mod filter;
mod hash;
mod in_flight;
mod memtable;
mod queue;
mod run;
mod runs;

use std::path::PathBuf;

use super::error::RecoveryError;
use super::journal::{PaymentEvent, Stamp};
use crate::limits::{PAYMENTS_OPEN_MAX, SETTLED_RUN};
use crate::payments::{Payment, PaymentId, PaymentState, Processor, Summary, Window};
use arriving::Arriving;
use hash::Hasher;
use in_flight::{InFlight, InFlightPayment, Stand};
use memtable::Memtable;
use queue::{Queue, QueuedPayment};
use runs::Runs;

pub(super) use copy::PaymentsCopy;
pub use fill::fill;
pub use in_flight::Course;
pub use memtable::{Full, Settled};
pub use run::writer::write as write_run;
pub use run::Run;

/// The answer to a request to accept a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Accepted now: its record is in the batch.
    New,
    /// Accepted before, with the same amount.
    Repeated,
    /// The id belongs to a payment of another amount.
    OtherAmount,
    /// As many payments are open as may be.
    Full,
    /// Whether it is new cannot be said: see [`struct@Unreadable`].
    Unreadable,
}

/// A file with settled payments is damaged, or its device fails; the log says which and where. Nothing is
/// said that could be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// What a record of the batch changed, to be taken back.
enum PaymentUndo {
    Accepted(PaymentId),
    /// Its entry before, unless it was queued.
    Bound(PaymentId, Option<InFlightPayment>),
    Settled(InFlightPayment),
}

/// The payments of a shard, wherever they are.
pub struct Payments {
    hasher: Hasher,
    queue: Queue,
    arriving: Arriving,
    in_flight: InFlight,
    memtable: Memtable,
    runs: Runs,
    /// The number of the first settled one that was not forgotten.
    floor: u64,
    open_max: usize,
    /// The last record that the snapshot's payments are of.
    through: u64,
    /// What the batch's records changed, oldest first.
    undo: Vec<PaymentUndo>,
    /// The batch ends with a purge.
    purge: bool,
}

impl Payments {
    /// None yet. `directory` is the directory's id.
    pub(super) fn new(directory: u128) -> Payments {
        let hasher = Hasher::new(directory);
        Payments {
            hasher,
            queue: Queue::new(hasher),
            arriving: Arriving::default(),
            in_flight: InFlight::new(hasher),
            memtable: Memtable::new(hasher, 0, SETTLED_RUN),
            runs: Runs::default(),
            floor: 0,
            open_max: PAYMENTS_OPEN_MAX,
            through: 0,
            undo: Vec::new(),
            purge: false,
        }
    }

    /// Where a payment stands; those of old are looked up on disk (mapped files), if need be in all of them.
    pub fn find(&self, id: PaymentId) -> Result<Option<Payment>, Unreadable> {
        let hashes = self.hasher.both(id);
        if let Some(payment) = self.find_late(id, hashes)? {
            return Ok(Some(payment));
        }
        let found = self.runs.find_early(id, hashes)?;
        Ok(found.map(Settled::to_payment))
    }

    /// The same among those that are told from new ones.
    fn find_late(&self, id: PaymentId, hashes: (u64, u64)) -> Result<Option<Payment>, Unreadable> {
        if let Some(entry) = self.in_flight.get_hashed(id, hashes.0) {
            return Ok(Some(entry.to_payment()));
        }
        if let Some(position) = self.queue.find_hashed(id, hashes.0) {
            return Ok(Some(queued_payment(self.queue.get(position))));
        }
        if let Some(settled) = self.memtable.find_hashed(id, hashes.0) {
            return Ok(Some(settled.to_payment()));
        }
        let found = self.runs.find_late(id, hashes)?;
        Ok(found.map(Settled::to_payment))
    }

    /// Whether it is open, or settled and not in a run only.
    fn is_in_memory(&self, id: PaymentId, hash: u64) -> bool {
        self.queue.find_hashed(id, hash).is_some() || self.is_in_flight_or_settled(id, hash)
    }

    /// Whether it is in memory, and not queued.
    fn is_in_flight_or_settled(&self, id: PaymentId, hash: u64) -> bool {
        self.in_flight.get_hashed(id, hash).is_some()
            || self.memtable.find_hashed(id, hash).is_some()
    }

    /// Whether what is known of an open or settled payment's acceptance is in the journal, and not only
    /// in this tick's batch.
    pub fn is_written(&self, id: PaymentId) -> bool {
        if let Some(entry) = self.in_flight.get(id) {
            return !entry.fresh;
        }
        if let Some(position) = self.queue.find(id) {
            return !self.queue.is_fresh(position);
        }
        true
    }

    /// The free one whose turn is first: of those that do not rest ([`Course::due_ns`]), the one that was
    /// accepted first.
    pub fn next_free(&self) -> Option<Payment> {
        let in_flight = self.in_flight.next_free().map(|entry| entry.to_payment());
        let queued = self.queue.oldest().map(queued_payment);
        let both = in_flight.into_iter().chain(queued);
        both.min_by_key(|payment| payment.accepted_us)
    }

    /// One that is open and was bound at least once, and what came of its attempts.
    pub fn in_flight(&self, id: PaymentId) -> Option<(Payment, Course)> {
        let entry = self.in_flight.get(id).filter(|entry| entry.attempts > 0)?;
        Some((entry.to_payment(), entry.course))
    }

    /// When the next free one has rested enough. Monotonic.
    pub fn wake_ns(&self) -> Option<u64> {
        self.in_flight.wake_ns()
    }

    /// How many of the open ones were accepted before this; microseconds since 1970.
    pub fn older_than(&self, accepted_us: u64) -> usize {
        self.queue.older_than(accepted_us) + self.in_flight.older_than(accepted_us)
    }

    /// Payments that are open and not bound.
    pub fn free(&self) -> usize {
        self.queue.len() + self.in_flight.free()
    }

    /// Payments that are open: free or bound.
    pub fn open(&self) -> usize {
        self.queue.len() + self.in_flight.len()
    }

    /// Payments that may be open at a time.
    pub fn open_max(&self) -> usize {
        self.open_max
    }

    /// When the open one that was accepted first was; microseconds since 1970.
    pub fn oldest_us(&self) -> Option<u64> {
        let queued = self.queue.oldest().map(|entry| entry.accepted_us);
        queued.into_iter().chain(self.in_flight.oldest_us()).min()
    }

    /// When the free one that was accepted last was.
    pub fn newest_us(&self) -> Option<u64> {
        let queued = self.queue.newest().map(|entry| entry.accepted_us);
        queued
            .into_iter()
            .chain(self.in_flight.newest_free_us())
            .max()
    }

    /// Those with one processor and without a known outcome, in no order.
    pub fn bound(&self) -> impl Iterator<Item = Payment> + '_ {
        let bound = self.in_flight.iter().filter(|entry| entry.is_bound());
        bound.map(|entry| entry.to_payment())
    }

    /// How many those are, by the processor's number.
    pub fn bound_to(&self) -> [usize; 2] {
        let mut counts = [0; 2];
        for payment in self.bound() {
            if let PaymentState::Bound { to, .. } = payment.state {
                counts[to as usize] += 1;
            }
        }
        counts
    }

    /// What processors have confirmed, this tick's included. `Err`: a file of it cannot be read.
    pub fn summary(&self, window: &Window) -> Result<Summary, Unreadable> {
        let mut summary = Summary::default();
        self.runs.summary(window, &mut summary)?;
        self.memtable.summary(window, &mut summary);
        Ok(summary)
    }

    /// Confirmed payments, those in files included.
    pub fn settled(&self) -> u64 {
        self.memtable.next() - self.floor
    }

    /// The work done for the queue's index: how many ids this thread has hashed, and how often another
    /// part was put into than the time before.
    #[cfg(test)]
    pub(super) fn index_work(&self) -> (u64, u64) {
        let hashed = hash::HASHED.with(std::cell::Cell::get);
        (hashed, self.queue.turns())
    }

    /// Bytes that are allocated for the queue, used or not.
    #[cfg(test)]
    pub(super) fn queue_bytes(&self) -> usize {
        self.queue.allocated_bytes()
    }

    /// Number of files with settled payments.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// A payment that is open is bound; its entry before, unless it was queued. `None`: it is not open.
    fn bind(
        &mut self,
        id: PaymentId,
        to: Processor,
        requested_us: u64,
        stand: Stand,
    ) -> Option<Option<InFlightPayment>> {
        let hash = self.hasher.hash(id);
        let before = self.in_flight.get_hashed(id, hash).copied();
        let entry = match before {
            Some(entry) => entry,
            None => {
                let oldest = self.queue.find_oldest(id);
                let position = oldest.or_else(|| self.queue.find_hashed(id, hash))?;
                let fresh = self.queue.is_fresh(position);
                let queued = self.queue.remove(position, hash);
                InFlightPayment {
                    id,
                    cents: queued.cents,
                    accepted_us: queued.accepted_us,
                    requested_us,
                    to,
                    attempts: 0,
                    stand,
                    fresh,
                    course: Course::new(to),
                }
            }
        };
        let entry = InFlightPayment {
            requested_us,
            to,
            attempts: entry.attempts.saturating_add(1),
            stand,
            course: entry.course.sent(to),
            ..entry
        };
        self.in_flight.put_hashed(entry, hash);
        Some(before)
    }

    /// The batch is in the journal, which ends with this record.
    pub(super) fn written(&mut self, sequence: u64) {
        for undo in self.undo.drain(..) {
            if let PaymentUndo::Bound(id, None) = undo {
                let written = |entry: &mut InFlightPayment| entry.fresh = false;
                self.in_flight.change_bound(id, written);
            }
        }
        self.queue.written();
        self.memtable.written();
        if std::mem::take(&mut self.purge) {
            self.forget(sequence);
        }
    }

    /// Nothing of the batch is in the journal.
    pub(super) fn refused(&mut self) {
        self.purge = false;
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            match undo {
                PaymentUndo::Accepted(id) => {
                    self.in_flight.remove(id);
                    self.queue.take_back();
                }
                PaymentUndo::Bound(_, Some(before)) => self.in_flight.put(before),
                PaymentUndo::Bound(id, None) => {
                    let entry = *self.in_flight.get(id).expect("it was bound");
                    self.in_flight.put(InFlightPayment {
                        attempts: 0,
                        stand: Stand::Free,
                        course: Course::new(entry.to),
                        ..entry
                    });
                }
                PaymentUndo::Settled(before) => {
                    self.memtable.take_back();
                    self.in_flight.put(InFlightPayment {
                        stand: Stand::Bound { in_doubt: true },
                        ..before
                    });
                }
            }
        }
        self.queue.written();
    }

    /// All that is known is forgotten, by this record.
    pub(super) fn forget(&mut self, sequence: u64) {
        self.queue.clear();
        self.in_flight.clear();
        self.memtable.clear();
        self.floor = self.memtable.next();
        self.runs.forget(self.floor, sequence);
    }

    // ---- Runs ----------------------------------------------------------------

    /// The next run, if there are enough payments for one. Between ticks. It may be written once the journal
    /// is durable up to its last record; then [`run_done`](Self::run_done).
    pub(super) fn next_run(&self) -> Option<Full> {
        self.memtable.full()
    }

    /// The file of the next run is written: its payments leave the memtable.
    pub(super) fn run_done(&mut self, run: Run) {
        if run.first() < self.floor {
            return self.runs.forget_new(&run);
        }
        debug_assert_eq!(run.first(), self.memtable.first());
        self.memtable.drop_run();
        self.runs.push(run);
    }

    /// The files of runs that may be removed when the journal is durable up to this record.
    pub(super) fn removable_runs(&self, synced: u64) -> &[PathBuf] {
        self.runs.removable(synced)
    }

    /// The files at `paths` have been removed.
    pub(super) fn runs_removed(&mut self, paths: &[PathBuf]) {
        self.runs.removed(paths);
    }

    /// Before replaying: the runs that were found, by their numbers. What they have is not kept in memory.
    pub(super) fn attach(&mut self, runs: Vec<Run>) {
        self.runs = Runs::new(runs);
        if let Some(end) = self.runs.end() {
            self.memtable.cut(end);
        }
        self.runs.forget(self.floor, self.through);
    }

    /// After replaying: whether all settled payments are there. `Err`: from which number on not, or not only
    /// those.
    pub(super) fn expect_all(&self) -> Result<(), u64> {
        self.runs.expect(self.floor, self.memtable.first())
    }

    /// After replaying: reads what tells repeated payments from new ones.
    pub(super) fn load_filters(&mut self) -> Result<(), RecoveryError> {
        self.runs.load_filters()
    }

    /// Whether there never was a payment.
    pub(super) fn is_untouched(&self) -> bool {
        self.open() == 0 && self.memtable.next() == 0
    }

    /// Whether the batch ends with a purge.
    pub(super) fn is_purging(&self) -> bool {
        self.purge
    }

    /// Applies a reset of the journal.
    pub(super) fn replay_reset(&mut self, stamp: &Stamp) -> Result<(), &'static str> {
        if stamp.sequence > self.through {
            self.arrived().map_err(|_| ACCEPTED_BEFORE)?;
            self.forget(stamp.sequence);
        }
        Ok(())
    }

    /// Applies a record of the journal that the snapshot may have; `Err` says why it cannot be what happened. Who has the shard now
    /// knows of no attempt: whatever is bound is in doubt.
    ///
    /// That a payment was accepted before may come out at a later record, or with [`all_arrived`](Self::all_arrived),
    /// which says at which it was.
    pub(super) fn replay(
        &mut self,
        stamp: &Stamp,
        event: &PaymentEvent,
    ) -> Result<(), &'static str> {
        if stamp.sequence <= self.through {
            return Ok(());
        }
        match *event {
            PaymentEvent::Accepted { id, cents } => {
                let accepted_us = stamp.time_us;
                let entry = QueuedPayment {
                    id,
                    cents,
                    accepted_us,
                };
                self.arrive(entry, stamp.sequence)
                    .map_err(|_| ACCEPTED_BEFORE)?;
            }
            PaymentEvent::Bound {
                id,
                to,
                requested_us,
            } => {
                let is_oldest = self.queue.find_oldest(id).is_some();
                if !is_oldest
                    || self
                        .memtable
                        .find_hashed(id, self.hasher.hash(id))
                        .is_some()
                {
                    self.arrived().map_err(|_| ACCEPTED_BEFORE)?;
                }
                let stand = Stand::Bound { in_doubt: true };
                self.bind(id, to, requested_us, stand)
                    .ok_or("a payment that is not open is bound")?;
            }
            PaymentEvent::Settled { number, settled } => {
                self.arrived().map_err(|_| ACCEPTED_BEFORE)?;
                if number != self.memtable.next() {
                    return Err("another payment than the next is settled");
                }
                let open = self
                    .in_flight
                    .get(settled.id)
                    .filter(|entry| entry.is_bound());
                let known = open.map(|entry| (entry.cents, entry.accepted_us, entry.to));
                if known != Some((settled.cents, settled.accepted_us, settled.by)) {
                    return Err("a payment is settled that is not bound, or another one");
                }
                self.in_flight.remove(settled.id);
                match self.runs.end().is_some_and(|end| number < end) {
                    true => self.memtable.pass(),
                    false => self.memtable.push(settled, stamp.sequence),
                }
            }
            PaymentEvent::Purged { number, .. } => {
                self.arrived().map_err(|_| ACCEPTED_BEFORE)?;
                if number != self.memtable.next() {
                    return Err("a purge of other payments than there are");
                }
                self.forget(stamp.sequence);
            }
        }
        self.queue.written();
        self.memtable.written();
        Ok(())
    }
}

/// Why a record of an acceptance does not apply.
pub(super) const ACCEPTED_BEFORE: &str = "a payment that was accepted before";

fn queued_payment(entry: QueuedPayment) -> Payment {
    Payment {
        id: entry.id,
        cents: entry.cents,
        accepted_us: entry.accepted_us,
        attempts: 0,
        state: PaymentState::Free,
    }
}
