//! Reads the journals' live images behind the server's back, record by record.

use std::path::{Path, PathBuf};

use galo::shard::journal::{self, SegmentHeader, HEADER_BYTES};
use galo::shard::layout::{self, Listing};
use galo::shard::Identity;

use crate::disk::SimDisk;
use crate::model::Model;
use crate::trace::{Checked, Violation};
use crate::{require, violation};

/// Where reading a shard's journal has come to.
pub struct Journal {
    identity: Identity,
    dir: PathBuf,
    /// First sequence of the present segment.
    segment: u64,
    offset: usize,
    next: u64,
    chain: u32,
}

impl Journal {
    /// Begins with the segment that holds record `from`. (Of those before it a loss of power may have
    /// brought some back, and others not.)
    pub fn new(disk: &SimDisk, data: &Path, identity: Identity, from: u64) -> Checked<Journal> {
        let dir = layout::shard_dir(data, identity.shard);
        let listing = Listing::new(disk.names(&dir));
        let mut before = listing
            .segments
            .iter()
            .copied()
            .filter(|first| *first <= from);
        let Some(first) = before.next_back() else {
            violation!("shard {} has no journal", identity.shard);
        };
        let mut journal = Journal {
            identity,
            dir,
            segment: 0,
            offset: 0,
            next: first,
            chain: 0,
        };
        require!(journal.enter(disk, first, true)?, "just listed");
        Ok(journal)
    }

    fn enter(&mut self, disk: &SimDisk, first: u64, oldest: bool) -> Checked<bool> {
        let path = layout::segment(&self.dir, first);
        let Some(header) = disk.peek(&path, SegmentHeader::read) else {
            return Ok(false);
        };
        let header = header
            .map_err(|error| Violation(format!("{}: the header is {error:?}", path.display())))?;
        if oldest {
            self.chain = header.chain;
        }
        require!(
            header.first == first && header.chain == self.chain,
            "{} does not continue the chain at {}",
            path.display(),
            self.next
        );
        self.segment = first;
        self.offset = HEADER_BYTES;
        Ok(true)
    }

    /// Hands every record up to `last` to the model: the ones that it knows, and those that are new.
    /// Whether it changed segments on the way.
    pub fn read_to(&mut self, disk: &SimDisk, last: u64, model: &mut Model) -> Checked<u64> {
        let shard = self.identity.shard;
        let mut entered = 0;
        while self.next <= last {
            if let Err(reason) = self.read_segment(disk, last, model)? {
                let (next, offset) = (self.next, self.offset);
                violation!("shard {shard}: record {next} at byte {offset}: {reason}");
            }
            if self.next <= last {
                let next = self.next;
                require!(
                    next > self.segment && self.enter(disk, next, false)?,
                    "shard {shard}: record {next} of {last} is in no segment"
                );
                entered += 1;
            }
        }
        Ok(entered)
    }

    /// The same with every record that is there.
    pub fn read_on(&mut self, disk: &SimDisk, model: &mut Model) -> Checked<u64> {
        let mut entered = 0;
        loop {
            let read = self.read_segment(disk, u64::MAX, model)?;
            let next = self.next;
            if read.is_err() || next == self.segment || !self.enter(disk, next, false)? {
                return Ok(entered);
            }
            entered += 1;
        }
    }

    /// Goes through the present segment, up to record `last` or to what is no record.
    fn read_segment(
        &mut self,
        disk: &SimDisk,
        last: u64,
        model: &mut Model,
    ) -> Checked<Result<(), &'static str>> {
        let seed = journal::seed(&self.identity);
        let shard = self.identity.shard as usize;
        let path = layout::segment(&self.dir, self.segment);
        let read = disk.peek(&path, |bytes| {
            while self.next <= last && self.offset < bytes.len() {
                let record = match journal::record_at(bytes, self.offset, seed) {
                    Ok(record) => record,
                    Err(reason) => return Ok(Err(reason.as_str())),
                };
                require!(
                    record.stamp.sequence == self.next && record.stamp.chain == self.chain,
                    "shard {shard}: record {} is out of the chain",
                    self.next
                );
                model.record(shard, &record)?;
                self.offset += record.bytes;
                self.next += 1;
                self.chain = record.crc;
            }
            Ok(Ok(()))
        });
        read.unwrap_or_else(|| violation!("{} is gone", path.display()))
    }
}
