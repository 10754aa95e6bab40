//! For a statement, which need not wait for other accounts.

use std::collections::BTreeMap;

/// Which accounts' last change is in a batch that is not safe.
#[derive(Default)]
pub(super) struct Accounts {
    /// Changed in this tick.
    new: Vec<u32>,
    all_are_new: bool,
    /// By account: the batch's ticket.
    written: BTreeMap<u32, u64>,
    all_written: u64,
}

impl Accounts {
    /// This tick changes one, or all.
    pub(super) fn change(&mut self, account: u32) {
        self.new.push(account);
    }

    pub(super) fn change_all(&mut self) {
        self.all_are_new = true;
    }

    /// This tick's batch is there.
    pub(super) fn written(&mut self, ticket: u64) {
        let new = self.new.drain(..).map(|account| (account, ticket));
        self.written.extend(new);
        if std::mem::take(&mut self.all_are_new) {
            self.all_written = ticket;
        }
    }

    /// This tick's batch is undone.
    pub(super) fn refused(&mut self) {
        self.new.clear();
        self.all_are_new = false;
    }

    /// Everything up to a ticket is safe.
    pub(super) fn done(&mut self, ticket: u64) {
        self.written.retain(|_, written| *written > ticket);
    }

    /// Whether one is changed by what is not safe. `done`: the ticket up to which everything is.
    pub(super) fn is_changed(&self, account: u32, done: u64) -> bool {
        self.all_written > done || self.written.contains_key(&account)
    }
}
