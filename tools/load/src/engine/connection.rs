//! One connection: its socket, and what it is waiting for.

use std::io::{self, Read, Write};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::measure::{FailureKind, Kind, Sample};
use crate::target::Address;

/// A socket of either family.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn connect(address: &Address) -> io::Result<Socket> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(*address)?;
                // Where nobody listens, a socket that was given the very port that it connects to reaches itself (RFC 9293,
                // section 3.5: simultaneous open), and would read its own request.
                if stream.local_addr()? == *address {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Address::Unix(path) => UnixStream::connect(path).map(Socket::Unix),
        }
    }

    fn as_source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(stream) => stream,
            Socket::Unix(stream) => stream,
        }
    }

    /// As read(2), but for signals.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Socket::Tcp(stream) => stream.read(buffer),
                Socket::Unix(stream) => stream.read(buffer),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                done => return done,
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let written = match self {
                Socket::Tcp(stream) => stream.write(bytes),
                Socket::Unix(stream) => stream.write(bytes),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                done => return done,
            }
        }
    }
}

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Request<K> {
    pub ticket: K,
    pub kind: Kind,
    /// What its latency is counted from.
    pub from_ns: u64,
    pub begun_ns: u64,
    /// Its first byte was sent, or was about to be.
    pub sent_ns: Option<u64>,
    /// It is not measured.
    pub warm: bool,
}

impl<K> Request<K> {
    /// As it is counted if it ends now.
    pub fn sample(&self, now_ns: u64, status: Option<u16>, bytes: usize) -> Sample {
        let since = |from_ns: u64| Duration::from_nanos(now_ns.saturating_sub(from_ns));
        Sample {
            kind: self.kind,
            latency: since(self.from_ns),
            // What found no connection in time has taken that long, and not no time.
            service: since(self.sent_ns.unwrap_or(self.begun_ns)),
            status,
            bytes,
            in_time: true,
        }
    }
}

/// Why a request could not be sent, or not yet.
#[derive(Debug)]
pub enum Unsent {
    /// The socket will say when it goes on.
    Waiting,
    /// The peer had closed the connection while nothing was asked of it.
    WasClosed,
    /// No connection.
    Unconnected(io::Error),
    /// The connection broke.
    Broken(io::Error),
}

/// One connection, and its request, if it has one.
#[derive(Debug)]
pub struct Connection<K> {
    pub socket: Option<Socket>,
    /// The socket's; events of those before are none of ours.
    generation: u32,
    /// Bytes were sent on this socket.
    connected: bool,
    /// Of the request, or of the one before.
    pub output: Vec<u8>,
    /// Of those, on this socket.
    pub written: usize,
    /// The beginning of a reply whose end has not come yet.
    pub input: Vec<u8>,
    pub request: Option<Request<K>>,
}

impl<K> Default for Connection<K> {
    fn default() -> Connection<K> {
        Connection {
            socket: None,
            generation: 0,
            connected: false,
            output: Vec::new(),
            written: 0,
            input: Vec::new(),
            request: None,
        }
    }
}

impl<K> Connection<K> {
    /// Closes it, without a word to anybody.
    pub fn close(&mut self) {
        self.socket = None;
        self.connected = false;
        self.generation = self.generation.wrapping_add(1);
    }

    /// A new socket, which will say when the connection is there.
    pub fn connect(
        &mut self,
        address: &Address,
        registry: &Registry,
        index: u32,
    ) -> io::Result<()> {
        let mut socket = Socket::connect(address)?;
        let token = token(index, self.generation);
        let interests = Interest::READABLE | Interest::WRITABLE;
        registry.register(socket.as_source(), token, interests)?;
        self.socket = Some(socket);
        self.written = 0;
        Ok(())
    }

    /// Whether an event is of this connection's present socket.
    pub fn is_meant(&self, token: Token) -> bool {
        self.generation == (token.0 >> 32) as u32
    }

    /// Sends what is left of the request. An attempt on a socket that is still connecting fails with what has become
    /// of the connection (connect(2), EINPROGRESS), so nothing else needs to ask for that.
    pub fn write(&mut self) -> Result<(), Unsent> {
        while let (Some(socket), true) = (&mut self.socket, self.written < self.output.len()) {
            match socket.write(&self.output[self.written..]) {
                Ok(count) => {
                    self.connected = true;
                    self.written += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Unsent::Waiting)
                }
                Err(error) if !self.connected => return Err(Unsent::Unconnected(error)),
                Err(_) if self.written == 0 => return Err(Unsent::WasClosed),
                Err(error) => return Err(Unsent::Broken(error)),
            }
        }
        Ok(())
    }
}

/// Of events of a connection's socket.
fn token(index: u32, generation: u32) -> Token {
    Token((generation as usize) << 32 | index as usize)
}

/// Whose event it is; see [`Connection::is_meant`].
pub fn index_of(token: Token) -> u32 {
    token.0 as u32
}

/// What it is called that there is no connection. A Unix socket that is not there is one that nobody listens on.
pub fn kind_of_connect(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => FailureKind::Refused,
        _ => FailureKind::Connect,
    }
}

/// A request that failed, for people: its first line and its body, what is wrong, and what came.
pub fn example(request: &[u8], what: &str, reply: &[u8]) -> String {
    let request = String::from_utf8_lossy(request);
    let (head, body) = request.split_once("\r\n\r\n").unwrap_or((&request, ""));
    let mut text = head.lines().next().unwrap_or_default().to_owned();
    for part in [body, what, &String::from_utf8_lossy(reply)] {
        if !part.is_empty() {
            text.push('\n');
            text.push_str(part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_never_sent_has_not_been_served_at_once() {
        let request = Request {
            ticket: (),
            kind: Kind::Debit,
            from_ns: 1_000,
            begun_ns: 2_000,
            sent_ns: None,
            warm: false,
        };
        assert_eq!(
            request.sample(9_000, None, 0).service,
            Duration::from_nanos(7_000)
        );
    }

    #[test]
    fn an_example_has_what_matters() {
        let post = b"POST /x HTTP/1.1\r\nHost: h\r\n\r\n{\"valor\":1}";
        let text = example(post, "status 500", b"HTTP/1.1 500 Oh\r\n\r\n\xff");
        assert_eq!(
            text,
            "POST /x HTTP/1.1\n{\"valor\":1}\nstatus 500\nHTTP/1.1 500 Oh\r\n\r\n\u{fffd}"
        );
        let get = example(b"GET /x HTTP/1.1\r\n\r\n", "no reply", b"");
        assert_eq!(get, "GET /x HTTP/1.1\nno reply");
    }
}
