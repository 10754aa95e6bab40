//! The contest's load: its fixed sequence, then its ramps, shortened.

use std::collections::BTreeMap;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{get, post, transaction, Address, Connection, Random, Reply, CONTEST};

/// Of the ramps; the contest's take four minutes.
const RAMP: Duration = Duration::from_secs(3);
const RAMP_CLIENTS: usize = 8;

/// All of it, on accounts that nobody has touched.
pub fn contest(address: &Address) {
    at_once(address);
    five_clients(address);
    ramps(address);
}

/// One TCP connection for each request, as the contest's load has it.
fn ask(address: &Address, request: &[u8]) -> Reply {
    let mut connection = Connection::open(address).expect("a connection");
    connection.ask(request)
}

fn statement_of(client: u32) -> Vec<u8> {
    get(&format!("/clientes/{client}/extrato"))
}

fn at_once(address: &Address) {
    for (kind, total) in [('d', -25), ('c', 0)] {
        let ready = Barrier::new(25);
        thread::scope(|scope| {
            for _ in 0..25 {
                scope.spawn(|| {
                    let mut connection = Connection::open(address).expect("a connection");
                    ready.wait();
                    let reply = connection.ask(&transaction(1, kind, 1, "validacao"));
                    assert_eq!(reply.posted().0, 100_000);
                });
            }
        });
        assert_eq!(ask(address, &statement_of(1)).statement().total, total);
    }
}

fn five_clients(address: &Address) {
    thread::scope(|scope| {
        for (client, limit) in CONTEST {
            scope.spawn(move || one_client(address, client, limit));
        }
        scope.spawn(|| assert_eq!(ask(address, &statement_of(6)).status, 404));
    });
}

fn one_client(address: &Address, client: u32, limit: i64) {
    let post_of = |kind, description| {
        let reply = ask(address, &transaction(client, kind, 1, description));
        assert_eq!(reply.posted().0, limit);
    };
    let statement = ask(address, &statement_of(client)).statement();
    assert_eq!((statement.total, statement.limit), (0, limit));
    post_of('c', "toma");
    post_of('d', "devolve");
    let statement = ask(address, &statement_of(client)).statement();
    let newest: Vec<_> = statement.transactions[..2]
        .iter()
        .map(|listed| {
            (
                listed.description.as_str(),
                listed.kind.as_str(),
                listed.amount,
            )
        })
        .collect();
    assert_eq!(newest, [("devolve", "d", 1), ("toma", "c", 1)]);
    post_of('c', "danada");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let statement = ask(address, &statement_of(client)).statement();
                assert_eq!((statement.total, statement.limit), (1, limit));
                assert_eq!(statement.transactions[0].description, "danada");
            });
        }
    });
    for body in [
        r#"{"valor":1.2,"tipo":"d","descricao":"devolve"}"#,
        r#"{"valor":1,"tipo":"x","descricao":"devolve"}"#,
        r#"{"valor":1,"tipo":"c","descricao":"123456789 e mais um pouco"}"#,
        r#"{"valor":1,"tipo":"c","descricao":""}"#,
        r#"{"valor":1,"tipo":"c","descricao":null}"#,
    ] {
        let reply = ask(
            address,
            &post(&format!("/clientes/{client}/transacoes"), body),
        );
        assert!([400, 422].contains(&reply.status), "{body}: {reply:?}");
    }
    assert_eq!(ask(address, &statement_of(client)).statement().total, 1);
}

/// What transactions of one client were acknowledged with: the balance before, and after.
type Steps = BTreeMap<u32, Vec<(i64, i64)>>;

fn ramps(address: &Address) {
    let steps: Mutex<Steps> = Mutex::default();
    let end = Instant::now() + RAMP;
    thread::scope(|scope| {
        for seed in 0..RAMP_CLIENTS {
            let steps = &steps;
            scope.spawn(move || ramp_client(address, Random::new(seed as u64 + 1), end, steps));
        }
    });
    let steps = steps.into_inner().unwrap();
    for (client, _) in CONTEST {
        let total = ask(address, &statement_of(client)).statement().total;
        let steps = steps.get(&client).map_or(&[][..], Vec::as_slice);
        // Applied one after the other in some order, from the balance at the start to the present
        // one: then every balance is entered as often as it is left.
        let mut left: Vec<i64> = steps.iter().map(|(before, _)| *before).collect();
        let mut entered: Vec<i64> = steps.iter().map(|(_, after)| *after).collect();
        left.push(total);
        entered.push(1);
        left.sort_unstable();
        entered.sort_unstable();
        assert!(left == entered, "client {client}: no order explains it");
    }
}

fn ramp_client(address: &Address, mut random: Random, end: Instant, steps: &Mutex<Steps>) {
    let limits = BTreeMap::from(CONTEST);
    while Instant::now() < end {
        let client = random.within(1, 5) as u32;
        let limit = limits[&client];
        let amount = random.within(1, 10_000) as i64;
        let description = format!("{:010x}", random.next() >> 24);
        // 220 debits, 110 credits and 10 statements a second, at the top of the contest's ramps.
        let kind = match random.within(1, 340) {
            1..=220 => 'd',
            221..=330 => 'c',
            _ => {
                let statement = ask(address, &statement_of(client)).statement();
                assert_eq!(statement.limit, limit);
                continue;
            }
        };
        let reply = ask(address, &transaction(client, kind, amount, &description));
        if kind == 'd' && reply.status == 422 {
            continue;
        }
        let (found, balance) = reply.posted();
        assert_eq!(found, limit);
        assert!(balance >= -limit, "{balance} is below -{limit}");
        let before = if kind == 'd' {
            balance + amount
        } else {
            balance - amount
        };
        let mut steps = steps.lock().unwrap();
        steps.entry(client).or_default().push((before, balance));
    }
}
