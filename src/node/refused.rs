//! A journal that has no room: what the tick did to a shard is undone, and its replies are written anew.

use super::shards::Shards;
use super::transport::commit::{Dependency, Op};
use super::transport::Transport;
use crate::api::Endpoint;
use crate::command::{Ids, Outcome, Scope};
use crate::machine::ConnectionId;

/// What came of a request to forget when a journal had no room for it; `None`: it is another request.
fn not_forgotten(endpoint: Endpoint) -> Option<Outcome<'static>> {
    match endpoint {
        Endpoint::Reset => Some(Outcome::NotForgotten(Scope::Everything)),
        Endpoint::Purge => Some(Outcome::NotForgotten(Scope::Payments)),
        _ => None,
    }
}

/// Whether a reply rests on what a shard did in this tick.
fn is_of(op: &Op, shard: usize) -> bool {
    match op.dependency {
        Dependency::Nothing | Dependency::Written => false,
        Dependency::Read { shard: of, .. } | Dependency::Write { shard: of } => of == shard,
    }
}

/// Writes the tick's replies anew that rest on a shard whose batch was undone: reads see the state before it,
/// writes become 503.
pub(super) fn rewrite_replies(io: &mut Transport, shards: &mut Shards, shard: usize) {
    let mut ops = std::mem::take(&mut io.commit.ops);
    let touched = ops.iter().filter(|op| is_of(op, shard));
    let mut connections: Vec<ConnectionId> = touched.map(|op| op.caller.connection).collect();
    connections.sort_unstable_by_key(|id| id.index);
    connections.dedup();
    for id in connections {
        let index = id.index as usize;
        if io.connections.get(id).is_none_or(|it| it.is_closing()) {
            continue;
        }
        let output = &io.connections[index].output;
        let own: Vec<usize> = (0..ops.len())
            .filter(|op| ops[*op].caller.connection == id)
            .collect();
        let later = own.iter().skip(1).map(|op| ops[*op].start);
        let ends = later.chain([output.end()]);
        let bytes: Vec<Vec<u8>> = own
            .iter()
            .zip(ends)
            .map(|(op, end)| output.written(ops[*op].start, end).to_vec())
            .collect();
        io.connections[index].output.cut(ops[own[0]].start);
        for (op, bytes) in own.into_iter().zip(bytes) {
            let op = &mut ops[op];
            op.start = io.connections[index].output.end();
            if is_of(op, shard) {
                rewrite(io, shards, op);
            } else {
                let (connection, buffers) = io.connections.with_buffers(index);
                connection.output.writer(buffers).extend_from_slice(&bytes);
            }
        }
    }
    io.commit.ops = ops;
}

fn rewrite(io: &mut Transport, shards: &mut Shards, op: &mut Op) {
    op.status = match op.dependency {
        Dependency::Read { shard, of } => {
            let command = of.command();
            let (status, _) = shards.execute(io, shard, &op.caller, &command, &Ids::default());
            status
        }
        _ => {
            op.dependency = Dependency::Nothing;
            let refused = not_forgotten(op.caller.endpoint).unwrap_or(Outcome::StorageFull);
            io.encoder.outcome(&op.caller, &refused)
        }
    };
    io.encode(&op.caller, op.status, None);
}
