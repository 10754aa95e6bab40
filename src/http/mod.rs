//! HTTP/1.1 as values: bytes of a request in, bytes of a reply out. No I/O, no clock.
//!
//! [`parse`] finds the request at the front of what a connection has received, and judges it by
//! RFC 9112 strictly: what two readers could frame differently is refused, never guessed at. Its
//! verdict depends on the bytes alone, not on how they were cut on their way. [`write()`] encodes a
//! reply.
//!
//! | file | what |
//! |---|---|
//! | `request` | framing: where a request begins and ends, resumably; segments of its path, parameters of its query |
//! | `head` | judging a complete head: request line and header fields; which bytes may stand where |
//! | `accept` | which form of a body a client takes |
//! | `chunked` | the chunked transfer coding |
//! | `response` | status lines, replies |
//! | `client` | requests to other servers, and their replies |
//! | `date` | `Date` of a reply, timestamps in bodies |
//! | `gzip` | compressed bodies |

pub mod client;
pub(crate) mod date;
pub(crate) mod gzip;
pub(crate) mod request;
pub(crate) mod response;

mod accept;
mod chunked;
mod head;

pub use accept::Accepts;
pub use date::{iso8601, iso8601_ms, parse_iso8601, Date, Round};
pub use gzip::Gzip;
pub use head::{BadKey, Method};
pub use request::{parse, BadEscape, ParseState, Parsed, Path, QueryString, Request};
pub use response::{write, ContentType, Framing, Reply, Status, CONTINUE};
