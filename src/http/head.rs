//! Judging a complete head: the request line (RFC 9112, section 3) and the header fields that the
//! server acts on. Everything else is checked for its syntax, by httparse, and dropped. And the bytes that each part may have:
//! the character classes of RFC 9110 and RFC 3986.

use std::mem::MaybeUninit;

use super::accept::{list, Accepts, Codings};
use super::response::Status;
use crate::limits::{BODY_BYTES_MAX, HEADERS_MAX, HEAD_BYTES_MAX, KEY_CHARS_MAX};

/// What the server tells apart; a method's name is case-sensitive (RFC 9110, section 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`: reads, and changes nothing.
    Get,
    /// `HEAD`: as `GET`, and the reply has no body.
    Head,
    /// `POST`: may change something.
    Post,
    /// `OPTIONS`: asks which methods a path allows.
    Options,
    /// Any other token, `CONNECT` excepted, which is refused with 400: nothing here is a tunnel.
    Other,
}

/// An `Idempotency-Key` that is empty, too long, has other characters, or is not the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

/// How a body is delimited (RFC 9112, section 6.3). Without either header it has length 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// Bytes, at most [`BODY_BYTES_MAX`].
    Length(u32),
    /// Chunks, by `Transfer-Encoding: chunked`.
    Chunked,
}

/// What is kept of a head while the body arrives: no borrow of the input, which may move meanwhile.
#[derive(Clone, Debug)]
pub(super) struct RequestHead {
    pub method: Method,
    pub close: bool,
    pub http10: bool,
    pub accepts_gzip: bool,
    pub accepts: Accepts,
    /// `Content-Encoding` with anything but `identity`.
    pub body_coded: bool,
    /// `Expect: 100-continue`, from a client that speaks HTTP/1.1.
    pub expects_continue: bool,
    pub body: BodyFraming,
    end: u16,
    /// Offsets of the path; empty when an absolute-form has none.
    path: (u16, u16),
    /// Offsets of the query; `(0, 0)` when there is none.
    query: (u16, u16),
    /// Offsets of a valid key.
    idempotency_key: Option<Result<(u16, u16), BadKey>>,
}

const _: () = assert!(HEAD_BYTES_MAX <= u16::MAX as usize && BODY_BYTES_MAX <= u32::MAX as usize);

impl RequestHead {
    /// Offset of the body.
    pub fn end(&self) -> usize {
        self.end.into()
    }

    pub fn path<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        match self.path {
            (start, end) if start < end => &input[usize::from(start)..usize::from(end)],
            _ => b"/",
        }
    }

    pub fn query<'a>(&self, input: &'a [u8]) -> Option<&'a [u8]> {
        let (start, end) = self.query;
        (start != 0).then(|| &input[usize::from(start)..usize::from(end)])
    }

    pub fn idempotency_key<'a>(&self, input: &'a [u8]) -> Option<Result<&'a [u8], BadKey>> {
        let at = |(start, end)| &input[usize::from(start)..usize::from(end)];
        self.idempotency_key.map(|key| key.map(at))
    }
}

/// Judges the head `input[start..end]`, of which the caller knows that it ends with an empty line and
/// has no LF without a CR before it.
///
/// # Errors
/// 431 for too many fields, 505 for another version, 400 for whatever is malformed, 413 if
/// `Content-Length` announces too much, 501 for transfer codings, 417. Where several apply, the one
/// that is met first in this order of work, which depends on the head alone.
pub(super) fn judge(input: &[u8], start: usize, end: usize) -> Result<RequestHead, Status> {
    let head = &input[start..end];
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut headers) {
        Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => {}
        // Both sides agree on where a head ends; if not, it is not ours to guess.
        Ok(_) => {
            debug_assert!(false, "httparse sees another end: {head:?}");
            return Err(Status::BadRequest);
        }
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HeadTooLarge),
        Err(httparse::Error::Version) => return judge_other_version(input, start, end),
        Err(_) => return Err(Status::BadRequest),
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(Status::BadRequest);
    };

    let mut fields = HeaderFields::default();
    for header in request.headers.iter() {
        fields.take(header.name.as_bytes(), header.value)?;
    }
    let http10 = version == 0;
    // RFC 9112, section 3.2.
    if fields.hosts > 1 || (fields.hosts == 0 && !http10) {
        return Err(Status::BadRequest);
    }
    let accepts = match fields.accept {
        true => {
            let headers = request.headers.iter();
            let named = headers.filter(|header| same(header.name.as_bytes(), b"Accept"));
            Accepts::of(named.map(|header| header.value))
        }
        false => Accepts::USUAL,
    };
    let target = RequestTarget::parse(method, target.as_bytes())?;
    let body = fields.body(http10)?;
    if fields.unmet_expectation {
        return Err(Status::ExpectationFailed);
    }

    // httparse takes exactly one space after the method.
    let offset = start + method.len() + 1;
    let absolute = |(start, end)| ((offset + start) as u16, (offset + end) as u16);
    let offsets = |value: &[u8]| {
        let start = value.as_ptr() as usize - input.as_ptr() as usize;
        (start as u16, (start + value.len()) as u16)
    };
    Ok(RequestHead {
        method: match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            _ => Method::Other,
        },
        close: fields.close || (http10 && !fields.keep_alive),
        http10,
        accepts_gzip: fields.codings.is_some_and(|it| it.accept_gzip()),
        accepts,
        body_coded: fields.body_coded,
        expects_continue: fields.expects_continue && !http10,
        body,
        end: end as u16,
        path: absolute(target.path),
        query: target.query.map_or((0, 0), absolute),
        idempotency_key: fields.idempotency_key.map(|key| key.map(offsets)),
    })
}

/// The version is neither 1.0 nor 1.1, with method and target sound. A higher minor version is
/// taken as 1.1 (RFC 9110, section 2.5), any other version refused with 505, all else with 400.
#[cold]
#[inline(never)]
fn judge_other_version(input: &[u8], start: usize, end: usize) -> Result<RequestHead, Status> {
    let head = &input[start..end];
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let version = line.splitn(3, |&byte| byte == b' ').nth(2);
    match version {
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9']) => {
            // httparse knows no such version, so it gets to see one that it knows.
            let mut copy = [0; HEAD_BYTES_MAX];
            let copy = &mut copy[..end];
            copy.copy_from_slice(&input[..end]);
            copy[start + line.len() - 1] = b'1';
            judge(copy, start, end)
        }
        Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']) => {
            Err(Status::VersionNotSupported)
        }
        _ => Err(Status::BadRequest),
    }
}

/// A request target (RFC 9112, section 3.2), as offsets into it.
struct RequestTarget {
    path: (usize, usize),
    query: Option<(usize, usize)>,
}

impl RequestTarget {
    /// # Errors
    /// 400 for authority-form and whatever else is not one of the other three forms, for characters
    /// that RFC 3986 has not (`#` begins a fragment, which never travels), and for an authority that
    /// is empty or holds user information (RFC 9110, sections 4.2.1 and 4.2.4).
    fn parse(method: &str, target: &[u8]) -> Result<RequestTarget, Status> {
        if method == "CONNECT" {
            return Err(Status::BadRequest);
        }
        let start = match target {
            [b'/', ..] => 0,
            b"*" if method == "OPTIONS" => {
                return Ok(RequestTarget {
                    path: (0, 1),
                    query: None,
                })
            }
            _ => path_of_absolute_form(target)?,
        };
        let mark = memchr::memchr(b'?', &target[start..]).map(|length| start + length);
        let path_end = mark.unwrap_or(target.len());
        if !all(&target[start..path_end], PATH) {
            return Err(Status::BadRequest);
        }
        if mark.is_some_and(|mark| !all(&target[mark + 1..], QUERY)) {
            return Err(Status::BadRequest);
        }
        Ok(RequestTarget {
            path: (start, path_end),
            query: mark.map(|mark| (mark + 1, target.len())),
        })
    }
}

/// The offset after scheme and authority.
fn path_of_absolute_form(target: &[u8]) -> Result<usize, Status> {
    let colon = memchr::memchr(b':', target).ok_or(Status::BadRequest)?;
    let scheme = &target[..colon];
    let known = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
    let Some(rest) = target[colon..].strip_prefix(b"://").filter(|_| known) else {
        return Err(Status::BadRequest);
    };
    let length = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let authority = &rest[..length];
    if authority.is_empty() || authority[0] == b':' || !is_authority(authority) {
        return Err(Status::BadRequest);
    }
    Ok(colon + 3 + length)
}

fn is_key(value: &[u8]) -> bool {
    (1..=KEY_CHARS_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

/// `uri-host [ ":" port ]` (RFC 9110, section 7.2), by its characters; it may be empty.
fn is_authority(value: &[u8]) -> bool {
    all(value, AUTHORITY)
}

/// The header fields that matter, gathered in one pass.
#[derive(Default)]
struct HeaderFields<'a> {
    hosts: u8,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    unmet_expectation: bool,
    content_length: Option<usize>,
    transfer: Option<Transfer>,
    /// `None`: it names none.
    codings: Option<Codings>,
    /// There is an `Accept` to be read.
    accept: bool,
    body_coded: bool,
    idempotency_key: Option<Result<&'a [u8], BadKey>>,
}

/// The transfer codings, in order over all their fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transfer {
    /// `chunked`, and nothing else.
    Chunked,
    /// Unknown codings, and `chunked` as the last.
    UnknownThenChunked,
    /// Unknown codings, and `chunked` not as the last.
    Unknown,
}

impl<'a> HeaderFields<'a> {
    #[inline]
    fn take(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Status> {
        // The length rules out nearly all names with one comparison.
        match name.len() {
            4 if same(name, b"Host") => {
                self.hosts = self.hosts.saturating_add(1);
                if !is_authority(value) {
                    return Err(Status::BadRequest);
                }
            }
            6 if same(name, b"Accept") => self.accept |= Accepts::may_be_named_in(value),
            6 if same(name, b"Expect") => {
                if value.eq_ignore_ascii_case(b"100-continue") {
                    self.expects_continue = true;
                } else {
                    self.unmet_expectation = true;
                }
            }
            10 if same(name, b"Connection") => {
                for option in list(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if same(name, b"Content-Length") => {
                // Even twice the same: a reader that takes the first and one that takes the last
                // have to agree on every request, and this is the only way to be sure.
                if self.content_length.is_some() {
                    return Err(Status::BadRequest);
                }
                self.content_length = Some(decimal(value).ok_or(Status::BadRequest)?);
            }
            15 if same(name, b"Accept-Encoding") => {
                self.codings.get_or_insert_default().take(value)
            }
            15 if same(name, b"Idempotency-Key") => {
                self.idempotency_key = Some(match self.idempotency_key {
                    None if is_key(value) => Ok(value),
                    // Twice the same, too: which of them would another reader take?
                    _ => Err(BadKey),
                });
            }
            16 if same(name, b"Content-Encoding") => {
                // RFC 9110, section 8.4.1: `identity` is for Accept-Encoding only, and means no harm.
                let is_plain =
                    |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
                self.body_coded |= !list(value).all(is_plain);
            }
            17 if same(name, b"Transfer-Encoding") => {
                for coding in list(value) {
                    self.transfer = Some(Transfer::and_then(self.transfer, coding)?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112, section 6.3.
    fn body(&self, http10: bool) -> Result<BodyFraming, Status> {
        match (self.transfer, self.content_length) {
            (None, None) => Ok(BodyFraming::Length(0)),
            (None, Some(length)) if length > BODY_BYTES_MAX => Err(Status::BodyTooLarge),
            (None, Some(length)) => Ok(BodyFraming::Length(length as u32)),
            (Some(_), Some(_)) => Err(Status::BadRequest),
            // HTTP/1.0 has no transfer codings; a proxy of that time would pass the field on unseen.
            (Some(_), None) if http10 => Err(Status::BadRequest),
            (Some(Transfer::Chunked), None) => Ok(BodyFraming::Chunked),
            (Some(Transfer::UnknownThenChunked), None) => Err(Status::NotImplemented),
            // Nobody can tell where the body ends (section 6.3, rule 4).
            (Some(Transfer::Unknown), None) => Err(Status::BadRequest),
        }
    }
}

impl Transfer {
    fn and_then(before: Option<Transfer>, coding: &[u8]) -> Result<Transfer, Status> {
        let chunked = coding.eq_ignore_ascii_case(b"chunked");
        match before {
            None if chunked => Ok(Transfer::Chunked),
            Some(Transfer::Unknown) if chunked => Ok(Transfer::UnknownThenChunked),
            // What follows `chunked` is out of its place, be it `chunked` again.
            Some(Transfer::Chunked | Transfer::UnknownThenChunked) => Err(Status::BadRequest),
            // An empty element would be allowed in a list; here it is too good a disguise.
            _ if coding.is_empty() => Err(Status::BadRequest),
            _ => Ok(Transfer::Unknown),
        }
    }
}

/// Whether two names differ in case at most. Nearly all clients write them as `canonical`, which
/// takes one comparison of words.
#[inline]
fn same<const N: usize>(name: &[u8], canonical: &[u8; N]) -> bool {
    name == canonical || name.eq_ignore_ascii_case(canonical)
}

/// `1*DIGIT`, or `None`. What does not fit stays at the largest value, which is beyond any bound.
pub(super) fn decimal(value: &[u8]) -> Option<usize> {
    if value.is_empty() {
        return None;
    }
    let mut number = 0_usize;
    for byte in value {
        let digit = usize::from(digit_value(*byte)?);
        number = number.saturating_mul(10).saturating_add(digit);
    }
    Some(number)
}

fn digit_value(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

/// A byte of a token (RFC 9110, section 5.6.2): of a method or of a field's name.
pub(super) fn is_token_byte(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// A byte of a field's value (RFC 9110, section 5.5), blanks included.
pub(super) fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

const TOKEN: u8 = 1;
/// `pchar` and `/` (RFC 3986, section 3.3), with `%` unchecked.
const PATH: u8 = 2;
/// The characters of a query: those of a path, and `?` (section 3.4).
const QUERY: u8 = 8;
/// What a host, an address in brackets, and a port are made of (RFC 3986, section 3.2.2).
const AUTHORITY: u8 = 4;

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Looks at all bytes even after one that is not: without branches that is faster for the short
/// and sound ones that nearly all are.
fn all(bytes: &[u8], class: u8) -> bool {
    let common = bytes
        .iter()
        .fold(class, |common, &byte| common & CLASSES[usize::from(byte)]);
    common & class == class
}

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut class = 0;
        let unreserved_or_sub_delimiter = matches!(
            byte as u8,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
                | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        if unreserved_or_sub_delimiter || matches!(byte as u8, b'%' | b':') {
            class |= PATH | QUERY | AUTHORITY;
        }
        if matches!(byte as u8, b'/' | b'@') {
            class |= PATH | QUERY;
        }
        if byte as u8 == b'?' {
            class |= QUERY;
        }
        if matches!(byte as u8, b'[' | b']') {
            class |= AUTHORITY;
        }
        if matches!(
            byte as u8,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\''
                | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        ) {
            class |= TOKEN;
        }
        classes[byte] = class;
        byte += 1;
    }
    classes
};
