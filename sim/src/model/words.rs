//! What the trace says of records and requests.

use galo::bank::Kind;
use galo_testkit::decimal;

use super::{Model, What};
use crate::payments::{self, short_id, Entry};
use crate::request::{Expect, Transaction};

impl Model {
    /// A record of a shard's journal.
    pub fn words_of_record(&self, shard: usize, sequence: u64) -> String {
        match self.shards[shard].records[sequence as usize - 1].0 {
            What::Start => unreachable!("no record"),
            What::Transaction(tag) => movement(self.transaction(tag)),
            What::Denied(tag) => format!("refusal of a {}", movement(self.transaction(tag))),
            What::Reset => "reset".to_owned(),
            What::Clock(_) => "the clock's step".to_owned(),
            What::Payment(Entry::Accepted { id, cents }) => {
                let amount = decimal(cents.into());
                format!("payment {} of {amount} accepted", short_id(id))
            }
            What::Payment(Entry::Bound { id, to, .. }) => {
                format!("payment {} goes to {}", short_id(id), to.name())
            }
            What::Payment(Entry::Settled { id, by, .. }) => {
                format!("payment {} settled by {}", short_id(id), by.name())
            }
            What::Payment(Entry::Purged) => "payments purged".to_owned(),
        }
    }

    /// What a request is about, behind its path.
    pub fn words_of_request(&self, expect: &Expect) -> String {
        match *expect {
            Expect::Transaction(tag) => {
                let transaction = self.transaction(tag);
                let key = match &transaction.key {
                    Some(_) => format!(", key {tag}"),
                    None => String::new(),
                };
                format!(": {}{key}", movement(transaction))
            }
            Expect::Pay(tag, cents) => self.payment(tag, cents),
            Expect::PayNow(tag) => self.payment(tag, self.payments.known(tag).amounts[0]),
            Expect::Malformed(_) => " (malformed)".to_owned(),
            _ => String::new(),
        }
    }

    fn payment(&self, tag: payments::Tag, cents: u64) -> String {
        let amount = decimal(cents.into());
        match self.payments.known(tag).id {
            Some(id) => format!(": payment {} of {amount}", short_id(id)),
            None => format!(": payment of {amount}"),
        }
    }
}

fn movement(transaction: &Transaction) -> String {
    let (amount, account) = (transaction.amount, transaction.client);
    match transaction.kind {
        Kind::Credit => format!("credit of {amount} to account {account}"),
        Kind::Debit => format!("debit of {amount} from account {account}"),
    }
}
