//! What a node keeps of each connection: unread input, replies on their way out, and deadlines.

use crate::http;
use crate::limits::{
    BUFFERS_POOLED_BYTES_MAX, BUFFER_BYTES, BUFFER_BYTES_MAX, CLIENT_BUFFERS_BYTES_SCARCE,
    CONNECTIONS_MAX, OUTPUT_BYTES_MAX, OUTPUT_BYTES_SCARCE,
};
use crate::machine::{ConnectionId, Peer};

/// Buffers that go from connection to connection, so that a warm request allocates nothing and an
/// idle connection holds nothing.
#[derive(Default)]
pub struct Buffers {
    free: Vec<Vec<u8>>,
    free_bytes: usize,
}

impl Buffers {
    /// An empty buffer with room.
    pub fn take(&mut self) -> Vec<u8> {
        match self.free.pop() {
            Some(buffer) => {
                self.free_bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(BUFFER_BYTES),
        }
    }

    /// Gives a buffer back; one that grew too large, or one too many, is freed.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        let fits = (BUFFER_BYTES..=BUFFER_BYTES_MAX).contains(&bytes)
            && self.free_bytes + bytes <= BUFFERS_POOLED_BYTES_MAX;
        if fits {
            buffer.clear();
            self.free_bytes += bytes;
            self.free.push(buffer);
        }
    }
}

/// Bytes on their way out, in three stages: written, released (what they tell is in the journal),
/// and in the kernel's hands. Positions are counted from the connection's first byte.
#[derive(Default)]
pub struct Output {
    /// Not yet in the kernel's hands; begins at `base`.
    pending: Vec<u8>,
    base: u64,
    released: u64,
    /// In the kernel's hands, from `sent` on.
    sending: Vec<u8>,
    sent: usize,
    /// In which queue of the commit gate something that this tick wrote has to wait.
    pub waits: Option<u32>,
    /// Up to here it was made to wait, and in which queue the last of that.
    pub held_to: u64,
    pub held_in: u32,
}

impl Output {
    /// Where the next byte will be.
    pub fn end(&self) -> u64 {
        self.base + self.pending.len() as u64
    }

    /// The buffer to write a reply into.
    pub fn writer(&mut self, buffers: &mut Buffers) -> &mut Vec<u8> {
        if self.pending.capacity() == 0 {
            self.pending = buffers.take();
        }
        &mut self.pending
    }

    /// What was written from `start` to `end`, none of which is in the kernel's hands.
    pub fn written(&self, start: u64, end: u64) -> &[u8] {
        &self.pending[(start - self.base) as usize..(end - self.base) as usize]
    }

    /// Takes back what was written from `start` on.
    pub fn cut(&mut self, start: u64) {
        debug_assert!(start >= self.released);
        self.pending.truncate((start - self.base) as usize);
        self.held_to = self.held_to.min(start);
    }

    /// Lets everything before `end` go.
    pub fn release(&mut self, end: u64) {
        debug_assert!(end <= self.end());
        self.released = self.released.max(end);
    }

    /// Everything before that may leave.
    pub fn released(&self) -> u64 {
        self.released
    }

    /// Something was written that may not leave yet.
    pub fn has_unreleased(&self) -> bool {
        self.released < self.end()
    }

    /// Hands what is released to the kernel, unless it still has the last lot. Whether it did.
    /// `scarce`: in a buffer that is no larger than it need be, for the kernel may have it for long.
    pub fn start(&mut self, buffers: &mut Buffers, scarce: bool) -> bool {
        let ready = (self.released - self.base) as usize;
        if ready == 0 || !self.sending.is_empty() {
            return false;
        }
        if scarce && self.pending.capacity() > 2 * ready {
            self.sending = self.pending[..ready].to_vec();
            self.pending.drain(..ready);
            if self.pending.is_empty() {
                buffers.give(std::mem::take(&mut self.pending));
            }
        } else if ready == self.pending.len() {
            self.sending = std::mem::take(&mut self.pending);
        } else {
            self.sending = buffers.take();
            self.sending.extend_from_slice(&self.pending[..ready]);
            self.pending.drain(..ready);
        }
        self.base += ready as u64;
        true
    }

    /// What the kernel is to send.
    pub fn sending(&self) -> &[u8] {
        &self.sending[self.sent..]
    }

    /// The kernel took `bytes`. Whether that was all of the lot.
    pub fn sent(&mut self, bytes: usize, buffers: &mut Buffers) -> bool {
        self.sent += bytes;
        debug_assert!(self.sent <= self.sending.len());
        if self.sent < self.sending.len() {
            return false;
        }
        self.sent = 0;
        buffers.give(std::mem::take(&mut self.sending));
        true
    }

    /// Nothing is written that is not sent.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.sending.is_empty()
    }

    /// Nothing is in the kernel's hands.
    pub fn is_idle(&self) -> bool {
        self.sending.is_empty()
    }

    /// Too much is waiting for the peer to take it.
    pub fn is_full(&self, scarce: bool) -> bool {
        let max = match scarce {
            true => OUTPUT_BYTES_SCARCE,
            false => OUTPUT_BYTES_MAX,
        };
        self.pending.len() + self.sending.len() - self.sent > max
    }

    /// Bytes of memory that it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.pending.capacity() + self.sending.capacity()
    }

    /// Gives up what is not in the kernel's hands.
    fn drop_pending(&mut self, buffers: &mut Buffers) {
        self.base = self.end();
        self.released = self.base;
        buffers.give(std::mem::take(&mut self.pending));
    }

    /// Gives up what is not sent.
    fn give_back(&mut self, buffers: &mut Buffers) {
        buffers.give(std::mem::take(&mut self.pending));
        buffers.give(std::mem::take(&mut self.sending));
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// The slot waits for a connection.
    Free,
    /// Requests are taken up.
    Open,
    /// No further request; closed once everything is sent.
    Finishing,
    /// The same, but the peer may still be sending: FIN first, then its bytes are read and thrown
    /// away until it closes or the time for that is over, so that it gets to see the reply.
    Refusing,
    /// FIN is sent; see [`Refusing`](ConnectionState::Refusing).
    Lingering,
    /// The driver was told to close.
    Closing,
}

/// What of a request is there, where it is not all there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpectedInput {
    /// No byte of it.
    #[default]
    Nothing,
    /// Some of its head.
    Head,
    /// Its head, and perhaps some of its body.
    Body,
}

/// What a connection has received.
#[derive(Default)]
pub struct Input {
    /// What is not worked off yet.
    pub bytes: Vec<u8>,
    /// Where the request at the front stands.
    pub parse: http::ParseState,
    /// What the peer is in the middle of sending.
    pub arriving: ExpectedInput,
    /// The driver was told to stop reading.
    pub paused: bool,
    /// The peer will send no more.
    pub ended: bool,
}

pub struct Connection {
    pub id: ConnectionId,
    pub peer: Peer,
    /// It came in as a [`Peer::Linker`].
    pub accepted_link: bool,
    pub state: ConnectionState,
    pub input: Input,
    pub output: Output,
    /// Replies that another node, or a query, owes this connection.
    pub waiting: u32,
    /// The shard that they are of. All are of one: their order is then the order of the requests.
    /// `None`: there is one, and nothing may be asked behind it.
    pub waiting_for: Option<usize>,
    /// On the list of what this tick has to look at.
    pub dirty: bool,
    /// On the list of what the next tick takes up again.
    pub postponed: bool,
    /// The tick that served it last (its number's low bits), and what was done for it then.
    pub turn: (u32, u32),
    /// Bytes of its buffers, as of when they were last [counted](Connections::count).
    pub held: u32,
    /// When its buffers came to hold something, a request of it was taken up, or a byte of a reply, whichever
    /// was last. Monotonic.
    pub progress_ns: u64,
    /// For the peer to send something. Monotonic.
    pub arrival_deadline_ns: u64,
    /// For the peer to take something, while anything is in the kernel's hands. Monotonic.
    pub send_deadline_ns: u64,
}

impl Connection {
    /// A slot that waits for a connection.
    fn free(id: ConnectionId) -> Connection {
        Connection {
            id,
            peer: Peer::Client,
            accepted_link: false,
            state: ConnectionState::Free,
            input: Input::default(),
            output: Output::default(),
            waiting: 0,
            waiting_for: None,
            dirty: false,
            postponed: false,
            turn: (0, 0),
            held: 0,
            progress_ns: 0,
            arrival_deadline_ns: 0,
            send_deadline_ns: 0,
        }
    }

    /// A client that is owed nothing, and is in the middle of nothing.
    pub fn is_idle(&self) -> bool {
        self.is_client()
            && self.waiting == 0
            && !self.postponed
            && self.output.is_empty()
            && self.input.arriving == ExpectedInput::Nothing
    }

    /// In which queue what was written last has to wait, or waits behind what has to.
    pub fn waits_in(&self) -> Option<u32> {
        let Output {
            released,
            held_to,
            held_in,
            waits,
            ..
        } = self.output;
        waits.or_else(|| (released < held_to).then_some(held_in))
    }

    /// This tick wrote something, from `start` on, that has to wait in a queue, or not: what is before it, and waits
    /// behind nothing that has to, may leave. What waits in one queue behind what waits in another waits for `all`.
    pub fn holds_back(&mut self, start: u64, queue: Option<u32>, all: u32) {
        let before = self.waits_in();
        if before.is_none() {
            self.output.release(start);
        }
        self.output.waits = match (before, queue) {
            (Some(before), Some(queue)) if before != queue => Some(all),
            (before, queue) => before.or(queue),
        };
    }

    pub fn is_client(&self) -> bool {
        matches!(self.peer, Peer::Client)
    }

    /// Its bytes are replies to requests of ours.
    pub fn is_upstream(&self) -> bool {
        matches!(self.peer, Peer::Upstream(_))
    }

    /// It is one to another member, or to somebody who has not said which.
    pub fn is_link(&self) -> bool {
        matches!(self.peer, Peer::Member(_) | Peer::Linker)
    }

    /// The driver was told to close it.
    pub fn is_closing(&self) -> bool {
        matches!(self.state, ConnectionState::Closing)
    }

    /// The deadline that counts.
    pub fn deadline_ns(&self) -> u64 {
        if self.output.is_idle() {
            self.arrival_deadline_ns
        } else {
            self.send_deadline_ns
        }
    }
}

/// All connections of a node, in slots that are used again.
#[derive(Default)]
pub struct Connections {
    slots: Vec<Connection>,
    free: Vec<u32>,
    /// A new slot's first, so that an id of one that was forgotten names nobody.
    generation: u32,
    clients: usize,
    /// Accepted from other nodes, those that have said who they are included.
    linkers: usize,
    /// Bytes of the buffers of clients, and of processors.
    held_by_clients: usize,
    held_by_processors: usize,
    pub buffers: Buffers,
}

impl Connections {
    /// Takes a slot. `None`: there are as many of its kind as there may be.
    pub fn open(
        &mut self,
        peer: Peer,
        linkers_max: usize,
        deadline_ns: u64,
    ) -> Option<&mut Connection> {
        if peer == Peer::Client {
            if self.clients == CONNECTIONS_MAX {
                return None;
            }
            self.clients += 1;
        }
        if peer == Peer::Linker && self.linkers >= linkers_max {
            return None;
        }
        self.linkers += usize::from(peer == Peer::Linker);
        let index = self.free.pop().unwrap_or_else(|| {
            let index = self.slots.len() as u32;
            let generation = self.generation;
            self.slots
                .push(Connection::free(ConnectionId { index, generation }));
            index
        });
        let connection = &mut self.slots[index as usize];
        debug_assert_eq!(connection.state, ConnectionState::Free);
        connection.state = ConnectionState::Open;
        connection.peer = peer;
        connection.accepted_link = peer == Peer::Linker;
        connection.arrival_deadline_ns = deadline_ns;
        Some(connection)
    }

    /// Frees a slot; what still names it by the old id finds nothing.
    pub fn free(&mut self, index: usize) {
        let connection = &mut self.slots[index];
        debug_assert_eq!(connection.state, ConnectionState::Closing);
        if connection.is_client() {
            self.clients -= 1;
        }
        self.linkers -= usize::from(connection.accepted_link);
        connection.output.give_back(&mut self.buffers);
        self.buffers
            .give(std::mem::take(&mut connection.input.bytes));
        self.count(index, 0);
        let connection = &mut self.slots[index];
        *connection = Connection::free(ConnectionId {
            index: index as u32,
            generation: (connection.id.generation + 1) & 0x00ff_ffff,
        });
        self.free.push(index as u32);
    }

    /// The connection of this id, if it is still that one.
    pub fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots.get_mut(id.index as usize).filter(|it| {
            it.id.generation == id.generation && !matches!(it.state, ConnectionState::Free)
        })
    }

    /// A connection and the buffers that it writes with.
    pub fn with_buffers(&mut self, index: usize) -> (&mut Connection, &mut Buffers) {
        (&mut self.slots[index], &mut self.buffers)
    }

    /// Forgets free buffers and free slots, as far as none in use lies behind them.
    pub fn trim(&mut self) {
        self.buffers = Buffers::default();
        let last = self
            .slots
            .iter()
            .rposition(|it| it.state != ConnectionState::Free);
        for slot in self.slots.drain(last.map_or(0, |last| last + 1)..) {
            self.generation = self.generation.max(slot.id.generation);
        }
        self.slots.shrink_to_fit();
        let slots = self.slots.len();
        self.free.retain(|index| (*index as usize) < slots);
        self.free.shrink_to_fit();
    }

    /// Gives up what a connection that is being closed does not need for that.
    pub fn drop_unsent(&mut self, index: usize) {
        let connection = &mut self.slots[index];
        connection.output.drop_pending(&mut self.buffers);
        self.buffers
            .give(std::mem::take(&mut connection.input.bytes));
        self.count(index, 0);
    }

    /// Takes note of what a connection's buffers hold at `now_ns`.
    pub fn count(&mut self, index: usize, now_ns: u64) {
        let connection = &mut self.slots[index];
        let held = connection.input.bytes.capacity() + connection.output.capacity();
        let before = std::mem::replace(&mut connection.held, held as u32) as usize;
        if before == 0 {
            connection.progress_ns = now_ns;
        }
        let sum = match connection.peer {
            Peer::Client => &mut self.held_by_clients,
            Peer::Upstream(_) => &mut self.held_by_processors,
            // Bounded by what members may have open.
            Peer::Member(_) | Peer::Linker => return,
        };
        *sum = *sum + held - before;
    }

    /// Bytes of the buffers of all clients, as far as they are counted.
    pub fn held_by_clients(&self) -> usize {
        self.held_by_clients
    }

    /// Bytes of the buffers of all connections to processors, as far as they are counted.
    pub fn held_by_processors(&self) -> usize {
        self.held_by_processors
    }

    /// Clients hold so much that each gets only what it cannot do without.
    pub fn scarce(&self) -> bool {
        self.held_by_clients > CLIENT_BUFFERS_BYTES_SCARCE
    }

    /// Clients connected.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Slots, free ones too.
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}

impl std::ops::Index<usize> for Connections {
    type Output = Connection;
    fn index(&self, index: usize) -> &Connection {
        &self.slots[index]
    }
}

impl std::ops::IndexMut<usize> for Connections {
    fn index_mut(&mut self, index: usize) -> &mut Connection {
        &mut self.slots[index]
    }
}
