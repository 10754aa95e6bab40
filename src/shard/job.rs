//! Jobs: file work of a shard that waits for a device, and runs on a thread that is not a core's.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{is_out_of_descriptors, Disk, DiskFile};
use super::error::{At, RecoveryError};
use super::payments::{self, Full, Run};
use super::snapshot::{Position, SnapshotHeader, Writer};
use super::{layout, Identity};
use probe::probe;

/// Blocking work of a [`Store`](super::Store), to be given back through [`Store::done`](super::Store::done).
pub enum StoreJob<D: Disk> {
    /// Makes the journal durable.
    Sync(Sync<D>),
    /// Writes some accounts or dedup entries of a snapshot.
    Slice(Slice<D>),
    /// Ends a snapshot, and removes what it made superfluous.
    Finish(Finish<D>),
    /// Writes a run of settled payments.
    Run(WriteRun<D>),
    /// Removes runs that were forgotten.
    RemoveRuns(RemoveRuns<D>),
}

/// Syncs what was written to segments and directories: [`StoreJob::Sync`].
pub struct Sync<D: Disk> {
    pub(super) shard: u32,
    /// The last record written when this was handed out.
    pub(super) sequence: u64,
    pub(super) by: Arc<()>,
    pub(super) disk: D,
    pub(super) unsynced: Unsynced<D>,
}

/// Files and directories with changes that are not known to be durable, for the next sync.
pub struct Unsynced<D: Disk> {
    /// Segments with unsynced records, oldest first.
    pub(super) files: Vec<Arc<D::File>>,
    /// Directories in which names are new.
    pub(super) dirs: Vec<PathBuf>,
}

impl<D: Disk> Default for Unsynced<D> {
    fn default() -> Unsynced<D> {
        Unsynced {
            files: Vec::new(),
            dirs: Vec::new(),
        }
    }
}

/// Appends a slice to a snapshot's file: [`StoreJob::Slice`].
pub struct Slice<D: Disk> {
    pub(super) shard: u32,
    pub(super) writer: Writer<D>,
    pub(super) bytes: Vec<u8>,
}

/// Syncs and names a snapshot, and removes what it covers: [`StoreJob::Finish`].
pub struct Finish<D: Disk> {
    pub(super) shard: u32,
    pub(super) disk: D,
    pub(super) writer: Writer<D>,
    pub(super) header: SnapshotHeader,
    /// To be removed afterwards, in this order.
    pub(super) covered: Vec<PathBuf>,
}

/// Writes, syncs and names a run of settled payments: [`StoreJob::Run`].
pub struct WriteRun<D: Disk> {
    pub(super) identity: Identity,
    pub(super) disk: D,
    pub(super) dir: PathBuf,
    pub(super) full: Full,
}

/// Removes the files of forgotten runs: [`StoreJob::RemoveRuns`].
pub struct RemoveRuns<D: Disk> {
    pub(super) shard: u32,
    pub(super) disk: D,
    pub(super) paths: Vec<PathBuf>,
}

/// The result of a [`StoreJob`].
pub enum Done<D: Disk> {
    /// Records up to `sequence` are durable.
    Synced {
        /// Number of the store's shard.
        shard: u32,
        /// The last record that is durable.
        sequence: u64,
        /// Which store asked for it: see [`Store::is_from`](super::Store::is_from).
        by: Arc<()>,
    },
    /// A directory could not be opened, for lack of descriptors: nothing was synced in vain, and it is to be
    /// tried again later.
    SyncLater {
        /// Number of the store's shard.
        shard: u32,
        /// What is still to be synced.
        unsynced: Unsynced<D>,
        /// Mark of the store that asked for it.
        by: Arc<()>,
    },
    /// Records written since the last sync may be lost, and another try would prove nothing: exit.
    SyncFailed {
        /// Number of the store's shard.
        shard: u32,
        /// From `fdatasync` or `fsync`.
        error: io::Error,
        /// Mark of the store that asked for it.
        by: Arc<()>,
    },
    /// Some accounts or dedup entries are in the file.
    SnapshotSlice {
        /// Number of the store's shard.
        shard: u32,
        /// The writer, for the next step.
        writer: Writer<D>,
    },
    /// The snapshot has its name and is durable.
    SnapshotDone {
        /// Number of the store's shard.
        shard: u32,
        /// Where it stands in the journal.
        position: Position,
        /// Bytes of the file.
        bytes: u64,
        /// Files that were removed.
        removed: Vec<PathBuf>,
    },
    /// No snapshot this time; the journal still has everything. To be tried again later.
    SnapshotFailed {
        /// Number of the store's shard.
        shard: u32,
        /// The cause, from the file system.
        error: io::Error,
    },
    /// A run of settled payments has its name and is durable.
    RunWritten {
        /// Number of the store's shard.
        shard: u32,
        /// The run, mapped and ready to be read.
        run: Box<Run>,
    },
    /// Runs that were forgotten are gone, as far as they could be removed.
    RunsRemoved {
        /// Number of the store's shard.
        shard: u32,
        /// Files that were removed.
        removed: Vec<PathBuf>,
    },
    /// No run this time, or some could not be removed. To be tried again later.
    RunFailed {
        /// Number of the store's shard.
        shard: u32,
        /// The cause, with the file's name.
        error: RecoveryError,
    },
}

impl<D: Disk> Done<D> {
    /// Which shard's store this is for.
    pub fn shard(&self) -> u32 {
        match self {
            Done::Synced { shard, .. }
            | Done::SyncLater { shard, .. }
            | Done::SyncFailed { shard, .. }
            | Done::SnapshotSlice { shard, .. }
            | Done::SnapshotDone { shard, .. }
            | Done::SnapshotFailed { shard, .. }
            | Done::RunWritten { shard, .. }
            | Done::RunsRemoved { shard, .. }
            | Done::RunFailed { shard, .. } => *shard,
        }
    }
}

impl<D: Disk> crate::machine::Job for StoreJob<D> {
    type Done = Done<D>;

    fn run(self) -> Done<D> {
        match self {
            StoreJob::Sync(job) => job.run(),
            StoreJob::Slice(job) => job.run(),
            StoreJob::Finish(job) => job.run(),
            StoreJob::Run(job) => job.run(),
            StoreJob::RemoveRuns(job) => job.run(),
        }
    }
}

impl<D: Disk> Sync<D> {
    fn run(self) -> Done<D> {
        let Sync {
            shard,
            sequence,
            by,
            ..
        } = self;
        // Oldest first: a record is never durable before the one that it follows, segment by segment.
        let Unsynced { files, dirs } = &self.unsynced;
        probe!(galo, sync__begin, shard);
        let synced = files
            .iter()
            .try_for_each(|file| file.sync())
            .and_then(|()| dirs.iter().try_for_each(|dir| self.disk.sync_dir(dir)));
        let errno = synced.as_ref().err().and_then(io::Error::raw_os_error);
        probe!(galo, sync__done, shard, errno.unwrap_or(0));
        match synced {
            Ok(()) => Done::Synced {
                shard,
                sequence,
                by,
            },
            // Only opening says so (open(2)).
            Err(error) if is_out_of_descriptors(&error) => Done::SyncLater {
                shard,
                unsynced: self.unsynced,
                by,
            },
            Err(error) => Done::SyncFailed { shard, error, by },
        }
    }
}

impl<D: Disk> Slice<D> {
    fn run(mut self) -> Done<D> {
        let shard = self.shard;
        probe!(galo, snapshot__slice, shard, self.bytes.len());
        match self.writer.slice(&self.bytes) {
            Ok(()) => Done::SnapshotSlice {
                shard,
                writer: self.writer,
            },
            Err(error) => {
                self.writer.abandon();
                Done::SnapshotFailed { shard, error }
            }
        }
    }
}

impl<D: Disk> Finish<D> {
    fn run(mut self) -> Done<D> {
        let shard = self.shard;
        if let Err(error) = self.writer.finish(&self.header) {
            self.writer.abandon();
            return Done::SnapshotFailed { shard, error };
        }
        let mut removed = Vec::new();
        for path in self.covered {
            match self.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    // It stays listed, and the next snapshot tries again; what is behind it stays, too.
                    log::warn!("{} cannot be removed: {error}", path.display());
                    break;
                }
                _ => removed.push(path),
            }
        }
        Done::SnapshotDone {
            shard,
            position: self.header.position(),
            bytes: self.writer.bytes(),
            removed,
        }
    }
}

impl<D: Disk> WriteRun<D> {
    fn run(self) -> Done<D> {
        let shard = self.identity.shard;
        match self.write() {
            Ok(run) => Done::RunWritten {
                shard,
                run: Box::new(run),
            },
            Err(error) => Done::RunFailed { shard, error },
        }
    }

    fn write(self) -> Result<Run, RecoveryError> {
        let WriteRun {
            identity,
            disk,
            dir,
            full,
        } = self;
        let Full {
            first,
            entries,
            sequence,
        } = full;
        let path = layout::run(&dir, first);
        let place = (first, sequence);
        payments::write_run(&disk, &dir, &identity, place, &entries).at("write", &path)?;
        // What is not read back as it was written is not there.
        let mut run = Run::open(&disk, &dir, first, &identity)?;
        run.load_filter()?;
        Ok(run)
    }
}

impl<D: Disk> RemoveRuns<D> {
    fn run(self) -> Done<D> {
        let shard = self.shard;
        let mut removed = Vec::new();
        for path in self.paths {
            match self.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let error = RecoveryError::Io {
                        action: "remove",
                        path,
                        error,
                    };
                    return Done::RunFailed { shard, error };
                }
                _ => removed.push(path),
            }
        }
        Done::RunsRemoved { shard, removed }
    }
}
