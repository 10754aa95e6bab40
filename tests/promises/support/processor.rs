//! Payment processors to test against: `tools/processor`, as processes of their own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use serde_json::Value;

use super::payments::{cents, iso, us_of, Summary, Totals, PROCESSORS};
use super::{Address, Connection, Reply};

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

/// A running processor. It is killed when this is dropped.
pub struct Processor {
    child: Child,
    address: Address,
}

impl Processor {
    /// The default one and the fallback, in this order.
    pub fn both() -> [Processor; 2] {
        [0, 1].map(|number| Processor::start(number, &[]))
    }

    /// By its number, which decides its fee; with more flags.
    pub fn start(number: usize, more: &[&str]) -> Processor {
        let mut child = Command::new(binary())
            .args(["--listen", "127.0.0.1:0", "--fee", FEES[number]])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("galo-processor starts");
        let stdout = child.stdout.take().expect("it was piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let listening = lines.find_map(|line| Some(line.split_once("listening on ")?.1.to_owned()));
        let address = listening.unwrap_or_else(|| panic!("{} does not listen", PROCESSORS[number]));
        // Nobody reads on; what it may say must not block it.
        thread::spawn(move || lines.for_each(drop));
        Processor {
            child,
            address: Address::Tcp(address),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address.tcp())
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
        let reply = self.ask("GET", &path, "");
        assert_eq!(reply.status, 200, "{reply:?}");
        Totals {
            count: json(&reply)["totalRequests"].as_u64().expect("a count"),
            cents: cents(&number(&reply, "totalAmount")),
        }
    }

    /// These payments, as far as it has them.
    pub fn payments<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Vec<Option<Stored>> {
        let mut connection = self.connect();
        ids.map(|id| {
            let reply = connection.ask(&request("GET", &format!("/payments/{id}"), ""));
            match reply.status {
                404 => None,
                200 => Some(Stored {
                    cents: cents(&number(&reply, "amount")),
                    requested_us: us_of(json(&reply)["requestedAt"].as_str().expect("a time")),
                }),
                _ => panic!("{reply:?}"),
            }
        })
        .collect()
    }

    fn put(&self, what: &str, body: &str) {
        let path = format!("/admin/configurations/{what}");
        let reply = self.ask("PUT", &path, body);
        assert!((200..300).contains(&reply.status), "{body}: {reply:?}");
    }

    /// A question or an order on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        self.connect().ask(&request(method, path, body))
    }

    pub fn connect(&self) -> Connection {
        Connection::open(&self.address).expect("a connection")
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What both have stored, all of it, by number.
pub fn stored(processors: &[Processor; 2]) -> Summary {
    Summary([0, 1].map(|number| processors[number].all()))
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: processor\r\nX-Rinha-Token: 123\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Of whatever charset it says.
fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error} in {reply:?}"))
}

/// A number of a flat object as it is written: nothing is rounded.
fn number(reply: &Reply, name: &str) -> String {
    let object = String::from_utf8_lossy(&reply.body);
    let (_, rest) = object
        .split_once(&format!("\"{name}\":"))
        .unwrap_or_else(|| panic!("no {name} in {object}"));
    let end = rest.find([',', '}']).expect("an end");
    rest[..end].trim().to_owned()
}

/// Builds it, once, with the profile that the server under test has: testing one package does not build
/// the programs of another. Who has tested the whole workspace has them, and says so (`.ci/run`): building
/// one alone means other features of what it depends on, and all of that once more.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let directory = Path::new(env!("CARGO_BIN_EXE_galo")).parent().expect("one");
        let profile = match directory.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        if std::env::var_os("GALO_PROGRAMS_BUILT").is_some() {
            return directory.join("galo-processor");
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--locked",
                "--package",
                "galo-processor",
            ])
            .args(["--profile", profile, "--target-dir"])
            .arg(directory.parent().expect("one"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .status()
            .expect("cargo");
        assert!(status.success(), "galo-processor does not build");
        directory.join("galo-processor")
    })
}
