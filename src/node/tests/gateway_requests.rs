//! What tests of the payments gateway ask of a [`Rig`], as its clients and as its processors.

use super::rig::processors::{response, stored, Call, Kind, GATEWAY};
use super::*;
use crate::payments::PaymentId;

/// One core with one shard, and processors.
pub const GATEWAY_ONE: Plan = Plan {
    gateway: Some(GATEWAY),
    ..ONE
};

/// Two of them, with two shards each: shard `s` is at home at node `s % 2`.
pub const GATEWAY_TWO: Plan = Plan {
    nodes: 2,
    shards: 4,
    ..GATEWAY_ONE
};

/// The n-th id, of many, whose payment is in a shard.
pub fn id_in(plan: Plan, shard: usize, nth: usize) -> PaymentId {
    let ids = (1..).map(PaymentId::made_of);
    let mut its = ids.filter(|id| id.shard(plan.shards) == shard);
    its.nth(nth).unwrap()
}

pub fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

pub fn pay(id: PaymentId, amount: &str) -> String {
    let body = format!("{{\"correlationId\":\"{id}\",\"amount\":{amount}}}");
    post("/payments", "", &body)
}

/// `key`: an `Idempotency-Key`, or nothing.
pub fn pay_now(amount: &str, key: &str) -> String {
    let header = match key {
        "" => String::new(),
        key => format!("Idempotency-Key: {key}\r\n"),
    };
    let body = format!("{{\"amount\":{amount},\"description\":\"now\"}}");
    post("/payments", &header, &body)
}

pub fn summary() -> String {
    get("/payments-summary")
}

pub fn purge() -> String {
    post("/purge-payments", "", "")
}

impl Reply {
    /// Of a summary: payments and amount of default, and of fallback.
    #[track_caller]
    pub fn totals(&self) -> [(u64, &str); 2] {
        assert_eq!(self.status, 200, "{self:?}");
        ["default", "fallback"].map(|name| {
            let start = format!("\"{name}\":{{\"totalRequests\":");
            let rest = self.body.split_once(&start).expect("its totals").1;
            let (count, rest) = rest.split_once(",\"totalAmount\":").unwrap();
            (count.parse().unwrap(), rest.split_once('}').unwrap().0)
        })
    }
}

impl Rig {
    /// What processors were asked to carry out since the last call, and about single payments.
    pub fn pays_and_lookups(&mut self) -> (Vec<Call>, Vec<Call>) {
        let calls = self.calls().into_iter();
        let calls = calls.filter(|call| call.kind != Kind::Health);
        calls.partition(|call| matches!(call.kind, Kind::Pay(_)))
    }

    /// The processors carry out whatever they have been sent: how many that was.
    pub fn carry_out_all(&mut self) -> usize {
        let (pays, lookups) = self.pays_and_lookups();
        assert_eq!(lookups, []);
        for call in &pays {
            self.answer(call, 200);
        }
        pays.len()
    }

    /// The answer to a question about a payment that is there, as `call` has asked to carry it out.
    pub fn has_it(&mut self, lookup: &Call, call: &Call) {
        assert_eq!(lookup.kind, Kind::LookUp(call.payment().id));
        self.say(lookup, response(200, &stored(&call.payment())));
    }
}
