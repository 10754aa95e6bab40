//! A run over time: one point an interval, and a bound for their number.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tally;

/// Beyond this many points, each two become one: an hour of seconds.
pub const POINTS_MAX: usize = 3_600;

/// What ended in one interval, or in several that became one point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// From the beginning of the measured time to the beginning of the interval, in seconds.
    pub at_s: f64,
    /// Length of the interval, in seconds. The last one may be shorter.
    pub length_s: f64,
    /// Replies that came, right or wrong. Those that came after the end of the run are not of its last interval.
    pub replies: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests begun late by galo-load's own fault.
    pub late: u64,
    /// Median of the latency, in microseconds; 0 when nothing was answered. Of intervals that became one point: the largest.
    pub p50_us: f64,
    /// Percentile 90 of the latency, in microseconds; 0 when nothing was answered. Of intervals that became one point: the
    /// largest.
    pub p90_us: f64,
    /// Percentile 99 of the latency, in microseconds; 0 when nothing was answered. Of intervals that became one point: the
    /// largest.
    pub p99_us: f64,
    /// The longest latency, in microseconds; 0 when nothing was answered.
    pub max_us: f64,
}

impl Point {
    /// Of an interval's tally.
    pub fn new(at: Duration, length: Duration, tally: &Tally) -> Point {
        let latency = tally.latency();
        let quantile_us = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
        Point {
            at_s: at.as_secs_f64(),
            length_s: length.as_secs_f64(),
            replies: tally.in_time,
            failed: tally.failed_count(),
            late: tally.late.by_tool,
            p50_us: quantile_us(0.5),
            p90_us: quantile_us(0.9),
            p99_us: quantile_us(0.99),
            max_us: latency.max() as f64 / 1e3,
        }
    }

    /// Replies a second.
    pub fn rate(&self) -> f64 {
        self.replies as f64 / self.length_s.max(1e-9)
    }

    /// This one and the next as one: sums, and the largest of each latency.
    pub fn merge(&self, next: &Point) -> Point {
        Point {
            at_s: self.at_s,
            length_s: self.length_s + next.length_s,
            replies: self.replies + next.replies,
            failed: self.failed + next.failed,
            late: self.late + next.late,
            p50_us: self.p50_us.max(next.p50_us),
            p90_us: self.p90_us.max(next.p90_us),
            p99_us: self.p99_us.max(next.p99_us),
            max_us: self.max_us.max(next.max_us),
        }
    }
}

/// Points in order of time.
#[derive(Clone, Debug)]
pub struct Series {
    points: Vec<Point>,
    /// Intervals in a point.
    fold: usize,
    /// The one that is being filled, and how many intervals it has.
    unfinished: Option<(Point, usize)>,
}

impl Default for Series {
    fn default() -> Series {
        Series {
            points: Vec::new(),
            fold: 1,
            unfinished: None,
        }
    }
}

impl Series {
    /// The next interval.
    pub fn push(&mut self, point: Point) {
        let (point, intervals) = match self.unfinished.take() {
            None => (point, 1),
            Some((earlier, intervals)) => (earlier.merge(&point), intervals + 1),
        };
        if intervals < self.fold {
            self.unfinished = Some((point, intervals));
            return;
        }
        self.points.push(point);
        if self.points.len() == POINTS_MAX {
            let pairs = self.points.chunks_exact(2);
            self.points = pairs.map(|pair| pair[0].merge(&pair[1])).collect();
            self.fold *= 2;
        }
    }

    /// All of them, the one that is being filled included.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        let unfinished = self.unfinished.iter().map(|(point, _)| point);
        self.points.iter().chain(unfinished)
    }
}

const _: () = assert!(POINTS_MAX.is_multiple_of(2));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_fewer_points_and_the_same_sums() {
        let mut series = Series::default();
        let count = 5 * POINTS_MAX + 3;
        for second in 0..count {
            series.push(Point {
                at_s: second as f64,
                length_s: 1.0,
                replies: 2,
                max_us: second as f64,
                ..Point::default()
            });
        }
        let points: Vec<_> = series.points().collect();
        assert!((POINTS_MAX / 2..=POINTS_MAX).contains(&points.len()));
        assert_eq!(
            points.iter().map(|point| point.replies).sum::<u64>(),
            2 * count as u64
        );
        assert_eq!(
            points.iter().map(|point| point.length_s).sum::<f64>(),
            count as f64
        );
        assert_eq!(points.last().unwrap().max_us, (count - 1) as f64);
        for pair in points.windows(2) {
            assert_eq!(pair[0].at_s + pair[0].length_s, pair[1].at_s);
        }
    }
}
