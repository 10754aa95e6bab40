//! What a run is worth, by the contest's rules.

/// Names of the processors, by number.
pub const PROCESSORS: [&str; 2] = ["default", "fallback"];
/// What they keep of a payment, by number, in millionths.
pub const FEES_PPM: [u32; 2] = [50_000, 150_000];
/// Below this p99 there is a bonus, for each millisecond.
const BONUS_BELOW_MS: f64 = 11.0;
const BONUS_PER_MS: f64 = 0.02;
/// For inconsistencies, however many.
const FINE: f64 = 0.35;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Payments by processor, as the target's summary shows them in the end.
    pub counts: [u64; 2],
    /// Their amounts.
    pub cents: [u64; 2],
    /// Payments that users asked for.
    pub requested: u64,
    /// Of all calls of the script that succeeded.
    pub p99_ms: f64,
    /// By how many payments the target and the processors differed, all comparisons together.
    pub inconsistencies: u64,
}

/// One term of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name.
    pub what: String,
    /// What it adds, or takes away.
    pub value: f64,
    /// How it came about.
    pub how: String,
}

impl Score {
    /// What is left of all amounts after the fees: L in the contest's rules.
    pub fn profit(&self) -> f64 {
        let left = |number: usize| self.amount(number) - self.fees(number);
        left(0) + left(1)
    }

    /// The part of the profit that comes on top.
    pub fn bonus(&self) -> f64 {
        let bonus = ((BONUS_BELOW_MS - self.p99_ms) * BONUS_PER_MS).max(0.0);
        (bonus * 100.0).round() / 100.0
    }

    /// The part of the profit that is lost.
    pub fn fine(&self) -> f64 {
        match self.inconsistencies {
            0 => 0.0,
            _ => FINE,
        }
    }

    /// The target shows payments that nobody asked for.
    pub fn is_disqualified(&self) -> bool {
        self.counts[0] + self.counts[1] > self.requested
    }

    /// All of it.
    pub fn total(&self) -> f64 {
        match self.is_disqualified() {
            true => 0.0,
            false => self.profit() * (1.0 + self.bonus() - self.fine()),
        }
    }

    /// How it is made up: their sum is the total.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut line = |what: &str, value: f64, how: String| {
            let what = what.to_owned();
            lines.push(Line { what, value, how });
        };
        for (number, name) in PROCESSORS.into_iter().enumerate() {
            let (count, amount) = (self.counts[number], self.amount(number));
            line(name, amount, format!("{count} payments"));
            let percent = f64::from(FEES_PPM[number]) / 1e4;
            let fees = -self.fees(number);
            let how = format!("{percent}% of {amount:.2}");
            line(&format!("{name}: fees"), fees, how);
        }
        let (profit, p99_ms, bonus) = (self.profit(), self.p99_ms, self.bonus());
        line(
            "bonus for p99",
            profit * bonus,
            match p99_ms < BONUS_BELOW_MS {
                true => format!(
                    "{bonus:.2} of L = {profit:.2}, after fees: {BONUS_PER_MS} for each ms of p99 {p99_ms:.2} below \
                     {BONUS_BELOW_MS}"
                ),
                false => format!("none of L = {profit:.2}, after fees: p99 {p99_ms:.2} is not below {BONUS_BELOW_MS} ms"),
            },
        );
        let (fine, inconsistencies) = (self.fine(), self.inconsistencies);
        line(
            "fine for inconsistencies",
            -profit * fine,
            match inconsistencies {
                0 => "none".to_owned(),
                _ => format!("{inconsistencies} payments: {fine} of L"),
            },
        );
        if self.is_disqualified() {
            let shown = self.counts[0] + self.counts[1];
            line(
                "disqualified",
                -profit * (1.0 + bonus - fine),
                format!("{shown} payments, and {} were asked for", self.requested),
            );
        }
        lines
    }

    fn amount(&self, number: usize) -> f64 {
        self.cents[number] as f64 / 100.0
    }

    fn fees(&self, number: usize) -> f64 {
        self.amount(number) * f64::from(FEES_PPM[number]) / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ceiling: all payments at the cheap one, and a millisecond.
    const BEST: Score = Score {
        counts: [16_757, 0],
        cents: [16_757 * 1990, 0],
        requested: 16_757,
        p99_ms: 1.0,
        inconsistencies: 0,
    };

    #[track_caller]
    fn expect(score: &Score, total: f64) {
        assert_eq!(format!("{:.2}", score.total()), format!("{total:.2}"));
        let sum: f64 = score.lines().iter().map(|line| line.value).sum();
        assert!((sum - total).abs() < 0.005, "{:?}", score.lines());
    }

    #[test]
    fn the_best_previews_score_is_what_the_rules_say() {
        expect(&BEST, 16_757.0 * 19.90 * 0.95 * 1.20);
        assert_eq!(BEST.lines()[0].how, "16757 payments");
        assert_eq!(BEST.lines()[1].how, "5% of 333464.30");
    }

    #[test]
    fn fees_are_the_processors_own() {
        let both = Score {
            counts: [100, 50],
            cents: [199_000, 99_500],
            p99_ms: 11.5,
            ..BEST
        };
        expect(&both, 1_990.0 * 0.95 + 995.0 * 0.85);
    }

    #[test]
    fn one_inconsistency_costs_as_much_as_many() {
        for inconsistencies in [1, 1000] {
            let fined = Score {
                inconsistencies,
                ..BEST
            };
            expect(&fined, 16_757.0 * 19.90 * 0.95 * 0.85);
            let slow = Score {
                p99_ms: 11.5,
                ..fined
            };
            expect(&slow, 16_757.0 * 19.90 * 0.95 * 0.65);
        }
    }

    #[test]
    fn the_bonus_has_two_decimals() {
        for (p99_ms, bonus) in [
            (0.0, 0.22),
            (0.5, 0.21),
            (1.18, 0.20),
            (1.3, 0.19),
            (10.7, 0.01),
            (10.8, 0.0),
            (11.0, 0.0),
            (1500.0, 0.0),
        ] {
            let score = Score { p99_ms, ..BEST };
            assert_eq!(score.bonus(), bonus, "{p99_ms}");
        }
    }

    #[test]
    fn more_payments_than_requested_are_worth_nothing() {
        let doubled = Score {
            requested: 16_756,
            inconsistencies: 1,
            ..BEST
        };
        assert!(doubled.is_disqualified() && !BEST.is_disqualified());
        expect(&doubled, 0.0);
        let last = doubled.lines().pop().unwrap();
        assert_eq!(last.what, "disqualified");
        assert_eq!(last.how, "16757 payments, and 16756 were asked for");
    }
}
