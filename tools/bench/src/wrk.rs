//! wrk: load over keep-alive connections, and reading what it prints.

use std::cell::Cell;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde::Serialize;

use galo_bench::client::{self, BODY, CLIENTS};
use galo_bench::server::{pin, Guard};

/// Beyond what it was told to take.
const OVERTIME_MAX: Duration = Duration::from_secs(20);

/// What is posted, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// To this client's account.
    Transaction(u32),
    /// To the account of one of the contest's five, at random.
    AnyTransaction,
    /// With an id that no other has.
    Payment,
}

/// How much at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub post: Post,
    /// To all addresses together.
    pub connections: usize,
    /// Requests sent in one piece; 1: each waits for the reply before it.
    pub pipelined: usize,
    pub seconds: u64,
}

/// What a run of wrk says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    pub requests: u64,
    pub seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// Replies that were not 2xx or 3xx.
    pub refused: u64,
    /// Connections that failed to be made, read or written, and time-outs.
    pub socket_errors: u64,
}

/// wrk, with its scripts written down and its CPU chosen.
pub struct Wrk {
    directory: PathBuf,
    cpu: usize,
    /// Of runs so far: each has ids of its own.
    runs: Cell<u32>,
}

impl Wrk {
    /// Scripts and output go to `directory`.
    pub fn new(directory: &Path, cpu: usize) -> Wrk {
        Wrk {
            directory: directory.to_path_buf(),
            cpu,
            runs: Cell::new(0),
        }
    }

    /// Runs to the end, on a CPU of its own. Anything but 2xx is an error: then it measured something else.
    pub fn run(&self, address: SocketAddr, load: Load) -> Result<Run> {
        self.run_on(&[address], load)
    }

    /// The same with a thread for each of several addresses, which may be the same, on the CPUs that this thread may use.
    pub fn run_on(&self, addresses: &[SocketAddr], load: Load) -> Result<Run> {
        let address = addresses.first().context("wrk wants an address")?;
        let path = self.directory.join("load.lua");
        self.runs.set(self.runs.get() + 1);
        let (mut script, target) = match load.post {
            Post::Transaction(client) => (same(load.pipelined), client::path(client)),
            Post::AnyTransaction => (any(), client::path(client::CLIENT)),
            Post::Payment => (payments(self.runs.get()), client::PAYMENTS.to_string()),
        };
        if addresses.len() > 1 {
            script += &each_thread_its_own(addresses);
        }
        std::fs::write(&path, script)?;
        let output = self.directory.join("wrk.txt");
        let mut command = Command::new("wrk");
        command
            .arg(format!("-t{}", addresses.len()))
            .arg(format!("-c{}", load.connections))
            .arg(format!("-d{}s", load.seconds))
            .arg("--latency")
            .arg("-s")
            .arg(&path)
            .arg(format!("http://{address}{target}"))
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(Stdio::inherit());
        if addresses.len() == 1 {
            pin(&mut command, self.cpu);
        }
        let mut guard = Guard(command.spawn().context("wrk does not start")?);
        let status = guard.wait_for(Duration::from_secs(load.seconds) + OVERTIME_MAX)?;
        let text = std::fs::read_to_string(&output)?;
        match status {
            None => bail!("wrk did not end in time"),
            Some(status) if !status.success() => bail!("wrk ended with {status}: {text}"),
            Some(_) => {}
        }
        let run = parse(&text).with_context(|| format!("wrk printed something else: {text}"))?;
        if run.refused > 0 || run.socket_errors > 0 || run.requests == 0 {
            bail!("not every request was answered 2xx: {text}");
        }
        Ok(run)
    }
}

/// What is posted, without saying where.
fn form() -> String {
    format!(
        "wrk.method = \"POST\"\nwrk.body = '{BODY}'\n\
         wrk.headers[\"Content-Type\"] = \"application/json\"\n"
    )
}

/// Without a `request` function wrk sends the same bytes again and again, which costs it least.
fn same(pipelined: usize) -> String {
    let mut script = form();
    if pipelined > 1 {
        script += &format!(
            "function init()\n  batch = string.rep(wrk.format(), {pipelined})\nend\n\
             function request() return batch end\n"
        );
    }
    script
}

/// Each request to one of the five, whose requests are put together once.
fn any() -> String {
    let form = form();
    format!(
        "{form}local all = {{}}\n\
         function init()\n  for client = 1, {CLIENTS} do\n    \
         all[client] = wrk.format(nil, '/clientes/' .. client .. '/transacoes')\n  end\nend\n\
         function request() return all[math.random({CLIENTS})] end\n"
    )
}

/// Threads are set up one after the other: the n-th gets the n-th address.
fn each_thread_its_own(addresses: &[SocketAddr]) -> String {
    let each = addresses.iter().map(|address| {
        let (host, port) = (address.ip(), address.port());
        format!("wrk.lookup('{host}', '{port}')[1]")
    });
    let list = each.collect::<Vec<_>>().join(", ");
    format!(
        "local addresses = nil\nlocal threads = 0\n\
         function setup(thread)\n  addresses = addresses or {{ {list} }}\n  \
         threads = threads + 1\n  thread.addr = addresses[threads]\nend\n"
    )
}

/// Each request with the next id; those of two runs differ in their first digits. What does not change is
/// put together once.
fn payments(run: u32) -> String {
    let [head, tail] = client::payment_around_id();
    let escaped = |text: &str| text.replace('\r', "\\r").replace('\n', "\\n");
    let (head, tail) = (escaped(&head), escaped(&tail));
    format!(
        "local head = '{head}{run:08x}-0000-4000-8000-'\nlocal tail = '{tail}'\nlocal count = 0\n\
         function request()\n  count = count + 1\n  \
         return head .. string.format('%012x', count) .. tail\nend\n"
    )
}

fn parse(text: &str) -> Option<Run> {
    let percentile = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))?;
        microseconds(line.trim())
    };
    // "  390000 requests in 3.00s, 51.75MB read"
    let (requests, rest) = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))?;
    let (time, _) = rest.split_once(',')?;
    let refused = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses: "));
    // "  Socket errors: connect 0, read 0, write 0, timeout 3"
    let errors = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Socket errors: "));
    Some(Run {
        requests: requests.parse().ok()?,
        seconds: microseconds(time)? / 1e6,
        p50_us: percentile("50%")?,
        p99_us: percentile("99%")?,
        refused: refused.map_or(Some(0), |text| text.parse().ok())?,
        socket_errors: match errors {
            None => 0,
            Some(errors) => errors
                .split(", ")
                .map(|error| error.split(' ').nth(1)?.parse::<u64>().ok())
                .sum::<Option<u64>>()?,
        },
    })
}

/// `292.00us`, `1.49ms`, `2.00s`, `1.50m`.
fn microseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 60e6)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Some(number.parse::<f64>().ok()? * factor);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
Running 2s test @ http://127.0.0.1:18080/clientes/1/transacoes
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   614.43us    1.02ms   9.14ms   90.64%
    Req/Sec    61.51k    16.25k   81.75k    65.00%
  Latency Distribution
     50%  292.00us
     75%  366.00us
     90%    1.49ms
     99%    5.31ms
  122418 requests in 2.01s, 16.24MB read
Requests/sec:  61107.59
Transfer/sec:      8.11MB
";

    #[test]
    fn a_run_is_read() {
        let expected = Run {
            requests: 122_418,
            seconds: 2.01,
            p50_us: 292.0,
            p99_us: 5310.0,
            refused: 0,
            socket_errors: 0,
        };
        assert_eq!(parse(OUTPUT), Some(expected));
        assert_eq!(parse("unable to connect to 127.0.0.1:1\n"), None);
    }

    #[test]
    fn errors_are_seen() {
        let output = OUTPUT.replace(
            "Requests/sec",
            "  Socket errors: connect 1, read 2, write 0, timeout 3\n  \
             Non-2xx or 3xx responses: 17\nRequests/sec",
        );
        let run = parse(&output).unwrap();
        assert_eq!((run.refused, run.socket_errors), (17, 6));
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(microseconds("1.50m"), Some(90e6));
        assert_eq!(microseconds("2.00s"), Some(2e6));
        assert_eq!(microseconds("0.00us"), Some(0.0));
        assert_eq!(microseconds("12"), None);
    }
}
