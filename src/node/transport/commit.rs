//! The commit gate: a reply leaves when what it rests on is safe.
//!
//! A tick's replies are written behind their connections' earlier output and noted here. Once the journal has the
//! tick's batches they may leave, with durability `process`; with `disk` they wait for an `fdatasync`, by ticket:
//! each journal write of the core has the next number, and a sync covers all that were written when it began.

use std::collections::VecDeque;

use super::connections::{Connection, Connections};
use super::encoder::Caller;
use crate::command::Command;
use crate::http::Status;
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
    /// Of the last journal write.
    ticket: u64,
    /// By shard: the ticket when its running sync was started, and when its last one was.
    syncs: Vec<(u64, u64)>,
}

impl CommitGate {
    pub(in crate::node) fn new(shards: usize) -> CommitGate {
        CommitGate {
            ops: Vec::new(),
            pending: VecDeque::new(),
            ticket: 0,
            syncs: vec![(0, 0); shards],
        }
    }

    /// The tick's batch of a shard is in the journal.
    pub(in crate::node) fn written(&mut self) {
        self.ticket += 1;
    }

    /// A shard is ours. What was recovered may be in the page cache only: with durability `disk` even a read of it
    /// waits for the first sync.
    pub(in crate::node) fn owned(&mut self, shard: &Shard) {
        self.syncs[shard.identity().shard as usize] = (self.ticket, self.ticket);
        self.ticket += u64::from(shard.synced_sequence() < shard.sequence());
    }

    /// A sync of a shard begins; it covers everything written so far.
    pub(in crate::node) fn sync_started(&mut self, shard: usize) {
        self.syncs[shard].0 = self.ticket;
    }

    /// The sync is done: what was written when it began is durable.
    pub(in crate::node) fn synced(&mut self, shard: usize) {
        self.syncs[shard].1 = self.syncs[shard].0;
    }

    /// Up to which ticket every journal write of our shards is synced.
    pub(in crate::node) fn synced_ticket<'a>(
        &self,
        shards: impl Iterator<Item = &'a Shard>,
    ) -> u64 {
        let unsynced = shards.filter(|shard| shard.synced_sequence() < shard.sequence());
        let tickets = unsynced.map(|shard| self.syncs[shard.identity().shard as usize].1);
        tickets.min().unwrap_or(self.ticket)
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
