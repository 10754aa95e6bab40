use super::*;
use crate::api::write_outcome;
use crate::command::Ids;
use crate::payments::Totals;
use crate::shard;

const ID: PaymentId = PaymentId(0x4a79_01b8_7d26_4d9d_aa19_4dc1_c7cf_60b3);

/// What a body asks for, with this key; refusals as status and field.
fn asked<'a>(
    key: Option<Result<&'a [u8], BadKey>>,
    body: &str,
) -> Result<Call<'a>, (Status, &'static str)> {
    parse(key, body.as_bytes()).map_err(|problem| (problem.status, problem.field))
}

fn verdict(body: &str) -> Result<Call<'static>, (Status, &'static str)> {
    asked(None, body)
}

fn paid(cents: u64) -> Call<'static> {
    let command = Command::Pay { id: ID, cents };
    Call::Command(command, None)
}

#[test]
fn a_good_body_becomes_a_payment() {
    for (body, cents) in [
        (
            r#"{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":19.90}"#,
            1990,
        ),
        (
            r#" {"amount":19.9,"correlationId":"4A7901B8-7D26-4D9D-AA19-4DC1C7CF60B3"} "#,
            1990,
        ),
        (
            r#"{"correlationId":"\u0034a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":1e1,"description":[1]}"#,
            1000,
        ),
        (
            r#"{"x":{"amount":1},"correlation\u0049d":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":0.010}"#,
            1,
        ),
    ] {
        for key in [None, Some(Ok(&b"a"[..]))] {
            assert_eq!(asked(key, body), Ok(paid(cents)), "{body}");
        }
    }
}

#[test]
fn without_an_id_it_is_paid_now() {
    for body in [
        r#"{"amount":100.00,"description":"x"}"#,
        r#"{"correlationId":null,"amount":100}"#,
    ] {
        assert_eq!(verdict(body), Ok(Call::PayNow(10_000, None)), "{body}");
        let key = Some(Ok(&b"a-1"[..]));
        assert_eq!(asked(key, body), Ok(Call::PayNow(10_000, Some(b"a-1"))));
    }
}

#[test]
fn a_bad_key_is_refused_whatever_the_body_is() {
    for body in [
        r#"{"amount":1}"#,
        r#"{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":1}"#,
        r#"{"correlationId":"x","amount":0}"#,
        "[]",
        "",
    ] {
        let bad = (Status::BadRequest, "Idempotency-Key");
        assert_eq!(asked(Some(Err(BadKey)), body), Err(bad), "{body}");
    }
}

#[test]
fn an_id_by_another_name_is_refused_with_the_right_one() {
    const ID: &str = r#""4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3""#;
    for name in [
        "correlation_id",
        "correlationID",
        "CorrelationId",
        "correlation-id",
        "id",
        r"correlation\u005fid",
    ] {
        let refusal = Err((Status::Unprocessable, "correlationId"));
        for body in [
            format!(r#"{{"{name}":{ID},"amount":1}}"#),
            format!(r#"{{"amount":1,"{name}":7}}"#),
            format!(r#"{{"correlationId":null,"{name}":{ID},"amount":1}}"#),
        ] {
            for key in [None, Some(Ok(&b"a"[..]))] {
                assert_eq!(asked(key, &body), refusal, "{body}");
            }
        }
        // Beside a good one it is a member like any other, as often as it is there.
        let beside = format!(r#"{{"{name}":1,"{name}":2,"correlationId":{ID},"amount":1}}"#);
        assert_eq!(verdict(&beside), Ok(paid(100)), "{beside}");
        let none = format!(r#"{{"{name}":null,"amount":1}}"#);
        assert_eq!(verdict(&none), Ok(Call::PayNow(100, None)), "{none}");
    }
    let others = r#"{"customerId":"x","order":{"id":1},"amount":1}"#;
    assert_eq!(verdict(others), Ok(Call::PayNow(100, None)));
}

#[test]
fn every_bad_member_is_a_422_that_names_it() {
    const GOOD: &str = r#""correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3""#;
    for id in [
        r#""""#,
        r#""x""#,
        r#""4a7901b87d264d9daa194dc1c7cf60b3""#,
        r#""4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b""#,
        r#""4a7901b8-7d26-4d9d-aa19-4dc1c7cf60bg""#,
        r#"" 4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3""#,
        r#""\ud800a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3""#,
        "5",
        "true",
        "[]",
        "{}",
    ] {
        let expected = Err((Status::Unprocessable, "correlationId"));
        let body = format!(r#"{{"correlationId":{id},"amount":1}}"#);
        assert_eq!(verdict(&body), expected, "{body}");
        let body = format!(r#"{{"correlationId":{id}}}"#);
        assert_eq!(verdict(&body), expected, "{body}");
    }
    for amount in [
        "",
        r#","amount":null"#,
        r#","amount":0"#,
        r#","amount":0.00"#,
        r#","amount":-1"#,
        r#","amount":-19.90"#,
        r#","amount":19.901"#,
        r#","amount":1e-3"#,
        r#","amount":10000000000.01"#,
        r#","amount":1e999"#,
        r#","amount":"19.90""#,
        r#","amount":true"#,
        r#","amount":[1]"#,
        r#","amount":{}"#,
        r#","Amount":1"#,
    ] {
        let expected = Err((Status::Unprocessable, "amount"));
        let body = format!("{{{GOOD}{amount}}}");
        assert_eq!(verdict(&body), expected, "{body}");
        let body = format!(r#"{{"description":"x"{amount}}}"#);
        assert_eq!(verdict(&body), expected, "{body}");
    }
}

#[test]
fn other_json_is_422_and_what_is_not_json_is_400() {
    for body in [
        "[]",
        "5",
        "null",
        "\"x\"",
        r#"["4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3",1]"#,
        r#"{"amount":1,"amount":1}"#,
        r#"{"correlationId":null,"correlationId":null,"amount":1}"#,
    ] {
        assert_eq!(verdict(body), Err((Status::Unprocessable, "")), "{body}");
    }
    for body in [
        "",
        " ",
        "{",
        "[1,",
        r#"{"amount":1}x"#,
        r#"{"amount":01}"#,
        r#"{"amount":.5}"#,
        r#"{"amount":+1}"#,
        r#"{"amount":NaN}"#,
        "{amount:1}",
    ] {
        assert_eq!(verdict(body), Err((Status::BadRequest, "")), "{body}");
    }
    let not_utf8 = parse(None, b"{\"amount\":1,\"description\":\"\xff\"}");
    assert_eq!(not_utf8.map_err(|it| it.status), Err(Status::BadRequest));
}

#[test]
fn a_payment_is_shown_by_its_uuid() {
    let command = Command::Show { id: ID };
    assert_eq!(show(&ID.text()), Call::Command(command, None));
    for id in [&b""[..], b"x", b"4a7901b87d264d9daa194dc1c7cf60b3"] {
        assert_eq!(show(id), refused(NO_SUCH_PAYMENT));
    }
}

#[test]
fn a_window_has_the_bounds_that_were_given() {
    const NOON: u64 = 1_752_582_896_000_000;
    for (query, from_us, to_us) in [
        (None, 0, u64::MAX),
        (Some(""), 0, u64::MAX),
        (Some("a=b&From=x&from%=1&%74o%20=2"), 0, u64::MAX),
        (Some("from=2025-07-15T12:34:56.000Z"), NOON, u64::MAX),
        (Some("x&to=2025-07-15T12:34:56.123456Z"), 0, NOON + 123_456),
        (
            Some("to=2025-07-15T12:34:57Z&from=2025-07-15T12:34:56Z"),
            NOON,
            NOON + 1_000_000,
        ),
        (
            Some("%66rom=2025-07-15T12%3A34%3A56.000Z&to=2025-07-15T14:34:56+02:00"),
            NOON,
            NOON,
        ),
        (Some("to=2025-07-15T14%3a34%3a56%2B02%3a00"), 0, NOON),
        // What is between two microseconds is in no window that does not hold both.
        (
            Some("from=2025-07-15T12:34:56.0000001Z&to=2025-07-15T12:34:56.9999999Z"),
            NOON + 1,
            NOON + 999_999,
        ),
        (
            Some("from=2025-07-15T12:34:56.0000005Z&to=2025-07-15T12:34:56.0000005Z"),
            NOON + 1,
            NOON,
        ),
        (
            Some("from=1960-01-01T00:00:00Z&to=1961-01-01T00:00:00Z"),
            0,
            0,
        ),
    ] {
        let window = window(QueryString::new(query.map(str::as_bytes)));
        assert_eq!(window, Ok(Window { from_us, to_us }), "{query:?}");
    }
}

#[test]
fn a_bad_bound_is_a_400_that_names_it() {
    for (query, problem) in [
        ("from", FROM),
        ("from=", FROM),
        ("from=x", FROM),
        ("from=%", FROM),
        ("from=2025-07-15", FROM),
        ("from=2025-02-29T12:34:56Z", FROM),
        ("from=2025-07-15T12:34:56Z&from=2025-07-15T12:34:56Z", FROM),
        ("to=", TO),
        ("to=1752582896", TO),
        ("to=2025-07-15T12:34:56%FFZ", TO),
        ("to=2025-07-15T12:34:56Z&a=b&to=2025-07-15T12:34:56Z", TO),
        ("from=2025-07-15T12:34:56Z&to=now", TO),
        (
            "from=2025-07-15T12:34:56.001Z&to=2025-07-15T12:34:56.000Z",
            OUT_OF_ORDER,
        ),
    ] {
        let window = window(QueryString::new(Some(query.as_bytes())));
        assert_eq!(window, Err(problem), "{query}");
    }
}

#[test]
fn a_summary_has_both_forms_and_exact_decimals() {
    let summary = Summary([
        Totals {
            count: 43_236,
            cents: 41_554_234_598,
        },
        Totals {
            count: 3,
            cents: u128::from(u64::MAX),
        },
    ]);
    for (summary, expected) in [
        (
            summary,
            concat!(
                r#"{"default":{"totalRequests":43236,"totalAmount":415542345.98},"#,
                r#""fallback":{"totalRequests":3,"totalAmount":184467440737095516.15},"#,
                r#""total_payments":43239,"total_amount":184467441152637862.13,"#,
                r#""payments_by_processor":{"default":{"count":43236,"total_amount":415542345.98},"#,
                r#""fallback":{"count":3,"total_amount":184467440737095516.15}}}"#
            ),
        ),
        (
            Summary::default(),
            concat!(
                r#"{"default":{"totalRequests":0,"totalAmount":0.00},"#,
                r#""fallback":{"totalRequests":0,"totalAmount":0.00},"#,
                r#""total_payments":0,"total_amount":0.00,"#,
                r#""payments_by_processor":{"default":{"count":0,"total_amount":0.00},"#,
                r#""fallback":{"count":0,"total_amount":0.00}}}"#
            ),
        ),
    ] {
        let mut body = Vec::new();
        write_summary(&mut body, &summary);
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}

#[test]
fn a_payment_tells_where_it_stands() {
    const START: &str = r#"{"id":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":19.90,"status":"#;
    let requested_us = 1_752_582_896_050_000;
    for (state, shown, status, outcome) in [
        (
            PaymentState::Free,
            r#""accepted","accepted_at":"2025-07-15T12:34:56.000007Z","attempts":2}"#,
            Status::Accepted,
            r#""pending"}"#,
        ),
        (
            PaymentState::Bound {
                to: Processor::Fallback,
                requested_us,
                in_doubt: true,
            },
            concat!(
                r#""sent","accepted_at":"2025-07-15T12:34:56.000007Z","attempts":2,"#,
                r#""processor":"fallback","requested_at":"2025-07-15T12:34:56.050Z","in_doubt":true}"#
            ),
            Status::Accepted,
            r#""pending"}"#,
        ),
        (
            PaymentState::Processed {
                by: Processor::Default,
                requested_us,
            },
            concat!(
                r#""processed","accepted_at":"2025-07-15T12:34:56.000007Z","attempts":2,"#,
                r#""processor":"default","requested_at":"2025-07-15T12:34:56.050Z"}"#
            ),
            Status::Ok,
            r#""processed","processor":"default","timestamp":1752582896.050}"#,
        ),
    ] {
        let payment = Payment {
            id: ID,
            cents: 1990,
            accepted_us: 1_752_582_896_000_007,
            attempts: 2,
            state,
        };
        let mut body = Vec::new();
        write_payment(&mut body, &payment);
        assert_eq!(String::from_utf8(body).unwrap(), format!("{START}{shown}"));
        let mut body = Vec::new();
        assert_eq!(write_pay_now(&mut body, &payment), status);
        assert_eq!(
            String::from_utf8(body).unwrap(),
            format!("{START}{outcome}")
        );
    }
}

#[test]
fn a_payment_is_accepted_once() {
    let dir = tempfile::tempdir().unwrap();
    let meta = shard::Meta {
        directory: 1,
        shards: 1,
    };
    shard::create(&shard::RealDisk, dir.path(), &meta, &[]).unwrap();
    let opened = shard::open(&shard::RealDisk, dir.path(), &meta, 0).unwrap();
    let mut shard = opened.shard;
    shard.set_payments_max(1);
    let mut ask = |command, time_us| {
        let mut body = Vec::new();
        let applied = shard.apply(&command, &Ids::default(), time_us);
        let status = write_outcome(&mut body, &applied.outcome).unwrap_or_else(|problem| {
            problem.write(&mut body);
            problem.status
        });
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (status.code(), applied.repeated, body)
    };
    let other = PaymentId(7);
    let pay = |id, cents| Command::Pay { id, cents };
    assert_eq!(ask(Command::Show { id: ID }, 5).0, 404);
    let accepted = serde_json::json!({"status": "accepted"});
    assert_eq!(ask(pay(ID, 1990), 5), (202, false, accepted.clone()));
    assert_eq!(ask(pay(ID, 1990), 6), (202, true, accepted));
    let (status, repeated, problem) = ask(pay(ID, 1991), 7);
    assert_eq!((status, repeated), (422, false));
    assert_eq!(problem["field"], "amount");
    let (status, repeated, problem) = ask(pay(other, 1), 8);
    assert_eq!((status, repeated), (503, false));
    assert_eq!(problem["error"], "queue full");
    assert_eq!(
        ask(Command::Show { id: ID }, 9),
        (
            200,
            false,
            serde_json::json!({
                "id": ID.to_string(), "amount": 19.9, "status": "accepted",
                "accepted_at": "1970-01-01T00:00:00.000005Z", "attempts": 0
            })
        )
    );
    assert_eq!(ask(Command::Show { id: other }, 9).0, 404);
}
