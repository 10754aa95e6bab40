//! The rules of the payments gateway: payments and their states, the choice of a processor, circuit breakers, and
//! totals. No bytes of HTTP, no files, no sockets.

pub mod amount;
pub(crate) mod answers;
pub(crate) mod backoff;
pub(crate) mod choice;
pub(crate) mod circuit;
mod id;
mod summary;

pub use id::PaymentId;
pub use summary::{Summary, Totals, Window};

/// One payment, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The id that the client chose, or the node.
    pub id: PaymentId,
    /// Cents of the amount, positive.
    pub cents: u64,
    /// When it was accepted; microseconds since 1970.
    pub accepted_us: u64,
    /// How often it was sent to a processor, as far as this process and the journal know.
    pub attempts: u16,
    /// Free, bound to a processor, or processed.
    pub state: PaymentState,
}

/// Where a payment stands; times in microseconds since 1970, multiples of 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// No processor has it, nor may get it without our doing: any may be asked.
    Free,
    /// One processor has, or may have it, and no other may be asked.
    Bound {
        /// The processor it is bound to.
        to: Processor,
        /// The `requestedAt` that it was sent with, microseconds since 1970.
        requested_us: u64,
        /// An attempt of which no outcome is known is over; or this process does not know of any.
        in_doubt: bool,
    },
    /// A processor has confirmed it: settled.
    Processed {
        /// The processor that has confirmed it.
        by: Processor,
        /// The `requestedAt` that the processor has stored, microseconds since 1970.
        requested_us: u64,
    },
}

/// A payment processor, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Processor {
    /// The processor with the lower fee.
    Default = 0,
    /// The processor with the higher fee.
    Fallback = 1,
}

impl Processor {
    /// Both processors, in the order of their numbers.
    pub const ALL: [Processor; 2] = [Processor::Default, Processor::Fallback];

    /// The name in replies, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Processor::Default => "default",
            Processor::Fallback => "fallback",
        }
    }

    /// What it keeps of a payment, in hundredths of a percent. Fixed by the contest's rules.
    pub const fn fee_basis_points(self) -> u32 {
        match self {
            Processor::Default => 500,
            Processor::Fallback => 1500,
        }
    }

    /// The processor that this one is not.
    pub const fn other(self) -> Processor {
        match self {
            Processor::Default => Processor::Fallback,
            Processor::Fallback => Processor::Default,
        }
    }

    /// The processor of a number, 0 or 1.
    pub const fn from_number(number: u8) -> Option<Processor> {
        match number {
            0 => Some(Processor::Default),
            1 => Some(Processor::Fallback),
            _ => None,
        }
    }
}
