//! Debits, credits, statements.

use std::io::{Cursor, Write as _};

use fastrand::Rng;
use serde::Deserialize;

use super::ledger::Ledger;
use super::reply::{is_refusal, object, wrong_content, wrong_status};
use crate::engine::Traffic;
use crate::measure::{Failure, Kind};
use crate::target::Target;

pub use super::ledger::{limit_cents, CLIENTS};
pub use super::statement::{judge_statement, Statement, Transaction};

/// The largest amount of a mix, in cents; the least is 1.
pub const AMOUNT_CENTS_MAX: i64 = 10_000;
/// Of 34 requests of the mix, in the contest's proportions: debits, credits, statements.
const PARTS: [(Kind, usize); 3] = [(Kind::Debit, 22), (Kind::Credit, 11), (Kind::Statement, 1)];
const DECK: usize = PARTS[0].1 + PARTS[1].1 + PARTS[2].1;
const _: () = assert!(DECK == 34 && AMOUNT_CENTS_MAX <= i16::MAX as i64);
/// Holds the body of any transaction: its fixed parts, 20 digits, 10 characters that are all escaped.
const BODY_BYTES_MAX: usize = 128;

/// A transaction that was carried out, as its reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Posted {
    /// `limite`, in cents.
    #[serde(rename = "limite")]
    pub limit: i64,
    /// `saldo`, in cents: after it.
    #[serde(rename = "saldo")]
    pub balance: i64,
}

/// Appends a transaction's request. `kind`: [`Kind::Debit`] or [`Kind::Credit`]; `description`: 1 to 10 characters.
pub fn transaction_request(
    target: &Target,
    out: &mut Vec<u8>,
    client: u32,
    kind: Kind,
    amount: i64,
    description: &str,
) {
    debug_assert!(matches!(kind, Kind::Debit | Kind::Credit));
    let letter = if kind == Kind::Debit { 'd' } else { 'c' };
    let mut body = Cursor::new([0; BODY_BYTES_MAX]);
    write!(body, r#"{{"valor":{amount},"tipo":"{letter}","descricao":"#).expect("room for it");
    serde_json::to_writer(&mut body, description).expect("room for ten characters");
    body.write_all(b"}").expect("room for it");
    let length = body.position() as usize;
    let path = format!("/clientes/{client}/transacoes");
    target.write_request(out, "POST", &path, &body.get_ref()[..length]);
}

/// Appends a statement's request.
pub fn statement_request(target: &Target, out: &mut Vec<u8>, client: u32) {
    let path = format!("/clientes/{client}/extrato");
    target.write_request(out, "GET", &path, b"");
}

/// Reads a reply to a transaction, and judges it. `None`: it was refused, as a debit may be.
///
/// # Errors
/// What is wrong with it.
///
/// # Panics
/// There is no such client.
pub fn judge_transaction(
    client: u32,
    kind: Kind,
    status: u16,
    body: &[u8],
) -> Result<Option<Posted>, Failure> {
    match (status, kind) {
        (200, _) => {}
        (422, Kind::Debit) => return Ok(None),
        (_, Kind::Debit) => return Err(wrong_status(status, "200 or 422, as a debit's is")),
        _ => return Err(wrong_status(status, "200, as a credit's is")),
    }
    let posted: Posted = object(body)?;
    let limit = limit_cents(client).expect("one of the contest's clients");
    if posted.limit != limit {
        let what = format!(
            "limite {} is not that of client {client} ({limit})",
            posted.limit
        );
        return Err(wrong_content(what));
    }
    if posted.balance < -limit {
        let what = format!("saldo {} is below -limite ({})", posted.balance, -limit);
        return Err(wrong_content(what));
    }
    Ok(Some(posted))
}

/// Debits, credits and statements over the contest's clients. One for each thread.
#[derive(Clone, Debug)]
pub struct Bank {
    target: Target,
    random: Rng,
    order: Order,
    ledger: Option<Ledger>,
}

/// Which kind is next.
#[derive(Clone, Debug)]
enum Order {
    /// Cards that are drawn one after the other and then shuffled anew, so that each 34 requests have the contest's
    /// proportions exactly, and threads do not all send the same kind at a time.
    Deck { cards: [Kind; DECK], drawn: usize },
    /// By the arrivals' stream.
    Streams,
    /// Always this one.
    Only(Kind),
}

/// A request that waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    kind: Kind,
    /// Of its client among [`CLIENTS`].
    place: u8,
    /// In cents, negative for a debit; 0 for a statement.
    change: i16,
}

impl Ticket {
    /// Whom the request is about.
    pub fn client(self) -> u32 {
        CLIENTS[usize::from(self.place)].0
    }
}

impl Bank {
    /// 22 debits, 11 credits and 1 statement in each 34 requests, in random order.
    pub fn mixed(target: &Target, seed: u64) -> Bank {
        let kinds = PARTS.into_iter();
        let mut kinds = kinds.flat_map(|(kind, count)| std::iter::repeat_n(kind, count));
        let cards = std::array::from_fn(|_| kinds.next().expect("as many as there are cards"));
        Bank::new(target, seed, Order::Deck { cards, drawn: 0 })
    }

    /// Nothing but statements.
    pub fn statements(target: &Target, seed: u64) -> Bank {
        Bank::new(target, seed, Order::Only(Kind::Statement))
    }

    /// Stream 0 is debits, 1 credits, 2 statements.
    pub fn by_stream(target: &Target, seed: u64) -> Bank {
        Bank::new(target, seed, Order::Streams)
    }

    fn new(target: &Target, seed: u64, order: Order) -> Bank {
        Bank {
            target: target.clone(),
            random: Rng::with_seed(seed),
            order,
            ledger: None,
        }
    }

    /// Keeps a ledger as well. `key`: the same for all threads of a run; see [`Ledger::new`].
    pub fn verified(mut self, key: u64) -> Bank {
        self.ledger = Some(Ledger::new(key));
        self
    }

    /// The ledger, if it was asked for.
    pub fn into_ledger(self) -> Option<Ledger> {
        self.ledger
    }
}

impl Order {
    fn next(&mut self, stream: usize, random: &mut Rng) -> Kind {
        match self {
            Order::Deck { cards, drawn } => {
                // Fisher and Yates's shuffle, a step for each card.
                cards.swap(*drawn, random.usize(*drawn..DECK));
                let kind = cards[*drawn];
                *drawn = (*drawn + 1) % DECK;
                kind
            }
            Order::Streams => PARTS[stream].0,
            Order::Only(kind) => *kind,
        }
    }
}

impl Traffic for Bank {
    type Ticket = Ticket;

    fn next(&mut self, stream: usize, out: &mut Vec<u8>) -> (Kind, Ticket) {
        let kind = self.order.next(stream, &mut self.random);
        let place = self.random.usize(0..CLIENTS.len());
        let (client, _) = CLIENTS[place];
        let mut change = 0;
        if kind == Kind::Statement {
            statement_request(&self.target, out, client);
        } else {
            let amount = self.random.i64(1..=AMOUNT_CENTS_MAX);
            let description: [u8; 10] = std::array::from_fn(|_| self.random.u8(b'a'..=b'z'));
            let description = std::str::from_utf8(&description).expect("ASCII letters");
            transaction_request(&self.target, out, client, kind, amount, description);
            change = if kind == Kind::Debit { -amount } else { amount };
        }
        let ticket = Ticket {
            kind,
            place: place as u8,
            change: change as i16,
        };
        (kind, ticket)
    }

    fn judge(&mut self, ticket: Ticket, status: u16, body: &[u8]) -> Result<(), Failure> {
        let place = usize::from(ticket.place);
        let (client, _) = CLIENTS[place];
        if ticket.kind == Kind::Statement {
            return judge_statement(client, status, body).map(|_| ());
        }
        let result = judge_transaction(client, ticket.kind, status, body);
        if let Some(ledger) = &mut self.ledger {
            let change = i64::from(ticket.change);
            // A wrong balance is one that was answered all the same.
            let posted = match &result {
                Ok(posted) => *posted,
                Err(_) if status == 200 => object(body).ok(),
                Err(_) => None,
            };
            match posted {
                Some(posted) => ledger.acknowledged(place, change, posted.balance),
                None if is_refusal(status) => {}
                None => ledger.unknown(place, change),
            }
        }
        result.map(|_| ())
    }

    fn lost(&mut self, ticket: Ticket, sent: bool) {
        if let Some(ledger) = self.ledger.as_mut().filter(|_| sent && ticket.change != 0) {
            ledger.unknown(usize::from(ticket.place), ticket.change.into());
        }
    }
}

#[cfg(test)]
mod tests;
