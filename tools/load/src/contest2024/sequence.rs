//! The fixed part: many at once on one client, then each client's own sequence.

use std::sync::Barrier;
use std::thread;

use super::asked::Asked;
use super::findings::{Expected, Findings};
use crate::engine::Stop;
use crate::measure::Kind;
use crate::target::Target;
use crate::traffic::bank::CLIENTS;

/// Debits at once, then credits at once.
const AT_ONCE: usize = 25;
/// On which client.
const AT_ONCE_CLIENT: u32 = 1;
/// Statements at once, beside a transaction that has just been answered.
const STATEMENTS_AT_ONCE: usize = 4;
/// Nobody has this number.
const NOBODY: u32 = 6;
/// Of a statement whose balance should be that of a fresh start.
const HINT: &str = ": is somebody else using the target? Start it on fresh data";

/// What is sent that is no transaction: its name, itself, and what it would do to the balance.
const BAD_BODIES: [(&str, &str, i64); 5] = [
    (
        "valor 1.2",
        r#"{"valor": 1.2, "tipo": "d", "descricao": "devolve"}"#,
        -1,
    ),
    (
        "tipo x",
        r#"{"valor": 1, "tipo": "x", "descricao": "devolve"}"#,
        1,
    ),
    (
        "descricao too long",
        r#"{"valor": 1, "tipo": "c", "descricao": "123456789 e mais um pouco!"}"#,
        1,
    ),
    (
        "descricao empty",
        r#"{"valor": 1, "tipo": "c", "descricao": ""}"#,
        1,
    ),
    (
        "descricao null",
        r#"{"valor": 1, "tipo": "c", "descricao": null}"#,
        1,
    ),
];

/// Transactions at once and the statement after them, twice; a client's own sequence (its transactions, its statements,
/// and what is refused), for each; and nobody's statement.
pub const REQUESTS: usize =
    2 * (AT_ONCE + 1) + CLIENTS.len() * (3 + 2 + STATEMENTS_AT_ONCE + BAD_BODIES.len()) + 1;

/// First step: a lock that is missing shows here.
pub fn at_once(target: &Target, key: u64) -> Findings {
    let mut findings = Findings::new(key);
    let steps = [
        (
            Kind::Debit,
            "25 debits at once: 200",
            "client 1 after 25 debits: total -25",
            -1,
        ),
        (
            Kind::Credit,
            "25 credits at once: 200",
            "client 1 after 25 credits: total 0",
            1,
        ),
    ];
    let mut total = 0;
    for (kind, of_each, afterwards, change) in steps {
        let all = together(AT_ONCE, || {
            Asked::transaction(target, AT_ONCE_CLIENT, kind, "validacao")
        });
        for asked in &all {
            findings.transaction(of_each, asked, change);
            total += change;
        }
        let expected = Expected {
            total: Some(total),
            hint: HINT,
            ..Expected::default()
        };
        let asked = Asked::statement(target, AT_ONCE_CLIENT);
        findings.statement(afterwards, &asked, &expected);
    }
    findings
}

/// Second step: all clients beside each other, and one that there is not.
pub fn of_each_client(target: &Target, key: u64, stop: &Stop) -> Findings {
    let mut findings = Findings::new(key);
    thread::scope(|scope| {
        let clients = CLIENTS
            .map(|(client, _)| scope.spawn(move || of_one_client(target, key, client, stop)));
        let asked = Asked::statement_of_nobody(target, NOBODY);
        for client in clients {
            findings.merge(client.join().expect("no panic of its own"));
        }
        findings.refused("client 6: 404", &asked, &[404], 0);
    });
    findings
}

fn of_one_client(target: &Target, key: u64, client: u32, stop: &Stop) -> Findings {
    let mut findings = Findings::new(key);
    let untouched = Expected {
        total: Some(0),
        hint: HINT,
        ..Expected::default()
    };
    let asked = Asked::statement(target, client);
    findings.statement("extrato of an untouched client", &asked, &untouched);
    for (what, kind, description, change) in [
        ("toma: 200", Kind::Credit, "toma", 1),
        ("devolve: 200", Kind::Debit, "devolve", -1),
    ] {
        let asked = Asked::transaction(target, client, kind, description);
        findings.transaction(what, &asked, change);
    }
    let both = Expected {
        newest: &[(Kind::Debit, "devolve"), (Kind::Credit, "toma")],
        ..Expected::default()
    };
    let asked = Asked::statement(target, client);
    findings.statement("devolve first, toma second", &asked, &both);

    let asked = Asked::transaction(target, client, Kind::Credit, "danada");
    let posted = findings.transaction("danada: 200", &asked, 1);
    let three = Expected {
        total: posted.map(|posted| posted.balance),
        newest: &[(Kind::Credit, "danada")],
        ..Expected::default()
    };
    for asked in together(STATEMENTS_AT_ONCE, || Asked::statement(target, client)) {
        findings.statement("danada first in four extratos at once", &asked, &three);
    }
    for (name, body, change) in BAD_BODIES {
        // Each of them may take as long as a time-out.
        if stop.is_stopped() {
            break;
        }
        let asked = Asked::bad_transaction(target, client, body);
        let what = format!("bad body: {name}: 422 or 400");
        findings.refused(&what, &asked, &[422, 400], change);
    }
    findings
}

/// As many at once as threads that begin together can be.
fn together(count: usize, ask: impl Fn() -> Asked + Sync) -> Vec<Asked> {
    let ready = Barrier::new(count);
    thread::scope(|scope| {
        let one = || {
            ready.wait();
            ask()
        };
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(one)).collect();
        let all = threads.into_iter();
        all.map(|thread| thread.join().expect("no panic of its own"))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_requests_as_the_contest_has() {
        assert_eq!(REQUESTS, 123);
    }

    #[test]
    fn bad_bodies_are_json_that_is_bad_in_one_way() {
        for (name, body, _) in BAD_BODIES {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            let description = body["descricao"].as_str();
            let length = description.map_or(0, |text| text.chars().count());
            let wrong = [
                body["valor"].as_i64().is_none(),
                !["c", "d"].contains(&body["tipo"].as_str().unwrap()),
                !(1..=10).contains(&length),
            ];
            assert_eq!(wrong.iter().filter(|wrong| **wrong).count(), 1, "{name}");
            if name == "descricao too long" {
                assert_eq!(length, 26);
            }
        }
    }
}
