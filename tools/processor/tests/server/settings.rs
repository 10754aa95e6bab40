//! The admin endpoints.

use galo_testkit::http::request;
use galo_testkit::Processor;

use crate::client::{payment, Client};

#[test]
fn without_the_token_there_is_no_entrance() {
    let server = Processor::start(&["--token", "secret"]);
    let mut connection = server.connect();
    for (method, path) in [
        ("GET", "/admin/payments-summary"),
        ("PUT", "/admin/configurations/token"),
        ("PUT", "/admin/configurations/delay"),
        ("PUT", "/admin/configurations/failure"),
        ("PUT", "/admin/configurations/faults"),
        ("POST", "/admin/purge-payments"),
    ] {
        assert_eq!(connection.exchange(method, path, "").status, 401, "{path}");
        let wrong = request(method, path, "X-Rinha-Token: 123\r\n", "");
        assert_eq!(connection.ask(&wrong).status, 401, "{path}");
    }
}

#[test]
fn the_token_can_be_changed() {
    let server = Processor::start(&[]);
    let token = |token, body| {
        let mut connection = server.connect();
        let header = format!("X-Rinha-Token: {token}\r\n");
        let request = request("PUT", "/admin/configurations/token", &header, body);
        connection.ask(&request).status
    };
    assert_eq!(token("123", r#"{"token":"456"}"#), 204);
    assert_eq!(token("123", r#"{"token":"123"}"#), 401);
    assert_eq!(token("456", r#"{"token":"123"}"#), 204);
    assert_eq!(server.all().count, 0);
}

#[test]
fn delay_and_failure_can_be_set_and_show_in_service_health() {
    let server = Processor::start(&[]);
    let set = |path: &str, body: &str| {
        server
            .admin("PUT", &format!("/admin/configurations/{path}"), body)
            .status
    };
    assert_eq!(set("delay", r#"{"delay":235}"#), 200);
    assert_eq!(set("failure", r#"{"failure":true}"#), 200);
    let health = server.ask("GET", "/payments/service-health", "");
    assert_eq!(health.text(), r#"{"failing":true,"minResponseTime":235}"#);
    assert_eq!(server.connect().pay(1).status, 500);
    assert_eq!(set("delay", r#"{"delay":0}"#), 200);
    assert_eq!(set("failure", r#"{"failure":false}"#), 200);
    assert_eq!(server.connect().pay(1).status, 200);
    for (path, body) in [
        ("delay", r#"{"delay":-1}"#),
        ("delay", r#"{"delay":3600001}"#),
        ("delay", ""),
        ("failure", r#"{"failure":1}"#),
        ("faults", r#"{"reply_los":1}"#),
        ("token", "{}"),
    ] {
        assert_eq!(set(path, body), 400, "{path} {body}");
    }
}

#[test]
fn the_summary_is_exact_and_both_its_bounds_are_inclusive() {
    let server = Processor::start(&["--fee", "0.15"]);
    let mut connection = server.connect();
    for (number, amount, second) in [
        (1, "19.90", "01.000"),
        (2, "0.01", "02.000"),
        (3, "100000.09", "03.000"),
        (4, "19.9", "03.001"),
    ] {
        let body = payment(number, amount, &format!("2025-07-15T12:34:{second}Z"));
        assert_eq!(connection.exchange("POST", "/payments", &body).status, 200);
    }
    let all = r#"{"totalRequests":4,"totalAmount":100039.90,"totalFee":15005.985,"feePerTransaction":0.15}"#;
    let body = |query: &str| {
        let path = format!("/admin/payments-summary{query}");
        server.admin("GET", &path, "").text().to_owned()
    };
    assert_eq!(body(""), all);
    let (from, to) = (
        "from=2025-07-15T12:34:02.000Z",
        "to=2025-07-15T12:34:03.000Z",
    );
    assert_eq!(body(&format!("?{from}")), all);
    assert_eq!(body(&format!("?{to}")), all);
    let two = r#"{"totalRequests":2,"totalAmount":100000.10,"totalFee":15000.015,"feePerTransaction":0.15}"#;
    assert_eq!(body(&format!("?{from}&{to}")), two);
    let escaped = format!("?{from}&{to}").replace(':', "%3A");
    assert_eq!(body(&escaped), two);
    let wrong = server.admin("GET", "/admin/payments-summary?from=x&to=y", "");
    assert_eq!(wrong.status, 400);
}

#[test]
fn purging_forgets_payments() {
    let server = Processor::start(&[]);
    let mut connection = server.connect();
    assert_eq!(connection.pay(1).status, 200);
    assert_eq!(
        server.admin("POST", "/admin/purge-payments", "").status,
        200
    );
    assert_eq!(server.all().count, 0);
    assert_eq!(connection.look_up(1).status, 404);
    assert_eq!(connection.pay(1).status, 200);
}
