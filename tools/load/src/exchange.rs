//! One request at a time, most on a connection of its own: for what is not load, such as a first sign of life, statements
//! before and after a run, and the fixed parts of the contests.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::reply::{parse_reply, Response};
use anyhow::{bail, Result};
use nix::sys::socket::{connect, socket, AddressFamily, SockFlag, SockType, UnixAddr};

use crate::engine::Stop;
use crate::measure::{Failure, FailureKind};
use crate::target::{Address, Target};

/// What is received at a time.
const READ_BYTES: usize = 16 * 1024;

/// For one try at a first sign of life, at least.
const ANSWER_MIN: Duration = Duration::from_millis(100);
/// For one of them, at most: longer than a slow reply, and than somebody likes to wait who wants to stop it.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// From one try to the next.
const ANSWER_PAUSE: Duration = Duration::from_millis(50);

/// A reply, its body decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// As received.
    pub status: u16,
    /// Decoded.
    pub body: Vec<u8>,
    /// Of head and body, as received.
    pub bytes: usize,
    /// From before the connection was made to the reply's last byte.
    pub latency: Duration,
    /// From the request's first byte to the reply's last.
    pub service: Duration,
}

/// Connects, sends, reads the reply to its end. All of it within `timeout`.
///
/// # Errors
/// Of a kind that says how far it came.
pub fn exchange(target: &Target, request: &[u8], timeout: Duration) -> Result<Reply, Failure> {
    let began = Instant::now();
    let mut connection = Connection::open(target, timeout)?;
    let mut reply = connection.ask(request, timeout.saturating_sub(began.elapsed()))?;
    reply.latency = began.elapsed();
    Ok(reply)
}

/// For one request after the other.
pub struct Connection {
    socket: Socket,
    /// It takes another request.
    open: bool,
}

impl Connection {
    /// Connects, within `timeout`.
    ///
    /// # Errors
    /// Of a kind that says why not.
    pub fn open(target: &Target, timeout: Duration) -> Result<Connection, Failure> {
        let socket = Socket::connect(target.address(), timeout).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => FailureKind::Refused,
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => FailureKind::TimeOut,
                _ => FailureKind::Connect,
            };
            Failure::new(kind, error.to_string())
        })?;
        Ok(Connection { socket, open: true })
    }

    /// Whether it takes another request.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Sends, reads the reply to its end, within `timeout`. Latency counts from here, too.
    ///
    /// # Errors
    /// Of a kind that says how far it came. The connection is of no use any more.
    pub fn ask(&mut self, request: &[u8], timeout: Duration) -> Result<Reply, Failure> {
        let sent = Instant::now();
        let deadline = sent + timeout;
        self.open = false;
        let failed = |error: io::Error, within: bool| {
            Failure::new(FailureKind::of_error(&error, within), error.to_string())
        };
        let socket = &mut self.socket;
        socket
            .limit(deadline)
            .map_err(|error| failed(error, false))?;
        socket
            .write_all(request)
            .map_err(|error| failed(error, false))?;
        let (mut input, mut decoded) = (Vec::new(), Vec::new());
        let mut part = [0; READ_BYTES];
        loop {
            let received = socket.limit(deadline).and_then(|()| socket.read(&mut part));
            let ended = match received {
                Ok(count) => {
                    input.extend_from_slice(&part[..count]);
                    count == 0
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error, !input.is_empty())),
            };
            match parse_reply(&input, ended, &mut decoded) {
                Response::Complete {
                    status,
                    body,
                    keep_alive,
                    ..
                } => {
                    self.open = keep_alive;
                    let taken = sent.elapsed();
                    return Ok(Reply {
                        status,
                        body: body.to_vec(),
                        bytes: input.len(),
                        latency: taken,
                        service: taken,
                    });
                }
                Response::Incomplete if ended => {
                    let kind = match input.is_empty() {
                        true => FailureKind::Closed,
                        false => FailureKind::HalfReply,
                    };
                    return Err(Failure::new(kind, "the connection ended"));
                }
                Response::Incomplete => {}
                Response::Bad => {
                    let text = String::from_utf8_lossy(&input).into_owned();
                    return Err(Failure::new(FailureKind::NotHttp, text));
                }
            }
        }
    }
}

/// Asks for `path` again and again until there is a reply, whatever it says, for at most `wait`. Returns its status.
///
/// # Errors
/// It never answers, with what was tried last; or `stop` was given.
pub fn until_it_answers(target: &Target, path: &str, wait: Duration, stop: &Stop) -> Result<u16> {
    let began = Instant::now();
    let request = target.request("GET", path, b"");
    loop {
        let left = wait.saturating_sub(began.elapsed());
        let failure = match exchange(target, &request, left.clamp(ANSWER_MIN, ANSWER_MAX)) {
            Ok(reply) => return Ok(reply.status),
            Err(failure) => failure,
        };
        if stop.is_stopped() {
            bail!("stopped before {target} answered");
        }
        if began.elapsed() + ANSWER_PAUSE > wait {
            let waited = humantime::format_duration(wait);
            bail!("{target} never answered within {waited}: {failure}");
        }
        thread::sleep(ANSWER_PAUSE);
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn connect(address: &Address, timeout: Duration) -> io::Result<Socket> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, timeout)?;
                // Where nobody listens on a port that is given to clients, a socket can reach itself.
                if stream.local_addr()? == *address {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Address::Unix(path) => {
                let flags = SockFlag::SOCK_CLOEXEC;
                let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
                let stream = UnixStream::from(socket);
                // Where the listener's queue is full, connect(2) waits for room, no longer than this (socket(7)).
                stream.set_write_timeout(Some(timeout))?;
                connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
                Ok(Socket::Unix(stream))
            }
        }
    }

    /// The next read or write takes no longer than until then.
    fn limit(&self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match self {
            Socket::Tcp(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.set_write_timeout(Some(left))
            }
            Socket::Unix(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.set_write_timeout(Some(left))
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.write_all(bytes),
            Socket::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(part),
            Socket::Unix(stream) => stream.read(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{bind, listen, Backlog};

    #[test]
    fn a_unix_socket_whose_queue_is_full_is_not_waited_for_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let flags = SockFlag::SOCK_CLOEXEC;
        let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        // There is room for one.
        let _first = UnixStream::connect(&path).unwrap();
        let target: Target = format!("unix:{}", path.display()).parse().unwrap();
        let timeout = Duration::from_millis(200);
        let (sender, ended) = std::sync::mpsc::channel();
        thread::spawn(move || sender.send(exchange(&target, b"GET / HTTP/1.1\r\n\r\n", timeout)));
        let ended = ended.recv_timeout(Duration::from_secs(30));
        let failure = ended.expect("it gives up").unwrap_err();
        assert_eq!(failure.kind, FailureKind::TimeOut, "{failure}");
    }
}
