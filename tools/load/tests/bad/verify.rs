//! `--verify`: what all replies together say. It must find what no single reply shows, and never see what is not there.

use galo_load::report::Report;
use nix::sys::signal::Signal;

use crate::gateway::Misbooked;
use crate::server::{Bad, Fault, Server};
use crate::support::bank::Faults;
use crate::support::run::{Done, Run};

const ARGUMENTS: &str = "-c 8 -n 1000 --verify --seed 4711";

fn run(bad: Bad, more: &str) -> Done {
    let server = Server::start(bad);
    Run::new(&server.url(), &format!("{ARGUMENTS} {more}")).done()
}

fn bank(bank: Faults) -> Bad {
    Bad {
        bank,
        ..Bad::default()
    }
}

/// Lines that found something.
fn wrong(report: &Report) -> Vec<String> {
    let verification = report.verification.as_ref().expect("it was asked for");
    assert!(!verification.lines.is_empty());
    let lines = verification.lines.iter();
    let wrong = lines.filter_map(|line| {
        let wrong = line.wrong.as_ref()?;
        Some(format!("{}: {wrong}", line.subject))
    });
    wrong.collect()
}

#[track_caller]
fn expect_good(bad: Bad, more: &str) -> Report {
    let done = run(bad, more).expect_status(0);
    let report = done.report();
    assert_eq!(wrong(&report), Vec::<String>::new(), "{}", done.text());
    report
}

/// All replies are right by themselves, and it is `--verify` that fails the run.
#[track_caller]
fn expect_wrong(bad: Bad, more: &str) -> Vec<String> {
    let done = run(bad, more).expect_status(1);
    let report = done.report();
    assert_eq!(report.failed, 0, "{}", done.text());
    let wrong = wrong(&report);
    assert!(!wrong.is_empty(), "{}", done.text());
    wrong
}

#[test]
fn a_right_bank_is_found_right() {
    let report = expect_good(Bad::default(), "");
    let verification = report.verification.unwrap();
    assert!(verification.lines.len() >= 5, "{verification:?}");
    // Threads have ledgers of their own.
    expect_good(Bad::default(), "-t 2");
}

#[test]
fn updates_that_were_lost_are_found() {
    let lost = |every| {
        bank(Faults {
            lost_update_every: Some(every),
            ..Faults::default()
        })
    };
    // In each of the five accounts, and a single one.
    assert_eq!(expect_wrong(lost(20), "").len(), 5);
    assert_eq!(expect_wrong(lost(500), "").len(), 1);
}

#[test]
fn updates_that_were_made_twice_are_found() {
    let doubled = |every| {
        bank(Faults {
            doubled_update_every: Some(every),
            ..Faults::default()
        })
    };
    assert_eq!(expect_wrong(doubled(500), "").len(), 1);
}

#[test]
fn balances_that_are_wrong_by_a_cent_are_found() {
    let shown = bank(Faults {
        off_by_one_every: Some(500),
        ..Faults::default()
    });
    assert_eq!(expect_wrong(shown, "").len(), 1);
    // Before and after the run alike, so that the difference is right.
    let stated = bank(Faults {
        statement_off_by_one: true,
        ..Faults::default()
    });
    assert_eq!(expect_wrong(stated, "").len(), 5);
}

/// Some of those without a reply were carried out, and some were not: either is possible, and no alarm.
#[test]
fn requests_without_a_reply_are_no_alarm() {
    for fault in [
        Fault::Reset { applied: true },
        Fault::Reset { applied: false },
        Fault::Half,
        Fault::Silence,
    ] {
        let bad = Bad {
            fault: Some((150, fault)),
            ..Bad::default()
        };
        let report = expect_good(bad, "--timeout 500ms");
        assert!(report.failed >= 6, "{fault:?}: {:?}", report.failures);
    }
}

#[test]
fn a_lost_update_beside_requests_without_a_reply_is_found() {
    let bad = Bad {
        fault: Some((250, Fault::Reset { applied: true })),
        bank: Faults {
            lost_update_every: Some(100),
            ..Faults::default()
        },
        ..Bad::default()
    };
    let done = run(bad, "").expect_status(1);
    assert!(!wrong(&done.report()).is_empty(), "{}", done.text());
}

#[test]
fn payments_are_summed_up() {
    let payments = |payments| Bad {
        payments,
        ..Bad::default()
    };
    expect_good(payments(None), "--mix payments");
    for misbooked in [Misbooked::Doubled(500), Misbooked::Cent] {
        expect_wrong(payments(Some(misbooked)), "--mix payments");
    }
    let unanswered = Bad {
        fault: Some((150, Fault::Reset { applied: true })),
        ..Bad::default()
    };
    expect_good(unanswered, "--mix payments");
}

/// It waits for them to be carried out; Ctrl-C ends the waiting, not the judgement.
#[test]
fn payments_that_were_lost_are_found() {
    let server = Server::start(Bad {
        payments: Some(Misbooked::Lost(500)),
        ..Bad::default()
    });
    let arguments = format!("{ARGUMENTS} --mix payments");
    let running = Run::new(&server.url(), &arguments).start();
    let summaries = || server.seen(|seen| seen.count("GET", "/payments-summary"));
    // The sign of life, the one before the run, and some after it.
    let running = running.until(|| summaries() > 5);
    running.process.signal(Signal::SIGINT);
    let done = running.done().expect_status(1);
    let wrong = wrong(&done.report());
    assert_eq!(wrong, ["payments: 2 less than were accepted"]);
}

/// Whoever ends the run early has not said that what was accepted must be there by then.
#[test]
fn payments_of_a_run_that_was_stopped_are_waited_for() {
    let server = Server::start(Bad {
        payments: Some(Misbooked::Late(6)),
        ..Bad::default()
    });
    let arguments = "-c 4 -d 1h --verify --mix payments";
    let running = Run::new(&server.url(), arguments).start();
    let running = running.until(|| server.seen(|seen| seen.count("POST", "/payments")) > 50);
    running.process.signal(Signal::SIGINT);
    let done = running.done().expect_status(0);
    assert_eq!(wrong(&done.report()), [""; 0], "{}", done.text());
}
