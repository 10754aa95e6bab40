//! Asks all nodes how they are, side by side.

use std::time::{Duration, Instant};

use galo_load::exchange::Connection;
use galo_load::target::Target;
use serde::Deserialize;

use crate::metrics::Metrics;

/// What one node has answered, and when.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: Instant,
    pub health: Health,
    pub metrics: Metrics,
}

/// `GET /health`, as far as it is shown.
#[derive(Clone, Debug, Deserialize)]
pub struct Health {
    pub status: String,
    pub node: String,
    /// Seconds.
    pub uptime: f64,
    pub nodes: Vec<Member>,
    pub shards_total: u32,
    pub shards: Vec<Owned>,
    pub payments: Option<Payments>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    pub name: String,
    /// `self`, `up` or `down`.
    pub link: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Owned {
    pub shard: u32,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Payments {
    pub open: u64,
    pub old: u64,
    pub in_doubt: u64,
    pub processors: Vec<Processor>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Processor {
    pub name: String,
    pub circuit: String,
    pub window: u64,
    pub under_way: u64,
    pub latency_ms: f64,
    pub failing: bool,
}

/// A node by where it is asked.
pub struct Node {
    pub target: Target,
    /// Kept from one time to the next.
    connection: Option<Connection>,
}

impl Node {
    pub fn new(target: Target) -> Node {
        Node {
            target,
            connection: None,
        }
    }

    /// `Err`: why there is no answer, for people.
    fn ask(&mut self, longest: Duration) -> Result<Sample, String> {
        let health = self.get("/health", longest)?;
        let metrics = self.get("/metrics", longest)?;
        let health = serde_json::from_slice(&health);
        let metrics = std::str::from_utf8(&metrics).ok().and_then(Metrics::parse);
        Ok(Sample {
            at: Instant::now(),
            health: health.map_err(|error| format!("/health is not Galo's: {error}"))?,
            metrics: metrics.ok_or("/metrics is not in Prometheus' text format")?,
        })
    }

    fn get(&mut self, path: &str, longest: Duration) -> Result<Vec<u8>, String> {
        // A balancer or the node itself may have closed what was kept.
        let kept = self.connection.take().filter(Connection::is_open);
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                Connection::open(&self.target, longest).map_err(|failure| failure.to_string())?
            }
        };
        let request = self.target.request("GET", path, b"");
        let reply = connection
            .ask(&request, longest)
            .map_err(|failure| failure.to_string())?;
        self.connection = Some(connection);
        // A node that stops says 503 and how it is.
        match reply.status {
            200 | 503 => Ok(reply.body),
            status => Err(format!("{path}: status {status}")),
        }
    }
}

/// One answer of each, in their order.
pub fn ask(nodes: &mut [Node], longest: Duration) -> Vec<Result<Sample, String>> {
    std::thread::scope(|scope| {
        let asking = nodes
            .iter_mut()
            .map(|node| scope.spawn(move || node.ask(longest)));
        let asking: Vec<_> = asking.collect();
        let answers = asking.into_iter().map(|thread| thread.join());
        answers
            .map(|answer| answer.expect("it does not panic"))
            .collect()
    })
}
