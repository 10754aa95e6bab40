//! The real binary over real sockets: what the contest says that a processor does, and every fault.

mod client;
mod faults;
mod flags;
mod limits;
mod payments;
mod settings;
