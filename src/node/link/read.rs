//! From bytes to a frame; whatever this version does not write is refused.

use std::borrow::Cow;

use super::*;
use crate::api::{bank, payments};
use crate::bank::{Description, Kind};
use crate::limits::{AMOUNT_CENTS_MAX, LINK_FRAME_BYTES_MAX};
use crate::payments::Totals;
use crate::shard::ids::{COUNTER_MAX, EPOCH_MAX};
use crate::shard::payments::State;

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

    fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn id(&mut self) -> Option<PaymentId> {
        self.u128().map(PaymentId)
    }

    /// Of one payment.
    fn cents(&mut self) -> Option<u64> {
        self.u64()
            .filter(|cents| (1..=AMOUNT_CENTS_MAX).contains(cents))
    }

    fn processor(&mut self) -> Option<Processor> {
        Processor::from_number(self.u8()?)
    }

    /// As many as never overflow when all shards' are added.
    fn totals(&mut self) -> Option<Totals> {
        let (count, cents) = (self.u64()?, self.u128()?);
        let most = u128::from(count) * u128::from(AMOUNT_CENTS_MAX);
        let can_be = count <= COUNT_MAX && (u128::from(count)..=most).contains(&cents);
        can_be.then_some(Totals { count, cents })
    }

    fn payment(&mut self) -> Option<Payment> {
        Some(Payment {
            id: self.id()?,
            cents: self.cents()?,
            accepted_us: self.u64()?,
            attempts: self.take().map(u16::from_le_bytes)?,
            state: match self.u8()? {
                FREE => State::Free,
                BOUND => State::Bound {
                    to: self.processor()?,
                    requested_us: self.u64()?,
                    in_doubt: self.flag()?,
                },
                PROCESSED => State::Processed {
                    by: self.processor()?,
                    requested_us: self.u64()?,
                },
                _ => return None,
            },
        })
    }

    fn question(&mut self) -> Option<Question> {
        match self.u8()? {
            OF_SUMMARY => {
                let (from_us, to_us) = (self.u64()?, self.u64()?);
                (from_us <= to_us).then_some(Question::Summary(Window { from_us, to_us }))
            }
            OF_OUTCOME => Some(Question::Outcome(self.id()?)),
            _ => None,
        }
    }

    fn answer(&mut self) -> Option<Answer> {
        match self.u8()? {
            OF_SUMMARY => Some(Answer::Summary(Summary([self.totals()?, self.totals()?]))),
            OF_OUTCOME => Some(Answer::Outcome(match self.flag()? {
                true => Some(self.payment()?),
                false => None,
            })),
            REFUSED => Some(Answer::Refused),
            UNREADABLE => Some(Answer::Unreadable),
            _ => None,
        }
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
            let key = match content.flag()? {
                true => Some(content.u128()?),
                false => None,
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
            scope: match content.u8()? {
                0 => Scope::Everything,
                1 => Scope::Payments,
                _ => return None,
            },
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
        PAY => Frame::Command {
            counter: content.counter()?,
            key: None,
            command: Command::Payments(payments::Command::Pay {
                id: content.id()?,
                cents: content.cents()?,
            }),
        },
        SHOW => Frame::Command {
            counter: content.counter()?,
            key: None,
            command: Command::Payments(payments::Command::Show { id: content.id()? }),
        },
        ASK => Frame::Ask {
            number: content.u64()?,
            shard: content.u32()?,
            question: content.question()?,
        },
        ANSWER => Frame::Answer {
            number: content.u64()?,
            answer: content.answer()?,
        },
        HEALTH => Frame::Health {
            processor: content.processor()?,
            failing: content.flag()?,
            response_min_ms: content.u32()?,
        },
        _ => return None,
    };
    content.0.is_empty().then_some(frame)
}
