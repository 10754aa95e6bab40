//! What copies of a shard have in common, as a checksum.

use super::accounts::bytes_of;
use super::Shard;
use crate::limits::DIGEST_ACCOUNTS;

impl Shard {
    /// A checksum of some accounts from an index on, and of how many payments there are, and the index behind them, 0 at the
    /// end. The same for all copies that have had the same records. Between ticks.
    pub fn digest(&self, from: usize) -> (u32, usize) {
        let accounts = self.accounts().get(from..).unwrap_or_default();
        let some = &accounts[..accounts.len().min(DIGEST_ACCOUNTS)];
        let payments = self.payments();
        let [default, fallback] = payments.bound_to().map(|bound| bound as u64);
        let counts = [
            payments.open() as u64,
            payments.settled(),
            default,
            fallback,
        ];
        let checksum = counts
            .iter()
            .fold(crc32c::crc32c(bytes_of(some)), |crc, count| {
                crc32c::crc32c_append(crc, &count.to_le_bytes())
            });
        let is_end = some.len() == accounts.len();
        (checksum, if is_end { 0 } else { from + some.len() })
    }
}
