//! Clients that write down what they asked for and what they were told, and what the journals and
//! the balances must then say.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::journals;
use crate::stack::{Health, Stack, NODES};
use galo_testkit::{get, transaction, wait_until, Address, Connection, Random, Reply, CONTEST};

/// On connections that stay.
const KEEP_ALIVE: u64 = 32;
/// With a connection for each request.
const ONE_REQUEST: u64 = 4;
/// Requests of one connection that stays, at most: so a node that returns gets some again.
const CONNECTION_REQUESTS_MAX: u64 = 60;
/// Between two requests of a client. Together they write less than a segment of the journal, so that
/// none is dropped before it is read back.
const PAUSE_US_MAX: u64 = 20_000;

/// A transaction that was asked for. Its description tells it from all others.
#[derive(Clone, Debug)]
struct Asked {
    client: u32,
    kind: char,
    amount: i64,
    told: Told,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    /// 200, and the balance afterwards.
    Applied(i64),
    /// 422: the limit.
    Refused,
    /// Neither: see [`Failure`].
    Nothing,
}

/// A request without the reply that it was promised.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The node behind the connection, where nginx leaves them together and it was known.
    pub node: Option<usize>,
    /// When the connection was made, and when it ended.
    pub from: Instant,
    pub to: Instant,
    pub how: How,
}

/// See [`Failure`].
#[derive(Clone, Debug)]
pub enum How {
    /// The connection ended before the reply.
    Ended(io::ErrorKind),
    /// Neither 200 nor the limit's 422.
    Replied(Reply),
}

impl From<io::Error> for How {
    fn from(error: io::Error) -> How {
        How::Ended(error.kind())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node.map_or("a node unknown", |node| NODES[node]);
        let lived = self.to.duration_since(self.from);
        write!(f, "a connection to {node}, after {lived:?}: ")?;
        match &self.how {
            How::Ended(kind) => write!(f, "{kind}"),
            How::Replied(reply) => {
                let body = String::from_utf8_lossy(&reply.body);
                write!(f, "{} {body}", reply.status)
            }
        }
    }
}

/// What all clients have seen.
#[derive(Default)]
pub struct Seen {
    asked: HashMap<String, Asked>,
    pub failures: Vec<Failure>,
    /// Replies of each node; behind nginx's HTTP nobody knows, and it is the first's.
    pub replies: [u64; 2],
}

/// Runs the clients while `during` runs. `tells_nodes`: a connection is one node's throughout.
pub fn run(
    address: &Address,
    tells_nodes: bool,
    seed: u64,
    during: impl FnOnce(&ParseState),
) -> Seen {
    let seen = Mutex::new(Seen::default());
    let progress = ParseState(std::array::from_fn(|_| AtomicU64::new(0)));
    let end = AtomicBool::new(false);
    /// Ends the clients even if `during` panics: the scope waits for them.
    struct EndOnDrop<'a>(&'a AtomicBool);
    impl Drop for EndOnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    thread::scope(|scope| {
        let _end = EndOnDrop(&end);
        for number in 0..KEEP_ALIVE + ONE_REQUEST {
            let client = Client {
                address,
                tells_nodes,
                number,
                count: 0,
                random: Random::new(seed ^ (number << 32)),
                seen: &seen,
                finished: &progress.0[number as usize],
            };
            let end = &end;
            scope.spawn(move || client.run(end));
        }
        during(&progress);
    });
    seen.into_inner().unwrap()
}

struct Client<'a> {
    address: &'a Address,
    tells_nodes: bool,
    number: u64,
    count: u64,
    random: Random,
    seen: &'a Mutex<Seen>,
    finished: &'a AtomicU64,
}

/// How many requests each client has behind it.
pub struct ParseState([AtomicU64; (KEEP_ALIVE + ONE_REQUEST) as usize]);

impl ParseState {
    /// Until whatever is under way now has its reply, or has failed.
    pub fn wait_for_what_is_under_way(&self) {
        let counts = || self.0.each_ref().map(|count| count.load(Ordering::Relaxed));
        let before = counts();
        wait_until("a reply for each client", || {
            let mut pairs = counts().into_iter().zip(before);
            pairs.all(|(now, before)| now != before)
        });
    }
}

impl Client<'_> {
    fn run(mut self, end: &AtomicBool) {
        while !end.load(Ordering::Relaxed) {
            let requests = match self.number {
                ..KEEP_ALIVE => self.random.between(1, CONNECTION_REQUESTS_MAX),
                _ => 1,
            };
            let from = Instant::now();
            let mut node = None;
            if let Err(how) = self.connection(requests, &mut node, end) {
                self.finished.fetch_add(1, Ordering::Relaxed);
                self.seen.lock().unwrap().failures.push(Failure {
                    node,
                    from,
                    to: Instant::now(),
                    how,
                });
            }
        }
    }

    /// Up to so many requests on a connection. An error: one of them got no reply.
    fn connection(
        &mut self,
        requests: u64,
        node: &mut Option<usize>,
        end: &AtomicBool,
    ) -> Result<(), How> {
        let mut connection = Connection::open(self.address)?;
        if self.tells_nodes {
            *node = Some(Health::of(&mut connection)?.node);
        }
        for _ in 0..requests {
            let reply = match self.random.between(0, 9) {
                0 => self.ask_statement(&mut connection)?,
                _ => self.ask_transaction(&mut connection)?,
            };
            self.finished.fetch_add(1, Ordering::Relaxed);
            self.seen.lock().unwrap().replies[node.unwrap_or(0)] += 1;
            if end.load(Ordering::Relaxed) || reply.header("connection") == Some("close") {
                break;
            }
            let pause = self.random.between(0, PAUSE_US_MAX);
            thread::sleep(Duration::from_micros(pause));
        }
        Ok(())
    }

    fn ask_statement(&mut self, connection: &mut Connection) -> Result<Reply, How> {
        let (client, limit) = CONTEST[self.random.between(0, 4) as usize];
        connection.try_send(&get(&format!("/clientes/{client}/extrato")))?;
        let reply = connection.try_reply()?;
        if reply.status != 200 {
            return Err(How::Replied(reply));
        }
        assert_eq!(reply.statement().limit, limit);
        Ok(reply)
    }

    fn ask_transaction(&mut self, connection: &mut Connection) -> Result<Reply, How> {
        let (client, limit) = CONTEST[self.random.between(0, 4) as usize];
        // More debits than credits: some must be refused.
        let kind = if self.random.between(0, 2) == 0 {
            'c'
        } else {
            'd'
        };
        let amount = self.random.between(1, 20_000) as i64;
        self.count += 1;
        let description = format!("{:02x}{:08x}", self.number, self.count);
        let asked = Asked {
            client,
            kind,
            amount,
            told: Told::Nothing,
        };
        let request = transaction(client, kind, amount, &description);
        self.note(&description, asked.clone());
        connection.try_send(&request)?;
        let reply = connection.try_reply()?;
        let told = match reply.status {
            200 => {
                let (found, balance) = reply.posted();
                assert_eq!(found, limit);
                Told::Applied(balance)
            }
            422 if kind == 'd' => Told::Refused,
            _ => return Err(How::Replied(reply)),
        };
        self.note(&description, Asked { told, ..asked });
        Ok(reply)
    }

    fn note(&self, description: &str, asked: Asked) {
        let mut seen = self.seen.lock().unwrap();
        seen.asked.insert(description.to_owned(), asked);
    }
}

impl Seen {
    pub fn print(&self) {
        let of =
            |is: fn(&Told) -> bool| self.asked.values().filter(|asked| is(&asked.told)).count();
        eprintln!(
            "{} applied, {} refused, {} without a reply; {} connections lost; replies of {}: {}, {}: {}",
            of(|told| matches!(told, Told::Applied(_))),
            of(|told| *told == Told::Refused),
            of(|told| *told == Told::Nothing),
            self.failures.len(),
            NODES[0],
            self.replies[0],
            NODES[1],
            self.replies[1]
        );
    }

    pub fn expect_no_failure(&self) {
        let failures: Vec<String> = self.failures.iter().map(Failure::to_string).collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    /// Every acknowledged transaction is journalled once, with the balance that was told; nothing
    /// refused is, nothing twice, and nothing that nobody asked for. The balances are what the
    /// journals make them. The nodes must run, and nobody else write.
    pub fn check(&self, stack: &Stack) {
        let mut balances: HashMap<u32, i64> = HashMap::new();
        let mut applied: HashMap<String, i64> = HashMap::new();
        for entry in journals::transactions(&stack.data()) {
            let asked = self.asked.get(&entry.description);
            let asked = asked.unwrap_or_else(|| panic!("nobody asked for {entry:?}"));
            assert_eq!(
                (entry.client, entry.kind, entry.amount),
                (asked.client, asked.kind, asked.amount)
            );
            let balance = balances.entry(entry.client).or_default();
            *balance += if entry.kind == 'c' {
                entry.amount
            } else {
                -entry.amount
            };
            let before = applied.insert(entry.description.clone(), *balance);
            assert_eq!(before, None, "applied twice: {entry:?} {asked:?}");
        }
        for (description, asked) in &self.asked {
            let found = applied.get(description).copied();
            match asked.told {
                Told::Applied(balance) => {
                    assert_eq!(found, Some(balance), "{description} {asked:?}");
                }
                Told::Refused => assert_eq!(found, None, "{description} {asked:?}"),
                Told::Nothing => {}
            }
        }
        for (client, _) in CONTEST {
            let expected = balances.get(&client).copied().unwrap_or(0);
            for node in 0..NODES.len() {
                assert_eq!(
                    stack.node(node).balance(client),
                    expected,
                    "client {client}"
                );
            }
        }
        let refused = self.asked.values().filter(|a| a.told == Told::Refused);
        assert!(refused.count() > 0, "no limit was reached");
        assert!(applied.len() > 500, "{} are few", applied.len());
    }
}
