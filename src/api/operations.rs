//! The endpoints for operators: health, metrics, reset.

mod engine;
mod metrics;
mod payments;

use std::sync::Arc;

use super::Endpoint;
use crate::http::{iso8601, Status};
use crate::machine::Now;
use crate::members::Members;
use crate::stats::{LinkState, Stats, ENDPOINTS, STATUSES};
pub use metrics::{write_metrics, MetricsFormat};

/// `docs/openapi.yaml` as compact JSON: the body of `GET /openapi.json`.
pub const OPENAPI: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));

const _: () = assert!(Endpoint::ALL.len() == ENDPOINTS && Status::ALL.len() == STATUSES);

/// Facts about the process that its replies tell, fixed at its start.
#[derive(Clone)]
pub struct Process {
    /// The version of the package.
    pub version: &'static str,
    /// The commit it was built from, or `unknown`.
    pub git_hash: &'static str,
    /// `uring`, `epoll` or `simulator`.
    pub driver: &'static str,
    /// When it started; microseconds since 1970.
    pub started_us: u64,
    /// When it started; monotonic nanoseconds.
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
    let now_ns = now.monotonic_ns;
    let degraded = payments::is_stalled(stats, now_ns) || engine::is_degraded(stats, now_ns);
    let status = match degraded {
        true => "degraded",
        false => "healthy",
    };
    body.extend_from_slice(format!("{{\"status\":\"{status}\",\"timestamp\":\"").as_bytes());
    body.extend_from_slice(&iso8601(now.realtime_us));
    let uptime_s = now_ns.saturating_sub(process.started_ns) as f64 / 1e9;
    let rest = format!(
        "\",\"version\":\"{}\",\"uptime\":{uptime_s:.3},\"requests\":{},\"connections\":{},\"driver\":\"{}\"",
        process.version,
        stats.replies_in_all(),
        stats.sum(|core| &core.connections),
        process.driver,
    );
    body.extend_from_slice(rest.as_bytes());
    write_cluster(body, members, stats);
    if let Some(engine) = stats.engine() {
        engine::write_health(body, engine, now_ns);
    }
    if payments {
        payments::write_health(body, stats, now_ns);
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

/// What tests of both endpoints share.
#[cfg(test)]
mod tests {
    use super::*;

    /// A process with these counters.
    pub(super) fn process(stats: Stats) -> Process {
        Process {
            version: "1",
            git_hash: "2",
            driver: "test",
            started_us: 1,
            started_ns: 1,
            resident_bytes: || 1,
            stats: Arc::new(stats),
        }
    }

    /// This monotonic time.
    pub(super) fn at(monotonic_ns: u64) -> Now {
        Now {
            monotonic_ns,
            realtime_us: 2,
        }
    }

    /// Its metrics then, in Prometheus' text format.
    pub(super) fn metrics(stats: Stats, payments: bool, monotonic_ns: u64) -> String {
        let (mut body, process) = (Vec::new(), process(stats));
        let format = MetricsFormat::Text;
        write_metrics(&mut body, &process, payments, at(monotonic_ns), format);
        String::from_utf8(body).unwrap()
    }
}
