//! The commit gate: a reply leaves when what it rests on is safe.
//!
//! A tick's replies are written behind their connections' earlier output and noted here. With durability `process` they
//! leave once the journal has the tick's batches. Otherwise each waits in the queue of the shard that it rests on, by
//! ticket: each batch of the core has the next number, and what makes a shard's batches safe covers all that there were
//! when it began. With `disk` that is an `fdatasync`; with `replicated` it is the engine's acknowledgement, replies wait
//! for the lease, too, and those that have waited for too long are answered anew, for which they are kept.
//!
//! A statement waits only if its account was written to since: for the batches that did so. What rests on more than one shard waits
//! for all. So does a client's reply behind one that waits for another shard:
//! a connection's bytes keep their order. A member's frames keep it shard by shard only: those that wait are taken out of
//! its output, and others pass them.

use std::collections::VecDeque;

use super::accounts::Accounts;
use super::connections::{Buffers, Connection, Connections};
use super::encoder::{Caller, ReplyTarget};
use crate::command::Command;
use crate::http::Status;
use crate::limits::COMMAND_NS_MAX;
use crate::machine::ConnectionId;
use crate::payments::PaymentId;
use crate::shard::Shard;

/// What a reply rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Dependency {
    /// Nothing that any shard holds: it waits for nothing.
    Nothing,
    /// What the shard's journal has, and cannot be taken back.
    Written {
        shard: usize,
    },
    /// The same, of all shards.
    AllWritten,
    Read {
        shard: usize,
        of: Read,
    },
    Write {
        shard: usize,
    },
}

/// What is read, to read it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Read {
    Statement(u32),
    Payment(PaymentId),
}

impl Read {
    pub(in crate::node) fn command(self) -> Command {
        match self {
            Read::Statement(client) => Command::Statement { client },
            Read::Payment(id) => Command::Show { id },
        }
    }
}

impl Dependency {
    /// Of a reply that tells nothing: to a member it comes behind what it is told of that shard before.
    pub(in crate::node) fn of_nothing(caller: &Caller) -> Dependency {
        match caller.reply_to {
            ReplyTarget::Client { .. } => Dependency::Nothing,
            ReplyTarget::Member { shard, .. } => Dependency::Written {
                shard: shard as usize,
            },
        }
    }

    /// The shard that it is of, if it is of one.
    fn shard(self) -> Option<usize> {
        match self {
            Dependency::Nothing | Dependency::AllWritten => None,
            Dependency::Written { shard }
            | Dependency::Read { shard, .. }
            | Dependency::Write { shard } => Some(shard),
        }
    }

    /// Whether it is, or may be, of that shard.
    pub(in crate::node) fn is_of(self, shard: usize) -> bool {
        self == Dependency::AllWritten || self.shard() == Some(shard)
    }

    /// Whether it is what that shard did in this tick.
    pub(in crate::node) fn is_new_of(self, shard: usize) -> bool {
        let is_new = matches!(self, Dependency::Read { .. } | Dependency::Write { .. });
        is_new && self.shard() == Some(shard)
    }
}

/// One thing that this tick wrote to a connection.
pub(in crate::node) struct Op {
    pub(in crate::node) caller: Caller,
    /// Its first byte's position; it ends where the connection's next one begins.
    pub(in crate::node) start: u64,
    pub(in crate::node) dependency: Dependency,
    pub(in crate::node) status: Status,
}

/// A connection's replies up to `end` wait.
struct HeldReplies {
    ticket: u64,
    connection: ConnectionId,
    end: u64,
}

/// Frames of one tick for a member, all of one shard, wait.
struct HeldFrames {
    ticket: u64,
    connection: ConnectionId,
    shard: usize,
    bytes: Vec<u8>,
}

/// A client's reply that waits, and may have to be written anew.
struct HeldOp {
    ticket: u64,
    op: Op,
    /// When it was written. Monotonic.
    since_ns: u64,
}

/// What waits for a shard, oldest first; and how far what that did is safe: tickets.
#[derive(Default)]
struct Queue {
    replies: VecDeque<HeldReplies>,
    frames: VecDeque<HeldFrames>,
    /// Reply by reply, with durability `replicated` only.
    ops: VecDeque<HeldOp>,
    /// Of its last batch.
    written: u64,
    /// Covered by what is under way, and by what was done last.
    begun: u64,
    done: u64,
    unsafe_accounts: Accounts,
}

impl Queue {
    /// Up to which ticket everything is safe.
    fn safe(&self) -> u64 {
        match self.done < self.written {
            true => self.done,
            false => u64::MAX,
        }
    }

    fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.frames.is_empty() && self.ops.is_empty()
    }
}

pub(in crate::node) struct CommitGate {
    /// What this tick wrote, in order.
    pub(in crate::node) ops: Vec<Op>,
    /// By shard; behind them, for what waits for all of them, or for the lease.
    queues: Vec<Queue>,
    /// Of the last batch.
    ticket: u64,
    /// What this tick wrote to members.
    frames: Vec<Op>,
}

impl CommitGate {
    pub(in crate::node) fn new(shards: usize) -> CommitGate {
        CommitGate {
            ops: Vec::new(),
            queues: (0..=shards).map(|_| Queue::default()).collect(),
            ticket: 0,
            frames: Vec::new(),
        }
    }

    // ---- What is safe -----------------------------------------------------------------

    /// The tick's batch of a shard is there, and stays.
    pub(in crate::node) fn written(&mut self, shard: usize) {
        self.ticket += 1;
        let queue = &mut self.queues[shard];
        queue.written = self.ticket;
        queue.unsafe_accounts.written(self.ticket);
    }

    /// The tick's batch of a shard is undone.
    pub(in crate::node) fn refused(&mut self, shard: usize) {
        self.queues[shard].unsafe_accounts.refused();
    }

    /// The tick changes an account.
    pub(in crate::node) fn changes(&mut self, shard: usize, account: u32) {
        self.queues[shard].unsafe_accounts.change(account);
    }

    /// The tick changes all accounts of a shard.
    pub(in crate::node) fn changes_all(&mut self, shard: usize) {
        self.queues[shard].unsafe_accounts.change_all();
    }

    /// A shard is ours. What was recovered may be in the page cache only: with durability `disk` even a read of it
    /// waits for the first sync.
    pub(in crate::node) fn owned(&mut self, shard: &Shard) {
        let number = shard.identity().shard as usize;
        self.disowned(number);
        if shard.synced_sequence() < shard.sequence() {
            self.changes_all(number);
            self.written(number);
        }
    }

    /// A shard is not ours: nothing waits for it.
    pub(in crate::node) fn disowned(&mut self, shard: usize) {
        let queue = &mut self.queues[shard];
        (queue.begun, queue.done) = (self.ticket, self.ticket);
        queue.written = self.ticket;
        queue.unsafe_accounts = Accounts::default();
    }

    /// What makes a shard's batches safe begins; it covers all that there are.
    pub(in crate::node) fn begun(&mut self, shard: usize) {
        self.queues[shard].begun = self.ticket;
    }

    /// It is done.
    pub(in crate::node) fn done(&mut self, shard: usize) {
        let queue = &mut self.queues[shard];
        queue.done = queue.begun;
        queue.unsafe_accounts.done(queue.done);
    }

    /// This tick's replies wait for the lease, or nothing does any more.
    pub(in crate::node) fn lease(&mut self, lasts: bool) {
        let lease = self.all();
        if lasts {
            self.disowned(lease);
        } else if self
            .ops
            .iter()
            .any(|op| op.dependency != Dependency::Nothing)
        {
            self.written(lease);
        }
    }

    /// Whether a shard has batches that are not safe.
    pub(in crate::node) fn waits_for(&self, shard: usize) -> bool {
        self.queues[shard].safe() < u64::MAX
    }

    /// The queue of what waits for everything.
    fn all(&self) -> usize {
        self.queues.len() - 1
    }

    /// Up to which ticket what is in a queue may leave.
    fn safe(&self, queue: usize) -> u64 {
        match queue == self.all() {
            true => self.queues.iter().map(Queue::safe).min().unwrap_or(0),
            false => self.queues[queue].safe(),
        }
    }

    // ---- What waits -------------------------------------------------------------------

    /// Whether anything waits, or would have to.
    pub(in crate::node) fn is_waiting(&self) -> bool {
        let mut queues = self.queues.iter();
        queues.any(|queue| queue.safe() < u64::MAX || !queue.is_empty())
    }

    /// Where what rests on that has to wait; `None`: it need not.
    fn queue_of(&self, dependency: Dependency) -> Option<usize> {
        let all = self.all();
        if dependency == Dependency::Nothing {
            return None;
        }
        let queue = match self.waits_for(all) {
            true => all, // For the lease.
            false => dependency.shard().unwrap_or(all),
        };
        let is_safe = match dependency {
            Dependency::Read {
                shard,
                of: Read::Statement(account),
            } if queue == shard => {
                let Queue {
                    done,
                    unsafe_accounts,
                    ..
                } = &self.queues[shard];
                !unsafe_accounts.is_changed(account, *done)
            }
            _ => self.safe(queue) == u64::MAX,
        };
        (!is_safe).then_some(queue)
    }

    fn ticket_of(&self, queue: usize) -> u64 {
        match queue == self.all() {
            true => self.ticket,
            false => self.queues[queue].written,
        }
    }

    /// Notes on its connection where something begins that this tick wrote, and whether it has to wait. Not of a member.
    pub(in crate::node) fn hold_back(&self, op: &Op, connection: &mut Connection) {
        let queue = self.queue_of(op.dependency).map(|queue| queue as u32);
        connection.holds_back(op.start, queue, self.all() as u32);
    }

    /// Keeps a reply that waits in a queue, to be written anew.
    pub(in crate::node) fn keep(&mut self, op: Op, queue: u32, since_ns: u64) {
        let ticket = self.ticket_of(queue as usize);
        self.queues[queue as usize].ops.push_back(HeldOp {
            ticket,
            op,
            since_ns,
        });
    }

    /// Puts something aside that this tick wrote to a member, for [`Self::hold_frames`].
    pub(in crate::node) fn note_frame(&mut self, op: Op) {
        self.frames.push(op);
    }

    /// Takes what waits out of what this tick wrote to members.
    pub(in crate::node) fn hold_frames(&mut self, connections: &mut Connections) {
        let mut frames = std::mem::take(&mut self.frames);
        frames.sort_by_key(|op| by_slot(&op.caller.connection)); // Keeps the order of each connection's.
        for of_one in frames.chunk_by(|a, b| a.caller.connection == b.caller.connection) {
            let waits = of_one.iter().any(|op| self.frame_queue(op).is_some());
            let connection = of_one[0].caller.connection;
            if !waits || connections.get(connection).is_none_or(|it| it.is_closing()) {
                continue;
            }
            let (connection, buffers) = connections.with_buffers(connection.index as usize);
            let (begin, end) = (of_one[0].start, connection.output.end());
            let mut written = buffers.take();
            written.extend_from_slice(connection.output.written(begin, end));
            connection.output.cut(begin);
            let ends = of_one.iter().skip(1).map(|op| op.start).chain([end]);
            for (op, end) in of_one.iter().zip(ends) {
                let bytes = &written[(op.start - begin) as usize..(end - begin) as usize];
                match self.frame_queue(op) {
                    Some(place) => self.hold_frame(connection.id, place, bytes, buffers),
                    None => connection.output.writer(buffers).extend_from_slice(bytes),
                }
            }
            buffers.give(written);
        }
        frames.clear();
        self.frames = frames;
    }

    /// Where a frame has to wait, and of which shard it is; `None`: it need not.
    fn frame_queue(&self, op: &Op) -> Option<(usize, usize)> {
        let shard = op.dependency.shard()?;
        let has_earlier = |queue: &usize| {
            let its = |it: &HeldFrames| (it.connection, it.shard) == (op.caller.connection, shard);
            self.queues[*queue].frames.iter().any(its)
        };
        let queue = Some(self.all()).filter(has_earlier);
        let queue = queue.or_else(|| self.queue_of(op.dependency));
        let queue = queue.or_else(|| Some(shard).filter(has_earlier))?;
        Some((queue, shard))
    }

    fn hold_frame(
        &mut self,
        connection: ConnectionId,
        (queue, shard): (usize, usize),
        bytes: &[u8],
        buffers: &mut Buffers,
    ) {
        let ticket = self.ticket_of(queue);
        let held = &mut self.queues[queue].frames;
        let fits =
            |it: &HeldFrames| (it.ticket, it.connection, it.shard) == (ticket, connection, shard);
        match held.back_mut().filter(|it| fits(it)) {
            Some(last) => last.bytes.extend_from_slice(bytes),
            None => {
                let mut copy = buffers.take();
                copy.extend_from_slice(bytes);
                held.push_back(HeldFrames {
                    ticket,
                    connection,
                    shard,
                    bytes: copy,
                });
            }
        }
    }

    /// Whether frames wait for a member at this connection.
    pub(in crate::node) fn holds_frames(&self, connection: ConnectionId) -> bool {
        let mut frames = self.queues.iter().flat_map(|queue| &queue.frames);
        frames.any(|it| it.connection == connection)
    }

    /// Lets a connection's output go, or has what is new of it wait.
    pub(in crate::node) fn release(&mut self, connection: &mut Connection) {
        let end = connection.output.end();
        let Some(queue) = connection.waits_in() else {
            return connection.output.release(end);
        };
        let output = &mut connection.output;
        output.waits = None;
        if output.held_to < end {
            (output.held_in, output.held_to) = (queue, end);
            let ticket = self.ticket_of(queue as usize);
            self.queues[queue as usize].replies.push_back(HeldReplies {
                ticket,
                connection: connection.id,
                end,
            });
        }
    }

    // ---- What waits no more -----------------------------------------------------------

    /// Lets clients' replies and processors' requests of earlier ticks go, before this tick's are looked at; lists their
    /// connections, and those replies that are kept.
    pub(in crate::node) fn release_replies(
        &mut self,
        connections: &mut Connections,
        dirty: &mut Vec<ConnectionId>,
        kept: &mut Vec<Op>,
    ) {
        for at in 0..self.queues.len() {
            let safe = self.safe(at);
            let queue = &mut self.queues[at];
            while let Some(held) = pop_front_if(&mut queue.replies, |it| it.ticket <= safe) {
                if let Some(connection) = connections.get(held.connection) {
                    connection.output.release(held.end);
                    note_dirty(connection, dirty);
                }
            }
            while let Some(held) = pop_front_if(&mut queue.ops, |it| it.ticket <= safe) {
                kept.push(held.op);
            }
        }
    }

    /// Lets frames go, also those of this tick that had to stay behind others; lists their connections.
    pub(in crate::node) fn release_frames(
        &mut self,
        connections: &mut Connections,
        dirty: &mut Vec<ConnectionId>,
    ) {
        for at in 0..self.queues.len() {
            let safe = self.safe(at);
            while let Some(held) = pop_front_if(&mut self.queues[at].frames, |it| it.ticket <= safe)
            {
                let is_there = |it: &&mut Connection| !it.is_closing();
                if connections.get(held.connection).filter(is_there).is_some() {
                    let (connection, buffers) =
                        connections.with_buffers(held.connection.index as usize);
                    let out = connection.output.writer(buffers);
                    out.extend_from_slice(&held.bytes);
                    note_dirty(connection, dirty);
                }
                connections.buffers.give(held.bytes);
            }
        }
    }

    /// When the oldest has waited for too long; `u64::MAX`: none waits. Monotonic.
    pub(in crate::node) fn over_ns(&self) -> u64 {
        let oldest = self.queues.iter().filter_map(|queue| queue.ops.front());
        let since_ns = oldest.map(|it| it.since_ns).min();
        since_ns.map_or(u64::MAX, |since_ns| since_ns + COMMAND_NS_MAX)
    }

    /// Clients' connections with a reply that waits, or was written in this tick, and `is_over`: by what it is, and when it
    /// was written (`now_ns`: in this tick). They are sorted, as [`Self::give_up`] wants them.
    pub(in crate::node) fn those_held(
        &self,
        now_ns: u64,
        is_over: impl Fn(&Op, u64) -> bool,
    ) -> Vec<ConnectionId> {
        let held = self.queues.iter().flat_map(|queue| &queue.ops);
        let held = held.map(|it| (&it.op, it.since_ns));
        let new = self.ops.iter().filter(|op| op.caller.is_client());
        let all = held.chain(new.map(|op| (op, now_ns)));
        let over = all.filter(|(op, since_ns)| is_over(op, *since_ns));
        let mut ids: Vec<ConnectionId> = over.map(|(op, _)| op.caller.connection).collect();
        ids.sort_unstable_by_key(by_slot);
        ids.dedup();
        ids
    }

    /// All replies of these connections that wait, or were written in this tick; in each one's order. They wait no more.
    pub(in crate::node) fn give_up(&mut self, ids: &[ConnectionId]) -> Vec<Op> {
        let is_among = |id: &ConnectionId| ids.binary_search_by_key(&by_slot(id), by_slot).is_ok();
        let is_theirs = |op: &Op| is_among(&op.caller.connection);
        let mut theirs: Vec<Op> = Vec::new();
        for queue in &mut self.queues {
            queue.replies.retain(|it| !is_among(&it.connection));
            let ops = std::mem::take(&mut queue.ops).into_iter();
            let (over, rest) = ops.partition::<Vec<_>, _>(|it| is_theirs(&it.op));
            queue.ops = rest.into();
            theirs.extend(over.into_iter().map(|it| it.op));
        }
        theirs.extend(self.ops.extract_if(.., |op| is_theirs(op)));
        theirs.sort_by_key(|op| (by_slot(&op.caller.connection), op.start));
        theirs
    }

    /// Frames that wait for members, and are of a shard: each lot with its connection. They wait no more.
    pub(in crate::node) fn give_up_frames(&mut self, shard: usize) -> Vec<(ConnectionId, Vec<u8>)> {
        let mut theirs = Vec::new();
        for queue in &mut self.queues {
            let frames = std::mem::take(&mut queue.frames).into_iter();
            let (its, rest) = frames.partition::<Vec<_>, _>(|it| it.shard == shard);
            queue.frames = rest.into();
            theirs.extend(its.into_iter().map(|it| (it.connection, it.bytes)));
        }
        theirs
    }

    #[cfg(test)]
    pub(in crate::node) fn held(&self) -> usize {
        self.queues.iter().map(|queue| queue.replies.len()).sum()
    }
}

/// `VecDeque::pop_front_if`, which is newer than the oldest Rust that this is compiled with.
fn pop_front_if<T>(queue: &mut VecDeque<T>, is_meant: impl Fn(&T) -> bool) -> Option<T> {
    queue.front().filter(|it| is_meant(it))?;
    queue.pop_front()
}

fn note_dirty(connection: &mut Connection, dirty: &mut Vec<ConnectionId>) {
    if !std::mem::replace(&mut connection.dirty, true) {
        dirty.push(connection.id);
    }
}

/// A slot may have been used again while replies of its connection before wait.
pub(in crate::node) fn by_slot(id: &ConnectionId) -> (u32, u32) {
    (id.index, id.generation)
}
