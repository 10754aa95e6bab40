//! The aggregator, on the caller's thread: adds up what the threads hand in, and shows it to the watcher.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::measure::{nanoseconds, Point, Series, Tally};

use super::timer::now_ns;
use super::{End, Plan, Progress, Watcher};

/// Between two calls of [`Watcher::idle`].
const IDLE: Duration = Duration::from_millis(60);

/// What a thread has to say.
#[derive(Debug)]
pub enum Message {
    /// An interval has ended; they come in order.
    Interval {
        thread: usize,
        /// Its end, or that of the run, if that is earlier.
        until_ns: u64,
        tally: Box<Tally>,
    },
    /// There will be no more.
    Ended { thread: usize },
}

/// An interval that not all threads have handed in.
#[derive(Debug)]
struct Pending {
    until_ns: u64,
    tally: Tally,
}

/// Adds up the intervals of all threads.
#[derive(Debug)]
pub struct Aggregator<'a> {
    plan: &'a Plan,
    measured_ns: u64,
    /// Where the warm-up's next interval ends; `u64::MAX` once it is over.
    warmup_ns: u64,
    /// Of each thread, how many intervals it has handed in; `usize::MAX` once it has ended.
    handed_in: Vec<usize>,
    /// How many are in `series`; `pending` goes on from there.
    complete: usize,
    pending: VecDeque<Pending>,
    total: Tally,
    series: Series,
}

impl<'a> Aggregator<'a> {
    pub fn new(plan: &'a Plan, begin_ns: u64) -> Aggregator<'a> {
        let mut aggregator = Aggregator {
            plan,
            measured_ns: begin_ns + nanoseconds(plan.warmup),
            warmup_ns: u64::MAX,
            handed_in: vec![0; plan.threads],
            complete: 0,
            pending: VecDeque::new(),
            total: Tally::default(),
            series: Series::default(),
        };
        if !plan.warmup.is_zero() {
            aggregator.warmup_ns = aggregator.next_warmup_ns(begin_ns);
        }
        aggregator
    }

    /// Until all threads have ended.
    pub fn run(
        mut self,
        messages: &Receiver<Message>,
        watcher: &mut dyn Watcher,
    ) -> (Tally, Series) {
        let mut idle_ns = now_ns();
        while self.handed_in.iter().any(|count| *count != usize::MAX) {
            let now_ns = now_ns();
            if now_ns >= idle_ns {
                watcher.idle();
                idle_ns = now_ns + nanoseconds(IDLE);
            }
            let wake_ns = idle_ns.min(self.warmup_ns);
            match messages.recv_timeout(Duration::from_nanos(wake_ns.saturating_sub(now_ns))) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.warm_up(watcher);
            self.complete(watcher);
        }
        (self.total, self.series)
    }

    /// Shows the warm-up's intervals. The last ends with it, however short that is: whoever watches begins anew there.
    fn warm_up(&mut self, watcher: &mut dyn Watcher) {
        let now_ns = now_ns();
        if now_ns >= self.warmup_ns {
            self.show(watcher, 0, None);
            self.warmup_ns = match now_ns < self.measured_ns {
                true => self.next_warmup_ns(self.warmup_ns),
                false => u64::MAX,
            };
        }
    }

    fn next_warmup_ns(&self, before_ns: u64) -> u64 {
        let next_ns = before_ns + nanoseconds(self.plan.interval);
        next_ns.min(self.measured_ns)
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Ended { thread } => self.handed_in[thread] = usize::MAX,
            Message::Interval {
                thread,
                until_ns,
                tally,
            } => {
                let place = self.handed_in[thread] - self.complete;
                self.handed_in[thread] += 1;
                match self.pending.get_mut(place) {
                    Some(pending) => {
                        pending.tally.merge(&tally);
                        pending.until_ns = pending.until_ns.max(until_ns);
                    }
                    None => self.pending.push_back(Pending {
                        until_ns,
                        tally: *tally,
                    }),
                }
            }
        }
    }

    /// Shows the intervals that all threads that go on have handed in.
    fn complete(&mut self, watcher: &mut dyn Watcher) {
        while self.handed_in.iter().all(|count| *count > self.complete) {
            let Some(Pending { until_ns, tally }) = self.pending.pop_front() else {
                break;
            };
            let at = self.plan.interval * self.complete as u32;
            let elapsed_ns = until_ns - self.measured_ns;
            let point = Point::new(at, Duration::from_nanos(elapsed_ns) - at, &tally);
            self.total.merge(&tally);
            self.series.push(point);
            self.complete += 1;
            self.show(watcher, elapsed_ns, Some(&point));
        }
    }

    fn show(&self, watcher: &mut dyn Watcher, elapsed_ns: u64, point: Option<&Point>) {
        let elapsed = Duration::from_nanos(elapsed_ns);
        let part = match self.plan.end {
            End::After(all) => elapsed.as_secs_f64() / all.as_secs_f64(),
            End::Requests(count) => self.total.requests() as f64 / count as f64,
        };
        watcher.interval(&Progress {
            elapsed,
            part: part.min(1.0),
            point,
            total: &self.total,
        });
    }
}
