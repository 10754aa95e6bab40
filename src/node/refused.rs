//! Replies that are written anew: those of a tick whose batch was not taken and is undone, and those that have waited
//! for too long for what they rest on.

use super::link::{self, Frame, QueryAnswer};
use super::shards::Shards;
use super::transport::commit::{is_among, Dependency, HeldOp, Op};
use super::transport::Transport;
use crate::api::problem::{UNANSWERED, UNAVAILABLE};
use crate::api::Endpoint;
use crate::command::{Ids, Outcome, Scope};
use crate::limits::COMMAND_NS_MAX;
use crate::machine::ConnectionId;

/// What came of a request to forget that was not taken; `None`: it is another request.
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
/// writes become `refused`.
pub(super) fn rewrite_replies(
    io: &mut Transport,
    shards: &mut Shards,
    shard: usize,
    refused: &Outcome<'static>,
) {
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
                rewrite(io, shards, op, refused);
            } else {
                let (connection, buffers) = io.connections.with_buffers(index);
                connection.output.writer(buffers).extend_from_slice(&bytes);
            }
        }
    }
    io.commit.ops = ops;
}

fn rewrite(io: &mut Transport, shards: &mut Shards, op: &mut Op, refused: &Outcome<'static>) {
    op.status = match op.dependency {
        Dependency::Read { shard, of } => {
            let command = of.command();
            let (status, _) = shards.execute(io, shard, &op.caller, &command, &Ids::default());
            status
        }
        _ => {
            op.dependency = Dependency::Nothing;
            let refused = not_forgotten(op.caller.endpoint).unwrap_or(*refused);
            io.encoder.outcome(&op.caller, &refused)
        }
    };
    io.encode(&op.caller, op.status, None);
}

/// Answers clients that have waited for too long.
pub(super) fn answer_late(io: &mut Transport) {
    let late_ns = io.now_ns().saturating_sub(COMMAND_NS_MAX);
    answer_held(io, |held| held.since_ns <= late_ns);
}

/// A shard is not ours any more, between ticks: what rests on what it did is told to nobody. As long as that is not
/// safe, what only may rest on it is not told, either.
pub(super) fn withdraw(io: &mut Transport, shard: usize) {
    let is_unsafe = io.commit.waits_for(shard);
    answer_held(io, |held| {
        let may_be_of = is_unsafe && held.op.dependency == Dependency::Written;
        is_of(&held.op, shard) || may_be_of
    });
    for index in io.connections.links().collect::<Vec<_>>() {
        if io.connections[index].output.has_unreleased() {
            withdraw_from_member(io, index, shard as u32);
        }
    }
}

/// A member is to ask the next owner for what it was to be told.
fn withdraw_from_member(io: &mut Transport, index: usize, shard: u32) {
    let output = &mut io.connections[index].output;
    let begin = output.released();
    let bytes = output.written(begin, output.end()).to_vec();
    output.cut(begin);
    let (connection, buffers) = io.connections.with_buffers(index);
    let out = connection.output.writer(buffers);
    let mut rest = &bytes[..];
    while let Ok(Some((frame, length))) = link::read(rest) {
        match frame {
            Frame::Reply {
                shard: of, counter, ..
            } if of == shard => link::write(out, &Frame::NotOwner { shard, counter }),
            Frame::Answer { number, .. } => {
                let answer = QueryAnswer::Refused;
                link::write(out, &Frame::Answer { number, answer });
            }
            _ => out.extend_from_slice(&rest[..length]),
        }
        rest = &rest[length..];
    }
    debug_assert!(rest.is_empty(), "frames are released whole");
    let (id, end) = (connection.id, connection.output.end());
    io.commit.wait_again(id, end);
}

/// Answers clients whose replies are not to be told, as `is_over` says: what was read is not known, and what was
/// written may be there or not. Whatever else such a connection waits for is answered in the same way.
fn answer_held(io: &mut Transport, is_over: impl Fn(&HeldOp) -> bool) {
    let held = io.commit.held.iter();
    let over = held.filter(|it| is_over(it));
    let mut ids: Vec<ConnectionId> = over.map(|it| it.op.caller.connection).collect();
    ids.sort_unstable_by_key(|id| id.index);
    ids.dedup();
    if ids.is_empty() {
        return;
    }
    io.commit.give_up(&ids);
    // What this tick has written behind it goes the same way.
    for op in std::mem::take(&mut io.commit.ops) {
        match is_among(&ids, op.caller.connection) {
            true => io.commit.keep(op, io.now.monotonic_ns),
            false => io.commit.ops.push(op),
        }
    }
    let (mut theirs, rest) = std::mem::take(&mut io.commit.held)
        .into_iter()
        .partition::<Vec<_>, _>(|it| is_among(&ids, it.op.caller.connection));
    io.commit.held = rest.into();
    theirs.sort_by_key(|it| it.op.caller.index()); // Keeps the order of each connection's.
    for of_one in theirs.chunk_by(|a, b| a.op.caller.connection == b.op.caller.connection) {
        let ops: Vec<&Op> = of_one.iter().map(|it| &it.op).collect();
        answer_connection(io, &ops);
    }
}

/// Writes all anew that a connection waits for, and lets it go.
fn answer_connection(io: &mut Transport, ops: &[&Op]) {
    let id = ops[0].caller.connection;
    let index = id.index as usize;
    if io.connections.get(id).is_none_or(|it| it.is_closing()) {
        return;
    }
    let output = &io.connections[index].output;
    // What does not wait, and is in front of what does, has left.
    let ops = &ops[ops.partition_point(|op| op.start < output.released())..];
    let Some(first) = ops.first() else {
        return;
    };
    let end = output.end();
    let behind = output.written(first.start, end).to_vec();
    let place = |op: &Op| (op.start - first.start) as usize;
    let ends = ops.iter().skip(1).map(|op| place(op));
    let ends = ends.chain([behind.len()]);
    io.connections[index].output.cut(first.start);
    for (op, end) in ops.iter().zip(ends) {
        let problem = match op.dependency {
            Dependency::Nothing => {
                let (connection, buffers) = io.connections.with_buffers(index);
                let out = connection.output.writer(buffers);
                out.extend_from_slice(&behind[place(op)..end]);
                io.count_reply(op, op.status, io.now_ns());
                continue;
            }
            Dependency::Read { .. } => UNAVAILABLE,
            Dependency::Written | Dependency::Write { .. } => UNANSWERED,
        };
        let status = io.encoder.problem(&op.caller, &problem);
        io.encode(&op.caller, status, None);
        io.count_reply(op, status, io.now_ns());
    }
    let output = &mut io.connections[index].output;
    output.release(output.end());
    io.mark_dirty(index);
}
