//! What the owner of a shard is asked to do, whatever the family.

use super::{bank, payments};
use crate::http::Status;
use crate::shard::{Ids, Shard};

/// A command for one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// For an account's.
    Bank(bank::Command<'a>),
    /// For a payment's.
    Payments(payments::Command),
}

impl Command<'_> {
    /// The shard, of so many, that it is for.
    pub fn shard(&self, shards: usize) -> usize {
        match self {
            Command::Bank(command) => command.client() as usize % shards,
            Command::Payments(command) => command.id().shard(shards),
        }
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Of the reply.
    pub status: Status,
    /// Nothing was done: the reply is the first one again.
    pub repeated: bool,
}

impl Executed {
    /// Not a repeat.
    pub const fn first(status: Status) -> Executed {
        Executed {
            status,
            repeated: false,
        }
    }
}

/// Carries a command out on its shard, unless it is known that it was carried out before: then the reply
/// is the first one again. `time_us`: the shard's time ([`Shard::tell_time`]). Appends the reply's body.
pub fn execute(
    shard: &mut Shard,
    command: &Command<'_>,
    ids: &Ids,
    time_us: u64,
    body: &mut Vec<u8>,
) -> Executed {
    match command {
        Command::Bank(command) => bank::execute(shard, command, ids, time_us, body),
        Command::Payments(command) => payments::execute(shard, command, time_us, body),
    }
}
