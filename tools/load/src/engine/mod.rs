//! Threads that drive sockets at a pace.
//!
//! Each thread has its part of the connections, one epoll set, and a [`Traffic`] of its own, which says what
//! is sent and judges what comes back. Nothing is shared between threads but the sign to stop; at the end of each
//! interval a thread sends its [`Tally`] to the caller's thread, which adds them up.
//!
//! | file | what |
//! |---|---|
//! | `pace` | when requests are due |
//! | `worker` | one thread: the loop that drives its connections; `reply`: what comes back on them |
//! | `schedule` | which of its connections begins a request, and when |
//! | `connection` | one connection: its socket, and what it is waiting for |
//! | `deadlines` | which request times out next |
//! | `timer` | the clock, and to wake up in time |
//! | `recorder` | what a thread has measured |
//! | `aggregator` | adds up what all threads have measured, on the caller's thread |

mod aggregator;
mod connection;
mod deadlines;
mod pace;
mod recorder;
mod schedule;
#[cfg(test)]
mod tests;
mod timer;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::measure::{nanoseconds, Failure, Kind, Measured, Point, Tally};
use crate::target::Target;

use aggregator::{Aggregator, Message};
use timer::now_ns;
use worker::Worker;

pub use pace::{Arrivals, Pace, Segment, Users};

/// A request that was begun later than this after it could have been is late by the tool's own fault; one that was
/// begun later than this after it was due, because no connection was free, is late by the target's.
pub const LATE: Duration = Duration::from_millis(1);

/// From the call of [`run`] to the beginning of the run, so that all threads are there in time.
const START: Duration = Duration::from_millis(2);

/// What is sent, and whether its replies are right. One for each thread.
pub trait Traffic: Send {
    /// What is remembered of a request until it has ended.
    type Ticket: Copy + Send;

    /// Appends the bytes of the next request to `out`. `stream`: which of the arrivals' streams it is of
    /// ([`Arrivals`]); 0 where there is only one.
    fn next(&mut self, stream: usize, out: &mut Vec<u8>) -> (Kind, Self::Ticket);

    /// A reply has come: is it right? The body is decoded.
    fn judge(&mut self, ticket: Self::Ticket, status: u16, body: &[u8]) -> Result<(), Failure>;

    /// There will be no reply. `sent`: the target may have seen the request.
    fn lost(&mut self, ticket: Self::Ticket, sent: bool);
}

/// When a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After this time, the warm-up not included.
    After(Duration),
    /// After so many requests, the warm-up's not included.
    Requests(u64),
}

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// To whom.
    pub target: Target,
    /// At once, over all threads; with [`Pace::Users`], the number of users counts instead.
    pub connections: usize,
    /// That drive them; never more than connections.
    pub threads: usize,
    /// When requests are due.
    pub pace: Pace,
    /// Whether a connection takes one request after the other; otherwise each request has its own.
    pub keepalive: bool,
    /// Before what is measured.
    pub warmup: Duration,
    /// See there.
    pub end: End,
    /// For one request, from when it was begun. Those that are under way at the end of the run get as long.
    pub timeout: Duration,
    /// Of one point of the series.
    pub interval: Duration,
}

/// The sign to end a run before its time. Clones are the same sign.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Gives it.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was given.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a run stands, at the end of an interval.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Of the measured time; zero during the warm-up.
    pub elapsed: Duration,
    /// Of the whole, 0 to 1.
    pub part: f64,
    /// The interval that has just ended; `None` during the warm-up.
    pub point: Option<&'a Point>,
    /// All intervals so far.
    pub total: &'a Tally,
}

/// Who watches a run, on the caller's thread.
pub trait Watcher {
    /// An interval has ended.
    fn interval(&mut self, progress: &Progress<'_>);

    /// Called some ten to twenty times a second: time for keys and the screen.
    fn idle(&mut self) {}
}

impl Plan {
    /// How many connections this thread drives.
    fn connections_of(&self, thread: usize) -> usize {
        let connections = match self.pace {
            Pace::Users(users) => users.last,
            Pace::Closed | Pace::Open(_) => self.connections,
        };
        share_of(connections as u64, self.threads as u64, thread as u64) as usize
    }
}

/// How many of `all` those are that the numbers of the threads fall to in turn.
fn share_of(all: u64, threads: u64, thread: u64) -> u64 {
    all / threads + u64::from(thread < all % threads)
}

/// Tells the caller's thread that this one has ended, even if it panics; then the others end, too.
struct Ending<'a> {
    thread: usize,
    sender: Sender<Message>,
    stop: &'a Stop,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.stop.stop();
        }
        let thread = self.thread;
        let _ = self.sender.send(Message::Ended { thread });
    }
}

/// Runs it to its end, or until `stop`. `traffic`: one for each thread; they come back with what they know.
/// What fails in a request is in the result and never ends the run.
///
/// # Errors
/// What the run cannot go on without: an epoll set, a timer, a thread. The sign to stop is given then.
///
/// # Panics
/// If a thread has none of the connections; and with whatever a `Traffic` panics with.
pub fn run<T: Traffic>(
    plan: &Plan,
    traffic: Vec<T>,
    stop: &Stop,
    watcher: &mut dyn Watcher,
) -> Result<(Measured, Vec<T>)> {
    assert_eq!(traffic.len(), plan.threads);
    assert!((0..plan.threads).all(|thread| plan.connections_of(thread) > 0));
    let (sender, messages) = channel();
    let begin_ns = now_ns() + nanoseconds(START);
    let workers = traffic.into_iter().enumerate().map(|(thread, traffic)| {
        Worker::new(plan, thread, begin_ns, traffic, stop, sender.clone())
            .context("no epoll set, or no timer")
    });
    let workers = workers.collect::<Result<Vec<_>>>()?;
    let (total, series, outcomes) = thread::scope(|scope| {
        let mut threads = Vec::new();
        for (thread, worker) in workers.into_iter().enumerate() {
            let ending = Ending {
                thread,
                sender: sender.clone(),
                stop,
            };
            let spawned =
                Builder::new()
                    .name(format!("load-{thread}"))
                    .spawn_scoped(scope, move || {
                        let ending = ending;
                        let outcome = worker.run();
                        if outcome.is_err() {
                            ending.stop.stop();
                        }
                        outcome
                    });
            if spawned.is_err() {
                // Those that are there already are waited for.
                stop.stop();
            }
            threads.push(spawned.context("no thread")?);
        }
        let (total, series) = Aggregator::new(plan, begin_ns).run(&messages, watcher);
        let outcomes = threads.into_iter().map(|thread| match thread.join() {
            Ok(outcome) => outcome.context("waiting for sockets"),
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let outcomes = outcomes.collect::<Result<Vec<_>>>()?;
        anyhow::Ok((total, series, outcomes))
    })?;
    let measured_ns = begin_ns + nanoseconds(plan.warmup);
    let end_ns = outcomes.iter().map(|outcome| outcome.end_ns).max();
    let measured = Measured {
        elapsed: Duration::from_nanos(end_ns.unwrap_or(measured_ns) - measured_ns),
        total,
        series,
        unsent: outcomes.iter().map(|outcome| outcome.unsent).sum(),
        dropped: outcomes.iter().map(|outcome| outcome.dropped).sum(),
        stopped: outcomes.iter().any(|outcome| outcome.stopped),
        busy: outcomes.iter().map(|outcome| outcome.busy).collect(),
    };
    let traffic = outcomes.into_iter().map(|outcome| outcome.traffic);
    Ok((measured, traffic.collect()))
}
