//! Hashes of payments' ids. Clients choose the ids, so the hash has a key that no client knows.

use siphasher::sip128::SipHasher13;

use crate::payments::PaymentId;

#[cfg(test)]
thread_local! {
    /// How many ids this thread has hashed.
    pub static HASHED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// SipHash-1-3, keyed with the directory id: what is made of it may be stored in the directory.
#[derive(Clone, Copy)]
pub struct Hasher(SipHasher13);

impl Hasher {
    /// Hashes with the directory's id as key.
    pub fn new(directory: u128) -> Hasher {
        Hasher(SipHasher13::new_with_key(&directory.to_le_bytes()))
    }

    /// Two independent 64-bit hashes of an id.
    pub fn both(&self, id: PaymentId) -> (u64, u64) {
        #[cfg(test)]
        HASHED.with(|hashed| hashed.set(hashed.get() + 1));
        self.0.hash(&id.0.to_le_bytes()).as_u64()
    }

    /// The hash that tables use: the first of [`both`](Self::both).
    pub fn hash(&self, id: PaymentId) -> u64 {
        self.both(id).0
    }
}
