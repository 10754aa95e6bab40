//! The contest of 2025, behind nginx: galo-load's official run, and the same while nodes are killed.
//!
//! Here it is short; in full length and with the score for what the machine can do:
//! `cargo test --release --features stack-tests --test stack -- --ignored --nocapture --test-threads 1`.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::journals;
use crate::nginx::Balancer;
use crate::stack::Stack;
use galo_testkit::process::LogStream;
use galo_testkit::programs::program;
use galo_testkit::{decimal, PaymentLedger, Process, Processor, Random, FAULTS, PATIENCE};

/// How it is run.
#[derive(Clone, Copy)]
struct Plan {
    /// galo-load's flags.
    scale: &'static str,
    timeout: &'static str,
    /// In all, as the scale has it.
    length: Duration,
    /// From one kill to the next, about; each node is killed twice as seldom.
    kill: Duration,
}

const OFFICIAL: Plan = Plan {
    scale: "1",
    timeout: "1500ms",
    length: Duration::from_secs(60),
    kill: Duration::from_secs(5),
};
/// On a machine that may be busy with something else.
const SHORT: Plan = Plan {
    scale: "0.3333",
    timeout: "30s",
    length: Duration::from_secs(20),
    kill: Duration::from_secs(2),
};
/// From a node's end to its next start, as an engine's restart takes.
const AWAY: Duration = Duration::from_millis(200);
/// Until all payments that wait have been carried out: longer than a processor's silence.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// The load tester's checks that a killed node may fail where nobody repeats what it had.
const ACCEPTED: &str = "payment: 2xx";
const READABLE: &str = "summary: 200, and readable";
const AGREE: &str = "summaries agree";
/// The one that is made last, and of all payments.
const ONCE: &str = "processors have each acknowledged payment once";

#[test]
fn the_official_run_in_a_third_of_its_time() {
    undisturbed(SHORT);
}

#[test]
#[ignore = "takes a minute and the whole machine: see the top of this file"]
fn the_official_run() {
    undisturbed(OFFICIAL);
}

#[test]
fn the_official_run_with_kill_9_in_a_third_of_its_time() {
    with_kills(Balancer::Stream, SHORT);
}

#[test]
fn the_official_run_with_kill_9_behind_http_in_a_third_of_its_time() {
    with_kills(Balancer::Http, SHORT);
}

#[test]
#[ignore = "takes a minute and the whole machine: see the top of this file"]
fn the_official_run_with_kill_9_of_each_node_every_ten_seconds() {
    with_kills(Balancer::Stream, OFFICIAL);
}

/// Besides what the timetable says, replies are lost, cut, late, and connections reset, at both.
#[test]
fn the_official_run_with_every_fault_in_a_third_of_its_time() {
    let processors = Processor::both();
    // Silence lasts for as long as an attempt may.
    let share = |fault: &str| match fault.starts_with("hang") {
        true => 0.002,
        false => 0.01,
    };
    let faults = FAULTS.map(|fault| (fault, share(fault)));
    for processor in &processors {
        processor.set_faults(&faults);
    }
    let stack = Stack::gateway(Balancer::Stream, &processors);
    let run = Run::start(&stack, &processors, SHORT);
    run.finish(&stack, &processors).expect_good();
}

fn undisturbed(plan: Plan) {
    let processors = Processor::both();
    let stack = Stack::gateway(Balancer::Stream, &processors);
    let run = Run::start(&stack, &processors, plan);
    run.finish(&stack, &processors).expect_good();
}

/// The nodes in turn, at any moment.
fn with_kills(balancer: Balancer, plan: Plan) {
    let mut random = Random::from_time();
    let processors = Processor::both();
    let mut stack = Stack::gateway(balancer, &processors);
    let run = Run::start(&stack, &processors, plan);
    let began = Instant::now();
    let mut kills = 0;
    loop {
        let mean_ms = plan.kill.as_millis() as u64;
        let pause = Duration::from_millis(random.between(mean_ms * 3 / 4, mean_ms * 5 / 4));
        // What counts in the end is asked for once.
        if began.elapsed() + pause + AWAY >= plan.length * 19 / 20 {
            break;
        }
        thread::sleep(pause);
        let node = kills % 2;
        stack.kill(node);
        thread::sleep(AWAY);
        stack.start(node);
        kills += 1;
    }
    eprintln!("{kills} kills");
    assert!(kills > 5);
    let report = run.finish(&stack, &processors);
    match balancer {
        // It repeats what a dead node had: nobody notices.
        Balancer::Http => report.expect_good(),
        Balancer::Stream => report.expect_unanswered_only(),
    }
}

/// A run that goes on.
struct Run(Process);

impl Run {
    /// Until its first stage has begun.
    fn start(stack: &Stack, processors: &[Processor; 2], plan: Plan) -> Run {
        let [default, fallback] = processors.each_ref().map(|processor| processor.url());
        let mut command = Command::new(program("galo-load"));
        command
            .args(["rinha-2025", &stack.address().url(), "--json", "-"])
            .args(["--default", &default, "--fallback", &fallback])
            .args(["--scale", plan.scale, "--timeout", plan.timeout])
            .args(["--settle", &format!("{}s", SETTLE_MAX.as_secs())])
            .stdout(Stdio::piped());
        let process = Process::start(command, LogStream::Stderr);
        process.wait_for_log("default 0 ms; fallback 0 ms");
        Run(process)
    }

    /// Its end; and then each payment that a node has accepted is at one processor and shown so, once,
    /// and there is nothing else.
    #[track_caller]
    fn finish(self, stack: &Stack, processors: &[Processor; 2]) -> Report {
        let Run(mut process) = self;
        let settles = |lines: &[String]| {
            lines
                .iter()
                .any(|line| line.starts_with("until the processors have"))
        };
        while !process.wait_for_lines(settles) {
            assert!(process.is_running(), "it has ended before its time");
        }
        stack.wait_until_whole();
        // The last stage's delay is no test of patience, nor is silence.
        for processor in processors {
            processor.set_delay(0);
            processor.set_faults(&[]);
        }
        let mut json = String::new();
        let mut pipe = process.take_stdout().expect("it was piped");
        pipe.read_to_string(&mut json).expect("text");
        let status = process.wait(PATIENCE);
        for line in process.log() {
            eprintln!("{line}");
        }
        let report =
            serde_json::from_str(&json).unwrap_or_else(|error| panic!("{status}: {error}"));
        let mut ledger = PaymentLedger::default();
        for (id, cents) in journals::payments(&stack.data()) {
            let id = id.to_string();
            ledger.sends(&id, &decimal(cents.into()));
            ledger.acknowledged(&id);
        }
        ledger.expect_settled_within(&stack.address(), processors, SETTLE_MAX);
        Report(report)
    }
}

/// What galo-load says of a run.
struct Report(Value);

impl Report {
    #[track_caller]
    fn expect_good(&self) {
        self.expect_checks(|_| false);
        assert_eq!(self.0["failed"], 0, "{:#}", self.0["failures"]);
    }

    /// Payments and summaries may have had no answer. Summaries that had one agree.
    #[track_caller]
    fn expect_unanswered_only(&self) {
        self.expect_checks(|check| match check["what"].as_str() {
            Some(ACCEPTED | READABLE) => true,
            Some(AGREE) => {
                let is_unanswered = |example: &Value| {
                    let reply = example["reply"].as_str();
                    reply.is_some_and(|reply| reply.starts_with("target: no answer"))
                };
                let examples = check["examples"].as_array().expect("a list");
                examples.iter().all(is_unanswered)
                    && check["failed"].as_u64() < check["count"].as_u64()
            }
            _ => false,
        });
    }

    /// All were made, and none failed but those that may.
    #[track_caller]
    fn expect_checks(&self, may_fail: impl Fn(&Value) -> bool) {
        let contest = &self.0["contest"];
        let checks = contest["checks"].as_array().expect("a list");
        for what in [ACCEPTED, READABLE, AGREE, ONCE] {
            assert!(
                checks.iter().any(|check| check["what"] == what),
                "{checks:#?}"
            );
        }
        for check in checks {
            assert!(check["failed"] == 0 || may_fail(check), "{check:#}");
        }
        assert!(contest["score"].as_f64() > Some(0.0), "{contest:#}");
    }
}
