//! `galo healthcheck`: asks a running server how it is, with nothing but a socket.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);
/// More than any status line.
const REPLY_BYTES_MAX: u64 = 4096;

/// Why the server does not count as healthy.
#[derive(Debug)]
pub enum HealthError {
    /// The URL is neither `http://HOST:PORT/PATH` nor `unix:/PATH`.
    Url(String),
    /// No answer.
    Io(String, io::Error),
    /// An answer other than 200; its first line.
    Status(String),
}

impl fmt::Display for HealthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HealthError::Url(url) => {
                write!(
                    f,
                    "--url: '{url}' is not accepted: http://HOST:PORT/PATH or unix:/PATH"
                )
            }
            HealthError::Io(url, error) => write!(f, "{url} does not answer: {error}"),
            HealthError::Status(line) => write!(f, "not healthy: {line}"),
        }
    }
}

/// `Ok`: the server answered 200 within two seconds.
pub fn run(url: &str) -> Result<(), HealthError> {
    let first_line = ask(url)?;
    // The version is the server's to choose (RFC 9110, section 6.2).
    if first_line.starts_with("HTTP/1.") && first_line.get(8..13) == Some(" 200 ") {
        return Ok(());
    }
    Err(HealthError::Status(first_line))
}

fn ask(url: &str) -> Result<String, HealthError> {
    let failed = |error| HealthError::Io(url.to_owned(), error);
    if let Some(path) = url.strip_prefix("unix:") {
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        return exchange(stream, "localhost", "/health").map_err(failed);
    }
    let refused = || HealthError::Url(url.to_owned());
    let rest = url.strip_prefix("http://").ok_or_else(refused)?;
    let (host, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/health"),
    };
    let with_port = if host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'))
    {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut last = refused();
    for address in with_port.to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
                return exchange(stream, host, path).map_err(failed);
            }
            Err(error) => last = failed(error),
        }
    }
    Err(last)
}

fn exchange(mut stream: impl Read + Write, host: &str, path: &str) -> io::Result<String> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut reply = Vec::new();
    stream.take(REPLY_BYTES_MAX).read_to_end(&mut reply)?;
    let end = reply
        .iter()
        .position(|byte| *byte == b'\r')
        .unwrap_or(reply.len());
    Ok(String::from_utf8_lossy(&reply[..end]).into_owned())
}
