//! Little-endian fields of bytes whose length is known: of files and links.

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
