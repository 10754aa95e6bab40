//! From the outcome of a command to the status and the body of its reply.

use super::problem::{
    Problem, NOT_CONFIGURED, NO_SUCH_CLIENT, NO_SUCH_PAYMENT, OTHER_AMOUNT, OTHER_REQUEST,
    PURGE_INCOMPLETE, QUEUE_FULL, RESET_INCOMPLETE, STORAGE_FULL, UNREADABLE,
};
use super::{bank, payments};
use crate::command::{Outcome, Scope};
use crate::http::Status;

/// The status of the reply.
pub fn status(outcome: &Outcome<'_>) -> Status {
    match verdict(outcome) {
        Ok(status) => status,
        Err(problem) => problem.status,
    }
}

/// Appends the reply's body; its status.
///
/// # Errors
/// What is wrong; its body, in whichever form, is for the caller to write.
pub fn write_outcome(body: &mut Vec<u8>, outcome: &Outcome<'_>) -> Result<Status, Problem> {
    let status = verdict(outcome)?;
    match outcome {
        Outcome::Posted(posted) => bank::write_posted(body, *posted),
        Outcome::Statement(statement) => bank::write_statement(body, statement),
        Outcome::Accepted => body.extend_from_slice(b"{\"status\":\"accepted\"}"),
        Outcome::Payment(payment) => payments::write_payment(body, payment),
        Outcome::Forgotten(Scope::Everything) => body.extend_from_slice(b"{\"status\":\"reset\"}"),
        Outcome::Forgotten(Scope::Payments) => body.extend_from_slice(b"{\"status\":\"purged\"}"),
        _ => unreachable!("it was refused"),
    }
    Ok(status)
}

/// The status of what was carried out, or what was wrong.
fn verdict(outcome: &Outcome<'_>) -> Result<Status, Problem> {
    Err(match outcome {
        Outcome::Posted(_) | Outcome::Statement(_) | Outcome::Payment(_) => return Ok(Status::Ok),
        Outcome::Forgotten(_) => return Ok(Status::Ok),
        Outcome::Accepted => return Ok(Status::Accepted),
        Outcome::Refused(refusal) => bank::refusal(*refusal),
        Outcome::KeyReused => OTHER_REQUEST,
        Outcome::NoSuchClient => NO_SUCH_CLIENT,
        Outcome::OtherAmount => OTHER_AMOUNT,
        Outcome::QueueFull => QUEUE_FULL,
        Outcome::Unreadable => UNREADABLE,
        Outcome::NoSuchPayment => NO_SUCH_PAYMENT,
        Outcome::NotConfigured => NOT_CONFIGURED,
        Outcome::StorageFull => STORAGE_FULL,
        Outcome::NotForgotten(Scope::Everything) => RESET_INCOMPLETE,
        Outcome::NotForgotten(Scope::Payments) => PURGE_INCOMPLETE,
    })
}
