//! Payments in flight: open ones that were bound to a processor at least once. They are bound, or were refused
//! and are free again. As many as the processors may have at a time, and those that rest before another attempt.

use std::collections::BTreeSet;

use hashbrown::HashTable;

use super::hash::Hasher;
use super::PaymentState;
use crate::payments::answers::Said;
use crate::payments::{Payment, PaymentId, Processor};

/// Where a payment stands with the processor that it was bound to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It was refused, or never sent.
    Free,
    /// The processor may have it.
    Bound {
        /// An attempt of unknown outcome is over.
        in_doubt: bool,
    },
}

/// A payment in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlightPayment {
    /// The id that the client chose, or the node.
    pub id: PaymentId,
    /// Cents of the amount, positive.
    pub cents: u64,
    /// The acceptance, microseconds since 1970.
    pub accepted_us: u64,
    /// The `requestedAt` of the last binding, microseconds since 1970.
    pub requested_us: u64,
    /// The processor it was bound to last.
    pub to: Processor,
    /// Attempts so far; 0: its first binding could not be written.
    pub attempts: u16,
    /// Whether the processor may have it.
    pub stand: Stand,
    /// It was accepted in this tick.
    pub fresh: bool,
    /// The course of its attempts.
    pub course: Course,
}

/// The course of a payment's attempts, known in memory only. Times are monotonic nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// The processor that it was bound to last.
    pub to: Processor,
    /// The last answer of that processor.
    pub said: Said,
    /// When it last went wrong there. 0: it has not.
    pub wrong_ns: u64,
    /// By the processor's number: it does not go there before.
    pub rest_ns: [u64; 2],
    /// A free payment is not [`next_free`](super::Payments::next_free) before; a bound one is to be
    /// sent again then. 0: no time is set.
    pub due_ns: u64,
}

impl Course {
    /// The course of a payment that is bound to `to` and was not sent yet.
    pub fn new(to: Processor) -> Course {
        Course {
            to,
            said: Said::Nothing,
            wrong_ns: 0,
            rest_ns: [0; 2],
            due_ns: 0,
        }
    }

    /// The course after one more attempt is sent.
    pub fn sent(self, to: Processor) -> Course {
        Course {
            to,
            said: Said::Nothing,
            wrong_ns: match self.to == to {
                true => self.wrong_ns,
                false => 0,
            },
            rest_ns: self.rest_ns,
            due_ns: 0,
        }
    }
}

impl InFlightPayment {
    /// No other processor may be asked.
    pub fn is_bound(&self) -> bool {
        self.stand != Stand::Free
    }

    /// The payment as the other layers know it.
    pub fn to_payment(self) -> Payment {
        Payment {
            id: self.id,
            cents: self.cents,
            accepted_us: self.accepted_us,
            attempts: self.attempts,
            state: match self.stand {
                Stand::Free => PaymentState::Free,
                Stand::Bound { in_doubt } => PaymentState::Bound {
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

    fn rest(&self) -> Rest {
        (self.course.due_ns, self.id)
    }
}

/// What is in order of acceptance.
type Age = (u64, PaymentId);
/// What is in the order in which its rest is over. Monotonic.
type Rest = (u64, PaymentId);

/// The payments in flight of a shard, and the orders in which they take their turns.
pub struct InFlight {
    hasher: Hasher,
    table: HashTable<InFlightPayment>,
    /// All payments of the table.
    ages: BTreeSet<Age>,
    /// Free ones, by their acceptance.
    free: BTreeSet<Age>,
    /// Free ones that may go now: their `due_ns` is 0.
    turns: BTreeSet<Age>,
    /// Free ones that rest, by the end of their rest.
    resting: BTreeSet<Rest>,
}

impl InFlight {
    /// An empty table, which allocates nothing.
    pub fn new(hasher: Hasher) -> InFlight {
        InFlight {
            hasher,
            table: HashTable::new(),
            ages: BTreeSet::new(),
            free: BTreeSet::new(),
            turns: BTreeSet::new(),
            resting: BTreeSet::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// The payment with this id, if it is in flight.
    pub fn get(&self, id: PaymentId) -> Option<&InFlightPayment> {
        self.get_hashed(id, self.hasher.hash(id))
    }

    pub fn get_hashed(&self, id: PaymentId, hash: u64) -> Option<&InFlightPayment> {
        self.table.find(hash, |entry| entry.id == id)
    }

    /// All payments of the table, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &InFlightPayment> {
        self.table.iter()
    }

    /// When the first one was accepted.
    pub fn oldest_us(&self) -> Option<u64> {
        self.ages.first().map(|(accepted_us, _)| *accepted_us)
    }

    /// How many were accepted before this.
    pub fn older_than(&self, accepted_us: u64) -> usize {
        self.ages.range(..(accepted_us, PaymentId(0))).count()
    }

    /// Payments whose rest is over by now take their turns.
    pub fn wake(&mut self, now_ns: u64) {
        while let Some((due_ns, id)) = self.resting.first().copied() {
            if due_ns > now_ns {
                return;
            }
            let mut entry = *self.get(id).expect("it rests");
            entry.course.due_ns = 0;
            self.put(entry);
        }
    }

    /// None rests from this processor any more; who is free takes its turn.
    pub fn end_rests(&mut self, processor: Processor) {
        let rests = |entry: &&InFlightPayment| entry.course.rest_ns[processor as usize] > 0;
        let ids: Vec<PaymentId> = self.table.iter().filter(rests).map(|it| it.id).collect();
        for id in ids {
            self.change(id, |entry| {
                entry.course.rest_ns[processor as usize] = 0;
                if !entry.is_bound() {
                    entry.course.due_ns = 0;
                }
            });
        }
    }

    /// When the next rest is over.
    pub fn wake_ns(&self) -> Option<u64> {
        self.resting.first().map(|(due_ns, _)| *due_ns)
    }

    /// The free one whose turn is first: of those that do not rest, the one that was accepted first.
    pub fn next_free(&self) -> Option<&InFlightPayment> {
        self.turns.first().and_then(|(_, id)| self.get(*id))
    }

    /// When the free one that was accepted last was.
    pub fn newest_free_us(&self) -> Option<u64> {
        self.free.last().map(|(accepted_us, _)| *accepted_us)
    }

    /// Adds one, or puts it in the place of what is known of it.
    pub fn put(&mut self, entry: InFlightPayment) {
        self.put_hashed(entry, self.hasher.hash(entry.id));
    }

    pub fn put_hashed(&mut self, entry: InFlightPayment, hash: u64) {
        if let Some(known) = self.table.find_mut(hash, |other| other.id == entry.id) {
            debug_assert_eq!(known.age(), entry.age());
            let before = std::mem::replace(known, entry);
            self.leave_turn(&before);
        } else {
            let hasher = self.hasher;
            let rehash = |entry: &InFlightPayment| hasher.hash(entry.id);
            self.table.insert_unique(hash, entry, rehash);
            self.ages.insert(entry.age());
        }
        if !entry.is_bound() {
            self.free.insert(entry.age());
            match entry.course.due_ns {
                0 => self.turns.insert(entry.age()),
                _ => self.resting.insert(entry.rest()),
            };
        }
    }

    fn leave_turn(&mut self, entry: &InFlightPayment) {
        if !entry.is_bound() {
            self.free.remove(&entry.age());
            self.turns.remove(&entry.age());
            self.resting.remove(&entry.rest());
        }
    }

    /// Changes one, whether it is bound or free; whether there is one.
    pub fn change(&mut self, id: PaymentId, change: impl FnOnce(&mut InFlightPayment)) -> bool {
        let Some(mut entry) = self.get(id).copied() else {
            return false;
        };
        change(&mut entry);
        self.put(entry);
        true
    }

    /// Changes one that is bound; whether there is one.
    pub fn change_bound(
        &mut self,
        id: PaymentId,
        change: impl FnOnce(&mut InFlightPayment),
    ) -> bool {
        let Some(mut entry) = self.get(id).copied().filter(InFlightPayment::is_bound) else {
            return false;
        };
        change(&mut entry);
        self.put(entry);
        true
    }

    /// Takes a payment out of the table.
    pub fn remove(&mut self, id: PaymentId) -> Option<InFlightPayment> {
        let hasher = self.hasher;
        let found = self
            .table
            .find_entry(hasher.hash(id), |entry| entry.id == id);
        let (entry, _) = found.ok()?.remove();
        self.ages.remove(&entry.age());
        self.leave_turn(&entry);
        if self.table.capacity() > 64 && self.table.len() < self.table.capacity() / 8 {
            let room = 2 * self.table.len();
            self.table.shrink_to(room, |entry| hasher.hash(entry.id));
        }
        Some(entry)
    }

    /// Empties the table: all payments are forgotten.
    pub fn clear(&mut self) {
        *self = InFlight::new(self.hasher);
    }
}
