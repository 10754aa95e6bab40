//! Places in a shard's log.

use super::record::{Kind, Record, Writer};
use crate::codec::{put, Fields};
use crate::machine::engine::Sequence;

/// Bytes of a place.
pub const PLACE_BYTES: usize = 8 + 8 + 8 + 4 + 4 + 8 + 8;

const NOBODY: u32 = 0;
const MEMBER: u32 = 1;
const RELEASED: u32 = 2;

/// Who owns a shard, by its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// Its log is empty.
    #[default]
    Nobody,
    /// The writer of its last epoch record.
    Member(Writer),
    /// The last owner has given it to this member.
    Released(u32),
}

/// A place in a shard's log: behind one of its records. What a copy has to remember.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The record's number in the log's stream; 0: before the first.
    pub sequence: Sequence,
    /// Of its owner.
    pub epoch: u64,
    /// Of the record in the epoch.
    pub number: u64,
    /// Who owns the shard by then.
    pub owner: Owner,
}

impl Position {
    /// Behind a record.
    pub fn behind(sequence: Sequence, record: &Record) -> Position {
        Position {
            sequence,
            epoch: record.epoch,
            number: record.number,
            owner: match record.kind {
                Kind::Handover(to) => Owner::Released(to),
                _ => Owner::Member(record.writer),
            },
        }
    }

    /// What a record is here. An epoch has one writer, and numbers its records.
    pub(super) fn fits(&self, record: &Record) -> Fit {
        let place = (record.epoch, record.number);
        let next = match record.kind {
            Kind::Epoch => self.epoch.checked_add(1) == Some(record.epoch) && record.number == 0,
            _ => {
                self.owner == Owner::Member(record.writer) && place == (self.epoch, self.number + 1)
            }
        };
        match next {
            true => Fit::Next,
            false if record.epoch == self.epoch && record.number <= self.number => Fit::Repeated,
            false => Fit::NotTheOwners,
        }
    }
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Behind its last record.
    pub position: Position,
    /// It has all of its shard up to this record of the log's stream, or a later one.
    pub followed: Sequence,
}

impl From<Position> for Place {
    fn from(position: Position) -> Place {
        let followed = position.sequence;
        Place { position, followed }
    }
}

impl Place {
    /// The position's sequence, epoch and number, 8 bytes each; the owner: what it is (4), the member (4), its incarnation
    /// (8); how far it has followed (8). Little-endian.
    pub fn to_bytes(&self) -> [u8; PLACE_BYTES] {
        let Position {
            sequence,
            epoch,
            number,
            owner,
        } = self.position;
        let (owner, member, incarnation) = match owner {
            Owner::Nobody => (NOBODY, 0, 0),
            Owner::Member(writer) => (MEMBER, writer.member, writer.incarnation),
            Owner::Released(to) => (RELEASED, to, 0),
        };
        let mut bytes = Vec::with_capacity(PLACE_BYTES);
        put(&mut bytes, sequence);
        put(&mut bytes, epoch);
        put(&mut bytes, number);
        put(&mut bytes, owner);
        put(&mut bytes, member);
        put(&mut bytes, incarnation);
        put(&mut bytes, self.followed);
        bytes.try_into().expect("as many as there are fields")
    }

    /// `None`: this version does not write such bytes.
    pub fn read(bytes: &[u8; PLACE_BYTES]) -> Option<Place> {
        let mut fields = Fields::new(bytes);
        let (sequence, epoch, number) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (owner, member, incarnation) = (fields.u32()?, fields.u32()?, fields.u64()?);
        let owner = match owner {
            NOBODY => Owner::Nobody,
            MEMBER => Owner::Member(Writer {
                member,
                incarnation,
            }),
            RELEASED => Owner::Released(member),
            _ => return None,
        };
        let position = Position {
            sequence,
            epoch,
            number,
            owner,
        };
        let followed = fields.u64()?;
        Some(Place { position, followed })
    }
}

/// What a record is at a position.
pub(super) enum Fit {
    /// Of the owner and the next in its epoch, or of the next epoch.
    Next,
    /// There already, or of an epoch that another had begun.
    Repeated,
    NotTheOwners,
}
