//! The link between two members: commands one way, replies the other, over a byte stream.
//!
//! A frame, little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of what follows |
//! | 1 | kind |
//! | … | content |
//!
//! | kind | content |
//! |---|---|
//! | 1 hello | magic `GALOLINK`, version u32, directory u128, shards u32, cores u32, checksum of the nodes' names u32, member u32, epoch u64 (48 bits): the first frame, either way |
//! | 2 owns | shard u32: it is served by who says so |
//! | 3 released | shard u32, member u32: it is no longer, and that member is to take it |
//! | 4 who | shard u32: say it once more if it is yours |
//! | 5 leaving | nothing: give me no shard any more |
//! | 6 transact | counter u64 (1 to 2^56 - 1, as all of them), client u32, kind byte (`c`, `d`), amount i64, 0 or 1 and then a key u128, description (the rest, UTF-8) |
//! | 7 statement | counter u64, client u32 |
//! | 8 reset | counter u64, shard u32 |
//! | 9 reply | shard u32, counter u64, status u16, body (the rest) |
//! | 10 not owner | shard u32, counter u64: nothing was done |
//! | 11 goodbye | nothing: no command will follow |
//! | 12 again | shard u32: from here on commands for it come from the oldest without an outcome, in order |
//! | 13 begun | shard u32: what came before an `again` is answered, and what follows is to what came behind it |
//!
//! Hello's layout stays in every version up to the version itself. Commands for one shard are
//! carried out in their order, and answered in it.

use std::borrow::Cow;

use crate::api::{bank, Command};
use crate::bank::{Description, Kind};
use crate::limits::LINK_FRAME_BYTES_MAX;
use crate::shard::ids::{COUNTER_MAX, EPOCH_MAX};

/// The version of the protocol that this code speaks, and the only one.
pub const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"GALOLINK";

const HELLO: u8 = 1;
const OWNS: u8 = 2;
const RELEASED: u8 = 3;
const WHO: u8 = 4;
const LEAVING: u8 = 5;
const TRANSACT: u8 = 6;
const STATEMENT: u8 = 7;
const RESET: u8 = 8;
const REPLY: u8 = 9;
const NOT_OWNER: u8 = 10;
const GOODBYE: u8 = 11;
const AGAIN: u8 = 12;
const BEGUN: u8 = 13;

const LENGTH_BYTES: usize = 4;

/// Who is at the other end, and of which cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Id of the data directory.
    pub directory: u128,
    /// Of the data directory.
    pub shards: u32,
    /// Of each node.
    pub cores: u32,
    /// CRC-32C of the nodes' names, with commas between them.
    pub nodes: u32,
    /// Who speaks.
    pub member: u32,
    /// In which life.
    pub epoch: u64,
}

/// One frame's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The first one.
    Hello(Hello),
    /// A hello in another version of the protocol.
    OtherVersion(u32),
    /// The sender serves this shard.
    Owns(u32),
    /// The sender serves it no longer.
    Released {
        /// Which.
        shard: u32,
        /// Who is to take it.
        to: u32,
    },
    /// Does the receiver serve it?
    Who(u32),
    /// The sender stops, and wants no shard.
    Leaving,
    /// Carry this out.
    Command {
        /// Counts the sender's commands for the shard.
        counter: u64,
        /// Of an `Idempotency-Key`.
        key: Option<u128>,
        /// What.
        command: Command<'a>,
    },
    /// All accounts of a shard back to the start.
    Reset {
        /// Counts the sender's commands for the shard.
        counter: u64,
        /// Which.
        shard: u32,
    },
    /// How a command went.
    Reply {
        /// The command's shard.
        shard: u32,
        /// The command's.
        counter: u64,
        /// An HTTP status.
        status: u16,
        /// JSON.
        body: &'a [u8],
    },
    /// A command came to the wrong member; nothing was done.
    NotOwner {
        /// The command's shard.
        shard: u32,
        /// The command's.
        counter: u64,
    },
    /// No command will follow this.
    Goodbye,
    /// What was sent before this for the shard, and not carried out, comes once more behind it.
    Again(u32),
    /// The answer to that, behind those to what was sent before it.
    Begun(u32),
}

/// The bytes are no frame: the peer speaks something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFrame;

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
            command: Command::Payments(_),
            ..
        } => unimplemented!(),
        Frame::Reset { counter, shard } => {
            out.push(RESET);
            out.extend_from_slice(&counter.to_le_bytes());
            out.extend_from_slice(&shard.to_le_bytes());
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
    if !(1..=LINK_FRAME_BYTES_MAX).contains(&length) {
        return Err(BadFrame);
    }
    let Some(content) = rest.get(..length) else {
        return Ok(None);
    };
    let frame = frame_of(content).ok_or(BadFrame)?;
    Ok(Some((frame, LENGTH_BYTES + length)))
}

/// What is left of a frame's content while it is read.
struct Content<'a>(&'a [u8]);

impl<'a> Content<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }

    /// Of a command.
    fn counter(&mut self) -> Option<u64> {
        self.u64()
            .filter(|counter| (1..=COUNTER_MAX).contains(counter))
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

fn frame_of(content: &[u8]) -> Option<Frame<'_>> {
    let mut content = Content(content);
    let frame = match content.u8()? {
        HELLO => {
            if &content.take()? != MAGIC {
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
        TRANSACT => {
            let counter = content.counter()?;
            let client = content.u32()?;
            let kind = Kind::from_byte(content.u8()?)?;
            let amount = content.take().map(i64::from_le_bytes)?;
            let key = match content.u8()? {
                0 => None,
                1 => Some(content.u128()?),
                _ => return None,
            };
            let description = std::str::from_utf8(content.rest()).ok()?;
            Description::new(description)?;
            if amount <= 0 {
                return None;
            }
            let command = Command::Bank(bank::Command::Transact {
                client,
                kind,
                amount,
                description: Cow::Borrowed(description),
            });
            Frame::Command {
                counter,
                key,
                command,
            }
        }
        STATEMENT => Frame::Command {
            counter: content.counter()?,
            key: None,
            command: Command::Bank(bank::Command::Statement {
                client: content.u32()?,
            }),
        },
        RESET => Frame::Reset {
            counter: content.counter()?,
            shard: content.u32()?,
        },
        REPLY => Frame::Reply {
            shard: content.u32()?,
            counter: content.counter()?,
            status: content.take().map(u16::from_le_bytes)?,
            body: content.rest(),
        },
        NOT_OWNER => Frame::NotOwner {
            shard: content.u32()?,
            counter: content.counter()?,
        },
        GOODBYE => Frame::Goodbye,
        AGAIN => Frame::Again(content.u32()?),
        BEGUN => Frame::Begun(content.u32()?),
        _ => return None,
    };
    content.0.is_empty().then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame<'static>> {
        let transact = Command::Bank(bank::Command::Transact {
            client: 7,
            kind: Kind::Debit,
            amount: i64::MAX,
            description: "ação".into(),
        });
        let command = |counter, key, command| Frame::Command {
            counter,
            key,
            command,
        };
        vec![
            command(1, None, transact.clone()),
            command(COUNTER_MAX, Some(u128::MAX - 1), transact),
            command(
                2,
                None,
                Command::Bank(bank::Command::Statement { client: 3 }),
            ),
            Frame::Reset {
                counter: 9,
                shard: 1,
            },
            Frame::Reply {
                shard: 1,
                counter: 4,
                status: 422,
                body: b"{}",
            },
            Frame::NotOwner {
                shard: 1,
                counter: 5,
            },
            Frame::Hello(Hello {
                directory: 1 << 100,
                shards: 2,
                cores: 3,
                nodes: 4,
                member: 5,
                epoch: 6,
            }),
            Frame::Owns(1023),
            Frame::Released { shard: 3, to: 2 },
            Frame::Who(0),
            Frame::Leaving,
            Frame::Goodbye,
            Frame::Again(5),
            Frame::Begun(5),
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
        let counter_zero = [&good[..5], &[0; 8], &good[13..]].concat();
        let counter_beyond = [&good[..5], &[255; 8], &good[13..]].concat();
        let unknown_kind = [&good[..4], &[99], &good[5..]].concat();
        let zero_amount = [&good[..18], &[0; 8], &good[26..]].concat();
        let too_long = [&u32::MAX.to_le_bytes()[..], &good[4..]].concat();
        let empty = [&0u32.to_le_bytes()[..], &good[4..]].concat();
        for bytes in [
            counter_zero,
            counter_beyond,
            unknown_kind,
            zero_amount,
            too_long,
            empty,
        ] {
            assert_eq!(read(&bytes), Err(BadFrame));
        }
        for frame in &frames()[2..] {
            // All but the last two kinds of content have a fixed length.
            let mut bytes = Vec::new();
            write(&mut bytes, frame);
            bytes.push(0);
            let length = (bytes.len() - LENGTH_BYTES) as u32;
            bytes[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
            let with_body = matches!(frame, Frame::Reply { .. });
            assert_eq!(read(&bytes).is_err(), !with_body, "{frame:?}");
        }
    }

    #[test]
    fn another_version_is_told_from_noise() {
        let mut bytes = Vec::new();
        write(&mut bytes, &frames()[6]);
        bytes[13..17].copy_from_slice(&77u32.to_le_bytes());
        assert_eq!(
            read(&bytes),
            Ok(Some((Frame::OtherVersion(77), bytes.len())))
        );
    }
}
