//! What the script asks for beside its users: each call is measured, and a check like any other.

use std::time::Duration;

use crate::exchange::exchange;
use crate::measure::{Failure, Kind, Sample, Tally};
use crate::report::checks::Checks;
use crate::report::CheckExample;
use crate::target::Target;

/// For one of them. (The script's tool would wait for a minute.)
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// See the module. One for each thread; they are merged.
#[derive(Debug)]
pub struct Calls {
    pub tally: Tally,
    pub checks: Checks,
    /// Whether they count for the rate: those before and after the users do not.
    in_time: bool,
}

impl Calls {
    pub fn new(in_time: bool) -> Calls {
        Calls {
            tally: Tally::default(),
            checks: Checks::default(),
            in_time,
        }
    }

    /// Asks once. `what` must be so: an answer came, and `read` makes something of its status and body.
    pub fn ask<T>(
        &mut self,
        kind: Kind,
        what: &str,
        target: &Target,
        request: &[u8],
        read: impl FnOnce(u16, &[u8]) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut sample = Sample {
            kind,
            latency: TIMEOUT,
            service: TIMEOUT,
            status: None,
            bytes: 0,
            in_time: self.in_time,
        };
        let (read, example) = match exchange(target, request, TIMEOUT) {
            Ok(reply) => {
                sample.latency = reply.latency;
                sample.service = reply.service;
                sample.status = Some(reply.status);
                sample.bytes = reply.bytes;
                let read = read(reply.status, &reply.body);
                let example = read.as_ref().err().map(|failure| {
                    CheckExample::replied(&*failure.what, request, reply.status, &reply.body)
                });
                (read, example)
            }
            Err(failure) => {
                let example = CheckExample::lost(request, &failure);
                (Err(failure), Some(example))
            }
        };
        match &read {
            Ok(_) => self.tally.succeeded(&sample),
            Err(failure) => {
                let example = || format!("{target}: {}", failure.what);
                self.tally.failed(&sample, failure.kind, example);
            }
        }
        self.checks.look(what, example.map_or(Ok(()), Err));
        read
    }

    pub fn merge(&mut self, other: Calls) {
        self.tally.merge(&other.tally);
        self.checks.merge(other.checks);
    }
}
