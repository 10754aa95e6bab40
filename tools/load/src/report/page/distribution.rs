//! Charts of latency over the whole run: how many requests took how long.

use maud::{html, Markup};

use super::plot::{legend, Bin, Place, Plot};
use crate::report::axis::{percent_label, time_label, Axis, Scale, Tick};
use crate::report::{units, Bucket, Distribution, Report, PERCENTILES};

/// Percentiles that are marked in the distribution.
const MARKED: [&str; 4] = ["p50", "p90", "p99", "p99.9"];
/// Of the spectrum's axis: one request of a thousand million.
const NINES_MAX: u32 = 9;

/// Both of them.
pub fn charts(report: &Report, base: Option<&Report>) -> Markup {
    html! {
        section aria-labelledby="distribution" {
            h2 id="distribution" { "Distribution" }
            div.pair {
                (buckets(report))
                (spectrum(report, base))
            }
        }
    }
}

/// Buckets that can be drawn on a logarithmic axis, with their share of all.
fn shares(distribution: &Distribution) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
    let usable = |bucket: &&Bucket| {
        bucket.from_us > 0.0 && bucket.from_us < bucket.to_us && bucket.to_us.is_finite()
    };
    let all = distribution.count.max(1) as f64;
    let buckets = distribution.buckets.iter().filter(usable);
    buckets.map(move |bucket| (bucket.from_us, bucket.to_us, bucket.count as f64 / all))
}

/// Up at the first of buckets that touch, across each of them, and down after the last.
fn outline(distribution: &Distribution) -> Vec<Place> {
    let bars: Vec<_> = shares(distribution).collect();
    let touch = |one: &(f64, f64, f64), next: &(f64, f64, f64)| next.0 <= one.1 * 1.001;
    let mut line = Vec::new();
    for run in bars.chunk_by(touch) {
        line.push(None);
        line.extend(run.first().map(|bar| Some((bar.0, 0.0))));
        line.extend(
            run.iter()
                .flat_map(|bar| [Some((bar.0, bar.2)), Some((bar.1, bar.2))]),
        );
        line.extend(run.last().map(|bar| Some((bar.1, 0.0))));
    }
    line
}

fn buckets(report: &Report) -> Markup {
    let (latency, service) = (&report.latency, &report.service);
    let all = || shares(latency).chain(shares(service));
    let least_us = all().map(|bar| bar.0).fold(f64::INFINITY, f64::min);
    let most_us = all().map(|bar| bar.1).fold(0.0, f64::max);
    let plot = Plot {
        id: "buckets",
        title: "How many requests took how long".to_owned(),
        description: format!(
            "Of {} requests, half took {} or less, 99% took {} or less, the longest took {}. Service time: half {}, 99% {}.",
            units::count(latency.count),
            units::time_us(latency.p50_us),
            units::time_us(latency.p99_us),
            units::time_us(latency.max_us),
            units::time_us(service.p50_us),
            units::time_us(service.p99_us)
        ),
        height: 190.0,
        head: 84.0,
        x: Axis::log(least_us, most_us, time_label),
        y: Axis::fitting(all().map(|bar| bar.2), 4, percent_label),
    };
    let inner = html! {
        (plot.bars("latency", shares(latency)))
        (plot.line("service", outline(service).into_iter()))
    };
    let percentiles = PERCENTILES.iter().zip(latency.percentiles_us());
    let marked = percentiles.filter(|((name, _), _)| MARKED.contains(name) && latency.count > 0);
    let markers = marked.map(|((name, _), us)| (us, format!("{name} {}", units::time_us(us))));
    let over = plot.markers(&markers.collect::<Vec<_>>());
    let bins = latency.buckets.iter().map(|bucket| {
        let (from, to) = (units::time_us(bucket.from_us), units::time_us(bucket.to_us));
        let count = units::count(bucket.count);
        let share = units::percent(bucket.count as f64 / latency.count.max(1) as f64);
        Bin {
            from: bucket.from_us,
            to: bucket.to_us,
            readout: format!("{from} – {to} · {count} · {share}"),
            title: format!("{from} – {to}\n{count} requests, {share} of all"),
        }
    });
    html! {
        figure.card {
            figcaption {
                h3 { "How many requests took how long" }
                (legend(&[("bars", "latency", "latency"), ("line", "service", "service time")]))
            }
            (plot.draw(&inner, &over, &[], &bins.collect::<Vec<_>>()))
        }
    }
}

/// How many tens of tens a share is of being all: 0.9 is 1, 0.99 is 2.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10().max(-f64::from(NINES_MAX))
}

/// Points of the curve: nines, and the latency that this share of requests did not exceed.
fn curve(distribution: &Distribution) -> Vec<(f64, f64)> {
    if distribution.count == 0 {
        return Vec::new();
    }
    let count = distribution.count as f64;
    let last = nines(1.0 - 1.0 / count);
    let percentiles = PERCENTILES.iter().zip(distribution.percentiles_us());
    let percentiles = percentiles.map(|((_, percent), us)| (nines(percent / 100.0), us));
    let mut sum = 0;
    let bounds = distribution.buckets.iter().map(|bucket| {
        sum += bucket.count;
        (nines(sum as f64 / count), bucket.to_us)
    });
    let mut points = vec![(0.0, distribution.min_us)];
    points.extend(percentiles.chain(bounds).filter(|point| point.0 < last));
    points.push((last, distribution.max_us));
    points.retain(|(nines, us)| nines.is_finite() && us.is_finite() && *us > 0.0);
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    // A bucket's bound is no latency that was seen: the curve never falls, and never exceeds the largest.
    let mut least = 0.0_f64;
    for point in &mut points {
        point.1 = point.1.min(distribution.max_us).max(least);
        least = point.1;
    }
    points
}

/// From all to the last of so many nines; the more there are, the fewer have room for their label.
fn nines_axis(most: f64) -> Axis {
    let most = if most.is_finite() { most.max(1.0) } else { 1.0 };
    let of_decades = (0..=NINES_MAX).filter(|number| most <= 6.0 || number % 2 == 0);
    let ticks = of_decades.map(|number| {
        let fine = (most > 4.6 && number % 2 != 0) || (most > 7.0 && number % 4 != 0);
        let label = match number {
            0 => "0%".to_owned(),
            1 => "90%".to_owned(),
            2 => "99%".to_owned(),
            number => format!("99.{}%", "9".repeat(number as usize - 2)),
        };
        (f64::from(number), label, fine)
    });
    let mut ticks: Vec<_> = ticks.filter(|(nines, ..)| *nines <= most * 1.001).collect();
    ticks.insert(1, (nines(0.5), "50%".to_owned(), true));
    Axis {
        scale: Scale::Linear(0.0, most),
        ticks: ticks
            .into_iter()
            .filter(|(_, label, _)| most <= 6.0 || label != "50%")
            .map(|(nines, label, fine)| Tick {
                at: (nines / most).min(1.0),
                label,
                fine,
            })
            .collect(),
    }
}

fn spectrum(report: &Report, base: Option<&Report>) -> Markup {
    let latency = curve(&report.latency);
    let service = curve(&report.service);
    let former = base.map(|base| curve(&base.latency)).unwrap_or_default();
    let all = || latency.iter().chain(&service).chain(&former);
    let most = all().map(|point| point.0).fold(0.0, f64::max);
    let ratio = report.latency.p99_us / report.service.p99_us;
    let plot = Plot {
        id: "spectrum",
        title: "Latency by percentile".to_owned(),
        description: format!(
            "p99 is {} from when requests were due, {} from when they were sent. p99.9: {} and {}. The axis counts nines.",
            units::time_us(report.latency.p99_us),
            units::time_us(report.service.p99_us),
            units::time_us(report.latency.p99_9_us),
            units::time_us(report.service.p99_9_us)
        ),
        height: 252.0,
        head: 22.0,
        x: nines_axis(most),
        y: Axis::fitting(all().map(|point| point.1), 5, time_label),
    };
    let of = |points: &[(f64, f64)]| points.iter().copied().map(Some).collect::<Vec<_>>();
    let inner = html! {
        (plot.line("base", of(&former).into_iter()))
        (plot.line("service", of(&service).into_iter()))
        (plot.line("latency", of(&latency).into_iter()))
    };
    let marks = PERCENTILES.iter().zip(report.latency.percentiles_us());
    let marks = marks.zip(report.service.percentiles_us());
    let marks: Vec<_> = marks
        .map(|(((name, percent), latency), service)| {
            (*name, nines(percent / 100.0), latency, service)
        })
        .filter(|(_, at, ..)| *at <= most)
        .collect();
    let bins = marks
        .iter()
        .enumerate()
        .map(|(number, (name, at, latency, service))| {
            let before = number.checked_sub(1).map_or(0.0, |before| marks[before].1);
            let after = marks.get(number + 1).map_or(most, |mark| mark.1);
            let (latency, service) = (units::time_us(*latency), units::time_us(*service));
            Bin {
                from: (at + before) / 2.0,
                to: (at + after) / 2.0,
                readout: format!("{name} · latency {latency} · service {service}"),
                title: format!("{name}\nlatency {latency}\nservice time {service}"),
            }
        });
    let mut entries = vec![
        ("line", "latency", "latency"),
        ("line", "service", "service time"),
    ];
    entries.extend(base.map(|_| ("line", "base", "former run’s latency")));
    html! {
        figure.card {
            figcaption {
                h3 { "Latency by percentile" }
                (legend(&entries))
            }
            (plot.draw(&inner, &html! {}, &[], &bins.collect::<Vec<_>>()))
            @if ratio.is_finite() && ratio >= 1.5 {
                p.note {
                    "At p99, waiting to be sent makes latency " (units::number(ratio))
                    " times the service time: a tester that sends only after a reply would not have seen it."
                }
            }
        }
    }
}
