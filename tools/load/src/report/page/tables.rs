//! What is said in words and numbers: kinds, statuses, failures, the tool itself, the verification.

use maud::{html, Markup};

use super::plot::Percent;
use crate::report::{units, Distribution, Report, Verification};

/// Kinds, statuses and failures.
pub fn requests(report: &Report) -> Markup {
    html! {
        section aria-labelledby="requests" {
            h2 id="requests" { "Requests" }
            (kinds(report))
            div.pair {
                (statuses(report))
                (tool(report))
            }
            (failures(report))
        }
    }
}

fn kinds(report: &Report) -> Markup {
    let row = |name: &str, requests: u64, failed: u64, latency: &Distribution, total: bool| {
        let times = [
            latency.p50_us,
            latency.p90_us,
            latency.p99_us,
            latency.p99_9_us,
            latency.max_us,
        ];
        html! {
            tr.total[total] {
                th scope="row" { (name) }
                td { (units::count(requests)) }
                td.bad[failed > 0] { (units::count(failed)) }
                @for us in times {
                    td { @if latency.count == 0 { "–" } @else { (units::time_us(us)) } }
                }
            }
        }
    };
    html! {
        div.card {
            h3 { "By kind" }
            div.scroll tabindex="0" role="region" aria-label="Latency by kind of request" {
                table {
                    thead { tr {
                        th scope="col" { "Kind" }
                        @for name in ["Requests", "Failed", "p50", "p90", "p99", "p99.9", "Max"] {
                            th scope="col" { (name) }
                        }
                    } }
                    tbody {
                        @for kind in &report.kinds {
                            (row(&kind.kind, kind.requests, kind.failed, &kind.latency, false))
                        }
                        (row("all", report.requests, report.failed, &report.latency, true))
                        (row("all, service", report.requests, report.failed, &report.service, false))
                    }
                }
            }
        }
    }
}

/// A bar as long as a share of one.
fn share_bar(share: f64) -> Markup {
    html! {
        svg.share width="100%" height="8" aria-hidden="true" {
            rect width="100%" height="8" rx="1" {}
            rect.of width=(Percent(share.clamp(0.0, 1.0))) height="8" rx="1" {}
        }
    }
}

fn statuses(report: &Report) -> Markup {
    let replies: u64 = report.statuses.values().sum();
    html! {
        div.card {
            h3 { "Statuses" }
            @if report.statuses.is_empty() {
                p.none { "No reply came." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Replies by status" { table.bars {
                    thead { tr {
                        th scope="col" { "Status" } th scope="col" { "Replies" }
                        th scope="col" { "Share" } td {}
                    } }
                    tbody {
                        @for (status, count) in &report.statuses {
                            @let share = *count as f64 / replies.max(1) as f64;
                            tr {
                                th scope="row" { (status) " " span.note { (reason(*status)) } }
                                td { (units::count(*count)) }
                                td { (units::percent(share)) }
                                td.wide { (share_bar(share)) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

/// What a status is called; of those that these targets and what stands before them answer.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

fn failures(report: &Report) -> Markup {
    let all = report.requests.max(1) as f64;
    html! {
        div.card {
            h3 { "Failures" }
            @if report.failures.is_empty() {
                p.none { span.good { "✓" } " No request failed." }
            } @else {
                ul.failures {
                    @for failure in &report.failures {
                        li {
                            p {
                                strong { (failure.kind.name()) }
                                " " (units::count(failure.count)) " "
                                span.note { (units::percent(failure.count as f64 / all)) " of all requests" }
                            }
                            pre { (failure.example) }
                        }
                    }
                }
            }
        }
    }
}

fn tool(report: &Report) -> Markup {
    let tool = &report.tool;
    let late = match tool.late {
        0 => "0".to_owned(),
        late => format!(
            "{}, at most {}",
            units::count(late),
            units::time_us(tool.late_max_us)
        ),
    };
    let rows = [
        ("Begun late by the tool’s own fault", late),
        (
            "Begun late, no connection was free",
            units::count(tool.waited),
        ),
        ("Due, and not sent by the end", units::count(tool.unsent)),
        (
            "Under way at a stop, and dropped",
            units::count(tool.dropped),
        ),
        (
            "Busiest thread",
            format!("{} of a CPU", units::percent(tool.busy)),
        ),
    ];
    html! {
        div.card {
            h3 { "How well galo-load kept up" }
            @match tool.doubt(report.requests) {
                Some(doubt) => p.verdict { span.bad { "✗ Not as users would see it:" } " " (doubt) "." },
                None => p.verdict { span.good { "✓ It kept up." } " The figures are the target’s." },
            }
            dl.settings.wide {
                @for (name, value) in rows { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

/// What was watched, in figures.
pub fn watched(report: &Report) -> Markup {
    if report.watched.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="watched" {
            h2 id="watched" { "Memory and CPU" }
            div.card {
                table {
                    thead { tr {
                        th scope="col" { "Watched" } th scope="col" { "Memory, largest" }
                        th scope="col" { "CPU" } td {}
                    } }
                    tbody {
                        @for subject in &report.watched {
                            tr {
                                th scope="row" { (subject.name) }
                                td { (units::bytes(subject.resident_bytes_max as f64)) }
                                td { (units::percent(subject.cpu)) }
                                td.words { (subject.ended.as_deref().unwrap_or_default()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What all replies together say.
pub fn verification(verification: &Verification) -> Markup {
    html! {
        section aria-labelledby="verification" {
            h2 id="verification" { "Verification" }
            div.card {
                @match verification.is_good() {
                    true => p.verdict { span.good { "✓ All totals are what the replies add up to." } },
                    false => p.verdict { span.bad { "✗ Totals differ from what the replies add up to." } },
                }
                div.scroll tabindex="0" role="region" aria-label="Totals, expected and found" {
                    table.words {
                        thead { tr {
                            th scope="col" { "Of" } th scope="col" { "Expected" }
                            th scope="col" { "Found" } th scope="col" { "Verdict" }
                        } }
                        tbody {
                            @for line in &verification.lines {
                                tr {
                                    th scope="row" { (line.subject) }
                                    td { (line.expected) }
                                    td { (line.found) }
                                    @match &line.wrong {
                                        None => td { span.good { "✓" } " right" },
                                        Some(wrong) => td { span.bad { "✗ " (wrong) } },
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
