//! One request of the fixed sequence, and what became of it.

use std::time::{Duration, Instant};

use super::shown::Shown;
use super::TIMEOUT;
use crate::exchange::{exchange, Reply};
use crate::measure::{Failure, Kind};
use crate::report::CheckExample;
use crate::target::Target;
use crate::traffic::bank::{statement_request, transaction_request};
use crate::traffic::reply::wrong_status;

/// On a connection of its own.
#[derive(Debug)]
pub struct Asked {
    pub client: u32,
    pub kind: Kind,
    request: Vec<u8>,
    outcome: Result<Reply, Failure>,
    /// From before the connection was made to the end, whatever it was.
    pub latency: Duration,
}

impl Asked {
    /// A transaction of 1. `kind`: [`Kind::Debit`] or [`Kind::Credit`].
    pub fn transaction(target: &Target, client: u32, kind: Kind, description: &str) -> Asked {
        let mut request = Vec::new();
        transaction_request(target, &mut request, client, kind, 1, description);
        Asked::of(target, client, kind, request)
    }

    /// A statement.
    pub fn statement(target: &Target, client: u32) -> Asked {
        Asked::statement_as(target, client, Kind::Statement)
    }

    /// A statement of nobody.
    pub fn statement_of_nobody(target: &Target, client: u32) -> Asked {
        Asked::statement_as(target, client, Kind::Check)
    }

    fn statement_as(target: &Target, client: u32, kind: Kind) -> Asked {
        let mut request = Vec::new();
        statement_request(target, &mut request, client);
        Asked::of(target, client, kind, request)
    }

    /// A body that is no transaction.
    pub fn bad_transaction(target: &Target, client: u32, body: &str) -> Asked {
        let path = format!("/clientes/{client}/transacoes");
        let request = target.request("POST", &path, body.as_bytes());
        Asked::of(target, client, Kind::Check, request)
    }

    fn of(target: &Target, client: u32, kind: Kind, request: Vec<u8>) -> Asked {
        let began = Instant::now();
        let outcome = exchange(target, &request, TIMEOUT);
        let latency = match &outcome {
            Ok(reply) => reply.latency,
            Err(_) => began.elapsed(),
        };
        Asked {
            client,
            kind,
            request,
            outcome,
            latency,
        }
    }

    /// The reply, or why there is none.
    pub fn reply(&self) -> Result<&Reply, Failure> {
        self.outcome.as_ref().map_err(Failure::clone)
    }

    /// Of the reply, if there is one.
    pub fn status(&self) -> Option<u16> {
        self.outcome.as_ref().ok().map(|reply| reply.status)
    }

    /// What a statement shows of the account, whatever is wrong with the rest of it.
    ///
    /// # Errors
    /// There is none.
    pub fn shown(&self) -> Result<Shown, Failure> {
        let reply = self.reply()?;
        match reply.status {
            200 => Shown::read(&reply.body),
            status => Err(wrong_status(status, "200")),
        }
    }

    /// As a check has it.
    pub fn outcome(&self, failure: Option<&Failure>) -> Result<(), CheckExample> {
        failure.map_or(Ok(()), |failure| Err(self.example(failure)))
    }

    /// What is wrong, with request and reply.
    pub fn example(&self, failure: &Failure) -> CheckExample {
        match &self.outcome {
            Ok(reply) => {
                CheckExample::replied(&*failure.what, &self.request, reply.status, &reply.body)
            }
            Err(failure) => CheckExample::lost(&self.request, failure),
        }
    }
}
