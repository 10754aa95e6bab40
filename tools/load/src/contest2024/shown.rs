//! What a statement shows of an account, whatever is wrong with the rest of it.

use serde::Deserialize;

use crate::measure::{Failure, FailureKind};
use crate::traffic::bank::limit_cents;

/// `saldo` of a statement, in cents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Shown {
    #[serde(rename = "total")]
    pub balance: i64,
    #[serde(rename = "limite")]
    pub limit: i64,
}

impl Shown {
    /// Of a statement's body.
    ///
    /// # Errors
    /// There is none in it.
    pub fn read(body: &[u8]) -> Result<Shown, Failure> {
        #[derive(Deserialize)]
        struct Body {
            saldo: Shown,
        }
        match serde_json::from_slice(body) {
            Ok(Body { saldo }) => Ok(saldo),
            Err(error) => Err(Failure::new(FailureKind::WrongJson, error.to_string())),
        }
    }

    /// It cannot be this client's. `balance`: what it must be, if that is known.
    pub fn is_inconsistent(self, client: u32, balance: Option<i64>) -> bool {
        let limit = limit_cents(client).expect("one of the contest's clients");
        self.limit != limit
            || self.balance < -limit
            || balance.is_some_and(|balance| balance != self.balance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_is_inconsistent_and_a_list_is_not() {
        let body = br#"{"saldo":{"total":-100000,"limite":100000,"x":1},"ultimas_transacoes":7}"#;
        let shown = Shown::read(body).unwrap();
        assert!(!shown.is_inconsistent(1, None));
        assert!(!shown.is_inconsistent(1, Some(-100_000)));
        assert!(shown.is_inconsistent(1, Some(0)));
        assert!(shown.is_inconsistent(2, None), "another's limit");
        let beyond = Shown {
            balance: -100_001,
            ..shown
        };
        assert!(beyond.is_inconsistent(1, None));
        assert!(Shown::read(b"{}").is_err());
    }
}
