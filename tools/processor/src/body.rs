//! What callers send.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::Value;
use uuid::Uuid;

use crate::decimal;
use crate::fault::{Fault, Plan};
use crate::model::Payment;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentBody<'a> {
    #[serde(borrow)]
    correlation_id: Cow<'a, str>,
    #[serde(borrow)]
    amount: &'a RawValue,
    #[serde(borrow)]
    requested_at: Cow<'a, str>,
}

/// Of `POST /payments`. The error says what is wrong with it.
pub fn payment(body: &[u8]) -> Result<Payment, String> {
    let body: PaymentBody = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let cents = decimal::parse(body.amount.get(), 2);
    let requested_at: Timestamp = body
        .requested_at
        .parse()
        .map_err(|error| format!("requestedAt: {error}"))?;
    Ok(Payment {
        id: id(&body.correlation_id).ok_or("correlationId is no UUID")?,
        cents: cents.ok_or("amount is no decimal with at most two places")?,
        requested_us: since_1970_us(requested_at).ok_or("requestedAt is before 1970")?,
    })
}

/// A UUID, with hyphens.
pub fn id(text: &str) -> Option<u128> {
    let uuid = Uuid::try_parse(text).ok().filter(|_| text.len() == 36)?;
    Some(uuid.as_u128())
}

/// A bound of a window, in microseconds since 1970. UTC if it does not say.
pub fn bound(text: &str) -> Result<u64, String> {
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(error) => {
            let time = text.parse::<DateTime>().map_err(|_| error.to_string())?;
            Offset::UTC
                .to_timestamp(time)
                .map_err(|error| error.to_string())?
        }
    };
    // Before 1970 there is nothing.
    Ok(since_1970_us(time).unwrap_or(0))
}

fn since_1970_us(time: Timestamp) -> Option<u64> {
    u64::try_from(time.as_microsecond()).ok()
}

/// Of `PUT /admin/configurations/token`.
#[derive(Debug, Deserialize)]
pub struct Token {
    /// The new one.
    pub token: String,
}

/// Of `PUT /admin/configurations/delay`.
#[derive(Debug, Deserialize)]
pub struct Delay {
    /// In ms.
    pub delay: u64,
}

/// Of `PUT /admin/configurations/failure`.
#[derive(Debug, Deserialize)]
pub struct Failure {
    /// The switch.
    pub failure: bool,
}

/// Of `PUT /admin/configurations/faults`: `seed`, `chunked` and any fault's name with its rate, `nth` with
/// faults by the number of a request. What is missing is 0.
pub fn plan(body: &[u8]) -> Result<Plan, String> {
    let body: BTreeMap<String, Value> =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut plan = Plan::default();
    for (key, value) in body {
        match key.as_str() {
            "seed" => plan.seed = value.as_u64().ok_or("the seed is no number")?,
            "chunked" => plan.chunked = rate(&value.to_string())?,
            "nth" => {
                let value: BTreeMap<u64, String> =
                    serde_json::from_value(value).map_err(|error| format!("nth: {error}"))?;
                for (n, fault) in value {
                    plan.nth.push((n, fault.parse()?));
                }
            }
            fault => plan.set_rate(fault.parse::<Fault>()?, rate(&value.to_string())?),
        }
    }
    plan.check()?;
    Ok(plan)
}

/// A share from 0 to 1, in millionths.
pub fn rate(text: &str) -> Result<u32, String> {
    let rate = decimal::parse(text, 6).filter(|rate| *rate <= 1_000_000);
    let rate = rate.ok_or_else(|| format!("{text} is no share from 0 to 1, to the millionth"))?;
    Ok(u32::try_from(rate).expect("at most a million"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3";

    fn parse(id: &str, amount: &str, requested_at: &str) -> Result<Payment, String> {
        let body = format!(
            r#"{{"correlationId":"{id}","amount":{amount},"requestedAt":"{requested_at}"}}"#
        );
        payment(body.as_bytes())
    }

    #[test]
    fn a_payment_is_read() {
        let expected = Payment {
            id: 0x4a79_01b8_7d26_4d9d_aa19_4dc1_c7cf_60b3,
            cents: 1990,
            requested_us: 1_752_582_896_123_000,
        };
        assert_eq!(parse(ID, "19.90", "2025-07-15T12:34:56.123Z"), Ok(expected));
        let upper = ID.to_uppercase();
        assert_eq!(
            parse(&upper, "19.9", "2025-07-15T12:34:56.123Z"),
            Ok(expected)
        );
    }

    #[test]
    fn what_is_no_payment_is_refused_with_a_reason() {
        const TIME: &str = "2025-07-15T12:34:56.123Z";
        for (found, reason) in [
            (parse("4a7901b8", "1", TIME), "correlationId"),
            (parse(&ID.replace('-', ""), "1", TIME), "correlationId"),
            (parse(ID, "1.999", TIME), "amount"),
            (parse(ID, "\"1\"", TIME), "amount"),
            (parse(ID, "-1", TIME), "amount"),
            (parse(ID, "1", "2025-07-15T12:34:56.123"), "requestedAt"),
            (parse(ID, "1", "yesterday"), "requestedAt"),
            (parse(ID, "1", "1969-12-31T23:59:59Z"), "requestedAt"),
            (payment(b"{}"), "correlationId"),
            (payment(b""), "EOF"),
        ] {
            let error = found.expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn bounds_are_utc() {
        assert_eq!(bound("1970-01-01T00:00:01.5Z"), Ok(1_500_000));
        assert_eq!(bound("1970-01-01T00:00:01.5"), Ok(1_500_000));
        assert_eq!(bound("1970-01-01T01:00:00+01:00"), Ok(0));
        assert_eq!(bound("1960-01-01T01:00:00Z"), Ok(0));
        assert!(bound("1").is_err());
    }

    #[test]
    fn a_plan_is_read() {
        let body =
            br#"{"reply_lost":0.25,"drip":1e-6,"seed":9,"chunked":0.5,"nth":{"3":"cut_body"}}"#;
        let plan = plan(body).expect("a plan");
        assert_eq!(plan.rates, [250_000, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((plan.seed, plan.chunked), (9, 500_000));
        assert_eq!(plan.nth, [(3, Fault::CutBody)]);
    }

    #[test]
    fn what_is_no_plan_is_refused_with_a_reason() {
        for (body, reason) in [
            (r#"{"reply_los":0.5}"#, "there are reply_lost, reset_before"),
            (r#"{"drip":1.5}"#, "1.5"),
            (r#"{"drip":0.6,"cut_head":0.6}"#, "together"),
            (r#"{"nth":{"0":"drip"}}"#, "from 1"),
            (r#"{"nth":{"x":"drip"}}"#, "nth"),
            (r#"{"seed":-1}"#, "seed"),
        ] {
            let error = plan(body.as_bytes()).expect_err(body);
            assert!(error.contains(reason), "{error}");
        }
    }
}
