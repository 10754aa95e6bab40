//! The journal: what it looks like, and reading it.
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
//! | 10 | 1 | kind: 1 transaction, 2 reset |
//! | 11 | 1 | zero |
//! | 12 | 4 | unsynced: how many records, this one included, were not known to be durable when it was written |
//! | 16 | 8 | sequence, from 1, without gaps |
//! | 24 | 8 | microseconds since 1970; never less than in the record before |
//! | 32 | | of a transaction: account (4), kind (1), bytes of description (1), zero (2), |
//! | 40 | | cents (8), |
//! | 48 | | description, filled up with zeros to a multiple of 8 |
//!
//! So a transaction with a usual description has 64 bytes. The seed is the CRC-32C of directory id
//! and shard: no record is valid in another journal, and nobody who may choose a description can
//! put a valid record into it.
//!
//! `unsynced` is what tells a torn tail from damage: a valid record vouches that everything up to
//! `sequence - unsynced` was durable, so if something there cannot be read, it was damaged since.

use super::Identity;
use crate::bank::{Description, Kind};
use crate::limits::{DESCRIPTION_BYTES_MAX, RECORD_BYTES_MAX};

/// The version that this code writes, and the only one that it reads.
pub const VERSION: u32 = 1;
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

const CRC: usize = 0;
const CHAIN: usize = CRC + 4;
const LENGTH: usize = CHAIN + 4;
const KIND: usize = LENGTH + 2;
const FLAGS: usize = KIND + 1;
const UNSYNCED: usize = FLAGS + 1;
const SEQUENCE: usize = UNSYNCED + 4;
const TIME: usize = SEQUENCE + 8;
/// A record without payload.
pub const RECORD_BYTES_MIN: usize = TIME + 8;
const ACCOUNT: usize = RECORD_BYTES_MIN;
const DIRECTION: usize = ACCOUNT + 4;
const DESCRIPTION_LENGTH: usize = DIRECTION + 1;
const ZERO: usize = DESCRIPTION_LENGTH + 1;
const AMOUNT: usize = ZERO + 2;
const DESCRIPTION: usize = AMOUNT + 8;
const TRANSACTION_BYTES_MAX: usize = DESCRIPTION + DESCRIPTION_BYTES_MAX;

const KIND_TRANSACTION: u8 = 1;
const KIND_RESET: u8 = 2;

const _: () = {
    assert!(HEADER_BYTES == 64 && HEADER_BYTES % 8 == 0);
    assert!(RECORD_BYTES_MIN == 32 && DESCRIPTION == 48);
    assert!(TRANSACTION_BYTES_MAX % 8 == 0 && TRANSACTION_BYTES_MAX <= RECORD_BYTES_MAX);
    assert!(RECORD_BYTES_MAX % 8 == 0 && RECORD_BYTES_MAX <= u16::MAX as usize);
};

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(bytes[offset..offset + 2].try_into().expect("2 bytes"))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("8 bytes"))
}

// ---- The header of a segment -------------------------------------------------

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
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

impl Header {
    /// As it is written.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..HEADER_VERSION].copy_from_slice(MAGIC);
        bytes[HEADER_VERSION..HEADER_SHARD].copy_from_slice(&VERSION.to_le_bytes());
        bytes[HEADER_SHARD..HEADER_DIRECTORY].copy_from_slice(&self.shard.to_le_bytes());
        bytes[HEADER_DIRECTORY..HEADER_FIRST].copy_from_slice(&self.directory.to_le_bytes());
        bytes[HEADER_FIRST..HEADER_CHAIN].copy_from_slice(&self.first.to_le_bytes());
        bytes[HEADER_CHAIN..HEADER_ZERO].copy_from_slice(&self.chain.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEADER_CRC]);
        bytes[HEADER_CRC..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of a segment.
    pub fn read(segment: &[u8]) -> Result<Header, HeaderError> {
        let Some(bytes) = segment.get(..HEADER_BYTES) else {
            return Err(HeaderError::Damaged("the header is cut short"));
        };
        if &bytes[..HEADER_VERSION] != MAGIC {
            return Err(HeaderError::Damaged("it does not begin with GALOJRNL"));
        }
        if crc32c::crc32c(&bytes[..HEADER_CRC]) != u32_at(bytes, HEADER_CRC) {
            return Err(HeaderError::Damaged("the header's checksum is wrong"));
        }
        match u32_at(bytes, HEADER_VERSION) {
            VERSION => {}
            version => return Err(HeaderError::Version(version)),
        }
        let directory = &bytes[HEADER_DIRECTORY..HEADER_FIRST];
        Ok(Header {
            directory: u128::from_le_bytes(directory.try_into().expect("16 bytes")),
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

// ---- Writing records ---------------------------------------------------------

/// What every record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Checksum of the record before.
    pub chain: u32,
    /// Records not known to be durable, this one included; `u32::MAX`: that many or more.
    pub unsynced: u32,
    /// The record's number.
    pub sequence: u64,
    /// Microseconds since 1970.
    pub time_us: u64,
}

impl Stamp {
    /// The last record that was durable when this one was written, as far as it says; 0: it does not.
    pub fn vouches_for(&self) -> u64 {
        match self.unsynced {
            // A count at its limit says "that many or more".
            u32::MAX => 0,
            unsynced => self.sequence.saturating_sub(unsynced.into()),
        }
    }
}

/// A record while it is put together. Aligned, because that is what the checksum is fastest over; of
/// one size, because copying that is faster than copying what is used of it.
#[repr(C, align(8))]
struct Buffer([u8; TRANSACTION_BYTES_MAX]);

fn append(
    into: &mut Vec<u8>,
    seed: u32,
    kind: u8,
    stamp: &Stamp,
    buffer: &mut Buffer,
    bytes: usize,
) -> u32 {
    debug_assert!(bytes % 8 == 0 && (RECORD_BYTES_MIN..=buffer.0.len()).contains(&bytes));
    debug_assert!(stamp.unsynced > 0 && stamp.sequence > 0);
    let record = &mut buffer.0;
    record[CHAIN..LENGTH].copy_from_slice(&stamp.chain.to_le_bytes());
    record[LENGTH..KIND].copy_from_slice(&(bytes as u16).to_le_bytes());
    record[KIND] = kind;
    record[UNSYNCED..SEQUENCE].copy_from_slice(&stamp.unsynced.to_le_bytes());
    record[SEQUENCE..TIME].copy_from_slice(&stamp.sequence.to_le_bytes());
    record[TIME..RECORD_BYTES_MIN].copy_from_slice(&stamp.time_us.to_le_bytes());
    let crc = crc32c::crc32c_append(seed, &record[CHAIN..bytes]);
    record[CRC..CHAIN].copy_from_slice(&crc.to_le_bytes());
    let end = into.len() + bytes;
    into.extend_from_slice(record);
    into.truncate(end);
    crc
}

/// Appends a transaction's record; its checksum. `amount` in cents, positive.
pub fn append_transaction(
    into: &mut Vec<u8>,
    seed: u32,
    stamp: &Stamp,
    account: u32,
    kind: Kind,
    amount: i64,
    description: Description<'_>,
) -> u32 {
    debug_assert!(amount > 0);
    let text = description.as_str().as_bytes();
    let mut buffer = Buffer([0; TRANSACTION_BYTES_MAX]);
    let record = &mut buffer.0;
    record[ACCOUNT..DIRECTION].copy_from_slice(&account.to_le_bytes());
    record[DIRECTION] = kind.to_byte();
    record[DESCRIPTION_LENGTH] = text.len() as u8;
    record[AMOUNT..DESCRIPTION].copy_from_slice(&amount.to_le_bytes());
    record[DESCRIPTION..DESCRIPTION + text.len()].copy_from_slice(text);
    let bytes = (DESCRIPTION + text.len()).next_multiple_of(8);
    append(into, seed, KIND_TRANSACTION, stamp, &mut buffer, bytes)
}

/// Appends the record of a reset of all accounts; its checksum.
pub fn append_reset(into: &mut Vec<u8>, seed: u32, stamp: &Stamp) -> u32 {
    let mut buffer = Buffer([0; TRANSACTION_BYTES_MAX]);
    append(into, seed, KIND_RESET, stamp, &mut buffer, RECORD_BYTES_MIN)
}

// ---- Reading records ---------------------------------------------------------

/// A record whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it begins in its segment.
    pub offset: usize,
    /// How long it is.
    pub bytes: usize,
    /// Its own checksum.
    pub crc: u32,
    /// What every record has.
    pub stamp: Stamp,
    /// What happened.
    pub event: Event<'a>,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Money moved.
    Transaction {
        /// The client.
        account: u32,
        /// Which way.
        kind: Kind,
        /// Cents, positive.
        amount: i64,
        /// As the client put it.
        description: Description<'a>,
    },
    /// All accounts back to the start.
    Reset,
    /// The checksum is right, and yet it is not a record that this code writes: why.
    Unknown(&'static str),
}

/// Where reading ended before the end of the segment, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Of the first byte that is not part of a good record.
    pub offset: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// Why a record was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The segment ends within the record.
    Partial,
    /// Zeros where a record should begin: the file grew, its contents were never written.
    Zeros,
    /// A length that no record has.
    Length,
    /// The checksum is wrong.
    Checksum,
    /// A valid record, but not the one that comes next.
    Chain,
}

impl Reason {
    /// For messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Partial => "the file ends within a record",
            Reason::Zeros => "zeros where a record should begin",
            Reason::Length => "a record of an impossible length",
            Reason::Checksum => "a record's checksum is wrong",
            Reason::Chain => "a record that does not follow the one before it",
        }
    }
}

/// Reads the record at `offset`, whatever its place in the chain.
pub fn record_at(segment: &[u8], offset: usize, seed: u32) -> Result<Record<'_>, Reason> {
    let Some(head) = segment.get(offset..offset + RECORD_BYTES_MIN) else {
        return Err(Reason::Partial);
    };
    let bytes = usize::from(u16_at(head, LENGTH));
    if !(RECORD_BYTES_MIN..=RECORD_BYTES_MAX).contains(&bytes) || bytes % 8 != 0 {
        let zeros = head.iter().all(|byte| *byte == 0);
        return Err(if zeros { Reason::Zeros } else { Reason::Length });
    }
    let Some(record) = segment.get(offset..offset + bytes) else {
        return Err(Reason::Partial);
    };
    let crc = u32_at(record, CRC);
    if crc32c::crc32c_append(seed, &record[CHAIN..]) != crc {
        return Err(Reason::Checksum);
    }
    Ok(Record {
        offset,
        bytes,
        crc,
        stamp: Stamp {
            chain: u32_at(record, CHAIN),
            unsynced: u32_at(record, UNSYNCED),
            sequence: u64_at(record, SEQUENCE),
            time_us: u64_at(record, TIME),
        },
        event: event(record),
    })
}

fn event(record: &[u8]) -> Event<'_> {
    if record[FLAGS] != 0 {
        return Event::Unknown("flags that this version does not know");
    }
    match record[KIND] {
        KIND_TRANSACTION => transaction(record).unwrap_or_else(Event::Unknown),
        KIND_RESET if record.len() == RECORD_BYTES_MIN => Event::Reset,
        KIND_RESET => Event::Unknown("a reset with a payload"),
        _ => Event::Unknown("a kind of record that this version does not know"),
    }
}

fn transaction(record: &[u8]) -> Result<Event<'_>, &'static str> {
    if record.len() < DESCRIPTION {
        return Err("a transaction that is too short");
    }
    let text_bytes = usize::from(record[DESCRIPTION_LENGTH]);
    let (text, padding) = record[DESCRIPTION..]
        .split_at_checked(text_bytes)
        .ok_or("a description longer than its record")?;
    if padding.len() >= 8
        || padding
            .iter()
            .chain(&record[ZERO..AMOUNT])
            .any(|byte| *byte != 0)
    {
        return Err("bytes that should be zero");
    }
    let amount = u64_at(record, AMOUNT) as i64;
    if amount <= 0 {
        return Err("an amount that is not positive");
    }
    Ok(Event::Transaction {
        account: u32_at(record, ACCOUNT),
        kind: Kind::from_byte(record[DIRECTION]).ok_or("neither a credit nor a debit")?,
        amount,
        description: std::str::from_utf8(text)
            .ok()
            .and_then(Description::new)
            .ok_or("a description that is not 1 to 10 characters")?,
    })
}

/// The records of a segment, in order, as long as each one follows the one before.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    segment: &'a [u8],
    seed: u32,
    offset: usize,
    /// Of the next record.
    sequence: u64,
    chain: u32,
    time_us: u64,
    stopped: bool,
}

impl<'a> Reader<'a> {
    /// Reads a segment whose header is known.
    pub fn new(segment: &'a [u8], header: &Header, seed: u32) -> Reader<'a> {
        debug_assert!(segment.len() >= HEADER_BYTES);
        Reader {
            segment,
            seed,
            offset: HEADER_BYTES,
            sequence: header.first,
            chain: header.chain,
            time_us: 0,
            stopped: false,
        }
    }

    /// Bytes read and found good, the header included.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Sequence of the record that comes next.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Checksum of the last good record.
    pub fn crc(&self) -> u32 {
        self.chain
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Record<'a>, Stop>;

    fn next(&mut self) -> Option<Result<Record<'a>, Stop>> {
        if self.stopped || self.offset == self.segment.len() {
            return None;
        }
        let record = record_at(self.segment, self.offset, self.seed).and_then(|record| {
            let stamp = &record.stamp;
            let follows = stamp.sequence == self.sequence
                && stamp.chain == self.chain
                && stamp.time_us >= self.time_us;
            if follows {
                Ok(record)
            } else {
                Err(Reason::Chain)
            }
        });
        Some(match record {
            Ok(record) => {
                self.offset += record.bytes;
                self.sequence += 1;
                self.chain = record.crc;
                self.time_us = record.stamp.time_us;
                Ok(record)
            }
            Err(reason) => {
                self.stopped = true;
                Err(Stop {
                    offset: self.offset,
                    reason,
                })
            }
        })
    }
}

/// Looks through what cannot be read in order, from `start` on, for the valid record that vouches
/// for the most: what it vouches for (a sequence), and the record.
///
/// `first` is the least sequence that a record at `start` could have; no record can be so far on that
/// those between would not have had room.
pub fn vouched(segment: &[u8], start: usize, first: u64, seed: u32) -> Option<(u64, Record<'_>)> {
    let mut best: Option<(u64, Record<'_>)> = None;
    let mut offset = start.next_multiple_of(8);
    while offset + RECORD_BYTES_MIN <= segment.len() {
        let room = ((offset - start) / RECORD_BYTES_MIN) as u64;
        match record_at(segment, offset, seed) {
            Ok(record) if (first..=first.saturating_add(room)).contains(&record.stamp.sequence) => {
                let durable = record.stamp.vouches_for();
                if best.is_none_or(|(most, _)| durable > most) {
                    best = Some((durable, record));
                }
                offset += record.bytes;
            }
            _ => offset += 8,
        }
    }
    best
}

/// Where the record behind the first `records` records begins, in a segment that was read and found
/// good that far.
pub fn offset_behind(segment: &[u8], records: u64) -> usize {
    let mut offset = HEADER_BYTES;
    for _ in 0..records {
        offset += usize::from(u16_at(segment, offset + LENGTH));
    }
    offset
}

/// Walks over whole records written by this code: how many, the last one's sequence, and the chain
/// that they continue.
pub fn measure(batch: &[u8]) -> Batch {
    let mut measured = Batch {
        records: 0,
        first: u64_at(batch, SEQUENCE),
        last: 0,
        chain: u32_at(batch, CHAIN),
    };
    let mut offset = 0;
    while offset < batch.len() {
        measured.last = u64_at(batch, offset + SEQUENCE);
        measured.records += 1;
        offset += usize::from(u16_at(batch, offset + LENGTH));
    }
    assert_eq!(offset, batch.len(), "a batch is whole records");
    assert_eq!(measured.last - measured.first + 1, measured.records);
    measured
}

/// See [`measure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// How many, at least one.
    pub records: u64,
    /// Sequence of the first.
    pub first: u64,
    /// Sequence of the last.
    pub last: u64,
    /// Checksum of the record before the first.
    pub chain: u32,
}
