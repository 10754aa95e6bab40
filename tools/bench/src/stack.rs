//! Two servers behind nginx.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::nginx::{Balancer, Nginx};
use crate::rounds::{CpuTicks, Loaded};
use galo_bench::pair::Pair;
use galo_bench::server::{cpu_ticks_of, Server};

/// nginx, and a pair behind it.
pub struct Stack {
    // First: ended before the servers.
    nginx: Nginx,
    pub pair: Pair,
}

impl Stack {
    pub fn start(balancer: Balancer, pair: Pair, scratch: &Path) -> Result<Stack> {
        std::fs::create_dir_all(scratch)?;
        let nginx = Nginx::start(balancer, pair.run(), scratch).map_err(anyhow::Error::msg)?;
        Ok(Stack { nginx, pair })
    }

    /// Where nginx listens.
    pub fn address(&self) -> SocketAddr {
        self.nginx.address
    }

    /// Everything that runs for it.
    pub fn pids(&self) -> Vec<u32> {
        let servers = self.pair.servers.iter().map(Server::pid);
        self.nginx.pids().into_iter().chain(servers).collect()
    }
}

impl Loaded for Stack {
    fn addresses(&self) -> Vec<SocketAddr> {
        vec![self.address()]
    }

    fn cpu_ticks(&self) -> Result<CpuTicks> {
        let sum = |pids: &[u32]| {
            pids.iter()
                .map(|pid| cpu_ticks_of(*pid))
                .sum::<Result<u64>>()
        };
        let servers = sum(&[0, 1].map(|index| self.pair.servers[index].pid()))?;
        let nginx = sum(&self.nginx.pids())?;
        Ok(CpuTicks {
            servers,
            all: servers + nginx,
        })
    }
}
