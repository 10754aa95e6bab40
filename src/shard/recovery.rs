//! Recovery: from the files of a data directory to a shard, as tables of the cases that can be found.
//!
//! Of each table exactly one row matches, the first that does. Every row has a test of its name in
//! `tests/recovery.rs` or, for the journal, `tests/recovery_journal.rs`.
//!
//! The directory ([`Meta::read`], [`create`](super::create)):
//!
//! | label | what is there | what happens |
//! |---|---|---|
//! | fresh | nothing, or only what an interrupted creation left | it is made, from the client list |
//! | not_ours | somebody else's files, no `galo.meta` | refused |
//! | meta_missing | a journal with records, or a later snapshot, and no `galo.meta` | refused |
//! | meta_damaged | a `galo.meta` that is not what was written | refused |
//! | meta_version | one of another version | refused |
//! | shards_differ | one with another number of shards than asked for | refused, with both |
//! | made | a good one | go on |
//!
//! The snapshots of a shard, newest first; `.tmp` files (label leftover) are removed before:
//!
//! | label | what is there | what happens |
//! |---|---|---|
//! | snapshot_version | one of another version, before a good one | refused |
//! | snapshot_foreign | one of another directory or shard, before a good one | refused |
//! | snapshot_newest | the newest is good | mapped, and worked on |
//! | snapshot_older | the newest is bad (its accounts or its dedup table), an older one is good | the same with that, and a warning; more journal is replayed. The bad one is removed when a new one is durable |
//! | snapshot_none | none is good | refused |
//!
//! An archive of the shard's files, before all others:
//!
//! | label | what is there | what happens |
//! |---|---|---|
//! | archive | a whole one | its files take the place of all others, then it is removed |
//! | archive_damaged | one that is not what was written | refused |
//!
//! The journal, from the segment with the snapshot's first record on ([`chain`](super::chain)):
//!
//! | label | what is there | what happens |
//! |---|---|---|
//! | journal_version | a segment of another version | refused |
//! | journal_foreign | a segment of another directory or shard | refused |
//! | does_not_apply | an intact record of an unknown account, against the rules, or of an unknown kind | refused |
//! | disagree | it says something else than the snapshot about the record where both meet | refused |
//! | damaged | something unreadable, and proof that it was durable: a later record that proves it, or a snapshot | refused, with file and offset |
//! | segment_missing | the same, and what is missing is a file | refused |
//! | half_segment | the last segment has no whole header, and nothing of value follows | removed, made anew when needed |
//! | torn_tail | something unreadable, and no such proof | cut off, later segments removed, a warning |
//! | journal_short | all of it is good, and it ends before a snapshot does | refused |
//! | clean | all of it is good, the snapshot has everything | |
//! | replay | all of it is good | what the snapshot lacks is applied |
//!
//! The runs of settled payments, before the journal is read, and after:
//!
//! | label | what is there | what happens |
//! |---|---|---|
//! | run_version | one of another version | refused |
//! | run_foreign | one of another directory or shard | refused |
//! | run_damaged | one whose header, index or filter is not what was written (a block is looked at when it is needed) | refused, with file and offset |
//! | run_missing | a hole between runs, or between the last one and what journal and snapshot tell; or one that they do not tell of | refused |
//! | run_forgotten | one that was forgotten by a purge | removed, once the purge is durable |
//! | run_newest | one whose payments snapshot and journal have, too | not had in memory |
//!
//! What nothing proves durable is written once more, byte for byte, for the shard's first sync to make it
//! durable. A sync alone would not do: after one that failed, the kernel calls pages clean that it still
//! has and the disk never got, and syncs nothing. The sync is left to the store: with durability `disk`
//! replies wait for it, and with `process` a shard that is taken over waits for no device.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::{Chain, End, Torn};
use super::creation::named_in;
use super::disk::{Disk, DiskFile};
use super::error::{At, RecoveryError, SnapshotError};
use super::job::Unsynced;
use super::journal::{self, HEADER_BYTES};
use super::layout::Listing;
use super::log_position::LogPosition;
use super::payments::{Run, ACCEPTED_BEFORE};
use super::snapshot::{self, Position, Snapshot};
use super::state::LogEnd;
use super::store::{Files, SnapshotFile};
use super::{archive, layout, Identity, Meta, Shard, Store};

/// A shard that is ready to serve.
pub struct Recovered<D: Disk> {
    /// The shard, with everything of the journal applied.
    pub shard: Shard,
    /// The shard's files, ready to be written to.
    pub store: Store<D>,
    /// The cases that applied, and the counts.
    pub report: Report,
    /// Whether an engine keeps the journal: these files are a copy.
    pub is_copy: bool,
    /// How far the engine's log of the shard is in them, at least.
    pub log_position: Option<LogPosition>,
}

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Accounts of the shard.
    pub accounts: usize,
    /// End sequence of the snapshot that was used.
    pub snapshot: u64,
    /// Newer snapshots that are bad.
    pub snapshots_bad: Vec<PathBuf>,
    /// Records replayed over the snapshot.
    pub replayed: u64,
    /// Sequence of the last record.
    pub sequence: u64,
    /// The row of the journal's table that matched.
    pub journal: JournalCase,
    /// Temporary files of an interrupted run that were removed.
    pub leftovers: usize,
}

/// How a journal that could be used ended: see the table at the top of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalCase {
    /// The snapshot has everything.
    Clean,
    /// What the snapshot lacks was applied.
    Replay,
    /// What follows the last good record was cut off.
    TornTail(Torn),
    /// The last segment had no whole header.
    HalfSegment(PathBuf),
}

/// Opens one shard of a data directory that [`Meta::read`] found. Hold the shard's
/// [`ShardLock`](super::lock::ShardLock).
pub fn open<D: Disk>(
    disk: &D,
    dir: &Path,
    meta: &Meta,
    shard: u32,
) -> Result<Recovered<D>, RecoveryError> {
    let identity = meta.identity(shard);
    let data = dir;
    let dir = layout::shard_dir(data, shard);
    let mut listing = list(disk, &dir)?;
    if listing.archive {
        archive::unpack(disk, &dir, &identity)?;
        listing = list(disk, &dir)?;
    }
    for name in &listing.temporary {
        let path = dir.join(name);
        log::info!("{}: left over, removed", path.display());
        disk.remove(&path).at("remove", &path)?;
    }
    let snapshots = find_snapshot(disk, &dir, &listing, &identity)?;
    let position = snapshots.newest.position;
    let snapshots_bad = snapshots.bad_paths(&dir);
    let runs = open_runs(disk, &dir, &listing, &identity)?;
    let chain = chain(disk, &dir, &identity, &listing, &runs);
    let (mut shard, end, replayed) = replay(&chain, snapshots.newest, runs)?;
    shard.payments.load_filters()?;
    let journal = match &end.torn {
        None if replayed == 0 => JournalCase::Clean,
        None => JournalCase::Replay,
        Some(torn)
            if torn.offset == 0
                && torn.superfluous.len() == 1
                && torn.bytes <= HEADER_BYTES as u64 =>
        {
            log::warn!("{}: half created, removed", torn.file.display());
            JournalCase::HalfSegment(torn.file.clone())
        }
        Some(torn) => {
            log::warn!(
                "{} at byte {}: {}; {} bytes that were never known to be on disk are dropped, the \
                 journal ends with record {}",
                torn.file.display(),
                torn.offset,
                torn.reason,
                torn.bytes,
                end.log_end.sequence
            );
            JournalCase::TornTail(torn.clone())
        }
    };
    cut(disk, &dir, &end)?;
    let mut unsynced = write_again(&chain, &end)?;
    shard.synced(end.durable.min(end.log_end.sequence));
    if listing.snapshots.last() == Some(&0) {
        // Nobody but its maker has stopped in good order here. If that was killed before its last
        // sync, `galo.meta` would still go with the power, and all that is written from now on with it.
        unsynced.dirs.extend(named_in(data));
    }
    let report = Report {
        accounts: shard.accounts().len(),
        snapshot: position.end,
        snapshots_bad,
        replayed,
        sequence: end.log_end.sequence,
        journal,
        leftovers: listing.temporary.len(),
    };
    let files = files(&chain, &end, snapshots.files, snapshots.bad, unsynced)?;
    let log_position = match listing.log_position {
        true => LogPosition::read(disk, &dir, &identity)?,
        false => None,
    };
    let store = Store::new(disk.clone(), dir, identity, files);
    Ok(Recovered {
        shard,
        store,
        is_copy: listing.log_position,
        log_position: log_position.filter(|it| it.records <= report.sequence),
        report,
    })
}

/// Payments of a shard that a processor has or may have, by its number, as files tell. Changes nothing, and takes no
/// lock.
pub fn bound_payments<D: Disk>(
    disk: &D,
    dir: &Path,
    identity: &Identity,
) -> Result<[usize; 2], RecoveryError> {
    let dir = layout::shard_dir(dir, identity.shard);
    let listing = list(disk, &dir)?;
    let snapshots = find_snapshot(disk, &dir, &listing, identity)?;
    let runs = open_runs(disk, &dir, &listing, identity)?;
    let chain = chain(disk, &dir, identity, &listing, &runs);
    let (shard, ..) = replay(&chain, snapshots.newest, runs)?;
    Ok(shard.payments().bound_to())
}

pub(super) fn list<D: Disk>(disk: &D, dir: &Path) -> Result<Listing, RecoveryError> {
    match disk.list(dir) {
        // A shard without a directory is a shard without a snapshot.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Listing::default()),
        names => Ok(Listing::new(names.at("list", dir)?)),
    }
}

/// The runs of settled payments, those to be forgotten included.
pub(super) fn open_runs<D: Disk>(
    disk: &D,
    dir: &Path,
    listing: &Listing,
    identity: &Identity,
) -> Result<Vec<Run>, RecoveryError> {
    let firsts = listing.runs.iter();
    firsts
        .map(|first| Run::open(disk, dir, *first, identity))
        .collect()
}

/// The journal, which was durable as far as files say that get their names only then.
pub(super) fn chain<'a, D: Disk>(
    disk: &'a D,
    dir: &'a Path,
    identity: &'a Identity,
    listing: &'a Listing,
    runs: &[Run],
) -> Chain<'a, D> {
    let end = *listing.snapshots.last().expect("one was found");
    let (durable, proof) = match runs.last() {
        Some(run) if run.sequence() > end => (run.sequence(), run.path().to_owned()),
        _ => (end, layout::snapshot(dir, end)),
    };
    Chain {
        disk,
        dir,
        identity,
        segments: &listing.segments,
        durable,
        proof,
    }
}

/// The newest good snapshot, and what is known of the others.
struct Snapshots {
    newest: Snapshot,
    /// Good ones, ascending: of those older than the one used, only the headers were looked at.
    files: Vec<SnapshotFile>,
    bad: Vec<u64>,
}

impl Snapshots {
    fn bad_paths(&self, dir: &Path) -> Vec<PathBuf> {
        let newer = self
            .bad
            .iter()
            .filter(|end| self.newest.position.end < **end);
        newer.map(|end| layout::snapshot(dir, *end)).collect()
    }
}

fn find_snapshot<D: Disk>(
    disk: &D,
    dir: &Path,
    listing: &Listing,
    identity: &Identity,
) -> Result<Snapshots, RecoveryError> {
    let mut bad = Vec::new();
    let mut newest = listing.snapshots.iter().rev();
    let newest_good = loop {
        let Some(end) = newest.next() else {
            return Err(RecoveryError::NoSnapshot {
                dir: dir.to_owned(),
                bad,
            });
        };
        let path = layout::snapshot(dir, *end);
        match snapshot::read(disk, dir, *end, identity) {
            Ok(found) => break found,
            Err(error) => bad.push((path.clone(), tolerable(error, path)?)),
        }
    };
    for (path, error) in &bad {
        log::warn!("{}: {error}; using an older snapshot", path.display());
    }
    let Position { from, end, .. } = newest_good.position;
    let mut snapshots = Snapshots {
        newest: newest_good,
        files: vec![SnapshotFile { end, from }],
        bad: listing
            .snapshots
            .iter()
            .copied()
            .filter(|bad| *bad > end)
            .collect(),
    };
    for end in newest {
        match snapshot::read_header(disk, dir, *end, identity) {
            Ok((header, _)) => snapshots.files.insert(
                0,
                SnapshotFile {
                    end: *end,
                    from: header.position().from,
                },
            ),
            Err(error) => {
                let path = layout::snapshot(dir, *end);
                let error = tolerable(error, path.clone())?;
                log::warn!("{}: {error}; not needed", path.display());
                snapshots.bad.push(*end);
            }
        }
    }
    Ok(snapshots)
}

/// Whether another snapshot can take this one's place.
fn tolerable(error: SnapshotError, file: PathBuf) -> Result<SnapshotError, RecoveryError> {
    match error {
        SnapshotError::Damaged(..) => Ok(error),
        // The device cannot read it; anything else may pass, and says nothing about the file.
        SnapshotError::Io(error) if error.raw_os_error() == Some(libc::EIO) => {
            Ok(SnapshotError::Io(error))
        }
        SnapshotError::Io(error) => Err(RecoveryError::Io {
            action: "read",
            path: file,
            error,
        }),
        SnapshotError::Version(version) => Err(RecoveryError::Version {
            file,
            version,
            known: snapshot::VERSION,
        }),
        SnapshotError::Foreign(_) => Err(RecoveryError::Foreign { file }),
    }
}

/// Replays the journal over a snapshot and the runs: the shard, the journal's end, and how many records the
/// snapshot lacked.
pub(super) fn replay<D: Disk>(
    chain: &Chain<'_, D>,
    snapshot: Snapshot,
    runs: Vec<Run>,
) -> Result<(Shard, End, u64), RecoveryError> {
    let Snapshot {
        position,
        accounts,
        dedup,
        mut payments,
        ..
    } = snapshot;
    payments.attach(runs);
    let begin = LogEnd {
        sequence: position.end,
        chain: position.chain,
        time_us: position.time_us,
    };
    let offset_us = position.offset_us;
    let identity = *chain.identity;
    let mut shard = Shard::new(identity, accounts, dedup, payments, begin, offset_us, 0);
    let disagree = |segment: &Path| RecoveryError::Disagree {
        snapshot: layout::snapshot(chain.dir, position.end),
        segment: segment.to_owned(),
        sequence: position.from - 1,
    };
    if let [.., before, last] = chain.segments {
        // As long as the one before it.
        shard.payments.will_arrive(last + (last - before));
    }
    let mut replayed = 0;
    let walked = chain.walk(position.from, |record, path| {
        let sequence = record.stamp.sequence;
        if sequence < position.from {
            return Ok(());
        }
        if sequence == position.from && record.stamp.chain != position.chain {
            return Err(disagree(path));
        }
        replayed += u64::from(sequence > position.end);
        shard
            .replay(record)
            .map_err(|reason| RecoveryError::DoesNotApply {
                file: path.to_owned(),
                offset: record.offset as u64,
                sequence,
                reason,
            })
    });
    // Whatever ended the walk comes behind all that had arrived by then.
    if let Err(sequence) = shard.payments.all_arrived() {
        let (file, offset) = chain.place_of(sequence)?;
        return Err(RecoveryError::DoesNotApply {
            file,
            offset,
            sequence,
            reason: ACCEPTED_BEFORE,
        });
    }
    let mut end = walked?;
    if end.log_end.sequence + 1 == position.from && end.log_end.chain != position.chain {
        let last = end.segments.last().expect("one was read").first;
        return Err(disagree(&layout::segment(chain.dir, last)));
    }
    end.log_end.time_us = end.log_end.time_us.max(position.time_us);
    assert!(
        end.log_end.sequence >= chain.durable,
        "else the walk refuses"
    );
    shard.resume(end.log_end, chain.durable);
    let all = shard.payments.expect_all();
    all.map_err(|number| RecoveryError::RunMissing {
        dir: chain.dir.to_owned(),
        number,
    })?;
    Ok((shard, end, replayed))
}

/// Removes what follows the end of the journal. Later segments first, newest first, and durably so
/// before the cut: after a crash in between, what is left still reads as a torn tail.
fn cut<D: Disk>(disk: &D, dir: &Path, end: &End) -> Result<(), RecoveryError> {
    let Some(torn) = &end.torn else {
        return Ok(());
    };
    for first in torn.superfluous.iter().rev() {
        let path = layout::segment(dir, *first);
        disk.remove(&path).at("remove", &path)?;
    }
    if !torn.superfluous.is_empty() {
        disk.sync_dir(dir).at("sync", dir)?;
    }
    if torn.offset > 0 {
        let file = disk.open(&torn.file).at("open", &torn.file)?;
        file.set_len(torn.offset)
            .and_then(|()| file.sync())
            .at("cut", &torn.file)?;
    }
    Ok(())
}

/// Writes once more what nothing proves durable: see the top of the file.
fn write_again<D: Disk>(chain: &Chain<'_, D>, end: &End) -> Result<Unsynced<D>, RecoveryError> {
    let disk = chain.disk;
    let mut unsynced = Unsynced::default();
    for segment in &end.segments {
        if segment.first.max(segment.last) <= end.durable {
            continue;
        }
        let path = layout::segment(chain.dir, segment.first);
        let bytes = disk.read(&path).at("read", &path)?;
        // With a segment whose first record may not be there, nor may its header.
        let from = match (end.durable + 1).checked_sub(segment.first) {
            None | Some(0) => 0,
            Some(durable) => journal::offset_behind(&bytes, durable),
        };
        let file = disk.open(&path).at("open", &path)?;
        // Its length, too: a cut that a failed sync was to make durable may have gone the same way.
        file.write_all_at(&bytes[from..segment.bytes as usize], from as u64)
            .and_then(|()| file.set_len(segment.bytes))
            .at("write", &path)?;
        unsynced.files.push(Arc::new(file));
    }
    if !unsynced.files.is_empty() {
        unsynced.dirs.push(chain.dir.to_owned());
    }
    Ok(unsynced)
}

/// The files that the store will write on.
fn files<D: Disk>(
    chain: &Chain<'_, D>,
    end: &End,
    snapshots: Vec<SnapshotFile>,
    bad: Vec<u64>,
    unsynced: Unsynced<D>,
) -> Result<Files<D>, RecoveryError> {
    let disk = chain.disk;
    let current = end.segments.last().expect("one was read");
    let path = layout::segment(chain.dir, current.first);
    let newest = snapshots.last().expect("one was found").end;
    let newest = layout::snapshot(chain.dir, newest);
    Ok(Files {
        segments: chain
            .segments
            .iter()
            .copied()
            .filter(|first| *first <= current.first)
            .collect(),
        // Should anything be unsynced, so is the last segment.
        current: match unsynced.files.last() {
            Some(current) => current.clone(),
            None => Arc::new(disk.open(&path).at("open", &path)?),
        },
        current_bytes: current.bytes,
        snapshots,
        bad,
        uncovered_bytes: end.segments.iter().map(|segment| segment.bytes).sum(),
        snapshot_bytes: disk.map(&newest).at("map", &newest)?.len() as u64,
        written: end.log_end.sequence,
        unsynced,
    })
}
