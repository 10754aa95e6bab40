//! What a run's replies say about each account: whether they can all be true.

use super::bank::CLIENTS;
use crate::report::Verification;

/// All transactions of a run, by account.
#[derive(Clone, Debug)]
pub struct Ledger {
    key: u64,
}

impl Ledger {
    /// None yet. `key`: of the hash; only ledgers of the same one can be merged.
    pub fn new(key: u64) -> Ledger {
        Ledger { key }
    }

    /// A transaction was carried out. `place` of its client among [`CLIENTS`]; `change` of the balance in cents, negative for
    /// a debit; `balance` after it.
    pub fn acknowledged(&mut self, place: usize, change: i64, balance: i64) {
        let _ = (place, change, balance);
    }

    /// A transaction may have been carried out, or not.
    pub fn unknown(&mut self, place: usize, change: i64) {
        let _ = (place, change);
    }

    /// Those of another thread, too.
    ///
    /// # Panics
    /// They have different keys.
    pub fn merge(&mut self, other: &Ledger) {
        assert_eq!(self.key, other.key, "ledgers of one run");
    }

    /// Whether it can all be true. Balances in cents, in the order of [`CLIENTS`], before the first request and after the
    /// last reply.
    pub fn verify(&self, start: &[i64; CLIENTS.len()], end: &[i64; CLIENTS.len()]) -> Verification {
        let _ = (start, end);
        Verification { lines: Vec::new() }
    }
}
