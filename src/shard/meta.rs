//! `galo.meta`: identity and layout version of a data directory. 64 bytes, little-endian; only the processors ever
//! change:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic, `GALOMETA` |
//! | 8 | 4 | version of the directory's layout |
//! | 12 | 4 | shards |
//! | 16 | 16 | directory id, random |
//! | 32 | 14 | which payment processor is the default one; zero: none was so far |
//! | 46 | 14 | the same of the fallback one |
//! | 60 | 4 | CRC-32C of the 60 bytes before |

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use siphasher::sip128::SipHasher24;

use super::disk::{Disk, DiskFile};
use super::error::{At, RecoveryError};
use super::journal::HEADER_BYTES;
use super::{layout, Identity};
use crate::codec::{is_sealed, put_at, seal, u128_at, u32_at};
use crate::limits::SHARDS_MAX;

/// The version that this code writes, and the only one that it reads.
pub const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"GALOMETA";
const SHARDS: usize = 12;
const DIRECTORY: usize = 16;
const PROCESSORS: usize = 32;
const PROCESSOR_BYTES: usize = 14;
const CRC: usize = 60;
/// Bytes of the file.
pub const BYTES: usize = 64;

const _: () = assert!(PROCESSORS + 2 * PROCESSOR_BYTES == CRC);

/// Which payment processor: SipHash-2-4 of its URL, 104 bits, keyed with the directory id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessorMark([u8; PROCESSOR_BYTES]);

impl fmt::LowerHex for ProcessorMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The processors that payments of a directory went to, by their numbers, which is all that its journals know of them.
pub type ProcessorMarks = [ProcessorMark; 2];

/// What `galo.meta` says, but for the processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Random, from when the directory was made.
    pub directory: u128,
    /// Number of shards, 1 to SHARDS_MAX.
    pub shards: u32,
}

impl Meta {
    /// Identity of a shard of this directory, as its files have it.
    pub fn identity(&self, shard: u32) -> Identity {
        debug_assert!(shard < self.shards);
        Identity {
            directory: self.directory,
            shard,
            shards: self.shards,
        }
    }

    /// Refuses when another number of shards was asked for than the directory has.
    pub fn expect_shards(&self, dir: &Path, asked: u32) -> Result<(), RecoveryError> {
        if asked == self.shards {
            return Ok(());
        }
        Err(RecoveryError::ShardsDiffer {
            dir: dir.to_owned(),
            made_with: self.shards,
            asked,
        })
    }

    /// The bytes of the file, checksum included.
    pub fn to_bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        put_at(&mut bytes, 8, VERSION);
        put_at(&mut bytes, SHARDS, self.shards);
        put_at(&mut bytes, DIRECTORY, self.directory);
        seal(&mut bytes);
        bytes
    }

    /// Reads the data directory's `galo.meta`. `None`: there is none, and either nothing at all or
    /// only what an interrupted creation leaves behind, so a directory can be made here.
    pub fn read<D: Disk>(disk: &D, dir: &Path) -> Result<Option<Meta>, RecoveryError> {
        let names = match disk.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            names => names.at("list", dir)?,
        };
        if !names.iter().any(|name| name == layout::META) {
            return expect_half_made(disk, dir, &names).map(|()| None);
        }
        let file = dir.join(layout::META);
        Meta::load(disk, &file).map(|(meta, _)| Some(meta))
    }

    fn load<D: Disk>(disk: &D, file: &Path) -> Result<(Meta, [u8; BYTES]), RecoveryError> {
        let bytes = disk.read(file).at("read", file)?;
        let damaged = |reason| RecoveryError::MetaDamaged {
            file: file.to_owned(),
            reason,
        };
        let Ok(bytes) = <[u8; BYTES]>::try_from(&bytes[..]) else {
            return Err(damaged("it is not 64 bytes long"));
        };
        if &bytes[..8] != MAGIC {
            return Err(damaged("it does not begin with GALOMETA"));
        }
        if !is_sealed(&bytes) {
            return Err(damaged("its checksum is wrong"));
        }
        let version = u32_at(&bytes, 8);
        if version != VERSION {
            return Err(RecoveryError::Version {
                file: file.to_owned(),
                version,
                known: VERSION,
            });
        }
        let meta = Meta {
            directory: u128_at(&bytes, DIRECTORY),
            shards: u32_at(&bytes, SHARDS),
        };
        if meta.shards == 0 || meta.shards as usize > SHARDS_MAX {
            return Err(damaged("it has an impossible number of shards"));
        }
        Ok((meta, bytes))
    }

    /// How a processor with this URL is remembered.
    pub fn mark(&self, url: &str) -> ProcessorMark {
        let hash = SipHasher24::new_with_key(&self.directory.to_le_bytes()).hash(url.as_bytes());
        // All zeros would say that there is none.
        let mut mark = [1; PROCESSOR_BYTES];
        mark[1..].copy_from_slice(&hash.as_u128().to_le_bytes()[..PROCESSOR_BYTES - 1]);
        ProcessorMark(mark)
    }

    /// The processors that payments went to. `None`: there were none so far.
    pub fn processors<D: Disk>(
        disk: &D,
        dir: &Path,
    ) -> Result<Option<ProcessorMarks>, RecoveryError> {
        let (_, bytes) = Meta::load(disk, &dir.join(layout::META))?;
        let marks = [0, 1].map(|number| {
            let at = PROCESSORS + number * PROCESSOR_BYTES;
            ProcessorMark(
                bytes[at..at + PROCESSOR_BYTES]
                    .try_into()
                    .expect("14 bytes"),
            )
        });
        let are_none = bytes[PROCESSORS..CRC].iter().all(|byte| *byte == 0);
        Ok((!are_none).then_some(marks))
    }

    /// From now on payments go to these; durably so before any does. Hold the creation lock
    /// ([`layout::CREATION_LOCK`]) meanwhile.
    pub fn set_processors<D: Disk>(
        disk: &D,
        dir: &Path,
        marks: &ProcessorMarks,
    ) -> Result<(), RecoveryError> {
        let file = dir.join(layout::META);
        let (_, mut bytes) = Meta::load(disk, &file)?;
        for (number, mark) in marks.iter().enumerate() {
            let at = PROCESSORS + number * PROCESSOR_BYTES;
            bytes[at..at + PROCESSOR_BYTES].copy_from_slice(&mark.0);
        }
        seal(&mut bytes);
        let temporary = layout::temporary(&file);
        write(disk, &temporary, &bytes)?;
        disk.rename(&temporary, &file).at("replace", &file)?;
        disk.sync_dir(dir).at("sync", dir)
    }
}

/// Refuses unless a data directory holds nothing but what an interrupted creation leaves: above all,
/// no journal with records in it, whose `galo.meta` was lost.
pub(super) fn expect_half_made<D: Disk>(
    disk: &D,
    data: &Path,
    names: &[String],
) -> Result<(), RecoveryError> {
    let not_ours = |dir: &Path, name: &String| RecoveryError::NotOurs {
        dir: dir.to_owned(),
        name: name.clone(),
    };
    let temporary = format!("{}{}", layout::META, layout::TEMPORARY);
    for name in names {
        if *name == temporary || name == layout::CREATION_LOCK || layout::is_nobodys(name) {
            continue;
        }
        if !layout::is_shard_dir(name) {
            return Err(not_ours(data, name));
        }
        let dir = data.join(name);
        let listing = layout::Listing::new(disk.list(&dir).at("list", &dir)?);
        if let Some(name) = listing.others.first() {
            return Err(not_ours(&dir, name));
        }
        if let Some(file) = first_used(disk, &dir, &listing)? {
            return Err(RecoveryError::MetaMissing { file });
        }
    }
    Ok(())
}

/// A file of a shard's directory that is not as it was made: the shard was served.
pub(super) fn first_used<D: Disk>(
    disk: &D,
    dir: &Path,
    listing: &layout::Listing,
) -> Result<Option<PathBuf>, RecoveryError> {
    for first in &listing.segments {
        let file = layout::segment(dir, *first);
        let records = disk.map(&file).at("map", &file)?.len() > HEADER_BYTES;
        if records || *first != 1 {
            return Ok(Some(file));
        }
    }
    let run = listing.runs.first().map(|first| layout::run(dir, *first));
    let later = listing.snapshots.iter().find(|end| **end != 0);
    Ok(run.or(later.map(|end| layout::snapshot(dir, *end))))
}

/// Makes a file, durably but for its name.
pub(super) fn write<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> Result<(), RecoveryError> {
    let file = disk.create(path).at("create", path)?;
    file.write_all_at(bytes, 0)
        .and_then(|()| file.sync())
        .at("write", path)
}
