//! As much of HTTP/1.1 as servers for tests need: a thread for each connection, nothing kept on disk.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use serde_json::Value;

/// One that listens, until it is dropped.
pub struct Server {
    address: SocketAddr,
    closing: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Server {
    /// On a port of its own, on loopback. `answer`: from method, path and body to status and body.
    pub fn start<A>(answer: A) -> Server
    where
        A: Fn(&str, &str, &[u8]) -> (u16, Value) + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let closing = Arc::new(AtomicBool::new(false));
        let (closes, answer) = (closing.clone(), Arc::new(answer));
        let listener = thread::spawn(move || {
            for connection in listener.incoming() {
                if closes.load(Ordering::Relaxed) {
                    return;
                }
                // A connection that its client has already given up is nothing to this server.
                let Ok(connection) = connection else { continue };
                let answer = answer.clone();
                thread::spawn(move || serve(&connection, &*answer));
            }
        });
        Server {
            address,
            closing,
            listener: Some(listener),
        }
    }

    /// As it stands on a command line.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        // Wakes the listener up.
        drop(TcpStream::connect(self.address));
        self.listener.take().unwrap().join().unwrap();
    }
}

/// Requests of one connection, until its client closes it. What fails in it is its client's affair.
fn serve<A>(mut connection: &TcpStream, answer: &A)
where
    A: Fn(&str, &str, &[u8]) -> (u16, Value),
{
    let _ = connection.set_nodelay(true);
    let mut reader = BufReader::new(connection);
    while let Ok(Some((method, path, body))) = request(&mut reader) {
        let (status, body) = answer(&method, &path, &body);
        let body = body.to_string();
        let length = body.len();
        let reply = format!(
            "HTTP/1.1 {status} \r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        if connection.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

/// Method, path, body; `None`: there is no more.
pub fn request(reader: &mut impl BufRead) -> io::Result<Option<(String, String, Vec<u8>)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((method, path, body)))
}
