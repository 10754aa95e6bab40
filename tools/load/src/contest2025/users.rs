//! Users who pay, and what they are told.

use galo::payments::PaymentId;

use crate::engine::Traffic;
use crate::measure::{Failure, Kind};
use crate::report::checks::Checks;
use crate::report::CheckExample;
use crate::target::Target;
use crate::traffic::payments::{payment_request, Accepted, Payments, AMOUNT_CENTS};

const ACCEPTED: &str = "payment: 2xx";

/// What became of payments, as users know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// All of them.
    pub requested: u64,
    /// Accepted.
    pub acknowledged: u64,
    /// Accepted or not: there is no reply, or one that does not tell.
    pub unknown: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Users {
    target: Target,
    payments: Payments,
    requested: u64,
    pub checks: Checks,
}

impl Users {
    /// `seed`: of the payments' ids.
    pub fn new(target: &Target, seed: u64) -> Users {
        Users {
            target: target.clone(),
            payments: Payments::new(target, seed),
            requested: 0,
            checks: Checks::default(),
        }
    }

    /// What became of all payments so far.
    pub fn fates(&self) -> Fates {
        let Accepted {
            acknowledged,
            unknown,
        } = self.payments.accepted();
        Fates {
            requested: self.requested,
            acknowledged,
            unknown,
        }
    }

    fn request(&self, id: PaymentId) -> Vec<u8> {
        let mut request = Vec::new();
        payment_request(&self.target, &mut request, id, AMOUNT_CENTS);
        request
    }
}

impl Traffic for Users {
    type Ticket = PaymentId;

    fn next(&mut self, stream: usize, out: &mut Vec<u8>) -> (Kind, PaymentId) {
        self.requested += 1;
        self.payments.next(stream, out)
    }

    fn judge(&mut self, id: PaymentId, status: u16, body: &[u8]) -> Result<(), Failure> {
        let judged = self.payments.judge(id, status, body);
        let outcome = match &judged {
            Ok(()) => Ok(()),
            Err(Failure { what, .. }) => {
                let request = self.request(id);
                Err(CheckExample::replied(what, &request, status, body))
            }
        };
        self.checks.look(ACCEPTED, outcome);
        judged
    }

    fn lost(&mut self, id: PaymentId, sent: bool) {
        self.payments.lost(id, sent);
        let what = match sent {
            true => "no reply in time, or none to its end",
            false => "there was no connection to send it on",
        };
        let request = self.request(id);
        let example = CheckExample::unanswered(what, &request);
        self.checks.look(ACCEPTED, Err(example));
    }
}
