//! Payments: `POST /payments`.

use std::io::{Cursor, Write as _};

use fastrand::Rng;
use uuid::Uuid;

use super::reply::{is_refusal, wrong_status};
use crate::engine::Traffic;
use crate::measure::{Failure, Kind};
use crate::target::Target;

/// Of every payment, as in the contest.
pub const AMOUNT_CENTS: u64 = 1990;

/// Holds the body of any payment: its fixed parts, 36 characters, 20 digits.
const BODY_BYTES_MAX: usize = 128;

/// Payments of [`AMOUNT_CENTS`] each, with ids of their own. One for each thread.
#[derive(Clone, Debug)]
pub struct Payments {
    target: Target,
    ids: Ids,
    accepted: Accepted,
}

/// What became of a payment, as its sender knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Accepted.
    Acknowledged,
    /// Accepted or not: there is no reply, or one that does not tell.
    Unknown,
    /// Not accepted, or never sent.
    Refused,
}

impl Fate {
    /// By its reply.
    pub const fn of_status(status: u16) -> Fate {
        match status {
            200..=299 => Fate::Acknowledged,
            _ if is_refusal(status) => Fate::Refused,
            _ => Fate::Unknown,
        }
    }

    /// Without one; `sent`: the target may have seen it.
    pub const fn of_lost(sent: bool) -> Fate {
        match sent {
            true => Fate::Unknown,
            false => Fate::Refused,
        }
    }
}

/// What became of payments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Accepted.
    pub acknowledged: u64,
    /// Accepted or not: there is no reply, or one that does not tell.
    pub unknown: u64,
}

impl Accepted {
    /// One more.
    pub fn count(&mut self, fate: Fate) {
        match fate {
            Fate::Acknowledged => self.acknowledged += 1,
            Fate::Unknown => self.unknown += 1,
            Fate::Refused => {}
        }
    }

    /// Those of another thread, too.
    pub fn merge(&mut self, other: &Accepted) {
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
    }
}

/// Fresh UUIDs of version 4 (RFC 9562).
#[derive(Clone, Debug)]
pub struct Ids {
    random: Rng,
}

impl Ids {
    /// The same seed makes the same ids.
    pub fn new(seed: u64) -> Ids {
        let random = Rng::with_seed(seed);
        Ids { random }
    }

    /// The next one.
    pub fn fresh(&mut self) -> Uuid {
        let bits = self.random.u128(..);
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

/// Appends a payment's request.
pub fn payment_request(target: &Target, out: &mut Vec<u8>, id: Uuid, cents: u64) {
    let mut body = Cursor::new([0; BODY_BYTES_MAX]);
    let (whole, rest) = (cents / 100, cents % 100);
    write!(
        body,
        r#"{{"correlationId":"{id}","amount":{whole}.{rest:02}}}"#
    )
    .expect("room for it");
    let length = body.position() as usize;
    target.write_request(out, "POST", "/payments", &body.get_ref()[..length]);
}

/// Whether a reply to a payment is right: any 2xx is.
///
/// # Errors
/// What is wrong with it.
pub fn judge_payment(status: u16) -> Result<(), Failure> {
    match status {
        200..=299 => Ok(()),
        _ => Err(wrong_status(status, "2xx, as a payment's is")),
    }
}

impl Payments {
    /// `seed`: of the ids.
    pub fn new(target: &Target, seed: u64) -> Payments {
        Payments {
            target: target.clone(),
            ids: Ids::new(seed),
            accepted: Accepted::default(),
        }
    }

    /// What became of them so far.
    pub fn accepted(&self) -> Accepted {
        self.accepted
    }
}

impl Traffic for Payments {
    type Ticket = Uuid;

    fn next(&mut self, _stream: usize, out: &mut Vec<u8>) -> (Kind, Uuid) {
        let id = self.ids.fresh();
        payment_request(&self.target, out, id, AMOUNT_CENTS);
        (Kind::Payment, id)
    }

    fn judge(&mut self, _id: Uuid, status: u16, _body: &[u8]) -> Result<(), Failure> {
        self.accepted.count(Fate::of_status(status));
        judge_payment(status)
    }

    fn lost(&mut self, _id: Uuid, sent: bool) {
        self.accepted.count(Fate::of_lost(sent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::FailureKind;
    use std::collections::HashSet;

    const ID: Uuid = Uuid::from_u128(7);

    fn target() -> Target {
        "127.0.0.1:9999".parse().unwrap()
    }

    #[test]
    fn ids_are_fresh_and_of_version_4() {
        let mut seen = HashSet::new();
        // Threads' seeds follow one another.
        for seed in 0..8 {
            let mut ids = Ids::new(seed);
            for _ in 0..5000 {
                let id = ids.fresh();
                assert!(seen.insert(id), "{id} came twice");
                let text = id.to_string().into_bytes();
                assert_eq!(text[14], b'4', "{id}");
                assert!(b"89ab".contains(&text[19]), "{id}");
                assert_eq!(Uuid::try_parse_ascii(&text), Ok(id));
            }
        }
        assert_eq!(Ids::new(3).fresh(), Ids::new(3).fresh());
    }

    #[test]
    fn a_request_is_a_payment() {
        let mut payments = Payments::new(&target(), 5);
        let id = Ids::new(5).fresh();
        let mut out = Vec::new();
        assert_eq!(payments.next(0, &mut out), (Kind::Payment, id));
        let expected = format!(
            "POST /payments HTTP/1.1\r\nHost: 127.0.0.1:9999\r\nContent-Type: application/json\r\n\
             Content-Length: 71\r\n\r\n{{\"correlationId\":\"{id}\",\"amount\":19.90}}"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn replies_are_judged_and_counted() {
        let mut payments = Payments::new(&target(), 5);
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(payments.judge(ID, status, b"whatever"), Ok(()));
        }
        for (status, words) in [
            (199, "199 is not 2xx"),
            (301, "301 is not 2xx"),
            (400, "400 is not 2xx"),
            (422, "422 is not 2xx"),
            (429, "429 is not 2xx"),
            (500, "500 is not 2xx"),
            (503, "503 is not 2xx"),
        ] {
            let failure = payments.judge(ID, status, b"").unwrap_err();
            assert_eq!(failure.kind, FailureKind::WrongStatus);
            assert!(failure.what.starts_with(words), "{}", failure.what);
        }
        payments.lost(ID, true);
        payments.lost(ID, false);
        // Unknown: two that are neither yes nor no, two 5xx, and the one that was lost.
        let mut accepted = payments.accepted();
        let expected = Accepted {
            acknowledged: 5,
            unknown: 5,
        };
        assert_eq!(accepted, expected);
        accepted.merge(&expected);
        assert_eq!((accepted.acknowledged, accepted.unknown), (10, 10));
    }
}
