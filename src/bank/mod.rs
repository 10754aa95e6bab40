//! The rules of the bank: accounts, transactions and their limits. No bytes of HTTP, no files, no sockets.

mod account;

pub use account::{
    Account, Before, Description, DescriptionBuf, Kind, Order, Posted, Refusal, Transaction,
};
