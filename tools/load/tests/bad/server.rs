//! A server that is bad on purpose: right replies, and what can be wrong with the way in which they come.
//!
//! What is wrong with what they say is the bank's affair, and the gateway's.

use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use galo_testkit::{http, Request, Service, Socket};
use nix::sys::socket::{setsockopt, sockopt};
use serde_json::{json, Value};

use crate::gateway::{Gateway, Misbooked};
use crate::support::bank::{Accounts, Faults, JSON};

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
    /// In the order in which they came.
    pub requests: Vec<Request>,
}

impl Seen {
    /// Requests that began so.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let requests = self.requests.iter();
        requests
            .filter(|request| request.method == method && request.path.starts_with(path))
            .count()
    }
}

/// One that listens, until it is dropped.
pub struct Server {
    service: Service,
    shared: Arc<Shared>,
}

struct Shared {
    bad: Bad,
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
        let shared = Shared::new(bad);
        let of_service = shared.clone();
        let service = Service::start(move |socket| serve(socket, &of_service));
        Server { service, shared }
    }

    /// On a Unix socket.
    pub fn start_at(path: &Path, bad: Bad) -> Server {
        let shared = Shared::new(bad);
        let of_service = shared.clone();
        let service = Service::start_at(path, move |socket| serve(socket, &of_service));
        Server { service, shared }
    }

    /// As it stands on a command line.
    pub fn url(&self) -> String {
        self.service.url()
    }

    /// What it has seen so far.
    pub fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.shared.state().seen)
    }
}

impl Shared {
    fn new(bad: Bad) -> Arc<Shared> {
        Arc::new(Shared {
            bad,
            state: Mutex::new(State {
                accounts: Accounts::new(bad.bank),
                gateway: Gateway::new(bad.payments),
                seen: Seen::default(),
                first: None,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    /// Status and body.
    fn answer(&mut self, method: &str, path: &str, body: &str) -> (u16, Value) {
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
fn serve(mut socket: &Socket, shared: &Shared) {
    shared.state().seen.connections += 1;
    let mut reader = BufReader::new(socket);
    let mut replies = 0;
    while let Ok(request) = Request::read(&mut reader) {
        let (fault, since_first) = {
            let state = &mut shared.state();
            let first = *state.first.get_or_insert_with(Instant::now);
            state.seen.requests.push(request.clone());
            let number = state.seen.requests.len() as u64;
            let fault = shared.bad.fault;
            let fault = fault.filter(|(every, _)| number.is_multiple_of(*every));
            state.seen.faults += u64::from(fault.is_some());
            (fault.map(|(_, fault)| fault), first.elapsed())
        };
        if let Some(left) = shared.bad.stall.and_then(|stall| stall.left(since_first)) {
            thread::sleep(left);
        }
        if fault == Some(Fault::Reset { applied: false }) {
            return reset(socket);
        }
        let (status, value) = shared
            .state()
            .answer(&request.method, &request.path, &request.body);
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
                http::reply(200, "", "")
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
    http::reply(status, JSON, body)
}

fn chunked(status: u16, body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} \r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    [head.into_bytes(), http::chunked(body.as_bytes().chunks(7))].concat()
}

/// The client gets a reset instead of an end.
fn reset(socket: &Socket) {
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(socket, sockopt::Linger, &linger).unwrap();
}
