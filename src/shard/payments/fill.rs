//! A data directory with many settled payments, as years of use would leave it: for tests and measurements.

use std::path::Path;

use super::{copy, write_run, Settled};
use crate::limits::SETTLED_RUN;
use crate::shard::disk::Disk;
use crate::shard::error::{At, RecoveryError};
use crate::shard::snapshot::{self, Writer, HEADER_BYTES};
use crate::shard::{layout, Meta};

/// Puts settled payments, each with an id of its own, into a directory that was just made, without a journal of
/// how they came there.
pub fn fill<D: Disk>(
    disk: &D,
    dir: &Path,
    meta: &Meta,
    settled: impl Iterator<Item = Settled>,
) -> Result<(), RecoveryError> {
    let mut shards: Vec<(u64, Vec<Settled>)> = (0..meta.shards).map(|_| (0, Vec::new())).collect();
    let flush = |shard: u32, (first, settled): &mut (u64, Vec<Settled>)| {
        let dir = layout::shard_dir(dir, shard);
        let identity = meta.identity(shard);
        write_run(disk, &dir, &identity, (*first, 0), settled).at("write a run in", &dir)?;
        *first += settled.len() as u64;
        settled.clear();
        Ok(())
    };
    for settled in settled {
        let shard = settled.id.shard(meta.shards as usize);
        let run = &mut shards[shard];
        run.1.push(settled);
        if run.1.len() == SETTLED_RUN {
            flush(shard as u32, run)?;
        }
    }
    for (shard, run) in (0..meta.shards).zip(&mut shards) {
        if !run.1.is_empty() {
            flush(shard, run)?;
        }
        tell(disk, dir, meta, shard, run.0)?;
    }
    Ok(())
}

/// Writes the first snapshot anew: so many payments are settled.
fn tell<D: Disk>(
    disk: &D,
    dir: &Path,
    meta: &Meta,
    shard: u32,
    settled: u64,
) -> Result<(), RecoveryError> {
    let dir = layout::shard_dir(dir, shard);
    let identity = meta.identity(shard);
    let path = layout::snapshot(&dir, 0);
    let made = snapshot::read(disk, &dir, 0, &identity)
        .map_err(|error| snapshot::unreadable(error, &path))?;
    let accounts = &made.accounts[HEADER_BYTES..];
    let payments = copy::settled_elsewhere(settled);
    let mut writer = Writer::new(disk.clone(), &dir);
    [accounts, &payments]
        .into_iter()
        .try_for_each(|bytes| writer.slice(bytes))
        .at("write", &path)?;
    let header = snapshot::SnapshotHeader::new(
        &identity,
        &made.position,
        accounts.len() / size_of::<crate::bank::Account>(),
        &crate::shard::dedup::DedupCounts::default(),
        payments.len() as u64,
        writer.body_crc(),
    );
    writer.finish(&header).at("write", &path)
}
