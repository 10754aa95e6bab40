//! `galo.meta`: what a data directory is. 64 bytes, little-endian, never changed:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic, `GALOMETA` |
//! | 8 | 4 | version of the directory's layout |
//! | 12 | 4 | shards |
//! | 16 | 16 | directory id, random |
//! | 32 | 28 | zero |
//! | 60 | 4 | CRC-32C of the 60 bytes before |

use std::io;
use std::path::Path;

use super::creation::expect_half_made;
use super::disk::Disk;
use super::error::{At, RecoveryError};
use super::{layout, Identity};
use crate::limits::SHARDS_MAX;

/// The version that this code writes, and the only one that it reads.
pub const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"GALOMETA";
const SHARDS: usize = 12;
const DIRECTORY: usize = 16;
const ZERO: usize = 32;
const CRC: usize = 60;
/// Bytes of the file.
pub const BYTES: usize = 64;

/// What `galo.meta` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Random, from when the directory was made.
    pub directory: u128,
    /// 1 to SHARDS_MAX.
    pub shards: u32,
}

impl Meta {
    /// Which shard of which directory.
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

    /// As it is written.
    pub fn to_bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..SHARDS].copy_from_slice(&VERSION.to_le_bytes());
        bytes[SHARDS..DIRECTORY].copy_from_slice(&self.shards.to_le_bytes());
        bytes[DIRECTORY..ZERO].copy_from_slice(&self.directory.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC]);
        bytes[CRC..].copy_from_slice(&crc.to_le_bytes());
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
        let bytes = disk.read(&file).at("read", &file)?;
        let damaged = |reason| RecoveryError::MetaDamaged {
            file: file.clone(),
            reason,
        };
        let u32_at = |offset: usize| {
            u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("4 bytes"))
        };
        if bytes.len() != BYTES {
            return Err(damaged("it is not 64 bytes long"));
        }
        if &bytes[..8] != MAGIC {
            return Err(damaged("it does not begin with GALOMETA"));
        }
        if crc32c::crc32c(&bytes[..CRC]) != u32_at(CRC) {
            return Err(damaged("its checksum is wrong"));
        }
        let version = u32_at(8);
        if version != VERSION {
            return Err(RecoveryError::Version {
                file,
                version,
                known: VERSION,
            });
        }
        let meta = Meta {
            directory: u128::from_le_bytes(bytes[DIRECTORY..ZERO].try_into().expect("16 bytes")),
            shards: u32_at(SHARDS),
        };
        if meta.shards == 0 || meta.shards as usize > SHARDS_MAX {
            return Err(damaged("it has an impossible number of shards"));
        }
        Ok(Some(meta))
    }
}
