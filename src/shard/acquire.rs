//! Becoming the owner of a shard: its lock, then its recovery.

use std::path::PathBuf;

use super::disk::Disk;
use super::error::{At, RecoveryError};
use super::layout::{self, shard_dir, SHARD_LOCK};
use super::lock::Locked;
use super::meta::first_used;
use super::recovery::list;
use super::{archive, LogPosition, Meta, Recovered};
use probe::probe;

/// A data directory, for somebody who may own shards of it.
#[derive(Clone)]
pub struct Directory<D: Disk> {
    /// The file system of the directory.
    pub disk: D,
    /// Path of the data directory.
    pub path: PathBuf,
    /// The contents of its `galo.meta`.
    pub meta: Meta,
    /// Descriptor of this process, one line, for other processes that want the same shards.
    pub descriptor: String,
}

/// A shard that is ours: nobody else serves it before this is dropped.
pub struct Owned<D: Disk> {
    /// The shard, its files, and what recovery found.
    pub recovered: Recovered<D>,
    /// Dropped last, and only when no job of the shard is under way.
    pub lock: D::Lock,
}

/// The result of trying to own a shard.
pub enum Acquired<D: Disk> {
    /// This process owns the shard.
    Ours(Box<Owned<D>>),
    /// Another has it: its descriptor, as far as it is written.
    Held(String),
}

impl<D: Disk> Directory<D> {
    /// Takes a shard's lock and recovers it, unless somebody else has the lock. Blocks.
    pub fn acquire(&self, shard: u32) -> Result<Acquired<D>, RecoveryError> {
        probe!(galo, takeover__begin, shard);
        let acquired = self.try_acquire(shard);
        let outcome = match &acquired {
            Ok(Acquired::Ours(_)) => 1,
            Ok(Acquired::Held(_)) => 0,
            Err(_) => -1,
        };
        probe!(galo, takeover__done, shard, outcome);
        acquired
    }

    /// Shards whose files are no copies of what an engine has.
    pub fn without_copies(&self) -> Result<Vec<u32>, RecoveryError> {
        let mut without = Vec::new();
        for shard in 0..self.meta.shards {
            let listing = list(&self.disk, &shard_dir(&self.path, shard))?;
            if !listing.log_position && !listing.archive {
                without.push(shard);
            }
        }
        Ok(without)
    }

    /// Whether a shard's files are as they were made.
    pub fn is_unused(&self, shard: u32) -> Result<bool, RecoveryError> {
        let dir = shard_dir(&self.path, shard);
        let listing = list(&self.disk, &dir)?;
        let is_whole = !listing.snapshots.is_empty() && !listing.segments.is_empty();
        Ok(is_whole && first_used(&self.disk, &dir, &listing)?.is_none())
    }

    /// Notes how far a shard's files have come in an engine's log: the journal is durable so far. Blocks.
    pub fn note(&self, shard: u32, place: LogPosition) -> Result<(), RecoveryError> {
        let dir = shard_dir(&self.path, shard);
        place.write(&self.disk, &dir, &self.meta.identity(shard))
    }

    /// Makes one file of all that a shard of ours has, which is at `place` or beyond, and returns where it is. No snapshot
    /// of it and no run is made meanwhile. Blocks.
    pub fn archive(&self, shard: u32, place: LogPosition) -> Result<PathBuf, RecoveryError> {
        let dir = shard_dir(&self.path, shard);
        archive::write(&self.disk, &dir, &self.meta.identity(shard), &place)?;
        Ok(layout::archive_made(&dir))
    }

    /// The archive that was [made](Self::archive) is what a shard of ours begins with at the next start. Blocks.
    pub fn begin_with_archive(&self, shard: u32) -> Result<(), RecoveryError> {
        let dir = shard_dir(&self.path, shard);
        let (made, fetched) = (layout::archive_made(&dir), layout::archive_fetched(&dir));
        self.disk.rename(&made, &fetched).at("rename", &made)?;
        self.accept(shard)
    }

    /// The archive that has [come](Self::fetched) takes the place of a shard's files at the next start. Blocks.
    pub fn accept(&self, shard: u32) -> Result<(), RecoveryError> {
        let dir = shard_dir(&self.path, shard);
        archive::accept(&self.disk, &dir, &self.meta.identity(shard))
    }

    /// Where a shard's archive is to be that comes from others.
    pub fn fetched(&self, shard: u32) -> PathBuf {
        layout::archive_fetched(&shard_dir(&self.path, shard))
    }

    /// [Acquires](Self::acquire) a shard with the files of the archive that has [come](Self::fetched), in the place of all
    /// that are there. Blocks.
    pub fn restore(&self, shard: u32) -> Result<Acquired<D>, RecoveryError> {
        self.accept(shard)?;
        self.acquire(shard)
    }

    fn try_acquire(&self, shard: u32) -> Result<Acquired<D>, RecoveryError> {
        let path = shard_dir(&self.path, shard).join(SHARD_LOCK);
        let lock = match self.disk.lock(&path, &self.descriptor).at("lock", &path)? {
            Locked::Ours(lock) => lock,
            Locked::Held(descriptor) => return Ok(Acquired::Held(descriptor)),
        };
        let recovered = super::open(&self.disk, &self.path, &self.meta, shard)?;
        Ok(Acquired::Ours(Box::new(Owned { recovered, lock })))
    }
}
