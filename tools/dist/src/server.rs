//! The server's command line as clap would have it: its flags are a table of its own (`src/config/flags.rs`).

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint};
use galo::config::{self, FlagText};

pub fn command() -> Command {
    let serve = Command::new("serve")
        .about("Serve the API; what galo without a command does")
        .args(flags());
    let check = Command::new("check")
        .about("Verify a data directory, change nothing; exit 1 at the first damage")
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("DIR")
                .value_hint(ValueHint::DirPath)
                .env("GALO_DATA")
                .default_value("./data")
                .help("The directory"),
        );
    let healthcheck = Command::new("healthcheck")
        .about("Ask a running server how it is: exit 0 or 1")
        .arg(
            Arg::new("url")
                .long("url")
                .value_name("URL")
                .value_hint(ValueHint::Url)
                .help("HOST:PORT, http://HOST:PORT/PATH or unix:/PATH [default: the first address of GALO_LISTEN]"),
        );
    let engine = config::flags().into_iter().filter(|flag| flag.of_engine);
    let status = Command::new("status")
        .about(
            "Tell how nodes on several machines are, by what NATS has of them: streams, leases, and owners of shards; exit 1 \
             if something needs a person, which it names, or NATS does not answer",
        )
        .args(engine.map(arg));
    let cluster = Command::new("cluster")
        .about("Nodes on several machines")
        .disable_help_subcommand(true)
        .subcommand(status);
    let help = Command::new("help").about("All of a command").arg(
        Arg::new("command")
            .value_name("COMMAND")
            .value_parser(["serve", "check", "healthcheck", "cluster"])
            .help("serve, check, healthcheck or cluster")
            .hide_possible_values(true),
    );
    Command::new("galo")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A bank ledger and payments gateway (Rinha de Backend 2024/Q1 and 2025) in one small io_uring binary")
        .override_usage(
            "galo [serve] [FLAGS]\n       galo check [--data DIR]\n       galo healthcheck [--url URL]\n       \
             galo cluster status --replicate URLS [FLAGS]\n       galo help [COMMAND]\n       galo version",
        )
        .disable_help_subcommand(true)
        .args(flags())
        .subcommands([serve, check, healthcheck, cluster, help])
        .subcommand(Command::new("version").about("Version, commit and I/O drivers"))
}

fn flags() -> Vec<Arg> {
    config::flags().into_iter().map(arg).collect()
}

fn arg(flag: FlagText) -> Arg {
    let mut help = flag.help.replace('\n', " ");
    let [first, others @ ..] = &flag.variables[..] else {
        unreachable!("a flag has a variable")
    };
    for other in others {
        help += &format!(" [env: {other}, too]");
    }
    // A sentence about it is none that clap could check.
    let is_value = flag.default != "none" && !flag.default.contains(' ');
    if !is_value && flag.default != "none" {
        help += &format!(" [default: {}]", flag.default);
    }
    let mut arg = Arg::new(flag.name)
        .long(flag.name)
        .env(first.clone())
        .help(help);
    arg = match flag.value {
        Some(value) => arg.value_name(value).value_hint(hint(value)),
        None => arg
            .num_args(0..=1)
            .require_equals(true)
            .value_name("on|off")
            .default_missing_value("on"),
    };
    if !flag.choices.is_empty() {
        // The text names them.
        let choices = PossibleValuesParser::new(flag.choices);
        arg = arg.value_parser(choices).hide_possible_values(true);
    }
    if flag.repeats {
        arg = arg.action(ArgAction::Append);
    }
    match is_value {
        true => arg.default_value(flag.default),
        false => arg,
    }
}

fn hint(value: &str) -> ValueHint {
    match value {
        "DIR" => ValueHint::DirPath,
        "FILE" => ValueHint::FilePath,
        "URL" => ValueHint::Url,
        _ => ValueHint::Other,
    }
}

/// What the manual has beside commands and flags.
pub fn sections() -> Vec<(&'static str, &'static str)> {
    vec![
        ("ENDPOINTS", ENDPOINTS),
        ("SIGNALS", SIGNALS),
        ("EXIT STATUS", EXIT_STATUS),
        ("ENVIRONMENT", ENVIRONMENT),
        ("FILES", FILES),
        ("EXAMPLES", EXAMPLES),
        (
            "SEE ALSO",
            "galo-load(1), galo-top(1), systemd.service(5), systemd.socket(5)",
        ),
    ]
}

const ENDPOINTS: &str = "\
POST /clientes/{id}/transacoes and GET /clientes/{id}/extrato are the bank's. POST /payments, GET /payments/{id}, \
GET /payments-summary?from=…&to=… and POST /purge-payments are the gateway's. GET / or GET /health tells how a node is, \
GET /metrics the same to Prometheus, and POST /reset sets all back, where --allow-reset permits it. GET /openapi.json describes \
all of these, where --docs says so.";

const SIGNALS: &str = "\
At SIGTERM, SIGINT or SIGQUIT it finishes what was received, writes a snapshot, and ends with status 0 within two seconds; \
at a second one, at once. Nothing acknowledged is lost either way, nor by SIGKILL. Others that would end a process by \
default are a line in the log.";

const EXIT_STATUS: &str = "\
0 for success; 1 for a command that failed, a check that found damage, a cluster that needs a person, or a server that cannot start or must not go on; 2 for \
a wrong command line.";

const ENVIRONMENT: &str = "\
Each flag of galo serve has a variable, which stands beside it; a flag counts before its variable, and an empty variable is \
none.

NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS and JOURNAL_STREAM are a service manager's: it is told when the server is ready, that \
its cores live, and that it stops; sockets that it passes on are served; and lines of the log begin with their priorities.";

const FILES: &str = "\
./data, or what --data names, holds accounts, payments and their journal. /etc/default/galo has variables for the service, \
one a line; /var/lib/galo are its data.";

const EXAMPLES: &str = "\
galo --listen 0.0.0.0:9999 --data /srv/galo --durability disk

galo healthcheck --url http://localhost:9999/health";
