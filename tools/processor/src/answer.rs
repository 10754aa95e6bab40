//! What callers get: status and body.

use std::borrow::Cow;

use jiff::tz::Offset;
use jiff::Timestamp;
use uuid::Uuid;

use crate::decimal;
use crate::model::{Config, Payment, Reply, Totals};

/// An HTTP reply but for its encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 and so on.
    pub status: u16,
    /// With `Retry-After`; see [`RETRY_AFTER_S`](crate::model::RETRY_AFTER_S).
    pub retry_after: bool,
    /// JSON, or empty.
    pub body: Cow<'static, str>,
}

/// Bodies of errors are at least so long, as are those of frameworks that tell where they were.
const ERROR_BYTES_MIN: usize = 2048;

impl Answer {
    /// Without a `Retry-After`.
    pub fn new(status: u16, body: impl Into<Cow<'static, str>>) -> Answer {
        Answer {
            status,
            retry_after: false,
            body: body.into(),
        }
    }

    /// Of a client's or the processor's own error, at length.
    pub fn error(status: u16, title: &str, detail: &str) -> Answer {
        let detail = serde_json::Value::from(detail);
        let mut body =
            format!(r#"{{"title":"{title}","status":{status},"detail":{detail},"trace":""#);
        while body.len() < ERROR_BYTES_MIN {
            body.push_str(r"   at Payments.Endpoint.Handle(Payment payment) in /src/Endpoint.cs\n");
        }
        body.push_str("\"}");
        Answer::new(status, body)
    }

    /// Of the model.
    pub fn of_reply(reply: Reply) -> Answer {
        match reply {
            Reply::Paid => Answer::new(200, r#"{"message":"payment processed successfully"}"#),
            Reply::Duplicate => {
                Answer::error(422, "Unprocessable Entity", "CorrelationId already exists")
            }
            Reply::Failed => {
                Answer::error(500, "Internal Server Error", "the failure switch is on")
            }
            Reply::Busy => Answer {
                retry_after: true,
                ..Answer::new(429, "")
            },
            Reply::Health {
                failing,
                min_response_ms,
            } => Answer::new(
                200,
                format!(r#"{{"failing":{failing},"minResponseTime":{min_response_ms}}}"#),
            ),
        }
    }

    /// Of `GET /payments/{id}`: `requestedAt` has no `Z` and no zeros at the end of its fraction.
    pub fn of_payment(payment: Option<Payment>) -> Answer {
        let Some(payment) = payment else {
            return Answer::new(404, "");
        };
        let requested_us = i64::try_from(payment.requested_us).unwrap_or(i64::MAX);
        let requested_at = Timestamp::from_microsecond(requested_us).unwrap_or(Timestamp::MAX);
        Answer::new(
            200,
            format!(
                r#"{{"correlationId":"{}","amount":{},"requestedAt":"{}"}}"#,
                Uuid::from_u128(payment.id),
                decimal::write(u128::from(payment.cents), 2),
                Offset::UTC.to_datetime(requested_at),
            ),
        )
    }

    /// Of `GET /admin/payments-summary`.
    pub fn of_summary(totals: Totals, config: &Config) -> Answer {
        let fee_ppm = u128::from(config.fee_ppm);
        Answer::new(
            200,
            format!(
                r#"{{"totalRequests":{},"totalAmount":{},"totalFee":{},"feePerTransaction":{}}}"#,
                totals.count,
                decimal::write(totals.cents, 2),
                decimal::write(totals.cents * fee_ppm, 8),
                decimal::write(fee_ppm, 6),
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_payment_has_no_zone_and_no_zeros_at_its_end() {
        for (requested_us, expected) in [
            (1_752_582_896_123_000, "2025-07-15T12:34:56.123"),
            (1_752_582_896_120_000, "2025-07-15T12:34:56.12"),
            (1_752_582_896_100_001, "2025-07-15T12:34:56.100001"),
            (1_752_582_896_000_000, "2025-07-15T12:34:56"),
            (1_752_582_840_000_000, "2025-07-15T12:34:00"),
        ] {
            let payment = Payment {
                id: 1,
                cents: 1990,
                requested_us,
            };
            let body = format!(
                r#"{{"correlationId":"00000000-0000-0000-0000-000000000001","amount":19.90,"requestedAt":"{expected}"}}"#
            );
            assert_eq!(Answer::of_payment(Some(payment)), Answer::new(200, body));
        }
    }

    #[test]
    fn totals_are_exact() {
        let totals = Totals {
            count: 16_757,
            cents: 16_757 * 1990,
        };
        let answer = Answer::of_summary(totals, &Config::default());
        assert_eq!(
            answer.body,
            r#"{"totalRequests":16757,"totalAmount":333464.30,"totalFee":16673.215,"feePerTransaction":0.05}"#
        );
    }

    #[test]
    fn errors_are_long_and_json() {
        let answer = Answer::error(400, "Bad Request", "no \"amount\"");
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(body["detail"], "no \"amount\"");
        assert!(answer.body.len() >= 2048);
    }
}
