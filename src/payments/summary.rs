//! Summaries: the number and the sum of the payments that processors have confirmed, within a window of time.

use super::Processor;

/// From when to when, both inclusive; microseconds since 1970. Empty where `from_us` is `to_us + 1`: bounds
/// between the same two microseconds; it is never more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first microsecond of it, since 1970.
    pub from_us: u64,
    /// The last microsecond of it, since 1970.
    pub to_us: u64,
}

impl Window {
    /// The window of all times.
    pub const ALL: Window = Window {
        from_us: 0,
        to_us: u64::MAX,
    };

    /// Whether a moment is in it.
    pub const fn contains(&self, time_us: u64) -> bool {
        self.from_us <= time_us && time_us <= self.to_us
    }
}

/// Payments that one processor has confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many payments they are.
    pub count: u64,
    /// The sum of their amounts.
    pub cents: u128,
}

/// Totals of both processors, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary(pub [Totals; 2]);

impl Summary {
    /// The totals of one processor.
    pub fn of(&self, processor: Processor) -> &Totals {
        &self.0[processor as usize]
    }

    /// Counts one more payment of a processor.
    pub fn add(&mut self, processor: Processor, cents: u64) {
        let totals = &mut self.0[processor as usize];
        totals.count += 1;
        totals.cents += u128::from(cents);
    }

    /// Adds the totals of another part (a shard, a node).
    pub fn merge(&mut self, other: &Summary) {
        for (totals, more) in self.0.iter_mut().zip(&other.0) {
            totals.count += more.count;
            totals.cents += more.cents;
        }
    }
}
