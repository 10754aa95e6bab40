//! Records of the log and of leases. Little-endian.
//!
//! | field | bytes | |
//! |---|---|---|
//! | magic | 4 | `GREC` |
//! | version | 2 | 1 |
//! | kind | 2 | see below |
//! | cluster | 16 | the data directory's id |
//! | subject | 4 | number of the shard, or of the member |
//! | member | 4 | who wrote it |
//! | incarnation | 8 | of the writer: the number of its first `held` record; 0 in that one |
//! | epoch | 8 | of the shard's owner; in records of leases what tells apart processes that take themselves for the same member |
//! | number | 8 | of the batch in its epoch, from 1; of the renewal in its incarnation, from 0 |
//! | previous | 8 | the record before it in its subject, as its writer knows it |
//! | content | to 4 before the end | of a `batch`: its bytes; of a `handover`: the member, 4 bytes; of a `digest`: the journal's last record, 8 bytes, the first account, 8, and the checksum, 4 |
//! | crc | 4 | CRC-32C of all before |
//!
//! | kind | in | what it says |
//! |---|---|---|
//! | 1 `epoch` | log | from here on the writer owns the shard |
//! | 2 `batch` | log | what the owner journalled |
//! | 3 `handover` | log | the owner gives the shard away, and will answer nothing for it |
//! | 4 `held` | lease | the writer's lease is renewed |
//! | 5 `ended` | lease | the writer has given its lease up |
//! | 6 `revoked` | lease | the writer has found that the member's lease has run out |
//! | 7 `mark` | log | nothing: a record of a shard that may have had none for long |
//! | 8 `digest` | log | what the owner's copy was like behind the record before, for the other copies to compare |

use crate::codec::{is_sealed, put, seal, u16_at, Fields};
use crate::machine::engine::{Sequence, Subject};

const MAGIC: [u8; 4] = *b"GREC";
const VERSION: u16 = 1;
const CRC_BYTES: usize = 4;
/// Bytes of a record without content.
pub const RECORD_BYTES_MIN: usize = 4 + 2 + 2 + 16 + 4 + 4 + 8 + 8 + 8 + 8 + CRC_BYTES;

const EPOCH: u16 = 1;
const BATCH: u16 = 2;
const HANDOVER: u16 = 3;
const HELD: u16 = 4;
const ENDED: u16 = 5;
const REVOKED: u16 = 6;
const MARK: u16 = 7;
const DIGEST: u16 = 8;

/// Who wrote a record: a member, from one start to the next, or to the loss of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Writer {
    /// Its number.
    pub member: u32,
    /// The number of its first `held` record: a later one is greater.
    pub incarnation: u64,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From here on the writer owns the shard.
    Epoch,
    /// What the owner journalled.
    Batch(Vec<u8>),
    /// The owner gives the shard to this member, or to whoever takes it.
    Handover(u32),
    /// Nothing: a record of a shard that may have had none for long.
    Mark,
    /// What the owner's copy was like behind the record before.
    Digest(Digest),
    /// The writer's lease is renewed.
    Held,
    /// The writer has given its lease up.
    Ended,
    /// The writer has found that the member's lease has run out.
    Revoked,
}

/// What a part of a copy of a shard is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The last record of its journal.
    pub journal: u64,
    /// The first of the accounts.
    pub from: u64,
    /// Of them, and of what else is compared.
    pub checksum: u32,
}

const DIGEST_BYTES: usize = 8 + 8 + 4;

impl Digest {
    fn to_bytes(self) -> [u8; DIGEST_BYTES] {
        let mut bytes = Vec::with_capacity(DIGEST_BYTES);
        put(&mut bytes, self.journal);
        put(&mut bytes, self.from);
        put(&mut bytes, self.checksum);
        bytes.try_into().expect("as many as there are fields")
    }

    fn read(content: &[u8]) -> Option<Digest> {
        let mut fields = Fields::new(content);
        let digest = Digest {
            journal: fields.u64()?,
            from: fields.u64()?,
            checksum: fields.u32()?,
        };
        fields.is_empty().then_some(digest)
    }
}

/// What a record of the log has for the copies of its shard.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A batch, to be applied.
    Batch(&'a [u8]),
    /// A digest, to be compared.
    Digest(Digest),
    /// Nothing.
    Nothing,
}

/// The content of a record of the log that was [read](Record::read) before.
pub fn content(record: &[u8]) -> Content<'_> {
    let kind = u16_at(record, MAGIC.len() + size_of_val(&VERSION));
    let content = &record[RECORD_BYTES_MIN - CRC_BYTES..record.len() - CRC_BYTES];
    match kind {
        BATCH => Content::Batch(content),
        DIGEST => Digest::read(content).map_or(Content::Nothing, Content::Digest),
        _ => Content::Nothing,
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Id of the data directory.
    pub cluster: u128,
    /// Where it belongs.
    pub subject: Subject,
    /// Who wrote it.
    pub writer: Writer,
    /// Of the shard's owner; in records of leases what tells apart two processes that take themselves for one member.
    pub epoch: u64,
    /// Of the batch in its epoch, from 1; of the renewal in its incarnation, from 0.
    pub number: u64,
    /// The record before it in its subject, as its writer knew it.
    pub previous: Sequence,
    /// What it says.
    pub kind: Kind,
}

impl Record {
    /// As in the table at the top.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, content): (u16, &[u8]) = match &self.kind {
            Kind::Epoch => (EPOCH, &[]),
            Kind::Batch(records) => (BATCH, records),
            Kind::Handover(to) => (HANDOVER, &to.to_le_bytes()),
            Kind::Mark => (MARK, &[]),
            Kind::Digest(digest) => (DIGEST, &digest.to_bytes()),
            Kind::Held => (HELD, &[]),
            Kind::Ended => (ENDED, &[]),
            Kind::Revoked => (REVOKED, &[]),
        };
        let mut bytes = Vec::with_capacity(RECORD_BYTES_MIN + content.len());
        bytes.extend_from_slice(&MAGIC);
        put(&mut bytes, VERSION);
        put(&mut bytes, kind);
        put(&mut bytes, self.cluster);
        put(&mut bytes, self.subject.number());
        put(&mut bytes, self.writer.member);
        put(&mut bytes, self.writer.incarnation);
        put(&mut bytes, self.epoch);
        put(&mut bytes, self.number);
        put(&mut bytes, self.previous);
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(&[0; CRC_BYTES]);
        seal(&mut bytes);
        bytes
    }

    /// Reads one that stands in `subject`; `None`: this version does not write such bytes, or not there.
    pub fn read(subject: Subject, bytes: &[u8]) -> Option<Record> {
        if bytes.len() < RECORD_BYTES_MIN || !is_sealed(bytes) {
            return None;
        }
        let mut fields = Fields::new(&bytes[..bytes.len() - CRC_BYTES]);
        if fields.array()? != MAGIC || fields.u16()? != VERSION {
            return None;
        }
        let kind = fields.u16()?;
        let cluster = fields.u128()?;
        let number = fields.u32()?;
        let writer = Writer {
            member: fields.u32()?,
            incarnation: fields.u64()?,
        };
        let record = Record {
            cluster,
            subject,
            writer,
            epoch: fields.u64()?,
            number: fields.u64()?,
            previous: fields.u64()?,
            kind: match (subject, kind) {
                (Subject::Log(_), EPOCH) => Kind::Epoch,
                (Subject::Log(_), BATCH) => Kind::Batch(fields.rest().to_vec()),
                (Subject::Log(_), HANDOVER) => Kind::Handover(fields.u32()?),
                (Subject::Log(_), MARK) => Kind::Mark,
                (Subject::Log(_), DIGEST) => Kind::Digest(Digest::read(fields.rest())?),
                (Subject::Lease(_), HELD) => Kind::Held,
                (Subject::Lease(_), ENDED) => Kind::Ended,
                (Subject::Lease(_), REVOKED) => Kind::Revoked,
                _ => return None,
            },
        };
        (fields.is_empty() && number == subject.number()).then_some(record)
    }

    /// Whether a subject's last record is this one.
    pub(super) fn is_last(&self, last: Option<&(Sequence, Vec<u8>)>) -> bool {
        let last = last.and_then(|(_, bytes)| Record::read(self.subject, bytes));
        last.is_some_and(|it| it.is_same(self))
    }

    /// Whether two records are the same: of one writer, and with the same place in what it wrote.
    pub fn is_same(&self, other: &Record) -> bool {
        let place = |it: &Record| (it.subject, it.writer, it.epoch, it.number);
        place(self) == place(other)
            && std::mem::discriminant(&self.kind) == std::mem::discriminant(&other.kind)
    }
}
