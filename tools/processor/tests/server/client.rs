//! A processor to ask, and a connection that sees every byte of what it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;

/// Longer than anything here takes; what takes longer fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const TIME: &str = "2025-07-15T12:34:56.120Z";

pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_galo-processor"))
}

/// A process, killed in the end.
pub struct Server {
    child: Child,
    // Held open: the process may write to it.
    _stdout: BufReader<ChildStdout>,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(flags: &[&str]) -> Server {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]).args(flags);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("listening on ");
        let address = address.expect(&line).parse().expect("an address");
        Server {
            child,
            _stdout: stdout,
            address,
        }
    }

    pub fn connect(&self) -> Connection {
        let socket = TcpStream::connect(self.address).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.set_nodelay(true).expect("an option");
        Connection { socket }
    }

    /// A request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        self.connect().ask(method, path, body)
    }

    /// The same with the admin token.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> Reply {
        let mut connection = self.connect();
        connection.send_with(method, path, "X-Rinha-Token: 123\r\n", body);
        connection.reply()
    }

    pub fn summary(&self, query: &str) -> Value {
        let path = format!("/admin/payments-summary{query}");
        let reply = self.admin("GET", &path, "");
        assert_eq!(reply.status, 200);
        reply.json()
    }

    pub fn count(&self) -> u64 {
        self.summary("")["totalRequests"].as_u64().expect("a count")
    }

    /// Until so many are stored.
    pub fn await_count(&self, count: u64) {
        let start = Instant::now();
        while self.count() != count {
            assert!(start.elapsed() < PATIENCE, "{} stored", self.count());
            std::thread::yield_now();
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    pub fn ended(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Connection {
    pub socket: TcpStream,
}

impl Connection {
    pub fn send_with(&mut self, method: &str, path: &str, headers: &str, body: &str) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: processor\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.socket.write_all(request.as_bytes()).expect("sent");
    }

    pub fn send(&mut self, method: &str, path: &str, body: &str) {
        self.send_with(method, path, "", body);
    }

    pub fn send_payment(&mut self, id: u64) {
        self.send("POST", "/payments", &payment(id, "19.90", TIME));
    }

    pub fn pay(&mut self, id: u64) -> Reply {
        self.send_payment(id);
        self.reply()
    }

    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Reply {
        self.send(method, path, body);
        self.reply()
    }

    /// The next reply, all of it.
    pub fn reply(&mut self) -> Reply {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte());
        }
        let head = String::from_utf8(head).expect("text");
        let status = head.strip_prefix("HTTP/1.1 ").expect("a status line");
        let status = status[..3].parse().expect("a status");
        let mut reply = Reply {
            status,
            body: String::new(),
            head,
        };
        let mut body = Vec::new();
        if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let length = usize::from_str_radix(&self.line(), 16).expect("a chunk's length");
                body.extend(self.bytes(length));
                assert_eq!(self.line(), "");
                if length == 0 {
                    break;
                }
            }
        } else if let Some(length) = reply.header("content-length") {
            body = self.bytes(length.parse().expect("a length"));
        } else {
            assert_eq!(status, 204, "{}", reply.head);
        }
        reply.body = String::from_utf8(body).expect("text");
        reply
    }

    /// All that comes until the connection ends, and how it ends.
    pub fn rest(&mut self) -> (Vec<u8>, std::io::Result<()>) {
        let mut bytes = Vec::new();
        let end = self.socket.read_to_end(&mut bytes);
        (bytes, end.map(drop))
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.byte());
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).expect("text")
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1)[0]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).expect("more bytes");
        bytes
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        assert!(self
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/json")));
        serde_json::from_str(&self.body).expect("JSON")
    }
}

pub fn id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

pub fn payment(number: u64, amount: &str, requested_at: &str) -> String {
    let id = id(number);
    format!(r#"{{"correlationId":"{id}","amount":{amount},"requestedAt":"{requested_at}"}}"#)
}

pub fn path(number: u64) -> String {
    format!("/payments/{}", id(number))
}
