//! Speed: as a ratio to the no-op server's, in interleaved rounds.

use anyhow::Result;

use super::{compare, spread, Bench, Row};
use crate::report::Figure;
use crate::rounds::{median_of, ratio, rounds, Loaded, Sample};
use crate::wrk::Load;
use galo_bench::client::{self, Connection};

/// Requests in one piece, where they are pipelined.
const PIPELINED: usize = 16;

impl Bench {
    pub(super) fn transactions(&self) -> Result<Vec<Figure>> {
        let row = Row::Transactions;
        let load = self.transactions_load();
        let mut figures = Vec::new();
        let mut servers = vec![
            self.galo(&[("--io", self.driver)])?,
            self.noop(self.driver)?,
        ];
        let with_epoll = self.driver != "epoll";
        if with_epoll {
            servers.push(self.galo(&[("--io", "epoll")])?);
            servers.push(self.noop("epoll")?);
        }
        let lengths = servers
            .iter()
            .map(|server| {
                Ok(Connection::open(server.address)?
                    .post(client::CLIENT)?
                    .bytes)
            })
            .collect::<Result<Vec<usize>>>()?;
        let references: Vec<&dyn Loaded> = servers.iter().map(|server| server as _).collect();
        let samples = rounds(&references, &self.wrk, load, self.scale.rounds)?;

        let what = format!(
            "POST transacoes, 1 core, 32 connections, {}: galo / no-op",
            self.driver
        );
        let mut figure = compare(row, what, &samples[0], &samples[1])
            .must(0.80)
            .aim(0.95);
        if lengths[0].abs_diff(lengths[1]) > 8 {
            figure.note += &format!("; replies of {} and {} bytes", lengths[0], lengths[1]);
        }
        figures.push(figure);
        let (by_cpu, each) = ratio(&samples[0], &samples[1], Sample::requests_per_cpu_s);
        figures.push(
            Figure::new(row, "the same, per CPU second", by_cpu, "×")
                .must(0.90)
                .aim(0.95)
                .note(spread(&each)),
        );
        if with_epoll {
            let what = "the same, epoll: galo / no-op";
            figures.push(compare(row, what, &samples[2], &samples[3]));
            let what = "galo uring / galo epoll";
            figures.push(compare(row, what, &samples[0], &samples[2]));
            let what = "no-op uring / no-op epoll";
            figures.push(compare(row, what, &samples[1], &samples[3]));
        }
        for (name, samples) in [("galo", &samples[0]), ("no-op", &samples[1])] {
            let speed = median_of(samples, Sample::requests_per_s);
            figures.push(Figure::new(row, name, speed, "requests/s"));
            let speed = median_of(samples, Sample::requests_per_cpu_s);
            figures.push(Figure::new(row, name, speed, "requests/CPU s"));
            for (percentile, time) in [
                ("p50", median_of(samples, |sample| sample.run.p50_us)),
                ("p99", median_of(samples, |sample| sample.run.p99_us)),
            ] {
                let what = format!("{name} latency {percentile}, 32 connections");
                figures.push(Figure::new(row, what, time / 1e3, "ms").lower_is_better());
            }
        }
        Ok(figures)
    }

    pub(super) fn durability(&self) -> Result<Vec<Figure>> {
        let row = Row::Durability;
        let load = self.transactions_load();
        let process = self.galo(&[("--durability", "process")])?;
        let disk = self.galo(&[("--durability", "disk")])?;
        let count = self.scale.rounds.div_ceil(2);
        let samples = rounds(&[&disk, &process], &self.wrk, load, count)?;
        let (value, each) = ratio(&samples[0], &samples[1], Sample::requests_per_s);
        let speed = median_of(&samples[0], Sample::requests_per_s);
        let p99_ms = median_of(&samples[0], |sample| sample.run.p99_us / 1e3);
        let what = "durability disk / process, requests/s";
        Ok(vec![
            Figure::new(row, what, value, "×")
                .note(spread(&each))
                .samples(&samples),
            Figure::new(row, "durability disk, 32 connections", speed, "requests/s"),
            Figure::new(row, "durability disk latency p99", p99_ms, "ms").lower_is_better(),
        ])
    }

    pub(super) fn pipelined(&self) -> Result<Vec<Figure>> {
        let row = Row::Pipelined;
        let load = Load {
            pipelined: PIPELINED,
            ..self.transactions_load()
        };
        let servers = [
            self.galo(&[("--io", self.driver)])?,
            self.noop(self.driver)?,
        ];
        let count = self.scale.rounds.div_ceil(2);
        let samples = rounds(&[&servers[0], &servers[1]], &self.wrk, load, count)?;
        let what = format!("pipelined, {PIPELINED} at a time: galo / no-op");
        let speed = median_of(&samples[0], Sample::requests_per_s);
        Ok(vec![
            compare(row, what, &samples[0], &samples[1])
                .must(0.75)
                .aim(0.85),
            Figure::new(row, "galo, pipelined", speed, "requests/s"),
        ])
    }
}
