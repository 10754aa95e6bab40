//! What is said between a core and a processor: requests read strictly, replies written in the many
//! ways in which they may be.

use std::fmt::{self, Display, Formatter};

use galo_processor::model::{Payment, Reply};

use super::short_id;
use crate::trace::{Checked, Violation};
use crate::{require, violation};
use galo_testkit::{decimal, http, id_text, iso, parse_cents, parse_id, parse_time, Random};

/// What the processors are called, by number.
pub const HOSTS: [&str; 2] = ["default.example:8080", "fallback.example:8001"];

/// What a processor is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `POST /payments`
    Pay(Payment),
    /// `GET /payments/{id}`
    Look(u128),
    /// `GET /payments/service-health`
    Health,
}

impl Display for Request {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Request::Pay(payment) => write!(
                f,
                "POST /payments: payment {} of {}, requested at {}",
                short_id(payment.id),
                decimal(payment.cents.into()),
                iso(payment.requested_us)
            ),
            Request::Look(id) => write!(f, "GET /payments/{}", short_id(*id)),
            Request::Health => f.write_str("GET /payments/service-health"),
        }
    }
}

/// What a processor has done with a request, for the trace.
pub fn done(request: &Request, reply: &Reply) -> String {
    let payment = match request {
        Request::Pay(payment) => short_id(payment.id),
        Request::Look(_) | Request::Health => String::new(),
    };
    match *reply {
        Reply::Paid => format!("carries out payment {payment}, and replies 200"),
        Reply::Duplicate => format!("has payment {payment} already, and replies 422"),
        Reply::Failed => format!("fails with payment {payment}, and replies 500"),
        Reply::Busy => format!("has no room for payment {payment}, and replies 429"),
        Reply::Health { failing: true, .. } => "replies that it fails".to_owned(),
        Reply::Health { failing: false, .. } => "replies that it works".to_owned(),
    }
}

/// Reads the request at the front of `input`, and its length; `None`: not all there.
pub fn request(input: &[u8], host: &str, prefix: &str) -> Checked<Option<(Request, usize)>> {
    let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&input[..end]).into_owned();
    let bad = |what: &str| Violation(format!("a processor gets {what}: {head:?}"));
    let mut lines = head.split("\r\n");
    let mut parts = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad("a bad request line"));
    };
    let (mut length, mut hosts, mut json) = (0, 0, false);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a bad field"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(|_| bad("a bad length"))?,
            "host" if value == host => hosts += 1,
            "host" => return Err(bad("another's host")),
            "content-type" => json = value.starts_with("application/json"),
            "transfer-encoding" | "expect" => return Err(bad("more than it needs")),
            _ => {}
        }
    }
    require!(hosts == 1, "a processor gets {hosts} hosts: {head:?}");
    let end = end + 4;
    let Some(body) = input.get(end..end + length) else {
        return Ok(None);
    };
    let path = target
        .strip_prefix(prefix)
        .ok_or_else(|| bad("another's path"))?;
    let request = match (method, path) {
        ("POST", "/payments") if json => Request::Pay(payment(body)?),
        ("GET", "/payments/service-health") => Request::Health,
        ("GET", path) => {
            let name = path.strip_prefix("/payments/").and_then(parse_id);
            Request::Look(name.ok_or_else(|| bad("an unknown path"))?)
        }
        _ => return Err(bad("an unknown request")),
    };
    Ok(Some((request, end + length)))
}

fn payment(body: &[u8]) -> Checked<Payment> {
    let text = String::from_utf8_lossy(body);
    let bad = |what: &str| Violation(format!("a processor gets a payment with {what}: {text}"));
    let json: serde_json::Value = serde_json::from_slice(body).map_err(|_| bad("no JSON"))?;
    let members = json.as_object().map_or(0, serde_json::Map::len);
    require!(members == 3, "a processor gets {members} members: {text}");
    let name = json["correlationId"].as_str().and_then(parse_id);
    let requested = json["requestedAt"].as_str().unwrap_or_default();
    // In milliseconds, and UTC.
    require!(
        requested.len() == 24 && requested.ends_with('Z'),
        "a processor gets a time like this: {text}"
    );
    Ok(Payment {
        id: name.ok_or_else(|| bad("a bad id"))?,
        cents: number_after(&text, "\"amount\":")
            .and_then(parse_cents)
            .and_then(|cents| u64::try_from(cents).ok())
            .ok_or_else(|| bad("a bad amount"))?,
        requested_us: parse_time(requested).ok_or_else(|| bad("a bad time"))?,
    })
}

/// The number that follows `name`, as it is written.
pub fn number_after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text[text.find(name)? + name.len()..].trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    (end > 0).then(|| &rest[..end])
}

/// A reply as it travels.
pub struct Written {
    pub bytes: Vec<u8>,
    /// Of these, the head.
    pub head_bytes: usize,
    /// The connection ends behind it.
    pub last: bool,
}

/// The reply to a payment, or about health.
pub fn reply(reply: &Reply, random: &mut Random) -> Written {
    match *reply {
        Reply::Paid => {
            let body = r#"{"message":"payment processed successfully"}"#;
            written(200, "", body, random)
        }
        Reply::Duplicate => refusal(422, "", random),
        Reply::Failed => refusal(500, "", random),
        Reply::Busy => refusal(429, "Retry-After: 5\r\n", random),
        Reply::Health {
            failing,
            min_response_ms,
        } => {
            let body = format!("{{\"failing\":{failing},\"minResponseTime\":{min_response_ms}}}");
            written(200, "", &body, random)
        }
    }
}

/// A reply that says no.
pub fn refusal(status: u16, fields: &str, random: &mut Random) -> Written {
    let long = if random.percent(20) { 2_000 } else { 20 };
    let body = format!("{{\"error\":\"{}\"}}", "x".repeat(long));
    written(status, fields, &body, random)
}

/// A reply of something else than a processor, all of it or a part.
pub fn page(random: &mut Random) -> Written {
    let pages = [
        "<!doctype html><title>It works!</title>",
        "{\"message\":\"payment proc",
        "{\"correlationId\":null}{",
        "[]",
        "ok",
    ];
    let page = *random.pick(&pages[..]);
    written(200, "", page, random)
}

/// The reply to a question about one payment.
pub fn found(payment: Option<Payment>, random: &mut Random) -> Written {
    let Some(payment) = payment else {
        return refusal(404, "", random);
    };
    // Without the `Z`, and without the zeros at the end of the fraction.
    let text = iso(payment.requested_us);
    let text = text.trim_end_matches('Z').trim_end_matches('0');
    let body = format!(
        "{{\"correlationId\":\"{}\",\"amount\":{},\"requestedAt\":\"{}\"}}",
        id_text(payment.id),
        decimal(payment.cents.into()),
        text.trim_end_matches('.')
    );
    written(200, "", &body, random)
}

fn written(status: u16, fields: &str, body: &str, random: &mut Random) -> Written {
    let last = random.percent(5);
    let mut head = format!("HTTP/1.1 {status} Whatever\r\n{fields}");
    if random.percent(50) {
        head.push_str("Content-Type: application/json\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n");
    }
    if last {
        head.push_str("connection: close\r\n");
    }
    let body = match random.below(10) {
        0..=2 => {
            head.push_str("Transfer-Encoding: chunked\r\n");
            chunked(body, random)
        }
        // Its end is that of the connection.
        3 if last => body.into(),
        _ => {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
            body.into()
        }
    };
    head.push_str("\r\n");
    Written {
        head_bytes: head.len(),
        bytes: [head.into_bytes(), body].concat(),
        last,
    }
}

/// A body in chunks of any lengths.
pub fn chunked(body: &str, random: &mut Random) -> Vec<u8> {
    let mut rest = body.as_bytes();
    http::chunked(std::iter::from_fn(|| {
        let length = (!rest.is_empty()).then(|| 1 + random.index(rest.len()))?;
        let (chunk, after) = rest.split_at(length);
        rest = after;
        Some(chunk)
    }))
}

/// A body with one member that is a decimal, for messages: `None` where it is none.
pub fn decimal_member(text: &str, name: &str) -> Checked<u128> {
    match number_after(text, name).and_then(parse_cents) {
        Some(cents) => Ok(cents),
        None => violation!("no decimal with at most two places behind {name}: {text}"),
    }
}
