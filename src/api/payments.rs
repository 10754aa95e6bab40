//! The payments' endpoints: bodies in, commands; outcomes, bodies out.

use super::{Call, Executed, Problem};
use crate::http::Request;
use crate::payments::{PaymentId, Summary, Window};
use crate::shard::Shard;

/// What the owner of a shard is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Accept a payment.
    Pay {
        /// By which it is known.
        id: PaymentId,
        /// Positive.
        cents: u64,
    },
    /// Tell where one stands.
    Show {
        /// By which it is known.
        id: PaymentId,
    },
}

impl Command {
    /// Which payment it is about.
    pub fn id(&self) -> PaymentId {
        match *self {
            Command::Pay { id, .. } | Command::Show { id } => id,
        }
    }
}

/// There are no processors.
pub const NOT_CONFIGURED: Problem = Problem::general(
    "not configured",
    "payments need --processor-default and --processor-fallback, or DEFAULT_PAYMENT_PROCESSOR_URL and FALLBACK_PAYMENT_PROCESSOR_URL",
);
/// As many payments wait as may.
pub const QUEUE_FULL: Problem = Problem::general(
    "queue full",
    "as many payments wait as may; nothing was accepted; try again",
);
/// What `/purge-payments` answers unless `--allow-reset` was given.
pub const PURGE_FORBIDDEN: Problem = Problem::general(
    "forbidden",
    "this would forget all payments; run galo with --allow-reset to permit it",
);

/// A journal could not take a purge; those of other shards may have.
pub const PURGE_INCOMPLETE: Problem = Problem::general(
    "storage full",
    "the disk has no room for the journal; some payments may be forgotten; try again",
);
/// As many questions that take time are in the works as may.
pub const TOO_MANY_INQUIRIES: Problem = Problem::general(
    "too many requests",
    "as many summaries and payments without a correlationId are in the works as may; nothing was done; try again",
);
/// A summary lacks the part of a shard.
pub const NO_SUMMARY: Problem = Problem::general(
    "unavailable",
    "the owners of all payments could not be asked in time; try again",
);
/// A payment was forgotten while it was carried out.
pub const FORGOTTEN: Problem = Problem::general(
    "forgotten",
    "all payments were forgotten meanwhile, this one too, whatever becomes of it",
);

/// Reads `POST /payments`.
pub(super) fn pay<'a>(request: &Request<'a>) -> Call<'a> {
    let _ = request;
    unimplemented!()
}

/// Reads `GET /payments/{id}`.
pub(super) fn show<'a>(id: &[u8]) -> Call<'a> {
    let _ = id;
    unimplemented!()
}

/// Reads `GET /payments-summary`.
pub(super) fn summary<'a>(request: &Request<'a>) -> Call<'a> {
    let _ = request;
    unimplemented!()
}

/// Carries a command out on the shard that holds its payment. Appends the reply's body.
pub fn execute(
    shard: &mut Shard,
    command: &Command,
    realtime_us: u64,
    body: &mut Vec<u8>,
) -> Executed {
    let _ = (shard, command, realtime_us, body);
    unimplemented!()
}

/// Appends the body of `GET /payments-summary`: both forms in one.
pub fn write_summary(body: &mut Vec<u8>, summary: &Summary) {
    let _ = (body, summary);
    unimplemented!()
}

/// Appends the reply to a payment that was asked for without a `correlationId`: 200 when it is
/// processed, 202 while it is pending.
pub fn write_outcome(body: &mut Vec<u8>, payment: &crate::shard::Payment) -> crate::http::Status {
    let _ = (body, payment);
    unimplemented!()
}

/// A summary of everything has no bounds.
pub const EVERYTHING: Window = Window::ALL;
