//! What must hold for any body of a payment. Shared by the fuzz target and by the properties that
//! `cargo test` checks.

use galo::api::payments::pay;
use galo::api::problem::KEY;
use galo::api::Call;
use galo::command::Command;
use galo::http::{BadKey, Status};
use galo::limits::AMOUNT_CENTS_MAX;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Checks one body: the status says whether it was JSON, and what is taken keeps the rules, as an
/// independent reading of it confirms. A key counts without an id only, and a bad one is refused
/// in any case.
pub fn check(body: &[u8]) {
    let refused = pay(Some(Err(BadKey)), body);
    assert!(matches!(refused, Call::Refused(it) if it.problem == KEY));
    let is_json = std::str::from_utf8(body)
        .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    match pay(None, body) {
        Call::Refused(refused) => {
            let expected = if is_json {
                Status::Unprocessable
            } else {
                Status::BadRequest
            };
            assert_eq!(refused.problem.status, expected, "{:?}", refused.problem);
            assert!(matches!(pay(Some(Ok(b"a")), body), Call::Refused(_)));
        }
        Call::PayNow(cents, None) => {
            let members = members(body);
            let id = members.get("correlationId");
            assert!(id.is_none_or(|id| id.get() == "null"));
            let other = members.get("correlation_id").or(members.get("id"));
            assert!(other.is_none_or(|other| other.get() == "null"));
            assert_is_amount(members["amount"], cents);
            assert_eq!(pay(Some(Ok(b"a")), body), Call::PayNow(cents, Some(b"a")));
        }
        Call::Command(Command::Pay { id, cents }, None) => {
            let members = members(body);
            let text: String = serde_json::from_str(members["correlationId"].get()).unwrap();
            assert_eq!(text.to_ascii_lowercase(), id.to_string());
            assert_is_amount(members["amount"], cents);
            let again = Command::Pay { id, cents };
            assert_eq!(pay(Some(Ok(b"a")), body), Call::Command(again, None));
        }
        other => panic!("no payment: {other:?}"),
    }
}

fn members(body: &[u8]) -> BTreeMap<String, &RawValue> {
    serde_json::from_slice(body).expect("taken, so an object")
}

/// A floating-point number is near, and no decimals are lost.
fn assert_is_amount(raw: &RawValue, cents: u64) {
    assert!((1..=AMOUNT_CENTS_MAX).contains(&cents));
    let near: f64 = raw.get().parse().unwrap();
    let error = near * 100.0 - cents as f64;
    assert!(error.abs() < 0.001, "{raw} is not {cents} cents");
}
