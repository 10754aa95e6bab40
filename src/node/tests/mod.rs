//! Tests of the node with its files, one file per theme, and the [`rig`] that they share.

mod accepted_again;
mod bounds;
mod buffers;
mod chaos;
mod clock;
mod cluster;
mod deadlines;
mod dispatching;
mod doubt;
mod durability;
mod gateway_chaos;
mod gateway_clients;
mod gateway_requests;
mod health;
mod linking;
mod links;
mod machines;
mod outcomes;
mod payments;
mod pipelining;
mod problems;
mod purging;
mod queries;
mod random_requests;
mod rig;
mod runs;
mod senseless;
mod status_queries;
mod stopping;
mod storage_full;
mod summaries;
mod takeover;
mod turns;

use std::collections::VecDeque;

use super::Durability;
use crate::limits::SECOND_NS;
use crate::machine::{ConnectionId, Effect, Exit, Job as _, Machine, Peer};
use crate::runtime::Runtime;
use crate::shard::tests::faulty::{Faulty, Write};
use rig::{Client, Plan, Rig, ONE};

/// A reply as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

// ---- Requests ------------------------------------------------------------------

fn transact(client: u32, kind: char, amount: i64) -> String {
    let body = format!("{{\"valor\":{amount},\"tipo\":\"{kind}\",\"descricao\":\"descricao\"}}");
    format!(
        "POST /clientes/{client}/transacoes HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn statement(client: u32) -> String {
    get(&format!("/clientes/{client}/extrato"))
}

fn reset() -> &'static str {
    "POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
}

impl Reply {
    /// Of a transaction's or a statement's body.
    #[track_caller]
    fn balance(&self) -> i64 {
        assert_eq!(self.status, 200, "{self:?}");
        let key = if self.body.contains("\"total\":") {
            "\"total\":"
        } else {
            "\"saldo\":"
        };
        let behind = self.body.split(key).nth(1).expect("a balance");
        let digits = behind.find([',', '}']).unwrap();
        behind[..digits].parse().unwrap()
    }

    fn closes(&self) -> bool {
        self.head.contains("\r\nConnection: close")
    }
}
