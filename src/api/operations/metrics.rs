//! `/metrics`: Prometheus' text format 0.0.4, or OpenMetrics 1.0, with the same names and samples.

use std::fmt::{Arguments, Display};
use std::io::Write as _;

use super::payments::{oldest_age_ns, sum_of, Seen};
use super::{Endpoint, Process};
use crate::http::Status;
use crate::machine::Now;
use crate::payments::answers::Anomaly;
use crate::payments::Processor;
use crate::stats::{CoreStats, Counter, EngineStats, ProcessorStats, Stats, DURATION_BOUNDS_NS};
use Source::{OfEngine, Samples, Sum, SumEach, Value, ValueEach};

/// Name, type, names of the labels, where the samples come from, and help.
type Metric = (
    &'static str,
    &'static str,
    &'static [&'static str],
    Source,
    &'static str,
);

enum Source {
    /// One sample: a counter of all cores.
    Sum(fn(&CoreStats) -> &Counter),
    /// One sample of each processor: a counter of all cores.
    SumEach(fn(&ProcessorStats) -> &Counter),
    /// One sample, computed from what the view has.
    Value(fn(&View<'_>) -> f64),
    /// One sample: how it is with the engine now.
    OfEngine(fn(&EngineStats, u64) -> f64),
    /// One sample of each processor, if it has one.
    ValueEach(fn(&Seen) -> Option<f64>),
    /// As many samples as the function adds.
    Samples(fn(&View<'_>, &mut Family<'_>)),
}

/// The sources of the samples.
struct View<'a> {
    process: &'a Process,
    stats: &'a Stats,
    processors: [(Processor, Seen); 2],
    now_ns: u64,
}

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.
    OpenMetrics,
}

/// Where the samples of one metric go.
struct Family<'a> {
    body: &'a mut Vec<u8>,
    format: MetricsFormat,
    name: &'static str,
    labels: &'static [&'static str],
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";
const HISTOGRAM: &str = "histogram";
const EACH: &[&str] = &["processor"];

/// Metrics that every process has.
#[rustfmt::skip]
const PROCESS: [Metric; 24] = [
    ("galo_build_info", GAUGE, &["version", "commit", "driver"], Samples(build),
        "What this is; always 1."),
    ("galo_requests_total", COUNTER, &["endpoint", "status"], Samples(requests),
        "Replies, by endpoint and status."),
    ("galo_request_duration_seconds", HISTOGRAM, &["endpoint", "le"], Samples(durations),
        "From a request's last byte to the release of its reply."),
    ("galo_connections_open", GAUGE, &[], Sum(|core| &core.connections),
        "Clients connected."),
    ("galo_connections_total", COUNTER, &[], Sum(|core| &core.connections_total),
        "Connections accepted."),
    ("galo_connections_refused_total", COUNTER, &[], Sum(|core| &core.connections_refused),
        "Connections refused at the bound."),
    ("galo_clients_evicted_total", COUNTER, &[], Sum(|core| &core.clients_evicted),
        "Connections closed because clients' buffers reached their bound."),
    ("galo_client_buffers_bytes", GAUGE, &[], Sum(|core| &core.client_buffers),
        "Memory of what clients have sent or are to read."),
    ("galo_forwards_total", COUNTER, &[], Sum(|core| &core.forwards),
        "Commands sent to another core, of this process or another."),
    ("galo_takeovers_total", COUNTER, &[], Sum(|core| &core.takeovers),
        "Shards taken over from another node."),
    ("galo_handbacks_total", COUNTER, &[], Sum(|core| &core.handbacks),
        "Shards that came back home from another node."),
    ("galo_retries_total", COUNTER, &[], Sum(|core| &core.retries),
        "Commands sent or carried out again after their owner was lost."),
    ("galo_duplicates_total", COUNTER, &[], Sum(|core| &core.duplicates),
        "Repeated commands that got their first outcome again."),
    ("galo_journal_records_total", COUNTER, &[], Sum(|core| &core.journal_records),
        "Records appended."),
    ("galo_journal_bytes_total", COUNTER, &[], Sum(|core| &core.journal_bytes),
        "Bytes appended."),
    ("galo_journal_writes_total", COUNTER, &[], Sum(|core| &core.journal_writes),
        "Writes that appended them."),
    ("galo_journal_full_total", COUNTER, &[], Sum(|core| &core.journal_full),
        "Writes that found the disk full."),
    ("galo_journal_syncs_total", COUNTER, &[], Sum(|core| &core.journal_syncs),
        "Calls of fdatasync."),
    ("galo_snapshots_total", COUNTER, &[], Sum(|core| &core.snapshots),
        "Snapshots finished."),
    ("galo_shards_owned", GAUGE, &[], Value(|view| view.stats.owned().count() as f64),
        "Shards that this process owns."),
    ("galo_links_up", GAUGE, &[], Value(|view| view.stats.links_up() as f64),
        "Links to cores of other nodes that are up."),
    ("galo_snapshot_age_seconds", GAUGE, &[], Value(snapshot_age_s),
        "Of the oldest shard's newest snapshot."),
    ("process_resident_memory_bytes", GAUGE, &[], Value(|view| (view.process.resident_bytes)() as f64),
        "Resident memory."),
    ("process_start_time_seconds", GAUGE, &[], Value(|view| view.process.started_us as f64 / 1e6),
        "Since 1970."),
];

/// Metrics of a process that has payment processors.
#[rustfmt::skip]
const PAYMENTS: [Metric; 21] = [
    ("galo_payments_open", GAUGE, &[], Sum(|core| &core.payments.open),
        "Payments without a known outcome, of this process's shards."),
    ("galo_payments_old", GAUGE, &[], Sum(|core| &core.payments.old),
        "Of those, accepted more than a minute ago."),
    ("galo_payments_in_doubt", GAUGE, &[], Sum(|core| &core.payments.in_doubt),
        "Of the open ones, with a processor that may have them, and not under way to it."),
    ("galo_payments_accepted_total", COUNTER, &[], Sum(|core| &core.payments.accepted),
        "Payments accepted."),
    ("galo_payments_queue_full_total", COUNTER, &[], Sum(|core| &core.payments.queue_full),
        "Payments refused because as many were open as may be."),
    ("galo_payments_oldest_seconds", GAUGE, &[], Value(oldest_age_s),
        "Since the oldest open one was accepted; 0 for none."),
    ("galo_payments_dearer_total", COUNTER, &["reason"], Samples(dearer),
        "Given to the processor that costs more, and why: the deadline, or the queue's room."),
    ("galo_processor_circuit", GAUGE, EACH, ValueEach(|seen| Some(seen.circuit as u8 as f64)),
        "0 closed, 1 open, 2 half-open or not the same at all cores."),
    ("galo_processor_window", GAUGE, EACH, ValueEach(|seen| Some(seen.window as f64)),
        "Payments that it may have at a time now."),
    ("galo_processor_under_way", GAUGE, EACH, ValueEach(|seen| Some(seen.under_way as f64)),
        "Payments under way to it."),
    ("galo_processor_latency_seconds", GAUGE, EACH, ValueEach(|seen| Some(seen.latency_ns as f64 / 1e9)),
        "From a payment's request to its reply, as of late."),
    ("galo_processor_failing", GAUGE, EACH, ValueEach(|seen| Some(seen.failing.into())),
        "It says that it fails: 1."),
    ("galo_processor_response_min_seconds", GAUGE, EACH, ValueEach(|seen| Some(seen.response_min_ms as f64 / 1e3)),
        "What it says that a payment takes at least."),
    ("galo_processor_health_age_seconds", GAUGE, EACH, ValueEach(|seen| Some(seen.health_age_ns? as f64 / 1e9)),
        "Since it said so."),
    ("galo_payments_settled_total", COUNTER, EACH, SumEach(|it| &it.settled),
        "Payments that it has confirmed."),
    ("galo_payments_settled_cents_total", COUNTER, EACH, SumEach(|it| &it.settled_cents),
        "Their sum."),
    ("galo_processor_failed_total", COUNTER, EACH, SumEach(|it| &it.failed),
        "Attempts that it refused for a failure."),
    ("galo_processor_busy_total", COUNTER, EACH, SumEach(|it| &it.busy),
        "Attempts that it refused with 429."),
    ("galo_processor_unknown_total", COUNTER, EACH, SumEach(|it| &it.unknown),
        "Attempts without an outcome."),
    ("galo_processor_lookups_total", COUNTER, EACH, SumEach(|it| &it.lookups),
        "Questions about one payment."),
    ("galo_processor_anomalies_total", COUNTER, &["processor", "reason"], Samples(anomalies),
        "Answers of it that make no sense."),
];

/// Metrics of a process whose shards' journals an engine keeps.
#[rustfmt::skip]
const ENGINE: [Metric; 8] = [
    ("galo_engine_connected", GAUGE, &[], OfEngine(|engine, _| engine.is_connected().into()),
        "The engine can be asked: 1."),
    ("galo_engine_lease", GAUGE, &[], OfEngine(|engine, now_ns| engine.lease_lasts(now_ns).into()),
        "The leases of all cores last: 1. Otherwise reads are refused."),
    ("galo_engine_log_seen", GAUGE, &[], OfEngine(|engine, _| engine.log_seen() as f64),
        "The last record of the engine's log that all cores have seen."),
    ("galo_engine_log_last", GAUGE, &[], OfEngine(|engine, _| engine.log_last() as f64),
        "The log's last record, as looked at every 5 s, or seen since."),
    ("galo_engine_appends_total", COUNTER, &[], OfEngine(|engine, _| engine.sum(|core| &core.appends) as f64),
        "Batches that are in the log."),
    ("galo_engine_append_seconds_total", COUNTER, &[], OfEngine(|engine, _| engine.sum(|core| &core.append_ns) as f64 / 1e9),
        "From sending them to knowing so, added up."),
    ("galo_engine_unacknowledged_seconds", GAUGE, &[], OfEngine(|engine, now_ns| engine.under_way_age_ns(now_ns) as f64 / 1e9),
        "Since the oldest batch was sent that is not known to be in the log; 0 for none."),
    ("galo_engine_alarms_total", COUNTER, &[], OfEngine(|engine, _| engine.sum(|core| &core.alarms) as f64),
        "What is wrong with the log, told again as long as it lasts: see its lines in Galo's log."),
];

/// Appends the body of `GET /metrics`. `payments`: there are processors to tell of.
pub fn write_metrics(
    body: &mut Vec<u8>,
    process: &Process,
    payments: bool,
    now: Now,
    format: MetricsFormat,
) {
    let (stats, now_ns) = (&*process.stats, now.monotonic_ns);
    let processors = Processor::ALL.map(|it| (it, Seen::of(stats, it, now_ns)));
    let view = View {
        process,
        stats,
        processors,
        now_ns,
    };
    let of_payments = if payments { &PAYMENTS[..] } else { &[] };
    let of_engine = stats.engine().map_or(&[][..], |_| &ENGINE);
    let all = PROCESS.iter().chain(of_payments).chain(of_engine);
    for (name, kind, labels, source, help) in all {
        write_head(body, name, kind, help, format);
        let mut family = Family {
            body,
            format,
            name,
            labels,
        };
        match source {
            Sum(counter) => family.add("", &[], stats.sum(counter)),
            SumEach(counter) => {
                for processor in Processor::ALL {
                    family.add("", &[&processor.name()], sum_of(stats, processor, counter));
                }
            }
            Value(value) => family.add("", &[], value(&view)),
            OfEngine(value) => {
                if let Some(engine) = stats.engine() {
                    family.add("", &[], value(engine, now_ns));
                }
            }
            ValueEach(value) => {
                for (processor, seen) in &view.processors {
                    if let Some(value) = value(seen) {
                        family.add("", &[&processor.name()], value);
                    }
                }
            }
            Samples(add) => add(&view, &mut family),
        }
    }
    if format == MetricsFormat::OpenMetrics {
        body.extend_from_slice(b"# EOF\n");
    }
}

/// What is said before the samples of a metric.
fn write_head(body: &mut Vec<u8>, name: &str, kind: &str, help: &str, format: MetricsFormat) {
    // OpenMetrics has the suffix of a counter's samples for no part of its name.
    let family = match (format, kind) {
        (MetricsFormat::OpenMetrics, COUNTER) => name.trim_end_matches("_total"),
        _ => name,
    };
    put(
        body,
        format_args!("# HELP {family} {help}\n# TYPE {family} {kind}\n"),
    );
    let units = ["seconds", "bytes"].into_iter();
    let unit = units.filter(|_| format == MetricsFormat::OpenMetrics);
    let is_its = |unit: &&str| {
        family
            .strip_suffix(unit)
            .is_some_and(|it| it.ends_with('_'))
    };
    for unit in unit.filter(is_its) {
        put(body, format_args!("# UNIT {family} {unit}\n"));
    }
}

/// The bound of a histogram's bucket as a label. OpenMetrics wants it as Go prints it, with a fraction or an exponent;
/// the text format keeps what it had.
fn bound(seconds: f64, format: MetricsFormat) -> String {
    if format == MetricsFormat::Text {
        return seconds.to_string();
    }
    if seconds < 1e-4 {
        let text = format!("{seconds:e}");
        return text.replace("e-", "e-0");
    }
    format!("{seconds:?}")
}

impl Family<'_> {
    /// One sample. `suffix`: of a histogram's. `values`: of the first labels.
    fn add(&mut self, suffix: &str, values: &[&dyn Display], sample: impl Display) {
        put(self.body, format_args!("{}{suffix}", self.name));
        for (index, (label, value)) in self.labels.iter().zip(values).enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            put(self.body, format_args!("{before}{label}=\"{value}\""));
        }
        let after = if values.is_empty() { "" } else { "}" };
        put(self.body, format_args!("{after} {sample}\n"));
    }
}

fn put(body: &mut Vec<u8>, text: Arguments<'_>) {
    body.write_fmt(text)
        .expect("writing to memory does not fail");
}

fn build(view: &View<'_>, family: &mut Family<'_>) {
    let process = view.process;
    let labels: [&dyn Display; 3] = [&process.version, &process.git_hash, &process.driver];
    family.add("", &labels, 1);
}

fn requests(view: &View<'_>, family: &mut Family<'_>) {
    for endpoint in Endpoint::ALL {
        for (index, &status) in Status::ALL.iter().enumerate() {
            let count = view.stats.replies(endpoint as usize, index);
            // The endpoints' usual replies are there from the start, others once they happen.
            if count > 0 || (status == Status::Ok && endpoint != Endpoint::None) {
                family.add("", &[&endpoint.name(), &status.code()], count);
            }
        }
    }
}

fn durations(view: &View<'_>, family: &mut Family<'_>) {
    for endpoint in Endpoint::ALL {
        let (name, endpoint) = (endpoint.name(), endpoint as usize);
        let mut count = 0;
        for (bucket, bound_ns) in DURATION_BOUNDS_NS.iter().enumerate() {
            count += view.stats.durations(endpoint, bucket);
            let bound = bound(*bound_ns as f64 / 1e9, family.format);
            family.add("_bucket", &[&name, &bound], count);
        }
        count += view.stats.durations(endpoint, DURATION_BOUNDS_NS.len());
        family.add("_bucket", &[&name, &"+Inf"], count);
        let sum_s = view.stats.duration_sum_ns(endpoint) as f64 / 1e9;
        family.add("_sum", &[&name], sum_s);
        family.add("_count", &[&name], count);
    }
}

fn snapshot_age_s(view: &View<'_>) -> f64 {
    let cores = view.stats.cores();
    let ages_ns = cores.map(|core| core.snapshot_ns.age_ns(view.now_ns));
    ages_ns.max().unwrap_or(0) as f64 / 1e9
}

fn oldest_age_s(view: &View<'_>) -> f64 {
    oldest_age_ns(view.stats, view.now_ns).unwrap_or(0) as f64 / 1e9
}

fn dearer(view: &View<'_>, family: &mut Family<'_>) {
    type Of = fn(&CoreStats) -> &Counter;
    let reasons: [(&str, Of); 2] = [
        ("deadline", |core| &core.payments.fallback_for_deadline),
        ("room", |core| &core.payments.fallback_for_room),
    ];
    for (reason, counter) in reasons {
        family.add("", &[&reason], view.stats.sum(counter));
    }
}

fn anomalies(view: &View<'_>, family: &mut Family<'_>) {
    for processor in Processor::ALL {
        for anomaly in Anomaly::ALL {
            let count = sum_of(view.stats, processor, |it| &it.anomalies[anomaly as usize]);
            family.add("", &[&processor.name(), &anomaly.name()], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What a family's samples may be called (OpenMetrics 1.0, "MetricFamily"), its own name first.
    fn names(typed: &str, kind: &str) -> Vec<String> {
        let family = match kind {
            COUNTER => typed.strip_suffix("_total").expect("a counter's suffix"),
            _ => typed,
        };
        let suffixes: &[&str] = match kind {
            COUNTER => &["", "_total", "_created"],
            GAUGE => &[""],
            HISTOGRAM => &["", "_bucket", "_count", "_sum", "_created"],
            other => panic!("{other}"),
        };
        let names = suffixes.iter().map(|suffix| format!("{family}{suffix}"));
        names.collect()
    }

    fn all() -> impl Iterator<Item = &'static Metric> {
        PROCESS.iter().chain(&PAYMENTS).chain(&ENGINE)
    }

    #[test]
    fn no_name_means_two_things_in_openmetrics() {
        let mut taken = BTreeSet::new();
        for (name, kind, ..) in all() {
            let family = names(name, kind);
            let reserved = ["_total", "_created", "_bucket", "_count", "_sum"];
            let is_plain = !reserved.iter().any(|suffix| family[0].ends_with(suffix));
            assert!(is_plain, "{name} is no {kind}'s name");
            for name in family {
                assert!(taken.insert(name.clone()), "{name} means two things");
            }
        }
    }

    #[test]
    fn bounds_are_written_as_each_format_has_them() {
        let of = |format| DURATION_BOUNDS_NS.map(|ns| bound(ns as f64 / 1e9, format));
        assert_eq!(
            of(MetricsFormat::Text),
            [
                "0.00001", "0.000025", "0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.0025",
                "0.005", "0.01", "0.05", "0.25", "1"
            ]
        );
        assert_eq!(
            of(MetricsFormat::OpenMetrics),
            [
                "1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025",
                "0.005", "0.01", "0.05", "0.25", "1.0"
            ]
        );
    }

    #[test]
    fn operations_md_lists_them() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
        let document = std::fs::read_to_string(path).unwrap();
        let mut table = "| metric | type | |\n|---|---|---|\n".to_owned();
        for (name, kind, labels, _, help) in all() {
            let labels = match labels {
                [] => String::new(),
                labels => format!("{{{}}}", labels.join(",")),
            };
            table += &format!("| `{name}{labels}` | {kind} | {help} |\n");
        }
        assert!(document.contains(&table), "it should have\n{table}");
    }
}
