//! From a frame to its bytes.

use super::*;
use crate::api::{bank, payments};
use crate::limits::LINK_FRAME_BYTES_MAX;
use crate::shard::payments::State;

/// Appends a frame.
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
            command:
                Command::Bank(bank::Command::Transact {
                    client,
                    kind,
                    amount,
                    description,
                }),
        } => {
            out.push(TRANSACT);
            out.extend_from_slice(&counter.to_le_bytes());
            out.extend_from_slice(&client.to_le_bytes());
            out.push(kind.to_byte());
            out.extend_from_slice(&amount.to_le_bytes());
            out.push(u8::from(key.is_some()));
            if let Some(key) = key {
                out.extend_from_slice(&key.to_le_bytes());
            }
            out.extend_from_slice(description.as_bytes());
        }
        Frame::Command {
            counter,
            key: _,
            command: Command::Bank(bank::Command::Statement { client }),
        } => {
            out.push(STATEMENT);
            out.extend_from_slice(&counter.to_le_bytes());
            out.extend_from_slice(&client.to_le_bytes());
        }
        Frame::Command {
            counter,
            key: _,
            command: Command::Payments(command),
        } => {
            let pays = matches!(command, payments::Command::Pay { .. });
            out.push(if pays { PAY } else { SHOW });
            out.extend_from_slice(&counter.to_le_bytes());
            out.extend_from_slice(&command.id().0.to_le_bytes());
            if let payments::Command::Pay { cents, .. } = command {
                out.extend_from_slice(&cents.to_le_bytes());
            }
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
            status,
            body,
        } => {
            out.push(REPLY);
            out.extend_from_slice(&shard.to_le_bytes());
            out.extend_from_slice(&counter.to_le_bytes());
            out.extend_from_slice(&status.to_le_bytes());
            out.extend_from_slice(body);
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
        Frame::Ask {
            number,
            shard,
            question,
        } => {
            out.push(ASK);
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&shard.to_le_bytes());
            write_question(out, question);
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
    let length = out.len() - start - LENGTH_BYTES;
    assert!(length <= LINK_FRAME_BYTES_MAX);
    out[start..start + LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
}

fn write_question(out: &mut Vec<u8>, question: &Question) {
    match question {
        Question::Summary(window) => {
            out.push(OF_SUMMARY);
            out.extend_from_slice(&window.from_us.to_le_bytes());
            out.extend_from_slice(&window.to_us.to_le_bytes());
        }
        Question::Outcome(id) => {
            out.push(OF_OUTCOME);
            out.extend_from_slice(&id.0.to_le_bytes());
        }
    }
}

fn write_answer(out: &mut Vec<u8>, answer: &Answer) {
    match answer {
        Answer::Summary(summary) => {
            out.push(OF_SUMMARY);
            for totals in &summary.0 {
                out.extend_from_slice(&totals.count.to_le_bytes());
                out.extend_from_slice(&totals.cents.to_le_bytes());
            }
        }
        Answer::Outcome(payment) => {
            out.push(OF_OUTCOME);
            out.push(u8::from(payment.is_some()));
            if let Some(payment) = payment {
                write_payment(out, payment);
            }
        }
        Answer::Refused => out.push(REFUSED),
        Answer::Unreadable => out.push(UNREADABLE),
    }
}

fn write_payment(out: &mut Vec<u8>, payment: &Payment) {
    out.extend_from_slice(&payment.id.0.to_le_bytes());
    out.extend_from_slice(&payment.cents.to_le_bytes());
    out.extend_from_slice(&payment.accepted_us.to_le_bytes());
    out.extend_from_slice(&payment.attempts.to_le_bytes());
    match payment.state {
        State::Free => out.push(FREE),
        State::Bound {
            to,
            requested_us,
            in_doubt,
        } => {
            out.push(BOUND);
            out.push(to as u8);
            out.extend_from_slice(&requested_us.to_le_bytes());
            out.push(u8::from(in_doubt));
        }
        State::Processed { by, requested_us } => {
            out.push(PROCESSED);
            out.push(by as u8);
            out.extend_from_slice(&requested_us.to_le_bytes());
        }
    }
}
