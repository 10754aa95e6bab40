//! From bytes to a frame; whatever this version does not write is refused.

use super::*;
use crate::codec::Fields;
use crate::command::ids::{COUNTER_MAX, EPOCH_MAX};
use crate::command::wire;
use crate::limits::{AMOUNT_CENTS_MAX, LINK_FRAME_BYTES_MAX};
use crate::payments::Totals;

/// Payments of one shard: nobody will ever count to it.
const COUNT_MAX: u64 = (1 << 48) - 1;

/// Reads the frame at the front: its content and its length in all. `None`: not all there yet.
pub fn read(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, BadFrame> {
    let Some((length, rest)) = input.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length) as usize;
    if !(1..=LINK_FRAME_BYTES_MAX).contains(&length) {
        return Err(BadFrame);
    }
    let Some(content) = rest.get(..length) else {
        return Ok(None);
    };
    let frame = frame_of(content).ok_or(BadFrame)?;
    Ok(Some((frame, LENGTH_BYTES + length)))
}

/// As many as never overflow when all shards' are added.
fn totals(content: &mut Fields<'_>) -> Option<Totals> {
    let (count, cents) = (content.u64()?, content.u128()?);
    let most = u128::from(count) * u128::from(AMOUNT_CENTS_MAX);
    let can_be = count <= COUNT_MAX && (u128::from(count)..=most).contains(&cents);
    can_be.then_some(Totals { count, cents })
}

fn query(content: &mut Fields<'_>) -> Option<Query> {
    match content.u8()? {
        OF_SUMMARY => {
            let (from_us, to_us) = (content.u64()?, content.u64()?);
            (from_us <= to_us).then_some(Query::Summary(Window { from_us, to_us }))
        }
        OF_OUTCOME => Some(Query::Outcome(wire::read_id(content)?)),
        _ => None,
    }
}

fn answer(content: &mut Fields<'_>) -> Option<QueryAnswer> {
    match content.u8()? {
        OF_SUMMARY => Some(QueryAnswer::Summary(Summary([
            totals(content)?,
            totals(content)?,
        ]))),
        OF_OUTCOME => Some(QueryAnswer::Outcome(match content.flag()? {
            true => Some(wire::read_payment(content)?),
            false => None,
        })),
        REFUSED => Some(QueryAnswer::Refused),
        UNREADABLE => Some(QueryAnswer::Unreadable),
        _ => None,
    }
}

fn counter(content: &mut Fields<'_>) -> Option<u64> {
    let counter = content.u64();
    counter.filter(|counter| (1..=COUNTER_MAX).contains(counter))
}

fn frame_of(content: &[u8]) -> Option<Frame<'_>> {
    let content = &mut Fields::new(content);
    let frame = match content.u8()? {
        HELLO => {
            if &content.array()? != MAGIC {
                return None;
            }
            match content.u32()? {
                VERSION => {}
                version => return Some(Frame::OtherVersion(version)),
            }
            Frame::Hello(Hello {
                directory: content.u128()?,
                shards: content.u32()?,
                cores: content.u32()?,
                nodes: content.u32()?,
                member: content.u32()?,
                epoch: content.u64().filter(|epoch| *epoch <= EPOCH_MAX)?,
            })
        }
        OWNS => Frame::Owns(content.u32()?),
        RELEASED => Frame::Released {
            shard: content.u32()?,
            to: content.u32()?,
        },
        WHO => Frame::Who(content.u32()?),
        LEAVING => Frame::Leaving,
        TAKING => Frame::Taking,
        COMMAND => Frame::Command {
            counter: counter(content)?,
            key: match content.flag()? {
                true => Some(content.u128()?),
                false => None,
            },
            command: wire::read_command(content)?,
        },
        RESET => Frame::Reset {
            counter: counter(content)?,
            shard: content.u32()?,
            scope: wire::read_scope(content)?,
        },
        REPLY => Frame::Reply {
            shard: content.u32()?,
            counter: counter(content)?,
            outcome: wire::read_outcome(content)?,
        },
        NOT_OWNER => Frame::NotOwner {
            shard: content.u32()?,
            counter: counter(content)?,
        },
        GOODBYE => Frame::Goodbye,
        AGAIN => Frame::Again(content.u32()?),
        BEGUN => Frame::Begun(content.u32()?),
        QUERY => Frame::Query {
            number: content.u64()?,
            shard: content.u32()?,
            query: query(content)?,
        },
        ANSWER => Frame::Answer {
            number: content.u64()?,
            answer: answer(content)?,
        },
        HEALTH => Frame::Health {
            processor: wire::read_processor(content)?,
            failing: content.flag()?,
            response_min_ms: content.u32()?,
        },
        _ => return None,
    };
    content.is_empty().then_some(frame)
}
