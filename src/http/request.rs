//! Where a request begins and ends (RFC 9112, sections 2.2 and 6): finds the end of the head, has it
//! judged, and waits for the body. And what a request's path and query are made of.
//!
//! A head is judged only when its end, or its bound, has been seen, and a body byte by byte in
//! order. So the verdict is a function of the stream, and not of how it was cut; and each byte is
//! looked at a fixed number of times, so that a sender of single bytes costs no more in all.

use std::borrow::Cow;

use memchr::memchr_iter;

use super::accept::Accepts;
use super::chunked::Decoder;
use super::head::{self, is_token_byte, BadKey, BodyFraming, Method, RequestHead};
use super::response::Status;
use crate::limits::{BODY_BYTES_MAX, EMPTY_LINES_MAX, HEAD_BYTES_MAX};

/// A complete request, borrowed from the bytes that were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method of the request line.
    pub method: Method,
    /// Raw: the path of a target in origin-form, or in absolute-form after the authority (`/` when
    /// there is none); `*` for `OPTIONS *`. Only characters that RFC 3986 allows in a path, but
    /// percent signs are yet to be checked: see [`Path`].
    pub path: &'a [u8],
    /// Raw, what follows `?`.
    pub query: Option<&'a [u8]>,
    /// At most [`BODY_BYTES_MAX`] bytes, chunks put together.
    pub body: &'a [u8],
    /// The connection must be closed after the reply: `Connection: close`, or HTTP/1.0 without
    /// `keep-alive` (RFC 9112, section 9.3).
    pub close: bool,
    /// The client speaks HTTP/1.0.
    pub http10: bool,
    /// The client takes gzip, and likes it no less than no coding (RFC 9110, section 12.5.3).
    pub accepts_gzip: bool,
    /// Which bodies it wants in their second form.
    pub accepts: Accepts,
    /// The body has a content coding (RFC 9110, section 8.4): its bytes are not what they stand for.
    pub body_coded: bool,
    /// `Idempotency-Key`: 1 to [`KEY_CHARS_MAX`](crate::limits::KEY_CHARS_MAX) visible ASCII
    /// characters. Whether an endpoint minds another value is its own affair: the request is sound.
    pub idempotency_key: Option<Result<&'a [u8], BadKey>>,
}

/// The verdict on the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A request, of which `consumed` bytes of input are to be dropped before the next.
    Request {
        /// The request, which borrows the input and `scratch`.
        request: Request<'a>,
        /// Bytes, at least 1.
        consumed: usize,
    },
    /// The beginning of a request.
    Incomplete {
        /// Send [`CONTINUE`](super::CONTINUE) now: the client waits for it with the body
        /// (RFC 9110, section 10.1.1). True at most once for a request.
        send_continue: bool,
    },
    /// No request, or none that is taken: reply with this, close, and read no further.
    Bad(Status),
}

/// Where parsing of the request at the front of the input stands.
#[derive(Clone, Debug, Default)]
pub struct ParseState {
    /// Where the head begins, after empty lines.
    start: u16,
    /// Before this offset there is no end of the head.
    scanned: u16,
    /// A line of the head ended in LF without CR.
    bare_lf: bool,
    /// Set while the body is awaited.
    head: Option<RequestHead>,
    /// Where a chunked body stands.
    decoder: Option<Decoder>,
}

impl ParseState {
    /// The head is complete, the body is not: which time-out applies.
    pub fn in_body(&self) -> bool {
        self.head.is_some()
    }

    /// The offset after the head, once it is there.
    ///
    /// # Errors
    /// 431 without an end in the first [`HEAD_BYTES_MAX`] bytes; 400 when no request can begin so,
    /// and, at the end, if any line ended in LF alone (RFC 9112, section 2.2, lets a recipient take
    /// it for a line end; not all do, so it frames a request in two ways).
    fn head_end(&mut self, input: &[u8]) -> Result<Option<usize>, Status> {
        let window = &input[..input.len().min(HEAD_BYTES_MAX)];
        if self.scanned == self.start {
            match first_byte(window)? {
                Some(start) => (self.start, self.scanned) = (start as u16, start as u16),
                None => return Ok(None),
            }
        }
        let from = usize::from(self.scanned);
        self.scanned = window.len() as u16;
        for newline in memchr_iter(b'\n', &window[from..]) {
            let at = from + newline;
            // A method's first byte comes before any LF.
            self.bare_lf |= window[at - 1] != b'\r';
            let end = match window[at + 1..] {
                [b'\r', b'\n', ..] => at + 3,
                [b'\n', ..] => {
                    self.bare_lf = true;
                    at + 2
                }
                [] | [b'\r'] => {
                    // Whether the head ends here, the next byte will tell.
                    self.scanned = at as u16;
                    break;
                }
                _ => continue,
            };
            return if self.bare_lf {
                Err(Status::BadRequest)
            } else {
                Ok(Some(end))
            };
        }
        if window.len() == HEAD_BYTES_MAX {
            return Err(Status::HeadTooLarge);
        }
        Ok(None)
    }
}

/// The offset of the first byte after empty lines; `None` if it is yet to come.
///
/// # Errors
/// 400 if it cannot begin a method. Said before the head is complete, because there may never be
/// one: this is how TLS and other protocols knock.
fn first_byte(input: &[u8]) -> Result<Option<usize>, Status> {
    let mut start = 0;
    while let [b'\r', rest @ ..] = &input[start..] {
        match rest {
            [] if start < 2 * EMPTY_LINES_MAX => return Ok(None),
            [b'\n', ..] if start < 2 * EMPTY_LINES_MAX => start += 2,
            _ => return Err(Status::BadRequest),
        }
    }
    match input.get(start) {
        None => Ok(None),
        Some(&byte) if is_token_byte(byte) => Ok(Some(start)),
        Some(_) => Err(Status::BadRequest),
    }
}

/// Parses the request at the front of `input`.
///
/// `input` begins at a request's first byte; later calls for the same request pass the same bytes
/// with more appended (the buffer may have moved) and the same `progress`, which is back at its
/// default when a request is returned. `scratch` receives the body if it is chunked, all of it in
/// the call that returns the request: it may be shared between connections. Otherwise it is
/// untouched, and nothing is allocated.
pub fn parse<'a>(
    input: &'a [u8],
    progress: &mut ParseState,
    scratch: &'a mut Vec<u8>,
) -> Parsed<'a> {
    if let Some(head) = progress.head.take() {
        return take_body(head, false, input, progress, scratch);
    }
    let judged = match progress.head_end(input) {
        Ok(Some(end)) => head::judge(input, progress.start.into(), end),
        Ok(None) => {
            return Parsed::Incomplete {
                send_continue: false,
            }
        }
        Err(status) => Err(status),
    };
    match judged {
        Ok(head) => take_body(head, true, input, progress, scratch),
        Err(status) => Parsed::Bad(status),
    }
}

/// `fresh`: the head was completed by this very call.
#[inline]
fn take_body<'a>(
    head: RequestHead,
    fresh: bool,
    input: &'a [u8],
    progress: &mut ParseState,
    scratch: &'a mut Vec<u8>,
) -> Parsed<'a> {
    let received = &input[head.end()..];
    let (body, encoded) = match head.body {
        BodyFraming::Length(length) => match received.get(..length as usize) {
            Some(body) => (body, body.len()),
            None => return await_body(head, fresh, received, progress),
        },
        BodyFraming::Chunked => {
            let decoder = progress.decoder.get_or_insert_default();
            let encoded = match decoder.advance(received, |_| ()) {
                Ok(None) => return await_body(head, fresh, received, progress),
                Ok(Some(encoded)) => encoded,
                Err(status) => return Parsed::Bad(status),
            };
            scratch.clear();
            scratch.reserve(decoder.decoded());
            let again = Decoder::default().advance(&received[..encoded], |data| {
                scratch.extend_from_slice(data);
            });
            debug_assert_eq!(again, Ok(Some(encoded)));
            (&scratch[..], encoded)
        }
    };
    debug_assert!(body.len() <= BODY_BYTES_MAX);
    *progress = ParseState::default();
    Parsed::Request {
        request: Request {
            method: head.method,
            path: head.path(input),
            query: head.query(input),
            body,
            close: head.close,
            http10: head.http10,
            accepts_gzip: head.accepts_gzip,
            accepts: head.accepts,
            body_coded: head.body_coded,
            idempotency_key: head.idempotency_key(input),
        },
        consumed: head.end() + encoded,
    }
}

fn await_body<'a>(
    head: RequestHead,
    fresh: bool,
    received: &[u8],
    progress: &mut ParseState,
) -> Parsed<'a> {
    // A client whose body has begun does not wait.
    let send_continue = fresh && head.expects_continue && received.is_empty();
    progress.head = Some(head);
    Parsed::Incomplete { send_continue }
}

// ---- Path and query ------------------------------------------------------------
//
// Split at `/`, or at `&` and `=`, first, percent-decoded after (RFC 3986, section 2.4), so that `%2F` in a segment never makes
// two of it.

/// A percent sign without two hexadecimal digits after it; the request gets 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape;

/// The path of a request target.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a>(&'a [u8]);

impl<'a> Path<'a> {
    /// A path as [`Request::path`](Request::path) has it, still encoded.
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
    /// A query as [`Request::query`](Request::query) has it, still encoded.
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
mod smuggling;
#[cfg(test)]
mod tests;
