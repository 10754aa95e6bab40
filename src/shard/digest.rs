//! What copies of a shard have in common, as a checksum.

use super::accounts::bytes_of;
use super::Shard;
use crate::codec::put;
use crate::limits::DIGEST_ACCOUNTS;

impl Shard {
    /// A checksum of some accounts from an index on, and of how many payments there are, and the index behind them, 0 at the
    /// end. The same for all copies that have had the same records. Between ticks.
    pub fn digest(&self, from: usize) -> (u32, usize) {
        let accounts = self.accounts().get(from..).unwrap_or_default();
        let some = &accounts[..accounts.len().min(DIGEST_ACCOUNTS)];
        let payments = self.payments();
        let [default, fallback] = payments.bound_to().map(|bound| bound as u64);
        let mut counts = Vec::new();
        for count in [
            payments.open() as u64,
            payments.settled(),
            default,
            fallback,
        ] {
            put(&mut counts, count);
        }
        let checksum = crc32c::crc32c_append(crc32c::crc32c(bytes_of(some)), &counts);
        let next = from + some.len();
        (
            checksum,
            if next < self.accounts().len() {
                next
            } else {
                0
            },
        )
    }
}
