//! A former run beside this one.

use maud::{html, Markup};

use super::moment;
use crate::report::compare::{differences, Row};
use crate::report::{units, Report};

/// How a figure differs, in a sign, a share and a word.
pub fn change(row: &Row) -> Markup {
    let arrow = if row.this > row.former { "▲" } else { "▼" };
    let change = match row.change() {
        Some(change) => units::change(change),
        None => "from 0".to_owned(),
    };
    html! {
        @match row.is_better() {
            Some(true) => span.good { (arrow) " " (change) " better" },
            Some(false) => span.bad { (arrow) " " (change) " worse" },
            None => span.note { "the same" },
        }
    }
}

/// Of what a figure is, where it is not of the whole run, and its name without that: `debit.p99`.
fn group(name: &str) -> (&str, &str) {
    let is_word = |prefix: &str| prefix.chars().all(|letter| letter.is_ascii_lowercase());
    match name.split_once('.') {
        Some((prefix, rest)) if is_word(prefix) => (prefix, rest),
        _ => ("", name),
    }
}

/// All figures of both.
pub fn comparison(report: &Report, base: &Report, rows: &[Row]) -> Markup {
    let differences = differences(report, base);
    let groups = rows.chunk_by(|row, next| group(&row.name).0 == group(&next.name).0);
    html! {
        section aria-labelledby="comparison" {
            h2 id="comparison" { "Beside a former run" }
            div.card {
                p.verdict {
                    "Former: " (base.settings.run) " against " (base.settings.target) ", " (moment(&base.began_at)) "."
                }
                @if !differences.is_empty() {
                    p.verdict { span.bad { "✗ The two were not made in the same way:" } }
                    ul.words { @for line in &differences { li { (line) } } }
                }
            }
            div.pair {
                @for rows in groups { (table(rows)) }
            }
        }
    }
}

fn table(rows: &[Row]) -> Markup {
    let (of, _) = rows.first().map(|row| group(&row.name)).unwrap_or_default();
    let heading = match of {
        "" => "The whole run",
        "service" => "Service time",
        kind => kind,
    };
    html! {
        div.card {
            h3 { (heading) }
            div.scroll tabindex="0" role="region" aria-label={ "Figures of both runs: " (heading) } {
                table {
                    thead { tr {
                        th scope="col" { "Figure" } th scope="col" { "Former" }
                        th scope="col" { "This" } th scope="col" { "Change" }
                    } }
                    tbody {
                        @for row in rows {
                            tr {
                                th scope="row" { (group(&row.name).1) }
                                td { (row.unit.text(row.former)) }
                                td { (row.unit.text(row.this)) }
                                td { (change(row)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
