//! Sums and distributions of requests.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::{FailureKind, Failures, Kind};

/// From this to [`LATENCY_NS_MAX`] latencies keep three digits; shorter ones are taken for it.
const LATENCY_NS_MIN: u64 = 100;
/// Longer ones are taken for it.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
const DIGITS: u8 = 3;

/// An empty one, of latencies in nanoseconds. Takes some 200 KB, whatever is recorded.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, DIGITS)
        .expect("bounds that are in order")
}

/// One request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// What it asked for.
    pub kind: Kind,
    /// From the moment it was due (in closed loop: was begun) to its end, the time for a connection included.
    pub latency: Duration,
    /// From its first byte sent to its end.
    pub service: Duration,
    /// Of its reply; `None`: there is none.
    pub status: Option<u16>,
    /// Of head and body.
    pub bytes: usize,
    /// It ended within the time that is measured.
    pub in_time: bool,
}

/// Requests that were begun later than they were due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// By the tool's own fault: a connection was free.
    pub by_tool: u64,
    /// The longest of those.
    pub by_tool_max: Duration,
    /// Because all connections waited for replies.
    pub by_target: u64,
}

/// Requests of one kind.
#[derive(Clone, Debug)]
pub struct KindTally {
    /// Ended, in whichever way.
    pub requests: u64,
    /// Of those, failed; see [`FailureKind`].
    pub failed: u64,
    /// See [`Sample::latency`]. Of replies, right or wrong, and of time-outs: to leave those out would make a
    /// server look the better the worse it is.
    pub latency: Histogram<u64>,
}

/// Requests of all kinds.
#[derive(Clone, Debug)]
pub struct Tally {
    kinds: [Option<Box<KindTally>>; Kind::ALL.len()],
    /// See [`Sample::service`]; of the same requests as [`KindTally::latency`].
    pub service: Histogram<u64>,
    /// The same of requests that succeeded: what the contest of 2025 takes its p99 of.
    pub service_succeeded: Histogram<u64>,
    /// Replies by status.
    pub statuses: BTreeMap<u16, u64>,
    /// What failed, and how.
    pub failures: Failures,
    /// Replies that came within the measured time.
    pub in_time: u64,
    /// Of replies.
    pub bytes: u64,
    /// What was not begun in time.
    pub late: Late,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            kinds: Default::default(),
            service: histogram(),
            service_succeeded: histogram(),
            statuses: BTreeMap::new(),
            failures: Failures::default(),
            in_time: 0,
            bytes: 0,
            late: Late::default(),
        }
    }
}

impl Tally {
    /// A request that ended well.
    pub fn succeeded(&mut self, sample: &Sample) {
        self.add(sample, true);
        self.service_succeeded
            .saturating_record(nanoseconds(sample.service));
    }

    /// A request that failed; `example` is asked for if there is none of its kind yet.
    pub fn failed(&mut self, sample: &Sample, kind: FailureKind, example: impl FnOnce() -> String) {
        self.add(
            sample,
            sample.status.is_some() || kind == FailureKind::TimeOut,
        );
        self.of_mut(sample.kind).failed += 1;
        self.failures.add(kind, example);
    }

    fn add(&mut self, sample: &Sample, timed: bool) {
        let kind = self.of_mut(sample.kind);
        kind.requests += 1;
        if timed {
            kind.latency.saturating_record(nanoseconds(sample.latency));
            self.service.saturating_record(nanoseconds(sample.service));
        }
        if let Some(status) = sample.status {
            *self.statuses.entry(status).or_default() += 1;
            self.in_time += u64::from(sample.in_time);
        }
        self.bytes += sample.bytes as u64;
    }

    /// One request was begun so much later than it could have been (`tool`), or than it was due because no
    /// connection was free (`target`).
    pub fn late(&mut self, tool: Option<Duration>, target: bool) {
        if let Some(delay) = tool {
            self.late.by_tool += 1;
            self.late.by_tool_max = self.late.by_tool_max.max(delay);
        }
        self.late.by_target += u64::from(target);
    }

    /// Those of one kind, if there were any.
    pub fn of(&self, kind: Kind) -> Option<&KindTally> {
        self.kinds[kind as usize].as_deref()
    }

    fn of_mut(&mut self, kind: Kind) -> &mut KindTally {
        self.kinds[kind as usize].get_or_insert_with(|| {
            Box::new(KindTally {
                requests: 0,
                failed: 0,
                latency: histogram(),
            })
        })
    }

    /// Kinds that there were, in order.
    pub fn kinds(&self) -> impl Iterator<Item = (Kind, &KindTally)> {
        Kind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind, self.of(kind)?)))
    }

    /// Ended, of all kinds.
    pub fn requests(&self) -> u64 {
        self.kinds().map(|(_, tally)| tally.requests).sum()
    }

    /// Failed, of all kinds.
    pub fn failed_count(&self) -> u64 {
        self.kinds().map(|(_, tally)| tally.failed).sum()
    }

    /// Latencies of all kinds.
    pub fn latency(&self) -> Histogram<u64> {
        let mut all = histogram();
        for (_, tally) in self.kinds() {
            all.add(&tally.latency).expect("the same bounds");
        }
        all
    }

    /// Those of another, too.
    pub fn merge(&mut self, other: &Tally) {
        for (kind, tally) in other.kinds() {
            let sum = self.of_mut(kind);
            sum.requests += tally.requests;
            sum.failed += tally.failed;
            sum.latency.add(&tally.latency).expect("the same bounds");
        }
        self.service.add(&other.service).expect("the same bounds");
        self.service_succeeded
            .add(&other.service_succeeded)
            .expect("the same bounds");
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.failures.merge(&other.failures);
        self.in_time += other.in_time;
        self.bytes += other.bytes;
        self.late.by_tool += other.late.by_tool;
        self.late.by_tool_max = self.late.by_tool_max.max(other.late.by_tool_max);
        self.late.by_target += other.late.by_target;
    }
}

/// They fit for 584 years.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kind: Kind, latency_us: u64, status: Option<u16>) -> Sample {
        Sample {
            kind,
            latency: Duration::from_micros(latency_us),
            service: Duration::from_micros(latency_us / 2),
            status,
            bytes: 100,
            in_time: true,
        }
    }

    #[test]
    fn sums_of_two_are_sums_of_all() {
        let mut one = Tally::default();
        one.succeeded(&sample(Kind::Debit, 1_000, Some(200)));
        one.failed(
            &sample(Kind::Debit, 9_000, Some(500)),
            FailureKind::WrongStatus,
            String::new,
        );
        let mut other = Tally::default();
        other.failed(
            &sample(Kind::Credit, 5_000, None),
            FailureKind::TimeOut,
            String::new,
        );
        other.failed(
            &sample(Kind::Credit, 1, None),
            FailureKind::Refused,
            String::new,
        );
        other.late(Some(Duration::from_millis(2)), false);
        one.merge(&other);
        assert_eq!((one.requests(), one.failed_count(), one.in_time), (4, 3, 2));
        assert_eq!(one.failures.count(), 3);
        // What was refused took no time of the target's; a time-out did.
        let latency = one.latency();
        assert_eq!((latency.len(), latency.max() / 10_000), (3, 900));
        // One of them ended well.
        let succeeded = &one.service_succeeded;
        assert_eq!((succeeded.len(), succeeded.max() / 10_000), (1, 50));
        assert_eq!(one.late.by_tool_max, Duration::from_millis(2));
    }
}
