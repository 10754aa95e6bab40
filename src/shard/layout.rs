//! The files of a data directory, by their names.
//!
//! ```text
//! galo.meta                            id, version and number of shards (meta.rs)
//! galo.lock                            held while the directory is made
//! shard-0000/lock                      held by the shard's owner (ownership.rs)
//! shard-0000/snapshot-<sequence>.rkyv  accounts, up to that record (snapshot.rs)
//! shard-0000/journal-<sequence>.log    records from that one on (journal.rs)
//! shard-0000/payments-<number>.run     settled payments from that one on (payments/run.rs)
//! shard-0000/log-position              how far these are in an engine's log (log_position.rs)
//! shard-0000/archive                   takes the place of these at the next start (archive.rs)
//! *.tmp                                being written; removed at the next start
//! ```
//!
//! Sequence numbers, and numbers of payments, are 16 hexadecimal digits.

use std::path::{Path, PathBuf};

/// Says what the directory is; written last when one is made.
pub const META: &str = "galo.meta";
/// Lock file for making a directory.
pub const CREATION_LOCK: &str = "galo.lock";
/// Lock file of a shard, in its directory.
pub const SHARD_LOCK: &str = "lock";
/// Ends the name of a file that is being written.
pub const TEMPORARY: &str = ".tmp";

const SHARD: &str = "shard-";
const SEGMENT: (&str, &str) = ("journal-", ".log");
const SNAPSHOT: (&str, &str) = ("snapshot-", ".rkyv");
const RUN: (&str, &str) = ("payments-", ".run");
const LOG_POSITION: &str = "log-position";
const ARCHIVE: &str = "archive";

/// The directory of a shard.
pub fn shard_dir(data: &Path, shard: u32) -> PathBuf {
    data.join(format!("{SHARD}{shard:04}"))
}

/// Whether a name that is none of ours may be in a directory of ours: mkfs.ext4 puts lost+found into every file
/// system, and names that begin with a dot (`.gitkeep`, `.DS_Store`, `.snapshot`) are of those who keep, show or back
/// up a directory, not of those who use it.
pub fn is_nobodys(name: &str) -> bool {
    name == "lost+found" || name.starts_with('.')
}

/// Whether a name could be a shard's directory.
pub fn is_shard_dir(name: &str) -> bool {
    name.strip_prefix(SHARD)
        .is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The segment that begins with record `first`.
pub fn segment(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{}{first:016x}{}", SEGMENT.0, SEGMENT.1))
}

/// The snapshot that holds nothing later than record `end`.
pub fn snapshot(dir: &Path, end: u64) -> PathBuf {
    dir.join(format!("{}{end:016x}{}", SNAPSHOT.0, SNAPSHOT.1))
}

/// The settled payments that begin with number `first`.
pub fn run(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{}{first:016x}{}", RUN.0, RUN.1))
}

/// How far a shard's files have come in an engine's log.
pub fn log_position(dir: &Path) -> PathBuf {
    dir.join(LOG_POSITION)
}

/// An archive whose files are to take the place of all others.
pub fn archive(dir: &Path) -> PathBuf {
    dir.join(ARCHIVE)
}

/// An archive of the shard for others.
pub fn archive_made(dir: &Path) -> PathBuf {
    dir.join("archive-made.tmp")
}

/// An archive that comes from others.
pub fn archive_fetched(dir: &Path) -> PathBuf {
    temporary(&archive(dir))
}

/// The name of a file while it is written.
pub fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

/// The files of a shard's directory, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// First sequence of each segment, ascending.
    pub segments: Vec<u64>,
    /// End sequence of each snapshot, ascending.
    pub snapshots: Vec<u64>,
    /// Number of the first payment of each run, ascending.
    pub runs: Vec<u64>,
    /// Whether there is a file that says how far these are in an engine's log.
    pub log_position: bool,
    /// Whether there is an archive that is to take their place.
    pub archive: bool,
    /// Names of temporary files.
    pub temporary: Vec<String>,
    /// Names of anything else, but for the lock and those that are nobody's.
    pub others: Vec<String>,
}

impl Listing {
    /// Sorts out the names of a shard's directory.
    pub fn new(names: Vec<String>) -> Listing {
        let mut listing = Listing::default();
        for name in names {
            if let Some(first) = sequence(&name, SEGMENT) {
                listing.segments.push(first);
            } else if let Some(end) = sequence(&name, SNAPSHOT) {
                listing.snapshots.push(end);
            } else if let Some(first) = sequence(&name, RUN) {
                listing.runs.push(first);
            } else if name == LOG_POSITION {
                listing.log_position = true;
            } else if name == ARCHIVE {
                listing.archive = true;
            } else if name.ends_with(TEMPORARY) {
                listing.temporary.push(name);
            } else if name != SHARD_LOCK && !is_nobodys(&name) {
                listing.others.push(name);
            }
        }
        listing.segments.sort_unstable();
        listing.snapshots.sort_unstable();
        listing.runs.sort_unstable();
        listing
    }

    /// Paths of what a shard consists of: segments, snapshots, runs, and how far they are in an engine's log.
    pub fn content(&self, dir: &Path) -> Vec<PathBuf> {
        let segments = self.segments.iter().map(|first| segment(dir, *first));
        let snapshots = self.snapshots.iter().map(|end| snapshot(dir, *end));
        let runs = self.runs.iter().map(|first| run(dir, *first));
        let position = self.log_position.then(|| log_position(dir));
        let content = segments.chain(snapshots).chain(runs).chain(position);
        content.collect()
    }
}

fn sequence(name: &str, (prefix, suffix): (&str, &str)) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != 16 || !digits.bytes().all(lower) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}
