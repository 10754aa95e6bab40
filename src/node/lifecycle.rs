//! The life of a connection beside its requests: what is sent when, deadlines, closing, and the end
//! of all of them when the node stops.

use super::connection::{Arriving, State};
use super::link::Frame;
use super::Node;
use crate::http::Status;
use crate::limits::{
    IDLE_NS_MAX, LATE_NS, LINGER_NS, SEND_NS_MAX, STOP_GRACE_NS, STOP_INQUIRIES_NS, STOP_NS_MAX,
    SWEEP_NS_MIN,
};
use crate::machine::{Effect, Peer};
use crate::payments::Processor;

/// A stop in progress; all monotonic.
pub(super) struct Stop {
    /// Until then, idle connections may still bring a request that was on its way.
    grace_ns: u64,
    /// From then on, whatever takes time is answered as it stands.
    inquiries_ns: u64,
    /// From then on, whatever is unfinished is given up.
    deadline_ns: u64,
}

impl Stop {
    /// From then on, whatever takes time is answered as it stands. Monotonic.
    pub(super) fn inquiries_ns(&self) -> u64 {
        self.inquiries_ns
    }
}

/// Whether it is time for what has a deadline. At the end of a tick, because what arrived in time may only
/// now have been looked at; and later still when this process itself was late (paused, or starved), for
/// then there may be more of that in the sockets.
fn is_due(at_ns: &mut u64, now_ns: u64) -> bool {
    if now_ns < *at_ns {
        return false;
    }
    let late = now_ns - *at_ns > LATE_NS;
    if late {
        *at_ns = now_ns + LATE_NS;
    }
    !late
}

impl<J> Node<J> {
    pub(super) fn mark_dirty(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(connection.id);
        }
    }

    /// The peer has this long to send something.
    pub(super) fn expect_arrival(&mut self, index: usize, within_ns: u64) {
        let deadline_ns = self.now.monotonic_ns + within_ns;
        self.connections[index].arrival_deadline_ns = deadline_ns;
        self.sweep_ns = self.sweep_ns.min(deadline_ns);
    }

    /// A stop has come to where nothing new begins.
    pub(super) fn is_past_grace(&self) -> bool {
        self.stop
            .as_ref()
            .is_some_and(|stop| self.now.monotonic_ns >= stop.grace_ns)
    }

    pub(super) fn close(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if connection.state != State::Closing {
            debug_assert_ne!(connection.state, State::Free);
            connection.state = State::Closing;
            let (id, peer) = (connection.id, connection.peer);
            self.effects.push_back(Effect::Close(id));
            match peer {
                Peer::Client => {
                    self.drop_inquiry(id);
                    self.connections.drop_unsent(index);
                }
                Peer::Upstream(number) => self.processor_closed(index, Processor::ALL[number]),
                Peer::Member(_) | Peer::Linker => {}
            }
        }
    }

    /// Sends what may leave, and moves a connection on that has nothing left to send. `monotonic_ns`: the present, after
    /// the journal writes.
    pub(super) fn flush(&mut self, index: usize, monotonic_ns: u64) {
        let past_grace = self.is_past_grace();
        let scarce = self.connections.scarce();
        let (connection, buffers) = self.connections.with_buffers(index);
        let id = connection.id;
        if matches!(connection.state, State::Free | State::Closing) {
            return;
        }
        let started = connection.output.start(buffers, scarce);
        self.connections.count(index, self.now.monotonic_ns);
        let connection = &mut self.connections[index];
        if started {
            self.effects.push_back(Effect::Send(id));
            connection.send_deadline_ns = self.now.monotonic_ns + SEND_NS_MAX;
            self.sweep_ns = self.sweep_ns.min(connection.send_deadline_ns);
            if let Peer::Upstream(number) = connection.peer {
                self.processors
                    .request_leaves(index, Processor::ALL[number], monotonic_ns);
            }
            return;
        }
        if !connection.output.is_empty() || connection.waiting > 0 || connection.postponed {
            return;
        }
        match connection.state {
            State::Finishing => self.close(index),
            State::Open | State::Lingering | State::Refusing if connection.input_ended => {
                self.close(index)
            }
            State::Open if past_grace && connection.is_idle() => self.close(index),
            State::Refusing => {
                connection.state = State::Lingering;
                if std::mem::take(&mut connection.paused) {
                    self.effects.push_back(Effect::Resume(id));
                }
                self.effects.push_back(Effect::ShutdownWrite(id));
                self.expect_arrival(index, LINGER_NS);
            }
            _ => {}
        }
    }

    /// The tick's events are over: whose time is, too, is dealt with. That may take up what they have
    /// kept waiting, so it comes before the journal is written.
    pub fn events_over(&mut self) {
        let now_ns = self.now.monotonic_ns;
        if is_due(&mut self.sweep_ns, now_ns) {
            self.sweep();
        }
        if is_due(&mut self.expire_ns, now_ns) {
            self.expire();
        }
        if is_due(&mut self.inquire_ns, now_ns) {
            self.inquire();
        }
        if self.settings.payments.is_some() {
            self.dispatch();
        }
    }

    /// Deals with every deadline that has passed, and finds the next.
    fn sweep(&mut self) {
        let now_ns = self.now.monotonic_ns;
        let mut next_ns = u64::MAX;
        let (mut idle_close, mut all_close) = (false, false);
        if let Some(stop) = &self.stop {
            idle_close = now_ns >= stop.grace_ns;
            all_close = now_ns >= stop.deadline_ns;
            if !all_close {
                next_ns = if idle_close {
                    stop.deadline_ns
                } else {
                    stop.grace_ns
                };
            }
        }
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            if matches!(connection.peer, Peer::Member(_))
                || matches!(connection.state, State::Free | State::Closing)
            {
                continue;
            }
            if all_close || (idle_close && connection.is_idle()) {
                self.close(index);
            } else if now_ns >= connection.deadline_ns() {
                self.timed_out(index);
            }
            if self.connections[index].state != State::Closing {
                next_ns = next_ns.min(self.connections[index].deadline_ns());
            }
        }
        self.sweep_ns = next_ns.max(now_ns + SWEEP_NS_MIN);
    }

    fn timed_out(&mut self, index: usize) {
        let connection = &self.connections[index];
        let is_processor = matches!(connection.peer, Peer::Upstream(_));
        if is_processor || connection.state == State::Lingering || !connection.output.is_idle() {
            self.close(index); // The peer does not answer, does not close, or does not read.
        } else if connection.waiting > 0 || connection.postponed || !connection.output.is_empty() {
            self.expect_arrival(index, IDLE_NS_MAX); // It is we who owe something.
        } else if connection.peer == Peer::Linker
            || connection.arriving == Arriving::Nothing
            || connection.state != State::Open
        {
            self.close(index);
        } else {
            self.refuse(index, Status::RequestTimeout);
            self.expect_arrival(index, LINGER_NS); // Before it is closed after all.
        }
    }

    // ---- Stopping ---

    /// See [`crate::machine::Machine::stop`].
    pub fn stop(&mut self) {
        if self.stop.is_some() {
            return;
        }
        let now_ns = self.now.monotonic_ns;
        self.stop = Some(Stop {
            grace_ns: now_ns + STOP_GRACE_NS,
            inquiries_ns: now_ns + STOP_INQUIRIES_NS,
            deadline_ns: now_ns + STOP_NS_MAX,
        });
        self.sweep_ns = self.sweep_ns.min(now_ns + STOP_GRACE_NS);
        self.effects.push_back(Effect::StopAccepting);
        self.tell_all(&Frame::Leaving);
        self.stop_processors();
        self.hand_over();
        self.hurry_inquiries();
    }

    /// Whether a stop has come to where no client is left, and no other node will ask any more.
    pub fn is_quiet(&self) -> bool {
        let Some(stop) = &self.stop else {
            return false;
        };
        self.now.monotonic_ns >= stop.deadline_ns
            || (self.connections.clients() == 0
                && !self.is_changing_hands()
                && (0..self.links.len()).all(|member| self.is_done_with(member)))
    }

    /// Neither end of a link to a core of this process will ask anything any more, and both know. (What
    /// another process asks, it asks again when we are gone.)
    fn is_done_with(&self, member: usize) -> bool {
        let link = &self.links[member];
        match link.connection() {
            None => true,
            Some(_) if !self.settings.members.is_in_process(member) => true,
            Some(id) => link.is_quiet() && self.connections[id.index as usize].output.is_empty(),
        }
    }
}
