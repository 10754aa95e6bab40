//! What must hold for any body of a transaction. Shared by the fuzz target and by the properties
//! that `cargo test` checks.

use galo::api::bank::transaction;
use galo::api::Call;
use galo::command::Command;
use galo::http::Status;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Checks one body: the status says whether it was JSON, and what is taken keeps the rules, as an
/// independent reading of it confirms.
pub fn check(body: &[u8]) {
    let is_json = std::str::from_utf8(body)
        .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    match transaction(7, None, body) {
        Call::Refused(refused) => {
            let expected = if is_json {
                Status::Unprocessable
            } else {
                Status::BadRequest
            };
            assert_eq!(refused.problem.status, expected, "{:?}", refused.problem);
        }
        Call::Command(
            Command::Transact {
                client,
                kind,
                amount,
                description,
            },
            None,
        ) => {
            let members: BTreeMap<String, &RawValue> =
                serde_json::from_slice(body).expect("taken, so an object");
            let text = |name| serde_json::from_str::<String>(members[name].get()).unwrap();
            assert_eq!(client, 7);
            assert_eq!(members["valor"].get(), amount.to_string());
            assert!(amount > 0);
            assert_eq!(text("tipo"), String::from(kind.to_byte() as char));
            let description = description.get().as_str();
            assert_eq!(text("descricao"), description);
            assert!((1..=10).contains(&description.chars().count()));
        }
        other => panic!("no transaction: {other:?}"),
    }
}
