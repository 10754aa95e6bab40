//! Charts over the time of a run, one below the other on the same axis.

use maud::{html, Markup};

use super::plot::{legend, Bin, Lane, Place, Plot};
use crate::measure::Point;
use crate::report::axis::{clock, count_label, percent_label, time_label, Axis};
use crate::report::{units, Report, Watched, WatchedPoint};

/// Stretches that a pointer can tell apart, at most.
const BINS_MAX: usize = 300;
/// An interval that is shorter than this share of the longest has no rate worth a point of the line.
const LENGTH_SHARE_MIN: f64 = 0.25;
/// Watched subjects that have a line of their own look.
const LINES: [&str; 4] = ["one", "two", "three", "four"];

/// All of them.
pub fn charts(report: &Report, base: Option<&Report>) -> Markup {
    let length_s = [Some(report), base].into_iter().flatten().map(length_s);
    let length_s = length_s.fold(0.0, f64::max);
    let stretches = stretches(&report.series);
    html! {
        section.time aria-labelledby="over-time" {
            h2 id="over-time" { "Over time" }
            (throughput(report, base, length_s, &stretches))
            (latency(report, base, length_s, &stretches))
            @if report.watched.iter().any(|subject| !subject.points.is_empty()) {
                (memory(&report.watched, length_s))
                (cpu(&report.watched, length_s))
            }
        }
    }
}

/// Of all that has a place on the axis.
fn length_s(report: &Report) -> f64 {
    let end = report
        .series
        .iter()
        .map(|point| point.at_s + point.length_s);
    let watched = report.watched.iter().flat_map(|subject| &subject.points);
    let ends = end.chain(watched.map(|point| point.at_s));
    ends.filter(|end| end.is_finite())
        .fold(report.elapsed_s, f64::max)
}

/// Points, several of them as one where there are very many.
fn stretches(series: &[Point]) -> Vec<Point> {
    let chunks = series.chunks(series.len().div_ceil(BINS_MAX).max(1));
    let merge = |chunk: &[Point]| chunk.iter().copied().reduce(|one, next| one.merge(&next));
    chunks.filter_map(merge).collect()
}

fn middle_s(point: &Point) -> f64 {
    point.at_s + point.length_s / 2.0
}

/// Rates of intervals that are long enough to have one.
fn rates(report: &Report) -> impl Iterator<Item = Place> + '_ {
    let longest = report
        .series
        .iter()
        .map(|point| point.length_s)
        .fold(0.0, f64::max);
    let of_use = move |point: &&Point| point.length_s >= longest * LENGTH_SHARE_MIN;
    let points = report.series.iter().filter(of_use);
    points.map(|point| Some((middle_s(point), point.rate())))
}

/// One of the latencies over time; intervals in which nothing ended have none.
fn latencies<'a>(
    report: &'a Report,
    which: impl Fn(&Point) -> f64 + 'a,
) -> impl Iterator<Item = Place> + 'a {
    let place = move |point: &Point| {
        let us = which(point);
        (us > 0.0 && us.is_finite()).then_some((middle_s(point), us))
    };
    report.series.iter().map(place)
}

fn interval(point: &Point, length_s: f64) -> String {
    let end_s = point.at_s + point.length_s;
    format!(
        "{} – {}",
        clock(point.at_s, length_s),
        clock(end_s, length_s)
    )
}

/// All that is known of a stretch, a line each.
fn figures(point: &Point, length_s: f64) -> String {
    let times = [
        ("p50", point.p50_us),
        ("p90", point.p90_us),
        ("p99", point.p99_us),
        ("max", point.max_us),
    ];
    let times = times.map(|(name, us)| format!("{name} {}", units::time_us(us)));
    format!(
        "{}\n{}/s: {} replies\n{} failed, {} begun late by the tool\n{}",
        interval(point, length_s),
        units::rate(point.rate()),
        units::count(point.replies),
        units::count(point.failed),
        units::count(point.late),
        times.join("\n")
    )
}

fn bins(stretches: &[Point], length_s: f64, readout: impl Fn(&Point) -> String) -> Vec<Bin> {
    let bin = |point: &Point| Bin {
        from: point.at_s,
        to: point.at_s + point.length_s,
        readout: format!("{} · {}", clock(point.at_s, length_s), readout(point)),
        title: figures(point, length_s),
    };
    stretches.iter().map(bin).collect()
}

/// What happened so often in each stretch, below the plot; none: it never did.
fn lane(
    class: &'static str,
    name: &str,
    stretches: &[Point],
    which: impl Fn(&Point) -> u64,
) -> Option<Lane> {
    let bars = stretches.iter().map(|point| {
        let end_s = point.at_s + point.length_s;
        (point.at_s, end_s, which(point) as f64)
    });
    let bars: Vec<_> = bars.collect();
    bars.iter().any(|bar| bar.2 > 0.0).then(|| Lane {
        class,
        name: name.to_owned(),
        bars,
    })
}

fn throughput(
    report: &Report,
    base: Option<&Report>,
    length_s: f64,
    stretches: &[Point],
) -> Markup {
    let due = report.settings.rate.filter(|rate| rate.is_finite());
    let values = rates(report).chain(base.into_iter().flat_map(rates));
    let values = values.flatten().map(|(_, rate)| rate).chain(due);
    let most = values.filter(|rate| rate.is_finite()).fold(0.0, f64::max);
    let failed: u64 = report.series.iter().map(|point| point.failed).sum();
    let late: u64 = report.series.iter().map(|point| point.late).sum();
    let plot = Plot {
        id: "throughput",
        title: "Replies a second over time".to_owned(),
        description: format!(
            "{} replies a second on average over {}; at most {} in one interval. {} requests failed, {} were begun late by the tool.",
            units::rate(report.rate),
            units::time_s(report.elapsed_s),
            units::rate(most),
            units::count(failed),
            units::count(late)
        ),
        height: 150.0,
        head: 22.0,
        x: Axis::time(length_s),
        y: Axis::from_zero(most, 4, count_label),
    };
    let inner = html! {
        (plot.area("rate", rates(report), None))
        @if let Some(base) = base { (plot.line("base", rates(base))) }
        (plot.line("rate", rates(report)))
    };
    let over = html! {
        @if let Some(due) = due { (plot.level("due", due)) }
    };
    let lanes: Vec<Lane> = [
        lane("failed", "failed", stretches, |point| point.failed),
        lane("late", "late", stretches, |point| point.late),
    ]
    .into_iter()
    .flatten()
    .collect();
    let bins = bins(stretches, length_s, |point| {
        let rate = units::rate(point.rate());
        format!("{rate}/s · {} failed", units::count(point.failed))
    });
    let mut entries = vec![("line", "rate", "replies/s")];
    entries.extend(due.map(|_| ("line", "due", "due")));
    entries.extend(base.map(|_| ("line", "base", "former run")));
    let is_lane = |class: &str| lanes.iter().any(|lane| lane.class == class);
    entries.extend(is_lane("failed").then_some(("ticks", "failed", "failed")));
    entries.extend(is_lane("late").then_some(("ticks", "late", "late by the tool")));
    html! {
        figure.card {
            figcaption {
                h3 { "Throughput" }
                (legend(&entries))
            }
            (plot.draw(&inner, &over, &lanes, &bins))
        }
    }
}

fn latency(report: &Report, base: Option<&Report>, length_s: f64, stretches: &[Point]) -> Markup {
    let p50 = || latencies(report, |point| point.p50_us);
    let p99 = || latencies(report, |point| point.p99_us);
    let values = p50().chain(latencies(report, |point| point.max_us)).chain(
        base.into_iter()
            .flat_map(|base| latencies(base, |point| point.p99_us)),
    );
    let values = values.flatten().map(|(_, us)| us);
    let plot = Plot {
        id: "latency",
        title: "Latency percentiles over time".to_owned(),
        description: format!(
            "Over the whole run: p50 {}, p90 {}, p99 {}, largest {}. The scale is {}.",
            units::time_us(report.latency.p50_us),
            units::time_us(report.latency.p90_us),
            units::time_us(report.latency.p99_us),
            units::time_us(report.latency.max_us),
            "logarithmic where values span more than two decades"
        ),
        height: 200.0,
        head: 22.0,
        x: Axis::time(length_s),
        y: Axis::fitting(values, 5, time_label),
    };
    let inner = html! {
        (plot.area("span", p99(), Some(&mut p50())))
        @if let Some(base) = base {
            (plot.line("base", latencies(base, |point| point.p99_us)))
        }
        (plot.line("p50", p50()))
        (plot.line("p90", latencies(report, |point| point.p90_us)))
        (plot.line("p99", p99()))
        (plot.dots("max", latencies(report, |point| point.max_us)))
    };
    let bins = bins(stretches, length_s, |point| {
        format!(
            "p50 {} · p99 {} · max {}",
            units::time_us(point.p50_us),
            units::time_us(point.p99_us),
            units::time_us(point.max_us)
        )
    });
    let mut entries = vec![
        ("dots", "max", "max"),
        ("line", "p99", "p99"),
        ("line", "p90", "p90"),
        ("line", "p50", "p50"),
    ];
    entries.extend(base.map(|_| ("line", "base", "former run’s p99")));
    html! {
        figure.card {
            figcaption {
                h3 { "Latency" }
                (legend(&entries))
            }
            (plot.draw(&inner, &html! {}, &[], &bins))
        }
    }
}

/// One chart of what was watched.
struct Gauge<'a> {
    id: &'static str,
    heading: &'static str,
    title: &'static str,
    description: String,
    y: Axis,
    value: &'a dyn Fn(&WatchedPoint) -> f64,
    text: &'a dyn Fn(&WatchedPoint) -> String,
}

fn memory(watched: &[Watched], length_s: f64) -> Markup {
    const MIB: f64 = 1_048_576.0;
    let most = watched.iter().map(|subject| subject.resident_bytes_max);
    let most = most.max().unwrap_or_default() as f64;
    let largest = watched.iter().map(|subject| {
        let bytes = units::bytes(subject.resident_bytes_max as f64);
        format!("{}: at most {bytes}", subject.name)
    });
    let (unit, name) = match most {
        most if most >= 1_024.0 * MIB => (1_024.0 * MIB, "GiB"),
        most if most >= MIB => (MIB, "MiB"),
        _ => (1_024.0, "KiB"),
    };
    gauge(
        watched,
        length_s,
        &Gauge {
            id: "memory",
            heading: "Memory",
            title: "Resident memory over time",
            description: largest.collect::<Vec<_>>().join("; "),
            y: Axis::from_zero(most / unit, 3, |value| {
                format!("{} {name}", count_label(value))
            }),
            value: &|point| point.resident_bytes as f64 / unit,
            text: &|point| units::bytes(point.resident_bytes as f64),
        },
    )
}

fn cpu(watched: &[Watched], length_s: f64) -> Markup {
    let points = watched.iter().flat_map(|subject| &subject.points);
    let most = points.map(|point| point.cpu).filter(|cpu| cpu.is_finite());
    let mean = watched.iter().map(|subject| {
        let cpu = units::percent(subject.cpu);
        format!("{}: {cpu} of a CPU on average", subject.name)
    });
    gauge(
        watched,
        length_s,
        &Gauge {
            id: "cpu",
            heading: "CPU",
            title: "CPU over time, in percent of one CPU",
            description: mean.collect::<Vec<_>>().join("; "),
            y: Axis::from_zero(most.fold(0.0, f64::max), 3, percent_label),
            value: &|point| point.cpu,
            text: &|point| units::percent(point.cpu),
        },
    )
}

fn gauge(watched: &[Watched], length_s: f64, gauge: &Gauge<'_>) -> Markup {
    let plot = Plot {
        id: gauge.id,
        title: gauge.title.to_owned(),
        description: gauge.description.clone(),
        height: 96.0,
        head: 22.0,
        x: Axis::time(length_s),
        y: gauge.y.clone(),
    };
    let class = |number: usize| LINES[number % LINES.len()];
    let inner = html! {
        @for (number, subject) in watched.iter().enumerate() {
            (plot.line(class(number), subject.points.iter().map(|point| {
                Some((point.at_s, (gauge.value)(point)))
            })))
        }
    };
    let entries = watched.iter().enumerate();
    let entries = entries.map(|(number, subject)| ("line", class(number), &*subject.name));
    html! {
        figure.card {
            figcaption {
                h3 { (gauge.heading) }
                (legend(&entries.collect::<Vec<_>>()))
            }
            (plot.draw(&inner, &html! {}, &[], &watched_bins(watched, gauge)))
        }
    }
}

/// The stretches of the subject that was seen most often, with all subjects' values at that time.
fn watched_bins(watched: &[Watched], gauge: &Gauge<'_>) -> Vec<Bin> {
    let longest = watched.iter().max_by_key(|subject| subject.points.len());
    let points = longest.map(|subject| &*subject.points).unwrap_or_default();
    let every = points.len().div_ceil(BINS_MAX).max(1);
    let length_s = points.last().map_or(0.0, |point| point.at_s);
    let mut from = 0.0;
    let bin = |point: &WatchedPoint| {
        let values = watched.iter().filter_map(|subject| {
            let seen = subject.points.iter().find(|seen| seen.at_s >= point.at_s)?;
            let text = (gauge.text)(seen);
            Some((text.clone(), format!("{}: {text}", subject.name)))
        });
        let (short, long): (Vec<_>, Vec<_>) = values.unzip();
        let at = clock(point.at_s, length_s);
        Bin {
            from: std::mem::replace(&mut from, point.at_s),
            to: point.at_s,
            readout: format!("{at} · {}", short.join(" · ")),
            title: format!("{at}\n{}", long.join("\n")),
        }
    };
    points
        .iter()
        .skip(every - 1)
        .step_by(every)
        .map(bin)
        .collect()
}
