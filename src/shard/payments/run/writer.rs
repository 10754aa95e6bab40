//! Writes a run's file, on a thread that is not a core's.

use std::io;
use std::path::Path;

use super::layout::{Block, IdBlock, Places, RunEntry, RunHeader, BLOCK};
use crate::codec::put;
use crate::shard::disk::{Disk, DiskFile};
use crate::shard::payments::filter::Filter;
use crate::shard::payments::hash::Hasher;
use crate::shard::payments::Settled;
use crate::shard::{layout, Identity};

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 256 * crate::limits::KIB;

/// A file that is written from front to back.
struct RunOutput<'a, F> {
    file: &'a F,
    bytes: Vec<u8>,
    offset: u64,
}

impl<F: DiskFile> RunOutput<'_, F> {
    fn flush(&mut self, at_least: usize) -> io::Result<()> {
        if self.bytes.len() < at_least {
            return Ok(());
        }
        self.file.write_all_at(&self.bytes, self.offset)?;
        self.offset += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}

/// Writes a run, makes it durable, and only then gives it its name. Blocks. The journal must be durable up to
/// `sequence`, the record of the last one.
pub fn write<D: Disk>(
    disk: &D,
    dir: &Path,
    identity: &Identity,
    (first, sequence): (u64, u64),
    settled: &[Settled],
) -> io::Result<()> {
    let places = Places::new(settled.len());
    let temporary = dir.join(format!("payments{}", layout::TEMPORARY));
    let file = disk.create(&temporary)?;
    let written = write_parts(&file, &places, identity, settled).and_then(|(index, filter_crc)| {
        let header = RunHeader {
            shard: identity.shard,
            directory: identity.directory,
            first,
            sequence,
            count: settled.len() as u32,
            index_crc: crc32c::crc32c(&index),
            filter_crc,
        };
        let mut front = header.to_bytes().to_vec();
        front.extend_from_slice(&index);
        debug_assert_eq!(front.len(), places.index_end);
        front.resize(places.entries, 0);
        file.write_all_at(&front, 0)?;
        file.sync()?;
        disk.rename(&temporary, &layout::run(dir, first))?;
        disk.sync_dir(dir)
    });
    if written.is_err() {
        // As far as that can be done: the next start does the rest.
        let _ = disk.remove(&temporary);
    }
    written
}

/// Writes all but header and index: the index, and the filter's checksum.
fn write_parts<F: DiskFile>(
    file: &F,
    places: &Places,
    identity: &Identity,
    settled: &[Settled],
) -> io::Result<(Vec<u8>, u32)> {
    let mut output = RunOutput {
        file,
        bytes: Vec::with_capacity(WRITE_BYTES + BLOCK * size_of::<Settled>()),
        offset: places.entries as u64,
    };
    let mut by_time: Vec<u32> = (0..settled.len() as u32).collect();
    by_time.sort_by_key(|at| settled[*at as usize].requested_us);
    let mut index = Vec::new();
    for block in by_time.chunks(BLOCK) {
        let entries: Vec<RunEntry> = block
            .iter()
            .map(|at| {
                let settled = &settled[*at as usize];
                RunEntry {
                    requested_us: settled.requested_us,
                    cents: settled.cents,
                    accepted_us: settled.accepted_us,
                    attempts: settled.attempts,
                    by: settled.by,
                }
            })
            .collect();
        let begin = output.bytes.len();
        entries
            .iter()
            .for_each(|entry| entry.write(&mut output.bytes));
        let crc = crc32c::crc32c(&output.bytes[begin..]);
        Block::of(&entries, crc).write(&mut index);
        output.flush(WRITE_BYTES)?;
    }
    // Places by id.
    let mut by_id: Vec<(u32, u32)> = by_time.iter().copied().zip(0..).collect();
    drop(by_time);
    by_id.sort_unstable_by_key(|(at, _)| settled[*at as usize].id);
    let hasher = Hasher::new(identity.directory);
    let mut filter = Filter::new(settled.len());
    for block in by_id.chunks(BLOCK) {
        let begin = output.bytes.len();
        for (at, place) in block {
            let id = settled[*at as usize].id;
            put(&mut output.bytes, id.0);
            put(&mut output.bytes, place);
            filter.add(hasher.both(id));
        }
        let id_block = IdBlock {
            first: settled[block[0].0 as usize].id,
            crc: crc32c::crc32c(&output.bytes[begin..]),
        };
        id_block.write(&mut index);
        output.flush(WRITE_BYTES)?;
    }
    output.flush(1)?;
    debug_assert_eq!(output.offset, places.filter as u64);
    let filter = filter.to_bytes();
    file.write_all_at(&filter, output.offset)?;
    Ok((index, crc32c::crc32c(&filter)))
}
