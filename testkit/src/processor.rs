//! `tools/processor`: what it says over HTTP, and as a process.

use std::ops::Deref;
use std::process::Command;

use crate::payments::{cents, iso, us_of, Summary, Totals};
use crate::process::LogStream;
use crate::programs::program;
use crate::{get, http, Address, Connection, Process, Reply};

/// Of its replies.
pub const JSON: &str = "application/json; charset=utf-8";

/// What it can do to a payment, by its own names.
pub const FAULTS: [&str; 8] = [
    "reply_lost",
    "reset_before",
    "reset_after",
    "cut_head",
    "cut_body",
    "hang_stored",
    "hang_lost",
    "drip",
];

/// What each keeps of a payment, by number.
const FEES: [&str; 2] = ["0.05", "0.15"];

/// A payment as a processor has stored it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub cents: u128,
    pub requested_us: u64,
}

/// A running processor.
pub struct Processor {
    pub process: Process,
    api: ProcessorApi,
}

impl Deref for Processor {
    type Target = ProcessorApi;

    fn deref(&self) -> &ProcessorApi {
        &self.api
    }
}

impl Processor {
    /// The default one and the fallback, in this order.
    pub fn both() -> [Processor; 2] {
        Processor::both_with(&[])
    }

    /// The same with more flags.
    pub fn both_with(flags: &[&str]) -> [Processor; 2] {
        FEES.map(|fee| Processor::start(&[&["--fee", fee], flags].concat()))
    }

    /// Both on another address than that of loopback.
    pub fn both_at(host: &str) -> [Processor; 2] {
        FEES.map(|fee| Processor::start_at(host, &["--fee", fee]))
    }

    pub fn start(flags: &[&str]) -> Processor {
        Processor::start_at("127.0.0.1", flags)
    }

    fn start_at(host: &str, flags: &[&str]) -> Processor {
        let mut command = Command::new(program("galo-processor"));
        command.arg("--listen").arg(format!("{host}:0")).args(flags);
        let process = Process::start(command, LogStream::Stdout);
        let address = process.listening(1).remove(0);
        let api = ProcessorApi { address };
        Processor { process, api }
    }
}

/// A processor by its address, whoever has started it.
pub struct ProcessorApi {
    pub address: Address,
}

impl ProcessorApi {
    pub fn url(&self) -> String {
        self.address.url()
    }

    pub fn connect(&self) -> Connection {
        Connection::open(&self.address).expect("a connection")
    }

    /// A request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        self.connect().ask(&http::request(method, path, "", body))
    }

    /// The same with the token that it has if nobody has set another.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> Reply {
        let token = "X-Rinha-Token: 123\r\n";
        self.connect()
            .ask(&http::request(method, path, token, body))
    }

    /// Of each payment, in milliseconds.
    pub fn set_delay(&self, delay_ms: u64) {
        self.put("delay", &format!(r#"{{"delay":{delay_ms}}}"#));
    }

    pub fn set_failing(&self, failing: bool) {
        self.put("failure", &format!(r#"{{"failure":{failing}}}"#));
    }

    /// The share of payments that each fault happens to; the others end.
    pub fn set_faults(&self, shares: &[(&str, f64)]) {
        let shares = shares.iter().map(|(fault, share)| {
            assert!(FAULTS.contains(fault));
            format!(r#""{fault}":{share}"#)
        });
        let shares: Vec<String> = shares.collect();
        self.put("faults", &format!("{{{}}}", shares.join(",")));
    }

    /// What it has stored from when to when, both inclusive; microseconds since 1970.
    pub fn totals(&self, from_us: u64, to_us: u64) -> Totals {
        let window = format!("?from={}&to={}", iso(from_us), iso(to_us));
        self.totals_of(&window)
    }

    /// All that it has stored.
    pub fn all(&self) -> Totals {
        self.totals_of("")
    }

    fn totals_of(&self, window: &str) -> Totals {
        let path = format!("/admin/payments-summary{window}");
        let reply = self.admin("GET", &path, "");
        assert_eq!(reply.status, 200, "{reply:?}");
        Totals {
            count: reply.json_as(JSON)["totalRequests"]
                .as_u64()
                .expect("a count"),
            cents: cents(&number(&reply, "totalAmount")),
        }
    }

    /// These payments, as far as it has them.
    pub fn payments<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Vec<Option<Stored>> {
        let mut connection = self.connect();
        ids.map(|id| {
            let reply = connection.ask(&get(&format!("/payments/{id}")));
            match reply.status {
                404 => None,
                200 => Some(Stored {
                    cents: cents(&number(&reply, "amount")),
                    requested_us: us_of(
                        reply.json_as(JSON)["requestedAt"].as_str().expect("a time"),
                    ),
                }),
                _ => panic!("{reply:?}"),
            }
        })
        .collect()
    }

    fn put(&self, what: &str, body: &str) {
        let path = format!("/admin/configurations/{what}");
        let reply = self.admin("PUT", &path, body);
        assert!((200..300).contains(&reply.status), "{body}: {reply:?}");
    }
}

/// What both have stored, all of it, by number.
pub fn stored(processors: &[Processor; 2]) -> Summary {
    Summary(processors.each_ref().map(|processor| processor.all()))
}

/// A number of a flat object as it is written: nothing is rounded.
fn number(reply: &Reply, name: &str) -> String {
    let object = reply.text();
    let (_, rest) = object
        .split_once(&format!("\"{name}\":"))
        .unwrap_or_else(|| panic!("no {name} in {object}"));
    let end = rest.find([',', '}']).expect("an end");
    rest[..end].trim().to_owned()
}
