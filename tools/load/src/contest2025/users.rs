//! Users who pay, and what they are told.

use uuid::Uuid;

use crate::engine::Traffic;
use crate::measure::{Failure, Kind};
use crate::report::checks::{request_text, Checks};
use crate::report::CheckExample;
use crate::target::Target;
use crate::traffic::payments::{judge_payment, payment_request, Fate, Ids, AMOUNT_CENTS};

const ACCEPTED: &str = "payment: 2xx";

/// What became of payments, as users know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// All of them.
    pub requested: u64,
    /// Accepted.
    pub acknowledged: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Users {
    target: Target,
    ids: Ids,
    payments: Vec<(Uuid, Fate)>,
    pub checks: Checks,
}

impl Users {
    /// `seed`: of the payments' ids.
    pub fn new(target: &Target, seed: u64) -> Users {
        Users {
            target: target.clone(),
            ids: Ids::new(seed),
            payments: Vec::new(),
            checks: Checks::default(),
        }
    }

    /// Each payment so far, in the order in which they were requested.
    pub fn payments(&self) -> &[(Uuid, Fate)] {
        &self.payments
    }

    /// What became of all payments so far.
    pub fn fates(&self) -> Fates {
        let fates = self.payments.iter().map(|(_, fate)| *fate);
        let acknowledged = fates.filter(|fate| *fate == Fate::Acknowledged).count();
        Fates {
            requested: self.payments.len() as u64,
            acknowledged: acknowledged as u64,
        }
    }

    /// A payment's request, as an example shows it.
    pub fn request_text(&self, id: Uuid) -> String {
        request_text(&self.request(id))
    }

    fn request(&self, id: Uuid) -> Vec<u8> {
        let mut request = Vec::new();
        payment_request(&self.target, &mut request, id, AMOUNT_CENTS);
        request
    }
}

impl Traffic for Users {
    /// The payment's place.
    type Ticket = usize;

    fn next(&mut self, _stream: usize, out: &mut Vec<u8>) -> (Kind, usize) {
        let id = self.ids.fresh();
        payment_request(&self.target, out, id, AMOUNT_CENTS);
        // Until more is known of it.
        self.payments.push((id, Fate::Unknown));
        (Kind::Payment, self.payments.len() - 1)
    }

    fn judge(&mut self, place: usize, status: u16, body: &[u8]) -> Result<(), Failure> {
        let (id, fate) = &mut self.payments[place];
        *fate = Fate::of_status(status);
        let id = *id;
        let judged = judge_payment(status);
        let outcome = match &judged {
            Ok(()) => Ok(()),
            Err(Failure { what, .. }) => {
                let request = self.request(id);
                Err(CheckExample::replied(&**what, &request, status, body))
            }
        };
        self.checks.look(ACCEPTED, outcome);
        judged
    }

    fn lost(&mut self, place: usize, sent: bool) {
        let (id, fate) = &mut self.payments[place];
        *fate = Fate::of_lost(sent);
        let id = *id;
        let what = match sent {
            true => "no reply in time, or none to its end",
            false => "there was no connection to send it on",
        };
        let request = self.request(id);
        let example = CheckExample::unanswered(what, &request);
        self.checks.look(ACCEPTED, Err(example));
    }
}
