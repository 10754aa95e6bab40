//! The endpoints for those who run it: health, metrics, reset.

mod payments;

use std::fmt::Write as _;
use std::sync::Arc;

use super::{Endpoint, Problem};
use crate::http::{iso8601, Status};
use crate::machine::Now;
use crate::members::Members;
use crate::stats::{CoreStats, Counter, LinkState, Stats, DURATION_BOUNDS_NS, ENDPOINTS, STATUSES};

const _: () = assert!(Endpoint::ALL.len() == ENDPOINTS && Status::ALL.len() == STATUSES);

/// What `/reset` answers unless `--allow-reset` was given.
pub const RESET_FORBIDDEN: Problem = Problem::general(
    "forbidden",
    "this would set every account back to its start; run galo with --allow-reset to permit it",
);

/// A journal could not take the reset; those of other shards may have.
pub const RESET_INCOMPLETE: Problem = Problem::general(
    "storage full",
    "the disk has no room for the journal; some accounts may be back at their start; try again",
);

/// Facts about the process that its replies tell, fixed at its start.
#[derive(Clone)]
pub struct Process {
    /// `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// The commit it was built from, or `unknown`.
    pub git_hash: &'static str,
    /// `uring`, `epoll` or `simulator`.
    pub driver: &'static str,
    /// When it started; microseconds since 1970.
    pub started_us: u64,
    /// The same, monotonic.
    pub started_ns: u64,
    /// Bytes; reads `/proc`, so it is asked only for `/metrics`.
    pub resident_bytes: fn() -> u64,
    /// The counters of all cores.
    pub stats: Arc<Stats>,
}

/// Appends the body of `GET /health`. `payments`: there are processors to tell of.
pub fn write_health(
    body: &mut Vec<u8>,
    process: &Process,
    members: &Members,
    payments: bool,
    now: Now,
) {
    let stats = &process.stats;
    let status = match payments::is_stalled(stats, now.monotonic_ns) {
        true => "degraded",
        false => "healthy",
    };
    body.extend_from_slice(format!("{{\"status\":\"{status}\",\"timestamp\":\"").as_bytes());
    body.extend_from_slice(&iso8601(now.realtime_us));
    let uptime_s = now.monotonic_ns.saturating_sub(process.started_ns) as f64 / 1e9;
    let rest = format!(
        "\",\"version\":\"{}\",\"uptime\":{uptime_s:.3},\"requests\":{},\"connections\":{},\"driver\":\"{}\"",
        process.version,
        stats.replies_in_all(),
        stats.sum(|core| &core.connections),
        process.driver,
    );
    body.extend_from_slice(rest.as_bytes());
    write_cluster(body, members, stats);
    if payments {
        payments::write_health(body, stats, now.monotonic_ns);
    }
    body.push(b'}');
}

/// Names and states need no escaping in JSON.
fn write_cluster(body: &mut Vec<u8>, members: &Members, stats: &Stats) {
    let own = &members.nodes[members.node];
    body.extend_from_slice(format!(",\"node\":\"{own}\",\"nodes\":[").as_bytes());
    for (node, name) in members.nodes.iter().enumerate() {
        let link = match stats.link_to(node) {
            _ if node == members.node => "self",
            LinkState::Down => "down",
            LinkState::Connecting => "connecting",
            LinkState::Up => "up",
        };
        let comma = if node > 0 { "," } else { "" };
        let node = format!("{comma}{{\"name\":\"{name}\",\"link\":\"{link}\"}}");
        body.extend_from_slice(node.as_bytes());
    }
    let total = members.shards;
    body.extend_from_slice(format!("],\"shards_total\":{total},\"shards\":[").as_bytes());
    for (count, (shard, since_us)) in stats.owned().enumerate() {
        let comma = if count > 0 { "," } else { "" };
        body.extend_from_slice(format!("{comma}{{\"shard\":{shard},\"since\":\"").as_bytes());
        body.extend_from_slice(&iso8601(since_us));
        body.extend_from_slice(b"\"}");
    }
    body.push(b']');
}

/// Appends the body of `GET /metrics`: Prometheus' text format 0.0.4, with names that are good in OpenMetrics, too.
/// `payments`: as for `/health`.
pub fn write_metrics(body: &mut Vec<u8>, process: &Process, payments: bool, now: Now) {
    let mut text = String::with_capacity(16 * 1024);
    describe(&mut text, process, now.monotonic_ns).expect("writing to memory does not fail");
    if payments {
        let stats = &process.stats;
        payments::describe(&mut text, stats, now.monotonic_ns)
            .expect("writing to memory does not fail");
    }
    body.extend_from_slice(text.as_bytes());
}

fn describe(out: &mut String, process: &Process, now_ns: u64) -> std::fmt::Result {
    let stats = &*process.stats;
    header(out, "galo_build_info", "gauge", "What this is; always 1.")?;
    writeln!(
        out,
        "galo_build_info{{version=\"{}\",commit=\"{}\",driver=\"{}\"}} 1",
        process.version, process.git_hash, process.driver
    )?;

    header(
        out,
        "galo_requests_total",
        "counter",
        "Replies, by endpoint and status.",
    )?;
    for endpoint in Endpoint::ALL {
        for (index, &status) in Status::ALL.iter().enumerate() {
            let count = stats.replies(endpoint as usize, index);
            // The endpoints' usual replies are there from the start, others once they happen.
            if count > 0 || (status == Status::Ok && endpoint != Endpoint::None) {
                writeln!(
                    out,
                    "galo_requests_total{{endpoint=\"{}\",status=\"{}\"}} {count}",
                    endpoint.name(),
                    status.code()
                )?;
            }
        }
    }

    let name = "galo_request_duration_seconds";
    header(
        out,
        name,
        "histogram",
        "From a request's last byte to the release of its reply.",
    )?;
    for endpoint in Endpoint::ALL {
        let mut count = 0;
        let label = endpoint.name();
        for (bucket, bound_ns) in DURATION_BOUNDS_NS.iter().enumerate() {
            count += stats.durations(endpoint as usize, bucket);
            let bound_s = *bound_ns as f64 / 1e9;
            writeln!(
                out,
                "{name}_bucket{{endpoint=\"{label}\",le=\"{bound_s}\"}} {count}"
            )?;
        }
        count += stats.durations(endpoint as usize, DURATION_BOUNDS_NS.len());
        let sum_s = stats.duration_sum_ns(endpoint as usize) as f64 / 1e9;
        writeln!(
            out,
            "{name}_bucket{{endpoint=\"{label}\",le=\"+Inf\"}} {count}"
        )?;
        writeln!(out, "{name}_sum{{endpoint=\"{label}\"}} {sum_s}")?;
        writeln!(out, "{name}_count{{endpoint=\"{label}\"}} {count}")?;
    }

    type Of = fn(&CoreStats) -> &Counter;
    let sums: [(&str, &str, &str, Of); 16] = [
        (
            "galo_connections_open",
            "gauge",
            "Clients connected.",
            |core| &core.connections,
        ),
        (
            "galo_connections_total",
            "counter",
            "Connections accepted.",
            |core| &core.connections_total,
        ),
        (
            "galo_connections_refused_total",
            "counter",
            "Connections refused at the bound.",
            |core| &core.connections_refused,
        ),
        (
            "galo_clients_evicted_total",
            "counter",
            "Connections closed because clients' buffers reached their bound.",
            |core| &core.clients_evicted,
        ),
        (
            "galo_client_buffers_bytes",
            "gauge",
            "Memory of what clients have sent or are to read.",
            |core| &core.client_buffers,
        ),
        (
            "galo_forwards_total",
            "counter",
            "Commands sent to another core, of this process or another.",
            |core| &core.forwards,
        ),
        (
            "galo_takeovers_total",
            "counter",
            "Shards taken over from another node.",
            |core| &core.takeovers,
        ),
        (
            "galo_handbacks_total",
            "counter",
            "Shards that came back home from another node.",
            |core| &core.handbacks,
        ),
        (
            "galo_retries_total",
            "counter",
            "Commands sent or carried out again after their owner was lost.",
            |core| &core.retries,
        ),
        (
            "galo_duplicates_total",
            "counter",
            "Repeated commands that got their first outcome again.",
            |core| &core.duplicates,
        ),
        (
            "galo_journal_records_total",
            "counter",
            "Records appended.",
            |core| &core.journal_records,
        ),
        (
            "galo_journal_bytes_total",
            "counter",
            "Bytes appended.",
            |core| &core.journal_bytes,
        ),
        (
            "galo_journal_writes_total",
            "counter",
            "Writes that appended them.",
            |core| &core.journal_writes,
        ),
        (
            "galo_journal_full_total",
            "counter",
            "Writes that found the disk full.",
            |core| &core.journal_full,
        ),
        (
            "galo_journal_syncs_total",
            "counter",
            "Calls of fdatasync.",
            |core| &core.journal_syncs,
        ),
        (
            "galo_snapshots_total",
            "counter",
            "Snapshots finished.",
            |core| &core.snapshots,
        ),
    ];
    for (name, kind, help, counter) in sums {
        header(out, name, kind, help)?;
        writeln!(out, "{name} {}", stats.sum(counter))?;
    }

    let gauges = [
        (
            "galo_shards_owned",
            "Shards that this process owns.",
            stats.owned().count(),
        ),
        (
            "galo_links_up",
            "Links to cores of other nodes that are up.",
            stats.links_up(),
        ),
    ];
    for (name, help, value) in gauges {
        header(out, name, "gauge", help)?;
        writeln!(out, "{name} {value}")?;
    }

    let ages = stats.cores().map(|core| core.snapshot_ns.age_ns(now_ns));
    let age_s = ages.max().unwrap_or(0) as f64 / 1e9;
    header(
        out,
        "galo_snapshot_age_seconds",
        "gauge",
        "Of the oldest shard's newest snapshot.",
    )?;
    writeln!(out, "galo_snapshot_age_seconds {age_s}")?;
    header(
        out,
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory.",
    )?;
    writeln!(
        out,
        "process_resident_memory_bytes {}",
        (process.resident_bytes)()
    )?;
    header(out, "process_start_time_seconds", "gauge", "Since 1970.")?;
    writeln!(
        out,
        "process_start_time_seconds {}",
        process.started_us as f64 / 1e6
    )
}

fn header(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What a family's samples may be called (OpenMetrics 1.0, "MetricFamily"), its own name first.
    fn names(typed: &str, kind: &str) -> Vec<String> {
        let family = match kind {
            "counter" => typed.strip_suffix("_total").expect("a counter's suffix"),
            _ => typed,
        };
        let suffixes: &[&str] = match kind {
            "counter" => &["", "_total", "_created"],
            "gauge" => &[""],
            "histogram" => &["", "_bucket", "_count", "_sum", "_created"],
            other => panic!("{other}"),
        };
        let names = suffixes.iter().map(|suffix| format!("{family}{suffix}"));
        names.collect()
    }

    #[test]
    fn no_name_means_two_things_in_openmetrics() {
        let members = Members {
            nodes: vec!["a".to_owned(), "b".to_owned()],
            node: 0,
            core: 0,
            cores: 2,
            shards: 4,
        };
        let process = Process {
            version: "1",
            git_hash: "2",
            driver: "test",
            started_us: 1,
            started_ns: 1,
            resident_bytes: || 1,
            stats: Arc::new(members.stats()),
        };
        let mut body = Vec::new();
        let now = Now {
            monotonic_ns: 2,
            realtime_us: 2,
        };
        write_metrics(&mut body, &process, true, now);
        let text = String::from_utf8(body).unwrap();
        let mut taken = BTreeSet::new();
        let mut family = Vec::new();
        let mut helped = "";
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                helped = help.split(' ').next().unwrap();
            } else if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').unwrap();
                assert_eq!(name, helped, "its help stands before it");
                family = names(name, kind);
                for name in &family {
                    assert!(taken.insert(name.clone()), "{name} means two things");
                }
                let reserved = ["_total", "_created", "_bucket", "_count", "_sum"];
                let is_plain = !reserved.iter().any(|suffix| family[0].ends_with(suffix));
                assert!(is_plain, "{name} is no {kind}'s name");
            } else {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(
                    family.iter().any(|one| one == name),
                    "{line} is out of place"
                );
            }
        }
        assert!(taken.len() > 40, "{taken:?}");
    }
}
