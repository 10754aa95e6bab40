//! Load on several nodes at once: credits of one cent, to one account after the other.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{bail, Result};
use galo_load::engine::{self, Arrivals, End, Pace, Plan, Progress, Stop, Traffic, Watcher};
use galo_load::measure::{Failure, FailureKind, Kind, Tally};
use galo_load::target::Target;

use galo_bench::client::{self, BODY};

/// For one request.
const REPLY_MAX: Duration = Duration::from_secs(20);
/// Of an open loop, to each node: so many that a late reply delays no other request.
const CONNECTIONS: usize = 1024;

/// How much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So many connections to all nodes together, each of which waits for its reply.
    Closed(usize),
    /// So many requests a second to all nodes together, whatever the replies do.
    PerSecond(f64),
}

/// What came of it.
pub struct Outcome {
    pub tally: Tally,
    /// Replies that came in time, a second.
    pub per_second: f64,
    /// Due, and never sent.
    pub unsent: u64,
    /// The share of its time that the busiest of the load's threads had a CPU: near 1, it is the load that was measured.
    pub busy: f64,
}

impl Outcome {
    /// Of latencies, which count from when a request was due, in milliseconds.
    pub fn quantile_ms(&self, part: f64) -> f64 {
        self.tally.latency().value_at_quantile(part) as f64 / 1e6
    }

    /// Requests without a 200.
    pub fn failed(&self) -> u64 {
        self.tally.failures.count() + self.unsent
    }

    /// `Err`: something failed.
    pub fn sound(self) -> Result<Outcome> {
        if self.failed() > 0 {
            let seen = self.tally.failures.most_frequent();
            bail!(
                "not every request was answered 200: {seen:?}, {} unsent",
                self.unsent
            );
        }
        Ok(self)
    }
}

/// Credits to the accounts 1 to `accounts`, for this time, or until `stop`. What fails is in the outcome.
pub fn run(
    nodes: &[SocketAddr],
    accounts: u32,
    amount: Amount,
    length: Duration,
    stop: &Stop,
) -> Result<Outcome> {
    let count = nodes.len();
    let plan = |address: &SocketAddr| -> Result<Plan> {
        Ok(Plan {
            target: address.to_string().parse()?,
            connections: match amount {
                Amount::Closed(connections) => connections / count,
                Amount::PerSecond(_) => CONNECTIONS,
            },
            threads: 1,
            pace: match amount {
                Amount::Closed(_) => Pace::Closed,
                Amount::PerSecond(rate) => Pace::Open(Arrivals::constant(rate / count as f64)),
            },
            keepalive: true,
            warmup: Duration::ZERO,
            end: End::After(length),
            timeout: REPLY_MAX,
            interval: Duration::from_secs(1),
        })
    };
    let plans = nodes.iter().map(plan).collect::<Result<Vec<_>>>()?;
    let ended = thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(&plans)
            .map(|(number, plan)| {
                let credits =
                    Credits::new(&plan.target, accounts, number * accounts / count as u32);
                scope.spawn(move || engine::run(plan, vec![credits], stop, &mut Nobody))
            })
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended
            .map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<_>>>()
    })?;
    let mut outcome = Outcome {
        tally: Tally::default(),
        per_second: 0.0,
        unsent: 0,
        busy: 0.0,
    };
    for (measured, _) in ended {
        outcome.per_second += measured.total.in_time as f64 / measured.elapsed.as_secs_f64();
        outcome.unsent += measured.unsent;
        outcome.busy = measured.busy.iter().copied().fold(outcome.busy, f64::max);
        outcome.tally.merge(&measured.total);
    }
    Ok(outcome)
}

/// In turn, so that each shard has its part.
struct Credits {
    target: Target,
    accounts: u32,
    next: u32,
}

impl Credits {
    fn new(target: &Target, accounts: u32, first: u32) -> Credits {
        Credits {
            target: target.clone(),
            accounts,
            next: first,
        }
    }
}

impl Traffic for Credits {
    type Ticket = ();

    fn next(&mut self, _stream: usize, out: &mut Vec<u8>) -> (Kind, ()) {
        let path = client::path(1 + self.next % self.accounts);
        self.next = self.next.wrapping_add(1);
        self.target
            .write_request(out, "POST", &path, BODY.as_bytes());
        (Kind::Credit, ())
    }

    fn judge(&mut self, (): (), status: u16, body: &[u8]) -> Result<(), Failure> {
        match status {
            200 => Ok(()),
            _ => {
                let what = format!("{status}: {}", String::from_utf8_lossy(body));
                Err(Failure::new(FailureKind::WrongStatus, what))
            }
        }
    }

    fn lost(&mut self, (): (), _sent: bool) {}
}

/// Nobody watches.
struct Nobody;

impl Watcher for Nobody {
    fn interval(&mut self, _: &Progress<'_>) {}
}
