//! The target's summary beside the processors' own.

use std::fmt;
use std::sync::Barrier;
use std::thread;

use galo_processor::decimal;

use super::calls::Calls;
use super::processors::Processor;
use super::score::PROCESSORS;
use super::window::Window;
use crate::measure::{Failure, Kind};
use crate::report::checks::Checks;
use crate::report::CheckExample;
use crate::target::Target;
use crate::traffic::totals::{parse_summary, Summary, Totals};

const READABLE: &str = "summary: 200, and readable";
const AGREE: &str = "summaries agree";
const NOT_MORE: &str = "no more payments than requested";

/// Summaries of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The target's. None: there was no answer, or one that says nothing. The script takes zeros for it.
    pub target: Option<Summary>,
    /// The processors' own.
    pub processors: Summary,
    /// What those had been just before, and were just afterwards.
    around: [Summary; 2],
}

impl Comparison {
    /// By how many payments they differ.
    pub fn difference(&self) -> u64 {
        let (ours, theirs) = (self.target.unwrap_or_default(), self.processors);
        let default = ours.default.count.abs_diff(theirs.default.count);
        default.saturating_add(ours.fallback.count.abs_diff(theirs.fallback.count))
    }

    /// Payments come to processors while all are asked, and do not leave them: what they had at any moment between is right,
    /// even where the script counts a difference.
    fn is_consistent(&self) -> bool {
        let ours = self.target.unwrap_or_default();
        let [before, after] = &self.around;
        let is_between = |of: fn(&Summary) -> Totals| {
            let (ours, least, most) = (of(&ours), of(before), of(after));
            (least.count..=most.count).contains(&ours.count)
                && (least.cents..=most.cents).contains(&ours.cents)
        };
        is_between(|summary| summary.default) && is_between(|summary| summary.fallback)
    }
}

/// Asks all three at once, and the processors before and afterwards. `None`: a processor does not answer, and there is nothing
/// to compare with.
pub fn compare(
    calls: &mut Calls,
    target: &Target,
    processors: &[Processor; 2],
    window: &Window,
) -> Option<Comparison> {
    // No part of the script: nobody measures these calls.
    let mut beside = Calls::new(false);
    let mut alone = || {
        let totals = |processor: &Processor| processor.totals(&mut beside, Some(window)).ok();
        Summary::of_both(processors.each_ref().map(totals))
    };
    let before = alone();
    let ready = Barrier::new(3);
    let (target, at_once) = thread::scope(|scope| {
        let processors = processors.each_ref().map(|processor| {
            let ready = &ready;
            scope.spawn(move || {
                let mut calls = Calls::new(true);
                ready.wait();
                let totals = processor.totals(&mut calls, Some(window));
                (calls, totals)
            })
        });
        ready.wait();
        let target = summary(calls, target, window).ok();
        let join = |thread: thread::ScopedJoinHandle<_>| thread.join().expect("it does not panic");
        (target, processors.map(join))
    });
    let after = alone();
    calls.checks.merge(beside.checks);
    let at_once = at_once.map(|(theirs, totals)| {
        calls.merge(theirs);
        totals.ok()
    });
    let comparison = Comparison {
        target,
        processors: Summary::of_both(at_once)?,
        around: [before?, after?],
    };
    let outcome = match comparison.is_consistent() {
        true => Ok(()),
        false => Err(CheckExample {
            what: format!("{} apart", payments(comparison.difference())),
            request: format!("GET /payments-summary{}", window.query()),
            reply: comparison.to_string(),
        }),
    };
    calls.checks.look(AGREE, outcome);
    Some(comparison)
}

/// The target's.
pub fn summary(calls: &mut Calls, target: &Target, window: &Window) -> Result<Summary, Failure> {
    let path = format!("/payments-summary{}", window.query());
    let request = target.request("GET", &path, b"");
    calls.ask(Kind::Summary, READABLE, target, &request, parse_summary)
}

/// Nobody pays for what was not asked for.
pub fn look_for_more(checks: &mut Checks, shown: &Summary, window: &Window, requested: u64) {
    let count = shown.total().count;
    let outcome = match count <= requested {
        true => Ok(()),
        false => Err(CheckExample {
            what: format!("{}, and {requested} were requested", payments(count)),
            request: format!("GET /payments-summary{}", window.query()),
            reply: shares(shown),
        }),
    };
    checks.look(NOT_MORE, outcome);
}

/// In words.
pub fn payments(count: u64) -> String {
    match count {
        1 => "1 payment".to_owned(),
        _ => format!("{count} payments"),
    }
}

/// Counts and amounts of both.
pub fn shares(summary: &Summary) -> String {
    let of = |name: &str, totals: Totals| {
        let amount = decimal::write(totals.cents.into(), 2);
        format!("{name} {} ({amount})", totals.count)
    };
    let [default, fallback] = PROCESSORS;
    let (default, fallback) = (of(default, summary.default), of(fallback, summary.fallback));
    format!("{default}, {fallback}")
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "target: {}", shares(target))?,
            None => f.write_str("target: no answer")?,
        }
        write!(f, "; processors: {}", shares(&self.processors))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::contest2025::stages::LENGTH;
    use crate::traffic::payments::AMOUNT_CENTS;

    const fn totals(count: u64) -> Totals {
        Totals {
            count,
            cents: count * AMOUNT_CENTS,
        }
    }

    fn summary(default: u64, fallback: u64) -> Summary {
        Summary {
            default: totals(default),
            fallback: totals(fallback),
        }
    }

    #[test]
    fn differences_of_both_add_up() {
        let still = |target, processors| Comparison {
            target,
            processors,
            around: [processors; 2],
        };
        let difference = |target, processors| {
            let comparison = still(target, processors);
            let difference = comparison.difference();
            assert_eq!(comparison.is_consistent(), difference == 0);
            difference
        };
        assert_eq!(difference(Some(summary(5, 3)), summary(5, 3)), 0);
        assert_eq!(difference(Some(summary(5, 3)), summary(3, 5)), 4);
        // What has no answer has zeros, in the script.
        assert_eq!(difference(None, summary(3, 5)), 8);
        let comparison = still(Some(summary(5, 3)), summary(4, 3));
        assert_eq!(
            comparison.to_string(),
            "target: default 5 (99.50), fallback 3 (59.70); processors: default 4 (79.60), fallback 3 (59.70)"
        );
    }

    #[test]
    fn what_processors_had_while_they_were_asked_is_consistent() {
        let moving = |ours, processors| Comparison {
            target: Some(ours),
            processors,
            around: [summary(3, 2), summary(5, 3)],
        };
        for ours in [summary(3, 2), summary(4, 3), summary(5, 2)] {
            assert!(moving(ours, summary(4, 2)).is_consistent(), "{ours:?}");
        }
        let mut other_amount = summary(4, 2);
        other_amount.default.cents = 1;
        for ours in [summary(2, 2), summary(6, 2), summary(4, 1), other_amount] {
            assert!(!moving(ours, summary(4, 2)).is_consistent(), "{ours:?}");
        }
        // What the script counts does not change with it.
        assert_eq!(moving(summary(5, 3), summary(4, 2)).difference(), 2);
    }

    #[test]
    fn what_nobody_requested_is_found() {
        let mut checks = Checks::default();
        let now = Timestamp::from_second(1_752_582_896).unwrap();
        let window = Window::counted(now, LENGTH, Timestamp::UNIX_EPOCH);
        look_for_more(&mut checks, &summary(5, 3), &window, 8);
        look_for_more(&mut checks, &summary(5, 3), &window, 7);
        let check = &checks.into_vec()[0];
        assert_eq!((check.count, check.failed), (2, 1));
        assert_eq!(check.examples[0].what, "8 payments, and 7 were requested");
    }
}
