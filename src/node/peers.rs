//! The other cores: commands for their shards go to them, theirs for ours come from them.

use std::collections::VecDeque;

use super::connection::State;
use super::link::{self, Frame};
use super::replies::Asker;
use super::{Node, Taken};
use crate::api::bank::{Command, UNAVAILABLE};
use crate::api::Endpoint;
use crate::http::Status;
use crate::io::ConnectionId;
use crate::limits::{CONNECTION_FORWARDS_MAX, LINK_COMMANDS_MAX};

/// This node's end of the link to one other core.
#[derive(Default)]
pub(super) struct Link {
    connection: Option<ConnectionId>,
    /// Commands without a reply, in their order.
    pending: VecDeque<Pending>,
    next_id: u32,
    goodbye_sent: bool,
    goodbye_received: bool,
}

/// A command that another node is carrying out.
struct Pending {
    id: u32,
    connection: ConnectionId,
    asker: Asker,
    endpoint: Endpoint,
    began_ns: u64,
}

impl Link {
    pub(super) fn opened(&mut self, connection: ConnectionId) {
        self.connection = Some(connection);
    }

    /// While the link is there.
    pub(super) fn connection(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// Neither end will ask anything any more.
    pub(super) fn is_quiet(&self) -> bool {
        self.goodbye_sent && self.goodbye_received && self.pending.is_empty()
    }
}

impl<J> Node<J> {
    /// Sends a command to the core that owns its shard.
    pub(super) fn forward(
        &mut self,
        index: usize,
        owner: usize,
        asker: Asker,
        endpoint: Endpoint,
        command: &Command<'_>,
    ) -> Taken {
        let connection = &self.connections[index];
        let one_more =
            connection.waiting_for == Some(owner) && connection.waiting < CONNECTION_FORWARDS_MAX;
        if connection.waiting > 0 && !one_more {
            return Taken::NotYet;
        }
        let reachable = self.links[owner].connection.is_some();
        if !reachable || self.links[owner].pending.len() >= LINK_COMMANDS_MAX {
            if connection.waiting > 0 {
                return Taken::NotYet;
            }
            return self.answer(
                index,
                asker,
                endpoint,
                Status::ServiceUnavailable,
                UNAVAILABLE,
            );
        }
        self.ask(index, owner, asker, endpoint, |id| {
            Frame::Command(id, command.clone())
        });
        Taken::Yes
    }

    /// Has the other cores reset theirs, one after the other, and then ours.
    pub(super) fn reset_others(&mut self, index: usize, asker: Asker) {
        let first = usize::from(self.settings.members.core == 0);
        self.reset_at(index, first, asker);
    }

    fn reset_at(&mut self, index: usize, core: usize, asker: Asker) {
        if self.links[core].connection.is_some() {
            return self.ask(index, core, asker, Endpoint::Reset, Frame::Reset);
        }
        let status = Status::ServiceUnavailable;
        self.answer(index, asker, Endpoint::Reset, status, UNAVAILABLE);
    }

    fn ask<'f>(
        &mut self,
        index: usize,
        owner: usize,
        asker: Asker,
        endpoint: Endpoint,
        frame: impl FnOnce(u32) -> Frame<'f>,
    ) {
        let began_ns = self.now.monotonic_ns;
        let connection = &mut self.connections[index];
        connection.waiting += 1;
        // A reset goes on to other cores: nothing may be asked behind it before it is through.
        connection.waiting_for = (endpoint != Endpoint::Reset).then_some(owner);
        let id = connection.id;
        let link = &mut self.links[owner];
        let command_id = link.next_id;
        link.next_id = link.next_id.wrapping_add(1);
        link.pending.push_back(Pending {
            id: command_id,
            connection: id,
            asker,
            endpoint,
            began_ns,
        });
        let at = link.connection.expect("the caller has seen the link").index as usize;
        self.write_frame(at, &frame(command_id));
        self.stats().forwards.add(1);
    }

    /// Takes up the frames at the front of `input`: how many bytes that was.
    pub(super) fn take_up_frames(&mut self, index: usize, core: usize, input: &[u8]) -> usize {
        let mut taken = 0;
        // A peer has a bounded number of commands open, which bounds what is written for it here.
        while self.connections[index].state == State::Open {
            let (frame, length) = match link::read(&input[taken..]) {
                Ok(Some(read)) => read,
                Ok(None) => break,
                Err(link::BadFrame) => {
                    log::error!("core {core} sent what is no frame; its link is closed");
                    self.link_lost(core);
                    self.close(index);
                    break;
                }
            };
            let done = match frame {
                Frame::Command(id, command) => {
                    let shard = command.client() as usize % self.settings.members.shards;
                    let own = shard / self.settings.members.cores;
                    let endpoint = match command {
                        Command::Transact { .. } => Endpoint::Transactions,
                        Command::Statement { .. } => Endpoint::Statement,
                    };
                    self.command(index, Asker::Node { id }, endpoint, own, &command)
                }
                Frame::Reset(id) => self.reset_own(index, Asker::Node { id }),
                Frame::Reply { id, status, body } => {
                    self.replied(core, id, status, body);
                    Taken::Yes
                }
                Frame::Goodbye => {
                    self.links[core].goodbye_received = true;
                    Taken::Yes
                }
            };
            if done == Taken::NotYet {
                break;
            }
            taken += length;
        }
        taken
    }

    /// A reply came for the oldest pending command.
    fn replied(&mut self, core: usize, id: u32, status: u16, body: &[u8]) {
        let pending = self.links[core]
            .pending
            .pop_front()
            .expect("a reply follows a command");
        assert_eq!(pending.id, id, "replies come in the order of the commands");
        let status = Status::from_code(status).expect("a status that a node of ours sent");
        self.settle(core, pending, status, body);
    }

    /// Hands a forwarded command's outcome to who asked.
    fn settle(&mut self, core: usize, pending: Pending, status: Status, body: &[u8]) {
        let index = pending.connection.index as usize;
        let Some(connection) = self.connections.get(pending.connection) else {
            return;
        };
        connection.waiting -= 1;
        if connection.state == State::Closing {
            return;
        }
        if pending.endpoint == Endpoint::Reset && status == Status::Ok {
            self.reset_next(index, core, pending.asker);
        } else {
            self.body.extend_from_slice(body);
            self.reply_late(
                index,
                pending.asker,
                pending.endpoint,
                status,
                pending.began_ns,
            );
        }
        self.resume(index);
    }

    /// A core has reset its shards: the next one's turn, and ours when there is none.
    fn reset_next(&mut self, index: usize, core: usize, asker: Asker) {
        let next = (core + 1..self.settings.members.cores)
            .find(|next| *next != self.settings.members.core);
        match next {
            Some(next) => self.reset_at(index, next, asker),
            None => self.reset_last(index, asker),
        }
    }

    /// Resets ours, now or, where they take nothing more in this tick, in the next one.
    fn reset_last(&mut self, index: usize, asker: Asker) {
        if self.accepts_reset() {
            self.reset_own(index, asker);
            return;
        }
        let connection = &mut self.connections[index];
        connection.waiting += 1;
        connection.waiting_for = None;
        self.resets_postponed.push((connection.id, asker));
    }

    /// Takes up the resets that only our shards are missing from.
    pub(super) fn resume_resets(&mut self) {
        for (id, asker) in std::mem::take(&mut self.resets_postponed) {
            let Some(connection) = self.connections.get(id) else {
                continue;
            };
            connection.waiting -= 1;
            if connection.state != State::Closing {
                self.reset_last(id.index as usize, asker);
                self.resume(id.index as usize);
            }
        }
    }

    /// The link is gone: what was asked over it gets no answer.
    pub(super) fn link_lost(&mut self, core: usize) {
        self.links[core].connection = None;
        let mut body = Vec::new();
        UNAVAILABLE.write(&mut body);
        while let Some(pending) = self.links[core].pending.pop_front() {
            self.settle(core, pending, Status::ServiceUnavailable, &body);
        }
    }

    /// Tells the other cores that no command will follow.
    pub(super) fn say_goodbye(&mut self) {
        for core in 0..self.links.len() {
            let link = &mut self.links[core];
            if let Some(id) = link.connection.filter(|_| !link.goodbye_sent) {
                link.goodbye_sent = true;
                self.write_frame(id.index as usize, &Frame::Goodbye);
            }
        }
    }
}
