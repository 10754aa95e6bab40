//! What clients ask for, and which answers there may be.

use galo::bank::Kind;

use crate::payments::{self, Question, State};

/// A transaction that a client made up; a position in the model's list.
pub type Tag = usize;

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub client: u32,
    pub kind: Kind,
    /// Cents.
    pub amount: i64,
    /// Nobody else's.
    pub description: String,
    /// Nobody else's.
    pub key: Option<String>,
    /// When it was asked first. Monotonic.
    pub asked_ns: u64,
}

/// What a request rests on: nothing that it sees may be older.
#[derive(Clone, Debug, Default)]
pub struct Since {
    /// Of the account that it is about.
    pub position: usize,
    /// Of each shard, for a reset.
    pub sequences: Vec<u64>,
}

impl Since {
    /// Nothing older than this may be seen any more.
    pub fn raise(&mut self, position: usize) {
        self.position = self.position.max(position);
    }
}

/// Which answers there may be.
#[derive(Clone, Debug)]
pub enum Expect {
    /// To a transaction.
    Transaction(Tag),
    /// To a statement of an existing client.
    Statement(u32),
    /// To a reset, where it is allowed.
    Reset,
    /// To a payment with an id, and this amount in cents.
    Pay(payments::Tag, u64),
    /// To a payment without one.
    PayNow(payments::Tag),
    /// To a question where a payment stands; where it stood then.
    Show(payments::Tag, State),
    /// To a question about a window.
    Summary(Question),
    /// To a purge, where it is allowed.
    Purge,
    /// 200 and a body that contains this.
    Contains(&'static str),
    /// This status.
    Status(u16),
    /// This status, and the connection ends.
    Malformed(u16),
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which answers there may be.
    pub expect: Expect,
    /// Of its last byte and one, counted from the connection's first.
    pub end: u64,
    /// It was a HEAD.
    pub head_only: bool,
    /// It asked for the connection to be closed.
    pub close: bool,
    /// It will get `100 Continue` if its body is late.
    pub continues: bool,
    /// It accepts gzip.
    pub gzip: bool,
    /// What the answer may rest on.
    pub since: Since,
    /// When it was written.
    pub written_ns: u64,
    /// How often the disk had been full by then.
    pub full_events: u64,
    /// All of it has reached the server.
    pub delivered: bool,
    /// In the tick of this time.
    pub delivered_ns: u64,
    /// A sync that failed may have taken what the answer tells of.
    pub tainted: bool,
}

/// A request before it is written.
pub struct Draft {
    /// As it travels.
    pub bytes: Vec<u8>,
    /// Which answers there may be.
    pub expect: Expect,
    /// It is a HEAD.
    pub head_only: bool,
    /// It asks for the connection to be closed.
    pub close: bool,
    /// It asks for `100 Continue`.
    pub continues: bool,
    /// It accepts gzip.
    pub gzip: bool,
}
