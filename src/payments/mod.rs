//! The payments gateway: what a payment is, who carries it out, and what the totals are. The rules, and
//! nothing else: no bytes of HTTP, no files, no sockets.

pub mod amount;
pub mod answers;
pub mod backoff;
pub mod choice;
pub mod circuit;
mod id;
mod summary;

pub use id::PaymentId;
pub use summary::{Summary, Totals, Window};

/// Who carries payments out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Processor {
    /// The cheap one.
    Default = 0,
    /// The other one.
    Fallback = 1,
}

impl Processor {
    /// Both, by their numbers.
    pub const ALL: [Processor; 2] = [Processor::Default, Processor::Fallback];

    /// In replies, logs and metrics.
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

    /// The other one.
    pub const fn other(self) -> Processor {
        match self {
            Processor::Default => Processor::Fallback,
            Processor::Fallback => Processor::Default,
        }
    }

    /// By its number.
    pub const fn from_number(number: u8) -> Option<Processor> {
        match number {
            0 => Some(Processor::Default),
            1 => Some(Processor::Fallback),
            _ => None,
        }
    }
}
