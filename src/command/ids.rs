//! Ids by which a repeated command is recognised.

use siphasher::sip128::SipHasher24;

/// The hash that stands for an `Idempotency-Key`: SipHash-2-4 of its text, 128 bits, keyed with the directory
/// id. Nobody outside knows that, so nobody can make two texts meet.
pub fn key(directory: u128, text: &[u8]) -> u128 {
    SipHasher24::new_with_key(&directory.to_le_bytes())
        .hash(text)
        .as_u128()
}

/// A forwarded command. Its sender repeats it until it has an answer, and has a bounded number of
/// them open for a shard ([`crate::limits::SHARD_COMMANDS_MAX`]), with consecutive counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardId {
    /// The member that sends the command, in its present incarnation.
    pub origin: Origin,
    /// Counts the commands that the sender has sent to this shard, from 1; at most [`COUNTER_MAX`].
    pub counter: u64,
}

/// The largest [`ForwardId::counter`]: 56 bits, more than a sender can ever count.
pub const COUNTER_MAX: u64 = (1 << 56) - 1;

const EPOCH_BITS: u32 = 48;
/// The largest [`epoch`](Origin::epoch) there is.
pub const EPOCH_MAX: u64 = (1 << EPOCH_BITS) - 1;

/// One incarnation of one member of the cluster: one run of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The member's number ([`Members`](crate::members::Members)).
    pub member: u16,
    /// The incarnation: random, drawn when the process starts; at most [`EPOCH_MAX`].
    pub epoch: u64,
}

impl Origin {
    /// Both in one number, as it is stored: the member above the epoch.
    pub fn to_bits(self) -> u64 {
        debug_assert!(self.epoch <= EPOCH_MAX);
        u64::from(self.member) << EPOCH_BITS | self.epoch
    }

    /// The inverse of [`to_bits`](Self::to_bits), defined for every number.
    pub fn from_bits(bits: u64) -> Origin {
        Origin {
            member: (bits >> EPOCH_BITS) as u16,
            epoch: bits & EPOCH_MAX,
        }
    }
}
