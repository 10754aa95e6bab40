//! The JSON of replies: objects, whatever else may be in them and in whichever order.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::measure::{Failure, FailureKind};

/// Reads the members of an object.
///
/// # Errors
/// [`FailureKind::WrongJson`]: it is none, or not one with these members.
pub fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    let wrong = |what: String| Failure::new(FailureKind::WrongJson, what);
    // The JSON reader takes strings that it skips without looking at their bytes.
    let body = std::str::from_utf8(body).map_err(|error| wrong(error.to_string()))?;
    let Object(members) = serde_json::from_str(body).map_err(|error| wrong(error.to_string()))?;
    Ok(members)
}

/// Whoever answers so says that nothing was done; of other failures nobody knows.
pub const fn is_refusal(status: u16) -> bool {
    matches!(status, 400..=499)
}

/// The reply is not one that this request can have; `right`: those that it can have.
pub fn wrong_status(status: u16, right: &str) -> Failure {
    Failure::new(FailureKind::WrongStatus, format!("{status} is not {right}"))
}

/// A rule is broken.
pub fn wrong_content(what: String) -> Failure {
    Failure::new(FailureKind::WrongContent, what)
}

/// What has members: derived readers take them from a list, too, in their order; this one does not.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        deserializer
            .deserialize_map(Members(PhantomData))
            .map(Object)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}
