//! Many open payments: start.

use std::path::Path;

use anyhow::{ensure, Context, Result};
use galo::machine::Job as _;
use galo::shard::{self, Accepted, Meta, RealDisk, Recovered, Shard, Store, StoreJob};

use super::payments_large::id;
use super::{megabytes, spread, Bench, Row};
use crate::report::Figure;
use crate::rounds::median;
use galo_bench::server::Server;

/// When the first one was accepted.
const BEGIN_US: u64 = 1_752_582_896_000_000;

impl Bench {
    pub(super) fn payments_open(&self) -> Result<Vec<Figure>> {
        let row = Row::PaymentsOpen;
        let count = self.scale.open_payments;
        let mut figures = Vec::new();
        for (place, snapshot_at) in [("journal", None), ("snapshot", Some(count * 9 / 10))] {
            let data = self.new_path("data");
            let (mut starts, mut memory) = (Vec::new(), Vec::new());
            for _ in 0..self.scale.large_starts {
                // Anew for each: who serves makes a snapshot, and carries them out.
                let processors = self.processors(0)?;
                let mut launch = self.galo_launch(&data, None, &[]);
                launch.arguments.extend(processors.flags());
                Server::start(&launch)?.stop()?;
                write(&data, count, snapshot_at)?;
                let server = Server::start(&launch)?;
                starts.push(server.start.as_secs_f64() * 1e3);
                memory.push(megabytes(server.resident()?.all));
                server.stop()?;
                std::fs::remove_dir_all(&data)?;
            }
            let what = format!("start to first 200, {count} open payments, in the {place}");
            figures.push(
                Figure::new(row, what, median(&starts), "ms")
                    .lower_is_better()
                    .must(500.0)
                    .aim(200.0)
                    .note(format!("{}; file cache warm", spread(&starts)))
                    .samples(&starts),
            );
            let what = format!("resident memory then, in the {place}");
            figures.push(
                Figure::new(row, what, median(&memory), "MB")
                    .lower_is_better()
                    .samples(&memory),
            );
        }
        Ok(figures)
    }
}

/// Puts them where a server has made its directory, by the way that they take there; with a snapshot after so
/// many.
fn write(data: &Path, count: u64, snapshot_at: Option<u64>) -> Result<()> {
    let told = |error| anyhow::anyhow!("{error}");
    let meta = Meta::read(&RealDisk, data).map_err(told)?;
    let meta = meta.context("no data directory")?;
    let shards = (0..meta.shards).map(|shard| shard::open(&RealDisk, data, &meta, shard));
    let mut shards = shards.collect::<Result<Vec<_>, _>>().map_err(told)?;
    for number in 0..count {
        let id = id(number);
        let Recovered { shard, store, .. } = &mut shards[id.shard(meta.shards as usize)];
        if !shard.accepts() {
            append(shard, store)?;
        }
        let accepted = shard.pay(id, 1990, BEGIN_US + number);
        ensure!(accepted == Accepted::New, "{id} is {accepted:?}");
        if snapshot_at == Some(number) {
            for Recovered { shard, store, .. } in &mut shards {
                append(shard, store)?;
                let sync = store.sync();
                run(shard, store, sync)?;
                store.snapshot_begin(shard);
                while let Some(job) = store.snapshot_step(shard) {
                    run(shard, store, Some(job))?;
                }
            }
        }
    }
    for Recovered { shard, store, .. } in &mut shards {
        append(shard, store)?;
        let sync = store.sync();
        run(shard, store, sync)?;
    }
    Ok(())
}

fn append(shard: &mut Shard, store: &mut Store<RealDisk>) -> Result<()> {
    if !shard.batch().is_empty() {
        let written = store.append(shard);
        written.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        shard.written();
    }
    Ok(())
}

fn run(
    shard: &mut Shard,
    store: &mut Store<RealDisk>,
    job: Option<StoreJob<RealDisk>>,
) -> Result<()> {
    job.map_or(Ok(()), |job| Ok(store.done(shard, job.run())?))
}
