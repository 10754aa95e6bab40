//! The files of one shard while it serves.
//!
//! Writing the journal happens on the core ([`Store::append`], one `pwrite` a tick); whatever waits
//! for a device is handed out as a [`StoreJob`] and comes back through [`Store::done`]. At most one sync, one
//! step of a snapshot and one job about runs are under way at a time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{is_full, is_out_of_descriptors, Disk, DiskFile};
use super::job::{Done, Finish, RemoveRuns, Slice, StoreJob, Sync, Unsynced, WriteRun};
use super::journal::{self, SegmentHeader};
use super::snapshot::{self, Writer};
use super::{layout, Identity, Shard};
use crate::limits::{JOURNAL_SEGMENT_BYTES, SNAPSHOT_JOURNAL_BYTES_MIN};
use crate::system::with_limit;

/// Why a batch is not in the journal.
#[derive(Debug)]
pub enum AppendError {
    /// No room (ENOSPC, EDQUOT, EFBIG; for a new segment also EMFILE, ENFILE), and the journal is as it was before: take the batch back, refuse
    /// with 503, try the next one.
    Full(io::Error),
    /// The journal's end is unknown: the process must exit, and recover when it starts.
    Fatal(io::Error),
}

/// For metrics; since the store was opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Bytes of records written.
    pub journal_bytes: u64,
    /// Records written to the journal.
    pub records: u64,
    /// Snapshots that could not be written.
    pub snapshots_failed: u64,
    /// Runs of settled payments that failed.
    pub runs_failed: u64,
    /// Bytes of the newest snapshot.
    pub snapshot_bytes: u64,
}

/// A snapshot file in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its end sequence: its name.
    pub end: u64,
    /// The first record to replay over it.
    pub from: u64,
}

/// The state of the snapshot that is being made.
enum SnapshotProgress<D: Disk> {
    Idle,
    /// Accounts or dedup entries are still to be copied.
    Copying(Writer<D>),
    /// All are in the file; waits for the journal to be durable that far.
    Copied(Writer<D>, snapshot::SnapshotHeader),
    /// A job has the writer.
    Away,
}

/// A batch that is in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// How many records it has.
    pub records: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// What recovery found, for [`Store::new`].
pub(super) struct Files<D: Disk> {
    /// First sequences, ascending; the last one is written on.
    pub segments: Vec<u64>,
    /// The last segment, and its length.
    pub current: Arc<D::File>,
    pub current_bytes: u64,
    /// Snapshots that can be read, by their end, ascending.
    pub snapshots: Vec<SnapshotFile>,
    /// Bad ones: removed when a new one is durable.
    pub bad: Vec<u64>,
    /// Bytes of journal that the newest snapshot does not cover.
    pub uncovered_bytes: u64,
    /// Bytes of the newest snapshot.
    pub snapshot_bytes: u64,
    /// Last record in the journal.
    pub written: u64,
    /// Files that recovery has written and not synced.
    pub unsynced: Unsynced<D>,
}

/// The files of a shard, and the jobs that are under way for them.
pub struct Store<D: Disk> {
    disk: D,
    dir: PathBuf,
    identity: Identity,
    /// Tells this store's syncs from those of one that was here before.
    mark: Arc<()>,
    /// First sequences, ascending; the last is `current`.
    segments: Vec<u64>,
    current: Arc<D::File>,
    current_bytes: u64,
    /// Files and directories that were written since a sync was last handed out.
    unsynced: Unsynced<D>,
    syncing: bool,
    /// Last record in the journal.
    written: u64,
    segment_bytes: u64,
    snapshot_journal_bytes: u64,
    /// Bytes of journal since the newest snapshot was begun.
    uncovered_bytes: u64,
    /// Bytes of journal since the snapshot under way was begun.
    uncovered_by_next_bytes: u64,
    snapshots: Vec<SnapshotFile>,
    bad: Vec<u64>,
    snapshot: SnapshotProgress<D>,
    /// A job about runs is under way.
    run_away: bool,
    counters: Counters,
}

impl<D: Disk> Store<D> {
    pub(super) fn new(disk: D, dir: PathBuf, identity: Identity, files: Files<D>) -> Store<D> {
        assert!(!files.segments.is_empty() && !files.snapshots.is_empty());
        Store {
            disk,
            dir,
            identity,
            mark: Arc::new(()),
            segments: files.segments,
            current: files.current,
            current_bytes: files.current_bytes,
            unsynced: files.unsynced,
            syncing: false,
            written: files.written,
            segment_bytes: JOURNAL_SEGMENT_BYTES,
            snapshot_journal_bytes: SNAPSHOT_JOURNAL_BYTES_MIN,
            uncovered_bytes: files.uncovered_bytes,
            uncovered_by_next_bytes: 0,
            snapshots: files.snapshots,
            bad: files.bad,
            snapshot: SnapshotProgress::Idle,
            run_away: false,
            counters: Counters {
                snapshot_bytes: files.snapshot_bytes,
                ..Counters::default()
            },
        }
    }

    /// Other thresholds than JOURNAL_SEGMENT_BYTES and SNAPSHOT_JOURNAL_BYTES_MIN: the simulator's,
    /// so that a few hundred records fill segments and are worth a snapshot.
    pub fn set_thresholds(&mut self, segment_bytes: u64, snapshot_journal_bytes: u64) {
        self.segment_bytes = segment_bytes;
        self.snapshot_journal_bytes = snapshot_journal_bytes;
    }

    /// What this store has counted since it was opened.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The directory with the shard's files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes the shard's batch behind the journal: one `pwrite`, and now and then a new segment before it.
    pub fn append(&mut self, shard: &Shard) -> Result<Appended, AppendError> {
        let (before, records) = (shard.written_end(), shard.batch_records());
        assert_eq!(before.sequence, self.written, "no gap and no overlap");
        self.append_records(shard.batch(), records)
    }

    /// The same of so many records that come next, one at least.
    #[inline(always)] // Else it is a call for each tick, for it has two callers.
    pub fn append_records(&mut self, bytes: &[u8], records: u64) -> Result<Appended, AppendError> {
        if self.current_bytes >= self.segment_bytes {
            self.rotate(self.written + 1, journal::chain_at(bytes))?;
        }
        let mut written = 0;
        let offset = self.current_bytes;
        let result = self.current.write_counting(bytes, offset, &mut written);
        if let Err(error) = result {
            return Err(self.cut_back(error, written));
        }
        self.mark_unsynced();
        self.written += records;
        let appended = Appended {
            records,
            bytes: bytes.len() as u64,
        };
        self.current_bytes += appended.bytes;
        self.uncovered_bytes += appended.bytes;
        self.uncovered_by_next_bytes += appended.bytes;
        self.counters.journal_bytes += appended.bytes;
        self.counters.records += appended.records;
        Ok(appended)
    }

    /// After a write that failed: what it left behind is cut off, durably, because its clients are
    /// told that it did not happen, and a power loss must not bring it back.
    /// A write that took nothing left nothing: while the disk is full, refusing costs no sync.
    fn cut_back(&self, error: io::Error, written: usize) -> AppendError {
        if !is_full(&error) {
            return AppendError::Fatal(error);
        }
        if written == 0 {
            return AppendError::Full(error);
        }
        let cut = self
            .current
            .set_len(self.current_bytes)
            .and_then(|()| self.current.sync());
        match cut {
            Ok(()) => AppendError::Full(error),
            Err(error) => AppendError::Fatal(error),
        }
    }

    fn mark_unsynced(&mut self) {
        let files = &mut self.unsynced.files;
        let marked = files.last();
        if !marked.is_some_and(|file| Arc::ptr_eq(file, &self.current)) {
            files.push(self.current.clone());
        }
    }

    /// Begins a segment. The one before stays among `unsynced` until a sync covers both.
    fn rotate(&mut self, first: u64, chain: u32) -> Result<(), AppendError> {
        let path = layout::segment(&self.dir, first);
        let header = SegmentHeader {
            directory: self.identity.directory,
            shard: self.identity.shard,
            first,
            chain,
        };
        let created = self.disk.create(&path).and_then(|file| {
            file.write_all_at(&header.to_bytes(), 0)?;
            Ok(file)
        });
        let file = match created {
            Ok(file) => file,
            // A file without a whole header is a case that recovery knows, if it cannot be removed.
            Err(error) if is_full(&error) || is_out_of_descriptors(&error) => {
                return Err(match self.disk.remove(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        AppendError::Fatal(error)
                    }
                    _ => AppendError::Full(error),
                });
            }
            Err(error) => return Err(AppendError::Fatal(error)),
        };
        self.current = Arc::new(file);
        self.current_bytes = journal::HEADER_BYTES as u64;
        self.segments.push(first);
        self.unsynced.dirs.push(self.dir.clone());
        self.mark_unsynced();
        Ok(())
    }

    /// Whether anything written is not yet on its way to being durable.
    pub fn needs_sync(&self) -> bool {
        !self.unsynced.files.is_empty() || !self.unsynced.dirs.is_empty()
    }

    /// Whether a sync was handed out and is not back.
    pub fn is_syncing(&self) -> bool {
        self.syncing
    }

    /// Makes everything written so far durable; `None`: it is, or a sync is under way (ask again
    /// when that is done).
    pub fn sync(&mut self) -> Option<StoreJob<D>> {
        if self.syncing || !self.needs_sync() {
            return None;
        }
        self.syncing = true;
        Some(StoreJob::Sync(Sync {
            shard: self.identity.shard,
            sequence: self.written,
            by: self.mark.clone(),
            disk: self.disk.clone(),
            unsynced: std::mem::take(&mut self.unsynced),
        }))
    }

    /// Whether there is journal enough for a new snapshot, and none under way.
    pub fn snapshot_due(&self) -> bool {
        let bytes = self
            .counters
            .snapshot_bytes
            .max(self.snapshot_journal_bytes);
        let newest = self.snapshots.last().expect("there is one");
        self.uncovered_bytes >= bytes && newest.end < self.written && !self.snapshot_under_way()
    }

    /// Whether a snapshot was begun and is neither done nor failed.
    pub fn snapshot_under_way(&self) -> bool {
        !matches!(self.snapshot, SnapshotProgress::Idle)
    }

    /// Whether everything that was written is durable.
    pub fn is_synced(&self) -> bool {
        !self.syncing && !self.needs_sync()
    }

    /// Whether nothing is under way, and everything that was written is durable.
    pub fn is_idle(&self) -> bool {
        !self.snapshot_under_way() && !self.run_away && self.is_synced()
    }

    /// Gives up a snapshot under way, unless a job has it: then it is to be called again when that is
    /// done.
    pub fn snapshot_abandon(&mut self, shard: &mut Shard) {
        match std::mem::replace(&mut self.snapshot, SnapshotProgress::Idle) {
            SnapshotProgress::Copying(writer) => {
                shard.snapshot_abandon();
                writer.abandon();
            }
            SnapshotProgress::Copied(writer, _) => writer.abandon(),
            kept => self.snapshot = kept,
        }
    }

    /// Begins a snapshot, between ticks; `false`: one is under way, or the newest one holds all
    /// there is. Then call [`snapshot_step`](Self::snapshot_step) after every tick.
    pub fn snapshot_begin(&mut self, shard: &mut Shard) -> bool {
        let newest = self.snapshots.last().expect("there is one");
        if self.snapshot_under_way() || newest.end == shard.sequence() {
            return false;
        }
        shard.snapshot_begin();
        self.uncovered_by_next_bytes = 0;
        self.snapshot = SnapshotProgress::Copying(Writer::new(self.disk.clone(), &self.dir));
        true
    }

    /// The next step of the snapshot under way, if it can be taken now. Between ticks: what the tick
    /// journalled was written or refused.
    pub fn snapshot_step(&mut self, shard: &mut Shard) -> Option<StoreJob<D>> {
        if let SnapshotProgress::Copying(_) = &self.snapshot {
            let SnapshotProgress::Copying(writer) =
                std::mem::replace(&mut self.snapshot, SnapshotProgress::Away)
            else {
                unreachable!("just seen");
            };
            match shard.snapshot_slice() {
                Some(bytes) => {
                    return Some(StoreJob::Slice(Slice {
                        shard: self.identity.shard,
                        writer,
                        bytes,
                    }));
                }
                None => {
                    let header = shard.snapshot_header(writer.body_crc());
                    self.snapshot = SnapshotProgress::Copied(writer, header);
                }
            }
        }
        match &self.snapshot {
            SnapshotProgress::Copied(_, header)
                if header.position().end <= shard.synced_sequence() => {}
            _ => return None,
        }
        let SnapshotProgress::Copied(writer, header) =
            std::mem::replace(&mut self.snapshot, SnapshotProgress::Away)
        else {
            unreachable!("just seen");
        };
        Some(StoreJob::Finish(Finish {
            shard: self.identity.shard,
            covered: self.covered(header.position().end),
            disk: self.disk.clone(),
            writer,
            header,
        }))
    }

    /// What can go once a snapshot that ends with `end` is durable: all snapshots but the newest of
    /// now, and the segments that neither needs. In the order of removal: oldest first, so that
    /// what is left of the journal has no hole.
    fn covered(&self, end: u64) -> Vec<PathBuf> {
        let (kept, old) = self.snapshots.split_last().expect("there is one");
        let bad = self.bad.iter().filter(|bad| **bad != end);
        let snapshots = old.iter().map(|snapshot| &snapshot.end).chain(bad);
        let segments = self.segments.windows(2).filter(|pair| pair[1] <= kept.from);
        snapshots
            .map(|end| layout::snapshot(&self.dir, *end))
            .chain(segments.map(|pair| layout::segment(&self.dir, pair[0])))
            .collect()
    }

    /// Whether a job about runs was handed out and is not back.
    pub fn run_under_way(&self) -> bool {
        self.run_away
    }

    /// The next job about runs of settled payments: removing those that were forgotten, or writing one;
    /// `None`: nothing is to be done, or the journal is not durable so far, or one is under way. Between ticks.
    pub fn run_step(&mut self, shard: &Shard) -> Option<StoreJob<D>> {
        if self.run_away || !shard.has_payments() {
            return None;
        }
        let synced = shard.synced_sequence();
        let removable = shard.payments.removable_runs(synced);
        let job = if removable.is_empty() {
            let full = shard.payments.next_run()?;
            if full.sequence > synced {
                return None;
            }
            StoreJob::Run(WriteRun {
                identity: self.identity,
                disk: self.disk.clone(),
                dir: self.dir.clone(),
                full,
            })
        } else {
            StoreJob::RemoveRuns(RemoveRuns {
                shard: self.identity.shard,
                disk: self.disk.clone(),
                paths: removable.to_vec(),
            })
        };
        self.run_away = true;
        Some(job)
    }

    /// Whether a job was this store's. A sync may come back when its shard has been released, and perhaps
    /// acquired again: whoever recovered it has written again what that sync was to make durable.
    pub fn is_from(&self, done: &Done<D>) -> bool {
        match done {
            Done::Synced { by, .. } | Done::SyncLater { by, .. } | Done::SyncFailed { by, .. } => {
                Arc::ptr_eq(by, &self.mark)
            }
            _ => true,
        }
    }

    /// Takes back what a job brought. `Err`: fatal; the process must exit, for nothing may be assumed
    /// about what was written and not yet synced.
    pub fn done(&mut self, shard: &mut Shard, done: Done<D>) -> io::Result<()> {
        debug_assert_eq!(done.shard(), self.identity.shard);
        match done {
            Done::Synced { sequence, .. } => {
                self.syncing = false;
                shard.synced(sequence);
            }
            Done::SyncLater { mut unsynced, .. } => {
                self.syncing = false;
                unsynced.files.append(&mut self.unsynced.files);
                unsynced.dirs.append(&mut self.unsynced.dirs);
                self.unsynced = unsynced;
            }
            Done::SyncFailed { error, .. } => return Err(error),
            Done::SnapshotSlice { writer, .. } => self.snapshot = SnapshotProgress::Copying(writer),
            Done::SnapshotDone {
                position,
                bytes,
                removed,
                ..
            } => {
                self.snapshot = SnapshotProgress::Idle;
                self.uncovered_bytes = self.uncovered_by_next_bytes;
                self.counters.snapshot_bytes = bytes;
                let dir = &self.dir;
                let gone = |path: PathBuf| removed.contains(&path);
                self.snapshots
                    .retain(|snapshot| !gone(layout::snapshot(dir, snapshot.end)));
                self.bad
                    .retain(|end| *end != position.end && !gone(layout::snapshot(dir, *end)));
                self.segments
                    .retain(|first| !gone(layout::segment(dir, *first)));
                self.snapshots.push(SnapshotFile {
                    end: position.end,
                    from: position.from,
                });
            }
            Done::SnapshotFailed { error, .. } => {
                self.snapshot = SnapshotProgress::Idle;
                self.counters.snapshots_failed += 1;
                shard.snapshot_abandon();
                let error = with_limit(&error);
                log::warn!("{}: no snapshot: {error}", self.dir.display());
            }
            Done::RunWritten { run, .. } => {
                self.run_away = false;
                shard.payments.run_done(*run);
            }
            Done::RunsRemoved { removed, .. } => {
                self.run_away = false;
                shard.payments.runs_removed(&removed);
            }
            Done::RunFailed { error, .. } => {
                self.run_away = false;
                self.counters.runs_failed += 1;
                log::warn!("no run of settled payments: {error}");
            }
        }
        Ok(())
    }

    /// The last record in the journal.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The snapshots that are there, oldest first.
    pub fn snapshots(&self) -> &[SnapshotFile] {
        &self.snapshots
    }

    /// First sequences of the segments that are there, ascending.
    pub fn segments(&self) -> &[u64] {
        &self.segments
    }
}
