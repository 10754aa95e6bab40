//! What a client of the payments gateway was promised, and what must come of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    cents, decimal, get, new_id, payment, stored, us_of, Address, Connection, Processor, Random,
    Reply, Server, Summary, PATIENCE, PROCESSORS,
};

/// Payments by their ids.
#[derive(Default)]
pub struct PaymentLedger {
    payments: BTreeMap<String, Entry>,
}

struct Entry {
    cents: u128,
    /// A reply said that it is accepted; otherwise nobody knows.
    acknowledged: bool,
}

impl PaymentLedger {
    /// It is about to be sent.
    pub fn sends(&mut self, id: &str, amount: &str) {
        let entry = Entry {
            cents: cents(amount),
            acknowledged: false,
        };
        assert!(self.payments.insert(id.to_owned(), entry).is_none());
    }

    /// It was accepted.
    pub fn acknowledged(&mut self, id: &str) {
        let entry = self.payments.get_mut(id).expect("it was sent");
        entry.acknowledged = true;
    }

    /// Pays so many amounts at random, one after the other, each of which must be accepted.
    pub fn pay(&mut self, connection: &mut Connection, random: &mut Random, count: usize) {
        for _ in 0..count {
            let (id, amount) = (new_id(random), amount(random));
            self.sends(&id, &amount);
            let reply = connection.ask(&payment(&id, &amount));
            assert_eq!(reply.status, 202, "{reply:?}");
            self.acknowledged(&id);
        }
    }

    pub fn acknowledged_count(&self) -> usize {
        let entries = self.payments.values();
        entries.filter(|entry| entry.acknowledged).count()
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.payments.keys().map(String::as_str)
    }

    /// Waits until nothing is open; then every acknowledged payment is at one processor and in the
    /// summary, once, with its amount and the time that the processor has; of the others, each is there
    /// once or nowhere; and there is nothing else. The summary.
    #[track_caller]
    pub fn expect_settled(&self, address: &Address, processors: &[Processor; 2]) -> Summary {
        self.expect_settled_within(address, processors, PATIENCE)
    }

    /// The same in so much time.
    #[track_caller]
    pub fn expect_settled_within(
        &self,
        address: &Address,
        processors: &[Processor; 2],
        within: Duration,
    ) -> Summary {
        let mut connection = Connection::open(address).expect("a connection");
        let deadline = Instant::now() + within;
        let mut shown = BTreeMap::new();
        for (id, entry) in &self.payments {
            let found = loop {
                let reply = connection.ask(&get(&format!("/payments/{id}")));
                if let Some(found) = Shown::of(&reply, entry) {
                    break found;
                }
                assert!(Instant::now() < deadline, "still open: {reply:?}");
                std::thread::sleep(Duration::from_millis(20));
            };
            shown.insert(id.as_str(), found);
        }
        let at = [0, 1].map(|number| processors[number].payments(self.ids()));
        let mut expected = Summary::default();
        for (index, (id, entry)) in self.payments.iter().enumerate() {
            let places = (&at[0][index], &at[1][index]);
            let (number, stored) = match places {
                (Some(stored), None) => (0, stored),
                (None, Some(stored)) => (1, stored),
                (None, None) => {
                    assert!(!entry.acknowledged, "{id} was acknowledged and is nowhere");
                    assert_eq!(shown[id.as_str()], Shown::Nowhere, "{id} is nowhere");
                    continue;
                }
                (Some(_), Some(_)) => panic!("{id} is paid twice: {places:?}"),
            };
            assert_eq!(stored.cents, entry.cents, "{id}");
            let expected_shown = Shown::Processed(number, stored.requested_us);
            assert_eq!(shown[id.as_str()], expected_shown, "{id}");
            expected.0[number].count += 1;
            expected.0[number].cents += stored.cents;
        }
        assert_eq!(stored(processors), expected, "they have what nobody sent");
        let summary = Summary::of(&connection.ask(&get("/payments-summary")));
        assert_eq!(summary, expected);
        summary
    }
}

/// A payment as `GET /payments/{id}` shows it, once it is processed.
#[track_caller]
pub fn processed(server: &Server, id: &str) -> Value {
    let began = Instant::now();
    loop {
        let reply = server.get(&format!("/payments/{id}"));
        assert_eq!(reply.status, 200, "{reply:?}");
        let json = reply.json();
        if json["status"] == "processed" {
            return json;
        }
        assert!(began.elapsed() < PATIENCE, "still open: {json}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What `GET /payments/{id}` says.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    /// By which processor, and its `requestedAt`.
    Processed(usize, u64),
    Nowhere,
}

impl Shown {
    /// `None`: it is open.
    #[track_caller]
    fn of(reply: &Reply, entry: &Entry) -> Option<Shown> {
        if reply.status == 404 {
            assert!(!entry.acknowledged, "{reply:?}");
            return Some(Shown::Nowhere);
        }
        // A shard without an owner, for as long as it is being taken over.
        if reply.status == 503 {
            return None;
        }
        assert_eq!(reply.status, 200, "{reply:?}");
        let json = reply.json();
        if json["status"] != "processed" {
            return None;
        }
        let by = json["processor"].as_str().expect("a processor");
        let by = PROCESSORS.iter().position(|name| *name == by);
        let requested = json["requested_at"].as_str().expect("a time");
        Some(Shown::Processed(by.expect("one of ours"), us_of(requested)))
    }
}

/// From a cent to a thousand, with two decimals.
pub fn amount(random: &mut Random) -> String {
    decimal(random.between(1, 100_000).into())
}
