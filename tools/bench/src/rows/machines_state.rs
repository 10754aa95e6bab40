//! Nodes on several machines with many accounts: a new node, and the shards' way into the servers' store.

use std::ffi::OsString;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{ensure, Result};
use galo_load::engine::Stop;
use galo_testkit::NatsCluster;

use super::machines::CLUSTER;
use super::{spread, Bench, Row};
use crate::machines::fill::fill;
use crate::machines::load::{self, Amount};
use crate::machines::{Nodes, NODES};
use crate::report::Figure;
use crate::rounds::{in_turn, median};
use galo_bench::client;

/// To write to all accounts. What is not written by then is not.
const FILL_MAX: Duration = Duration::from_secs(90);
/// From a new node's start until it has its shards. Beyond: given up.
const JOIN_MAX: Duration = Duration::from_secs(120);
/// Until the log's front is gone, which all shards in the store let go. Beyond: given up.
const STORED_MAX: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// How long the log may get where shards are to be stored.
const LOG_MIB: &str = "1";
/// A write to each of so many accounts fills that more than once over.
const ACCOUNTS_A_MIB: u32 = 60_000;
/// Of the cluster that stores nothing.
const STORES_NOTHING: &str = "bench-log";

impl Bench {
    /// Two nodes have written to every account; the third one joins with an empty directory.
    pub(super) fn machines_join(&self) -> Result<Vec<Figure>> {
        let row = Row::MachinesJoin;
        let accounts = self.scale.large_accounts;
        let engine = self.engine()?;
        let mut flags = self.accounts(accounts)?;
        let log_mib = (accounts / ACCOUNTS_A_MIB).max(1).to_string();
        flags.extend(["--replicate-log-mib", &log_mib].map(OsString::from));
        let mut nodes = self.nodes(&engine, CLUSTER, &flags)?;
        nodes.start(&[0, 1])?;
        let others = nodes.addresses();
        let began = Instant::now();
        let written = fill(&others, accounts, FILL_MAX)?;
        let fill_s = began.elapsed().as_secs_f64();
        wait_until_stored(&engine, CLUSTER)?;

        let half = self.half_load(&nodes, accounts)?;
        let before = self.load_nodes(&nodes, accounts, Amount::PerSecond(half))?;
        let stop = Stop::default();
        let (first_s, ready_s, during) = thread::scope(|scope| -> Result<_> {
            let load = scope
                .spawn(|| load::run(&others, accounts, Amount::PerSecond(half), JOIN_MAX, &stop));
            let joined = join(&mut nodes);
            stop.stop();
            let during = load.join().expect("it does not panic")?;
            let (first_s, ready_s) = joined?;
            Ok((first_s, ready_s, during))
        })?;
        // What was under way at the end of the load has no reply.
        let refused: u64 = during.tally.failures.wrong_count();
        let (p99_before, p99) = (before.quantile_ms(0.99), during.quantile_ms(0.99));
        let what = format!("several machines, {accounts} accounts: a new node, from its start until it has its shards");
        Ok(vec![
            Figure::new(row, what, ready_s, "s")
                .lower_is_better()
                .must(30.0)
                .aim(10.0)
                .note(format!(
                    "{written} accounts written to before, the store has them and the log's last {log_mib} MiB; load {half:.0}/s"
                )),
            Figure::new(row, "the same, to its first reply", first_s, "s").lower_is_better(),
            Figure::new(row, "p99 at the others meanwhile / before, half load", p99 / p99_before, "×")
                .lower_is_better()
                .must(2.0)
                .note(format!(
                    "{p99:.1} and {p99_before:.1} ms, longest {:.1} and {:.1} ms; of {} and {}; {refused} refused",
                    during.quantile_ms(1.0),
                    before.quantile_ms(1.0),
                    during.tally.requests(),
                    before.tally.requests(),
                )),
            Figure::new(row, "writing to these accounts, 256 in a piece", f64::from(written) / fill_s, "requests/s"),
        ])
    }

    /// The same load on two clusters, one of which stores its shards all the while.
    pub(super) fn machines_store(&self) -> Result<Vec<Figure>> {
        let row = Row::MachinesStore;
        let accounts = self.scale.large_accounts / 10;
        let engine = self.engine()?;
        let flags = self.accounts(accounts)?;
        let few = [
            flags.clone(),
            vec!["--replicate-log-mib".into(), LOG_MIB.into()],
        ]
        .concat();
        let mut storing = self.nodes(&engine, CLUSTER, &few)?;
        let mut keeping = self.nodes(&engine, STORES_NOTHING, &flags)?;
        for nodes in [&mut storing, &mut keeping] {
            nodes.start(&[0, 1, 2])?;
            fill(&nodes.addresses(), accounts, FILL_MAX)?;
        }
        // Few accounts do not fill the log at once.
        let began = Instant::now();
        while first_of(&engine, CLUSTER) <= 1 {
            ensure!(began.elapsed() < STORED_MAX, "shards are not stored");
            fill(&storing.addresses(), accounts, FILL_MAX)?;
        }
        let amount = Amount::PerSecond(self.half_load(&keeping, accounts)?);
        let mut stored = Vec::new();
        let p99s = in_turn(2, self.scale.rounds, |which| {
            let nodes = [&storing, &keeping][which];
            let first = first_of(&engine, CLUSTER);
            let p99 = self.load_nodes(nodes, accounts, amount)?.quantile_ms(0.99);
            if which == 0 {
                stored.push((first_of(&engine, CLUSTER) - first) as f64);
            }
            Ok(p99)
        })?;
        let pairs = p99s[0].iter().zip(&p99s[1]);
        let ratios: Vec<f64> = pairs.map(|(of, to)| of / to).collect();
        ensure!(
            first_of(&engine, STORES_NOTHING) == 1,
            "the other one has stored shards, too"
        );
        let what = format!("several machines, half load, {accounts} accounts: p99 while shards are stored / otherwise");
        Ok(vec![Figure::new(row, what, median(&ratios), "×")
            .lower_is_better()
            .must(2.0)
            .note(format!(
                "{}; {:.1} and {:.1} ms; {:.0} records purged in each round",
                spread(&ratios),
                median(&p99s[0]),
                median(&p99s[1]),
                median(&stored)
            ))
            .samples(&p99s)])
    }
}

/// The log's first record; 0: nobody leads the log.
fn first_of(engine: &NatsCluster, cluster: &str) -> u64 {
    let range = engine.range_of(&format!("GALO_{cluster}"));
    range.map_or(0, |(first, _)| first)
}

/// Until a front of the log has gone, for which all shards have to be in the store.
fn wait_until_stored(engine: &NatsCluster, cluster: &str) -> Result<()> {
    let began = Instant::now();
    while first_of(engine, cluster) <= 1 {
        ensure!(began.elapsed() < STORED_MAX, "shards are not stored");
        thread::sleep(LOOK);
    }
    Ok(())
}

/// Starts the last node; seconds to its first reply, and until it has its shards.
fn join(nodes: &mut Nodes<'_>) -> Result<(f64, f64)> {
    let new = NODES.len() - 1;
    let began = Instant::now();
    nodes.spawn(new)?;
    let address = nodes.server(new)?.address;
    let mut first_s = None;
    loop {
        let elapsed = began.elapsed();
        ensure!(elapsed < JOIN_MAX, "the new node has not its shards");
        if first_s.is_none() && client::answers(address) {
            first_s = Some(began.elapsed().as_secs_f64());
        }
        if let Some(first_s) = first_s {
            if nodes.shards_of(new)?.len() >= crate::machines::SHARDS / NODES.len() {
                return Ok((first_s, began.elapsed().as_secs_f64()));
            }
        }
        thread::sleep(LOOK);
    }
}
