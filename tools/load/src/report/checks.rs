//! A contest's checks, as they are gathered while it runs.

use crate::measure::Failure;

use super::{Check, CheckExample, CHECK_EXAMPLES_MAX};

/// Of a request and of a reply in an example, at most.
const EXAMPLE_BYTES_MAX: usize = 2048;

/// Checks by what must be so, in the order in which they were first made. One for each thread; they are merged.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    list: Vec<Check>,
}

impl Checks {
    /// `what` was looked at once. Returns whether it was so. Of what was not, examples are kept up to
    /// [`CHECK_EXAMPLES_MAX`].
    pub fn look(&mut self, what: &str, outcome: Result<(), CheckExample>) -> bool {
        let check = self.of(what);
        check.count += 1;
        let Err(example) = outcome else { return true };
        check.failed += 1;
        if check.examples.len() < CHECK_EXAMPLES_MAX {
            check.examples.push(example);
        }
        false
    }

    /// Those of another, too. What both have stays where it was.
    pub fn merge(&mut self, other: Checks) {
        for theirs in other.list {
            let check = self.of(&theirs.what);
            check.count += theirs.count;
            check.failed += theirs.failed;
            let room = CHECK_EXAMPLES_MAX - check.examples.len();
            check
                .examples
                .extend(theirs.examples.into_iter().take(room));
        }
    }

    /// Checks so far, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Check> {
        self.list.iter()
    }

    /// For the report.
    pub fn into_vec(self) -> Vec<Check> {
        self.list
    }

    fn of(&mut self, what: &str) -> &mut Check {
        // There are some forty of them at most.
        let at = match self.list.iter().position(|check| check.what == what) {
            Some(at) => at,
            None => {
                self.list.push(Check {
                    what: what.to_owned(),
                    count: 0,
                    failed: 0,
                    examples: Vec::new(),
                });
                self.list.len() - 1
            }
        };
        &mut self.list[at]
    }
}

impl CheckExample {
    /// A reply came, and it is not right. `request`: its bytes.
    pub fn replied(
        what: impl Into<String>,
        request: &[u8],
        status: u16,
        body: &[u8],
    ) -> CheckExample {
        CheckExample {
            what: what.into(),
            request: request_text(request),
            reply: format!("{status} {}", text(body)),
        }
    }

    /// No reply came, and why.
    pub fn lost(request: &[u8], failure: &Failure) -> CheckExample {
        CheckExample::unanswered(failure.to_string(), request)
    }

    /// No reply came.
    pub fn unanswered(what: impl Into<String>, request: &[u8]) -> CheckExample {
        CheckExample {
            what: what.into(),
            request: request_text(request),
            reply: "none".to_owned(),
        }
    }
}

/// Method, path and body: headers are the same in all requests.
pub fn request_text(request: &[u8]) -> String {
    let request = text(request);
    let (head, body) = request
        .split_once("\r\n\r\n")
        .unwrap_or((request.as_str(), ""));
    let line = head.lines().next().unwrap_or_default();
    let line = line.strip_suffix(" HTTP/1.1").unwrap_or(line);
    format!("{line} {body}").trim_end().to_owned()
}

/// What is too long loses its end.
fn text(bytes: &[u8]) -> String {
    let whole = bytes.len() <= EXAMPLE_BYTES_MAX;
    let kept = &bytes[..bytes.len().min(EXAMPLE_BYTES_MAX)];
    let mut text = String::from_utf8_lossy(kept).into_owned();
    if !whole {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::FailureKind;

    fn failed(what: &str) -> Result<(), CheckExample> {
        Err(CheckExample::replied(what, b"GET / HTTP/1.1", 500, b""))
    }

    #[test]
    fn counts_and_first_examples_of_all_threads() {
        let (mut one, mut other) = (Checks::default(), Checks::default());
        assert!(one.look("a", Ok(())));
        assert!(!one.look("b", failed("1")));
        assert!(other.look("c", Ok(())));
        for number in 2..100 {
            assert!(!other.look("b", failed(&number.to_string())));
        }
        one.merge(other);
        let list = one.into_vec();
        let names: Vec<_> = list.iter().map(|check| &*check.what).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!((list[1].count, list[1].failed), (99, 99));
        let examples: Vec<_> = list[1].examples.iter().map(|e| e.what.clone()).collect();
        let first: Vec<_> = (1..=CHECK_EXAMPLES_MAX).map(|n| n.to_string()).collect();
        assert_eq!(examples, first);
    }

    #[test]
    fn an_example_is_what_a_person_wants_to_read() {
        let request = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        let example = CheckExample::replied("w", request, 422, b"{}");
        assert_eq!(example.request, "POST /x {\"a\":1}");
        assert_eq!(example.reply, "422 {}");
        let failure = Failure::new(FailureKind::Refused, "os error 111");
        let example = CheckExample::lost(b"GET /y HTTP/1.1\r\nHost: a\r\n\r\n", &failure);
        assert_eq!(example.request, "GET /y");
        assert_eq!(example.what, "connection refused: os error 111");
        assert_eq!(example.reply, "none");
        let long = CheckExample::replied("w", b"", 200, &vec![0xff; 2 * EXAMPLE_BYTES_MAX]);
        assert_eq!(
            long.reply.chars().count(),
            "200 ".len() + EXAMPLE_BYTES_MAX + 1
        );
    }
}
