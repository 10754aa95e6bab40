//! Reading bodies that are JSON objects, and writing values.
//!
//! Their members stay raw, because what is wrong with a member (422) is not what is wrong with the JSON
//! (400), and because a number is judged by its digits.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::{Problem, NOT_JSON};

/// Reads an object; `T` says which members count, and has each as an `Option<&RawValue>`.
///
/// # Errors
/// 400 for what is no JSON; 422, with `not_this`, for other values than objects, and for a member that
/// is there twice.
pub(super) fn object<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    not_this: Problem,
) -> Result<T, Problem> {
    // The JSON reader takes strings that it skips without looking at their bytes.
    let body = std::str::from_utf8(body).map_err(|_| NOT_JSON)?;
    let members = serde_json::from_str(body).map_err(|_| {
        // Of the wrong shape, or no JSON at all: the error's kind does not tell reliably.
        match serde_json::from_str::<&RawValue>(body) {
            Ok(_) => not_this,
            Err(_) => NOT_JSON,
        }
    })?;
    // It would also read the members from a list, in their order.
    if body.trim_ascii_start().starts_with('{') {
        Ok(members)
    } else {
        Err(not_this)
    }
}

/// Appends a whole number.
pub(super) fn write_integer(body: &mut Vec<u8>, number: impl itoa::Integer) {
    body.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A string; borrowed unless it holds escapes. `None` for other values, and for escapes that are no
/// characters (a lone surrogate).
pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let raw = raw.get();
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}
