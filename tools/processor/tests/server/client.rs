//! Requests of the contest's API, by number.

use galo_testkit::http::{get, post, request};
use galo_testkit::{Connection, Reply};

pub const TIME: &str = "2025-07-15T12:34:56.120Z";

pub fn id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

pub fn path(number: u64) -> String {
    format!("/payments/{}", id(number))
}

pub fn payment(number: u64, amount: &str, requested_at: &str) -> String {
    let id = id(number);
    format!(r#"{{"correlationId":"{id}","amount":{amount},"requestedAt":"{requested_at}"}}"#)
}

/// What a client of a processor does on its connection.
pub trait Client {
    fn send_payment(&mut self, number: u64);
    fn pay(&mut self, number: u64) -> Reply;
    /// Asks for a payment, which may not be there.
    fn look_up(&mut self, number: u64) -> Reply;
    fn exchange(&mut self, method: &str, path: &str, body: &str) -> Reply;
}

impl Client for Connection {
    fn send_payment(&mut self, number: u64) {
        self.send(&post("/payments", &payment(number, "19.90", TIME)));
    }

    fn pay(&mut self, number: u64) -> Reply {
        self.send_payment(number);
        self.reply()
    }

    fn look_up(&mut self, number: u64) -> Reply {
        self.ask(&get(&path(number)))
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> Reply {
        self.ask(&request(method, path, "", body))
    }
}
