//! The ramps: debits, credits and statements at rates that grow and then stay.

use std::time::{Duration, Instant};

use super::findings::{is_of_status, BALANCE, STATEMENT};
use super::score::IN_TIME;
use super::shown::Shown;
use crate::engine::{Arrivals, Segment, Traffic};
use crate::measure::{Failure, FailureKind, Kind};
use crate::report::checks::Checks;
use crate::report::CheckExample;
use crate::traffic::bank::{Bank, Ticket};
use crate::traffic::ledger::Ledger;

/// Of the ramp, and of the time at its end's rate.
const LENGTH: Duration = Duration::from_secs(120);
/// Requests a second at the beginning of each ramp.
const RATE_MIN: f64 = 1.0;
/// Requests a second at its end, in the order of [`Bank::by_stream`]'s streams: debits, credits, statements.
const RATES: [f64; 3] = [220.0, 110.0, 10.0];

/// Both parts together.
pub fn length(scale: f64) -> Duration {
    2 * LENGTH.mul_f64(scale)
}

/// When they are due.
pub fn arrivals(scale: f64) -> Arrivals {
    Arrivals::streams(RATES.map(|rate| segments(rate, scale).to_vec()).to_vec())
}

/// How many there will be.
pub fn requests(scale: f64) -> u64 {
    let of_rate = |rate| -> f64 {
        let segments = segments(rate, scale).into_iter();
        segments
            .map(|part| (part.from + part.to) / 2.0 * part.length.as_secs_f64())
            .sum()
    };
    RATES
        .into_iter()
        .map(|rate| of_rate(rate).round() as u64)
        .sum()
}

fn segments(rate: f64, scale: f64) -> [Segment; 2] {
    [RATE_MIN, rate].map(|from| Segment {
        from,
        to: rate,
        length: LENGTH.mul_f64(scale),
    })
}

/// The bank's traffic, and what is found in it.
pub struct Ramps {
    bank: Bank,
    /// By their numbers, requests that are under way, and others whose place is free.
    requests: Vec<Request>,
    free: Vec<usize>,
    found: Found,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub checks: Checks,
    /// Replies whose balance or limit contradicts the rules.
    pub inconsistent: u64,
    /// Replies of a wrong status that came within [`IN_TIME`]: the histograms of latency have them, too.
    pub wrong_in_time: u64,
}

struct Request {
    bytes: Vec<u8>,
    began: Instant,
}

/// The bank's own, and where the request is kept meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    ticket: Ticket,
    kind: Kind,
    request: usize,
}

impl Ramps {
    /// `bank`: by stream, and with a ledger.
    pub fn new(bank: Bank) -> Ramps {
        Ramps {
            bank,
            requests: Vec::new(),
            free: Vec::new(),
            found: Found::default(),
        }
    }

    /// What was found, and the ledger.
    pub fn finish(self) -> (Found, Option<Ledger>) {
        (self.found, self.bank.into_ledger())
    }
}

impl Traffic for Ramps {
    type Ticket = Place;

    fn next(&mut self, stream: usize, out: &mut Vec<u8>) -> (Kind, Place) {
        let start = out.len();
        let (kind, ticket) = self.bank.next(stream, out);
        let request = self.free.pop().unwrap_or_else(|| {
            self.requests.push(Request {
                bytes: Vec::new(),
                began: Instant::now(),
            });
            self.requests.len() - 1
        });
        let kept = &mut self.requests[request];
        kept.began = Instant::now();
        kept.bytes.clear();
        kept.bytes.extend_from_slice(&out[start..]);
        let place = Place {
            ticket,
            kind,
            request,
        };
        (kind, place)
    }

    fn judge(&mut self, place: Place, status: u16, body: &[u8]) -> Result<(), Failure> {
        let judged = self.bank.judge(place.ticket, status, body);
        let request = &self.requests[place.request];
        self.free.push(place.request);
        let outcome = |failure: Option<&Failure>| match failure {
            None => Ok(()),
            Some(failure) => Err(CheckExample::replied(
                &*failure.what,
                &request.bytes,
                status,
                body,
            )),
        };
        let failure = judged.as_ref().err();
        let checks = &mut self.found.checks;
        let wrong_status = failure.filter(|failure| is_of_status(failure));
        checks.look(status_check(place.kind), outcome(wrong_status));
        if wrong_status.is_some() {
            let in_time = request.began.elapsed() < IN_TIME;
            self.found.wrong_in_time += u64::from(in_time);
        } else if place.kind == Kind::Statement {
            let client = place.ticket.client();
            let contradicts = failure.is_some()
                && Shown::read(body).is_ok_and(|shown| shown.is_inconsistent(client, None));
            let (balance, list) = match contradicts {
                true => (failure, None),
                false => (None, failure),
            };
            checks.look(BALANCE, outcome(balance));
            checks.look(STATEMENT, outcome(list));
            self.found.inconsistent += u64::from(contradicts);
        } else if status == 200 {
            checks.look(BALANCE, outcome(failure));
            let contradicts = failure.is_some_and(|it| it.kind == FailureKind::WrongContent);
            self.found.inconsistent += u64::from(contradicts);
        }
        judged
    }

    fn lost(&mut self, place: Place, sent: bool) {
        let request = &self.requests[place.request];
        self.free.push(place.request);
        // The engine counts why, by kind; it does not say it here.
        let what = match sent {
            true => "no reply: see the failures by kind",
            false => "never sent: see the failures by kind",
        };
        let example = CheckExample::unanswered(what, &request.bytes);
        let check = status_check(place.kind);
        self.found.checks.look(check, Err(example));
        self.bank.lost(place.ticket, sent);
    }
}

fn status_check(kind: Kind) -> &'static str {
    match kind {
        Kind::Debit => "debit: 200 or 422",
        Kind::Credit => "credit: 200",
        _ => "extrato: 200",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest2024::sequence;

    fn ramps() -> Ramps {
        let target = "127.0.0.1:1".parse().unwrap();
        Ramps::new(Bank::by_stream(&target, 7).verified(7))
    }

    #[test]
    fn as_many_requests_as_the_contest_has() {
        assert_eq!(requests(1.0), 39_660 + 19_860 + 1_860);
        assert_eq!(sequence::REQUESTS as u64 + requests(1.0), 61_503);
        assert_eq!(length(1.0), Duration::from_secs(240));
        let mut due = [0; 3];
        let arrivals = arrivals(1.0);
        for (_, stream) in arrivals {
            due[stream] += 1;
        }
        assert_eq!(due, [39_660, 19_860, 1_860]);
        // Shorter, not slower.
        assert_eq!(length(0.1), Duration::from_secs(24));
        assert_eq!(requests(0.1), 3_966 + 1_986 + 186);
    }

    #[test]
    fn a_reply_is_checked_for_its_status_and_its_balance() {
        let mut ramps = ramps();
        let mut out = b"something before it".to_vec();
        let (kind, debit) = ramps.next(0, &mut out);
        let limit = crate::traffic::bank::limit_cents(debit.ticket.client()).unwrap();
        assert_eq!(kind, Kind::Debit);
        let beyond = format!(r#"{{"limite":{limit},"saldo":{}}}"#, -limit - 1);
        assert!(ramps.judge(debit, 200, beyond.as_bytes()).is_err());
        let (_, refused) = ramps.next(0, &mut out);
        assert!(ramps.judge(refused, 422, b"").is_ok());
        let (_, credit) = ramps.next(1, &mut out);
        assert!(ramps.judge(credit, 422, b"no").is_err());
        let (_, lost) = ramps.next(2, &mut out);
        ramps.lost(lost, true);
        // One place did for all of them.
        assert_eq!(ramps.requests.len(), 1);
        let (found, _) = ramps.finish();
        assert_eq!((found.inconsistent, found.wrong_in_time), (1, 1));
        let checks: Vec<_> = found
            .checks
            .iter()
            .map(|check| (&*check.what, check.count, check.failed))
            .collect();
        assert_eq!(
            checks,
            [
                ("debit: 200 or 422", 2, 0),
                (BALANCE, 1, 1),
                ("credit: 200", 1, 1),
                ("extrato: 200", 1, 1)
            ]
        );
        let examples: Vec<_> = found
            .checks
            .iter()
            .flat_map(|check| &check.examples)
            .collect();
        assert!(examples[0].request.starts_with("POST /clientes/"));
        assert!(examples[0].reply.starts_with("200 {\"limite\""));
        assert_eq!(examples[1].reply, "422 no");
        assert!(examples[2].request.ends_with("/extrato"));
        assert_eq!(examples[2].reply, "none");
    }

    #[test]
    fn a_statement_out_of_order_is_no_inconsistent_balance() {
        let mut ramps = ramps();
        let entry = |second| {
            format!(
                r#"{{"valor":1,"tipo":"c","descricao":"a","realizada_em":"2024-01-17T02:34:{second}Z"}}"#
            )
        };
        let mut judge = |total: i64| {
            let (_, statement) = ramps.next(2, &mut Vec::new());
            let limit = crate::traffic::bank::limit_cents(statement.ticket.client()).unwrap();
            let body = format!(
                r#"{{"saldo":{{"total":{total},"data_extrato":"2024-01-17T03:00:00Z","limite":{limit}}},"ultimas_transacoes":[{},{}]}}"#,
                entry(10),
                entry(20)
            );
            assert!(ramps.judge(statement, 200, body.as_bytes()).is_err());
            ramps.found.inconsistent
        };
        assert_eq!(judge(0), 0);
        assert_eq!(judge(-100_000_000), 1);
    }
}
