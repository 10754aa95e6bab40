//! A simulator for galo: it runs whole nodes, with their files, clients, links and clocks, in one
//! thread, and one `u64` decides everything that happens to them.
//!
//! - `run`: one seed, from its plan to its verdict. `many`: many of them, on all CPUs.
//! - `plan`: what a seed decides beforehand. `random`: where its numbers come from.
//! - `world`: the driver: what happens next. `life`: the process, from its recovery to its end.
//!   `socket`, `client`: the other ends of its connections, `request`, `reply`: what they say.
//! - `disk`, `crash`: a file system that loses all that it may.
//! - `model`: the oracle. `journals`: what it is told.
//! - `sabotage`: known-wrong behaviour, to see that it is found.

#![allow(missing_docs)]

pub mod many;
pub mod run;
pub mod sabotage;

mod client;
pub mod crash;
pub mod disk;
mod journals;
mod life;
mod model;
mod plan;
pub mod random;
mod reply;
mod request;
mod socket;
mod trace;
mod world;
