//! `nats-server` with JetStream: one, or a cluster of three, each a process that is killed, stopped and started again, on
//! loopback or on a machine of its own.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{json, Value};
use tempfile::TempDir;

use crate::process::LogStream;
use crate::programs::is_on_path;
use crate::{
    data_dir, get, wait_until, wait_within, Address, Connection, Machine, NatsClient, Network,
    Process, Reply, ReservedPort, PATIENCE,
};

/// Servers are meant by number, from 0 on. All are killed when this is dropped.
pub struct NatsCluster {
    servers: Vec<NatsServer>,
    dir: TempDir,
}

struct NatsServer {
    process: Process,
    state: State,
    config: PathBuf,
    places: Places,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Stopped,
    Killed,
}

/// Where a server runs and listens, `host:port`. All of it stays the server's own while it is not there.
struct Places {
    clients: String,
    routes: String,
    monitoring: String,
    machine: Option<Machine>,
    _ports: Vec<ReservedPort>,
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
        NatsCluster::at((0..servers).map(|_| Places::reserve()).collect(), dir)
    }

    /// Three that replicate, one on each of these machines.
    #[track_caller]
    pub fn on(network: &Network) -> NatsCluster {
        let places = (0..3).map(|it| Places::on(network.machine(it)));
        NatsCluster::at(places.collect(), data_dir())
    }

    #[track_caller]
    fn at(places: Vec<Places>, dir: TempDir) -> NatsCluster {
        let configs = (0..places.len()).map(|number| config(number, &places, dir.path()));
        let configs: Vec<String> = configs.collect();
        let started = configs.iter().zip(places).enumerate();
        let servers = started.map(|(number, (text, places))| {
            let config = dir.path().join(format!("{}.conf", name(number)));
            std::fs::write(&config, text).expect("a file");
            NatsServer {
                process: launch(&config, &places),
                state: State::Running,
                config,
                places,
            }
        });
        let cluster = NatsCluster {
            servers: servers.collect(),
            dir,
        };
        cluster.wait_until_ready();
        cluster
    }

    /// Of all servers, also of those that are not there: `nats://host:port`.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(NatsServer::url).collect()
    }

    /// Waits until all that run follow a leader of the cluster that has heard from each of them, and have all that they
    /// keep of streams.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        // Behind a network that was cut, servers try again at growing intervals, and elect then.
        wait_within(3 * PATIENCE, "JetStream is there", || self.is_ready());
    }

    /// `kill -9`, and until it is gone.
    #[track_caller]
    pub fn kill(&mut self, number: usize) {
        let server = &mut self.servers[number];
        assert_ne!(server.state, State::Killed, "server {number}");
        server.process.kill();
        server.state = State::Killed;
    }

    /// SIGTERM, and until it is gone, in good order. It counts as killed.
    #[track_caller]
    pub fn shut_down(&mut self, number: usize) {
        let server = &mut self.servers[number];
        assert_eq!(server.state, State::Running, "server {number}");
        server.process.signal(Signal::SIGTERM);
        server.process.wait(PATIENCE);
        server.state = State::Killed;
    }

    /// Starts one again that was killed, with the ports and files that it had. It takes its time to be one of the cluster
    /// again: [`NatsCluster::wait_until_ready`].
    #[track_caller]
    pub fn restart(&mut self, number: usize) {
        let server = &mut self.servers[number];
        assert_eq!(server.state, State::Killed, "server {number}");
        server.process = launch(&server.config, &server.places);
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

    /// The numbers of a stream's first and last record, at the server that leads it.
    pub fn range_of(&self, stream: &str) -> Option<(u64, u64)> {
        let state = &self.servers[self.leader_of(stream)?].stream(stream)?["state"];
        Some((state["first_seq"].as_u64()?, state["last_seq"].as_u64()?))
    }

    /// Asks for this server to lead a stream, until it does.
    #[track_caller]
    pub fn make_leader(&self, stream: &str, number: usize) {
        let what = format!("{} leads {stream}", name(number));
        wait_until(&what, || {
            let leader = self.leader_of(stream);
            if let (Some(leader), true) = (leader, leader != Some(number)) {
                // It may refuse, as long as the other has not caught up.
                let _ = self.servers[leader].step_down(stream, &name(number));
            }
            leader == Some(number)
        });
    }

    /// How many records of a stream a server lacks between those that it has, as far as it says.
    pub fn missing_of(&self, number: usize, stream: &str) -> Option<u64> {
        let state = &self.servers[number].stream(stream)?["state"];
        state["last_seq"].as_u64()?;
        Some(state["num_deleted"].as_u64().unwrap_or(0))
    }

    /// Bytes of a stream's largest file of records, of a server that is not there.
    #[track_caller]
    pub fn records_length(&self, number: usize, stream: &str) -> u64 {
        self.records(number, stream).1
    }

    /// Flips a bit of that file, of a server that is not there: of the last eight bytes of the first message's content that ends
    /// behind `at`, of those before another of a subject that begins so. (What a server has beside the contents it does not
    /// check all of: the length of a message's headers, for one.)
    #[track_caller]
    pub fn flip_bit(&self, number: usize, stream: &str, subject: &str, at: u64, bit: u32) {
        let (file, _) = self.records(number, stream);
        let mut bytes = std::fs::read(&file).expect("it is readable");
        let rest = bytes[at as usize + BETWEEN_MESSAGES + 8..].windows(subject.len());
        let next = rest.enumerate().find(|(_, it)| *it == subject.as_bytes());
        let (next, _) = next.expect("a message behind it");
        let end = at as usize + 8 + next;
        bytes[end - 8 + bit as usize / 8] ^= 1 << (bit % 8);
        std::fs::write(&file, &bytes).expect("it is writable");
    }

    #[track_caller]
    fn records(&self, number: usize, stream: &str) -> (PathBuf, u64) {
        assert_eq!(self.servers[number].state, State::Killed);
        let server = self.dir.path().join(name(number));
        let records = server.join(format!("jetstream/$G/streams/{stream}/msgs"));
        let files = std::fs::read_dir(records).expect("the stream's");
        let files = files.map(|file| file.expect("a name"));
        let files = files.map(|it| (it.path(), it.metadata().expect("it is there").len()));
        let files = files.filter(|(file, _)| file.extension().is_some_and(|it| it == "blk"));
        let largest = files.max_by_key(|(_, length)| *length);
        largest.expect("a file of records")
    }

    /// Removes all that a server has, which was killed.
    pub fn wipe(&self, number: usize) {
        assert_eq!(self.servers[number].state, State::Killed);
        std::fs::remove_dir_all(self.dir.path().join(name(number))).expect("it had something");
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
    fn url(&self) -> String {
        format!("nats://{}", self.places.clients)
    }

    #[track_caller]
    fn pass(&mut self, signal: Signal, from: State, to: State) {
        assert_eq!(self.state, from, "{signal}");
        self.process.signal(signal);
        self.state = to;
    }

    /// What its monitoring says; `None`: nothing, as when it has only begun.
    fn ask(&self, path: &str) -> Option<Reply> {
        let address = Address::Tcp(self.places.monitoring.clone());
        let mut connection = Connection::open(&address).ok()?;
        connection.try_send(&get(path)).ok()?;
        connection.try_reply().ok()
    }

    /// Asks the leader of a stream to let another lead.
    fn step_down(&self, stream: &str, preferred: &str) -> io::Result<()> {
        let subject = format!("STREAM.LEADER.STEPDOWN.{stream}");
        let question = json!({ "placement": { "preferred": preferred } });
        let mut client = NatsClient::connect(&self.url())?;
        client.ask(&subject, &question).map(drop)
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

impl Places {
    /// On loopback.
    fn reserve() -> Places {
        let ports: Vec<ReservedPort> = (0..3).map(|_| ReservedPort::new()).collect();
        Places {
            clients: ports[0].address(),
            routes: ports[1].address(),
            monitoring: ports[2].address(),
            machine: None,
            _ports: ports,
        }
    }

    fn on(machine: &Machine) -> Places {
        let at = |port: u16| format!("{}:{port}", machine.address());
        Places {
            clients: at(4222),
            routes: at(6222),
            monitoring: at(8222),
            machine: Some(machine.clone()),
            _ports: Vec::new(),
        }
    }
}

fn name(number: usize) -> String {
    format!("server-{number}")
}

/// `tools/nats.conf` for one of the servers that are at these places.
fn config(number: usize, places: &[Places], dir: &Path) -> String {
    let (name, own) = (name(number), &places[number]);
    let store = format!("{:?}", dir.join(&name));
    let mut text = include_str!("../../tools/nats.conf").to_owned();
    let mut set = |of_project: &str, of_test: &str| {
        assert!(text.contains(of_project), "nats.conf has no {of_project}");
        text = text.replace(of_project, of_test);
    };
    set("$NATS_NAME", &name);
    set("0.0.0.0:4222", &own.clients);
    set("127.0.0.1:8222", &own.monitoring);
    set("\"/data\"", &store);
    set("0.0.0.0:6222", &own.routes);
    for (of_project, of_test) in ["n1:6222", "n2:6222", "n3:6222"].iter().zip(places) {
        set(of_project, &of_test.routes);
    }
    match text.split_once("\ncluster {") {
        Some((alone, _)) if places.len() == 1 => alone.to_owned(),
        _ => text,
    }
}

fn launch(config: &Path, places: &Places) -> Process {
    let mut command = Command::new(nats_server());
    command.arg("--config").arg(config);
    if let Some(machine) = &places.machine {
        // SAFETY: it makes one system call, and touches nothing that a lock guards.
        unsafe { command.pre_exec(machine.enter()) };
    }
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

/// From the end of a message's content to the next one's subject, in a file of records: a checksum; the next one's length,
/// number, time, and length of its subject.
const BETWEEN_MESSAGES: usize = 8 + 4 + 8 + 8 + 2;
/// From the root of the workspace.
const INSTALLED: &str = "target/nats-server/nats-server";
