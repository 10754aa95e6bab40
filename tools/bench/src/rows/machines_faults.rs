//! Nodes on several machines that die or are stopped, and how long their clients wait.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use galo_load::engine::Stop;
use galo_testkit::NatsCluster;

use super::machines::CLUSTER;
use super::{spread, Bench, Row};
use crate::machines::load::{self, Amount};
use crate::machines::{client_of, Nodes, NODES};
use crate::report::Figure;
use crate::rounds::median;
use galo_bench::client::Connection;

/// Of each of the shards.
const ACCOUNTS: u32 = 1_000;
/// From a death to the first reply. Beyond: given up.
const REPLY_MAX: Duration = Duration::from_secs(60);
/// Of the load around a stop, before it and in all.
const BEFORE_STOP: Duration = Duration::from_secs(1);
const AROUND_STOP: Duration = Duration::from_secs(4);

impl Bench {
    pub(super) fn machines_faults(&self) -> Result<Vec<Figure>> {
        let row = Row::MachinesFaults;
        let mut engine = self.engine()?;
        let mut nodes = self.nodes(&engine, CLUSTER, &self.accounts(ACCOUNTS)?)?;
        nodes.start(&[0, 1, 2])?;
        let rounds = self.scale.machine_faults;
        let mut figures = Vec::new();

        let (mut owner, mut both) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            owner.push(death(&mut nodes, round % NODES.len(), || {})?);
        }
        for round in 0..rounds {
            let leader = leader(&engine)?;
            both.push(death(&mut nodes, round % NODES.len(), || {
                engine.kill(leader);
            })?);
            engine.restart(leader);
            engine.wait_until_ready();
        }
        for (what, times, must, aim) in [
            (
                "several machines: kill -9 of an owner, to the first reply for each of its shards",
                &owner,
                4.0,
                3.0,
            ),
            (
                "kill -9 of an owner and of the engine's leader, the same",
                &both,
                15.0,
                11.0,
            ),
        ] {
            let most = times.iter().copied().fold(0.0, f64::max);
            figures.push(
                Figure::new(row, what, median(times), "s")
                    .lower_is_better()
                    .must(must)
                    .aim(aim)
                    .note(spread(times))
                    .samples(times),
            );
            figures.push(
                Figure::new(row, "the same, the longest", most, "s")
                    .lower_is_better()
                    .must(must),
            );
        }
        figures.extend(self.stops(&mut nodes)?);
        Ok(figures)
    }

    /// Each node in turn is stopped in order, while the other two have load for all shards.
    fn stops(&self, nodes: &mut Nodes<'_>) -> Result<Vec<Figure>> {
        let row = Row::MachinesFaults;
        let half = self.half_load(nodes, ACCOUNTS)?;
        let (mut waits, mut without) = (Vec::new(), Vec::new());
        let (mut failed, mut unsent) = (0, 0);
        for round in 0..self.scale.machine_faults {
            let node = round % NODES.len();
            let stopped = nodes.server(node)?.address;
            let mut others = nodes.addresses();
            others.retain(|address| *address != stopped);
            let load = || {
                let amount = Amount::PerSecond(half);
                load::run(&others, ACCOUNTS, amount, AROUND_STOP, &Stop::default())
            };
            without.push(load()?.sound()?.quantile_ms(1.0));
            let outcome = thread::scope(|scope| {
                let load = scope.spawn(load);
                thread::sleep(BEFORE_STOP);
                let stopped = nodes.stop(node);
                let outcome = load.join().expect("it does not panic");
                stopped.and(outcome)
            })?;
            failed += outcome.tally.failures.count();
            unsent += outcome.unsent;
            waits.push(outcome.quantile_ms(1.0));
            nodes.start(&[node])?;
        }
        let longest = waits.iter().copied().fold(0.0, f64::max);
        let what =
            "an orderly stop under half load, asked at the other two nodes: requests that failed";
        Ok(vec![
            Figure::new(row, what, failed as f64, "requests")
                .lower_is_better()
                .must(0.0)
                .aim(0.0)
                .note(format!(
                    "{} stops, {half:.0} requests/s; {unsent} were due, and not sent before the end",
                    waits.len()
                )),
            Figure::new(row, "the same, the longest wait", longest, "ms")
                .lower_is_better()
                .aim(100.0)
                .note(format!(
                    "{}; without a stop {}",
                    spread(&waits),
                    spread(&without)
                ))
                .samples(&waits),
        ])
    }
}

/// Who leads the stream of all logs.
fn leader(engine: &NatsCluster) -> Result<usize> {
    let began = Instant::now();
    loop {
        if let Some(leader) = engine.leader_of(&format!("GALO_{CLUSTER}")) {
            return Ok(leader);
        }
        ensure!(began.elapsed() < REPLY_MAX, "nobody leads the log's stream");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Kills a node, and what dies together with it; seconds to the first reply for each of its shards. Then it is started again.
fn death(nodes: &mut Nodes<'_>, node: usize, together: impl FnOnce()) -> Result<f64> {
    let clients: Vec<u32> = nodes.shards_of(node)?.into_iter().map(client_of).collect();
    let began = Instant::now();
    nodes.kill(node)?;
    together();
    let others = nodes.addresses();
    let replies = thread::scope(|scope| {
        let waiting: Vec<_> = (0..)
            .zip(&clients)
            .map(|(number, client)| {
                let other = others[number % others.len()];
                scope.spawn(move || first_reply(other, *client, began))
            })
            .collect();
        let replies = waiting
            .into_iter()
            .map(|it| it.join().expect("it does not panic"));
        replies.collect::<Result<Vec<f64>>>()
    })?;
    nodes.start(&[node])?;
    let last = replies.into_iter().reduce(f64::max);
    last.context("it owned nothing")
}

/// Seconds. Who is told that there is nobody asks again.
fn first_reply(address: SocketAddr, client: u32, began: Instant) -> Result<f64> {
    loop {
        let replied = Connection::open(address).and_then(|mut it| it.post(client));
        let elapsed = began.elapsed();
        match replied {
            Ok(_) => return Ok(elapsed.as_secs_f64()),
            Err(error) if elapsed > REPLY_MAX => return Err(error),
            Err(_) => {}
        }
    }
}
