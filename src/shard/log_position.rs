//! How far a shard's files have come, at least, in the log that an engine keeps of the shard; by that they are known to be a
//! copy. What it says may be lost: then the whole log is read again. Little-endian.
//!
//! | field | bytes | |
//! |---|---|---|
//! | magic | 4 | `GPOS` |
//! | version | 4 | 1 |
//! | directory | 16 | id of the data directory |
//! | shard | 4 | |
//! | records | 8 | the journal's last record by then |
//! | place | 48 | in the log; what its bytes mean is not known here |
//! | crc | 4 | CRC-32C of all before |

use std::path::Path;

use super::disk::{Disk, DiskFile};
use super::error::{At, RecoveryError};
use super::{layout, Identity};
use crate::codec::{is_sealed, put, seal, Fields};

const MAGIC: [u8; 4] = *b"GPOS";
const VERSION: u32 = 1;
/// Bytes of a place in the log.
pub const PLACE_BYTES: usize = 48;
const BYTES: usize = 4 + 4 + 16 + 4 + 8 + PLACE_BYTES + 4;

/// A place in a shard's journal, and in the log that an engine keeps of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The journal's last record there.
    pub records: u64,
    /// The same place in the log, or an earlier one.
    pub place: [u8; PLACE_BYTES],
}

impl LogPosition {
    /// Before the first record of both.
    pub const BEGIN: LogPosition = LogPosition {
        records: 0,
        place: [0; PLACE_BYTES],
    };

    fn to_bytes(self, identity: &Identity) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&MAGIC);
        put(&mut bytes, VERSION);
        put(&mut bytes, identity.directory);
        put(&mut bytes, identity.shard);
        put(&mut bytes, self.records);
        bytes.extend_from_slice(&self.place);
        bytes.extend_from_slice(&[0; 4]);
        seal(&mut bytes);
        bytes
    }

    fn of_bytes(bytes: &[u8], identity: &Identity) -> Option<LogPosition> {
        if bytes.len() != BYTES || !is_sealed(bytes) {
            return None;
        }
        let mut fields = Fields::new(bytes);
        let is_ours = fields.array()? == MAGIC
            && fields.u32()? == VERSION
            && fields.u128()? == identity.directory
            && fields.u32()? == identity.shard;
        let (records, place) = (fields.u64()?, fields.array()?);
        is_ours.then_some(LogPosition { records, place })
    }

    /// What the file says; `None`: not what was written.
    pub(super) fn read<D: Disk>(
        disk: &D,
        dir: &Path,
        identity: &Identity,
    ) -> Result<Option<LogPosition>, RecoveryError> {
        let path = layout::log_position(dir);
        let bytes = disk.read(&path).at("read", &path)?;
        Ok(LogPosition::of_bytes(&bytes, identity))
    }

    /// Writes the file. What it says is to be durable before; the file itself need not be.
    pub(super) fn write<D: Disk>(
        self,
        disk: &D,
        dir: &Path,
        identity: &Identity,
    ) -> Result<(), RecoveryError> {
        let path = layout::log_position(dir);
        let temporary = layout::temporary(&path);
        let file = disk.create(&temporary).at("create", &temporary)?;
        file.write_all_at(&self.to_bytes(identity), 0)
            .at("write", &temporary)?;
        disk.rename(&temporary, &path).at("replace", &path)
    }
}
