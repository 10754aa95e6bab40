//! Payments: accepted, and summed up.

use std::collections::HashSet;

use serde_json::{json, Value};

/// What is wrong with the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbooked {
    /// Each n-th payment is acknowledged, and not in the summary.
    Lost(u64),
    /// Each n-th payment is in the summary twice.
    Doubled(u64),
    /// The first payment is in the summary with a cent too much.
    Cent,
    /// Nothing is in the summary before it is asked for this often.
    Late(u64),
}

/// All that it knows.
pub struct Gateway {
    misbooked: Option<Misbooked>,
    ids: HashSet<String>,
    requests: u64,
    cents: u64,
    looks: u64,
}

impl Gateway {
    pub fn new(misbooked: Option<Misbooked>) -> Gateway {
        Gateway {
            misbooked,
            ids: HashSet::new(),
            requests: 0,
            cents: 0,
            looks: 0,
        }
    }

    /// Status and body.
    pub fn answer(&mut self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let path = path.split('?').next().unwrap_or_default();
        match (method, path) {
            ("POST", "/payments") => self.pay(body),
            ("GET", "/payments-summary") => {
                self.looks += 1;
                let is_shown =
                    !matches!(self.misbooked, Some(Misbooked::Late(looks)) if self.looks < looks);
                let (requests, cents) = match is_shown {
                    true => (self.requests, self.cents),
                    false => (0, 0),
                };
                // Exact, as it is written: two decimals of a sum below 2^53 cents.
                let amount = cents as f64 / 100.0;
                let default = json!({"totalRequests": requests, "totalAmount": amount});
                let fallback = json!({"totalRequests": 0, "totalAmount": 0});
                (200, json!({"default": default, "fallback": fallback}))
            }
            ("POST", "/purge-payments") => {
                *self = Gateway::new(self.misbooked);
                (200, json!({"message": "purged"}))
            }
            _ => (404, json!({"error": "no such path"})),
        }
    }

    fn pay(&mut self, body: &str) -> (u16, Value) {
        let parsed: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let (Some(id), Some(amount)) =
            (parsed["correlationId"].as_str(), parsed["amount"].as_f64())
        else {
            return (422, json!({"error": "no payment"}));
        };
        if !self.ids.insert(id.to_owned()) {
            return (422, json!({"error": "a payment twice"}));
        }
        let number = self.ids.len() as u64;
        let cents = (amount * 100.0).round() as u64;
        let (times, more) = match self.misbooked {
            Some(Misbooked::Lost(every)) if number.is_multiple_of(every) => (0, 0),
            Some(Misbooked::Doubled(every)) if number.is_multiple_of(every) => (2, 0),
            Some(Misbooked::Cent) if number == 1 => (1, 1),
            _ => (1, 0),
        };
        self.requests += times;
        self.cents += times * cents + more;
        (202, json!({"message": "accepted"}))
    }
}
