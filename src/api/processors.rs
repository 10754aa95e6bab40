//! Bodies for and from the payment processors.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::{iso8601_ms, parse_iso8601, Round};
use crate::payments::{amount, PaymentId};

/// A payment, as a processor has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The payment's id, `correlationId` in the body.
    pub id: PaymentId,
    /// Cents of the amount, positive.
    pub cents: u64,
    /// `requestedAt`; microseconds since 1970.
    pub requested_us: u64,
}

/// A processor's answer about its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct HealthReport {
    /// The processor says that it carries nothing out.
    pub failing: bool,
    /// What a payment takes at least. Milliseconds.
    #[serde(rename = "minResponseTime")]
    pub response_min_ms: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HealthBody<'a> {
    #[serde(borrow)]
    correlation_id: &'a RawValue,
    #[serde(borrow)]
    amount: &'a RawValue,
    #[serde(borrow)]
    requested_at: &'a RawValue,
}

/// Appends the body of a processor's `POST /payments`. `requested_us`: whole milliseconds.
pub fn write_payment(out: &mut Vec<u8>, payment: &Stored) {
    debug_assert_eq!(payment.requested_us % 1000, 0);
    out.extend_from_slice(b"{\"correlationId\":\"");
    out.extend_from_slice(&payment.id.text());
    out.extend_from_slice(b"\",\"amount\":");
    amount::write(out, u128::from(payment.cents));
    out.extend_from_slice(b",\"requestedAt\":\"");
    out.extend_from_slice(&iso8601_ms(payment.requested_us));
    out.extend_from_slice(b"\"}");
}

/// Whether the body of a 2xx may be a processor's word that it has carried a payment out: a JSON object, whatever is
/// in it; or none at all, which leaves the status.
pub fn is_done(body: &[u8]) -> bool {
    let object = |json: &RawValue| json.get().starts_with('{');
    body.is_empty() || serde_json::from_slice(body).is_ok_and(object)
}

/// Reads the body of a processor's `GET /payments/{id}`, whose `requestedAt` may lack its `Z`.
pub fn read_payment(body: &[u8]) -> Option<Stored> {
    let body: HealthBody = serde_json::from_slice(body).ok()?;
    Some(Stored {
        id: PaymentId::parse(text(body.correlation_id)?)?,
        cents: amount::parse(body.amount.get())?,
        requested_us: parse_iso8601(text(body.requested_at)?, Round::Down)?,
    })
}

/// Reads the body of a processor's `GET /payments/service-health`.
pub fn read_health(body: &[u8]) -> Option<HealthReport> {
    serde_json::from_slice(body).ok()
}

/// The text of a JSON string; neither an id nor a time has anything to escape.
fn text(raw: &RawValue) -> Option<&[u8]> {
    let text = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    Some(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYMENT: Stored = Stored {
        id: PaymentId(0x4a7901b8_7d26_4d9d_aa19_4dc1c7cf60b3),
        cents: 1990,
        requested_us: 1_752_582_896_120_000,
    };

    #[test]
    fn a_payment_is_written_as_the_processors_read_it() {
        let mut body = Vec::new();
        write_payment(&mut body, &PAYMENT);
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            "{\"correlationId\":\"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3\",\"amount\":19.90,\
             \"requestedAt\":\"2025-07-15T12:34:56.120Z\"}"
        );
        assert_eq!(read_payment(&body), Some(PAYMENT));
    }

    #[test]
    fn a_stored_payment_is_read_with_and_without_what_may_be_cut_off() {
        for (amount, time) in [
            ("19.90", "2025-07-15T12:34:56.120Z"),
            ("19.9", "2025-07-15T12:34:56.12"),
            ("1.99e1", "2025-07-15T12:34:56.1200000"),
        ] {
            let id = "4A7901B8-7d26-4d9d-aa19-4dc1c7cf60b3";
            let body = format!(
                "{{\"requestedAt\": \"{time}\", \"amount\":{amount}, \"correlationId\":\"{id}\", \"x\":1}}"
            );
            assert_eq!(read_payment(body.as_bytes()), Some(PAYMENT), "{body}");
        }
        for body in [
            "",
            "{}",
            "{\"correlationId\":\"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3\",\"amount\":19.90}",
            "{\"correlationId\":\"4a7901b8\",\"amount\":19.90,\"requestedAt\":\"2025-07-15T12:34:56Z\"}",
        ] {
            assert_eq!(read_payment(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn only_an_object_or_nothing_is_a_word_of_a_processor() {
        for body in [
            "",
            "{\"message\":\"payment processed successfully\"}",
            " {} \r\n",
        ] {
            assert!(is_done(body.as_bytes()), "{body}");
        }
        for body in [
            "<!doctype html><html></html>",
            "{\"message\":\"payment proc",
            "{}{}",
            "ok",
            "\"ok\"",
            "[]",
            "null",
            "true",
            "200",
            " ",
        ] {
            assert!(!is_done(body.as_bytes()), "{body}");
        }
        assert!(!is_done(b"{\"message\":\"\xff\"}"));
    }

    #[test]
    fn health_is_read() {
        let body = b"{\"failing\":true,\"minResponseTime\":100}";
        let health = HealthReport {
            failing: true,
            response_min_ms: 100,
        };
        assert_eq!(read_health(body), Some(health));
        assert_eq!(read_health(b"{\"failing\":true}"), None);
        assert_eq!(read_health(b"busy"), None);
    }
}
