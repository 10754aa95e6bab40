//! From the bytes of a request to a command, and from an outcome to the bytes of a reply.
//!
//! One file per family of endpoints; this one holds the routes.

pub mod bank;
pub mod operations;
mod outcome;
pub mod payments;
pub mod problem;
pub(crate) mod processors;

mod json;

use std::ffi::CStr;

use crate::http::{BadEscape, Method, Path, Request};

pub use outcome::{status, write_outcome};
use problem::{Problem, BAD_TARGET, CODED, METHOD, NOT_FOUND, NO_SUCH_CLIENT};

use crate::command::Command;

use crate::payments::Window;

/// Endpoints, as `/metrics` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Endpoint {
    /// `POST /clientes/{id}/transacoes`: a transaction.
    Transactions,
    /// `GET /clientes/{id}/extrato`: a statement.
    Statement,
    /// `GET /health`, and `GET /`
    Health,
    /// `GET /metrics`: counters and gauges in Prometheus' text format.
    Metrics,
    /// `POST /reset`: forgets all transactions and payments.
    Reset,
    /// `POST /payments`: accepts a payment.
    Payments,
    /// `GET /payments/{id}`: the state of a payment.
    Payment,
    /// `GET /payments-summary`: totals by processor.
    Summary,
    /// `POST /purge-payments`: forgets all payments.
    Purge,
    /// `GET /openapi.json`: the description of these endpoints, where it is served.
    Docs,
    /// Whatever was refused before it reached an endpoint.
    None,
}

impl Endpoint {
    /// All of them, in the order of their numbers.
    pub const ALL: [Endpoint; 11] = [
        Endpoint::Transactions,
        Endpoint::Statement,
        Endpoint::Health,
        Endpoint::Metrics,
        Endpoint::Reset,
        Endpoint::Payments,
        Endpoint::Payment,
        Endpoint::Summary,
        Endpoint::Purge,
        Endpoint::Docs,
        Endpoint::None,
    ];

    /// The endpoint at which a command comes in.
    pub fn of(command: &Command) -> Endpoint {
        match command {
            Command::Transact { .. } => Endpoint::Transactions,
            Command::Statement { .. } => Endpoint::Statement,
            Command::Pay { .. } => Endpoint::Payments,
            Command::Show { .. } => Endpoint::Payment,
        }
    }

    /// As `/metrics` and probes name it.
    pub const fn c_name(self) -> &'static CStr {
        match self {
            Endpoint::Transactions => c"transacoes",
            Endpoint::Statement => c"extrato",
            Endpoint::Health => c"health",
            Endpoint::Metrics => c"metrics",
            Endpoint::Reset => c"reset",
            Endpoint::Payments => c"payments",
            Endpoint::Payment => c"payment",
            Endpoint::Summary => c"payments-summary",
            Endpoint::Purge => c"purge-payments",
            Endpoint::Docs => c"openapi",
            Endpoint::None => c"none",
        }
    }

    /// The label's value in `/metrics`.
    pub fn name(self) -> &'static str {
        self.c_name().to_str().expect("names are ASCII")
    }
}

/// A request as its endpoint understands it.
#[derive(Debug, PartialEq)]
pub enum Call<'a> {
    /// Something that the owner of a shard does; once only with this `Idempotency-Key`, which none but
    /// transactions have.
    Command(Command, Option<&'a [u8]>),
    /// A payment without an id, answered when it is carried out; once only with this `Idempotency-Key`.
    PayNow(u64, Option<&'a [u8]>),
    /// Totals of the payments that processors have confirmed within a window.
    Summary(Window),
    /// Forget all payments, of all shards.
    Purge,
    /// The health of this process, as JSON.
    Health,
    /// Counters and gauges of this process, for Prometheus.
    Metrics,
    /// What all of these are, as OpenAPI.
    Docs,
    /// Forget all transactions and payments, of all shards.
    Reset,
    /// The allowed methods of a path, as the `Allow` header lists them.
    Options(&'static str),
    /// Refused before any shard is asked.
    Refused(Refused),
}

impl Call<'_> {
    /// Whether it needs payment processors.
    pub fn needs_payments(&self) -> bool {
        match self {
            Call::Command(command, _) => command.is_payment(),
            Call::PayNow(..) | Call::Summary(_) | Call::Purge => true,
            Call::Health
            | Call::Metrics
            | Call::Docs
            | Call::Reset
            | Call::Options(_)
            | Call::Refused(_) => false,
        }
    }
}

/// An answer that needs no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The methods that would do, for a 405.
    pub allow: Option<&'static str>,
    /// Status and body of the reply.
    pub problem: Problem,
}

const READ: &str = "GET, HEAD, OPTIONS";
const WRITE: &str = "POST, OPTIONS";
/// The methods of the server as a whole: `OPTIONS *`.
const ANY: &str = "GET, HEAD, POST, OPTIONS";

/// The endpoint of a request, and what it asks there. `docs`: there is `/openapi.json`.
pub fn route<'a>(request: &Request<'a>, docs: bool) -> (Endpoint, Call<'a>) {
    let mut segments = Path::new(request.path).segments();
    let mut next = || segments.next().transpose();
    let parts = (|| Ok((next()?, next()?, next()?, next()?)))();
    let (first, second, third, rest) = match parts {
        Ok(parts) => parts,
        Err(BadEscape) => return (Endpoint::None, refused(BAD_TARGET)),
    };
    match (first.as_deref(), second, third.as_deref(), rest) {
        (Some(b"clientes"), Some(id), Some(b"transacoes"), None) => (
            Endpoint::Transactions,
            with_method(request, WRITE, || {
                client(&id, |client| {
                    plain_body(request, |body| {
                        bank::transaction(client, request.idempotency_key, body)
                    })
                })
            }),
        ),
        (Some(b"clientes"), Some(id), Some(b"extrato"), None) => (
            Endpoint::Statement,
            with_method(request, READ, || {
                client(&id, |client| {
                    Call::Command(Command::Statement { client }, None)
                })
            }),
        ),
        // What load balancers ask unless told otherwise: `GET /`, `HEAD /` or `OPTIONS /`.
        (Some(b"health" | b""), None, None, None) => (
            Endpoint::Health,
            with_method(request, READ, || Call::Health),
        ),
        (Some(b"metrics"), None, None, None) => (
            Endpoint::Metrics,
            with_method(request, READ, || Call::Metrics),
        ),
        (Some(b"reset"), None, None, None) => {
            (Endpoint::Reset, with_method(request, WRITE, || Call::Reset))
        }
        (Some(b"payments"), None, None, None) => (
            Endpoint::Payments,
            with_method(request, WRITE, || {
                plain_body(request, |body| payments::pay(request.idempotency_key, body))
            }),
        ),
        (Some(b"payments"), Some(id), None, None) => (
            Endpoint::Payment,
            with_method(request, READ, || payments::show(&id)),
        ),
        (Some(b"payments-summary"), None, None, None) => (
            Endpoint::Summary,
            with_method(request, READ, || payments::summary(request)),
        ),
        (Some(b"purge-payments"), None, None, None) => {
            (Endpoint::Purge, with_method(request, WRITE, || Call::Purge))
        }
        (Some(b"openapi.json"), None, None, None) if docs => {
            (Endpoint::Docs, with_method(request, READ, || Call::Docs))
        }
        (None, ..) if request.path == b"*" => (Endpoint::None, Call::Options(ANY)),
        _ => (Endpoint::None, refused(NOT_FOUND)),
    }
}

const fn refused<'a>(problem: Problem) -> Call<'a> {
    Call::Refused(Refused {
        allow: None,
        problem,
    })
}

fn with_method<'a>(
    request: &Request<'_>,
    allow: &'static str,
    call: impl FnOnce() -> Call<'a>,
) -> Call<'a> {
    let allowed = match request.method {
        Method::Get | Method::Head => allow == READ,
        Method::Post => allow == WRITE,
        Method::Options => return Call::Options(allow),
        Method::Other => false,
    };
    if allowed {
        return call();
    }
    Call::Refused(Refused {
        allow: Some(allow),
        problem: METHOD,
    })
}

/// For who reads the body: it is the bytes that it stands for.
fn plain_body<'a>(request: &Request<'a>, call: impl FnOnce(&'a [u8]) -> Call<'a>) -> Call<'a> {
    match request.body_coded {
        false => call(request.body),
        true => refused(CODED),
    }
}

/// `{id}` is a plain decimal number: digits, without sign and without zeros in front.
fn client<'a>(id: &[u8], call: impl FnOnce(u32) -> Call<'a>) -> Call<'a> {
    let plain = !id.is_empty()
        && id.len() <= 10
        && id.iter().all(u8::is_ascii_digit)
        && (id[0] != b'0' || id.len() == 1);
    let number = if plain {
        id.iter().try_fold(0u32, |number, digit| {
            number.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
        })
    } else {
        None
    };
    match number {
        Some(number) => call(number),
        None => refused(NO_SUCH_CLIENT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{parse, ParseState, Parsed};

    /// What a request with these header lines asks for, as text: it borrows what is gone by then.
    fn asked(line: &str, headers: &str, body: &str) -> (Endpoint, String) {
        let length = body.len();
        let input = format!(
            "{line} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
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
        const PAYMENT: &str =
            r#"{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":1}"#;
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
                    let (endpoint, text) =
                        asked(line, &format!("Content-Encoding: {value}\r\n"), body);
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
}
