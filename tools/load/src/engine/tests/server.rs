//! A server that does what a test wants, in the test's own process: a thread for each connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::target::Target;

/// A reply that is right.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// A stream of either family.
pub trait Stream: Read + Write + Send {
    /// Waits until there is something to read, and leaves it there.
    fn wait_for_bytes(&self);
}

impl Stream for TcpStream {
    fn wait_for_bytes(&self) {
        let _ = self.peek(&mut [0]);
    }
}

impl Stream for UnixStream {
    fn wait_for_bytes(&self) {
        unreachable!("no test wants it");
    }
}

/// One connection, as a test's server sees it.
pub struct Peer {
    pub stream: Box<dyn Stream>,
    requests: Arc<AtomicUsize>,
}

impl Peer {
    /// The path of the next request, which has no body; `None`: the connection has ended.
    pub fn request(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        let head = String::from_utf8(head).unwrap();
        Some(head.split(' ').nth(1).unwrap().to_owned())
    }

    /// If the other side is gone, the next request will not come.
    pub fn reply(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Answers everything, until the other side closes.
    pub fn serve(&mut self) {
        while self.request().is_some() {
            self.reply(OK);
        }
    }
}

/// Ends with the test.
pub struct Server {
    pub target: Target,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
    wake: Box<dyn Fn()>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// On a port of its own. `each` has a connection until it returns.
    pub fn tcp(each: impl Fn(&mut Peer) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accept = move || -> Box<dyn Stream> {
            let (stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            Box::new(stream)
        };
        let wake = move || drop(TcpStream::connect(address));
        Server::start(&address.to_string(), accept, wake, each)
    }

    /// At a path.
    pub fn unix(path: &Path, each: impl Fn(&mut Peer) + Send + Sync + 'static) -> Server {
        let listener = UnixListener::bind(path).unwrap();
        let accept = move || -> Box<dyn Stream> { Box::new(listener.accept().unwrap().0) };
        let address = format!("unix:{}", path.display());
        let path = path.to_owned();
        let wake = move || drop(UnixStream::connect(&path));
        Server::start(&address, accept, wake, each)
    }

    fn start(
        address: &str,
        accept: impl Fn() -> Box<dyn Stream> + Send + 'static,
        wake: impl Fn() + 'static,
        each: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Server {
        let (requests, connections) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let ending = Arc::new(AtomicBool::new(false));
        let each = Arc::new(each);
        let of_acceptor = (requests.clone(), connections.clone(), ending.clone());
        let acceptor = thread::spawn(move || {
            let (requests, connections, ending) = of_acceptor;
            loop {
                let stream = accept();
                if ending.load(Ordering::SeqCst) {
                    return;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                let (each, requests) = (each.clone(), requests.clone());
                thread::spawn(move || each(&mut Peer { stream, requests }));
            }
        });
        Server {
            target: address.parse().unwrap(),
            requests,
            connections,
            ending,
            wake: Box::new(wake),
            acceptor: Some(acceptor),
        }
    }

    /// Requests that came.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Connections that came.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        (self.wake)();
        let ended = self.acceptor.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}
