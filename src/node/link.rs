//! The link between two nodes: commands one way, replies the other, over a byte stream.
//!
//! A frame, little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of what follows |
//! | 1 | kind: 1 transact, 2 statement, 3 reset, 4 reply, 5 goodbye |
//! | 4 | id: chosen by who asks, repeated in the reply; 0 in a goodbye |
//! | … | transact: client u32, kind byte (`c`, `d`), amount i64, description (the rest, UTF-8) |
//! | … | statement: client u32 |
//! | … | reply: status u16, body (the rest) |
//!
//! Commands of one direction are carried out in their order, and answered in it.

use std::borrow::Cow;

use crate::api::bank::Command;
use crate::bank::{Description, Kind};
use crate::limits::LINK_FRAME_BYTES_MAX;

/// Of the protocol: nodes that speak another do not link.
pub const VERSION: u32 = 1;

const TRANSACT: u8 = 1;
const STATEMENT: u8 = 2;
const RESET: u8 = 3;
const REPLY: u8 = 4;
const GOODBYE: u8 = 5;

const LENGTH_BYTES: usize = 4;
/// Kind and id.
const HEAD_BYTES: usize = 5;

/// One frame's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Carry this out.
    Command(u32, Command<'a>),
    /// All accounts of yours back to the start.
    Reset(u32),
    /// How it went.
    Reply {
        /// The command's id.
        id: u32,
        /// An HTTP status.
        status: u16,
        /// JSON.
        body: &'a [u8],
    },
    /// No command will follow this.
    Goodbye,
}

/// The bytes are no frame: the peer speaks something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFrame;

/// Appends a frame.
pub fn write(out: &mut Vec<u8>, frame: &Frame<'_>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let mut head = |kind: u8, id: u32| {
        out.push(kind);
        out.extend_from_slice(&id.to_le_bytes());
    };
    match frame {
        Frame::Command(
            id,
            Command::Transact {
                client,
                kind,
                amount,
                description,
            },
        ) => {
            head(TRANSACT, *id);
            out.extend_from_slice(&client.to_le_bytes());
            out.push(kind.to_byte());
            out.extend_from_slice(&amount.to_le_bytes());
            out.extend_from_slice(description.as_bytes());
        }
        Frame::Command(id, Command::Statement { client }) => {
            head(STATEMENT, *id);
            out.extend_from_slice(&client.to_le_bytes());
        }
        Frame::Reset(id) => head(RESET, *id),
        Frame::Reply { id, status, body } => {
            head(REPLY, *id);
            out.extend_from_slice(&status.to_le_bytes());
            out.extend_from_slice(body);
        }
        Frame::Goodbye => head(GOODBYE, 0),
    }
    let length = out.len() - start - LENGTH_BYTES;
    assert!(length <= LINK_FRAME_BYTES_MAX);
    out[start..start + LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
}

/// Reads the frame at the front: its content and its length in all. `None`: not all there yet.
pub fn read(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, BadFrame> {
    let Some((length, rest)) = input.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length) as usize;
    if !(HEAD_BYTES..=LINK_FRAME_BYTES_MAX).contains(&length) {
        return Err(BadFrame);
    }
    let Some(content) = rest.get(..length) else {
        return Ok(None);
    };
    let frame = content_of(content).ok_or(BadFrame)?;
    Ok(Some((frame, LENGTH_BYTES + length)))
}

fn content_of(content: &[u8]) -> Option<Frame<'_>> {
    let (&kind, rest) = content.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let id = u32::from_le_bytes(*id);
    Some(match kind {
        TRANSACT => {
            let (client, rest) = rest.split_first_chunk()?;
            let (&kind, rest) = rest.split_first()?;
            let (amount, rest) = rest.split_first_chunk()?;
            let description = std::str::from_utf8(rest).ok()?;
            Description::new(description)?;
            let amount = i64::from_le_bytes(*amount);
            if amount <= 0 {
                return None;
            }
            let command = Command::Transact {
                client: u32::from_le_bytes(*client),
                kind: Kind::from_byte(kind)?,
                amount,
                description: Cow::Borrowed(description),
            };
            Frame::Command(id, command)
        }
        STATEMENT => {
            let client = u32::from_le_bytes(rest.try_into().ok()?);
            Frame::Command(id, Command::Statement { client })
        }
        RESET if rest.is_empty() => Frame::Reset(id),
        REPLY => {
            let (status, body) = rest.split_first_chunk()?;
            Frame::Reply {
                id,
                status: u16::from_le_bytes(*status),
                body,
            }
        }
        GOODBYE if rest.is_empty() => Frame::Goodbye,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame<'static>> {
        let transact = Command::Transact {
            client: 7,
            kind: Kind::Debit,
            amount: i64::MAX,
            description: "ação".into(),
        };
        vec![
            Frame::Command(1, transact),
            Frame::Command(u32::MAX, Command::Statement { client: 3 }),
            Frame::Reset(9),
            Frame::Reply {
                id: 4,
                status: 422,
                body: b"{}",
            },
            Frame::Goodbye,
        ]
    }

    #[test]
    fn frames_come_back_whole_and_wait_for_their_last_byte() {
        for frame in frames() {
            let mut bytes = Vec::new();
            write(&mut bytes, &frame);
            assert_eq!(read(&bytes), Ok(Some((frame, bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let mut good = Vec::new();
        write(&mut good, &frames()[0]);
        let unknown_kind = [&good[..4], &[99], &good[5..]].concat();
        let zero_amount = [&good[..14], &[0; 8], &good[22..]].concat();
        let too_long = [&u32::MAX.to_le_bytes()[..], &good[4..]].concat();
        let too_short = [&4u32.to_le_bytes()[..], &good[4..]].concat();
        for bytes in [unknown_kind, zero_amount, too_long, too_short] {
            assert_eq!(read(&bytes), Err(BadFrame));
        }
    }
}
