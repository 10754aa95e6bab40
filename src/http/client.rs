//! The other side of HTTP/1.1: requests to processors, and their replies (RFC 9112).

/// A request to a processor.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Host and port, as in the URL.
    pub host: &'a str,
    /// With its slash.
    pub path: &'a str,
    /// JSON; empty: none.
    pub body: &'a [u8],
}

/// Appends a request.
pub fn write_request(out: &mut Vec<u8>, request: &Outgoing<'_>) {
    let _ = (out, request);
    unimplemented!()
}

/// The reply at the front of what was received, as far as it is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// Not all there. The status is known once the head is complete.
    Incomplete {
        /// As received.
        status: Option<u16>,
    },
    /// All there.
    Complete {
        /// As received.
        status: u16,
        /// In seconds, if it was given so.
        retry_after_s: Option<u32>,
        /// Decoded.
        body: &'a [u8],
        /// The connection takes another request.
        keep_alive: bool,
    },
    /// Not HTTP, or beyond a bound, or more than one reply.
    Bad,
}

/// Reads a reply from its first byte. `ended`: nothing will follow (a body may end so, RFC 9112 section
/// 6.3). `decoded`: for chunked bodies.
pub fn parse_reply<'a>(input: &'a [u8], ended: bool, decoded: &'a mut Vec<u8>) -> Response<'a> {
    let _ = (input, ended, decoded);
    unimplemented!()
}
