//! The reference of commands, flags and variables.

use super::flags::SERVE_FLAGS;

/// The page that `galo --help` prints.
pub fn help() -> String {
    let mut page = HEAD.to_owned();
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
    page + TAIL
}

const INDENT: &str = "                     ";

const HEAD: &str = "\
galo: a bank ledger and payments gateway (Rinha de Backend 2024/Q1 and 2025) in
one small io_uring binary

usage:
  galo [serve] [flags]              serve the API (the default)
  galo check [--data DIR]           verify a data directory, change nothing;
                                    exit 1 at the first damage
  galo healthcheck [--url URL]      ask a running server how it is: exit 0 or 1;
                                    HOST:PORT, http://HOST:PORT/PATH, unix:/PATH
                                    [the first address of GALO_LISTEN]
  galo help | version               also --help, --version

flags of serve, each once, with its environment variable and default; words and
units in any case, on and off also as yes and no, true and false, 1 and 0:
";

const TAIL: &str = "
endpoints:
  POST /clientes/{id}/transacoes    GET /clientes/{id}/extrato
  POST /payments    GET /payments/{id}    GET /payments-summary?from=…&to=…
  POST /purge-payments
  GET / or /health    GET /metrics (Prometheus)    POST /reset

SIGTERM or SIGINT: finish what was received, write a snapshot, exit 0 within
2 s; a second one: exit at once. Nothing acknowledged is lost either way.
";
