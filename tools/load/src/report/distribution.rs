//! How latencies are distributed.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rounded;

/// How times are distributed, in microseconds. All are 0 when none was taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// How many times were taken.
    pub count: u64,
    /// The mean.
    pub mean_us: f64,
    /// The standard deviation.
    pub stdev_us: f64,
    /// The shortest.
    pub min_us: f64,
    /// The median: one half took at most as long.
    pub p50_us: f64,
    /// 75% took at most as long.
    pub p75_us: f64,
    /// 90% took at most as long.
    pub p90_us: f64,
    /// 95% took at most as long.
    pub p95_us: f64,
    /// 99% took at most as long.
    pub p99_us: f64,
    /// 99.9% took at most as long.
    pub p99_9_us: f64,
    /// 99.99% took at most as long.
    pub p99_99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// How many lie between which bounds, ten buckets for each factor of ten; empty ones are left out.
    pub buckets: Vec<Bucket>,
}

/// How many times lie between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    /// The lower bound, inclusive.
    pub from_us: f64,
    /// The upper bound, exclusive.
    pub to_us: f64,
    /// How many times lie between them.
    pub count: u64,
}

/// Percentiles that are reported, in percent, beside the names under which they stand.
pub const PERCENTILES: [(&str, f64); 7] = [
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
];

/// Buckets for each factor of ten.
pub const BUCKETS_PER_DECADE: i32 = 10;

impl Distribution {
    /// Of latencies in nanoseconds.
    pub fn new(histogram: &Histogram<u64>) -> Distribution {
        if histogram.is_empty() {
            return Distribution::default();
        }
        let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        let percentile_us = |percent: f64| us(histogram.value_at_quantile(percent / 100.0));
        let [p50_us, p75_us, p90_us, p95_us, p99_us, p99_9_us, p99_99_us] =
            PERCENTILES.map(|(_, percent)| percentile_us(percent));
        let number = |us: f64| (us.log10() * f64::from(BUCKETS_PER_DECADE)).floor() as i32;
        let bound = |number: i32| {
            rounded(
                10_f64.powf(f64::from(number) / f64::from(BUCKETS_PER_DECADE)),
                3,
            )
        };
        let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
        for value in histogram.iter_recorded() {
            let at = us(value.value_iterated_to()).max(0.1);
            *counts.entry(number(at)).or_default() += value.count_since_last_iteration();
        }
        let buckets = counts.into_iter().map(|(number, count)| Bucket {
            from_us: bound(number),
            to_us: bound(number + 1),
            count,
        });
        Distribution {
            count: histogram.len(),
            mean_us: rounded(histogram.mean() / 1e3, 3),
            stdev_us: rounded(histogram.stdev() / 1e3, 3),
            min_us: us(histogram.highest_equivalent(histogram.min())).max(0.1),
            p50_us,
            p75_us,
            p90_us,
            p95_us,
            p99_us,
            p99_9_us,
            p99_99_us,
            max_us: us(histogram.max()),
            buckets: buckets.collect(),
        }
    }

    /// In the order of [`PERCENTILES`], in microseconds.
    pub fn percentiles_us(&self) -> [f64; PERCENTILES.len()] {
        [
            self.p50_us,
            self.p75_us,
            self.p90_us,
            self.p95_us,
            self.p99_us,
            self.p99_9_us,
            self.p99_99_us,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::histogram;

    #[test]
    fn every_latency_is_in_one_bucket() {
        let mut latencies = histogram();
        for ns in [
            100,
            999,
            1_000,
            10_000,
            84_000,
            84_001,
            7_214_000,
            600_000_000_000,
        ] {
            latencies.record(ns).unwrap();
        }
        let distribution = Distribution::new(&latencies);
        let counts = distribution.buckets.iter().map(|bucket| bucket.count);
        assert_eq!((distribution.count, counts.sum::<u64>()), (8, 8));
        for pair in distribution.buckets.windows(2) {
            assert!(pair[0].from_us < pair[0].to_us && pair[0].to_us <= pair[1].from_us);
        }
        let (first, last) = (
            distribution.buckets[0],
            distribution.buckets.last().unwrap(),
        );
        assert!(first.from_us <= distribution.min_us && distribution.min_us < first.to_us);
        assert!(last.from_us <= distribution.max_us && distribution.max_us < last.to_us);
        // Three digits of it are kept.
        assert!((distribution.max_us / 600e6 - 1.0).abs() < 1e-3);
    }

    #[test]
    fn of_nothing_all_is_zero() {
        assert_eq!(Distribution::new(&histogram()), Distribution::default());
    }
}
