//! `--fail-on`: what a run must not be.

use std::fmt;
use std::str::FromStr;

use super::compare::Row;
use super::figure::{figures, unit_of, Figure, Unit};
use super::Report;

/// `p99>5ms`, `errors>0`, `rps<-5%`: a figure's name ([`super::figure`]), `>`, `>=`, `<` or `<=`, and a value in a unit that
/// fits the figure; or a change in percent, which is against a former run.
///
/// | figure | value |
/// |---|---|
/// | `p50` … `p99.99`, `max`, `mean`; after `service.`, `debit.`, … too | `800us`, `5ms`, `1.5s` |
/// | `rps` | `340`, `20k` |
/// | `errors`, `wrong`, `late`, `unsent` | `0`, `10`, `1k` |
/// | `error_rate` | `1%` or `0.01`; it has no change, because its unit is the percent |
/// | `rss` (largest of what was watched) | `45MB`, `45MiB`, `47185920` |
/// | `cpu` (likewise) | `0.5`: half of one CPU |
/// | `score` | `100000`, `-5` |
/// | all but `error_rate` | `10%`, `+10%`, `-5%`: by how much it has changed |
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// As it was given.
    text: String,
    figure: String,
    unit: Unit,
    operator: Operator,
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// Of the figure itself, in its unit.
    Value(f64),
    /// Of its change, as a share of the former value.
    Change(f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    More,
    MoreOrEqual,
    Less,
    LessOrEqual,
}

impl Operator {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Operator::More => value > limit,
            Operator::MoreOrEqual => value >= limit,
            Operator::Less => value < limit,
            Operator::LessOrEqual => value <= limit,
        }
    }
}

impl FromStr for Gate {
    type Err = String;

    /// The error says what would do.
    fn from_str(text: &str) -> Result<Gate, String> {
        let at = text.find(['<', '>']).ok_or(
            "a figure, one of > >= < <=, and a value, such as p99>5ms, errors>0 or rps<-5%",
        )?;
        let (figure, rest) = text.split_at(at);
        let figure = figure.trim().to_owned();
        let operators = [
            (">=", Operator::MoreOrEqual),
            ("<=", Operator::LessOrEqual),
            (">", Operator::More),
            ("<", Operator::Less),
        ];
        let mut operators = operators.into_iter();
        let (value, operator) = operators
            .find_map(|(sign, operator)| Some((rest.strip_prefix(sign)?, operator)))
            .expect("it begins with one of them");
        let unit = unit_of(&figure).ok_or_else(|| {
            format!(
                "no figure is called `{figure}`; there are rps, p50, p75, p90, p95, p99, p99.9, p99.99, max, mean (also \
                 service.p99, debit.p99, …), errors, wrong, error_rate, late, unsent, rss, cpu and score"
            )
        })?;
        let limit = limit(unit, value.trim()).ok_or_else(|| {
            format!(
                "`{}` is no value for {figure}: {}",
                value.trim(),
                wanted(unit)
            )
        })?;
        Ok(Gate {
            text: text.trim().to_owned(),
            figure,
            unit,
            operator,
            limit,
        })
    }
}

/// What a value of this unit looks like.
fn wanted(unit: Unit) -> &'static str {
    match unit {
        Unit::PerSecond => {
            "a number of replies a second, such as 340 or 20k, or a change, such as -5%"
        }
        Unit::Microseconds => {
            "a time with its unit, such as 800us, 5ms or 1s, or a change, such as +10%"
        }
        Unit::Count => "a number, such as 0 or 1k, or a change, such as +10%",
        Unit::Share => "from 0% to 100%, or from 0 to 1",
        Unit::Bytes => "memory, such as 45MB or 45MiB, or a change, such as +10%",
        Unit::Cpus => "a number of CPUs, such as 0.5, or a change, such as +10%",
        Unit::Points => "a number, such as 100000, or a change, such as -5%",
    }
}

/// Of a figure of this unit; `None`: the text is none.
fn limit(unit: Unit, text: &str) -> Option<Limit> {
    let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
    let end = text.find(|c| !is_of_number(c)).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let signed = number.starts_with(['+', '-']);
    let number: f64 = number.parse().ok()?;
    let suffix = suffix.trim_start();
    if suffix == "%" && unit != Unit::Share {
        return Some(Limit::Change(number / 100.0));
    }
    if signed && unit != Unit::Points {
        return None;
    }
    let factor = match (unit, suffix) {
        (Unit::Microseconds, "us" | "µs" | "μs") => 1.0,
        (Unit::Microseconds, "ms") => 1e3,
        (Unit::Microseconds, "s") => 1e6,
        (Unit::Microseconds, _) => return None,
        (Unit::Share, "%") => 0.01,
        (Unit::Bytes, "B") => 1.0,
        (Unit::Bytes, "kB" | "KB") => 1e3,
        (Unit::Bytes, "MB") => 1e6,
        (Unit::Bytes, "GB") => 1e9,
        (Unit::Bytes, "KiB") => 1024.0,
        (Unit::Bytes, "MiB") => 1024.0 * 1024.0,
        (Unit::Bytes, "GiB") => 1024.0 * 1024.0 * 1024.0,
        (Unit::PerSecond, "/s") => 1.0,
        (Unit::PerSecond | Unit::Count | Unit::Points, "k") => 1e3,
        (Unit::PerSecond | Unit::Count | Unit::Points, "M") => 1e6,
        (_, "") => 1.0,
        _ => return None,
    };
    let value = number * factor;
    (unit != Unit::Share || value <= 1.0).then_some(Limit::Value(value))
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Gate {
    /// Whether it needs a former run.
    pub fn is_relative(&self) -> bool {
        matches!(self.limit, Limit::Change(_))
    }

    /// What is wrong with the run, if something is: `p99>5ms: p99 is 7.21 ms`. A run that does not have the figure, and a
    /// change without a former run, are wrong: a gate that cannot be judged does not let anything pass.
    pub fn judge(&self, report: &Report, base: Option<&Report>) -> Option<String> {
        let wrong = match (self.limit, base) {
            (Limit::Value(limit), _) => self.judge_value(report, limit),
            (Limit::Change(limit), Some(base)) => self.judge_change(report, base, limit),
            (Limit::Change(_), None) => {
                Some("there is no former run to compare with (--compare)".to_owned())
            }
        };
        wrong.map(|wrong| format!("{self}: {wrong}"))
    }

    fn judge_value(&self, report: &Report, limit: f64) -> Option<String> {
        let Some(value) = self.value_of(report) else {
            return Some(format!(
                "this run has no {}: {}",
                self.figure,
                self.lacking()
            ));
        };
        let (name, text) = (&self.figure, self.unit.text(value));
        let wrong = self.operator.holds(value, limit);
        wrong.then(|| format!("{name} is {text}"))
    }

    fn judge_change(&self, report: &Report, base: &Report, limit: f64) -> Option<String> {
        let name = &self.figure;
        let Some(this) = self.value_of(report) else {
            return Some(format!("this run has no {name}: {}", self.lacking()));
        };
        let Some(former) = self.value_of(base) else {
            return Some(format!("the former run has no {name}: {}", self.lacking()));
        };
        let row = Row {
            name: name.clone(),
            unit: self.unit,
            this,
            former,
        };
        // From nothing to something is more than any share.
        let change = row.change().unwrap_or(f64::INFINITY.copysign(this));
        let wrong = self.operator.holds(change, limit);
        wrong.then(|| {
            let (this, former) = (self.unit.text(this), self.unit.text(former));
            format!(
                "{name} is {this}, formerly {former} ({})",
                row.change_text()
            )
        })
    }

    fn value_of(&self, report: &Report) -> Option<f64> {
        let figures = figures(report).into_iter();
        let mut named = figures.filter(|figure| figure.name == self.figure);
        named.next().map(|Figure { value, .. }| value)
    }

    /// Why a run may not have the figure.
    fn lacking(&self) -> String {
        match (self.unit, self.figure.split_once('.')) {
            (Unit::Bytes | Unit::Cpus, _) => {
                "nothing was watched (--watch-pid, --watch-container)".to_owned()
            }
            (Unit::Points, _) => "only the official runs have one".to_owned(),
            (Unit::Share, _) => "there was no request".to_owned(),
            // A kind's, but not p99.9.
            (_, Some((kind, figure))) if kind != "service" && unit_of(figure).is_some() => {
                format!("no request of the kind `{kind}` was answered")
            }
            _ => "no request was answered".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
