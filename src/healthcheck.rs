//! `galo healthcheck`: asks a running server for its health over a plain socket, for containers without an HTTP client.

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use crate::io::address;
use crate::limits::HEALTHCHECK_NS_MAX;

const TIMEOUT: Duration = Duration::from_nanos(HEALTHCHECK_NS_MAX);
/// Bytes that are read of a reply: more than any status line has.
const LINE_BYTES_MAX: u64 = 4096;

/// Why the server does not count as healthy.
#[derive(Debug)]
pub enum HealthError {
    /// The URL is neither `[http://]HOST[:PORT][/PATH]` nor `unix:/PATH`: which rule it breaks.
    Url(String),
    /// No thread for the request.
    Thread(io::Error),
    /// No answer: the URL, and the system's error.
    Io(String, io::Error),
    /// An answer other than 200; its first line.
    Status(String),
}

impl fmt::Display for HealthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HealthError::Url(rule) => write!(f, "--url: {rule}"),
            HealthError::Thread(error) => write!(f, "cannot start a thread: {error}"),
            HealthError::Io(url, error) => write!(f, "{url} does not answer: {error}"),
            HealthError::Status(line) => write!(f, "not healthy: {line}"),
        }
    }
}

/// Asks the server at `url` for its health. `Ok`: it answered 200 within [`HEALTHCHECK_NS_MAX`].
pub fn run(url: &str) -> Result<(), HealthError> {
    let (sender, receiver) = mpsc::channel();
    let asked = url.to_owned();
    // A thread, because some of what it may wait for knows no time-out, and none knows one in all
    // (a name, the backlog of a Unix socket, a reply that drips). It ends with the process.
    std::thread::Builder::new()
        .spawn(move || sender.send(ask(&asked)))
        .map_err(HealthError::Thread)?;
    let first_line = receiver
        .recv_timeout(TIMEOUT)
        .unwrap_or_else(|_| Err(HealthError::Io(url.to_owned(), ErrorKind::TimedOut.into())))?;
    // The version is the server's to choose (RFC 9110, section 6.2).
    if first_line.starts_with("HTTP/1.") && first_line.get(8..13) == Some(" 200 ") {
        return Ok(());
    }
    Err(HealthError::Status(first_line))
}

fn ask(url: &str) -> Result<String, HealthError> {
    let failed = |error| HealthError::Io(url.to_owned(), error);
    match ProbeTarget::parse(url).map_err(HealthError::Url)? {
        ProbeTarget::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(failed)?;
            exchange(stream, "localhost", "/health").map_err(failed)
        }
        ProbeTarget::Tcp { host, path } => {
            let has_port = host
                .rsplit_once(':')
                .is_some_and(|(_, port)| !port.contains(']'));
            let stream = match has_port {
                true => TcpStream::connect(host),
                false => TcpStream::connect(format!("{host}:80")),
            };
            exchange(stream.map_err(failed)?, host, path).map_err(failed)
        }
    }
}

/// The server's address, taken apart from the URL.
#[derive(Debug, PartialEq)]
enum ProbeTarget<'a> {
    Unix(&'a str),
    /// A host, with a port or without.
    Tcp {
        host: &'a str,
        path: &'a str,
    },
}

impl<'a> ProbeTarget<'a> {
    /// As curl takes it: the scheme, the port (80) and the path (`/health`) may be left out.
    fn parse(text: &'a str) -> Result<ProbeTarget<'a>, String> {
        let url = text.trim();
        if let Some(path) = url.strip_prefix("unix:") {
            return match path {
                "" => Err(format!("'{url}' lacks a path: unix:/PATH")),
                path if address::is_abstract(path) => Err(address::abstract_refused(url)),
                path => Ok(ProbeTarget::Unix(path)),
            };
        }
        let accepted = "[http://]HOST[:PORT][/PATH] or unix:/PATH";
        let rest = match url.split_once("://") {
            None => url,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(format!(
                    "'{text}' is not accepted: galo speaks no TLS; {accepted}"
                ));
            }
            Some(_) => return Err(format!("'{text}' is not accepted: {accepted}")),
        };
        let (host, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/health"),
        };
        let is_sound = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || host.starts_with(':') || !is_sound(host) || !is_sound(path) {
            return Err(format!("'{text}' is not accepted: {accepted}"));
        }
        Ok(ProbeTarget::Tcp { host, path })
    }
}

fn exchange(mut stream: impl Read + Write, host: &str, path: &str) -> io::Result<String> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut line = Vec::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line);
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Instant;

    /// A server that says this, waits for so long, and then says that.
    fn server(first: &'static str, pause: Duration, then: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/health", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(first.as_bytes()).unwrap();
            std::thread::sleep(pause);
            let _ = stream.write_all(then.as_bytes());
            std::thread::sleep(pause);
        });
        url
    }

    #[test]
    fn the_status_line_is_all_that_it_waits_for() {
        let long = 10 * TIMEOUT;
        assert!(run(&server("HTTP/1.1 200 OK\r\nDate: x\r\n", long, "")).is_ok());
        assert!(run(&server("HTTP/1.1 200 \r\n", long, "")).is_ok());
        let error = run(&server("HTTP/1.1 503 No\r\n\r\n", long, "")).unwrap_err();
        assert_eq!(error.to_string(), "not healthy: HTTP/1.1 503 No");
    }

    #[test]
    fn urls_are_read_as_people_write_them() {
        for (url, host, path) in [
            ("localhost:9999", "localhost:9999", "/health"),
            ("localhost", "localhost", "/health"),
            ("127.0.0.1:1/", "127.0.0.1:1", "/"),
            ("http://a:1", "a:1", "/health"),
            ("HTTP://a:1/nada", "a:1", "/nada"),
            (" http://[::1]:9999/health\n", "[::1]:9999", "/health"),
            ("[::1]", "[::1]", "/health"),
        ] {
            assert_eq!(
                ProbeTarget::parse(url),
                Ok(ProbeTarget::Tcp { host, path }),
                "{url}"
            );
        }
        assert_eq!(
            ProbeTarget::parse("unix:/a b"),
            Ok(ProbeTarget::Unix("/a b"))
        );
        for (url, rule) in [
            ("", "[http://]HOST[:PORT][/PATH] or unix:/PATH"),
            ("/run/galo.sock", "unix:/PATH"),
            (":9999", "HOST"),
            ("http://", "HOST"),
            ("ftp://a", "[http://]HOST"),
            ("https://a", "no TLS"),
            ("a b:1", "HOST"),
            ("a:1/x\r\nX: y", "HOST"),
            ("unix:", "lacks a path"),
            ("unix:@galo", "an abstract socket"),
        ] {
            let error = run(url).unwrap_err().to_string();
            assert!(error.starts_with("--url: "), "{error}");
            assert!(error.contains(rule), "{url}: {error}");
        }
    }

    #[test]
    fn a_server_that_drips_is_not_healthy() {
        let began = Instant::now();
        let url = server("HTTP/1.1 ", TIMEOUT * 3 / 4, "2");
        assert!(run(&url).is_err());
        assert!(began.elapsed() < TIMEOUT * 5 / 4, "{:?}", began.elapsed());
    }
}
