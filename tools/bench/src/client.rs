//! A few requests without a tool.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{ensure, Error, Result};
use galo_load::exchange::{self, Reply};

/// To connect, and for one reply.
const REPLY_MAX: Duration = Duration::from_secs(10);

/// The body that every row posts. A credit of one cent to an account is never refused.
pub const BODY: &str = r#"{"valor":1,"tipo":"c","descricao":"bench"}"#;
/// The account that it goes to, unless a row wants another.
pub const CLIENT: u32 = 1;

/// The contest's clients are 1 to this one.
pub const CLIENTS: u32 = 5;

/// Where it is posted.
pub fn path(client: u32) -> String {
    format!("/clientes/{client}/transacoes")
}

/// Where a payment is posted.
pub const PAYMENTS: &str = "/payments";

/// The bytes of a payment's request, before its id and behind it.
pub fn payment_around_id() -> [String; 2] {
    let id = "00000000-0000-0000-0000-000000000000";
    let request = request(
        "POST",
        PAYMENTS,
        &format!(r#"{{"correlationId":"{id}","amount":19.90}}"#),
    );
    let (before, behind) = request.split_once(id).expect("it has the id");
    [before, behind].map(str::to_owned)
}

/// The bytes of a request; a `GET` has no body.
pub fn request(method: &str, path: &str, body: &str) -> String {
    let content = match method {
        "GET" => String::new(),
        _ => format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: galo\r\n{content}\r\n{body}")
}

/// For one request after the other.
pub struct Connection(exchange::Connection);

impl Connection {
    /// `Err`: nobody answers there in time.
    pub fn open(address: SocketAddr) -> Result<Connection> {
        let target = address.to_string().parse()?;
        let connection = exchange::Connection::open(&target, REPLY_MAX);
        Ok(Connection(connection.map_err(Error::msg)?))
    }

    /// Sends a request and reads its reply, which must be a 2xx; all of it.
    pub fn ask(&mut self, request: &str) -> Result<Reply> {
        let reply = self.0.ask(request.as_bytes(), REPLY_MAX);
        let reply = reply.map_err(Error::msg)?;
        let body = String::from_utf8_lossy(&reply.body);
        ensure!(
            matches!(reply.status, 200..300),
            "the reply is {}: {body}",
            reply.status
        );
        Ok(reply)
    }

    /// Posts one transaction.
    pub fn post(&mut self, client: u32) -> Result<Reply> {
        self.ask(&request("POST", &path(client), BODY))
    }
}

/// Whether a server answers 200 to a statement, now.
pub fn answers(address: SocketAddr) -> bool {
    get(address, "/clientes/1/extrato").is_ok()
}

/// The body of a 2xx.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    order(address, "GET", path, "")
}

/// The same, asked for with a method and a body and a processor's token.
pub fn order(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let request = request(method, path, body);
    let with_token = request.replacen("\r\n", "\r\nX-Rinha-Token: 123\r\n", 1);
    let reply = Connection::open(address)?.ask(&with_token)?;
    Ok(String::from_utf8(reply.body)?)
}
