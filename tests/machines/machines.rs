//! Three machines, each with a node and a nats-server, on a network of their own; without root all of them are on loopback.

use galo_testkit::{
    data_dir, get, wait_until, Address, Connection, Launch, NatsCluster, Network, Processor,
    ReservedPort, Server,
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

pub const NODES: [&str; 3] = ["a", "b", "c"];
/// Four for each node.
const SHARDS: usize = 12;
/// The stream of all logs.
pub const LOG: &str = "GALO_galo";
/// What the subjects of its messages begin with.
pub const SUBJECTS: &str = "galo.galo.log.";

pub struct Machines {
    pub engine: NatsCluster,
    /// By number; `None`: killed.
    nodes: Vec<Option<Server>>,
    pub addresses: Vec<Address>,
    processors: Option<[Processor; 2]>,
    log_mib: usize,
    data: TempDir,
    _ports: Vec<ReservedPort>,
    /// `None`: all is on loopback. Behind those that are in it.
    network: Option<Network>,
}

impl Machines {
    pub fn start() -> Machines {
        Machines::with(1, false)
    }

    /// With payment processors, which are beside the clients.
    pub fn gateway() -> Machines {
        Machines::with(1, true)
    }

    /// The engine's log keeps its front until it has so much.
    pub fn with_log(mib: usize) -> Machines {
        Machines::with(mib, false)
    }

    fn with(log_mib: usize, pays: bool) -> Machines {
        let network = Network::is_permitted().then(|| Network::new(NODES.len()));
        let (engine, ports, addresses) = match &network {
            Some(network) => {
                let machines = (0..NODES.len()).map(|it| network.machine(it));
                let addresses = machines.map(|it| format!("{}:9999", it.address()));
                (NatsCluster::on(network), Vec::new(), addresses.collect())
            }
            None => {
                let ports: Vec<_> = NODES.iter().map(|_| ReservedPort::new()).collect();
                let addresses: Vec<_> = ports.iter().map(ReservedPort::address).collect();
                (NatsCluster::start(3), ports, addresses)
            }
        };
        let host = network.as_ref().map_or("127.0.0.1", |_| Network::HUB);
        let mut machines = Machines {
            engine,
            nodes: NODES.iter().map(|_| None).collect(),
            addresses: addresses.into_iter().map(Address::Tcp).collect(),
            processors: pays.then(|| Processor::both_at(host)),
            log_mib,
            data: data_dir(),
            _ports: ports,
            network,
        };
        (0..NODES.len()).for_each(|node| machines.start_node(node));
        machines.wait_until_whole();
        machines
    }

    /// What is between the machines.
    #[track_caller]
    pub fn network(&self) -> &Network {
        let network = self.network.as_ref();
        network.expect("a network that can be cut needs root")
    }

    #[track_caller]
    pub fn processors(&self) -> &[Processor; 2] {
        self.processors.as_ref().expect("it is a gateway")
    }

    /// What starts this node.
    fn launch(&self, node: usize) -> Launch {
        let mut launch = Launch::serve(&self.data.path().join(NODES[node]))
            .flag("replicate", self.engine.urls().join(","))
            .flag("nodes", NODES.join(","))
            .flag("node", NODES[node])
            .flag("replicate-log-mib", self.log_mib.to_string())
            .cores(1);
        if let Some(processors) = &self.processors {
            // A payment that has waited for so long goes to whoever takes it.
            launch = launch.processors_of(processors);
            launch = launch.flag("payment-deadline", "300ms");
        }
        match &self.network {
            Some(network) => launch.before_exec(network.machine(node).enter()),
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

    /// Waits until the engine's log begins behind a record, and says where. It takes as long as clients take to write so much.
    pub fn wait_until_the_front_is_gone(&self, behind: u64) -> u64 {
        loop {
            let before = self.engine.range_of(LOG);
            let mut now = before;
            wait_until("the log grows, or its front goes", || {
                now = self.engine.range_of(LOG);
                let (before, now) = (before.unwrap_or_default(), now.unwrap_or_default());
                now.0 > behind || now.1 > before.1 + 100
            });
            match now {
                Some((first, _)) if first > behind => return first,
                _ => {}
            }
        }
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

    /// Waits until nodes have all shards between them.
    pub fn wait_until_taken_over_by(&self, nodes: &[usize]) {
        let what = format!("nodes {nodes:?} have all shards");
        wait_until(&what, || {
            let counts = nodes.iter().map(|node| self.shards_of(*node));
            counts.sum::<usize>() == SHARDS
        });
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
