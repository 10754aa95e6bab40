//! Commands and outcomes as bytes of a link; whatever this version does not write is refused.
//!
//! A command:
//!
//! | kind | content |
//! |---|---|
//! | 1 transact | client u32, kind byte (`c`, `d`), amount i64, description (the rest, UTF-8) |
//! | 2 statement | client u32 |
//! | 3 pay | payment's id u128, cents u64 |
//! | 4 show | payment's id u128 |
//!
//! An outcome:
//!
//! | kind | content |
//! |---|---|
//! | 1 posted | limit i64, balance i64 |
//! | 2 refused | why, as journals have it |
//! | 5 statement | limit i64, balance i64, moment_us u64, and for each transaction, newest first: amount i64, time_us u64, kind byte, length of the description byte, description |
//! | 11 payment | a payment |
//! | 12 forgotten, 15 not forgotten | scope byte (0 everything, 1 payments) |
//! | 3, 4, 6 to 10, 13, 14, 16: the other outcomes | nothing |
//!
//! A payment: id u128, cents u64, accepted_us u64, attempts u16, then 0 (free); 1 (bound), processor byte,
//! requested_us u64, in doubt byte; or 2 (processed), processor byte, requested_us u64.

use super::{Command, Line, Outcome, Scope, Statement, Transactions};
use crate::bank::{Description, Kind, Posted, Refusal};
use crate::codec::{put, Fields};
use crate::limits::{AMOUNT_CENTS_MAX, STATEMENT_TRANSACTIONS};
use crate::payments::{Payment, PaymentId, PaymentState, Processor};

const TRANSACT: u8 = 1;
const STATEMENT: u8 = 2;
const PAY: u8 = 3;
const SHOW: u8 = 4;

const POSTED: u8 = 1;
const REFUSED: u8 = 2;
const KEY_REUSED: u8 = 3;
const NO_SUCH_CLIENT: u8 = 4;
const OF_ACCOUNT: u8 = 5;
const ACCEPTED: u8 = 6;
const OTHER_AMOUNT: u8 = 7;
const QUEUE_FULL: u8 = 8;
const UNREADABLE: u8 = 9;
const NO_SUCH_PAYMENT: u8 = 10;
const OF_PAYMENT: u8 = 11;
const FORGOTTEN: u8 = 12;
const NOT_CONFIGURED: u8 = 13;
const STORAGE_FULL: u8 = 14;
const NOT_FORGOTTEN: u8 = 15;
const UNAVAILABLE: u8 = 16;

const FREE: u8 = 0;
const BOUND: u8 = 1;
const PROCESSED: u8 = 2;

/// Appends the bytes of `command` to `out`, as in the table above.
pub fn write_command(out: &mut Vec<u8>, command: &Command) {
    match command {
        Command::Transact {
            client,
            kind,
            amount,
            description,
        } => {
            out.push(TRANSACT);
            put(out, client);
            out.push(kind.to_byte());
            put(out, amount);
            out.extend_from_slice(description.get().as_str().as_bytes());
        }
        Command::Statement { client } => {
            out.push(STATEMENT);
            put(out, client);
        }
        Command::Pay { id, cents } => {
            out.push(PAY);
            put(out, id.0);
            put(out, cents);
        }
        Command::Show { id } => {
            out.push(SHOW);
            put(out, id.0);
        }
    }
}

/// Reads a command; `None`: [`write_command`] does not write such bytes.
pub fn read_command(fields: &mut Fields<'_>) -> Option<Command> {
    Some(match fields.u8()? {
        TRANSACT => Command::Transact {
            client: fields.u32()?,
            kind: Kind::from_byte(fields.u8()?)?,
            amount: fields.i64().filter(|amount| *amount > 0)?,
            description: description(fields.rest())?.into(),
        },
        STATEMENT => Command::Statement {
            client: fields.u32()?,
        },
        PAY => Command::Pay {
            id: read_id(fields)?,
            cents: read_cents(fields)?,
        },
        SHOW => Command::Show {
            id: read_id(fields)?,
        },
        _ => return None,
    })
}

/// Appends the bytes of `outcome` to `out`, as in the table above.
pub fn write_outcome(out: &mut Vec<u8>, outcome: &Outcome<'_>) {
    let kind = match outcome {
        Outcome::Posted(Posted { limit, balance }) => {
            out.push(POSTED);
            put(out, limit);
            put(out, balance);
            return;
        }
        Outcome::Statement(statement) => return write_statement(out, statement),
        Outcome::Payment(payment) => {
            out.push(OF_PAYMENT);
            return write_payment(out, payment);
        }
        Outcome::Refused(refusal) => return out.extend_from_slice(&[REFUSED, refusal.to_byte()]),
        Outcome::Forgotten(scope) => return out.extend_from_slice(&[FORGOTTEN, *scope as u8]),
        Outcome::NotForgotten(scope) => {
            return out.extend_from_slice(&[NOT_FORGOTTEN, *scope as u8])
        }
        Outcome::KeyReused => KEY_REUSED,
        Outcome::NoSuchClient => NO_SUCH_CLIENT,
        Outcome::Accepted => ACCEPTED,
        Outcome::OtherAmount => OTHER_AMOUNT,
        Outcome::QueueFull => QUEUE_FULL,
        Outcome::Unreadable => UNREADABLE,
        Outcome::NoSuchPayment => NO_SUCH_PAYMENT,
        Outcome::NotConfigured => NOT_CONFIGURED,
        Outcome::StorageFull => STORAGE_FULL,
        Outcome::Unavailable => UNAVAILABLE,
    };
    out.push(kind);
}

/// Reads an outcome; `None`: [`write_outcome`] does not write such bytes.
pub fn read_outcome<'a>(fields: &mut Fields<'a>) -> Option<Outcome<'a>> {
    Some(match fields.u8()? {
        POSTED => Outcome::Posted(Posted {
            limit: fields.i64()?,
            balance: fields.i64()?,
        }),
        REFUSED => Outcome::Refused(Refusal::from_byte(fields.u8()?)?),
        KEY_REUSED => Outcome::KeyReused,
        NO_SUCH_CLIENT => Outcome::NoSuchClient,
        OF_ACCOUNT => Outcome::Statement(read_statement(fields)?),
        ACCEPTED => Outcome::Accepted,
        OTHER_AMOUNT => Outcome::OtherAmount,
        QUEUE_FULL => Outcome::QueueFull,
        UNREADABLE => Outcome::Unreadable,
        NO_SUCH_PAYMENT => Outcome::NoSuchPayment,
        OF_PAYMENT => Outcome::Payment(read_payment(fields)?),
        FORGOTTEN => Outcome::Forgotten(read_scope(fields)?),
        NOT_CONFIGURED => Outcome::NotConfigured,
        STORAGE_FULL => Outcome::StorageFull,
        UNAVAILABLE => Outcome::Unavailable,
        NOT_FORGOTTEN => Outcome::NotForgotten(read_scope(fields)?),
        _ => return None,
    })
}

fn write_statement(out: &mut Vec<u8>, statement: &Statement<'_>) {
    out.push(OF_ACCOUNT);
    put(out, statement.limit);
    put(out, statement.balance);
    put(out, statement.moment_us);
    for line in statement.lines() {
        put(out, line.amount);
        put(out, line.time_us);
        out.push(line.kind.to_byte());
        out.push(line.description.len() as u8);
        out.extend_from_slice(line.description.as_bytes());
    }
}

fn read_statement<'a>(fields: &mut Fields<'a>) -> Option<Statement<'a>> {
    let (limit, balance, moment_us) = (fields.i64()?, fields.i64()?, fields.u64()?);
    let sent = fields.rest();
    let mut lines = Fields::new(sent);
    for _ in 0..STATEMENT_TRANSACTIONS {
        if !lines.is_empty() {
            read_line(&mut lines)?;
        }
    }
    lines.is_empty().then_some(Statement {
        limit,
        balance,
        moment_us,
        transactions: Transactions::Sent(sent),
    })
}

fn read_line<'a>(fields: &mut Fields<'a>) -> Option<Line<'a>> {
    let (amount, time_us) = (fields.i64().filter(|amount| *amount > 0)?, fields.u64()?);
    let kind = Kind::from_byte(fields.u8()?)?;
    let length = fields.u8()?;
    Some(Line {
        amount,
        kind,
        description: description(fields.bytes(length.into())?)?.as_str(),
        time_us,
    })
}

/// The lines of a statement that [`read_outcome`] has taken.
pub(super) fn lines(sent: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut fields = Fields::new(sent);
    std::iter::from_fn(move || read_line(&mut fields))
}

fn description(bytes: &[u8]) -> Option<Description<'_>> {
    std::str::from_utf8(bytes).ok().and_then(Description::new)
}

/// Reads what is to be forgotten.
pub fn read_scope(fields: &mut Fields<'_>) -> Option<Scope> {
    match fields.u8()? {
        0 => Some(Scope::Everything),
        1 => Some(Scope::Payments),
        _ => None,
    }
}

pub fn read_id(fields: &mut Fields<'_>) -> Option<PaymentId> {
    fields.u128().map(PaymentId)
}

pub fn read_processor(fields: &mut Fields<'_>) -> Option<Processor> {
    Processor::from_number(fields.u8()?)
}

/// A payment's amount; `None`: the bytes end, or it is not from 1 to `AMOUNT_CENTS_MAX`.
fn read_cents(fields: &mut Fields<'_>) -> Option<u64> {
    let cents = fields.u64();
    cents.filter(|cents| (1..=AMOUNT_CENTS_MAX).contains(cents))
}

/// Appends the bytes of `payment` to `out`, as in the table above.
pub fn write_payment(out: &mut Vec<u8>, payment: &Payment) {
    put(out, payment.id.0);
    put(out, payment.cents);
    put(out, payment.accepted_us);
    put(out, payment.attempts);
    match payment.state {
        PaymentState::Free => out.push(FREE),
        PaymentState::Bound {
            to,
            requested_us,
            in_doubt,
        } => {
            out.extend_from_slice(&[BOUND, to as u8]);
            put(out, requested_us);
            out.push(u8::from(in_doubt));
        }
        PaymentState::Processed { by, requested_us } => {
            out.extend_from_slice(&[PROCESSED, by as u8]);
            put(out, requested_us);
        }
    }
}

/// A payment as [`write_payment`] writes it; `None`: another text.
pub fn read_payment(fields: &mut Fields<'_>) -> Option<Payment> {
    Some(Payment {
        id: read_id(fields)?,
        cents: read_cents(fields)?,
        accepted_us: fields.u64()?,
        attempts: fields.u16()?,
        state: match fields.u8()? {
            FREE => PaymentState::Free,
            BOUND => PaymentState::Bound {
                to: read_processor(fields)?,
                requested_us: fields.u64()?,
                in_doubt: fields.flag()?,
            },
            PROCESSED => PaymentState::Processed {
                by: read_processor(fields)?,
                requested_us: fields.u64()?,
            },
            _ => return None,
        },
    })
}
