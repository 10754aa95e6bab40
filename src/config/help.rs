//! The reference of commands, flags and variables: as pages, and as what other forms of it are made of.

use super::flags::{Flag, ENGINE_FLAGS, SERVE_FLAGS};

/// A page of help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelpPage {
    /// `galo --help`: the commands, and the flags that come first.
    Short,
    /// `galo help serve`: every flag, with its variable and default.
    Serve,
    /// `galo help check`.
    Check,
    /// `galo help healthcheck`.
    Healthcheck,
    /// `galo help cluster`.
    Cluster,
}

/// A flag of `galo serve`, for those who describe it in another form.
#[derive(Clone, Debug)]
pub struct FlagText {
    /// Without its dashes.
    pub name: &'static str,
    /// What stands for its value; `None`: it takes none, or may have one of [`choices`](Self::choices) behind `=`.
    pub value: Option<&'static str>,
    /// What the value may be, if that is one of a few words.
    pub choices: Vec<&'static str>,
    /// May be given more than once.
    pub repeats: bool,
    /// A value, or words about it.
    pub default: &'static str,
    /// Lines, without a full stop.
    pub help: &'static str,
    /// `galo cluster status` takes it, too.
    pub of_engine: bool,
    /// Environment variables, the first one that is set counts.
    pub variables: Vec<String>,
}

/// The flags of `galo serve`.
pub fn flags() -> Vec<FlagText> {
    let text = |flag: &Flag| FlagText {
        name: flag.name,
        value: flag.takes_value().then(|| flag.value.trim()),
        choices: flag.choices(),
        repeats: flag.adds_up(),
        default: flag.default,
        help: flag.help,
        of_engine: ENGINE_FLAGS.contains(&flag.name),
        variables: flag.variables().collect(),
    };
    SERVE_FLAGS.iter().map(text).collect()
}

/// The page that `galo help` prints.
pub fn help(page: HelpPage) -> String {
    match page {
        HelpPage::Short => short(),
        HelpPage::Serve => serve(),
        HelpPage::Check => CHECK.to_owned(),
        HelpPage::Healthcheck => HEALTHCHECK.to_owned(),
        HelpPage::Cluster => cluster(),
    }
}

/// What most starts are made with.
const FIRST: [(&str, &str); 6] = [
    ("listen", "HOST:PORT or unix:/PATH"),
    ("data", "where accounts and journal are kept"),
    ("cores", "threads, each with sockets and shards of its own"),
    (
        "durability",
        "disk: what was answered survives a power loss, too",
    ),
    (
        "processor-default",
        "the payment processor that charges less",
    ),
    ("processor-fallback", "the one that charges more"),
];

fn short() -> String {
    let mut page = SHORT_HEAD.to_owned();
    for (name, help) in FIRST {
        let flag = SERVE_FLAGS.iter().find(|flag| flag.name == name);
        let flag = flag.expect("it is in the table");
        let name = format!("--{name}{}", flag.value);
        page += &format!("  {name:<26}{help}\n  {:<26}[{}]\n", "", flag.default);
    }
    page + SHORT_TAIL
}

fn serve() -> String {
    SERVE_HEAD.to_owned() + &listed(SERVE_FLAGS.iter()) + SERVE_TAIL
}

fn cluster() -> String {
    let flags = SERVE_FLAGS.iter();
    let flags = flags.filter(|flag| ENGINE_FLAGS.contains(&flag.name));
    CLUSTER_HEAD.to_owned() + &listed(flags)
}

fn listed<'a>(flags: impl Iterator<Item = &'a Flag>) -> String {
    let mut page = String::new();
    for flag in flags {
        let name = format!("--{}{}", flag.name, flag.value);
        // A name that leaves no room for the text has a line of its own.
        match name.len() {
            ..=17 => page += &format!("  {name:<19}"),
            _ => page += &format!("  {name}\n{INDENT}"),
        }
        let variables: Vec<String> = flag.variables().collect();
        let and = match variables.len() {
            _ if flag.adds_up() => ", separated by commas; ",
            1 => "; ",
            _ => ";\n",
        };
        let variables = variables.join(" or ");
        let text = format!("{}\n[{variables}{and}{}]\n", flag.help, flag.default);
        page += &text.trim_end().replace('\n', &format!("\n{INDENT}"));
        page.push('\n');
    }
    page
}

const INDENT: &str = "                     ";

const SHORT_HEAD: &str = "\
galo: a bank ledger and payments gateway (Rinha de Backend 2024/Q1 and 2025) in
one small io_uring binary

usage:
  galo [serve] [flags]         serve the API (the default)
  galo check [--data DIR]      verify a data directory, change nothing
  galo healthcheck [--url URL] ask a running server how it is
  galo cluster status [flags]  tell how nodes on several machines are
  galo help [COMMAND]          this page, or all of a command; also --help
  galo version                 version, commit and I/O drivers; also --version

flags that come first:
";

const SHORT_TAIL: &str = "
galo help serve: all flags, with their variables and defaults, and the endpoints
";

const SERVE_HEAD: &str = "\
galo [serve] [flags]: serve the API

flags, each once, with its environment variable and default; words and units in
any case, on and off also as yes and no, true and false, 1 and 0:
";

const SERVE_TAIL: &str = "
endpoints:
  POST /clientes/{id}/transacoes    GET /clientes/{id}/extrato
  POST /payments    GET /payments/{id}    GET /payments-summary?from=…&to=…
  POST /purge-payments
  GET / or /health    GET /metrics (Prometheus)    POST /reset

SIGTERM or SIGINT: finish what was received, write a snapshot, exit 0 within
2 s; a second one: exit at once. Nothing acknowledged is lost either way.
";

const CHECK: &str = "\
galo check [--data DIR]: verify a data directory, change nothing; exit 1 at the
first damage. A server may run on it meanwhile.

  --data DIR         the directory
                     [GALO_DATA; ./data]
";

const CLUSTER_HEAD: &str = "\
galo cluster status --replicate URLS [flags]: tell how nodes on several machines
are, by what NATS has of them: streams, leases, and owners of shards; exit 1 if
something needs a person, which it names, or NATS does not answer

flags, as galo serve has them:
";

const HEALTHCHECK: &str = "\
galo healthcheck [--url URL]: ask a running server how it is; exit 0 or 1

  --url URL          HOST:PORT, http://HOST:PORT/PATH or unix:/PATH
                     [the first address of GALO_LISTEN; 127.0.0.1:9999]
";
