//! What is said when a run is over.
//!
//! [`Report`] is the one source: `--json` is its serialisation, the text, the page and the series are made from it, and a
//! former run's is read back for `--compare`.
//!
//! | file | what |
//! |---|---|
//! | `distribution` | how latencies are distributed |
//! | `figure` | the figures by which a run is judged and compared, by name |
//! | `text` | the summary on standard output |
//! | `compare` | a former run beside this one |
//! | `gate` | `--fail-on` |
//! | `destination` | where outputs go |
//! | `json` | `--json`, read and written, and its schema |
//! | `csv` | the time series |
//! | `checks` | a contest's checks, as they are gathered |
//! | `page` | the HTML page |
//! | `axis` | scales and ticks, of the page and of the screen |
//! | `machine` | where it ran |
//! | `units` | numbers as people read them |

pub mod axis;
pub mod checks;
pub mod compare;
pub mod csv;
pub mod destination;
mod distribution;
#[cfg(test)]
mod example;
pub mod figure;
pub mod gate;
pub mod json;
pub mod machine;
pub mod page;
pub mod text;
pub mod units;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::measure::{Failure, FailureKind, Measured, Point, Tally};

pub use distribution::{Bucket, Distribution, BUCKETS_PER_DECADE, PERCENTILES};

/// Of this form. A reader refuses another.
pub const SCHEMA: u32 = 1;

/// A run of galo-load. Numbers are in the unit that their names end with: `_s` seconds, `_us` microseconds, `_bytes`;
/// those without one are counts, unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The number of this form. One in which a field has gone, or means something else, has another number.
    pub schema: u32,
    /// The version of galo-load.
    pub version: String,
    /// When the measured time began, RFC 3339, UTC.
    pub began_at: String,
    /// How it was run.
    pub settings: Settings,
    /// Where galo-load ran.
    pub machine: Machine,
    /// The measured time: from the end of the warm-up to the end of the run.
    pub elapsed_s: f64,
    /// The run was ended before its time, by a signal or a key.
    pub stopped: bool,
    /// Requests that ended, in whichever way.
    pub requests: u64,
    /// How many of the requests failed.
    pub failed: u64,
    /// Replies a second, right or wrong, of those that came within the measured time.
    pub rate: f64,
    /// Bytes of all replies, heads and bodies.
    pub bytes: u64,
    /// How long requests took from when they were due (in closed loop: from when they were begun, the time to connect
    /// included) to the last byte of the reply. Replies, right or wrong, and time-outs count; other failures do not.
    pub latency: Distribution,
    /// How long requests took from their first byte sent to the last byte of the reply. The same requests count.
    pub service: Distribution,
    /// The requests by kind, in the order of the kinds; those that were not sent are left out.
    pub kinds: Vec<KindReport>,
    /// Replies by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures by kind, most frequent first.
    pub failures: Vec<FailureReport>,
    /// How well galo-load itself kept up.
    pub tool: ToolReport,
    /// What ended in each interval, in order of time. Long runs have at most 3,600 points, each of several intervals.
    pub series: Vec<Point>,
    /// Processes and containers that were watched (`--watch-pid`, `--watch-container`).
    pub watched: Vec<Watched>,
    /// What all replies together say about each account, or about the totals of payments, beside what the target says
    /// at the end; with `--verify` only.
    pub verification: Option<Verification>,
    /// Checks and score of an official run; none of a plain run.
    pub contest: Option<Contest>,
}

/// How a run was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// What was sent: a mix (`bank`, `payments`, `extrato`, `health`) or an official run (`rinha-2024`, `rinha-2025`).
    pub run: String,
    /// The target, as it was given.
    pub target: String,
    /// Connections at once, over all threads; of `rinha-2025` the users.
    pub connections: usize,
    /// Threads that drove the connections.
    pub threads: usize,
    /// Requests a second that were due (open loop); none: closed loop, or an official run, which has a pace of its own.
    pub rate: Option<f64>,
    /// How long the run was to take, without the warm-up; none: as long as its number of requests takes.
    pub duration_s: Option<f64>,
    /// How many requests the run was to take; none: as many as come within its time.
    pub requests: Option<u64>,
    /// Whether a connection took more than one request; otherwise each request had a connection of its own.
    pub keepalive: bool,
    /// How long requests were sent before what was measured.
    pub warmup_s: f64,
    /// How long one request might take.
    pub timeout_s: f64,
    /// What decided clients, amounts and ids: the same seed sends the same requests.
    pub seed: u64,
    /// How long an official run was, as a share of its full length; none of a plain run.
    pub scale: Option<f64>,
}

/// Where galo-load ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// The name of the machine.
    pub host: String,
    /// The operating system, its release and the architecture: `Linux 6.18.44 x86_64`.
    pub kernel: String,
    /// The model of the CPU, from /proc/cpuinfo; empty where that has none, as on ARM.
    pub cpu: String,
    /// How many CPUs galo-load might use.
    pub cpus: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// The load average of one minute, before the run.
    pub load_average: f64,
}

/// The requests of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KindReport {
    /// What they ask for: `debit`, `credit`, `statement`, `payment`, `summary`, `health`; of an official run also
    /// `processor` (asked of a payment processor) and `check` (none of these).
    pub kind: String,
    /// Requests that ended, in whichever way.
    pub requests: u64,
    /// How many of the requests failed.
    pub failed: u64,
    /// How long they took, counted as for the whole run.
    pub latency: Distribution,
}

/// Failures of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailureReport {
    /// How the requests failed.
    pub kind: FailureKind,
    /// How many requests failed so.
    pub count: u64,
    /// One of them: what is wrong, request and reply.
    pub example: String,
}

/// How well galo-load itself kept up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolReport {
    /// Requests begun more than a millisecond late although a connection was free.
    pub late: u64,
    /// The longest delay of a late request.
    pub late_max_us: f64,
    /// Requests begun more than a millisecond late because no connection was free.
    pub waited: u64,
    /// Requests that were due, and not sent by the end of the run: no connection was free, or the tool was late.
    pub unsent: u64,
    /// Requests that were under way when the run was stopped, and whose replies were not waited for; they are counted
    /// nowhere else.
    pub dropped: u64,
    /// Share of its time that the busiest thread used a CPU, 0 to 1: near 1, galo-load was at its limit, and the figures
    /// are its own.
    pub busy: f64,
}

/// A process or container that was watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Watched {
    /// What was watched: `pid 4711 (galo)`, `container api01`.
    pub name: String,
    /// What was seen, once an interval, in order of time.
    pub points: Vec<WatchedPoint>,
    /// The most resident memory that was seen.
    pub resident_bytes_max: u64,
    /// CPU time over time, of the whole run: 1 is one CPU in full.
    pub cpu: f64,
    /// Why there are no more points: it ended, it may not be read; none: there is no reason.
    pub ended: Option<String>,
}

/// What was seen of a process or container at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchedPoint {
    /// From the beginning of the measured time, in seconds.
    pub at_s: f64,
    /// Resident memory at that moment.
    pub resident_bytes: u64,
    /// CPU time since the point before, over that time: 1 is one CPU in full.
    pub cpu: f64,
}

/// What all replies together say, beside what the target says at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// One line for each account, or for each processor.
    pub lines: Vec<VerificationLine>,
}

/// The verification of one account, or of one total.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerificationLine {
    /// Which account or total it is.
    pub subject: String,
    /// What it must be, in words.
    pub expected: String,
    /// What the target said at the end, in words.
    pub found: String,
    /// What is wrong; none: nothing.
    pub wrong: Option<String>,
}

impl Verification {
    /// Nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.wrong() == 0
    }

    /// How many lines are wrong.
    pub fn wrong(&self) -> usize {
        let wrong = self.lines.iter().filter(|line| line.wrong.is_some());
        wrong.count()
    }

    /// Nothing can be compared: the target does not say how it ended.
    pub fn without_end(subject: &str, failure: &Failure) -> Verification {
        let line = VerificationLine {
            subject: subject.to_owned(),
            expected: "an answer after the run".to_owned(),
            found: failure.to_string(),
            wrong: Some("nothing can be compared".to_owned()),
        };
        Verification { lines: vec![line] }
    }
}

/// What an official run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contest {
    /// What was checked, in the order in which it was first looked at.
    pub checks: Vec<Check>,
    /// How the score is made up, in order.
    pub terms: Vec<Term>,
    /// The score, by the contest's rules: the sum of its terms.
    pub score: f64,
    /// The highest score that there is; none: there is no highest.
    pub score_max: Option<f64>,
    /// What the score is counted in: `USD`, or nothing.
    pub unit: String,
}

/// One of a contest's checks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What must be so.
    pub what: String,
    /// How often it was looked at.
    pub count: u64,
    /// How often it was not so.
    pub failed: u64,
    /// The first ones that were not so, at most 20.
    pub examples: Vec<CheckExample>,
}

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckExample {
    /// What is wrong.
    pub what: String,
    /// What was asked.
    pub request: String,
    /// What was answered.
    pub reply: String,
}

/// A term of a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Term {
    /// The name of the term.
    pub what: String,
    /// What it adds to the score, or takes from it.
    pub value: f64,
    /// How it came about, in words and numbers.
    pub how: String,
}

/// Of one check, kept with request and reply.
pub const CHECK_EXAMPLES_MAX: usize = 20;

/// A thread that used more than this share of its time may have been what limited the run.
const BUSY_MAX: f64 = 0.9;
/// From this share of late or unsent requests on they are seen, or missed, in the percentiles.
const LATE_SHARE_MAX: f64 = 0.001;

impl ToolReport {
    /// Why the figures of a run of so many requests may not be what the target's users would see, if so.
    pub fn doubt(&self, requests: u64) -> Option<&'static str> {
        if self.busy > BUSY_MAX {
            Some("one of its threads had no time left: give it more threads, or a CPU of its own")
        } else if self.unsent as f64 > requests as f64 * LATE_SHARE_MAX {
            Some("requests that were due were never sent: latency lacks those who would have waited longest; give it more connections")
        } else if self.late as f64 > requests as f64 * LATE_SHARE_MAX {
            Some("requests were begun late although a connection was free: this machine is too busy, and latency has those delays in it")
        } else {
            None
        }
    }
}

impl Contest {
    /// No check failed.
    pub fn is_good(&self) -> bool {
        self.failed() == 0
    }

    /// How many checks failed.
    pub fn failed(&self) -> usize {
        let failed = self.checks.iter().filter(|check| check.failed > 0);
        failed.count()
    }
}

/// So many digits after the point: digits that nobody has measured make a file hard to read, and what has no more than
/// fifteen is the same number when it is read again.
fn rounded(number: f64, decimals: i32) -> f64 {
    let power = 10_f64.powi(decimals);
    (number * power).round() / power
}

impl Report {
    /// No reply was wrong, no check failed, and the replies together can be true.
    pub fn is_good(&self) -> bool {
        self.wrong() == 0
            && self.verification.as_ref().is_none_or(Verification::is_good)
            && self.contest.as_ref().is_none_or(Contest::is_good)
    }

    /// Replies that came and were not right.
    pub fn wrong(&self) -> u64 {
        let failures = self.failures.iter();
        let wrong = failures.filter(|failure| failure.kind.is_wrong());
        wrong.map(|failure| failure.count).sum()
    }

    /// Of what was measured; what else there is to say is put in afterwards.
    pub fn new(
        settings: Settings,
        machine: Machine,
        began: jiff::Timestamp,
        measured: &Measured,
    ) -> Report {
        let total: &Tally = &measured.total;
        let kinds = total.kinds().map(|(kind, tally)| KindReport {
            kind: kind.name().to_owned(),
            requests: tally.requests,
            failed: tally.failed,
            latency: Distribution::new(&tally.latency),
        });
        let failures = total.failures.most_frequent().into_iter();
        let failures = failures.map(|(kind, count, example)| FailureReport {
            kind,
            count,
            example: example.to_owned(),
        });
        Report {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            began_at: format!("{began:.3}"),
            settings,
            machine,
            elapsed_s: measured.elapsed.as_secs_f64(),
            stopped: measured.stopped,
            requests: total.requests(),
            failed: total.failed_count(),
            rate: rounded(measured.rate(), 6),
            bytes: total.bytes,
            latency: Distribution::new(&total.latency()),
            service: Distribution::new(&total.service),
            kinds: kinds.collect(),
            statuses: total.statuses.clone(),
            failures: failures.collect(),
            tool: ToolReport {
                late: total.late.by_tool,
                late_max_us: rounded(total.late.by_tool_max.as_secs_f64() * 1e6, 3),
                waited: total.late.by_target,
                unsent: measured.unsent,
                dropped: measured.dropped,
                busy: rounded(measured.busy.iter().copied().fold(0.0, f64::max), 6),
            },
            series: measured.series.points().copied().collect(),
            watched: Vec::new(),
            verification: None,
            contest: None,
        }
    }
}
