//! Requests of each mix, and the judges of their replies.
//!
//! | file | what |
//! |---|---|
//! | `bank` | debits, credits, statements |
//! | `statement` | what a statement must be |
//! | `ledger` | what a run's replies say about each account: whether they can all be true |
//! | `subset_sum` | whether some amounts add up to a sum |
//! | `payments` | payments |
//! | `totals` | what is said of payments afterwards: summaries, and whether they can be true |
//! | `health` | health checks |
//! | `reply` | the JSON of replies |

pub mod bank;
pub mod health;
pub mod ledger;
pub mod payments;
pub mod reply;
pub mod statement;
pub mod totals;

mod subset_sum;

use std::time::SystemTime;

/// For a run that is not told: another one each time.
pub fn seed_of_time() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // Few enough digits to be copied by hand.
    since.map_or(0, |since| since.as_millis() as u64)
}
