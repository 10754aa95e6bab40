//! The official run of Rinha de Backend 2025: stages of two processors, users who pay, totals that are compared, and the
//! score.
//!
//! | file | what |
//! |---|---|
//! | `stages` | what processors do, and when |
//! | `timetable` | stages and comparisons, each at its time |
//! | `users` | who pays, and what they are told |
//! | `totals` | the target's summary beside the processors' own |
//! | `window` | from when to when totals are asked for |
//! | `each` | each payment, by its id, at both processors |
//! | `processors` | their admin endpoints; two of its own |
//! | `calls` | requests of the script beside those of the users |
//! | `score` | what it is worth |
//!
//! `--scale` shortens the script: its length, and with it the ramp of the users, the times of the stages, and the spacing and
//! the length of the windows that are compared. What is real time to a target stays: delays of processors, pauses of users,
//! time-outs, and the 1.5 s between the end of a window and the moment at which it is asked for.

mod calls;
mod each;
mod processors;
mod score;
mod stages;
mod timetable;
mod totals;
mod users;
mod window;

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;

use crate::cli::Rinha2025;
use crate::engine::{self, End, Pace, Plan, Progress, Stop, Watcher};
use crate::exchange::until_it_answers;
use crate::measure::{Kind, Measured};
use crate::observer::{Observer, Verdict};
use crate::process::allow_connections;
use crate::report::{Contest, Machine, Report, Settings, Term};
use crate::screen::Title;
use crate::traffic::seed_of_time;
use calls::Calls;
use processors::{Own, Processor};
use score::Score;
use timetable::{follow_stages, follow_totals, Clock};
use users::Users;
use window::Window;

/// Of a user, from a reply to the next payment.
const PAUSE: Duration = Duration::from_secs(1);

/// All of it, its report included.
///
/// # Errors
/// Why nothing could be measured.
pub fn run(flags: &Rinha2025, stop: &Stop) -> Result<Verdict> {
    allow_connections(flags.users)?;
    let run = Run {
        flags,
        stop,
        seed: seed_of_time(),
    };
    let mut observer = Observer::open(run.title(), &flags.output, stop)?;
    // Held until the end.
    let own;
    let targets = match (&flags.default, &flags.fallback) {
        (Some(default), Some(fallback)) => [default, fallback].map(Clone::clone),
        _ => {
            own = Own::start([flags.listen_default, flags.listen_fallback], &flags.token)?;
            let [default, fallback] = own.targets();
            observer.note(&format!(
                "its own processors: default {default}, fallback {fallback} (galo's flags for them: \
                 --processor-default {default} --processor-fallback {fallback})"
            ));
            own.targets().clone()
        }
    };
    let processors = Processor::both(targets, &flags.token)?;
    observer.note("waiting for the first summary");
    until_it_answers(&flags.target, "/payments-summary", flags.wait, stop)?;
    let report = run.measure(&mut observer, &processors)?;
    observer.finish(report)
}

struct Run<'a> {
    flags: &'a Rinha2025,
    stop: &'a Stop,
    seed: u64,
}

impl Run<'_> {
    fn title(&self) -> Title {
        let (users, scale) = (self.flags.users, self.flags.scale);
        let length = humantime::format_duration(stages::LENGTH.mul_f64(scale));
        Title {
            run: "rinha-2025".to_owned(),
            target: self.flags.target.to_string(),
            how: format!("1 to {users} users, {length}, payments of 19.90"),
        }
    }

    fn measure(&self, observer: &mut Observer, processors: &[Processor; 2]) -> Result<Report> {
        let mut calls = Calls::new(false);
        for processor in processors {
            processor.purge(&mut calls)?;
        }
        let machine = Machine::here();
        let earliest = self.purge(observer, &mut calls);
        let clock = Clock {
            began: Instant::now(),
            scale: self.flags.scale,
            earliest,
        };
        let began = Timestamp::now();
        let (mut measured, users, inconsistencies) =
            self.script(observer, &mut calls, clock, processors)?;
        // What counts is what is confirmed now, whatever still waits.
        let window = Window::counted(Timestamp::now(), clock.length(), earliest);
        let shown = totals::summary(&mut calls, &self.flags.target, &window).unwrap_or_default();
        measured.total.merge(&calls.tally);
        let fates = users.fates();
        let mut checks = users.checks.clone();
        checks.merge(calls.checks);
        totals::look_for_more(&mut checks, &shown, &window, fates.requested);
        if self.stop.is_stopped() {
            observer.note("stopped: checks and score are of what was done until then");
        } else {
            observer.note("until the processors have each payment that was acknowledged");
            each::settle(&mut checks, processors, &users, self.flags.settle, || {
                observer.idle();
                !self.stop.is_stopped()
            });
        }
        let p99_ns = measured.total.service_succeeded.value_at_quantile(0.99);
        let score = Score {
            counts: [shown.default.count, shown.fallback.count],
            cents: [shown.default.cents, shown.fallback.cents],
            requested: fates.requested,
            p99_ms: p99_ns as f64 / 1e6,
            inconsistencies,
        };
        let mut report = Report::new(self.settings(), machine, began, &measured);
        report.contest = Some(Contest {
            checks: checks.into_vec(),
            terms: score.lines().into_iter().map(Term::from).collect(),
            score: score.total(),
            score_max: None,
            unit: "USD".to_owned(),
        });
        Ok(report)
    }

    /// The target's payments. It may refuse: then nothing from before this moment is asked for later.
    fn purge(&self, observer: &mut Observer, calls: &mut Calls) -> Timestamp {
        let target = &self.flags.target;
        let request = target.request("POST", "/purge-payments", b"");
        let what = "purge: answered";
        let status = calls.ask(Kind::Check, what, target, &request, |status, _| Ok(status));
        if let Ok(200..300) = status {
            return Timestamp::UNIX_EPOCH;
        }
        let why = status.map_or_else(|failure| failure.to_string(), |status| status.to_string());
        observer.note(&format!(
            "the target does not purge its payments ({why}): of what it has, only what is paid from now on counts"
        ));
        Timestamp::now()
    }

    /// Users, and what happens beside them. By how many payments summaries differed.
    fn script(
        &self,
        observer: &mut Observer,
        calls: &mut Calls,
        clock: Clock,
        processors: &[Processor; 2],
    ) -> Result<(Measured, Users, u64)> {
        let target = &self.flags.target;
        let plan = Plan {
            target: target.clone(),
            connections: self.flags.users,
            threads: 1,
            pace: Pace::Users(engine::Users {
                first: 1,
                last: self.flags.users,
                pause: PAUSE,
            }),
            keepalive: true,
            warmup: Duration::ZERO,
            end: End::After(clock.length()),
            timeout: self.flags.timeout,
            interval: self.flags.output.interval,
        };
        observer.begin();
        let (say, lines) = mpsc::channel();
        let mut narrator = Narrator { observer, lines };
        thread::scope(|scope| {
            let (stages_here, gone) = mpsc::channel();
            let stages = {
                let say = say.clone();
                scope.spawn(move || follow_stages(clock, processors, &gone, &say))
            };
            let (totals_here, gone) = mpsc::channel();
            let totals = scope.spawn(move || follow_totals(clock, target, processors, &gone, &say));
            let users = vec![Users::new(target, self.seed)];
            let ran = engine::run(&plan, users, self.stop, &mut narrator);
            drop((stages_here, totals_here));
            calls.merge(stages.join().expect("it does not panic"));
            let (compared, inconsistencies) = totals.join().expect("it does not panic");
            calls.merge(compared);
            narrator.idle();
            let (measured, users) = ran?;
            let users = users.into_iter().next().expect("of one thread");
            Ok((measured, users, inconsistencies))
        })
    }

    fn settings(&self) -> Settings {
        let flags = self.flags;
        Settings {
            run: "rinha-2025".to_owned(),
            target: flags.target.to_string(),
            connections: flags.users,
            threads: 1,
            rate: None,
            duration_s: Some(stages::LENGTH.mul_f64(flags.scale).as_secs_f64()),
            requests: None,
            keepalive: true,
            warmup_s: 0.0,
            timeout_s: flags.timeout.as_secs_f64(),
            seed: self.seed,
            scale: Some(flags.scale),
        }
    }
}

impl From<score::Line> for Term {
    fn from(line: score::Line) -> Term {
        let score::Line { what, value, how } = line;
        Term { what, value, how }
    }
}

/// An observer who is told, too, what happens beside the users.
struct Narrator<'a> {
    observer: &'a mut Observer,
    lines: Receiver<String>,
}

impl Watcher for Narrator<'_> {
    fn interval(&mut self, progress: &Progress<'_>) {
        self.observer.interval(progress);
    }

    fn idle(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.observer.note(&line);
        }
        self.observer.idle();
    }
}
