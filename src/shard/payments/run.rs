//! A run: settled payments with consecutive numbers in a file that is never changed, only removed.
//!
//! `payments-<number of the first one>.run`, little-endian. A header of 64 bytes (magic, version and checksum
//! keep their places in every version):
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic, `GALOPAYS` |
//! | 8 | 4 | version |
//! | 12 | 4 | shard |
//! | 16 | 16 | directory id |
//! | 32 | 8 | number of the first one |
//! | 40 | 8 | sequence of the record that settled the last one |
//! | 48 | 4 | how many payments |
//! | 52 | 4 | CRC-32C of the index |
//! | 56 | 4 | CRC-32C of the filter |
//! | 60 | 4 | CRC-32C of the 60 bytes before |
//!
//! The index: for each block of entries the first 48 bytes of these, then for each block of ids the last 24;
//! then zeros to a multiple of 4096.
//!
//! | bytes | what |
//! |---|---|
//! | 8, 8 | the first and the last time of the block |
//! | 4, 4 | how many payments each processor has |
//! | 8, 8 | their sums, cents |
//! | 4, 4 | CRC-32C of the block, zero |
//! | 16 | the first id of the block |
//! | 4, 4 | CRC-32C of the block, zero |
//!
//! The entries, 32 bytes each, in the order of what their processors have stored; blocks of 512:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | what its processor has stored, microseconds since 1970 |
//! | 8 | cents |
//! | 8 | when it was accepted |
//! | 2, 1, 5 | attempts, processor, zero |
//!
//! The ids, 20 bytes each, ascending; blocks of 512: id (16), place among the entries (4).
//!
//! The filter (`filter.rs`) of the ids.
//!
//! Of a run only the index is in memory, and the filters of the last ones. A block is mapped, checked whenever
//! it is read, and given back.

mod layout;
pub mod writer;

use std::io;
use std::path::{Path, PathBuf};

use super::filter::Filter;
use super::memtable::Settled;
use super::{hash::Hasher, Unreadable};
use crate::codec::{is_sealed, u32_at, u64_at};
use crate::payments::{PaymentId, Summary, Window};
use crate::shard::disk::Disk;
use crate::shard::error::{At, RecoveryError};
use crate::shard::mapping::Mapping;
use crate::shard::{layout as names, Identity};
use layout::{
    id_at, Block, IdBlock, Places, RunEntry, RunHeader, BLOCK, BLOCK_INDEX_BYTES, ENTRY_BYTES,
    HEADER_BYTES, HEADER_COUNT, HEADER_DIRECTORY, HEADER_FILTER_CRC, HEADER_FIRST,
    HEADER_INDEX_CRC, HEADER_SEQUENCE, HEADER_SHARD, ID_BYTES, ID_INDEX_BYTES, MAGIC, VERSION,
};

/// What is wrong with a part of a run, and where.
#[derive(Debug)]
enum Fault {
    Io(io::Error),
    Damaged(usize, &'static str),
}

/// A run: its file, mapped, and its index.
pub struct Run {
    path: PathBuf,
    hasher: Hasher,
    first: u64,
    sequence: u64,
    places: Places,
    filter_crc: u32,
    mapping: Mapping,
    blocks: Box<[Block]>,
    ids: Box<[IdBlock]>,
    totals: Summary,
    filter: Option<Filter>,
}

impl Run {
    /// Maps the run that begins with this number, and reads its index.
    pub fn open<D: Disk>(
        disk: &D,
        dir: &Path,
        first: u64,
        identity: &Identity,
    ) -> Result<Run, RecoveryError> {
        let path = names::run(dir, first);
        let mapping = disk.map(&path).at("map", &path)?;
        let damaged = |offset: usize, reason| RecoveryError::RunDamaged {
            file: path.clone(),
            offset: offset as u64,
            reason,
        };
        let Some(bytes) = mapping.get(..HEADER_BYTES) else {
            return Err(damaged(0, "the header is cut short"));
        };
        if &bytes[..8] != MAGIC {
            return Err(damaged(0, "it does not begin with GALOPAYS"));
        }
        if !is_sealed(bytes) {
            return Err(damaged(0, "the header's checksum is wrong"));
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(RecoveryError::Version {
                file: path,
                version,
                known: VERSION,
            });
        }
        let header = RunHeader {
            shard: u32_at(bytes, HEADER_SHARD),
            directory: id_at(bytes, HEADER_DIRECTORY).0,
            first: u64_at(bytes, HEADER_FIRST),
            sequence: u64_at(bytes, HEADER_SEQUENCE),
            count: u32_at(bytes, HEADER_COUNT),
            index_crc: u32_at(bytes, HEADER_INDEX_CRC),
            filter_crc: u32_at(bytes, HEADER_FILTER_CRC),
        };
        if (header.directory, header.shard) != (identity.directory, identity.shard) {
            return Err(RecoveryError::Foreign { file: path });
        }
        if header.first != first {
            return Err(damaged(0, "its first number is not the one in its name"));
        }
        let places = Places::new(header.count as usize);
        if header.count == 0 || mapping.len() != places.end {
            return Err(damaged(0, "the file is not as long as its header says"));
        }
        let index = mapping
            .read_part(HEADER_BYTES, places.entries)
            .at("read", &path)?;
        let (index, zeros) = index.split_at(places.index_end - HEADER_BYTES);
        if crc32c::crc32c(index) != header.index_crc || zeros.iter().any(|byte| *byte != 0) {
            return Err(damaged(HEADER_BYTES, "the index's checksum is wrong"));
        }
        let (blocks, ids) = index.split_at(places.blocks * BLOCK_INDEX_BYTES);
        let blocks: Box<[Block]> = blocks
            .chunks_exact(BLOCK_INDEX_BYTES)
            .map(Block::read)
            .collect();
        let ids = ids.chunks_exact(ID_INDEX_BYTES).map(|bytes| IdBlock {
            first: id_at(bytes, 0),
            crc: u32_at(bytes, 16),
        });
        let ids = ids.collect();
        let mut totals = Summary::default();
        blocks
            .iter()
            .for_each(|block| totals.merge(&block.summary()));
        mapping.give_back();
        Ok(Run {
            hasher: Hasher::new(identity.directory),
            first,
            sequence: header.sequence,
            places,
            filter_crc: header.filter_crc,
            mapping,
            blocks,
            ids,
            totals,
            filter: None,
            path,
        })
    }

    /// The number of the first one.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number behind the last one.
    pub fn end(&self) -> u64 {
        self.first + self.places.count as u64
    }

    /// The record of the last one.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Payments in the run.
    pub fn count(&self) -> usize {
        self.places.count
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.places.end as u64
    }

    /// Path of the run's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has the filter in memory from now on.
    pub fn load_filter(&mut self) -> Result<(), RecoveryError> {
        let filter = self.part(
            (self.places.filter, self.places.end),
            self.filter_crc,
            |bytes| Ok(Filter::from_bytes(bytes)),
        );
        self.filter = Some(filter.map_err(|fault| self.error(fault))?);
        Ok(())
    }

    /// Frees the filter's memory; look-ups read a block instead.
    pub fn drop_filter(&mut self) {
        self.filter = None;
    }

    /// Whether it has its filter in memory.
    pub fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Reads a part of the file, checks it, and gives it back.
    fn part<T>(
        &self,
        (from, to): (usize, usize),
        crc: u32,
        take: impl FnOnce(&[u8]) -> Result<T, (usize, &'static str)>,
    ) -> Result<T, Fault> {
        let bytes = self.mapping.read_part(from, to).map_err(Fault::Io)?;
        let taken = match crc32c::crc32c(bytes) == crc {
            true => take(bytes).map_err(|(at, reason)| Fault::Damaged(from + at, reason)),
            false => Err(Fault::Damaged(from, "a block's checksum is wrong")),
        };
        self.mapping.give_back();
        taken
    }

    fn entries(&self, n: usize, mut visit: impl FnMut(usize, RunEntry)) -> Result<(), Fault> {
        self.part(self.places.entries_of(n), self.blocks[n].crc, |bytes| {
            for (at, bytes) in bytes.chunks_exact(ENTRY_BYTES).enumerate() {
                let entry = RunEntry::read(bytes);
                visit(at, entry.ok_or((at * ENTRY_BYTES, "an unknown processor"))?);
            }
            Ok(())
        })
    }

    fn error(&self, fault: Fault) -> RecoveryError {
        match fault {
            Fault::Io(error) => RecoveryError::Io {
                action: "read",
                path: self.path.clone(),
                error,
            },
            Fault::Damaged(offset, reason) => RecoveryError::RunDamaged {
                file: self.path.clone(),
                offset: offset as u64,
                reason,
            },
        }
    }

    /// While serving: the log tells, and nothing is said that could be wrong.
    fn unreadable(&self, fault: Fault) -> Unreadable {
        log::error!("{}", self.error(fault));
        Unreadable
    }

    /// What its payments add up to: whole blocks by their totals, so at most two are read.
    pub fn summary(&self, window: &Window, summary: &mut Summary) -> Result<(), Unreadable> {
        let whole = |first: &Block, last: &Block| {
            window.contains(first.first_us) && window.contains(last.last_us)
        };
        if whole(&self.blocks[0], &self.blocks[self.blocks.len() - 1]) {
            summary.merge(&self.totals);
            return Ok(());
        }
        let begin = self
            .blocks
            .partition_point(|block| block.last_us < window.from_us);
        for (n, block) in self.blocks.iter().enumerate().skip(begin) {
            if block.first_us > window.to_us {
                break;
            }
            if whole(block, block) {
                summary.merge(&block.summary());
                continue;
            }
            let add = |_, entry: RunEntry| {
                if window.contains(entry.requested_us) {
                    summary.add(entry.by, entry.cents);
                }
            };
            self.entries(n, add)
                .map_err(|fault| self.unreadable(fault))?;
        }
        Ok(())
    }

    /// A payment, if it is here; at most two blocks are read. With the filter in memory hardly any when it
    /// is not.
    pub fn find(&self, id: PaymentId, hashes: (u64, u64)) -> Result<Option<Settled>, Unreadable> {
        let filter = self.filter.as_ref();
        if filter.is_some_and(|filter| !filter.may_have(hashes)) {
            return Ok(None);
        }
        self.look_up(id).map_err(|fault| self.unreadable(fault))
    }

    fn look_up(&self, id: PaymentId) -> Result<Option<Settled>, Fault> {
        let behind = self.ids.partition_point(|block| block.first <= id);
        let Some(n) = behind.checked_sub(1) else {
            return Ok(None);
        };
        let place = self.part(self.places.ids_of(n), self.ids[n].crc, |bytes| {
            let at = |n: usize| id_at(bytes, n * ID_BYTES);
            let (mut from, mut to) = (0, bytes.len() / ID_BYTES);
            while to - from > 1 {
                let middle = (from + to) / 2;
                match at(middle) <= id {
                    true => from = middle,
                    false => to = middle,
                }
            }
            let place = u32_at(bytes, from * ID_BYTES + 16) as usize;
            match (at(from) == id).then_some(place) {
                Some(place) if place >= self.places.count => {
                    Err((from * ID_BYTES, "a place that is none"))
                }
                place => Ok(place),
            }
        })?;
        let Some(place) = place else { return Ok(None) };
        let mut found = None;
        self.entries(place / BLOCK, |at, entry| {
            if at == place % BLOCK {
                found = Some(entry);
            }
        })?;
        let entry = found.expect("a block is as long as its place says");
        Ok(Some(Settled {
            id,
            cents: entry.cents,
            accepted_us: entry.accepted_us,
            requested_us: entry.requested_us,
            by: entry.by,
            attempts: entry.attempts,
        }))
    }

    /// Reads all of it: every block, the order, the totals, every id's place, the filter.
    pub fn check(&mut self) -> Result<(), RecoveryError> {
        self.load_filter()?;
        let checked = self.check_entries().and_then(|()| self.check_ids());
        checked.map_err(|fault| self.error(fault))
    }

    fn check_entries(&self) -> Result<(), Fault> {
        let mut before_us = 0;
        for (n, block) in self.blocks.iter().enumerate() {
            let mut entries = Vec::with_capacity(BLOCK);
            self.entries(n, |_, entry| entries.push(entry))?;
            let (at, _) = self.places.entries_of(n);
            if Block::of(&entries, block.crc) != *block {
                return Err(Fault::Damaged(at, "a block that is not as the index says"));
            }
            for entry in &entries {
                if entry.requested_us < before_us || entry.cents == 0 {
                    return Err(Fault::Damaged(at, "a payment of nothing, or out of order"));
                }
                before_us = entry.requested_us;
            }
        }
        Ok(())
    }

    fn check_ids(&self) -> Result<(), Fault> {
        let filter = self.filter.as_ref().expect("just read");
        let mut seen = vec![false; self.places.count];
        let mut before = None;
        for (n, block) in self.ids.iter().enumerate() {
            self.part(self.places.ids_of(n), block.crc, |bytes| {
                for (at, bytes) in bytes.chunks_exact(ID_BYTES).enumerate() {
                    let wrong = |reason| Err((at * ID_BYTES, reason));
                    let id = id_at(bytes, 0);
                    if before >= Some(id) || (at == 0 && id != block.first) {
                        return wrong("an id that is out of order");
                    }
                    before = Some(id);
                    let place = seen.get_mut(u32_at(bytes, 16) as usize);
                    if place.is_none_or(|seen| std::mem::replace(seen, true)) {
                        return wrong("a place that is none, or another id's");
                    }
                    if !filter.may_have(self.hasher.both(id)) {
                        return wrong("an id that the filter does not have");
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
