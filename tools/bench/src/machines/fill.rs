//! Writes to many accounts, once each, as fast as nodes take them: requests in pieces, on several connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};

use galo_bench::client::{self, BODY};

/// To each node.
const CONNECTIONS: u32 = 4;
/// Requests in a piece, which waits for the replies to the one before.
const PIECE: u32 = 256;
/// For the replies to a piece.
const REPLIES_MAX: Duration = Duration::from_secs(20);
/// What a reply begins with.
const OK: &[u8] = b"HTTP/1.1 200 ";

/// How many of the accounts 1 to `accounts` were written to, within this time.
pub fn fill(nodes: &[SocketAddr], accounts: u32, longest: Duration) -> Result<u32> {
    let writers = nodes.len() as u32 * CONNECTIONS;
    let deadline = Instant::now() + longest;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|number| {
                let node = nodes[number as usize % nodes.len()];
                let own = (1 + number..=accounts).step_by(writers as usize);
                scope.spawn(move || write(node, own, deadline))
            })
            .collect();
        let written = threads
            .into_iter()
            .map(|it| it.join().expect("it does not panic"));
        written.sum()
    })
}

fn write(
    node: SocketAddr,
    mut accounts: impl Iterator<Item = u32>,
    deadline: Instant,
) -> Result<u32> {
    let mut stream = TcpStream::connect(node)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(REPLIES_MAX))?;
    let mut written = 0;
    while Instant::now() < deadline {
        let piece = accounts.by_ref().take(PIECE as usize);
        let requests: Vec<String> = piece
            .map(|account| client::request("POST", &client::path(account), BODY))
            .collect();
        if requests.is_empty() {
            break;
        }
        stream.write_all(requests.concat().as_bytes())?;
        read(&mut stream, requests.len())?;
        written += requests.len() as u32;
    }
    Ok(written)
}

/// So many replies, each of which must be a 200 with an object, the last thing in it.
fn read(stream: &mut TcpStream, count: usize) -> Result<()> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 64 * 1024]);
    loop {
        let more = stream.read(&mut chunk).context("no replies")?;
        ensure!(more > 0, "the node has closed the connection");
        bytes.extend_from_slice(&chunk[..more]);
        if bytes.last() != Some(&b'}') {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes);
        let replies = text.matches("HTTP/1.1 ").count();
        let good = bytes.windows(OK.len()).filter(|it| *it == OK).count();
        ensure!(replies == good, "not every reply is a 200: {text}");
        if good == count {
            return Ok(());
        }
    }
}
