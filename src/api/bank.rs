//! The bank's endpoints: request bodies to commands, outcomes to reply bodies.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::{Problem, DESCRICAO, KEY, LIMIT, NO_TRANSACTION, OVERFLOW, TIPO, VALOR};
use super::{object, refused, text, write_integer, Call};
use crate::bank::{Description, Kind, Posted, Refusal};
use crate::command::{Command, Statement};
use crate::http::{iso8601, BadKey};

/// The body of `POST /clientes/{id}/transacoes`. Its number is judged by its digits: `1.0` and `1e2`
/// are no integers here.
#[derive(Deserialize)]
struct TransactionBody<'a> {
    #[serde(borrow)]
    valor: Option<&'a RawValue>,
    #[serde(borrow)]
    tipo: Option<&'a RawValue>,
    #[serde(borrow)]
    descricao: Option<&'a RawValue>,
}

/// Reads a transaction: its key, if it has one, and its body. Pure: this is what the fuzzer feeds.
pub fn transaction<'a>(
    client: u32,
    key: Option<Result<&'a [u8], BadKey>>,
    body: &'a [u8],
) -> Call<'a> {
    let judged = match key.transpose() {
        Ok(key) => parse(client, body).map(|command| Call::Command(command, key)),
        Err(BadKey) => Err(KEY),
    };
    judged.unwrap_or_else(refused)
}

fn parse(client: u32, body: &[u8]) -> Result<Command, Problem> {
    let body: TransactionBody<'_> = object(body, NO_TRANSACTION)?;
    let amount = body
        .valor
        .and_then(|raw| integer(raw.get()))
        .filter(|amount| *amount > 0)
        .ok_or(VALOR)?;
    let kind = body
        .tipo
        .and_then(text)
        .and_then(|tipo| match tipo.as_bytes() {
            [letter] => Kind::from_byte(*letter),
            _ => None,
        })
        .ok_or(TIPO)?;
    let description = body
        .descricao
        .and_then(text)
        .and_then(|text| Some(Description::new(&text)?.into()))
        .ok_or(DESCRICAO)?;
    Ok(Command::Transact {
        client,
        kind,
        amount,
        description,
    })
}

/// A JSON integer written as one: no fraction, no exponent.
fn integer(raw: &str) -> Option<i64> {
    // JSON allows no plus sign and no zeros in front, so what `parse` would allow beyond it
    // cannot be here.
    raw.parse().ok()
}

pub(super) fn write_posted(body: &mut Vec<u8>, posted: Posted) {
    body.extend_from_slice(b"{\"limite\":");
    write_integer(body, posted.limit);
    body.extend_from_slice(b",\"saldo\":");
    write_integer(body, posted.balance);
    body.push(b'}');
}

/// The error of a transaction that changed nothing.
pub(super) const fn refusal(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Limit => LIMIT,
        Refusal::Overflow => OVERFLOW,
    }
}

pub(super) fn write_statement(body: &mut Vec<u8>, statement: &Statement<'_>) {
    body.extend_from_slice(b"{\"saldo\":{\"total\":");
    write_integer(body, statement.balance);
    body.extend_from_slice(b",\"data_extrato\":\"");
    body.extend_from_slice(&iso8601(statement.moment_us));
    body.extend_from_slice(b"\",\"limite\":");
    write_integer(body, statement.limit);
    body.extend_from_slice(b"},\"ultimas_transacoes\":[");
    for (position, line) in statement.lines().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        body.extend_from_slice(b"{\"valor\":");
        write_integer(body, line.amount);
        body.extend_from_slice(b",\"tipo\":\"");
        body.push(line.kind.to_byte());
        body.extend_from_slice(b"\",\"descricao\":");
        serde_json::to_writer(&mut *body, line.description)
            .expect("writing to memory does not fail");
        body.extend_from_slice(b",\"realizada_em\":\"");
        body.extend_from_slice(&iso8601(line.time_us));
        body.extend_from_slice(b"\"}");
    }
    body.extend_from_slice(b"]}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::write_outcome;
    use crate::bank::Account;
    use crate::command::Ids;
    use crate::http::Status;
    use crate::shard;

    fn verdict(body: &str) -> Result<Command, (Status, &'static str)> {
        parse(1, body.as_bytes()).map_err(|problem| (problem.status, problem.field))
    }

    #[test]
    fn a_good_body_becomes_a_command() {
        let command =
            verdict(r#" {"descricao":"ação ñandú","x":[1,{"y":2}],"valor":12,"tipo":"d"} "#);
        let expected = Command::Transact {
            client: 1,
            kind: Kind::Debit,
            amount: 12,
            description: Description::new("ação ñandú").unwrap().into(),
        };
        assert_eq!(command, Ok(expected));
        assert!(verdict(r#"{"valor":1,"tipo":"\u0063","descri\u0063ao":"a\n\u00e9"}"#).is_ok());
        assert!(verdict(r#"{"valor":9223372036854775807,"tipo":"c","descricao":"x"}"#).is_ok());
    }

    #[test]
    fn every_bad_member_is_a_422_that_names_it() {
        for (members, field) in [
            (r#""tipo":"c","descricao":"x""#, "valor"),
            (r#""valor":null,"tipo":"c","descricao":"x""#, "valor"),
            (r#""valor":0,"tipo":"c","descricao":"x""#, "valor"),
            (r#""valor":-1,"tipo":"c","descricao":"x""#, "valor"),
            (r#""valor":1.2,"tipo":"c","descricao":"x""#, "valor"),
            (r#""valor":1.0,"tipo":"c","descricao":"x""#, "valor"),
            (r#""valor":1e2,"tipo":"c","descricao":"x""#, "valor"),
            (r#""valor":1e999,"tipo":"c","descricao":"x""#, "valor"),
            (r#""valor":"1","tipo":"c","descricao":"x""#, "valor"),
            (r#""valor":true,"tipo":"c","descricao":"x""#, "valor"),
            (
                r#""valor":9223372036854775808,"tipo":"c","descricao":"x""#,
                "valor",
            ),
            (r#""valor":1,"descricao":"x""#, "tipo"),
            (r#""valor":1,"tipo":null,"descricao":"x""#, "tipo"),
            (r#""valor":1,"tipo":"x","descricao":"x""#, "tipo"),
            (r#""valor":1,"tipo":"C","descricao":"x""#, "tipo"),
            (r#""valor":1,"tipo":"cc","descricao":"x""#, "tipo"),
            (r#""valor":1,"tipo":1,"descricao":"x""#, "tipo"),
            (r#""valor":1,"tipo":"c""#, "descricao"),
            (r#""valor":1,"tipo":"c","descricao":null"#, "descricao"),
            (r#""valor":1,"tipo":"c","descricao":"""#, "descricao"),
            (
                r#""valor":1,"tipo":"c","descricao":"12345678901""#,
                "descricao",
            ),
            (
                r#""valor":1,"tipo":"c","descricao":"ação ñandúu""#,
                "descricao",
            ),
            (r#""valor":1,"tipo":"c","descricao":["x"]"#, "descricao"),
            (r#""valor":1,"tipo":"c","descricao":"\ud800""#, "descricao"),
        ] {
            let body = format!("{{{members}}}");
            assert_eq!(
                verdict(&body),
                Err((Status::Unprocessable, field)),
                "{body}"
            );
        }
    }

    #[test]
    fn other_json_is_422_and_what_is_not_json_is_400() {
        for body in [
            "[]",
            "5",
            "null",
            "\"x\"",
            r#"[1,"c","x"]"#,
            r#"{"valor":1,"valor":1,"tipo":"c","descricao":"x"}"#,
        ] {
            assert_eq!(verdict(body), Err((Status::Unprocessable, "")), "{body}");
        }
        for body in [
            "",
            " ",
            "{",
            "[1,",
            r#"{"valor":1,"tipo":"c","descricao":"x"}x"#,
            "{valor:1}",
        ] {
            assert_eq!(verdict(body), Err((Status::BadRequest, "")), "{body}");
        }
        let not_utf8 = b"{\"valor\":1,\"tipo\":\"c\",\"descricao\":\"\xff\"}";
        assert_eq!(
            parse(1, not_utf8).map_err(|problem| problem.status),
            Err(Status::BadRequest)
        );
    }

    #[test]
    fn a_statement_lists_the_newest_first_and_escapes() {
        let mut account = Account::new(1, 1000, 0);
        for (sequence, text) in ["um", "do\"is"].into_iter().enumerate() {
            let description = Description::new(text).unwrap();
            let time_us = 1_705_459_238_543_030 + sequence as u64;
            let transaction = crate::bank::Transaction::new(Kind::Debit, 7, description, time_us);
            let balance = account.check(Kind::Debit, 7).unwrap();
            account.post(&transaction, balance, sequence as u64 + 1);
        }
        let mut body = Vec::new();
        write_statement(&mut body, &Statement::of(&account, 1_705_459_300_000_000));
        assert_eq!(
            String::from_utf8(body).unwrap(),
            concat!(
                r#"{"saldo":{"total":-14,"data_extrato":"2024-01-17T02:41:40.000000Z","limite":1000},"#,
                r#""ultimas_transacoes":[{"valor":7,"tipo":"d","descricao":"do\"is","#,
                r#""realizada_em":"2024-01-17T02:40:38.543031Z"},{"valor":7,"tipo":"d","#,
                r#""descricao":"um","realizada_em":"2024-01-17T02:40:38.543030Z"}]}"#
            )
        );
    }

    #[test]
    fn a_repeat_is_answered_as_the_first_time() {
        let dir = tempfile::tempdir().unwrap();
        let meta = shard::Meta {
            directory: 1,
            shards: 1,
        };
        let client = shard::Client {
            id: 1,
            limit: 1000,
            balance: 0,
        };
        shard::create(&shard::RealDisk, dir.path(), &meta, &[client]).unwrap();
        let opened = shard::open(&shard::RealDisk, dir.path(), &meta, 0).unwrap();
        let mut shard = opened.shard;
        let mut ask = |kind, amount, key| {
            let command = Command::Transact {
                client: 1,
                kind,
                amount,
                description: Description::new("x").unwrap().into(),
            };
            let ids = Ids { forward: None, key };
            let mut body = Vec::new();
            let applied = shard.apply(&command, &ids, 5);
            let status = write_outcome(&mut body, &applied.outcome).unwrap_or_else(|problem| {
                problem.write(&mut body);
                problem.status
            });
            let body = String::from_utf8(body).unwrap();
            (status.code(), applied.repeated, body)
        };
        let first = ask(Kind::Debit, 600, Some(1));
        let balance = r#"{"limite":1000,"saldo":-600}"#.to_owned();
        assert_eq!(first, (200, false, balance.clone()));
        let (status, repeated, refusal) = ask(Kind::Debit, 600, Some(2));
        assert_eq!((status, repeated), (422, false));
        assert!(refusal.contains("limit"));
        assert_eq!(ask(Kind::Credit, 500, None).0, 200);

        assert_eq!(ask(Kind::Debit, 600, Some(1)), (200, true, balance));
        assert_eq!(ask(Kind::Debit, 600, Some(2)), (422, true, refusal));
        let (status, repeated, problem) = ask(Kind::Debit, 601, Some(1));
        assert_eq!((status, repeated), (422, false));
        assert!(
            problem.contains(r#""field":"Idempotency-Key""#),
            "{problem}"
        );
        assert_eq!(
            ask(Kind::Debit, 1, None).2,
            r#"{"limite":1000,"saldo":-101}"#
        );
    }
}
