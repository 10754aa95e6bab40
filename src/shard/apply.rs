//! Applies a command to a shard, unless the dedup table has its outcome.

use super::payments::Unreadable;
use super::{Accepted, DedupResult, Shard};
use crate::bank::{Description, Kind};
use crate::command::{Command, Ids, Outcome, Statement};
use crate::payments::{Payment, PaymentId};

/// The result of a command, and whether it is final.
#[derive(Clone, Copy, Debug)]
pub struct Applied<'a> {
    /// The result of the command; that of the first time, if it is repeated.
    pub outcome: Outcome<'a>,
    /// Nothing was done: it is the first outcome again.
    pub repeated: bool,
    /// It is in the journal, and cannot be taken back.
    pub is_written: bool,
}

impl<'a> From<Outcome<'a>> for Applied<'a> {
    fn from(outcome: Outcome<'a>) -> Applied<'a> {
        Applied {
            outcome,
            repeated: false,
            is_written: false,
        }
    }
}

impl Shard {
    /// Carries a command out, unless it is known that it was carried out before: then its outcome is the first one
    /// again. `time_us`: the shard's time ([`Shard::tell_time`]). Only while [`accepts`](Self::accepts).
    pub fn apply(&mut self, command: &Command, ids: &Ids, time_us: u64) -> Applied<'_> {
        match *command {
            Command::Transact {
                client,
                kind,
                amount,
                ref description,
            } => self.apply_transaction(client, kind, amount, description.get(), ids, time_us),
            Command::Statement { client } => match self.find(client) {
                Some(index) => {
                    let moment_us = self.moment_us(self.time_us(time_us));
                    Outcome::Statement(Statement::of(self.account(index), moment_us)).into()
                }
                None => Outcome::NoSuchClient.into(),
            },
            Command::Pay { id, cents } => self.apply_payment(id, cents, time_us),
            Command::Show { id } => match self.payments().find(id) {
                Ok(Some(payment)) => {
                    let accepted_us = self.moment_us(payment.accepted_us);
                    Outcome::Payment(Payment {
                        accepted_us,
                        ..payment
                    })
                    .into()
                }
                Ok(None) => Outcome::NoSuchPayment.into(),
                Err(Unreadable) => Outcome::Unreadable.into(),
            },
        }
    }

    fn apply_transaction(
        &mut self,
        client: u32,
        kind: Kind,
        amount: i64,
        description: Description<'_>,
        ids: &Ids,
        time_us: u64,
    ) -> Applied<'_> {
        let Some(index) = self.find(client) else {
            return Outcome::NoSuchClient.into();
        };
        let (result, repeated) =
            match self.recognise(index, kind, amount, description, time_us, ids) {
                DedupResult::New => {
                    let result = self.transact(index, kind, amount, description, time_us, ids);
                    (result, false)
                }
                DedupResult::Repeated(result) => (result, true),
                DedupResult::OtherRequest => return Outcome::KeyReused.into(),
            };
        Applied {
            outcome: match result {
                Ok(posted) => Outcome::Posted(posted),
                Err(refusal) => Outcome::Refused(refusal),
            },
            repeated,
            is_written: repeated && self.is_settled(time_us, ids),
        }
    }

    fn apply_payment(&mut self, id: PaymentId, cents: u64, time_us: u64) -> Applied<'_> {
        let outcome = match self.pay(id, cents, time_us) {
            Accepted::New => Outcome::Accepted,
            Accepted::Repeated => {
                return Applied {
                    outcome: Outcome::Accepted,
                    repeated: true,
                    is_written: self.payments().is_written(id),
                }
            }
            Accepted::OtherAmount => Outcome::OtherAmount,
            Accepted::Full => Outcome::QueueFull,
            Accepted::Unreadable => Outcome::Unreadable,
        };
        outcome.into()
    }
}
