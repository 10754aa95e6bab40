//! All files of a shard in one, from which another data directory of the cluster can have the shard. Little-endian.
//!
//! | field | bytes | |
//! |---|---|---|
//! | magic | 4 | `GARC` |
//! | version | 4 | 1 |
//! | directory | 16 | id of the data directory |
//! | shard | 4 | |
//! | records | 8 | the journal has this record, and perhaps later ones |
//! | place | 48 | the same in the log that an engine keeps of the shard |
//! | body crc | 4 | CRC-32C of the contents |
//! | files | 4 | how many |
//! | for each: kind | 4 | 1 snapshot, 2 segment of the journal, 3 run of settled payments |
//! | number | 8 | as in its name |
//! | bytes | 8 | its length |
//! | crc | 4 | CRC-32C of all before |
//!
//! Then zeros up to a multiple of 4096, and the contents, file by file.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile};
use super::error::{At, RecoveryError};
use super::layout::Listing;
use super::log_position::{LogPosition, PLACE_BYTES};
use super::mapping::Mapping;
use super::{layout, snapshot, Identity};
use crate::codec::{is_sealed, put, seal, Fields};

const MAGIC: [u8; 4] = *b"GARC";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 4 + 4 + 16 + 4 + 8 + PLACE_BYTES + 4 + 4;
const FILE_BYTES: usize = 4 + 8 + 8;
const CRC_BYTES: usize = 4;
const PAGE_BYTES: usize = 4096;
/// Copied at a time.
const CHUNK_BYTES: usize = 1 << 20;

const SNAPSHOT: u32 = 1;
const SEGMENT: u32 = 2;
const RUN: u32 = 3;

#[derive(Clone, Copy)]
struct Entry {
    kind: u32,
    number: u64,
    bytes: u64,
}

impl Entry {
    fn path(&self, dir: &Path) -> PathBuf {
        match self.kind {
            SNAPSHOT => layout::snapshot(dir, self.number),
            SEGMENT => layout::segment(dir, self.number),
            _ => layout::run(dir, self.number),
        }
    }
}

fn head_bytes(files: usize) -> usize {
    (FIXED_BYTES + files * FILE_BYTES + CRC_BYTES).next_multiple_of(PAGE_BYTES)
}

/// Makes the archive of a shard's directory ([`layout::archive_made`]). The journal has `place` by now, and may grow; no
/// snapshot and no run is made or removed meanwhile.
pub(super) fn write<D: Disk>(
    disk: &D,
    dir: &Path,
    identity: &Identity,
    place: &LogPosition,
) -> Result<(), RecoveryError> {
    let path = layout::archive_made(dir);
    let listing = Listing::new(disk.list(dir).at("list", dir)?);
    let none = || RecoveryError::NoSnapshot {
        dir: dir.to_owned(),
        bad: Vec::new(),
    };
    let end = *listing.snapshots.last().ok_or_else(none)?;
    let header = snapshot::read_header(disk, dir, end, identity);
    let (header, _) =
        header.map_err(|error| snapshot::unreadable(error, &layout::snapshot(dir, end)))?;
    let from = header.position().from;
    let needed = listing.segments.partition_point(|first| *first <= from);
    let segments = &listing.segments[needed.saturating_sub(1)..];
    let numbers = [
        (SNAPSHOT, &[end][..]),
        (SEGMENT, segments),
        (RUN, &listing.runs),
    ];
    let numbers = numbers
        .iter()
        .flat_map(|(kind, numbers)| numbers.iter().map(|number| (*kind, *number)));
    let mut entries: Vec<Entry> = numbers
        .map(|(kind, number)| Entry {
            kind,
            number,
            bytes: 0,
        })
        .collect();
    let file = disk.create(&path).at("create", &path)?;
    let begin = head_bytes(entries.len()) as u64;
    let (mut offset, mut crc) = (begin, 0);
    for entry in &mut entries {
        let source = entry.path(dir);
        let content = disk.map(&source).at("read", &source)?;
        let mut part = |bytes: &[u8]| {
            crc = crc32c::crc32c_append(crc, bytes);
            file.write_all_at(bytes, offset)?;
            offset += bytes.len() as u64;
            Ok(())
        };
        copy(&content, 0, content.len(), &mut part).at("copy", &source)?;
        entry.bytes = content.len() as u64;
    }
    let mut head = Vec::with_capacity(begin as usize);
    head.extend_from_slice(&MAGIC);
    put(&mut head, VERSION);
    put(&mut head, identity.directory);
    put(&mut head, identity.shard);
    put(&mut head, place.records);
    head.extend_from_slice(&place.place);
    put(&mut head, crc);
    put(&mut head, entries.len() as u32);
    for entry in &entries {
        put(&mut head, entry.kind);
        put(&mut head, entry.number);
        put(&mut head, entry.bytes);
    }
    head.extend_from_slice(&[0; CRC_BYTES]);
    seal(&mut head);
    head.resize(begin as usize, 0);
    file.write_all_at(&head, 0).at("write", &path)
}

/// Passes a part of a file on, a piece at a time, and keeps none of it resident.
fn copy(
    content: &Mapping,
    from: usize,
    to: usize,
    part: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    for at in (from..to).step_by(CHUNK_BYTES) {
        part(content.read_part(at, to.min(at + CHUNK_BYTES))?)?;
        content.give_back();
    }
    Ok(())
}

/// An archive that is as it was written.
pub(super) struct Archive {
    content: Mapping,
    place: LogPosition,
    entries: Vec<Entry>,
}

impl Archive {
    /// Reads and checks a whole archive.
    pub(super) fn open<D: Disk>(
        disk: &D,
        path: &Path,
        identity: &Identity,
    ) -> Result<Archive, RecoveryError> {
        let damaged = || RecoveryError::ArchiveDamaged {
            file: path.to_owned(),
        };
        let mut content = disk.map(path).at("read", path)?;
        let head = Head::read(&content).ok_or_else(damaged)?;
        if head.version != VERSION {
            return Err(RecoveryError::Version {
                file: path.to_owned(),
                version: head.version,
                known: VERSION,
            });
        }
        if (head.directory, head.shard) != (identity.directory, identity.shard) {
            return Err(RecoveryError::Foreign {
                file: path.to_owned(),
            });
        }
        let begin = head_bytes(head.entries.len());
        let bytes: u64 = head.entries.iter().map(|entry| entry.bytes).sum();
        if begin as u64 + bytes != content.len() as u64
            || content.crc32c(begin).at("read", path)? != head.body_crc
        {
            return Err(damaged());
        }
        Ok(Archive {
            content,
            place: head.place,
            entries: head.entries,
        })
    }
}

struct Head {
    version: u32,
    directory: u128,
    shard: u32,
    place: LogPosition,
    body_crc: u32,
    entries: Vec<Entry>,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Head> {
        let mut fields = Fields::new(bytes);
        if fields.array()? != MAGIC {
            return None;
        }
        let (version, directory, shard) = (fields.u32()?, fields.u128()?, fields.u32()?);
        let (records, place) = (fields.u64()?, fields.array()?);
        let (body_crc, files) = (fields.u32()?, fields.u32()? as usize);
        let end = FIXED_BYTES + files.checked_mul(FILE_BYTES)? + CRC_BYTES;
        if !is_sealed(bytes.get(..end)?) {
            return None;
        }
        let mut entries = Vec::with_capacity(files);
        for _ in 0..files {
            entries.push(Entry {
                kind: fields.u32()?,
                number: fields.u64()?,
                bytes: fields.u64()?,
            });
        }
        Some(Head {
            version,
            directory,
            shard,
            place: LogPosition { records, place },
            body_crc,
            entries,
        })
    }
}

/// The archive that has been fetched ([`layout::archive_fetched`]) takes the place of the shard's files at the next
/// recovery, if it is whole.
pub(super) fn accept<D: Disk>(
    disk: &D,
    dir: &Path,
    identity: &Identity,
) -> Result<(), RecoveryError> {
    let fetched = layout::archive_fetched(dir);
    Archive::open(disk, &fetched, identity)?;
    let file = disk.open(&fetched).at("open", &fetched)?;
    file.sync().at("sync", &fetched)?;
    let path = layout::archive(dir);
    disk.rename(&fetched, &path).at("rename", &path)?;
    disk.sync_dir(dir).at("sync", dir)
}

/// What an archive has.
pub(super) struct Summary {
    pub(super) files: usize,
    pub(super) records: u64,
    /// Of the whole.
    pub(super) bytes: u64,
}

/// Verifies the archive that was accepted.
pub(super) fn check<D: Disk>(
    disk: &D,
    dir: &Path,
    identity: &Identity,
) -> Result<Summary, RecoveryError> {
    let archive = Archive::open(disk, &layout::archive(dir), identity)?;
    Ok(Summary {
        files: archive.entries.len(),
        records: archive.place.records,
        bytes: archive.content.len() as u64,
    })
}

/// Puts the files of the archive that was accepted in the place of all that are there. Whatever stops it: the archive is
/// still there, and it is done again.
pub(super) fn unpack<D: Disk>(
    disk: &D,
    dir: &Path,
    identity: &Identity,
) -> Result<(), RecoveryError> {
    let path = layout::archive(dir);
    let archive = Archive::open(disk, &path, identity)?;
    let listing = Listing::new(disk.list(dir).at("list", dir)?);
    for old in listing.content(dir) {
        disk.remove(&old).at("remove", &old)?;
    }
    let mut from = head_bytes(archive.entries.len());
    for entry in &archive.entries {
        let target = entry.path(dir);
        let to = from + entry.bytes as usize;
        let file = disk.create(&target).at("create", &target)?;
        let mut offset = 0;
        let mut part = |bytes: &[u8]| {
            file.write_all_at(bytes, offset)?;
            offset += bytes.len() as u64;
            Ok(())
        };
        copy(&archive.content, from, to, &mut part)
            .and_then(|()| file.sync())
            .at("write", &target)?;
        from = to;
    }
    archive.place.write(disk, dir, identity)?;
    disk.sync_dir(dir).at("sync", dir)?;
    disk.remove(&path).at("remove", &path)
}
