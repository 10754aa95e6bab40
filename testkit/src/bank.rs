//! The bank as a client sees it: transactions and statements.

use serde_json::Value;

use crate::http::request;
use crate::Reply;

/// The contest's clients and their limits.
pub const CONTEST: [(u32, i64); 5] = [
    (1, 100_000),
    (2, 80_000),
    (3, 1_000_000),
    (4, 10_000_000),
    (5, 500_000),
];

pub fn transaction(client: u32, kind: char, amount: i64, description: &str) -> Vec<u8> {
    with_headers("", client, kind, amount, description)
}

/// One that may be repeated.
pub fn keyed(client: u32, kind: char, amount: i64, description: &str, key: &str) -> Vec<u8> {
    let header = format!("Idempotency-Key: {key}\r\n");
    with_headers(&header, client, kind, amount, description)
}

fn with_headers(headers: &str, client: u32, kind: char, amount: i64, description: &str) -> Vec<u8> {
    let path = format!("/clientes/{client}/transacoes");
    let body = format!(r#"{{"valor":{amount},"tipo":"{kind}","descricao":"{description}"}}"#);
    request("POST", &path, headers, &body)
}

/// What `/extrato` says.
#[derive(Debug)]
pub struct Statement {
    pub total: i64,
    pub limit: i64,
    /// `data_extrato`; texts of this form sort as times do.
    pub time: String,
    /// Newest first.
    pub transactions: Vec<Listed>,
}

/// A transaction in a statement.
#[derive(Clone, Debug)]
pub struct Listed {
    pub amount: i64,
    pub kind: String,
    pub description: String,
    pub time: String,
}

impl Reply {
    /// Of a transaction that was accepted: limit and balance.
    #[track_caller]
    pub fn posted(&self) -> (i64, i64) {
        assert_eq!(self.status, 200, "{self:?}");
        let json = self.json();
        (integer(&json["limite"]), integer(&json["saldo"]))
    }

    /// Of a 200: the statement, of which everything that must hold of any statement holds.
    #[track_caller]
    pub fn statement(&self) -> Statement {
        assert_eq!(self.status, 200, "{self:?}");
        let json = self.json();
        let listed = json["ultimas_transacoes"].as_array().expect("a list");
        let transactions = listed.iter().map(|listed| Listed {
            amount: integer(&listed["valor"]),
            kind: text(&listed["tipo"]),
            description: text(&listed["descricao"]),
            time: text(&listed["realizada_em"]),
        });
        let statement = Statement {
            total: integer(&json["saldo"]["total"]),
            limit: integer(&json["saldo"]["limite"]),
            time: text(&json["saldo"]["data_extrato"]),
            transactions: transactions.collect(),
        };
        assert!(statement.total >= -statement.limit, "{statement:?}");
        assert!(statement.transactions.len() <= 10, "{statement:?}");
        let mut after = &statement.time;
        for listed in &statement.transactions {
            assert!(listed.time <= *after, "times go backwards: {statement:?}");
            after = &listed.time;
        }
        statement
    }
}

#[track_caller]
fn integer(value: &Value) -> i64 {
    value
        .as_i64()
        .unwrap_or_else(|| panic!("{value} is no integer"))
}

#[track_caller]
fn text(value: &Value) -> String {
    let text = value.as_str();
    text.unwrap_or_else(|| panic!("{value} is no string"))
        .to_owned()
}
