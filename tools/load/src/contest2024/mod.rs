//! The official run of Rinha de Backend 2024/Q1: its fixed sequence, its ramps, its checks and its score.
//!
//! | file | what |
//! |---|---|
//! | `sequence` | the fixed part |
//! | `asked` | one of its requests, and what became of it |
//! | `findings` | checks, counts for the score, and the ledger |
//! | `shown` | what a statement shows of an account |
//! | `ramps` | the load |
//! | `score` | what it all comes to |

mod asked;
mod findings;
mod ramps;
mod score;
mod sequence;
mod shown;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use jiff::Timestamp;

use crate::cli::Rinha2024;
use crate::engine::{self, End, Pace, Plan, Stop};
use crate::exchange::until_it_answers;
use crate::measure::{Failure, FailureKind, Measured, Series, Tally};
use crate::observer::{Observer, Verdict};
use crate::report::checks::Checks;
use crate::report::{units, Contest, Machine, Report, Settings, Verification};
use crate::screen::Title;
use crate::traffic::bank::{Bank, CLIENTS};
use crate::traffic::seed_of_time;

use asked::Asked;
use findings::Findings;
use ramps::Ramps;
use score::{Counts, IN_TIME, SCORE_MAX};

/// As reports have it.
const RUN: &str = "rinha-2024";
/// For one request, as Gatling has it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Connections at once: ten seconds of the highest rate. Whatever is due beyond waits, and its latency counts from when it was
/// due.
const CONNECTIONS_MAX: usize = 4_096;
/// What must answer before anything is measured.
const SIGN_OF_LIFE: &str = "/clientes/1/extrato";
/// From one try at it to the next.
const SIGN_OF_LIFE_PAUSE: Duration = Duration::from_millis(100);
/// Balances of a fresh target.
const START: [i64; CLIENTS.len()] = [0; CLIENTS.len()];
/// The check that the contest itself does not make.
const VERIFIED: &str = "balance at the end: what all replies together say";

/// All of it, its report included.
///
/// # Errors
/// Why nothing could be measured.
pub fn run(flags: &Rinha2024, stop: &Stop) -> Result<Verdict> {
    let run = Run {
        flags,
        stop,
        seed: flags.seed.unwrap_or_else(seed_of_time),
    };
    let mut observer = Observer::open(run.title(), &flags.output, stop)?;
    observer.note("waiting for the first extrato");
    run.until_it_is_ready()?;
    let machine = Machine::here();
    let mut findings = run.fixed_part(&mut observer);
    let began = Timestamp::now();
    let measured = run.ramps(&mut observer, &mut findings)?;
    if stop.is_stopped() {
        observer.note("stopped: checks and score are of what was done until then");
    }
    let verification = run.verify(&mut observer, &mut findings);
    let mut report = Report::new(run.settings(), machine, began, &measured);
    let counts = Counts {
        requests: measured.total.requests() + measured.unsent,
        in_time: findings.in_time,
        inconsistent: findings.inconsistent,
    };
    let (terms, score) = score::score(&counts);
    report.verification = Some(verification);
    report.contest = Some(Contest {
        checks: findings.checks.into_vec(),
        terms,
        score,
        score_max: Some(SCORE_MAX),
        unit: "USD".to_owned(),
    });
    observer.finish(report)
}

struct Run<'a> {
    flags: &'a Rinha2024,
    stop: &'a Stop,
    seed: u64,
}

impl Run<'_> {
    fn title(&self) -> Title {
        let scale = self.flags.scale;
        let requests = sequence::REQUESTS as u64 + ramps::requests(scale);
        Title {
            run: RUN.to_owned(),
            target: self.flags.target.to_string(),
            how: format!(
                "{} requests in {}, a connection for each",
                units::count(requests),
                humantime::format_duration(ramps::length(scale)),
            ),
        }
    }

    fn settings(&self) -> Settings {
        let scale = self.flags.scale;
        Settings {
            run: RUN.to_owned(),
            target: self.flags.target.to_string(),
            connections: CONNECTIONS_MAX,
            threads: 1,
            rate: None,
            duration_s: Some(ramps::length(scale).as_secs_f64()),
            requests: None,
            keepalive: false,
            warmup_s: 0.0,
            timeout_s: TIMEOUT.as_secs_f64(),
            seed: self.seed,
            scale: Some(scale),
        }
    }

    /// The contest does not begin before this is 200: a load balancer answers before what is behind it does.
    fn until_it_is_ready(&self) -> Result<()> {
        let Rinha2024 { target, wait, .. } = self.flags;
        let began = Instant::now();
        let mut last = None;
        loop {
            let left = match last {
                None => *wait,
                Some(_) => wait.saturating_sub(began.elapsed()),
            };
            match until_it_answers(target, SIGN_OF_LIFE, left, self.stop) {
                Ok(200) => return Ok(()),
                Ok(status) => last = Some(status),
                Err(error) if last.is_none() => return Err(error),
                Err(_) => {}
            }
            if self.stop.is_stopped() {
                bail!("stopped before {target} was ready");
            }
            if let Some(status) = last.filter(|_| began.elapsed() + SIGN_OF_LIFE_PAUSE > *wait) {
                let waited = humantime::format_duration(*wait);
                bail!("{target} never answered GET {SIGN_OF_LIFE} with 200 within {waited}: its last status was {status}");
            }
            thread::sleep(SIGN_OF_LIFE_PAUSE);
        }
    }

    fn fixed_part(&self, observer: &mut Observer) -> Findings {
        let target = &self.flags.target;
        observer.note("25 debits and 25 credits of one client at once");
        let mut findings = sequence::at_once(target, self.seed);
        note_failures(observer, &findings.checks);
        if !self.stop.is_stopped() {
            observer.note("each client's own sequence");
            let of_each = sequence::of_each_client(target, self.seed, self.stop);
            note_failures(observer, &of_each.checks);
            findings.merge(of_each);
        }
        findings
    }

    /// What was measured, the fixed part's requests included.
    fn ramps(&self, observer: &mut Observer, findings: &mut Findings) -> Result<Measured> {
        let mut measured = Measured {
            elapsed: Duration::ZERO,
            total: Tally::default(),
            series: Series::default(),
            unsent: 0,
            dropped: 0,
            stopped: self.stop.is_stopped(),
            busy: Vec::new(),
        };
        if !self.stop.is_stopped() {
            observer.note("ramps to 220 debits, 110 credits and 10 extratos a second");
            let bank = Bank::by_stream(&self.flags.target, self.seed).verified(self.seed);
            let traffic = vec![Ramps::new(bank)];
            observer.begin();
            let (of_ramps, traffic) = engine::run(&self.plan(), traffic, self.stop, observer)?;
            let latency = of_ramps.total.latency();
            // Shorter than it, not as long.
            let in_time = latency.count_between(0, IN_TIME.as_nanos() as u64 - 1);
            for ramps in traffic {
                let (found, ledger) = ramps.finish();
                note_failures(observer, &found.checks);
                findings.in_time += in_time.saturating_sub(found.wrong_in_time);
                findings.inconsistent += found.inconsistent;
                findings.checks.merge(found.checks);
                findings.ledger.merge(&ledger.expect("it was asked for"));
            }
            measured = of_ramps;
        }
        measured.total.merge(&findings.tally);
        Ok(measured)
    }

    fn plan(&self) -> Plan {
        let scale = self.flags.scale;
        Plan {
            target: self.flags.target.clone(),
            connections: CONNECTIONS_MAX,
            threads: 1,
            pace: Pace::Open(ramps::arrivals(scale)),
            keepalive: false,
            warmup: Duration::ZERO,
            end: End::After(ramps::length(scale)),
            timeout: TIMEOUT,
            interval: self.flags.output.interval,
        }
    }

    /// The contest's own load does not look at the balances at the end; so this costs nothing in its score.
    fn verify(&self, observer: &mut Observer, findings: &mut Findings) -> Verification {
        let target = &self.flags.target;
        let asked = CLIENTS.map(|(client, _)| Asked::statement(target, client));
        let mut end = [0; CLIENTS.len()];
        let mut unknown = None;
        let mut checks = Checks::default();
        for (balance, asked) in end.iter_mut().zip(&asked) {
            match asked.shown() {
                Ok(shown) => *balance = shown.balance,
                Err(failure) => {
                    checks.look(VERIFIED, asked.outcome(Some(&failure)));
                    unknown = Some(failure);
                }
            }
        }
        let verification = match unknown {
            Some(failure) => Verification::without_end("balances", &failure),
            None => findings.ledger.verify(&START, &end),
        };
        if checks.iter().next().is_none() {
            for (line, asked) in verification.lines.iter().zip(&asked) {
                let failure = line.wrong.as_deref().map(|wrong| {
                    Failure::new(
                        FailureKind::WrongContent,
                        format!("{}: {wrong}", line.subject),
                    )
                });
                checks.look(VERIFIED, asked.outcome(failure.as_ref()));
            }
        }
        note_failures(observer, &checks);
        findings.checks.merge(checks);
        verification
    }
}

/// One line for each check that failed.
fn note_failures(observer: &mut Observer, checks: &Checks) {
    for check in checks.iter().filter(|check| check.failed > 0) {
        let example = check.examples.first().map_or("", |example| &*example.what);
        observer.note(&format!(
            "failed: {}: {} of {}: {example}",
            check.what,
            units::count(check.failed),
            units::count(check.count),
        ));
    }
}
