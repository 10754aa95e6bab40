//! The HTML page: one file that needs nothing else, no script and no network.
//!
//! | file | what |
//! |---|---|
//! | `head` | the run, its figures in large, settings and machine |
//! | `over_time` | charts over the time of the run |
//! | `distribution` | charts of latency over the whole run |
//! | `tables` | kinds, statuses, failures, the tool itself, the verification |
//! | `contest` | an official run's score and checks |
//! | `comparison` | a former run beside this one |
//! | `plot` | one chart as SVG |
//! | `style.css` | how all of it looks: light, dark, printed, on a phone |

mod comparison;
mod contest;
mod distribution;
mod head;
mod over_time;
mod plot;
mod tables;
#[cfg(test)]
mod tests;

use maud::{html, PreEscaped, DOCTYPE};

use super::{compare, Report};

/// Nothing may be fetched, by whatever may have found its way into the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// The whole page; `base`: a former run, beside it.
pub fn page(report: &Report, base: Option<&Report>) -> String {
    let settings = &report.settings;
    let rows = base.map(|base| compare::rows(report, base));
    let rows = rows.as_deref().unwrap_or_default();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                // Without it a browser asks for one.
                link rel="icon" href="data:,";
                title { "galo-load: " (settings.run) ", " (settings.target) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (head::head(report, rows))
                main {
                    @if let Some(contest) = &report.contest { (contest::contest(contest)) }
                    (over_time::charts(report, base))
                    (distribution::charts(report, base))
                    (tables::requests(report))
                    (tables::watched(report))
                    @if let Some(verification) = &report.verification {
                        (tables::verification(verification))
                    }
                    @if let Some(base) = base { (comparison::comparison(report, base, rows)) }
                    (head::settings(report))
                }
                footer {
                    p {
                        "Latency counts from when a request was due, in closed loop from when it was begun; service time from its "
                        "first byte sent. Both end with the reply’s last byte and include time-outs; other failures have none."
                    }
                }
            }
        }
    };
    page.into_string()
}

/// `2026-11-22 10:02:11 UTC`, of RFC 3339.
fn moment(began_at: &str) -> String {
    match (began_at.get(..10), began_at.get(11..19)) {
        (Some(date), Some(time)) if began_at.ends_with('Z') => format!("{date} {time} UTC"),
        _ => began_at.to_owned(),
    }
}
