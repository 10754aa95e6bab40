//! A Bloom filter that says whether a run may have an id, in blocks of a cache line (Putze, Sanders, Singler, "Cache-,
//! Hash- and Space-Efficient Bloom Filters"). With 16 bits for each id, one absent id in a thousand
//! is reported as present.

use crate::codec::u64s;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 64;
const BLOCK_BITS: usize = 8 * BLOCK_BYTES;
/// Ids of a block, on average.
const BLOCK_IDS: usize = 32;
/// Bits that an id sets.
const PROBES: u32 = 7;

/// A Bloom filter of payment ids, in blocks of a cache line.
pub struct Filter(Box<[[u64; BLOCK_BYTES / 8]]>);

impl Filter {
    /// How many blocks a filter for so many ids has.
    pub fn blocks(ids: usize) -> usize {
        ids.div_ceil(BLOCK_IDS)
    }

    /// An empty one for so many ids.
    pub fn new(ids: usize) -> Filter {
        Filter(vec![[0; BLOCK_BYTES / 8]; Filter::blocks(ids)].into_boxed_slice())
    }

    pub fn from_bytes(bytes: &[u8]) -> Filter {
        let blocks = bytes.chunks_exact(BLOCK_BYTES).map(|bytes| {
            let mut block = [0; BLOCK_BYTES / 8];
            for (word, field) in block.iter_mut().zip(u64s(bytes)) {
                *word = field;
            }
            block
        });
        Filter(blocks.collect())
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let words = self.0.iter().flatten();
        words.flat_map(|word| word.to_le_bytes()).collect()
    }

    fn block(&self, hash: u64) -> usize {
        (((hash >> 32) * self.0.len() as u64) >> 32) as usize
    }

    /// The words and bits of a block that an id sets.
    fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
        (0..PROBES).map(move |probe| {
            let bit = (hash >> (9 * probe)) as usize % BLOCK_BITS;
            (bit / 64, 1 << (bit % 64))
        })
    }

    /// Adds an id, by its hashes.
    pub fn add(&mut self, (place, bits): (u64, u64)) {
        let block = self.block(place);
        Filter::bits(bits).for_each(|(word, bit)| self.0[block][word] |= bit);
    }

    /// Whether an id may be there; `false`: it is not.
    pub fn may_have(&self, (place, bits): (u64, u64)) -> bool {
        let block = &self.0[self.block(place)];
        Filter::bits(bits).all(|(word, bit)| block[word] & bit != 0)
    }
}
