//! The oracle: a plain bank, fed with what the journals say, and asked whether replies and
//! recovered accounts agree with it.
//!
//! Each transaction that a client sends has a description of its own, so every journal record can
//! be matched with the request that it comes from. The journal gives the one order in which
//! everything happened; replies must be explainable by it.

mod replies;
mod words;

use std::collections::{BTreeMap, HashMap};

use galo::bank::{Kind, Order};
use galo::command::Ids;
use galo::limits::CLOCK_APART_US;
use galo::shard::clock::Reading;
use galo::shard::journal::{Event, Record};
use galo::shard::Client;

use crate::payments::{Book, Entry as PaymentEntry};
use crate::request::{Expect, Since, Tag, Transaction};
use crate::trace::Checked;
use crate::{require, violation};
use galo_testkit::Random;

/// What is known of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Not all of it has reached the server.
    Unsent,
    /// It has; anything may come of it.
    Open,
    /// It is in its shard's journal.
    Applied { sequence: u64, position: usize },
    /// It is there as one that is not to be, under its key.
    Denied { sequence: u64, position: usize },
    /// It must never be there: refused, or its connection ended before it was taken up.
    Refused,
    /// It was not in the journal, or no longer, after a crash. With a key it may be asked again.
    Lost,
}

/// See [`Tag`].
#[derive(Debug)]
struct Sent {
    transaction: Transaction,
    fate: Fate,
    /// Answered with 200.
    acknowledged: bool,
    /// With a key: the first status and body.
    answer: Option<(u16, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Start,
    Transaction(Tag),
    /// Nothing moved.
    Denied(Tag),
    /// Everything is as it was at the start, and payments are forgotten.
    Reset,
    /// Of payments.
    Payment(PaymentEntry),
    /// How real time goes on.
    Clock(Reading),
}

/// An account after one of its records.
#[derive(Clone, Copy, Debug)]
struct Entry {
    sequence: u64,
    what: What,
    balance: i64,
    /// By real time.
    moment_us: u64,
}

struct Account {
    limit: i64,
    start: i64,
    log: Vec<Entry>,
}

#[derive(Default)]
struct Shard {
    /// By sequence, from 1; with the shard's time.
    records: Vec<(What, u64)>,
    /// Real time less that, as the records have it.
    offset_us: i64,
    /// What must survive a loss of power: the last record of it.
    floor: u64,
}

/// See the module.
pub struct Model {
    accounts: BTreeMap<u32, Account>,
    shards: Vec<Shard>,
    transactions: Vec<Sent>,
    /// Those with a key.
    keyed: Vec<Tag>,
    by_description: HashMap<String, Tag>,
    resets_sent: usize,
    purges_sent: usize,
    pub payments: Book,
    /// Real time in the tick that has written what is recorded now. `None`: it is not known.
    pub real_us: Option<u64>,
    /// Real time at 0, since when (monotonic), as it steps.
    pub clocks: Vec<(u64, i64)>,
    /// Replies that were checked.
    pub checked: u64,
}

impl Model {
    /// A bank at its start.
    pub fn new(clients: &[Client], shards: u32, payments: Book) -> Model {
        let account = |client: &Client| {
            let start = Entry {
                sequence: 0,
                what: What::Start,
                balance: client.balance,
                moment_us: 0,
            };
            let account = Account {
                limit: client.limit,
                start: client.balance,
                log: vec![start],
            };
            (client.id, account)
        };
        Model {
            accounts: clients.iter().map(account).collect(),
            shards: (0..shards).map(|_| Shard::default()).collect(),
            transactions: Vec::new(),
            keyed: Vec::new(),
            by_description: HashMap::new(),
            resets_sent: 0,
            purges_sent: 0,
            payments,
            real_us: None,
            clocks: Vec::new(),
            checked: 0,
        }
    }

    fn shard_of(&self, client: u32) -> usize {
        client as usize % self.shards.len()
    }

    // ---- Requests ------------------------------------------------------------

    /// A client is about to send this.
    pub fn begin(&mut self, transaction: Transaction) -> Tag {
        let tag = self.transactions.len();
        let description = transaction.description.clone();
        let previous = self.by_description.insert(description, tag);
        assert!(previous.is_none());
        if transaction.key.is_some() {
            self.keyed.push(tag);
        }
        self.transactions.push(Sent {
            transaction,
            fate: Fate::Unsent,
            acknowledged: false,
            answer: None,
        });
        tag
    }

    /// What was asked for.
    pub fn transaction(&self, tag: Tag) -> &Transaction {
        &self.transactions[tag].transaction
    }

    /// Whether it may be asked again.
    pub fn is_keyed(&self, tag: Tag) -> bool {
        self.transaction(tag).key.is_some()
    }

    /// Some transaction with a key.
    pub fn any_keyed(&self, random: &mut Random) -> Option<Tag> {
        (!self.keyed.is_empty()).then(|| *random.pick(&self.keyed))
    }

    /// How many transactions clients have made up.
    pub fn tags(&self) -> usize {
        self.transactions.len()
    }

    /// A client is about to send a reset.
    pub fn begin_reset(&mut self) {
        self.resets_sent += 1;
    }

    /// All of its bytes have reached a server.
    pub fn delivered(&mut self, tag: Tag) {
        let keyed = self.is_keyed(tag);
        let fate = &mut self.transactions[tag].fate;
        assert!(keyed || *fate == Fate::Unsent);
        if matches!(fate, Fate::Unsent | Fate::Lost) {
            *fate = Fate::Open;
        }
    }

    /// It can have no effect any more; unless it has a key, for then it may be asked elsewhere.
    pub fn refused(&mut self, tag: Tag) -> Checked {
        if self.is_keyed(tag) {
            return Ok(());
        }
        let sent = &mut self.transactions[tag];
        if let Fate::Applied { sequence, .. } = sent.fate {
            violation!("refused or never taken up, yet record {sequence}: {sent:?}");
        }
        if sent.fate != Fate::Lost {
            sent.fate = Fate::Refused;
        }
        Ok(())
    }

    /// Its connection is gone.
    pub fn abandoned(&mut self, tag: Tag) {
        let keyed = self.is_keyed(tag);
        let fate = &mut self.transactions[tag].fate;
        if *fate == Fate::Unsent && !keyed {
            *fate = Fate::Refused;
        }
    }

    /// Which account a request is about; `None`: all of them. Where it is about none, one that nobody
    /// has.
    pub fn about(&self, expect: &Expect) -> Option<u32> {
        match expect {
            Expect::Transaction(tag) => Some(self.client_of(*tag)),
            Expect::Statement(client) => Some(*client),
            Expect::Reset | Expect::Purge => None,
            Expect::Pay(..) | Expect::PayNow(_) | Expect::Show(..) | Expect::Summary(_) => None,
            _ => Some(u32::MAX),
        }
    }

    /// What a request of now, about this client, may rest on.
    pub fn since(&self, client: Option<u32>) -> Since {
        let account = client.and_then(|client| self.accounts.get(&client));
        Since {
            position: account.map_or(0, |account| account.log.len() - 1),
            sequences: match client {
                Some(_) => Vec::new(),
                None => self.shards.iter().map(|s| s.records.len() as u64).collect(),
            },
        }
    }

    // ---- Journals ------------------------------------------------------------

    /// The last record of a shard.
    pub fn sequence(&self, shard: usize) -> u64 {
        self.shards[shard].records.len() as u64
    }

    /// What must survive a loss of power.
    pub fn floor(&self, shard: usize) -> u64 {
        self.shards[shard].floor
    }

    /// Records up to here must survive a loss of power.
    pub fn raise_floor(&mut self, shard: usize, sequence: u64) {
        let floor = &mut self.shards[shard].floor;
        *floor = (*floor).max(sequence);
        self.payments.set_floor(shard, *floor);
    }

    /// A record that was found in a shard's journal: the next one, or one that is known.
    pub fn record(&mut self, shard: usize, record: &Record<'_>) -> Checked {
        let sequence = record.stamp.sequence;
        let time_us = record.stamp.time_us;
        let known = self.shards[shard].records.get(sequence as usize - 1);
        let what = match record.event {
            Event::Transaction { order, ids, .. } => {
                What::Transaction(self.tag_of(shard, sequence, &order, &ids)?)
            }
            Event::Refused { order, ids, .. } => {
                What::Denied(self.tag_of(shard, sequence, &order, &ids)?)
            }
            Event::Reset { .. } => What::Reset,
            Event::Payment(event) => What::Payment(event.into()),
            Event::Clock(reading) => What::Clock(reading),
            Event::Unknown(reason) => violation!("record {sequence}: {reason}"),
        };
        if let Some(known) = known {
            require!(
                *known == (what, time_us),
                "record {sequence} of shard {shard} was {known:?}, and is {what:?} at {time_us}"
            );
            return Ok(());
        }
        require!(
            sequence == self.sequence(shard) + 1,
            "record {sequence} of shard {shard} does not follow {}",
            self.sequence(shard)
        );
        match what {
            What::Transaction(tag) | What::Denied(tag) => {
                let sent = &self.transactions[tag];
                require!(
                    sent.fate == Fate::Open,
                    "record {sequence} of shard {shard} must not be there: {sent:?}"
                );
            }
            What::Payment(PaymentEntry::Purged) => {
                let purges = self.shards[shard].records.iter();
                let is_purge = |what: &What| *what == What::Payment(PaymentEntry::Purged);
                let purges = purges.filter(|(what, _)| is_purge(what)).count();
                require!(purges < self.purges_sent, "a purge that nobody sent");
            }
            What::Payment(entry) => self.payments.check(shard, &entry)?,
            What::Clock(_) => {}
            What::Start | What::Reset => {
                let resets = self.shards[shard].records.iter();
                let resets = resets.filter(|(what, _)| *what == What::Reset).count();
                require!(resets < self.resets_sent, "a reset that nobody sent");
            }
        }
        self.apply(shard, what, time_us)?;
        if let Some(real_us) = self.real_us {
            // What somebody is told of it is told by this.
            let moment_us = time_us.saturating_add_signed(self.shards[shard].offset_us);
            require!(
                moment_us.abs_diff(real_us) <= CLOCK_APART_US,
                "record {sequence} of shard {shard} is of {moment_us} by real time, which was {real_us}"
            );
            self.payments.told_time(shard);
        }
        Ok(())
    }

    /// Which request a record is about.
    fn tag_of(&self, shard: usize, sequence: u64, order: &Order<'_>, ids: &Ids) -> Checked<Tag> {
        let text = order.description.as_str();
        let Some(tag) = self.by_description.get(text).copied() else {
            violation!("record {sequence} of shard {shard} is nobody's: {order:?}");
        };
        let sent = self.transaction(tag);
        require!(
            (sent.client, sent.kind, sent.amount) == (order.client, order.kind, order.amount)
                && self.shard_of(order.client) == shard
                && sent.key.is_some() == ids.key.is_some(),
            "record {sequence} of shard {shard} is not what was asked for: {order:?}, {ids:?}, {sent:?}"
        );
        Ok(tag)
    }

    fn apply(&mut self, shard: usize, what: What, time_us: u64) -> Checked {
        let shards = self.shards.len();
        let records = &mut self.shards[shard].records;
        let latest_us = records.last().map_or(0, |(_, time_us)| *time_us);
        require!(
            time_us >= latest_us,
            "time goes backwards in shard {shard}: {time_us} after {latest_us}"
        );
        records.push((what, time_us));
        let sequence = records.len() as u64;
        if let What::Clock(reading) = what {
            self.shards[shard].offset_us = reading.offset_us;
        }
        let moment_us = time_us.saturating_add_signed(self.shards[shard].offset_us);
        let entry = |balance| Entry {
            sequence,
            what,
            balance,
            moment_us,
        };
        match what {
            What::Start => unreachable!("no record"),
            What::Clock(_) => {}
            What::Transaction(tag) | What::Denied(tag) => {
                let sent = &mut self.transactions[tag];
                let transaction = &sent.transaction;
                let Some(account) = self.accounts.get_mut(&transaction.client) else {
                    violation!("a transaction of an unknown client: {transaction:?}");
                };
                let before = account.log.last().expect("never empty").balance;
                let after = after(before, account.limit, transaction);
                let position = account.log.len();
                match (what, after) {
                    (What::Transaction(_), Some(after)) => {
                        account.log.push(entry(after));
                        sent.fate = Fate::Applied { sequence, position };
                    }
                    (What::Denied(_), None) => {
                        let position = position - 1;
                        sent.fate = Fate::Denied { sequence, position };
                    }
                    _ => violation!("{what:?}, {transaction:?}, at a balance of {before}"),
                }
            }
            What::Payment(entry) => self.payments.apply(shard, sequence, &entry),
            What::Reset => {
                self.payments.apply(shard, sequence, &PaymentEntry::Purged);
                let own = |client: &u32| *client as usize % shards == shard;
                for (_, account) in self.accounts.iter_mut().filter(|(id, _)| own(id)) {
                    account.log.push(entry(account.start));
                }
            }
        }
        Ok(())
    }

    /// After a crash: a shard's journal ends here now.
    pub fn cut(&mut self, shard: usize, sequence: u64) -> Checked {
        let records = &self.shards[shard].records;
        if sequence < records.len() as u64 {
            let mut records = records.clone();
            for (what, _) in records.drain(sequence as usize..) {
                if let What::Transaction(tag) | What::Denied(tag) = what {
                    let sent = &mut self.transactions[tag];
                    // It may be on its way again.
                    sent.fate = Fate::Open;
                    sent.answer = None;
                }
                if let What::Payment(entry) = what {
                    self.payments.lost(&entry);
                }
            }
            self.payments.clear(shard);
            self.payments.cut(shard);
            self.shards[shard].records.clear();
            self.shards[shard].offset_us = 0;
            let shards = self.shards.len();
            let own = |client: &u32| *client as usize % shards == shard;
            for (_, account) in self.accounts.iter_mut().filter(|(id, _)| own(id)) {
                account.log.truncate(1);
            }
            for (what, time_us) in records {
                self.apply(shard, what, time_us)?;
            }
        }
        Ok(())
    }

    /// After a crash: what is not in a journal by now never will be.
    pub fn forget_open(&mut self) {
        for sent in &mut self.transactions {
            if matches!(sent.fate, Fate::Open | Fate::Unsent) {
                sent.fate = Fate::Lost;
            }
        }
        self.payments.forget_open();
    }

    // ---- Payments ------------------------------------------------------------

    /// A client is about to send a purge.
    pub fn begin_purge(&mut self) {
        self.purges_sent += 1;
        self.payments.begin_purge();
    }

    /// A request has reached a server.
    pub fn taken_up(&mut self, expect: &Expect) {
        match *expect {
            Expect::Transaction(tag) => self.delivered(tag),
            Expect::Pay(tag, _) | Expect::PayNow(tag) => self.payments.delivered(tag),
            _ => {}
        }
    }

    /// One that did is refused for certain, if it was a payment.
    pub fn payment_refused(&mut self, expect: &Expect) -> Checked {
        match *expect {
            Expect::Pay(tag, _) | Expect::PayNow(tag) => self.payments.refused(tag),
            _ => Ok(()),
        }
    }

    /// A reply was given that tells of this record.
    pub fn rests_on(&mut self, place: Option<(usize, u64)>, durable: bool) {
        if let (Some((shard, sequence)), true) = (place, durable) {
            self.raise_floor(shard, sequence);
        }
    }

    /// Whether a shard's accounts are what its journal makes of them.
    pub fn compare(&self, shard: &galo::shard::Shard, only_newest: bool) -> Checked {
        let number = shard.identity().shard as usize;
        require!(
            shard.sequence() == self.sequence(number),
            "shard {number} is at {}, its journal at {}",
            shard.sequence(),
            self.sequence(number)
        );
        let own = |client: &u32| *client as usize % self.shards.len() == number;
        let mut count = 0;
        for (id, model) in self.accounts.iter().filter(|(id, _)| own(id)) {
            count += 1;
            let entry = model.log.last().expect("never empty");
            if only_newest && entry.sequence + 64 < shard.sequence() {
                continue;
            }
            let Some(index) = shard.find(*id) else {
                violation!("client {id} is gone");
            };
            let account = shard.account(index);
            let found = (account.balance(), account.limit(), account.sequence());
            let expected = (entry.balance, model.limit, entry.sequence);
            require!(
                found == expected,
                "client {id}: balance, limit and sequence are {found:?}, should be {expected:?}"
            );
            let statement = self.statement(model, model.log.len() - 1);
            let found: Vec<_> = account
                .statement()
                .map(|t| (t.description(), t.kind(), t.amount(), t.time_us()))
                .collect();
            let expected: Vec<_> = statement
                .iter()
                .map(|(t, moment_us)| (t.description.as_str(), t.kind, t.amount, *moment_us))
                .collect();
            require!(
                found == expected,
                "client {id}: the statement is {found:?}, should be {expected:?}"
            );
        }
        self.payments.compare(shard, !only_newest)?;
        require!(
            count == shard.accounts().len(),
            "shard {number} has {} accounts, should have {count}",
            shard.accounts().len()
        );
        Ok(())
    }

    /// Newest first, with their times.
    fn statement(&self, account: &Account, position: usize) -> Vec<(&Transaction, u64)> {
        let mut statement = Vec::new();
        for entry in account.log[..=position].iter().rev() {
            match entry.what {
                What::Transaction(tag) if statement.len() < 10 => {
                    statement.push((self.transaction(tag), entry.moment_us));
                }
                _ => break,
            }
        }
        statement
    }

    /// The account that a transaction is about.
    pub fn client_of(&self, tag: Tag) -> u32 {
        self.transaction(tag).client
    }

    /// When it was asked first. Monotonic.
    pub fn asked_ns(&self, tag: Tag) -> u64 {
        self.transaction(tag).asked_ns
    }

    /// Records in all journals.
    pub fn records(&self) -> u64 {
        (0..self.shards.len()).map(|s| self.sequence(s)).sum()
    }
}

/// The balance after a transaction; `None`: it is not allowed.
fn after(before: i64, limit: i64, transaction: &Transaction) -> Option<i64> {
    let (before, amount) = (i128::from(before), i128::from(transaction.amount));
    let after = match transaction.kind {
        Kind::Credit => before + amount,
        Kind::Debit => before - amount,
    };
    let allowed = transaction.kind == Kind::Credit || after >= -i128::from(limit);
    i64::try_from(after).ok().filter(|_| allowed)
}
