//! Requests at a given pace, whatever the replies do: what the contests' loads are like.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{bail, Result};
use galo_load::engine::{self, Arrivals, End, Pace, Plan, Progress, Stop, Traffic, Watcher};
use galo_load::measure::Tally;
use galo_load::target::Target;
use galo_load::traffic::bank::Bank;
use galo_load::traffic::payments::Payments;

/// So many that a late reply delays no other request.
const CONNECTIONS: usize = 256;
/// For one request.
const REPLY_MAX: Duration = Duration::from_secs(10);
/// Of runs so far: each has payments of its own.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// What is sent, and on which connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Debits, credits and statements, with a connection for each, as the contest of 2024 has it.
    Bank,
    /// Payments with ids of their own, on connections that stay, as that of 2025 has it.
    Payments,
}

/// What came of it; latencies count from when requests were due.
pub fn run(address: SocketAddr, mix: Mix, per_second: u32, seconds: u64) -> Result<Tally> {
    let seed = RUNS.fetch_add(1, Ordering::Relaxed);
    let plan = Plan {
        target: address.to_string().parse()?,
        connections: CONNECTIONS,
        threads: 1,
        pace: Pace::Open(Arrivals::constant(per_second.into())),
        keepalive: mix == Mix::Payments,
        warmup: Duration::ZERO,
        end: End::After(Duration::from_secs(seconds)),
        timeout: REPLY_MAX,
        interval: Duration::from_secs(1),
    };
    match mix {
        Mix::Bank => drive(&plan, |target| Bank::mixed(target, seed)),
        Mix::Payments => drive(&plan, |target| Payments::new(target, seed)),
    }
}

fn drive<T: Traffic>(plan: &Plan, traffic: impl Fn(&Target) -> T) -> Result<Tally> {
    let traffic = vec![traffic(&plan.target)];
    let (measured, _) = engine::run(plan, traffic, &Stop::default(), &mut Nobody)?;
    // The no-op server's replies are not right, but they are replies.
    let failures = &measured.total.failures;
    if failures.count() > failures.wrong_count() || measured.unsent > 0 {
        let seen = failures.most_frequent();
        bail!(
            "not every request was answered: {seen:?}, {} unsent",
            measured.unsent
        );
    }
    Ok(measured.total)
}

/// Nobody watches.
struct Nobody;

impl Watcher for Nobody {
    fn interval(&mut self, _: &Progress<'_>) {}
}
