use super::super::example::{full_report, report};
use super::super::{Distribution, Machine};
use super::*;
use layout::WIDTH;

fn assert_part(text: &str, part: &str) {
    assert!(text.contains(part), "{part}\nis not in\n{text}");
}

#[test]
fn a_plain_run_reads_like_those_of_other_testers() {
    let text = summary(&report(), None);
    for part in [
        "galo-load 0.1.0: bank, http://127.0.0.1:9999, 2026-01-02T03:04:05.678Z
  14 connections, 1 thread, 340/s due, 60.0 s, after 2.00 s of warm-up, time-out 5.00 s, seed 7
  desk, Linux 6.18.44 x86_64, 2 CPUs (A Processor), 16.0 GiB, load 0.520

Requests  20,400 in 60.0 s, 4 failed (0.0196%)
Replies   20,399, 339.98/s
Received  5.00 MiB, 85.3 KiB/s

Latency   from when due  service time
  mean          4.00 ms       2.00 ms
",
        "
  p99           7.92 ms       3.96 ms
  p99.9         8.00 ms       4.00 ms
  p99.99        8.00 ms       4.00 ms
  max           8.00 ms       4.00 ms

By kind      requests  failed     mean      p50      p90      p99    p99.9      max
  debit        13,200       3  4.00 ms  4.00 ms  7.20 ms  7.92 ms  8.00 ms  8.00 ms
  statement     7,200       1  1.00 ms  1.00 ms  1.80 ms  1.98 ms  2.00 ms  2.00 ms

Latency, distribution
    7.94 µs to   12.6 µs  0.100%  ■
",
        "
    5.01 ms to   7.94 ms   36.6%  ■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■
    7.94 ms to   12.6 ms  0.800%  ■■

Statuses
  200  20,000  98.0%
  422     399  1.96%

Failures, 4
  3 connection reset, for example
      GET /clientes/1/extrato
      connection reset
  1 wrong content, for example
      saldo -1001 is below the limit of 1000

The tool itself
  busy    12.5%  of its busiest thread's time
  late        0  begun more than 1 ms late by its own fault
  waited     12  begun more than 1 ms late: no connection was free
",
    ] {
        assert_part(&text, part);
    }
    for part in [
        "Compared",
        "Watched",
        "Verification",
        "Checks",
        "Score",
        "unsent",
        "Warning",
    ] {
        assert!(!text.contains(part), "{part} is in\n{text}");
    }
}

#[test]
fn what_was_watched_verified_and_checked_follows() {
    let mut report = full_report();
    report.watched[0].ended = Some("it ended after 2.0 s".to_owned());
    let check = &mut report.contest.as_mut().unwrap().checks[0];
    check.failed = 1_001;
    assert_part(
        &summary(&report, None),
        "
Watched         memory max         CPU
  pid 7 (galo)    18.0 MiB  0.250 CPUs  it ended after 2.0 s

Verification: 1 of 2 WRONG
  client 1: saldo -119
  client 2: WRONG: one centavo too much
      expected: saldo -120
      found:    saldo -119

Checks: 1 of 2 FAILED
  looked at  failed  what must be so
     61,503   1,001  saldo is not below the limit
     61,503       0  the statement has ten transactions

FAILED: saldo is not below the limit
  saldo is -1001, limit 1000
    request: POST /clientes/1/transacoes {\"valor\":1}
    reply:   200 {\"limite\":1000,\"saldo\":-1001}
  and 1,000 more

Score
  at the beginning  100,000.00  by the rules
  wrong saldo          -803.01  1 × 803.01
  score              99,196.99  USD of 100,000.00
",
    );
}

#[test]
fn a_former_run_stands_beside() {
    let (this, mut former) = (full_report(), full_report());
    former.rate = 300.0;
    former.latency.p99_us *= 1.2;
    former.machine.cpus = 4;
    former.kinds[0].latency.max_us /= 2.0;
    former.kinds.remove(1);
    let text = summary(&this, Some(&former));
    for part in [
        "
Compared with the run of 2026-01-02T03:04:05.678Z
  not alike: CPUs: 2; formerly 4
                this run      former  change
  rps           339.98/s    300.00/s  +13.3%
  score        99,196.99   99,196.99      0%
  errors               4           4      0%
",
        "
  rss           18.0 MiB    18.0 MiB      0%
  cpu         0.250 CPUs  0.250 CPUs      0%

Latency   from when due   former  change  service time   former  change
  mean          4.00 ms  4.00 ms      0%       2.00 ms  2.00 ms      0%
  stdev         2.31 ms                        1.15 ms
",
        "
  p99           7.92 ms  9.51 ms  -16.7%       3.96 ms  3.96 ms      0%
",
        "
  debit        13,200       3  4.00 ms  4.00 ms  7.20 ms  7.92 ms  8.00 ms  8.00 ms
    former                     4.00 ms  4.00 ms  7.20 ms  7.92 ms  8.00 ms  4.00 ms
    change                          0%       0%       0%       0%       0%    +100%
  statement     7,200       1  1.00 ms  1.00 ms  1.80 ms  1.98 ms  2.00 ms  2.00 ms

",
    ] {
        assert_part(&text, part);
    }
}

#[test]
fn a_tool_at_its_limit_says_so() {
    let mut busy = report();
    busy.tool.busy = 0.97;
    let text = summary(&busy, None);
    assert_part(&text, "Warning: one of its threads had no time left");
    let mut late = report();
    late.tool.late = 2;
    late.tool.late_max_us = 7_214.0;
    late.tool.unsent = 1;
    late.requests = 100_000;
    let text = summary(&late, None);
    assert!(!text.contains("Warning"), "{text}");
    late.requests = 1_000;
    let text = summary(&late, None);
    assert_part(&text, "Warning: requests were begun late");
    assert_part(
        &text,
        "late        2  begun more than 1 ms late by its own fault, by up to 7.21 ms\n",
    );
    assert_part(
        &text,
        "unsent      1  due, and not sent by the end of the run\n",
    );
    // What is missing is worse than what is late.
    late.tool.unsent = 2;
    let text = summary(&late, None);
    assert_part(&text, "Warning: requests that were due were never sent");
}

#[test]
fn a_run_that_was_stopped_says_so_and_what_it_dropped() {
    let mut report = report();
    report.stopped = true;
    report.tool.dropped = 14;
    let text = summary(&report, None);
    assert_part(&text, ", stopped before its end\n");
    assert_part(&text, "dropped     14  under way when the run was stopped");
}

#[test]
fn in_closed_loop_nothing_is_due() {
    let mut report = report();
    report.settings.rate = None;
    report.settings.keepalive = false;
    report.settings.duration_s = None;
    report.settings.requests = Some(100_000);
    let text = summary(&report, None);
    assert_part(&text, "Latency   with connecting  service time\n");
    assert_part(
        &text,
        "1 thread, 100,000 requests, after 2.00 s of warm-up, a connection per request",
    );
    assert!(!text.contains("due,"), "{text}");
}

#[test]
fn a_run_without_a_reply_has_no_times() {
    let mut report = report();
    (report.latency, report.service) = (Distribution::default(), Distribution::default());
    report
        .kinds
        .iter_mut()
        .for_each(|kind| kind.latency = Distribution::default());
    (report.requests, report.failed, report.rate, report.bytes) = (20, 20, 0.0, 0);
    report.statuses.clear();
    report.machine = Machine::default();
    let text = summary(&report, Some(&full_report()));
    for part in ["Latency", "Statuses", "NaN", "inf"] {
        assert!(!text.contains(part), "{part} is in\n{text}");
    }
    assert_part(
        &text,
        "20 in 60.0 s, 20 failed (100%)\nReplies   0, 0/s\nReceived  0 B, 0 B/s\n",
    );
    assert_part(
        &text,
        "  debit        13,200       3     –    –    –    –      –    –\n",
    );
}

#[test]
fn lines_are_no_longer_than_a_page() {
    let mut report = full_report();
    report.failures[0].example = "x".repeat(1_024);
    report.settings.keepalive = false;
    report.machine.cpu = "An Uncommonly Long Name of a Processor @ 2.00GHz".to_owned();
    let contest = report.contest.as_mut().unwrap();
    contest.checks[0].examples[0].reply = "{\"a\":1},".repeat(400);
    let base = full_report();
    let text = summary(&report, Some(&base));
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
        assert_eq!(line, line.trim_end());
    }
}
