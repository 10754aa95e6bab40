//! The official run of 2025: the binary, with processors of its own or of somebody else's, against gateways that are right, and
//! that are wrong in one way each.
//!
//! At this scale the stages pass so quickly that no payment is carried out later than 1.5 s after its attempt began while
//! anybody compares: what a right gateway says is exact.

mod support;

use std::net::TcpListener;
use std::time::Duration;

use galo_load::report::{Check, Contest, Report};
use galo_load::target::Target;
use galo_processor::fault::Plan;
use galo_processor::model::Config;
use galo_processor::server::Server;
use galo_testkit::{data_dir, Launch, ReservedPort};
use nix::sys::signal::Signal;
use tokio::runtime::{Builder, Runtime};

use support::gateway::{Fault, Gateway};
use support::run::{Done, Run};

const SCALE: &str = "0.05";
const USERS: &str = "40";
const ANY: &str = "127.0.0.1:0";

const ACCEPTED: &str = "payment: 2xx";
const READABLE: &str = "summary: 200, and readable";
const AGREE: &str = "summaries agree";
const NOT_MORE: &str = "no more payments than requested";
const ONCE: &str = "processors have each acknowledged payment once";
const ASKED_FOR: &str = "processors have no payments that nobody asked for";

impl Done {
    /// Exit status 1, and these checks failed, and no others. The first one.
    #[track_caller]
    fn expect_failed(&self, expected: &[&str]) -> Check {
        assert_eq!(self.status, 1, "{}\n{}", self.stderr, self.stdout);
        let checks = contest(&self.report()).checks.clone();
        let failed: Vec<Check> = checks.into_iter().filter(|it| it.failed > 0).collect();
        let names: Vec<&str> = failed.iter().map(|check| &*check.what).collect();
        for name in &names {
            assert!(expected.contains(name), "{failed:#?}");
        }
        assert_eq!(names.len(), expected.len(), "{failed:#?}");
        let first = failed.into_iter().find(|check| check.what == expected[0]);
        first.unwrap()
    }

    /// Exit status 2, and a line with all of these parts.
    #[track_caller]
    fn expect_no_run(&self, parts: &[&str]) {
        assert_eq!(self.status, 2, "{}", self.stderr);
        let error = self.stderr.lines().last().unwrap_or_default();
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }
}

fn contest(report: &Report) -> &Contest {
    report.contest.as_ref().expect("it was a contest")
}

fn official(target: &str, scale: &str, flags: &str) -> Run {
    let arguments = format!("--scale {scale} --users {USERS} {flags}");
    Run::official("rinha-2025", target, &arguments)
}

/// With processors of its own.
fn run(fault: Option<Fault>) -> Done {
    let gateway = Gateway::start(fault);
    let flags = format!("--listen-default {ANY} --listen-fallback {ANY}");
    let running = official(&gateway.url(), SCALE, &flags).start();
    let line = running.process.wait_for_log("its own processors: default ");
    let (_, urls) = line.split_once("its own processors: default ").unwrap();
    let (default, urls) = urls.split_once(", fallback ").unwrap();
    let (fallback, _) = urls.split_once(' ').unwrap();
    gateway.pay_by([default, fallback].map(|url| url.parse().unwrap()));
    running.done()
}

/// Somebody else's: two in this process, until they are dropped.
struct Processors {
    targets: [Target; 2],
    runtime: Option<Runtime>,
}

impl Processors {
    fn start() -> Processors {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let targets = [50_000, 150_000].map(|fee_ppm| {
            let config = Config {
                fee_ppm,
                token: "theirs".to_owned(),
                ..Config::default()
            };
            let server = Server::bind(ANY.parse().unwrap(), config, Plan::default());
            let server = runtime.block_on(server).unwrap();
            let target = format!("http://{}", server.address().unwrap());
            runtime.spawn(server.run());
            target.parse().unwrap()
        });
        Processors {
            targets,
            runtime: Some(runtime),
        }
    }

    /// For a run with these.
    fn flags(&self, token: &str) -> String {
        let [default, fallback] = &self.targets;
        format!("--default {default} --fallback {fallback} --token {token}")
    }
}

impl Drop for Processors {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

#[test]
fn a_right_gateway_passes_and_its_score_is_the_sum_of_its_terms() {
    let done = run(None);
    assert_eq!(done.status, 0, "{}\n{}", done.stderr, done.stdout);
    let report = done.report();
    let contest = contest(&report);
    let of = |what: &str| {
        let mut checks = contest.checks.iter();
        let check = checks.find(|check| check.what == what).expect(what);
        assert_eq!(check.failed, 0, "{check:?}");
        check.count
    };
    let payments = report.kinds.iter().find(|kind| kind.kind == "payment");
    let payments = payments.unwrap().requests;
    assert_eq!(of(ACCEPTED), payments);
    // Some 60: the half of 40 users for three seconds, and a busy machine makes fewer.
    assert!((20..=100).contains(&payments), "{payments}");
    // Six comparisons, and what counts in the end.
    assert_eq!((of(AGREE), of(READABLE), of(NOT_MORE)), (6, 7, 1));
    assert_eq!((of(ONCE), of(ASKED_FOR)), (payments, 1));
    let service = &report.service;
    let calls: u64 = report.kinds.iter().map(|kind| kind.requests).sum();
    assert_eq!((service.count, report.failed), (calls, 0));

    let term = |what: &str| {
        let mut terms = contest.terms.iter();
        let term = terms.find(|term| term.what == what);
        term.unwrap_or_else(|| panic!("no {what}: {:?}", contest.terms))
            .value
    };
    let amount = term("default");
    assert!(
        amount >= 19.90 && amount <= payments as f64 * 19.90 + 0.001,
        "{amount}"
    );
    let count = amount / 19.90;
    assert!((count - count.round()).abs() < 1e-6, "{amount}");
    assert!((term("default: fees") + 0.05 * amount).abs() < 1e-6);
    let zeros = ["fallback", "fallback: fees", "fine for inconsistencies"].map(term);
    assert!(zeros.iter().all(|value| value.abs() < 1e-9), "{zeros:?}");
    let p99_ms = service.p99_us / 1e3;
    let bonus = ((11.0 - p99_ms).max(0.0) * 2.0).round() / 100.0;
    assert!((term("bonus for p99") - bonus * 0.95 * amount).abs() < 1e-6);
    assert!((contest.score - 0.95 * amount * (1.0 + bonus)).abs() < 1e-6);
    let sum: f64 = contest.terms.iter().map(|term| term.value).sum();
    assert!((contest.score - sum).abs() < 1e-6);
    assert_eq!((contest.score_max, &*contest.unit), (None, "USD"));

    assert_eq!(report.settings.run, "rinha-2025");
    assert_eq!(report.settings.scale, Some(0.05));
    for stage in [
        "default 100 ms and failing; fallback 0 ms",
        "fallback 5000 ms",
    ] {
        assert!(done.stderr.contains(stage), "{}", done.stderr);
    }
}

#[test]
fn a_summary_that_lags_is_inconsistent() {
    let done = run(Some(Fault::Lags(Duration::from_secs(3))));
    let check = done.expect_failed(&[AGREE]);
    let example = &check.examples[0];
    assert!(example.what.ends_with(" apart"), "{example:?}");
    assert!(example.request.starts_with("GET /payments-summary?from="));
    for part in ["target: default ", "; processors: default "] {
        assert!(example.reply.contains(part), "{example:?}");
    }
    let report = done.report();
    let fine = contest(&report)
        .terms
        .iter()
        .find(|term| term.what.starts_with("fine"));
    let fine = fine.unwrap();
    assert!(fine.how.contains("0.35 of L"), "{fine:?}");
}

#[test]
fn a_summary_that_is_off_by_one_is_inconsistent() {
    let done = run(Some(Fault::OffByOne));
    let check = done.expect_failed(&[AGREE]);
    assert_eq!(check.examples[0].what, "1 payment apart");
}

#[test]
fn payments_made_twice_are_found_and_disqualified() {
    let done = run(Some(Fault::PaysTwice));
    let check = done.expect_failed(&[ONCE, NOT_MORE]);
    assert!(check.examples[0].what.contains("made twice"), "{check:?}");
    let report = done.report();
    let contest = contest(&report);
    assert_eq!(contest.score, 0.0);
    assert_eq!(contest.terms.last().unwrap().what, "disqualified");
}

#[test]
fn acknowledged_payments_that_are_made_nowhere_are_found() {
    let done = run(Some(Fault::Drops(5)));
    let check = done.expect_failed(&[ONCE]);
    assert!(check.examples[0].what.contains("made nowhere"), "{check:?}");
}

/// What is lost and what is doubled cancel out in every count.
#[test]
fn payments_lost_and_made_twice_in_equal_numbers_are_found() {
    let done = run(Some(Fault::Swaps(7)));
    let check = done.expect_failed(&[ONCE]);
    let told = |words: &str| {
        let mut examples = check.examples.iter();
        let example = examples.find(|example| example.what.contains(words));
        example.unwrap_or_else(|| panic!("no {words}: {check:#?}"))
    };
    let lost = told("made nowhere");
    let begin = "POST /payments {\"correlationId\":";
    assert!(lost.request.starts_with(begin), "{lost:?}");
    assert_eq!(lost.reply, "default: 404; fallback: 404");
    assert_eq!(told("made twice").reply, "default: 19.90; fallback: 19.90");
}

#[test]
fn payments_made_under_another_id_are_found() {
    let done = run(Some(Fault::Renames(9)));
    let check = done.expect_failed(&[ONCE, ASKED_FOR]);
    assert!(check.examples[0].what.contains("made nowhere"), "{check:?}");
    let checks = contest(&done.report()).checks.clone();
    let strangers = checks.iter().find(|check| check.what == ASKED_FOR).unwrap();
    let lost = check.failed;
    assert!(
        strangers.examples[0]
            .what
            .starts_with(&format!("{lost} payment")),
        "{strangers:?}"
    );
}

#[test]
fn amounts_that_are_wrong_and_right_as_a_sum_are_found() {
    let done = run(Some(Fault::Shifts(7)));
    let check = done.expect_failed(&[ONCE]);
    let replies: Vec<&str> = check.examples.iter().map(|it| &*it.reply).collect();
    assert!(
        replies.contains(&"default: 19.89; fallback: 404"),
        "{replies:?}"
    );
    assert!(
        replies.contains(&"default: 19.91; fallback: 404"),
        "{replies:?}"
    );
}

#[test]
fn payments_refused_and_made_all_the_same_are_found() {
    let done = run(Some(Fault::Refuses(7)));
    let check = done.expect_failed(&[ONCE, ACCEPTED]);
    assert!(check.examples[0].what.contains("refused"), "{check:?}");
}

#[test]
fn payments_that_fail_are_found() {
    let done = run(Some(Fault::Fails(5)));
    let check = done.expect_failed(&[ACCEPTED]);
    let example = &check.examples[0];
    assert!(example
        .request
        .starts_with("POST /payments {\"correlationId\":"));
    assert!(
        example.request.ends_with("\"amount\":19.90}"),
        "{example:?}"
    );
    assert_eq!(example.reply, r#"500 {"error":"not this one"}"#);
}

#[test]
fn a_summary_that_fails_counts_as_nothing() {
    let done = run(Some(Fault::NoSummary));
    done.expect_failed(&[READABLE, AGREE]);
    assert_eq!(contest(&done.report()).score, 0.0);
}

#[test]
fn galo_passes() {
    let processors = Processors::start();
    let [default, fallback] = processors.targets.each_ref().map(Target::to_string);
    let data = data_dir();
    let galo = Launch::serve(data.path())
        .cores(1)
        .arg("--allow-reset")
        .processors(&default, &fallback)
        .start();
    let done = official(&galo.address().url(), SCALE, &processors.flags("theirs")).done();
    assert_eq!(done.status, 0, "{}\n{}", done.stderr, done.stdout);
    assert!(contest(&done.report()).score > 0.0, "{}", done.stdout);
}

/// The score so far; whether each payment is made in the end cannot be told then.
#[test]
fn a_run_that_is_ended_early_has_its_report() {
    let gateway = Gateway::start(None);
    let processors = Processors::start();
    gateway.pay_by(processors.targets.clone());
    let running = official(&gateway.url(), "1", &processors.flags("theirs")).start();
    running.process.wait_for_log("default 0 ms; fallback 0 ms");
    running.process.signal(Signal::SIGINT);
    let done = running.done();
    assert_eq!(done.status, 0, "{}\n{}", done.stderr, done.stdout);
    let report = done.report();
    assert!(report.elapsed_s < 30.0, "{}", report.elapsed_s);
    let contest = contest(&report);
    let names: Vec<&str> = contest.checks.iter().map(|it| &*it.what).collect();
    assert!(
        names.contains(&NOT_MORE) && !names.contains(&ONCE),
        "{names:?}"
    );
    assert!(contest.score > 0.0, "{}", done.stdout);
}

/// What it has from before is no part of the run; what the processors have from before is gone.
#[test]
fn a_gateway_that_does_not_purge_is_judged_by_the_run() {
    let processors = Processors::start();
    let gateway = Gateway::start(Some(Fault::NoPurge));
    gateway.pay_by(processors.targets.clone());
    gateway.has_made(1_000);
    let flags = processors.flags("theirs");
    for _ in 0..2 {
        let done = official(&gateway.url(), SCALE, &flags).done();
        assert_eq!(done.status, 0, "{}\n{}", done.stderr, done.stdout);
        assert!(
            done.stderr.contains("does not purge its payments (403)"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn processors_that_want_another_token_are_no_run() {
    let processors = Processors::start();
    let gateway = Gateway::start(None);
    let flags = processors.flags("ours");
    let done = official(&gateway.url(), SCALE, &flags).done();
    done.expect_no_run(&[
        "the default processor at http://127.0.0.1:",
        "401",
        "--token",
    ]);
}

#[test]
fn a_port_in_use_is_no_run() {
    let taken = TcpListener::bind(ANY).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let flags = format!("--listen-default {ANY} --listen-fallback {taken}");
    let done = official("127.0.0.1:1", SCALE, &flags).done();
    done.expect_no_run(&["its own fallback processor cannot listen", &taken, "in use"]);
}

#[test]
fn a_target_that_never_answers_is_no_run() {
    let closed = ReservedPort::new();
    let flags = format!("--listen-default {ANY} --listen-fallback {ANY} --wait 300ms");
    let done = official(&closed.address(), SCALE, &flags).done();
    done.expect_no_run(&["never answered within 300ms", &closed.address()]);
}
