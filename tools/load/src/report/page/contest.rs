//! An official run: its score, term by term, and its checks.

use maud::{html, Markup};

use super::plot::Percent;
use crate::report::{units, Check, Contest};

/// All of it.
pub fn contest(contest: &Contest) -> Markup {
    html! {
        section aria-labelledby="score" {
            h2 id="score" { "Contest" }
            (score(contest))
            (checks(contest))
        }
    }
}

fn amount(value: f64, unit: &str) -> String {
    match unit {
        "" => units::rate(value),
        unit => format!("{} {unit}", units::amount(value).replace('-', "−")),
    }
}

/// A bar for each term, from where the ones before it ended.
fn score(contest: &Contest) -> Markup {
    let mut sum = 0.0;
    let spans: Vec<(f64, f64)> = contest
        .terms
        .iter()
        .map(|term| {
            let from = sum;
            sum += if term.value.is_finite() {
                term.value
            } else {
                0.0
            };
            (from, sum)
        })
        .collect();
    let ends = || spans.iter().flat_map(|(from, to)| [*from, *to]);
    let least = ends().fold(0.0, f64::min);
    let most = ends()
        .chain(contest.score_max)
        .filter(|end| end.is_finite());
    let most = most.fold(least, f64::max);
    let at = |value: f64| match most > least {
        true => ((value - least) / (most - least)).clamp(0.0, 1.0),
        false => 0.0,
    };
    html! {
        div.card {
            h3 { "Score" }
            p.verdict {
                strong.score { (amount(contest.score, &contest.unit)) }
                @if let Some(most) = contest.score_max {
                    span.note { " of " (amount(most, &contest.unit)) " at most" }
                }
            }
            div.scroll tabindex="0" role="region" aria-label="Terms of the score" {
                table.waterfall {
                    thead { tr {
                        th scope="col" { "Term" } th scope="col" { "Value" }
                        td {} th scope="col" { "How" }
                    } }
                    tbody {
                        @for (term, (from, to)) in contest.terms.iter().zip(&spans) {
                            @let (left, right) = (at(from.min(*to)), at(from.max(*to)));
                            tr {
                                th scope="row" { (term.what) }
                                td { (amount(term.value, &contest.unit)) }
                                td.wide {
                                    svg.share width="100%" height="12" aria-hidden="true" {
                                        rect width="100%" height="12" rx="1" {}
                                        rect.of.less[term.value < 0.0] x=(Percent(left)) width=(Percent((right - left).max(0.003)))
                                            height="12" rx="1" {}
                                    }
                                }
                                td.words { (term.how) }
                            }
                        }
                        tr.total {
                            th scope="row" { "Score" }
                            td { (amount(contest.score, &contest.unit)) }
                            td.wide {} td {}
                        }
                    }
                }
            }
        }
    }
}

fn checks(contest: &Contest) -> Markup {
    html! {
        div.card {
            h3 { "Checks" }
            @match contest.failed() {
                0 => p.verdict { span.good { "✓ All " (contest.checks.len()) " checks passed." } },
                failed => p.verdict { span.bad { "✗ " (failed) " of " (contest.checks.len()) " checks failed." } },
            }
            ul.checks {
                @for check in &contest.checks { li { (one(check)) } }
            }
        }
    }
}

fn one(check: &Check) -> Markup {
    let times = match check.count {
        1 => "once".to_owned(),
        count => format!("{} times", units::count(count)),
    };
    if check.failed == 0 {
        return html! {
            p { span.good { "✓" } " " (check.what) " " span.note { (times) } }
        };
    }
    html! {
        details open {
            summary {
                span.bad { "✗" } " " (check.what) " "
                span.bad { (units::count(check.failed)) " failed" }
                span.note { " of " (units::count(check.count)) }
            }
            @for example in &check.examples {
                div.example {
                    p { (example.what) }
                    pre aria-label="Request" { (example.request) }
                    pre aria-label="Reply" { (example.reply) }
                }
            }
            @if (check.examples.len() as u64) < check.failed {
                p.note { (units::count(check.failed - check.examples.len() as u64)) " more." }
            }
        }
    }
}
