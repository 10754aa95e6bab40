//! What is stored: by id, in the order of inserting, and in slices of time for the totals.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};

use super::Payment;

/// Of one slice of time. Totals of a window look at single payments in its first and last slice only.
const SLICE_US: u64 = 100_000;

/// Of some payments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Payments.
    pub count: u64,
    /// Their sum.
    pub cents: u128,
}

impl Totals {
    fn add(&mut self, count: u64, cents: u128) {
        self.count += count;
        self.cents += cents;
    }
}

/// Payments that were inserted and not purged.
#[derive(Debug, Default)]
pub struct Stored {
    /// In the order of inserting.
    payments: Vec<Payment>,
    /// Where each is in `payments`.
    places: HashMap<u128, u32, BuildHasherDefault<DefaultHasher>>,
    slices: BTreeMap<u64, Slice>,
    all: Totals,
}

#[derive(Debug, Default)]
struct Slice {
    totals: Totals,
    /// `requested_us` and cents.
    payments: Vec<(u64, u64)>,
}

impl Stored {
    /// In the order in which they were inserted.
    pub fn payments(&self) -> &[Payment] {
        &self.payments
    }

    /// As it was when it was first inserted.
    pub fn get(&self, id: u128) -> Option<Payment> {
        let place = self.places.get(&id)?;
        Some(self.payments[*place as usize])
    }

    /// Of all of them.
    pub const fn all(&self) -> Totals {
        self.all
    }

    /// Of those with `requestedAt` from one microsecond to another, both inclusive.
    pub fn between(&self, from_us: u64, to_us: u64) -> Totals {
        let mut sum = Totals::default();
        if from_us > to_us {
            return sum;
        }
        let (first, last) = (from_us / SLICE_US, to_us / SLICE_US);
        for (number, slice) in self.slices.range(first..=last) {
            if *number == first || *number == last {
                for (requested_us, cents) in &slice.payments {
                    if (from_us..=to_us).contains(requested_us) {
                        sum.add(1, u128::from(*cents));
                    }
                }
            } else {
                sum.add(slice.totals.count, slice.totals.cents);
            }
        }
        sum
    }

    /// Whether it was not there yet.
    pub(super) fn insert(&mut self, payment: Payment) -> bool {
        let place = u32::try_from(self.payments.len()).expect("memory for fewer than 4 billion");
        match self.places.entry(payment.id) {
            std::collections::hash_map::Entry::Occupied(_) => return false,
            std::collections::hash_map::Entry::Vacant(free) => free.insert(place),
        };
        self.payments.push(payment);
        let slice = self.slices.entry(payment.requested_us / SLICE_US);
        let slice = slice.or_default();
        slice.payments.push((payment.requested_us, payment.cents));
        slice.totals.add(1, u128::from(payment.cents));
        self.all.add(1, u128::from(payment.cents));
        true
    }
}
