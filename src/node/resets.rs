//! `POST /reset` and `POST /purge-payments`: one shard after the other, wherever it is, and a reply when
//! all are through.
//!
//! A shard of ours is taken up in one tick, and the next shard in the following one, when it is known
//! whether the journal took it.

use super::commit::Dependency;
use super::encoder::ReplyTarget;
use super::replies::Progress;
use super::Node;
use crate::api::bank::UNAVAILABLE;
use crate::api::operations::RESET_FORBIDDEN;
use crate::api::payments::PURGE_FORBIDDEN;
use crate::api::Endpoint;
use crate::command::{ForwardId, Outcome, Scope};
use crate::http::Status;
use crate::machine::ConnectionId;

/// Which request has this scope.
pub(super) fn endpoint(scope: Scope) -> Endpoint {
    match scope {
        Scope::Everything => Endpoint::Reset,
        Scope::Payments => Endpoint::Purge,
    }
}

/// A shard of ours that this tick resets, and the client for whom it does.
pub(super) struct Reset {
    connection: ConnectionId,
    reply_to: ReplyTarget,
    shard: usize,
    scope: Scope,
    /// The journal had no room for it.
    refused: bool,
}

impl<J> Node<J> {
    /// Begins with the first shard, if that is allowed.
    pub(super) fn reset_all(
        &mut self,
        index: usize,
        reply_to: ReplyTarget,
        scope: Scope,
    ) -> Progress {
        if self.settings.allow_reset {
            return self.reset_from(index, 0, reply_to, scope);
        }
        let problem = match scope {
            Scope::Everything => RESET_FORBIDDEN,
            Scope::Payments => PURGE_FORBIDDEN,
        };
        self.answer(index, reply_to, endpoint(scope), Status::Forbidden, problem)
    }

    /// Resets a shard for a client, and those behind it.
    fn reset_from(
        &mut self,
        index: usize,
        shard: usize,
        reply_to: ReplyTarget,
        scope: Scope,
    ) -> Progress {
        if self.serves(shard) && self.accepts(shard) {
            let connection = &mut self.connections[index];
            connection.waiting += 1;
            // Nothing may be asked behind it before it is through.
            connection.waiting_for = None;
            let id = connection.id;
            self.reset_here(id, shard, reply_to, scope, None);
        } else if !self.forward_reset(index, shard, reply_to, scope) {
            let status = Status::ServiceUnavailable;
            return self.answer(index, reply_to, endpoint(scope), status, UNAVAILABLE);
        }
        Progress::Done
    }

    /// Resets a shard of ours, which accepts it, for a client that waits for it; unless an owner before us has done
    /// so when it was forwarded under this id.
    pub(super) fn reset_here(
        &mut self,
        connection: ConnectionId,
        shard: usize,
        reply_to: ReplyTarget,
        scope: Scope,
        forward: Option<ForwardId>,
    ) {
        self.forget(shard, scope, forward);
        self.resets.push(Reset {
            connection,
            reply_to,
            shard,
            scope,
            refused: false,
        });
    }

    /// Resets a shard of ours for another member.
    pub(super) fn reset_for_member(
        &mut self,
        index: usize,
        shard: usize,
        forward: ForwardId,
        scope: Scope,
    ) -> Progress {
        // So it is in the journal if it was carried out before.
        if !self.accepts(shard) {
            return self.postpone(index);
        }
        let dependency = match self.forget(shard, scope, Some(forward)) {
            true => Dependency::Write { shard },
            false => Dependency::Written,
        };
        let reply_to = ReplyTarget::Member {
            shard: shard as u32,
            counter: forward.counter,
        };
        let status = reply_to.write(&mut self.encoder.body, &Outcome::Forgotten(scope));
        self.reply(index, reply_to, endpoint(scope), status, dependency)
    }

    /// Whether it was not done before.
    fn forget(&mut self, shard: usize, scope: Scope, forward: Option<ForwardId>) -> bool {
        let now = self.now;
        let its_shard = self.shard(shard);
        if forward.is_some_and(|id| its_shard.has_forgotten(&id)) {
            self.stats().duplicates.add(1);
            return false;
        }
        let time_us = its_shard.tell_time(now);
        match scope {
            Scope::Everything => its_shard.reset(forward, time_us),
            Scope::Payments => its_shard.purge(forward, time_us),
        }
        self.questions.forgotten(shard);
        true
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
                let refused = Outcome::NotForgotten(reset.scope);
                let status = reset.reply_to.write(&mut self.encoder.body, &refused);
                let endpoint = endpoint(reset.scope);
                self.reply(index, reset.reply_to, endpoint, status, Dependency::Nothing);
            } else {
                self.reset_next(index, reset.shard, reset.reply_to, reset.scope);
            }
            self.mark_dirty(index);
            self.resume(index);
        }
    }

    /// A shard is reset: the next one's turn, or the reply.
    pub(super) fn reset_next(
        &mut self,
        index: usize,
        shard: usize,
        reply_to: ReplyTarget,
        scope: Scope,
    ) {
        if shard + 1 < self.settings.members.shards {
            self.reset_from(index, shard + 1, reply_to, scope);
        } else {
            let status = reply_to.write(&mut self.encoder.body, &Outcome::Forgotten(scope));
            self.reply(
                index,
                reply_to,
                endpoint(scope),
                status,
                Dependency::Written,
            );
        }
    }
}
