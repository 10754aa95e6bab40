//! The bank's rules, and nothing else: no byte of HTTP, no file, no socket.

mod account;

pub use account::{
    Account, Before, Description, DescriptionBuf, Kind, Order, Posted, Refusal, Transaction,
};
