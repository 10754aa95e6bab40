//! Runs that could have been, for tests of the page and for eyes.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::measure::{histogram, FailureKind, Point};
use super::report::{
    Check, CheckExample, Contest, Distribution, FailureReport, KindReport, Machine, Report,
    Settings, Term, ToolReport, Verification, VerificationLine, Watched, WatchedPoint, SCHEMA,
};

/// What would be a tag, an entity or the end of an attribute if it were not escaped.
pub const AWKWARD: &str = "<script src=\"http://example.com/x.js\">alert('&amp;')</script>";

/// Latencies of a server: most near the median, a tail, all multiplied.
struct Server {
    random: fastrand::Rng,
    median_us: f64,
}

impl Server {
    fn latency_us(&mut self) -> f64 {
        let usual = (0..4).map(|_| self.random.f64()).sum::<f64>() / 4.0;
        let tail = match self.random.u32(0..1_000) {
            0..=1 => 20.0,
            2..=14 => 4.0,
            15..=90 => 1.8,
            _ => 1.0,
        };
        self.median_us * (0.5 + usual) * tail * (0.8 + 0.4 * self.random.f64())
    }
}

/// Requests of both histograms of an interval.
struct Counts {
    latency: Histogram<u64>,
    service: Histogram<u64>,
}

impl Counts {
    fn new() -> Counts {
        Counts {
            latency: histogram(),
            service: histogram(),
        }
    }

    fn add(&mut self, latency_us: f64, service_us: f64) {
        self.latency.saturating_record((latency_us * 1e3) as u64);
        self.service.saturating_record((service_us * 1e3) as u64);
    }
}

/// An open loop of a minute at 340/s, whose server stalls for most of a second at one third of the time and answers
/// some requests wrongly after it.
pub fn open_loop(seed: u64, median_us: f64) -> Report {
    const RATE: u64 = 340;
    const SECONDS: u64 = 60;
    let mut server = Server {
        random: fastrand::Rng::with_seed(seed),
        median_us,
    };
    let mut all = Counts::new();
    let mut kinds: BTreeMap<&str, Histogram<u64>> = BTreeMap::new();
    let mut series = Vec::new();
    for second in 0..SECONDS {
        let mut counts = Counts::new();
        for number in 0..RATE {
            let service_us = server.latency_us();
            // Due while the server stood still: all of them wait for its end, the first one is the only one to see it.
            let due_us = number as f64 * 1e6 / RATE as f64;
            let stall_us = if second == 20 {
                640_000.0 - due_us
            } else {
                0.0
            };
            let latency_us = service_us + stall_us.max(0.0);
            let seen_us = if number == 0 { latency_us } else { service_us };
            counts.add(latency_us, seen_us);
            let kind = match server.random.u32(0..34) {
                0..=21 => "debit",
                22..=32 => "credit",
                _ => "statement",
            };
            let kind = kinds.entry(kind).or_insert_with(histogram);
            kind.saturating_record((latency_us * 1e3) as u64);
        }
        let quantile_us = |quantile| counts.latency.value_at_quantile(quantile) as f64 / 1e3;
        series.push(Point {
            at_s: second as f64,
            length_s: 1.0,
            replies: if second == 20 {
                122
            } else {
                RATE + second % 3 - 1
            },
            failed: match second {
                21 => 9,
                22..=23 => 2,
                _ => 0,
            },
            late: u64::from(second == 44),
            p50_us: quantile_us(0.5),
            p90_us: quantile_us(0.9),
            p99_us: quantile_us(0.99),
            max_us: quantile_us(1.0),
        });
        all.latency.add(&counts.latency).expect("the same bounds");
        all.service.add(&counts.service).expect("the same bounds");
    }
    let kinds = kinds.iter().map(|(kind, latency)| KindReport {
        kind: (*kind).to_owned(),
        requests: latency.len(),
        failed: if *kind == "debit" { 13 } else { 0 },
        latency: Distribution::new(latency),
    });
    let failure = |kind, count, example: &str| FailureReport {
        kind,
        count,
        example: example.to_owned(),
    };
    Report {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        began_at: "2026-03-14T15:09:26.535Z".to_owned(),
        settings: Settings {
            run: "bank".to_owned(),
            target: "http://127.0.0.1:9999".to_owned(),
            connections: 14,
            threads: 1,
            rate: Some(RATE as f64),
            duration_s: Some(SECONDS as f64),
            requests: None,
            keepalive: true,
            warmup_s: 2.0,
            timeout_s: 5.0,
            seed,
            scale: None,
        },
        machine: Machine {
            host: "desk".to_owned(),
            kernel: "Linux 6.18.44 x86_64".to_owned(),
            cpu: "Some Processor 9000 with Graphics".to_owned(),
            cpus: 2,
            memory_bytes: 8 << 30,
            load_average: 0.31,
        },
        elapsed_s: SECONDS as f64,
        stopped: false,
        requests: RATE * SECONDS,
        failed: 13,
        rate: 339.86,
        bytes: 3_204_551,
        latency: Distribution::new(&all.latency),
        service: Distribution::new(&all.service),
        kinds: kinds.collect(),
        statuses: BTreeMap::from([(200, 19_120), (422, 1_268), (502, 9)]),
        failures: vec![
            failure(
                FailureKind::WrongStatus,
                9,
                "POST /clientes/3/transacoes {\"valor\":771,\"tipo\":\"d\",\"descricao\":\"ZFJqbwe2pk\"}\n502, not 200 or 422: <html><head><title>502 Bad Gateway</title></head>",
            ),
            failure(
                FailureKind::Reset,
                4,
                "POST /clientes/1/transacoes {\"valor\":12,\"tipo\":\"d\",\"descricao\":\"toma\"}\nConnection reset by peer",
            ),
        ],
        tool: ToolReport {
            late: 1,
            late_max_us: 1_840.0,
            waited: 217,
            unsent: 0,
            dropped: 0,
            busy: 0.041,
        },
        series,
        watched: vec![
            subject("pid 4711 (galo)", 60, 6.1, 0.022),
            subject("pid 4712 (nginx)", 60, 14.6, 0.055),
        ],
        verification: Some(Verification {
            lines: (1..=5)
                .map(|client| VerificationLine {
                    subject: format!("client {client}"),
                    expected: format!("saldo -{}", client * 8_311),
                    found: format!("saldo -{}", client * 8_311),
                    wrong: None,
                })
                .collect(),
        }),
        contest: None,
    }
}

fn subject(name: &str, seconds: u64, mib: f64, cpu: f64) -> Watched {
    let point = |second: u64| {
        let wave = (second as f64 * 0.7).sin();
        let stalled = second == 21;
        WatchedPoint {
            at_s: second as f64,
            resident_bytes: ((mib + wave * 0.05 + second as f64 * 0.004) * 1_048_576.0) as u64,
            cpu: if stalled {
                cpu * 4.0
            } else {
                cpu * (1.0 + 0.1 * wave)
            },
        }
    };
    let points: Vec<_> = (1..=seconds).map(point).collect();
    Watched {
        name: name.to_owned(),
        resident_bytes_max: points
            .iter()
            .map(|point| point.resident_bytes)
            .max()
            .unwrap_or_default(),
        points,
        cpu,
        ended: None,
    }
}

/// An official run of 2025 with a check that failed.
pub fn contest() -> Report {
    let mut report = open_loop(11, 420.0);
    report.settings.run = "rinha-2025".to_owned();
    report.settings.target = "http://localhost:9999".to_owned();
    report.settings.rate = None;
    report.settings.scale = Some(1.0);
    report.settings.connections = 550;
    report.verification = None;
    let check = |what: &str, count, failed| {
        Check {
        what: what.to_owned(),
        count,
        failed,
        examples: (0..failed)
            .map(|_| CheckExample {
                what: "default: the backend has 2,981 payments, the processor 2,983".to_owned(),
                request: "GET /payments-summary?from=2026-03-14T15:09:41.535Z&to=2026-03-14T15:09:55.035Z"
                    .to_owned(),
                reply: "200 {\"default\":{\"totalRequests\":2981,\"totalAmount\":59321.90},\"fallback\":{\"totalRequests\":0,\"totalAmount\":0.00}}"
                    .to_owned(),
            })
            .collect(),
    }
    };
    let term = |what: &str, value, how: &str| Term {
        what: what.to_owned(),
        value,
        how: how.to_owned(),
    };
    report.contest = Some(Contest {
        checks: vec![
            check("every payment is accepted", 16_757, 0),
            check("the backend's summary is the processors'", 6, 1),
            check("no more payments in the summary than were requested", 1, 0),
        ],
        terms: vec![
            term("payments", 333_464.30, "16,757 payments of 19.90"),
            term(
                "fees",
                -16_673.22,
                "5% of default's 333,464.30, 15% of fallback's 0.00",
            ),
            term(
                "p99 bonus",
                63_358.22,
                "20% of 316,791.08: p99 1.00 ms, 2% for each millisecond below 11",
            ),
            term(
                "inconsistency fine",
                -110_876.88,
                "35% of 316,791.08: one inconsistent summary",
            ),
        ],
        score: 269_272.42,
        score_max: Some(380_149.30),
        unit: "USD".to_owned(),
    });
    report
}

/// An hour of seconds, near the limit of what a report holds.
pub fn long() -> Report {
    let mut report = open_loop(3, 900.0);
    let mut random = fastrand::Rng::with_seed(3);
    report.elapsed_s = 3_600.0;
    report.settings.duration_s = Some(3_600.0);
    report.series = (0..3_600)
        .map(|second| {
            let p50_us = 800.0 + 300.0 * random.f64();
            Point {
                at_s: f64::from(second),
                length_s: 1.0,
                replies: 19_000 + random.u64(0..2_000),
                failed: random.u64(0..60) / 58,
                late: 0,
                p50_us,
                p90_us: p50_us * 1.5,
                p99_us: p50_us * (2.0 + 3.0 * random.f64()),
                max_us: p50_us * (6.0 + 60.0 * random.f64()),
            }
        })
        .collect();
    report.watched = vec![subject("container api01", 3_600, 12.0, 0.4)];
    report
}

/// Reports that are hard to draw, by name.
pub fn awkward() -> Vec<(&'static str, Report)> {
    let mut nothing = open_loop(1, 500.0);
    nothing.requests = 0;
    nothing.failed = 0;
    nothing.rate = 0.0;
    nothing.elapsed_s = 0.0;
    nothing.latency = Distribution::default();
    nothing.service = Distribution::default();
    nothing.kinds.clear();
    nothing.statuses.clear();
    nothing.failures.clear();
    nothing.series.clear();
    nothing.watched = vec![Watched {
        points: Vec::new(),
        ended: Some("it ended".to_owned()),
        ..subject("pid 1 (init)", 1, 1.0, 0.0)
    }];

    let mut one = open_loop(1, 500.0);
    let mut latency = histogram();
    latency.record(731_000).expect("within its bounds");
    one.requests = 1;
    one.latency = Distribution::new(&latency);
    one.service = Distribution::new(&latency);
    one.series.truncate(1);
    one.watched
        .iter_mut()
        .for_each(|subject| subject.points.truncate(1));

    let mut constant = open_loop(1, 500.0);
    for point in &mut constant.series {
        *point = Point {
            at_s: point.at_s,
            length_s: 1.0,
            replies: 7,
            p50_us: 100.0,
            p90_us: 100.0,
            p99_us: 100.0,
            max_us: 100.0,
            ..Point::default()
        };
    }

    let mut gaps = open_loop(1, 500.0);
    for point in gaps.series.iter_mut().step_by(3) {
        *point = Point {
            at_s: point.at_s,
            length_s: 1.0,
            failed: 340,
            ..Point::default()
        };
    }

    let mut huge = open_loop(1, 500.0);
    huge.requests = u64::MAX;
    huge.failed = u64::MAX;
    huge.rate = f64::MAX;
    huge.elapsed_s = 1e12;
    huge.latency.count = u64::MAX;
    huge.latency.max_us = f64::MAX;
    huge.series[3].max_us = f64::MAX;
    huge.series[4].replies = u64::MAX;
    huge.series[5].length_s = 0.0;
    huge.tool.late_max_us = f64::INFINITY;
    huge.watched[0].points[2].resident_bytes = u64::MAX;
    huge.watched[0].points[3].cpu = f64::NAN;

    let mut broken = open_loop(1, 500.0);
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        broken.series.push(Point {
            at_s: number,
            length_s: number,
            p50_us: number,
            p90_us: number,
            p99_us: number,
            max_us: number,
            ..Point::default()
        });
    }
    broken.elapsed_s = f64::NAN;
    broken.rate = f64::NAN;
    broken.latency.p99_us = f64::NAN;
    broken.latency.max_us = f64::NAN;
    broken.latency.buckets[0].to_us = f64::INFINITY;
    broken.latency.buckets[1].from_us = f64::NAN;
    broken.service.p99_us = 0.0;

    let mut names = contest();
    names.settings.run = AWKWARD.to_owned();
    names.settings.target = AWKWARD.to_owned();
    names.began_at = AWKWARD.to_owned();
    names.machine.cpu = AWKWARD.to_owned();
    names.kinds[0].kind = AWKWARD.to_owned();
    names.failures[0].example = AWKWARD.to_owned();
    names.watched[0].name = AWKWARD.to_owned();
    if let Some(contest) = &mut names.contest {
        contest.unit = AWKWARD.to_owned();
        contest.checks[1].what = AWKWARD.to_owned();
        contest.checks[1].examples[0].reply = AWKWARD.to_owned();
        contest.terms[0].how = AWKWARD.to_owned();
        contest.terms[1].value = f64::NAN;
        contest.score = f64::INFINITY;
    }

    vec![
        ("nothing", nothing),
        ("one request", one),
        ("constant", constant),
        ("gaps", gaps),
        ("huge", huge),
        ("broken", broken),
        ("names", names),
        ("an hour", long()),
    ]
}
