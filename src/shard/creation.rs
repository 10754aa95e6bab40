//! Creates a data directory.
//!
//! Shards first, each with a snapshot of the accounts at the start and an empty segment, all of it
//! durable; `galo.meta` last, by rename. A crash on the way leaves no `galo.meta`, and the next start
//! makes everything anew. A start that fails [`unmake`]s what it made.

use std::io;
use std::path::{Path, PathBuf};

use super::accounts::bytes_of;
use super::dedup::DedupCounts;
use super::disk::{Disk, RealDisk};
use super::error::{At, RecoveryError};
use super::journal::{self, HEADER_BYTES};
use super::lock::Locked;
use super::meta::{expect_half_made, write};
use super::snapshot::{Position, SnapshotHeader, Writer};
use super::{layout, Identity, LogPosition, Meta};
use crate::bank::Account;
use crate::limits::{SHARDS_MAX, SNAPSHOT_SLICE_BYTES};

/// A client of a new data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's number, which decides on its shard.
    pub id: u32,
    /// The account's limit, cents, not negative.
    pub limit: i64,
    /// Cents, not below the negative of the limit.
    pub balance: i64,
}

/// Makes a data directory where [`Meta::read`] said that one can be made. `clients` have different
/// ids. Hold the creation lock ([`layout::CREATION_LOCK`]) meanwhile.
pub fn create<D: Disk>(
    disk: &D,
    dir: &Path,
    meta: &Meta,
    clients: &[Client],
) -> Result<(), RecoveryError> {
    make(disk, dir, meta, clients, None)
}

/// The same, of files that are copies of what an engine has, from its first record on.
pub fn create_copies<D: Disk>(
    disk: &D,
    dir: &Path,
    meta: &Meta,
    clients: &[Client],
) -> Result<(), RecoveryError> {
    make(disk, dir, meta, clients, Some(LogPosition::BEGIN))
}

fn make<D: Disk>(
    disk: &D,
    dir: &Path,
    meta: &Meta,
    clients: &[Client],
    place: Option<LogPosition>,
) -> Result<(), RecoveryError> {
    assert!(meta.shards > 0 && meta.shards as usize <= SHARDS_MAX);
    disk.create_dir(dir).at("create", dir)?;
    let names = disk.list(dir).at("list", dir)?;
    expect_half_made(disk, dir, &names)?;
    for name in names {
        if layout::is_shard_dir(&name) {
            empty_shard(disk, &dir.join(name))?;
        }
    }
    let mut clients = clients.to_vec();
    clients.sort_unstable_by_key(|client| (client.id % meta.shards, client.id));
    let mut rest = &clients[..];
    for shard in 0..meta.shards {
        let count = rest.partition_point(|client| client.id % meta.shards <= shard);
        let (own, others) = rest.split_at(count);
        rest = others;
        let shard_dir = layout::shard_dir(dir, shard);
        disk.create_dir(&shard_dir).at("create", &shard_dir)?;
        let identity = meta.identity(shard);
        if let Some(place) = place {
            place.write(disk, &shard_dir, &identity)?;
        }
        create_shard(disk, &shard_dir, &identity, own)?;
    }
    let file = dir.join(layout::META);
    let temporary = layout::temporary(&file);
    write(disk, &temporary, &meta.to_bytes())?;
    disk.sync_dir(dir).at("sync", dir)?;
    disk.rename(&temporary, &file).at("create", &file)?;
    named_in(dir).try_for_each(|dir: PathBuf| disk.sync_dir(&dir).at("sync", &dir))
}

/// Removes the files of a data directory that has just been made, or only half: nobody has ever served it. The
/// directory itself stays. `false`: somebody may be serving it, or has, and it was left alone.
///
/// # Errors
/// Something cannot be removed: what is left is still a directory that can be served, or made anew.
pub fn unmake(dir: &Path) -> Result<bool, RecoveryError> {
    let disk = &RealDisk;
    let meta = Meta::read(disk, dir)?;
    let descriptor = format!("process {}", std::process::id());
    let mut locks = Vec::new();
    let creation = [dir.join(layout::CREATION_LOCK)];
    let shards = 0..meta.map_or(0, |meta| meta.shards);
    let shards = shards.map(|shard| layout::shard_dir(dir, shard).join(layout::SHARD_LOCK));
    for path in creation.into_iter().chain(shards) {
        match disk.lock(&path, &descriptor).at("lock", &path)? {
            Locked::Ours(lock) => locks.push(lock),
            Locked::Held(_) => return Ok(false),
        }
    }
    let mut names = disk.list(dir).at("list", dir)?;
    names.retain(|name| name != layout::META);
    match expect_half_made(disk, dir, &names) {
        Err(RecoveryError::MetaMissing { .. }) => return Ok(false), // It has been served.
        other => other?,
    }
    let remove = |path: PathBuf| match disk.remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", &path),
        _ => Ok(()),
    };
    // Without it nobody takes the rest for a data directory.
    remove(dir.join(layout::META))?;
    for name in names {
        let path = dir.join(&name);
        if layout::is_shard_dir(&name) {
            empty_shard(disk, &path)?;
            remove(path.join(layout::SHARD_LOCK))?;
            std::fs::remove_dir(&path).at("remove", &path)?;
        } else if !layout::is_nobodys(&name) {
            remove(path)?;
        }
    }
    Ok(true)
}

/// The directories in which `galo.meta` and the data directory itself have their names.
pub(super) fn named_in(data: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    let above = data.parent().map(|parent| match parent {
        parent if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    });
    [data].into_iter().chain(above).map(Path::to_owned)
}

/// Removes what an interrupted creation left in a shard's directory.
fn empty_shard<D: Disk>(disk: &D, dir: &Path) -> Result<(), RecoveryError> {
    let listing = layout::Listing::new(disk.list(dir).at("list", dir)?);
    let temporary = listing.temporary.iter().map(|name| dir.join(name));
    let archive = listing.archive.then(|| layout::archive(dir));
    let others = temporary.chain(archive);
    for path in listing.content(dir).into_iter().chain(others) {
        disk.remove(&path).at("remove", &path)?;
    }
    Ok(())
}

fn create_shard<D: Disk>(
    disk: &D,
    dir: &Path,
    identity: &Identity,
    clients: &[Client],
) -> Result<(), RecoveryError> {
    let seed = journal::seed(identity);
    let mut writer = Writer::new(disk.clone(), dir);
    let snapshot = layout::snapshot(dir, 0);
    for clients in clients.chunks(SNAPSHOT_SLICE_BYTES / size_of::<Account>()) {
        assert!(clients.windows(2).all(|pair| pair[0].id < pair[1].id));
        let accounts: Vec<Account> = clients
            .iter()
            .map(|client| Account::new(client.id, client.limit, client.balance))
            .collect();
        writer.slice(bytes_of(&accounts)).at("write", &snapshot)?;
    }
    let position = Position {
        from: 1,
        end: 0,
        chain: seed,
        time_us: 0,
        offset_us: 0,
    };
    let dedup = DedupCounts::default();
    let body_crc = writer.body_crc();
    let header = SnapshotHeader::new(identity, &position, clients.len(), &dedup, 0, body_crc);
    let segment = journal::SegmentHeader {
        directory: identity.directory,
        shard: identity.shard,
        first: 1,
        chain: seed,
    };
    let segment: [u8; HEADER_BYTES] = segment.to_bytes();
    write(disk, &layout::segment(dir, 1), &segment)?;
    // Makes the directory durable, too.
    writer.finish(&header).at("write", &snapshot)
}
