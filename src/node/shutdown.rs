//! A graceful stop: what it still waits for, and for how long.

use crate::limits::{STOP_GRACE_NS, STOP_NS_MAX, STOP_QUERIES_NS};

/// A stop in progress; all times are monotonic.
pub(super) struct Stop {
    /// Until then, idle connections may still bring a request that was on its way.
    pub(super) grace_ns: u64,
    /// From then on, whatever takes time is answered as it stands.
    pub(super) queries_ns: u64,
    /// From then on, whatever is unfinished is given up.
    pub(super) deadline_ns: u64,
}

impl Stop {
    pub(super) fn begin(now_ns: u64) -> Stop {
        Stop {
            grace_ns: now_ns + STOP_GRACE_NS,
            queries_ns: now_ns + STOP_QUERIES_NS,
            deadline_ns: now_ns + STOP_NS_MAX,
        }
    }
}
