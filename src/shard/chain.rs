//! Reads a shard's journal across its segments, and decides whether the first unreadable record is a torn tail or
//! damage. Changes nothing.

use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::error::{At, Evidence, RecoveryError};
use super::journal::{self, HeaderError, Reader, Record, SegmentHeader, HEADER_BYTES};
use super::mapping::Mapping;
use super::state::LogEnd;
use super::{layout, Identity};

/// The journal of one shard, as its directory has it.
pub struct Chain<'a, D: Disk> {
    pub disk: &'a D,
    pub dir: &'a Path,
    pub identity: &'a Identity,
    /// First sequence of each segment that is there, ascending.
    pub segments: &'a [u64],
    /// End of the newest snapshot that is there, good or not, or of the newest run of settled payments: up
    /// to here the journal was durable.
    pub durable: u64,
    /// The snapshot or run that proves [`durable`](Self::durable).
    pub proof: PathBuf,
}

/// A segment that was read, and is good up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence of its first record.
    pub first: u64,
    /// Sequence of its last one; `first - 1` if it has none.
    pub last: u64,
    /// Bytes up to the end of its last good record.
    pub bytes: u64,
}

/// What was read of a journal, and where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The last good record.
    pub log_end: LogEnd,
    /// The segments that were read, ascending, at least one.
    pub segments: Vec<Segment>,
    /// Records that were read, with those from before the record asked for.
    pub records: u64,
    /// The last record that a snapshot or a later record proves durable.
    pub durable: u64,
    /// What follows, if it is not nothing.
    pub torn: Option<Torn>,
}

/// What follows the last good record, and was never known to be durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment in which it begins.
    pub file: PathBuf,
    /// Where in it; 0: the segment's header itself is not whole.
    pub offset: u64,
    /// The rule that the bytes there break.
    pub reason: &'static str,
    /// Bytes from there on, later segments included.
    pub bytes: u64,
    /// Segments that are no part of the journal, ascending.
    pub superfluous: Vec<u64>,
}

/// Where and why reading stopped.
struct ChainStop {
    /// Index of the segment in `segments`.
    index: usize,
    offset: usize,
    reason: &'static str,
    /// The segment begins, soundly, with a later record than the one that comes next.
    gap: bool,
}

impl<D: Disk> Chain<'_, D> {
    fn path(&self, index: usize) -> PathBuf {
        layout::segment(self.dir, self.segments[index])
    }

    /// The segment's bytes and header. `Ok(Err)`: the header cannot be read.
    fn load(
        &self,
        index: usize,
    ) -> Result<(Mapping, Result<SegmentHeader, &'static str>), RecoveryError> {
        let path = self.path(index);
        let bytes = self.disk.read(&path).at("read", &path)?;
        let header = match SegmentHeader::read(&bytes) {
            Err(HeaderError::Version(version)) => {
                return Err(RecoveryError::Version {
                    file: path,
                    version,
                    known: journal::VERSION,
                });
            }
            Err(HeaderError::Damaged(reason)) => Err(reason),
            Ok(header)
                if (header.directory, header.shard)
                    != (self.identity.directory, self.identity.shard) =>
            {
                return Err(RecoveryError::Foreign { file: path });
            }
            Ok(header) if header.first != self.segments[index] => {
                Err("its first record is not the one in its name")
            }
            Ok(header) => Ok(header),
        };
        Ok((bytes, header))
    }

    /// The segment to begin with to get at record `from`.
    fn start(&self, from: u64) -> Result<usize, RecoveryError> {
        let missing = || RecoveryError::SegmentMissing {
            dir: self.dir.to_owned(),
            sequence: from,
            evidence: Evidence::Needed,
        };
        let newest = self
            .segments
            .partition_point(|first| *first <= from)
            .checked_sub(1)
            .ok_or_else(missing)?;
        // One that was only half created needs those before it, to be continued.
        let mut bad = None;
        for index in (0..=newest).rev() {
            match self.load(index)? {
                (_, Ok(_)) => return Ok(index),
                (_, Err(reason)) => bad = Some((index, reason)),
            }
        }
        let (index, reason) = bad.ok_or_else(missing)?;
        Err(RecoveryError::Damaged {
            file: self.path(index),
            offset: 0,
            reason,
            sequence: self.segments[index],
            evidence: Evidence::Needed,
        })
    }

    /// Where a record is that was read, and found good, before.
    pub fn place_of(&self, sequence: u64) -> Result<(PathBuf, u64), RecoveryError> {
        let behind = self.segments.partition_point(|first| *first <= sequence);
        let index = behind.checked_sub(1).expect("it was read");
        let (bytes, _) = self.load(index)?;
        let offset = journal::offset_behind(&bytes, sequence - self.segments[index]);
        Ok((self.path(index), offset as u64))
    }

    /// Reads every record from the segment that holds `from` on (so some may be earlier), in order,
    /// to the end of the journal.
    pub fn walk(
        &self,
        from: u64,
        mut visit: impl FnMut(&Record<'_>, &Path) -> Result<(), RecoveryError>,
    ) -> Result<End, RecoveryError> {
        let seed = journal::seed(self.identity);
        let start = self.start(from)?;
        let mut end = End {
            log_end: LogEnd {
                sequence: 0,
                chain: 0,
                time_us: 0,
            },
            segments: Vec::new(),
            records: 0,
            durable: self.durable,
            torn: None,
        };
        for index in start..self.segments.len() {
            let (bytes, header) = self.load(index)?;
            let stop = |offset, reason, gap| ChainStop {
                index,
                offset,
                reason,
                gap,
            };
            let header = match header {
                Ok(header) => header,
                Err(reason) => return self.stopped(end, &bytes, &stop(0, reason, false)),
            };
            if index == start {
                end.log_end.sequence = header.first - 1;
                end.log_end.chain = header.chain;
            }
            if header.first > end.log_end.sequence + 1 {
                let reason = "it does not begin where the one before it ends";
                return self.stopped(end, &bytes, &stop(0, reason, true));
            }
            if (header.first, header.chain) != (end.log_end.sequence + 1, end.log_end.chain) {
                let reason = "it does not continue the one before it";
                return self.stopped(end, &bytes, &stop(0, reason, false));
            }
            let path = self.path(index);
            let mut reader = Reader::new(&bytes, &header, seed);
            let mut stopped = None;
            for record in reader.by_ref() {
                match record {
                    Ok(record) => {
                        visit(&record, &path)?;
                        end.records += 1;
                        end.log_end.time_us = end.log_end.time_us.max(record.stamp.time_us);
                        end.durable = end.durable.max(record.stamp.durable_up_to());
                    }
                    Err(at) => stopped = Some(stop(at.offset, at.reason.as_str(), false)),
                }
            }
            end.log_end.sequence = reader.sequence() - 1;
            end.log_end.chain = reader.crc();
            end.segments.push(Segment {
                first: header.first,
                last: end.log_end.sequence,
                bytes: reader.offset() as u64,
            });
            if let Some(stop) = stopped {
                return self.stopped(end, &bytes, &stop);
            }
        }
        if end.log_end.sequence < self.durable {
            return Err(RecoveryError::JournalShort {
                file: self.path(self.segments.len() - 1),
                offset: end.segments.last().expect("one was read").bytes,
                sequence: end.log_end.sequence,
                snapshot: self.proof.clone(),
                end: self.durable,
            });
        }
        Ok(end)
    }

    /// Decides: refuse if anything proves that the missing record was durable, else a torn tail.
    fn stopped(&self, mut end: End, bytes: &[u8], stop: &ChainStop) -> Result<End, RecoveryError> {
        let missing = end.log_end.sequence + 1;
        if let Some(evidence) = self.evidence(missing, bytes, stop)? {
            return Err(if stop.gap {
                RecoveryError::SegmentMissing {
                    dir: self.dir.to_owned(),
                    sequence: missing,
                    evidence,
                }
            } else {
                RecoveryError::Damaged {
                    file: self.path(stop.index),
                    offset: stop.offset as u64,
                    reason: stop.reason,
                    sequence: missing,
                    evidence,
                }
            });
        }
        // A segment that does not begin well goes as a whole.
        let superfluous = stop.index + usize::from(stop.offset > 0);
        let mut dropped = (bytes.len() - stop.offset) as u64;
        for index in stop.index + 1..self.segments.len() {
            dropped += self.load(index)?.0.len() as u64;
        }
        end.torn = Some(Torn {
            file: self.path(stop.index),
            offset: stop.offset as u64,
            reason: stop.reason,
            bytes: dropped,
            superfluous: self.segments[superfluous..].to_vec(),
        });
        Ok(end)
    }

    /// What proves that record `missing` was durable.
    fn evidence(
        &self,
        missing: u64,
        bytes: &[u8],
        stop: &ChainStop,
    ) -> Result<Option<Evidence>, RecoveryError> {
        if self.durable >= missing {
            return Ok(Some(Evidence::Snapshot(self.proof.clone())));
        }
        let seed = journal::seed(self.identity);
        let proof = |index: usize, bytes: &[u8], start, first| {
            journal::scan_durable_up_to(bytes, start, first, seed)
                .filter(|(durable, _)| *durable >= missing)
                .map(|(_, record)| Evidence::Record {
                    file: self.path(index),
                    offset: record.offset as u64,
                    sequence: record.stamp.sequence,
                })
        };
        let found = match stop.offset {
            0 => proof(stop.index, bytes, HEADER_BYTES, self.segments[stop.index]),
            offset => proof(stop.index, bytes, offset, missing),
        };
        if found.is_some() {
            return Ok(found);
        }
        for index in stop.index + 1..self.segments.len() {
            let (bytes, _) = self.load(index)?;
            let found = proof(index, &bytes, HEADER_BYTES, self.segments[index]);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
