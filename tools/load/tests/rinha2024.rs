//! The official run of 2024 against a bank that is right, and against banks that are wrong in one way each.

mod support {
    pub mod bank;
    pub mod galo;
}

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use galo_load::report::{Check, Contest, Report};
use support::bank::{Bank, Faults};
use support::galo::Galo;

/// Four minutes become two seconds and a half, which has this many requests in the ramps.
const SCALE: &str = "0.01";
const RAMP_DEBITS: u64 = 397;
const RAMP_CREDITS: u64 = 199;
const RAMP_STATEMENTS: u64 = 19;
/// A loaded machine takes its time; a target that never answers is given up long before.
const PATIENCE: Duration = Duration::from_secs(30);

const BALANCE: &str = "saldo >= -limite, and limite is the client's";
const STATEMENT: &str = "statement: order, length, fields";
const VERIFIED: &str = "balance at the end: what all replies together say";
const UNTOUCHED: &str = "extrato of an untouched client";

struct Run {
    status: i32,
    report: Report,
    /// What was printed.
    text: String,
}

impl Run {
    fn contest(&self) -> &Contest {
        self.report.contest.as_ref().unwrap()
    }

    fn check(&self, what: &str) -> &Check {
        let mut checks = self.contest().checks.iter();
        checks.find(|check| check.what == what).unwrap()
    }

    fn term(&self, what: &str) -> f64 {
        let mut terms = self.contest().terms.iter();
        terms.find(|term| term.what == what).unwrap().value
    }

    /// Checks that failed, in their order.
    fn failed(&self) -> Vec<&str> {
        let checks = self.contest().checks.iter();
        let failed = checks.filter(|check| check.failed > 0);
        failed.map(|check| &*check.what).collect()
    }

    /// It failed, and whoever reads what was printed sees what was asked and what was answered.
    fn assert_failed(&self, what: &str, request: &str, reply: &str) {
        assert_eq!(self.status, 1);
        let check = self.check(what);
        assert!(check.failed > 0, "{what}");
        let example = &check.examples[0];
        assert!(example.request.starts_with(request), "{example:?}");
        assert!(example.reply.starts_with(reply), "{example:?}");
        let printed = without_spaces(&self.text);
        for part in [what, &example.what, &example.request, &example.reply] {
            // Long lines are broken, and a long reply loses its end.
            let part: String = without_spaces(part).chars().take(100).collect();
            assert!(printed.contains(&part), "{part} in {}", self.text);
        }
    }
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

fn galo_load(target: &str, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_galo-load"))
        .args(["rinha-2024", target, "--scale", SCALE])
        .args(flags)
        .output()
        .unwrap()
}

fn run(target: &str) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let output = galo_load(target, &["--json", json.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let json = std::fs::read(json).unwrap_or_else(|_| panic!("no report: {stderr}"));
    Run {
        status: output.status.code().unwrap(),
        report: serde_json::from_slice(&json).unwrap(),
        text: String::from_utf8(output.stdout).unwrap(),
    }
}

fn run_with(faults: Faults) -> Run {
    run(&Bank::start(faults).url())
}

#[test]
fn a_bank_that_is_right_passes_every_check() {
    let run = run_with(Faults::default());
    assert_eq!(run.failed(), [""; 0]);
    assert_eq!(run.status, 0);

    let checks = &run.contest().checks;
    let counts: Vec<_> = checks
        .iter()
        .map(|check| (&*check.what, check.count))
        .collect();
    let refused = run.report.statuses[&422] - 25;
    let carried_out = 65 + RAMP_DEBITS - refused + RAMP_CREDITS;
    let statements = 32 + RAMP_STATEMENTS;
    let expected = BTreeMap::from([
        ("25 debits at once: 200", 25),
        ("client 1 after 25 debits: total -25", 1),
        ("25 credits at once: 200", 25),
        ("client 1 after 25 credits: total 0", 1),
        (UNTOUCHED, 5),
        ("toma: 200", 5),
        ("devolve: 200", 5),
        ("devolve first, toma second", 5),
        ("danada: 200", 5),
        ("danada first in four extratos at once", 20),
        ("bad body: valor 1.2: 422 or 400", 5),
        ("bad body: tipo x: 422 or 400", 5),
        ("bad body: descricao too long: 422 or 400", 5),
        ("bad body: descricao empty: 422 or 400", 5),
        ("bad body: descricao null: 422 or 400", 5),
        ("client 6: 404", 1),
        ("debit: 200 or 422", RAMP_DEBITS),
        ("credit: 200", RAMP_CREDITS),
        ("extrato: 200", RAMP_STATEMENTS),
        // Statements of the ramps show a balance, too.
        (BALANCE, carried_out + RAMP_STATEMENTS),
        (STATEMENT, statements),
        (VERIFIED, 5),
    ]);
    assert_eq!(BTreeMap::from_iter(counts), expected);

    let report = &run.report;
    let kinds = report.kinds.iter();
    let kinds: Vec<_> = kinds.map(|kind| (&*kind.kind, kind.requests)).collect();
    let expected = [
        ("debit", 30 + RAMP_DEBITS),
        ("credit", 35 + RAMP_CREDITS),
        ("statement", statements),
        ("check", 26),
    ];
    assert_eq!(kinds, expected);
    let ramps = RAMP_DEBITS + RAMP_CREDITS + RAMP_STATEMENTS;
    assert_eq!((report.requests, report.failed), (123 + ramps, 0));
    assert!(report.elapsed_s >= 2.4);
    assert!(report.verification.as_ref().unwrap().is_good());
    assert_eq!(report.settings.scale, Some(0.01));

    let Contest { terms, score, .. } = run.contest();
    assert_eq!(terms.iter().map(|term| term.value).sum::<f64>(), *score);
    assert_eq!(run.term("consistent balances"), 0.0);
    // On a machine that is too busy for 250 ms, less is right.
    if report.latency.p95_us < 250_000.0 {
        assert_eq!(*score, 100_000.0);
    }
}

#[test]
fn galo_passes_every_check() {
    // Processors are nothing to its bank: nobody listens there.
    let nobody = ["http://127.0.0.1:1", "http://127.0.0.1:2"];
    let galo = Galo::start(&nobody.map(|processor| processor.parse().unwrap()));
    let run = run(&galo.url());
    assert_eq!(run.failed(), [""; 0]);
    assert_eq!(run.status, 0);
    assert_eq!(run.term("consistent balances"), 0.0);
}

#[test]
fn a_target_that_is_not_fresh_fails_with_a_hint() {
    let bank = Bank::start(Faults::default());
    assert_eq!(run(&bank.url()).status, 0);
    let again = run(&bank.url());
    again.assert_failed(UNTOUCHED, "GET /clientes/", "200 {");
    let hint = &again.check(UNTOUCHED).examples[0].what;
    assert!(hint.contains("fresh data"), "{hint}");
}

#[test]
fn a_lost_update_is_seen() {
    let run = run_with(Faults {
        lost_update_every: Some(7),
        ..Faults::default()
    });
    let at_once = "client 1 after 25 debits: total -25";
    run.assert_failed(at_once, "GET /clientes/1/extrato", "200 {");
    run.assert_failed(VERIFIED, "GET /clientes/", "200 {");
    // Three of the first 25.
    assert!(run.check(at_once).examples[0].what.contains("-22"));
    assert!(!run.report.verification.as_ref().unwrap().is_good());
    assert!(run.term("consistent balances") <= -803.01);
}

#[test]
fn a_balance_beyond_the_limit_is_seen_and_paid_for() {
    let run = run_with(Faults {
        wrong_balance_every: Some(10),
        ..Faults::default()
    });
    run.assert_failed(BALANCE, "POST /clientes/", "200 {");
    let wrong = run.check(BALANCE).failed;
    let fine = run.term("consistent balances");
    assert!(
        (fine + 803.01 * wrong as f64).abs() < 1e-6,
        "{wrong}: {fine}"
    );
    // What it says is not what it does: balances themselves are right.
    assert_eq!(run.check(UNTOUCHED).failed, 0);
}

#[test]
fn a_statement_out_of_order_is_seen() {
    let run = run_with(Faults {
        statement_reversed: true,
        ..Faults::default()
    });
    run.assert_failed(STATEMENT, "GET /clientes/", "200 {");
    run.assert_failed("devolve first, toma second", "GET /clientes/", "200 {");
    assert_eq!(
        run.failed(),
        [
            STATEMENT,
            "devolve first, toma second",
            "danada first in four extratos at once"
        ]
    );
    assert_eq!(run.term("consistent balances"), 0.0);
}

#[test]
fn a_bad_body_that_is_accepted_is_seen() {
    let run = run_with(Faults {
        accept_bad_bodies: true,
        ..Faults::default()
    });
    let bad = [
        "bad body: valor 1.2: 422 or 400",
        "bad body: tipo x: 422 or 400",
        "bad body: descricao too long: 422 or 400",
        "bad body: descricao empty: 422 or 400",
        "bad body: descricao null: 422 or 400",
    ];
    for what in bad {
        run.assert_failed(what, "POST /clientes/", "200 {");
        assert_eq!(run.check(what).failed, 5);
    }
    assert_eq!(run.failed(), bad);
}

fn assert_given_up(target: &str, part: &str) {
    let began = Instant::now();
    let output = galo_load(target, &["--wait", "300ms"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let line = stderr.lines().last().unwrap_or_default();
    assert!(line.contains(target) && line.contains(part), "{stderr}");
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn a_target_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    // Connections are made, and nobody takes them.
    assert_given_up(&target, "never answered");
    drop(listener);
    assert_given_up(&target, "never answered");
}

/// A load balancer without anybody behind it.
#[test]
fn a_target_that_is_never_ready_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 1024];
            // It has a client that has gone, at worst.
            let _ = connection.read(&mut request);
            let _ = connection.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        }
    });
    assert_given_up(&target, "502");
}
