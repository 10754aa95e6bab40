//! The accounts of a shard, worked on in place in a snapshot's private mapping.

use std::ops::{Deref, DerefMut};

use super::mapping::Mapping;
use super::snapshot::HEADER_BYTES;
use crate::bank::Account;

/// Accounts sorted by client, at offset 4096 of a mapping: a slice.
#[derive(Debug)]
pub struct Accounts {
    mapping: Mapping,
    count: usize,
    first: u32,
    /// Difference between the ids of neighbours, when `dense`.
    stride: u32,
    /// Every client from the first to the last, `stride` apart, has an account here.
    dense: bool,
}

impl Accounts {
    /// Takes over a snapshot that was checked: one header page, then whole accounts sorted by client.
    /// Clients are spread over `shards` by remainder.
    pub fn new(mapping: Mapping, shards: u32) -> Accounts {
        assert!(shards > 0 && mapping.len() >= HEADER_BYTES);
        assert!((mapping.len() - HEADER_BYTES).is_multiple_of(size_of::<Account>()));
        let mut accounts = Accounts {
            count: (mapping.len() - HEADER_BYTES) / size_of::<Account>(),
            mapping,
            first: 0,
            stride: shards,
            dense: false,
        };
        if let [first, .., last] | [first @ last] = &accounts[..] {
            let (first, last) = (first.id(), last.id());
            debug_assert!(first <= last);
            accounts.first = first;
            accounts.dense = u64::from(last.wrapping_sub(first))
                == (accounts.count as u64 - 1) * u64::from(shards);
        }
        accounts
    }

    /// Gives back the mapping, with every change that was made to the accounts.
    pub fn into_mapping(self) -> Mapping {
        self.mapping
    }

    /// Index of a client's account.
    pub fn find(&self, client: u32) -> Option<usize> {
        // Accounts that are there in full are found without touching another account.
        let distance = client.checked_sub(self.first)?;
        let guess = (distance / self.stride) as usize;
        if self
            .get(guess)
            .is_some_and(|account| account.id() == client)
        {
            return Some(guess);
        }
        if self.dense {
            return None;
        }
        self.binary_search_by_key(&client, Account::id).ok()
    }
}

impl Deref for Accounts {
    type Target = [Account];

    fn deref(&self) -> &[Account] {
        let bytes = &self.mapping[HEADER_BYTES..];
        let pointer = bytes.as_ptr().cast::<Account>();
        debug_assert!(pointer.is_aligned() && bytes.len() == self.count * size_of::<Account>());
        // SAFETY: `new` made sure that `bytes` are `count` accounts; an Account is `Portable`: plain
        // little-endian integers, every bit pattern of which is valid; a mapping begins on a page, so
        // 4096 further on any Account is aligned; the slice borrows the mapping.
        unsafe { std::slice::from_raw_parts(pointer, self.count) }
    }
}

impl DerefMut for Accounts {
    fn deref_mut(&mut self) -> &mut [Account] {
        let bytes = &mut self.mapping[HEADER_BYTES..];
        let pointer = bytes.as_mut_ptr().cast::<Account>();
        debug_assert!(pointer.is_aligned() && bytes.len() == self.count * size_of::<Account>());
        // SAFETY: as in `deref`, and the mapping is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(pointer, self.count) }
    }
}

/// Accounts as they are in a file.
pub fn bytes_of(accounts: &[Account]) -> &[u8] {
    // SAFETY: an Account is `Portable` and `repr(C)` without padding (its fields add up to its size),
    // so all of its bytes are initialised; u8 needs no alignment; the slice borrows the accounts.
    unsafe { std::slice::from_raw_parts(accounts.as_ptr().cast(), size_of_val(accounts)) }
}
