//! The clock, read once per tick and nowhere else.

use crate::machine::Now;
use nix::time::{clock_gettime, ClockId};

/// Readings of the clocks until they are close together: this thread may be kept from the CPU in between, and
/// that is not to look like a step.
const READINGS: usize = 3;
/// Two readings at most this far apart are of one moment. Nanoseconds.
const CLOSE_NS: u64 = 100_000;

/// Reads both clocks (through the vDSO: no system call).
pub(super) fn now() -> Now {
    let mut monotonic_before_ns = monotonic_ns();
    for reading in 1.. {
        let realtime_us = realtime_us();
        let monotonic_ns = monotonic_ns();
        if monotonic_ns - monotonic_before_ns <= CLOSE_NS || reading == READINGS {
            return Now {
                monotonic_ns,
                realtime_us,
            };
        }
        monotonic_before_ns = monotonic_ns;
    }
    unreachable!("the last reading is taken as it is")
}

/// `CLOCK_REALTIME`, microseconds since 1970; before that, 0.
fn realtime_us() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_REALTIME).expect("CLOCK_REALTIME exists");
    u64::try_from(time.tv_sec()).map_or(0, |seconds| {
        seconds * 1_000_000 + time.tv_nsec() as u64 / 1_000
    })
}

/// The time by `CLOCK_MONOTONIC`, nanoseconds.
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}
