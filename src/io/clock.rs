//! The clock, read once per tick and nowhere else.

use super::Now;
use nix::time::{clock_gettime, ClockId};

/// Reads both clocks (through the vDSO: no system call).
pub(super) fn now() -> Now {
    Now {
        monotonic_ns: monotonic_ns(),
        realtime_us: {
            let time = clock_gettime(ClockId::CLOCK_REALTIME).expect("CLOCK_REALTIME exists");
            time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1_000
        },
    }
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}
