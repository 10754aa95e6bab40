//! `POST /reset`: one shard after the other, wherever it is, and a reply when all are through.
//!
//! A shard of ours is taken up in one tick, and the next shard in the following one, when it is known
//! whether the journal took it.

use super::replies::{Asker, Subject};
use super::requests::Taken;
use super::Node;
use crate::api::bank::UNAVAILABLE;
use crate::api::operations::RESET_INCOMPLETE;
use crate::api::Endpoint;
use crate::http::Status;
use crate::io::ConnectionId;

const DONE: &[u8] = b"{\"status\":\"reset\"}";

/// A shard of ours that this tick resets, and the client for whom it does.
pub(super) struct Reset {
    connection: ConnectionId,
    asker: Asker,
    shard: usize,
    /// The journal had no room for it.
    refused: bool,
}

impl<J> Node<J> {
    /// Resets a shard for a client, and those behind it.
    pub(super) fn reset_from(&mut self, index: usize, shard: usize, asker: Asker) -> Taken {
        if self.serves(shard) && self.accepts(shard) {
            let connection = &mut self.connections[index];
            connection.waiting += 1;
            connection.waiting_for = None;
            let id = connection.id;
            self.reset_here(id, shard, asker);
        } else if !self.forward_reset(index, shard, asker) {
            let status = Status::ServiceUnavailable;
            return self.answer(index, asker, Endpoint::Reset, status, UNAVAILABLE);
        }
        Taken::Yes
    }

    /// Resets a shard of ours, which accepts it, for a client that waits for it.
    pub(super) fn reset_here(&mut self, connection: ConnectionId, shard: usize, asker: Asker) {
        let realtime_us = self.now.realtime_us;
        self.shard(shard).reset(realtime_us);
        self.resets.push(Reset {
            connection,
            asker,
            shard,
            refused: false,
        });
    }

    /// Resets a shard of ours for another member.
    pub(super) fn reset_for_member(&mut self, index: usize, shard: usize, counter: u64) -> Taken {
        if !self.accepts(shard) {
            return self.postpone(index);
        }
        let realtime_us = self.now.realtime_us;
        self.shard(shard).reset(realtime_us);
        self.body.extend_from_slice(DONE);
        let asker = Asker::Node {
            shard: shard as u32,
            counter,
        };
        let subject = Subject::Write { shard };
        self.reply(index, asker, Endpoint::Reset, Status::Ok, subject)
    }

    /// The journal had no room for what this tick did to a shard.
    pub(super) fn reset_refused(&mut self, shard: usize) {
        for reset in &mut self.resets {
            reset.refused |= reset.shard == shard;
        }
    }

    /// Goes on with the resets of the tick before.
    pub(super) fn resume_resets(&mut self) {
        for reset in std::mem::take(&mut self.resets) {
            let index = reset.connection.index as usize;
            let Some(connection) = self.connections.get(reset.connection) else {
                continue;
            };
            connection.waiting -= 1;
            if connection.is_closing() {
                continue;
            }
            if reset.refused {
                let status = Status::ServiceUnavailable;
                let problem = RESET_INCOMPLETE;
                self.answer(index, reset.asker, Endpoint::Reset, status, problem);
            } else {
                self.reset_next(index, reset.shard, reset.asker);
            }
            self.list(index);
            self.resume(index);
        }
    }

    /// A shard is reset: the next one's turn, or the reply.
    pub(super) fn reset_next(&mut self, index: usize, shard: usize, asker: Asker) {
        if shard + 1 < self.settings.members.shards {
            self.reset_from(index, shard + 1, asker);
        } else {
            self.body.extend_from_slice(DONE);
            self.reply(index, asker, Endpoint::Reset, Status::Ok, Subject::None);
        }
    }
}
