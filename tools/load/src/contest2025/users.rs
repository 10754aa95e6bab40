//! Users who pay, and what they are told.

use galo::payments::PaymentId;

use crate::engine::Traffic;
use crate::measure::{Failure, Kind};
use crate::report::checks::Checks;
use crate::report::CheckExample;
use crate::target::Target;
use crate::traffic::payments::{judge_payment, payment_request, Ids, AMOUNT_CENTS};

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
    ids: Ids,
    pub fates: Fates,
    pub checks: Checks,
}

impl Users {
    /// `seed`: of the payments' ids.
    pub fn new(target: &Target, seed: u64) -> Users {
        Users {
            target: target.clone(),
            ids: Ids::new(seed),
            fates: Fates::default(),
            checks: Checks::default(),
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

    fn next(&mut self, _stream: usize, out: &mut Vec<u8>) -> (Kind, PaymentId) {
        let id = self.ids.fresh();
        self.fates.requested += 1;
        payment_request(&self.target, out, id, AMOUNT_CENTS);
        (Kind::Payment, id)
    }

    fn judge(&mut self, id: PaymentId, status: u16, body: &[u8]) -> Result<(), Failure> {
        match status {
            200..300 => self.fates.acknowledged += 1,
            // Whoever answers 4xx says that nothing was done.
            400..500 => {}
            _ => self.fates.unknown += 1,
        }
        let judged = judge_payment(status);
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
        self.fates.unknown += u64::from(sent);
        let what = match sent {
            true => "no reply in time, or none to its end",
            false => "there was no connection to send it on",
        };
        let request = self.request(id);
        let example = CheckExample::unanswered(what, &request);
        self.checks.look(ACCEPTED, Err(example));
    }
}
