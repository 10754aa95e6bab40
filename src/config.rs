//! Flags, environment variables and defaults. A flag beats its variable, a variable the default.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use log::LevelFilter;

use crate::io::{Address, Choice, Driver};
use crate::limits::{CORES_MAX, SHARDS_MAX};
use crate::log::Format;
use crate::node::Durability;

/// What `galo --help` prints.
pub const HELP: &str = "\
galo: a bank ledger (Rinha de Backend 2024/Q1) in one small io_uring binary

usage:
  galo [serve] [flags]              serve the API (the default)
  galo check [--data DIR]           verify a data directory, change nothing;
                                    exit 1 at the first damage
  galo healthcheck [--url URL]      ask a running server how it is: exit 0 or 1
                                    [the first address of GALO_LISTEN]
  galo --help | --version

flags of serve, each with its environment variable and default:
  --listen ADDR      where to listen: HOST:PORT or unix:/PATH; may be repeated
                     [GALO_LISTEN, separated by commas; 127.0.0.1:9999]
  --data DIR         where accounts and journal are kept; made if missing
                     [GALO_DATA; ./data]
  --cores N          threads, each with sockets and shards of its own
                     [GALO_CORES; what the process may use, cgroup quota too]
  --pin              keep thread N on the Nth CPU that the process may use
                     [GALO_PIN; off]
  --io DRIVER        auto, uring or epoll: auto is uring, or epoll where the
                     kernel refuses io_uring
                     [GALO_IO; auto]
  --durability D     process: a reply leaves once its journal write has reached
                     the kernel, and survives kill -9 (fdatasync follows within
                     100 ms); disk: after fdatasync, and survives a power loss
                     [GALO_DURABILITY; process]
  --clients FILE     the clients of a new data directory: a JSON list of
                     {\"id\":1,\"limite\":100000,\"saldo\":0}, amounts in cents
                     [GALO_CLIENTS; the contest's five]
  --shards N         into how many shards a new data directory is divided;
                     fixed from then on
                     [GALO_SHARDS; as many as cores]
  --allow-reset      permit POST /reset, which sets all accounts back
                     [GALO_ALLOW_RESET; off]
  --log FORMAT       text or json, on standard error
                     [GALO_LOG; text]
  --log-level LEVEL  off, error, warn, info, debug or trace
                     [GALO_LOG_LEVEL; info]

endpoints:
  POST /clientes/{id}/transacoes    GET /clientes/{id}/extrato
  GET /health    GET /metrics (Prometheus)    POST /reset

SIGTERM or SIGINT: finish what was received, write a snapshot, exit 0 within
2 s; a second one: exit at once. Nothing acknowledged is lost either way.
";

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
    Serve(Serve),
    /// Verify a data directory.
    Check {
        /// The directory.
        data: PathBuf,
    },
    /// Ask a running server.
    Healthcheck {
        /// `http://HOST:PORT/PATH` or `unix:/PATH`.
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
    /// `--log`.
    pub log: Format,
    /// `--log-level`.
    pub log_level: LevelFilter,
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
    takes_value: bool,
    set: fn(&mut Serve, &str) -> Result<(), String>,
}

const SERVE_FLAGS: [Flag; 11] = [
    Flag {
        name: "listen",
        variable: "GALO_LISTEN",
        takes_value: true,
        set: set_listen,
    },
    Flag {
        name: "data",
        variable: "GALO_DATA",
        takes_value: true,
        set: |serve, value| path(value).map(|path| serve.data = path),
    },
    Flag {
        name: "cores",
        variable: "GALO_CORES",
        takes_value: true,
        set: |serve, value| number(value, CORES_MAX).map(|cores| serve.cores = cores),
    },
    Flag {
        name: "pin",
        variable: "GALO_PIN",
        takes_value: false,
        set: |serve, value| switch(value).map(|pin| serve.pin = pin),
    },
    Flag {
        name: "io",
        variable: "GALO_IO",
        takes_value: true,
        set: |serve, value| {
            let choices = [
                ("auto", Choice::Auto),
                ("uring", Choice::Uring),
                ("epoll", Choice::Epoll),
            ];
            one_of(value, &choices).map(|io| serve.io = io)
        },
    },
    Flag {
        name: "durability",
        variable: "GALO_DURABILITY",
        takes_value: true,
        set: |serve, value| {
            let choices = [("process", Durability::Process), ("disk", Durability::Disk)];
            one_of(value, &choices).map(|durability| serve.durability = durability)
        },
    },
    Flag {
        name: "clients",
        variable: "GALO_CLIENTS",
        takes_value: true,
        set: |serve, value| path(value).map(|path| serve.clients = Some(path)),
    },
    Flag {
        name: "shards",
        variable: "GALO_SHARDS",
        takes_value: true,
        set: |serve, value| number(value, SHARDS_MAX).map(|shards| serve.shards = Some(shards)),
    },
    Flag {
        name: "allow-reset",
        variable: "GALO_ALLOW_RESET",
        takes_value: false,
        set: |serve, value| switch(value).map(|allow| serve.allow_reset = allow),
    },
    Flag {
        name: "log",
        variable: "GALO_LOG",
        takes_value: true,
        set: |serve, value| {
            let choices = [("text", Format::Text), ("json", Format::Json)];
            one_of(value, &choices).map(|format| serve.log = format)
        },
    },
    Flag {
        name: "log-level",
        variable: "GALO_LOG_LEVEL",
        takes_value: true,
        set: |serve, value| {
            let choices = LevelFilter::iter().map(|level| (level.as_str(), level));
            let choices: Vec<_> = choices.map(|(n, l)| (n.to_ascii_lowercase(), l)).collect();
            let choices: Vec<_> = choices.iter().map(|(n, l)| (n.as_str(), *l)).collect();
            one_of(value, &choices).map(|level| serve.log_level = level)
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
    let mut serve = Serve {
        listen: Vec::new(),
        data: PathBuf::from("./data"),
        cores: 0, // Not given.
        pin: false,
        io: Choice::Auto,
        durability: Durability::Process,
        clients: None,
        shards: None,
        allow_reset: false,
        log: Format::Text,
        log_level: LevelFilter::Info,
    };
    // Of no interest to --help, nor to a healthcheck in the same environment.
    let mut bad_variable = None;
    for flag in &SERVE_FLAGS {
        // An empty variable is as good as none: that is how compose files leave one out.
        let Some(value) = variable(flag.variable).filter(|value| !value.is_empty()) else {
            continue;
        };
        let set = utf8(flag.variable, value).and_then(|value| {
            (flag.set)(&mut serve, &value)
                .map_err(|error| UsageError(format!("{}: {error}", flag.variable)))
        });
        bad_variable = bad_variable.or(set.err());
    }
    let listen_by_variable = std::mem::take(&mut serve.listen);
    // The one flag of `galo healthcheck`, as `--data` is the one of `galo check`.
    let mut url = None;

    while let Some(arg) = parser
        .next()
        .map_err(|error| UsageError(error.to_string()))?
    {
        match arg {
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(Command::Help),
            lexopt::Arg::Short('V') | lexopt::Arg::Long("version") => return Ok(Command::Version),
            lexopt::Arg::Value(word) if command.is_none() => {
                let word = utf8("command", word)?;
                if !["serve", "check", "healthcheck"].contains(&word.as_str()) {
                    let message =
                        format!("unknown command '{word}'; accepted: serve, check, healthcheck");
                    return Err(UsageError(message));
                }
                command = Some(word);
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
                    ("serve", Some(flag)) if !flag.takes_value => "true".to_owned(),
                    ("serve", Some(_)) => value(&mut parser, &name)?,
                    ("check", Some(_)) if name == "data" => value(&mut parser, &name)?,
                    ("healthcheck", _) if name == "url" => {
                        url = Some(value(&mut parser, &name)?);
                        continue;
                    }
                    _ => return Err(unknown(&command, &format!("--{name}"))),
                };
                let flag = flag.expect("every arm above but url's has seen it");
                (flag.set)(&mut serve, &value)
                    .map_err(|error| UsageError(format!("--{name}: {error}")))?;
            }
        }
    }
    if serve.listen.is_empty() {
        serve.listen = listen_by_variable;
    }
    if serve.listen.is_empty() {
        set_listen(&mut serve, LISTEN_DEFAULT).expect("the default is an address");
    }
    match command.as_deref() {
        Some("check") => return Ok(Command::Check { data: serve.data }),
        Some("healthcheck") => {
            let url = url.unwrap_or_else(|| health_url(&serve.listen[0]));
            return Ok(Command::Healthcheck { url });
        }
        _ => {}
    }
    if let Some(error) = bad_variable {
        return Err(error);
    }
    let shards = serve.shards.unwrap_or(SHARDS_MAX);
    if serve.cores == 0 {
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        serve.cores = available.min(CORES_MAX).min(shards);
    }
    if shards < serve.cores {
        let cores = serve.cores;
        let message =
            format!("--shards: {shards} for {cores} cores; accepted: at least one shard a core");
        return Err(UsageError(message));
    }
    Ok(Command::Serve(serve))
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

fn set_listen(serve: &mut Serve, value: &str) -> Result<(), String> {
    for address in value.split(',') {
        serve.listen.push(address.parse()?);
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
        .parse()
        .ok()
        .filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("'{value}' is not accepted: a whole number from 1 to {max}"))
}

fn switch(value: &str) -> Result<bool, String> {
    let choices = [
        ("true", true),
        ("1", true),
        ("on", true),
        ("false", false),
        ("0", false),
        ("off", false),
    ];
    one_of(value, &choices)
}

fn one_of<T: Copy>(value: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let choice = choices.iter().find(|(name, _)| *name == value);
    choice.map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("'{value}' is not accepted: {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_with(args: &[&str], variables: &[(&str, &str)]) -> Result<Command, UsageError> {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| OsString::from(value))
        };
        parse(args.iter().map(OsString::from), variable)
    }

    fn serve(args: &[&str], variables: &[(&str, &str)]) -> Serve {
        match parse_with(args, variables) {
            Ok(Command::Serve(serve)) => serve,
            other => panic!("{other:?}"),
        }
    }

    fn error(args: &[&str]) -> String {
        parse_with(args, &[]).expect_err("refused").to_string()
    }

    #[test]
    fn no_arguments_mean_serve_with_the_defaults() {
        let serve = serve(&[], &[]);
        assert_eq!(serve.listen, ["127.0.0.1:9999".parse().unwrap()]);
        assert_eq!(serve.data, PathBuf::from("./data"));
        assert_eq!(
            (serve.io, serve.durability),
            (Choice::Auto, Durability::Process)
        );
        assert!(serve.cores >= 1 && !serve.pin && !serve.allow_reset && serve.shards.is_none());
    }

    #[test]
    fn a_flag_beats_its_variable_and_a_variable_the_default() {
        let variables = [
            ("GALO_CORES", "3"),
            ("GALO_IO", "epoll"),
            ("GALO_LISTEN", "127.0.0.1:1,unix:/tmp/x"),
            ("GALO_PIN", "on"),
            ("GALO_DATA", ""),
        ];
        let by_variable = serve(&[], &variables);
        assert_eq!(
            (by_variable.cores, by_variable.io, by_variable.pin),
            (3, Choice::Epoll, true)
        );
        assert_eq!(by_variable.listen.len(), 2);
        assert_eq!(by_variable.data, PathBuf::from("./data"));
        let by_flag = serve(
            &[
                "serve",
                "--cores",
                "2",
                "--io=uring",
                "--listen",
                "127.0.0.1:2",
            ],
            &variables,
        );
        assert_eq!((by_flag.cores, by_flag.io), (2, Choice::Uring));
        assert_eq!(by_flag.listen, ["127.0.0.1:2".parse().unwrap()]);
    }

    #[test]
    fn a_bad_variable_stops_serve_and_nothing_else() {
        let variables = [("GALO_IO", "kqueue")];
        let error = parse_with(&[], &variables).unwrap_err().to_string();
        assert!(error.starts_with("GALO_IO: "), "{error}");
        assert_eq!(parse_with(&["--help"], &variables), Ok(Command::Help));
        assert!(parse_with(&["check"], &variables).is_ok());
        assert!(parse_with(&["healthcheck"], &variables).is_ok());
    }

    #[test]
    fn few_shards_ask_for_no_more_cores() {
        assert_eq!(serve(&["--shards", "1"], &[]).cores, 1);
        assert_eq!(serve(&[], &[("GALO_SHARDS", "1")]).cores, 1);
        let data = PathBuf::from("./data");
        let variables = [("GALO_SHARDS", "1"), ("GALO_CORES", "2")];
        let check = parse_with(&["check"], &variables);
        assert_eq!(check, Ok(Command::Check { data }), "of no concern to it");
    }

    #[test]
    fn every_variable_is_on_the_help_page_and_every_flag() {
        for flag in &SERVE_FLAGS {
            assert!(
                HELP.contains(&format!("\n  --{}", flag.name)),
                "{}",
                flag.name
            );
            assert!(
                HELP.contains(&format!("[{}", flag.variable)),
                "{}",
                flag.variable
            );
            let derived = flag.name.replace('-', "_").to_ascii_uppercase();
            assert_eq!(flag.variable, format!("GALO_{derived}"));
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_accepted() {
        for (args, expected) in [
            (
                &["--core", "2"][..],
                "unknown flag '--core'; accepted: --listen, --data",
            ),
            (&["-x"], "unknown flag '-x'"),
            (
                &["--cores", "0"],
                "--cores: '0' is not accepted: a whole number from 1 to 64",
            ),
            (&["--cores"], "--cores: a value is missing"),
            (
                &["--io", "kqueue"],
                "--io: 'kqueue' is not accepted: auto, uring, epoll",
            ),
            (
                &["--durability", "none"],
                "--durability: 'none' is not accepted: process, disk",
            ),
            (
                &["--log-level", "loud"],
                "--log-level: 'loud' is not accepted: off, error",
            ),
            (
                &["--listen", "nowhere"],
                "--listen: `nowhere` is neither host:port nor unix:/path",
            ),
            (
                &["serf"],
                "unknown command 'serf'; accepted: serve, check, healthcheck",
            ),
            (&["serve", "more"], "'more' is one word too many"),
            (
                &["check", "--cores", "2"],
                "unknown flag '--cores'; accepted: --data",
            ),
            (
                &["healthcheck", "--data", "x"],
                "unknown flag '--data'; accepted: --url",
            ),
            (
                &["--cores", "4", "--shards", "2"],
                "--shards: 2 for 4 cores",
            ),
        ] {
            let message = error(args);
            assert!(message.starts_with(expected), "{args:?}: {message}");
            assert!(!message.contains('\n'), "one line: {message}");
        }
    }

    #[test]
    fn the_other_commands_take_their_one_flag() {
        let data = PathBuf::from("/d");
        assert_eq!(
            parse_with(&["check", "--data", "/d"], &[]),
            Ok(Command::Check { data })
        );
        let url = "unix:/s".to_owned();
        assert_eq!(
            parse_with(&["healthcheck", "--url", "unix:/s"], &[]),
            Ok(Command::Healthcheck { url })
        );
        for (listen, expected) in [
            ("", "http://127.0.0.1:9999/health"),
            ("0.0.0.0:80,unix:/s", "http://0.0.0.0:80/health"),
            ("unix:/s,[::1]:80", "unix:/s"),
        ] {
            let url = expected.to_owned();
            let parsed = parse_with(&["healthcheck"], &[("GALO_LISTEN", listen)]);
            assert_eq!(parsed, Ok(Command::Healthcheck { url }));
        }
        assert_eq!(parse_with(&["--version"], &[]), Ok(Command::Version));
        assert_eq!(parse_with(&["check", "--help"], &[]), Ok(Command::Help));
    }
}
