//! Requests of clients: from what a connection has received, one by one.

use super::transport::commit::Dependency;
use super::transport::connections::{ExpectedInput, Input};
use super::transport::encoder::ReplyTarget;
use super::transport::{Progress, Transport};
use crate::http::{self, Framing, ParseState, Parsed, Request};
use crate::limits::{BODY_NS_MAX, HEAD_NS_MAX, IDLE_NS_MAX, TICK_WORK_MAX};

/// The requests at the front of a connection's input, one by one, as far as the tick's bounds allow.
pub(super) struct Requests<'a> {
    index: usize,
    input: &'a [u8],
    decoded: Vec<u8>,
    parse: ParseState,
    /// Bytes of the requests that are done.
    consumed: usize,
    /// Bytes of the request that is not, and what the tick had done before it.
    request: (usize, u32),
    is_served: bool,
}

impl<'a> Requests<'a> {
    pub(super) fn begin(io: &mut Transport, index: usize, input: &'a [u8]) -> Requests<'a> {
        let (parse, decoded) = io.requests_begin(index);
        Requests {
            index,
            input,
            decoded,
            parse,
            consumed: 0,
            request: (0, 0),
            is_served: false,
        }
    }

    /// The next one, which [`done`](Self::done) follows; and whether nothing is received behind it.
    pub(super) fn next(&mut self, io: &mut Transport) -> Option<(Request<'_>, bool)> {
        let index = self.index;
        if self.consumed == self.input.len() || !io.takes_requests(index) {
            return None;
        }
        if !io.has_turn(index) {
            io.postpone(index);
            return None;
        }
        let rest = &self.input[self.consumed..];
        match http::parse(rest, &mut self.parse, &mut self.decoded) {
            Parsed::Request { request, consumed } => {
                let last = consumed == rest.len();
                if last || io.work() < TICK_WORK_MAX {
                    self.request = (consumed, io.work());
                    return Some((request, last));
                }
                io.postpone(index);
                self.parse = ParseState::default();
            }
            Parsed::Incomplete {
                send_continue: true,
            } if io.connections[index].waiting > 0 => {
                // `100 Continue` has its place among the replies, too: asked once more later.
                self.parse = ParseState::default();
            }
            Parsed::Incomplete { send_continue } => {
                // A line end too many behind a body is not the beginning of a head.
                let is_idle = rest.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
                let part = match self.parse.in_body() {
                    true => ExpectedInput::Body,
                    false if is_idle => ExpectedInput::Nothing,
                    false => ExpectedInput::Head,
                };
                arriving(io, index, part);
                if send_continue {
                    io.write_raw(index, Dependency::Nothing)
                        .extend_from_slice(http::CONTINUE);
                }
            }
            Parsed::Bad(status) => {
                if io.refuse(index, status, rest) == Progress::Done {
                    self.consumed = self.input.len();
                }
                // If it waits for its turn, it is judged from its first byte again.
                self.parse = ParseState::default();
            }
        }
        None
    }

    /// The request was answered, or is on its way to be.
    pub(super) fn done(&mut self, io: &mut Transport) {
        let (bytes, work_before) = self.request;
        io.request_done(self.index, bytes, work_before);
        self.consumed += bytes;
        self.is_served = true;
    }

    /// How many bytes of the input are done with.
    pub(super) fn end(self, io: &mut Transport) -> usize {
        io.requests_end(self.index, self.parse, self.decoded, self.is_served);
        self.consumed
    }
}

/// The request at the front is not all there yet: its time is running, anew once its head is there. Who drips
/// bytes gains nothing.
fn arriving(io: &mut Transport, index: usize, part: ExpectedInput) {
    let Input { arriving, .. } = &mut io.connections[index].input;
    if std::mem::replace(arriving, part) != part {
        let within_ns = match part {
            ExpectedInput::Nothing => IDLE_NS_MAX,
            ExpectedInput::Head => HEAD_NS_MAX,
            ExpectedInput::Body => BODY_NS_MAX,
        };
        io.expect_arrival(index, within_ns);
    }
}

/// In which form a request wants its reply. `last`: nothing is received behind it.
pub(super) fn reply_target(io: &Transport, request: &Request<'_>, last: bool) -> ReplyTarget {
    ReplyTarget::Client {
        framing: Framing {
            head_only: matches!(request.method, http::Method::Head),
            // What was received is finished before a stop closes.
            close: request.close || (last && io.stop.is_some()),
            http10: request.http10,
        },
        gzip: request.accepts_gzip,
        accepts: request.accepts,
    }
}
