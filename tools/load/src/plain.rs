//! The plain run: one mix, at one pace.

use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use jiff::Timestamp;

use crate::cli::{Load, Mix};
use crate::engine::{self, Arrivals, End, Pace, Plan, Stop, Traffic};
use crate::exchange::{exchange, until_it_answers};
use crate::measure::{Failure, Measured};
use crate::observer::{Observer, Verdict};
use crate::process::allow_connections;
use crate::report::{Machine, Report, Settings, Verification};
use crate::screen::Title;
use crate::target::Target;
use crate::traffic::bank::{statement_request, Bank, CLIENTS};
use crate::traffic::health::Health;
use crate::traffic::payments::{Accepted, Payments};
use crate::traffic::seed_of_time;
use crate::traffic::statement::judge_statement;
use crate::traffic::totals::{judge_totals, parse_summary, Summary};

/// Without `--duration` and `--requests`.
const DURATION: Duration = Duration::from_secs(10);
/// For payments that were accepted to be carried out, before they are verified.
const CARRIED_OUT_MAX: Duration = Duration::from_secs(30);
/// From one look at the summary to the next meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// All of it, its report included.
///
/// # Errors
/// Why nothing could be measured.
pub fn run(flags: &Load, stop: &Stop) -> Result<Verdict> {
    if flags.threads > flags.connections {
        let (threads, connections) = (flags.threads, flags.connections);
        bail!("{threads} threads cannot drive {connections} connections: --threads is at most --connections");
    }
    if flags.verify && flags.mix == Mix::Health {
        bail!("--verify is about accounts and payments: --mix health has neither");
    }
    allow_connections(flags.connections)?;
    let run = Run {
        flags,
        stop,
        seed: flags.seed.unwrap_or_else(seed_of_time),
    };
    let mut observer = Observer::open(run.title(), &flags.output, stop)?;
    until_it_answers(&flags.target, run.sign_of_life(), flags.timeout, stop)?;
    let machine = Machine::here();
    let began = Timestamp::now();
    let (measured, verification) = match flags.mix {
        Mix::Bank => run.bank(&mut observer, Bank::mixed)?,
        Mix::Extrato => run.bank(&mut observer, Bank::statements)?,
        Mix::Payments => run.payments(&mut observer)?,
        Mix::Health => {
            let traffic = |_| Health::new(&flags.target);
            (run.drive(&mut observer, traffic)?.0, None)
        }
    };
    let mut report = Report::new(run.settings(), machine, began, &measured);
    report.verification = verification;
    observer.finish(report)
}

struct Run<'a> {
    flags: &'a Load,
    stop: &'a Stop,
    seed: u64,
}

impl Run<'_> {
    fn title(&self) -> Title {
        let flags = self.flags;
        let length = match (flags.requests, self.duration()) {
            (Some(requests), _) => format!("{requests} requests"),
            (None, duration) => humantime::format_duration(duration).to_string(),
        };
        let pace = match flags.rate {
            Some(rate) => format!("{rate} requests/s"),
            None => "closed loop".to_owned(),
        };
        let keepalive = match flags.no_keepalive {
            true => ", a connection for each request",
            false => "",
        };
        Title {
            run: self.mix_name().to_owned(),
            target: flags.target.to_string(),
            how: format!(
                "{} connections, {length}, {pace}{keepalive}",
                flags.connections
            ),
        }
    }

    fn mix_name(&self) -> &'static str {
        match self.flags.mix {
            Mix::Bank => "bank",
            Mix::Payments => "payments",
            Mix::Extrato => "extrato",
            Mix::Health => "health",
        }
    }

    fn sign_of_life(&self) -> &'static str {
        match self.flags.mix {
            Mix::Bank | Mix::Extrato => "/clientes/1/extrato",
            Mix::Payments => "/payments-summary",
            Mix::Health => "/health",
        }
    }

    fn duration(&self) -> Duration {
        self.flags.duration.unwrap_or(DURATION)
    }

    fn plan(&self) -> Plan {
        let flags = self.flags;
        Plan {
            target: flags.target.clone(),
            connections: flags.connections,
            threads: flags.threads,
            pace: flags
                .rate
                .map_or(Pace::Closed, |rate| Pace::Open(Arrivals::constant(rate))),
            keepalive: !flags.no_keepalive,
            warmup: flags.warmup,
            end: flags
                .requests
                .map_or(End::After(self.duration()), End::Requests),
            timeout: flags.timeout,
            interval: flags.output.interval,
        }
    }

    fn settings(&self) -> Settings {
        let flags = self.flags;
        Settings {
            run: self.mix_name().to_owned(),
            target: flags.target.to_string(),
            connections: flags.connections,
            threads: flags.threads,
            rate: flags.rate,
            duration_s: flags
                .requests
                .is_none()
                .then(|| self.duration().as_secs_f64()),
            requests: flags.requests,
            keepalive: !flags.no_keepalive,
            warmup_s: flags.warmup.as_secs_f64(),
            timeout_s: flags.timeout.as_secs_f64(),
            seed: self.seed,
            scale: None,
        }
    }

    /// Each thread's traffic has a seed of its own.
    fn drive<T: Traffic>(
        &self,
        observer: &mut Observer,
        traffic: impl Fn(u64) -> T,
    ) -> Result<(Measured, Vec<T>)> {
        observer.begin();
        let seeds = (0..self.flags.threads as u64).map(|thread| self.seed.wrapping_add(thread));
        engine::run(
            &self.plan(),
            seeds.map(traffic).collect(),
            self.stop,
            observer,
        )
    }

    fn bank(
        &self,
        observer: &mut Observer,
        of: impl Fn(&Target, u64) -> Bank,
    ) -> Result<(Measured, Option<Verification>)> {
        let flags = self.flags;
        if !flags.verify {
            let (measured, _) = self.drive(observer, |seed| of(&flags.target, seed))?;
            return Ok((measured, None));
        }
        let start = balances(&flags.target, flags.timeout);
        let start = start.map_err(|failure| failure.context("the balances before the run"))?;
        let (measured, traffic) =
            self.drive(observer, |seed| of(&flags.target, seed).verified(self.seed))?;
        let ledgers = traffic.into_iter().filter_map(Bank::into_ledger);
        let ledger = ledgers.reduce(|mut sum, ledger| {
            sum.merge(&ledger);
            sum
        });
        let ledger = ledger.expect("every thread has one");
        let verification = match balances(&flags.target, flags.timeout) {
            Ok(end) => ledger.verify(&start, &end),
            Err(failure) => Verification::without_end("balances", &failure),
        };
        Ok((measured, Some(verification)))
    }

    fn payments(&self, observer: &mut Observer) -> Result<(Measured, Option<Verification>)> {
        let flags = self.flags;
        let before = match flags.verify {
            true => {
                let before = summary(&flags.target, flags.timeout);
                Some(before.map_err(|failure| failure.context("the summary before the run"))?)
            }
            false => None,
        };
        let (measured, traffic) =
            self.drive(observer, |seed| Payments::new(&flags.target, seed))?;
        let Some(before) = before else {
            return Ok((measured, None));
        };
        let mut accepted = Accepted::default();
        for traffic in &traffic {
            accepted.merge(&traffic.accepted());
        }
        observer.note("until all payments are carried out");
        let verification = match self.carried_out(before, accepted) {
            Ok(after) => judge_totals(before, after, accepted),
            Err(failure) => Verification::without_end("summary", &failure),
        };
        Ok((measured, Some(verification)))
    }

    /// The summary as soon as it has all payments that were acknowledged; what it has then, if it never does. The sign to
    /// stop ends the waiting, unless it was that which ended the run.
    fn carried_out(&self, before: Summary, accepted: Accepted) -> Result<Summary, Failure> {
        let began = Instant::now();
        let was_stopped = self.stop.is_stopped();
        loop {
            let after = summary(&self.flags.target, self.flags.timeout)?;
            let count = after.total().count.saturating_sub(before.total().count);
            let is_stopped = self.stop.is_stopped() && !was_stopped;
            let is_over = began.elapsed() > CARRIED_OUT_MAX || is_stopped;
            if count >= accepted.acknowledged || is_over {
                return Ok(after);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Of all clients, in the order of [`CLIENTS`], in cents.
fn balances(target: &Target, timeout: Duration) -> Result<[i64; CLIENTS.len()], Failure> {
    let mut balances = [0; CLIENTS.len()];
    for (balance, (client, _)) in balances.iter_mut().zip(CLIENTS) {
        let mut request = Vec::new();
        statement_request(target, &mut request, client);
        let reply = exchange(target, &request, timeout)?;
        *balance = judge_statement(client, reply.status, &reply.body)?.balance;
    }
    Ok(balances)
}

fn summary(target: &Target, timeout: Duration) -> Result<Summary, Failure> {
    let request = target.request("GET", "/payments-summary", b"");
    let reply = exchange(target, &request, timeout)?;
    parse_summary(reply.status, &reply.body)
}
