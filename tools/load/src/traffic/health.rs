//! Health checks: `GET /health`.

use std::borrow::Cow;

use serde::Deserialize;

use super::reply::{object, wrong_status};
use crate::engine::Traffic;
use crate::measure::{Failure, Kind};
use crate::target::Target;

/// Nothing but health checks.
#[derive(Clone, Debug)]
pub struct Health {
    /// The same one each time.
    request: Vec<u8>,
}

#[derive(Deserialize)]
struct Body<'a> {
    /// A string, if it is there.
    #[serde(borrow, default, rename = "status")]
    _status: Cow<'a, str>,
}

impl Health {
    /// Of this target.
    pub fn new(target: &Target) -> Health {
        Health {
            request: target.request("GET", "/health", b""),
        }
    }
}

/// Whether a reply is right: 200, and an object whose `status`, if it has one, is a string.
///
/// # Errors
/// What is wrong with it.
pub fn judge(status: u16, body: &[u8]) -> Result<(), Failure> {
    match status {
        200 => object::<Body<'_>>(body).map(|_| ()),
        _ => Err(wrong_status(status, "200")),
    }
}

impl Traffic for Health {
    type Ticket = ();

    fn next(&mut self, _stream: usize, out: &mut Vec<u8>) -> (Kind, ()) {
        out.extend_from_slice(&self.request);
        (Kind::Health, ())
    }

    fn judge(&mut self, (): (), status: u16, body: &[u8]) -> Result<(), Failure> {
        judge(status, body)
    }

    fn lost(&mut self, (): (), _sent: bool) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::FailureKind;

    #[test]
    fn replies_are_judged() {
        for body in [
            r#"{"status":"healthy","timestamp":"2024-01-17T02:34:41Z","uptime":{"s":1}}"#,
            r#"{ "status" : "\u006fk" }"#,
            "{}",
        ] {
            assert_eq!(judge(200, body.as_bytes()), Ok(()), "{body}");
        }
        for (status, body, kind, words) in [
            (503, "{}", FailureKind::WrongStatus, "503 is not 200"),
            (204, "", FailureKind::WrongStatus, "204 is not 200"),
            (200, "", FailureKind::WrongJson, "EOF"),
            (200, "OK", FailureKind::WrongJson, "expected value"),
            (200, "[]", FailureKind::WrongJson, "expected an object"),
            (
                200,
                r#"["ok"]"#,
                FailureKind::WrongJson,
                "expected an object",
            ),
            (
                200,
                r#"{"status":1}"#,
                FailureKind::WrongJson,
                "expected a string",
            ),
            (
                200,
                r#"{"status":"ok"}}"#,
                FailureKind::WrongJson,
                "trailing",
            ),
        ] {
            let failure = judge(status, body.as_bytes()).unwrap_err();
            assert_eq!(failure.kind, kind, "{body}");
            assert!(failure.what.contains(words), "{body}: {}", failure.what);
        }
        let failure = judge(200, b"{\"status\":\"ok\",\"x\":\"\xff\"}").unwrap_err();
        assert_eq!(failure.kind, FailureKind::WrongJson);
    }

    #[test]
    fn the_request_is_the_same_each_time() {
        let mut health = Health::new(&"127.0.0.1:9999".parse().unwrap());
        let mut out = Vec::new();
        for _ in 0..2 {
            assert_eq!(health.next(0, &mut out), (Kind::Health, ()));
        }
        let once = "GET /health HTTP/1.1\r\nHost: 127.0.0.1:9999\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), once.repeat(2));
    }
}
