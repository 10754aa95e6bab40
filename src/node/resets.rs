//! `POST /reset` and `POST /purge-payments`: one shard after the other, wherever it is, and a reply when
//! all are through.
//!
//! A shard of ours is reset in one tick, and the next shard in the following one, when it is known
//! whether the journal took it.

use super::peers::Peers;
use super::router::{RoutedWork, Router};
use super::shards::Shards;
use super::transport::commit::Dependency;
use super::transport::encoder::Caller;
use super::transport::{Progress, Transport};
use crate::api::problem::{PURGE_FORBIDDEN, RESET_FORBIDDEN};
use crate::api::Endpoint;
use crate::command::{ForwardId, Outcome, Scope};

/// Which request has this scope.
pub(super) fn endpoint(scope: Scope) -> Endpoint {
    match scope {
        Scope::Everything => Endpoint::Reset,
        Scope::Payments => Endpoint::Purge,
    }
}

/// A shard of ours that this tick resets, and the client for whom it does.
pub(super) struct Reset {
    client: Caller,
    shard: usize,
    scope: Scope,
    /// The journal had no room for it.
    refused: bool,
}

#[derive(Default)]
pub(super) struct Resets {
    /// Shards that this tick resets: the next one goes on with them.
    pub(super) begun: Vec<Reset>,
}

impl Resets {
    /// Begins with the first shard, if that is allowed.
    pub(super) fn begin(
        &mut self,
        io: &mut Transport,
        peers: &mut Peers,
        router: &mut Router,
        shards: &mut Shards,
        (client, scope): (&Caller, Scope),
    ) {
        if io.settings.allow_reset {
            return self.reset(io, peers, router, shards, (client, 0, scope));
        }
        let problem = match scope {
            Scope::Everything => RESET_FORBIDDEN,
            Scope::Payments => PURGE_FORBIDDEN,
        };
        io.answer(client, &problem);
    }

    /// Resets a shard for a client, and those behind it.
    fn reset(
        &mut self,
        io: &mut Transport,
        peers: &mut Peers,
        router: &mut Router,
        shards: &mut Shards,
        (client, shard, scope): (&Caller, usize, Scope),
    ) {
        if shards.serves(shard) && shards.accepts(shard) {
            let connection = &mut io.connections[client.index()];
            connection.waiting += 1;
            // Nothing may be asked behind it before it is through.
            connection.waiting_for = None;
            shards.forget(io, shard, scope, None);
            self.here(*client, shard, scope);
        } else {
            router.forward_alone(io, peers, client, shard, RoutedWork::Reset(scope));
        }
    }

    /// A shard of ours is reset in this tick for a client that waits for it.
    pub(super) fn here(&mut self, client: Caller, shard: usize, scope: Scope) {
        self.begun.push(Reset {
            client,
            shard,
            scope,
            refused: false,
        });
    }

    /// The journal had no room for what this tick did to a shard.
    pub(super) fn refused(&mut self, shard: usize) {
        for reset in &mut self.begun {
            reset.refused |= reset.shard == shard;
        }
    }

    /// Goes on with the resets of the tick before.
    pub(super) fn resume(
        &mut self,
        io: &mut Transport,
        peers: &mut Peers,
        router: &mut Router,
        shards: &mut Shards,
    ) {
        for reset in std::mem::take(&mut self.begun) {
            let client = reset.client;
            let Some(connection) = io.connections.get(client.connection) else {
                continue;
            };
            connection.waiting -= 1;
            if connection.is_closing() {
                continue;
            }
            if reset.refused {
                let refused = Outcome::NotForgotten(reset.scope);
                let status = io.encoder.outcome(&client, &refused);
                io.reply(&client, status, Dependency::Nothing);
            } else {
                self.done(
                    io,
                    peers,
                    router,
                    shards,
                    (&client, reset.shard, reset.scope),
                );
            }
            io.mark_dirty(client.index());
            io.resume_later(client.connection);
        }
    }

    /// A shard is reset: the next one's turn, or the reply.
    pub(super) fn done(
        &mut self,
        io: &mut Transport,
        peers: &mut Peers,
        router: &mut Router,
        shards: &mut Shards,
        (client, shard, scope): (&Caller, usize, Scope),
    ) {
        if shard + 1 < shards.count() {
            self.reset(io, peers, router, shards, (client, shard + 1, scope));
        } else {
            let status = io.encoder.outcome(client, &Outcome::Forgotten(scope));
            io.reply(client, status, Dependency::AllWritten);
        }
    }
}

/// Resets a shard of ours for another member.
pub(super) fn reset_for_member(
    io: &mut Transport,
    shards: &mut Shards,
    caller: &Caller,
    shard: usize,
    (forward, scope): (ForwardId, Scope),
) -> Progress {
    // So it is in the journal if it was carried out before.
    if !shards.accepts(shard) {
        return io.postpone(caller.index());
    }
    let dependency = match shards.forget(io, shard, scope, Some(forward)) {
        true => Dependency::Write { shard },
        false => Dependency::Written { shard },
    };
    let status = io.encoder.outcome(caller, &Outcome::Forgotten(scope));
    io.reply(caller, status, dependency);
    Progress::Done
}
