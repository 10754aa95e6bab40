//! What all connections of a core buffer together, and who is closed when that is too much.
//!
//! A connection by itself is bounded by what it may send and be owed. A thousand of them are not, so clients
//! share one budget. While it is scarce each has what it needs for one request and its reply, and is not
//! read from while it has more ([`Transport::update_read_interest`], [`Connections::scarce`](super::connections::Connections::scarce));
//! what has arrived before that took effect, and clients that stop in the middle of a request or do not read,
//! may still add up to more than there is. Links and connections to processors have bounds of their own.

use std::collections::BinaryHeap;

use super::connections::ConnectionState;
use super::Transport;
use crate::limits::{
    BUFFER_BYTES, CLIENT_BUFFERS_BYTES_CALM, CLIENT_BUFFERS_BYTES_FULL, CLIENT_BUFFERS_BYTES_MAX,
    CLIENT_BUFFERS_BYTES_SCARCE, EVICTIONS_MAX, EVICTION_LOG_NS,
};
use crate::machine::{Effect, Peer};

/// What the budget has led to. Monotonic.
#[derive(Default)]
pub(super) struct Budget {
    /// Connections closed for what they held, and not yet logged.
    evicted: u64,
    /// When the last line about that was logged.
    logged_ns: u64,
    /// Buffers were scarce, and what was freed since may still be with the allocator.
    pub(super) untrimmed: bool,
}

impl Transport {
    /// Ends a tick: buffers are within their budget, and freed ones go back to the system.
    pub(super) fn bound_buffers(&mut self, held: usize) {
        if held > CLIENT_BUFFERS_BYTES_SCARCE {
            self.budget.untrimmed = true;
        } else if self.budget.untrimmed && held <= CLIENT_BUFFERS_BYTES_CALM {
            self.budget.untrimmed = false;
            self.connections.trim();
            self.events.shrink_to_fit();
            self.effects.push_back(Effect::TrimMemory);
        }
        if held > CLIENT_BUFFERS_BYTES_FULL {
            self.evict();
        }
    }

    /// Closes clients, so that there is room for others: first those that hold most for longest without
    /// progress, by the product of the two.
    fn evict(&mut self) {
        let now_ns = self.now.monotonic_ns;
        let mut candidates = BinaryHeap::new();
        // What a connection that is being closed holds is about to be free.
        let mut held = self.connections.held_by_clients();
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            if connection.peer != Peer::Client || connection.held == 0 {
                continue;
            }
            if connection.state == ConnectionState::Closing {
                held -= connection.held as usize;
                continue;
            }
            let idle_ns = now_ns.saturating_sub(connection.progress_ns);
            // One that holds no more than what one request needs comes after all that do.
            let holds_more = connection.held as usize > BUFFER_BYTES;
            let weight = u128::from(idle_ns) * u128::from(connection.held);
            candidates.push((holds_more, weight, index));
        }
        let mut closed = 0;
        while held > CLIENT_BUFFERS_BYTES_MAX
            || (held > CLIENT_BUFFERS_BYTES_FULL && closed < EVICTIONS_MAX)
        {
            let Some((_, _, index)) = candidates.pop() else {
                break;
            };
            held -= self.connections[index].held as usize;
            self.close(index);
            closed += 1;
        }
        self.stats().clients_evicted.add(closed);
        self.log_evicted(closed);
    }

    /// A line a second at most.
    fn log_evicted(&mut self, closed: u64) {
        let now_ns = self.now.monotonic_ns;
        let budget = &mut self.budget;
        budget.evicted += closed;
        if budget.evicted == 0 || now_ns < budget.logged_ns + EVICTION_LOG_NS {
            return;
        }
        log::warn!(
            "clients' buffers reached their bound of {CLIENT_BUFFERS_BYTES_FULL} bytes: closed {} that held most and made no progress",
            budget.evicted
        );
        (budget.evicted, budget.logged_ns) = (0, now_ns);
    }
}
