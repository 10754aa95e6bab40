//! Places in a shard's log.

use super::record::{Kind, Record, Writer};
use crate::machine::engine::Sequence;

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

/// What a record is at a position.
pub(super) enum Fit {
    /// Of the owner and the next in its epoch, or of the next epoch.
    Next,
    /// There already, or of an epoch that another had begun.
    Repeated,
    NotTheOwners,
}
