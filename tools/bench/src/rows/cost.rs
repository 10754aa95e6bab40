//! What one node costs: system calls, memory, CPU when idle.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde_json::{json, Value};

use super::{megabytes, Bench, Row};
use crate::report::Figure;
use crate::wrk::Load;
use galo_bench::server::Server;
use galo_bench::strace;

impl Bench {
    pub(super) fn syscalls(&self) -> Result<Vec<Figure>> {
        let row = Row::Syscalls;
        let load = Load {
            connections: 64,
            ..self.transactions_load()
        };
        let measure = |server: &Server| -> Result<(f64, Value)> {
            // The connections are made, and the rest is warm, before it counts.
            self.wrk.run(server.address, Load { seconds: 1, ..load })?;
            let (calls, run) = strace::count(&[server.pid()], &self.scratch, || {
                self.wrk.run(server.address, load)
            })?;
            let sum: u64 = calls.iter().map(|(_, count)| count).sum();
            let by_name: BTreeMap<_, _> = calls.into_iter().collect();
            let samples = json!({ "calls": by_name, "requests": run.requests });
            Ok((sum as f64 / run.requests as f64, samples))
        };
        let (noop, noop_samples) = measure(&self.noop(self.driver)?)?;
        let (galo, galo_samples) = measure(&self.galo(&[("--io", self.driver)])?)?;
        let what = "system calls per request, 64 connections (strace -c)";
        Ok(vec![
            Figure::new(row, what, galo, "calls")
                .lower_is_better()
                .must(0.5)
                .aim(noop)
                .note("aim: the no-op server's")
                .samples(galo_samples),
            Figure::new(row, "the same, no-op", noop, "calls")
                .lower_is_better()
                .samples(noop_samples),
        ])
    }

    pub(super) fn memory(&self) -> Result<Vec<Figure>> {
        let row = Row::Memory;
        let server = self.galo(&[("--io", self.driver)])?;
        let before = server.resident()?;
        let connections = self.connections(&server, self.scale.connections)?;
        let after = server.resident()?;
        let what = format!(
            "resident memory, 5 accounts, {} connections",
            connections.len()
        );
        Ok(vec![Figure::new(row, what, megabytes(after.all), "MB")
            .lower_is_better()
            .must(10.0)
            .aim(6.0)
            .note(format!(
                "{:.1} MB before them; of the executable and other files: {:.1} MB",
                megabytes(before.all),
                megabytes(after.file)
            ))
            .samples(json!({ "before": before, "after": after }))])
    }

    pub(super) fn idle(&self) -> Result<Vec<Figure>> {
        let row = Row::Idle;
        let server = self.galo(&[("--io", self.driver)])?;
        let connections = self.connections(&server, 32)?;
        // What follows a request (fdatasync) is over by then.
        std::thread::sleep(Duration::from_secs(1));
        let before = server.cpu_ticks()?;
        std::thread::sleep(Duration::from_secs(self.scale.idle_seconds));
        let ticks = server.cpu_ticks()? - before;
        let what = format!(
            "CPU when idle, {} connections open: ticks in {} s",
            connections.len(),
            self.scale.idle_seconds
        );
        Ok(vec![Figure::new(row, what, ticks as f64, "ticks")
            .lower_is_better()
            .must(0.0)
            .aim(0.0)])
    }
}
