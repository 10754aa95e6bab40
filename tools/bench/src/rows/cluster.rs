//! Two nodes, asked directly: what a forward costs, and how long a takeover takes.

use std::time::Instant;

use anyhow::Result;

use super::{spread, Bench, Row};
use crate::report::Figure;
use crate::rounds::median;
use crate::wrk::{Load, Post};
use galo_bench::client::Connection;
use galo_bench::server::ticks_per_second;

/// A client whose shard is at home at the first node, and one of the second's.
const OF_FIRST: u32 = 2;
const OF_SECOND: u32 = 1;

impl Bench {
    /// Requests for the dead node's shard, to the other one, which has to read its journal first.
    pub(super) fn takeover(&self) -> Result<Vec<Figure>> {
        let row = Row::Takeover;
        let load = Load {
            post: Post::Transaction(OF_SECOND),
            seconds: 1,
            ..self.transactions_load()
        };
        let mut times = Vec::new();
        let mut requests = Vec::new();
        for _ in 0..self.scale.takeovers {
            let pair = self.galo_pair()?;
            let [survivor, owner] = &pair.servers;
            requests.push(self.wrk.run(survivor.address, load)?.requests);
            let mut connection = Connection::open(survivor.address)?;
            connection.post(OF_SECOND)?;
            let began = Instant::now();
            owner.kill()?;
            connection.post(OF_SECOND)?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let most = times.iter().copied().fold(0.0, f64::max);
        let journalled = requests.iter().sum::<u64>() / requests.len() as u64;
        let what = "takeover after kill -9 of the owner, to the first reply for its shard";
        Ok(vec![
            Figure::new(row, what, median(&times), "ms")
                .lower_is_better()
                .must(1000.0)
                .aim(50.0)
                .note(format!("{}; {journalled} records to read", spread(&times)))
                .samples(&times),
            Figure::new(row, "the same, the longest", most, "ms")
                .lower_is_better()
                .must(1000.0),
        ])
    }

    /// All load at one node: for its own shard, and for the other's.
    pub(super) fn forward(&self) -> Result<Vec<Figure>> {
        let row = Row::Forward;
        let pair = self.galo_pair()?;
        let [asked, other] = &pair.servers;
        let cpu_us = |client: u32| -> Result<[f64; 2]> {
            let load = Load {
                post: Post::Transaction(client),
                ..self.transactions_load()
            };
            let ticks = || -> Result<[u64; 2]> { Ok([asked.cpu_ticks()?, other.cpu_ticks()?]) };
            let before = ticks()?;
            let run = self.wrk.run(asked.address, load)?;
            let after = ticks()?;
            let per_request = 1e6 / ticks_per_second()? / run.requests as f64;
            Ok([0, 1].map(|node| (after[node] - before[node]) as f64 * per_request))
        };
        cpu_us(OF_FIRST)?;
        cpu_us(OF_SECOND)?;
        let (mut own, mut at_asked, mut at_owner) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.scale.rounds.div_ceil(2) {
            own.push(cpu_us(OF_FIRST)?[0]);
            let forwarded = cpu_us(OF_SECOND)?;
            at_asked.push(forwarded[0]);
            at_owner.push(forwarded[1]);
        }
        let figure = |what: &str, samples: &[f64]| {
            Figure::new(row, what, median(samples), "µs")
                .lower_is_better()
                .note(spread(samples))
                .samples(samples)
        };
        Ok(vec![
            figure(
                "CPU of a request for a shard of the node that is asked",
                &own,
            ),
            figure(
                "CPU of a forwarded request: at the node that is asked",
                &at_asked,
            ),
            figure("CPU of a forwarded request: at the owner", &at_owner),
        ])
    }
}
