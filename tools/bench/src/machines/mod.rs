//! Nodes on several machines, here as processes of one: three nodes on three nats-servers, which sync each write.
//!
//! | file | what |
//! |---|---|
//! | `load` | load on several nodes at once |
//! | `append` | appends to the same servers without Galo |
//! | `fill` | writes to many accounts |

pub mod append;
pub mod fill;
pub mod load;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use galo_testkit::NatsCluster;
use serde_json::Value;

use galo_bench::client;
use galo_bench::server::{Launch, Server};

/// Their names, in the order of their numbers.
pub const NODES: [&str; 3] = ["a", "b", "c"];
/// Of each cluster.
pub const SHARDS: usize = 8;
/// From a start until every shard has its owner. Beyond: given up.
const WHOLE_MAX: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Three servers, with their files in a new directory in `scratch`.
pub fn engine(scratch: &Path) -> Result<NatsCluster> {
    let directory = tempfile::Builder::new()
        .prefix("nats-")
        .tempdir_in(scratch)?;
    Ok(NatsCluster::start_in(NODES.len(), directory))
}

/// Three nodes, or those of them that run.
pub struct Nodes<'a> {
    program: &'a Path,
    directory: PathBuf,
    /// Of all.
    flags: Vec<OsString>,
    /// By number.
    servers: [Option<Server>; NODES.len()],
}

impl<'a> Nodes<'a> {
    /// None runs yet. `flags` are for each, and say neither who it is nor where its data are.
    pub fn new(program: &'a Path, directory: &Path, flags: Vec<OsString>) -> Result<Nodes<'a>> {
        std::fs::create_dir_all(directory)?;
        Ok(Nodes {
            program,
            directory: directory.to_path_buf(),
            flags,
            servers: Default::default(),
        })
    }

    fn launch(&self, node: usize) -> Launch<'a> {
        let name = NODES[node];
        let mut arguments: Vec<OsString> = self.flags.clone();
        let shards = SHARDS.to_string();
        let flags = ["--cores", "1", "--shards", &shards, "--node", name];
        arguments.extend(flags.map(OsString::from));
        arguments.extend(["--nodes".into(), NODES.join(",").into()]);
        Launch {
            program: self.program,
            arguments,
            cpu: None,
            log: self.directory.join(format!("{name}.log")),
        }
    }

    /// The same with a directory of its own.
    fn launch_apart(&self, node: usize) -> Launch<'a> {
        let mut launch = self.launch(node);
        let data = self.directory.join(NODES[node]);
        launch.arguments.extend(["--data".into(), data.into()]);
        launch
    }

    /// Starts these, each with a directory of its own, and waits until each shard has an owner: at home, if all nodes run.
    pub fn start(&mut self, nodes: &[usize]) -> Result<()> {
        let launches: Vec<_> = nodes.iter().map(|node| self.launch_apart(*node)).collect();
        self.take_in(nodes, Server::start_all(&launches)?)
    }

    /// The same with one directory for all, on one machine.
    pub fn start_together(&mut self) -> Result<()> {
        let (run, data) = (self.directory.join("run"), self.directory.join("data"));
        let nodes: Vec<usize> = (0..NODES.len()).collect();
        let launches = nodes.iter().map(|node| {
            let mut launch = self.launch(*node);
            let more: [OsString; 4] = [
                "--run".into(),
                run.clone().into(),
                "--data".into(),
                data.clone().into(),
            ];
            launch.arguments.extend(more);
            launch
        });
        let launches: Vec<_> = launches.collect();
        self.take_in(&nodes, Server::start_all(&launches)?)
    }

    fn take_in(&mut self, nodes: &[usize], servers: Vec<Server>) -> Result<()> {
        for (node, server) in nodes.iter().zip(servers) {
            self.servers[*node] = Some(server);
        }
        self.wait_until_whole()
    }

    /// Starts one and does not wait: it may not listen yet.
    pub fn spawn(&mut self, node: usize) -> Result<()> {
        let (server, _) = Server::spawn(&self.launch_apart(node))?;
        self.servers[node] = Some(server);
        Ok(())
    }

    /// `kill -9`, and nothing else; `Err`: it does not run.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        // Dropped at the end of this, which waits for its end.
        let server = self.servers[node].take().context("it does not run")?;
        server.kill()
    }

    /// In good order.
    pub fn stop(&mut self, node: usize) -> Result<()> {
        let server = self.servers[node].take();
        server.context("it does not run")?.stop()
    }

    /// One that runs.
    pub fn server(&self, node: usize) -> Result<&Server> {
        self.servers[node].as_ref().context("it does not run")
    }

    /// Of those that run.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let running = self.servers.iter().flatten();
        running.map(|server| server.address).collect()
    }

    /// The shards that a node says to own.
    pub fn shards_of(&self, node: usize) -> Result<Vec<usize>> {
        let health = client::get(self.server(node)?.address, "/health")?;
        let health: Value = serde_json::from_str(&health)?;
        let shards = health["shards"]
            .as_array()
            .context("/health has no shards")?;
        let numbers = shards.iter().filter_map(|shard| shard["shard"].as_u64());
        Ok(numbers.map(|shard| shard as usize).collect())
    }

    /// Until each shard has an owner, at home if all nodes run.
    pub fn wait_until_whole(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let running = (0..NODES.len()).filter(|node| self.servers[*node].is_some());
            let owned = running.map(|node| Ok(self.shards_of(node)?.len()));
            let owned = owned.collect::<Result<Vec<usize>>>()?;
            let at_home = owned.iter().all(|count| *count >= SHARDS / NODES.len());
            if owned.iter().sum::<usize>() == SHARDS && (at_home || owned.len() < NODES.len()) {
                return Ok(());
            }
            if began.elapsed() > WHOLE_MAX {
                bail!(
                    "not every shard has its owner: {owned:?}, see {}",
                    self.directory.display()
                );
            }
            std::thread::sleep(LOOK);
        }
    }

    /// A metric, added up over the nodes that run.
    pub fn sum(&self, metric: &str) -> Result<f64> {
        let of_one = |address: SocketAddr| -> Result<f64> {
            let metrics = client::get(address, "/metrics")?;
            let lines = metrics.lines().filter_map(|line| line.split_once(' '));
            let found = lines.clone().find(|(name, _)| *name == metric);
            let (_, value) = found.with_context(|| format!("/metrics has no {metric}"))?;
            Ok(value.parse()?)
        };
        self.addresses().into_iter().map(of_one).sum()
    }
}

/// An account of this shard: that of client c is in shard c % shards.
pub fn client_of(shard: usize) -> u32 {
    (if shard == 0 { SHARDS } else { shard }) as u32
}
