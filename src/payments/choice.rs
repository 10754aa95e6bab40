//! Who gets the next payment: the cheapest that works, within the deadline.

/// What is known of one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// It carries payments out, as far as is known (its circuit is closed, or a probe is due).
    pub works: bool,
    /// One more may be sent to it now.
    pub room: bool,
    /// From a request to its reply, as of late. Nanoseconds.
    pub latency_ns: u64,
    /// How many it may have at a time, when it works well.
    pub parallel_max: u32,
    /// What it keeps, in hundredths of a percent.
    pub fee_basis_points: u32,
}

/// What waits; ages in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Since the payment that has waited longest was accepted.
    pub oldest_ns: u64,
    /// Since the last one was.
    pub newest_ns: u64,
    /// How many wait.
    pub length: usize,
    /// How many may.
    pub length_max: usize,
}

/// What to do with the payment that has waited longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nobody is to get it now.
    Wait,
    /// To this one (by number), the cheapest.
    Cheapest(usize),
    /// To this one, which costs more: waiting longer would break the deadline.
    ForDeadline(usize),
    /// To this one, which costs more: the queue is near its bound.
    ForRoom(usize),
}

/// The rule.
pub fn choose(backlog: &Backlog, deadline_ns: u64, outlooks: &[Outlook; 2]) -> Choice {
    let _ = (backlog, deadline_ns, outlooks);
    unimplemented!()
}
