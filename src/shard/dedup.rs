//! The dedup table of a shard: the outcomes of earlier commands, so that a repeated command gets the first
//! outcome again and changes nothing.
//!
//! A command is recognised by its forward id ([`senders`]), by its `Idempotency-Key` ([`keys`]), or by
//! both. Like an account, the table changes at once and is final when the tick's batch is in the
//! journal; entries expire at that point, too. Every entry is in a record of the journal, and a snapshot
//! has the table behind the accounts:
//!
//! - for each member whose commands are remembered, its window ([`senders`]);
//! - the keys ([`keys`]), oldest first.
//!
//! A snapshot is copied in slices while commands go on, so its table is fuzzy, as its accounts are: each
//! window names the last record that it includes, and the header names the last record that the keys
//! include. Replay therefore remembers exactly what the snapshot lacks.

mod keys;
mod senders;

use siphasher::sip::SipHasher24;

use crate::bank::{Order, Posted, Refusal};
use crate::codec::put_at;
use crate::command::{ForwardId, Ids};
use keys::{Key, Keys};
use senders::SenderWindows;

/// The outcome of a transaction as the table keeps it: the balance afterwards, in cents, or the refusal.
pub type Remembered = Result<i64, Refusal>;

/// An outcome as it is stored: 0 or the refusal's number, and the balance (0 when refused).
pub(super) fn to_stored(outcome: Remembered) -> (u8, i64) {
    match outcome {
        Ok(balance) => (0, balance),
        Err(refusal) => (refusal.to_byte(), 0),
    }
}

/// The inverse of [`to_stored`]; `None` for a pair that it does not write.
fn from_stored(code: u8, balance: i64) -> Option<Remembered> {
    match code {
        0 => Some(Ok(balance)),
        _ if balance == 0 => Refusal::from_byte(code).map(Err),
        _ => None,
    }
}

/// What the dedup table says of a command before the shard carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupResult {
    /// Not in the table: the command is to be carried out.
    New,
    /// Carried out before, with this outcome.
    Repeated(Result<Posted, Refusal>),
    /// Its `Idempotency-Key` came with another request before.
    OtherRequest,
}

/// Earlier commands of a shard and their outcomes: see the top of this file.
#[derive(Debug)]
pub struct DedupTable {
    /// The directory's id, the key of the fingerprints.
    directory: u128,
    senders: SenderWindows,
    keys: Keys,
}

/// How much of a dedup table a snapshot has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DedupCounts {
    /// Sender windows that were copied.
    pub windows: u32,
    /// Outcomes in all windows together.
    pub forwarded: u64,
    /// Keys that were copied.
    pub keys: u32,
    /// So many of the oldest were forgotten while the later ones were copied.
    pub keys_gone: u32,
    /// The last record that the keys are of.
    pub keys_through: u64,
}

impl DedupCounts {
    /// What they take in a file; `None`: more than there can be.
    pub fn bytes(&self) -> Option<u64> {
        let heads = u64::from(self.windows) * senders::HEAD_BYTES as u64;
        let keys = u64::from(self.keys) * keys::KEY_BYTES as u64;
        let forwarded = self.forwarded.checked_mul(senders::ENTRY_BYTES as u64)?;
        forwarded.checked_add(heads)?.checked_add(keys)
    }
}

/// A dedup table being copied out.
#[derive(Debug, Default)]
pub struct DedupCopy {
    counts: DedupCounts,
    /// `None`: windows are still to come.
    keys: Option<keys::KeysCopy>,
}

impl DedupTable {
    /// None yet; nothing is allocated before the first. `directory` is the directory's id.
    pub fn new(directory: u128) -> DedupTable {
        DedupTable {
            directory,
            senders: SenderWindows::default(),
            keys: Keys::default(),
        }
    }

    /// Looks a command up, at a time in microseconds since 1970; `limit` is its account's.
    pub fn recognise(&self, ids: &Ids, order: &Order<'_>, limit: i64, time_us: u64) -> DedupResult {
        let repeated = |outcome: Remembered| {
            DedupResult::Repeated(outcome.map(|balance| Posted { limit, balance }))
        };
        if let Some(outcome) = ids.forward.and_then(|id| self.senders.find(&id)) {
            return repeated(outcome);
        }
        match ids.key.and_then(|key| self.keys.find(key, time_us)) {
            None => DedupResult::New,
            Some(known) if known.fingerprint == self.fingerprint(order) => repeated(known.outcome),
            Some(_) => DedupResult::OtherRequest,
        }
    }

    /// Whether what is known of a command is of a tick that is over: in the journal, and not to be taken
    /// back.
    pub fn is_settled(&self, ids: &Ids, time_us: u64) -> bool {
        let forward = ids.forward.as_ref();
        forward.is_some_and(|id| self.senders.is_settled(id))
            || ids
                .key
                .is_some_and(|key| self.keys.is_settled(key, time_us))
    }

    /// Remembers what came of a command that [`recognise`](Self::recognise) does not know, at the time of
    /// its record; times never go back. `Err`: it does know it.
    pub fn remember(
        &mut self,
        ids: &Ids,
        order: &Order<'_>,
        outcome: Remembered,
        time_us: u64,
    ) -> Result<(), &'static str> {
        if let Some(forward) = &ids.forward {
            self.senders.remember(forward, outcome)?;
        }
        let Some(key) = ids.key else { return Ok(()) };
        self.keys.remember(Key {
            key,
            fingerprint: self.fingerprint(order),
            outcome,
            time_s: keys::seconds(time_us),
        })
    }

    /// Remembers a reset or a purge, whose outcome is only that it is done.
    pub fn remember_forgotten(&mut self, id: &ForwardId) -> Result<(), &'static str> {
        self.senders.remember(id, Ok(0))
    }

    /// Whether a reset or a purge with this id is in the table.
    pub fn has_forgotten(&self, id: &ForwardId) -> bool {
        self.senders.find(id).is_some()
    }

    /// [`remember_forgotten`](Self::remember_forgotten) for a record of the journal.
    pub fn replay_forgotten(
        &mut self,
        id: &ForwardId,
        (sequence, time_us): (u64, u64),
    ) -> Result<(), &'static str> {
        if self.senders.lack(id, sequence) {
            self.remember_forgotten(id)?;
        }
        self.written(time_us);
        Ok(())
    }

    /// The same as [`remember`](Self::remember) for a record of the journal, of which the snapshot may have a
    /// part already.
    pub fn replay(
        &mut self,
        ids: &Ids,
        order: &Order<'_>,
        outcome: Remembered,
        (sequence, time_us): (u64, u64),
    ) -> Result<(), &'static str> {
        let lacking = Ids {
            forward: ids.forward.filter(|id| self.senders.lack(id, sequence)),
            key: ids.key.filter(|_| self.keys.lack(sequence)),
        };
        self.remember(&lacking, order, outcome, time_us)?;
        self.written(time_us);
        Ok(())
    }

    /// Whether it remembers neither a forwarded command nor a key.
    pub fn is_empty(&self) -> bool {
        self.senders.is_empty() && self.keys.is_empty()
    }

    /// Whether it remembers a key, alive or expired.
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Keys from before the tick do not age by so much of the time that has gone by. Microseconds.
    pub fn spare(&mut self, gap_us: u64) {
        self.keys.spare(gap_us);
    }

    /// [`spare`](Self::spare) for a record of the journal.
    pub fn replay_gap(&mut self, gap_us: u64, sequence: u64, time_us: u64) {
        if gap_us > 0 && self.keys.lack(sequence) {
            self.keys.spare(gap_us);
        }
        self.written(time_us);
    }

    /// What the tick brought is in the journal, which ends at this time: what need not be remembered
    /// any more is forgotten.
    pub fn written(&mut self, time_us: u64) {
        self.senders.written();
        self.keys.written(time_us);
    }

    /// What the tick brought is not in the journal: as if it had not been.
    pub fn refused(&mut self) {
        self.senders.refused();
        self.keys.refused();
    }

    /// By what a request with a key is told from another one.
    fn fingerprint(&self, order: &Order<'_>) -> u64 {
        let text = order.description.as_str().as_bytes();
        let mut bytes = [0; 4 + 1 + 8 + crate::limits::DESCRIPTION_BYTES_MAX];
        put_at(&mut bytes, 0, order.client);
        bytes[4] = order.kind.to_byte();
        put_at(&mut bytes, 5, order.amount);
        bytes[13..13 + text.len()].copy_from_slice(text);
        SipHasher24::new_with_key(&self.directory.to_le_bytes()).hash(&bytes[..13 + text.len()])
    }

    /// The next ones, as they are in the file: at most SNAPSHOT_SLICE_BYTES; `None`: that was all.
    /// Between ticks; `sequence` is the last record.
    pub fn slice(&self, copying: &mut DedupCopy, sequence: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let DedupCopy { counts, keys } = copying;
        if keys.is_none() {
            self.senders.slice(counts, sequence, &mut bytes);
            if bytes.is_empty() {
                counts.keys_through = sequence;
            }
        }
        if bytes.is_empty() {
            let keys = keys.get_or_insert_with(|| self.keys.copy());
            self.keys.slice(keys, &mut bytes);
            counts.keys += (bytes.len() / keys::KEY_BYTES) as u32;
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    /// After the last slice: how much was copied. Between ticks.
    pub fn copied(&self, copying: &DedupCopy) -> DedupCounts {
        let keys = copying.keys.as_ref().expect("all was copied");
        DedupCounts {
            keys_gone: copying.counts.keys - self.keys.left(keys),
            ..copying.counts
        }
    }

    /// Reads what was copied: all of `bytes`, which are as many as the counts say. `Err`: where, and
    /// what is wrong there. `from` and `end` are the snapshot's.
    pub fn read(
        directory: u128,
        bytes: &[u8],
        counts: &DedupCounts,
        (from, end): (u64, u64),
    ) -> Result<DedupTable, (usize, &'static str)> {
        debug_assert_eq!(counts.bytes(), Some(bytes.len() as u64));
        let moments = from.saturating_sub(1)..=end;
        let (windows, keys) = bytes.split_at(bytes.len() - counts.keys as usize * keys::KEY_BYTES);
        if !moments.contains(&counts.keys_through) {
            return Err((windows.len(), "the keys are of another time"));
        }
        let senders = SenderWindows::read(windows, counts, &moments)?;
        let keys = Keys::read(keys, counts).map_err(|(at, reason)| (windows.len() + at, reason))?;
        Ok(DedupTable {
            directory,
            senders,
            keys,
        })
    }

    /// Bytes that are allocated, used or not.
    #[cfg(test)]
    pub fn allocated_bytes(&self) -> usize {
        self.senders.allocated_bytes() + self.keys.allocated_bytes()
    }
}
