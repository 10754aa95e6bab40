//! The schedule of a thread: which of its connections begins the next request, and when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::iter::{Skip, StepBy};
use std::time::Duration;

use crate::measure::nanoseconds;

use super::{Arrivals, End, Pace, Plan};

/// In closed loop, from an attempt that found no server to the next on that connection: without it, a thread
/// would do nothing but fail.
const NO_CONNECTION_PAUSE_NS: u64 = 10_000_000;

/// The requests that a thread is to begin.
#[derive(Debug)]
pub enum Schedule {
    /// Open loop: due requests, and connections for them.
    Open {
        begin_ns: u64,
        /// This thread's: one in so many.
        share: StepBy<Skip<Arrivals>>,
        /// The next request of the share, from the beginning on, and its stream.
        upcoming: Option<(Duration, usize)>,
        /// Connections without a request, and since when; in that order.
        free: VecDeque<(u32, u64)>,
    },
    /// Closed loop, and users who pause: a connection begins when it has its reply.
    Own {
        /// When each of those that have no request begins its next.
        resting: BinaryHeap<Reverse<(u64, u32)>>,
        /// After a reply; zero is closed loop.
        pause_ns: u64,
    },
}

/// A request to be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    pub connection: u32,
    pub stream: usize,
    /// When it was due; `None`: it is when it is begun.
    pub due_ns: Option<u64>,
    /// When it could have been begun, had this thread been quick enough; `None`: just now.
    pub able_ns: Option<u64>,
}

impl Schedule {
    /// Of one thread.
    pub fn new(plan: &Plan, thread: usize, begin_ns: u64) -> Schedule {
        let connections = plan.connections_of(thread) as u32;
        match &plan.pace {
            Pace::Open(arrivals) => {
                let arrivals = arrivals.clone();
                let mut share = arrivals.skip(thread).step_by(plan.threads);
                Schedule::Open {
                    begin_ns,
                    upcoming: share.next(),
                    share,
                    free: (0..connections).map(|index| (index, begin_ns)).collect(),
                }
            }
            Pace::Closed => Schedule::Own {
                resting: (0..connections)
                    .map(|index| Reverse((begin_ns, index)))
                    .collect(),
                pause_ns: 0,
            },
            Pace::Users(users) => {
                let ramp = match plan.end {
                    End::After(duration) => duration,
                    End::Requests(_) => Duration::ZERO,
                };
                let comes = |index: u32| {
                    let number = index as usize * plan.threads + thread;
                    match users.comes(number, ramp) {
                        Duration::ZERO => begin_ns,
                        after => begin_ns + nanoseconds(plan.warmup + after),
                    }
                };
                Schedule::Own {
                    resting: (0..connections)
                        .map(|index| Reverse((comes(index), index)))
                        .collect(),
                    pause_ns: nanoseconds(users.pause),
                }
            }
        }
    }

    /// When the next request can be begun; `None`: not before another has ended, if ever.
    pub fn next_ns(&self) -> Option<u64> {
        match self {
            Schedule::Open { free, .. } if free.is_empty() => None,
            Schedule::Open {
                begin_ns, upcoming, ..
            } => upcoming.map(|(due, _)| begin_ns + nanoseconds(due)),
            Schedule::Own { resting, .. } => resting.peek().map(|Reverse((due_ns, _))| *due_ns),
        }
    }

    /// The next request, if it can be begun.
    pub fn next(&mut self, now_ns: u64) -> Option<Start> {
        let due_ns = self.next_ns().filter(|due_ns| *due_ns <= now_ns)?;
        match self {
            Schedule::Open {
                share,
                upcoming,
                free,
                ..
            } => {
                let (connection, since_ns) = free.pop_front()?;
                let (_, stream) = std::mem::replace(upcoming, share.next())?;
                Some(Start {
                    connection,
                    stream,
                    due_ns: Some(due_ns),
                    able_ns: Some(due_ns.max(since_ns)),
                })
            }
            Schedule::Own { resting, pause_ns } => {
                let Reverse((_, connection)) = resting.pop()?;
                Some(Start {
                    connection,
                    stream: 0,
                    due_ns: None,
                    able_ns: (*pause_ns > 0).then_some(due_ns),
                })
            }
        }
    }

    /// A connection's request has ended with a reply. What is returned is to be begun at once.
    pub fn replied(&mut self, connection: u32, now_ns: u64) -> Option<Start> {
        match self {
            Schedule::Own { pause_ns: 0, .. } => Some(Start {
                connection,
                stream: 0,
                due_ns: None,
                able_ns: None,
            }),
            Schedule::Own { resting, pause_ns } => {
                resting.push(Reverse((now_ns + *pause_ns, connection)));
                None
            }
            Schedule::Open { free, .. } => {
                free.push_back((connection, now_ns));
                None
            }
        }
    }

    /// A connection's request has ended without a reply; `unconnected`: nor was there a connection.
    pub fn failed(&mut self, connection: u32, now_ns: u64, unconnected: bool) {
        match self {
            Schedule::Own { resting, pause_ns } => {
                let least_ns = u64::from(unconnected) * NO_CONNECTION_PAUSE_NS;
                let after_ns = least_ns.max(*pause_ns);
                resting.push(Reverse((now_ns + after_ns, connection)));
            }
            Schedule::Open { free, .. } => free.push_back((connection, now_ns)),
        }
    }

    /// A due request could have been begun before that time, and was not.
    pub fn is_behind(&self, time_ns: u64) -> bool {
        let Schedule::Open { free, .. } = self else {
            return false;
        };
        let is_free = free
            .front()
            .is_some_and(|(_, since_ns)| *since_ns < time_ns);
        is_free && self.next_ns().is_some_and(|due_ns| due_ns < time_ns)
    }

    /// Nothing more will ever be due.
    pub fn is_exhausted(&self) -> bool {
        matches!(self, Schedule::Open { upcoming: None, .. })
    }

    /// How many requests that were due in this time were not begun.
    pub fn unsent(self, from_ns: u64, until_ns: u64) -> u64 {
        let Schedule::Open {
            begin_ns,
            share,
            upcoming,
            ..
        } = self
        else {
            return 0;
        };
        let all = upcoming.into_iter().chain(share);
        let due_ns = all.map(|(due, _)| begin_ns + nanoseconds(due));
        let in_time = due_ns.take_while(|due_ns| *due_ns < until_ns);
        in_time.filter(|due_ns| *due_ns >= from_ns).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn plan(pace: Pace, connections: usize, threads: usize) -> Plan {
        Plan {
            target: "unix:/nowhere".parse().unwrap(),
            connections,
            threads,
            pace,
            keepalive: true,
            warmup: Duration::ZERO,
            end: End::After(Duration::from_secs(1)),
            timeout: Duration::from_secs(1),
            interval: Duration::from_secs(1),
        }
    }

    #[test]
    fn due_requests_wait_for_the_connection_that_was_idle_longest() {
        // Due at 5 ms, 15 ms, 25 ms.
        let pace = Pace::Open(Arrivals::constant(100.0));
        let mut schedule = Schedule::new(&plan(pace, 2, 1), 0, 0);
        assert_eq!(schedule.next(4 * MS), None);
        let start = |connection, due_ns, able_ns| {
            Some(Start {
                connection,
                stream: 0,
                due_ns: Some(due_ns),
                able_ns: Some(able_ns),
            })
        };
        assert_eq!(schedule.next(16 * MS), start(0, 5 * MS, 5 * MS));
        assert_eq!(schedule.next(16 * MS), start(1, 15 * MS, 15 * MS));
        assert_eq!((schedule.next(40 * MS), schedule.next_ns()), (None, None));
        assert_eq!(schedule.replied(1, 41 * MS), None);
        schedule.failed(0, 42 * MS, false);
        assert_eq!(schedule.next(43 * MS), start(1, 25 * MS, 41 * MS));
        assert_eq!(schedule.next(43 * MS), start(0, 35 * MS, 42 * MS));
        // At 45, 55 and so on to 95; of those, from 60 on.
        assert_eq!(schedule.unsent(60 * MS, 100 * MS), 4);
    }

    #[test]
    fn threads_take_turns() {
        let pace = Pace::Open(Arrivals::constant(1000.0));
        let plan = plan(pace, 9, 3);
        let due = |thread| {
            let mut schedule = Schedule::new(&plan, thread, MS / 2);
            let next = || schedule.next(100 * MS)?.due_ns.map(|due_ns| due_ns / MS);
            std::iter::from_fn(next).collect::<Vec<_>>()
        };
        assert_eq!([due(0), due(1), due(2)], [[1, 4, 7], [2, 5, 8], [3, 6, 9]]);
    }

    #[test]
    fn closed_loop_goes_on_at_once_but_not_without_a_server() {
        let mut schedule = Schedule::new(&plan(Pace::Closed, 1, 1), 0, MS);
        assert_eq!(schedule.next(0), None);
        let start = schedule.next(MS);
        assert_eq!(schedule.replied(0, 2 * MS), start);
        schedule.failed(0, 2 * MS, false);
        assert_eq!(schedule.next_ns(), Some(2 * MS));
        assert_eq!(schedule.next(2 * MS), start);
        schedule.failed(0, 3 * MS, true);
        assert_eq!(schedule.next_ns(), Some(3 * MS + NO_CONNECTION_PAUSE_NS));
    }
}
