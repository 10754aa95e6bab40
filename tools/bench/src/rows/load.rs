//! galo-load itself: whether it is fast enough not to be what is measured.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use galo_load::report::Report;

use super::{spread, Bench, Row};
use crate::report::Figure;
use crate::rounds::median;
use galo_bench::server::{pin, Guard, Server};

/// Beyond what it was told to take.
const OVERTIME_MAX: Duration = Duration::from_secs(20);
/// Of the pace rows, whatever the scale: the share of a half percent must be seen.
const PACE_SECONDS_MIN: u64 = 5;

impl Bench {
    pub(super) fn load(&self) -> Result<Vec<Figure>> {
        let row = Row::Load;
        let server = self.noop(self.driver)?;
        let load = self.transactions_load();
        let mut figures = Vec::new();
        // To the mix of the bank the no-op server's replies are wrong, which costs more than right ones.
        for (mix, what) in [
            (
                "health",
                "galo-load / wrk, 1 thread, 32 connections, replies that are right",
            ),
            (
                "bank",
                "galo-load / wrk, the same, four in five replies wrong",
            ),
        ] {
            let duration = format!("{}s", self.scale.seconds);
            let flags = ["-c", "32", "-d", &duration, "--mix", mix];
            let (mut ratios, mut rates) = (Vec::new(), Vec::new());
            for _ in 0..self.scale.rounds {
                let wrk = self.wrk.run(server.address, load)?;
                let ours = self.galo_load(&server, &flags)?.rate;
                rates.push(ours);
                ratios.push(ours * wrk.seconds / wrk.requests as f64);
            }
            let rate = median(&rates);
            figures.push(
                Figure::new(row, what, median(&ratios), "×")
                    .must(0.70)
                    .note(format!("{}; {rate:.0} requests/s", spread(&ratios))),
            );
        }
        let seconds = self.scale.seconds.max(PACE_SECONDS_MIN);
        for pace in [340_u32, 20_000] {
            let (pace_flag, duration) = (pace.to_string(), format!("{seconds}s"));
            let flags = [
                "-c", "64", "-d", &duration, "-r", &pace_flag, "--mix", "health",
            ];
            let report = self.galo_load(&server, &flags)?;
            let what = format!("galo-load at {pace}/s: achieved");
            let tool = &report.tool;
            figures.push(
                Figure::new(row, what, report.rate / f64::from(pace), "×")
                    .must(0.995)
                    .note(format!("late {}, busy {:.2}", tool.late, tool.busy)),
            );
        }
        Ok(figures)
    }

    /// On the load's CPU, to its end.
    pub(super) fn galo_load(&self, server: &Server, flags: &[&str]) -> Result<Report> {
        let json = self.new_path("load.json");
        let mut command = Command::new(&self.programs.load);
        command
            .arg(server.address.to_string())
            .args(flags)
            .arg("--json")
            .arg(&json)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        pin(&mut command, self.cpus.load);
        let mut guard = Guard(command.spawn().context("galo-load does not start")?);
        let seconds = self.scale.seconds.max(PACE_SECONDS_MIN);
        let status = guard.wait_for(Duration::from_secs(seconds) + OVERTIME_MAX)?;
        match status.and_then(|status| status.code()) {
            // 1: replies were wrong.
            Some(0 | 1) => Report::read(&json),
            _ => bail!("galo-load ended with {status:?}"),
        }
    }
}
