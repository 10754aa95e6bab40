//! Replies: written when a request is applied, released when what they tell is safe.
//!
//! A reply is written straight behind its connection's earlier output. Until the tick's journal
//! write is done it may have to be taken back ([`Node::journal_refused`]); with durability `disk`
//! it then waits for an `fdatasync` ([`super::commit`]).

use super::commit::{Dependency, Op};
use super::connection::State;
use super::encoder::ReplyTarget;
use super::link::{self, Frame};
use super::{Durability, Node};
use crate::api::Endpoint;
use crate::command::{Ids, Outcome, Scope};
use crate::http::Status;
use crate::limits::KIB;
use crate::machine::ConnectionId;

/// What became of a request at the front of a connection's input.
#[derive(PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// It stays where it is. Each reason to wait has its waker, which calls [`Node::resume`]:
    ///
    /// | why | until |
    /// |---|---|
    /// | a reply from another member must come before (`waiting`) | [`Node::settle`] |
    /// | a reply that takes time must come before (`waiting`) | the tick after [`Node::end_inquiry`] |
    /// | it is not its turn (`postponed`) | [`Node::take_turns`] |
    /// | the shard takes no more in this tick (`postponed`) | the same |
    /// | too much waits to be sent (`Output::is_full`) | its turn after [`Node::sent`] |
    Blocked,
}

/// What came of a request to forget when a journal had no room for it; `None`: it is another request.
fn refused(endpoint: Endpoint) -> Option<Outcome<'static>> {
    match endpoint {
        Endpoint::Reset => Some(Outcome::NotForgotten(Scope::Everything)),
        Endpoint::Purge => Some(Outcome::NotForgotten(Scope::Payments)),
        _ => None,
    }
}

impl<J> Node<J> {
    /// Writes a reply whose body is in the encoder.
    pub(super) fn reply(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        endpoint: Endpoint,
        status: Status,
        dependency: Dependency,
    ) -> Progress {
        self.reply_with(index, reply_to, endpoint, status, dependency, None)
    }

    pub(super) fn reply_with(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        endpoint: Endpoint,
        status: Status,
        dependency: Dependency,
        allow: Option<&'static str>,
    ) -> Progress {
        self.begin_op(
            index,
            reply_to,
            dependency,
            endpoint,
            status,
            self.now.monotonic_ns,
        );
        self.encode(index, reply_to, endpoint, status, allow);
        Progress::Done
    }

    /// The reply to a request that was forwarded at `began_ns`.
    pub(super) fn reply_late(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        endpoint: Endpoint,
        status: Status,
        dependency: Dependency,
        began_ns: u64,
    ) {
        self.begin_op(index, reply_to, dependency, endpoint, status, began_ns);
        self.encode(index, reply_to, endpoint, status, None);
    }

    /// Writes bytes that are no reply, and tell nothing.
    pub(super) fn write_raw(&mut self, index: usize, bytes: &[u8]) {
        self.begin_raw(index, Dependency::Nothing);
        let (connection, buffers) = self.connections.with_buffers(index);
        connection.output.writer(buffers).extend_from_slice(bytes);
    }

    /// Writes a frame that is no reply.
    pub(super) fn write_frame(&mut self, index: usize, frame: &Frame<'_>) {
        self.begin_raw(index, Dependency::Written);
        let (connection, buffers) = self.connections.with_buffers(index);
        link::write(connection.output.writer(buffers), frame);
    }

    /// What is no reply is noted all the same: it marks where the reply before it ends.
    fn begin_raw(&mut self, index: usize, dependency: Dependency) {
        let nobody = ReplyTarget::Member {
            shard: 0,
            counter: 0,
        };
        self.begin_op(index, nobody, dependency, Endpoint::None, Status::Ok, 0);
    }

    fn begin_op(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        dependency: Dependency,
        endpoint: Endpoint,
        status: Status,
        began_ns: u64,
    ) {
        self.mark_dirty(index);
        let connection = &self.connections[index];
        debug_assert!(!matches!(connection.state, State::Free | State::Closing));
        let start = connection.output.end();
        let connection = connection.id;
        self.commit.ops.push(Op {
            connection,
            start,
            reply_to,
            dependency,
            endpoint,
            status,
            began_ns,
        });
    }

    /// Appends the reply whose body is in the encoder.
    fn encode(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        endpoint: Endpoint,
        status: Status,
        allow: Option<&'static str>,
    ) {
        self.work += 1 + (self.encoder.body.len() / KIB) as u32;
        let (connection, buffers) = self.connections.with_buffers(index);
        let out = connection.output.writer(buffers);
        self.encoder.write(out, reply_to, endpoint, status, allow);
    }

    /// The tick's journal write for a shard found no room: what the shard did is undone, and its
    /// replies are written anew.
    pub fn journal_refused(&mut self, shard: usize) {
        self.shard(shard).refused();
        if self.settings.payments.is_some() {
            self.payments_refused(shard);
        }
        self.reset_refused(shard);
        let mut ops = std::mem::take(&mut self.commit.ops);
        let touched = |dependency: Dependency| match dependency {
            Dependency::Nothing | Dependency::Written => false,
            Dependency::Read { shard: s, .. } | Dependency::Write { shard: s } => s == shard,
        };
        let mut connections: Vec<ConnectionId> = ops
            .iter()
            .filter(|op| touched(op.dependency))
            .map(|op| op.connection)
            .collect();
        connections.sort_unstable_by_key(|id| id.index);
        connections.dedup();
        for id in connections {
            let index = id.index as usize;
            if self
                .connections
                .get(id)
                .is_none_or(|c| c.state == State::Closing)
            {
                continue;
            }
            let output = &self.connections[index].output;
            let own: Vec<usize> = (0..ops.len())
                .filter(|op| ops[*op].connection == id)
                .collect();
            let ends = own
                .iter()
                .skip(1)
                .map(|op| ops[*op].start)
                .chain([output.end()]);
            let bytes: Vec<Vec<u8>> = own
                .iter()
                .zip(ends)
                .map(|(op, end)| output.written(ops[*op].start, end).to_vec())
                .collect();
            self.connections[index]
                .output
                .rewrite(ops[own[0]].start, &[]);
            for (op, bytes) in own.into_iter().zip(bytes) {
                let op = &mut ops[op];
                op.start = self.connections[index].output.end();
                if touched(op.dependency) {
                    self.reencode(index, op);
                } else {
                    let (connection, buffers) = self.connections.with_buffers(index);
                    connection.output.writer(buffers).extend_from_slice(&bytes);
                }
            }
        }
        self.commit.ops = ops;
        self.questions_refused(shard);
    }

    /// Reads see the state after the undoing; whatever was, or could have been, a write is 503.
    fn reencode(&mut self, index: usize, op: &mut Op) {
        op.status = match op.dependency {
            Dependency::Read { shard, of } => {
                let command = of.command();
                self.execute(shard, op.reply_to, &command, &Ids::default())
                    .0
            }
            _ => {
                op.dependency = Dependency::Nothing;
                let refused = refused(op.endpoint).unwrap_or(Outcome::StorageFull);
                op.reply_to.write(&mut self.encoder.body, &refused)
            }
        };
        self.encode(index, op.reply_to, op.endpoint, op.status, None);
    }

    /// The tick's batch of a shard is in the journal.
    pub fn journal_written(&mut self, shard: usize) {
        self.shard(shard).written();
        self.commit.written();
        if self.questions.forgets[shard] || !self.questions.open.is_empty() {
            self.questions_written(shard);
        }
        if self.settings.payments.is_some() {
            self.payments_written(shard);
        }
    }

    /// An `fdatasync` of a shard begins; it covers everything written so far.
    pub fn sync_started(&mut self, shard: usize) {
        self.commit.sync_started(shard);
    }

    /// It is done.
    pub fn synced(&mut self, shard: usize) {
        self.commit.synced(shard);
    }

    /// Ends the tick: counts its replies, releases what may leave, and sends it. `monotonic_ns`:
    /// the present, after the journal writes.
    pub fn release(&mut self, monotonic_ns: u64) {
        if self.is_past_grace() && self.connections.clients() == 0 {
            self.say_goodbye();
        }
        let safe = match self.settings.durability {
            Durability::Process => u64::MAX,
            Durability::Disk => self.commit.synced_ticket(&self.shards),
        };
        let stats = self.settings.process.stats.core(self.settings.members.core);
        self.commit
            .count(&mut self.connections, safe, stats, monotonic_ns);
        let mut dirty = std::mem::take(&mut self.dirty);
        self.commit
            .release_held(&mut self.connections, safe, &mut dirty);
        for id in dirty.drain(..) {
            let Some(connection) = self.connections.get(id) else {
                continue;
            };
            connection.dirty = false;
            self.commit.release(connection, safe);
            self.flush(id.index as usize, monotonic_ns);
        }
        self.dirty = dirty;
        self.bound_buffers();
    }
}
