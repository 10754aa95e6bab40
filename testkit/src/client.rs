//! A connection to a server: bytes out, replies in.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};

use crate::{Address, Reply, Socket};

#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    /// Received, and not yet part of a reply that was returned.
    input: Vec<u8>,
}

impl Connection {
    pub fn open(address: &Address) -> io::Result<Connection> {
        Ok(Connection {
            socket: Socket::connect(address)?,
            input: Vec::new(),
        })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn tcp(&self) -> &TcpStream {
        self.socket.tcp()
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&self.socket).write_all(bytes)
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

    fn read_reply(&mut self, to_head: bool) -> io::Result<Reply> {
        loop {
            if let Some(reply) = Reply::read(&self.input, to_head).map_err(invalid)? {
                self.input.drain(..reply.length);
                return Ok(reply);
            }
            self.read_more()?;
        }
    }

    /// The next line, without its end; empty at the end of the stream.
    pub fn line(&mut self) -> String {
        let end = loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                break end + 1;
            }
            let mut bytes = [0; 4096];
            match (&self.socket).read(&mut bytes).expect("a line") {
                0 => break self.input.len(),
                count => self.input.extend_from_slice(&bytes[..count]),
            }
        };
        let line: Vec<u8> = self.input.drain(..end).collect();
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// Sends a line and reads the next one.
    pub fn ask_line(&mut self, line: &str) -> String {
        self.send(format!("{line}\n").as_bytes());
        self.line()
    }

    /// What has come, as far as there is room; 0 at the end of the stream.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return (&self.socket).read(into);
        }
        let count = self.input.len().min(into.len());
        into[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }

    /// All that comes until the connection ends, and how it ends.
    pub fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = std::mem::take(&mut self.input);
        let end = (&self.socket).read_to_end(&mut bytes);
        (bytes, end.map(drop))
    }

    /// Reads whatever is there, and waits for it. An error at the end of the stream.
    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        let read = loop {
            match (&self.socket).read(&mut bytes) {
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
        let mut polled = [PollFd::new(self.fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(within).expect("a short time");
        !self.input.is_empty() || poll(&mut polled, timeout).expect("poll") > 0
    }
}

fn invalid(what: impl ToString) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_string())
}
