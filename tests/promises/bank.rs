//! The bank's rules, as a client sees them.

use galo_testkit::{data_dir, on_both_drivers, post, Launch};

#[test]
fn a_transaction_is_judged_by_the_rules() {
    let dir = data_dir();
    let server = Launch::serve(dir.path()).start();
    let mut connection = server.connect();
    for (body, status, field) in [
        (
            r#"{"valor":1,"tipo":"c","descricao":"ação ñandú"}"#,
            200,
            None,
        ),
        (
            r#"{"valor":1,"tipo":"d","descricao":"x","mais":[1]}"#,
            200,
            None,
        ),
        (
            r#"{"valor":100001,"tipo":"d","descricao":"x"}"#,
            422,
            Some("valor"),
        ),
        (
            r#"{"valor":0,"tipo":"d","descricao":"x"}"#,
            422,
            Some("valor"),
        ),
        (
            r#"{"valor":-1,"tipo":"d","descricao":"x"}"#,
            422,
            Some("valor"),
        ),
        (
            r#"{"valor":1.2,"tipo":"d","descricao":"x"}"#,
            422,
            Some("valor"),
        ),
        (
            r#"{"valor":1.0,"tipo":"d","descricao":"x"}"#,
            422,
            Some("valor"),
        ),
        (
            r#"{"valor":1e2,"tipo":"d","descricao":"x"}"#,
            422,
            Some("valor"),
        ),
        (
            r#"{"valor":null,"tipo":"d","descricao":"x"}"#,
            422,
            Some("valor"),
        ),
        (
            r#"{"valor":9223372036854775808,"tipo":"c","descricao":"x"}"#,
            422,
            Some("valor"),
        ),
        (r#"{"tipo":"d","descricao":"x"}"#, 422, Some("valor")),
        (
            r#"{"valor":1,"tipo":"x","descricao":"x"}"#,
            422,
            Some("tipo"),
        ),
        (r#"{"valor":1,"descricao":"x"}"#, 422, Some("tipo")),
        (
            r#"{"valor":1,"tipo":"c","descricao":""}"#,
            422,
            Some("descricao"),
        ),
        (
            r#"{"valor":1,"tipo":"c","descricao":null}"#,
            422,
            Some("descricao"),
        ),
        (
            r#"{"valor":1,"tipo":"c","descricao":"12345678901"}"#,
            422,
            Some("descricao"),
        ),
        (r#"{"valor":1,"tipo":"c"}"#, 422, Some("descricao")),
        (r#"{"valor":1,"tipo":"c","descricao":"x""#, 400, None),
        ("", 400, None),
    ] {
        let reply = connection.ask(&post("/clientes/1/transacoes", body));
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        if status != 200 {
            let json = reply.json();
            assert_eq!(json["field"].as_str(), field, "{body}: {json}");
            assert!(json["rule"].is_string(), "{body}: {json}");
        }
    }
    let statement = server.get("/clientes/1/extrato").statement();
    assert_eq!((statement.total, statement.transactions.len()), (0, 2));
    assert_eq!(statement.transactions[1].description, "ação ñandú");
    for id in ["6", "0", "01", "+1", "-1", "1.0", "x", "", "4294967297"] {
        let reply = server.get(&format!("/clientes/{id}/extrato"));
        assert_eq!(reply.status, 404, "{id}: {reply:?}");
        let good = r#"{"valor":1,"tipo":"c","descricao":"x"}"#;
        let reply = server.ask(&post(&format!("/clientes/{id}/transacoes"), good));
        assert_eq!(reply.status, 404, "{id}: {reply:?}");
    }
}

#[test]
fn a_balance_reaches_its_limit_and_not_below_and_does_not_overflow() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let file = dir.path().join("clients.json");
        let max = i64::MAX;
        let clients = format!(r#"[{{"id":7,"limite":10,"saldo":{max}}},{{"id":8,"limite":10}}]"#);
        std::fs::write(&file, clients).unwrap();
        let data = dir.path().join("data");
        let server = Launch::driver(&data, driver).flag("clients", &file).start();
        assert_eq!(server.transact(7, 'c', 1, "x").status, 422);
        assert_eq!(server.transact(7, 'd', max, "x").posted(), (10, 0));
        assert_eq!(server.transact(7, 'd', max, "x").status, 422);
        assert_eq!(server.transact(8, 'd', 11, "x").status, 422);
        assert_eq!(server.transact(8, 'd', 10, "x").posted(), (10, -10));
        assert_eq!(server.transact(8, 'd', 1, "x").status, 422);
        assert_eq!(server.balance(8), -10);
        let statement = server.get("/clientes/8/extrato").statement();
        assert_eq!(statement.transactions.len(), 1, "refusals leave no trace");
    });
}
