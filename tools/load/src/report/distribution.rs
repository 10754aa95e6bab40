//! How latencies are distributed.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Latencies in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// The mean.
    pub mean_us: f64,
    /// The standard deviation.
    pub stdev_us: f64,
    /// The least.
    pub min_us: f64,
    /// The median.
    pub p50_us: f64,
    /// See [`PERCENTILES`].
    pub p75_us: f64,
    /// The same.
    pub p90_us: f64,
    /// The same.
    pub p95_us: f64,
    /// The same.
    pub p99_us: f64,
    /// The same.
    pub p99_9_us: f64,
    /// The same.
    pub p99_99_us: f64,
    /// The largest.
    pub max_us: f64,
    /// How many lie between which bounds, on a logarithmic scale; empty ones are left out.
    pub buckets: Vec<Bucket>,
}

/// Of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    /// Its lower bound, inclusive.
    pub from_us: f64,
    /// Its upper bound, exclusive.
    pub to_us: f64,
    /// How many.
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
const BUCKETS_PER_DECADE: i32 = 10;

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
        let bound = |number: i32| 10_f64.powf(f64::from(number) / f64::from(BUCKETS_PER_DECADE));
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
            mean_us: histogram.mean() / 1e3,
            stdev_us: histogram.stdev() / 1e3,
            min_us: us(histogram.min()),
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
