//! From the bytes of a request to a command, and from an outcome to the bytes of a reply.
//!
//! One file per family of endpoints; this one holds what they have in common: the routes, bodies that are JSON objects, and
//! what an outcome is to a client.

pub mod bank;
pub mod operations;
pub mod payments;
pub mod problem;
pub(crate) mod processors;

use std::borrow::Cow;
use std::ffi::CStr;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::command::{Command, Outcome, Scope};
use crate::http::{BadEscape, Method, Path, Request, Status};
use crate::payments::Window;
use problem::{
    Problem, BAD_TARGET, CODED, METHOD, NOT_CONFIGURED, NOT_FOUND, NOT_JSON, NO_SUCH_CLIENT,
    NO_SUCH_PAYMENT, OTHER_AMOUNT, OTHER_REQUEST, PURGE_INCOMPLETE, QUEUE_FULL, RESET_INCOMPLETE,
    STORAGE_FULL, UNAVAILABLE, UNREADABLE,
};

/// Endpoints, as `/metrics` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Endpoint {
    /// `POST /clientes/{id}/transacoes`: a transaction.
    Transactions,
    /// `GET /clientes/{id}/extrato`: a statement.
    Statement,
    /// `GET /health`, and `GET /`
    Health,
    /// `GET /metrics`: counters and gauges in Prometheus' text format.
    Metrics,
    /// `POST /reset`: forgets all transactions and payments.
    Reset,
    /// `POST /payments`: accepts a payment.
    Payments,
    /// `GET /payments/{id}`: the state of a payment.
    Payment,
    /// `GET /payments-summary`: totals by processor.
    Summary,
    /// `POST /purge-payments`: forgets all payments.
    Purge,
    /// `GET /openapi.json`: the description of these endpoints, where it is served.
    Docs,
    /// Whatever was refused before it reached an endpoint.
    None,
}

impl Endpoint {
    /// All of them, in the order of their numbers.
    pub const ALL: [Endpoint; 11] = [
        Endpoint::Transactions,
        Endpoint::Statement,
        Endpoint::Health,
        Endpoint::Metrics,
        Endpoint::Reset,
        Endpoint::Payments,
        Endpoint::Payment,
        Endpoint::Summary,
        Endpoint::Purge,
        Endpoint::Docs,
        Endpoint::None,
    ];

    /// The endpoint at which a command comes in.
    pub fn of(command: &Command) -> Endpoint {
        match command {
            Command::Transact { .. } => Endpoint::Transactions,
            Command::Statement { .. } => Endpoint::Statement,
            Command::Pay { .. } => Endpoint::Payments,
            Command::Show { .. } => Endpoint::Payment,
        }
    }

    /// As `/metrics` and probes name it.
    pub const fn c_name(self) -> &'static CStr {
        match self {
            Endpoint::Transactions => c"transacoes",
            Endpoint::Statement => c"extrato",
            Endpoint::Health => c"health",
            Endpoint::Metrics => c"metrics",
            Endpoint::Reset => c"reset",
            Endpoint::Payments => c"payments",
            Endpoint::Payment => c"payment",
            Endpoint::Summary => c"payments-summary",
            Endpoint::Purge => c"purge-payments",
            Endpoint::Docs => c"openapi",
            Endpoint::None => c"none",
        }
    }

    /// The label's value in `/metrics`.
    pub fn name(self) -> &'static str {
        self.c_name().to_str().expect("names are ASCII")
    }
}

/// A request as its endpoint understands it.
#[derive(Debug, PartialEq)]
pub enum Call<'a> {
    /// Something that the owner of a shard does; once only with this `Idempotency-Key`, which none but
    /// transactions have.
    Command(Command, Option<&'a [u8]>),
    /// A payment without an id, answered when it is carried out; once only with this `Idempotency-Key`.
    PayNow(u64, Option<&'a [u8]>),
    /// Totals of the payments that processors have confirmed within a window.
    Summary(Window),
    /// Forget all payments, of all shards.
    Purge,
    /// The health of this process, as JSON.
    Health,
    /// Counters and gauges of this process, for Prometheus.
    Metrics,
    /// What all of these are, as OpenAPI.
    Docs,
    /// Forget all transactions and payments, of all shards.
    Reset,
    /// The allowed methods of a path, as the `Allow` header lists them.
    Options(&'static str),
    /// Refused before any shard is asked.
    Refused(Refused),
}

impl Call<'_> {
    /// Whether it needs payment processors.
    pub fn needs_payments(&self) -> bool {
        match self {
            Call::Command(command, _) => command.is_payment(),
            Call::PayNow(..) | Call::Summary(_) | Call::Purge => true,
            Call::Health
            | Call::Metrics
            | Call::Docs
            | Call::Reset
            | Call::Options(_)
            | Call::Refused(_) => false,
        }
    }
}

/// An answer that needs no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The methods that would do, for a 405.
    pub allow: Option<&'static str>,
    /// Status and body of the reply.
    pub problem: Problem,
}

const READ: &str = "GET, HEAD, OPTIONS";
const WRITE: &str = "POST, OPTIONS";
/// The methods of the server as a whole: `OPTIONS *`.
const ANY: &str = "GET, HEAD, POST, OPTIONS";

/// The endpoint of a request, and what it asks there. `docs`: there is `/openapi.json`.
pub fn route<'a>(request: &Request<'a>, docs: bool) -> (Endpoint, Call<'a>) {
    let mut segments = Path::new(request.path).segments();
    let mut next = || segments.next().transpose();
    let parts = (|| Ok((next()?, next()?, next()?, next()?)))();
    let (first, second, third, rest) = match parts {
        Ok(parts) => parts,
        Err(BadEscape) => return (Endpoint::None, refused(BAD_TARGET)),
    };
    match (first.as_deref(), second, third.as_deref(), rest) {
        (Some(b"clientes"), Some(id), Some(b"transacoes"), None) => (
            Endpoint::Transactions,
            with_method(request, WRITE, || {
                client(&id, |client| {
                    plain_body(request, |body| {
                        bank::transaction(client, request.idempotency_key, body)
                    })
                })
            }),
        ),
        (Some(b"clientes"), Some(id), Some(b"extrato"), None) => (
            Endpoint::Statement,
            with_method(request, READ, || {
                client(&id, |client| {
                    Call::Command(Command::Statement { client }, None)
                })
            }),
        ),
        // What load balancers ask unless told otherwise: `GET /`, `HEAD /` or `OPTIONS /`.
        (Some(b"health" | b""), None, None, None) => (
            Endpoint::Health,
            with_method(request, READ, || Call::Health),
        ),
        (Some(b"metrics"), None, None, None) => (
            Endpoint::Metrics,
            with_method(request, READ, || Call::Metrics),
        ),
        (Some(b"reset"), None, None, None) => {
            (Endpoint::Reset, with_method(request, WRITE, || Call::Reset))
        }
        (Some(b"payments"), None, None, None) => (
            Endpoint::Payments,
            with_method(request, WRITE, || {
                plain_body(request, |body| payments::pay(request.idempotency_key, body))
            }),
        ),
        (Some(b"payments"), Some(id), None, None) => (
            Endpoint::Payment,
            with_method(request, READ, || payments::show(&id)),
        ),
        (Some(b"payments-summary"), None, None, None) => (
            Endpoint::Summary,
            with_method(request, READ, || payments::summary(request)),
        ),
        (Some(b"purge-payments"), None, None, None) => {
            (Endpoint::Purge, with_method(request, WRITE, || Call::Purge))
        }
        (Some(b"openapi.json"), None, None, None) if docs => {
            (Endpoint::Docs, with_method(request, READ, || Call::Docs))
        }
        (None, ..) if request.path == b"*" => (Endpoint::None, Call::Options(ANY)),
        _ => (Endpoint::None, refused(NOT_FOUND)),
    }
}

const fn refused<'a>(problem: Problem) -> Call<'a> {
    Call::Refused(Refused {
        allow: None,
        problem,
    })
}

fn with_method<'a>(
    request: &Request<'_>,
    allow: &'static str,
    call: impl FnOnce() -> Call<'a>,
) -> Call<'a> {
    let allowed = match request.method {
        Method::Get | Method::Head => allow == READ,
        Method::Post => allow == WRITE,
        Method::Options => return Call::Options(allow),
        Method::Other => false,
    };
    if allowed {
        return call();
    }
    Call::Refused(Refused {
        allow: Some(allow),
        problem: METHOD,
    })
}

/// For who reads the body: it is the bytes that it stands for.
fn plain_body<'a>(request: &Request<'a>, call: impl FnOnce(&'a [u8]) -> Call<'a>) -> Call<'a> {
    match request.body_coded {
        false => call(request.body),
        true => refused(CODED),
    }
}

/// `{id}` is a plain decimal number: digits, without sign and without zeros in front.
fn client<'a>(id: &[u8], call: impl FnOnce(u32) -> Call<'a>) -> Call<'a> {
    let plain = !id.is_empty()
        && id.len() <= 10
        && id.iter().all(u8::is_ascii_digit)
        && (id[0] != b'0' || id.len() == 1);
    let number = if plain {
        id.iter().try_fold(0u32, |number, digit| {
            number.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
        })
    } else {
        None
    };
    match number {
        Some(number) => call(number),
        None => refused(NO_SUCH_CLIENT),
    }
}

// ---- Bodies of requests ------------------------------------------------------

/// Reads a body that is a JSON object; `T` says which members count, and has each as an `Option<&RawValue>`: raw, because
/// what is wrong with a member (422) is not what is wrong with the JSON (400), and because a number is judged by its digits.
///
/// # Errors
/// 400 for what is no JSON; 422, with `not_this`, for other values than objects, and for a member that
/// is there twice.
fn object<'a, T: Deserialize<'a>>(body: &'a [u8], not_this: Problem) -> Result<T, Problem> {
    // The JSON reader takes strings that it skips without looking at their bytes.
    let body = std::str::from_utf8(body).map_err(|_| NOT_JSON)?;
    let members = serde_json::from_str(body).map_err(|_| {
        // Of the wrong shape, or no JSON at all: the error's kind does not tell reliably.
        match serde_json::from_str::<&RawValue>(body) {
            Ok(_) => not_this,
            Err(_) => NOT_JSON,
        }
    })?;
    // It would also read the members from a list, in their order.
    if body.trim_ascii_start().starts_with('{') {
        Ok(members)
    } else {
        Err(not_this)
    }
}

/// A string; borrowed unless it holds escapes. `None` for other values, and for escapes that are no
/// characters (a lone surrogate).
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let raw = raw.get();
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

// ---- Replies -------------------------------------------------------------------

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
        Outcome::Unavailable => UNAVAILABLE,
        Outcome::NotForgotten(Scope::Everything) => RESET_INCOMPLETE,
        Outcome::NotForgotten(Scope::Payments) => PURGE_INCOMPLETE,
    })
}

/// Appends a whole number.
fn write_integer(body: &mut Vec<u8>, number: impl itoa::Integer) {
    body.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests;
