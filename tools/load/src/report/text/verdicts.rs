//! What was wrong: failures, verification, a contest's checks and score.

use super::super::{units, Report};
use super::layout::{write_quoted, Table};

/// Of an example of a failure.
const EXAMPLE_LINES: usize = 6;
/// Of a request and of a reply of a failed check: a statement is some 900 characters.
const CHECK_LINES: usize = 12;

/// Each kind, how often, and the example.
pub fn failures(report: &Report) -> String {
    if report.failures.is_empty() {
        return String::new();
    }
    let mut out = format!("Failures, {}\n", units::count(report.failed));
    for failure in &report.failures {
        let (count, kind) = (units::count(failure.count), failure.kind);
        out += &format!("  {count} {kind}, for example\n");
        write_quoted(&mut out, "      ", &failure.example, EXAMPLE_LINES);
    }
    out
}

/// What is wrong in full; of the rest, that it is good.
pub fn verification(report: &Report) -> String {
    let Some(verification) = &report.verification else {
        return String::new();
    };
    let (lines, mut out) = (&verification.lines, String::new());
    out += &match verification.wrong() {
        0 => format!("Verification: good, {} compared\n", lines.len()),
        wrong => format!("Verification: {wrong} of {} WRONG\n", lines.len()),
    };
    for line in lines {
        match &line.wrong {
            None => write_quoted(&mut out, &format!("  {}: ", line.subject), &line.found, 2),
            Some(wrong) => {
                write_quoted(&mut out, &format!("  {}: WRONG: ", line.subject), wrong, 6);
                write_quoted(&mut out, "      expected: ", &line.expected, 3);
                write_quoted(&mut out, "      found:    ", &line.found, 3);
            }
        }
    }
    out
}

/// All of a contest's checks with their counts, then those that failed with request and reply.
pub fn checks(report: &Report) -> String {
    let Some(contest) = &report.contest else {
        return String::new();
    };
    let failed = contest.checks.iter().filter(|check| check.failed > 0);
    let count = contest.checks.len();
    let mut out = match contest.failed() {
        0 => format!("Checks: all {count} good\n"),
        failed => format!("Checks: {failed} of {count} FAILED\n"),
    };
    let mut table = Table::new(&[2]);
    if count > 0 {
        table.row(["  looked at", "failed", "what must be so"]);
    }
    for check in &contest.checks {
        let looked_at = format!("  {:>9}", units::count(check.count));
        table.row([looked_at, units::count(check.failed), check.what.clone()]);
    }
    out += &table.text();
    for check in failed {
        out += &format!("\nFAILED: {}\n", check.what);
        for example in &check.examples {
            write_quoted(&mut out, "  ", &example.what, CHECK_LINES);
            write_quoted(&mut out, "    request: ", &example.request, CHECK_LINES);
            write_quoted(&mut out, "    reply:   ", &example.reply, CHECK_LINES);
        }
        let more = check.failed.saturating_sub(check.examples.len() as u64);
        if more > 0 {
            out += &format!("  and {} more\n", units::count(more));
        }
    }
    out
}

/// Every term of a contest's score, and their sum.
pub fn score(report: &Report) -> String {
    let Some(contest) = &report.contest else {
        return String::new();
    };
    let mut table = Table::new(&[2]);
    table.row(["Score", "", ""]);
    for term in &contest.terms {
        let name = format!("  {}", term.what);
        table.row([name, units::amount(term.value), term.how.clone()]);
    }
    let highest = contest.score_max;
    let highest = highest.map(|highest| format!("of {}", units::amount(highest)));
    let unit = [Some(contest.unit.clone()), highest].into_iter().flatten();
    let unit: Vec<_> = unit.filter(|part| !part.is_empty()).collect();
    let score = units::amount(contest.score);
    table.row(["  score", &score, &unit.join(" ")]);
    table.text()
}
