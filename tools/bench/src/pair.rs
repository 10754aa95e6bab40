//! Two servers side by side, and the same behind nginx.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use serde_json::Value;

use crate::nginx::{Balancer, Nginx};
use crate::rounds::{CpuTicks, Loaded};
use galo_bench::client;
use galo_bench::server::{cpu_ticks_of, Launch, Server};

/// Their names, and those of their sockets.
pub const NODES: [&str; 2] = ["api01", "api02"];

/// From the start of both until each has its shard. Beyond: given up.
const HOME_MAX: Duration = Duration::from_secs(10);

/// Two servers, each on a port and on a Unix socket of its own.
pub struct Pair {
    pub servers: [Server; 2],
    /// Where the sockets are.
    run: PathBuf,
}

impl Pair {
    /// Starts both at once. `launch` says how, but for the socket.
    pub fn start<'a>(run: &Path, launch: impl Fn(usize) -> Launch<'a>) -> Result<Pair> {
        std::fs::create_dir_all(run)?;
        let launches = [0, 1].map(|index| {
            let mut launch = launch(index);
            let socket = run.join(format!("{}.sock", NODES[index]));
            let listen = format!("unix:{}", socket.display());
            launch.arguments.extend(["--listen".into(), listen.into()]);
            launch
        });
        let servers = Server::start_all(&launches)?;
        Ok(Pair {
            servers: servers.try_into().ok().context("two were started")?,
            run: run.to_path_buf(),
        })
    }

    /// Until each node says that it has its own shard, and nothing else.
    pub fn wait_until_home(&self) -> Result<()> {
        let began = Instant::now();
        for (index, server) in self.servers.iter().enumerate() {
            loop {
                let health: Value = serde_json::from_str(&client::get(server.address, "/health")?)?;
                let shards = health["shards"]
                    .as_array()
                    .context("/health has no shards")?;
                if matches!(shards.as_slice(), [owned] if owned["shard"] == index) {
                    break;
                }
                if began.elapsed() > HOME_MAX {
                    bail!("{} has not its shard: {health}", NODES[index]);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}

/// nginx, and a pair behind it.
pub struct Stack {
    // First: ended before the servers.
    nginx: Nginx,
    pub pair: Pair,
}

impl Stack {
    pub fn start(balancer: Balancer, pair: Pair, scratch: &Path) -> Result<Stack> {
        std::fs::create_dir_all(scratch)?;
        let nginx = Nginx::start(balancer, &pair.run, scratch).map_err(anyhow::Error::msg)?;
        Ok(Stack { nginx, pair })
    }

    /// Everything that runs for it.
    pub fn pids(&self) -> Vec<u32> {
        let servers = self.pair.servers.iter().map(Server::pid);
        self.nginx.pids().into_iter().chain(servers).collect()
    }
}

impl Loaded for Stack {
    fn address(&self) -> SocketAddr {
        self.nginx.address
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
