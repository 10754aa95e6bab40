//! The sockets of a core, as both back ends see them: listeners and connections.

use super::channel::{Channel, Parts};
use super::dials::Dials;
use super::socket::shutdown_write;
use crate::machine::{ConnectionId, Peer};
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
