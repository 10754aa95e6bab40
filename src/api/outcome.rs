//! From the outcome of a command to the status and the body of its reply.

use super::bank::{self, NO_SUCH_CLIENT, OTHER_REQUEST, STORAGE_FULL};
use super::operations::RESET_INCOMPLETE;
use super::payments::{
    self, NOT_CONFIGURED, NO_SUCH_PAYMENT, OTHER_AMOUNT, PURGE_INCOMPLETE, QUEUE_FULL, UNREADABLE,
};
use super::Problem;
use crate::command::{Outcome, Scope};
use crate::http::Status;

/// The status of the reply.
pub fn status(outcome: &Outcome<'_>) -> Status {
    match (outcome, refusal(outcome)) {
        (_, Some((status, _))) => status,
        (Outcome::Accepted, None) => Status::Accepted,
        (_, None) => Status::Ok,
    }
}

/// Appends the reply's body; its status.
pub fn write_outcome(body: &mut Vec<u8>, outcome: &Outcome<'_>) -> Status {
    match outcome {
        Outcome::Posted(posted) => bank::write_posted(body, *posted),
        Outcome::Statement(statement) => bank::write_statement(body, statement),
        Outcome::Accepted => body.extend_from_slice(b"{\"status\":\"accepted\"}"),
        Outcome::Payment(payment) => payments::write_payment(body, payment),
        Outcome::Forgotten(scope) => body.extend_from_slice(match scope {
            Scope::Everything => b"{\"status\":\"reset\"}",
            Scope::Payments => b"{\"status\":\"purged\"}",
        }),
        refused => {
            if let Some((_, problem)) = refusal(refused) {
                problem.write(body);
            }
        }
    }
    status(outcome)
}

/// `None` where the command was carried out.
fn refusal(outcome: &Outcome<'_>) -> Option<(Status, Problem)> {
    Some(match outcome {
        Outcome::Posted(_)
        | Outcome::Statement(_)
        | Outcome::Accepted
        | Outcome::Payment(_)
        | Outcome::Forgotten(_) => return None,
        Outcome::Refused(refusal) => (Status::Unprocessable, bank::refusal(*refusal)),
        Outcome::KeyReused => (Status::Unprocessable, OTHER_REQUEST),
        Outcome::NoSuchClient => (Status::NotFound, NO_SUCH_CLIENT),
        Outcome::OtherAmount => (Status::Unprocessable, OTHER_AMOUNT),
        Outcome::QueueFull => (Status::ServiceUnavailable, QUEUE_FULL),
        Outcome::Unreadable => (Status::InternalError, UNREADABLE),
        Outcome::NoSuchPayment => (Status::NotFound, NO_SUCH_PAYMENT),
        Outcome::NotConfigured => (Status::ServiceUnavailable, NOT_CONFIGURED),
        Outcome::StorageFull => (Status::ServiceUnavailable, STORAGE_FULL),
        Outcome::NotForgotten(scope) => (Status::ServiceUnavailable, not_forgotten(*scope)),
    })
}

const fn not_forgotten(scope: Scope) -> Problem {
    match scope {
        Scope::Everything => RESET_INCOMPLETE,
        Scope::Payments => PURGE_INCOMPLETE,
    }
}
