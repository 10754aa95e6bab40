//! Two nodes behind nginx, against two no-op servers behind it.

use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use galo_load::measure::Tally;
use serde_json::json;

use super::{compare, latencies, megabytes, spread, Bench, Row};
use crate::nginx::Balancer;
use crate::paced::{self, Mix};
use crate::report::Figure;
use crate::rounds::{median_of, ratio, rounds, Sample};
use crate::stack::Stack;
use crate::wrk::Load;
use galo_bench::pair::Pair;
use galo_bench::server::{Launch, Together};

/// At the top of the contest's ramps.
const PACE_PER_S: u32 = 340;
/// Between two looks at memory.
const LOOK: Duration = Duration::from_millis(50);

impl Bench {
    /// Two nodes with their shards at home, as the system places them.
    pub(super) fn galo_pair(&self) -> Result<Pair> {
        self.galo_pair_with(&[])
    }

    /// The same with more flags for both.
    pub(super) fn galo_pair_with(&self, flags: &[OsString]) -> Result<Pair> {
        let (run, data) = (self.new_path("run"), self.new_path("data"));
        Pair::of_nodes(&run, |_| {
            let mut launch = self.galo_launch(&data, None, &[("--io", Path::new(self.driver))]);
            launch.arguments.extend_from_slice(flags);
            launch
        })
    }

    pub(super) fn noop_pair(&self) -> Result<Pair> {
        Pair::start(&self.new_path("run"), |_| Launch {
            cpu: None,
            ..self.noop_launch(self.driver)
        })
    }

    /// galo's, and the no-op servers'.
    fn stacks(&self, balancer: Balancer) -> Result<[Stack; 2]> {
        let behind = |pair| Stack::start(balancer, pair, &self.new_path("nginx"));
        Ok([behind(self.galo_pair()?)?, behind(self.noop_pair()?)?])
    }

    pub(super) fn stack(&self) -> Result<Vec<Figure>> {
        let row = Row::Stack;
        let mut figures = Vec::new();
        for (balancer, name) in [
            (Balancer::Stream, "lb.conf"),
            (Balancer::Http, "lb-http.conf"),
        ] {
            let stacks = self.stacks(balancer)?;
            let samples = rounds(
                &[&stacks[0], &stacks[1]],
                &self.wrk,
                self.transactions_load(),
                self.scale.rounds,
            )?;
            let [galo, noop] = [&samples[0], &samples[1]];
            let is_stream = balancer == Balancer::Stream;
            let what = format!("through nginx ({name}) and two nodes: galo / no-op");
            let mut figure = compare(row, what, galo, noop);
            if is_stream {
                figure = figure.must(0.80).aim(0.95);
            }
            figures.push(figure);
            let (of_all, of_all_each) = ratio(galo, noop, Sample::requests_per_cpu_s);
            let (servers, servers_each) = ratio(galo, noop, Sample::requests_per_servers_cpu_s);
            for (whose, value, each, must, aim) in [
                ("of all", of_all, of_all_each, 0.90, 0.95),
                ("of the two servers", servers, servers_each, 0.70, 0.85),
            ] {
                let what = format!("the same, per CPU second {whose}, {name}");
                let mut figure = Figure::new(row, what, value, "×").note(spread(&each));
                if is_stream {
                    figure = figure.must(must).aim(aim);
                }
                figures.push(figure);
            }
            for (who, samples) in [("galo", galo), ("no-op", noop)] {
                let speed = median_of(samples, Sample::requests_per_s);
                let cpu_us = |sample: &Sample| 1e6 / sample.requests_per_cpu_s();
                let servers_us = |sample: &Sample| 1e6 / sample.requests_per_servers_cpu_s();
                let p99_ms = median_of(samples, |sample| sample.run.p99_us) / 1e3;
                figures.push(
                    Figure::new(row, format!("{who}, {name}"), speed, "requests/s").note(format!(
                        "p99 {p99_ms:.2} ms; CPU {:.1} µs a request, of which servers {:.1} µs",
                        median_of(samples, cpu_us),
                        median_of(samples, servers_us)
                    )),
                );
            }
        }
        Ok(figures)
    }

    pub(super) fn stack_memory(&self) -> Result<Vec<Figure>> {
        let row = Row::StackMemory;
        let pair = self.galo_pair()?;
        let stack = Stack::start(Balancer::Stream, pair, &self.new_path("nginx"))?;
        let before = Together::of(&stack.pids())?;
        let done = AtomicBool::new(false);
        let load = Load {
            seconds: self.scale.seconds.max(2),
            ..self.transactions_load()
        };
        let most = std::thread::scope(|scope| {
            let looking = scope.spawn(|| -> Result<Together> {
                let mut most = before;
                while !done.load(Ordering::Relaxed) {
                    let now = Together::of(&stack.pids())?;
                    most.resident = most.resident.max(now.resident);
                    most.proportional = most.proportional.max(now.proportional);
                    std::thread::sleep(LOOK);
                }
                Ok(most)
            });
            let run = self.wrk.run(stack.address(), load);
            done.store(true, Ordering::Relaxed);
            let most = looking.join().expect("it does not panic")?;
            run.map(|_| most)
        })?;
        let what = "resident memory of nginx and two nodes under load";
        Ok(vec![
            Figure::new(row, format!("{what}, RSS"), megabytes(most.resident), "MB")
                .lower_is_better()
                .must(30.0)
                .aim(20.0)
                .note(format!("{:.1} MB before", megabytes(before.resident)))
                .samples(json!({ "before": before, "most": most })),
            Figure::new(
                row,
                format!("{what}, PSS"),
                megabytes(most.proportional),
                "MB",
            )
            .lower_is_better()
            .aim(10.0)
            .note(format!("{:.1} MB before", megabytes(before.proportional))),
        ])
    }

    pub(super) fn paced(&self) -> Result<Vec<Figure>> {
        let row = Row::Paced;
        let stacks = self.stacks(Balancer::Stream)?;
        let mut tallies = [Tally::default(), Tally::default()];
        for stack in &stacks {
            paced::run(stack.address(), Mix::Bank, PACE_PER_S, 1)?;
        }
        for _ in 0..self.scale.rounds.div_ceil(2) {
            for (stack, tally) in stacks.iter().zip(&mut tallies) {
                let seconds = self.scale.seconds;
                tally.merge(&paced::run(
                    stack.address(),
                    Mix::Bank,
                    PACE_PER_S,
                    seconds,
                )?);
            }
        }
        let what = format!("{PACE_PER_S} requests/s through nginx, a connection each");
        Ok(latencies(row, &what, &tallies, |p99| p99.must(2.0)))
    }
}
