//! Paths and queries: split at `/`, or at `&` and `=`, first, percent-decoded after (RFC 3986, section
//! 2.4), so that `%2F` in a segment never makes two of it.

use std::borrow::Cow;

/// A percent sign without two hexadecimal digits after it; the request gets 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape;

/// The path of a request target.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a>(&'a [u8]);

impl<'a> Path<'a> {
    /// A path as [`Request::path`](super::Request::path) has it, still encoded.
    pub fn new(raw: &'a [u8]) -> Path<'a> {
        Path(raw)
    }

    /// The segments, decoded: arbitrary bytes, maybe none. `/a/b` has two, `/` one that is empty,
    /// `/a/` two of which the last is empty, and `*` has none. Nothing is normalised: `.` and `..`
    /// are segments like others. Only a segment with an escape is allocated.
    pub fn segments(self) -> impl Iterator<Item = Result<Cow<'a, [u8]>, BadEscape>> {
        let rooted = self.0.strip_prefix(b"/");
        rooted
            .into_iter()
            .flat_map(|rest| rest.split(|&byte| byte == b'/'))
            .map(decode)
    }
}

/// The query of a request target, as parameters.
#[derive(Clone, Copy, Debug)]
pub struct QueryString<'a>(&'a [u8]);

/// A name or a value of a [`QueryString`]: decoded, arbitrary bytes.
pub type PathPart<'a> = Result<Cow<'a, [u8]>, BadEscape>;

impl<'a> QueryString<'a> {
    /// A query as [`Request::query`](super::Request::query) has it, still encoded.
    pub fn new(raw: Option<&'a [u8]>) -> QueryString<'a> {
        QueryString(raw.unwrap_or_default())
    }

    /// Names and values, in order; without a `=` the value is empty. A `+` is one: timestamps have it,
    /// and only forms of HTML make a blank of it. Only what has an escape is allocated.
    pub fn parameters(self) -> impl Iterator<Item = (PathPart<'a>, PathPart<'a>)> {
        let parameters = self.0.split(|&byte| byte == b'&');
        parameters
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| {
                let equals = memchr::memchr(b'=', parameter);
                let (name, value) = match equals {
                    Some(at) => (&parameter[..at], &parameter[at + 1..]),
                    None => (parameter, &[][..]),
                };
                (decode(name), decode(value))
            })
    }
}

fn decode(segment: &[u8]) -> Result<Cow<'_, [u8]>, BadEscape> {
    let Some(first) = memchr::memchr(b'%', segment) else {
        return Ok(Cow::Borrowed(segment));
    };
    let (plain, mut rest) = segment.split_at(first);
    let mut decoded = Vec::with_capacity(segment.len());
    decoded.extend_from_slice(plain);
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let [high, low, after @ ..] = rest else {
            return Err(BadEscape);
        };
        decoded.push(digit(*high)? << 4 | digit(*low)?);
        rest = after;
    }
    Ok(Cow::Owned(decoded))
}

fn digit(byte: u8) -> Result<u8, BadEscape> {
    match (byte as char).to_digit(16) {
        Some(digit) => Ok(digit as u8),
        None => Err(BadEscape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Result<Vec<String>, BadEscape> {
        Path::new(path.as_bytes())
            .segments()
            .map(|segment| segment.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
            .collect()
    }

    #[test]
    fn a_path_has_these_segments() {
        for (path, expected) in [
            ("*", &[][..]),
            ("/", &[""]),
            ("/health", &["health"]),
            ("/health/", &["health", ""]),
            ("//health", &["", "health"]),
            ("/clientes/1/extrato", &["clientes", "1", "extrato"]),
            ("/%63lientes/%31/extrat%6F", &["clientes", "1", "extrato"]),
            ("/%6f%6F", &["oo"]),
            ("/a%2Fb/c", &["a/b", "c"]),
            ("/a%252Fb", &["a%2Fb"]),
            ("/a%00b", &["a\0b"]),
            ("/%c3%a7", &["ç"]),
            ("/a+b", &["a+b"]),
            ("/./../a", &[".", "..", "a"]),
        ] {
            assert_eq!(
                segments(path).as_deref(),
                Ok(&expected.iter().map(|s| s.to_string()).collect::<Vec<_>>()[..]),
                "{path}"
            );
        }
    }

    #[test]
    fn a_bad_escape_is_an_error() {
        for path in [
            "/%", "/%4", "/a%4/b", "/%zz", "/%4z", "/%z4", "/%+1", "/% 1", "/%%41",
        ] {
            assert_eq!(segments(path), Err(BadEscape), "{path}");
        }
    }

    #[test]
    fn a_query_has_these_parameters() {
        for (query, expected) in [
            (None, ""),
            (Some(""), ""),
            (Some("&&"), ""),
            (Some("a"), "a:"),
            (Some("a=b"), "a:b"),
            (Some("a=b&c=d&a=e"), "a:b c:d a:e"),
            (Some("a=b=c&=d&e="), "a:b=c :d e:"),
            (Some("a=12%3A34&b=+02:00&c=%2B"), "a:12:34 b:+02:00 c:+"),
            (Some("a=b%26c%3Dd&%61%3d=%c3%a7"), "a:b&c=d a=:ç"),
            (Some("a=%&%4=b&c=%zz"), "a:? ?:b c:?"),
        ] {
            let text = |part: PathPart<'_>| match part {
                Ok(bytes) => String::from_utf8(bytes.into_owned()).unwrap(),
                Err(BadEscape) => "?".to_owned(),
            };
            let parameters: Vec<_> = QueryString::new(query.map(str::as_bytes))
                .parameters()
                .map(|(name, value)| format!("{}:{}", text(name), text(value)))
                .collect();
            assert_eq!(parameters.join(" "), expected, "{query:?}");
        }
    }

    #[test]
    fn only_an_escaped_segment_is_allocated() {
        let path = Path::new(b"/clientes/%31/extrato");
        let owned: Vec<bool> = path
            .segments()
            .map(|segment| matches!(segment, Ok(Cow::Owned(_))))
            .collect();
        assert_eq!(owned, [false, true, false]);
    }
}
