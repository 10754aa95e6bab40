//! Requests of each mix, and the judges of their replies.
//!
//! | file | what |
//! |---|---|
//! | `bank` | debits, credits, statements |
//! | `ledger` | what a run's replies say about each account: whether they can all be true |
//! | `payments` | payments |
//! | `health` | health checks |

pub mod bank;
pub mod health;
pub mod ledger;
pub mod payments;
