//! Replies as they come (RFC 9112). Read by code of its own: one that it had in common with a server would not see what that
//! gets wrong.
//!
//! A reply is read from its first byte each time that more of it is there: it is short, and mostly comes whole.

/// A reply with its head. Beyond: it is none.
const REPLY_BYTES_MAX: usize = 64 * 1024;
/// Header fields of a reply, and of its trailers. Beyond: it is none.
const HEADERS_MAX: usize = 100;

/// The reply at the front of what was received, as far as it is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// More bytes are needed.
    Incomplete,
    /// The whole reply is there.
    Complete {
        /// The status code, as received.
        status: u16,
        /// The body, without its transfer coding.
        body: &'a [u8],
        /// The connection takes another request.
        keep_alive: bool,
    },
    /// Not HTTP, or beyond a bound, or more than one reply: a connection carries one request at a time.
    Bad,
}

/// Not a reply.
struct Bad;

/// What matters of a head.
struct Head {
    /// Bytes of the head.
    length: usize,
    status: u16,
    keep_alive: bool,
    body: Body,
}

/// How a body is delimited (RFC 9112, section 6.3).
#[derive(Clone, Copy)]
enum Body {
    Length(usize),
    Chunked,
    UntilEnd,
}

/// Reads a reply, after interim ones. `ended`: nothing will follow, with which a body may end. `decoded`: for chunked bodies.
pub fn parse_reply<'a>(input: &'a [u8], ended: bool, decoded: &'a mut Vec<u8>) -> Response<'a> {
    if input.len() > REPLY_BYTES_MAX {
        return Response::Bad;
    }
    let mut received = input;
    let head = loop {
        match Head::parse(received) {
            Ok(Some(head)) => {
                received = &received[head.length..];
                // 101 answers a wish that nobody has.
                match head.status {
                    100 | 102..=199 => continue,
                    200.. => break head,
                    _ => return Response::Bad,
                }
            }
            Ok(None) => return Response::Incomplete,
            Err(Bad) => return Response::Bad,
        }
    };
    let (body, framed) = match head.body {
        Body::Length(length) if received.len() > length => return Response::Bad,
        Body::Length(length) if received.len() < length => return Response::Incomplete,
        Body::Length(_) => (received, true),
        Body::Chunked => match decode(received, decoded) {
            Ok(Some(length)) if length == received.len() => (&decoded[..], true),
            Ok(None) => return Response::Incomplete,
            Ok(Some(_)) | Err(Bad) => return Response::Bad,
        },
        Body::UntilEnd if ended => (received, false),
        Body::UntilEnd => return Response::Incomplete,
    };
    Response::Complete {
        status: head.status,
        body,
        keep_alive: head.keep_alive && framed && !ended,
    }
}

impl Head {
    /// `None` while it has no end.
    fn parse(input: &[u8]) -> Result<Option<Head>, Bad> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(input).map_err(|_| Bad)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let (status, version) = response.code.zip(response.version).ok_or(Bad)?;
        let (mut close, mut keep_alive) = (false, false);
        let (mut content_length, mut chunked) = (None, false);
        for header in response.headers.iter() {
            let named = |name: &str| header.name.eq_ignore_ascii_case(name);
            if named("Connection") {
                for option in header.value.split(|byte| *byte == b',') {
                    let option = option.trim_ascii();
                    close |= option.eq_ignore_ascii_case(b"close");
                    keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if named("Content-Length") {
                if content_length.replace(decimal(header.value)?).is_some() {
                    return Err(Bad);
                }
            } else if named("Transfer-Encoding") {
                // HTTP/1.0 has none.
                let known = header.value.eq_ignore_ascii_case(b"chunked");
                if std::mem::replace(&mut chunked, true) || !known || version == 0 {
                    return Err(Bad);
                }
            }
        }
        let body = match (content_length, chunked) {
            // Two readers could frame it differently.
            (Some(_), true) => return Err(Bad),
            _ if matches!(status, 100..=199 | 204 | 304) => Body::Length(0),
            (Some(length), false) => Body::Length(length),
            (None, true) => Body::Chunked,
            (None, false) => Body::UntilEnd,
        };
        Ok(Some(Head {
            length,
            status,
            keep_alive: !close && (keep_alive || version == 1),
            body,
        }))
    }
}

/// `1*DIGIT`, within the bound of a reply.
fn decimal(text: &[u8]) -> Result<usize, Bad> {
    if !text.iter().all(u8::is_ascii_digit) {
        return Err(Bad); // A sign would be a number, too.
    }
    let number = std::str::from_utf8(text).map_err(|_| Bad)?.parse();
    number
        .ok()
        .filter(|number| *number <= REPLY_BYTES_MAX)
        .ok_or(Bad)
}

/// Takes a body out of its chunks (RFC 9112, section 7.1). The length of all that they took; `None` while there is no end.
fn decode(encoded: &[u8], decoded: &mut Vec<u8>) -> Result<Option<usize>, Bad> {
    decoded.clear();
    let mut at = 0;
    loop {
        let (line, size) = match httparse::parse_chunk_size(&encoded[at..]).map_err(|_| Bad)? {
            httparse::Status::Complete(found) => found,
            httparse::Status::Partial => return Ok(None),
        };
        at += line;
        if size == 0 {
            break;
        }
        if size > REPLY_BYTES_MAX as u64 {
            return Err(Bad);
        }
        let size = size as usize;
        let Some((chunk, rest)) = encoded[at..].split_at_checked(size) else {
            return Ok(None);
        };
        match rest {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Ok(None),
            _ => return Err(Bad),
        }
        decoded.extend_from_slice(chunk);
        at += size + 2;
    }
    let mut trailers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(&encoded[at..], &mut trailers).map_err(|_| Bad)? {
        httparse::Status::Complete((length, _)) => Ok(Some(at + length)),
        httparse::Status::Partial => Ok(None),
    }
}

#[cfg(test)]
mod tests;
