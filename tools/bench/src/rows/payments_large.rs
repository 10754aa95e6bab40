//! Many confirmed payments: start, memory, summaries.

use std::path::Path;
use std::time::Instant;

use anyhow::{ensure, Context, Result};
use galo::http::iso8601;
use galo::payments::{PaymentId, Processor};
use galo::shard::payments::{fill, Settled};
use galo::shard::{Meta, RealDisk};
use serde_json::Value;

use super::{megabytes, spread, Bench, Row};
use crate::report::Figure;
use crate::rounds::median;
use galo_bench::client::{self, Connection};
use galo_bench::server::{Resident, Server};

/// When the first one was requested.
const BEGIN_US: u64 = 1_752_582_896_000_000;
/// From one to the next: a thousand a second.
const STEP_US: u64 = 1_000;
/// How far they are from being in order.
const JITTER_US: u64 = 50_000;
/// Summaries of each start, each of another window.
const SUMMARIES: u64 = 200;
/// Of each: the median counts, so that it is the window that is told of, and not what else runs.
const REPEATS: usize = 3;
/// Of old payments, and new ones, after them.
const LOOKUPS: u64 = 1_000;

impl Bench {
    pub(super) fn payments_large(&self) -> Result<Vec<Figure>> {
        let row = Row::PaymentsLarge;
        let count = self.scale.large_payments;
        let data = self.new_path("data");
        let processors = self.processors(0)?;
        let start = || -> Result<Server> {
            let mut launch = self.galo_launch(&data, None, &[]);
            launch.arguments.extend(processors.flags());
            Server::start(&launch)
        };
        start()?.stop()?;
        let began = Instant::now();
        write(&data, count)?;
        let written_s = began.elapsed().as_secs_f64();

        let (mut starts, mut summaries) = (Vec::new(), Vec::new());
        let mut memory: Vec<Vec<Resident>> = Vec::new();
        for round in 0..self.scale.large_starts as u64 {
            let server = start()?;
            starts.push(server.start.as_secs_f64() * 1e3);
            let mut connection = Connection::open(server.address)?;
            let mut residents = vec![server.resident()?];
            for number in 0..SUMMARIES {
                let window = window(round * SUMMARIES + number, count);
                let mut times = [0.0; REPEATS];
                for time in &mut times {
                    let began = Instant::now();
                    connection.ask(&get(&window))?;
                    *time = began.elapsed().as_secs_f64() * 1e3;
                }
                summaries.push(median(&times));
            }
            residents.push(server.resident()?);
            for number in 0..LOOKUPS {
                let id = id(mix(round * LOOKUPS + number) % count);
                connection.ask(&get(&format!("/payments/{id}")))?;
            }
            residents.push(server.resident()?);
            let [before, behind] = client::payment_around_id();
            for number in 0..LOOKUPS {
                let new = format!("{before}{round:08x}-2222-4000-8000-{number:012x}{behind}");
                connection.ask(&new)?;
            }
            residents.push(server.resident()?);
            let all: Value =
                serde_json::from_str(&client::get(server.address, "/payments-summary")?)?;
            let told = all["total_payments"].as_u64().context("no count")?;
            ensure!(told >= count, "{told} of {count} payments are there");
            memory.push(residents);
            server.stop()?;
        }
        std::fs::remove_dir_all(&data)?;
        summaries.sort_unstable_by(f64::total_cmp);
        let after = |step: usize| {
            let all: Vec<f64> = memory.iter().map(|it| megabytes(it[step].all)).collect();
            median(&all)
        };
        let most = memory
            .iter()
            .flatten()
            .map(|one| one.all)
            .max()
            .unwrap_or(0);
        let samples: Vec<Vec<[u64; 2]>> = memory
            .iter()
            .map(|steps| steps.iter().map(|one| [one.all, one.anonymous]).collect())
            .collect();
        let slowest = summaries[summaries.len() - 1];
        let what = format!("start to first 200, {count} confirmed payments");
        Ok(vec![
            Figure::new(row, what, median(&starts), "ms")
                .lower_is_better()
                .must(2000.0)
                .note(format!("{}; file cache warm", spread(&starts)))
                .samples(&starts),
            Figure::new(row, "resident memory then, at most", megabytes(most), "MB")
                .lower_is_better()
                .must(30.0)
                .note(format!(
                    "{:.1} MB at the start, {:.1} after summaries, {:.1} after lookups",
                    after(0),
                    after(1),
                    after(2)
                ))
                .samples(&samples),
            Figure::new(row, "the slowest summary of any window", slowest, "ms")
                .lower_is_better()
                .must(5.0)
                .note(format!(
                    "median {:.2} ms of {}",
                    median(&summaries),
                    summaries.len()
                )),
            Figure::new(row, "writing that directory", written_s, "s").lower_is_better(),
        ])
    }
}

/// Puts them where a server has made its directory.
fn write(data: &Path, count: u64) -> Result<()> {
    let meta = Meta::read(&RealDisk, data).map_err(|error| anyhow::anyhow!("{error}"))?;
    let meta = meta.context("no data directory")?;
    let settled = (0..count).map(|number| {
        let requested_us = requested_us(number);
        Settled {
            id: id(number),
            cents: 1990,
            accepted_us: requested_us,
            requested_us,
            by: match number % 20 {
                19 => Processor::Fallback,
                _ => Processor::Default,
            },
            attempts: 1,
        }
    });
    fill(&RealDisk, data, &meta, settled).map_err(|error| anyhow::anyhow!("{error}"))
}

pub(super) fn id(number: u64) -> PaymentId {
    let high = u128::from(mix(number)) << 64;
    PaymentId::made_of(high | u128::from(mix(!number)))
}

fn requested_us(number: u64) -> u64 {
    let exact = BEGIN_US + number * STEP_US + mix(number) % JITTER_US;
    exact / 1000 * 1000
}

/// Of any length, anywhere.
fn window(number: u64, count: u64) -> String {
    let span = count * STEP_US;
    let one = BEGIN_US + mix(number) % span;
    let length = mix(!number) % (span >> (number % 24));
    let bound = |us: u64| {
        let text = String::from_utf8_lossy(&iso8601(us)).into_owned();
        text
    };
    format!(
        "/payments-summary?from={}&to={}",
        bound(one),
        bound(one + length)
    )
}

fn get(path: &str) -> String {
    client::request("GET", path, "")
}

/// The output function of splitmix64.
const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
