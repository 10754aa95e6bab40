//! Clients that take all that they can get: they pipeline as fast as the server lets them, and read, or do not.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};

/// What each client of a crowd does.
#[derive(Clone, Debug)]
pub struct Habit {
    /// A request, sent again and again.
    pub request: Vec<u8>,
    /// `None`: without end.
    pub requests: Option<usize>,
    pub reads: bool,
}

/// A crowd, on a thread of its own until it is [ended](Crowd::end).
pub struct Crowd {
    over: Arc<AtomicBool>,
    thread: JoinHandle<f64>,
}

struct Client {
    stream: TcpStream,
    /// Bytes of its requests that the kernel has taken.
    sent: usize,
    read: u64,
    is_open: bool,
}

impl Crowd {
    /// Connects that many clients, and lets them begin. The thread is on whatever CPU this one is on.
    pub fn begin(address: SocketAddr, clients: usize, habit: Habit) -> Result<Crowd> {
        let connect = |_| -> Result<Client> {
            let stream = TcpStream::connect(address).context("one of a crowd")?;
            stream.set_nonblocking(true)?;
            Ok(Client {
                stream,
                sent: 0,
                read: 0,
                is_open: true,
            })
        };
        let clients = (0..clients).map(connect).collect::<Result<Vec<_>>>()?;
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let over = over.clone();
            move || run(clients, &habit, &over)
        });
        Ok(Crowd { over, thread })
    }

    /// Closes its connections. How many bytes of replies a second it has read.
    pub fn end(self) -> Result<f64> {
        self.over.store(true, Ordering::Relaxed);
        let rate = self.thread.join();
        rate.map_err(|_| anyhow::anyhow!("a crowd's thread panicked"))
    }
}

fn run(mut clients: Vec<Client>, habit: &Habit, over: &AtomicBool) -> f64 {
    let began = Instant::now();
    let block = habit.request.repeat(habit.requests.unwrap_or(400));
    let mut buffer = vec![0; 256 * 1024];
    while !over.load(Ordering::Relaxed) {
        let wanted = |client: &Client| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, habit.reads);
            let unsent = habit.requests.is_none() || client.sent < block.len();
            flags.set(PollFlags::POLLOUT, unsent);
            flags
        };
        let open = clients.iter_mut().filter(|client| client.is_open);
        let mut open: Vec<&mut Client> = open.collect();
        let polled = open.iter().map(|it| (it.stream.as_fd(), wanted(it)));
        let mut polled: Vec<PollFd> = polled.map(|(fd, flags)| PollFd::new(fd, flags)).collect();
        if poll(&mut polled, PollTimeout::from(50_u8)).is_err() {
            continue; // A signal.
        }
        let ready = polled
            .iter()
            .map(|it| it.revents().unwrap_or(PollFlags::empty()));
        let ready: Vec<PollFlags> = ready.collect();
        drop(polled);
        for (client, ready) in open.iter_mut().zip(ready) {
            if ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
                match client.stream.read(&mut buffer) {
                    Ok(0) => client.is_open = false,
                    Ok(count) => client.read += count as u64,
                    Err(error) => client.is_open = error.kind() == ErrorKind::WouldBlock,
                }
            }
            if client.is_open && ready.contains(PollFlags::POLLOUT) {
                match client.stream.write(&block[client.sent % block.len()..]) {
                    Ok(count) => client.sent += count,
                    Err(error) => client.is_open = error.kind() == ErrorKind::WouldBlock,
                }
            }
        }
    }
    let read: u64 = clients.iter().map(|client| client.read).sum();
    read as f64 / began.elapsed().as_secs_f64()
}
