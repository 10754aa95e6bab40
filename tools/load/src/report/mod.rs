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
//! | `json` | `--json`, read and written, and its schema |
//! | `csv` | the time series |
//! | `checks` | a contest's checks, as they are gathered |
//! | `page` | the HTML page |
//! | `machine` | where it ran |
//! | `units` | numbers as people read them |

pub mod checks;
pub mod compare;
pub mod csv;
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

use crate::measure::{FailureKind, Measured, Point, Tally};

pub use distribution::{Bucket, Distribution, PERCENTILES};

/// Of this form. A reader refuses another.
pub const SCHEMA: u32 = 1;

/// A run. All times are in the unit that their names end with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Of galo-load.
    pub version: String,
    /// When the measured time began, RFC 3339, UTC.
    pub began_at: String,
    /// How it was run.
    pub settings: Settings,
    /// Where galo-load ran.
    pub machine: Machine,
    /// The measured time.
    pub elapsed_s: f64,
    /// Ended in whichever way.
    pub requests: u64,
    /// Of those, failed.
    pub failed: u64,
    /// Replies a second.
    pub rate: f64,
    /// Of replies.
    pub bytes: u64,
    /// From when requests were due to their end; of replies and time-outs.
    pub latency: Distribution,
    /// From the first byte sent.
    pub service: Distribution,
    /// By kind of request.
    pub kinds: Vec<KindReport>,
    /// Replies by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Failures by kind, most frequent first.
    pub failures: Vec<FailureReport>,
    /// How well the tool itself kept up.
    pub tool: ToolReport,
    /// Over time.
    pub series: Vec<Point>,
    /// Processes and containers that were watched.
    pub watched: Vec<Watched>,
    /// With `--verify`.
    pub verification: Option<Verification>,
    /// Of an official run.
    pub contest: Option<Contest>,
}

/// How a run was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// `bank`, `payments`, `extrato`, `health`, `rinha-2024`, `rinha-2025`.
    pub run: String,
    /// As it was given.
    pub target: String,
    /// At once.
    pub connections: usize,
    /// That drove them.
    pub threads: usize,
    /// Requests a second that were due; none: closed loop, or a contest's own.
    pub rate: Option<f64>,
    /// Wanted.
    pub duration_s: Option<f64>,
    /// Wanted.
    pub requests: Option<u64>,
    /// Whether a connection took more than one request.
    pub keepalive: bool,
    /// Before what was measured.
    pub warmup_s: f64,
    /// For one request.
    pub timeout_s: f64,
    /// Of the choice of clients, amounts and ids.
    pub seed: u64,
    /// Of a contest's ramps: 1 is the full length.
    pub scale: Option<f64>,
}

/// Where galo-load ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Its name.
    pub host: String,
    /// `Linux 6.18.44 x86_64`.
    pub kernel: String,
    /// The model, from /proc/cpuinfo.
    pub cpu: String,
    /// That this process may use.
    pub cpus: usize,
    /// In bytes.
    pub memory_bytes: u64,
    /// Before the run: the load average of one minute.
    pub load_average: f64,
}

/// Of one kind of request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KindReport {
    /// `debit`, `credit`, `statement`, `payment`, …
    pub kind: String,
    /// Ended in whichever way.
    pub requests: u64,
    /// Of those, failed.
    pub failed: u64,
    /// As of the whole.
    pub latency: Distribution,
}

/// Of one kind of failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailureReport {
    /// See there.
    pub kind: FailureKind,
    /// How often.
    pub count: u64,
    /// One of them, in words.
    pub example: String,
}

/// How well the tool itself kept up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolReport {
    /// Requests begun more than a millisecond late although a connection was free.
    pub late: u64,
    /// The longest of those delays.
    pub late_max_us: f64,
    /// Requests begun more than a millisecond late because no connection was free.
    pub waited: u64,
    /// Requests due and never sent, for the same reason.
    pub unsent: u64,
    /// The largest share of its time that one of the threads used a CPU.
    pub busy: f64,
}

/// A process or container that was watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Watched {
    /// `pid 4711 (galo)`, `container api01`.
    pub name: String,
    /// Once an interval.
    pub points: Vec<WatchedPoint>,
    /// The largest.
    pub resident_bytes_max: u64,
    /// CPU time over the measured time: 1 is one CPU in full.
    pub cpu: f64,
    /// Why there are no more points, if there is a reason: it ended, it may not be read.
    pub ended: Option<String>,
}

/// Of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchedPoint {
    /// From the beginning of the measured time, in seconds.
    pub at_s: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// CPU time since the point before, over that time.
    pub cpu: f64,
}

/// What all replies together say, with `--verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// One line for each account, or for each processor.
    pub lines: Vec<VerificationLine>,
}

/// Of one account, or of one total.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerificationLine {
    /// Of what.
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
        self.lines.iter().all(|line| line.wrong.is_none())
    }
}

/// What an official run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contest {
    /// In the order in which they were first made.
    pub checks: Vec<Check>,
    /// How the score is made up, in order.
    pub terms: Vec<Term>,
    /// By the contest's rules.
    pub score: f64,
    /// The most that there is, where it is known.
    pub score_max: Option<f64>,
    /// What the contest counts in: `USD`, or nothing.
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
    /// Of those, the first ones ([`CHECK_EXAMPLES_MAX`]).
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
    /// Its name.
    pub what: String,
    /// What it adds to the score, or takes from it.
    pub value: f64,
    /// How it came about, in words and numbers.
    pub how: String,
}

/// Of one check, kept with request and reply.
pub const CHECK_EXAMPLES_MAX: usize = 20;

impl Contest {
    /// No check failed.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.failed == 0)
    }
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
            began_at: began.to_string(),
            settings,
            machine,
            elapsed_s: measured.elapsed.as_secs_f64(),
            requests: total.requests(),
            failed: total.failed_count(),
            rate: measured.rate(),
            bytes: total.bytes,
            latency: Distribution::new(&total.latency()),
            service: Distribution::new(&total.service),
            kinds: kinds.collect(),
            statuses: total.statuses.clone(),
            failures: failures.collect(),
            tool: ToolReport {
                late: total.late.by_tool,
                late_max_us: total.late.by_tool_max.as_secs_f64() * 1e6,
                waited: total.late.by_target,
                unsent: measured.unsent,
                busy: measured.busy.iter().copied().fold(0.0, f64::max),
            },
            series: measured.series.points().copied().collect(),
            watched: Vec::new(),
            verification: None,
            contest: None,
        }
    }
}
