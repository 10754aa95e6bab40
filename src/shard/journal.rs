//! The journal: its layout, and reading it.
//!
//! A chain of segment files, `journal-<first sequence>.log`: one header, then records. Everything is
//! little-endian; records begin at multiples of 8.
//!
//! Header, 64 bytes. Magic, version and checksum keep their places in every version.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic, `GALOJRNL` |
//! | 8 | 4 | version |
//! | 12 | 4 | shard |
//! | 16 | 16 | directory id |
//! | 32 | 8 | sequence of the first record |
//! | 40 | 4 | checksum of the record before that one (before record 1: the seed) |
//! | 44 | 16 | zero |
//! | 60 | 4 | CRC-32C of the 60 bytes before |
//!
//! Record:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | CRC-32C of the rest of the record, begun with the seed |
//! | 4 | 4 | checksum of the record before: the chain |
//! | 8 | 2 | bytes of the record, a multiple of 8 |
//! | 10 | 1 | kind: 1 transaction, 2 reset, 3 refused transaction; of payments: 4 accepted, 5 bound, 6 settled, 7 purged; 8 clock |
//! | 11 | 1 | flags: 1 it has a forward id (of kinds 1, 2, 3 and 7), 2 it has a key (of 1, and of 3 always) |
//! | 12 | 4 | unsynced: how many records, this one included, were not known to be durable when it was written |
//! | 16 | 8 | sequence, from 1, without gaps |
//! | 24 | 8 | the shard's time (`clock.rs`), microseconds since 1970; never less than in the record before |
//! | 32 | | of a transaction, refused or not: account (4), kind (1), bytes of description (1), why it was refused (1; 1 limit, 2 overflow, 0 it was not), zero (1), |
//! | 40 | | cents (8), |
//! | 48 | | with a forward id: member (2 bytes) above epoch (6 bytes) in one number (8), counter (8), |
//! | | | with a key: the key (16), |
//! | | | with either: balance afterwards, cents (8; 0 when it was refused), |
//! | | | description, filled up with zeros to a multiple of 8 |
//! | 32 | | of a payment accepted: id (16), cents (8); the record's time is when it was |
//! | 32 | | bound: id (16), microseconds since 1970 that its processor is told (8), processor (1), zero (7) |
//! | 32 | | settled: id (16), number (8), cents (8), when it was accepted (8), what its processor has stored (8), processor (1), zero (1), attempts (2), zero (4) |
//! | 32 | | purged: the number of the next one that is settled (8) |
//! | | | of a reset or a purge with a forward id, then: that, as above (16) |
//! | 32 | | clock: real time less the shard's time from this record on, microseconds, signed (8); what keys from before it do not feel of the time before it, microseconds (8) |
//!
//! Settled payments of a shard are numbered from 0, without gaps; a purge does not begin anew. A reset forgets
//! payments as a purge does.
//!
//! So a transaction with a usual description and without ids has 64 bytes. A refusal is here only for
//! the sake of its key: a repeat gets it again. The seed is the CRC-32C of directory id and shard: no
//! record is valid in another journal, and nobody who may choose a description can put a valid record
//! into it.
//!
//! `unsynced` is what tells a torn tail from damage: a valid record proves that everything up to
//! `sequence - unsynced` was durable, so if something there cannot be read, it was damaged since.

mod frame;
mod payment;
mod reader;
mod record;

pub use frame::{Stamp, RECORD_BYTES_MIN};
pub use payment::{append_accepted, append_bound, append_purged, append_settled, PaymentEvent};
pub use reader::{offset_behind, scan_durable_up_to, ReadStop, Reader};
pub use record::{
    append_clock, append_remembered, append_reset, append_transaction, chain_at, record_at, Event,
    Reason, Record, REMEMBERED_BYTES_MIN,
};

use super::Identity;
use crate::codec::{is_sealed, put_at, seal, u128_at, u32_at, u64_at};

/// The version that this code writes, and the only one that it reads.
pub const VERSION: u32 = 3;
const MAGIC: &[u8; 8] = b"GALOJRNL";

const HEADER_VERSION: usize = MAGIC.len();
const HEADER_SHARD: usize = HEADER_VERSION + 4;
const HEADER_DIRECTORY: usize = HEADER_SHARD + 4;
const HEADER_FIRST: usize = HEADER_DIRECTORY + 16;
const HEADER_CHAIN: usize = HEADER_FIRST + 8;
const HEADER_ZERO: usize = HEADER_CHAIN + 4;
const HEADER_CRC: usize = HEADER_ZERO + 16;
/// Bytes of a segment before its first record.
pub const HEADER_BYTES: usize = HEADER_CRC + 4;

const _: () = assert!(HEADER_BYTES == 64 && HEADER_BYTES.is_multiple_of(8));

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The directory that it was written in.
    pub directory: u128,
    /// The shard that it belongs to.
    pub shard: u32,
    /// Sequence of its first record.
    pub first: u64,
    /// Checksum of the record before that.
    pub chain: u32,
}

/// Why a header was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Cut short, or not what was written.
    Damaged(&'static str),
    /// Intact, and of a version that this code does not know.
    Version(u32),
}

impl SegmentHeader {
    /// The header's bytes in the file.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..HEADER_VERSION].copy_from_slice(MAGIC);
        put_at(&mut bytes, HEADER_VERSION, VERSION);
        put_at(&mut bytes, HEADER_SHARD, self.shard);
        put_at(&mut bytes, HEADER_DIRECTORY, self.directory);
        put_at(&mut bytes, HEADER_FIRST, self.first);
        put_at(&mut bytes, HEADER_CHAIN, self.chain);
        seal(&mut bytes);
        bytes
    }

    /// Reads the header of a segment.
    pub fn read(segment: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let Some(bytes) = segment.get(..HEADER_BYTES) else {
            return Err(HeaderError::Damaged("the header is cut short"));
        };
        if &bytes[..HEADER_VERSION] != MAGIC {
            return Err(HeaderError::Damaged("it does not begin with GALOJRNL"));
        }
        if !is_sealed(bytes) {
            return Err(HeaderError::Damaged("the header's checksum is wrong"));
        }
        match u32_at(bytes, HEADER_VERSION) {
            VERSION => {}
            version => return Err(HeaderError::Version(version)),
        }
        Ok(SegmentHeader {
            directory: u128_at(bytes, HEADER_DIRECTORY),
            shard: u32_at(bytes, HEADER_SHARD),
            first: u64_at(bytes, HEADER_FIRST),
            chain: u32_at(bytes, HEADER_CHAIN),
        })
    }
}

/// What the checksums of a shard's records begin with.
pub fn seed(identity: &Identity) -> u32 {
    let directory = crc32c::crc32c(&identity.directory.to_le_bytes());
    crc32c::crc32c_append(directory, &identity.shard.to_le_bytes())
}
