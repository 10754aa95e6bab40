//! Two CPUs that servers and wrk fill: two cores, and two nodes on one data directory, against two no-op servers. Each
//! request goes to one of five clients at random, so half of those to galo cross to the other core.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::{spread, Bench, Row};
use crate::report::Figure;
use crate::rounds::{median_of, ratio, rounds, CpuTicks, Loaded, Sample};
use crate::wrk::{Load, Post};
use galo_bench::pair::Pair;
use galo_bench::server::Server;

/// To each of two servers.
const CONNECTIONS: usize = 32;

/// One process with two cores: both threads of wrk come to the same address.
struct Cores(Server);

impl Loaded for Cores {
    fn addresses(&self) -> Vec<SocketAddr> {
        vec![self.0.address; 2]
    }

    fn cpu_ticks(&self) -> Result<CpuTicks> {
        Loaded::cpu_ticks(&self.0)
    }
}

/// Two processes, a thread of wrk for each.
impl Loaded for Pair {
    fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.address).collect()
    }

    fn cpu_ticks(&self) -> Result<CpuTicks> {
        let ticks = self.servers.iter().map(Server::cpu_ticks);
        let ticks = ticks.sum::<Result<u64>>()?;
        Ok(CpuTicks {
            servers: ticks,
            all: ticks,
        })
    }
}

impl Bench {
    pub(super) fn full(&self) -> Result<Vec<Figure>> {
        let row = Row::Full;
        let _confined = self.cpus.confine()?;
        let cores = Cores(self.galo_two_cores()?);
        let (nodes, noop) = (self.galo_pair()?, self.noop_pair()?);
        let load = Load {
            post: Post::AnyTransaction,
            connections: 2 * CONNECTIONS,
            ..self.transactions_load()
        };
        let servers: [&dyn Loaded; 3] = [&cores, &nodes, &noop];
        let samples = rounds(&servers, &self.wrk, load, self.scale.rounds)?;
        let noop = &samples[2];
        let mut figures = Vec::new();
        for (who, samples) in [("two cores", &samples[0]), ("two nodes", &samples[1])] {
            let (value, each) = ratio(samples, noop, Sample::requests_per_cpu_s);
            let what =
                format!("CPU of a request, two full CPUs, 64 connections: two no-op / {who}");
            figures.push(
                Figure::new(row, what, value, "×")
                    .must(0.80)
                    .aim(0.88)
                    .note(spread(&each))
                    .samples([samples, noop]),
            );
        }
        for (who, samples) in ["two cores", "two nodes", "two no-op"].iter().zip(&samples) {
            let cpu_us = |sample: &Sample| 1e6 / sample.requests_per_cpu_s();
            let speed = median_of(samples, Sample::requests_per_s);
            let p99_ms = median_of(samples, |sample| sample.run.p99_us) / 1e3;
            let what = format!("{who}, two full CPUs: CPU of a request");
            figures.push(
                Figure::new(row, what, median_of(samples, cpu_us), "µs")
                    .lower_is_better()
                    .note(format!("{speed:.0} requests/s; p99 {p99_ms:.2} ms")),
            );
        }
        Ok(figures)
    }

    /// galo with two cores and five accounts in a directory of its own, as the system places it.
    pub(super) fn galo_two_cores(&self) -> Result<Server> {
        let data = self.new_path("data");
        let more = [("--io", Path::new(self.driver))];
        Server::start(&self.galo_launch_with("2", &data, None, &more))
    }
}
