//! What a client takes: `Accept` and `Accept-Encoding` (RFC 9110, sections 12.5.1 and 12.5.3).

use memchr::memchr;

use crate::limits::HEAD_BYTES_MAX;

/// The elements of a comma-separated list, without the blanks around them; maybe empty.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Bodies that there are in a second form, for who asks for it: who names that in `Accept`, with a weight above zero and
/// not below what the header gives the usual form, by the range that fits this best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepts {
    /// Errors as `application/problem+json` (RFC 9457), where `application/json` is usual.
    pub problem_details: bool,
    /// Metrics as `application/openmetrics-text`, version 1.0.0 or none in particular, where `text/plain` is usual.
    pub openmetrics: bool,
}

impl Accepts {
    /// Of a head that asks for neither.
    pub const USUAL: Accepts = Accepts {
        problem_details: false,
        openmetrics: false,
    };

    /// Whether a field's value may name one of these at all: most are `*/*` or `application/json`, and not worth reading.
    #[inline]
    pub(super) fn may_be_named_in(value: &[u8]) -> bool {
        value.len() >= "application/problem+json".len() && has_mark(value)
    }

    /// `values`: of all fields of that name.
    #[cold]
    #[inline(never)]
    pub(super) fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> Accepts {
        let mut weights = Weights::default();
        values.for_each(|value| weights.take(value));
        let is_asked_for = |named, usual: Usual| named > 0 && named >= usual.weight;
        Accepts {
            problem_details: is_asked_for(weights.problem, weights.json),
            openmetrics: is_asked_for(weights.openmetrics, weights.text),
        }
    }

    /// What the head at the front of `input` asks for, as far as it is there, although it makes no request.
    #[cold]
    #[inline(never)]
    pub fn of_fragment(input: &[u8]) -> Accepts {
        let head = &input[..input.len().min(HEAD_BYTES_MAX)];
        let lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        let mut lines = lines.skip_while(|line| line.is_empty());
        let _request_line = lines.next();
        let fields = lines.take_while(|line| !line.is_empty());
        Accepts::of(fields.filter_map(|line| {
            let (name, value) = line.split_at(memchr(b':', line)?);
            name.eq_ignore_ascii_case(b"Accept").then_some(&value[1..])
        }))
    }
}

/// Never in line: what stands in the loop over a head's fields is paid for by each of them.
#[cold]
#[inline(never)]
fn has_mark(value: &[u8]) -> bool {
    value.iter().any(|byte| matches!(byte, b'+' | b'-'))
}

/// Weights of media types, in thousandths; 0 for what is not accepted.
#[derive(Default)]
struct Weights {
    problem: u16,
    json: Usual,
    openmetrics: u16,
    text: Usual,
}

/// The weight of a type that may be meant by a wider range, too.
#[derive(Clone, Copy, Default)]
struct Usual {
    /// Of the range that the weight is from: 3 for the type itself, 1 for everything.
    precision: u8,
    weight: u16,
}

impl Usual {
    fn take(&mut self, precision: u8, weight: u16) {
        if precision > self.precision {
            *self = Usual { precision, weight };
        } else if precision == self.precision {
            self.weight = self.weight.max(weight);
        }
    }
}

impl Weights {
    fn take(&mut self, value: &[u8]) {
        for range in unquoted(value, b',') {
            let mut parts = unquoted(range, b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            let (mut q, mut version) = (1000, None);
            for parameter in parts {
                match parameter {
                    // A weight that nobody can read is no consent.
                    [b'q' | b'Q', b'=', ..] => q = weight(parameter).unwrap_or(0),
                    _ => version = version.or(version_of(parameter)),
                }
            }
            if is("application/problem+json") {
                self.problem = self.problem.max(q);
            } else if is("application/openmetrics-text") {
                if version.is_none_or(|it| it == b"1.0.0") {
                    self.openmetrics = self.openmetrics.max(q);
                }
            } else if is("application/json") {
                self.json.take(3, q);
            } else if is("text/plain") {
                self.text.take(3, q);
            } else if is("application/*") {
                self.json.take(2, q);
            } else if is("text/*") {
                self.text.take(2, q);
            } else if is("*/*") {
                self.json.take(1, q);
                self.text.take(1, q);
            }
        }
    }
}

/// The value of a parameter `version`, without quotes.
fn version_of(parameter: &[u8]) -> Option<&[u8]> {
    let (name, value) = parameter.split_at_checked("version=".len())?;
    let value = name.eq_ignore_ascii_case(b"version=").then_some(value)?;
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|it| it.strip_suffix(b"\""));
    Some(inner.unwrap_or(value))
}

/// What stands between separators that are not in a quoted string.
fn unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |&byte| {
        let is_plain = !quoted;
        if escaped {
            escaped = false;
        } else if byte == b'\\' && quoted {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        }
        byte == separator && is_plain
    })
}

/// Content codings that the client names, with their weights in thousandths.
#[derive(Default)]
pub(super) struct Codings {
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Codings {
    #[cold]
    #[inline(never)]
    pub fn take(&mut self, value: &[u8]) {
        for element in list(value) {
            let mut parts = element.splitn(2, |&byte| byte == b';');
            let coding = parts.next().unwrap_or_default().trim_ascii_end();
            // A weight that nobody can read is no consent.
            let weight = parts.next().map_or(Some(1000), weight).unwrap_or(0);
            if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
                self.gzip = self.gzip.max(Some(weight));
            } else if coding.eq_ignore_ascii_case(b"identity") {
                self.identity = Some(weight);
            } else if coding == b"*" {
                self.any = Some(weight);
            }
        }
    }

    /// `*` stands for what is not named. No coding at all is what a client gets for whom gzip is
    /// second best.
    pub fn accept_gzip(&self) -> bool {
        let gzip = self.gzip.or(self.any).unwrap_or(0);
        gzip > 0 && gzip >= self.identity.unwrap_or(0)
    }
}

/// `q=0.5` as 500 (RFC 9110, section 12.4.2).
fn weight(parameter: &[u8]) -> Option<u16> {
    let value = match parameter.trim_ascii() {
        [b'q' | b'Q', b'=', value @ ..] => value,
        _ => return None,
    };
    let (whole, fraction) = match value {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return None,
    };
    let mut weight = u16::from(whole - b'0') * 1000;
    for (digit, unit) in fraction.iter().zip([100, 10, 1]) {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        weight += u16::from(digit) * unit;
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Accepts {
        Accepts::of(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn problem_details_are_for_who_names_them_and_likes_json_no_better() {
        for (values, expected) in [
            (&["application/problem+json"][..], true),
            (&["Application/Problem+JSON;q=0.1"], true),
            (&["application/problem+json, application/json"], true),
            (&["application/json", "application/problem+json"], true),
            (&["application/problem+json, */*"], true),
            (&["application/problem+json;q=0.5, */*;q=0.5"], true),
            (
                &["application/problem+json;q=0.5, application/json;q=0.1, */*"],
                true,
            ),
            (
                &["application/problem+json;q=0.5, application/*;q=0.4, */*"],
                true,
            ),
            (&["application/problem+json;q=0.001"], true),
            (&["application/problem+json;charset=utf-8"], true),
            (
                &[r#"text/html;x=",application/json,";q=0.3, application/problem+json;q=0.2"#],
                true,
            ),
            (
                &[r#"text/html;x="\",application/json", application/problem+json;q=0.2"#],
                true,
            ),
            (
                &["application/problem+json;Q=0.7,application/json;q=0.65"],
                true,
            ),
            (&[""], false),
            (&["*/*"], false),
            (&["application/*"], false),
            (&["application/json"], false),
            (&["application/problem+xml"], false),
            (&["application/problem+json;q=0"], false),
            (&["application/problem+json;q=0.000"], false),
            (&["application/problem+json;q=2"], false),
            (&["application/problem+json;q="], false),
            (&["application/problem+json;q=0.5, application/json"], false),
            (&["application/problem+json;q=0.5, */*"], false),
            (
                &["application/problem+json;q=0.5, application/*;q=0.6, */*;q=0.1"],
                false,
            ),
            (
                &["application/problem+json;q=0.5, application/json;q=0.6, */*;q=0.1"],
                false,
            ),
            (
                &[
                    "application/problem+json;q=0.5",
                    "application/json;q=0.1",
                    "application/json",
                ],
                false,
            ),
            (&[r#"text/html;x=",application/problem+json""#], false),
        ] {
            assert_eq!(of(values).problem_details, expected, "{values:?}");
            assert!(!of(values).openmetrics, "{values:?}");
        }
    }

    #[test]
    fn openmetrics_is_what_prometheus_asks_for() {
        for (values, expected) in [
            // Prometheus 2.42, 2.5x and 3.
            (&["application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"][..], true),
            (&["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"], true),
            (&["application/openmetrics-text"], true),
            (&["application/openmetrics-text; version=\"1.0.0\""], true),
            (&["text/plain", "application/openmetrics-text; Version=1.0.0"], true),
            // Prometheus, told to scrape the text format first.
            (&["text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"], false),
            (&["application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5"], false),
            (&["application/openmetrics-text;version=2.0.0"], false),
            (&["application/openmetrics-text;version=1.0.0;q=0.5,text/*"], false),
            (&["application/openmetrics-text;version=1.0.0;q=0"], false),
            (&["*/*"], false),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], false),
        ] {
            assert_eq!(of(values).openmetrics, expected, "{values:?}");
            assert!(!of(values).problem_details, "{values:?}");
        }
    }

    #[test]
    fn a_fragment_is_read_as_far_as_it_is_there() {
        const ACCEPT: &str = "accept: application/problem+json\r\n";
        for (input, expected) in [
            (format!("GET / HTTP/1.1\r\nHost: a\r\n{ACCEPT}"), true),
            (format!("\r\n\r\nGET / HTTP/1.1\r\n{ACCEPT}\r\n"), true),
            (format!("GET / HTTP/1.1\nbad line\n{ACCEPT}\n"), true),
            (
                format!("GET /\r\n{ACCEPT}Accept: application/json;q=0.5\r\n\r\n"),
                true,
            ),
            (format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{ACCEPT}"), false),
            (ACCEPT.to_owned(), false),
            (format!("GET / HTTP/1.1\r\nx-{ACCEPT}\r\n"), false),
            ("GET / HTTP/1.1\r\nAccept".to_owned(), false),
            (String::new(), false),
            ("\r\n".to_owned(), false),
        ] {
            let accepts = Accepts::of_fragment(input.as_bytes());
            assert_eq!(accepts.problem_details, expected, "{input:?}");
        }
        let far = format!(
            "GET / HTTP/1.1\r\nx: {}\r\n{ACCEPT}",
            "x".repeat(HEAD_BYTES_MAX)
        );
        assert_eq!(Accepts::of_fragment(far.as_bytes()), Accepts::USUAL);
    }
}
