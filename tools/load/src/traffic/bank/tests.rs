use std::collections::BTreeSet;

use serde_json::{json, Value};

use super::*;
use crate::measure::FailureKind;

fn target() -> Target {
    "127.0.0.1:9999".parse().unwrap()
}

/// The request line, and the body if there is one.
fn parts(request: &[u8]) -> (String, Option<Value>) {
    let text = std::str::from_utf8(request).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let length = format!("\r\nContent-Length: {}", body.len());
    assert_eq!(head.contains(&length), line.starts_with("POST"), "{head}");
    let body = (!body.is_empty()).then(|| serde_json::from_str(body).unwrap());
    (line, body)
}

#[test]
fn requests_are_the_contests() {
    let mut out = Vec::new();
    transaction_request(&target(), &mut out, 3, Kind::Debit, 1, "devolve");
    let expected = "POST /clientes/3/transacoes HTTP/1.1\r\nHost: 127.0.0.1:9999\r\nContent-Type: application/json\r\n\
                    Content-Length: 44\r\n\r\n{\"valor\":1,\"tipo\":\"d\",\"descricao\":\"devolve\"}";
    assert_eq!(String::from_utf8(out).unwrap(), expected);

    let mut out = Vec::new();
    statement_request(&target(), &mut out, 6);
    let expected = "GET /clientes/6/extrato HTTP/1.1\r\nHost: 127.0.0.1:9999\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);

    // The longest body that there is.
    let mut out = Vec::new();
    let description = "\u{1}".repeat(10);
    transaction_request(
        &target(),
        &mut out,
        u32::MAX,
        Kind::Credit,
        i64::MIN,
        &description,
    );
    let (line, body) = parts(&out);
    assert_eq!(line, "POST /clientes/4294967295/transacoes HTTP/1.1");
    let expected = json!({"valor": i64::MIN, "tipo": "c", "descricao": description});
    assert_eq!(body, Some(expected));
}

#[test]
fn each_34_requests_are_22_debits_11_credits_and_a_statement() {
    let mut bank = Bank::mixed(&target(), 1);
    let mut orders = BTreeSet::new();
    for _ in 0..100 {
        let mut out = Vec::new();
        let kinds: Vec<Kind> = (0..34).map(|_| bank.next(0, &mut out).0).collect();
        let count = |kind| kinds.iter().filter(|other| **other == kind).count();
        let counts = [Kind::Debit, Kind::Credit, Kind::Statement].map(count);
        assert_eq!(counts, [22, 11, 1]);
        orders.insert(kinds);
    }
    assert_eq!(orders.len(), 100);
}

#[test]
fn clients_amounts_and_descriptions_are_random() {
    let mut bank = Bank::mixed(&target(), 2);
    let mut amounts = BTreeSet::new();
    let mut descriptions = BTreeSet::new();
    let mut counts = [[0; 3]; 5];
    const COUNT: usize = 34 * 500;
    for _ in 0..COUNT {
        let mut out = Vec::new();
        let (kind, ticket) = bank.next(0, &mut out);
        let (client, _) = CLIENTS[usize::from(ticket.place)];
        counts[usize::from(ticket.place)][kind as usize] += 1;
        let (line, body) = parts(&out);
        assert_eq!(ticket.kind, kind);
        if kind == Kind::Statement {
            assert_eq!((ticket.change, body), (0, None));
            assert_eq!(line, format!("GET /clientes/{client}/extrato HTTP/1.1"));
            continue;
        }
        assert_eq!(line, format!("POST /clientes/{client}/transacoes HTTP/1.1"));
        let body = body.unwrap();
        let amount = body["valor"].as_i64().unwrap();
        assert!((1..=10_000).contains(&amount));
        let (letter, change) = match kind {
            Kind::Debit => ("d", -amount),
            _ => ("c", amount),
        };
        assert_eq!(body["tipo"], letter);
        assert_eq!(i64::from(ticket.change), change);
        let description = body["descricao"].as_str().unwrap();
        assert_eq!(description.chars().count(), 10);
        amounts.insert(amount);
        descriptions.insert(description.to_owned());
    }
    assert!(amounts.len() > 7500 && descriptions.len() > COUNT / 34 * 33 - 10);
    assert!(*amounts.first().unwrap() < 10 && *amounts.last().unwrap() > 9990);
    // Each client has its fifth of each kind.
    for of_client in counts {
        for (kind, (count, share)) in of_client.into_iter().zip([22, 11, 1]).enumerate() {
            let mean = 500 * share / 5;
            assert!(usize::abs_diff(count, mean) < mean / 3, "{kind}: {count}");
        }
    }
}

#[test]
fn a_seed_decides_all() {
    let requests = |seed| {
        let mut bank = Bank::mixed(&target(), seed);
        let mut out = Vec::new();
        for _ in 0..100 {
            bank.next(0, &mut out);
        }
        out
    };
    assert!(requests(1) == requests(1));
    assert!(requests(1) != requests(2));
}

#[test]
fn other_orders_are_what_they_say() {
    let mut out = Vec::new();
    let mut bank = Bank::statements(&target(), 1);
    assert!((0..100).all(|_| bank.next(0, &mut out).0 == Kind::Statement));
    let mut bank = Bank::by_stream(&target(), 1);
    for (stream, kind) in [(0, Kind::Debit), (2, Kind::Statement), (1, Kind::Credit)] {
        assert_eq!(bank.next(stream, &mut out).0, kind);
    }
}

#[test]
fn these_transactions_are_right() {
    for (client, body, limit, balance) in [
        (1, r#"{"limite":100000,"saldo":-9098}"#, 100_000, -9098),
        (1, r#"{"limite":100000,"saldo":-100000}"#, 100_000, -100_000),
        (4, r#"{"saldo":0,"limite":10000000}"#, 10_000_000, 0),
        (
            5,
            " { \"x\":[{\"saldo\":1}], \"saldo\" : 7 ,\n\"limite\":500000, \"ok\":true}\r\n",
            500_000,
            7,
        ),
        (
            2,
            r#"{"limite":80000,"saldo":9223372036854775807}"#,
            80_000,
            i64::MAX,
        ),
    ] {
        for kind in [Kind::Debit, Kind::Credit] {
            let posted = judge_transaction(client, kind, 200, body.as_bytes());
            assert_eq!(posted, Ok(Some(Posted { limit, balance })), "{body}");
        }
    }
    // The body of a refusal is free.
    for body in ["", "limit", r#"{"error":"limit"}"#] {
        let refused = judge_transaction(1, Kind::Debit, 422, body.as_bytes());
        assert_eq!(refused, Ok(None));
    }
}

#[test]
fn these_transactions_are_wrong() {
    const GOOD: &str = r#"{"limite":100000,"saldo":-9098}"#;
    const STATUS: FailureKind = FailureKind::WrongStatus;
    const JSON: FailureKind = FailureKind::WrongJson;
    const CONTENT: FailureKind = FailureKind::WrongContent;
    for (kind, status, body, failure, words) in [
        (
            Kind::Credit,
            422,
            GOOD,
            STATUS,
            "422 is not 200, as a credit's is",
        ),
        (Kind::Credit, 500, GOOD, STATUS, "500 is not 200"),
        (
            Kind::Debit,
            500,
            GOOD,
            STATUS,
            "500 is not 200 or 422, as a debit's is",
        ),
        (Kind::Debit, 201, GOOD, STATUS, "201 is not 200 or 422"),
        (Kind::Debit, 400, GOOD, STATUS, "400 is not"),
        (Kind::Debit, 404, GOOD, STATUS, "404 is not"),
        (Kind::Debit, 200, "", JSON, "EOF while parsing"),
        (Kind::Debit, 200, "OK", JSON, "expected value"),
        (Kind::Debit, 200, "{}", JSON, "missing field `limite`"),
        (
            Kind::Debit,
            200,
            r#"{"limite":100000}"#,
            JSON,
            "missing field `saldo`",
        ),
        (
            Kind::Debit,
            200,
            r#"{"limite":100000,"saldo":-9098"#,
            JSON,
            "EOF while parsing",
        ),
        (
            Kind::Debit,
            200,
            r#"{"limite":100000,"saldo":-9098}}"#,
            JSON,
            "trailing characters",
        ),
        (
            Kind::Debit,
            200,
            r#"{"limite":100000,"saldo":"-9098"}"#,
            JSON,
            "invalid type: string",
        ),
        (
            Kind::Debit,
            200,
            r#"{"limite":100000,"saldo":-9098.5}"#,
            JSON,
            "invalid type: floating point",
        ),
        (
            Kind::Debit,
            200,
            r#"{"limite":100000,"saldo":null}"#,
            JSON,
            "invalid type: null",
        ),
        (
            Kind::Debit,
            200,
            r#"{"limite":100000,"saldo":1,"saldo":1}"#,
            JSON,
            "duplicate field",
        ),
        (
            Kind::Debit,
            200,
            "[100000,-9098]",
            JSON,
            "expected an object",
        ),
        (
            Kind::Debit,
            200,
            r#"{"limite":80000,"saldo":-9098}"#,
            CONTENT,
            "limite 80000 is not that of client 1 (100000)",
        ),
        (
            Kind::Debit,
            200,
            r#"{"limite":-100000,"saldo":0}"#,
            CONTENT,
            "limite -100000 is not that of client 1",
        ),
        (
            Kind::Debit,
            200,
            r#"{"limite":100000,"saldo":-100001}"#,
            CONTENT,
            "saldo -100001 is below -limite (-100000)",
        ),
        (
            Kind::Credit,
            200,
            r#"{"limite":100000,"saldo":-100001}"#,
            CONTENT,
            "saldo -100001 is below -limite (-100000)",
        ),
        (
            Kind::Credit,
            200,
            r#"{"limite":100000,"saldo":-9223372036854775808}"#,
            CONTENT,
            "is below -limite",
        ),
    ] {
        let found = judge_transaction(1, kind, status, body.as_bytes()).unwrap_err();
        assert_eq!(found.kind, failure, "{body}");
        assert!(found.what.contains(words), "{body}: {}", found.what);
    }
    let found = judge_transaction(
        1,
        Kind::Debit,
        200,
        b"{\"limite\":100000,\"saldo\":1,\"x\":\"\xff\"}",
    );
    assert_eq!(found.unwrap_err().kind, JSON);
}

#[test]
fn replies_and_losses_come_to_the_ledger() {
    let mut bank = Bank::by_stream(&target(), 1).verified(9);
    let mut out = Vec::new();
    let (mut sure, mut unknown) = ([0_i64; CLIENTS.len()], [0; CLIENTS.len()]);
    let mut balances = [0; CLIENTS.len()];
    for round in 0..1200 {
        let stream = usize::from(round % 3 != 0);
        let (kind, ticket) = bank.next(stream, &mut out);
        let place = usize::from(ticket.place);
        let (_, limit) = CLIENTS[place];
        let balance = balances[place] + i64::from(ticket.change);
        let body = format!(r#"{{"limite":{limit},"saldo":{balance}}}"#);
        let wrong_limit = format!(r#"{{"limite":1,"saldo":{balance}}}"#);
        // Whether it is known to be done, known not to be, or unknown.
        let (right, done) = match round % 8 {
            // In the first half all is known.
            0..=3 => (bank.judge(ticket, 200, body.as_bytes()).is_ok(), Some(true)),
            4 => (
                bank.judge(ticket, 200, wrong_limit.as_bytes()).is_ok(),
                Some(true),
            ),
            5 => (bank.judge(ticket, 422, b"").is_ok(), Some(false)),
            6 => {
                bank.lost(ticket, false);
                (true, Some(false))
            }
            _ if round < 600 => (bank.judge(ticket, 404, b"").is_ok(), Some(false)),
            _ => match round / 8 % 4 {
                0 => (bank.judge(ticket, 503, b"").is_ok(), None),
                1 => (bank.judge(ticket, 200, b"{").is_ok(), None),
                2 => (bank.judge(ticket, 302, b"").is_ok(), None),
                _ => {
                    bank.lost(ticket, true);
                    (false, None)
                }
            },
        };
        let is_right = match round % 8 {
            0..=3 | 6 => true,
            5 => kind == Kind::Debit,
            _ => false,
        };
        assert_eq!(right, is_right, "{round}");
        match done {
            Some(true) => {
                sure[place] += i64::from(ticket.change);
                balances[place] = balance;
            }
            Some(false) => {}
            None => unknown[place] += 1,
        }
        if round == 599 {
            let ledger = bank.clone().into_ledger().unwrap();
            assert!(ledger.verify(&[0; 5], &balances).is_good());
            let mut other = balances;
            other[place] += 1;
            assert!(!ledger.verify(&[0; 5], &other).is_good());
        }
    }
    // Statements change nothing, however they end.
    let (_, ticket) = bank.next(2, &mut out);
    bank.lost(ticket, true);
    assert!(bank.judge(ticket, 500, b"").is_err());
    let verification = bank.into_ledger().unwrap().verify(&[0; 5], &balances);
    assert!(verification.is_good());
    for (place, line) in verification.lines.iter().enumerate() {
        let words = format!("some of {} whose outcome is unknown", unknown[place]);
        assert!(line.expected.contains(&words), "{}", line.expected);
        assert_eq!(line.found, format!("balance {}", sure[place]));
    }
    assert!(Bank::mixed(&target(), 1).into_ledger().is_none());
}
