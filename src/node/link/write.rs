//! From a frame to its bytes.

use super::*;
use crate::codec::{put, put_at};
use crate::command::wire;
use crate::limits::LINK_FRAME_BYTES_MAX;

/// Appends a frame: length, kind, content ([`link`](super)).
pub fn write(out: &mut Vec<u8>, frame: &Frame<'_>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    match frame {
        Frame::Hello(hello) => {
            out.push(HELLO);
            out.extend_from_slice(MAGIC);
            put(out, VERSION);
            put(out, hello.directory);
            for number in [hello.shards, hello.cores, hello.nodes, hello.member] {
                put(out, number);
            }
            put(out, hello.epoch);
        }
        Frame::OtherVersion(_) => unreachable!("read, never written"),
        Frame::Owns(shard) => {
            out.push(OWNS);
            put(out, shard);
        }
        Frame::Released { shard, to } => {
            out.push(RELEASED);
            put(out, shard);
            put(out, to);
        }
        Frame::Who(shard) => {
            out.push(WHO);
            put(out, shard);
        }
        Frame::Leaving => out.push(LEAVING),
        Frame::Taking => out.push(TAKING),
        Frame::Command {
            counter,
            key,
            command,
        } => {
            out.push(COMMAND);
            put(out, counter);
            out.push(u8::from(key.is_some()));
            if let Some(key) = key {
                put(out, key);
            }
            wire::write_command(out, command);
        }
        Frame::Reset {
            counter,
            shard,
            scope,
        } => {
            out.push(RESET);
            put(out, counter);
            put(out, shard);
            out.push(*scope as u8);
        }
        Frame::Reply {
            shard,
            counter,
            outcome,
        } => {
            begin_reply(out, *shard, *counter);
            wire::write_outcome(out, outcome);
        }
        Frame::NotOwner { shard, counter } => {
            out.push(NOT_OWNER);
            put(out, shard);
            put(out, counter);
        }
        Frame::Goodbye => out.push(GOODBYE),
        Frame::Begun(shard) => {
            out.push(BEGUN);
            put(out, shard);
        }
        Frame::Again(shard) => {
            out.push(AGAIN);
            put(out, shard);
        }
        Frame::Query {
            number,
            shard,
            query,
        } => {
            out.push(QUERY);
            put(out, number);
            put(out, shard);
            write_query(out, query);
        }
        Frame::Answer { number, answer } => {
            out.push(ANSWER);
            put(out, number);
            write_answer(out, answer);
        }
        Frame::Health {
            processor,
            failing,
            response_min_ms,
        } => {
            out.push(HEALTH);
            out.push(*processor as u8);
            out.push(u8::from(*failing));
            put(out, response_min_ms);
        }
    }
    end(out, start);
}

/// Appends a [`Frame::Reply`] whose outcome is written already.
pub fn write_reply(out: &mut Vec<u8>, shard: u32, counter: u64, outcome: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    begin_reply(out, shard, counter);
    out.extend_from_slice(outcome);
    end(out, start);
}

fn begin_reply(out: &mut Vec<u8>, shard: u32, counter: u64) {
    out.push(REPLY);
    put(out, shard);
    put(out, counter);
}

/// Puts the length of a frame that begins at `start` into its first bytes.
fn end(out: &mut [u8], start: usize) {
    let length = out.len() - start - LENGTH_BYTES;
    assert!(length <= LINK_FRAME_BYTES_MAX);
    put_at(out, start, length as u32);
}

fn write_query(out: &mut Vec<u8>, query: &Query) {
    match query {
        Query::Summary(window) => {
            out.push(OF_SUMMARY);
            put(out, window.from_us);
            put(out, window.to_us);
        }
        Query::Outcome(id) => {
            out.push(OF_OUTCOME);
            put(out, id.0);
        }
    }
}

fn write_answer(out: &mut Vec<u8>, answer: &QueryAnswer) {
    match answer {
        QueryAnswer::Summary(summary) => {
            out.push(OF_SUMMARY);
            for totals in &summary.0 {
                put(out, totals.count);
                put(out, totals.cents);
            }
        }
        QueryAnswer::Outcome(payment) => {
            out.push(OF_OUTCOME);
            out.push(u8::from(payment.is_some()));
            if let Some(payment) = payment {
                wire::write_payment(out, payment);
            }
        }
        QueryAnswer::Refused => out.push(REFUSED),
        QueryAnswer::Unreadable => out.push(UNREADABLE),
    }
}
