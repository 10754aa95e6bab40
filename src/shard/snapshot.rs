//! Snapshots: their layout, writing and reading them.
//!
//! `snapshot-<end sequence>.rkyv`: a page of 4096 bytes that begins with [`SnapshotHeader`], zeros to its
//! end, then the accounts, sorted by client, as they are in memory (`bank/account.rs`), then the
//! dedup table (`dedup/`), then payments (`payments/copy.rs`). Header and accounts are archived
//! types of rkyv (little-endian, no pointers).
//!
//! A snapshot is fuzzy: accounts are copied out in slices while transactions go on. Each account
//! names the last record that it contains, so replaying the journal from `from` over it and skipping
//! what an account already has gives the state at any later record. No account contains a record
//! later than `end`, and the file gets its name only when the journal is durable up to there:
//! otherwise a power loss could leave balances whose transactions are gone. `dedup.rs` and
//! `payments/copy.rs` describe how the dedup table and the payments name the records that they contain.

use std::io;
use std::path::{Path, PathBuf};

use rkyv::bytecheck::CheckBytes;
use rkyv::rancor;
use rkyv::rend::{u32_le, u64_le};
use rkyv::Portable;

use super::dedup::{DedupCounts, DedupTable};
use super::disk::{Disk, DiskFile};
use super::error::{RecoveryError, SnapshotError};
use super::mapping::Mapping;
use super::payments::Payments;
use super::{layout, Identity};
use crate::bank::Account;
use crate::codec::is_sealed;

/// The newest version that this code reads, and the one that it writes where real time is not the shard's
/// time.
pub const VERSION: u32 = 4;
/// The other one that it reads, and writes where it is: the same without an offset.
const VERSION_PLAIN: u32 = 3;
const MAGIC: [u8; 8] = *b"GALOSNAP";
/// Bytes before the first account: a page, so that the accounts can be mapped.
pub const HEADER_BYTES: usize = 4096;

/// What a snapshot says about itself: 128 bytes. Magic, version and checksum keep their places in
/// every version.
#[derive(Clone, Copy, Debug, Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct SnapshotHeader {
    magic: [u8; 8],
    version: u32_le,
    shard: u32_le,
    directory: [u64_le; 2],
    shards: u32_le,
    account_bytes: u32_le,
    accounts: u64_le,
    from: u64_le,
    end: u64_le,
    time_us: u64_le,
    chain: u32_le,
    body_crc: u32_le,
    keys_through: u64_le,
    forwarded: u64_le,
    keys: u32_le,
    keys_gone: u32_le,
    windows: u32_le,
    payment_bytes: [u32_le; 2],
    offset_us: [u32_le; 2],
    crc: u32_le,
}

const HEADER_USED: usize = size_of::<SnapshotHeader>();
const HEADER_CRC: usize = HEADER_USED - 4;

const _: () = {
    assert!(HEADER_USED == 128 && HEADER_USED <= HEADER_BYTES && align_of::<SnapshotHeader>() == 8);
    assert!(HEADER_BYTES.is_multiple_of(align_of::<Account>()));
};

/// A field at a place where a u64 would not be aligned: low, high.
fn halves(value: u64) -> [u32_le; 2] {
    [(value as u32).into(), ((value >> 32) as u32).into()]
}

/// The number that [`halves`] took apart.
fn whole(halves: [u32_le; 2]) -> u64 {
    let [low, high] = halves.map(|half| u64::from(half.to_native()));
    high << 32 | low
}

/// Where a snapshot stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The first record to replay over it.
    pub from: u64,
    /// The last record that any of its accounts may contain.
    pub end: u64,
    /// Checksum of the record before `from`.
    pub chain: u32,
    /// The latest time handed out by then: the shard's ([`clock`](super::clock)).
    pub time_us: u64,
    /// Real time less that, before the first record to replay. Microseconds.
    pub offset_us: i64,
}

impl SnapshotHeader {
    /// The header of a snapshot whose accounts, dedup table and payments have this checksum.
    pub fn new(
        identity: &Identity,
        position: &Position,
        accounts: usize,
        dedup: &DedupCounts,
        payment_bytes: u64,
        body_crc: u32,
    ) -> SnapshotHeader {
        debug_assert!(position.from <= position.end + 1);
        let mut header = SnapshotHeader {
            magic: MAGIC,
            version: match position.offset_us {
                0 => VERSION_PLAIN.into(),
                _ => VERSION.into(),
            },
            shard: identity.shard.into(),
            directory: [
                (identity.directory as u64).into(),
                ((identity.directory >> 64) as u64).into(),
            ],
            shards: identity.shards.into(),
            account_bytes: (size_of::<Account>() as u32).into(),
            accounts: (accounts as u64).into(),
            from: position.from.into(),
            end: position.end.into(),
            time_us: position.time_us.into(),
            chain: position.chain.into(),
            body_crc: body_crc.into(),
            keys_through: dedup.keys_through.into(),
            forwarded: dedup.forwarded.into(),
            keys: dedup.keys.into(),
            keys_gone: dedup.keys_gone.into(),
            windows: dedup.windows.into(),
            payment_bytes: halves(payment_bytes),
            offset_us: halves(position.offset_us as u64),
            crc: 0.into(),
        };
        header.crc = crc32c::crc32c(&header.as_bytes()[..HEADER_CRC]).into();
        header
    }

    fn as_bytes(&self) -> &[u8; HEADER_USED] {
        // SAFETY: a SnapshotHeader is `Portable` and `repr(C)` without padding (its fields add up to its
        // size, asserted above): all of its bytes are initialised, and any alignment is enough.
        unsafe { &*std::ptr::from_ref(self).cast() }
    }

    /// The first page of the file.
    pub fn page(&self) -> Vec<u8> {
        let mut page = vec![0; HEADER_BYTES];
        page[..HEADER_USED].copy_from_slice(self.as_bytes());
        page
    }

    /// Where it stands in the journal.
    pub fn position(&self) -> Position {
        Position {
            from: self.from.to_native(),
            end: self.end.to_native(),
            chain: self.chain.to_native(),
            time_us: self.time_us.to_native(),
            offset_us: whole(self.offset_us) as i64,
        }
    }

    fn dedup(&self) -> DedupCounts {
        DedupCounts {
            windows: self.windows.to_native(),
            forwarded: self.forwarded.to_native(),
            keys: self.keys.to_native(),
            keys_gone: self.keys_gone.to_native(),
            keys_through: self.keys_through.to_native(),
        }
    }

    fn payment_bytes(&self) -> u64 {
        whole(self.payment_bytes)
    }

    /// Where the accounts end in the file.
    fn accounts_end(&self) -> usize {
        HEADER_BYTES + self.accounts.to_native() as usize * size_of::<Account>()
    }

    /// Checks the first page of `file`, and the file's length.
    fn read(file: &[u8], identity: &Identity) -> Result<SnapshotHeader, SnapshotError> {
        let damaged = |reason| SnapshotError::Damaged(0, reason);
        let Some((page, body)) = file.split_at_checked(HEADER_BYTES) else {
            return Err(damaged("the header is cut short"));
        };
        let header = rkyv::access::<SnapshotHeader, rancor::Error>(&page[..HEADER_USED])
            .map_err(|_| damaged("the header is not one"))?;
        if header.magic != MAGIC {
            return Err(damaged("it does not begin with GALOSNAP"));
        }
        if !is_sealed(&page[..HEADER_USED]) {
            return Err(damaged("the header's checksum is wrong"));
        }
        if !(VERSION_PLAIN..=VERSION).contains(&header.version.to_native()) {
            return Err(SnapshotError::Version(header.version.to_native()));
        }
        let [low, high] = header.directory.map(|half| u128::from(half.to_native()));
        let found = Identity {
            directory: high << 64 | low,
            shard: header.shard.to_native(),
            shards: header.shards.to_native(),
        };
        if found != *identity {
            return Err(SnapshotError::Foreign(found));
        }
        if page[HEADER_USED..].iter().any(|byte| *byte != 0) {
            return Err(damaged("the header is not followed by zeros"));
        }
        let bytes = u128::from(header.accounts.to_native()) * size_of::<Account>() as u128;
        let dedup = header.dedup().bytes();
        let bytes = bytes + u128::from(header.payment_bytes());
        let is_long = dedup.is_some_and(|dedup| body.len() as u128 == bytes + dedup as u128);
        if header.account_bytes != size_of::<Account>() as u32 || !is_long {
            return Err(damaged("the file is not as long as its header says"));
        }
        if header.from.to_native() > header.end.to_native().saturating_add(1) {
            return Err(damaged("it ends before it begins"));
        }
        Ok(*header)
    }
}

/// A snapshot whose checksum and contents are good.
pub struct Snapshot {
    /// Where it stands in the journal.
    pub position: Position,
    /// Bytes of the file.
    pub bytes: u64,
    /// The header's page, and the accounts.
    pub accounts: Mapping,
    pub dedup: DedupTable,
    /// Those that are open, and those that are settled and not in a run.
    pub payments: Payments,
}

/// Maps the snapshot that ends with record `end`, and checks header, checksum, dedup table and payments.
///
/// The checksum is over what this code wrote from accounts that kept their rules, so the accounts are
/// not looked at one by one; `galo check` does that.
pub fn read<D: Disk>(
    disk: &D,
    dir: &Path,
    end: u64,
    identity: &Identity,
) -> Result<Snapshot, SnapshotError> {
    let (header, mut mapping) = read_header(disk, dir, end, identity)?;
    let body_crc = mapping.crc32c(HEADER_BYTES).map_err(SnapshotError::Io)?;
    if body_crc != header.body_crc.to_native() {
        return Err(SnapshotError::Damaged(
            HEADER_BYTES as u64,
            "the checksum of accounts, outcomes and payments is wrong",
        ));
    }
    let position = header.position();
    let accounts_end = header.accounts_end();
    let payments_begin = mapping.len() - header.payment_bytes() as usize;
    let moments = (position.from, position.end);
    let damaged = |at: usize, reason| SnapshotError::Damaged(at as u64, reason);
    let dedup = DedupTable::read(
        identity.directory,
        &mapping[accounts_end..payments_begin],
        &header.dedup(),
        moments,
    )
    .map_err(|(at, reason)| damaged(accounts_end + at, reason))?;
    let payments = Payments::read(identity.directory, &mapping[payments_begin..], moments)
        .map_err(|(at, reason)| damaged(payments_begin + at, reason))?;
    let bytes = mapping.len() as u64;
    mapping.truncate(accounts_end);
    Ok(Snapshot {
        position,
        bytes,
        accounts: mapping,
        dedup,
        payments,
    })
}

/// Maps a snapshot and checks its header, without the contents behind it.
pub fn read_header<D: Disk>(
    disk: &D,
    dir: &Path,
    end: u64,
    identity: &Identity,
) -> Result<(SnapshotHeader, Mapping), SnapshotError> {
    let path = layout::snapshot(dir, end);
    let mapping = disk.map(&path).map_err(SnapshotError::Io)?;
    let header = SnapshotHeader::read(&mapping, identity)?;
    if header.end != end {
        let reason = "its name is not its end sequence";
        return Err(SnapshotError::Damaged(0, reason));
    }
    Ok((header, mapping))
}

/// A snapshot in whose place no other will do.
pub(super) fn unreadable(error: SnapshotError, file: &Path) -> RecoveryError {
    let file: PathBuf = file.to_owned();
    match error {
        SnapshotError::Io(error) => RecoveryError::Io {
            action: "read",
            path: file,
            error,
        },
        SnapshotError::Damaged(offset, reason) => RecoveryError::SnapshotDamaged {
            file,
            offset,
            reason,
        },
        SnapshotError::Version(version) => RecoveryError::Version {
            file,
            version,
            known: VERSION,
        },
        SnapshotError::Foreign(_) => RecoveryError::Foreign { file },
    }
}

/// A snapshot being written: handed from job to job.
#[derive(Debug)]
pub struct Writer<D: Disk> {
    disk: D,
    dir: PathBuf,
    temporary: PathBuf,
    file: Option<D::File>,
    bytes: u64,
    body_crc: u32,
}

impl<D: Disk> Writer<D> {
    /// Nothing is created before the first slice or the end.
    pub fn new(disk: D, dir: &Path) -> Writer<D> {
        Writer {
            disk,
            dir: dir.to_owned(),
            temporary: dir.join(format!("snapshot{}", layout::TEMPORARY)),
            file: None,
            bytes: HEADER_BYTES as u64,
            body_crc: 0,
        }
    }

    /// Checksum of the bytes behind the header so far.
    pub fn body_crc(&self) -> u32 {
        self.body_crc
    }

    /// Bytes of the file so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn file(&mut self) -> io::Result<&D::File> {
        if self.file.is_none() {
            self.file = Some(self.disk.create(&self.temporary)?);
        }
        Ok(self.file.as_ref().expect("just created"))
    }

    /// Writes the next accounts, dedup entries or payments. Blocks.
    pub fn slice(&mut self, bytes: &[u8]) -> io::Result<()> {
        let offset = self.bytes;
        self.file()?.write_all_at(bytes, offset)?;
        self.bytes += bytes.len() as u64;
        self.body_crc = crc32c::crc32c_append(self.body_crc, bytes);
        Ok(())
    }

    /// Writes the header, makes the file durable, and only then gives it its name. Blocks. The
    /// journal must be durable up to the header's end sequence.
    pub fn finish(&mut self, header: &SnapshotHeader) -> io::Result<()> {
        assert_eq!(header.body_crc.to_native(), self.body_crc);
        let file = self.file()?;
        file.write_all_at(&header.page(), 0)?;
        file.sync()?;
        let name = layout::snapshot(&self.dir, header.end.to_native());
        self.disk.rename(&self.temporary, &name)?;
        self.disk.sync_dir(&self.dir)
    }

    /// Removes the unfinished file, as far as that can be done: the next start does the rest.
    pub fn abandon(self) {
        if self.file.is_some() {
            let _ = self.disk.remove(&self.temporary);
        }
    }
}
