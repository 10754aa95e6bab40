//! The parts of a run's file and their offsets; the tables are at the top of `run.rs`.

use crate::codec::{put, put_at, seal, u128_at, u16_at, u32_at, u64_at};
use crate::payments::{PaymentId, Processor, Summary, Totals};
use crate::shard::payments::filter::{self, Filter};

/// The version that this code writes, and the only one that it reads.
pub const VERSION: u32 = 1;
pub const MAGIC: &[u8; 8] = b"GALOPAYS";

pub const HEADER_SHARD: usize = 12;
pub const HEADER_DIRECTORY: usize = 16;
pub const HEADER_FIRST: usize = 32;
pub const HEADER_SEQUENCE: usize = 40;
pub const HEADER_COUNT: usize = 48;
pub const HEADER_INDEX_CRC: usize = 52;
pub const HEADER_FILTER_CRC: usize = 56;
/// Bytes before the index; the last four are the checksum of the others.
pub const HEADER_BYTES: usize = 64;

pub const BLOCK_INDEX_BYTES: usize = 48;
pub const ID_INDEX_BYTES: usize = 24;
pub const ENTRY_BYTES: usize = 32;
pub const ID_BYTES: usize = 20;
/// Entries, or ids, of a block.
pub const BLOCK: usize = 512;

pub fn id_at(bytes: &[u8], at: usize) -> PaymentId {
    PaymentId(u128_at(bytes, at))
}

/// Where the parts of a run with so many payments are.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    pub count: usize,
    pub blocks: usize,
    pub index_end: usize,
    pub entries: usize,
    pub ids: usize,
    pub filter: usize,
    pub end: usize,
}

impl Places {
    pub fn new(count: usize) -> Places {
        let blocks = count.div_ceil(BLOCK);
        let index_end = HEADER_BYTES + blocks * (BLOCK_INDEX_BYTES + ID_INDEX_BYTES);
        let entries = index_end.next_multiple_of(4096);
        let ids = entries + count * ENTRY_BYTES;
        let filter = ids + count * ID_BYTES;
        Places {
            count,
            blocks,
            index_end,
            entries,
            ids,
            filter,
            end: filter + Filter::blocks(count) * filter::BLOCK_BYTES,
        }
    }

    /// Byte range of block `n` of entries in the file, its end exclusive.
    pub fn entries_of(&self, n: usize) -> (usize, usize) {
        let end = self.count.min((n + 1) * BLOCK);
        (
            self.entries + n * BLOCK * ENTRY_BYTES,
            self.entries + end * ENTRY_BYTES,
        )
    }

    /// Byte range of block `n` of ids in the file, its end exclusive.
    pub fn ids_of(&self, n: usize) -> (usize, usize) {
        let end = self.count.min((n + 1) * BLOCK);
        (self.ids + n * BLOCK * ID_BYTES, self.ids + end * ID_BYTES)
    }
}

/// What a run says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHeader {
    pub shard: u32,
    pub directory: u128,
    pub first: u64,
    pub sequence: u64,
    pub count: u32,
    pub index_crc: u32,
    pub filter_crc: u32,
}

impl RunHeader {
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        put_at(&mut bytes, 8, VERSION);
        put_at(&mut bytes, HEADER_SHARD, self.shard);
        put_at(&mut bytes, HEADER_DIRECTORY, self.directory);
        put_at(&mut bytes, HEADER_FIRST, self.first);
        put_at(&mut bytes, HEADER_SEQUENCE, self.sequence);
        put_at(&mut bytes, HEADER_COUNT, self.count);
        put_at(&mut bytes, HEADER_INDEX_CRC, self.index_crc);
        put_at(&mut bytes, HEADER_FILTER_CRC, self.filter_crc);
        seal(&mut bytes);
        bytes
    }
}

/// One block of entries, in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub first_us: u64,
    pub last_us: u64,
    pub counts: [u32; 2],
    pub cents: [u64; 2],
    pub crc: u32,
}

impl Block {
    pub fn of(entries: &[RunEntry], crc: u32) -> Block {
        let mut block = Block {
            first_us: entries[0].requested_us,
            last_us: entries[entries.len() - 1].requested_us,
            counts: [0; 2],
            cents: [0; 2],
            crc,
        };
        for entry in entries {
            block.counts[entry.by as usize] += 1;
            block.cents[entry.by as usize] += entry.cents;
        }
        block
    }

    pub fn write(&self, into: &mut Vec<u8>) {
        put(into, self.first_us);
        put(into, self.last_us);
        self.counts.iter().for_each(|count| put(into, count));
        self.cents.iter().for_each(|cents| put(into, cents));
        put(into, u64::from(self.crc));
    }

    pub fn read(bytes: &[u8]) -> Block {
        Block {
            first_us: u64_at(bytes, 0),
            last_us: u64_at(bytes, 8),
            counts: [u32_at(bytes, 16), u32_at(bytes, 20)],
            cents: [u64_at(bytes, 24), u64_at(bytes, 32)],
            crc: u32_at(bytes, 40),
        }
    }

    pub fn summary(&self) -> Summary {
        let totals = |by: usize| Totals {
            count: self.counts[by].into(),
            cents: self.cents[by].into(),
        };
        Summary([totals(0), totals(1)])
    }
}

/// One block of ids, in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdBlock {
    pub first: PaymentId,
    pub crc: u32,
}

impl IdBlock {
    pub fn write(&self, into: &mut Vec<u8>) {
        put(into, self.first.0);
        put(into, u64::from(self.crc));
    }
}

/// What is kept of a settled payment beside its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEntry {
    pub requested_us: u64,
    pub cents: u64,
    pub accepted_us: u64,
    pub attempts: u16,
    pub by: Processor,
}

impl RunEntry {
    pub fn write(&self, into: &mut Vec<u8>) {
        put(into, self.requested_us);
        put(into, self.cents);
        put(into, self.accepted_us);
        put(into, self.attempts);
        into.extend_from_slice(&[self.by as u8, 0, 0, 0, 0, 0]);
    }

    pub fn read(bytes: &[u8]) -> Option<RunEntry> {
        Some(RunEntry {
            requested_us: u64_at(bytes, 0),
            cents: u64_at(bytes, 8),
            accepted_us: u64_at(bytes, 16),
            attempts: u16_at(bytes, 24),
            by: Processor::from_number(bytes[26])?,
        })
    }
}
