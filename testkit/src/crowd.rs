//! Clients that send all that they can, and read nothing.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::sys::resource::{getrlimit, setrlimit, Resource};

use crate::{Address, Socket, PATIENCE};

/// Nothing more comes of it after this time without news.
const STUCK: Duration = Duration::from_secs(1);
/// Files that a test has open beside its crowd's.
const OTHER_FILES: usize = 500;

/// Connections that stay open for as long as this lives.
pub struct Crowd {
    clients: Vec<Client>,
}

struct Client {
    socket: Socket,
    sent: usize,
    is_open: bool,
}

impl Crowd {
    #[track_caller]
    pub fn connect(address: &Address, clients: usize) -> Crowd {
        need_files(clients + OTHER_FILES);
        let connect = |_| {
            let socket = Socket::connect(address).expect("there is room");
            fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("it is open");
            Client {
                socket,
                sent: 0,
                is_open: true,
            }
        };
        Crowd {
            clients: (0..clients).map(connect).collect(),
        }
    }

    /// Each sends what the kernel takes of `bytes`, at most `step` of them in a round, until nothing more is sent, and no
    /// `round` had news, for a second.
    #[track_caller]
    pub fn flood(&mut self, bytes: &[u8], step: usize, mut round: impl FnMut() -> bool) {
        let (began, mut last_news) = (Instant::now(), Instant::now());
        while last_news.elapsed() < STUCK {
            assert!(began.elapsed() < 3 * PATIENCE, "it never ends");
            for client in self.clients.iter_mut().filter(|client| client.is_open) {
                let rest = &bytes[client.sent..];
                match (&client.socket).write(&rest[..rest.len().min(step)]) {
                    Ok(0) => client.is_open = false, // All of it.
                    Ok(count) => {
                        client.sent += count;
                        last_news = Instant::now();
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => client.is_open = false,
                }
            }
            if round() {
                last_news = Instant::now();
            }
        }
    }
}

/// Lets this process have so many files open.
#[track_caller]
pub fn need_files(wanted: usize) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    assert!(
        hard >= wanted as u64,
        "this test needs ulimit -Hn {wanted}, and has {hard}"
    );
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("no more than what is allowed");
}
