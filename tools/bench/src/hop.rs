//! Which clients' transactions cost a hop: a core that is asked for an account that another core owns, in its process or in
//! another, passes the command on.

use std::net::SocketAddr;

use anyhow::{bail, Context, Result};

use crate::client;

/// Two clients, as one connection's core sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clients {
    /// Its own.
    pub own: u32,
    /// Of the other core.
    pub other: u32,
}

impl Clients {
    /// Of a server with two shards, each with a core of its own. `post` posts once to a client, always on the same
    /// connection; whether that hopped is what the server counts.
    pub fn of(address: SocketAddr, mut post: impl FnMut(u32) -> Result<()>) -> Result<Clients> {
        let mut hops = |client| -> Result<bool> {
            let before = forwards(address)?;
            post(client)?;
            Ok(forwards(address)? > before)
        };
        // Client c is in shard c % shards.
        match (hops(1)?, hops(2)?) {
            (false, true) => Ok(Clients { own: 1, other: 2 }),
            (true, false) => Ok(Clients { own: 2, other: 1 }),
            (one, two) => bail!("of two clients one hops: not {one} and {two}"),
        }
    }
}

/// Commands that a process has sent to another core so far.
fn forwards(address: SocketAddr) -> Result<u64> {
    let metrics = client::get(address, "/metrics")?;
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix("galo_forwards_total "));
    let value = value.and_then(|value| value.parse().ok());
    value.context("/metrics does not tell of forwards")
}
