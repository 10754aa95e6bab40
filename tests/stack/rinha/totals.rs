//! The node's summary beside the processors' own, asked for at once.

use std::fmt;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use galo_testkit::{now_us, summary, Address, Connection, Processor, Summary, Totals};

/// The window: from and to, before now.
const FROM_US: u64 = 15_000_000;
const TO_US: u64 = 1_500_000;
/// A node that is killed gives no answer; another one has by then.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub struct Comparison {
    pub verdict: Verdict,
    /// What the node said.
    pub ours: Summary,
    /// What the processors said at the same time.
    pub theirs: Summary,
    /// What they had said just before, and said just afterwards.
    pub around: [Summary; 2],
    /// Of the three calls.
    pub times_ms: [f64; 3],
}

/// See [`Comparison`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The summaries are equal.
    Equal,
    /// They are not, and more came to the processors while they were asked: the node's is between what
    /// they had before and afterwards.
    Moving,
    /// They are not.
    Different,
    /// The node has none.
    NoAnswer,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = &self.around;
        write!(
            f,
            "{:?}: ours {:?}, theirs {:?}, before {before:?}, after {after:?}",
            self.verdict, self.ours, self.theirs
        )
    }
}

impl Comparison {
    /// By how many payments they differ; without an answer of the node, it has none.
    pub fn difference(&self) -> u64 {
        let pairs = self.ours.0.iter().zip(&self.theirs.0);
        pairs
            .map(|(ours, theirs)| ours.count.abs_diff(theirs.count))
            .sum()
    }
}

/// Asks all three.
pub fn compare(address: &Address, processors: &[Processor; 2]) -> Comparison {
    let began = Instant::now();
    loop {
        let comparison = once(address, processors);
        let answered = comparison.verdict != Verdict::NoAnswer;
        if answered || began.elapsed() > ANSWER_MAX {
            return comparison;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn once(address: &Address, processors: &[Processor; 2]) -> Comparison {
    let now = now_us();
    let (from, to) = (now - FROM_US, now - TO_US);
    let ready = Barrier::new(3);
    let (ours, theirs) = thread::scope(|scope| {
        let theirs = [0, 1].map(|number| {
            let (processor, ready) = (&processors[number], &ready);
            scope.spawn(move || {
                let before = processor.totals(from, to);
                ready.wait();
                let began = Instant::now();
                let at_once = processor.totals(from, to);
                (before, at_once, ms_since(began))
            })
        });
        let ours = ask(address, from, to, &ready);
        (ours, theirs.map(|thread| thread.join().expect("see above")))
    });
    let after = [0, 1].map(|number| processors[number].totals(from, to));
    let summary_of = |of: fn(&(Totals, Totals, f64)) -> Totals| Summary(theirs.each_ref().map(of));
    let around = [summary_of(|one| one.0), Summary(after)];
    let theirs_at_once = summary_of(|one| one.1);
    let times_ms = [theirs[0].2, theirs[1].2, ours.map_or(0.0, |(_, time)| time)];
    let verdict = match ours {
        None => Verdict::NoAnswer,
        Some((ours, _)) if ours == theirs_at_once => Verdict::Equal,
        Some((ours, _)) if is_between(&ours, &around) => Verdict::Moving,
        Some(_) => Verdict::Different,
    };
    Comparison {
        verdict,
        ours: ours.map_or(Summary::default(), |(summary, _)| summary),
        theirs: theirs_at_once,
        around,
        times_ms,
    }
}

/// `None`: the connection ends, or it is no 200.
fn ask(address: &Address, from: u64, to: u64, ready: &Barrier) -> Option<(Summary, f64)> {
    let connection = Connection::open(address);
    ready.wait();
    let mut connection = connection.ok()?;
    let began = Instant::now();
    connection.try_send(&summary(from, to)).ok()?;
    let reply = connection.try_reply().ok()?;
    let time = ms_since(began);
    (reply.status == 200).then(|| (Summary::of(&reply), time))
}

/// Payments come to processors, and do not leave them.
fn is_between(summary: &Summary, around: &[Summary; 2]) -> bool {
    [0, 1].into_iter().all(|number| {
        let of = |summary: &Summary| (summary.0[number].count, summary.0[number].cents);
        let (count, cents) = of(summary);
        let ((count_least, cents_least), (count_most, cents_most)) =
            (of(&around[0]), of(&around[1]));
        (count_least..=count_most).contains(&count) && (cents_least..=cents_most).contains(&cents)
    })
}

pub fn ms_since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
