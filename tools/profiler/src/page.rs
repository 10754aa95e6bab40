//! The page: one file of HTML, which fetches nothing.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use maud::{html, Markup, PreEscaped, DOCTYPE};

use crate::bpf::{Bucket, Step, Traced};
use crate::calls::Calls;
use crate::counters::Counters;
use crate::load::Run;
use crate::perf::Flames;
use crate::subject::Process;
use crate::Seen;

/// A flame graph brings a script of its own, in a document of its own.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-src data:";

/// All that was seen.
pub struct Profile<'a> {
    pub title: &'a str,
    pub processes: &'a [Process],
    pub run: Option<&'a Run>,
    pub seconds: u64,
    pub counters: &'a Counters,
    pub on_cpu: &'a Seen<Flames>,
    pub off_cpu: &'a Seen<Flames>,
    pub traced: &'a Seen<Traced>,
    pub calls: &'a Seen<Calls>,
}

pub fn page(profile: &Profile<'_>) -> String {
    let title = format!("Galo profile: {}", profile.title);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                main {
                    h1 { (title) }
                    (head(profile))
                    h2 { "On CPU" }
                    p { "Where time is spent. Width is time; a click zooms, control-F searches." }
                    (flames("on-cpu", "On-CPU flame graph", profile.on_cpu))
                    h2 { "Off CPU" }
                    p { "Where a thread gave the CPU away, by how long it did not run. The widest is the wait for the next event." }
                    (flames("off-cpu", "Off-CPU flame graph", profile.off_cpu))
                    h2 { "System calls per request" }
                    (calls(profile.calls))
                    (traced(profile.traced))
                    h2 { "What the kernel counts" }
                    (counters(profile))
                }
            }
        }
    };
    page.into_string()
}

fn head(profile: &Profile<'_>) -> Markup {
    html! {
        p {
            @match profile.run {
                Some(run) => {
                    strong { (format!("{:.0} requests/s", run.rate)) }
                    (format!(" while perf watched, p50 {:.0} µs, p99 {:.0} µs, {} requests. ", run.p50_us, run.p99_us, run.requests))
                }
                None => { "Nothing was loaded: what was seen is what others asked for. " }
            }
            (format!("Each look took {} s.", profile.seconds))
        }
    }
}

/// What is not there, and why.
fn missing(why: &str) -> Markup {
    html! { p.missing { "Not seen. " (why) } }
}

fn flames(id: &str, title: &str, flames: &Seen<Flames>) -> Markup {
    match flames {
        Err(why) => missing(why),
        Ok(Flames { svg, without }) => {
            let data = format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg));
            html! {
                @if let Some(without) = without { p.missing { "Without " (without) } }
                iframe id=(id) title=(title) src=(data) height=(height(svg)) {}
            }
        }
    }
}

/// Of a flame graph, in its own units, which are pixels here.
fn height(svg: &str) -> u32 {
    let (_, rest) = svg.split_once(" height=\"").unwrap_or(("", ""));
    let digits = rest.split('"').next().unwrap_or_default();
    digits.parse().unwrap_or(600)
}

fn calls(calls: &Seen<Calls>) -> Markup {
    let calls = match calls {
        Err(why) => return missing(why),
        Ok(calls) => calls,
    };
    let mut rows: Vec<_> = calls.0.iter().collect();
    rows.sort_by(|(_, one), (_, other)| (other[0] + other[1]).total_cmp(&(one[0] + one[1])));
    let [own, noop] = calls.sums();
    html! {
        p { "Counted by strace, which slows both down: requests gather, so ticks are larger than without it." }
        table {
            thead { tr { th { "call" } th.number { "this server" } th.number { "no-op server" } } }
            tbody {
                @for (name, [own, noop]) in rows {
                    tr { td { code { (name) } } td.number { (format!("{own:.4}")) } td.number { (format!("{noop:.4}")) } }
                }
                tr.sum { td { "all" } td.number { (format!("{own:.4}")) } td.number { (format!("{noop:.4}")) } }
            }
        }
    }
}

fn traced(traced: &Seen<Traced>) -> Markup {
    let traced = match traced {
        Err(why) => return html! { h2 { "A tick" } (missing(why)) },
        Ok(traced) => traced,
    };
    html! {
        h2 { "A tick" }
        @if traced.tick.is_empty() {
            (missing("no whole tick with a write was among what was watched"))
        } @else {
            p {
                "From the end of a wait to the replies' leaving: the median by length of "
                (traced.ticks) " ticks that wrote. Bars are system calls, marks are probes; watching makes both longer."
            }
            (tick(&traced.tick))
        }
        h2 { "The journal's calls" }
        (histogram("pwrite64", "each tick's batch of a shard", &traced.pwrite))
        (histogram("fdatasync", "every 100 ms, beside the core", &traced.fdatasync))
    }
}

fn tick(steps: &[Step]) -> Markup {
    let end = |step: &Step| step.at_us + step.takes_us.unwrap_or(0.0);
    let length = steps.iter().map(end).fold(1.0, f64::max);
    let percent = |us: f64| 100.0 * us / length;
    html! {
        table.tick {
            thead { tr { th.number { "µs" } th { "what" } th.bars { "" } } }
            tbody {
                @for step in steps {
                    tr {
                        td.number { (format!("{:.1}", step.at_us)) }
                        td {
                            @match step.takes_us {
                                Some(us) => { code { (step.what) } (format!(" {us:.1} µs")) }
                                None => { (step.what) }
                            }
                        }
                        td.bars {
                            @let width = step.takes_us.map_or(0.4, percent);
                            @let kind = if step.takes_us.is_some() { "call" } else { "mark" };
                            span class=(kind) style=(format!("left:{:.2}%;width:{width:.2}%", percent(step.at_us))) {}
                        }
                    }
                }
            }
        }
    }
}

fn histogram(name: &str, what: &str, buckets: &[Bucket]) -> Markup {
    let most = buckets
        .iter()
        .map(|bucket| bucket.count)
        .max()
        .unwrap_or(1)
        .max(1);
    html! {
        h3 { code { (name) } ": " (what) }
        @if buckets.is_empty() {
            (missing("no call was made"))
        } @else {
            table.histogram {
                thead { tr { th.number { "from" } th.number { "calls" } th.bars { "" } } }
                tbody {
                    @for bucket in buckets {
                        tr {
                            td.number { (duration(bucket.min_ns)) }
                            td.number { (bucket.count) }
                            td.bars {
                                span.call style=(format!("left:0;width:{:.2}%", 100.0 * bucket.count as f64 / most as f64)) {}
                            }
                        }
                    }
                }
            }
        }
    }
}

fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}

fn counters(profile: &Profile<'_>) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th { "process" } th.number { "CPU s" } th.number { "waits" } th.number { "preempted" }
                    th.number { "page faults" } th.number { "from disk" }
                }
            }
            tbody {
                @for (process, counted) in profile.processes.iter().zip(&profile.counters.0) {
                    tr {
                        td { (process.name) " (" (process.pid) ")" }
                        td.number { (format!("{:.2}", counted.cpu_s)) }
                        td.number { (counted.voluntary) }
                        td.number { (counted.involuntary) }
                        td.number { (counted.minor) }
                        td.number { (counted.major) }
                    }
                }
            }
        }
        p { "While perf sampled: waits and preemptions are context switches, the thread's own wish and the scheduler's." }
    }
}
