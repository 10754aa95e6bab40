//! The contest's score, by the rules of its page of results.

use std::time::Duration;

use crate::report::{units, Term};

/// What it begins with: the price of a contract.
pub const SCORE_MAX: f64 = 100_000.0;
/// A reply that takes longer is not in time.
pub const IN_TIME: Duration = Duration::from_millis(250);
/// Share of requests that must be in time, in percent.
const SHARE_WANTED: f64 = 98.0;
/// For each percent below.
const FINE_PER_PERCENT: f64 = 1_000.0;
/// For each reply that shows an inconsistent balance or limit.
const FINE_PER_INCONSISTENCY: f64 = 803.01;

/// What the score is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that were due, those that could not be sent included.
    pub requests: u64,
    /// Of those, answered with a status that they may have, within [`IN_TIME`], connecting included.
    pub in_time: u64,
    /// Replies whose balance or limit contradicts the rules or what is known.
    pub inconsistent: u64,
}

/// The terms, in order, and their sum. It can be below zero: the rules know no least score.
pub fn score(counts: &Counts) -> (Vec<Term>, f64) {
    let share = 100.0 * counts.in_time as f64 / counts.requests.max(1) as f64;
    let missing = (SHARE_WANTED - share).max(0.0);
    let terms = vec![
        Term {
            what: "contract".to_owned(),
            value: SCORE_MAX,
            how: "what every participant begins with".to_owned(),
        },
        Term {
            what: "replies in time".to_owned(),
            value: 0.0 - FINE_PER_PERCENT * missing,
            how: format!(
                "{share:.2}% of {} requests had an expected status in less than {} ms; \
                 {} USD for each percent below {SHARE_WANTED}%",
                units::count(counts.requests),
                IN_TIME.as_millis(),
                units::count(FINE_PER_PERCENT as u64),
            ),
        },
        Term {
            what: "consistent balances".to_owned(),
            value: 0.0 - FINE_PER_INCONSISTENCY * counts.inconsistent as f64,
            how: format!(
                "{} replies with an inconsistent balance or limit; {FINE_PER_INCONSISTENCY} USD for each",
                units::count(counts.inconsistent),
            ),
        },
    ];
    let sum = terms.iter().map(|term| term.value).sum();
    (terms, sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(requests: u64, in_time: u64, inconsistent: u64) -> f64 {
        let counts = Counts {
            requests,
            in_time,
            inconsistent,
        };
        let (terms, score) = score(&counts);
        assert_eq!(score, terms.iter().map(|term| term.value).sum::<f64>());
        score
    }

    #[test]
    fn the_rules_with_known_numbers() {
        assert_eq!(of(61_503, 61_503, 0), 100_000.0);
        assert_eq!(of(100, 98, 0), 100_000.0);
        assert_eq!(of(100, 95, 0), 97_000.0);
        assert!((of(100, 100, 10) - (100_000.0 - 8_030.10)).abs() < 1e-6);
        assert!((of(200, 191, 1) - (100_000.0 - 2_500.0 - 803.01)).abs() < 1e-6);
    }

    #[test]
    fn a_score_can_be_below_zero() {
        assert!(of(1_000, 0, 1_000) < -800_000.0);
    }

    #[test]
    fn nothing_at_all_is_nothing_in_time() {
        assert_eq!(of(0, 0, 0), 2_000.0);
    }
}
