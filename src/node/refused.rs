//! Replies that are written anew: those of a tick whose batch was not taken and is undone, those that have waited for too
//! long for what they rest on, and, frames for members as well, those that rest on a shard that was lost.

use super::link::{self, Frame, QueryAnswer};
use super::shards::Shards;
use super::transport::commit::{by_slot, Dependency, Op};
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

/// Writes the tick's replies anew that rest on a shard whose batch was undone: reads see the state before it,
/// writes become `refused`.
pub(super) fn rewrite_replies(
    io: &mut Transport,
    shards: &mut Shards,
    shard: usize,
    refused: &Outcome<'static>,
) {
    let is_touched = |_: &mut Transport, op: &Op| op.dependency.is_new_of(shard);
    rewrite_those(io, is_touched, |io, op, _| rewrite(io, shards, op, refused));
}

/// Has those of the tick's replies and frames written anew that are touched. `write` appends one, whose bytes it gets as
/// they were.
fn rewrite_those(
    io: &mut Transport,
    is_touched: impl Fn(&mut Transport, &Op) -> bool,
    mut write: impl FnMut(&mut Transport, &mut Op, &[u8]),
) {
    let mut ops = std::mem::take(&mut io.commit.ops);
    let touched: Vec<bool> = ops.iter().map(|op| is_touched(io, op)).collect();
    let of_touched = ops.iter().zip(&touched).filter(|(_, touched)| **touched);
    let mut connections: Vec<ConnectionId> =
        of_touched.map(|(op, _)| op.caller.connection).collect();
    connections.sort_unstable_by_key(by_slot);
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
        for (at, bytes) in own.into_iter().zip(bytes) {
            let op = &mut ops[at];
            op.start = io.connections[index].output.end();
            if touched[at] {
                write(io, op, &bytes);
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
            op.dependency = Dependency::of_nothing(&op.caller);
            let refused = not_forgotten(op.caller.endpoint).unwrap_or(*refused);
            io.encoder.outcome(&op.caller, &refused)
        }
    };
    io.encode(&op.caller, op.status, None);
}

/// Answers clients that have waited for too long.
pub(super) fn answer_late(io: &mut Transport) {
    let late_ns = io.now_ns().saturating_sub(COMMAND_NS_MAX);
    answer_held(io, |_, since_ns| since_ns <= late_ns);
}

/// A shard is not ours any more, between ticks: what rests on what it did is told to nobody. As long as that is not
/// safe, what only may rest on it is not told, either.
pub(super) fn withdraw(io: &mut Transport, shard: usize) {
    let is_unsafe = io.commit.waits_for(shard);
    answer_held(io, |op, _| {
        op.dependency.is_of(shard) && (is_unsafe || op.dependency != Dependency::AllWritten)
    });
    let is_its_frame = |io: &mut Transport, op: &Op| {
        let connection = io.connections.get(op.caller.connection);
        op.dependency.is_of(shard) && connection.is_some_and(|it| it.is_link())
    };
    rewrite_those(io, is_its_frame, |io, op, bytes| {
        let (connection, buffers) = io.connections.with_buffers(op.caller.index());
        write_withdrawn(connection.output.writer(buffers), bytes);
    });
    for (id, bytes) in io.commit.give_up_frames(shard) {
        if io.connections.get(id).is_some_and(|it| !it.is_closing()) {
            let out = io.write_raw(id.index as usize, Dependency::Nothing);
            write_withdrawn(out, &bytes);
        }
        io.connections.buffers.give(bytes);
    }
}

/// A member is to ask the next owner for what it was to be told.
fn write_withdrawn(out: &mut Vec<u8>, mut frames: &[u8]) {
    while let Ok(Some((frame, length))) = link::read(frames) {
        match frame {
            Frame::Reply { shard, counter, .. } => {
                link::write(out, &Frame::NotOwner { shard, counter });
            }
            Frame::Answer { number, .. } => {
                let answer = QueryAnswer::Refused;
                link::write(out, &Frame::Answer { number, answer });
            }
            _ => out.extend_from_slice(&frames[..length]),
        }
        frames = &frames[length..];
    }
    debug_assert!(frames.is_empty(), "frames are kept whole");
}

/// Answers clients whose replies are not to be told, as `is_over` says: what was read is not known, and what was
/// written may be there or not. Whatever else such a connection waits for is answered in the same way.
fn answer_held(io: &mut Transport, is_over: impl Fn(&Op, u64) -> bool) {
    let ids = io.commit.those_held(io.now_ns(), is_over);
    if ids.is_empty() {
        return;
    }
    let theirs = io.commit.give_up(&ids);
    for of_one in theirs.chunk_by(|a, b| a.caller.connection == b.caller.connection) {
        answer_connection(io, of_one);
    }
}

/// Writes all anew that a connection waits for, and lets it go.
fn answer_connection(io: &mut Transport, ops: &[Op]) {
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
    let ends = ops.iter().skip(1).map(place);
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
            Dependency::Written { .. } | Dependency::AllWritten | Dependency::Write { .. } => {
                UNANSWERED
            }
        };
        let status = io.encoder.problem(&op.caller, &problem);
        io.encode(&op.caller, status, None);
        io.count_reply(op, status, io.now_ns());
    }
    let output = &mut io.connections[index].output;
    output.release(output.end());
    io.mark_dirty(index);
}
