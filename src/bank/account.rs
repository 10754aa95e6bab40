//! An account, in the one representation that it has in memory and on disk: the archived one.
//!
//! Layout (little-endian, no implicit padding; 704 bytes, eleven cache lines):
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | id |
//! | 4 | 1 | slot of `recent` that the next transaction takes |
//! | 5 | 1 | transactions held in `recent` |
//! | 6 | 2 | zero |
//! | 8 | 8 | limit, cents |
//! | 16 | 8 | balance, cents |
//! | 24 | 8 | balance at the start, cents: what a reset goes back to |
//! | 32 | 8 | sequence number of the last journal record applied |
//! | 40 | 24 | zero |
//! | 64 | 640 | `recent`: ten transactions of 64 bytes |

use rkyv::bytecheck::CheckBytes;
use rkyv::rend::{i64_le, u32_le, u64_le};
use rkyv::Portable;

use crate::limits::{DESCRIPTION_BYTES_MAX, DESCRIPTION_CHARS_MAX, STATEMENT_TRANSACTIONS};

/// The direction of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Adds to the balance.
    Credit,
    /// Takes from the balance.
    Debit,
}

impl Kind {
    /// The byte it is stored as, which is the contest's letter.
    pub const fn to_byte(self) -> u8 {
        match self {
            Kind::Credit => b'c',
            Kind::Debit => b'd',
        }
    }

    /// `None` for anything but `c` and `d`.
    pub const fn from_byte(byte: u8) -> Option<Kind> {
        match byte {
            b'c' => Some(Kind::Credit),
            b'd' => Some(Kind::Debit),
            _ => None,
        }
    }
}

/// 1 to 10 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description<'a>(&'a str);

impl<'a> Description<'a> {
    /// `None` when it is empty or longer than 10 characters (not bytes).
    pub fn new(text: &'a str) -> Option<Description<'a>> {
        if text.is_empty() || text.len() > DESCRIPTION_BYTES_MAX {
            return None;
        }
        // At most ten bytes are at most ten characters.
        if text.len() > DESCRIPTION_CHARS_MAX && text.chars().count() > DESCRIPTION_CHARS_MAX {
            return None;
        }
        Some(Description(text))
    }

    /// UTF-8, 1 to 40 bytes.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// A [`Description`] in memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptionBuf {
    length: u8,
    bytes: [u8; DESCRIPTION_BYTES_MAX],
}

impl DescriptionBuf {
    /// The text as a borrowed value.
    pub fn get(&self) -> Description<'_> {
        let text = std::str::from_utf8(&self.bytes[..self.length.into()]);
        Description(text.expect("copied from a string"))
    }
}

impl From<Description<'_>> for DescriptionBuf {
    fn from(description: Description<'_>) -> DescriptionBuf {
        let text = description.as_str().as_bytes();
        let mut bytes = [0; DESCRIPTION_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text);
        DescriptionBuf {
            length: text.len() as u8,
            bytes,
        }
    }
}

/// A transaction as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<'a> {
    /// Number of the account's client.
    pub client: u32,
    /// Whether to credit or to debit.
    pub kind: Kind,
    /// Cents, positive whatever the kind.
    pub amount: i64,
    /// The client's own text.
    pub description: Description<'a>,
}

/// One transaction, as an account keeps it: 64 bytes.
#[derive(Clone, Copy, Debug, Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct Transaction {
    amount: i64_le,
    time_us: u64_le,
    kind: u8,
    description_len: u8,
    description: [u8; DESCRIPTION_BYTES_MAX],
    zero: [u8; 6],
}

impl Transaction {
    const EMPTY: Transaction = Transaction {
        amount: i64_le::from_native(0),
        time_us: u64_le::from_native(0),
        kind: 0,
        description_len: 0,
        description: [0; DESCRIPTION_BYTES_MAX],
        zero: [0; 6],
    };

    /// `amount` in cents, positive; `time_us` in microseconds since 1970.
    pub fn new(kind: Kind, amount: i64, description: Description<'_>, time_us: u64) -> Self {
        debug_assert!(amount > 0);
        let text = description.as_str().as_bytes();
        let mut transaction = Transaction {
            amount: amount.into(),
            time_us: time_us.into(),
            kind: kind.to_byte(),
            description_len: text.len() as u8,
            ..Transaction::EMPTY
        };
        transaction.description[..text.len()].copy_from_slice(text);
        transaction
    }

    /// Cents, positive whatever the kind.
    pub fn amount(&self) -> i64 {
        self.amount.to_native()
    }

    /// When it was carried out, microseconds since 1970.
    pub fn time_us(&self) -> u64 {
        self.time_us.to_native()
    }

    /// Whether it is a credit or a debit.
    pub fn kind(&self) -> Kind {
        Kind::from_byte(self.kind).expect("a stored transaction has a kind: Account::is_sound")
    }

    /// 1 to 10 characters of UTF-8.
    pub fn description(&self) -> &str {
        let bytes = &self.description[..usize::from(self.description_len)];
        std::str::from_utf8(bytes).expect("a stored description is UTF-8: Account::is_sound")
    }

    fn is_sound(&self) -> bool {
        let Some(text) = self.description.get(..usize::from(self.description_len)) else {
            return false;
        };
        self.amount() > 0
            && Kind::from_byte(self.kind).is_some()
            && std::str::from_utf8(text).is_ok_and(|text| Description::new(text).is_some())
    }
}

/// What a transaction that went through left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The limit of the account: the balance is never below `-limit`. Cents.
    pub limit: i64,
    /// Cents, after the transaction.
    pub balance: i64,
}

/// Why a transaction changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A debit would take the balance below the limit.
    Limit,
    /// A credit would take the balance beyond 64 bits.
    Overflow,
}

impl Refusal {
    /// As it is stored; never 0.
    pub const fn to_byte(self) -> u8 {
        match self {
            Refusal::Limit => 1,
            Refusal::Overflow => 2,
        }
    }

    /// `None` for anything else.
    pub const fn from_byte(byte: u8) -> Option<Refusal> {
        match byte {
            1 => Some(Refusal::Limit),
            2 => Some(Refusal::Overflow),
            _ => None,
        }
    }
}

/// A client's account: see the layout at the top of this file.
#[derive(Clone, Copy, Debug, Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct Account {
    id: u32_le,
    next: u8,
    held: u8,
    zero: [u8; 2],
    limit: i64_le,
    balance: i64_le,
    balance_at_start: i64_le,
    sequence: u64_le,
    reserved: [u8; 24],
    recent: [Transaction; STATEMENT_TRANSACTIONS],
}

const _: () = {
    assert!(size_of::<Transaction>() == 64);
    assert!(size_of::<Account>() == 704 && align_of::<Account>() == 8);
};

impl Account {
    /// A new account; `limit` and `balance` in cents, `limit >= 0`, `balance >= -limit`.
    pub fn new(id: u32, limit: i64, balance: i64) -> Account {
        debug_assert!(limit >= 0 && balance >= -limit);
        Account {
            id: id.into(),
            next: 0,
            held: 0,
            zero: [0; 2],
            limit: limit.into(),
            balance: balance.into(),
            balance_at_start: balance.into(),
            sequence: 0.into(),
            reserved: [0; 24],
            recent: [Transaction::EMPTY; STATEMENT_TRANSACTIONS],
        }
    }

    /// Number of the account's client.
    pub fn id(&self) -> u32 {
        self.id.to_native()
    }

    /// Cents; the balance never goes below its negative.
    pub fn limit(&self) -> i64 {
        self.limit.to_native()
    }

    /// Cents; not below the negative limit.
    pub fn balance(&self) -> i64 {
        self.balance.to_native()
    }

    /// The last journal record applied to this account, 0 for none.
    pub fn sequence(&self) -> u64 {
        self.sequence.to_native()
    }

    /// The balance after a transaction, if it is allowed.
    pub fn check(&self, kind: Kind, amount: i64) -> Result<i64, Refusal> {
        debug_assert!(amount > 0);
        match kind {
            Kind::Credit => self.balance().checked_add(amount).ok_or(Refusal::Overflow),
            Kind::Debit => match self.balance().checked_sub(amount) {
                Some(balance) if balance >= -self.limit() => Ok(balance),
                _ => Err(Refusal::Limit),
            },
        }
    }

    /// Applies a transaction that [`check`](Self::check) allowed, as journal record `sequence`.
    pub fn post(&mut self, transaction: &Transaction, balance: i64, sequence: u64) -> Posted {
        debug_assert_eq!(
            self.check(transaction.kind(), transaction.amount()),
            Ok(balance)
        );
        debug_assert!(sequence > self.sequence());
        let slot = usize::from(self.next);
        self.recent[slot] = *transaction;
        self.next = ((slot + 1) % STATEMENT_TRANSACTIONS) as u8;
        self.held = (self.held + 1).min(STATEMENT_TRANSACTIONS as u8);
        self.balance = balance.into();
        self.sequence = sequence.into();
        Posted {
            limit: self.limit(),
            balance,
        }
    }

    /// Back to the start: the first balance and an empty statement, as journal record `sequence`.
    pub fn reset(&mut self, sequence: u64) {
        debug_assert!(sequence > self.sequence());
        *self = Account {
            sequence: sequence.into(),
            ..Account::new(self.id(), self.limit(), self.balance_at_start.to_native())
        };
    }

    /// The last transactions, newest first, in the order in which they were applied.
    pub fn statement(&self) -> impl Iterator<Item = &Transaction> {
        let next = usize::from(self.next);
        (1..=usize::from(self.held)).map(move |back| {
            &self.recent[(next + STATEMENT_TRANSACTIONS - back) % STATEMENT_TRANSACTIONS]
        })
    }

    /// What [`post`](Self::post) is about to overwrite, for taking it back.
    pub fn before(&self) -> Before {
        Before {
            next: self.next,
            held: self.held,
            balance: self.balance,
            sequence: self.sequence,
            overwritten: self.recent[usize::from(self.next)],
        }
    }

    /// Takes the last [`post`](Self::post) back.
    pub fn restore(&mut self, before: &Before) {
        self.next = before.next;
        self.held = before.held;
        self.balance = before.balance;
        self.sequence = before.sequence;
        self.recent[usize::from(before.next)] = before.overwritten;
    }

    /// Whether every field is within its rules: what must hold after reading one from a file.
    pub fn is_sound(&self) -> bool {
        let held = usize::from(self.held);
        let next = usize::from(self.next);
        self.limit() >= 0
            && self.balance() >= -self.limit()
            && self.balance_at_start.to_native() >= -self.limit()
            && next < STATEMENT_TRANSACTIONS
            && held <= STATEMENT_TRANSACTIONS
            && (held == STATEMENT_TRANSACTIONS || held == next)
            && self.statement().all(Transaction::is_sound)
    }
}

/// What a transaction overwrites of an account: [`Account::before`].
#[derive(Clone, Copy, Debug)]
pub struct Before {
    next: u8,
    held: u8,
    balance: i64_le,
    sequence: u64_le,
    overwritten: Transaction,
}
