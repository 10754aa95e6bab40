//! What a statement must be.

use std::borrow::Cow;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::Timestamp;
use serde::Deserialize;

use super::ledger::limit_cents;
use super::reply::{object, wrong_content, wrong_status, Object};
use crate::measure::{Failure, Kind};

/// Of a statement's list.
pub const TRANSACTIONS_MAX: usize = 10;
/// Of a description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 10;

/// A statement that is right, as far as it can tell by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// In cents.
    pub balance: i64,
    /// In cents; the client's.
    pub limit: i64,
    /// `data_extrato`.
    pub at: Timestamp,
    /// Newest first.
    pub transactions: Vec<Transaction<'a>>,
}

/// Of a statement's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction<'a> {
    /// [`Kind::Credit`] or [`Kind::Debit`].
    pub kind: Kind,
    /// In cents, positive.
    pub amount: i64,
    /// 1 to [`DESCRIPTION_CHARS_MAX`] characters.
    pub description: Cow<'a, str>,
    /// `realizada_em`.
    pub at: Timestamp,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    saldo: Object<Balance<'a>>,
    #[serde(borrow)]
    ultimas_transacoes: Vec<Object<Entry<'a>>>,
}

#[derive(Deserialize)]
struct Balance<'a> {
    total: i64,
    limite: i64,
    #[serde(borrow)]
    data_extrato: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    valor: i64,
    #[serde(borrow)]
    tipo: Cow<'a, str>,
    #[serde(borrow)]
    descricao: Cow<'a, str>,
    #[serde(borrow)]
    realizada_em: Cow<'a, str>,
}

/// Reads a reply to a statement's request, and judges it.
///
/// # Errors
/// What is wrong with it.
///
/// # Panics
/// There is no such client.
pub fn judge_statement(client: u32, status: u16, body: &[u8]) -> Result<Statement<'_>, Failure> {
    if status != 200 {
        return Err(wrong_status(status, "200, as a statement's is"));
    }
    let Body {
        saldo: Object(saldo),
        ultimas_transacoes: entries,
    } = object(body)?;
    let limit = limit_cents(client).expect("one of the contest's clients");
    if saldo.limite != limit {
        let what = format!(
            "limite {} is not that of client {client} ({limit})",
            saldo.limite
        );
        return Err(wrong_content(what));
    }
    if saldo.total < -limit {
        let what = format!("total {} is below -limite ({})", saldo.total, -limit);
        return Err(wrong_content(what));
    }
    let at = timestamp("data_extrato", &saldo.data_extrato)?;
    if entries.len() > TRANSACTIONS_MAX {
        let count = entries.len();
        let what = format!("{count} ultimas_transacoes are more than {TRANSACTIONS_MAX}");
        return Err(wrong_content(what));
    }
    let mut transactions: Vec<Transaction<'_>> = Vec::with_capacity(entries.len());
    for (number, Object(entry)) in entries.into_iter().enumerate() {
        let realized = entry.realizada_em.clone();
        let transaction = entry.judge().map_err(|mut failure| {
            failure.what = format!("ultimas_transacoes[{number}]: {}", failure.what);
            failure
        })?;
        if let Some(newer) = transactions
            .last()
            .filter(|newer| newer.at < transaction.at)
        {
            let what = format!(
                "ultimas_transacoes[{number}]: realizada_em {realized} is later than that of the one before ({}): the newest \
                 comes first",
                newer.at
            );
            return Err(wrong_content(what));
        }
        transactions.push(transaction);
    }
    Ok(Statement {
        balance: saldo.total,
        limit,
        at,
        transactions,
    })
}

impl<'a> Entry<'a> {
    fn judge(self) -> Result<Transaction<'a>, Failure> {
        if self.valor <= 0 {
            return Err(wrong_content(format!(
                "valor {} is not positive",
                self.valor
            )));
        }
        let kind = match &*self.tipo {
            "c" => Kind::Credit,
            "d" => Kind::Debit,
            other => return Err(wrong_content(format!("tipo {other:?} is neither c nor d"))),
        };
        let length = self.descricao.chars().count();
        if !(1..=DESCRIPTION_CHARS_MAX).contains(&length) {
            let what = format!(
                "descricao {:?} has {length} characters, not 1 to {DESCRIPTION_CHARS_MAX}",
                self.descricao
            );
            return Err(wrong_content(what));
        }
        Ok(Transaction {
            kind,
            amount: self.valor,
            at: timestamp("realizada_em", &self.realizada_em)?,
            description: self.descricao,
        })
    }
}

/// In any of ISO 8601's forms that say a date and a time; UTC, if it says no offset.
fn timestamp(name: &str, text: &str) -> Result<Timestamp, Failure> {
    if let Ok(timestamp) = text.parse() {
        return Ok(timestamp);
    }
    let civil = text.parse::<DateTime>().ok();
    let timestamp = civil.and_then(|civil| Offset::UTC.to_timestamp(civil).ok());
    timestamp.ok_or_else(|| wrong_content(format!("{name} {text:?} is no ISO 8601 timestamp")))
}

#[cfg(test)]
mod tests;
