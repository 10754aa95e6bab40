//! The figures by which a run is judged (`--fail-on`) and compared (`--compare`), each with one name everywhere.

use super::{units, Distribution, Report, PERCENTILES};
use crate::measure::Kind;

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// As a rule names it: `rps`, `p99`, `service.p99`, `debit.p99`.
    pub name: String,
    /// What its value is in.
    pub unit: Unit,
    /// In that unit.
    pub value: f64,
}

/// What a figure's value is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Replies a second.
    PerSecond,
    /// Microseconds.
    Microseconds,
    /// Whole things.
    Count,
    /// A share of one.
    Share,
    /// Bytes of memory.
    Bytes,
    /// CPUs in full.
    Cpus,
    /// What a contest counts in.
    Points,
}

/// In which direction a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The less, the better.
    Less,
    /// The more, the better.
    More,
}

impl Unit {
    /// A value of it, for people: `7.21 ms`.
    pub fn text(self, value: f64) -> String {
        match self {
            Unit::PerSecond => format!("{}/s", units::rate(value)),
            Unit::Microseconds => units::time_us(value),
            Unit::Count => units::count(value as u64),
            Unit::Share => units::percent(value),
            Unit::Bytes => units::bytes(value),
            Unit::Cpus => format!("{} CPUs", units::number(value)),
            Unit::Points => units::amount(value),
        }
    }

    /// In which direction a figure of this unit is better.
    pub fn better(self) -> Better {
        match self {
            Unit::PerSecond | Unit::Points => Better::More,
            _ => Better::Less,
        }
    }
}

/// A distribution's figures, by name.
pub fn of_distribution(
    distribution: &Distribution,
) -> [(&'static str, f64); PERCENTILES.len() + 2] {
    let [p50, p75, p90, p95, p99, p99_9, p99_99] = distribution.percentiles_us();
    [
        ("mean", distribution.mean_us),
        ("p50", p50),
        ("p75", p75),
        ("p90", p90),
        ("p95", p95),
        ("p99", p99),
        ("p99.9", p99_9),
        ("p99.99", p99_99),
        ("max", distribution.max_us),
    ]
}

/// All that a run has, in the order in which they are shown. Latencies without a reply, memory without a watched process
/// and a score without a contest are not among them.
pub fn figures(report: &Report) -> Vec<Figure> {
    let mut all = Vec::new();
    let mut add = |name: String, unit, value: f64| {
        if value.is_finite() {
            all.push(Figure { name, unit, value });
        }
    };
    let mut simple = |name: &str, unit, value| add(name.to_owned(), unit, value);
    simple("rps", Unit::PerSecond, report.rate);
    if let Some(contest) = &report.contest {
        simple("score", Unit::Points, contest.score);
    }
    simple("errors", Unit::Count, report.failed as f64);
    simple("wrong", Unit::Count, report.wrong() as f64);
    if report.requests > 0 {
        let share = report.failed as f64 / report.requests as f64;
        simple("error_rate", Unit::Share, share);
    }
    simple("late", Unit::Count, report.tool.late as f64);
    simple("unsent", Unit::Count, report.tool.unsent as f64);
    let watched = report.watched.iter();
    let memory = watched.map(|subject| subject.resident_bytes_max).max();
    if let Some(bytes) = memory {
        simple("rss", Unit::Bytes, bytes as f64);
    }
    let cpu = report.watched.iter().map(|subject| subject.cpu);
    if let Some(cpu) = cpu.reduce(f64::max) {
        simple("cpu", Unit::Cpus, cpu);
    }
    let kinds = report.kinds.iter().map(|kind| (&*kind.kind, &kind.latency));
    let whole = [("", &report.latency), ("service", &report.service)];
    for (prefix, distribution) in whole.into_iter().chain(kinds) {
        if distribution.count == 0 {
            continue;
        }
        for (name, value) in of_distribution(distribution) {
            let name = match prefix {
                "" => name.to_owned(),
                prefix => format!("{prefix}.{name}"),
            };
            add(name, Unit::Microseconds, value);
        }
    }
    all
}

/// The unit of the figure of this name; `None`: there is none of this name in any run.
pub fn unit_of(name: &str) -> Option<Unit> {
    Some(match name {
        "rps" => Unit::PerSecond,
        "score" => Unit::Points,
        "errors" | "wrong" | "late" | "unsent" => Unit::Count,
        "error_rate" => Unit::Share,
        "rss" => Unit::Bytes,
        "cpu" => Unit::Cpus,
        name => {
            let is_prefix =
                |prefix| prefix == "service" || Kind::ALL.iter().any(|kind| kind.name() == prefix);
            let name = match name.split_once('.') {
                Some((prefix, name)) if is_prefix(prefix) => name,
                _ => name,
            };
            let known = of_distribution(&Distribution::default());
            let is_known = known.iter().any(|(known, _)| *known == name);
            return is_known.then_some(Unit::Microseconds);
        }
    })
}
