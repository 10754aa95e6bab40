use super::*;
use crate::measure::FailureKind;

const ENTRY: &str = r#"{"valor":10,"tipo":"c","descricao":"descricao","realizada_em":"2024-01-17T02:34:38.543030Z"}"#;

/// Of client 1.
fn statement(entries: &[&str]) -> String {
    format!(
        r#"{{"saldo":{{"total":-9098,"data_extrato":"2024-01-17T02:34:41.217753Z","limite":100000}},"ultimas_transacoes":[{}]}}"#,
        entries.join(",")
    )
}

fn at(realized: &str) -> String {
    ENTRY.replace("2024-01-17T02:34:38.543030Z", realized)
}

fn judge(body: &str) -> Result<Statement<'_>, Failure> {
    judge_statement(1, 200, body.as_bytes())
}

#[test]
fn a_statement_is_read() {
    let debit = ENTRY
        .replace("\"c\"", "\"d\"")
        .replace("descricao\",", "a\\u00e7\\u00e3o ñandú\",");
    let body = statement(&[ENTRY, &debit]);
    let read = judge(&body).unwrap();
    let transaction = Transaction {
        kind: Kind::Credit,
        amount: 10,
        description: "descricao".into(),
        at: "2024-01-17T02:34:38.543030Z".parse().unwrap(),
    };
    let other = Transaction {
        kind: Kind::Debit,
        description: "ação ñandú".into(),
        ..transaction.clone()
    };
    let expected = Statement {
        balance: -9098,
        limit: 100_000,
        at: "2024-01-17T02:34:41.217753Z".parse().unwrap(),
        transactions: vec![transaction, other],
    };
    assert_eq!(read, expected);
}

#[test]
fn these_statements_are_right() {
    let with_more = r#" {"versao":2, "ultimas_transacoes" : [
        {"id":1,"realizada_em":"2024-01-17T02:34:38Z","descricao":"x","tipo":"d","valor":9223372036854775807,"cliente":null}
    ], "saldo": {"limite":100000,"moeda":{"nome":"BRL"},"data_extrato":"2024-01-17T02:34:41Z","total":-100000}} "#;
    for body in [
        statement(&[]),
        statement(&[ENTRY; 10]),
        with_more.to_owned(),
        statement(&[
            &at("2024-01-17T02:34:38.543031Z"),
            &at("2024-01-17T02:34:38.543030999Z"),
            ENTRY,
            ENTRY,
            &at("2024-01-17T02:34:38.54303Z"),
            &at("2024-01-17T02:34:38.5Z"),
            &at("2024-01-17T02:34:38Z"),
            // Hours later by its digits, an hour earlier by its offset.
            &at("2024-01-17T06:34:38+05:00"),
            &at("1969-12-31T23:59:59Z"),
        ]),
    ] {
        assert_eq!(judge(&body).map(|_| ()), Ok(()), "{body}");
    }
}

#[test]
fn timestamps_come_in_many_forms() {
    let expected: Timestamp = "2024-01-17T02:34:38.5Z".parse().unwrap();
    for text in [
        "2024-01-17T02:34:38.5Z",
        "2024-01-17t02:34:38.5z",
        "2024-01-17 02:34:38.5Z",
        "2024-01-17T02:34:38,5Z",
        "2024-01-17T02:34:38.500",
        "2024-01-17 02:34:38.500000",
        "2024-01-17T02:34:38.500000000Z",
        "2024-01-17T02:34:38.500+00:00",
        "2024-01-16T23:34:38.5-03:00",
        "2024-01-16T23:34:38.5-0300",
        "2024-01-16 23:34:38.5-03",
        "2024-01-16T23:34:38.5-03:00[America/Sao_Paulo]",
        "20240117T023438.5Z",
    ] {
        let body = statement(&[&at(text)]);
        let read = judge(&body).map(|statement| statement.transactions[0].at);
        assert_eq!(read, Ok(expected), "{text}");
        let body = statement(&[]).replace("2024-01-17T02:34:41.217753Z", text);
        assert_eq!(judge(&body).map(|statement| statement.at), Ok(expected));
    }
    for text in [
        "",
        "now",
        "1705458878",
        "02:34:38Z",
        "2024-13-17T02:34:38Z",
        "2024-02-30T02:34:38Z",
        "2024-01-17T24:34:38Z",
        "Wed, 17 Jan 2024 02:34:38 GMT",
        "2024-01-17T02:34:38.5Z or so",
    ] {
        let found = judge(&statement(&[&at(text)])).unwrap_err();
        let what = format!("ultimas_transacoes[0]: realizada_em {text:?} is no ISO 8601 timestamp");
        assert_eq!(found, Failure::new(FailureKind::WrongContent, what));
        let body = statement(&[]).replace("2024-01-17T02:34:41.217753Z", text);
        let what = format!("data_extrato {text:?} is no ISO 8601 timestamp");
        assert_eq!(
            judge(&body),
            Err(Failure::new(FailureKind::WrongContent, what))
        );
    }
}

#[test]
fn these_statements_are_wrong() {
    const JSON: FailureKind = FailureKind::WrongJson;
    const CONTENT: FailureKind = FailureKind::WrongContent;
    let good = statement(&[ENTRY; 2]);
    assert!(judge(&good).is_ok());
    let saldo = r#"{"total":-9098,"data_extrato":"2024-01-17T02:34:41.217753Z","limite":100000}"#;
    // What is replaced in it, by what.
    for (from, to, kind, words) in [
        (&*good, "", JSON, "EOF while parsing"),
        (&*good, "{}", JSON, "missing field `saldo`"),
        (saldo, "-9098", JSON, "expected an object"),
        (
            saldo,
            r#"[-9098,100000,"2024-01-17T02:34:41Z"]"#,
            JSON,
            "expected an object",
        ),
        ("\"total\"", "\"totale\"", JSON, "missing field `total`"),
        ("-9098", "\"-9098\"", JSON, "invalid type: string"),
        ("-9098", "-9098.0", JSON, "invalid type: floating point"),
        (
            "\"limite\":100000",
            "\"x\":1",
            JSON,
            "missing field `limite`",
        ),
        ("data_extrato", "data", JSON, "missing field `data_extrato`"),
        (
            "\"2024-01-17T02:34:41.217753Z\"",
            "1705458881",
            JSON,
            "expected a string",
        ),
        (
            "\"2024-01-17T02:34:38.543030Z\"",
            "1705458878",
            JSON,
            "expected a string",
        ),
        (
            "\"2024-01-17T02:34:38.543030Z\"",
            "null",
            JSON,
            "expected a string",
        ),
        (
            "ultimas_transacoes",
            "ultimas",
            JSON,
            "missing field `ultimas_transacoes`",
        ),
        ("\"valor\":10,", "", JSON, "missing field `valor`"),
        (
            "\"valor\":10",
            "\"valor\":1.5",
            JSON,
            "invalid type: floating point",
        ),
        ("\"tipo\":\"c\",", "", JSON, "missing field `tipo`"),
        (
            "\"descricao\":\"descricao\"",
            "\"descricao\":null",
            JSON,
            "expected a string",
        ),
        (ENTRY, "null", JSON, "expected an object"),
        (
            ":100000",
            ":100001",
            CONTENT,
            "limite 100001 is not that of client 1 (100000)",
        ),
        (
            "-9098",
            "-100001",
            CONTENT,
            "total -100001 is below -limite (-100000)",
        ),
        (
            "\"valor\":10",
            "\"valor\":0",
            CONTENT,
            "ultimas_transacoes[0]: valor 0 is not positive",
        ),
        (
            "\"valor\":10",
            "\"valor\":-10",
            CONTENT,
            "valor -10 is not positive",
        ),
        (
            "\"tipo\":\"c\"",
            "\"tipo\":\"C\"",
            CONTENT,
            "tipo \"C\" is neither c nor d",
        ),
        (
            "\"tipo\":\"c\"",
            "\"tipo\":\"\"",
            CONTENT,
            "tipo \"\" is neither c nor d",
        ),
        (
            ":\"descricao\"",
            ":\"\"",
            CONTENT,
            "descricao \"\" has 0 characters, not 1 to 10",
        ),
        (
            ":\"descricao\"",
            ":\"ação ñandúu\"",
            CONTENT,
            "has 11 characters, not 1 to 10",
        ),
    ] {
        assert!(good.contains(from), "{from}");
        let found = judge(&good.replace(from, to)).map(|_| ());
        let found = found.unwrap_err();
        assert_eq!(found.kind, kind, "{to}: {}", found.what);
        assert!(found.what.contains(words), "{to}: {}", found.what);
    }
    for status in [404, 422, 500, 204] {
        let found = judge_statement(1, status, good.as_bytes()).unwrap_err();
        assert_eq!(found.kind, FailureKind::WrongStatus);
        assert_eq!(
            found.what,
            format!("{status} is not 200, as a statement's is")
        );
    }
}

#[test]
fn a_list_that_is_too_long_or_out_of_order_is_wrong() {
    let found = judge(&statement(&[ENTRY; 11])).map(|_| ()).unwrap_err();
    let what = "11 ultimas_transacoes are more than 10";
    assert_eq!(found, Failure::new(FailureKind::WrongContent, what));

    for later in [
        "2024-01-17T02:34:38.543030001Z",
        "2024-01-17T02:34:38-00:01",
        "2024-01-18 02:34",
    ] {
        let found = judge(&statement(&[ENTRY, ENTRY, &at(later)])).map(|_| ());
        let what = format!(
            "ultimas_transacoes[2]: realizada_em {later} is later than that of the one before (2024-01-17T02:34:38.54303Z): \
             the newest comes first"
        );
        assert_eq!(found, Err(Failure::new(FailureKind::WrongContent, what)));
    }
}
