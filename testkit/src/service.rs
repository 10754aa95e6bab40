//! A server for tests: a thread for each connection.

use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::{Address, Request, Socket};

/// It listens until it is dropped; connections that are there then go on.
pub struct Service {
    address: Address,
    closing: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Service {
    /// On a port of its own, on loopback. `serve`: a connection, until it returns.
    pub fn start(serve: impl Fn(&Socket) + Send + Sync + 'static) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let accept = move || listener.accept().map(|(stream, _)| stream.into());
        Service::listen(Address::Tcp(address.to_string()), accept, serve)
    }

    /// On a Unix socket.
    pub fn start_at(path: &Path, serve: impl Fn(&Socket) + Send + Sync + 'static) -> Service {
        let listener = UnixListener::bind(path).expect("a path");
        let accept = move || listener.accept().map(|(stream, _)| stream.into());
        Service::listen(Address::Unix(path.to_owned()), accept, serve)
    }

    fn listen(
        address: Address,
        accept: impl Fn() -> std::io::Result<Socket> + Send + 'static,
        serve: impl Fn(&Socket) + Send + Sync + 'static,
    ) -> Service {
        let closing = Arc::new(AtomicBool::new(false));
        let closes = closing.clone();
        let serve = Arc::new(serve);
        let listener = thread::spawn(move || loop {
            let accepted = accept();
            if closes.load(Ordering::Relaxed) {
                return;
            }
            // A connection that its client has already given up is nothing to this server.
            let Ok(socket) = accepted else { continue };
            let serve = serve.clone();
            thread::spawn(move || serve(&socket));
        });
        Service {
            address,
            closing,
            listener: Some(listener),
        }
    }

    /// One that answers each request with a whole reply.
    pub fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Service {
        Service::start(move |socket| {
            let mut reader = BufReader::new(socket);
            while let Ok(request) = Request::read(&mut reader) {
                let mut socket = socket;
                if socket.write_all(&answer(&request)).is_err() {
                    return;
                }
            }
        })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn url(&self) -> String {
        self.address.url()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        // Ends the wait of the thread that accepts.
        drop(Socket::connect(&self.address));
        let listener = self.listener.take().expect("it is dropped once");
        listener.join().expect("it does not panic");
    }
}
