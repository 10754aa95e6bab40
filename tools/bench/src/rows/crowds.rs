//! Ten clients that ask 100 requests a second together, beside crowds that ask for all that they can get.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use galo_load::report::Report;

use super::{megabytes, Bench, Row};
use crate::crowd::{Crowd, Habit};
use crate::report::Figure;
use galo_bench::client;
use galo_bench::server::Server;

/// From the end of a crowd to when its memory must be given back.
const GIVEN_BACK_MAX: Duration = Duration::from_secs(15);

impl Bench {
    /// How long they wait beside 32 connections that pipeline without end and read.
    pub(super) fn fairness(&self) -> Result<Vec<Figure>> {
        let row = Row::Fairness;
        let mut figures = Vec::new();
        for driver in ["uring", "epoll"] {
            for (what, request) in [("transactions", transaction()), ("statements", statement())] {
                let server = self.filled(driver)?;
                let habit = Habit {
                    request,
                    requests: None,
                    reads: true,
                };
                let crowd = Crowd::begin(server.address, 32, habit)?;
                let report = self.polite(&server)?;
                let rate = crowd.end()?;
                let latency = &report.latency;
                let what = format!("10 clients beside 32 that pipeline {what}, {driver}, p99");
                let note = format!(
                    "p50 {:.2}, max {:.1}; {} failed; the 32 read {:.0} MB/s",
                    latency.p50_us / 1e3,
                    latency.max_us / 1e3,
                    report.failed,
                    megabytes(rate as u64)
                );
                let p99_ms = latency.p99_us / 1e3;
                let figure = Figure::new(row, what, p99_ms, "ms").lower_is_better();
                figures.push(figure.must(10.0).note(note));
            }
        }
        Ok(figures)
    }

    /// Memory and latency with thousands of connections that pipeline 400 requests and read nothing.
    pub(super) fn flood(&self) -> Result<Vec<Figure>> {
        let row = Row::Flood;
        let mut figures = Vec::new();
        for driver in ["uring", "epoll"] {
            for (what, request) in [("transactions", transaction()), ("statements", statement())] {
                for clients in [self.scale.flood / 5, self.scale.flood] {
                    let server = self.filled(driver)?;
                    let before = server.resident()?.all;
                    let habit = Habit {
                        request: request.clone(),
                        requests: Some(400),
                        reads: false,
                    };
                    let crowd = Crowd::begin(server.address, clients, habit)?;
                    let report = self.polite(&server)?;
                    let most = server.resident()?.most;
                    crowd.end()?;
                    let left = given_back(&server, before)?;
                    let latency = &report.latency;
                    let what = format!("{clients} that pipeline {what} and read nothing, {driver}");
                    let note = format!("{} of the 10 clients' requests failed", report.failed);
                    let grown = Figure::new(
                        row,
                        format!("{what}: memory, more than before"),
                        megabytes(most.saturating_sub(before)),
                        "MB",
                    );
                    figures.push(grown.lower_is_better().must(24.0));
                    let left = Figure::new(row, "the same, at most 15 s after", left, "MB");
                    figures.push(left.lower_is_better().must(8.0));
                    for (name, us, must_ms) in [
                        ("p99", latency.p99_us, 20.0),
                        ("max", latency.max_us, 100.0),
                    ] {
                        let what = format!("10 clients beside them, {name}");
                        let figure = Figure::new(row, what, us / 1e3, "ms").lower_is_better();
                        figures.push(figure.must(must_ms).note(note.clone()));
                    }
                }
            }
        }
        Ok(figures)
    }

    /// A server whose account has a statement of ten.
    fn filled(&self, driver: &str) -> Result<Server> {
        let server = self.galo(&[("--io", driver)])?;
        self.connections(&server, 10)?;
        Ok(server)
    }

    fn polite(&self, server: &Server) -> Result<Report> {
        let duration = format!("{}s", 2 * self.scale.seconds);
        let flags = ["-c", "10", "-r", "100", "-d", &duration];
        self.galo_load(server, &flags)
    }
}

/// Megabytes of resident memory that stay beyond `before`, once it is little or the time for that is over.
fn given_back(server: &Server, before: u64) -> Result<f64> {
    let began = Instant::now();
    loop {
        let left = megabytes(server.resident()?.all.saturating_sub(before));
        if began.elapsed() > GIVEN_BACK_MAX || left <= 8.0 {
            return Ok(left);
        }
        if !client::answers(server.address) {
            bail!("it does not answer any more");
        }
        sleep(Duration::from_millis(200));
    }
}

fn statement() -> Vec<u8> {
    let path = format!("/clientes/{}/extrato", client::CLIENT);
    client::request("GET", &path, "").into()
}

fn transaction() -> Vec<u8> {
    client::request("POST", &client::path(client::CLIENT), client::BODY).into()
}
