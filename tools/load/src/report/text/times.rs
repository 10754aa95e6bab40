//! Latency and service time: percentiles, by kind, their distribution.

use super::super::compare::Row;
use super::super::figure::of_distribution;
use super::super::{units, Bucket, Distribution, Report, BUCKETS_PER_DECADE};
use super::layout::Table;
use super::row_of;

/// Of the bars of a distribution.
const BAR_WIDTH: usize = 50;
/// Rows of a distribution, at most.
const BARS_MAX: usize = 16;
/// What a kind is described by; the rest is in the JSON.
const KIND_FIGURES: [&str; 6] = ["mean", "p50", "p90", "p99", "p99.9", "max"];

/// Mean, percentiles and the rest of both times side by side; `rows`: a former run's beside each.
pub fn latency(report: &Report, rows: Option<&[Row]>) -> String {
    let (latency, service) = (&report.latency, &report.service);
    if latency.count == 0 {
        return String::new();
    }
    // Without a rate a request is due when it is begun.
    let is_open = report.settings.rate.is_some() || report.settings.run == "rinha-2024";
    let heading = match is_open {
        true => "from when due",
        false => "with connecting",
    };
    let mut table = Table::new(&[]);
    match rows {
        None => table.row(["Latency", heading, "service time"]),
        Some(_) => table.row([
            "Latency",
            heading,
            "former",
            "change",
            "service time",
            "former",
            "change",
        ]),
    }
    let both = of_distribution(latency)
        .into_iter()
        .zip(of_distribution(service));
    for ((name, latency_us), (_, service_us)) in both {
        let mut cells = vec![format!("  {name}")];
        for (value_us, figure) in [
            (latency_us, name.to_owned()),
            (service_us, format!("service.{name}")),
        ] {
            cells.push(units::time_us(value_us));
            if let Some(rows) = rows {
                cells.extend(former_and_change(row_of(rows, &figure)));
            }
        }
        table.row(cells);
        if name == "mean" {
            extremes(&mut table, rows.is_some(), latency, service);
        }
    }
    table.text()
}

/// What is not compared: the standard deviation and the shortest.
fn extremes(table: &mut Table, compared: bool, latency: &Distribution, service: &Distribution) {
    for (name, latency_us, service_us) in [
        ("  stdev", latency.stdev_us, service.stdev_us),
        ("  min", latency.min_us, service.min_us),
    ] {
        let gap = if compared { 2 } else { 0 };
        let gap = std::iter::repeat_n(String::new(), gap);
        let first = [name.to_owned(), units::time_us(latency_us)];
        let second = [units::time_us(service_us)];
        table.row(first.into_iter().chain(gap).chain(second));
    }
}

fn former_and_change(row: Option<&Row>) -> [String; 2] {
    row.map_or_else(
        || [String::new(), String::new()],
        |row| [units::time_us(row.former), row.change_text()],
    )
}

/// A line for each kind; with `rows`, two more: the former run's, and the change.
pub fn by_kind(report: &Report, rows: Option<&[Row]>) -> String {
    if report.kinds.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[]);
    let heading = ["By kind", "requests", "failed"].into_iter();
    table.row(heading.chain(KIND_FIGURES));
    for kind in &report.kinds {
        let figures = of_distribution(&kind.latency);
        let value_us = |name| figures.iter().find(|(other, _)| *other == name);
        let mut cells = vec![
            format!("  {}", kind.kind),
            units::count(kind.requests),
            units::count(kind.failed),
        ];
        let known = KIND_FIGURES.into_iter().filter_map(value_us);
        cells.extend(known.map(|(_, us)| match kind.latency.count {
            0 => "–".to_owned(),
            _ => units::time_us(*us),
        }));
        table.row(cells);
        let Some(rows) = rows else { continue };
        let name_of = |figure| format!("{}.{figure}", kind.kind);
        let found = KIND_FIGURES.map(|figure| row_of(rows, &name_of(figure)));
        if found.iter().all(Option::is_none) {
            continue;
        }
        let [former, change]: [Vec<String>; 2] =
            [0, 1].map(|at| found.map(|row| former_and_change(row)[at].clone()).to_vec());
        for (name, cells) in [("    former", former), ("    change", change)] {
            let empty = [name.to_owned(), String::new(), String::new()];
            table.row(empty.into_iter().chain(cells));
        }
    }
    table.text()
}

/// Latencies on a logarithmic scale, a bar for each range of it.
pub fn distribution(report: &Report) -> String {
    let bars = bars(&report.latency.buckets);
    let Some(most) = bars.iter().map(|bar| bar.count).max() else {
        return String::new();
    };
    let total: u64 = bars.iter().map(|bar| bar.count).sum();
    let mut table = Table::new(&[1, 3]);
    for bar in &bars {
        let range = format!("{} to", units::time_us(bar.from_us));
        let share = bar.count as f64 / total as f64;
        // What is there is seen, however little it is.
        let length = (bar.count as f64 / most as f64 * BAR_WIDTH as f64).ceil() as usize;
        table.row([
            format!("  {range:>12}"),
            format!("{:>8}", units::time_us(bar.to_us)),
            match bar.count {
                0 => String::new(),
                _ => units::percent(share),
            },
            "■".repeat(length),
        ]);
    }
    "Latency, distribution\n".to_owned() + &table.text()
}

/// Of one length on the logarithmic scale, the empty ones in between included, and few enough for a screen.
fn bars(buckets: &[Bucket]) -> Vec<Bucket> {
    let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else {
        return Vec::new();
    };
    let per_decade = f64::from(BUCKETS_PER_DECADE);
    let number = |us: f64| ((us / first.from_us).log10() * per_decade).round() as usize;
    let count = number(last.to_us);
    let fold = count.div_ceil(BARS_MAX);
    let bound = |bar: usize| first.from_us * 10_f64.powf((bar * fold) as f64 / per_decade);
    let mut bars: Vec<Bucket> = (0..count.div_ceil(fold))
        .map(|bar| Bucket {
            from_us: bound(bar),
            to_us: bound(bar + 1),
            count: 0,
        })
        .collect();
    for bucket in buckets {
        bars[number(bucket.from_us) / fold].count += bucket.count;
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::histogram;

    #[test]
    fn bars_hold_all_that_was_measured() {
        for latencies_us in [
            vec![7.0],
            vec![7.0, 7_000.0],
            vec![0.1, 1.0, 600e6],
            (1..1_000).map(f64::from).collect(),
        ] {
            let mut all = histogram();
            for us in &latencies_us {
                all.record((us * 1e3) as u64).unwrap();
            }
            let distribution = Distribution::new(&all);
            let bars = bars(&distribution.buckets);
            assert!((1..=BARS_MAX).contains(&bars.len()), "{}", bars.len());
            let sum: u64 = bars.iter().map(|bar| bar.count).sum();
            assert_eq!(sum, latencies_us.len() as u64);
            for pair in bars.windows(2) {
                assert!((pair[0].to_us / pair[1].from_us - 1.0).abs() < 1e-9);
            }
            assert!(bars[0].count > 0 && bars[0].from_us <= distribution.min_us);
        }
        assert_eq!(bars(&[]), []);
    }
}
