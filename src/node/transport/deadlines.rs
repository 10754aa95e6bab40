//! Deadlines of connections: for the peer to send something, or to take something.

use super::connections::{ConnectionState, ExpectedInput};
use super::Transport;
use crate::http::Status;
use crate::limits::{IDLE_NS_MAX, LINGER_NS, SWEEP_NS_MIN};
use crate::machine::Peer;

impl Transport {
    /// A stop has come to where nothing new begins.
    pub(in crate::node) fn is_past_grace(&self) -> bool {
        let now_ns = self.now.monotonic_ns;
        self.stop.as_ref().is_some_and(|it| now_ns >= it.grace_ns)
    }

    /// Deals with every deadline that has passed, and finds the next.
    pub(in crate::node) fn sweep(&mut self) {
        let now_ns = self.now.monotonic_ns;
        let mut next_ns = u64::MAX;
        let (mut idle_close, mut all_close) = (false, false);
        if let Some(stop) = &self.stop {
            idle_close = now_ns >= stop.grace_ns;
            all_close = now_ns >= stop.deadline_ns;
            next_ns = match (idle_close, all_close) {
                (_, true) => u64::MAX,
                (true, false) => stop.deadline_ns,
                (false, false) => stop.grace_ns,
            };
        }
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            if matches!(connection.peer, Peer::Member(_))
                || matches!(
                    connection.state,
                    ConnectionState::Free | ConnectionState::Closing
                )
            {
                continue;
            }
            if all_close || (idle_close && connection.is_idle()) {
                self.close(index);
            } else if now_ns >= connection.deadline_ns() {
                self.timed_out(index);
            }
            if self.connections[index].state != ConnectionState::Closing {
                next_ns = next_ns.min(self.connections[index].deadline_ns());
            }
        }
        self.sweep_ns = next_ns.max(now_ns + SWEEP_NS_MIN);
    }

    fn timed_out(&mut self, index: usize) {
        let connection = &self.connections[index];
        let is_processor = matches!(connection.peer, Peer::Upstream(_));
        if is_processor
            || connection.state == ConnectionState::Lingering
            || !connection.output.is_idle()
        {
            self.close(index); // The peer does not answer, does not close, or does not read.
        } else if connection.waiting > 0 || connection.postponed || !connection.output.is_empty() {
            self.expect_arrival(index, IDLE_NS_MAX); // It is we who owe something.
        } else if connection.peer == Peer::Linker
            || connection.input.arriving == ExpectedInput::Nothing
            || connection.state != ConnectionState::Open
        {
            self.close(index);
        } else {
            let received = std::mem::take(&mut self.connections[index].input.bytes);
            self.refuse(index, Status::RequestTimeout, &received);
            self.connections[index].input.bytes = received;
            self.expect_arrival(index, LINGER_NS); // Before it is closed after all.
        }
    }
}
