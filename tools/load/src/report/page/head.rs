//! What comes first: the run, its figures in large, how and where it was made.

use maud::{html, Markup};

use super::moment;
use crate::report::compare::Row;
use crate::report::{units, Report};

/// One of the large figures.
struct Chip<'a> {
    name: &'a str,
    value: String,
    /// Below it.
    note: String,
    /// Whether it is good (or bad), if it is either.
    good: Option<bool>,
    /// Under which the comparison has it.
    figure: &'a str,
}

/// The head of the page; `rows`: the figures of a former run beside this one's.
pub fn head(report: &Report, rows: &[Row]) -> Markup {
    let settings = &report.settings;
    html! {
        header {
            p.brand { "galo-load " (report.version) }
            h1 { (settings.run) " " span { (settings.target) } }
            p.when {
                time datetime=(report.began_at) { (moment(&report.began_at)) }
                " · " (units::time_s(report.elapsed_s)) " measured · " (pace(report))
                @if report.stopped { " · " strong { "stopped before its end" } }
            }
            ul.chips {
                @for chip in chips(report) { (draw(&chip, rows)) }
            }
        }
    }
}

fn pace(report: &Report) -> String {
    let settings = &report.settings;
    match (settings.scale, settings.rate) {
        (Some(scale), _) => format!("official run, scale {}", units::number(scale)),
        (None, Some(rate)) => format!("open loop, {}/s due", units::rate(rate)),
        (None, None) => "closed loop: each connection sends when it has its reply".to_owned(),
    }
}

fn chips(report: &Report) -> Vec<Chip<'static>> {
    let mut chips = Vec::new();
    if let Some(contest) = &report.contest {
        let failed = contest.failed();
        let most = contest.score_max;
        let most = most.map(|most| format!("of {} {}", units::rate(most), contest.unit));
        chips.push(Chip {
            name: "Score",
            value: units::rate(contest.score),
            note: most.unwrap_or_else(|| contest.unit.clone()),
            good: None,
            figure: "score",
        });
        let count = contest.checks.len();
        chips.push(Chip {
            name: "Checks",
            value: match failed {
                0 => count.to_string(),
                failed => format!("{failed} of {count}"),
            },
            note: if failed == 0 { "all passed" } else { "failed" }.to_owned(),
            good: Some(failed == 0),
            figure: "",
        });
    }
    let latency = &report.latency;
    let time = |us: f64| match latency.count {
        0 => "–".to_owned(),
        _ => units::time_us(us),
    };
    let due = report
        .settings
        .rate
        .map(|rate| format!("of {}/s due", units::rate(rate)));
    let share = report.failed as f64 / report.requests.max(1) as f64;
    chips.extend([
        Chip {
            name: "Rate",
            value: format!("{}/s", units::rate(report.rate)),
            note: due.unwrap_or_else(|| "replies".to_owned()),
            good: None,
            figure: "rps",
        },
        Chip {
            name: "p50",
            value: time(latency.p50_us),
            note: format!("service {}", units::time_us(report.service.p50_us)),
            good: None,
            figure: "p50",
        },
        Chip {
            name: "p99",
            value: time(latency.p99_us),
            note: format!("service {}", units::time_us(report.service.p99_us)),
            good: None,
            figure: "p99",
        },
        Chip {
            name: "Largest",
            value: time(latency.max_us),
            note: format!("service {}", units::time_us(report.service.max_us)),
            good: None,
            figure: "max",
        },
        Chip {
            name: "Requests",
            value: units::count(report.requests),
            note: format!("{} received", units::bytes(report.bytes as f64)),
            good: None,
            figure: "",
        },
        Chip {
            name: "Failed",
            value: units::count(report.failed),
            note: units::percent(share),
            good: Some(report.failed == 0),
            figure: "errors",
        },
    ]);
    if let Some(verification) = &report.verification {
        chips.push(Chip {
            name: "Verified",
            value: match verification.wrong() {
                0 => "all right".to_owned(),
                wrong => format!("{wrong} wrong"),
            },
            note: format!("{} totals", verification.lines.len()),
            good: Some(verification.is_good()),
            figure: "",
        });
    }
    chips
}

fn draw(chip: &Chip<'_>, rows: &[Row]) -> Markup {
    let class = match chip.good {
        Some(true) => "good",
        Some(false) => "bad",
        None => "plain",
    };
    let row = rows.iter().find(|row| row.name == chip.figure);
    html! {
        li.(class) {
            span.name {
                (chip.name)
                @match chip.good {
                    Some(true) => span.mark { " ✓" },
                    Some(false) => span.mark { " ✗" },
                    None => {},
                }
            }
            strong { (chip.value) }
            @if let Some(row) = row {
                span.change { (super::comparison::change(row)) }
            } @else {
                span.note { (chip.note) }
            }
        }
    }
}

/// How the run was made, and where.
pub fn settings(report: &Report) -> Markup {
    let settings = &report.settings;
    let machine = &report.machine;
    let wanted = match (settings.requests, settings.duration_s) {
        (Some(requests), _) => format!("{} requests", units::count(requests)),
        (None, Some(duration_s)) => units::time_s(duration_s),
        (None, None) => "the contest’s own".to_owned(),
    };
    let due = settings
        .rate
        .map(|rate| format!("{}/s due", units::rate(rate)));
    let keepalive = match settings.keepalive {
        true => "kept",
        false => "one for each request",
    };
    let how = [
        ("Target", settings.target.clone()),
        ("Length", wanted),
        ("Pace", due.unwrap_or_else(|| pace(report))),
        (
            "Connections",
            format!("{}, {keepalive}", units::count(settings.connections as u64)),
        ),
        ("Threads", settings.threads.to_string()),
        ("Warm-up", units::time_s(settings.warmup_s)),
        ("Time-out", units::time_s(settings.timeout_s)),
        ("Seed", settings.seed.to_string()),
    ];
    let seen = |text: &str| match text.is_empty() {
        true => "unknown".to_owned(),
        false => text.to_owned(),
    };
    let place = [
        ("Host", seen(&machine.host)),
        ("Kernel", seen(&machine.kernel)),
        ("CPU", seen(&machine.cpu)),
        ("CPUs", machine.cpus.to_string()),
        ("Memory", units::bytes(machine.memory_bytes as f64)),
        ("Load before", units::number(machine.load_average)),
    ];
    html! {
        section aria-labelledby="how" {
            h2 id="how" { "How it was run" }
            div.pair {
                (definitions("Settings", &how))
                (definitions("Machine of galo-load", &place))
            }
        }
    }
}

fn definitions(heading: &str, entries: &[(&str, String)]) -> Markup {
    html! {
        div.card {
            h3 { (heading) }
            dl.settings {
                @for (name, value) in entries { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}
