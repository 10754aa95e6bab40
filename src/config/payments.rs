//! The flags of the payments gateway: processors, deadline and queue.

use std::fmt;
use std::str::FromStr;

use crate::limits::PAYMENT_DEADLINE_NS_MAX;

/// The settings of the payments gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentFlags {
    /// `--processor-default`, `--processor-fallback`: by number.
    pub processors: [ProcessorUrl; 2],
    /// `--payment-deadline`, from acceptance to settlement; nanoseconds.
    pub deadline_ns: u64,
    /// `--payment-queue`: payments that may be open in one shard.
    pub queue: usize,
    /// `--replace-processors`: the URLs may differ from those that the directory was used with.
    pub replace: bool,
}

/// The URL of a payment processor, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessorUrl {
    /// A name in lower case, or an address; an IPv6 one without its brackets.
    pub host: String,
    /// The URL's port; 80 without one.
    pub port: u16,
    /// In front of the processor's paths: empty, or with a slash in front and none behind.
    pub prefix: String,
}

impl PaymentFlags {
    /// `None`: there are to be no payments.
    ///
    /// # Errors
    /// Names the flag that is missing, or wrong beside the other.
    pub(super) fn settle(
        processors: [Option<ProcessorUrl>; 2],
        deadline_ns: u64,
        queue: usize,
        replace: bool,
    ) -> Result<Option<PaymentFlags>, String> {
        let missing = match processors {
            [None, None] => return Ok(None),
            [Some(default), Some(fallback)] if default == fallback => {
                return Err(format!(
                    "--processor-fallback: {fallback} is --processor-default, too; \
                     they have to be two"
                ));
            }
            [Some(default), Some(fallback)] => {
                return Ok(Some(PaymentFlags {
                    processors: [default, fallback],
                    deadline_ns,
                    queue,
                    replace,
                }))
            }
            [None, Some(_)] => "--processor-default",
            [Some(_), None] => "--processor-fallback",
        };
        Err(format!(
            "{missing}: missing; --processor-default and --processor-fallback come together"
        ))
    }
}

impl ProcessorUrl {
    /// Host and port as in the URL, and in requests (`Host`, RFC 9112 section 3.2).
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match self.port {
            80 => host,
            port => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for ProcessorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.prefix)
    }
}

impl FromStr for ProcessorUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<ProcessorUrl, String> {
        let bad = |rule: &str| format!("'{text}' is not accepted: {rule}");
        let shape = "http://HOST, http://HOST:PORT or http://HOST:PORT/PATH";
        let scheme_end = text.find("://").ok_or_else(|| bad(shape))?;
        let (scheme, rest) = (&text[..scheme_end], &text[scheme_end + 3..]);
        if scheme.eq_ignore_ascii_case("https") {
            return Err(bad(
                "processors are spoken to without TLS, over a network of their own: http://",
            ));
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(bad(shape));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, behind) = bracketed.split_once(']').ok_or_else(|| bad(shape))?;
                host.parse::<std::net::Ipv6Addr>()
                    .map_err(|_| bad("between [ and ] stands an IPv6 address"))?;
                (host, behind)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => 80,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| bad("a port is 1 to 65535"))?,
            _ => return Err(bad(shape)),
        };
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_of_name) {
            return Err(bad("a host is a name or an address"));
        }
        // It becomes part of a request's first line.
        let is_of_path = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
        if !path.bytes().all(is_of_path) {
            return Err(bad("a path has no query, no fragment and no spaces"));
        }
        Ok(ProcessorUrl {
            host: host.to_ascii_lowercase(),
            port,
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }
}

/// Nanoseconds of a time as people write it.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let digits_end = trimmed.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = trimmed.split_at(digits_end.unwrap_or(trimmed.len()));
    let unit_ns = match unit.to_ascii_lowercase().as_str() {
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60 * 1_000_000_000),
        "h" => Some(3600 * 1_000_000_000),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .zip(unit_ns)
        .and_then(|(number, unit_ns)| number.checked_mul(unit_ns))
        .filter(|ns| (1..=PAYMENT_DEADLINE_NS_MAX).contains(ns))
        .ok_or_else(|| format!("'{text}' is not accepted: 1ms to 24h, as 500ms, 60s, 5m or 1h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ProcessorUrl {
        text.parse().expect("a URL")
    }

    #[test]
    fn a_url_says_host_port_and_path() {
        for (text, host, port, prefix, written) in [
            ("http://a", "a", 80, "", "http://a"),
            (
                "HTTP://A.b-c_d:8080/",
                "a.b-c_d",
                8080,
                "",
                "http://a.b-c_d:8080",
            ),
            ("http://a:80/pay/", "a", 80, "/pay", "http://a/pay"),
            (
                "http://10.0.0.1:9/v1/x",
                "10.0.0.1",
                9,
                "/v1/x",
                "http://10.0.0.1:9/v1/x",
            ),
            ("http://[::1]", "::1", 80, "", "http://[::1]"),
            (
                "http://[fe80::2]:8080/p",
                "fe80::2",
                8080,
                "/p",
                "http://[fe80::2]:8080/p",
            ),
        ] {
            let url = url(text);
            assert_eq!((url.host.as_str(), url.port), (host, port), "{text}");
            assert_eq!(url.prefix, prefix, "{text}");
            assert_eq!(url.to_string(), written);
            assert_eq!(written.parse(), Ok(url));
        }
        assert_eq!(url("http://a:8080/p").authority(), "a:8080");
        assert_eq!(url("http://[::1]:81").authority(), "[::1]:81");
    }

    #[test]
    fn what_is_no_url_is_refused_with_what_is_accepted() {
        for (text, rule) in [
            ("", "http://HOST:PORT"),
            ("processor:8080", "http://HOST:PORT"),
            ("ftp://a", "http://HOST:PORT"),
            ("https://a", "without TLS"),
            ("HTTPS://a:8080", "without TLS"),
            ("http://", "a name or an address"),
            ("http:///p", "a name or an address"),
            ("http://:8080", "a name or an address"),
            ("http://user@a", "a name or an address"),
            ("http://a b", "a name or an address"),
            ("http://a,b", "a name or an address"),
            ("http://a:b", "http://HOST:PORT"),
            ("http://a:", "1 to 65535"),
            ("http://a:0", "1 to 65535"),
            ("http://a:65536", "1 to 65535"),
            ("http://a:+1", "http://HOST:PORT"),
            ("http://::1", "http://HOST:PORT"),
            ("http://[::1", "http://HOST:PORT"),
            ("http://[::1]8080", "http://HOST:PORT"),
            ("http://[a]", "IPv6"),
            ("http://a/p?x=1", "no query"),
            ("http://a?x=1", "no query"),
            ("http://a/p#x", "no query"),
            ("http://a/p q", "no spaces"),
            ("http://a/p\r\nX: y", "no spaces"),
        ] {
            let line = text.parse::<ProcessorUrl>().expect_err(text);
            assert!(line.starts_with(&format!("'{text}' is not accepted")));
            assert!(line.contains(rule), "{line}");
        }
    }

    #[test]
    fn a_time_has_a_unit_and_a_bound() {
        for (text, ns) in [
            ("1ms", 1_000_000),
            ("500ms", 500_000_000),
            ("60s", 60_000_000_000),
            ("5m", 300_000_000_000),
            (" 5M ", 300_000_000_000),
            ("5MS", 5_000_000),
            ("24h", PAYMENT_DEADLINE_NS_MAX),
        ] {
            assert_eq!(duration(text), Ok(ns));
        }
        for text in [
            "",
            "60",
            "s",
            "0s",
            "-1s",
            "1.5s",
            "25h",
            "1 s",
            "99999999999999h",
        ] {
            let line = duration(text).expect_err(text);
            assert!(line.starts_with(&format!("'{text}'")) && line.contains("1ms to 24h"));
        }
    }
}
