//! A `correlationId` by another name. It would be ignored like any unknown member, the payment accepted
//! under an id of our own making, and paid again when its client repeats it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// Other names for the same thing, in the form that [`is_misspelt`] compares.
const OTHER_NAMES: [&str; 4] = ["id", "uuid", "paymentid", "correlation"];
const NAME: &str = "correlationid";
/// Letters to add, to leave out or to change.
const SLIPS_MAX: usize = 2;

/// Whether a body, which is an object, has such a member. One that is null is none, like a
/// `correlationId` of null.
pub(super) fn has_misspelt_id(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|FoundName(found)| found)
}

struct FoundName(bool);

impl<'de> Deserialize<'de> for FoundName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FoundName, D::Error> {
        struct JsonMembers;
        impl<'de> Visitor<'de> for JsonMembers {
            type Value = FoundName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<FoundName, A::Error> {
                let mut found = false;
                while let Some(Misspelt(misspelt)) = members.next_key()? {
                    let value: Option<IgnoredAny> = members.next_value()?;
                    found |= misspelt && value.is_some();
                }
                Ok(FoundName(found))
            }
        }
        deserializer.deserialize_map(JsonMembers)
    }
}

/// A member's name, and whether it is nearly one of ours.
struct Misspelt(bool);

impl<'de> Deserialize<'de> for Misspelt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Misspelt, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Misspelt;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Misspelt, E> {
                Ok(Misspelt(is_misspelt(name)))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// By its letters and digits, in any case: `correlation_id`, `CorrelationID`, `corelationId`, `id`.
fn is_misspelt(name: &str) -> bool {
    if name == "correlationId" {
        return false;
    }
    // Of what is longer, the rest decides nothing: it is no slip any more.
    let mut letters = [0; NAME.len() + SLIPS_MAX + 1];
    let mut length = 0;
    for byte in name.bytes().filter(u8::is_ascii_alphanumeric) {
        if length == letters.len() {
            return false;
        }
        letters[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    let letters = &letters[..length];
    OTHER_NAMES.iter().any(|other| other.as_bytes() == letters) || distance(letters) <= SLIPS_MAX
}

/// Levenshtein's, to [`NAME`], by rows of his table.
fn distance(letters: &[u8]) -> usize {
    let mut row: [usize; NAME.len() + 1] = std::array::from_fn(|column| column);
    for (above, letter) in letters.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (column, other) in NAME.bytes().enumerate() {
            let changed = diagonal + usize::from(other != *letter);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[NAME.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_name() {
        for name in [
            "correlation_id",
            "correlationID",
            "CorrelationId",
            "correlationid",
            "CORRELATION_ID",
            "correlation-id",
            "Correlation Id",
            "corelationId",
            "correlatoinId",
            "correlactionId",
            "correlationIds",
            "correlationUid",
            "correlation",
            "id",
            "ID",
            "_id",
            "uuid",
            "paymentId",
            "payment_id",
        ] {
            assert!(is_misspelt(name), "{name}");
        }
        for name in [
            "correlationId",
            "",
            "amount",
            "description",
            "customerId",
            "conversationId",
            "compensationId",
            "correction",
            "relationId",
            "idempotencyKey",
            "correlationIdOfTheOrder",
            "correlationIdOld",
            "\u{e7}\u{e3}",
            "i",
        ] {
            assert!(!is_misspelt(name), "{name}");
        }
    }

    #[test]
    fn letters_are_added_left_out_and_changed() {
        for (letters, expected) in [
            ("correlationid", 0),
            ("correlationi", 1),
            ("xcorrelationid", 1),
            ("correlazionid", 1),
            ("corelatoinid", 3),
            ("", 13),
            ("id", 11),
            ("zzzzzzzzzzzzzzzz", 16),
        ] {
            assert_eq!(distance(letters.as_bytes()), expected, "{letters}");
        }
    }

    #[test]
    fn members_are_found_where_they_count() {
        for (body, found) in [
            (r#"{"correlation_id":"x","amount":1}"#, true),
            (r#"{"amount":1,"correlation\u005fid":7}"#, true),
            (r#"{"id":[{}],"id":null}"#, true),
            (r#"{"correlation_id":null,"amount":1}"#, false),
            (r#"{"amount":1,"order":{"id":"x"},"tags":["id"]}"#, false),
            (r#"{"amount":1}"#, false),
            ("{}", false),
        ] {
            assert_eq!(has_misspelt_id(body.as_bytes()), found, "{body}");
        }
    }
}
