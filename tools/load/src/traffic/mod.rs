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
pub mod statement;
pub mod totals;

mod reply;
mod subset_sum;
