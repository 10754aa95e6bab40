//! What was found: checks, counts for the score, and the ledger of all transactions.

use super::asked::Asked;
use super::score::IN_TIME;
use super::shown::Shown;
use crate::measure::{Failure, FailureKind, Kind, Sample, Tally};
use crate::report::checks::Checks;
use crate::report::CheckExample;
use crate::traffic::bank::{
    judge_statement, judge_transaction, limit_cents, Posted, Statement, CLIENTS,
};
use crate::traffic::ledger::Ledger;
use crate::traffic::reply::{is_refusal, wrong_status};

/// Of every transaction that was carried out.
pub const BALANCE: &str = "saldo >= -limite, and limite is the client's";

/// Of every statement that was answered.
pub const STATEMENT: &str = "statement: order, length, fields";

/// Of a part of the run; parts are merged.
#[derive(Debug)]
pub struct Findings {
    pub checks: Checks,
    /// Of requests that were made one by one.
    pub tally: Tally,
    /// Of those, answered with a status that they may have, within [`IN_TIME`].
    pub in_time: u64,
    /// Replies whose balance or limit contradicts the rules or what is known.
    pub inconsistent: u64,
    pub ledger: Ledger,
}

impl Findings {
    /// Nothing yet. `key`: of the ledger.
    pub fn new(key: u64) -> Findings {
        Findings {
            checks: Checks::default(),
            tally: Tally::default(),
            in_time: 0,
            inconsistent: 0,
            ledger: Ledger::new(key),
        }
    }

    /// Those of another part, too.
    pub fn merge(&mut self, other: Findings) {
        self.checks.merge(other.checks);
        self.tally.merge(&other.tally);
        self.in_time += other.in_time;
        self.inconsistent += other.inconsistent;
        self.ledger.merge(&other.ledger);
    }

    /// A transaction that must be carried out. `what`: of the check of its status.
    pub fn transaction(&mut self, what: &str, asked: &Asked, change: i64) -> Option<Posted> {
        let judged = asked.reply().and_then(|reply| {
            match judge_transaction(asked.client, asked.kind, reply.status, &reply.body)? {
                Some(posted) => Ok(posted),
                None => Err(wrong_status(reply.status, "200")),
            }
        });
        let failure = judged.as_ref().err();
        let unanswered = failure.filter(|failure| is_of_status(failure));
        self.checks.look(what, asked.outcome(unanswered));
        if unanswered.is_none() {
            self.checks.look(BALANCE, asked.outcome(failure));
            let contradicts = failure.is_some_and(|it| it.kind == FailureKind::WrongContent);
            self.inconsistent += u64::from(contradicts);
        }
        let place = place_of(asked.client);
        let posted = match (&judged, asked.reply()) {
            (Ok(posted), _) => Some(*posted),
            // A wrong balance is one that was answered all the same.
            (Err(_), Ok(reply)) if reply.status == 200 => serde_json::from_slice(&reply.body).ok(),
            (Err(_), _) => None,
        };
        match (posted, asked.status()) {
            (Some(posted), _) => self.ledger.acknowledged(place, change, posted.balance),
            (None, Some(status)) if is_refusal(status) => {}
            (None, _) => self.ledger.unknown(place, change),
        }
        self.count(asked, failure);
        judged.ok()
    }

    /// A statement, of which `expected` is known. `what`: of the check of that; whether the statement is right by itself is
    /// another.
    pub fn statement(&mut self, what: &str, asked: &Asked, expected: &Expected<'_>) {
        let shown = asked.shown();
        let judged = asked
            .reply()
            .and_then(|reply| judge_statement(asked.client, reply.status, &reply.body));
        let contradicts = match &shown {
            Ok(shown) => shown.is_inconsistent(asked.client, expected.total),
            Err(_) => false,
        };
        self.inconsistent += u64::from(contradicts);
        let is_it = match (&shown, &judged) {
            (Err(failure), _) => Err(failure.clone()),
            (Ok(shown), _) if contradicts => Err(expected.contradiction(asked.client, *shown)),
            (_, Err(failure)) if !expected.newest.is_empty() => Err(failure.clone()),
            (_, Ok(statement)) => expected.is_newest(statement),
            (_, Err(_)) => Ok(()),
        };
        self.checks.look(what, asked.outcome(is_it.as_ref().err()));
        if asked.status() == Some(200) {
            let shows_that = |shown: &Shown| shown.is_inconsistent(asked.client, None);
            let by_itself = judged.as_ref().err();
            let by_itself = by_itself.filter(|_| !shown.as_ref().is_ok_and(shows_that));
            self.checks.look(STATEMENT, asked.outcome(by_itself));
        }
        self.count(asked, is_it.as_ref().err().or(judged.as_ref().err()));
    }

    /// A request that must be refused, with one of these. `change`: what it would do to the balance if it were not.
    pub fn refused(&mut self, what: &str, asked: &Asked, statuses: &[u16], change: i64) {
        let judged = asked.reply().and_then(|reply| {
            let right = statuses.iter().map(u16::to_string).collect::<Vec<_>>();
            match statuses.contains(&reply.status) {
                true => Ok(()),
                false => Err(wrong_status(reply.status, &right.join(" or "))),
            }
        });
        let failure = judged.as_ref().err();
        self.checks.look(what, asked.outcome(failure));
        if change != 0 && !asked.status().is_some_and(is_refusal) {
            self.ledger.unknown(place_of(asked.client), change);
        }
        self.count(asked, failure);
    }

    fn count(&mut self, asked: &Asked, failure: Option<&Failure>) {
        let reply = asked.reply().ok();
        let sample = Sample {
            kind: asked.kind,
            latency: asked.latency,
            service: reply.map_or(asked.latency, |reply| reply.service),
            status: asked.status(),
            bytes: reply.map_or(0, |reply| reply.bytes),
            // The measured time is that of the ramps.
            in_time: false,
        };
        match failure {
            None => self.tally.succeeded(&sample),
            Some(failure) => {
                let example = || {
                    let CheckExample {
                        what,
                        request,
                        reply,
                    } = asked.example(failure);
                    format!("{what}: {request}: {reply}")
                };
                self.tally.failed(&sample, failure.kind, example);
            }
        }
        let expected = !failure.is_some_and(is_of_status);
        self.in_time += u64::from(expected && asked.latency < IN_TIME);
    }
}

/// What is known of a statement beforehand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// Its balance, in cents.
    pub total: Option<i64>,
    /// Its newest transactions, each of 1.
    pub newest: &'a [(Kind, &'static str)],
    /// Why its balance may be another one.
    pub hint: &'static str,
}

impl Expected<'_> {
    fn contradiction(&self, client: u32, shown: Shown) -> Failure {
        let limit = limit_cents(client).expect("one of the contest's clients");
        let what = if shown.limit != limit {
            format!(
                "limite {} is not that of client {client} ({limit})",
                shown.limit
            )
        } else {
            let total = self.total.map_or_else(
                || format!("at least {}", -limit),
                |total| format!("{total}{}", self.hint),
            );
            format!("total is {}, not {total}", shown.balance)
        };
        Failure::new(FailureKind::WrongContent, what)
    }

    fn is_newest(&self, statement: &Statement<'_>) -> Result<(), Failure> {
        for (number, (kind, description)) in self.newest.iter().enumerate() {
            let found = statement.transactions.get(number);
            let is_it = found.is_some_and(|found| {
                (found.kind, found.amount, &*found.description) == (*kind, 1, *description)
            });
            if !is_it {
                let what =
                    format!("ultimas_transacoes[{number}] is not the {kind} of 1, {description}");
                return Err(Failure::new(FailureKind::WrongContent, what));
            }
        }
        Ok(())
    }
}

/// There is no reply, or one whose status says that this is not it.
pub fn is_of_status(failure: &Failure) -> bool {
    !matches!(
        failure.kind,
        FailureKind::WrongJson | FailureKind::WrongContent
    )
}

/// Among [`CLIENTS`], as the ledger has them.
fn place_of(client: u32) -> usize {
    let place = CLIENTS.iter().position(|(number, _)| *number == client);
    place.expect("one of the contest's clients")
}
