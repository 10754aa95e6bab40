//! A payment's id: a UUID (RFC 9562), whatever its version.

use std::fmt;

/// Where a dash stands in its text.
const DASHES: [usize; 4] = [8, 13, 18, 23];

/// A payment's `correlationId`: a UUID's 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentId(pub u128);

impl PaymentId {
    /// Reads `8-4-4-4-12` hexadecimal digits, of either case.
    pub fn parse(text: &[u8]) -> Option<PaymentId> {
        let text: &[u8; 36] = text.try_into().ok()?;
        let mut bits = 0;
        for (position, &byte) in text.iter().enumerate() {
            if DASHES.contains(&position) {
                if byte != b'-' {
                    return None;
                }
            } else {
                bits = bits << 4 | u128::from((byte as char).to_digit(16)?);
            }
        }
        Some(PaymentId(bits))
    }

    /// As [`parse`](Self::parse) reads it, in lower case.
    pub fn text(self) -> [u8; 36] {
        let (mut text, mut bits) = ([b'-'; 36], self.0);
        for position in (0..36).rev().filter(|position| !DASHES.contains(position)) {
            text[position] = b"0123456789abcdef"[(bits & 0xf) as usize];
            bits >>= 4;
        }
        text
    }

    /// An id of our own making (version 8, variant 1), from bits that are different each time.
    pub const fn made_of(bits: u128) -> PaymentId {
        const VERSION: u128 = 0xf << 76;
        const VARIANT: u128 = 0b11 << 62;
        PaymentId(bits & !VERSION & !VARIANT | 0x8 << 76 | 0b10 << 62)
    }

    /// The shard of so many that it belongs to.
    pub const fn shard(self, shards: usize) -> usize {
        let mixed = (self.0 as u64 ^ (self.0 >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed >> 32) as usize) % shards
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).expect("hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_in_either_case_and_written_in_lower_case() {
        for (text, bits) in [
            ("00000000-0000-0000-0000-000000000000", 0),
            (
                "01234567-89ab-cdef-0123-456789ABCDEF",
                0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
            ),
            ("ffffffff-FFFF-ffff-FFFF-ffffffffffff", u128::MAX),
        ] {
            assert_eq!(PaymentId::parse(text.as_bytes()), Some(PaymentId(bits)));
            assert_eq!(PaymentId(bits).to_string(), text.to_ascii_lowercase());
        }
    }

    #[test]
    fn whatever_else_is_no_id() {
        const GOOD: &str = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3";
        assert!(PaymentId::parse(GOOD.as_bytes()).is_some());
        for at in 0..GOOD.len() {
            for wrong in ["g", "-", " ", "+", "0-", ""] {
                let text = [&GOOD[..at], wrong, &GOOD[at + 1..]].concat();
                if text != GOOD {
                    assert_eq!(PaymentId::parse(text.as_bytes()), None, "{text}");
                }
            }
        }
        for text in [
            "",
            "4a7901b87d264d9daa194dc1c7cf60b3",
            "{4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3}",
            "urn:uuid:4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3",
            "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60\u{663}",
        ] {
            assert_eq!(PaymentId::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_id_of_our_own_says_that_it_is() {
        assert_eq!(
            PaymentId::made_of(u128::MAX).to_string(),
            "ffffffff-ffff-8fff-bfff-ffffffffffff"
        );
        assert_eq!(
            PaymentId::made_of(0).to_string(),
            "00000000-0000-8000-8000-000000000000"
        );
    }

    #[test]
    fn ids_of_any_making_spread_over_shards() {
        for make in [
            PaymentId::made_of,                        // A counter at the end,
            |count| PaymentId(count << 64),            // or at the end of the first half,
            |count| PaymentId(count << 80 | 0x7_u128), // or as the time in version 7.
        ] {
            for shards in [2, 3, 7] {
                let mut counts = vec![0_usize; shards];
                (0..7000).for_each(|count| counts[make(count).shard(shards)] += 1);
                let mean = 7000 / shards;
                assert!(
                    counts.iter().all(|count| count.abs_diff(mean) < mean / 4),
                    "{counts:?}"
                );
            }
        }
    }
}
