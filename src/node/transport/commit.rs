//! The commit gate: a reply leaves when what it rests on is safe.
//!
//! A tick's replies are written behind their connections' earlier output and noted here. Once the journal has the
//! tick's batches they may leave, with durability `process`; otherwise they wait, by ticket: each batch of the core has
//! the next number, and what makes a shard's batches safe covers all that there were when it began. With `disk` that
//! is an `fdatasync`. With `replicated` it is the engine's acknowledgement; replies wait for the lease in the same way,
//! and those that have waited for too long are answered anew, for which they are kept.

use std::collections::VecDeque;

use super::connections::{Connection, Connections};
use super::encoder::Caller;
use crate::command::Command;
use crate::http::Status;
use crate::limits::COMMAND_NS_MAX;
use crate::machine::ConnectionId;
use crate::payments::PaymentId;
use crate::shard::Shard;

/// What a reply rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) enum Dependency {
    /// Nothing that any shard holds: it waits for no sync.
    Nothing,
    /// What is in the journal, and cannot be taken back.
    Written,
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

/// One thing that this tick wrote to a connection.
pub(in crate::node) struct Op {
    pub(in crate::node) caller: Caller,
    /// Its first byte's position; it ends where the connection's next one begins.
    pub(in crate::node) start: u64,
    pub(in crate::node) dependency: Dependency,
    pub(in crate::node) status: Status,
}

impl Op {
    /// Notes on its connection where it begins, and whether it has to wait.
    pub(in crate::node) fn hold_back(&self, connections: &mut Connections) {
        if let Some(connection) = connections.get(self.caller.connection) {
            connection.holds_back(self.start, self.dependency != Dependency::Nothing);
        }
    }
}

/// A connection's replies up to `end` wait until every journal write up to `ticket` is synced.
struct PendingReply {
    connection: ConnectionId,
    end: u64,
    ticket: u64,
}

pub(in crate::node) struct CommitGate {
    /// What this tick wrote, in order.
    pub(in crate::node) ops: Vec<Op>,
    /// Replies that wait for a sync, oldest first.
    pending: VecDeque<PendingReply>,
    /// What waits of that for clients, reply by reply, oldest first: with durability `replicated` only.
    pub(in crate::node) held: VecDeque<HeldOp>,
    /// Of the last batch.
    ticket: u64,
    /// By shard; behind them, the lease's.
    safety: Vec<Safety>,
}

/// A reply that waits, and may have to be written anew.
pub(in crate::node) struct HeldOp {
    pub(in crate::node) op: Op,
    ticket: u64,
    /// When it was written. Monotonic.
    pub(in crate::node) since_ns: u64,
}

/// How far what a shard did is safe: tickets.
#[derive(Clone, Copy, Default)]
struct Safety {
    /// Of its last batch.
    written: u64,
    /// Covered by what is under way, and by what was done last.
    begun: u64,
    done: u64,
}

impl CommitGate {
    pub(in crate::node) fn new(shards: usize) -> CommitGate {
        CommitGate {
            ops: Vec::new(),
            pending: VecDeque::new(),
            held: VecDeque::new(),
            ticket: 0,
            safety: vec![Safety::default(); shards + 1],
        }
    }

    /// The tick's batch of a shard is there, and stays.
    pub(in crate::node) fn written(&mut self, shard: usize) {
        self.ticket += 1;
        self.safety[shard].written = self.ticket;
    }

    /// A shard is ours. What was recovered may be in the page cache only: with durability `disk` even a read of it
    /// waits for the first sync.
    pub(in crate::node) fn owned(&mut self, shard: &Shard) {
        let number = shard.identity().shard as usize;
        self.disowned(number);
        if shard.synced_sequence() < shard.sequence() {
            self.written(number);
        }
    }

    /// A shard is not ours: nothing waits for it.
    pub(in crate::node) fn disowned(&mut self, shard: usize) {
        self.safety[shard] = Safety {
            written: self.ticket,
            begun: self.ticket,
            done: self.ticket,
        };
    }

    /// What makes a shard's batches safe begins; it covers all that there are.
    pub(in crate::node) fn begun(&mut self, shard: usize) {
        self.safety[shard].begun = self.ticket;
    }

    /// It is done.
    pub(in crate::node) fn done(&mut self, shard: usize) {
        self.safety[shard].done = self.safety[shard].begun;
    }

    /// This tick's replies wait for the lease, or nothing does any more.
    pub(in crate::node) fn lease(&mut self, lasts: bool) {
        let lease = self.safety.len() - 1;
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
        let Safety { written, done, .. } = self.safety[shard];
        done < written
    }

    /// Up to which ticket everything is safe.
    pub(in crate::node) fn safe(&self) -> u64 {
        let unsafe_ones = self.safety.iter().filter(|it| it.done < it.written);
        let tickets = unsafe_ones.map(|it| it.done);
        tickets.min().unwrap_or(self.ticket)
    }

    /// Keeps what waits, to be written anew.
    pub(in crate::node) fn keep(&mut self, op: Op, since_ns: u64) {
        self.held.push_back(HeldOp {
            op,
            ticket: self.ticket,
            since_ns,
        });
    }

    /// A member's frames were written anew, up to `end`: they wait for all that there is.
    pub(in crate::node) fn wait_again(&mut self, connection: ConnectionId, end: u64) {
        self.give_up(&[connection]);
        self.pending.push_back(PendingReply {
            connection,
            end,
            ticket: self.ticket,
        });
    }

    /// The next of those that wait no more.
    pub(in crate::node) fn next_released(&mut self, safe: u64) -> Option<Op> {
        self.held.front().filter(|it| it.ticket <= safe)?;
        self.held.pop_front().map(|it| it.op)
    }

    /// When the oldest has waited for too long; `u64::MAX`: none waits. Monotonic.
    pub(in crate::node) fn over_ns(&self) -> u64 {
        let oldest = self.held.front();
        oldest.map_or(u64::MAX, |it| it.since_ns + COMMAND_NS_MAX)
    }

    /// The replies of some connections, which are sorted by index, wait for nothing any more.
    pub(in crate::node) fn give_up(&mut self, ids: &[ConnectionId]) {
        self.pending.retain(|it| !is_among(ids, it.connection));
    }

    /// Whether all that was written so far may leave, if everything up to `safe` may.
    pub(in crate::node) fn is_synced(&self, safe: u64) -> bool {
        self.ticket <= safe
    }

    /// Lets replies of earlier ticks go, and lists their connections. They come before this tick's: a connection's
    /// bytes keep their order.
    pub(in crate::node) fn release_held(
        &mut self,
        connections: &mut Connections,
        safe: u64,
        dirty: &mut Vec<ConnectionId>,
    ) {
        while let Some(reply) = self.pending.front().filter(|reply| reply.ticket <= safe) {
            let (id, end) = (reply.connection, reply.end);
            self.pending.pop_front();
            if let Some(connection) = connections.get(id) {
                connection.output.release(end);
                if !std::mem::replace(&mut connection.dirty, true) {
                    dirty.push(id);
                }
            }
        }
    }

    /// Lets this tick's replies of a connection go, or has them wait.
    pub(in crate::node) fn release(&mut self, connection: &mut Connection, safe: u64) {
        let end = connection.output.end();
        let waits = std::mem::take(&mut connection.output.waits);
        // Only what is asked by clients is known reply by reply.
        let is_client = connection.is_client();
        if self.ticket <= safe || (is_client && !waits && !connection.is_held()) {
            connection.output.release(end);
        } else if connection.output.has_unreleased() {
            connection.output.held_to = end;
            self.pending.push_back(PendingReply {
                connection: connection.id,
                end,
                ticket: self.ticket,
            });
        }
    }

    #[cfg(test)]
    pub(in crate::node) fn held(&self) -> usize {
        self.pending.len()
    }
}

/// Whether a connection is one of these, which are sorted by index.
pub(in crate::node) fn is_among(ids: &[ConnectionId], id: ConnectionId) -> bool {
    let found = ids.binary_search_by_key(&id.index, |it| it.index);
    found.is_ok_and(|at| ids[at] == id)
}
