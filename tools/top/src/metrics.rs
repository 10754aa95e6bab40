//! What a node's `/metrics` says, in Prometheus' text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), as far as Galo uses it.

use std::collections::BTreeMap;

/// Samples by name.
#[derive(Clone, Debug, Default)]
pub struct Metrics(BTreeMap<String, Vec<Sample>>);

#[derive(Clone, Debug)]
struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(label, _)| label == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Metrics {
    /// `None`: a line is not of this format.
    pub fn parse(text: &str) -> Option<Metrics> {
        let mut metrics = Metrics::default();
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let (key, value) = line.rsplit_once(' ')?;
            let (name, labels) = match key.split_once('{') {
                None => (key, Vec::new()),
                Some((name, labels)) => (name, read_labels(labels.strip_suffix('}')?)?),
            };
            let value = value.parse().ok()?;
            let samples = metrics.0.entry(name.to_owned()).or_default();
            samples.push(Sample { labels, value });
        }
        Some(metrics)
    }

    fn samples(&self, name: &str) -> &[Sample] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The sum of a metric's samples.
    pub fn sum(&self, name: &str) -> f64 {
        self.samples(name).iter().map(|sample| sample.value).sum()
    }

    /// The sum of those whose label is so.
    pub fn sum_where(&self, name: &str, label: &str, is_so: impl Fn(&str) -> bool) -> f64 {
        let samples = self.samples(name).iter();
        let samples = samples.filter(|sample| is_so(sample.label(label)));
        samples.map(|sample| sample.value).sum()
    }

    /// The values of a label, in their order.
    pub fn label_values(&self, name: &str, label: &str) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        for sample in self.samples(name) {
            if !values.iter().any(|value| value == sample.label(label)) {
                values.push(sample.label(label).to_owned());
            }
        }
        values
    }

    /// A histogram's buckets: upper bound and how many were at most that.
    pub fn buckets(&self, name: &str, label: &str, is_so: impl Fn(&str) -> bool) -> Buckets {
        let mut buckets = Buckets::default();
        for sample in self
            .samples(name)
            .iter()
            .filter(|sample| is_so(sample.label(label)))
        {
            let bound = sample.label("le").parse().unwrap_or(f64::INFINITY);
            buckets.add(bound, sample.value);
        }
        buckets
    }
}

/// `a="b",c="d"`; none of Galo's values has an escape in it.
fn read_labels(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split_terminator("\",");
    let label = |part: &str| {
        let (name, value) = part.split_once("=\"")?;
        Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
    };
    parts.map(label).collect()
}

/// Of a histogram, ascending: upper bound in seconds, and how many were at most that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets(Vec<(f64, f64)>);

impl Buckets {
    fn add(&mut self, bound: f64, count: f64) {
        match self.0.iter_mut().find(|(other, _)| *other == bound) {
            Some((_, sum)) => *sum += count,
            None => self.0.push((bound, count)),
        }
    }

    /// Those of several nodes together.
    pub fn merge(&mut self, others: &Buckets) {
        for (bound, count) in &others.0 {
            self.add(*bound, *count);
        }
    }

    /// What came since.
    pub fn since(&self, before: &Buckets) -> Buckets {
        let earlier = |bound: f64| before.0.iter().find(|(other, _)| *other == bound);
        let buckets = self.0.iter().map(|(bound, count)| {
            let earlier = earlier(*bound).map_or(0.0, |(_, count)| *count);
            (*bound, (count - earlier).max(0.0))
        });
        Buckets(buckets.collect())
    }

    /// Interpolated within its bucket, as Prometheus' `histogram_quantile` does; `None`: nothing happened. Seconds.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let all = self.0.last()?.1;
        if all <= 0.0 {
            return None;
        }
        let rank = share * all;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= rank {
                let within = (rank - below) / (count - below);
                return Some(match bound.is_finite() {
                    true => lower + (bound - lower) * within,
                    false => lower,
                });
            }
            (lower, below) = (*bound, *count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP galo_requests_total Replies, by endpoint and status.
# TYPE galo_requests_total counter
galo_requests_total{endpoint=\"transacoes\",status=\"200\"} 100
galo_requests_total{endpoint=\"transacoes\",status=\"422\"} 20
galo_requests_total{endpoint=\"extrato\",status=\"200\"} 3
d_bucket{endpoint=\"extrato\",le=\"0.001\"} 50
d_bucket{endpoint=\"extrato\",le=\"0.003\"} 90
d_bucket{endpoint=\"extrato\",le=\"+Inf\"} 100
galo_up 1
";

    #[test]
    fn samples_are_read_with_their_labels() {
        let metrics = Metrics::parse(TEXT).unwrap();
        assert_eq!(metrics.sum("galo_requests_total"), 123.0);
        let ok = metrics.sum_where("galo_requests_total", "status", |status| status == "200");
        assert_eq!(
            (ok, metrics.sum("galo_up"), metrics.sum("nothing")),
            (103.0, 1.0, 0.0)
        );
        let endpoints = metrics.label_values("galo_requests_total", "endpoint");
        assert_eq!(endpoints, ["transacoes", "extrato"]);
        for wrong in ["galo_up", "galo_up one", "galo_up{a=\"b\" 1", "<html> 1x"] {
            assert!(Metrics::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_came_since() {
        let buckets = Metrics::parse(TEXT)
            .unwrap()
            .buckets("d_bucket", "endpoint", |_| true);
        assert_eq!(buckets.quantile(0.25), Some(0.0005));
        assert_eq!(buckets.quantile(0.7), Some(0.002));
        assert_eq!(
            buckets.quantile(0.99),
            Some(0.003),
            "beyond the last bound it is that"
        );
        assert_eq!(buckets.since(&buckets).quantile(0.5), None);
        let mut twice = buckets.clone();
        twice.merge(&buckets);
        assert_eq!(twice.since(&buckets), buckets);
        assert_eq!(Buckets::default().quantile(0.5), None);
    }
}
