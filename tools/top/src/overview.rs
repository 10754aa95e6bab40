//! What is shown: figures of each node and of all together, from two looks at them.

use std::collections::BTreeMap;

use crate::metrics::Buckets;
use crate::poll::Sample;

const DURATIONS: &str = "galo_request_duration_seconds_bucket";

/// All nodes at one time.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    pub nodes: Vec<NodeRow>,
    pub endpoints: Vec<EndpointRow>,
    /// By shard: who owns it; `None` nobody who has answered.
    pub owners: Vec<Option<String>>,
    pub payments: Option<PaymentsRow>,
}

#[derive(Clone, Debug)]
pub struct NodeRow {
    /// Where it was asked.
    pub target: String,
    /// `Err`: why it has not answered.
    pub node: Result<NodeFigures, String>,
}

/// Rates are a second's, since the last look; 0 at the first.
#[derive(Clone, Debug, Default)]
pub struct NodeFigures {
    pub name: String,
    pub status: String,
    pub uptime_s: f64,
    pub shards: usize,
    /// Links to other nodes that are not up.
    pub links_down: Vec<String>,
    pub connections: f64,
    pub requests: f64,
    /// 4xx and 5xx.
    pub refused: f64,
    pub failed: f64,
    pub p50_s: Option<f64>,
    pub p99_s: Option<f64>,
    /// Records in a journal write; `None`: nothing was written.
    pub batch: Option<f64>,
    pub journal_bytes: f64,
    pub snapshot_age_s: f64,
    pub resident_bytes: f64,
    pub takeovers: f64,
}

#[derive(Clone, Debug)]
pub struct EndpointRow {
    pub name: String,
    pub requests: f64,
    pub p50_s: Option<f64>,
    pub p99_s: Option<f64>,
}

#[derive(Clone, Debug, Default)]
pub struct PaymentsRow {
    pub open: u64,
    pub old: u64,
    pub in_doubt: u64,
    pub accepted: f64,
    pub refused: f64,
    pub processors: Vec<ProcessorRow>,
}

#[derive(Clone, Debug, Default)]
pub struct ProcessorRow {
    pub name: String,
    /// As the nodes have it, each once.
    pub circuits: Vec<String>,
    pub under_way: u64,
    pub window: u64,
    /// The longest.
    pub latency_ms: f64,
    pub failing: bool,
    pub settled: f64,
    pub failed: f64,
}

/// A node's two looks: now, and before if there was one.
type Pair<'a> = (&'a Sample, Option<&'a Sample>);

/// How fast a counter grows; one that is less than before belongs to another process.
fn rate((now, before): Pair<'_>, counter: impl Fn(&Sample) -> f64) -> f64 {
    let Some(before) = before else { return 0.0 };
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let grown = counter(now) - counter(before);
    if grown < 0.0 || seconds <= 0.0 {
        return 0.0;
    }
    grown / seconds
}

fn durations((now, before): Pair<'_>, is_so: impl Fn(&str) -> bool + Copy) -> Buckets {
    let of = |sample: &Sample| sample.metrics.buckets(DURATIONS, "endpoint", is_so);
    match before {
        Some(before) => of(now).since(&of(before)),
        None => of(now).since(&of(now)),
    }
}

impl Overview {
    pub fn of(
        targets: &[String],
        now: &[Result<Sample, String>],
        before: &[Result<Sample, String>],
    ) -> Overview {
        let before = before.iter().map(|sample| sample.as_ref().ok());
        let before = before.chain(std::iter::repeat(None));
        let looks: Vec<_> = now.iter().zip(before).collect();
        let rows = targets
            .iter()
            .zip(&looks)
            .map(|(target, (now, before))| NodeRow {
                target: target.clone(),
                node: now
                    .as_ref()
                    .map(|now| figures((now, *before)))
                    .map_err(Clone::clone),
            });
        let pairs: Vec<Pair<'_>> = looks
            .iter()
            .filter_map(|(now, before)| Some((now.as_ref().ok()?, *before)))
            .collect();
        Overview {
            nodes: rows.collect(),
            endpoints: endpoints(&pairs),
            owners: owners(&pairs),
            payments: payments(&pairs),
        }
    }

    /// Whether all is as it should be: every node answers and every shard has an owner.
    pub fn is_whole(&self) -> bool {
        self.nodes.iter().all(|row| row.node.is_ok()) && self.owners.iter().all(Option::is_some)
    }
}

fn figures(pair: Pair<'_>) -> NodeFigures {
    let (now, _) = pair;
    let (health, metrics) = (&now.health, &now.metrics);
    let rate_of = |name: &'static str| rate(pair, |sample| sample.metrics.sum(name));
    let statuses = |class: char| {
        let of_class = move |status: &str| status.starts_with(class);
        rate(pair, |sample| {
            sample
                .metrics
                .sum_where("galo_requests_total", "status", of_class)
        })
    };
    // How this is asked is not load.
    let durations = durations(pair, |endpoint| !matches!(endpoint, "health" | "metrics"));
    let writes = rate_of("galo_journal_writes_total");
    NodeFigures {
        name: health.node.clone(),
        status: health.status.clone(),
        uptime_s: health.uptime,
        shards: health.shards.len(),
        links_down: health
            .nodes
            .iter()
            .filter(|member| member.link == "down")
            .map(|member| member.name.clone())
            .collect(),
        connections: metrics.sum("galo_connections_open"),
        requests: rate_of("galo_requests_total"),
        refused: statuses('4'),
        failed: statuses('5'),
        p50_s: durations.quantile(0.5),
        p99_s: durations.quantile(0.99),
        batch: (writes > 0.0).then(|| rate_of("galo_journal_records_total") / writes),
        journal_bytes: rate_of("galo_journal_bytes_total"),
        snapshot_age_s: metrics.sum("galo_snapshot_age_seconds"),
        resident_bytes: metrics.sum("process_resident_memory_bytes"),
        takeovers: metrics.sum("galo_takeovers_total"),
    }
}

fn endpoints(pairs: &[Pair<'_>]) -> Vec<EndpointRow> {
    let Some((first, _)) = pairs.first() else {
        return Vec::new();
    };
    let names = first
        .metrics
        .label_values("galo_requests_total", "endpoint");
    let rows = names.into_iter().map(|name| {
        let is_it = |endpoint: &str| endpoint == name;
        let rates = pairs.iter().map(|pair| {
            rate(*pair, |sample| {
                sample
                    .metrics
                    .sum_where("galo_requests_total", "endpoint", is_it)
            })
        });
        let requests = rates.sum();
        let mut all = Buckets::default();
        for pair in pairs {
            all.merge(&durations(*pair, is_it));
        }
        EndpointRow {
            requests,
            p50_s: all.quantile(0.5),
            p99_s: all.quantile(0.99),
            name,
        }
    });
    rows.filter(|row| row.requests > 0.0).collect()
}

fn owners(pairs: &[Pair<'_>]) -> Vec<Option<String>> {
    let total = pairs
        .iter()
        .map(|(now, _)| now.health.shards_total)
        .max()
        .unwrap_or(0);
    let mut owners = vec![None; total as usize];
    for (now, _) in pairs {
        for owned in &now.health.shards {
            if let Some(owner) = owners.get_mut(owned.shard as usize) {
                *owner = Some(now.health.node.clone());
            }
        }
    }
    owners
}

fn payments(pairs: &[Pair<'_>]) -> Option<PaymentsRow> {
    let mut row = PaymentsRow::default();
    let mut processors = BTreeMap::<usize, ProcessorRow>::new();
    let mut has_any = false;
    for pair in pairs {
        let Some(payments) = &pair.0.health.payments else {
            continue;
        };
        has_any = true;
        row.open += payments.open;
        row.old += payments.old;
        row.in_doubt += payments.in_doubt;
        let rate_of = |name: &'static str| rate(*pair, |sample| sample.metrics.sum(name));
        row.accepted += rate_of("galo_payments_accepted_total");
        row.refused += rate_of("galo_payments_queue_full_total");
        for (number, it) in payments.processors.iter().enumerate() {
            let rate_of = |name: &'static str| {
                let is_its = |processor: &str| processor == it.name;
                rate(*pair, |sample| {
                    sample.metrics.sum_where(name, "processor", is_its)
                })
            };
            let processor = processors.entry(number).or_default();
            processor.name.clone_from(&it.name);
            if !processor.circuits.contains(&it.circuit) {
                processor.circuits.push(it.circuit.clone());
            }
            processor.under_way += it.under_way;
            processor.window += it.window;
            processor.latency_ms = processor.latency_ms.max(it.latency_ms);
            processor.failing |= it.failing;
            processor.settled += rate_of("galo_payments_settled_total");
            processor.failed += rate_of("galo_processor_failed_total")
                + rate_of("galo_processor_busy_total")
                + rate_of("galo_processor_unknown_total");
        }
    }
    row.processors = processors.into_values().collect();
    has_any.then_some(row)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::metrics::Metrics;

    /// A node after so many requests, at so many seconds.
    pub(crate) fn sample(
        at: Instant,
        seconds: u64,
        name: &str,
        shard: u32,
        requests: u32,
    ) -> Sample {
        let health = format!(
            r#"{{"status":"healthy","node":"{name}","uptime":{seconds},"shards_total":3,
            "nodes":[{{"name":"a","link":"self"}},{{"name":"b","link":"down"}}],"shards":[{{"shard":{shard}}}],
            "payments":{{"open":4,"old":1,"in_doubt":0,"processors":[{{"name":"default","circuit":"open","window":8,
            "under_way":3,"latency_ms":1.5,"failing":true}}]}}}}"#
        );
        let half = requests / 2;
        let metrics = format!(
            "galo_requests_total{{endpoint=\"extrato\",status=\"200\"}} {requests}\n\
             galo_requests_total{{endpoint=\"none\",status=\"503\"}} {half}\n\
             galo_request_duration_seconds_bucket{{endpoint=\"extrato\",le=\"0.001\"}} {half}\n\
             galo_request_duration_seconds_bucket{{endpoint=\"extrato\",le=\"+Inf\"}} {requests}\n\
             galo_journal_writes_total {half}\ngalo_journal_records_total {requests}\n\
             galo_payments_settled_total{{processor=\"default\"}} {requests}\n"
        );
        Sample {
            at: at + Duration::from_secs(seconds),
            health: serde_json::from_str(&health).unwrap(),
            metrics: Metrics::parse(&metrics).unwrap(),
        }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks_and_nodes_add_up() {
        let at = Instant::now();
        let targets = ["one", "two", "three"].map(str::to_owned);
        let down = || Err("connection refused".to_owned());
        let before = [
            Ok(sample(at, 0, "a", 0, 100)),
            Ok(sample(at, 0, "b", 1, 500)),
            down(),
        ];
        // The second has been started again since.
        let now = [
            Ok(sample(at, 2, "a", 0, 300)),
            Ok(sample(at, 2, "b", 2, 40)),
            down(),
        ];
        let overview = Overview::of(&targets, &now, &before);
        let [one, two, three] = &overview.nodes[..] else {
            panic!("{overview:?}")
        };
        let one = one.node.as_ref().unwrap();
        assert_eq!((one.requests, one.failed, one.refused), (150.0, 50.0, 0.0));
        assert_eq!(
            (one.batch, one.p50_s, one.links_down.clone()),
            (Some(2.0), Some(0.001), vec!["b".to_owned()])
        );
        assert_eq!(
            two.node.as_ref().unwrap().requests,
            0.0,
            "a counter began anew"
        );
        assert_eq!(three.node.as_ref().unwrap_err(), "connection refused");
        assert_eq!(
            overview.owners,
            [Some("a".to_owned()), None, Some("b".to_owned())]
        );
        assert!(!overview.is_whole());
        let payments = overview.payments.unwrap();
        assert_eq!(
            (payments.open, payments.old, payments.processors.len()),
            (8, 2, 1)
        );
        let default = &payments.processors[0];
        assert_eq!(
            (default.under_way, default.settled, default.failing),
            (6, 100.0, true)
        );
        assert_eq!(default.circuits, ["open"]);
        let endpoint = &overview.endpoints[0];
        assert_eq!(
            (endpoint.name.as_str(), endpoint.requests),
            ("extrato", 100.0)
        );
    }

    #[test]
    fn the_first_look_has_no_rates() {
        let now = [Ok(sample(Instant::now(), 0, "a", 0, 100))];
        let overview = Overview::of(&["one".to_owned()], &now, &[]);
        let node = overview.nodes[0].node.as_ref().unwrap();
        assert_eq!((node.requests, node.p99_s, node.batch), (0.0, None, None));
        assert!(overview.endpoints.is_empty());
    }
}
