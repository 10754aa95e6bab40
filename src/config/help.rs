//! The reference of commands, flags and variables: as pages, and as what other forms of it are made of.

use super::flags::{Flag, SERVE_FLAGS};

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
    let mut page = SERVE_HEAD.to_owned();
    for flag in &SERVE_FLAGS {
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
    page + SERVE_TAIL
}

const INDENT: &str = "                     ";

const SHORT_HEAD: &str = "\
galo: a bank ledger and payments gateway (Rinha de Backend 2024/Q1 and 2025) in
one small io_uring binary

usage:
  galo [serve] [flags]         serve the API (the default)
  galo check [--data DIR]      verify a data directory, change nothing
  galo healthcheck [--url URL] ask a running server how it is
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

const HEALTHCHECK: &str = "\
galo healthcheck [--url URL]: ask a running server how it is; exit 0 or 1

  --url URL          HOST:PORT, http://HOST:PORT/PATH or unix:/PATH
                     [the first address of GALO_LISTEN; 127.0.0.1:9999]
";
