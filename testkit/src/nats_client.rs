//! Of the protocol of NATS clients (<https://docs.nats.io/reference/reference-protocols/nats-protocol>) what it takes to ask and
//! be answered, one question at a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// For one answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A connection to one server.
pub struct NatsClient {
    stream: BufReader<TcpStream>,
    /// Where answers come: of this connection alone.
    inbox: String,
}

impl NatsClient {
    /// `url`: `nats://HOST:PORT`.
    pub fn connect(url: &str) -> io::Result<NatsClient> {
        let address = url.strip_prefix("nats://").unwrap_or(url);
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let mut client = NatsClient {
            inbox: format!("_INBOX.galo.{}", stream.local_addr()?.port()),
            stream: BufReader::new(stream),
        };
        let info = client.line()?;
        if !info.starts_with("INFO ") {
            return Err(other(format!("the server says {info}")));
        }
        let hello = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";
        let subscribe = format!("SUB {} 1\r\n", client.inbox);
        client.send((hello.to_owned() + &subscribe).as_bytes())?;
        Ok(client)
    }

    /// Asks the API of JetStream. What it refuses is an error.
    pub fn ask(&mut self, subject: &str, question: &Value) -> io::Result<Value> {
        let body = question.to_string();
        let head = format!("PUB $JS.API.{subject} {} {}\r\n", self.inbox, body.len());
        self.send(format!("{head}{body}\r\n").as_bytes())?;
        let answer: Value = serde_json::from_slice(&self.answer()?)?;
        match answer.get("error") {
            Some(error) => Err(other(format!("{subject}: {error}"))),
            None => Ok(answer),
        }
    }

    /// Publishes with one header, and waits for the answer: its body.
    pub fn request(&mut self, subject: &str, header: &str, payload: &[u8]) -> io::Result<Vec<u8>> {
        let headers = format!("NATS/1.0\r\n{header}\r\n\r\n");
        let (own, all) = (headers.len(), headers.len() + payload.len());
        let head = format!("HPUB {subject} {} {own} {all}\r\n", self.inbox);
        let mut bytes = format!("{head}{headers}").into_bytes();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(b"\r\n");
        self.send(&bytes)?;
        self.answer()
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(other("the server has closed the connection")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    /// The body of the next message.
    fn answer(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let line = self.line()?;
            let words: Vec<&str> = line.split(' ').collect();
            // Of a message with headers, their length is before that of all.
            let lengths = match words.as_slice() {
                ["MSG", .., all] => Some(("0", *all)),
                ["HMSG", .., headers, all] => Some((*headers, *all)),
                ["PING"] => {
                    self.send(b"PONG\r\n")?;
                    continue;
                }
                ["PONG" | "+OK"] | ["INFO", ..] => continue,
                _ => None,
            };
            let numbers = lengths.map(|(headers, all)| (headers.parse(), all.parse()));
            let Some((Ok::<usize, _>(headers), Ok::<usize, _>(all))) = numbers else {
                return Err(other(format!("the server says {line}")));
            };
            let mut bytes = vec![0; all + 2];
            self.stream.read_exact(&mut bytes)?;
            bytes.truncate(all);
            // Headers without a body: nobody is there.
            if all <= headers {
                let said = String::from_utf8_lossy(&bytes);
                return Err(other(format!("no answer: {said}")));
            }
            return Ok(bytes.split_off(headers));
        }
    }
}

fn other(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}
