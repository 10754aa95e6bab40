//! Commands to a shard and their outcomes, and how both are written on a link.

pub mod ids;
pub(crate) mod wire;

pub use ids::{ForwardId, Origin};

use crate::bank::{Account, DescriptionBuf, Kind, Posted, Refusal, Transaction};
use crate::payments::{Payment, PaymentId};

/// A command's ids, all optional: a command without any is carried out as often as it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Given by the node that forwards it.
    pub forward: Option<ForwardId>,
    /// Made from the client's `Idempotency-Key`: see [`ids::key`].
    pub key: Option<u128>,
}

impl Ids {
    /// Whether there is none, and so nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.forward.is_none() && self.key.is_none()
    }
}

/// What the owner of a shard is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Carry out a transaction on an account.
    Transact {
        /// Number of the account's client.
        client: u32,
        /// Whether to credit or to debit.
        kind: Kind,
        /// Cents, positive whatever the kind.
        amount: i64,
        /// The client's own text.
        description: DescriptionBuf,
    },
    /// Read balance and last transactions of an account.
    Statement {
        /// Number of the account's client.
        client: u32,
    },
    /// Accept a payment, to be carried out by a processor later.
    Pay {
        /// The id that the client chose, or the node.
        id: PaymentId,
        /// Cents of the amount, positive.
        cents: u64,
    },
    /// Read the state of a payment.
    Show {
        /// The id that the client chose, or the node.
        id: PaymentId,
    },
}

impl Command {
    /// Whether it is about a payment.
    pub fn is_payment(&self) -> bool {
        matches!(self, Command::Pay { .. } | Command::Show { .. })
    }
}

/// What a shard is to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// All accounts go back to the start, and all payments are forgotten.
    Everything = 0,
    /// All payments are forgotten.
    Payments = 1,
}

/// The result of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The transaction went through.
    Posted(Posted),
    /// The transaction changed nothing.
    Refused(Refusal),
    /// The `Idempotency-Key` belongs to another transaction.
    KeyReused,
    /// The shard has no account of this client.
    NoSuchClient,
    /// The statement of an account.
    Statement(Statement<'a>),
    /// The payment is accepted.
    Accepted,
    /// The payment's id belongs to one of another amount.
    OtherAmount,
    /// As many payments are open as may be.
    QueueFull,
    /// A file with settled payments is damaged, or its device fails.
    Unreadable,
    /// The shard knows no payment with this id.
    NoSuchPayment,
    /// A payment; `accepted_us` is by real time.
    Payment(Payment),
    /// All of the scope is forgotten.
    Forgotten(Scope),
    /// The owner of the shard has no payment processors.
    NotConfigured,
    /// The journal had no room; nothing was changed.
    StorageFull,
    /// The shard is kept elsewhere, which takes nothing now; nothing was changed.
    Unavailable,
    /// The journal had no room to forget.
    NotForgotten(Scope),
}

/// An account's limit, balance and last transactions.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The account's limit, cents.
    pub limit: i64,
    /// The account's balance, cents.
    pub balance: i64,
    /// When it was made, by real time; microseconds since 1970.
    pub moment_us: u64,
    transactions: Transactions<'a>,
}

impl PartialEq for Statement<'_> {
    fn eq(&self, other: &Statement<'_>) -> bool {
        (self.limit, self.balance, self.moment_us) == (other.limit, other.balance, other.moment_us)
            && self.lines().eq(other.lines())
    }
}

impl Eq for Statement<'_> {}

#[derive(Clone, Copy, Debug)]
enum Transactions<'a> {
    /// The account itself, in this process's memory.
    Held(&'a Account),
    /// From a link, checked: see [`wire`].
    Sent(&'a [u8]),
}

/// A line of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Cents, positive whatever the kind.
    pub amount: i64,
    /// Whether it was a credit or a debit.
    pub kind: Kind,
    /// 1 to 10 characters.
    pub description: &'a str,
    /// When it was carried out, microseconds since 1970.
    pub time_us: u64,
}

impl<'a> From<&'a Transaction> for Line<'a> {
    fn from(transaction: &'a Transaction) -> Line<'a> {
        Line {
            amount: transaction.amount(),
            kind: transaction.kind(),
            description: transaction.description(),
            time_us: transaction.time_us(),
        }
    }
}

impl<'a> Statement<'a> {
    /// The statement of an account at a moment, microseconds since 1970.
    pub fn of(account: &'a Account, moment_us: u64) -> Statement<'a> {
        Statement {
            limit: account.limit(),
            balance: account.balance(),
            moment_us,
            transactions: Transactions::Held(account),
        }
    }

    /// The last transactions, newest first.
    pub fn lines(&self) -> impl Iterator<Item = Line<'a>> {
        let (held, sent) = match self.transactions {
            Transactions::Held(account) => (Some(account), &[][..]),
            Transactions::Sent(bytes) => (None, bytes),
        };
        let held = held.into_iter().flat_map(Account::statement);
        held.map(Line::from).chain(wire::lines(sent))
    }
}
