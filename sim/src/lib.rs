//! A simulator for galo: it runs whole clusters, with their files, clients, links and clocks, in one
//! thread, and one `u64` decides everything that happens to them.
//!
//! - `run`: one seed, from its plan to its verdict. `many`: many of them, on all CPUs. `coverage`: what they met.
//! - `plan`: what a seed decides beforehand.
//! - `world`: everything there is, but for the processes; `cluster`: these.
//! - `life`: from the start of all processes to the end of all of them. `steps`: what happens next in it; `processes`: they
//!   start, stop, die; `recovery`: what shards' new owners find; `faults`: what goes wrong in between.
//! - `tick`: the driver. `jobs`: what runs beside it. `network`: what connects machines and clients.
//! - `socket`, `client`: the other ends of connections; `request`, `reply`: what they say; `author`: how they
//!   come to say it; `retry`: what they say again; `crowd`: those that take much and give little.
//! - `disk`: a file system that loses all that it may.
//! - `model`: the oracle. `journals`: what it is told.
//! - `payments`: the processors, what is asked of them, and whether it is right.
//! - `trace`: what is told of a run. `stories`: runs that are written down, to be read.
//! - `machines`: a world of its own, for what holds between several machines.
//! - `sabotage`: known-wrong behaviour, to see that it is found.

#![allow(missing_docs)]

pub mod machines;
pub mod many;
pub mod run;
mod sabotage;
pub mod stories;
pub mod trace;

mod author;
mod client;
mod cluster;
mod coverage;
mod crowd;
pub mod disk;
mod faults;
mod jobs;
mod journals;
mod life;
mod model;
mod network;
mod payments;
mod plan;
mod processes;
mod recovery;
mod reply;
mod request;
mod retry;
mod socket;
mod steps;
mod tick;
mod world;
