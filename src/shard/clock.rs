//! A shard's time, and how it is told to clients.
//!
//! | | what it is | what it is for |
//! |---|---|---|
//! | the shard's time | goes as `CLOCK_MONOTONIC` does, and never back; the time of every record | durations: how long a key is remembered, how long a payment has waited |
//! | real time | `CLOCK_REALTIME`; steps either way | moments that somebody is told: `realizada_em`, `accepted_at`, `requestedAt` |
//!
//! Both are microseconds since 1970, and the same until the system's clock steps for the first time. From then on
//! they differ by the *offset*, which a record of the journal tells (`clock`, in front of the first record that
//! needs it) and every snapshot. So what is replayed has the moments, and the ages, that it had.
//!
//! Who recovers a shard knows the last record's time, and only real time to go on from it: nobody compares his
//! `CLOCK_MONOTONIC` with another process's, which may be of another boot or another time namespace. Real time
//! cannot tell the time that has passed since (the *gap*) from a step, so what is assumed is what does least
//! damage:
//!
//! | real time says | the shard's time | keys | payments that wait |
//! |---|---|---|---|
//! | later than the last record | goes on by the gap | none of it counts: they are remembered for longer | all of it counts: should it be a step, they are overdue too early |
//! | earlier | stands still | nothing counts | nothing counts: they are overdue too late, by what has passed since the last record |
//!
//! How much of a gap does not count for keys is in the `clock` record, too.
//!
//! Owners on several machines have clocks that differ. There a moment is never before that of the last record: behind an owner
//! whose clock was ahead, moments stay where they are while nothing happens, and go on from there, until the next one's clock is
//! as far.

use crate::limits::{CLOCK_APART_US, SECOND_US};
use crate::machine::Now;

/// A reading of the clocks, as a `clock` record has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Real time less the shard's time, from this record on. Microseconds.
    pub offset_us: i64,
    /// Before this record, so much went by that keys from before it are not to feel. Microseconds.
    pub gap_us: u64,
}

/// The shard's time, and how real time differs from it.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// Real time less the shard's time.
    offset_us: i64,
    /// The offset as the journal has it, the batch included.
    told_us: i64,
    /// A gap by which keys are not to age, until its record is written. Microseconds.
    gap_us: u64,
    /// That record is in the batch.
    telling_gap: bool,
    /// [`told_us`](Self::told_us) before the batch.
    written_us: i64,
    /// `CLOCK_MONOTONIC` in nanoseconds, and the shard's time then. `None`: nobody has told us the time yet.
    anchor: Option<(u64, u64)>,
    /// See [`Clock::keep_order`].
    in_order: bool,
}

impl Clock {
    /// A clock that was not read yet, with the offset of a snapshot.
    pub fn new(offset_us: i64) -> Clock {
        Clock {
            offset_us,
            told_us: offset_us,
            gap_us: 0,
            telling_gap: false,
            written_us: offset_us,
            anchor: None,
            in_order: false,
        }
    }

    /// From now on no record's moment is before the last one's.
    pub fn keep_order(&mut self) {
        self.in_order = true;
    }

    /// The shard's time; `last_us`: of its last record.
    pub fn time_us(&self, now: Now, last_us: u64) -> u64 {
        let time_us = match self.anchor {
            Some((anchor_ns, time_us)) => {
                time_us.saturating_add(now.monotonic_ns.saturating_sub(anchor_ns) / 1_000)
            }
            None => now.realtime_us.saturating_add_signed(-self.offset_us),
        };
        time_us.max(last_us)
    }

    /// [`time_us`](Self::time_us), and learns how real time differs from it. `has_keys`: there are some that a gap
    /// would cut short.
    pub fn tell(&mut self, now: Now, last_us: u64, has_keys: bool) -> u64 {
        let time_us = self.time_us(now, last_us);
        if self.anchor.is_none() {
            self.anchor = Some((now.monotonic_ns, time_us));
            if has_keys {
                self.gap_us = time_us - last_us;
            }
            let behind_us = self.moment_us(time_us).saturating_sub(now.realtime_us);
            if behind_us > SECOND_US {
                log::warn!(
                    "the clock is {:.3} s behind the last record: it was set back; nothing is older for that",
                    behind_us as f64 / 1e6
                );
            }
        }
        let mut real_us = now.realtime_us;
        if self.in_order {
            real_us = real_us.max(last_us.saturating_add_signed(self.told_us));
        }
        if self.moment_us(time_us).abs_diff(real_us) > CLOCK_APART_US {
            self.offset_us = real_us.wrapping_sub(time_us) as i64;
        }
        time_us
    }

    /// The shard's time as real time.
    pub fn moment_us(&self, time_us: u64) -> u64 {
        time_us.saturating_add_signed(self.offset_us)
    }

    /// What keys see of the shard's time.
    pub fn keys_us(&self, time_us: u64) -> u64 {
        time_us.saturating_sub(self.gap_us)
    }

    /// The offset in the journal, the batch included.
    pub fn told_us(&self) -> i64 {
        self.told_us
    }

    /// What is to be put into the batch in front of its next record.
    pub fn untold(&mut self) -> Option<Reading> {
        let tells_gap = self.gap_us > 0 && !self.telling_gap;
        if !tells_gap && self.told_us == self.offset_us {
            return None;
        }
        self.told_us = self.offset_us;
        self.telling_gap |= tells_gap;
        Some(Reading {
            offset_us: self.offset_us,
            gap_us: if tells_gap { self.gap_us } else { 0 },
        })
    }

    /// The batch is written: the gap that it tells of, which keys from before the batch are to be spared.
    pub fn written(&mut self) -> Option<u64> {
        self.written_us = self.told_us;
        let told = std::mem::take(&mut self.telling_gap);
        told.then(|| std::mem::take(&mut self.gap_us))
    }

    /// Takes back the readings of a batch that was not written.
    pub fn refused(&mut self) {
        self.told_us = self.written_us;
        self.telling_gap = false;
    }

    /// A record of the journal says this.
    pub fn replay(&mut self, reading: Reading) {
        *self = Clock {
            in_order: self.in_order,
            ..Clock::new(reading.offset_us)
        };
    }
}
