//! When requests are due.

use std::time::Duration;

/// When requests are due.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Closed loop: a connection's next request is due with the reply to the one before.
    Closed,
    /// Open loop: whatever the replies do.
    Open(Arrivals),
    /// Users, each with a connection of its own, who pause after every reply.
    Users(Users),
}

/// Requests that are due at given times, from one or more streams of them, each with a rate of its own.
#[derive(Clone, Debug)]
pub struct Arrivals {
    streams: Vec<Stream>,
}

/// A stretch of time in which a rate goes from one value to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Requests a second at its beginning.
    pub from: f64,
    /// Requests a second at its end.
    pub to: f64,
    /// How long it takes.
    pub length: Duration,
}

/// How many users there are, and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Users {
    /// At the beginning.
    pub first: usize,
    /// At the end of the ramp, which is as long as the run.
    pub last: usize,
    /// From a reply to the same user's next request.
    pub pause: Duration,
}

#[derive(Clone, Debug)]
struct Stream {
    segments: Vec<Segment>,
}
