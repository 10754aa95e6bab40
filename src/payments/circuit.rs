//! What is known of one processor, and how much is asked of it at a time: a circuit breaker and a
//! window that adapts. One for each core and processor.

/// See the module. Times are monotonic nanoseconds.
#[derive(Clone, Debug)]
pub struct Circuit {
    window_max: u32,
}

/// As in `/health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It works; the window says how much it gets.
    Closed,
    /// It fails: nothing is sent before the time for a probe.
    Open,
    /// One payment is under way to see whether it works again.
    HalfOpen,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out now, or (422) before.
    Done,
    /// Refused for a failure: 500, no connection, whatever is no answer to a payment.
    Failed,
    /// Too many: 429, with `Retry-After` in seconds if it was there.
    Busy(Option<u32>),
    /// No answer in time, or the connection broke with none.
    Unknown,
}

impl Circuit {
    /// Of a processor of which nothing is known. `window_max`: how many may be under way at most.
    pub fn new(window_max: u32) -> Circuit {
        Circuit { window_max }
    }

    /// As it is now.
    pub fn state(&self) -> State {
        let _ = self.window_max;
        unimplemented!()
    }

    /// How many may be under way.
    pub fn window(&self) -> u32 {
        unimplemented!()
    }

    /// Whether it works, or may by now (a probe is due): see [`super::choice::Outlook::works`].
    pub fn works(&self, now_ns: u64) -> bool {
        let _ = now_ns;
        unimplemented!()
    }

    /// Whether one more may be sent, with so many under way.
    pub fn has_room(&self, under_way: u32, now_ns: u64) -> bool {
        let _ = (under_way, now_ns);
        unimplemented!()
    }

    /// One is sent: what to give back with its outcome, so that outcomes of attempts from before a
    /// failure are not taken for news.
    pub fn sent(&mut self, under_way: u32, now_ns: u64) -> Ticket {
        let _ = (under_way, now_ns);
        unimplemented!()
    }

    /// How it ended. `under_way`: before it did, itself included.
    pub fn ended(&mut self, ticket: Ticket, outcome: Outcome, under_way: u32, now_ns: u64) {
        let _ = (ticket, outcome, under_way, now_ns);
        unimplemented!()
    }

    /// What the processor says of itself.
    pub fn health(&mut self, failing: bool, response_min_ms: u32, now_ns: u64) {
        let _ = (failing, response_min_ms, now_ns);
        unimplemented!()
    }

    /// From a request to its reply, as of late.
    pub fn latency_ns(&self) -> u64 {
        unimplemented!()
    }

    /// When it is to be looked at again although nothing happens: a probe will be due.
    pub fn wake_ns(&self) -> Option<u64> {
        unimplemented!()
    }
}

/// See [`Circuit::sent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// When it was sent.
    pub sent_ns: u64,
    /// Counts the failures that the circuit had seen by then.
    pub era: u32,
}
