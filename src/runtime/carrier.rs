//! Links to members on other machines, carried by the engine's messages.
//!
//! The node sees connections, as from a driver. A message (little-endian):
//!
//! | bytes | what |
//! |---|---|
//! | 1 | kind: 1 data, 2 is that all?, 3 that is all, 4 there is no such connection |
//! | 4 | who sends it |
//! | 8 | the connection: a number that its opener made up |
//! | 8 | how many messages with data the sender has sent on it, this one included |
//! | 8 | how many it has got |
//! | … | data |
//!
//! Messages may be lost, and keep their order. Who misses one breaks the connection, and so does who is told that there is
//! none; the link's protocol asks again for what has no answer. That the last one was lost, or that the other has begun
//! anew, is found out by asking.

use std::collections::VecDeque;

use crate::codec::{put, Fields};
use crate::limits::{CARRIER_ASK_NS, CARRIER_IDLE_NS, CARRIER_SILENCE_NS, MESSAGE_BYTES_MAX};
use crate::machine::engine::Request;
use crate::machine::{ConnectionId, Peer, Target};
use crate::node::Node;

const DATA: u8 = 1;
const ASK: u8 = 2;
const ANSWER: u8 = 3;
const NONE: u8 = 4;

const HEAD_BYTES: usize = 1 + 4 + 8 + 8 + 8;

struct Carried {
    id: ConnectionId,
    member: u32,
    /// What the connection is called.
    name: u64,
    /// Messages with data.
    sent: u64,
    received: u64,
    /// How many the other has got.
    acknowledged: u64,
    /// It was asked whether it is there, and has not said anything since.
    asked: bool,
    /// Since when it owes us an answer, and when it is to be asked (again). Monotonic.
    owed_ns: u64,
    ask_ns: u64,
}

/// What the node is to be told in the next tick.
enum Notice {
    Sent(ConnectionId, usize),
    Closed(ConnectionId),
    Opened(u32),
    Failed(u32),
}

/// The connections to members of other processes.
pub(super) struct Carrier {
    own: u32,
    /// Made up so far; begins with what is random.
    names: u64,
    connections: Vec<Carried>,
    notices: Vec<Notice>,
    messages: VecDeque<Request>,
    now_ns: u64,
}

impl Carrier {
    /// `random`: of this process.
    pub(super) fn new(own: u32, random: u64) -> Carrier {
        Carrier {
            own,
            names: random,
            connections: Vec::new(),
            notices: Vec::new(),
            messages: VecDeque::new(),
            now_ns: 0,
        }
    }

    /// Whether the node is to be told something.
    pub(super) fn is_ready(&self) -> bool {
        !self.notices.is_empty()
    }

    pub(super) fn next_message(&mut self) -> Option<Request> {
        self.messages.pop_front()
    }

    /// When somebody is to be asked. Monotonic; `u64::MAX`: nobody is.
    pub(super) fn wake_ns(&self) -> u64 {
        let times = self.connections.iter().map(|it| it.ask_ns);
        times.min().unwrap_or(u64::MAX)
    }

    // ---- What the node wants ------------------------------------------------------------

    pub(super) fn has(&self, id: ConnectionId) -> bool {
        self.connections.iter().any(|it| it.id == id)
    }

    /// Connects, if the member `is_alive`.
    pub(super) fn connect(&mut self, member: usize, is_alive: bool) {
        self.notices.push(match is_alive {
            true => Notice::Opened(member as u32),
            false => Notice::Failed(member as u32),
        });
    }

    pub(super) fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(at) = self.connections.iter().position(|it| it.id == id) else {
            return;
        };
        for part in bytes.chunks(MESSAGE_BYTES_MAX - HEAD_BYTES) {
            let carried = &mut self.connections[at];
            if !carried.owes() {
                carried.owed_ns = self.now_ns;
                carried.ask_ns = self.now_ns + CARRIER_ASK_NS;
            }
            carried.sent += 1;
            self.publish(at, DATA, part);
        }
        self.notices.push(Notice::Sent(id, bytes.len()));
    }

    pub(super) fn close(&mut self, id: ConnectionId) {
        if let Some(at) = self.connections.iter().position(|it| it.id == id) {
            self.publish(at, NONE, &[]);
            self.connections.swap_remove(at);
            self.notices.push(Notice::Closed(id));
        }
    }

    // ---- What the node is told ----------------------------------------------------------

    pub(super) fn tick_begin(&mut self, node: &mut Node, now_ns: u64) {
        self.now_ns = now_ns;
        for notice in std::mem::take(&mut self.notices) {
            match notice {
                Notice::Sent(id, bytes) => node.sent(id, Ok(bytes)),
                Notice::Closed(id) => node.closed(id),
                Notice::Failed(member) => node.connect_failed(Target::Member(member as usize)),
                Notice::Opened(member) => {
                    self.names = self.names.wrapping_add(1);
                    self.open(node, Peer::Member(member as usize), member, self.names);
                }
            }
        }
        for at in 0..self.connections.len() {
            let carried = &mut self.connections[at];
            if now_ns < carried.ask_ns {
                continue;
            }
            if !carried.owes() {
                carried.owed_ns = now_ns;
            } else if now_ns >= carried.owed_ns + CARRIER_SILENCE_NS {
                self.broken(node, at);
                continue;
            }
            carried.asked = true;
            carried.ask_ns = now_ns + CARRIER_ASK_NS;
            self.publish(at, ASK, &[]);
        }
    }

    /// Another member's message.
    pub(super) fn arrived(&mut self, node: &mut Node, message: &[u8]) {
        let Some(Message {
            kind,
            member,
            name,
            sent,
            received,
            data,
        }) = Message::read(message)
        else {
            return log::error!("a member's message is cut short");
        };
        let its = |it: &Carried| (it.member, it.name) == (member, name);
        let known = self.connections.iter().position(its);
        let at = match (kind, known) {
            (_, Some(at)) => at,
            (DATA, None) if sent == 1 => match self.open(node, Peer::Linker, member, name) {
                Some(at) => at,
                None => return,
            },
            (NONE, None) => return,
            _ => return self.say_none(member, name),
        };
        let carried = &mut self.connections[at];
        let got = carried.received + u64::from(kind == DATA);
        if kind == NONE || sent > got {
            return self.broken(node, at);
        }
        carried.acknowledged = carried.acknowledged.max(received);
        carried.asked = false;
        carried.owed_ns = self.now_ns;
        let wait_ns = match carried.owes() {
            true => CARRIER_ASK_NS,
            false => CARRIER_IDLE_NS,
        };
        carried.ask_ns = self.now_ns + wait_ns;
        match kind {
            DATA if sent == got => {
                carried.received = got;
                let id = carried.id;
                node.received(id, data);
            }
            ASK => self.publish(at, ANSWER, &[]),
            _ => {}
        }
    }

    fn open(&mut self, node: &mut Node, peer: Peer, member: u32, name: u64) -> Option<usize> {
        let Ok(id) = node.opened(peer) else {
            return None; // As many as there may be.
        };
        self.connections.push(Carried {
            id,
            member,
            name,
            sent: 0,
            received: 0,
            acknowledged: 0,
            asked: false,
            owed_ns: self.now_ns,
            ask_ns: self.now_ns + CARRIER_IDLE_NS,
        });
        Some(self.connections.len() - 1)
    }

    /// Has the node close a connection.
    fn broken(&mut self, node: &mut Node, at: usize) {
        // Nothing is asked any more until it does.
        let carried = &mut self.connections[at];
        carried.ask_ns = u64::MAX;
        let id = carried.id;
        node.input_ended(id, true);
    }

    // ---- Messages out -------------------------------------------------------------------

    fn publish(&mut self, at: usize, kind: u8, data: &[u8]) {
        let carried = &self.connections[at];
        let message = Message {
            kind,
            member: self.own,
            name: carried.name,
            sent: carried.sent,
            received: carried.received,
            data,
        };
        self.messages.push_back(Request::Publish {
            member: carried.member,
            message: message.to_bytes(),
        });
    }

    fn say_none(&mut self, member: u32, name: u64) {
        let message = Message {
            kind: NONE,
            member: self.own,
            name,
            sent: 0,
            received: 0,
            data: &[],
        };
        let message = message.to_bytes();
        self.messages
            .push_back(Request::Publish { member, message });
    }
}

impl Carried {
    /// Whether the other has not said that it has got everything, or is there.
    fn owes(&self) -> bool {
        self.asked || self.acknowledged < self.sent
    }
}

/// A message, as in the table at the top.
struct Message<'a> {
    kind: u8,
    member: u32,
    name: u64,
    sent: u64,
    received: u64,
    data: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Option<Message<'a>> {
        let mut fields = Fields::new(bytes);
        Some(Message {
            kind: fields.u8()?,
            member: fields.u32()?,
            name: fields.u64()?,
            sent: fields.u64()?,
            received: fields.u64()?,
            data: fields.rest(),
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.data.len());
        bytes.push(self.kind);
        put(&mut bytes, self.member);
        put(&mut bytes, self.name);
        put(&mut bytes, self.sent);
        put(&mut bytes, self.received);
        bytes.extend_from_slice(self.data);
        bytes
    }
}
