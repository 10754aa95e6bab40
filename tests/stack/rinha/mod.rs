//! The official run of the contest of 2025: processors that are slow and fail on a timetable, users who
//! pay, totals that are compared, and the score.
//!
//! | file | what |
//! |---|---|
//! | `users` | who pays, and what they are told |
//! | `totals` | the node's summary beside the processors' own |
//!
//! What processors do and when, and what it is worth, are the load tester's.

// The load tester uses the rest of them.
#[allow(dead_code)]
#[path = "../../../tools/load/src/contest2025/score.rs"]
mod score;
#[path = "../../../tools/load/src/contest2025/stages.rs"]
mod stages;
mod totals;
mod users;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use galo_testkit::{
    now_us, summary, Address, Connection, PaymentLedger, Processor, Summary, PATIENCE,
};

use score::{Line, Score};
use stages::{LENGTH, STAGES};
use totals::{Comparison, Verdict};

/// Users at the end.
const USERS: usize = 550;
/// From one comparison of the totals to the next. (The script's: ten seconds.)
const COMPARE: Duration = Duration::from_secs(1);
/// What counts at the end.
const COUNTED_US: u64 = 70_000_000;

/// How it is run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// In all.
    pub length: Duration,
    /// What a user waits for a reply.
    pub reply_max: Duration,
}

/// As the contest has it.
pub const OFFICIAL: Plan = Plan {
    length: LENGTH,
    reply_max: Duration::from_millis(1_500),
};
/// In a third of its time, on a machine that may be busy with something else.
pub const SHORT: Plan = Plan {
    length: Duration::from_secs(20),
    reply_max: PATIENCE,
};

/// What came of a run.
pub struct Run {
    pub book: PaymentLedger,
    score: Score,
    /// Calls that failed, by what they were told.
    pub failed: Vec<String>,
    comparisons: Vec<Comparison>,
}

/// Runs it while `during` runs, which is told when it is over.
pub fn run(
    address: &Address,
    processors: &[Processor; 2],
    plan: Plan,
    during: impl FnOnce(&dyn Fn() -> bool),
) -> Run {
    let begin = Instant::now();
    let end = begin + plan.length;
    let panicked = AtomicBool::new(false);
    let is_over = || Instant::now() >= end || panicked.load(Ordering::Relaxed);
    let (users, comparisons) = thread::scope(|scope| {
        let users = scope.spawn(|| users::pay(address, USERS, begin, plan));
        let stages = scope.spawn(|| follow_stages(processors, begin, plan.length));
        let comparisons = scope.spawn(|| {
            let mut comparisons: Vec<Comparison> = Vec::new();
            let mut next = begin + COMPARE;
            while next < end {
                thread::sleep(next.saturating_duration_since(Instant::now()));
                comparisons.push(totals::compare(address, processors));
                next += COMPARE;
            }
            comparisons
        });
        during(&is_over);
        let finish = |result: thread::Result<_>| {
            panicked.fetch_or(result.is_err(), Ordering::Relaxed);
            result
        };
        let users = finish(users.join());
        stages.join().expect("see above");
        let comparisons = comparisons.join().expect("see above");
        (users.expect("see above"), comparisons)
    });
    // What counts is what is confirmed now, whatever still waits.
    let now = now_us();
    let mut connection = Connection::open(address).expect("a connection");
    let summary = Summary::of(&connection.ask(&summary(now - COUNTED_US, now)));
    let mut times_ms = users.times_ms;
    times_ms.extend(comparisons.iter().flat_map(|one| one.times_ms));
    times_ms.sort_unstable_by(f64::total_cmp);
    let rank = (0.99 * times_ms.len() as f64).ceil() as usize;
    let score = Score {
        counts: summary.0.map(|totals| totals.count),
        cents: summary.0.map(|totals| totals.cents as u64),
        requested: users.book.ids().count() as u64,
        p99_ms: times_ms[rank.max(1) - 1],
        inconsistencies: comparisons.iter().map(Comparison::difference).sum(),
    };
    assert!(!score.is_disqualified(), "{:?}", score.lines());
    Run {
        score,
        book: users.book,
        failed: users.failed,
        comparisons,
    }
}

/// Each at its time; the time in which they all are is scaled, what they do is not.
fn follow_stages(processors: &[Processor; 2], begin: Instant, length: Duration) {
    for stage in STAGES {
        let at = begin + stage.begins(length);
        thread::sleep(at.saturating_duration_since(Instant::now()));
        for (processor, state) in processors.iter().zip(stage.states) {
            processor.set_delay(state.delay_ms);
            processor.set_failing(state.failing);
        }
    }
}

impl Run {
    pub fn print(&self) {
        let count = |verdict: Verdict| {
            let of = self.comparisons.iter().filter(|one| one.verdict == verdict);
            of.count()
        };
        let mut failed: BTreeMap<&str, usize> = BTreeMap::new();
        for why in &self.failed {
            let line = why.lines().next().unwrap_or_default();
            *failed.entry(line).or_default() += 1;
        }
        eprintln!(
            "{} payments sent, {} acknowledged, {} calls failed {failed:?}\n\
             {} comparisons: {} equal, {} while payments arrived, {} different, {} without an answer",
            self.book.ids().count(),
            self.book.acknowledged_count(),
            self.failed.len(),
            self.comparisons.len(),
            count(Verdict::Equal),
            count(Verdict::Moving),
            count(Verdict::Different),
            count(Verdict::NoAnswer),
        );
        for Line { what, value, how } in self.score.lines() {
            eprintln!("{what}: {value:.2} ({how})");
        }
        eprintln!("score {:.2}", self.score.total());
    }

    /// Every summary was what the processors had at some moment while it was asked for.
    #[track_caller]
    pub fn expect_consistent(&self) {
        for comparison in &self.comparisons {
            let good = [Verdict::Equal, Verdict::Moving].contains(&comparison.verdict);
            assert!(good, "{comparison}");
        }
    }

    #[track_caller]
    pub fn expect_no_failure(&self) {
        assert!(self.failed.is_empty(), "{:?}", self.failed);
    }
}
