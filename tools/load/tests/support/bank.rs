//! A small bank that is right, and can be told to be wrong in one way or another: what a load tester has to see.
//!
//! A thread for each connection, one lock around all accounts, nothing kept on disk.

use std::collections::VecDeque;
use std::sync::Mutex;

use galo_testkit::http::reply;
use galo_testkit::Service;
use serde_json::{json, Value};

/// Of clients 1 to 5.
const LIMITS: [i64; 5] = [100_000, 80_000, 1_000_000, 10_000_000, 500_000];
/// Of replies.
pub const JSON: &str = "Content-Type: application/json\r\n";
/// Transactions in a statement.
const STATEMENT_MAX: usize = 10;

/// What is wrong with it. Each n-th is counted over all clients, from one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Each n-th transaction is answered as if it were done, and is not.
    pub lost_update_every: Option<u64>,
    /// Each n-th reply to a transaction shows a balance beyond the limit.
    pub wrong_balance_every: Option<u64>,
    /// The oldest transaction comes first.
    pub statement_reversed: bool,
    /// A transaction that cannot be is answered as if it were done.
    pub accept_bad_bodies: bool,
    /// Each n-th transaction is done twice, and answered as if it were done once.
    pub doubled_update_every: Option<u64>,
    /// Each n-th reply to a transaction shows a cent too much, which only sums can tell.
    pub off_by_one_every: Option<u64>,
    /// Statements show eleven transactions.
    pub statement_too_long: bool,
    /// Statements show a limit that is not the client's.
    pub statement_wrong_limit: bool,
    /// Statements show a balance beyond the limit.
    pub statement_beyond_limit: bool,
    /// Statements show a cent too much.
    pub statement_off_by_one: bool,
}

/// One that listens, until it is dropped.
pub fn start(faults: Faults) -> Service {
    let accounts = Mutex::new(Accounts::new(faults));
    Service::answering(move |request| {
        let mut accounts = accounts.lock().unwrap();
        let (status, body) = accounts.answer(&request.method, &request.path, &request.body);
        reply(status, JSON, &body.to_string())
    })
}

/// All that the bank knows.
pub struct Accounts {
    faults: Faults,
    list: [Account; LIMITS.len()],
    transactions: u64,
}

struct Account {
    limit: i64,
    balance: i64,
    /// Newest first.
    last: VecDeque<Value>,
}

struct Transaction<'a> {
    amount: i64,
    kind: &'a str,
    description: &'a str,
}

impl<'a> Transaction<'a> {
    fn new(body: &'a Value) -> Option<Transaction<'a>> {
        let amount = body["valor"].as_i64().filter(|amount| *amount > 0)?;
        let kind = body["tipo"].as_str()?;
        let description = body["descricao"].as_str()?;
        let length = description.chars().count();
        (matches!(kind, "c" | "d") && (1..=10).contains(&length)).then_some(Transaction {
            amount,
            kind,
            description,
        })
    }
}

impl Accounts {
    pub fn new(faults: Faults) -> Accounts {
        Accounts {
            faults,
            list: LIMITS.map(|limit| Account {
                limit,
                balance: 0,
                last: VecDeque::new(),
            }),
            transactions: 0,
        }
    }

    /// Status and body.
    pub fn answer(&mut self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let &["clientes", id, what] = parts.as_slice() else {
            return (404, json!({"error": "no such path"}));
        };
        let id: usize = id.parse().unwrap_or(0);
        if !(1..=LIMITS.len()).contains(&id) {
            return (404, json!({"error": "no such client"}));
        }
        match (method, what) {
            ("GET", "extrato") => (200, self.statement(id - 1)),
            ("POST", "transacoes") => self.transaction(id - 1, body),
            _ => (404, json!({"error": "no such path"})),
        }
    }

    fn statement(&self, client: usize) -> Value {
        let account = &self.list[client];
        let mut last: Vec<&Value> = account.last.iter().collect();
        if let Some(oldest) = last.last().filter(|_| self.faults.statement_too_long) {
            last.resize(STATEMENT_MAX + 1, oldest);
        }
        if self.faults.statement_reversed {
            last.reverse();
        }
        let now = jiff::Timestamp::now().to_string();
        let total = match self.faults.statement_beyond_limit {
            true => -account.limit - 1,
            false => account.balance + i64::from(self.faults.statement_off_by_one),
        };
        let limit = account.limit + i64::from(self.faults.statement_wrong_limit);
        let balance = json!({"total": total, "data_extrato": now, "limite": limit});
        json!({"saldo": balance, "ultimas_transacoes": last})
    }

    fn transaction(&mut self, client: usize, body: &str) -> (u16, Value) {
        let Faults {
            lost_update_every,
            wrong_balance_every,
            accept_bad_bodies,
            doubled_update_every,
            off_by_one_every,
            ..
        } = self.faults;
        let account = &mut self.list[client];
        let limit = account.limit;
        let parsed = serde_json::from_str(body).unwrap_or(Value::Null);
        let Some(transaction) = Transaction::new(&parsed) else {
            return match accept_bad_bodies {
                true => (200, json!({"limite": limit, "saldo": account.balance})),
                false => (422, json!({"error": "no such transaction"})),
            };
        };
        let change = match transaction.kind {
            "d" => -transaction.amount,
            _ => transaction.amount,
        };
        let balance = account.balance + change;
        if change < 0 && balance < -limit {
            return (422, json!({"error": "beyond the limit"}));
        }
        self.transactions += 1;
        let number = self.transactions;
        let is_nth = |every: Option<u64>| every.is_some_and(|every| number.is_multiple_of(every));
        if !is_nth(lost_update_every) {
            account.balance = balance;
            if is_nth(doubled_update_every) {
                account.balance += change;
            }
            account.last.truncate(STATEMENT_MAX - 1);
            account.last.push_front(json!({
                "valor": transaction.amount,
                "tipo": transaction.kind,
                "descricao": transaction.description,
                "realizada_em": jiff::Timestamp::now().to_string(),
            }));
        }
        let shown = match is_nth(wrong_balance_every) {
            true => -limit - 1,
            false => balance + i64::from(is_nth(off_by_one_every)),
        };
        (200, json!({"limite": limit, "saldo": shown}))
    }
}
