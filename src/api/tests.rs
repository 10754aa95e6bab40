//! What a request asks for: paths, methods, keys, bodies with a content coding.

use super::*;
use crate::http::{parse, ParseState, Parsed};

/// What a request with these header lines asks for, as text: it borrows what is gone by then.
fn asked(line: &str, headers: &str, body: &str) -> (Endpoint, String) {
    let length = body.len();
    let input =
        format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    let mut scratch = Vec::new();
    match parse(input.as_bytes(), &mut ParseState::default(), &mut scratch) {
        Parsed::Request { request, .. } => {
            let (endpoint, call) = route(&request, true);
            let text = match call {
                Call::Command(
                    Command::Transact { client, .. } | Command::Statement { client },
                    key,
                ) => format!("client {client} key {:?}", key.map(String::from_utf8_lossy)),
                Call::Refused(refused) => {
                    let mut body = Vec::new();
                    refused.problem.write(&mut body);
                    let body = String::from_utf8(body).unwrap();
                    format!("{} {body}", refused.problem.status.code())
                }
                other => format!("{other:?}"),
            };
            (endpoint, text)
        }
        other => panic!("{other:?}: {input:?}"),
    }
}

const TRANSACTION: &str = r#"{"valor":1,"tipo":"c","descricao":"x"}"#;
const BAD_KEYS: [&str; 4] = [
    "Idempotency-Key:\r\n",
    "Idempotency-Key: a b\r\n",
    "Idempotency-Key: a\r\nidempotency-key: a\r\n",
    "Idempotency-Key: 0123456789012345678901234567890123456789012345678901234567890123x\r\n",
];

#[test]
fn a_transaction_comes_with_its_key() {
    let line = "POST /clientes/7/transacoes";
    for (headers, expected) in [
        ("", "client 7 key None"),
        ("Idempotency-Key: a-1\r\n", r#"client 7 key Some("a-1")"#),
    ] {
        let asked = asked(line, headers, TRANSACTION);
        assert_eq!(asked, (Endpoint::Transactions, expected.to_owned()));
    }
    for headers in BAD_KEYS {
        // Whatever the body is.
        for body in [TRANSACTION, "", "{}"] {
            let (endpoint, text) = asked(line, headers, body);
            assert_eq!(endpoint, Endpoint::Transactions);
            assert_eq!(
                text,
                concat!(
                    r#"400 {"error":"bad request","field":"Idempotency-Key","#,
                    r#""rule":"1 to 64 visible ASCII characters, once"}"#
                ),
                "{headers:?}"
            );
        }
    }
    let (_, text) = asked(line, "Idempotency-Key: a\r\n", "{}");
    assert!(text.starts_with("422 "), "{text}");
}

const PATHS: [(&str, &str); 11] = [
    ("/", "GET, HEAD, OPTIONS"),
    ("/health", "GET, HEAD, OPTIONS"),
    ("/metrics", "GET, HEAD, OPTIONS"),
    ("/openapi.json", "GET, HEAD, OPTIONS"),
    ("/clientes/7/extrato", "GET, HEAD, OPTIONS"),
    ("/clientes/7/transacoes", "POST, OPTIONS"),
    ("/payments", "POST, OPTIONS"),
    ("/payments/x", "GET, HEAD, OPTIONS"),
    ("/payments-summary", "GET, HEAD, OPTIONS"),
    ("/purge-payments", "POST, OPTIONS"),
    ("/reset", "POST, OPTIONS"),
];

#[test]
fn every_path_tells_its_methods() {
    for (path, allow) in PATHS {
        let told = format!("Options({allow:?})");
        assert_eq!(asked(&format!("OPTIONS {path}"), "", "").1, told);
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "options",
        ] {
            let (_, text) = asked(&format!("{method} {path}"), "", "");
            let is_told = allow.split(", ").any(|one| one == method);
            assert_eq!(
                !text.starts_with("405 "),
                is_told,
                "{method} {path}: {text}"
            );
        }
    }
    let of_server = r#"Options("GET, HEAD, POST, OPTIONS")"#.to_owned();
    assert_eq!(asked("OPTIONS *", "", ""), (Endpoint::None, of_server));
    for path in ["/nada", "//", "/health/", "/clientes", "/clientes/1", "/*"] {
        for method in ["OPTIONS", "GET", "HEAD"] {
            let (endpoint, text) = asked(&format!("{method} {path}"), "", "");
            assert_eq!(endpoint, Endpoint::None);
            assert!(text.starts_with("404 "), "{method} {path}: {text}");
        }
    }
    for line in [
        "GET /",
        "HEAD /",
        "GET /?x=1",
        "GET http://a",
        "HEAD http://a/",
    ] {
        assert_eq!(asked(line, "", ""), (Endpoint::Health, "Health".to_owned()));
    }
}

#[test]
fn a_body_that_is_coded_is_not_read() {
    let refusal = concat!(
        r#"415 {"error":"unsupported media type","field":"Content-Encoding","#,
        r#""rule":"identity, or no such header: the body is read as it comes"}"#
    );
    const PAYMENT: &str = r#"{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":1}"#;
    for (line, body) in [
        ("POST /clientes/7/transacoes", TRANSACTION),
        ("POST /payments", PAYMENT),
        ("POST /payments", r#"{"amount":1}"#),
    ] {
        let plain = asked(line, "", body);
        assert!(!plain.1.starts_with('4'), "{plain:?}");
        for value in [
            "gzip",
            "GZIP",
            "x-gzip",
            "deflate",
            "br",
            "zstd",
            "identity, gzip",
            "gzip, identity",
            "identity;q=1",
            "aws-chunked",
            "*",
            "identity\r\ncontent-encoding: gzip",
            "gzip\r\nContent-Encoding: identity",
        ] {
            for body in [body, "", "{"] {
                let (endpoint, text) = asked(line, &format!("Content-Encoding: {value}\r\n"), body);
                assert_eq!((endpoint, text.as_str()), (plain.0, refusal), "{value}");
            }
        }
        for value in [
            "identity",
            "IDENTITY",
            "",
            "identity, identity",
            ",identity",
        ] {
            assert_eq!(
                asked(line, &format!("content-encoding: {value}\r\n"), body),
                plain
            );
        }
    }
    // What is wrong before the body counts first; whose body nobody reads may have any.
    for (line, expected) in [
        ("POST /clientes/x/transacoes", "404 "),
        ("GET /clientes/1/transacoes", "405 "),
        ("OPTIONS /payments", "Options"),
        ("POST /nada", "404 "),
        ("GET /health", "Health"),
        ("GET /", "Health"),
        ("POST /reset", "Reset"),
        ("POST /purge-payments", "Purge"),
    ] {
        let (_, text) = asked(line, "Content-Encoding: gzip\r\n", "x");
        assert!(text.starts_with(expected), "{line}: {text}");
    }
}

#[test]
fn other_endpoints_do_not_mind_a_key() {
    for (line, expected) in [
        ("GET /clientes/7/extrato", "client 7 key None"),
        ("GET /health", "Health"),
        ("GET /metrics", "Metrics"),
        ("POST /reset", "Reset"),
    ] {
        for headers in BAD_KEYS.iter().chain(&["Idempotency-Key: a\r\n"]) {
            assert_eq!(asked(line, headers, "").1, expected, "{line} {headers:?}");
        }
    }
    for (line, status) in [
        ("GET /clientes/7/transacoes", "405 "),
        ("POST /clientes/x/transacoes", "404 "),
        ("POST /clientes", "404 "),
    ] {
        let (_, text) = asked(line, BAD_KEYS[0], TRANSACTION);
        assert!(text.starts_with(status), "{line}: {text}");
    }
}
