//! What is known of a run when an interval has ended, as far as it is shown.

use std::time::Duration;

use crate::engine::Progress;
use crate::measure::{FailureKind, Kind, Late, Point};
use crate::report::Distribution;

/// Of an example.
const EXAMPLE_LINES: usize = 3;

/// Of the whole run so far, except where it says otherwise.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// Of the measured time.
    pub(super) elapsed: Duration,
    /// How long the run takes, as far as can be told.
    pub(super) expected: Option<Duration>,
    /// The interval that ended last.
    pub(super) point: Point,
    /// Replies a second.
    pub(super) mean_rate: f64,
    /// From when requests were due.
    pub(super) latency: Distribution,
    /// From the first byte sent.
    pub(super) service: Distribution,
    /// Ended in whichever way.
    pub(super) requests: u64,
    /// Of those, failed.
    pub(super) failed: u64,
    /// Replies by status.
    pub(super) statuses: Vec<(u16, u64)>,
    /// By kind, in order.
    pub(super) kinds: Vec<KindStanding>,
    /// Most frequent first.
    pub(super) failures: Vec<FailureStanding>,
    /// What was not begun in time.
    pub(super) late: Late,
    /// Of replies.
    pub(super) bytes: u64,
}

/// One kind of request.
#[derive(Clone, Debug)]
pub(super) struct KindStanding {
    pub(super) kind: Kind,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// One kind of failure.
#[derive(Clone, Debug)]
pub(super) struct FailureStanding {
    pub(super) kind: FailureKind,
    pub(super) count: u64,
    /// Its example's first lines on one: request, body, what is wrong.
    pub(super) example: String,
}

impl Standing {
    /// `None` during the warm-up.
    pub(super) fn new(progress: &Progress<'_>) -> Option<Standing> {
        let (point, total) = (*progress.point?, progress.total);
        let kinds = total.kinds().map(|(kind, tally)| KindStanding {
            kind,
            requests: tally.requests,
            failed: tally.failed,
            p50_us: tally.latency.value_at_quantile(0.5) as f64 / 1e3,
            p99_us: tally.latency.value_at_quantile(0.99) as f64 / 1e3,
        });
        let failures = total.failures.most_frequent().into_iter();
        let failures = failures.map(|(kind, count, example)| FailureStanding {
            kind,
            count,
            example: one_line(example),
        });
        let seconds = progress.elapsed.as_secs_f64();
        let expected = seconds / progress.part;
        Some(Standing {
            elapsed: progress.elapsed,
            expected: Duration::try_from_secs_f64(expected).ok(),
            point,
            mean_rate: total.in_time as f64 / seconds.max(1e-9),
            latency: Distribution::new(&total.latency()),
            service: Distribution::new(&total.service),
            requests: total.requests(),
            failed: total.failed_count(),
            statuses: total
                .statuses
                .iter()
                .map(|(status, count)| (*status, *count))
                .collect(),
            kinds: kinds.collect(),
            failures: failures.collect(),
            late: total.late,
            bytes: total.bytes,
        })
    }

    /// Requests that ended without a reply.
    pub(super) fn no_reply(&self) -> u64 {
        let replies: u64 = self.statuses.iter().map(|(_, count)| count).sum();
        self.requests.saturating_sub(replies)
    }

    /// The measured time, `since` the interval ended, and its share of the whole, 0 to 1. The time that is waited for the
    /// last replies is not measured.
    pub(super) fn now(&self, since: Duration) -> (Duration, f64) {
        let elapsed = self.elapsed + since;
        match self.expected {
            Some(expected) if elapsed < expected => {
                (elapsed, elapsed.as_secs_f64() / expected.as_secs_f64())
            }
            Some(expected) => (expected.max(self.elapsed), 1.0),
            None => (elapsed, 0.0),
        }
    }
}

/// As much of an example as can matter on one line.
fn one_line(example: &str) -> String {
    let lines = example.lines().take(EXAMPLE_LINES);
    let lines = lines.map(|line| line.trim_end_matches(" HTTP/1.1"));
    lines.collect::<Vec<_>>().join(" · ")
}
