//! From a frame to its bytes.

use super::*;
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
            out.extend_from_slice(&VERSION.to_le_bytes());
            out.extend_from_slice(&hello.directory.to_le_bytes());
            for number in [hello.shards, hello.cores, hello.nodes, hello.member] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&hello.epoch.to_le_bytes());
        }
        Frame::OtherVersion(_) => unreachable!("read, never written"),
        Frame::Owns(shard) => {
            out.push(OWNS);
            out.extend_from_slice(&shard.to_le_bytes());
        }
        Frame::Released { shard, to } => {
            out.push(RELEASED);
            out.extend_from_slice(&shard.to_le_bytes());
            out.extend_from_slice(&to.to_le_bytes());
        }
        Frame::Who(shard) => {
            out.push(WHO);
            out.extend_from_slice(&shard.to_le_bytes());
        }
        Frame::Leaving => out.push(LEAVING),
        Frame::Command {
            counter,
            key,
            command,
        } => {
            out.push(COMMAND);
            out.extend_from_slice(&counter.to_le_bytes());
            out.push(u8::from(key.is_some()));
            if let Some(key) = key {
                out.extend_from_slice(&key.to_le_bytes());
            }
            wire::write_command(out, command);
        }
        Frame::Reset {
            counter,
            shard,
            scope,
        } => {
            out.push(RESET);
            out.extend_from_slice(&counter.to_le_bytes());
            out.extend_from_slice(&shard.to_le_bytes());
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
            out.extend_from_slice(&shard.to_le_bytes());
            out.extend_from_slice(&counter.to_le_bytes());
        }
        Frame::Goodbye => out.push(GOODBYE),
        Frame::Begun(shard) => {
            out.push(BEGUN);
            out.extend_from_slice(&shard.to_le_bytes());
        }
        Frame::Again(shard) => {
            out.push(AGAIN);
            out.extend_from_slice(&shard.to_le_bytes());
        }
        Frame::Query {
            number,
            shard,
            query,
        } => {
            out.push(QUERY);
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&shard.to_le_bytes());
            write_query(out, query);
        }
        Frame::Answer { number, answer } => {
            out.push(ANSWER);
            out.extend_from_slice(&number.to_le_bytes());
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
            out.extend_from_slice(&response_min_ms.to_le_bytes());
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
    out.extend_from_slice(&shard.to_le_bytes());
    out.extend_from_slice(&counter.to_le_bytes());
}

/// Puts the length of a frame that begins at `start` into its first bytes.
fn end(out: &mut [u8], start: usize) {
    let length = out.len() - start - LENGTH_BYTES;
    assert!(length <= LINK_FRAME_BYTES_MAX);
    out[start..start + LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
}

fn write_query(out: &mut Vec<u8>, query: &Query) {
    match query {
        Query::Summary(window) => {
            out.push(OF_SUMMARY);
            out.extend_from_slice(&window.from_us.to_le_bytes());
            out.extend_from_slice(&window.to_us.to_le_bytes());
        }
        Query::Outcome(id) => {
            out.push(OF_OUTCOME);
            out.extend_from_slice(&id.0.to_le_bytes());
        }
    }
}

fn write_answer(out: &mut Vec<u8>, answer: &QueryAnswer) {
    match answer {
        QueryAnswer::Summary(summary) => {
            out.push(OF_SUMMARY);
            for totals in &summary.0 {
                out.extend_from_slice(&totals.count.to_le_bytes());
                out.extend_from_slice(&totals.cents.to_le_bytes());
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
