//! What replies with a status of 4xx or 5xx say, as one table. `docs/openapi.yaml` has the same; a test compares them.

use std::io::Write as _;

use crate::http::Status;
use crate::limits::{
    AMOUNT_CENTS_MAX, BODY_BYTES_MAX, CONNECTIONS_MAX, HEADERS_MAX, HEAD_BYTES_MAX, KEY_CHARS_MAX,
};

/// An error that clients are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// 400 or more.
    pub status: Status,
    /// A short, stable code.
    pub error: &'static str,
    /// The member of the request at fault, empty for none.
    pub field: &'static str,
    /// The rule that the request breaks, for people.
    pub rule: &'static str,
}

/// What `type` in RFC 9457's form begins with; the code follows, with dashes for blanks.
const TYPE: &str = "urn:galo:problem:";

impl Problem {
    /// Appends it as `{"error":…,"field":…,"rule":…}`, the second only where it applies. None of the texts needs
    /// escaping: they are all ours.
    pub fn write(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(b"{\"error\":\"");
        body.extend_from_slice(self.error.as_bytes());
        if !self.field.is_empty() {
            body.extend_from_slice(b"\",\"field\":\"");
            body.extend_from_slice(self.field.as_bytes());
        }
        body.extend_from_slice(b"\",\"rule\":\"");
        body.extend_from_slice(self.rule.as_bytes());
        body.extend_from_slice(b"\"}");
    }

    /// Appends it as RFC 9457 has it, for who asks for `application/problem+json`.
    #[cold]
    pub fn write_details(&self, body: &mut Vec<u8>) {
        let (error, code) = (self.error, self.status.code());
        let name = error.replace(' ', "-");
        write!(
            body,
            "{{\"type\":\"{TYPE}{name}\",\"title\":\"{error}\",\"status\":{code},\"detail\":\"{}\"",
            self.rule
        )
        .expect("writing to memory does not fail");
        if !self.field.is_empty() {
            write!(body, ",\"field\":\"{}\"", self.field).expect("writing to memory does not fail");
        }
        body.push(b'}');
    }

    /// What is said when the request could not even be framed.
    pub const fn of_framing(status: Status) -> Problem {
        match status {
            Status::RequestTimeout => TIMEOUT,
            Status::BodyTooLarge => BODY_TOO_LARGE,
            Status::HeadTooLarge => HEAD_TOO_LARGE,
            Status::ExpectationFailed => EXPECTATION,
            Status::NotImplemented => CODING,
            Status::VersionNotSupported => VERSION,
            _ => NOT_HTTP,
        }
    }
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident = $status:ident $error:literal $field:literal $rule:literal;)*) => {
        $($(#[$doc])* pub const $name: Problem = Problem {
            status: Status::$status,
            error: $error,
            field: $field,
            rule: $rule,
        };)*

        /// All of them.
        pub const PROBLEMS: &[Problem] = &[$($name),*];
    };
}

problems! {
    // ---- Of a request that cannot be framed ---------------------------------------------
    /// It is not HTTP, or may be framed in two ways.
    NOT_HTTP = BadRequest "bad request" "" "HTTP/1.1 as in RFC 9112";
    /// Head or body did not arrive in time.
    TIMEOUT = RequestTimeout "timeout" "" "a request must arrive whole in time";
    /// The body is beyond its bound.
    BODY_TOO_LARGE = BodyTooLarge "too large" "" "a body has at most 65536 bytes";
    /// The head is beyond one of its bounds.
    HEAD_TOO_LARGE = HeadTooLarge "too large" "" "a head has at most 8192 bytes and 100 fields";
    /// An `Expect` that nobody can meet.
    EXPECTATION = ExpectationFailed "expectation" "" "the only expectation known is 100-continue";
    /// A `Transfer-Encoding` other than `chunked`.
    CODING = NotImplemented "not implemented" "" "the only transfer coding known is chunked";
    /// A major version other than 1.
    VERSION = VersionNotSupported "version" "" "HTTP/1.1 or HTTP/1.0";
    /// A connection too many; told before anything is read.
    TOO_MANY_CONNECTIONS = ServiceUnavailable "too many connections" "" "12000 at a time for each core";

    // ---- Of any endpoint ---------------------------------------------------------------------
    /// No endpoint has this path.
    NOT_FOUND = NotFound "not found" ""
        "known are /, /clientes/{id}/transacoes, /clientes/{id}/extrato, /payments, /payments/{id}, /payments-summary, /purge-payments, /health, /metrics, /reset";
    /// The endpoint has other methods.
    METHOD = MethodNotAllowed "method not allowed" "" "see the header Allow";
    /// The path's escapes are broken.
    BAD_TARGET = BadRequest "bad request" "" "a percent sign is followed by two hexadecimal digits";
    /// Bodies are small: nobody gains by compressing them.
    CODED = UnsupportedMediaType "unsupported media type" "Content-Encoding"
        "identity, or no such header: the body is read as it comes";
    /// An `Idempotency-Key` that is none.
    KEY = BadRequest "bad request" "Idempotency-Key" "1 to 64 visible ASCII characters, once";
    /// The body is no JSON.
    NOT_JSON = BadRequest "bad request" "" "the body is a JSON object";
    /// The journal could not take it.
    STORAGE_FULL = ServiceUnavailable "storage full" ""
        "the disk has no room for the journal; nothing was changed; reads go on, writes resume by themselves";
    /// The owner of the account, or of the payment, could not be asked.
    UNAVAILABLE = ServiceUnavailable "unavailable" ""
        "its owner cannot be reached; nothing was changed; try again";
    /// The owner of the account, or of the payment, was asked, and has not answered in time.
    UNANSWERED = ServiceUnavailable "unanswered" ""
        "its owner does not answer, and may yet carry this out: a repeat is safe with the same correlationId or Idempotency-Key only";

    // ---- The bank's ------------------------------------------------------------------------------
    /// No client has this id.
    NO_SUCH_CLIENT = NotFound "not found" "id" "the number of a client";
    /// The body is JSON, and no transaction.
    NO_TRANSACTION = Unprocessable "invalid" ""
        "the body is a JSON object with valor, tipo and descricao, each once";
    /// `valor`
    VALOR = Unprocessable "invalid" "valor" "a positive integer of cents that fits 63 bits";
    /// `tipo`
    TIPO = Unprocessable "invalid" "tipo" "c or d";
    /// `descricao`
    DESCRICAO = Unprocessable "invalid" "descricao" "a string of 1 to 10 characters";
    /// The debit is beyond the account's limit.
    LIMIT = Unprocessable "limit" "valor" "a debit leaves a balance of at least the negative of the limit";
    /// The balance would leave its range.
    OVERFLOW = Unprocessable "overflow" "valor" "a balance fits 64 bits";
    /// The key was another request's.
    OTHER_REQUEST = Unprocessable "idempotency" "Idempotency-Key"
        "a key belongs to one request: the same client, valor, tipo and descricao";

    // ---- The gateway's -----------------------------------------------------------------------------
    /// The body is JSON, and no payment.
    NO_PAYMENT = Unprocessable "invalid" ""
        "the body is a JSON object with amount, and maybe correlationId, each once";
    /// `correlationId`
    CORRELATION_ID = Unprocessable "invalid" "correlationId"
        "a UUID; without one, the reply waits until the payment is processed";
    /// A `correlationId` by another name.
    MISSPELT = Unprocessable "invalid" "correlationId"
        "its name is just this: another member that looks like one would be ignored, and the payment get an id of its own";
    /// `amount`
    AMOUNT = Unprocessable "invalid" "amount" "a positive number of at most two decimals, up to 10000000000";
    /// The payment has another amount.
    OTHER_AMOUNT = Unprocessable "invalid" "amount"
        "a correlationId belongs to one payment: the amount is the one of the first time";
    /// No payment has this id.
    NO_SUCH_PAYMENT = NotFound "not found" "id" "the id of a payment, a UUID";
    /// `from` of a window
    FROM = BadRequest "bad request" "from"
        "a timestamp as 2020-07-10T12:34:56.000Z, once; of an offset, the plus may be %2B";
    /// `to` of a window
    TO = BadRequest "bad request" "to"
        "a timestamp as 2020-07-10T12:34:56.000Z, once; of an offset, the plus may be %2B";
    /// A window that ends before it begins.
    OUT_OF_ORDER = BadRequest "bad request" "from" "not later than to";
    /// There are no payment processors.
    NOT_CONFIGURED = ServiceUnavailable "not configured" ""
        "payments need --processor-default and --processor-fallback, or DEFAULT_PAYMENT_PROCESSOR_URL and FALLBACK_PAYMENT_PROCESSOR_URL";
    /// As many payments wait as may.
    QUEUE_FULL = ServiceUnavailable "queue full" ""
        "as many payments wait as may; nothing was accepted; try again";
    /// As many questions that take time are in the works as may.
    TOO_MANY_QUERIES = ServiceUnavailable "too many requests" ""
        "as many summaries and payments without a correlationId are in the works as may; nothing was done; try again";
    /// A summary lacks the part of a shard.
    NO_SUMMARY = ServiceUnavailable "unavailable" ""
        "the owners of all payments could not be asked in time; try again";
    /// A file with payments is damaged, or its device fails.
    UNREADABLE = InternalError "storage unreadable" ""
        "payments that are carried out cannot be read from the disk; the log says which and where";
    /// A payment was forgotten while it was carried out.
    FORGOTTEN = ServiceUnavailable "forgotten" ""
        "all payments were forgotten meanwhile, this one too, whatever becomes of it";

    // ---- The operators' -----------------------------------------------------------------------------
    /// What `/reset` answers unless `--allow-reset` was given.
    RESET_FORBIDDEN = Forbidden "forbidden" ""
        "this would set every account back to its start; run galo with --allow-reset to permit it";
    /// The same of `/purge-payments`.
    PURGE_FORBIDDEN = Forbidden "forbidden" ""
        "this would forget all payments; run galo with --allow-reset to permit it";
    /// A journal could not take a reset; those of other shards may have.
    RESET_INCOMPLETE = ServiceUnavailable "storage full" ""
        "the disk has no room for the journal; some accounts may be back at their start; try again";
    /// The same of a purge.
    PURGE_INCOMPLETE = ServiceUnavailable "storage full" ""
        "the disk has no room for the journal; some payments may be forgotten; try again";
}

// Bounds that the rules name.
const _: () = {
    assert!(BODY_BYTES_MAX == 65_536 && HEAD_BYTES_MAX == 8192 && HEADERS_MAX == 100);
    assert!(CONNECTIONS_MAX == 12_000 && KEY_CHARS_MAX == 64);
    assert!(AMOUNT_CENTS_MAX == 10_000_000_000 * 100);
};

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut body = Vec::new();
        write(&mut body);
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn a_problem_has_these_bytes() {
        assert_eq!(
            text(|body| LIMIT.write(body)),
            r#"{"error":"limit","field":"valor","rule":"a debit leaves a balance of at least the negative of the limit"}"#
        );
        assert_eq!(
            text(|body| LIMIT.write_details(body)),
            r#"{"type":"urn:galo:problem:limit","title":"limit","status":422,"detail":"a debit leaves a balance of at least the negative of the limit","field":"valor"}"#
        );
        assert_eq!(
            text(|body| TIMEOUT.write(body)),
            r#"{"error":"timeout","rule":"a request must arrive whole in time"}"#
        );
        assert_eq!(
            text(|body| NOT_CONFIGURED.write_details(body))
                .split(",\"detail\"")
                .next(),
            Some(
                r#"{"type":"urn:galo:problem:not-configured","title":"not configured","status":503"#
            )
        );
    }

    #[test]
    fn no_text_needs_escaping_in_json_and_no_code_in_a_uri() {
        for problem in PROBLEMS {
            for form in [Problem::write, Problem::write_details] {
                let body = text(|body| form(problem, body));
                let read: serde_json::Value = serde_json::from_str(&body).expect(&body);
                let rule = read.get("rule").or(read.get("detail"));
                assert_eq!(rule, Some(&problem.rule.into()), "{body}");
            }
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b' ';
            assert!(problem.error.bytes().all(is_plain), "{problem:?}");
            assert!(problem.status.code() >= 400, "{problem:?}");
        }
    }
}
