use super::*;

const fn totals(count: u64, cents: u64) -> Totals {
    Totals { count, cents }
}

#[test]
fn summaries_are_read_exactly() {
    let both = Summary {
        default: totals(43_236, 41_554_234_598),
        fallback: totals(423_545, 32_934_734),
    };
    let none = Summary::default();
    for (body, expected) in [
        (
            r#"{"default":{"totalRequests":43236,"totalAmount":415542345.98},"fallback":{"totalRequests":423545,"totalAmount":329347.34}}"#,
            both,
        ),
        (
            r#" { "x" : [], "fallback":{"totalAmount":3.2934734e5,"x":{},"totalRequests":423545},
            "default":{"totalRequests":43236,"totalAmount":415542345.980}}"#,
            both,
        ),
        (
            r#"{"total_payments":466781,"total_amount":415871693.32,"payments_by_processor":{
            "default":{"count":43236,"total_amount":415542345.98},"fallback":{"count":423545,"total_amount":329347.34}}}"#,
            both,
        ),
        (
            r#"{"default":{"totalRequests":0,"totalAmount":0},"fallback":{"totalRequests":0,"totalAmount":0.0},
            "payments_by_processor":{"default":{"count":0,"total_amount":0},"fallback":{"count":0,"total_amount":0}}}"#,
            none,
        ),
    ] {
        assert_eq!(parse_summary(200, body.as_bytes()), Ok(expected), "{body}");
    }
    assert_eq!(both.total(), totals(466_781, 41_587_169_332));
}

#[test]
fn whatever_else_is_no_summary() {
    const STATUS: FailureKind = FailureKind::WrongStatus;
    const JSON: FailureKind = FailureKind::WrongJson;
    const CONTENT: FailureKind = FailureKind::WrongContent;
    let with = |amount: &str| {
        format!(
            r#"{{"default":{{"totalRequests":1,"totalAmount":{amount}}},"fallback":{{"totalRequests":0,"totalAmount":0}}}}"#
        )
    };
    assert!(parse_summary(200, with("19.9").as_bytes()).is_ok());
    for (status, body, kind, words) in [
        (404, String::new(), STATUS, "404 is not 200"),
        (200, String::new(), JSON, "EOF"),
        (
            200,
            "{}".to_owned(),
            JSON,
            "default and fallback are not both there",
        ),
        (200, "[]".to_owned(), JSON, "expected an object"),
        (
            200,
            r#"{"default":{"totalRequests":1,"totalAmount":1}}"#.to_owned(),
            JSON,
            "default and fallback are not both there",
        ),
        (
            200,
            r#"{"default":[1,1],"fallback":[1,1]}"#.to_owned(),
            JSON,
            "expected an object",
        ),
        (
            200,
            with("19.9").replace(":1,", ":-1,"),
            JSON,
            "invalid value: integer `-1`",
        ),
        (
            200,
            with("19.9").replace(":1,", ":1.0,"),
            JSON,
            "invalid type: floating point",
        ),
        (
            200,
            with("\"19.90\""),
            JSON,
            "default: \"19.90\" is no number",
        ),
        (200, with("null"), JSON, "default: null is no number"),
        (
            200,
            with("19.9001"),
            CONTENT,
            "default: 19.9001 is no whole number of cents",
        ),
        (200, with("-19.90"), CONTENT, "-19.90"),
        (200, with("19.905"), CONTENT, "19.905"),
        (200, with("1e40"), CONTENT, "1e40"),
    ] {
        let failure = parse_summary(status, body.as_bytes()).unwrap_err();
        assert_eq!(failure.kind, kind, "{body}");
        assert!(failure.what.contains(words), "{body}: {}", failure.what);
    }
}

#[test]
fn a_sum_of_floats_is_taken_for_its_cents() {
    for (text, cents) in [("59.699999999999996", 5970), ("19.900000000000002", 1990)] {
        let body = format!(
            r#"{{"default":{{"totalRequests":3,"totalAmount":{text}}},"fallback":{{"totalRequests":0,"totalAmount":0}}}}"#
        );
        let summary = parse_summary(200, body.as_bytes()).unwrap();
        assert_eq!(summary.default.cents, cents, "{text}");
    }
}

#[test]
fn summaries_of_processors_are_read() {
    let body =
        br#"{"totalRequests":3,"totalAmount":59.70,"totalFee":2.985,"feePerTransaction":0.05}"#;
    let expected = ProcessorSummary {
        totals: totals(3, 5970),
        fee: 2.985,
        fee_share: 0.05,
    };
    assert_eq!(parse_processor_summary(200, body), Ok(expected));
    for (status, body, kind) in [
        (401, "", FailureKind::WrongStatus),
        (
            200,
            r#"{"totalRequests":3,"totalAmount":59.70}"#,
            FailureKind::WrongJson,
        ),
        (
            200,
            r#"{"totalRequests":3,"totalAmount":59.701,"totalFee":2.985,"feePerTransaction":0.05}"#,
            FailureKind::WrongContent,
        ),
    ] {
        let failure = parse_processor_summary(status, body.as_bytes()).unwrap_err();
        assert_eq!(failure.kind, kind, "{body}");
    }
}

#[test]
fn totals_are_judged() {
    let before = Summary {
        default: totals(10, 500),
        fallback: totals(1, 7),
    };
    // Payments and cents more than before, accepted and unknown ones; what is wrong with either.
    for (count, cents, acknowledged, unknown, wrong) in [
        (0, 0, 0, 0, [None, None]),
        (100, 199_000, 100, 0, [None, None]),
        (100, 199_000, 98, 2, [None, None]),
        (98, 195_020, 98, 2, [None, None]),
        (
            99,
            197_010,
            100,
            0,
            [Some("1 less than were accepted"), None],
        ),
        (
            101,
            200_990,
            98,
            2,
            [Some("1 more than can have been accepted"), None],
        ),
        (
            100,
            199_001,
            100,
            0,
            [None, Some("0.01 more than so many payments make")],
        ),
        (
            100,
            197_010,
            100,
            0,
            [None, Some("19.90 less than so many payments make")],
        ),
    ] {
        let mut after = before;
        after.default.count += count;
        after.fallback.cents += cents;
        let accepted = Accepted {
            acknowledged,
            unknown,
        };
        let verification = judge_totals(before, after, accepted);
        let found: Vec<_> = verification
            .lines
            .iter()
            .map(|line| line.wrong.as_deref())
            .collect();
        assert_eq!(found, wrong, "{count} {cents}");
        assert_eq!(verification.is_good(), wrong == [None, None]);
    }
    // Somebody purged them.
    let accepted = Accepted {
        acknowledged: 5,
        unknown: 1,
    };
    let [payments, amount] = &judge_totals(before, Summary::default(), accepted).lines[..] else {
        panic!("two lines");
    };
    assert_eq!(payments.expected, "5 to 6: the outcome of 1 is unknown");
    assert_eq!((&*payments.found, &*amount.found), ("-11", "-5.07"));
    assert_eq!(
        payments.wrong.as_deref(),
        Some("16 less than were accepted")
    );
    assert_eq!(amount.expected, "-218.90: 19.90 for each of -11");
}

#[test]
fn a_payment_is_read_by_its_id() {
    let id = Uuid::from_u128(0x4a79_01b8_7d26_4d9d_aa19_4dc1_c7cf_60b3);
    let body = |id: &str, amount: &str| {
        format!(
            r#"{{"correlationId":"{id}","amount":{amount},"requestedAt":"2025-07-15T12:34:56"}}"#
        )
    };
    let right = id.to_string();
    for (status, body, expected) in [
        (200, body(&right, "19.90"), Some(1990)),
        (200, body(&right.to_uppercase(), "19.9"), Some(1990)),
        (404, String::new(), None),
        (404, "<html>".to_owned(), None),
    ] {
        assert_eq!(parse_payment(id, status, body.as_bytes()), Ok(expected));
    }
    for (status, body, words) in [
        (500, String::new(), "500 is not 200 or 404"),
        (204, String::new(), "204 is not 200 or 404"),
        (
            200,
            body(&Uuid::from_u128(7).to_string(), "19.90"),
            "was asked for",
        ),
        (200, body("7", "19.90"), "was asked for"),
        (200, body(&right, "19.905"), "no whole number of cents"),
    ] {
        let failure = parse_payment(id, status, body.as_bytes()).unwrap_err();
        assert!(failure.what.contains(words), "{}", failure.what);
    }
    assert!(parse_payment(id, 200, b"<html>").is_err());
}
