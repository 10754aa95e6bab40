//! A shard in memory: accounts, dedup table, payments, and the changes of the present tick. No I/O.
//!
//! Within a tick, transactions change the accounts at once and append their records to the batch.
//! At its end the batch is written, and [`Shard::written`] makes the changes final; or the write
//! was refused, and [`Shard::refused`] takes everything back, so that what a client is told and what the
//! journal says never differ.

use super::accounts::Accounts;
use super::clock::{Clock, Reading};
use super::dedup::{self, DedupResult, DedupTable, Remembered};
use super::journal::{self, Stamp, RECORD_BYTES_MIN};
use super::mapping::Mapping;
use super::payments::{self, Payments, ACCEPTED_BEFORE};
use super::snapshot::{Position, SnapshotHeader};
use super::Identity;
use crate::bank::{Account, Before, Description, Kind, Order, Posted, Refusal, Transaction};
use crate::command::{ForwardId, Ids};
use crate::limits::{
    BATCH_BYTES_OF_TICK_MAX, JOURNAL_BATCH_BYTES_MAX, RECORD_BYTES_MAX, SNAPSHOT_SLICE_BYTES,
};
use crate::machine::Now;

const SLICE_ACCOUNTS: usize = SNAPSHOT_SLICE_BYTES / size_of::<Account>();
const _: () = assert!(SLICE_ACCOUNTS > 0);

/// The end of a journal: its last record, and what the next one builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// The last record, 0 for none.
    pub sequence: u64,
    /// Its checksum; without a record, the seed.
    pub chain: u32,
    /// The latest time handed out: the shard's ([`clock`](super::clock)).
    pub time_us: u64,
}

struct AccountUndo {
    index: u32,
    before: Before,
}

/// The progress of copying the shard into a snapshot.
struct SnapshotCopy {
    /// Index of the next account to copy.
    next: usize,
    /// Behind the accounts: the dedup table.
    dedup: dedup::DedupCopy,
    /// Behind the dedup table: the payments.
    payments: payments::PaymentsCopy,
    /// Where the journal stood when it began.
    began: LogEnd,
    /// The offset in it by then.
    offset_us: i64,
}

/// A shard in memory: its accounts, dedup table and payments, and the tick's batch.
pub struct Shard {
    identity: Identity,
    seed: u32,
    accounts: Accounts,
    dedup: DedupTable,
    pub(super) payments: Payments,
    log_end: LogEnd,
    clock: Clock,
    synced: u64,
    batch: Vec<u8>,
    /// The end of the journal before the batch.
    written_end: LogEnd,
    /// What the batch's transactions overwrote, oldest first.
    undo: Vec<AccountUndo>,
    /// Sequence of a reset in the batch; always its last record.
    reset: Option<u64>,
    copying: Option<SnapshotCopy>,
    /// It has had commands with ids, or payments: without, those parts are not entered.
    pub(super) has_ids: bool,
    pub(super) has_payments: bool,
    /// Bytes that the batch may have.
    batch_max: usize,
    /// Its journal is a log that several machines have: what is durable on one of them is not told in its records, which
    /// are the same on all.
    is_replicated: bool,
}

impl Shard {
    /// A shard over the accounts, the dedup table and the payments of a snapshot, with its offset of real time.
    /// `synced`: the last record known to be durable.
    pub(super) fn new(
        identity: Identity,
        accounts: Mapping,
        dedup: DedupTable,
        payments: Payments,
        log_end: LogEnd,
        offset_us: i64,
        synced: u64,
    ) -> Shard {
        debug_assert!(synced <= log_end.sequence);
        Shard {
            has_ids: !dedup.is_empty(),
            has_payments: !payments.is_untouched(),
            identity,
            seed: journal::seed(&identity),
            accounts: Accounts::new(accounts, identity.shards),
            dedup,
            payments,
            log_end,
            clock: Clock::new(offset_us),
            synced,
            batch: Vec::new(),
            written_end: log_end,
            undo: Vec::new(),
            reset: None,
            copying: None,
            batch_max: JOURNAL_BATCH_BYTES_MAX,
            is_replicated: false,
        }
    }

    /// Its journal is a log that several machines have.
    pub fn set_replicated(&mut self) {
        self.batch_max = BATCH_BYTES_OF_TICK_MAX;
        self.is_replicated = true;
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

    /// All accounts, sorted by client.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The first account gets a cent that no record gave it.
    #[cfg(test)]
    pub(crate) fn spoil(&mut self) {
        let first = &mut self.accounts[0];
        *first = Account::new(first.id(), first.limit(), first.balance() + 1);
    }

    /// Whether there are payments, or were.
    pub fn has_payments(&self) -> bool {
        self.has_payments
    }

    /// Earlier commands with ids, and their outcomes.
    #[cfg(test)]
    pub(super) fn dedup(&self) -> &DedupTable {
        &self.dedup
    }

    /// The shard's time ([`clock`](super::clock)), which all that follows takes; and how real time differs
    /// from it is known from now on.
    pub fn tell_time(&mut self, now: Now) -> u64 {
        let has_keys = self.has_ids && self.dedup.has_keys();
        self.clock.tell(now, self.log_end.time_us, has_keys)
    }

    /// From now on no record's moment is before the last one's, whatever real time is here: its owners' clocks differ.
    pub fn keep_order(&mut self) {
        self.clock.keep_order();
    }

    /// The shard's time at `now`, microseconds since 1970; see [`clock`](super::clock).
    pub fn now_us(&self, now: Now) -> u64 {
        self.clock.time_us(now, self.log_end.time_us)
    }

    /// A time of the shard for a record: never earlier than that of the one before.
    pub fn time_us(&self, time_us: u64) -> u64 {
        time_us.max(self.log_end.time_us)
    }

    /// A time of the shard as the moment that clients are told: microseconds since 1970, by real time as it is
    /// now.
    pub fn moment_us(&self, time_us: u64) -> u64 {
        self.clock.moment_us(time_us)
    }

    /// Whether the tick may journal more here. If not, ask again in the next tick: the batch is
    /// full, or a reset or a purge waits for the batch to be written.
    pub fn accepts(&self) -> bool {
        let is_purging = self.has_payments && self.payments.is_purging();
        let ends = self.reset.is_some() || is_purging;
        !ends && self.batch.len() + RECORD_BYTES_MAX <= self.batch_max
    }

    /// Looks a transaction up in the dedup table, before it is carried out.
    pub fn recognise(
        &self,
        index: usize,
        kind: Kind,
        amount: i64,
        description: Description<'_>,
        time_us: u64,
        ids: &Ids,
    ) -> DedupResult {
        if ids.is_empty() {
            return DedupResult::New;
        }
        let account = &self.accounts[index];
        let order = order(account, kind, amount, description);
        let time_us = self.clock.keys_us(self.time_us(time_us));
        self.dedup.recognise(ids, &order, account.limit(), time_us)
    }

    /// Whether what [`recognise`](Self::recognise) knows of a command is in the journal, and not only in this
    /// tick's batch.
    pub fn is_settled(&self, time_us: u64, ids: &Ids) -> bool {
        let time_us = self.clock.keys_us(self.time_us(time_us));
        self.dedup.is_settled(ids, time_us)
    }

    /// Carries out a transaction, in memory and in the tick's batch; `amount` in cents, positive.
    /// Only while [`accepts`](Self::accepts), and only if [`recognise`](Self::recognise) does not know it.
    /// On a refusal nothing changed; with a key, it is in the batch all the same, to be remembered.
    pub fn transact(
        &mut self,
        index: usize,
        kind: Kind,
        amount: i64,
        description: Description<'_>,
        time_us: u64,
        ids: &Ids,
    ) -> Result<Posted, Refusal> {
        debug_assert!(self.accepts());
        let checked = self.accounts[index].check(kind, amount);
        if let (Err(refusal), None) = (checked, ids.key) {
            return Err(refusal);
        }
        let order = order(&self.accounts[index], kind, amount, description);
        let stamp = self.stamp(time_us);
        let crc = match ids.is_empty() {
            true => journal::append_transaction(&mut self.batch, self.seed, &stamp, &order),
            false => self.remember(&stamp, &order, ids, checked),
        };
        self.advance(&stamp, crc);
        let balance = checked?;
        let account = &mut self.accounts[index];
        self.undo.push(AccountUndo {
            index: index as u32,
            before: account.before(),
        });
        let moment_us = self.clock.moment_us(stamp.time_us);
        let transaction = Transaction::new(kind, amount, description, moment_us);
        Ok(account.post(&transaction, balance, stamp.sequence))
    }

    /// Remembers an outcome, and puts its record into the batch; that one's checksum.
    fn remember(
        &mut self,
        stamp: &Stamp,
        order: &Order<'_>,
        ids: &Ids,
        outcome: Remembered,
    ) -> u32 {
        self.has_ids = true;
        let new = self.dedup.remember(ids, order, outcome, stamp.time_us);
        debug_assert_eq!(new, Ok(()), "looked up before");
        journal::append_remembered(&mut self.batch, self.seed, stamp, order, ids, outcome)
    }

    /// Puts a reset of all accounts and payments into the batch; [`written`](Self::written) carries it out. Only
    /// while [`accepts`](Self::accepts), and only if it is not [known](Self::has_forgotten).
    pub fn reset(&mut self, forward: Option<ForwardId>, time_us: u64) {
        debug_assert!(self.accepts());
        let stamp = self.record(time_us, |batch, seed, stamp| {
            journal::append_reset(batch, seed, stamp, forward)
        });
        self.remember_forgotten(forward);
        self.reset = Some(stamp.sequence);
    }

    /// Whether a reset or a purge was carried out before, or is in the batch.
    pub fn has_forgotten(&self, forward: &ForwardId) -> bool {
        self.dedup.has_forgotten(forward)
    }

    /// The reset or purge that was put into the batch came under this id.
    pub(super) fn remember_forgotten(&mut self, forward: Option<ForwardId>) {
        self.has_ids |= forward.is_some();
        let new = forward.map_or(Ok(()), |id| self.dedup.remember_forgotten(&id));
        debug_assert_eq!(new, Ok(()), "looked for before");
    }

    /// Puts a record into the batch, with what appends it: its stamp.
    pub(super) fn record(
        &mut self,
        time_us: u64,
        append: impl FnOnce(&mut Vec<u8>, u32, &Stamp) -> u32,
    ) -> Stamp {
        let stamp = self.stamp(time_us);
        let crc = append(&mut self.batch, self.seed, &stamp);
        self.advance(&stamp, crc);
        stamp
    }

    /// The stamp of the batch's next record. A `clock` record goes in front of it where real time has changed.
    #[inline]
    fn stamp(&mut self, time_us: u64) -> Stamp {
        if let Some(reading) = self.clock.untold() {
            let stamp = self.stamp_next(time_us);
            let crc = journal::append_clock(&mut self.batch, self.seed, &stamp, reading);
            self.advance(&stamp, crc);
        }
        self.stamp_next(time_us)
    }

    fn stamp_next(&self, time_us: u64) -> Stamp {
        let sequence = self.log_end.sequence + 1;
        let synced = if self.is_replicated { 0 } else { self.synced };
        Stamp {
            chain: self.log_end.chain,
            unsynced: u32::try_from(sequence - synced).unwrap_or(u32::MAX),
            sequence,
            time_us: self.time_us(time_us),
        }
    }

    fn advance(&mut self, stamp: &Stamp, crc: u32) {
        self.log_end = LogEnd {
            sequence: stamp.sequence,
            chain: crc,
            time_us: stamp.time_us,
        };
    }

    /// The records of this tick, to be written in one piece; empty: nothing to write.
    pub fn batch(&self) -> &[u8] {
        &self.batch
    }

    /// How many those are.
    pub fn batch_records(&self) -> u64 {
        self.log_end.sequence - self.written_end.sequence
    }

    /// The end of the journal, before the batch.
    pub fn written_end(&self) -> LogEnd {
        self.written_end
    }

    /// The batch is in the journal: it stays.
    #[inline]
    pub fn written(&mut self) {
        if let Some(sequence) = self.reset.take() {
            for account in self.accounts.iter_mut() {
                account.reset(sequence);
            }
            self.payments.forget(sequence);
        }
        if let Some(gap_us) = self.clock.written() {
            self.dedup.spare(gap_us);
        }
        if self.has_ids {
            self.dedup.written(self.log_end.time_us);
        }
        if self.has_payments {
            self.payments.written(self.log_end.sequence);
        }
        self.batch_done();
    }

    /// Nothing of the batch is in the journal: as if the tick had not been.
    pub fn refused(&mut self) {
        self.reset = None;
        for undo in self.undo.iter().rev() {
            self.accounts[undo.index as usize].restore(&undo.before);
        }
        self.dedup.refused();
        self.payments.refused();
        self.clock.refused();
        self.log_end = self.written_end;
        self.batch_done();
    }

    fn batch_done(&mut self) {
        debug_assert!(
            self.batch.len().is_multiple_of(8)
                && self.batch.len() >= RECORD_BYTES_MIN * self.undo.len()
        );
        self.batch.clear();
        self.undo.clear();
        self.written_end = self.log_end;
    }

    /// The last record, 0 for none; the batch's included.
    pub fn sequence(&self) -> u64 {
        self.log_end.sequence
    }

    /// The end of the journal, the batch included.
    pub fn log_end(&self) -> LogEnd {
        self.log_end
    }

    /// Records up to `sequence` are durable.
    pub fn synced(&mut self, sequence: u64) {
        debug_assert!(
            sequence <= self.written_end.sequence,
            "written before synced"
        );
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
        self.copying = Some(SnapshotCopy {
            next: 0,
            dedup: dedup::DedupCopy::default(),
            payments: payments::PaymentsCopy::default(),
            began: self.log_end,
            offset_us: self.clock.told_us(),
        });
    }

    /// The next accounts, or behind all of them the dedup table, and behind that payments, as they are in the
    /// file: at most SNAPSHOT_SLICE_BYTES, whole ones, the last time all there is; `None`: that was all.
    /// Between ticks: what is not yet written must not be copied.
    pub fn snapshot_slice(&mut self) -> Option<Vec<u8>> {
        assert!(self.batch.is_empty());
        let copying = self.copying.as_mut().expect("begun");
        let from = copying.next;
        copying.next = self.accounts.len().min(from + SLICE_ACCOUNTS);
        let accounts = &self.accounts[from..copying.next];
        if accounts.is_empty() {
            let sequence = self.log_end.sequence;
            return self
                .dedup
                .slice(&mut copying.dedup, sequence)
                .or_else(|| self.payments.slice(&mut copying.payments, sequence));
        }
        Some(super::accounts::bytes_of(accounts).to_vec())
    }

    /// Ends copying, after the last slice: the header for slices with this checksum. The snapshot
    /// may get its name once the journal is durable up to the header's end sequence.
    pub fn snapshot_header(&mut self, body_crc: u32) -> SnapshotHeader {
        assert!(self.batch.is_empty());
        let copying = self.copying.take().expect("begun");
        assert_eq!(copying.next, self.accounts.len());
        let position = Position {
            from: copying.began.sequence + 1,
            end: self.log_end.sequence,
            chain: copying.began.chain,
            time_us: self.log_end.time_us,
            offset_us: copying.offset_us,
        };
        let dedup = self.dedup.copied(&copying.dedup);
        let accounts = self.accounts.len();
        let payments = copying.payments.bytes();
        SnapshotHeader::new(
            &self.identity,
            &position,
            accounts,
            &dedup,
            payments,
            body_crc,
        )
    }

    /// Ends a copy that cannot be finished.
    pub fn snapshot_abandon(&mut self) {
        self.copying = None;
        self.payments.slice_abandon();
    }

    /// Applies a record of the journal that an account, or the dedup table, may already have; `Err` says
    /// why it cannot be what happened.
    pub(super) fn replay(&mut self, record: &journal::Record<'_>) -> Result<(), &'static str> {
        match &record.event {
            journal::Event::Transaction {
                order,
                ids,
                balance,
            } => {
                self.replay_posted(&record.stamp, order, *balance)?;
                balance.map_or(Ok(()), |balance| {
                    self.replay_outcome(&record.stamp, order, ids, Ok(balance))
                })
            }
            journal::Event::Refused {
                order,
                ids,
                refusal,
            } => {
                let index = self.find(order.client).ok_or(NO_SUCH_ACCOUNT)?;
                let account = &self.accounts[index];
                let checked = account.check(order.kind, order.amount);
                if account.sequence() < record.stamp.sequence && checked != Err(*refusal) {
                    return Err("it would not have been refused");
                }
                self.replay_outcome(&record.stamp, order, ids, Err(*refusal))
            }
            journal::Event::Reset { forward } => {
                self.replay_forgotten(&record.stamp, *forward)?;
                let sequence = record.stamp.sequence;
                for account in self.accounts.iter_mut() {
                    if account.sequence() < sequence {
                        account.reset(sequence);
                    }
                }
                self.payments.replay_reset(&record.stamp)
            }
            journal::Event::Payment(event) => {
                if let journal::PaymentEvent::Purged { forward, .. } = event {
                    self.replay_forgotten(&record.stamp, *forward)?;
                }
                self.payments.replay(&record.stamp, event)
            }
            journal::Event::Clock(reading) => {
                self.replay_clock(&record.stamp, *reading);
                Ok(())
            }
            journal::Event::Unknown(reason) => Err(reason),
        }
    }

    /// Applies a batch of the shard's log that was made elsewhere, or is here already: its new records and how many they
    /// are. `Err` says why it cannot be what comes next; the shard is of no use then. Between ticks.
    pub fn apply_log<'a>(&mut self, batch: &'a [u8]) -> Result<(&'a [u8], u64), &'static str> {
        debug_assert!(self.batch.is_empty());
        let (before, mut end) = (self.log_end, self.log_end);
        let mut offset = 0;
        let mut known = 0;
        while offset < batch.len() {
            let record = journal::record_at(batch, offset, self.seed);
            let record = record.map_err(journal::Reason::as_str)?;
            let stamp = &record.stamp;
            offset += record.bytes;
            if stamp.sequence <= before.sequence {
                if stamp.sequence == before.sequence && record.crc != before.chain {
                    return Err("another record than the one that is here");
                }
                known = offset;
                continue;
            }
            let is_next = stamp.sequence == end.sequence + 1 && stamp.chain == end.chain;
            if !is_next || stamp.time_us < end.time_us {
                return Err(journal::Reason::Chain.as_str());
            }
            self.replay(&record)?;
            end = LogEnd {
                sequence: stamp.sequence,
                chain: record.crc,
                time_us: stamp.time_us,
            };
        }
        self.payments.all_arrived().map_err(|_| ACCEPTED_BEFORE)?;
        self.resume(end, self.synced);
        Ok((&batch[known..], end.sequence - before.sequence))
    }

    fn replay_forgotten(
        &mut self,
        stamp: &Stamp,
        forward: Option<ForwardId>,
    ) -> Result<(), &'static str> {
        let Some(id) = forward else { return Ok(()) };
        let moment = (stamp.sequence, stamp.time_us);
        self.dedup.replay_forgotten(&id, moment)
    }

    fn replay_clock(&mut self, stamp: &Stamp, reading: Reading) {
        self.clock.replay(reading);
        self.dedup
            .replay_gap(reading.gap_us, stamp.sequence, stamp.time_us);
    }

    fn replay_posted(
        &mut self,
        stamp: &Stamp,
        order: &Order<'_>,
        expected: Option<i64>,
    ) -> Result<(), &'static str> {
        let index = self.find(order.client).ok_or(NO_SUCH_ACCOUNT)?;
        let account = &mut self.accounts[index];
        if account.sequence() >= stamp.sequence {
            return Ok(());
        }
        let balance = account
            .check(order.kind, order.amount)
            .map_err(|_| "it would take the balance out of its bounds")?;
        if expected.is_some_and(|expected| expected != balance) {
            return Err("it leads to another balance than it says");
        }
        let Order {
            kind,
            amount,
            description,
            ..
        } = *order;
        let moment_us = self.clock.moment_us(stamp.time_us);
        let transaction = Transaction::new(kind, amount, description, moment_us);
        account.post(&transaction, balance, stamp.sequence);
        Ok(())
    }

    fn replay_outcome(
        &mut self,
        stamp: &Stamp,
        order: &Order<'_>,
        ids: &Ids,
        outcome: Remembered,
    ) -> Result<(), &'static str> {
        let moment = (stamp.sequence, stamp.time_us);
        self.dedup.replay(ids, order, outcome, moment)
    }

    /// After replaying: where the journal ends.
    pub(super) fn resume(&mut self, log_end: LogEnd, synced: u64) {
        debug_assert!(self.batch.is_empty() && synced <= log_end.sequence);
        self.log_end = log_end;
        self.written_end = log_end;
        self.synced = synced;
        self.dedup.written(log_end.time_us);
        self.has_ids = !self.dedup.is_empty();
        self.has_payments = !self.payments.is_untouched();
    }
}

const NO_SUCH_ACCOUNT: &str = "there is no such account";

fn order<'a>(
    account: &Account,
    kind: Kind,
    amount: i64,
    description: Description<'a>,
) -> Order<'a> {
    Order {
        client: account.id(),
        kind,
        amount,
        description,
    }
}
