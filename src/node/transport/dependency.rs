//! What a reply rests on, which the commit gate has it wait for.

use super::encoder::{Caller, ReplyTarget};
use crate::command::Command;
use crate::payments::PaymentId;

/// What a reply rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Dependency {
    /// Nothing that any shard holds: it waits for nothing.
    Nothing,
    /// What the shard's journal has, and cannot be taken back.
    Written {
        shard: usize,
    },
    /// The same, of all shards.
    AllWritten,
    Read {
        shard: usize,
        of: Read,
    },
    Write {
        shard: usize,
    },
}

/// What is read, to read it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Read {
    Statement(u32),
    Payment(PaymentId),
}

impl Read {
    pub(in crate::node) fn command(self) -> Command {
        match self {
            Read::Statement(client) => Command::Statement { client },
            Read::Payment(id) => Command::Show { id },
        }
    }
}

impl Dependency {
    /// Of a reply that tells nothing: to a member it comes behind what it is told of that shard before.
    pub(in crate::node) fn of_nothing(caller: &Caller) -> Dependency {
        match caller.reply_to {
            ReplyTarget::Client { .. } => Dependency::Nothing,
            ReplyTarget::Member { shard, .. } => Dependency::Written {
                shard: shard as usize,
            },
        }
    }

    /// The shard that it is of, if it is of one.
    pub(super) fn shard(self) -> Option<usize> {
        match self {
            Dependency::Nothing | Dependency::AllWritten => None,
            Dependency::Written { shard }
            | Dependency::Read { shard, .. }
            | Dependency::Write { shard } => Some(shard),
        }
    }

    /// Whether it is, or may be, of that shard.
    pub(in crate::node) fn is_of(self, shard: usize) -> bool {
        self == Dependency::AllWritten || self.shard() == Some(shard)
    }

    /// Whether it is what that shard did in this tick.
    pub(in crate::node) fn is_new_of(self, shard: usize) -> bool {
        let is_new = matches!(self, Dependency::Read { .. } | Dependency::Write { .. });
        is_new && self.shard() == Some(shard)
    }
}
