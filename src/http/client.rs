//! The client side of HTTP/1.1: requests to processors, and their replies (RFC 9112).
//!
//! A reply is read from its first byte each time that more of it is there: it is short, and mostly
//! comes whole. So the verdict is a function of the bytes; and once it is [`Response::Bad`], more
//! bytes do not mend it.

use super::accept::list;
use super::chunked::Decoder;
use super::head::decimal;
use crate::limits::{
    BODY_BYTES_MAX, HEADERS_MAX, HEAD_BYTES_MAX, PROCESSOR_REPLY_BYTES_MAX, SECOND_NS,
};

/// A request to a processor.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The method: `GET` or `POST`.
    pub method: &'static str,
    /// Host and port, as in the URL.
    pub host: &'a str,
    /// The request target: a path that begins with a slash.
    pub path: &'a str,
    /// The JSON body; empty for a request without one.
    pub body: &'a [u8],
}

/// Appends the bytes of `request` to `out`.
pub fn write_request(out: &mut Vec<u8>, request: &Outgoing<'_>) {
    for part in [
        request.method,
        " ",
        request.path,
        " HTTP/1.1\r\nHost: ",
        request.host,
    ] {
        out.extend_from_slice(part.as_bytes());
    }
    if !request.body.is_empty() {
        out.extend_from_slice(b"\r\nContent-Type: application/json\r\nContent-Length: ");
        let length = request.body.len();
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(request.body);
}

/// The reply at the front of what was received, as far as it is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// More bytes are needed.
    Incomplete {
        /// As received, once the head is complete (that of an interim reply is not meant).
        status: Option<u16>,
    },
    /// The whole reply is there.
    Complete {
        /// The status code, as received.
        status: u16,
        /// The `Retry-After` header of the reply.
        retry_after: RetryAfter,
        /// The body, without its transfer coding.
        body: &'a [u8],
        /// The connection takes another request.
        keep_alive: bool,
    },
    /// Not HTTP, or beyond a bound, or more than one reply: a connection carries one request at a time.
    Bad,
}

/// `Retry-After` (RFC 9110, section 10.2.3); of several, the longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryAfter {
    /// In seconds: given so, or from the reply's own date to the one that was given.
    pub seconds: Option<u64>,
    /// A date of which that is not known; seconds since 1970.
    pub date_s: Option<u64>,
}

impl RetryAfter {
    /// What a reply without `Retry-After` says.
    pub const NONE: RetryAfter = RetryAfter {
        seconds: None,
        date_s: None,
    };

    /// From now on, in nanoseconds; `realtime_us`: now, in microseconds since 1970.
    pub fn wait_ns(&self, realtime_us: u64) -> Option<u64> {
        let seconds_ns = self.seconds.map(|it| it.saturating_mul(SECOND_NS));
        let date_ns = self.date_s.map(|date_s| {
            let date_us = date_s.saturating_mul(1_000_000);
            date_us.saturating_sub(realtime_us).saturating_mul(1000)
        });
        seconds_ns.max(date_ns)
    }
}

/// The fields of a reply's head that matter here.
struct ReplyHead {
    /// Bytes of the head.
    length: usize,
    status: u16,
    retry_after: RetryAfter,
    keep_alive: bool,
    body: ReplyBody,
}

/// How a body is delimited (RFC 9112, section 6.3).
enum ReplyBody {
    Length(usize),
    Chunked,
    UntilEnd,
}

const _: () = {
    // Of the two bounds of a chunked body, it is ours that counts.
    assert!(PROCESSOR_REPLY_BYTES_MAX <= BODY_BYTES_MAX);
    assert!(HEAD_BYTES_MAX < PROCESSOR_REPLY_BYTES_MAX);
};

/// Reads a reply from its first byte, after interim ones, with which it has its bounds in common.
/// `ended`: nothing will follow (a body may end so, RFC 9112 section 6.3); what is still incomplete
/// then will never be complete. `decoded`: for chunked bodies.
pub fn parse_reply<'a>(input: &'a [u8], ended: bool, decoded: &'a mut Vec<u8>) -> Response<'a> {
    if input.len() > PROCESSOR_REPLY_BYTES_MAX {
        return Response::Bad;
    }
    let window = &input[..input.len().min(HEAD_BYTES_MAX)];
    let mut start = 0;
    let head = loop {
        match ReplyHead::parse(&window[start..]) {
            Ok(Some(head)) => {
                start += head.length;
                // 101 answers a wish that nobody has.
                match head.status {
                    100 | 102..=199 => continue,
                    200.. => break head,
                    _ => return Response::Bad,
                }
            }
            Ok(None) if window.len() < HEAD_BYTES_MAX => {
                return Response::Incomplete { status: None }
            }
            Ok(None) | Err(BadHead) => return Response::Bad,
        }
    };
    let (status, received) = (head.status, &input[start..]);
    let incomplete = Response::Incomplete {
        status: Some(status),
    };
    let (body, framed) = match head.body {
        ReplyBody::Length(length) => {
            if length > PROCESSOR_REPLY_BYTES_MAX - start || received.len() > length {
                return Response::Bad;
            }
            if received.len() < length {
                return incomplete;
            }
            (received, true)
        }
        ReplyBody::Chunked => {
            decoded.clear();
            match Decoder::default().advance(received, |data| decoded.extend_from_slice(data)) {
                Ok(Some(length)) if length == received.len() => (&decoded[..], true),
                Ok(None) => return incomplete,
                Ok(Some(_)) | Err(_) => return Response::Bad,
            }
        }
        ReplyBody::UntilEnd if ended => (received, false),
        ReplyBody::UntilEnd => return incomplete,
    };
    Response::Complete {
        status,
        retry_after: head.retry_after,
        body,
        keep_alive: head.keep_alive && framed && !ended,
    }
}

struct BadHead;

/// An HTTP date as seconds since 1970; `None`: it is not one.
fn http_date_s(text: &[u8]) -> Option<u64> {
    let time = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

impl ReplyHead {
    /// Judges the head at the front of `window`; `None` while it has no end.
    fn parse(window: &[u8]) -> Result<Option<ReplyHead>, BadHead> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(window) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(BadHead),
        };
        let (Some(status), Some(version)) = (response.code, response.version) else {
            return Err(BadHead);
        };
        let http10 = version == 0;
        let (mut close, mut keep_alive) = (false, false);
        let (mut retry_after, mut retry_date, mut date) = (RetryAfter::NONE, None, None);
        let (mut content_length, mut chunked) = (None, None);
        for header in response.headers.iter() {
            let named = |name: &str| header.name.eq_ignore_ascii_case(name);
            if named("Connection") {
                for option in list(header.value) {
                    close |= option.eq_ignore_ascii_case(b"close");
                    keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if named("Content-Length") {
                let length = decimal(header.value).ok_or(BadHead)?;
                if content_length.replace(length).is_some() {
                    return Err(BadHead);
                }
            } else if named("Transfer-Encoding") {
                let known = header.value.eq_ignore_ascii_case(b"chunked");
                if chunked.replace(()).is_some() || !known || http10 {
                    return Err(BadHead);
                }
            } else if named("Retry-After") {
                match decimal(header.value) {
                    Some(seconds) => {
                        retry_after.seconds = retry_after.seconds.max(Some(seconds as u64));
                    }
                    None => retry_date = retry_date.max(http_date_s(header.value)),
                }
            } else if named("Date") {
                date = Some(header.value);
            }
        }
        if let Some(retry_s) = retry_date {
            // Both by the same clock, which may be another than ours.
            match date.and_then(http_date_s) {
                Some(date_s) => {
                    let seconds = retry_s.saturating_sub(date_s);
                    retry_after.seconds = retry_after.seconds.max(Some(seconds));
                }
                None => retry_after.date_s = Some(retry_s),
            }
        }
        let body = match (content_length, chunked) {
            // Two readers could frame it differently.
            (Some(_), Some(())) => return Err(BadHead),
            _ if matches!(status, 100..=199 | 204 | 304) => ReplyBody::Length(0),
            (Some(length), None) => ReplyBody::Length(length),
            (None, Some(())) => ReplyBody::Chunked,
            (None, None) => ReplyBody::UntilEnd,
        };
        Ok(Some(ReplyHead {
            length,
            status,
            retry_after,
            keep_alive: !close && (keep_alive || !http10),
            body,
        }))
    }
}

#[cfg(test)]
mod tests;
