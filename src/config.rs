//! Flags, environment variables and defaults. A flag beats its variable, a variable the default.

mod flags;
mod help;
mod nearest;
mod payments;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use log::LevelFilter;

use crate::cluster::Cluster;
use crate::io::{Address, Driver, DriverChoice};
use crate::limits::{
    CORES_MAX, LOG_MIB, MIB, PAYMENTS_OPEN_MAX, PAYMENT_DEADLINE_NS, SHARDS_MAX,
    SOCKET_PATH_BYTES_MAX,
};
use crate::log::Format;
use crate::nats;
use crate::node::Durability;
use flags::{set_listen, Flag, Given, ENGINE_FLAGS, LISTEN_DEFAULT, SERVE_FLAGS};
pub use help::{flags, help, FlagText, HelpPage};
use nearest::nearest;
pub use payments::{PaymentFlags, ProcessorUrl};

/// The commit this was built from, or `unknown`.
pub const GIT_HASH: &str = env!("GALO_GIT_HASH");

/// The line that `galo --version` prints: version, commit and I/O drivers.
pub fn version() -> String {
    let drivers = Driver::ALL.map(Driver::name).join(", ");
    format!(
        "galo {} ({GIT_HASH}), I/O drivers: {drivers}",
        env!("CARGO_PKG_VERSION")
    )
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum CliCommand {
    /// Serve: every flag and variable, with its default where it was not given.
    Serve(Box<Serve>),
    /// `galo check`: verify a data directory without serving it.
    Check {
        /// The data directory to check.
        data: PathBuf,
    },
    /// `galo healthcheck`: ask a running server whether it serves.
    Healthcheck {
        /// The server to ask: `[http://]HOST[:PORT][/PATH]` or `unix:/PATH`.
        url: String,
    },
    /// `galo cluster status`: tell how nodes on several machines are, by the engine that is reached so.
    ClusterStatus(nats::Settings),
    /// Print a page of [`help()`], and exit.
    Help(HelpPage),
    /// Print [`version()`], and exit.
    Version,
}

/// The settings of `galo serve`; see [`help()`].
#[derive(Debug, PartialEq)]
pub struct Serve {
    /// `--listen`: where clients connect.
    pub listen: Vec<Address>,
    /// Nobody has said `--listen`: where sockets are inherited, these are enough.
    pub listen_is_default: bool,
    /// `--data`: the data directory.
    pub data: PathBuf,
    /// `--cores`: threads that serve, one a core.
    pub cores: usize,
    /// `--pin`: each thread stays on a CPU of its own.
    pub pin: bool,
    /// `--io`: the I/O driver.
    pub io: DriverChoice,
    /// `--durability`: when a reply may leave.
    pub durability: Durability,
    /// `--clients`: the file with the clients of a new directory; `None`: those of the contest.
    pub clients: Option<PathBuf>,
    /// `--shards` of a new directory; `None`: as many as there are members.
    pub shards: Option<usize>,
    /// `--allow-reset`: `POST /reset` and `POST /purge-payments` are carried out.
    pub allow_reset: bool,
    /// `--docs`: `GET /openapi.json` is answered.
    pub docs: bool,
    /// `--processor-default` and what belongs to it. `None`: no payments.
    pub payments: Option<PaymentFlags>,
    /// `--nodes`, `--node`, `--run`. `None`: one process, alone, or several machines.
    pub cluster: Option<Cluster>,
    /// `--replicate` and what belongs to it. `None`: one machine.
    pub replicate: Option<Replicate>,
    /// `--log`: the format of log lines.
    pub log: Format,
    /// `--log-level`: the least level that is logged.
    pub log_level: LevelFilter,
    /// Lines for the log about flags that were given and have no effect.
    pub warnings: Vec<String>,
}

impl Serve {
    /// How many nodes there are, on one machine or several.
    pub fn nodes(&self) -> usize {
        let cluster = self.cluster.as_ref().map(|it| it.nodes.len());
        let replicate = self.replicate.as_ref().map(|it| it.nodes.len());
        cluster.or(replicate).unwrap_or(1)
    }
}

/// Nodes on several machines.
#[derive(Clone, Debug, PartialEq)]
pub struct Replicate {
    /// Who keeps the journals.
    pub engine: nats::Settings,
    /// Names of the nodes, in the order that all of them are given; without `--nodes`, one.
    pub nodes: Vec<String>,
    /// Index of this node in `nodes`.
    pub node: usize,
    /// `--seed`: a directory of one machine founds the cluster.
    pub seed: bool,
    /// From how many bytes on the front of the engine's log goes.
    pub log_bytes_max: u64,
}

/// Of each node.
const SHARDS_OF_NODE: usize = 4;

impl Replicate {
    /// Shards of a new cluster: each has a batch under way.
    pub fn shards_by_default(&self) -> usize {
        SHARDS_MAX.min(SHARDS_OF_NODE * self.nodes.len())
    }
}

/// A flag or variable that cannot be used: one line.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the command line and the environment. `args` are without the program's name.
///
/// # Errors
/// Names the flag or variable, what was given, and what is accepted.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<CliCommand, UsageError> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut command = None;
    let serve = Serve {
        listen: Vec::new(),
        listen_is_default: false,
        data: PathBuf::from("./data"),
        cores: 0, // Not given.
        pin: false,
        io: DriverChoice::Auto,
        durability: Durability::Process,
        clients: None,
        shards: None,
        allow_reset: false,
        docs: false,
        payments: None,
        cluster: None,
        replicate: None,
        log: Format::Text,
        log_level: LevelFilter::Info,
        warnings: Vec::new(),
    };
    let mut given = Given {
        serve,
        processors: [None, None],
        payment_deadline_ns: PAYMENT_DEADLINE_NS,
        payment_queue: PAYMENTS_OPEN_MAX,
        replace_processors: false,
        nodes: None,
        node: None,
        run: None,
        durability: None,
        replicate: None,
        cluster: None,
        replicate_creds: None,
        replicate_tls_ca: None,
        replicate_tls_cert: None,
        replicate_tls_key: None,
        replicate_log_mib: None,
        seed: false,
    };
    // Of no interest to --help, nor to a healthcheck in the same environment.
    let mut bad_variables = Vec::new();
    for flag in &SERVE_FLAGS {
        let set = flag.variables().find_map(|name| {
            // An empty variable is as good as none: that is how compose files leave one out.
            let is_blank = |value: &OsString| value.to_string_lossy().trim().is_empty();
            let value = variable(&name).filter(|value| !is_blank(value))?;
            let set = utf8(&name, value).and_then(|value| {
                (flag.set)(&mut given, &value)
                    .map_err(|error| UsageError(format!("{name}: {error}")))
            });
            Some(set)
        });
        let error = set.and_then(Result::err);
        bad_variables.extend(error.map(|error| (flag.name, error)));
    }
    let listen_by_variable = std::mem::take(&mut given.serve.listen);
    // The one flag of `galo healthcheck`, as `--data` is the one of `galo check`.
    let mut url = None;
    let mut seen = Vec::new();

    while let Some(arg) = parser
        .next()
        .map_err(|error| UsageError(error.to_string()))?
    {
        match arg {
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => {
                return Ok(CliCommand::Help(page(command.as_deref())))
            }
            lexopt::Arg::Short('V') | lexopt::Arg::Long("version") => {
                return Ok(CliCommand::Version)
            }
            lexopt::Arg::Value(word) if command.is_none() => {
                let word = utf8("command", word)?;
                match word.as_str() {
                    "serve" | "check" | "healthcheck" | "cluster" => command = Some(word),
                    "help" => return help_about(&mut parser),
                    "version" => return Ok(CliCommand::Version),
                    _ => return Err(unknown_command(&word)),
                }
            }
            lexopt::Arg::Value(word) if command.as_deref() == Some("cluster") => {
                let word = utf8("command", word)?;
                if word != "status" {
                    let meant = meant(nearest(&word, ["status"]));
                    return Err(UsageError(format!(
                        "unknown command 'cluster {word}'{meant}; accepted: cluster status"
                    )));
                }
                command = Some(CLUSTER_STATUS.to_owned());
            }
            lexopt::Arg::Value(word) => {
                let message = format!(
                    "'{}' is one word too many; see galo --help",
                    word.to_string_lossy()
                );
                return Err(UsageError(message));
            }
            lexopt::Arg::Short(letter) => return Err(unknown(&command, &format!("-{letter}"))),
            lexopt::Arg::Long(name) => {
                let name = name.to_owned();
                let flag = SERVE_FLAGS.iter().find(|flag| flag.name == name);
                let value = match (command.as_deref().unwrap_or("serve"), flag) {
                    ("serve", Some(flag)) if !flag.takes_value() => match parser.optional_value() {
                        Some(value) => utf8(&format!("--{name}"), value)?,
                        None => "true".to_owned(),
                    },
                    ("serve", Some(_)) => value(&mut parser, &name)?,
                    ("check", Some(_)) if name == "data" => value(&mut parser, &name)?,
                    ("healthcheck", _) if name == "url" => value(&mut parser, &name)?,
                    ("cluster" | CLUSTER_STATUS, Some(_)) if is_of_engine(&name) => {
                        value(&mut parser, &name)?
                    }
                    _ => return Err(unknown(&command, &format!("--{name}"))),
                };
                // The last one would win, the first one, or none, depending on whom one asks.
                if seen.contains(&name) && !flag.is_some_and(Flag::adds_up) {
                    let message = format!("--{name}: is there twice; accepted: once");
                    return Err(UsageError(message));
                }
                seen.push(name.clone());
                if name == "url" {
                    url = Some(value);
                    continue;
                }
                let flag = flag.expect("every arm above but url's has seen it");
                (flag.set)(&mut given, &value)
                    .map_err(|error| UsageError(format!("--{name}: {error}")))?;
            }
        }
    }
    if given.serve.listen.is_empty() {
        given.serve.listen = listen_by_variable;
    }
    if given.serve.listen.is_empty() {
        set_listen(&mut given, LISTEN_DEFAULT).expect("the default is an address");
        given.serve.listen_is_default = true;
    }
    match command.as_deref() {
        Some("check") => {
            return Ok(CliCommand::Check {
                data: given.serve.data,
            })
        }
        Some("healthcheck") => {
            let url = url.unwrap_or_else(|| health_url(&given.serve.listen[0]));
            return Ok(CliCommand::Healthcheck { url });
        }
        Some("cluster") => {
            let message = "cluster: what of it is missing; accepted: cluster status";
            return Err(UsageError(message.to_owned()));
        }
        Some(CLUSTER_STATUS) => {
            let mut bad = bad_variables.into_iter();
            if let Some((_, error)) = bad.find(|(name, _)| is_of_engine(name)) {
                return Err(error);
            }
            let Some(servers) = given.replicate.take() else {
                let message = "--replicate: missing; see galo help cluster";
                return Err(UsageError(message.to_owned()));
            };
            let engine = given.engine(servers).map_err(UsageError)?;
            return Ok(CliCommand::ClusterStatus(engine));
        }
        _ => {}
    }
    if let Some((_, error)) = bad_variables.into_iter().next() {
        return Err(error);
    }
    let mut serve = given.settle().map_err(UsageError)?;
    if serve.payments.is_none() {
        let idle = seen.iter().filter(|name| name.starts_with("payment-"));
        serve.warnings.extend(idle.map(|name| {
            format!("--{name} has no effect without --processor-default and --processor-fallback")
        }));
    }
    Ok(CliCommand::Serve(Box::new(serve)))
}

impl Given {
    /// The settings, now that everything is said.
    fn settle(mut self) -> Result<Serve, String> {
        self.settle_replicate()?;
        let mut serve = self.serve;
        let nodes = self.nodes.as_ref().map_or(1, Vec::len);
        // Shards go round the nodes, and in each of them round its cores.
        let by_default = serve.replicate.as_ref().map(Replicate::shards_by_default);
        let shards = serve.shards.or(by_default).unwrap_or(SHARDS_MAX);
        let cores_max = shards.div_ceil(nodes);
        if serve.cores == 0 {
            let available = std::thread::available_parallelism().map_or(1, usize::from);
            serve.cores = available.min(CORES_MAX).min(cores_max);
        }
        let cores = serve.cores;
        // Those of a directory that is there may be more.
        if cores > cores_max && by_default.is_none_or(|_| serve.shards.is_some()) {
            let in_each = if nodes > 1 { " in each node" } else { "" };
            return Err(format!(
                "--shards: {shards} for {cores} cores{in_each}; accepted: at least one shard a core"
            ));
        }
        let parts = [
            ("--nodes", self.nodes.is_some()),
            ("--node", self.node.is_some()),
            ("--run", self.run.is_some()),
        ];
        serve.payments = PaymentFlags::settle(
            self.processors,
            self.payment_deadline_ns,
            self.payment_queue,
            self.replace_processors,
        )?;
        if serve.replicate.is_some() {
            return Ok(serve);
        }
        let (Some(nodes), Some(name), Some(run)) = (self.nodes, self.node, self.run) else {
            let missing = parts.iter().filter(|(_, is_given)| !is_given);
            let missing: Vec<&str> = missing.map(|(flag, _)| *flag).collect();
            if missing.len() == parts.len() {
                return Ok(serve);
            }
            let missing = missing.join(" and ");
            return Err(format!(
                "{missing}: missing; --nodes, --node and --run come together"
            ));
        };
        let node = node_of(&nodes, &name)?;
        let cluster = Cluster { nodes, node, run };
        if let Some(path) = cluster.too_long_path(cores) {
            let path = path.display();
            return Err(format!(
                "--run: {path} is too long: a socket's path has at most {SOCKET_PATH_BYTES_MAX} bytes"
            ));
        }
        serve.cluster = Some(cluster);
        Ok(serve)
    }
}

impl Given {
    /// Whether nodes are on several machines, and all that this takes and forbids.
    fn settle_replicate(&mut self) -> Result<(), String> {
        let others = [
            ("--replicate-creds", self.replicate_creds.is_some()),
            ("--replicate-tls-ca", self.replicate_tls_ca.is_some()),
            ("--replicate-tls-cert", self.replicate_tls_cert.is_some()),
            ("--replicate-tls-key", self.replicate_tls_key.is_some()),
            ("--replicate-log-mib", self.replicate_log_mib.is_some()),
            ("--seed", self.seed),
            (
                "--durability replicated",
                self.durability == Some(Durability::Replicated),
            ),
        ];
        let Some(servers) = self.replicate.take() else {
            if let Some((flag, _)) = others.iter().find(|(_, is_given)| *is_given) {
                return Err(format!("{flag}: only with --replicate"));
            }
            self.serve.durability = self.durability.unwrap_or(Durability::Process);
            return Ok(());
        };
        if self.run.is_some() {
            return Err("--run: not with --replicate: nodes meet at the engine".to_owned());
        }
        if self.durability.unwrap_or(Durability::Replicated) != Durability::Replicated {
            return Err("--durability: with --replicate it is replicated".to_owned());
        }
        let (nodes, node) = match (self.nodes.clone(), self.node.take()) {
            (None, None) => (vec!["galo".to_owned()], 0),
            (Some(nodes), Some(name)) => {
                let node = node_of(&nodes, &name)?;
                (nodes, node)
            }
            (None, Some(_)) => return Err("--nodes: missing; it comes with --node".to_owned()),
            (Some(_), None) => return Err("--node: missing; it comes with --nodes".to_owned()),
        };
        let engine = self.engine(servers)?;
        self.serve.durability = Durability::Replicated;
        self.serve.replicate = Some(Replicate {
            engine,
            nodes,
            node,
            seed: self.seed,
            log_bytes_max: self.replicate_log_mib.unwrap_or(LOG_MIB) as u64 * MIB as u64,
        });
        Ok(())
    }

    /// How the engine is reached.
    fn engine(&mut self, servers: Vec<String>) -> Result<nats::Settings, String> {
        if self.replicate_tls_cert.is_some() != self.replicate_tls_key.is_some() {
            return Err("--replicate-tls-cert and --replicate-tls-key come together".to_owned());
        }
        Ok(nats::Settings {
            servers,
            cluster: self.cluster.take().unwrap_or_else(|| "galo".to_owned()),
            creds: self.replicate_creds.take(),
            tls_ca: self.replicate_tls_ca.take(),
            tls_cert: self.replicate_tls_cert.take(),
            tls_key: self.replicate_tls_key.take(),
        })
    }
}

fn node_of(nodes: &[String], name: &str) -> Result<usize, String> {
    let node = nodes.iter().position(|node| node == name);
    node.ok_or_else(|| format!("--node: '{name}' is not in --nodes {}", nodes.join(",")))
}

/// Where a server that listens there is asked. One that listens on all addresses (0.0.0.0) is asked
/// at just that: Linux takes it for this machine.
fn health_url(address: &Address) -> String {
    match address {
        Address::Unix(_) => address.to_string(),
        Address::Tcp(..) => format!("http://{address}/health"),
    }
}

const COMMANDS: [&str; 6] = [
    "serve",
    "check",
    "healthcheck",
    "cluster",
    "help",
    "version",
];
/// What comes of two words.
const CLUSTER_STATUS: &str = "cluster status";

/// Whether a flag says how the engine is reached.
fn is_of_engine(name: &str) -> bool {
    ENGINE_FLAGS.contains(&name)
}

/// Of a command; without one, in short.
fn page(command: Option<&str>) -> HelpPage {
    match command {
        Some("serve") => HelpPage::Serve,
        Some("check") => HelpPage::Check,
        Some("healthcheck") => HelpPage::Healthcheck,
        Some("cluster" | CLUSTER_STATUS) => HelpPage::Cluster,
        _ => HelpPage::Short,
    }
}

/// What stands behind `galo help`.
fn help_about(parser: &mut lexopt::Parser) -> Result<CliCommand, UsageError> {
    let next = parser
        .next()
        .map_err(|error| UsageError(error.to_string()))?;
    let Some(lexopt::Arg::Value(word)) = next else {
        return Ok(CliCommand::Help(HelpPage::Short));
    };
    let word = utf8("command", word)?;
    match COMMANDS.contains(&word.as_str()) {
        true => Ok(CliCommand::Help(page(Some(&word)))),
        false => Err(unknown_command(&word)),
    }
}

fn unknown_command(word: &str) -> UsageError {
    let meant = meant(nearest(word, COMMANDS));
    let accepted = COMMANDS.join(", ");
    UsageError(format!(
        "unknown command '{word}'{meant}; accepted: {accepted}"
    ))
}

fn unknown(command: &Option<String>, flag: &str) -> UsageError {
    let mut names = match command.as_deref() {
        Some("check") => vec!["--data".to_owned()],
        Some("healthcheck") => vec!["--url".to_owned()],
        Some("cluster" | CLUSTER_STATUS) => ENGINE_FLAGS
            .iter()
            .map(|name| format!("--{name}"))
            .collect(),
        _ => SERVE_FLAGS
            .iter()
            .map(|flag| format!("--{}", flag.name))
            .collect(),
    };
    names.extend(["--help", "--version"].map(str::to_owned));
    let meant = meant(nearest(flag, names.iter().map(String::as_str)));
    let accepted = match names.len() {
        ..=3 => names.join(", "),
        _ if command
            .as_deref()
            .is_some_and(|it| it.starts_with("cluster")) =>
        {
            "what galo help cluster lists".to_owned()
        }
        _ => "what galo help serve lists".to_owned(),
    };
    UsageError(format!(
        "unknown flag '{flag}'{meant}; accepted: {accepted}"
    ))
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(" (is {nearest} meant?)"))
}

fn value(parser: &mut lexopt::Parser, name: &str) -> Result<String, UsageError> {
    let value = parser
        .value()
        .map_err(|_| UsageError(format!("--{name}: a value is missing")))?;
    utf8(&format!("--{name}"), value)
}

fn utf8(name: &str, value: OsString) -> Result<String, UsageError> {
    value
        .into_string()
        .map_err(|value| UsageError(format!("{name}: {value:?} is not UTF-8")))
}

#[cfg(test)]
mod tests;
