//! What a run's replies say about each account: whether they can all be true.
//!
//! Two things are checked of each account, whoever else may not use the target meanwhile.
//!
//! **The sum.** The balance at the start and all changes that were acknowledged make the balance at the end. Where the
//! outcome of some is unknown (a time-out, half a reply, a 5xx), what is missing must be the sum of some of those.
//!
//! **The chain.** Transactions on one account are carried out one after the other, in an order that no caller knows, and
//! each reply tells the balance after its own; that before it is the same without the change. In that order, what one
//! leaves behind is what the next one finds: so every balance is entered as often as it is left, but for that at the start,
//! which is left once more, and that at the end, which is entered once more. That finds a wrong balance in any reply, and two
//! transactions that were built on the same balance, also when the end is right. (The contrary does not follow: replies
//! that make a closed round of their own beside the chain are not found.)
//!
//! To compare how often without a table of all balances: with `h` a hash of 128 bits, `Σ h(after) − Σ h(before)` over all
//! transactions must be `h(end) − h(start)`, modulo 2¹²⁸; sums of a hash know multisets (Clarke and others, "Incremental
//! Multiset Hash Functions and Their Application to Memory Integrity Checking", ASIACRYPT 2003, MSet-Add-Hash). If some
//! balance is entered `d` times more often than it is left, `d` not 0, the equation holds by chance with a probability of
//! at most |d|/2¹²⁸ for a random function, whatever the others do: that of 2ᵏ times an odd number is 0 only where 128 − k
//! bits are. After 2³⁰ transactions that is less than 2⁻⁹⁷. `h` is SipHash-1-3 with a key of the run's.
//!
//! With transactions of unknown outcome the chain has gaps, and is not checked. Memory is constant but for the amounts of
//! those, of which [`UNKNOWN_MAX`] are kept for each account.

use siphasher::sip128::SipHasher13;

use super::subset_sum;
use crate::report::{Verification, VerificationLine};

/// The contest's clients: number, and limit in cents.
pub const CLIENTS: [(u32, i64); 5] = [
    (1, 100_000),
    (2, 80_000),
    (3, 1_000_000),
    (4, 10_000_000),
    (5, 500_000),
];

/// The limit of one of the contest's clients.
pub fn limit_cents(client: u32) -> Option<i64> {
    let found = CLIENTS.iter().find(|(number, _)| *number == client);
    found.map(|(_, limit)| *limit)
}

/// Changes of unknown outcome that are kept for each account. With more, only the least and the largest sum are looked at;
/// so many random amounts make nearly every sum between them anyway.
pub const UNKNOWN_MAX: usize = 512;

/// All transactions of a run, by account.
#[derive(Clone, Debug)]
pub struct Ledger {
    key: u64,
    accounts: [Account; CLIENTS.len()],
}

/// Of one client.
#[derive(Clone, Debug, Default)]
struct Account {
    /// Acknowledged.
    count: u64,
    /// Of their changes.
    sum: i128,
    /// Hashes of the balances after them, minus those of the balances before.
    chain: u128,
    unknown: Unknown,
}

/// Changes that were made or not.
#[derive(Clone, Debug, Default)]
struct Unknown {
    count: u64,
    /// The first [`UNKNOWN_MAX`].
    kept: Vec<i64>,
    /// The sum of all debits.
    least: i128,
    /// The sum of all credits.
    largest: i128,
}

impl Ledger {
    /// None yet. `key`: of the hash; only ledgers of the same one can be merged.
    pub fn new(key: u64) -> Ledger {
        let accounts = Default::default();
        Ledger { key, accounts }
    }

    /// A transaction was carried out. `place`: of its client among [`CLIENTS`]; `change` of the balance in cents, negative
    /// for a debit; `balance` after it.
    pub fn acknowledged(&mut self, place: usize, change: i64, balance: i64) {
        let before = i128::from(balance) - i128::from(change);
        let step = hash(self.key, balance.into()).wrapping_sub(hash(self.key, before));
        let account = &mut self.accounts[place];
        account.count += 1;
        account.sum += i128::from(change);
        account.chain = account.chain.wrapping_add(step);
    }

    /// A transaction may have been carried out, or not.
    pub fn unknown(&mut self, place: usize, change: i64) {
        let unknown = &mut self.accounts[place].unknown;
        unknown.count += 1;
        unknown.least += i128::from(change.min(0));
        unknown.largest += i128::from(change.max(0));
        if unknown.kept.len() < UNKNOWN_MAX {
            unknown.kept.push(change);
        }
    }

    /// Those of another thread, too.
    ///
    /// # Panics
    /// They have different keys.
    pub fn merge(&mut self, other: &Ledger) {
        assert_eq!(self.key, other.key, "ledgers of one run");
        for (account, more) in self.accounts.iter_mut().zip(&other.accounts) {
            account.count += more.count;
            account.sum += more.sum;
            account.chain = account.chain.wrapping_add(more.chain);
            let (unknown, more) = (&mut account.unknown, &more.unknown);
            unknown.count += more.count;
            unknown.least += more.least;
            unknown.largest += more.largest;
            let room = UNKNOWN_MAX - unknown.kept.len();
            unknown.kept.extend(more.kept.iter().take(room));
        }
    }

    /// Whether it can all be true. Balances in cents, in the order of [`CLIENTS`], before the first request and after the
    /// last reply.
    pub fn verify(&self, start: &[i64; CLIENTS.len()], end: &[i64; CLIENTS.len()]) -> Verification {
        let accounts = CLIENTS.iter().zip(&self.accounts);
        let lines = accounts.zip(start.iter().zip(end));
        let lines = lines.map(|(((client, _), account), (start, end))| {
            let subject = format!("client {client}");
            match account.unknown.count {
                0 => account.judge(subject, self.key, *start, *end),
                _ => account.judge_sum(subject, *start, *end),
            }
        });
        Verification {
            lines: lines.collect(),
        }
    }
}

impl Account {
    /// By its sum and its chain: every outcome is known.
    fn judge(&self, subject: String, key: u64, start: i64, end: i64) -> VerificationLine {
        let due = i128::from(start) + self.sum;
        let mut wrong = Vec::new();
        let end_wide = i128::from(end);
        if end_wide != due {
            wrong.push(match end_wide - due {
                more @ 1.. => format!("{more} more than the replies make"),
                less => format!("{} less than the replies make", -less),
            });
        }
        let links = hash(key, end_wide).wrapping_sub(hash(key, start.into()));
        let chained = self.chain == links;
        let order = match chained {
            true => "balances in replies follow one another",
            false => "balances in replies do not follow one another",
        };
        if !chained {
            wrong.push(format!(
                "{order}: an update was lost, or a balance is not true"
            ));
        }
        VerificationLine {
            subject,
            expected: format!(
                "balance {due}: from {start} by {} transactions, one after the other",
                self.count
            ),
            found: format!("balance {end}; {order}"),
            wrong: (!wrong.is_empty()).then(|| wrong.join("; ")),
        }
    }

    /// By its sum alone: some outcomes are unknown.
    fn judge_sum(&self, subject: String, start: i64, end: i64) -> VerificationLine {
        let unknown = &self.unknown;
        let sure = i128::from(start) + self.sum;
        let missing = i128::from(end) - sure;
        let whole = unknown.kept.len() as u64 == unknown.count;
        let exact = match whole {
            true => subset_sum::reaches(&unknown.kept, missing),
            false => None,
        };
        let possible = (unknown.least..=unknown.largest).contains(&missing) && exact != Some(false);
        let count = unknown.count;
        VerificationLine {
            subject,
            expected: format!(
                "balance {} to {}: from {start} by {} transactions, and some of {count} whose outcome is unknown{}; so \
                 their order cannot be checked",
                sure + unknown.least,
                sure + unknown.largest,
                self.count,
                if exact.is_some() { "" } else { ", which are too many to try each sum" },
            ),
            found: format!("balance {end}"),
            wrong: (!possible).then(|| {
                format!("no choice among the {count} of unknown outcome adds up to what is missing ({missing})")
            }),
        }
    }
}

/// Of a balance; that before a transaction may be beyond 64 bits where a reply is not true.
fn hash(key: u64, balance: i128) -> u128 {
    let hasher = SipHasher13::new_with_keys(key, 0);
    hasher.hash(&balance.to_le_bytes()).as_u128()
}

#[cfg(test)]
mod tests;
