//! Replies as bytes (RFC 9112, section 4).

use super::date::Date;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal;)*) => {
        /// A status that the server replies with (RFC 9110, section 15).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Status {
            $($(#[$doc])* $name,)*
        }

        impl Status {
            /// All of them, in ascending order: `ALL[status as usize]` is `status`.
            pub const ALL: &'static [Status] = &[$(Status::$name),*];

            /// 400 or more: the body, if there is one, says what is wrong.
            pub const fn is_error(self) -> bool {
                self.code() >= 400
            }

            /// The status code, 200 to 505.
            pub const fn code(self) -> u16 {
                match self {
                    $(Status::$name => $code,)*
                }
            }

            /// The reason phrase of the status line.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Status::$name => $reason,)*
                }
            }

            /// The status line, and the beginning of the header that always follows it.
            const fn prefix(self) -> &'static str {
                match self {
                    $(Status::$name => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\nDate: "),)*
                }
            }
        }
    };
}

statuses! {
    /// 200: the request was carried out.
    Ok = 200 "OK";
    /// 202: a payment was accepted, and not yet carried out.
    Accepted = 202 "Accepted";
    /// 400: not HTTP, or not in a way that all would read alike; or a body that is not JSON.
    BadRequest = 400 "Bad Request";
    /// 403: this server is configured not to do it.
    Forbidden = 403 "Forbidden";
    /// 404: no such path, client or payment.
    NotFound = 404 "Not Found";
    /// 405: another method; [`Reply::allow`] names those that are allowed.
    MethodNotAllowed = 405 "Method Not Allowed";
    /// 408: head or body did not arrive in time.
    RequestTimeout = 408 "Request Timeout";
    /// 413: the body is beyond its bound.
    BodyTooLarge = 413 "Content Too Large";
    /// 415: the body has a content coding.
    UnsupportedMediaType = 415 "Unsupported Media Type";
    /// 417: an `Expect` other than `100-continue`.
    ExpectationFailed = 417 "Expectation Failed";
    /// 422: JSON, but against the rules.
    Unprocessable = 422 "Unprocessable Content";
    /// 431: the head, or the number of its fields, is beyond its bound.
    HeadTooLarge = 431 "Request Header Fields Too Large";
    /// 500: a file cannot be read.
    InternalError = 500 "Internal Server Error";
    /// 501: a transfer coding other than `chunked`.
    NotImplemented = 501 "Not Implemented";
    /// 503: at a bound, or unable to write; [`Reply::retry_after_s`].
    ServiceUnavailable = 503 "Service Unavailable";
    /// 505: a version other than HTTP/1.x.
    VersionNotSupported = 505 "HTTP Version Not Supported";
}

impl Status {
    /// The status of this code, if it is one of these.
    pub fn from_code(code: u16) -> Option<Status> {
        Status::ALL
            .iter()
            .copied()
            .find(|status| status.code() == code)
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json` (RFC 8259: UTF-8, without a parameter to say so).
    Json,
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// The text format of Prometheus, version 0.0.4.
    Metrics,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
    /// Nothing, where there is no body.
    None,
}

impl ContentType {
    /// From the end of the date to the beginning of the length.
    const fn infix(self) -> &'static str {
        match self {
            ContentType::Json => "\r\nContent-Type: application/json\r\nContent-Length: ",
            ContentType::Metrics => {
                "\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: "
            }
            ContentType::Problem => {
                "\r\nContent-Type: application/problem+json\r\nContent-Length: "
            }
            ContentType::OpenMetrics => concat!(
                "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8",
                "\r\nContent-Length: "
            ),
            ContentType::None => "\r\nContent-Length: ",
        }
    }

    /// Only for who asks for it in `Accept`.
    const fn is_asked_for(self) -> bool {
        matches!(self, ContentType::Problem | ContentType::OpenMetrics)
    }
}

/// A reply's content, without the framing that its connection needs.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Code and reason of the status line.
    pub status: Status,
    /// Type of the body, even where that is empty.
    pub content_type: ContentType,
    /// The body's bytes, as they are sent.
    pub body: &'a [u8],
    /// The body is a gzip stream: `Content-Encoding`.
    pub gzipped: bool,
    /// The body would differ for a client that accepts other codings: `Vary: Accept-Encoding`.
    pub vary: bool,
    /// `Allow`, which a 405 must have (RFC 9110, section 15.5.6), and a reply to OPTIONS should.
    pub allow: Option<&'static str>,
    /// Seconds of a `Retry-After` header; `None`: no header.
    pub retry_after_s: Option<u32>,
}

/// How to say it: what the request, and the state of its connection, ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Framing {
    /// The request was a HEAD: send the length of the body, but not the body.
    pub head_only: bool,
    /// `Connection: close` is sent, and the connection ends behind this reply.
    pub close: bool,
    /// The client speaks HTTP/1.0 and, unless told, would not expect the connection to stay open.
    pub http10: bool,
}

/// Tells a client that waits with its body to go on (RFC 9110, section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// More than the longest head without `Allow`; see the test of that name.
const HEAD_BYTES: usize = 384;

/// Appends head and body to `out`.
pub fn write(out: &mut Vec<u8>, reply: &Reply<'_>, date: &Date, framing: Framing) {
    let body = if framing.head_only { &[] } else { reply.body };
    out.reserve(HEAD_BYTES + reply.allow.map_or(0, str::len) + body.len());
    out.extend_from_slice(reply.status.prefix().as_bytes());
    out.extend_from_slice(&date.text);
    out.extend_from_slice(reply.content_type.infix().as_bytes());
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(reply.body.len()).as_bytes());
    if reply.gzipped {
        out.extend_from_slice(b"\r\nContent-Encoding: gzip");
    }
    // RFC 9110, section 12.5.5.
    match (reply.content_type.is_asked_for(), reply.vary) {
        (false, false) => {}
        (false, true) => out.extend_from_slice(b"\r\nVary: Accept-Encoding"),
        (true, false) => out.extend_from_slice(b"\r\nVary: Accept"),
        (true, true) => out.extend_from_slice(b"\r\nVary: Accept, Accept-Encoding"),
    }
    if let Some(methods) = reply.allow {
        out.extend_from_slice(b"\r\nAllow: ");
        out.extend_from_slice(methods.as_bytes());
    }
    if reply.status == Status::UnsupportedMediaType {
        // What would have been taken (RFC 9110, sections 12.5.3 and 15.5.16).
        out.extend_from_slice(b"\r\nAccept-Encoding: identity");
    }
    if let Some(seconds) = reply.retry_after_s {
        out.extend_from_slice(b"\r\nRetry-After: ");
        out.extend_from_slice(digits.format(seconds).as_bytes());
    }
    if framing.close {
        out.extend_from_slice(b"\r\nConnection: close");
    } else if framing.http10 {
        out.extend_from_slice(b"\r\nConnection: keep-alive");
    }
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Reply<'static> = Reply {
        status: Status::Ok,
        content_type: ContentType::Json,
        body: b"{}",
        gzipped: false,
        vary: false,
        allow: None,
        retry_after_s: None,
    };

    fn written(reply: &Reply<'_>, framing: Framing) -> String {
        let mut out = Vec::new();
        write(&mut out, reply, &Date::new(784_111_777_000_000), framing);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reply_has_these_bytes() {
        assert_eq!(
            written(&OK, Framing::default()),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        );
        let refusal = Reply {
            status: Status::MethodNotAllowed,
            allow: Some("GET, HEAD"),
            ..OK
        };
        let framing = Framing {
            close: true,
            ..Framing::default()
        };
        assert_eq!(
            written(&refusal, framing),
            "HTTP/1.1 405 Method Not Allowed\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\nAllow: GET, HEAD\r\n\
             Connection: close\r\n\r\n{}"
        );
        let metrics = Reply {
            status: Status::ServiceUnavailable,
            content_type: ContentType::Metrics,
            gzipped: true,
            vary: true,
            retry_after_s: Some(1),
            ..OK
        };
        let framing = Framing {
            http10: true,
            ..Framing::default()
        };
        assert_eq!(
            written(&metrics, framing),
            "HTTP/1.1 503 Service Unavailable\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: text/plain; version=0.0.4\r\nContent-Length: 2\r\n\
             Content-Encoding: gzip\r\nVary: Accept-Encoding\r\nRetry-After: 1\r\n\
             Connection: keep-alive\r\n\r\n{}"
        );
    }

    #[test]
    fn a_415_says_what_would_be_taken() {
        let coded = Reply {
            status: Status::UnsupportedMediaType,
            ..OK
        };
        let text = written(&coded, Framing::default());
        assert_eq!(text.matches("\r\nAccept-Encoding: identity\r\n").count(), 1);
        let text = written(&OK, Framing::default());
        assert!(!text.contains("Accept-Encoding"), "{text}");
    }

    #[test]
    fn a_reply_without_a_body_has_no_type() {
        let empty = Reply {
            content_type: ContentType::None,
            body: b"",
            allow: Some("GET, HEAD, OPTIONS"),
            ..OK
        };
        assert_eq!(
            written(&empty, Framing::default()),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Length: 0\r\nAllow: GET, HEAD, OPTIONS\r\n\r\n"
        );
    }

    #[test]
    fn a_reply_to_head_has_the_length_but_not_the_body() {
        let framing = Framing {
            head_only: true,
            ..Framing::default()
        };
        let text = written(&OK, framing);
        assert!(text.ends_with("\r\nContent-Length: 2\r\n\r\n"), "{text}");
    }

    #[test]
    fn close_goes_before_keep_alive() {
        let framing = Framing {
            close: true,
            http10: true,
            head_only: false,
        };
        let text = written(&OK, framing);
        assert_eq!(text.matches("Connection").count(), 1, "{text}");
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
    }

    #[test]
    fn more_than_the_longest_head_without_allow() {
        for &status in Status::ALL {
            let reply = Reply {
                status,
                content_type: ContentType::OpenMetrics,
                body: b"",
                gzipped: true,
                vary: true,
                allow: Some(""),
                retry_after_s: Some(u32::MAX),
            };
            for close in [false, true] {
                let framing = Framing {
                    close,
                    http10: true,
                    head_only: false,
                };
                // Room for the digits of any length, beside the one of an empty body.
                assert!(written(&reply, framing).len() + 20 < HEAD_BYTES);
            }
        }
    }

    #[test]
    fn appends() {
        let mut out = CONTINUE.to_vec();
        write(&mut out, &OK, &Date::default(), Framing::default());
        assert!(out.starts_with(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
    }

    #[test]
    fn a_status_has_its_code() {
        let codes: Vec<u16> = Status::ALL.iter().map(|status| status.code()).collect();
        assert_eq!(
            codes,
            [200, 202, 400, 403, 404, 405, 408, 413, 415, 417, 422, 431, 500, 501, 503, 505]
        );
    }
}
