//! A connection whose replies can be spoilt: told of a fault before a reply, it keeps the reply's bytes back
//! until all of it is there, and then lets through what the fault lets through.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{ready, Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{sleep, Sleep};

use crate::fault::{Delivery, End, Fault, DRIP_MS};

/// The fault of the reply that is made now, told by who makes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoil(Arc<Mutex<Option<Fault>>>);

impl Spoil {
    pub(super) fn set(&self, fault: Fault) {
        *self.0.lock().expect("nobody panics with it") = Some(fault);
    }

    fn get(&self) -> Option<Fault> {
        *self.0.lock().expect("nobody panics with it")
    }

    fn clear(&self) {
        *self.0.lock().expect("nobody panics with it") = None;
    }
}

pub(super) struct Stream {
    socket: TokioIo<TcpStream>,
    spoil: Spoil,
    /// Of a spoilt reply.
    held: Vec<u8>,
    /// Of those, sent.
    sent: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    pub(super) fn new(socket: TcpStream, spoil: Spoil) -> Stream {
        // A reply is one write, and a drop of a slow one a packet of its own. If it fails, the connection is dead.
        let _ = socket.set_nodelay(true);
        Stream {
            socket: TokioIo::new(socket),
            spoil,
            held: Vec::new(),
            sent: 0,
            pause: None,
        }
    }

    fn poll_spoil(&mut self, fault: Fault, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let head = self.held.windows(4).position(|end| end == b"\r\n\r\n");
        let head_bytes = head.map_or(self.held.len(), |start| start + 4);
        let Delivery { bytes, end } = fault.delivery(head_bytes, self.held.len());
        while self.sent < bytes {
            let upto = if end == End::Drip {
                self.sent + 1
            } else {
                bytes
            };
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let part = &self.held[self.sent..upto];
            self.sent += ready!(Pin::new(&mut self.socket).poll_write(cx, part))?;
            if end == End::Drip {
                self.pause = Some(Box::pin(sleep(Duration::from_millis(DRIP_MS))));
            }
        }
        match end {
            End::Drip => {
                self.spoil.clear();
                self.held.clear();
                self.sent = 0;
                self.pause = None;
                Poll::Ready(Ok(()))
            }
            End::Close => Poll::Ready(Err(spoilt())),
            End::Reset => {
                self.socket.inner().set_zero_linger()?;
                Poll::Ready(Err(spoilt()))
            }
            End::Silence => unreachable!("a request that hangs has no reply"),
        }
    }
}

/// Makes the connection end; nobody reads it.
fn spoilt() -> io::Error {
    io::Error::other("spoilt on purpose")
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.spoil.get().is_some() {
            self.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    /// Called when all of a reply has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(fault) = self.spoil.get() {
            return self.poll_spoil(fault, cx);
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
