//! The payments gateway: accepting, and carrying out.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use galo_load::measure::Tally;

use super::{compare, latencies, spread, Bench, Row};
use crate::nginx::Balancer;
use crate::paced::{self, Mix};
use crate::processor::Processors;
use crate::report::Figure;
use crate::rounds::{median, median_of, rounds, CpuTicks, Loaded, Sample};
use crate::stack::Stack;
use crate::wrk::{Load, Post};
use galo_bench::client::{self, Connection};
use galo_bench::server::{ticks_per_second, Launch, Server};

/// More than the contest's users send at the end.
const PACE_PER_S: u32 = 600;
/// Of processors that only have to keep what they get.
const LONG_MS: u64 = 60_000;
/// Until everything accepted is confirmed. Beyond: given up.
const CONFIRM_MAX: Duration = Duration::from_secs(120);

/// A server with processors of its own. Each load finds it without payments.
struct Gateway {
    server: Server,
    _processors: Processors,
}

impl Loaded for Gateway {
    fn addresses(&self) -> Vec<SocketAddr> {
        vec![self.server.address]
    }

    fn cpu_ticks(&self) -> Result<CpuTicks> {
        Loaded::cpu_ticks(&self.server)
    }

    fn refresh(&self) -> Result<()> {
        client::order(self.server.address, "POST", "/purge-payments", "").map(drop)
    }
}

impl Bench {
    pub(super) fn processors(&self, delay_ms: u64) -> Result<Processors> {
        // Beside the load: what they take is not the server's.
        Processors::start(&self.programs.processor, Some(self.cpus.load), delay_ms)
    }

    fn gateway(&self, delay_ms: u64) -> Result<Gateway> {
        let processors = self.processors(delay_ms)?;
        let data = self.new_path("data");
        let more = [("--io", Path::new(self.driver))];
        let mut launch: Launch<'_> = self.galo_launch(&data, Some(self.cpus.server), &more);
        launch.arguments.push("--allow-reset".into());
        launch.arguments.extend(processors.flags());
        Ok(Gateway {
            server: Server::start(&launch)?,
            _processors: processors,
        })
    }

    pub(super) fn payments(&self) -> Result<Vec<Figure>> {
        let row = Row::Payments;
        let load = Load {
            post: Post::Payment,
            ..self.transactions_load()
        };
        // What is carried out in one case is kept in the other.
        let (kept, live) = (self.gateway(LONG_MS)?, self.gateway(0)?);
        let noop = self.noop(self.driver)?;
        let servers: [&dyn Loaded; 3] = [&kept, &noop, &live];
        let [before, behind] = client::payment_around_id();
        let request = format!("{before}ffffffff-0000-4000-8000-000000000000{behind}");
        let length = |server: &Server| -> Result<usize> {
            Ok(Connection::open(server.address)?.ask(&request)?.bytes)
        };
        let lengths = [length(&kept.server)?, length(&noop)?];
        let samples = rounds(&servers, &self.wrk, load, self.scale.rounds)?;
        let what = format!(
            "POST payments, 1 core, 32 connections, {}: galo / no-op",
            self.driver
        );
        let mut figure = compare(row, what, &samples[0], &samples[1])
            .must(0.70)
            .aim(0.90);
        figure.note += &format!("; replies of {} and {} bytes", lengths[0], lengths[1]);
        let what = "the same while they are carried out: galo / no-op";
        let mut figures = vec![figure, compare(row, what, &samples[2], &samples[1])];
        for (name, samples) in [
            ("galo, accepting", &samples[0]),
            ("galo, and carrying out", &samples[2]),
            ("no-op", &samples[1]),
        ] {
            let speed = median_of(samples, Sample::requests_per_s);
            let p99_ms = median_of(samples, |sample| sample.run.p99_us) / 1e3;
            let cpu_us = median_of(samples, |sample| 1e6 / sample.requests_per_cpu_s());
            figures.push(
                Figure::new(row, name, speed, "requests/s")
                    .note(format!("p99 {p99_ms:.2} ms; CPU {cpu_us:.1} µs a request")),
            );
        }
        Ok(figures)
    }

    /// Two nodes behind nginx, with processors that carry out at once.
    fn gateway_stack(&self) -> Result<(Stack, Processors)> {
        let processors = Processors::start(&self.programs.processor, None, 0)?;
        let pair = self.galo_pair_with(&processors.flags())?;
        let stack = Stack::start(Balancer::Stream, pair, &self.new_path("nginx"))?;
        Ok((stack, processors))
    }

    pub(super) fn payments_paced(&self) -> Result<Vec<Figure>> {
        let row = Row::PaymentsPaced;
        let (stack, processors) = self.gateway_stack()?;
        let noop = Stack::start(Balancer::Stream, self.noop_pair()?, &self.new_path("nginx"))?;
        let run = |stack: &Stack, seconds: u64| {
            paced::run(stack.address(), Mix::Payments, PACE_PER_S, seconds)
        };
        run(&stack, 1)?;
        run(&noop, 1)?;
        let mut tallies = [Tally::default(), Tally::default()];
        let (mut costs, mut beyond) = (Vec::new(), Vec::new());
        for _ in 0..self.scale.rounds {
            let mut of_galo = Tally::default();
            let cost = cost_of(&stack, &processors, || {
                of_galo = run(&stack, self.scale.seconds)?;
                Ok(u64::from(PACE_PER_S) * self.scale.seconds)
            })?;
            costs.push(cost);
            let of_noop = run(&noop, self.scale.seconds)?;
            beyond.push(p99_ms(&of_galo) - p99_ms(&of_noop));
            tallies[0].merge(&of_galo);
            tallies[1].merge(&of_noop);
        }
        let what = format!("{PACE_PER_S} payments/s through nginx");
        let mut figures = latencies(row, &what, &tallies, |p99| p99.must(2.0).aim(1.0));
        let what = format!("{what}: p99 beyond the no-op servers'");
        figures.push(
            Figure::new(row, what, median(&beyond), "ms")
                .lower_is_better()
                .must(0.15)
                .aim(0.05)
                .note(spread(&beyond))
                .samples(&beyond),
        );
        figures.push(cost_figure(
            row,
            &format!("at {PACE_PER_S} payments/s"),
            &costs,
        ));
        Ok(figures)
    }

    pub(super) fn payments_cost(&self) -> Result<Vec<Figure>> {
        let row = Row::PaymentsCost;
        let (stack, processors) = self.gateway_stack()?;
        let load = Load {
            post: Post::Payment,
            ..self.transactions_load()
        };
        let mut costs = Vec::new();
        let mut speeds = Vec::new();
        for _ in 0..self.scale.rounds.div_ceil(2) {
            let began = Instant::now();
            let mut count = 0;
            let cost = cost_of(&stack, &processors, || {
                count = self.wrk.run(stack.address(), load)?.requests;
                Ok(count)
            })?;
            costs.push(cost);
            speeds.push(count as f64 / began.elapsed().as_secs_f64());
        }
        let what = "payments accepted and carried out, through nginx";
        Ok(vec![
            cost_figure(row, "as fast as they come", &costs),
            Figure::new(row, what, median(&speeds), "payments/s")
                .note(spread(&speeds))
                .samples(&speeds),
        ])
    }
}

/// User and system time of both nodes, in microseconds for each payment that `pay` sends, until the
/// processors have it.
fn cost_of(
    stack: &Stack,
    processors: &Processors,
    pay: impl FnOnce() -> Result<u64>,
) -> Result<f64> {
    let ticks = || Ok::<u64, anyhow::Error>(stack.cpu_ticks()?.servers);
    let (ticks_before, count_before) = (ticks()?, processors.count()?);
    let least = pay()?;
    let began = Instant::now();
    // wrk does not count what had no reply at its end.
    let mut count = processors.count()? - count_before;
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = processors.count()? - count_before;
        if now >= least && now == count {
            break;
        }
        if began.elapsed() > CONFIRM_MAX {
            bail!("{now} of {least} payments were carried out");
        }
        count = now;
    }
    let seconds = (ticks()? - ticks_before) as f64 / ticks_per_second()?;
    Ok(seconds * 1e6 / count as f64)
}

fn p99_ms(tally: &Tally) -> f64 {
    tally.latency().value_at_quantile(0.99) as f64 / 1e6
}

fn cost_figure(row: Row, when: &str, costs: &[f64]) -> Figure {
    let what = format!("CPU of both nodes for a payment, accepted to confirmed, {when}");
    Figure::new(row, what, median(costs), "µs")
        .lower_is_better()
        .note(spread(costs))
        .samples(costs)
}
