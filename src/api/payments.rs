//! The payments' endpoints: request bodies to commands, outcomes to reply bodies.

mod misspelt;

use std::io::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::{
    Problem, AMOUNT, CORRELATION_ID, FROM, KEY, MISSPELT, NO_PAYMENT, NO_SUCH_PAYMENT,
    OUT_OF_ORDER, TO,
};
use super::{object, refused, text, write_integer, Call};
use crate::command::Command;
use crate::http::{
    iso8601, iso8601_ms, parse_iso8601, BadKey, QueryString, Request, Round, Status,
};
use crate::payments::{amount, Payment, PaymentId, PaymentState, Processor, Summary, Window};

/// The body of `POST /payments`, in both forms. The number is judged by its digits.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentBody<'a> {
    #[serde(borrow)]
    correlation_id: Option<&'a RawValue>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
}

/// Reads `POST /payments`: its key, which is judged in any case and counts without a `correlationId` only, and its
/// body. A `correlationId` of null is none; one by another name is refused. Pure: this is what the fuzzer feeds.
pub fn pay<'a>(key: Option<Result<&'a [u8], BadKey>>, body: &[u8]) -> Call<'a> {
    parse(key, body).unwrap_or_else(refused)
}

fn parse<'a>(key: Option<Result<&'a [u8], BadKey>>, body: &[u8]) -> Result<Call<'a>, Problem> {
    let key = key.transpose().map_err(|BadKey| KEY)?;
    let members: PaymentBody<'_> = object(body, NO_PAYMENT)?;
    let id = match members.correlation_id {
        Some(raw) => {
            let id = text(raw).and_then(|text| PaymentId::parse(text.as_bytes()));
            Some(id.ok_or(CORRELATION_ID)?)
        }
        None if misspelt::has_misspelt_id(body) => {
            return Err(MISSPELT);
        }
        None => None,
    };
    let cents = members.amount.and_then(|raw| amount::parse(raw.get()));
    let cents = cents.ok_or(AMOUNT)?;
    Ok(match id {
        Some(id) => Call::Command(Command::Pay { id, cents }, None),
        None => Call::PayNow(cents, key),
    })
}

/// A [`Call`] of `GET /payments/{id}`.
pub(super) fn show<'a>(id: &[u8]) -> Call<'a> {
    match PaymentId::parse(id) {
        Some(id) => Call::Command(Command::Show { id }, None),
        None => refused(NO_SUCH_PAYMENT),
    }
}

/// A [`Call`] of `GET /payments-summary`.
pub(super) fn summary<'a>(request: &Request<'_>) -> Call<'a> {
    match window(QueryString::new(request.query)) {
        Ok(window) => Call::Summary(window),
        Err(problem) => refused(problem),
    }
}

/// Either bound may be missing, and neither may be there twice: which of the two would count? Other
/// parameters do not matter.
fn window(query: QueryString<'_>) -> Result<Window, Problem> {
    let (mut from, mut to) = (None, None);
    for (name, value) in query.parameters() {
        let (bound, problem) = match name.as_deref() {
            Ok(b"from") => (&mut from, FROM),
            Ok(b"to") => (&mut to, TO),
            _ => continue,
        };
        let value = value.map_err(|_| problem)?;
        let moment = |round| parse_iso8601(&value, round).ok_or(problem);
        if bound
            .replace((moment(Round::Up)?, moment(Round::Down)?))
            .is_some()
        {
            return Err(problem);
        }
    }
    // As exact as they are stored: a bound between two microseconds leaves both of them out.
    let (from_us, from_down_us) = from.unwrap_or((Window::ALL.from_us, Window::ALL.from_us));
    let (_, to_us) = to.unwrap_or((Window::ALL.to_us, Window::ALL.to_us));
    if from_down_us > to_us {
        return Err(OUT_OF_ORDER);
    }
    Ok(Window { from_us, to_us })
}

/// Appends the body of `GET /payments/{id}`.
pub(super) fn write_payment(body: &mut Vec<u8>, payment: &Payment) {
    let (status, sent) = match payment.state {
        PaymentState::Free => ("accepted", None),
        PaymentState::Bound {
            to,
            requested_us,
            in_doubt,
        } => ("sent", Some((to, requested_us, Some(in_doubt)))),
        PaymentState::Processed { by, requested_us } => {
            ("processed", Some((by, requested_us, None)))
        }
    };
    write_start(body, payment, status);
    body.extend_from_slice(b",\"accepted_at\":\"");
    body.extend_from_slice(&iso8601(payment.accepted_us));
    body.extend_from_slice(b"\",\"attempts\":");
    write_integer(body, payment.attempts);
    if let Some((processor, requested_us, in_doubt)) = sent {
        write_processor(body, processor);
        body.extend_from_slice(b",\"requested_at\":\"");
        body.extend_from_slice(&iso8601_ms(requested_us));
        body.push(b'"');
        match in_doubt {
            Some(true) => body.extend_from_slice(b",\"in_doubt\":true"),
            Some(false) => body.extend_from_slice(b",\"in_doubt\":false"),
            None => {}
        }
    }
    body.push(b'}');
}

fn write_start(body: &mut Vec<u8>, payment: &Payment, status: &str) {
    body.extend_from_slice(b"{\"id\":\"");
    body.extend_from_slice(&payment.id.text());
    body.extend_from_slice(b"\",\"amount\":");
    amount::write(body, payment.cents.into());
    body.extend_from_slice(b",\"status\":\"");
    body.extend_from_slice(status.as_bytes());
    body.push(b'"');
}

fn write_processor(body: &mut Vec<u8>, processor: Processor) {
    body.extend_from_slice(b",\"processor\":\"");
    body.extend_from_slice(processor.name().as_bytes());
    body.push(b'"');
}

/// Appends the body of `GET /payments-summary`: both forms in one.
pub fn write_summary(body: &mut Vec<u8>, summary: &Summary) {
    write_totals(body, summary, "totalRequests", "totalAmount");
    let (count, cents) = summary.0.iter().fold((0, 0), |all, totals| {
        (all.0 + totals.count, all.1 + totals.cents)
    });
    body.extend_from_slice(b",\"total_payments\":");
    write_integer(body, count);
    body.extend_from_slice(b",\"total_amount\":");
    amount::write(body, cents);
    body.extend_from_slice(b",\"payments_by_processor\":");
    write_totals(body, summary, "count", "total_amount");
    body.extend_from_slice(b"}}");
}

/// Begins an object with a member for each processor; what counts its payments and their sum has these
/// names.
fn write_totals(body: &mut Vec<u8>, summary: &Summary, count: &str, sum: &str) {
    let mut comma = b'{';
    for processor in Processor::ALL {
        let totals = summary.of(processor);
        body.push(std::mem::replace(&mut comma, b','));
        for part in ["\"", processor.name(), "\":{\"", count, "\":"] {
            body.extend_from_slice(part.as_bytes());
        }
        write_integer(body, totals.count);
        for part in [",\"", sum, "\":"] {
            body.extend_from_slice(part.as_bytes());
        }
        amount::write(body, totals.cents);
        body.push(b'}');
    }
}

/// Appends the reply to a payment that was asked for without a `correlationId`: 200 when it is
/// processed, 202 while it is pending. Its timestamp, in seconds since 1970, is what the processor was
/// told.
pub fn write_pay_now(body: &mut Vec<u8>, payment: &Payment) -> Status {
    let PaymentState::Processed { by, requested_us } = payment.state else {
        write_start(body, payment, "pending");
        body.push(b'}');
        return Status::Accepted;
    };
    write_start(body, payment, "processed");
    write_processor(body, by);
    let timestamp = format_args!(
        "{}.{:03}",
        requested_us / 1_000_000,
        requested_us / 1000 % 1000
    );
    write!(body, ",\"timestamp\":{timestamp}}}").expect("writing to memory does not fail");
    Status::Ok
}

#[cfg(test)]
mod tests;
