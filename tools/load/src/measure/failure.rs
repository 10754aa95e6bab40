//! What went wrong, by kind, with one example of each.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Of an example, at most.
const EXAMPLE_BYTES_MAX: usize = 1024;

/// How a request can fail.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No connection: nobody listens.
    Refused,
    /// No connection for another reason: no address left, no route, too many open files.
    Connect,
    /// The connection was reset.
    Reset,
    /// The connection ended before the first byte of a reply.
    Closed,
    /// The connection ended, or was reset, within a reply.
    HalfReply,
    /// No reply in time.
    TimeOut,
    /// What came is not HTTP, or more than was asked for.
    NotHttp,
    /// A status that this request cannot have.
    WrongStatus,
    /// The body is not the JSON that this reply has.
    WrongJson,
    /// The reply contradicts the rules: a balance below the limit, a statement out of order.
    WrongContent,
}

impl FailureKind {
    /// As it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Refused => "connection refused",
            FailureKind::Connect => "no connection",
            FailureKind::Reset => "connection reset",
            FailureKind::Closed => "connection closed",
            FailureKind::HalfReply => "half a reply",
            FailureKind::TimeOut => "time-out",
            FailureKind::NotHttp => "not HTTP",
            FailureKind::WrongStatus => "wrong status",
            FailureKind::WrongJson => "wrong JSON",
            FailureKind::WrongContent => "wrong content",
        }
    }

    /// A reply came, and it is not right: no fault of a network.
    pub fn is_wrong(self) -> bool {
        matches!(
            self,
            FailureKind::NotHttp
                | FailureKind::WrongStatus
                | FailureKind::WrongJson
                | FailureKind::WrongContent
        )
    }

    /// What an error of a socket that is connected is called; `within`: a part of the reply had come.
    pub fn of_error(error: &io::Error, within: bool) -> FailureKind {
        match error.kind() {
            _ if within => FailureKind::HalfReply,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => FailureKind::Reset,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => FailureKind::TimeOut,
            _ => FailureKind::Closed,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One failure: its kind, and what is wrong in words, without request and reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// See there.
    pub kind: FailureKind,
    /// What is wrong, for people.
    pub what: String,
}

impl Failure {
    /// One of it.
    pub fn new(kind: FailureKind, what: impl Into<String>) -> Failure {
        let what = what.into();
        Failure { kind, what }
    }

    /// As an error, behind what it is about.
    pub fn context(self, about: &str) -> anyhow::Error {
        anyhow::anyhow!("{about}: {self}")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.what)
    }
}

/// How often each kind was seen, and an example of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    kinds: BTreeMap<FailureKind, (u64, String)>,
}

impl Failures {
    /// One more; `example` is asked for only if there is none of its kind yet.
    pub fn add(&mut self, kind: FailureKind, example: impl FnOnce() -> String) {
        let (count, _) = self
            .kinds
            .entry(kind)
            .or_insert_with(|| (0, cut(example())));
        *count += 1;
    }

    /// Those of another, too.
    pub fn merge(&mut self, other: &Failures) {
        for (kind, (count, example)) in &other.kinds {
            let (sum, _) = self
                .kinds
                .entry(*kind)
                .or_insert_with(|| (0, example.clone()));
            *sum += count;
        }
    }

    /// Of all kinds.
    pub fn count(&self) -> u64 {
        self.kinds.values().map(|(count, _)| count).sum()
    }

    /// Of replies that are not right.
    pub fn wrong_count(&self) -> u64 {
        let wrong = self.kinds.iter().filter(|(kind, _)| kind.is_wrong());
        wrong.map(|(_, (count, _))| count).sum()
    }

    /// Kind, count and example, most frequent first.
    pub fn most_frequent(&self) -> Vec<(FailureKind, u64, &str)> {
        let kinds = self.kinds.iter();
        let mut list: Vec<_> = kinds
            .map(|(kind, (count, text))| (*kind, *count, &**text))
            .collect();
        list.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
        list
    }
}

/// What is too long loses its end.
fn cut(mut example: String) -> String {
    if example.len() > EXAMPLE_BYTES_MAX {
        let end = (0..=EXAMPLE_BYTES_MAX)
            .rev()
            .find(|at| example.is_char_boundary(*at));
        example.truncate(end.unwrap_or_default());
        example.push('…');
    }
    example
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_example_of_each_kind_is_kept() {
        let mut failures = Failures::default();
        failures.add(FailureKind::Reset, || "first".to_owned());
        failures.add(FailureKind::Reset, || panic!("there is one"));
        failures.add(FailureKind::WrongJson, || "é".repeat(EXAMPLE_BYTES_MAX));
        let mut all = Failures::default();
        all.merge(&failures);
        all.merge(&failures);
        assert_eq!((all.count(), all.wrong_count()), (6, 2));
        let list = all.most_frequent();
        assert_eq!(list[0], (FailureKind::Reset, 4, "first"));
        assert_eq!(list[1].2.chars().count(), EXAMPLE_BYTES_MAX / 2 + 1);
    }
}
