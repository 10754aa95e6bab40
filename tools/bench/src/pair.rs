//! Two servers side by side, and two nodes on one data directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use serde_json::Value;

use crate::client;
use crate::server::{Launch, Server};

/// Their names, and those of their sockets.
const NODES: [&str; 2] = ["api01", "api02"];

/// From the start of both until each has its shard. Beyond: given up.
const HOME_MAX: Duration = Duration::from_secs(60);

/// Two servers, each on a port and on a Unix socket of its own.
pub struct Pair {
    /// In the order of their names.
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

    /// The same with nodes on one data directory, each with its shard at home. `launch` does not say, either, what makes
    /// nodes of them.
    pub fn of_nodes<'a>(run: &Path, launch: impl Fn(usize) -> Launch<'a>) -> Result<Pair> {
        let pair = Pair::start(run, |index| {
            let mut launch = launch(index);
            let flags = ["--node", NODES[index], "--nodes", &NODES.join(","), "--run"];
            launch.arguments.extend(flags.map(OsString::from));
            launch.arguments.push(run.into());
            launch
        })?;
        pair.wait_until_home()?;
        Ok(pair)
    }

    /// Where nginx finds the sockets.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Until each node says that it has its own shard, and nothing else.
    fn wait_until_home(&self) -> Result<()> {
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
