//! A report for tests: a minute of the bank's mix at 340/s with a little of everything wrong.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::{
    Check, CheckExample, Contest, Distribution, FailureReport, KindReport, Machine, Report,
    Settings, Term, ToolReport, Verification, VerificationLine, Watched, WatchedPoint, SCHEMA,
};
use crate::measure::{histogram, FailureKind, Point};

/// Of so many latencies, evenly from 1 µs times `factor` to 1 ms times it.
pub fn distribution(factor: u64) -> Distribution {
    let mut latencies: Histogram<u64> = histogram();
    for us in 1..=1_000 {
        latencies.record_n(us * factor * 1_000, 20).unwrap();
    }
    Distribution::new(&latencies)
}

/// Neither watched nor verified, and no contest.
pub fn report() -> Report {
    let kind = |kind: &str, requests, failed, factor| KindReport {
        kind: kind.to_owned(),
        requests,
        failed,
        latency: distribution(factor),
    };
    let failure = |kind, count, example: &str| FailureReport {
        kind,
        count,
        example: example.to_owned(),
    };
    Report {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        began_at: "2026-01-02T03:04:05.678Z".to_owned(),
        settings: Settings {
            run: "bank".to_owned(),
            target: "http://127.0.0.1:9999".to_owned(),
            connections: 14,
            threads: 1,
            rate: Some(340.0),
            duration_s: Some(60.0),
            requests: None,
            keepalive: true,
            warmup_s: 2.0,
            timeout_s: 5.0,
            seed: 7,
            scale: None,
        },
        machine: Machine {
            host: "desk".to_owned(),
            kernel: "Linux 6.18.44 x86_64".to_owned(),
            cpu: "A Processor".to_owned(),
            cpus: 2,
            memory_bytes: 16 << 30,
            load_average: 0.52,
        },
        elapsed_s: 60.0,
        stopped: false,
        requests: 20_400,
        failed: 4,
        rate: 339.98,
        bytes: 5_242_880,
        latency: distribution(8),
        service: distribution(4),
        kinds: vec![kind("debit", 13_200, 3, 8), kind("statement", 7_200, 1, 2)],
        statuses: BTreeMap::from([(200, 20_000), (422, 399)]),
        failures: vec![
            failure(
                FailureKind::Reset,
                3,
                "GET /clientes/1/extrato\nconnection reset",
            ),
            failure(
                FailureKind::WrongContent,
                1,
                "saldo -1001 is below the limit of 1000",
            ),
        ],
        tool: ToolReport {
            late: 0,
            late_max_us: 0.0,
            waited: 12,
            unsent: 0,
            dropped: 0,
            busy: 0.125,
        },
        series: vec![Point {
            at_s: 0.0,
            length_s: 60.0,
            replies: 20_399,
            failed: 4,
            ..Point::default()
        }],
        watched: Vec::new(),
        verification: None,
        contest: None,
    }
}

/// A subject, of these looks.
pub fn watched(name: &str, points: Vec<WatchedPoint>) -> Watched {
    let resident = points.iter().map(|look| look.resident_bytes);
    Watched {
        name: name.to_owned(),
        resident_bytes_max: resident.max().unwrap_or_default(),
        points,
        cpu: 0.25,
        ended: None,
    }
}

/// A report in which everything is there.
pub fn full_report() -> Report {
    let mut report = report();
    report.watched = vec![watched(
        "pid 7 (galo)",
        vec![WatchedPoint {
            at_s: 60.0,
            resident_bytes: 18 << 20,
            cpu: 0.25,
        }],
    )];
    let line = |subject: &str, wrong: Option<&str>| VerificationLine {
        subject: subject.to_owned(),
        expected: "saldo -120".to_owned(),
        found: "saldo -119".to_owned(),
        wrong: wrong.map(str::to_owned),
    };
    report.verification = Some(Verification {
        lines: vec![
            line("client 1", None),
            line("client 2", Some("one centavo too much")),
        ],
    });
    let check = |what: &str, failed, examples| Check {
        what: what.to_owned(),
        count: 61_503,
        failed,
        examples,
    };
    let example = CheckExample {
        what: "saldo is -1001, limit 1000".to_owned(),
        request: "POST /clientes/1/transacoes {\"valor\":1}".to_owned(),
        reply: "200 {\"limite\":1000,\"saldo\":-1001}".to_owned(),
    };
    let term = |what: &str, value, how: &str| Term {
        what: what.to_owned(),
        value,
        how: how.to_owned(),
    };
    report.contest = Some(Contest {
        checks: vec![
            check("saldo is not below the limit", 1, vec![example]),
            check("the statement has ten transactions", 0, Vec::new()),
        ],
        terms: vec![
            term("at the beginning", 100_000.0, "by the rules"),
            term("wrong saldo", -803.01, "1 × 803.01"),
        ],
        score: 99_196.99,
        score_max: Some(100_000.0),
        unit: "USD".to_owned(),
    });
    report
}
