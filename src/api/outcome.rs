//! From the outcome of a command to the status and the body of its reply.

use super::bank::{self, NO_SUCH_CLIENT, OTHER_REQUEST, STORAGE_FULL};
use super::operations::RESET_INCOMPLETE;
use super::payments::{
    self, NOT_CONFIGURED, NO_SUCH_PAYMENT, OTHER_AMOUNT, PURGE_INCOMPLETE, QUEUE_FULL, UNREADABLE,
};
use super::Problem;
use crate::command::{Outcome, Scope};
use crate::http::Status;

/// Appends the reply's body; its status.
pub fn write_outcome(body: &mut Vec<u8>, outcome: &Outcome<'_>) -> Status {
    let (status, problem) = match outcome {
        Outcome::Posted(posted) => {
            bank::write_posted(body, *posted);
            return Status::Ok;
        }
        Outcome::Statement(statement) => {
            bank::write_statement(body, statement);
            return Status::Ok;
        }
        Outcome::Accepted => {
            body.extend_from_slice(b"{\"status\":\"accepted\"}");
            return Status::Accepted;
        }
        Outcome::Payment(payment) => {
            payments::write_payment(body, payment);
            return Status::Ok;
        }
        Outcome::Forgotten(scope) => {
            body.extend_from_slice(match scope {
                Scope::Everything => b"{\"status\":\"reset\"}",
                Scope::Payments => b"{\"status\":\"purged\"}",
            });
            return Status::Ok;
        }
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
    };
    problem.write(body);
    status
}

const fn not_forgotten(scope: Scope) -> Problem {
    match scope {
        Scope::Everything => RESET_INCOMPLETE,
        Scope::Payments => PURGE_INCOMPLETE,
    }
}
