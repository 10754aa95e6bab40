//! What can go wrong with a request: it is counted by its kind, with an example, and the run goes on.

use std::time::Duration;

use galo_load::measure::FailureKind;

use crate::server::{Bad, Fault, Server};
use crate::support::bank::Faults;
use crate::support::run::{Done, Run};

/// Of a run.
const REQUESTS: u64 = 400;
/// Each n-th request meets the fault.
const EVERY: u64 = 20;

fn server(every: u64, fault: Fault) -> Server {
    Server::start(Bad {
        fault: Some((every, fault)),
        ..Bad::default()
    })
}

fn run(server: &Server, more: &str) -> Done {
    let arguments = format!("-c 4 -n {REQUESTS} {more}");
    Run::new(&server.url(), &arguments).done()
}

/// As many failures of this kind as the server made, an example of it, and no other failure.
#[track_caller]
fn expect(fault: Fault, more: &str, kind: FailureKind, status: i32) {
    let server = server(EVERY, fault);
    let done = run(&server, more).expect_status(status);
    let failure = done.only_failure();
    assert_eq!(failure.kind, kind, "{}", done.text());
    let made = server.seen(|seen| seen.faults);
    assert_eq!((failure.count, made), (REQUESTS / EVERY, REQUESTS / EVERY));
    assert!(failure.example.contains("/clientes/"), "{failure:?}");
    assert!(done.stdout.contains(kind.name()), "{}", done.text());
    // The rest went on.
    let report = done.report();
    assert_eq!(report.requests, REQUESTS);
    let answered: u64 = report.statuses.values().sum();
    let has_status = matches!(kind, FailureKind::WrongStatus | FailureKind::WrongJson);
    let unanswered = if has_status { 0 } else { made };
    assert_eq!(answered, REQUESTS - unanswered, "{}", done.text());
    assert_eq!(
        report.statuses.get(&500).copied().unwrap_or(0),
        match kind {
            FailureKind::WrongStatus => made,
            _ => 0,
        }
    );
}

#[test]
fn a_reset_before_the_reply() {
    expect(Fault::Reset { applied: true }, "", FailureKind::Reset, 0);
}

#[test]
fn a_reset_before_anything_is_done() {
    expect(Fault::Reset { applied: false }, "", FailureKind::Reset, 0);
}

#[test]
fn a_reset_within_the_reply() {
    expect(Fault::ResetWithin, "", FailureKind::HalfReply, 0);
}

#[test]
fn an_end_before_the_reply() {
    expect(Fault::Close, "", FailureKind::Closed, 0);
}

#[test]
fn an_end_within_the_reply() {
    expect(Fault::Half, "", FailureKind::HalfReply, 0);
}

#[test]
fn garbage() {
    expect(Fault::Garbage, "", FailureKind::NotHttp, 1);
}

#[test]
fn another_protocol() {
    expect(Fault::OtherProtocol, "", FailureKind::NotHttp, 1);
}

#[test]
fn two_replies_at_once() {
    expect(Fault::Twice, "", FailureKind::NotHttp, 1);
}

#[test]
fn json_of_another_type() {
    expect(Fault::WrongType, "", FailureKind::WrongJson, 1);
}

#[test]
fn an_internal_error() {
    expect(Fault::InternalError, "", FailureKind::WrongStatus, 1);
}

#[test]
fn a_reply_that_never_comes() {
    expect(Fault::Silence, "--timeout 300ms", FailureKind::TimeOut, 0);
}

#[test]
fn a_reply_that_comes_too_late() {
    // The late reply comes on a connection that has been given up: it is none to a later request.
    let late = Fault::Delay(Duration::from_millis(600));
    expect(late, "--timeout 300ms", FailureKind::TimeOut, 0);
}

#[test]
fn time_outs_are_in_the_latencies() {
    let server = server(EVERY, Fault::Silence);
    let done = run(&server, "--timeout 300ms").expect_status(0);
    let report = done.report();
    assert_eq!(report.latency.count, REQUESTS);
    // 5% of all.
    assert!(report.latency.p99_us >= 299_000.0, "{}", done.text());
}

#[test]
fn byte_by_byte_and_in_chunks_are_no_faults() {
    // On a busy machine each byte can wait for its turn.
    for (every, fault) in [(10, Fault::Drip), (2, Fault::Chunked)] {
        let server = server(every, fault);
        let done = run(&server, "--timeout 60s");
        let report = done.report();
        assert_eq!(
            (report.requests, report.failed),
            (REQUESTS, 0),
            "{fault:?}: {}",
            done.text()
        );
        assert!(
            report.statuses[&200] >= REQUESTS / 3,
            "{:?}",
            report.statuses
        );
    }
}

#[test]
fn more_than_the_reply_afterwards() {
    let server = server(10, Fault::Afterwards);
    let done = Run::new(&server.url(), "-c 1 -r 20 -n 40").done();
    let done = done.expect_status(1);
    // The next request's reply, if that was sent already, or nobody's.
    assert!(done.failed(FailureKind::NotHttp) >= 1 || done.failed(FailureKind::WrongJson) >= 1);
}

#[test]
fn connections_that_end_unannounced_between_requests() {
    let server = Server::start(Bad {
        replies_per_connection: Some(4),
        ..Bad::default()
    });
    // Nothing is asked for 50 ms after each reply: time to notice, but on a machine that is very busy.
    let done = Run::new(&server.url(), "-c 1 -r 20 -n 40").done();
    let report = done.expect_status(0).report();
    assert_eq!(report.requests, 40);
    assert!(report.failed <= 5, "{:?}", report.failures);
    // Where the next request is on its way already, that one fails, and the one after it goes on.
    let report = run(&server, "").expect_status(0).report();
    assert_eq!(report.requests, REQUESTS);
    for failure in &report.failures {
        let kinds = [FailureKind::Closed, FailureKind::Reset];
        assert!(kinds.contains(&failure.kind), "{failure:?}");
    }
    assert!(report.statuses.values().sum::<u64>() >= REQUESTS / 2);
}

#[test]
fn a_server_that_goes_away_in_the_middle() {
    let server = Server::start(Bad::default());
    let running = Run::new(&server.url(), "-c 2 -d 2s --no-keepalive")
        .start()
        .until(|| server.seen(|seen| seen.requests.len()) > 50);
    drop(server);
    let done = running.done().expect_status(0);
    let failure = &done.report().failures[0];
    assert_eq!(failure.kind, FailureKind::Refused, "{}", done.text());
    assert!(failure.count >= 1);
    assert!(done.report().elapsed_s >= 1.9, "{}", done.text());
}

/// Of the bank: content, not form.
#[track_caller]
fn expect_wrong_content(bank: Faults, kind: &str, words: &str) {
    let server = Server::start(Bad {
        bank,
        ..Bad::default()
    });
    let done = run(&server, "").expect_status(1);
    let failure = done.only_failure();
    assert_eq!(failure.kind, FailureKind::WrongContent, "{}", done.text());
    assert!(failure.example.contains(words), "{failure:?}");
    let report = done.report();
    for of_kind in &report.kinds {
        let is_it = kind.split(' ').any(|kind| kind == of_kind.kind);
        assert_eq!(of_kind.failed > 0, is_it, "{of_kind:?}");
    }
    assert_eq!(report.requests, REQUESTS);
}

#[test]
fn a_balance_beyond_the_limit() {
    let bank = Faults {
        wrong_balance_every: Some(7),
        ..Faults::default()
    };
    expect_wrong_content(bank, "debit credit", "below -limite");
}

#[test]
fn a_statement_out_of_order() {
    let bank = Faults {
        statement_reversed: true,
        ..Faults::default()
    };
    expect_wrong_content(bank, "statement", "the newest comes first");
}

#[test]
fn a_statement_of_eleven() {
    let bank = Faults {
        statement_too_long: true,
        ..Faults::default()
    };
    expect_wrong_content(bank, "statement", "11 ultimas_transacoes");
}

#[test]
fn a_statement_of_another_limit() {
    let bank = Faults {
        statement_wrong_limit: true,
        ..Faults::default()
    };
    expect_wrong_content(bank, "statement", "is not that of client");
}

#[test]
fn a_statement_beyond_the_limit() {
    let bank = Faults {
        statement_beyond_limit: true,
        ..Faults::default()
    };
    expect_wrong_content(bank, "statement", "below -limite");
}
