//! The sockets of a core, as both back ends see them: listeners and connections, what the kernel reports of them, and the
//! tags by which it does.

use super::channel::{Channel, Parts};
use super::dials::Dials;
use super::socket::shutdown_write;
use crate::machine::{ConnectionId, Peer};
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// All of them. `S`: what a back end keeps of each connection.
pub(super) struct Sockets<S> {
    pub listeners: Vec<Listener>,
    pub dials: Dials,
    /// Connections, by the index of their id.
    connections: Vec<Option<SocketConnection<S>>>,
    /// Gone since the last tick; the machine is still to be told.
    pub closed: Vec<ConnectionId>,
}

pub(super) struct Listener {
    /// The kind of its connections: [`Peer::Client`] or [`Peer::Linker`].
    pub peer: Peer,
    /// The listening socket; `None` once it is closed.
    pub socket: Option<OwnedFd>,
    /// It is a Unix socket.
    pub unix: bool,
    /// Other cores accept from the same socket.
    pub shared: bool,
    /// The back end accepts.
    pub armed: bool,
    /// To be closed, as soon as the back end has ceased to accept.
    pub closing: bool,
}

pub(super) struct SocketConnection<S> {
    pub id: ConnectionId,
    pub socket: OwnedFd,
    /// The machine wants to read.
    pub reading: bool,
    /// The peer has sent its last byte.
    pub ended: bool,
    /// A send is under way.
    pub sending: bool,
    /// Bytes that were to be sent and that the kernel has not taken yet.
    unsent: usize,
    /// FIN follows when it has taken all.
    shutdown_after_send: bool,
    /// Closed as soon as nothing is in flight.
    pub closing: bool,
    pub carrier: Carrier,
    pub state: S,
}

/// What carries a connection's bytes. All but clients' and upstreams' have a channel, if it can be had; the socket's end
/// is the connection's in any case.
pub(super) enum Carrier {
    Socket,
    /// The socket, to begin with: what is sent first takes the channel's parts along, and when the peer's first bytes
    /// are there it has taken the channel or not.
    Offered(Box<Offer>),
    /// The peer's first bytes bring a channel or not; until then nothing is sent. `held`: something is to be.
    Expected {
        held: bool,
    },
    Channel(Box<Channel>),
}

pub(super) struct Offer {
    pub channel: Channel,
    /// `None`: they were sent.
    pub parts: Option<Parts>,
}

impl<S> Sockets<S> {
    pub(super) fn new(listeners: Vec<Listener>, dials: Dials) -> Sockets<S> {
        Sockets {
            listeners,
            dials,
            connections: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Takes a connected socket, which is to be read.
    pub(super) fn insert(&mut self, id: ConnectionId, socket: OwnedFd, carrier: Carrier, state: S) {
        let index = id.index as usize;
        if index >= self.connections.len() {
            self.connections.resize_with(index + 1, || None);
        }
        let before = self.connections[index].replace(SocketConnection {
            id,
            socket,
            reading: true,
            ended: false,
            sending: false,
            unsent: 0,
            shutdown_after_send: false,
            closing: false,
            carrier,
            state,
        });
        assert!(before.is_none(), "an index is free after closed()");
    }

    /// The connection, unless it is gone or going.
    pub(super) fn get(&mut self, id: ConnectionId) -> Option<&mut SocketConnection<S>> {
        self.get_closing(id)
            .filter(|connection| !connection.closing)
    }

    /// The connection, unless it is gone.
    pub(super) fn get_closing(&mut self, id: ConnectionId) -> Option<&mut SocketConnection<S>> {
        self.connections
            .get_mut(id.index as usize)?
            .as_mut()
            .filter(|connection| connection.id.generation == id.generation)
    }

    /// Gives up a connection that is there. The next tick tells.
    pub(super) fn remove(&mut self, id: ConnectionId) -> OwnedFd {
        let connection = self.connections[id.index as usize].take();
        self.closed.push(id);
        connection.expect("it is there").socket
    }
}

impl<S> SocketConnection<S> {
    /// Its channel, if that carries it.
    pub(super) fn channel(&mut self) -> Option<&mut Channel> {
        match &mut self.carrier {
            Carrier::Channel(channel) => Some(channel),
            _ => None,
        }
    }

    /// So many bytes are to be sent.
    pub(super) fn send(&mut self, count: usize) {
        assert!(!self.sending, "one send at a time");
        self.sending = true;
        self.unsent = count;
    }

    /// Takes the result of the send under way.
    pub(super) fn sent(&mut self, sent: Result<usize, ()>) {
        self.sending = false;
        self.unsent = sent.map_or(0, |count| self.unsent - count);
        if self.unsent == 0 && sent.is_ok() && std::mem::take(&mut self.shutdown_after_send) {
            shutdown_write(&self.socket);
        }
    }

    /// Sends FIN, behind what was asked to be sent.
    pub(super) fn shutdown_write(&mut self) {
        match self.unsent {
            0 => shutdown_write(&self.socket),
            _ => self.shutdown_after_send = true,
        }
    }
}

/// What the kernel reports of a socket, or of the eventfd that wakes a core.
pub(super) enum SocketEvent<'a> {
    /// A completion that nothing depends on.
    Nothing,
    /// Another thread has woken the core.
    Woken,
    /// A connection to this listener, or the failure to accept one; and whether it goes on accepting.
    Accepted(u32, Result<OwnedFd, Errno>, bool),
    /// The dial in this slot is over.
    Connected(u32, Result<(), Errno>),
    /// Bytes have arrived: [`crate::machine::Machine::received`].
    Received(ConnectionId, &'a [u8]),
    /// The same, of a connection that has a channel, or may have.
    LinkReceived(ConnectionId, &'a [u8]),
    /// The first bytes of a link are there to be read.
    Greeting(ConnectionId),
    /// The peer has sent its last: [`crate::machine::Machine::input_ended`].
    InputEnded(ConnectionId, bool),
    /// There is room for what was to be sent, and had none: it is to be sent again.
    Writable(ConnectionId),
    /// Bytes were sent, or cannot be: [`crate::machine::Machine::sent`].
    Sent(ConnectionId, Result<usize, ()>),
}

impl<'a> SocketEvent<'a> {
    /// Bytes have arrived at the socket of this connection.
    pub(super) fn received<S>(connection: &SocketConnection<S>, bytes: &'a [u8]) -> Self {
        match connection.carrier {
            Carrier::Socket => SocketEvent::Received(connection.id, bytes),
            _ => SocketEvent::LinkReceived(connection.id, bytes),
        }
    }
}

/// The 64 bits of user data by which a completion or a ready socket is matched to its operation and connection:
/// operation (8 bits), generation (24), index (32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub operation: Operation,
    pub generation: u32,
    pub index: u32,
}

/// Kinds of operations. `repr(u8)`: stored in a [`Tag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Operation {
    /// An operation whose completion is ignored (cancelling, closing).
    Forgotten = 0,
    /// A listener accepts; index: its number.
    Accept = 1,
    /// Index and generation: the connection's. With epoll it stands for sending, too.
    Receive = 2,
    /// A connection sends; index and generation: the connection's.
    Send = 3,
    /// The control's eventfd is readable.
    Wake = 4,
    /// The timer; generation: how often it was armed.
    Timeout = 5,
    /// Index: the dial's slot.
    Connect = 6,
    /// The first bytes of a link are there; index and generation: the connection's.
    Greeting = 7,
    /// A channel's doorbell was rung; index and generation: the connection's.
    Doorbell = 8,
}

impl Operation {
    /// All operations, by their numbers.
    const ALL: [Operation; 9] = {
        use Operation::*;
        [
            Forgotten, Accept, Receive, Send, Wake, Timeout, Connect, Greeting, Doorbell,
        ]
    };
}

impl Tag {
    const GENERATION_MASK: u32 = 0xff_ffff;

    pub(super) fn new(operation: Operation, generation: u32, index: u32) -> Tag {
        debug_assert!(generation <= Tag::GENERATION_MASK);
        Tag {
            operation,
            generation,
            index,
        }
    }

    /// The tag of an operation on a connection.
    pub(super) fn of(operation: Operation, id: ConnectionId) -> Tag {
        Tag::new(operation, id.generation, id.index)
    }

    /// The connection that it is about.
    pub(super) fn id(self) -> ConnectionId {
        ConnectionId {
            index: self.index,
            generation: self.generation,
        }
    }

    pub(super) fn pack(self) -> u64 {
        (self.operation as u64) << 56 | u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn unpack(bits: u64) -> Tag {
        Tag {
            operation: *Operation::ALL
                .get((bits >> 56) as usize)
                .unwrap_or(&Operation::Forgotten),
            generation: (bits >> 32) as u32 & Tag::GENERATION_MASK,
            index: bits as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_packing() {
        for operation in Operation::ALL {
            for (generation, index) in [(0, 0), (1, u32::MAX), (0xff_ffff, 7)] {
                let tag = Tag::new(operation, generation, index);
                assert_eq!(Tag::unpack(tag.pack()), tag);
            }
        }
    }
}
