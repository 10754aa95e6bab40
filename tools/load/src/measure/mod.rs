//! What is counted. All of it has a bound, however long a run is.

mod failure;
mod series;
mod tally;

pub use failure::{Failure, FailureKind, Failures};
pub use series::{Point, Series, POINTS_MAX};
pub use tally::{histogram, nanoseconds, KindTally, Late, Sample, Tally};

use std::fmt;
use std::time::Duration;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// `POST /clientes/{id}/transacoes`, `"tipo":"d"`.
    Debit,
    /// The same, `"tipo":"c"`.
    Credit,
    /// `GET /clientes/{id}/extrato`.
    Statement,
    /// `POST /payments`.
    Payment,
    /// `GET /payments-summary`.
    Summary,
    /// `GET /health`.
    Health,
    /// Whatever a contest's script asks of a payment processor.
    Processor,
    /// A request of a contest's script that is none of these.
    Check,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Kind; 8] = [
        Kind::Debit,
        Kind::Credit,
        Kind::Statement,
        Kind::Payment,
        Kind::Summary,
        Kind::Health,
        Kind::Processor,
        Kind::Check,
    ];

    /// As it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Debit => "debit",
            Kind::Credit => "credit",
            Kind::Statement => "statement",
            Kind::Payment => "payment",
            Kind::Summary => "summary",
            Kind::Health => "health",
            Kind::Processor => "processor",
            Kind::Check => "check",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Measured {
    /// Of the time that was measured: from the end of the warm-up to the end of the run, replies that
    /// came later not counted as time.
    pub elapsed: Duration,
    /// Of all requests that were due in that time.
    pub total: Tally,
    /// Over time.
    pub series: Series,
    /// Requests that were due, and not sent by the end of the run: no connection was free, or the tool was late.
    pub unsent: u64,
    /// Requests under way when the run was stopped, whose replies were not waited for. They are counted nowhere else.
    pub dropped: u64,
    /// It was ended before its time.
    pub stopped: bool,
    /// Of each thread, the share of its time that it used a CPU: near one, the tool was at its limit.
    pub busy: Vec<f64>,
}

impl Measured {
    /// Replies a second, counting those that came within the measured time.
    pub fn rate(&self) -> f64 {
        self.total.in_time as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}
