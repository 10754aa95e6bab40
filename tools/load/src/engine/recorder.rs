//! The recorder of a thread: the interval that is going on, and the times of the run.

use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::measure::{nanoseconds, FailureKind, Sample, Tally};

use super::aggregator::Message;
use super::timer::thread_cpu_ns;
use super::{End, Plan, LATE};

/// What one thread has measured.
#[derive(Debug)]
pub struct Recorder {
    thread: usize,
    sender: Sender<Message>,
    /// Where the measured time begins.
    measured_ns: u64,
    /// Where it ends: nothing is begun any more. `u64::MAX` while that is not known.
    end_ns: u64,
    interval_ns: u64,
    /// Where the interval that is going on ends.
    boundary_ns: u64,
    tally: Tally,
    /// The last that ended.
    ended_ns: u64,
    /// What the thread had used of a CPU when the measured time began.
    cpu_begin_ns: Option<u64>,
    /// The share of a CPU in the measured time, once that is over.
    busy: Option<f64>,
}

impl Recorder {
    pub fn new(plan: &Plan, thread: usize, begin_ns: u64, sender: Sender<Message>) -> Recorder {
        let measured_ns = begin_ns + nanoseconds(plan.warmup);
        let interval_ns = nanoseconds(plan.interval);
        Recorder {
            thread,
            sender,
            measured_ns,
            end_ns: match plan.end {
                End::After(duration) => measured_ns.saturating_add(nanoseconds(duration)),
                End::Requests(_) => u64::MAX,
            },
            interval_ns,
            boundary_ns: measured_ns + interval_ns,
            tally: Tally::default(),
            ended_ns: measured_ns,
            cpu_begin_ns: None,
            busy: None,
        }
    }

    pub fn measured_ns(&self) -> u64 {
        self.measured_ns
    }

    pub fn end_ns(&self) -> u64 {
        self.end_ns
    }

    /// When there is something to do here: an interval ends, or the warm-up or the run does.
    pub fn next_ns(&self, now_ns: u64) -> u64 {
        let next = [self.measured_ns, self.boundary_ns, self.end_ns];
        let next = next.into_iter().filter(|at_ns| *at_ns > now_ns).min();
        next.unwrap_or(u64::MAX)
    }

    /// Whether a request that counts from here is not measured.
    pub fn is_warm(&self, from_ns: u64) -> bool {
        from_ns < self.measured_ns
    }

    /// Hands in the intervals that have ended. The last one goes on until everything has ended.
    pub fn advance(&mut self, now_ns: u64) {
        if now_ns >= self.measured_ns && self.cpu_begin_ns.is_none() {
            self.cpu_begin_ns = Some(thread_cpu_ns());
        }
        while now_ns >= self.boundary_ns && self.boundary_ns < self.end_ns {
            self.hand_in(self.boundary_ns);
            self.boundary_ns += self.interval_ns;
        }
        if now_ns >= self.end_ns && self.busy.is_none() {
            self.measure_busy();
        }
    }

    /// The run ends now, whatever was planned.
    pub fn stop(&mut self, now_ns: u64) {
        self.advance(now_ns);
        self.end_ns = self.end_ns.min(now_ns.max(self.interval_begin_ns()));
        if self.busy.is_none() {
            self.measure_busy();
        }
    }

    /// The run ended with the last request's end.
    pub fn complete(&mut self) {
        if self.end_ns == u64::MAX {
            self.stop(self.ended_ns);
        }
    }

    fn interval_begin_ns(&self) -> u64 {
        self.boundary_ns - self.interval_ns
    }

    fn measure_busy(&mut self) {
        let time_ns = self.end_ns - self.measured_ns;
        let used_ns = self.cpu_begin_ns.map(|begin_ns| thread_cpu_ns() - begin_ns);
        self.busy = Some(used_ns.unwrap_or(0) as f64 / time_ns.max(1) as f64);
    }

    fn hand_in(&mut self, until_ns: u64) {
        let tally = Box::new(std::mem::take(&mut self.tally));
        // If the caller's thread has ended, nobody wants to know.
        let _ = self.sender.send(Message::Interval {
            thread: self.thread,
            until_ns,
            tally,
        });
    }

    /// Hands in the last interval. Returns the end of the measured time, and [`busy`](crate::measure::Measured).
    pub fn close(mut self) -> (u64, f64) {
        if self.end_ns > self.interval_begin_ns() || self.tally.requests() > 0 {
            self.hand_in(self.end_ns);
        }
        (self.end_ns, self.busy.unwrap_or(0.0))
    }

    /// A request has ended well. Those of the warm-up are not recorded.
    pub fn succeeded(&mut self, now_ns: u64, sample: Sample) {
        let sample = self.placed(now_ns, sample);
        self.tally.succeeded(&sample);
    }

    /// A request has failed. Those of the warm-up are not recorded.
    pub fn failed(
        &mut self,
        now_ns: u64,
        sample: Sample,
        kind: FailureKind,
        example: impl FnOnce() -> String,
    ) {
        let sample = self.placed(now_ns, sample);
        self.tally.failed(&sample, kind, example);
    }

    fn placed(&mut self, now_ns: u64, sample: Sample) -> Sample {
        self.advance(now_ns);
        self.ended_ns = self.ended_ns.max(now_ns);
        Sample {
            in_time: now_ns < self.end_ns,
            ..sample
        }
    }

    /// Bytes have come that nobody had asked for, and that are of no request.
    pub fn unasked(&mut self, now_ns: u64, example: impl FnOnce() -> String) {
        if !self.is_warm(now_ns) {
            self.advance(now_ns);
            self.tally.failures.add(FailureKind::NotHttp, example);
        }
    }

    /// A request that counts from `from_ns` and could have been begun at `able_ns` is begun now.
    pub fn begun(&mut self, now_ns: u64, from_ns: u64, able_ns: u64) {
        let own = Duration::from_nanos(now_ns.saturating_sub(able_ns));
        if own > LATE {
            self.tally.late(Some(own), false);
        } else if Duration::from_nanos(now_ns.saturating_sub(from_ns)) > LATE {
            self.tally.late(None, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const MS: u64 = 1_000_000;

    #[test]
    fn who_was_late_is_told_apart() {
        let plan = Plan {
            target: "unix:/nowhere".parse().unwrap(),
            connections: 1,
            threads: 1,
            pace: super::super::Pace::Closed,
            keepalive: true,
            warmup: Duration::ZERO,
            end: End::Requests(1),
            timeout: Duration::from_secs(1),
            interval: Duration::from_secs(1),
        };
        let (sender, _messages) = channel();
        let mut recorder = Recorder::new(&plan, 0, 0, sender);
        // In time; a connection came free late; it did, and the tool was slow, too; only the tool was slow.
        for (now_ms, from_ms, able_ms) in [(10, 9, 9), (10, 5, 9), (10, 2, 4), (10, 8, 8)] {
            recorder.begun(now_ms * MS, from_ms * MS, able_ms * MS);
        }
        let late = recorder.tally.late;
        assert_eq!((late.by_target, late.by_tool), (1, 2));
        assert_eq!(late.by_tool_max, Duration::from_millis(6));
    }
}
