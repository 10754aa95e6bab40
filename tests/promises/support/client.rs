//! A small HTTP client: it sends the bytes it is given, and reads replies strictly.

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::PATIENCE;

/// As in `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(String),
    Unix(PathBuf),
}

impl Address {
    pub fn parse(text: &str) -> Address {
        match text.strip_prefix("unix:") {
            Some(path) => Address::Unix(path.into()),
            None => Address::Tcp(text.to_owned()),
        }
    }

    /// `host:port`.
    pub fn tcp(&self) -> &str {
        match self {
            Address::Tcp(address) => address,
            Address::Unix(_) => panic!("{self:?} is no TCP address"),
        }
    }
}

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: galo\r\n\r\n").into_bytes()
}

pub fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: galo\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub fn transaction(client: u32, kind: char, amount: i64, description: &str) -> Vec<u8> {
    let body = format!(r#"{{"valor":{amount},"tipo":"{kind}","descricao":"{description}"}}"#);
    post(&format!("/clientes/{client}/transacoes"), &body)
}

/// One reply, taken apart.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What `/extrato` says.
#[derive(Debug)]
pub struct Statement {
    pub total: i64,
    pub limit: i64,
    /// `data_extrato`; texts of this form sort as times do.
    pub time: String,
    /// Newest first.
    pub transactions: Vec<Listed>,
}

/// A transaction in a statement.
#[derive(Clone, Debug)]
pub struct Listed {
    pub amount: i64,
    pub kind: String,
    pub description: String,
    pub time: String,
}

impl Reply {
    /// A header that occurs at most once.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(found, _)| found == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} occurs twice in {self:?}");
        value
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Of a transaction that was accepted: limit and balance.
    #[track_caller]
    pub fn posted(&self) -> (i64, i64) {
        assert_eq!(self.status, 200, "{self:?}");
        let json = self.json();
        (integer(&json["limite"]), integer(&json["saldo"]))
    }

    /// Of a 200: the statement, of which everything that must hold of any statement holds.
    #[track_caller]
    pub fn statement(&self) -> Statement {
        assert_eq!(self.status, 200, "{self:?}");
        let json = self.json();
        let listed = json["ultimas_transacoes"].as_array().expect("a list");
        let transactions = listed.iter().map(|listed| Listed {
            amount: integer(&listed["valor"]),
            kind: text(&listed["tipo"]),
            description: text(&listed["descricao"]),
            time: text(&listed["realizada_em"]),
        });
        let statement = Statement {
            total: integer(&json["saldo"]["total"]),
            limit: integer(&json["saldo"]["limite"]),
            time: text(&json["saldo"]["data_extrato"]),
            transactions: transactions.collect(),
        };
        assert!(statement.total >= -statement.limit, "{statement:?}");
        assert!(statement.transactions.len() <= 10, "{statement:?}");
        let mut after = &statement.time;
        for listed in &statement.transactions {
            assert!(listed.time <= *after, "times go backwards: {statement:?}");
            after = &listed.time;
        }
        statement
    }
}

#[track_caller]
fn integer(value: &Value) -> i64 {
    value
        .as_i64()
        .unwrap_or_else(|| panic!("{value} is no integer"))
}

#[track_caller]
fn text(value: &Value) -> String {
    let text = value.as_str();
    text.unwrap_or_else(|| panic!("{value} is no string"))
        .to_owned()
}

trait Socket: Read + Write + AsFd + Debug + Send {}
impl<T: Read + Write + AsFd + Debug + Send> Socket for T {}

/// A connection: bytes out, replies in.
#[derive(Debug)]
pub struct Connection {
    socket: Box<dyn Socket>,
    /// Received, and not yet part of a reply that was returned.
    pub input: Vec<u8>,
}

impl Connection {
    pub fn open(address: &Address) -> io::Result<Connection> {
        let socket: Box<dyn Socket> = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        };
        Ok(Connection {
            socket,
            input: Vec::new(),
        })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the server reads");
    }

    /// The next reply to anything but HEAD.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        self.try_reply()
            .unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// The next reply, which has no body whatever its head says.
    #[track_caller]
    pub fn reply_to_head(&mut self) -> Reply {
        self.read_reply(true)
            .unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// The next reply. `UnexpectedEof`: it ends before its first byte; `InvalidData`: within it.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        self.read_reply(false)
    }

    /// Sends a request and reads its reply.
    #[track_caller]
    pub fn ask(&mut self, request: &[u8]) -> Reply {
        self.send(request);
        self.reply()
    }

    fn read_reply(&mut self, head_only: bool) -> io::Result<Reply> {
        let end = loop {
            if let Some(at) = find(&self.input, b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more()?;
        };
        let head = std::str::from_utf8(&self.input[..end - 4]).map_err(invalid)?;
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| invalid(line))?;
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").ok_or_else(|| invalid(line))?;
                Ok((name.to_ascii_lowercase(), value.to_owned()))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let mut reply = Reply {
            status,
            headers,
            body: Vec::new(),
        };
        if reply.header("transfer-encoding") == Some("chunked") {
            self.input.drain(..end);
            reply.body = self.read_chunks()?;
            return Ok(reply);
        }
        // 1xx has neither a length nor a body.
        let length = match reply.header("content-length") {
            _ if status < 200 || head_only => 0,
            Some(length) => length.parse().map_err(invalid)?,
            None => return Err(invalid("no Content-Length")),
        };
        while self.input.len() < end + length {
            self.read_more()?;
        }
        reply.body = self.input[end..end + length].to_vec();
        self.input.drain(..end + length);
        Ok(reply)
    }

    /// A chunked body without trailers, which processors send, and galo does not.
    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                match find(&self.input, b"\r\n") {
                    Some(at) => break at,
                    None => self.read_more()?,
                }
            };
            let size = std::str::from_utf8(&self.input[..line]).map_err(invalid)?;
            let size = usize::from_str_radix(size, 16).map_err(invalid)?;
            let (begin, end) = (line + 2, line + 2 + size + 2);
            while self.input.len() < end {
                self.read_more()?;
            }
            body.extend_from_slice(&self.input[begin..begin + size]);
            self.input.drain(..end);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads whatever is there, and waits for it. An error at the end of the stream.
    pub fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        let read = loop {
            match self.socket.read(&mut bytes) {
                // With a time limit, a stop and a continuation of this process is enough (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(0) if self.input.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
            Ok(0) => Err(invalid("the stream ends within a reply")),
            Ok(count) => {
                self.input.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Err(io::Error::new(ErrorKind::TimedOut, "nothing comes"))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for the server to close, after the replies that were read and nothing else.
    #[track_caller]
    pub fn expect_close(&mut self) {
        assert!(self.input.is_empty(), "more came: {:?}", self.input);
        match self.read_more() {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("not closed: {error}"),
            Ok(()) => panic!("not closed: {}", String::from_utf8_lossy(&self.input)),
        }
    }

    /// Whether something can be read now, or within this time.
    pub fn is_readable(&self, within: Duration) -> bool {
        use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
        let mut polled = [PollFd::new(self.fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(within).expect("a short time");
        !self.input.is_empty() || poll(&mut polled, timeout).expect("poll") > 0
    }
}

pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn invalid(what: impl ToString) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_string())
}
