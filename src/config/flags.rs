//! The flags of `galo serve` as one table: name, help text, default, and the setting that it changes.

use std::path::PathBuf;

use log::LevelFilter;

use super::{payments, ProcessorUrl, Serve};
use crate::cluster;
use crate::io::{Address, DriverChoice};
use crate::limits::{CORES_MAX, LOG_MIB_MAX, PAYMENT_QUEUE_MAX, SHARDS_MAX};
use crate::log::Format;
use crate::nats;
use crate::node::Durability;

pub(super) struct Flag {
    pub(super) name: &'static str,
    /// What stands behind the name on the help page; a blank first if the flag takes a value.
    pub(super) value: &'static str,
    /// On the help page; what applies is in [`super::parse`].
    pub(super) default: &'static str,
    /// Lines of at most 59 characters.
    pub(super) help: &'static str,
    pub(super) set: fn(&mut Given, &str) -> Result<(), String>,
}

impl Flag {
    pub(super) fn takes_value(&self) -> bool {
        self.value.starts_with(' ')
    }

    /// Whether it may be given more than once.
    pub(super) fn adds_up(&self) -> bool {
        self.name == "listen"
    }

    /// What its value may be, if that is one of a few words.
    pub(super) fn choices(&self) -> Vec<&'static str> {
        match self.name {
            "io" => names(&IO),
            "durability" => names(&DURABILITY),
            "log" => names(&LOG),
            "log-level" => names(&LOG_LEVELS),
            _ if self.takes_value() => Vec::new(),
            _ => vec!["on", "off"],
        }
    }

    /// The first that is set counts: ours, and as others call it.
    pub(super) fn variables(&self) -> impl Iterator<Item = String> {
        let ours = self.name.replace('-', "_").to_ascii_uppercase();
        let others = match self.name {
            "processor-default" => Some("DEFAULT_PAYMENT_PROCESSOR_URL"),
            "processor-fallback" => Some("FALLBACK_PAYMENT_PROCESSOR_URL"),
            _ => None,
        };
        let others = others.map(str::to_owned);
        std::iter::once(format!("GALO_{ours}")).chain(others)
    }
}

/// Settings given so far, and values that make a setting only together with others.
pub(super) struct Given {
    pub(super) serve: Serve,
    pub(super) processors: [Option<ProcessorUrl>; 2],
    pub(super) payment_deadline_ns: u64,
    pub(super) payment_queue: usize,
    pub(super) replace_processors: bool,
    pub(super) nodes: Option<Vec<String>>,
    pub(super) node: Option<String>,
    pub(super) run: Option<PathBuf>,
    pub(super) durability: Option<Durability>,
    pub(super) replicate: Option<Vec<String>>,
    pub(super) cluster: Option<String>,
    pub(super) replicate_creds: Option<PathBuf>,
    pub(super) replicate_tls_ca: Option<PathBuf>,
    pub(super) replicate_tls_cert: Option<PathBuf>,
    pub(super) replicate_tls_key: Option<PathBuf>,
    pub(super) replicate_log_mib: Option<usize>,
    pub(super) seed: bool,
}

pub(super) const LISTEN_DEFAULT: &str = "127.0.0.1:9999";

const IO: [(&str, DriverChoice); 3] = [
    ("auto", DriverChoice::Auto),
    ("uring", DriverChoice::Uring),
    ("epoll", DriverChoice::Epoll),
];

const DURABILITY: [(&str, Durability); 3] = [
    ("process", Durability::Process),
    ("disk", Durability::Disk),
    ("replicated", Durability::Replicated),
];

const LOG: [(&str, Format); 2] = [("text", Format::Text), ("json", Format::Json)];

const LOG_LEVELS: [(&str, LevelFilter); 7] = [
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("warning", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

/// The flags of `galo serve`, in the order of its help.
#[rustfmt::skip]
pub(super) const SERVE_FLAGS: [Flag; 28] = [
    Flag { name: "listen", value: " ADDR", default: LISTEN_DEFAULT,
        set: set_listen,
        help: "where to listen: HOST:PORT or unix:/PATH; may be repeated;\n\
               not said, sockets that systemd passes on are all there is" },
    Flag { name: "data", value: " DIR", default: "./data",
        set: |given, value| path(value).map(|path| given.serve.data = path),
        help: "where accounts and journal are kept; made if missing" },
    Flag { name: "cores", value: " N", default: "what the process may use, cgroup quota too",
        set: |given, value| number(value, CORES_MAX).map(|cores| given.serve.cores = cores),
        help: "threads, each with sockets and shards of its own" },
    Flag { name: "pin", value: "[=on|off]", default: "off",
        set: |given, value| switch(value).map(|pin| given.serve.pin = pin),
        help: "keep thread N on the Nth CPU that the process may use" },
    Flag { name: "io", value: " DRIVER", default: "auto",
        set: |given, value| one_of(value, &IO).map(|io| given.serve.io = io),
        help: "auto, uring or epoll: auto is uring, or epoll where the\n\
               kernel refuses io_uring" },
    Flag { name: "durability", value: " D", default: "process",
        set: |given, value| one_of(value, &DURABILITY).map(|durability| given.durability = Some(durability)),
        help: "process: a reply leaves once its journal write has reached\n\
               the kernel, and survives kill -9 (fdatasync follows within\n\
               100 ms); disk: after fdatasync, and survives a power loss;\n\
               replicated, with --replicate and only then: after a quorum\n\
               has it, and survives the loss of a machine" },
    Flag { name: "clients", value: " FILE", default: "the contest's five",
        set: |given, value| path(value).map(|path| given.serve.clients = Some(path)),
        help: "the clients of a new data directory: a JSON list of\n\
               {\"id\":1,\"limite\":100000,\"saldo\":0}, amounts in cents;\n\
               one that was made before keeps those that it has" },
    Flag { name: "shards", value: " N", default: "one a core; with --replicate four a node",
        set: |given, value| number(value, SHARDS_MAX).map(|shards| given.serve.shards = Some(shards)),
        help: "into how many shards a new data directory is divided;\n\
               fixed from then on" },
    Flag { name: "allow-reset", value: "[=on|off]", default: "off",
        set: |given, value| switch(value).map(|allow| given.serve.allow_reset = allow),
        help: "permit POST /reset, which sets all accounts back and\n\
               forgets payments, and POST /purge-payments" },
    Flag { name: "docs", value: "[=on|off]", default: "off",
        set: |given, value| switch(value).map(|docs| given.serve.docs = docs),
        help: "answer GET /openapi.json with the description of the APIs" },
    Flag { name: "processor-default", value: " URL", default: "none",
        set: |given, value| value.trim().parse().map(|url| given.processors[0] = Some(url)),
        help: "the payment processor that charges less: http://HOST, and\n\
               :PORT and /PATH if need be; without it and the other one\n\
               payments are refused" },
    Flag { name: "processor-fallback", value: " URL", default: "none",
        set: |given, value| value.trim().parse().map(|url| given.processors[1] = Some(url)),
        help: "the one that charges more" },
    Flag { name: "payment-deadline", value: " TIME", default: "60s",
        set: |given, value| payments::duration(value).map(|ns| given.payment_deadline_ns = ns),
        help: "how long a payment may wait for the cheaper processor, as\n\
               500ms, 60s or 5m" },
    Flag { name: "payment-queue", value: " N", default: "1000000",
        set: |given, value| number(value, PAYMENT_QUEUE_MAX).map(|queue| given.payment_queue = queue),
        help: "payments of one shard that may wait or be under way;\n\
               beyond: 503" },
    Flag { name: "replace-processors", value: "", default: "off",
        set: |given, value| switch(value).map(|replace| given.replace_processors = replace),
        help: "take other processors than before, or the same ones the\n\
               other way round, although payments are with those: whoever\n\
               says so knows that none can be paid twice" },
    Flag { name: "nodes", value: " A,B", default: "none: one process alone",
        set: |given, value| cluster::parse_nodes(value).map(|nodes| given.nodes = Some(nodes)),
        help: "names of the processes of a cluster, the same list for all,\n\
               like --cores and the processors; on one machine they\n\
               share --data and --run" },
    Flag { name: "node", value: " NAME", default: "none",
        set: set_node,
        help: "which of them this is" },
    Flag { name: "run", value: " DIR", default: "none",
        set: |given, value| path(value).map(|path| given.run = Some(path)),
        help: "where they meet: a directory that all of them see; made\n\
               if missing" },
    Flag { name: "replicate", value: " URLS", default: "none: one machine",
        set: |given, value| servers(value).map(|servers| given.replicate = Some(servers)),
        help: "the NATS servers that keep the journals, for nodes on\n\
               several machines: nats://HOST:PORT,... or tls://; each node\n\
               has a --data of its own, and no --run" },
    Flag { name: "cluster", value: " NAME", default: "galo",
        set: |given, value| nats::check_cluster(value.trim())
            .map(|()| given.cluster = Some(value.trim().to_owned()))
            .map_err(|rule| format!("'{value}' is not accepted: {rule}")),
        help: "what streams and subjects there are called after" },
    Flag { name: "replicate-creds", value: " FILE", default: "none",
        set: |given, value| path(value).map(|path| given.replicate_creds = Some(path)),
        help: "a credentials file of NATS" },
    Flag { name: "replicate-tls-ca", value: " FILE", default: "the system's",
        set: |given, value| path(value).map(|path| given.replicate_tls_ca = Some(path)),
        help: "whom to trust besides: PEM" },
    Flag { name: "replicate-tls-cert", value: " FILE", default: "none",
        set: |given, value| path(value).map(|path| given.replicate_tls_cert = Some(path)),
        help: "who we are: PEM" },
    Flag { name: "replicate-tls-key", value: " FILE", default: "none",
        set: |given, value| path(value).map(|path| given.replicate_tls_key = Some(path)),
        help: "and its key" },
    Flag { name: "replicate-log-mib", value: " N", default: "256 MiB",
        set: |given, value| number(value, LOG_MIB_MAX).map(|mib| given.replicate_log_mib = Some(mib)),
        help: "MiB from which on the front of the servers' log goes, once\n\
               all shards are in their object store" },
    Flag { name: "seed", value: "", default: "off",
        set: |given, value| switch(value).map(|seed| given.seed = seed),
        help: "with --replicate: found a cluster that is empty with what\n\
               --data has, which was served on one machine until now" },
    Flag { name: "log", value: " FORMAT", default: "text",
        set: |given, value| one_of(value, &LOG).map(|format| given.serve.log = format),
        help: "text or json, on standard error" },
    Flag { name: "log-level", value: " LEVEL", default: "info",
        set: |given, value| one_of(value, &LOG_LEVELS).map(|level| given.serve.log_level = level),
        help: "off, error, warn, info, debug or trace" },
];

/// Of these, what `galo cluster status` takes, too: how the engine is reached.
pub(super) const ENGINE_FLAGS: [&str; 6] = [
    "replicate",
    "cluster",
    "replicate-creds",
    "replicate-tls-ca",
    "replicate-tls-cert",
    "replicate-tls-key",
];

pub(super) fn set_listen(given: &mut Given, value: &str) -> Result<(), String> {
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

/// One server, or three and more: of two, none may be lost.
fn servers(value: &str) -> Result<Vec<String>, String> {
    let servers: Vec<String> = value.split(',').map(|it| it.trim().to_owned()).collect();
    let is_url = |it: &String| {
        let rest = it.strip_prefix("nats://").or(it.strip_prefix("tls://"));
        rest.is_some_and(|rest| !rest.is_empty())
    };
    match servers.iter().find(|it| !is_url(it)) {
        Some(bad) => Err(format!(
            "'{bad}' is not accepted: nats://HOST:PORT or tls://HOST:PORT"
        )),
        None if servers.len() == 2 => {
            Err("two servers; accepted: one, or three and more".to_owned())
        }
        None => Ok(servers),
    }
}

fn set_node(given: &mut Given, value: &str) -> Result<(), String> {
    let name = value.trim();
    cluster::check_name(name).map(|()| given.node = Some(name.to_owned()))
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

/// A switch as environments, YAML and INI files spell it: `true`, `yes`, `on`, `1` and their opposites.
fn switch(value: &str) -> Result<bool, String> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "y" | "t" => Ok(true),
        "false" | "no" | "off" | "0" | "n" | "f" => Ok(false),
        _ => Err(format!(
            "'{value}' is not accepted: true or false, yes or no, on or off, 1 or 0"
        )),
    }
}

fn names<T>(choices: &[(&'static str, T)]) -> Vec<&'static str> {
    choices.iter().map(|(name, _)| *name).collect()
}

/// The choice that `value` names, in upper or lower case.
fn one_of<T: Copy>(value: &str, choices: &[(&'static str, T)]) -> Result<T, String> {
    let is_it = |name: &str| name.eq_ignore_ascii_case(value.trim());
    let choice = choices.iter().find(|(name, _)| is_it(name));
    choice
        .map(|(_, choice)| *choice)
        .ok_or_else(|| format!("'{value}' is not accepted: {}", names(choices).join(", ")))
}
