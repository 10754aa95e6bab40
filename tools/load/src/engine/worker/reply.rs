//! What comes back to a thread: replies, and the ends of requests that get none.

use std::io;

use crate::measure::{Failure, FailureKind};
use crate::reply::{parse_reply, Response};

use super::super::connection::example;
use super::super::timer::now_ns;
use super::super::Traffic;
use super::{Worker, READ_BYTES};

impl<T: Traffic> Worker<'_, T> {
    /// Reads until there is nothing more; a read that does not fill the buffer has taken everything (epoll(7)), unless
    /// the end has come with it (`ended`).
    pub(super) fn read(&mut self, index: u32, ended: bool) {
        loop {
            let connection = &mut self.connections[index as usize];
            let Some(socket) = &mut connection.socket else {
                return;
            };
            let count = match socket.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(0) => return self.ended(index),
                Err(error) => return self.broken(index, now_ns(), &error),
                Ok(count) => count,
            };
            // Once for each reply: it says when that ended, and no other reply of this batch has to wait for it.
            let now_ns = now_ns();
            if connection.request.is_none() {
                return self.unasked(index, now_ns, count);
            }
            if self.received(index, now_ns, count, ended, false) || (count < READ_BYTES && !ended) {
                return;
            }
        }
    }

    /// So many bytes of a reply are in the buffer; `last`: there will be no more. Returns whether the request has ended
    /// with them.
    fn received(&mut self, index: u32, now_ns: u64, count: usize, ended: bool, last: bool) -> bool {
        let connection = &mut self.connections[index as usize];
        let request = connection.request.expect("a reply is of a request");
        let is_first = connection.input.is_empty();
        if !is_first {
            connection.input.extend_from_slice(&self.buffer[..count]);
        }
        let input = match is_first {
            true => &self.buffer[..count],
            false => &connection.input[..],
        };
        let (verdict, status, keep) = match parse_reply(input, last, &mut self.decoded) {
            Response::Complete {
                status,
                body,
                keep_alive,
                ..
            } => {
                let verdict = self.traffic.judge(request.ticket, status, body);
                (verdict, Some(status), keep_alive && !ended)
            }
            Response::Incomplete if last => {
                self.fail(
                    index,
                    now_ns,
                    FailureKind::HalfReply,
                    "the reply breaks off",
                );
                return true;
            }
            Response::Incomplete => {
                if is_first {
                    connection.input.extend_from_slice(&self.buffer[..count]);
                }
                return false;
            }
            Response::Bad => {
                self.traffic.lost(request.ticket, true);
                let what = "not HTTP, more than one reply, or one that is too long";
                (Err(Failure::new(FailureKind::NotHttp, what)), None, false)
            }
        };
        if !request.warm {
            let sample = request.sample(now_ns, status, input.len());
            match verdict {
                Ok(()) => self.recorder.succeeded(now_ns, sample),
                Err(Failure { kind, what }) => {
                    let output = &connection.output;
                    let example = || example(output, &what, input);
                    self.recorder.failed(now_ns, sample, kind, example);
                }
            }
        }
        let is_sent = connection.written == connection.output.len();
        self.release(index, keep && is_sent && self.plan.keepalive);
        if status.is_none() {
            self.schedule.failed(index, now_ns, false);
        } else if let Some(start) = self.schedule.replied(index, now_ns) {
            if self.may_begin(now_ns) {
                self.begin(start);
            }
        }
        true
    }

    /// The peer has closed the connection.
    fn ended(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if connection.request.is_none() {
            connection.close();
        } else if connection.input.is_empty() {
            let what = "the connection was closed before a reply";
            self.fail(index, now_ns(), FailureKind::Closed, what);
        } else {
            self.received(index, now_ns(), 0, true, true);
        }
    }

    /// The connection is of no more use.
    pub(super) fn broken(&mut self, index: u32, now_ns: u64, error: &io::Error) {
        let connection = &mut self.connections[index as usize];
        if connection.request.is_none() {
            return connection.close();
        }
        let kind = FailureKind::of_error(error, !connection.input.is_empty());
        self.fail(index, now_ns, kind, &error.to_string());
    }

    /// So many bytes have come on a connection that has no request.
    fn unasked(&mut self, index: u32, now_ns: u64, count: usize) {
        let connection = &mut self.connections[index as usize];
        connection.close();
        let (output, input) = (&connection.output, &self.buffer[..count]);
        let what = "after the end of the reply came";
        self.recorder
            .unasked(now_ns, || example(output, what, input));
    }

    /// The request ends without a reply.
    pub(super) fn fail(&mut self, index: u32, now_ns: u64, kind: FailureKind, what: &str) {
        let connection = &mut self.connections[index as usize];
        let request = connection.request.expect("only a request can fail");
        self.traffic.lost(request.ticket, connection.written > 0);
        if !request.warm {
            let sample = request.sample(now_ns, None, connection.input.len());
            let (output, input) = (&connection.output, &connection.input);
            let example = || example(output, what, input);
            self.recorder.failed(now_ns, sample, kind, example);
        }
        self.release(index, false);
        let unconnected = matches!(kind, FailureKind::Refused | FailureKind::Connect);
        self.schedule.failed(index, now_ns, unconnected);
    }

    /// The connection has no request any more; `keep`: it is good for another.
    fn release(&mut self, index: u32, keep: bool) {
        self.under_way -= 1;
        self.deadlines.remove(index);
        let connection = &mut self.connections[index as usize];
        connection.request = None;
        connection.input.clear();
        if !keep {
            connection.close();
        }
    }
}
