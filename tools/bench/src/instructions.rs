//! Instructions in user space for each request, counted by callgrind: other than a time, a count is the same on a busy
//! machine, and repeats to a few in ten thousand. The epoll driver runs, because valgrind knows nothing of io_uring.
//!
//! A request that got longer fails the suite `instructions`. Whoever meant that, or made one shorter, writes the new count
//! here: the suite prints it with `--nocapture`, and `galo-bench --only instructions` does.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{ensure, Context, Result};

use crate::callgrind::{self, Counted};
use crate::client::{self, BODY, CLIENT};
use crate::hop::Clients;
use crate::pair::Pair;
use crate::server::{Launch, Server};

/// Whose requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// A transaction, by the core that owns the account.
    Post,
    /// A statement, by the core that owns the account.
    Statement,
    /// Transactions, 16 in one piece.
    Pipelined,
    /// A transaction that crosses to another core of the process.
    AcrossCores,
    /// A transaction that crosses to another node; both nodes count.
    AcrossNodes,
}

/// What each takes, with the release profile of `Cargo.toml`.
const COUNTS: [(Case, u64); 5] = [
    (Case::Post, 9_439),
    (Case::Statement, 13_195),
    (Case::Pipelined, 6_554),
    (Case::AcrossCores, 17_060),
    (Case::AcrossNodes, 17_086),
];

/// Percent beyond that.
const HEADROOM: u64 = 5;

/// Transactions that make everything warm, and fill the statement.
const WARM_UP: usize = 320;
/// So many times it is counted, and the least is taken: what happens now and then (a timer, the end of a sync) is not the
/// request's.
const TIMES: usize = 3;
/// In each of them.
const REQUESTS: usize = 1_000 / PIPELINED * PIPELINED;
/// In one piece, where they are pipelined.
const PIPELINED: usize = 16;
/// For the replies to one piece.
const REPLY_MAX: Duration = Duration::from_secs(60);

impl Case {
    /// In the order of the table.
    pub fn all() -> impl Iterator<Item = Case> {
        COUNTS.into_iter().map(|(case, _)| case)
    }

    /// What may be executed for a request.
    pub fn most(self) -> u64 {
        let found = COUNTS.into_iter().find(|(case, _)| *case == self);
        let (_, count) = found.expect("each has a count");
        count * (100 + HEADROOM) / 100
    }

    /// In words.
    pub fn what(self) -> &'static str {
        match self {
            Case::Post => "POST transacoes",
            Case::Statement => "GET extrato",
            Case::Pipelined => "POST transacoes, 16 pipelined",
            Case::AcrossCores => "POST transacoes that crosses cores",
            Case::AcrossNodes => "POST transacoes that crosses nodes, of both",
        }
    }

    /// Runs this galo, with its files in `scratch`, a new directory: instructions for each request.
    pub fn count(self, galo: &Path, scratch: &Path) -> Result<u64> {
        let (data, run) = (scratch.join("data"), scratch.join("run"));
        let out = |node: usize| scratch.join(format!("callgrind-{node}"));
        let launch = |node: usize| -> Launch<'static> {
            let mut arguments = callgrind::arguments(&out(node), galo);
            let cores = if self == Case::AcrossCores { "2" } else { "1" };
            let flags = ["serve", "--io", "epoll", "--cores", cores, "--data"];
            arguments.extend(flags.map(OsString::from));
            arguments.push((&data).into());
            Launch {
                program: Path::new(callgrind::VALGRIND),
                arguments,
                cpu: None,
                log: scratch.join(format!("galo-{node}.log")),
            }
        };
        let servers: Vec<Server> = match self {
            Case::AcrossNodes => Pair::of_nodes(&run, launch)?.servers.into(),
            _ => vec![Server::start(&launch(0))?],
        };
        let asked = servers[0].address;
        let mut connection = Connection::open(asked)?;
        let client = match self {
            Case::AcrossCores | Case::AcrossNodes => {
                Clients::of(asked, |client| connection.ask(&post(client), 1))?.other
            }
            _ => CLIENT,
        };
        for _ in 0..WARM_UP {
            connection.ask(&post(client), 1)?;
        }
        let (piece, requests) = match self {
            Case::Statement => (get(client), 1),
            Case::Pipelined => (post(client).repeat(PIPELINED), PIPELINED),
            _ => (post(client), 1),
        };
        let processes = servers.iter().enumerate();
        let processes = processes.map(|(node, server)| (server.pid(), out(node)));
        let mut counted = Counted::new(processes.collect());
        let counts = (0..TIMES).map(|_| {
            counted.count(|| {
                (0..REQUESTS / requests).try_for_each(|_| connection.ask(&piece, requests))
            })
        });
        let counts = counts.collect::<Result<Vec<u64>>>()?;
        let least = counts.into_iter().min().context("it is counted")?;
        Ok(least / REQUESTS as u64)
    }
}

fn post(client: u32) -> String {
    client::request("POST", &client::path(client), BODY)
}

fn get(client: u32) -> String {
    client::request("GET", &format!("/clientes/{client}/extrato"), "")
}

/// For requests in pieces.
struct Connection(TcpStream);

impl Connection {
    fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_MAX))?;
        Ok(Connection(stream))
    }

    /// Sends a piece with so many requests, and reads as many replies, each of which must be a 200.
    fn ask(&mut self, piece: &str, requests: usize) -> Result<()> {
        self.0.write_all(piece.as_bytes())?;
        let mut input = Vec::new();
        let mut part = [0; 16 * 1024];
        loop {
            let count = self.0.read(&mut part).context("no reply")?;
            ensure!(count > 0, "the connection ended");
            input.extend_from_slice(&part[..count]);
            let text = String::from_utf8_lossy(&input);
            if is_complete(&text, requests) {
                let good = text.matches("HTTP/1.1 200 OK\r\n").count();
                ensure!(good == requests, "not every reply is a 200: {text}");
                return Ok(());
            }
        }
    }
}

/// Whether these are so many replies to the end of the last one. No body has in it what a head begins with.
fn is_complete(text: &str, replies: usize) -> bool {
    let Some((heads, body)) = text.rsplit_once("\r\n\r\n") else {
        return false;
    };
    let length = heads.rsplit_once("Content-Length: ").and_then(|(_, rest)| {
        let digits = rest.split("\r\n").next()?;
        digits.parse::<usize>().ok()
    });
    text.matches("HTTP/1.1 ").count() == replies && length == Some(body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_complete_with_the_last_byte_of_the_last_body() {
        let one = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX: y\r\n\r\n{\"a\":{}}";
        let two = one.repeat(2);
        assert!(is_complete(one, 1));
        assert!(is_complete(&two, 2));
        assert!(!is_complete(&two, 1));
        for length in 0..two.len() {
            assert!(!is_complete(&two[..length], 2), "{length}");
        }
    }
}
