//! The link between two members: commands one way, replies the other, over a byte stream.
//!
//! A frame, little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of what follows |
//! | 1 | kind |
//! | … | content |
//!
//! | kind | content |
//! |---|---|
//! | 1 hello | magic `GALOLINK`, version u32, directory u128, shards u32, cores u32, checksum of the nodes' names u32, member u32, epoch u64 (48 bits): the first frame, either way |
//! | 2 owns | shard u32: it is served by who says so |
//! | 3 released | shard u32, member u32: it is no longer, and that member is to take it |
//! | 4 who | shard u32: say it once more if it is yours |
//! | 5 leaving | nothing: give me no shard any more |
//! | 6 command | counter u64 (1 to 2^56 - 1, as all of them), 0 or 1 and then a key u128, the command ([`crate::command::wire`]) |
//! | 8 reset | counter u64, shard u32, scope byte (0 everything, 1 payments) |
//! | 9 reply | shard u32, counter u64, the outcome ([`crate::command::wire`]) |
//! | 10 not owner | shard u32, counter u64: nothing was done |
//! | 11 goodbye | nothing: no command will follow |
//! | 12 again | shard u32: from here on commands for it come from the oldest without an outcome, in order |
//! | 13 begun | shard u32: what came before an `again` is answered, and what follows is to what came behind it |
//! | 16 query | number u64, shard u32, 0 (summary) and from u64, to u64 (microseconds since 1970, both inclusive), or 1 (outcome) and a payment's id u128 |
//! | 17 answer | number u64, 0 (summary) and for each processor count u64, cents u128; or 1 (outcome) and 0 (no such payment), or 1 and the payment; or 2 (refused: ask again), or 3 (unreadable: what is stored is damaged) |
//! | 18 health | processor byte, failing byte, response_min_ms u32: what it said of itself just now |
//! | 19 taking | nothing: a `leaving` is over |
//!
//! Payments are as in outcomes.
//!
//! Hello's layout stays in every version up to the version itself. Commands for one shard are
//! carried out in their order, and answered in it. Queries are not part of that order: their
//! answers take time, for which no command waits.

mod read;
#[cfg(test)]
mod tests;
mod write;

use crate::command::{Command, Outcome, Scope};
use crate::payments::{Payment, PaymentId, Processor, Summary, Window};
pub use read::read;
pub use write::{write, write_reply};

/// The version of the protocol that this code speaks, and the only one. It is also one of what nodes expect of each
/// other's journals: since 3 a reset has its id there, and steps of the clock are told; since 4 replies are typed; 5 has one outcome
/// more.
pub const VERSION: u32 = 5;
const MAGIC: &[u8; 8] = b"GALOLINK";

const HELLO: u8 = 1;
const OWNS: u8 = 2;
const RELEASED: u8 = 3;
const WHO: u8 = 4;
const LEAVING: u8 = 5;
const COMMAND: u8 = 6;
const RESET: u8 = 8;
const REPLY: u8 = 9;
const NOT_OWNER: u8 = 10;
const GOODBYE: u8 = 11;
const AGAIN: u8 = 12;
const BEGUN: u8 = 13;
const QUERY: u8 = 16;
const ANSWER: u8 = 17;
const HEALTH: u8 = 18;
const TAKING: u8 = 19;

/// What a query, and its answer, is about; and other answers.
const OF_SUMMARY: u8 = 0;
const OF_OUTCOME: u8 = 1;
const REFUSED: u8 = 2;
const UNREADABLE: u8 = 3;

const LENGTH_BYTES: usize = 4;

/// Who is at the other end, and of which cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Id of the data directory.
    pub directory: u128,
    /// Of the data directory.
    pub shards: u32,
    /// Cores of each node, the same for all nodes.
    pub cores: u32,
    /// CRC-32C of the nodes' names, with commas between them.
    pub nodes: u32,
    /// The sender's number in the cluster ([`crate::members::Members`]).
    pub member: u32,
    /// Tells this run of the sender from its others; at most 48 bits.
    pub epoch: u64,
}

/// The content of one frame; the table of this module says how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The first frame of a link, either way.
    Hello(Hello),
    /// A hello in another version of the protocol.
    OtherVersion(u32),
    /// The sender serves this shard.
    Owns(u32),
    /// The sender serves it no longer.
    Released {
        /// The shard's number.
        shard: u32,
        /// The number of the member that is to take it.
        to: u32,
    },
    /// Does the receiver serve it?
    Who(u32),
    /// The sender stops, or its copies are behind, and wants no shard.
    Leaving,
    /// It wants shards.
    Taking,
    /// A command for a shard that the receiver serves.
    Command {
        /// Counts the sender's commands for the shard.
        counter: u64,
        /// Made of the client's `Idempotency-Key`, if there is one.
        key: Option<u128>,
        /// The command itself: its shard follows from it.
        command: Command,
    },
    /// A shard is to forget.
    Reset {
        /// Counts the sender's commands for the shard.
        counter: u64,
        /// The shard's number.
        shard: u32,
        /// What it is to forget.
        scope: Scope,
    },
    /// How a command went.
    Reply {
        /// The shard of the command that it is for.
        shard: u32,
        /// The counter that the command came with.
        counter: u64,
        /// What came of it.
        outcome: Outcome<'a>,
    },
    /// A command came to the wrong member; nothing was done.
    NotOwner {
        /// The shard of the command that it is for.
        shard: u32,
        /// The counter that the command came with.
        counter: u64,
    },
    /// No command will follow this.
    Goodbye,
    /// What was sent before this for the shard, and not carried out, comes once more behind it.
    Again(u32),
    /// The answer to that, behind those to what was sent before it.
    Begun(u32),
    /// Something that takes time to find out.
    Query {
        /// The sender's: comes back with the answer.
        number: u64,
        /// The shard that the query is about.
        shard: u32,
        /// What is to be found out.
        query: Query,
    },
    /// What was found out.
    Answer {
        /// The number that the query came with.
        number: u64,
        /// What was found out, or why nothing was.
        answer: QueryAnswer,
    },
    /// What a processor said of itself just now.
    Health {
        /// The processor that was asked.
        processor: Processor,
        /// Whether it says that it fails payments.
        failing: bool,
        /// How long it says that a payment takes at least. Milliseconds.
        response_min_ms: u32,
    },
}

impl Frame<'_> {
    /// The shard that it names by number, which there may not be.
    pub(super) fn shard(&self) -> Option<u32> {
        match self {
            Frame::Owns(shard)
            | Frame::Released { shard, .. }
            | Frame::Who(shard)
            | Frame::Reset { shard, .. }
            | Frame::Reply { shard, .. }
            | Frame::NotOwner { shard, .. }
            | Frame::Again(shard)
            | Frame::Begun(shard)
            | Frame::Query { shard, .. } => Some(*shard),
            Frame::Hello(_)
            | Frame::OtherVersion(_)
            | Frame::Leaving
            | Frame::Taking
            | Frame::Command { .. }
            | Frame::Goodbye
            | Frame::Answer { .. }
            | Frame::Health { .. } => None,
        }
    }
}

/// What the owner of a shard is asked, whose answer takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// What processors have carried out of the shard's payments.
    Summary(Window),
    /// What becomes of a payment: answered when it is settled.
    Outcome(PaymentId),
}

/// The answer to a [`Query`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryAnswer {
    /// Sums over the payments of the shard.
    Summary(Summary),
    /// The payment, settled; `None`: there is none.
    Outcome(Option<Payment>),
    /// What is stored cannot be read.
    Unreadable,
    /// Who was asked does not serve the shard (any more), or is asked too much: ask again.
    Refused,
}

/// The bytes are no frame: the peer speaks something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFrame;
