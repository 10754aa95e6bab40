//! Errors of recovery, creation and check: the file, the offset in it, the likely cause, and the remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::Identity;
use crate::system::with_limit;

/// Why a snapshot was not accepted.
#[derive(Debug)]
pub enum SnapshotError {
    /// It cannot be read at all.
    Io(io::Error),
    /// Not what was written: where, and what.
    Damaged(u64, &'static str),
    /// Intact, and of a version that this code does not know.
    Version(u32),
    /// Intact, and of another directory or shard.
    Foreign(Identity),
}

/// What recovery, creation and check refuse. Each message names the file, where in it, what is the
/// likely cause, and what to do.
#[derive(Debug)]
pub enum RecoveryError {
    /// A system call on a file failed.
    Io {
        /// The verb of the message: `read`, `write`, …
        action: &'static str,
        /// The file or directory it was to be done to.
        path: PathBuf,
        /// The error of the system call.
        error: io::Error,
    },
    /// There is no data directory here.
    NotMade {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The directory is in use for something else.
    NotOurs {
        /// The directory that was named.
        dir: PathBuf,
        /// A name in it that is none of ours.
        name: String,
    },
    /// There is a journal or a snapshot, and no `galo.meta`.
    MetaMissing {
        /// The file that no interrupted creation leaves.
        file: PathBuf,
    },
    /// `galo.meta` is not what was written.
    MetaDamaged {
        /// Path of the damaged `galo.meta`.
        file: PathBuf,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// An archive is not what was written.
    ArchiveDamaged {
        /// Path of the archive.
        file: PathBuf,
    },
    /// Written by a galo that wrote another version of it.
    Version {
        /// The file of that version.
        file: PathBuf,
        /// The version in the file.
        version: u32,
        /// The only one that this galo reads.
        known: u32,
    },
    /// The number of shards is fixed when a directory is made.
    ShardsDiffer {
        /// The directory whose number of shards differs.
        dir: PathBuf,
        /// Its number of shards.
        made_with: u32,
        /// The number that `--shards` asks for.
        asked: u32,
    },
    /// A file of another directory or shard.
    Foreign {
        /// The file that belongs elsewhere.
        file: PathBuf,
    },
    /// No snapshot can be read.
    NoSnapshot {
        /// Directory of the shard.
        dir: PathBuf,
        /// What is wrong with each, newest first.
        bad: Vec<(PathBuf, SnapshotError)>,
    },
    /// A snapshot is not what was written (only `galo check` stops at that).
    SnapshotDamaged {
        /// The snapshot that is damaged.
        file: PathBuf,
        /// Byte offset in that file.
        offset: u64,
        /// The rule that the bytes there break.
        reason: &'static str,
    },
    /// A run of settled payments is not what was written.
    RunDamaged {
        /// The run that is damaged.
        file: PathBuf,
        /// Byte offset in that file.
        offset: u64,
        /// The rule that the bytes there break.
        reason: &'static str,
    },
    /// Settled payments are in no file, or in one that does not belong here.
    RunMissing {
        /// Directory of the shard.
        dir: PathBuf,
        /// The number of the first one.
        number: u64,
    },
    /// The journal has a hole.
    SegmentMissing {
        /// Directory of the shard.
        dir: PathBuf,
        /// The first record that is not there.
        sequence: u64,
        /// The proof that it was durable.
        evidence: Evidence,
    },
    /// Records that were durable cannot be read.
    Damaged {
        /// The segment that is damaged.
        file: PathBuf,
        /// Byte offset in the segment at which good records end.
        offset: u64,
        /// The rule that the bytes there break.
        reason: &'static str,
        /// The record that should be there.
        sequence: u64,
        /// The proof that it was durable.
        evidence: Evidence,
    },
    /// A good record that cannot be what happened.
    DoesNotApply {
        /// The segment of the record.
        file: PathBuf,
        /// Byte offset of the record.
        offset: u64,
        /// Sequence of the record.
        sequence: u64,
        /// The rule that the record breaks.
        reason: &'static str,
    },
    /// The journal ends before a snapshot that was made from it.
    JournalShort {
        /// The journal's last segment.
        file: PathBuf,
        /// Byte offset at which its records end.
        offset: u64,
        /// Sequence of the last record.
        sequence: u64,
        /// The snapshot, or the run of settled payments.
        snapshot: PathBuf,
        /// The last record that it contains.
        end: u64,
    },
    /// Snapshot and journal are intact and do not belong together.
    Disagree {
        /// Path of the snapshot.
        snapshot: PathBuf,
        /// Path of the segment.
        segment: PathBuf,
        /// The record of which they say different things.
        sequence: u64,
    },
    /// An account that breaks its own rules (only `galo check` looks).
    Unsound {
        /// The snapshot with the account.
        file: PathBuf,
        /// Byte offset of the account.
        offset: u64,
        /// Number of the account's client.
        client: u32,
    },
}

/// What proves that a record was durable once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A later record, written when it was known.
    Record {
        /// The segment of that record.
        file: PathBuf,
        /// Byte offset of that record.
        offset: u64,
        /// Sequence of that record.
        sequence: u64,
    },
    /// A snapshot, or a run of settled payments, which gets its name only then.
    Snapshot(PathBuf),
    /// It is the first one that the snapshot needs, and nothing of the journal from there on exists.
    Needed,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Record {
                file,
                offset,
                sequence,
            } => write!(
                f,
                "record {sequence} at byte {offset} of {} was written after it was safely on disk",
                file.display()
            ),
            Evidence::Snapshot(file) => {
                write!(f, "{} was made when it was safely on disk", file.display())
            }
            Evidence::Needed => f.write_str("the snapshot continues there"),
        }
    }
}

const RESTORE: &str = "Restore the data directory from a copy, or move it away to begin anew";

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryError::Io {
                action,
                path,
                error,
            } => write!(f, "cannot {action} {}: {}", path.display(), with_limit(error)),
            RecoveryError::NotMade { dir } => write!(
                f,
                "{} is not a data directory of galo (there is no galo.meta in it). Name the right one \
                 with --data; `galo serve` makes one",
                dir.display()
            ),
            RecoveryError::NotOurs { dir, name } => write!(
                f,
                "{} is not empty and not a data directory of galo: it contains {name:?}. Name an empty \
                 or a new directory with --data",
                dir.display()
            ),
            RecoveryError::MetaMissing { file } => write!(
                f,
                "{} holds accounts, but galo.meta is missing from the data directory: it was removed, or \
                 not copied along. Bring it back. {RESTORE}",
                file.display()
            ),
            RecoveryError::ArchiveDamaged { file } => write!(
                f,
                "{}: not an archive as it was written",
                file.display()
            ),
            RecoveryError::MetaDamaged { file, reason } => write!(
                f,
                "{}: {reason}. {RESTORE}",
                file.display()
            ),
            RecoveryError::Version {
                file,
                version,
                known,
            } => {
                let (age, advice) = match version > known {
                    true => ("a later", "that wrote it, or a later one"),
                    false => ("an earlier", "that wrote it, or begin anew in another directory"),
                };
                write!(
                    f,
                    "{} is of version {version}, which {age} galo wrote; this one reads version \
                     {known} only. Run the galo {advice}",
                    file.display()
                )
            }
            RecoveryError::ShardsDiffer {
                dir,
                made_with,
                asked,
            } => write!(
                f,
                "{} was made with {made_with} shards, and {asked} are asked for. The number is fixed: \
                 use --shards {made_with}, or leave it out",
                dir.display()
            ),
            RecoveryError::Foreign { file } => write!(
                f,
                "{} belongs to another data directory or shard. It was probably copied here: move it \
                 away, and bring back what was there",
                file.display()
            ),
            RecoveryError::NoSnapshot { dir, bad } if bad.is_empty() => write!(
                f,
                "{}: there is no snapshot, and the journal alone is not enough. {RESTORE}",
                dir.display()
            ),
            RecoveryError::NoSnapshot { dir, bad } => {
                write!(f, "{}: no snapshot is good:", dir.display())?;
                for (file, error) in bad {
                    write!(f, " {}: {error};", file.display())?;
                }
                write!(f, " storage is failing, or something else wrote there. {RESTORE}")
            }
            RecoveryError::SnapshotDamaged {
                file,
                offset,
                reason,
            } => write!(
                f,
                "{} is damaged at byte {offset}: {reason}. Storage is failing, or something else wrote \
                 there. galo can start if an older snapshot is good, and will replace this one",
                file.display()
            ),
            RecoveryError::RunDamaged {
                file,
                offset,
                reason,
            } => write!(
                f,
                "{} is damaged at byte {offset}: {reason}. Storage is failing, or something else wrote \
                 there. {RESTORE}",
                file.display()
            ),
            RecoveryError::RunMissing { dir, number } => write!(
                f,
                "{}: the file with settled payments from number {number} on (payments-{number:016x}.run) is \
                 missing, or one is there that belongs to another time. Bring back what was there. {RESTORE}",
                dir.display()
            ),
            RecoveryError::SegmentMissing {
                dir,
                sequence,
                evidence,
            } => write!(
                f,
                "{}: the journal's segment with record {sequence} is missing: {evidence}. Bring the \
                 file back. {RESTORE}",
                dir.display()
            ),
            RecoveryError::Damaged {
                file,
                offset,
                reason,
                sequence,
                evidence,
            } => write!(
                f,
                "{} is damaged at byte {offset}, record {sequence}: {reason}; and this is no torn tail: \
                 {evidence}. Storage is failing, or something else wrote there. {RESTORE}",
                file.display()
            ),
            RecoveryError::DoesNotApply {
                file,
                offset,
                sequence,
                reason,
            } => write!(
                f,
                "{} at byte {offset}: record {sequence} is intact and does not apply: {reason}. Files of \
                 different times were mixed, or a later galo wrote it. {RESTORE}",
                file.display()
            ),
            RecoveryError::JournalShort {
                file,
                offset,
                sequence,
                snapshot,
                end,
            } => write!(
                f,
                "{} ends at byte {offset} with record {sequence}, but {} was made when record {end} was \
                 safely on disk. The journal was cut or exchanged. {RESTORE}",
                file.display(),
                snapshot.display()
            ),
            RecoveryError::Disagree {
                snapshot,
                segment,
                sequence,
            } => write!(
                f,
                "{} and {} say different things about record {sequence}: files of different times were \
                 mixed. {RESTORE}",
                snapshot.display(),
                segment.display()
            ),
            RecoveryError::Unsound {
                file,
                offset,
                client,
            } => write!(
                f,
                "{} at byte {offset}: the account of client {client} breaks its own rules. {RESTORE}",
                file.display()
            ),
        }
    }
}

impl std::error::Error for RecoveryError {}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Io(error) => error.fmt(f),
            SnapshotError::Damaged(offset, reason) => write!(f, "byte {offset}: {reason}"),
            SnapshotError::Version(version) => write!(f, "version {version}"),
            SnapshotError::Foreign(identity) => {
                write!(f, "of shard {} of {}", identity.shard, identity.shards)
            }
        }
    }
}

/// Names what was done, and to what, when the file system refuses.
pub(super) trait At<T> {
    fn at(self, action: &'static str, path: &std::path::Path) -> Result<T, RecoveryError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &std::path::Path) -> Result<T, RecoveryError> {
        self.map_err(|error| RecoveryError::Io {
            action,
            path: path.to_owned(),
            error,
        })
    }
}
