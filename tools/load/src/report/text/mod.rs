//! The summary on standard output.
//!
//! | file | what |
//! |---|---|
//! | `times` | latency and service time: percentiles, by kind, their distribution |
//! | `verdicts` | what was wrong: failures, verification, a contest's checks and score |
//! | `layout` | columns and long lines |

mod layout;
mod times;
mod verdicts;

use layout::Table;

use super::compare::{self, Row};
use super::figure::Unit;
use super::{units, Report, ToolReport};

/// All of it, as it is printed: parts of which there is nothing to say are left out. `base`: a former run, beside it.
pub fn summary(report: &Report, base: Option<&Report>) -> String {
    let rows = base.map(|base| compare::rows(report, base));
    let rows = rows.as_deref();
    let parts = [
        settings(report),
        total(report),
        base.map_or_else(String::new, |base| comparison(report, base)),
        times::latency(report, rows),
        times::by_kind(report, rows),
        times::distribution(report),
        statuses(report),
        verdicts::failures(report),
        tool(report),
        watched(report),
        verdicts::verification(report),
        verdicts::checks(report),
        verdicts::score(report),
    ];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("\n")
}

fn settings(report: &Report) -> String {
    let (settings, machine) = (&report.settings, &report.machine);
    let many = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{} {one}s", units::count(count as u64)),
    };
    let is_users = settings.run == "rinha-2025";
    let mut how = vec![
        many(
            settings.connections,
            if is_users { "user" } else { "connection" },
        ),
        many(settings.threads, "thread"),
    ];
    if let Some(rate) = settings.rate {
        how.push(format!("{}/s due", units::given(rate)));
    }
    how.extend(settings.duration_s.map(units::time_s));
    let requests = settings.requests;
    how.extend(requests.map(|requests| format!("{} requests", units::count(requests))));
    if let Some(scale) = settings.scale.filter(|scale| *scale != 1.0) {
        how.push(format!("{} of its length", units::given(scale)));
    }
    if settings.warmup_s > 0.0 {
        how.push(format!(
            "after {} of warm-up",
            units::time_s(settings.warmup_s)
        ));
    }
    if !settings.keepalive {
        how.push("a connection per request".to_owned());
    }
    how.push(format!("time-out {}", units::time_s(settings.timeout_s)));
    how.push(format!("seed {}", settings.seed));
    let memory = units::bytes(machine.memory_bytes as f64);
    let load = units::number(machine.load_average);
    let model = match machine.cpu.as_str() {
        "" => String::new(),
        model => format!(" ({model})"),
    };
    let place = [
        machine.host.clone(),
        machine.kernel.clone(),
        format!("{}{model}", many(machine.cpus, "CPU")),
        memory,
        format!("load {load}"),
    ];
    let mut out = String::new();
    let (version, run, target) = (&report.version, &settings.run, &settings.target);
    out += &format!(
        "galo-load {version}: {run}, {target}, {}\n",
        report.began_at
    );
    layout::write_quoted(&mut out, "  ", &how.join(", "), 3);
    let place = place.into_iter().filter(|part| !part.is_empty());
    layout::write_quoted(&mut out, "  ", &place.collect::<Vec<_>>().join(", "), 3);
    out
}

fn total(report: &Report) -> String {
    let mut table = Table::new(&[1]);
    let elapsed = units::time_s(report.elapsed_s);
    let requests = units::count(report.requests);
    let failed = match report.failed {
        0 => String::new(),
        failed => {
            let share = units::percent(failed as f64 / report.requests.max(1) as f64);
            format!(", {} failed ({share})", units::count(failed))
        }
    };
    let stopped = match report.stopped {
        true => ", stopped before its end",
        false => "",
    };
    table.row([
        "Requests",
        &format!("{requests} in {elapsed}{failed}{stopped}"),
    ]);
    let replies: u64 = report.statuses.values().sum();
    let rate = Unit::PerSecond.text(report.rate);
    table.row(["Replies", &format!("{}, {rate}", units::count(replies))]);
    let bytes = report.bytes as f64;
    let bytes_rate = units::bytes(bytes / report.elapsed_s.max(1e-9));
    table.row([
        "Received",
        &format!("{}, {bytes_rate}/s", units::bytes(bytes)),
    ]);
    table.text()
}

/// What both runs have besides latencies, which are compared where they stand.
fn comparison(report: &Report, base: &Report) -> String {
    let mut out = format!("Compared with the run of {}\n", base.began_at);
    for difference in compare::differences(report, base) {
        layout::write_quoted(&mut out, "  not alike: ", &difference, 2);
    }
    let mut table = Table::new(&[]);
    table.row(["", "this run", "former", "change"]);
    let rows = compare::rows(report, base);
    for row in rows.iter().filter(|row| row.unit != Unit::Microseconds) {
        let (this, former) = (row.unit.text(row.this), row.unit.text(row.former));
        table.row([format!("  {}", row.name), this, former, row.change_text()]);
    }
    out + &table.text()
}

/// The row of this name, if both runs have it.
fn row_of<'a>(rows: &'a [Row], name: &str) -> Option<&'a Row> {
    rows.iter().find(|row| row.name == name)
}

fn statuses(report: &Report) -> String {
    if report.statuses.is_empty() {
        return String::new();
    }
    let total: u64 = report.statuses.values().sum();
    let mut table = Table::new(&[]);
    for (status, count) in &report.statuses {
        let share = units::percent(*count as f64 / total.max(1) as f64);
        table.row([format!("  {status}"), units::count(*count), share]);
    }
    "Statuses\n".to_owned() + &table.text()
}

fn tool(report: &Report) -> String {
    let ToolReport {
        late,
        late_max_us,
        waited,
        unsent,
        dropped,
        busy,
    } = report.tool;
    let mut table = Table::new(&[2]);
    table.row([
        "  busy",
        &units::percent(busy),
        "of its busiest thread's time",
    ]);
    let longest = match late {
        0 => String::new(),
        _ => format!(", by up to {}", units::time_us(late_max_us)),
    };
    let why = format!("begun more than 1 ms late by its own fault{longest}");
    table.row(["  late", &units::count(late), &why]);
    for (name, count, why) in [
        (
            "  waited",
            waited,
            "begun more than 1 ms late: no connection was free",
        ),
        (
            "  unsent",
            unsent,
            "due, and not sent by the end of the run",
        ),
        (
            "  dropped",
            dropped,
            "under way when the run was stopped: not waited for, not counted",
        ),
    ] {
        if count > 0 {
            table.row([name, &units::count(count), why]);
        }
    }
    let mut out = "The tool itself\n".to_owned() + &table.text();
    if let Some(doubt) = report.tool.doubt(report.requests) {
        out += &format!("  Warning: {doubt}.\n");
    }
    out
}

fn watched(report: &Report) -> String {
    if report.watched.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[3]);
    table.row(["Watched", "memory max", "CPU", ""]);
    for subject in &report.watched {
        let memory = Unit::Bytes.text(subject.resident_bytes_max as f64);
        let cpu = Unit::Cpus.text(subject.cpu);
        let ended = subject.ended.clone().unwrap_or_default();
        table.row([format!("  {}", subject.name), memory, cpu, ended]);
    }
    table.text()
}

#[cfg(test)]
mod tests;
