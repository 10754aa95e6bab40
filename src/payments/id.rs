//! A payment's id: a UUID (RFC 9562), whatever its version.

use std::fmt;

/// 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentId(pub u128);

impl PaymentId {
    /// Reads `8-4-4-4-12` hexadecimal digits, of either case.
    pub fn parse(text: &[u8]) -> Option<PaymentId> {
        let _ = text;
        unimplemented!()
    }

    /// As [`parse`](Self::parse) reads it, in lower case.
    pub fn text(self) -> [u8; 36] {
        unimplemented!()
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
