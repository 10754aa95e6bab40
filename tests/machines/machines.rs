//! Three nodes and three nats-servers.

use galo_testkit::{
    data_dir, get, wait_until, Address, Connection, Launch, NatsCluster, Processor, ReservedPort,
    Server,
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

pub const NODES: [&str; 3] = ["a", "b", "c"];
/// Four for each node.
const SHARDS: usize = 12;
/// The stream of all logs.
pub const LOG: &str = "GALO_galo";

pub struct Machines {
    pub engine: NatsCluster,
    /// By number; `None`: killed.
    nodes: Vec<Option<Server>>,
    pub addresses: Vec<Address>,
    processors: Option<[String; 2]>,
    data: TempDir,
    _ports: Vec<ReservedPort>,
}

impl Machines {
    pub fn start() -> Machines {
        Machines::with(None)
    }

    pub fn gateway(processors: &[Processor; 2]) -> Machines {
        Machines::with(Some(processors.each_ref().map(|it| it.url())))
    }

    fn with(processors: Option<[String; 2]>) -> Machines {
        let ports: Vec<ReservedPort> = NODES.iter().map(|_| ReservedPort::new()).collect();
        let mut machines = Machines {
            engine: NatsCluster::start(3),
            nodes: NODES.iter().map(|_| None).collect(),
            addresses: ports
                .iter()
                .map(ReservedPort::address)
                .map(Address::Tcp)
                .collect(),
            processors,
            data: data_dir(),
            _ports: ports,
        };
        (0..NODES.len()).for_each(|node| machines.start_node(node));
        machines.wait_until_whole();
        machines
    }

    /// What starts this node.
    pub fn launch(&self, node: usize) -> Launch {
        let launch = Launch::serve(&self.data.path().join(NODES[node]))
            .flag("replicate", self.engine.urls().join(","))
            .flag("nodes", NODES.join(","))
            .flag("node", NODES[node])
            .flag("replicate-log-mib", "1")
            .cores(1);
        match &self.processors {
            Some([default, fallback]) => launch.processors(default, fallback),
            None => launch,
        }
    }

    pub fn start_node(&mut self, node: usize) {
        let address = self.addresses[node].to_string();
        let server = self.launch(node).listen(&address).start();
        self.nodes[node] = Some(server);
    }

    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node].take().expect("it runs").kill();
    }

    /// A node that is gone comes back on another machine.
    pub fn replace_node(&mut self, node: usize) {
        std::fs::remove_dir_all(self.data.path().join(NODES[node])).expect("it was there");
        self.start_node(node);
    }

    /// Waits until the engine's log begins behind a record, and says where.
    pub fn wait_until_the_front_is_gone(&self, behind: u64) -> u64 {
        let mut first = 0;
        wait_until("the log's front is gone", || {
            first = self.engine.first_of(LOG).unwrap_or(0);
            first > behind
        });
        first
    }

    /// In good order.
    pub fn stop_node(&mut self, node: usize) {
        self.nodes[node].take().expect("it runs").stop();
    }

    pub fn signal_node(&self, node: usize, signal: Signal) {
        self.nodes[node].as_ref().expect("it runs").signal(signal);
    }

    /// Who leads the stream of all logs.
    pub fn engine_leader(&self) -> usize {
        let mut leader = None;
        wait_until("the log's stream has a leader", || {
            leader = self.engine.leader_of(LOG);
            leader.is_some()
        });
        leader.expect("just seen")
    }

    /// Waits until every node has its shards.
    pub fn wait_until_whole(&self) {
        for (node, name) in NODES.iter().enumerate() {
            let what = format!("node {name} has its shards");
            wait_until(&what, || self.shards_of(node) == SHARDS / NODES.len());
        }
    }

    /// What a node says of itself.
    pub fn health(&self, node: usize) -> serde_json::Value {
        let mut connection = Connection::open(&self.addresses[node]).expect("it listens");
        connection.ask(&get("/health")).json()
    }

    /// What a node has said.
    pub fn log_of(&self, node: usize) -> Vec<String> {
        self.nodes[node].as_ref().expect("it runs").log()
    }

    /// How many shards a node says that it owns.
    pub fn shards_of(&self, node: usize) -> usize {
        let Ok(mut connection) = Connection::open(&self.addresses[node]) else {
            return 0;
        };
        let health = connection.ask(&get("/health")).json();
        health["shards"].as_array().map_or(0, Vec::len)
    }
}
