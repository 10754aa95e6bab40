//! Two nodes, and nginx before them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::nginx::{Balancer, Nginx};
use galo_testkit::{
    data_dir, get, Address, Connection, Driver, Launch, Processor, Server, PATIENCE,
};

pub const NODES: [&str; 2] = ["api01", "api02"];
const DRIVERS: [Driver; 2] = [Driver::Uring, Driver::Epoll];

/// Which node a client's shard is at home at: shards go round the nodes, clients round the shards.
pub fn home(client: u32) -> usize {
    client as usize % NODES.len()
}

pub struct Stack {
    /// Before the nodes, so that it is ended before them.
    pub nginx: Option<Nginx>,
    pub nodes: [Option<Server>; 2],
    /// What nodes that have ended said.
    ended: Vec<String>,
    /// Flags of both nodes.
    flags: Vec<String>,
    dir: TempDir,
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Those that run show theirs themselves.
        if std::thread::panicking() {
            for line in &self.ended {
                eprintln!("{line}");
            }
        }
    }
}

impl Stack {
    /// Both nodes at home, nothing before them.
    pub fn nodes() -> Stack {
        Stack::with(Vec::new())
    }

    fn with(flags: Vec<String>) -> Stack {
        let mut stack = Stack {
            nginx: None,
            nodes: [None, None],
            ended: Vec::new(),
            flags,
            dir: directory(),
        };
        std::fs::create_dir(stack.run()).unwrap();
        stack.start(0);
        stack.start(1);
        stack.wait_until_whole();
        stack
    }

    /// The same behind nginx.
    pub fn behind(balancer: Balancer) -> Stack {
        Stack::nodes().with_balancer(balancer)
    }

    /// The same as a payments gateway.
    pub fn gateway(balancer: Balancer, processors: &[Processor; 2]) -> Stack {
        Stack::gateway_nodes(processors).with_balancer(balancer)
    }

    /// A gateway with nothing before it.
    pub fn gateway_nodes(processors: &[Processor; 2]) -> Stack {
        let [default, fallback] = [0, 1].map(|number| processors[number].url());
        let flags = [
            "--processor-default",
            &default,
            "--processor-fallback",
            &fallback,
        ];
        Stack::with(flags.map(str::to_owned).to_vec())
    }

    fn with_balancer(self, balancer: Balancer) -> Stack {
        let mut stack = self;
        let scratch = stack.dir.path().join("nginx");
        std::fs::create_dir(&scratch).unwrap();
        let nginx = Nginx::start(balancer, &stack.run(), &scratch);
        stack.nginx = Some(nginx.unwrap_or_else(|error| panic!("{error}")));
        stack
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn run(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// nginx's.
    pub fn address(&self) -> Address {
        let nginx = self.nginx.as_ref().expect("there is an nginx");
        Address::Tcp(nginx.address.to_string())
    }

    pub fn node(&self, node: usize) -> &Server {
        self.nodes[node].as_ref().expect("it runs")
    }

    /// Starts a node that does not run, and waits until it listens.
    pub fn start(&mut self, node: usize) {
        assert!(self.nodes[node].is_none(), "it runs");
        let socket = self.run().join(format!("{}.sock", NODES[node]));
        let launch = Launch::driver(&self.data(), DRIVERS[node]).cores(1);
        let server = (self.flags.iter())
            .fold(launch, |launch, flag| launch.arg(flag))
            .flag("node", NODES[node])
            .flag("nodes", NODES.join(","))
            .flag("run", self.run())
            .listen(&format!("unix:{}", socket.display()))
            .start();
        self.nodes[node] = Some(server);
    }

    /// `kill -9`, and until it is gone.
    pub fn kill(&mut self, node: usize) {
        let mut server = self.nodes[node].take().expect("it runs");
        server.signal(Signal::SIGKILL);
        server.wait(PATIENCE);
        self.keep(node, server.log());
    }

    /// SIGTERM, and until it has stopped as promised.
    pub fn stop(&mut self, node: usize) {
        let log = self.nodes[node].take().expect("it runs").stop();
        self.keep(node, log);
    }

    fn keep(&mut self, node: usize, log: Vec<String>) {
        let lines = log.iter().map(|line| format!("{}: {line}", NODES[node]));
        self.ended.extend(lines);
    }

    /// Until every node that runs has just the shards that it is to have, all of them if it is alone.
    #[track_caller]
    pub fn wait_until_whole(&self) {
        let began = Instant::now();
        let running: Vec<usize> = (0..NODES.len())
            .filter(|node| self.nodes[*node].is_some())
            .collect();
        let expected = |node: usize| match running.len() {
            1 => vec![0, 1],
            _ => vec![node as u64],
        };
        let is_whole = || {
            let mut states = running.iter().map(|node| self.health(*node));
            states.all(|health| {
                let linked = health.linked || running.len() == 1;
                linked && health.shards == expected(health.node)
            })
        };
        while !is_whole() {
            assert!(
                began.elapsed() < PATIENCE,
                "shards do not come home: {:?}",
                running.iter().map(|n| self.health(*n)).collect::<Vec<_>>()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn health(&self, node: usize) -> Health {
        Health::of(&mut self.node(node).connect()).expect("it is healthy")
    }
}

/// In memory, where there is such a place: a disk that stops for seconds, as one of a machine that
/// builds and tests may, keeps a shard from changing hands for as long.
fn directory() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("galo-test-");
    builder
        .tempdir_in("/dev/shm")
        .unwrap_or_else(|_| data_dir())
}

/// What `/health` says of the cluster.
#[derive(Debug)]
pub struct Health {
    pub node: usize,
    /// Whether the link to the other node is up.
    pub linked: bool,
    /// Which it owns, ascending.
    pub shards: Vec<u64>,
}

impl Health {
    /// Asks whoever has the connection.
    pub fn of(connection: &mut Connection) -> std::io::Result<Health> {
        connection.try_send(&get("/health"))?;
        let reply = connection.try_reply()?;
        assert_eq!(reply.status, 200, "{reply:?}");
        let json = reply.json();
        let list = |name: &str| json[name].as_array().expect("a list").clone();
        let mut shards: Vec<u64> = list("shards")
            .iter()
            .map(|owned| owned["shard"].as_u64().expect("a number"))
            .collect();
        shards.sort_unstable();
        let name = json["node"].as_str().expect("a name");
        Ok(Health {
            node: NODES.iter().position(|node| *node == name).expect("ours"),
            linked: list("nodes").iter().any(|node| node["link"] == "up"),
            shards,
        })
    }
}
