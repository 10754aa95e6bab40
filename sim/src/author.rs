//! Makes up what clients ask: any request, in any of the ways in which it may be written.

use galo::bank::Kind;

use crate::model::Model;
use crate::payments::wire::chunked;
use crate::request::{Draft, Expect, Tag, Transaction};
use galo_testkit::Random;

/// Makes requests up.
pub struct Author<'a> {
    /// Of the run.
    pub random: &'a mut Random,
    /// Gets to know what is asked.
    pub model: &'a mut Model,
    /// Clients that exist.
    pub clients: &'a [u32],
    /// Whether resets are sent, and what comes of them.
    pub resets: Option<bool>,
    /// Amounts are at most this.
    pub limit: u64,
    /// Nothing that would end the connection.
    pub keep_alive: bool,
    /// Transactions with a key, percent.
    pub keyed: u64,
    /// Requests about payments, percent.
    pub payments: u64,
    /// Payments are of at most this many cents.
    pub cents_max: u64,
    /// Microseconds since 1970.
    pub now_us: u64,
    /// Monotonic.
    pub now_ns: u64,
    /// Repeats go without their keys.
    pub forgets_keys: bool,
}

const SPECIAL: [&str; 8] = ["t", "é", "ñ", "日", "\"", "\\", "\u{1}", "😀"];

fn base36(mut number: usize) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[number % 36]);
        number /= 36;
    }
    digits.reverse();
    String::from_utf8(digits).expect("digits")
}

impl Author<'_> {
    fn existing(&mut self) -> u32 {
        *self.random.pick(self.clients)
    }

    fn missing(&mut self) -> u32 {
        loop {
            let client = self.random.below(2_000) as u32;
            if !self.clients.contains(&client) {
                return client;
            }
        }
    }

    /// Any request.
    pub fn any(&mut self) -> Draft {
        if self.payments > 0 && self.random.percent(self.payments) {
            return self.payment_any();
        }
        match self.random.below(100) {
            0..=54 => self.transaction(),
            55..=71 => self.statement(),
            72..=76 => self.unprocessable(),
            77..=79 => self.request("GET", "/health", None, Expect::Contains("\"healthy\"")),
            80 | 81 => {
                let expect = Expect::Contains("galo_build_info");
                self.request("GET", "/metrics", None, expect)
            }
            82..=86 => self.elsewhere(),
            87 | 88 => self.reset(),
            89..=91 if !self.keep_alive => self.malformed(),
            _ => self.transaction(),
        }
    }

    /// A transaction that may go through.
    pub fn transaction(&mut self) -> Draft {
        let kind = *self.random.pick(&[Kind::Credit, Kind::Debit, Kind::Debit]);
        let amount = self.random.skewed(self.limit) as i64;
        let client = self.existing();
        self.transaction_of(client, kind, amount)
    }

    /// This transaction.
    pub fn transaction_of(&mut self, client: u32, kind: Kind, amount: i64) -> Draft {
        let special = *self.random.pick(&SPECIAL);
        let description = format!("{special}{}", base36(self.model.tags()));
        let key = self.random.percent(self.keyed).then(|| self.key());
        let transaction = Transaction {
            client,
            kind,
            amount,
            description,
            key,
            asked_ns: self.now_ns,
        };
        let key = transaction.key.clone();
        let tag = self.model.begin(transaction);
        self.order(tag, key.as_deref())
    }

    /// The same request once more, not byte for byte.
    pub fn again(&mut self, tag: Tag) -> Draft {
        let key = self.model.transaction(tag).key.clone();
        self.order(tag, key.as_deref().filter(|_| !self.forgets_keys))
    }

    fn order(&mut self, tag: Tag, key: Option<&str>) -> Draft {
        let transaction = self.model.transaction(tag).clone();
        let body = self.body(
            transaction.kind,
            transaction.amount,
            &transaction.description,
        );
        let path = format!("/clientes/{}/transacoes", transaction.client);
        self.request_with("POST", &path, Some(&body), key, Expect::Transaction(tag))
    }

    /// 1 to 64 visible characters that nobody else has.
    fn key(&mut self) -> String {
        let mut key = base36(self.model.tags());
        let more = self.random.index(65 - key.len());
        for _ in 0..more {
            key.push(char::from(self.random.between(0x21, 0x2f) as u8));
        }
        key
    }

    /// A statement of an existing client.
    pub fn statement(&mut self) -> Draft {
        let client = self.existing();
        self.statement_of(client)
    }

    /// This client's statement.
    pub fn statement_of(&mut self, client: u32) -> Draft {
        let method = *self.random.pick(&["GET", "GET", "GET", "GET", "HEAD"]);
        let path = format!("/clientes/{client}/extrato");
        self.request(method, &path, None, Expect::Statement(client))
    }

    fn reset(&mut self) -> Draft {
        let expect = match self.resets {
            None => return self.statement(),
            Some(false) => Expect::Status(403),
            Some(true) => {
                self.model.begin_reset();
                self.model.payments.begin_purge();
                Expect::Reset
            }
        };
        self.request("POST", "/reset", None, expect)
    }

    fn body(&mut self, kind: Kind, amount: i64, description: &str) -> String {
        let mut text = serde_json::to_string(description).expect("a string");
        if self.random.percent(10) {
            // Every character escaped.
            let units = description.encode_utf16();
            let escaped: String = units.map(|unit| format!("\\u{unit:04x}")).collect();
            text = format!("\"{escaped}\"");
        }
        let kind = char::from(kind.to_byte());
        let mut members = vec![
            format!("\"valor\":{amount}"),
            format!("\"tipo\": \"{kind}\""),
            format!("\"descricao\":{text}"),
        ];
        if self.random.percent(10) {
            members.push("\"outra\":[1,{\"valor\":2}]".to_owned());
        }
        let start = self.random.index(members.len());
        members.rotate_left(start);
        format!("{{{}}}", members.join(","))
    }

    fn unprocessable(&mut self) -> Draft {
        let (status, body) = *self.random.pick(&[
            (422, r#"{"valor":1.2,"tipo":"c","descricao":"x"}"#),
            (422, r#"{"valor":0,"tipo":"c","descricao":"x"}"#),
            (422, r#"{"valor":-5,"tipo":"d","descricao":"x"}"#),
            (422, r#"{"valor":1,"tipo":"x","descricao":"x"}"#),
            (422, r#"{"valor":1,"tipo":"c","descricao":""}"#),
            (422, r#"{"valor":1,"tipo":"c","descricao":"12345678901"}"#),
            (422, r#"{"valor":1,"tipo":"c","descricao":null}"#),
            (
                422,
                r#"{"valor":99999999999999999999,"tipo":"c","descricao":"x"}"#,
            ),
            (422, "[]"),
            (400, r#"{"valor":1,"tipo":"c","#),
            (400, ""),
        ]);
        let path = format!("/clientes/{}/transacoes", self.existing());
        self.request("POST", &path, Some(body), Expect::Status(status))
    }

    fn elsewhere(&mut self) -> Draft {
        let (existing, missing) = (self.existing(), self.missing());
        let (method, path, status) = match self.random.below(8) {
            0 => ("GET", "/nada".to_owned(), 404),
            1 => ("GET", format!("/clientes/{missing}/extrato"), 404),
            2 => ("GET", format!("/clientes/0{existing}/extrato"), 404),
            3 => ("POST", format!("/clientes/{existing}/extrato"), 405),
            4 => ("DELETE", format!("/clientes/{existing}/transacoes"), 405),
            5 => ("GET", "/reset".to_owned(), 405),
            6 => ("HEAD", "/clientes/-1/extrato".to_owned(), 404),
            _ => {
                let kind = Kind::Credit;
                let body = self.body(kind, 7, "ninguém");
                let path = format!("/clientes/{missing}/transacoes");
                return self.request("POST", &path, Some(&body), Expect::Status(404));
            }
        };
        self.request(method, &path, None, Expect::Status(status))
    }

    fn malformed(&mut self) -> Draft {
        let long = "x".repeat(9_000);
        let many: String = (0..101).map(|n| format!("F{n}: v\r\n")).collect();
        let (status, bytes) = match self.random.below(13) {
            0 => (400, "GET /health HTTP/1.1\nHost: x\n\n".to_owned()),
            1 => (400, "GET /health HTTP/1.1\r\n\r\n".to_owned()),
            2 => (400, "GET /health HTTP/1.1\r\nHost : x\r\n\r\n".to_owned()),
            3 => (400, "GET /health HTTP/1.1\r\nHost: x\r\n y\r\n\r\n".to_owned()),
            4 => (
                400,
                "POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
                    .to_owned(),
            ),
            5 => (
                400,
                "POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                    .to_owned(),
            ),
            6 => (
                400,
                "POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
            ),
            7 => (
                501,
                "POST /reset HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(),
            ),
            8 => (505, "GET /health HTTP/2.0\r\nHost: x\r\n\r\n".to_owned()),
            9 => (431, format!("GET /health HTTP/1.1\r\nHost: x\r\nLong: {long}\r\n\r\n")),
            10 => (431, format!("GET /health HTTP/1.1\r\nHost: x\r\n{many}\r\n")),
            11 => (
                413,
                "POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n".to_owned(),
            ),
            _ => (
                417,
                "POST /reset HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n1"
                    .to_owned(),
            ),
        };
        Draft {
            bytes: bytes.into_bytes(),
            expect: Expect::Malformed(status),
            head_only: false,
            close: true,
            continues: false,
            gzip: false,
        }
    }

    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
        expect: Expect,
    ) -> Draft {
        self.request_with(method, path, body, None, expect)
    }

    pub fn request_with(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
        key: Option<&str>,
        expect: Expect,
    ) -> Draft {
        let mut target = path.to_owned();
        match self.random.below(20) {
            0 => target = format!("http://localhost:9999{target}"),
            1 if !target.contains('?') => target.push_str("?a=b&c"),
            2 => target = target.replace("clientes", "%63lientes"),
            _ => {}
        }
        let http10 = self.random.percent(6);
        let keep_alive = http10 && (self.keep_alive || self.random.percent(70));
        let version = if http10 { "1.0" } else { "1.1" };
        let mut head = format!("{method} {target} HTTP/{version}\r\nHost: localhost\r\n");
        let asks_close = !http10 && !self.keep_alive && self.random.percent(6);
        if asks_close {
            head.push_str("connection: Close\r\n");
        } else if keep_alive {
            head.push_str("Connection: keep-alive\r\n");
        }
        if let Some(key) = key {
            let names = ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"];
            head.push_str(&format!("{}: {key}\r\n", self.random.pick(&names)));
        }
        let gzip = self.random.percent(20);
        if gzip {
            head.push_str("Accept-Encoding: gzip, br\r\n");
        }
        let mut continues = false;
        let mut content = Vec::new();
        if let Some(body) = body {
            continues = !http10 && self.random.percent(5);
            if continues {
                head.push_str("Expect: 100-continue\r\n");
            }
            if !http10 && self.random.percent(20) {
                head.push_str("Transfer-Encoding: chunked\r\n");
                content = chunked(body, self.random);
            } else {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
                content = body.into();
            }
        }
        head.push_str("\r\n");
        Draft {
            bytes: [head.into_bytes(), content].concat(),
            expect,
            head_only: method == "HEAD",
            close: asks_close || (http10 && !keep_alive),
            continues,
            gzip,
        }
    }
}
