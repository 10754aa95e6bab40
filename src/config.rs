//! Flags, environment variables and defaults. A flag beats its variable, a variable the default.

mod help;
mod payments;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use log::LevelFilter;

use crate::cluster::{self, Cluster};
use crate::io::{Address, Choice, Driver};
use crate::limits::{
    CORES_MAX, PAYMENTS_OPEN_MAX, PAYMENT_DEADLINE_NS, PAYMENT_QUEUE_MAX, SHARDS_MAX,
    SOCKET_PATH_BYTES_MAX,
};
use crate::log::Format;
use crate::node::Durability;
pub use help::HELP;
pub use payments::{Payments, ProcessorUrl};

/// The commit this was built from, or `unknown`.
pub const GIT_HASH: &str = env!("GALO_GIT_HASH");

/// What `galo --version` prints.
pub fn version() -> String {
    let drivers = Driver::ALL.map(Driver::name).join(", ");
    format!(
        "galo {} ({GIT_HASH}), I/O drivers: {drivers}",
        env!("CARGO_PKG_VERSION")
    )
}

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Serve.
    Serve(Box<Serve>),
    /// Verify a data directory.
    Check {
        /// The directory.
        data: PathBuf,
    },
    /// Ask a running server.
    Healthcheck {
        /// `[http://]HOST[:PORT][/PATH]` or `unix:/PATH`.
        url: String,
    },
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
}

/// The settings of `galo serve`; see [`HELP`].
#[derive(Debug, PartialEq)]
pub struct Serve {
    /// `--listen`.
    pub listen: Vec<Address>,
    /// `--data`.
    pub data: PathBuf,
    /// `--cores`.
    pub cores: usize,
    /// `--pin`.
    pub pin: bool,
    /// `--io`.
    pub io: Choice,
    /// `--durability`.
    pub durability: Durability,
    /// `--clients`.
    pub clients: Option<PathBuf>,
    /// `--shards`.
    pub shards: Option<usize>,
    /// `--allow-reset`.
    pub allow_reset: bool,
    /// `--processor-default` and what belongs to it. `None`: no payments.
    pub payments: Option<Payments>,
    /// `--nodes`, `--node`, `--run`. `None`: one process, alone.
    pub cluster: Option<Cluster>,
    /// `--log`.
    pub log: Format,
    /// `--log-level`.
    pub log_level: LevelFilter,
    /// What was given and has no effect: lines for the log.
    pub warnings: Vec<String>,
}

/// A flag or variable that cannot be used: one line.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

struct Flag {
    name: &'static str,
    variable: &'static str,
    /// As others call the variable. Ours beats it.
    variable_of_others: Option<&'static str>,
    takes_value: bool,
    set: fn(&mut Given, &str) -> Result<(), String>,
}

impl Flag {
    /// Whether it may be given more than once.
    fn adds_up(&self) -> bool {
        self.name == "listen"
    }
}

/// What was said so far: settings, and what becomes one only together.
struct Given {
    serve: Serve,
    processors: [Option<ProcessorUrl>; 2],
    payment_deadline_ns: u64,
    payment_queue: usize,
    replace_processors: bool,
    nodes: Option<Vec<String>>,
    node: Option<String>,
    run: Option<PathBuf>,
}

const SERVE_FLAGS: [Flag; 19] = [
    Flag {
        name: "listen",
        variable: "GALO_LISTEN",
        variable_of_others: None,
        takes_value: true,
        set: set_listen,
    },
    Flag {
        name: "data",
        variable: "GALO_DATA",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| path(value).map(|path| given.serve.data = path),
    },
    Flag {
        name: "cores",
        variable: "GALO_CORES",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| number(value, CORES_MAX).map(|cores| given.serve.cores = cores),
    },
    Flag {
        name: "pin",
        variable: "GALO_PIN",
        variable_of_others: None,
        takes_value: false,
        set: |given, value| switch(value).map(|pin| given.serve.pin = pin),
    },
    Flag {
        name: "io",
        variable: "GALO_IO",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| {
            let choices = [
                ("auto", Choice::Auto),
                ("uring", Choice::Uring),
                ("epoll", Choice::Epoll),
            ];
            one_of(value, &choices).map(|io| given.serve.io = io)
        },
    },
    Flag {
        name: "durability",
        variable: "GALO_DURABILITY",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| {
            let choices = [("process", Durability::Process), ("disk", Durability::Disk)];
            one_of(value, &choices).map(|durability| given.serve.durability = durability)
        },
    },
    Flag {
        name: "clients",
        variable: "GALO_CLIENTS",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| path(value).map(|path| given.serve.clients = Some(path)),
    },
    Flag {
        name: "shards",
        variable: "GALO_SHARDS",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| {
            number(value, SHARDS_MAX).map(|shards| given.serve.shards = Some(shards))
        },
    },
    Flag {
        name: "allow-reset",
        variable: "GALO_ALLOW_RESET",
        variable_of_others: None,
        takes_value: false,
        set: |given, value| switch(value).map(|allow| given.serve.allow_reset = allow),
    },
    Flag {
        name: "processor-default",
        variable: "GALO_PROCESSOR_DEFAULT",
        variable_of_others: Some("DEFAULT_PAYMENT_PROCESSOR_URL"),
        takes_value: true,
        set: |given, value| {
            value
                .trim()
                .parse()
                .map(|url| given.processors[0] = Some(url))
        },
    },
    Flag {
        name: "processor-fallback",
        variable: "GALO_PROCESSOR_FALLBACK",
        variable_of_others: Some("FALLBACK_PAYMENT_PROCESSOR_URL"),
        takes_value: true,
        set: |given, value| {
            value
                .trim()
                .parse()
                .map(|url| given.processors[1] = Some(url))
        },
    },
    Flag {
        name: "payment-deadline",
        variable: "GALO_PAYMENT_DEADLINE",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| payments::duration(value).map(|ns| given.payment_deadline_ns = ns),
    },
    Flag {
        name: "payment-queue",
        variable: "GALO_PAYMENT_QUEUE",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| {
            number(value, PAYMENT_QUEUE_MAX).map(|queue| given.payment_queue = queue)
        },
    },
    Flag {
        name: "replace-processors",
        variable: "GALO_REPLACE_PROCESSORS",
        variable_of_others: None,
        takes_value: false,
        set: |given, value| switch(value).map(|replace| given.replace_processors = replace),
    },
    Flag {
        name: "nodes",
        variable: "GALO_NODES",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| cluster::parse_nodes(value).map(|nodes| given.nodes = Some(nodes)),
    },
    Flag {
        name: "node",
        variable: "GALO_NODE",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| {
            let name = value.trim();
            cluster::check_name(name).map(|()| given.node = Some(name.to_owned()))
        },
    },
    Flag {
        name: "run",
        variable: "GALO_RUN",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| path(value).map(|path| given.run = Some(path)),
    },
    Flag {
        name: "log",
        variable: "GALO_LOG",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| {
            let choices = [("text", Format::Text), ("json", Format::Json)];
            one_of(value, &choices).map(|format| given.serve.log = format)
        },
    },
    Flag {
        name: "log-level",
        variable: "GALO_LOG_LEVEL",
        variable_of_others: None,
        takes_value: true,
        set: |given, value| {
            let choices = [
                ("off", LevelFilter::Off),
                ("error", LevelFilter::Error),
                ("warn", LevelFilter::Warn),
                ("warning", LevelFilter::Warn),
                ("info", LevelFilter::Info),
                ("debug", LevelFilter::Debug),
                ("trace", LevelFilter::Trace),
            ];
            one_of(value, &choices).map(|level| given.serve.log_level = level)
        },
    },
];

const LISTEN_DEFAULT: &str = "127.0.0.1:9999";

/// Reads the command line and the environment. `args` are without the program's name.
///
/// # Errors
/// Names the flag or variable, what was given, and what is accepted.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut command = None;
    let serve = Serve {
        listen: Vec::new(),
        data: PathBuf::from("./data"),
        cores: 0, // Not given.
        pin: false,
        io: Choice::Auto,
        durability: Durability::Process,
        clients: None,
        shards: None,
        allow_reset: false,
        payments: None,
        cluster: None,
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
    };
    // Of no interest to --help, nor to a healthcheck in the same environment.
    let mut bad_variable = None;
    for flag in &SERVE_FLAGS {
        let names = [Some(flag.variable), flag.variable_of_others];
        let set = names.into_iter().flatten().find_map(|name| {
            // An empty variable is as good as none: that is how compose files leave one out.
            let is_blank = |value: &OsString| value.to_string_lossy().trim().is_empty();
            let value = variable(name).filter(|value| !is_blank(value))?;
            let set = utf8(name, value).and_then(|value| {
                (flag.set)(&mut given, &value)
                    .map_err(|error| UsageError(format!("{name}: {error}")))
            });
            Some(set)
        });
        bad_variable = bad_variable.or(set.and_then(Result::err));
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
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(Command::Help),
            lexopt::Arg::Short('V') | lexopt::Arg::Long("version") => return Ok(Command::Version),
            lexopt::Arg::Value(word) if command.is_none() => {
                let word = utf8("command", word)?;
                match word.as_str() {
                    "serve" | "check" | "healthcheck" => command = Some(word),
                    "help" => return Ok(Command::Help),
                    "version" => return Ok(Command::Version),
                    _ => {
                        let message = format!(
                            "unknown command '{word}'; accepted: serve, check, healthcheck, help, version"
                        );
                        return Err(UsageError(message));
                    }
                }
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
                    ("serve", Some(flag)) if !flag.takes_value => match parser.optional_value() {
                        Some(value) => utf8(&format!("--{name}"), value)?,
                        None => "true".to_owned(),
                    },
                    ("serve", Some(_)) => value(&mut parser, &name)?,
                    ("check", Some(_)) if name == "data" => value(&mut parser, &name)?,
                    ("healthcheck", _) if name == "url" => value(&mut parser, &name)?,
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
    }
    match command.as_deref() {
        Some("check") => {
            return Ok(Command::Check {
                data: given.serve.data,
            })
        }
        Some("healthcheck") => {
            let url = url.unwrap_or_else(|| health_url(&given.serve.listen[0]));
            return Ok(Command::Healthcheck { url });
        }
        _ => {}
    }
    if let Some(error) = bad_variable {
        return Err(error);
    }
    let mut serve = given.settle().map_err(UsageError)?;
    if serve.payments.is_none() {
        let idle = seen.iter().filter(|name| name.starts_with("payment-"));
        serve.warnings.extend(idle.map(|name| {
            format!("--{name} has no effect without --processor-default and --processor-fallback")
        }));
    }
    Ok(Command::Serve(Box::new(serve)))
}

impl Given {
    /// The settings, now that everything is said.
    fn settle(self) -> Result<Serve, String> {
        let mut serve = self.serve;
        let nodes = self.nodes.as_ref().map_or(1, Vec::len);
        // Shards go round the nodes, and in each of them round its cores.
        let shards = serve.shards.unwrap_or(SHARDS_MAX);
        let cores_max = shards.div_ceil(nodes);
        if serve.cores == 0 {
            let available = std::thread::available_parallelism().map_or(1, usize::from);
            serve.cores = available.min(CORES_MAX).min(cores_max);
        }
        let cores = serve.cores;
        if cores > cores_max {
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
        serve.payments = Payments::settle(
            self.processors,
            self.payment_deadline_ns,
            self.payment_queue,
            self.replace_processors,
        )?;
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
        let Some(node) = nodes.iter().position(|node| *node == name) else {
            let nodes = nodes.join(",");
            return Err(format!("--node: '{name}' is not in --nodes {nodes}"));
        };
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

/// Where a server that listens there is asked. One that listens on all addresses (0.0.0.0) is asked
/// at just that: Linux takes it for this machine.
fn health_url(address: &Address) -> String {
    match address {
        Address::Unix(_) => address.to_string(),
        Address::Tcp(..) => format!("http://{address}/health"),
    }
}

fn unknown(command: &Option<String>, flag: &str) -> UsageError {
    let accepted = match command.as_deref() {
        Some("check") => "--data".to_owned(),
        Some("healthcheck") => "--url".to_owned(),
        _ => SERVE_FLAGS
            .map(|flag| format!("--{}", flag.name))
            .join(", "),
    };
    UsageError(format!(
        "unknown flag '{flag}'; accepted: {accepted}, --help, --version"
    ))
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

fn set_listen(given: &mut Given, value: &str) -> Result<(), String> {
    for text in value.split(',') {
        let address: Address = text.trim().parse()?;
        // Port 0 is another one each time.
        let is_one = !matches!(address, Address::Tcp(_, 0));
        if is_one && given.serve.listen.contains(&address) {
            return Err(format!("{address} is there twice; accepted: once"));
        }
        given.serve.listen.push(address);
    }
    Ok(())
}

fn path(value: &str) -> Result<PathBuf, String> {
    if value.is_empty() {
        return Err("'' is no path".to_owned());
    }
    Ok(PathBuf::from(value))
}

fn number(value: &str, max: usize) -> Result<usize, String> {
    let number = value
        .trim()
        .parse()
        .ok()
        .filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("'{value}' is not accepted: a whole number from 1 to {max}"))
}

/// As environments, YAML and INI files have it.
fn switch(value: &str) -> Result<bool, String> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "y" | "t" => Ok(true),
        "false" | "no" | "off" | "0" | "n" | "f" => Ok(false),
        _ => Err(format!(
            "'{value}' is not accepted: true or false, yes or no, on or off, 1 or 0"
        )),
    }
}

/// In any case.
fn one_of<T: Copy>(value: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let is_it = |name: &str| name.eq_ignore_ascii_case(value.trim());
    let choice = choices.iter().find(|(name, _)| is_it(name));
    choice.map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("'{value}' is not accepted: {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests;
