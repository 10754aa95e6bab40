//! Counters and gauges of one core's payments gateway, and of the processors as that core sees them.

use super::{Counter, ANOMALIES, PROCESSORS};

/// Counters and gauges of the payments gateway. The gauges are of this core and the shards that it owns.
#[derive(Default)]
pub struct PaymentStats {
    /// By the processor's number.
    pub processors: [ProcessorStats; PROCESSORS],
    /// Payments without a known outcome.
    pub open: Counter,
    /// Open payments that a processor may have, with no attempt under way.
    pub in_doubt: Counter,
    /// When the oldest open one was accepted, if there is one. Monotonic, and before the machine's start wrapped
    /// around 0: see [`Counter::age_ns`].
    pub oldest_ns: Counter,
    /// Open payments that were accepted more than a minute ago.
    pub old: Counter,
    /// Since when some are open; monotonic nanoseconds. 0: none is.
    pub open_since_ns: Counter,
    /// When one was last settled; monotonic nanoseconds.
    pub settled_ns: Counter,
    /// Payments accepted, repeats not counted.
    pub accepted: Counter,
    /// Payments refused because as many were open as may be.
    pub queue_full: Counter,
    /// Given to the dearer processor because waiting would have broken the deadline.
    pub fallback_for_deadline: Counter,
    /// Given to the dearer processor because the queue was near its bound.
    pub fallback_for_room: Counter,
}

/// Counters of one processor.
#[derive(Default)]
pub struct ProcessorStats {
    /// 0: closed; 1: open; 2: half-open.
    pub circuit: Counter,
    /// How many it may have at a time now.
    pub window: Counter,
    /// Payments sent to it and not yet answered.
    pub under_way: Counter,
    /// From a request to its reply, as of late. Nanoseconds.
    pub latency_ns: Counter,
    /// It says that it fails: 1.
    pub failing: Counter,
    /// What it says that it takes at least. Milliseconds.
    pub response_min_ms: Counter,
    /// When it last said so; monotonic. 0: it has not.
    pub health_ns: Counter,
    /// Payments that it has confirmed.
    pub settled: Counter,
    /// The cents of the confirmed payments.
    pub settled_cents: Counter,
    /// Attempts that it refused for a failure.
    pub failed: Counter,
    /// Attempts that it refused with 429.
    pub busy: Counter,
    /// Attempts without an outcome.
    pub unknown: Counter,
    /// Status queries about one payment.
    pub lookups: Counter,
    /// Answers that make no sense, by the anomaly's number.
    pub anomalies: [Counter; ANOMALIES],
    /// It has said something that only a processor says: 1.
    pub understood: Counter,
}
