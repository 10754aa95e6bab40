//! A shard in memory: the accounts, and what the present tick did to them. No I/O.
//!
//! Within a tick, transactions change the accounts at once and append their records to the batch.
//! At its end the batch is written, and [`Shard::written`] makes the changes final; or the write
//! was refused, and [`Shard::refused`] takes everything back, so that what a client is told and what the
//! journal says never differ.

use super::accounts::Accounts;
use super::journal::{self, Stamp, RECORD_BYTES_MIN};
use super::mapping::Mapping;
use super::snapshot::{Header, Position};
use super::Identity;
use crate::bank::{Account, Before, Description, Kind, Posted, Refusal, Transaction};
use crate::limits::{JOURNAL_BATCH_BYTES_MAX, RECORD_BYTES_MAX, SNAPSHOT_SLICE_BYTES};

const SLICE_ACCOUNTS: usize = SNAPSHOT_SLICE_BYTES / size_of::<Account>();
const _: () = assert!(SLICE_ACCOUNTS > 0);

/// The end of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The last record, 0 for none.
    pub sequence: u64,
    /// Its checksum; without a record, the seed.
    pub chain: u32,
    /// The latest time handed out, microseconds since 1970.
    pub time_us: u64,
}

struct Undo {
    index: u32,
    before: Before,
}

/// A snapshot being copied out.
struct Copying {
    /// The next account.
    next: usize,
    /// Where the journal stood when it began.
    began: Tip,
}

/// See the top of this file.
pub struct Shard {
    identity: Identity,
    seed: u32,
    accounts: Accounts,
    tip: Tip,
    synced: u64,
    batch: Vec<u8>,
    /// The tip before the batch.
    batch_tip: Tip,
    /// What the batch's transactions overwrote, oldest first.
    undo: Vec<Undo>,
    /// Sequence of a reset in the batch; always its last record.
    reset: Option<u64>,
    copying: Option<Copying>,
}

impl Shard {
    /// A shard over the accounts of a snapshot. `synced`: the last record known to be durable.
    pub(super) fn new(identity: Identity, mapping: Mapping, tip: Tip, synced: u64) -> Shard {
        debug_assert!(synced <= tip.sequence);
        Shard {
            identity,
            seed: journal::seed(&identity),
            accounts: Accounts::new(mapping, identity.shards),
            tip,
            synced,
            batch: Vec::new(),
            batch_tip: tip,
            undo: Vec::new(),
            reset: None,
            copying: None,
        }
    }

    /// Which shard of which directory this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where a client's account is; `None`: no such client in this shard. Good for as long as the
    /// shard lives.
    pub fn find(&self, client: u32) -> Option<usize> {
        self.accounts.find(client)
    }

    /// An account, by what [`find`](Self::find) said.
    pub fn account(&self, index: usize) -> &Account {
        &self.accounts[index]
    }

    /// All accounts, by client.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The statement time for `realtime_us` (microseconds since 1970): never earlier than one given
    /// to a transaction before, whatever the clock does.
    pub fn time_us(&self, realtime_us: u64) -> u64 {
        realtime_us.max(self.tip.time_us)
    }

    /// Whether the tick may journal more here. If not, ask again in the next tick: the batch is
    /// full, or a reset waits for the batch to be written.
    pub fn accepts(&self) -> bool {
        self.reset.is_none() && self.batch.len() + RECORD_BYTES_MAX <= JOURNAL_BATCH_BYTES_MAX
    }

    /// Carries out a transaction, in memory and in the tick's batch; `amount` in cents, positive.
    /// Only while [`accepts`](Self::accepts). On a refusal nothing changed.
    pub fn transact(
        &mut self,
        index: usize,
        kind: Kind,
        amount: i64,
        description: Description<'_>,
        realtime_us: u64,
    ) -> Result<Posted, Refusal> {
        debug_assert!(self.accepts());
        let balance = self.accounts[index].check(kind, amount)?;
        let stamp = self.stamp(realtime_us);
        let account = &mut self.accounts[index];
        self.undo.push(Undo {
            index: index as u32,
            before: account.before(),
        });
        let transaction = Transaction::new(kind, amount, description, stamp.time_us);
        let posted = account.post(&transaction, balance, stamp.sequence);
        let client = account.id();
        let crc = journal::append_transaction(
            &mut self.batch,
            self.seed,
            &stamp,
            client,
            kind,
            amount,
            description,
        );
        self.advance(&stamp, crc);
        Ok(posted)
    }

    /// Puts a reset of all accounts into the batch; [`written`](Self::written) carries it out. Only
    /// while [`accepts`](Self::accepts).
    pub fn reset(&mut self, realtime_us: u64) {
        debug_assert!(self.accepts());
        let stamp = self.stamp(realtime_us);
        let crc = journal::append_reset(&mut self.batch, self.seed, &stamp);
        self.advance(&stamp, crc);
        self.reset = Some(stamp.sequence);
    }

    fn stamp(&self, realtime_us: u64) -> Stamp {
        let sequence = self.tip.sequence + 1;
        Stamp {
            chain: self.tip.chain,
            unsynced: u32::try_from(sequence - self.synced).unwrap_or(u32::MAX),
            sequence,
            time_us: self.time_us(realtime_us),
        }
    }

    fn advance(&mut self, stamp: &Stamp, crc: u32) {
        self.tip = Tip {
            sequence: stamp.sequence,
            chain: crc,
            time_us: stamp.time_us,
        };
    }

    /// The records of this tick, to be written in one piece; empty: nothing to write.
    pub fn batch(&self) -> &[u8] {
        &self.batch
    }

    /// Sequence of the batch's first record, if it has one.
    pub fn batch_first(&self) -> u64 {
        self.batch_tip.sequence + 1
    }

    /// The batch is in the journal: it stays.
    pub fn written(&mut self) {
        if let Some(sequence) = self.reset.take() {
            for account in self.accounts.iter_mut() {
                account.reset(sequence);
            }
        }
        self.batch_done();
    }

    /// Nothing of the batch is in the journal: as if the tick had not been.
    pub fn refused(&mut self) {
        self.reset = None;
        for undo in self.undo.iter().rev() {
            self.accounts[undo.index as usize].restore(&undo.before);
        }
        self.tip = self.batch_tip;
        self.batch_done();
    }

    fn batch_done(&mut self) {
        debug_assert!(
            self.batch.len() % 8 == 0 && self.batch.len() >= RECORD_BYTES_MIN * self.undo.len()
        );
        self.batch.clear();
        self.undo.clear();
        self.batch_tip = self.tip;
    }

    /// The last record, 0 for none; the batch's included.
    pub fn sequence(&self) -> u64 {
        self.tip.sequence
    }

    /// The end of the journal, the batch included.
    pub fn tip(&self) -> Tip {
        self.tip
    }

    /// Records up to `sequence` are durable.
    pub fn synced(&mut self, sequence: u64) {
        debug_assert!(sequence <= self.batch_tip.sequence, "written before synced");
        self.synced = self.synced.max(sequence);
    }

    /// The last record known to be durable, 0 for none.
    pub fn synced_sequence(&self) -> u64 {
        self.synced
    }

    // ---- A snapshot, copied out in slices between ticks ----------------------

    /// Begins to copy out. Between ticks (the batch empty), and not while another copy is going on.
    pub fn snapshot_begin(&mut self) {
        assert!(self.batch.is_empty() && self.copying.is_none());
        self.copying = Some(Copying {
            next: 0,
            began: self.tip,
        });
    }

    /// The next accounts, as they are in the file: at most SNAPSHOT_SLICE_BYTES, whole accounts;
    /// `None`: that was all. Between ticks: what is not yet written must not be copied.
    pub fn snapshot_slice(&mut self) -> Option<Vec<u8>> {
        assert!(self.batch.is_empty());
        let copying = self.copying.as_mut().expect("begun");
        let from = copying.next;
        copying.next = self.accounts.len().min(from + SLICE_ACCOUNTS);
        let accounts = &self.accounts[from..copying.next];
        (!accounts.is_empty()).then(|| super::accounts::bytes_of(accounts).to_vec())
    }

    /// Ends copying, after the last slice: the header for accounts with this checksum. The snapshot
    /// may get its name once the journal is durable up to the header's end sequence.
    pub fn snapshot_header(&mut self, body_crc: u32) -> Header {
        assert!(self.batch.is_empty());
        let copying = self.copying.take().expect("begun");
        assert_eq!(copying.next, self.accounts.len());
        let position = Position {
            from: copying.began.sequence + 1,
            end: self.tip.sequence,
            chain: copying.began.chain,
            time_us: self.tip.time_us,
        };
        Header::new(&self.identity, &position, self.accounts.len(), body_crc)
    }

    /// Gives up copying.
    pub fn snapshot_abandon(&mut self) {
        self.copying = None;
    }

    /// Applies a record of the journal that an account may already have; `Err` says why it cannot be
    /// what happened.
    pub(super) fn replay(&mut self, record: &journal::Record<'_>) -> Result<(), &'static str> {
        let sequence = record.stamp.sequence;
        match record.event {
            journal::Event::Transaction {
                account: client,
                kind,
                amount,
                description,
            } => {
                let index = self.find(client).ok_or("there is no such account")?;
                let account = &mut self.accounts[index];
                if account.sequence() < sequence {
                    let balance = account
                        .check(kind, amount)
                        .map_err(|_| "it would take the balance out of its bounds")?;
                    let transaction =
                        Transaction::new(kind, amount, description, record.stamp.time_us);
                    account.post(&transaction, balance, sequence);
                }
            }
            journal::Event::Reset => {
                for account in self.accounts.iter_mut() {
                    if account.sequence() < sequence {
                        account.reset(sequence);
                    }
                }
            }
            journal::Event::Unknown(reason) => return Err(reason),
        }
        Ok(())
    }

    /// After replaying: where the journal ends.
    pub(super) fn resume(&mut self, tip: Tip, synced: u64) {
        debug_assert!(self.batch.is_empty() && synced <= tip.sequence);
        self.tip = tip;
        self.batch_tip = tip;
        self.synced = synced;
    }
}
