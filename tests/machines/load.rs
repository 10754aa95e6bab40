//! Clients that each know one account, and hold every reply against what they know.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use galo_testkit::{get, keyed, transaction, wait_until, Address, Connection, Random, Reply};

use crate::clients::Clients;

const CLIENTS: u32 = 5;

/// What a client knows of its account: credits of one cent, and nobody else's. Every other client gives each credit a key, and
/// repeats it until it knows that it has happened.
#[derive(Debug, Default)]
struct Account {
    client: u32,
    acknowledged: i64,
    /// May have happened, or may happen yet.
    unknown: i64,
    /// The highest balance that anybody has seen.
    seen: i64,
    replies: u64,
    refused: u64,
}

impl Account {
    /// A balance that a reply tells; of a credit, that credit is in it.
    #[track_caller]
    fn sees(&mut self, balance: i64, asked: &str) {
        let least = self.seen.max(self.acknowledged);
        let most = self.acknowledged + self.unknown;
        assert!(
            (least..=most).contains(&balance),
            "{asked}: {balance} is not in {least}..={most}: {self:?}"
        );
        self.seen = balance;
    }

    /// An error: another node is to be asked.
    fn credit(&mut self, connection: &mut Connection) -> Result<(), ()> {
        let is_keyed = self.client % 2 == 1;
        // Until it is known.
        self.unknown = if is_keyed { 1 } else { self.unknown + 1 };
        let request = match is_keyed {
            true => {
                let key = format!("{}-{}", self.client, self.acknowledged + 1);
                keyed(self.client, 'c', 1, "load", &key)
            }
            false => transaction(self.client, 'c', 1, "load"),
        };
        let reply = ask(connection, &request)?;
        self.replies += 1;
        match reply.status {
            200 => {
                self.unknown -= 1;
                self.acknowledged += 1;
                let balance = reply.posted().1;
                self.sees(balance, "a credit");
            }
            503 => {
                self.refused += 1;
                let is_known = reply.text().contains("\"unavailable\"");
                assert!(
                    is_known || reply.text().contains("\"unanswered\""),
                    "{reply:?}"
                );
                // One with a key may have happened when it was sent before.
                self.unknown -= i64::from(is_known && !is_keyed);
                return Err(());
            }
            _ => panic!("{reply:?}"),
        }
        Ok(())
    }

    /// The same of a statement.
    fn read(&mut self, connection: &mut Connection) -> Result<(), ()> {
        let path = format!("/clientes/{}/extrato", self.client);
        let reply = ask(connection, &get(&path))?;
        self.replies += 1;
        match reply.status {
            200 => self.sees(reply.statement().total, "a statement"),
            503 => {
                self.refused += 1;
                return Err(());
            }
            _ => panic!("{reply:?}"),
        }
        Ok(())
    }
}

fn ask(connection: &mut Connection, request: &[u8]) -> Result<Reply, ()> {
    connection.try_send(request).map_err(drop)?;
    connection.try_reply().map_err(drop)
}

/// Runs `faults` while each client asks one node after the other; then everything is asked once more, and adds up.
pub fn under_load(addresses: &[Address], faults: impl FnOnce(&Clients)) -> Report {
    let all = Clients::new(CLIENTS as usize);
    let is_over = AtomicBool::new(false);
    let client = |client: u32| {
        let mut account = Account {
            client,
            ..Account::default()
        };
        let mut acknowledged = 0;
        let mut random = Random::new(client.into());
        while !is_over.load(Ordering::Relaxed) {
            let node = random.index(addresses.len());
            let Ok(mut connection) = Connection::open(&addresses[node]) else {
                thread::yield_now();
                continue;
            };
            for _ in 0..random.between(1, 40) {
                let done = match random.percent(70) && all.may_write_at(node) {
                    true => account.credit(&mut connection),
                    false => account.read(&mut connection),
                };
                if done.is_err() {
                    break; // What was asked may happen yet.
                }
                if account.acknowledged > acknowledged {
                    acknowledged = account.acknowledged;
                    all.acknowledged(client as usize - 1);
                }
            }
        }
        account
    };
    thread::scope(|scope| {
        let client = &client;
        let clients: Vec<_> = (1..=CLIENTS)
            .map(|it| scope.spawn(move || client(it)))
            .collect();
        let faults = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| faults(&all)));
        is_over.store(true, Ordering::Relaxed);
        let accounts = clients.into_iter().map(|it| it.join());
        let mut accounts: Vec<Account> = accounts.map(|it| it.expect("see above")).collect();
        if let Err(panic) = faults {
            std::panic::resume_unwind(panic);
        }
        for account in &mut accounts {
            for address in addresses {
                // All are there again. The engine may still hold an election, which a network that was cut leaves behind.
                wait_until("a statement", || {
                    let connection = Connection::open(address);
                    connection.is_ok_and(|mut it| account.read(&mut it).is_ok())
                });
            }
        }
        let sum = |of: fn(&Account) -> u64| accounts.iter().map(of).sum();
        Report {
            replies: sum(|it| it.replies),
            refused: sum(|it| it.refused),
        }
    })
}

/// How many replies there were, and how many of them said 503.
#[derive(Debug)]
pub struct Report {
    pub replies: u64,
    pub refused: u64,
}
