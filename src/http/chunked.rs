//! The chunked transfer coding (RFC 9112, section 7.1), as a machine over bytes.
//!
//! ```text
//! size [ ";" extension ] CRLF  data CRLF   (repeated)
//! 0 [ ";" extension ] CRLF
//! name ":" value CRLF                      (trailers, repeated)
//! CRLF
//! ```
//!
//! Extensions and trailers are checked for their characters, bounded, and dropped.

use super::head::{is_token_byte, is_value_byte};
use super::response::Status;
use crate::limits::{
    BODY_BYTES_MAX, BODY_ENCODED_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, CHUNK_SIZE_LINE_BYTES_MAX,
    HEADERS_MAX, TRAILER_BYTES_MAX,
};

/// The part of the coding that the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Size,
    /// Blanks after a size; an extension must follow.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a trailer, or of the empty line that ends the body.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

/// Where decoding stands. Holds no data, so that waiting for a body costs no memory beside the input.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoder {
    phase: Phase,
    digits: u8,
    trailers: u8,
    /// Bytes of the encoded body that were taken.
    position: u32,
    /// Bytes of the present size line, or of the trailers.
    section: u16,
    /// The present chunk's size, then what is left of it.
    chunk: u64,
    /// Bytes in all chunks so far.
    decoded: u32,
}

const _: () = {
    assert!(HEADERS_MAX < u8::MAX as usize);
    assert!(CHUNK_SIZE_LINE_BYTES_MAX < u16::MAX as usize);
    assert!(TRAILER_BYTES_MAX < u16::MAX as usize);
    assert!(BODY_ENCODED_BYTES_MAX <= u32::MAX as usize);
};

impl Decoder {
    /// Bytes in the chunks that have begun.
    pub fn decoded(&self) -> usize {
        self.decoded as usize
    }

    /// Goes on where it stood. `encoded` is all that was received of the body, from its first byte;
    /// `data` is given the contents of chunks as they are passed. Returns the length of the encoded
    /// body once its end is there.
    ///
    /// # Errors
    /// 400 at the first byte that is out of place; 413 when a chunk would bring the body over its
    /// bound, or when the encoded body has not ended at its own; 431 for trailers out of bounds.
    pub fn advance(
        &mut self,
        encoded: &[u8],
        mut data: impl FnMut(&[u8]),
    ) -> Result<Option<usize>, Status> {
        let window = &encoded[..encoded.len().min(BODY_ENCODED_BYTES_MAX)];
        while self.phase != Phase::End {
            let Some(&byte) = window.get(self.position as usize) else {
                return if window.len() == BODY_ENCODED_BYTES_MAX {
                    Err(Status::BodyTooLarge)
                } else {
                    Ok(None)
                };
            };
            if self.phase == Phase::Data {
                let rest = &window[self.position as usize..];
                // The chunk's size was checked against BODY_BYTES_MAX.
                let taken = rest.len().min(self.chunk as usize);
                data(&rest[..taken]);
                self.position += taken as u32;
                self.chunk -= taken as u64;
                if self.chunk == 0 {
                    self.phase = Phase::DataCr;
                }
            } else {
                self.step(byte)?;
                self.position += 1;
            }
        }
        Ok(Some(self.position as usize))
    }

    fn step(&mut self, byte: u8) -> Result<(), Status> {
        self.section += 1;
        self.check_section()?;
        self.phase = match (self.phase, byte) {
            (Phase::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.digits += 1;
                if self.digits > CHUNK_SIZE_DIGITS_MAX {
                    return Err(Status::BadRequest);
                }
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                self.chunk = self.chunk << 4 | u64::from(digit);
                Phase::Size
            }
            (Phase::Size, _) if self.digits == 0 => return Err(Status::BadRequest),
            (Phase::Size | Phase::Extension, b'\r') => Phase::SizeLf,
            (Phase::Size | Phase::Blank, b' ' | b'\t') => Phase::Blank,
            (Phase::Size | Phase::Blank, b';') => Phase::Extension,
            (Phase::Extension, _) if is_value_byte(byte) => Phase::Extension,
            (Phase::SizeLf, b'\n') => self.begin_chunk()?,
            (Phase::DataCr, b'\r') => Phase::DataLf,
            (Phase::DataLf, b'\n') => {
                (self.digits, self.section) = (0, 0);
                Phase::Size
            }
            (Phase::TrailerStart, b'\r') => Phase::EndLf,
            (Phase::TrailerStart, _) if is_token_byte(byte) => {
                self.trailers += 1;
                if usize::from(self.trailers) > HEADERS_MAX {
                    return Err(Status::HeadTooLarge);
                }
                Phase::TrailerName
            }
            (Phase::TrailerName, b':') => Phase::TrailerValue,
            (Phase::TrailerName, _) if is_token_byte(byte) => Phase::TrailerName,
            (Phase::TrailerValue, b'\r') => Phase::TrailerLf,
            (Phase::TrailerValue, _) if is_value_byte(byte) => Phase::TrailerValue,
            (Phase::TrailerLf, b'\n') => Phase::TrailerStart,
            (Phase::EndLf, b'\n') => Phase::End,
            _ => return Err(Status::BadRequest),
        };
        Ok(())
    }

    /// Reads a complete size line, and begins its chunk.
    fn begin_chunk(&mut self) -> Result<Phase, Status> {
        self.section = 0;
        if self.chunk == 0 {
            return Ok(Phase::TrailerStart);
        }
        if self.chunk > BODY_BYTES_MAX as u64 - u64::from(self.decoded) {
            return Err(Status::BodyTooLarge);
        }
        self.decoded += self.chunk as u32;
        Ok(Phase::Data)
    }

    /// The present size line, or the trailers, including the byte that is about to be taken.
    fn check_section(&self) -> Result<(), Status> {
        match self.phase {
            Phase::Size | Phase::Blank | Phase::Extension | Phase::SizeLf
                if usize::from(self.section) > CHUNK_SIZE_LINE_BYTES_MAX =>
            {
                Err(Status::BadRequest)
            }
            Phase::TrailerStart
            | Phase::TrailerName
            | Phase::TrailerValue
            | Phase::TrailerLf
            | Phase::EndLf
                if usize::from(self.section) > TRAILER_BYTES_MAX =>
            {
                Err(Status::HeadTooLarge)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
