//! A server that is bad on purpose: right replies, and what can be wrong with the way in which they come.
//!
//! What is wrong with what they say is the bank's affair, and the gateway's.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use serde_json::{json, Value};

use crate::bank::{self, Accounts, Faults};
use crate::gateway::{Gateway, Misbooked};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bad {
    /// What is done to each n-th request, counted from one over all connections; the others are answered well.
    pub fault: Option<(u64, Fault)>,
    /// Nothing is answered meanwhile, on any connection.
    pub stall: Option<Stall>,
    /// A connection is closed after so many replies, which do not say so.
    pub replies_per_connection: Option<u64>,
    /// What is wrong with balances and statements.
    pub bank: Faults,
    /// What is wrong with the sums of payments.
    pub payments: Option<Misbooked>,
}

/// What can be done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset instead of a reply.
    Reset {
        /// The request was carried out before.
        applied: bool,
    },
    /// The connection is reset after a part of the reply.
    ResetWithin,
    /// The connection ends instead of a reply.
    Close,
    /// It ends after a part of the reply.
    Half,
    /// Bytes of all values.
    Garbage,
    /// Lines of another protocol.
    OtherProtocol,
    /// JSON, and of another type than it must be.
    WrongType,
    /// There is no reply, and the connection stays.
    Silence,
    /// The reply comes that much later.
    Delay(Duration),
    /// 500.
    InternalError,
    /// The reply comes twice at once.
    Twice,
    /// More than the reply comes, after a moment.
    Afterwards,
    /// Byte by byte. Nothing is wrong with that.
    Drip,
    /// In chunks. Nothing is wrong with that.
    Chunked,
}

/// Once in every period, the first beginning that long after the first request.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    pub first: Duration,
    pub period: Duration,
    pub length: Duration,
}

/// What a server has seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub connections: u64,
    /// Requests to which the fault was done.
    pub faults: u64,
    /// Method, path and body, in the order in which they came.
    pub requests: Vec<(String, String, Vec<u8>)>,
}

impl Seen {
    /// Requests that began so.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let requests = self.requests.iter();
        requests
            .filter(|request| request.0 == method && request.1.starts_with(path))
            .count()
    }
}

/// One that listens, until it is dropped.
pub struct Server {
    place: Place,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Clone)]
enum Place {
    Tcp(String),
    Unix(PathBuf),
}

struct Shared {
    bad: Bad,
    closing: AtomicBool,
    state: Mutex<State>,
}

struct State {
    accounts: Accounts,
    gateway: Gateway,
    seen: Seen,
    first: Option<Instant>,
}

impl Server {
    /// On a port of its own, on loopback.
    pub fn start(bad: Bad) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accept = move || {
            let (socket, _) = listener.accept()?;
            socket.set_nodelay(true)?;
            Ok(OwnedFd::from(socket))
        };
        Server::listen(bad, Place::Tcp(address.to_string()), accept)
    }

    /// On a Unix socket.
    pub fn start_at(path: &Path, bad: Bad) -> Server {
        let listener = UnixListener::bind(path).unwrap();
        let accept = move || Ok(OwnedFd::from(listener.accept()?.0));
        Server::listen(bad, Place::Unix(path.to_owned()), accept)
    }

    fn listen(
        bad: Bad,
        place: Place,
        mut accept: impl FnMut() -> std::io::Result<OwnedFd> + Send + 'static,
    ) -> Server {
        let shared = Arc::new(Shared {
            bad,
            closing: AtomicBool::new(false),
            state: Mutex::new(State {
                accounts: Accounts::new(bad.bank),
                gateway: Gateway::new(bad.payments),
                seen: Seen::default(),
                first: None,
            }),
        });
        let of_listener = shared.clone();
        let listener = thread::spawn(move || loop {
            let accepted = accept();
            if of_listener.closing.load(Ordering::Relaxed) {
                return;
            }
            // A connection that its client has already given up is nothing to this server.
            let Ok(socket) = accepted else { continue };
            of_listener.state().seen.connections += 1;
            let shared = of_listener.clone();
            thread::spawn(move || serve(&File::from(socket), &shared));
        });
        Server {
            place,
            shared,
            listener: Some(listener),
        }
    }

    /// As it stands on a command line.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Tcp(address) => format!("http://{address}"),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// What it has seen so far.
    pub fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.shared.state().seen)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        // Wakes the listener up.
        match &self.place {
            Place::Tcp(address) => drop(TcpStream::connect(address)),
            Place::Unix(path) => drop(UnixStream::connect(path)),
        }
        self.listener.take().unwrap().join().unwrap();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    /// Status and body.
    fn answer(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        match (method, path) {
            ("GET", "/health") => (200, json!({"status": "healthy"})),
            _ if path.starts_with("/clientes/") => self.accounts.answer(method, path, body),
            _ => self.gateway.answer(method, path, body),
        }
    }
}

impl Stall {
    /// How long it still lasts, so long after the first request.
    fn left(&self, since_first: Duration) -> Option<Duration> {
        let nanoseconds = since_first.checked_sub(self.first)?.as_nanos() % self.period.as_nanos();
        let within = Duration::from_nanos(nanoseconds as u64);
        self.length.checked_sub(within)
    }
}

/// Requests of one connection, until either side closes it. What fails in it is its client's affair.
fn serve(mut socket: &File, shared: &Shared) {
    let mut reader = BufReader::new(socket);
    let mut replies = 0;
    while let Ok(Some((method, path, body))) = bank::http::request(&mut reader) {
        let (fault, since_first) = {
            let seen = &mut shared.state();
            let first = *seen.first.get_or_insert_with(Instant::now);
            let request = (method.clone(), path.clone(), body.clone());
            seen.seen.requests.push(request);
            let number = seen.seen.requests.len() as u64;
            let fault = shared.bad.fault;
            let fault = fault.filter(|(every, _)| number.is_multiple_of(*every));
            seen.seen.faults += u64::from(fault.is_some());
            (fault.map(|(_, fault)| fault), first.elapsed())
        };
        if let Some(left) = shared.bad.stall.and_then(|stall| stall.left(since_first)) {
            thread::sleep(left);
        }
        if fault == Some(Fault::Reset { applied: false }) {
            return reset(socket);
        }
        let (status, value) = shared.state().answer(&method, &path, &body);
        let text = value.to_string();
        let good = reply(status, &text);
        let half = &good[..good.len() - text.len() / 2 - 1];
        let out = match fault {
            None => good,
            Some(Fault::Reset { .. }) => return reset(socket),
            Some(Fault::ResetWithin) => {
                // What has arrived before a reset can still be read (Linux).
                let _ = socket.write_all(half);
                return reset(socket);
            }
            Some(Fault::Close) => return,
            Some(Fault::Half) => {
                let _ = socket.write_all(half);
                return;
            }
            Some(Fault::Garbage) => (0..=255).rev().collect(),
            Some(Fault::OtherProtocol) => b"220 mail.example ESMTP\r\n\r\n".to_vec(),
            Some(Fault::WrongType) => reply(200, r#"["limite", "saldo"]"#),
            Some(Fault::Silence) => {
                // Until the client gives up.
                let _ = socket.read(&mut [0]);
                return;
            }
            Some(Fault::Delay(delay)) => {
                thread::sleep(delay);
                good
            }
            Some(Fault::InternalError) => reply(500, r#"{"error": "an internal one"}"#),
            Some(Fault::Twice) => good.repeat(2),
            Some(Fault::Afterwards) => {
                let _ = socket.write_all(&good);
                thread::sleep(Duration::from_millis(5));
                b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n".to_vec()
            }
            Some(Fault::Drip) => {
                for byte in good {
                    if socket.write_all(&[byte]).is_err() {
                        return;
                    }
                    thread::yield_now();
                }
                Vec::new()
            }
            Some(Fault::Chunked) => chunked(status, &text),
        };
        if socket.write_all(&out).is_err() {
            return;
        }
        replies += 1;
        if Some(replies) == shared.bad.replies_per_connection {
            return;
        }
    }
}

fn reply(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} \r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn chunked(status: u16, body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} \r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut out = head.into_bytes();
    for chunk in body.as_bytes().chunks(7) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// The client gets a reset instead of an end.
fn reset(socket: &File) {
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(socket, sockopt::Linger, &linger).unwrap();
}
