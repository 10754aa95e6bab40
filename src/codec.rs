//! Little-endian fields of bytes, and checksums over them: of files and links. The only place that turns numbers into
//! bytes of ours.

/// A number that is a field of its own size.
pub trait Number: Copy {
    /// Appends its bytes.
    fn append(self, out: &mut Vec<u8>);
    /// Writes its bytes to the front of these.
    fn store(self, bytes: &mut [u8]);
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Number for $number {
            #[inline]
            fn append(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn store(self, bytes: &mut [u8]) {
                bytes[..size_of::<$number>()].copy_from_slice(&self.to_le_bytes());
            }
        })*
    };
}

numbers!(u16, u32, u64, u128, i64);

impl<N: Number> Number for &N {
    #[inline]
    fn append(self, out: &mut Vec<u8>) {
        (*self).append(out);
    }

    #[inline]
    fn store(self, bytes: &mut [u8]) {
        (*self).store(bytes);
    }
}

/// Appends a field.
#[inline]
pub fn put(out: &mut Vec<u8>, number: impl Number) {
    number.append(out);
}

/// Writes a field at an offset.
#[inline]
pub fn put_at(bytes: &mut [u8], offset: usize, number: impl Number) {
    number.store(&mut bytes[offset..]);
}

/// Writes the checksum of all bytes before the last four into these.
pub fn seal(bytes: &mut [u8]) {
    let end = bytes.len() - CRC_BYTES;
    put_at(bytes, end, crc32c::crc32c(&bytes[..end]));
}

/// Whether the last four bytes are as [`seal`] has them.
pub fn is_sealed(bytes: &[u8]) -> bool {
    let end = bytes.len() - CRC_BYTES;
    crc32c::crc32c(&bytes[..end]) == u32_at(bytes, end)
}

/// Of a checksum: CRC-32C.
const CRC_BYTES: usize = 4;

/// The field of 2 bytes at an offset.
pub fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(field(bytes, offset))
}

/// The field of 4 bytes at an offset.
pub fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(field(bytes, offset))
}

/// The field of 8 bytes at an offset.
pub fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(field(bytes, offset))
}

/// The field of 16 bytes at an offset.
pub fn u128_at(bytes: &[u8], offset: usize) -> u128 {
    u128::from_le_bytes(field(bytes, offset))
}

/// All bytes as fields of 4.
pub fn u32s(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.chunks_exact(4).map(|field| u32_at(field, 0))
}

/// All bytes as fields of 8.
pub fn u64s(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).map(|field| u64_at(field, 0))
}

fn field<const BYTES: usize>(bytes: &[u8], offset: usize) -> [u8; BYTES] {
    let field = bytes[offset..offset + BYTES].try_into();
    field.expect("a slice of that length")
}

/// The fields of bytes whose length is not known, one after the other. Each is `None` when it is not all there.
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Fields of `bytes`, from the first one on.
    pub fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields(bytes)
    }

    /// Whether all bytes were taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes were not taken yet.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// The next `count` bytes; `None`: fewer are left.
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Takes all bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The next bytes, as many as the result has.
    pub fn array<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// The next byte; `None`: fewer are left.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next byte as a flag; `None`: it is neither 0 nor 1.
    pub fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// The next 2 bytes, little-endian.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next 4 bytes, little-endian.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next 8 bytes, little-endian.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next 8 bytes, little-endian, two's complement.
    pub fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// The next 16 bytes, little-endian.
    pub fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_back_from_where_they_were_put() {
        let mut appended = Vec::new();
        put(&mut appended, 0x1122_u16);
        put(&mut appended, 0x3344_5566_u32);
        put(&mut appended, -2_i64);
        put(&mut appended, u128::MAX - 1);
        assert_eq!(appended[..6], [0x22, 0x11, 0x66, 0x55, 0x44, 0x33]);
        let mut fields = Fields::new(&appended);
        assert_eq!(
            (fields.u16(), fields.u32()),
            (Some(0x1122), Some(0x3344_5566))
        );
        assert_eq!(
            (fields.i64(), fields.u128()),
            (Some(-2), Some(u128::MAX - 1))
        );
        assert!(fields.is_empty() && fields.u8().is_none());
        let mut placed = [0; 30];
        put_at(&mut placed, 0, 0x1122_u16);
        put_at(&mut placed, 2, 0x3344_5566_u32);
        put_at(&mut placed, 6, -2_i64);
        put_at(&mut placed, 14, u128::MAX - 1);
        assert_eq!(placed[..], appended[..]);
    }

    #[test]
    fn whatever_bit_of_sealed_bytes_flips_is_noticed() {
        let mut bytes = *b"what is sealed....";
        assert!(!is_sealed(&bytes));
        seal(&mut bytes);
        assert!(is_sealed(&bytes) && bytes.starts_with(b"what is sealed"));
        for bit in 0..8 * bytes.len() {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_sealed(&other), "bit {bit}");
        }
    }
}
