//! Payments as a client sees them: requests, totals without a floating-point number between, times.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::fmt::Hyphenated;
use uuid::Uuid;

use crate::{get, post, Random, Reply};

/// The processors' names, by number.
pub const PROCESSORS: [&str; 2] = ["default", "fallback"];

/// An id that nobody has used.
pub fn new_id(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    let bits = u128::from(high) << 64 | u128::from(low);
    let id = uuid::Builder::from_random_bytes(bits.to_be_bytes());
    id.into_uuid().to_string()
}

/// `amount` as it is to stand there.
pub fn payment(id: &str, amount: &str) -> Vec<u8> {
    let body = format!(r#"{{"correlationId":"{id}","amount":{amount}}}"#);
    post("/payments", &body)
}

/// `from` and `to`: microseconds since 1970, both inclusive.
pub fn summary(from_us: u64, to_us: u64) -> Vec<u8> {
    get(&format!(
        "/payments-summary?from={}&to={}",
        iso(from_us),
        iso(to_us)
    ))
}

/// Of one processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub count: u64,
    pub cents: u128,
}

/// Of both, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary(pub [Totals; 2]);

impl Summary {
    pub fn count(&self) -> u64 {
        self.0[0].count + self.0[1].count
    }

    /// What `/payments-summary` says, in both of its forms.
    #[track_caller]
    pub fn of(reply: &Reply) -> Summary {
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let said: Said<'_> = serde_json::from_slice(&reply.body)
            .unwrap_or_else(|error| panic!("{error} in {reply:?}"));
        let first = [&said.default, &said.fallback].map(|one| Totals {
            count: one.requests,
            cents: cents(one.amount.get()),
        });
        let by = &said.payments_by_processor;
        let second = [&by.default, &by.fallback].map(|one| Totals {
            count: one.count,
            cents: cents(one.total_amount.get()),
        });
        assert_eq!(first, second, "the two forms differ: {reply:?}");
        let summary = Summary(first);
        assert_eq!(said.total_payments, summary.count(), "{reply:?}");
        let sum = first[0].cents + first[1].cents;
        assert_eq!(cents(said.total_amount.get()), sum, "{reply:?}");
        summary
    }
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    default: One<'a>,
    fallback: One<'a>,
    total_payments: u64,
    total_amount: &'a RawValue,
    payments_by_processor: ByProcessor<'a>,
}

#[derive(Deserialize)]
struct One<'a> {
    #[serde(rename = "totalRequests")]
    requests: u64,
    #[serde(rename = "totalAmount", borrow)]
    amount: &'a RawValue,
}

#[derive(Deserialize)]
struct ByProcessor<'a> {
    #[serde(borrow)]
    default: Other<'a>,
    fallback: Other<'a>,
}

#[derive(Deserialize)]
struct Other<'a> {
    count: u64,
    #[serde(borrow)]
    total_amount: &'a RawValue,
}

/// 32 hexadecimal digits in five groups.
pub fn id_text(id: u128) -> String {
    Uuid::from_u128(id).to_string()
}

/// The other way round; capital letters, too.
pub fn parse_id(text: &str) -> Option<u128> {
    let id = Uuid::try_parse(text).ok()?;
    // It would take other forms, too, each of another length.
    (text.len() == Hyphenated::LENGTH).then(|| id.as_u128())
}

/// Cents as a decimal.
pub fn decimal(cents: u128) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A decimal with at most two places as cents.
pub fn parse_cents(text: &str) -> Option<u128> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    if places.len() > 2 || whole.is_empty() || text.ends_with('.') {
        return None;
    }
    format!("{whole}{places:0<2}").parse().ok()
}

/// The same of what must be one.
#[track_caller]
pub fn cents(decimal: &str) -> u128 {
    parse_cents(decimal).unwrap_or_else(|| panic!("{decimal} is no amount"))
}

/// Microseconds since 1970.
pub fn now_us() -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    now.as_micros() as u64
}

/// ISO 8601 in UTC with milliseconds. Of microseconds since 1970.
pub fn iso(time_us: u64) -> String {
    let time = Timestamp::from_microsecond(time_us as i64).expect("before 9999");
    format!("{time:.3}")
}

/// Microseconds since 1970 of ISO 8601 in UTC, with or without a fraction and a `Z`.
pub fn parse_time(iso: &str) -> Option<u64> {
    let text = iso.strip_suffix('Z').unwrap_or(iso);
    let time: Timestamp = format!("{text}Z").parse().ok()?;
    time.as_microsecond().try_into().ok()
}

/// The same of what must be a time.
#[track_caller]
pub fn us_of(iso: &str) -> u64 {
    parse_time(iso).unwrap_or_else(|| panic!("{iso:?} is no time"))
}

#[test]
fn times_are_written_and_read() {
    for (text, us) in [
        ("1970-01-01T00:00:00.000Z", 0),
        ("2020-07-10T12:34:56.000Z", 1_594_384_496_000_000),
        ("2024-02-29T23:59:59.999Z", 1_709_251_199_999_000),
        ("2026-12-31T00:00:00.120Z", 1_798_675_200_120_000),
    ] {
        assert_eq!(iso(us), text);
        assert_eq!(us_of(text), us);
    }
    assert_eq!(iso(1_709_251_199_999_999), "2024-02-29T23:59:59.999Z");
    assert_eq!(us_of("2026-12-31T00:00:00.12"), 1_798_675_200_120_000);
    assert_eq!(us_of("2026-12-31T00:00:00"), 1_798_675_200_000_000);
}
