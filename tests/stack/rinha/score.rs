//! What a run is worth, by the contest's rules.

use std::fmt;

use crate::support::{Summary, PROCESSORS};

/// What processors keep.
const FEES: [f64; 2] = [0.05, 0.15];
/// Below this p99 there is a bonus, for each millisecond.
const BONUS_BELOW_MS: f64 = 11.0;
const BONUS_PER_MS: f64 = 0.02;
/// For any inconsistency.
const FINE: f64 = 0.35;

/// The terms.
pub struct Score {
    summary: Summary,
    calls: usize,
    p50_ms: f64,
    pub p99_ms: f64,
    /// What is left after the fees.
    pub profit: f64,
    /// The part of the profit that comes on top, rounded to two decimals.
    bonus: f64,
    /// The part of the profit that is lost.
    fine: f64,
}

impl Score {
    /// `times_ms`: of all calls that succeeded.
    pub fn new(summary: &Summary, times_ms: &mut [f64], inconsistent: bool) -> Score {
        times_ms.sort_unstable_by(f64::total_cmp);
        let percentile = |part: f64| {
            let rank = (part * times_ms.len() as f64).ceil() as usize;
            times_ms[rank.max(1) - 1]
        };
        let p99_ms = percentile(0.99);
        let profit_of =
            |number: usize| summary.0[number].cents as f64 / 100.0 * (1.0 - FEES[number]);
        let bonus = ((BONUS_BELOW_MS - p99_ms) * BONUS_PER_MS).max(0.0);
        Score {
            summary: *summary,
            calls: times_ms.len(),
            p50_ms: percentile(0.5),
            p99_ms,
            profit: profit_of(0) + profit_of(1),
            bonus: (bonus * 100.0).round() / 100.0,
            fine: if inconsistent { FINE } else { 0.0 },
        }
    }

    pub fn total(&self) -> f64 {
        self.profit * (1.0 + self.bonus - self.fine)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, fee), totals) in PROCESSORS.iter().zip(FEES).zip(&self.summary.0) {
            let amount = totals.cents as f64 / 100.0;
            let fees = amount * fee;
            writeln!(
                f,
                "{name}: {} payments, {amount:.2}, fees {fees:.2}",
                totals.count
            )?;
        }
        writeln!(f, "after fees {:.2}", self.profit)?;
        writeln!(
            f,
            "p99 {:.2} ms of {} calls (p50 {:.2} ms): bonus {:.2} × {:.2} = {:.2}",
            self.p99_ms,
            self.calls,
            self.p50_ms,
            self.bonus,
            self.profit,
            self.bonus * self.profit
        )?;
        writeln!(
            f,
            "inconsistencies: fine {:.2} × {:.2} = {:.2}",
            self.fine,
            self.profit,
            self.fine * self.profit
        )?;
        write!(f, "score {:.2}", self.total())
    }
}

#[test]
fn the_best_previews_score_is_what_the_rules_say() {
    let totals = |count: u64| crate::support::Totals {
        count,
        cents: u128::from(count) * 1990,
    };
    // The ceiling: all payments at the cheap one, and a millisecond.
    let summary = Summary([totals(16_757), totals(0)]);
    let score = Score::new(&summary, &mut [1.0; 100], false);
    assert_eq!(
        format!("{:.2}", score.total()),
        format!("{:.2}", 16_757.0 * 19.90 * 0.95 * 1.20)
    );
    let fined = Score::new(&summary, &mut [11.5; 100], true);
    assert_eq!(
        format!("{:.2}", fined.total()),
        format!("{:.2}", 16_757.0 * 19.90 * 0.95 * 0.65)
    );
}
