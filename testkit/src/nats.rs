//! `nats-server` with JetStream: one, or a cluster of three, each a process that is killed, stopped and started again.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::LogStream;
use crate::programs::is_on_path;
use crate::{data_dir, get, wait_until, Address, Connection, Process, Reply, ReservedPort};

/// Servers are meant by number, from 0 on. All are killed when this is dropped.
pub struct NatsCluster {
    servers: Vec<NatsServer>,
    _dir: TempDir,
}

struct NatsServer {
    process: Process,
    state: State,
    config: PathBuf,
    ports: Ports,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Stopped,
    Killed,
}

/// They stay a server's own while it is not there.
struct Ports {
    clients: ReservedPort,
    routes: ReservedPort,
    monitoring: ReservedPort,
}

impl NatsCluster {
    /// One server, or three that replicate; waits until JetStream takes requests.
    #[track_caller]
    pub fn start(servers: usize) -> NatsCluster {
        NatsCluster::start_in(servers, data_dir())
    }

    /// The same with all files in this directory.
    #[track_caller]
    pub fn start_in(servers: usize, dir: TempDir) -> NatsCluster {
        assert!(matches!(servers, 1 | 3), "{servers} servers");
        let ports: Vec<Ports> = (0..servers).map(|_| Ports::reserve()).collect();
        let configs = (0..servers).map(|number| config(number, &ports, dir.path()));
        let configs: Vec<String> = configs.collect();
        let started = configs.iter().zip(ports).enumerate();
        let servers = started.map(|(number, (text, ports))| {
            let config = dir.path().join(format!("{}.conf", name(number)));
            std::fs::write(&config, text).expect("a file");
            NatsServer {
                process: launch(&config),
                state: State::Running,
                config,
                ports,
            }
        });
        let cluster = NatsCluster {
            servers: servers.collect(),
            _dir: dir,
        };
        cluster.wait_until_ready();
        cluster
    }

    /// Of all servers, also of those that are not there: `nats://host:port`.
    pub fn urls(&self) -> Vec<String> {
        let addresses = self.servers.iter().map(|server| &server.ports.clients);
        addresses
            .map(|port| format!("nats://{}", port.address()))
            .collect()
    }

    /// Waits until all that run follow a leader of the cluster that has heard from each of them, and have all that they
    /// keep of streams.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        wait_until("JetStream is there", || self.is_ready());
    }

    /// `kill -9`, and until it is gone.
    #[track_caller]
    pub fn kill(&mut self, number: usize) {
        let server = &mut self.servers[number];
        assert_ne!(server.state, State::Killed, "server {number}");
        server.process.kill();
        server.state = State::Killed;
    }

    /// Starts one again that was killed, with the ports and files that it had. It takes its time to be one of the cluster
    /// again: [`NatsCluster::wait_until_ready`].
    #[track_caller]
    pub fn restart(&mut self, number: usize) {
        let server = &mut self.servers[number];
        assert_eq!(server.state, State::Killed, "server {number}");
        server.process = launch(&server.config);
        server.state = State::Running;
    }

    /// SIGSTOP: it keeps its connections, and says nothing.
    #[track_caller]
    pub fn stop(&mut self, number: usize) {
        self.servers[number].pass(Signal::SIGSTOP, State::Running, State::Stopped);
    }

    /// SIGCONT, after [`NatsCluster::stop`].
    #[track_caller]
    pub fn cont(&mut self, number: usize) {
        self.servers[number].pass(Signal::SIGCONT, State::Stopped, State::Running);
    }

    /// Who says to lead this stream, of those that run; `None`: nobody does, or two do, one of which was stopped and has
    /// not heard of the other yet.
    pub fn leader_of(&self, stream: &str) -> Option<usize> {
        let leads = |(number, server): &(usize, &NatsServer)| {
            server.stream_leader(stream).as_deref() == Some(&name(*number))
        };
        let mut leaders = self.running().filter(leads);
        match (leaders.next(), leaders.next()) {
            (Some((number, _)), None) => Some(number),
            _ => None,
        }
    }

    /// The number of a stream's first record, at the server that leads it.
    pub fn first_of(&self, stream: &str) -> Option<u64> {
        let found = self.servers[self.leader_of(stream)?].stream(stream)?;
        found["state"]["first_seq"].as_u64()
    }

    fn running(&self) -> impl Iterator<Item = (usize, &NatsServer)> {
        let servers = self.servers.iter().enumerate();
        servers.filter(|(_, server)| server.state == State::Running)
    }

    fn is_ready(&self) -> bool {
        let healthy = |server: &NatsServer| {
            let reply = server.ask("/healthz");
            reply.is_some_and(|reply| reply.status == 200)
        };
        if !self.running().all(|(_, server)| healthy(server)) {
            return false;
        }
        // One alone has nobody to follow.
        self.servers.len() == 1 || {
            let count = self.running().count();
            let mut leading = self.running();
            leading.any(|(number, server)| server.peers_as_leader(number) >= Some(count - 1))
        }
    }
}

impl NatsServer {
    #[track_caller]
    fn pass(&mut self, signal: Signal, from: State, to: State) {
        assert_eq!(self.state, from, "{signal}");
        self.process.signal(signal);
        self.state = to;
    }

    /// What its monitoring says; `None`: nothing, as when it has only begun.
    fn ask(&self, path: &str) -> Option<Reply> {
        let address = Address::Tcp(self.ports.monitoring.address());
        let mut connection = Connection::open(&address).ok()?;
        connection.try_send(&get(path)).ok()?;
        connection.try_reply().ok()
    }

    fn ask_json(&self, path: &str) -> Option<Value> {
        let reply = self.ask(path)?;
        (reply.status == 200).then(|| reply.json())
    }

    /// How many others are there, if it is the leader of the cluster.
    fn peers_as_leader(&self, number: usize) -> Option<usize> {
        let cluster = &self.ask_json("/jsz")?["meta_cluster"];
        if cluster["leader"] != name(number) {
            return None;
        }
        let peers = cluster["replicas"].as_array()?.iter();
        let here = peers.filter(|peer| peer["current"] == true && peer["offline"] != true);
        Some(here.count())
    }

    /// By name, as far as it knows.
    fn stream(&self, name: &str) -> Option<serde_json::Value> {
        let accounts = self.ask_json("/jsz?streams=true&config=true")?;
        let accounts = accounts["account_details"].as_array()?.iter();
        let mut streams = accounts
            .filter_map(|account| account["stream_detail"].as_array())
            .flatten();
        streams.find(|found| found["name"] == name).cloned()
    }

    fn stream_leader(&self, stream: &str) -> Option<String> {
        let found = self.stream(stream)?;
        let cluster = &found["cluster"];
        // Before it has begun to replicate a stream, it names itself.
        if found["config"]["num_replicas"] != 1 && cluster["raft_group"].is_null() {
            return None;
        }
        cluster["leader"].as_str().map(str::to_owned)
    }
}

impl Ports {
    fn reserve() -> Ports {
        Ports {
            clients: ReservedPort::new(),
            routes: ReservedPort::new(),
            monitoring: ReservedPort::new(),
        }
    }
}

fn name(number: usize) -> String {
    format!("server-{number}")
}

/// `tools/nats.conf` for one of the servers that have these ports.
fn config(number: usize, ports: &[Ports], dir: &Path) -> String {
    let (name, own) = (name(number), &ports[number]);
    let store = format!("{:?}", dir.join(&name));
    let mut text = include_str!("../../tools/nats.conf").to_owned();
    let mut set = |of_project: &str, of_test: &str| {
        assert!(text.contains(of_project), "nats.conf has no {of_project}");
        text = text.replace(of_project, of_test);
    };
    set("$NATS_NAME", &name);
    set("0.0.0.0:4222", &own.clients.address());
    set("127.0.0.1:8222", &own.monitoring.address());
    set("\"/data\"", &store);
    set("0.0.0.0:6222", &own.routes.address());
    for (of_project, of_test) in ["n1:6222", "n2:6222", "n3:6222"].iter().zip(ports) {
        set(of_project, &of_test.routes.address());
    }
    match text.split_once("\ncluster {") {
        Some((alone, _)) if ports.len() == 1 => alone.to_owned(),
        _ => text,
    }
}

fn launch(config: &Path) -> Process {
    let mut command = Command::new(nats_server());
    command.arg("--config").arg(config);
    Process::start(command, LogStream::Stderr)
}

/// The program: `$GALO_NATS_SERVER`, else where `.ci/run` installs it, else that of the system. `Err`: what is missing.
pub fn find_nats_server() -> Result<PathBuf, &'static str> {
    if let Some(program) = std::env::var_os("GALO_NATS_SERVER") {
        return Ok(program.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let installed = root.expect("the workspace").join(INSTALLED);
    if installed.is_file() {
        return Ok(installed);
    }
    let found = is_on_path("nats-server").then(|| "nats-server".into());
    found.ok_or(
        "nats-server is missing, 2.15 or later: \
         GOBIN=$PWD/target/nats-server go install github.com/nats-io/nats-server/v2@v2.15.2, \
         or set GALO_NATS_SERVER",
    )
}

/// The same; whoever runs tests of it has it.
#[track_caller]
pub fn nats_server() -> PathBuf {
    find_nats_server().unwrap_or_else(|missing| panic!("{missing}"))
}

/// From the root of the workspace.
const INSTALLED: &str = "target/nats-server/nats-server";
