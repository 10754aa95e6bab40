//! A few requests without a tool.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{bail, Context, Result};

/// For one reply.
const REPLY_MAX: Duration = Duration::from_secs(10);

/// The body that every row posts. A credit of one cent to an account is never refused.
pub const BODY: &str = r#"{"valor":1,"tipo":"c","descricao":"bench"}"#;
/// The account that it goes to, unless a row wants another.
pub const CLIENT: u32 = 1;

/// Where it is posted.
pub fn path(client: u32) -> String {
    format!("/clientes/{client}/transacoes")
}

/// Where a payment is posted.
pub const PAYMENTS: &str = "/payments";

/// The bytes of a payment's request, before its id and behind it.
pub fn payment_around_id() -> [String; 2] {
    let (before, behind) = (r#"{"correlationId":""#, r#"","amount":19.90}"#);
    let length = before.len() + ID_CHARS + behind.len();
    let head = format!(
        "POST {PAYMENTS} HTTP/1.1\r\nHost: galo\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    [head + before, behind.to_string()]
}

/// Of a UUID.
const ID_CHARS: usize = 36;

/// Whether a server answers 200 to a statement, now.
pub fn answers(address: SocketAddr) -> bool {
    get(address, "/clientes/1/extrato").is_ok()
}

/// The body of a 200.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: galo\r\n\r\n");
    body_of(exchange(&mut stream, &request)?)
}

/// The body of a 2xx, asked for with a method and a body and a processor's token.
pub fn order(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: galo\r\nX-Rinha-Token: 123\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    body_of(exchange(&mut stream, &request)?)
}

fn body_of(reply: Vec<u8>) -> Result<String> {
    let reply = String::from_utf8(reply)?;
    let (_, body) = reply
        .split_once("\r\n\r\n")
        .context("a reply without a head")?;
    Ok(body.to_string())
}

/// Posts one transaction; the length of the reply in bytes.
pub fn post(stream: &mut TcpStream, client: u32) -> Result<usize> {
    Ok(exchange(stream, &request(client))?.len())
}

/// The bytes of such a post.
pub fn request(client: u32) -> String {
    format!(
        "POST {} HTTP/1.1\r\nHost: galo\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{BODY}",
        path(client),
        BODY.len()
    )
}

/// Sends a request and reads its reply, which must be a 2xx; all of it.
pub fn exchange(stream: &mut TcpStream, request: &str) -> Result<Vec<u8>> {
    stream.set_read_timeout(Some(REPLY_MAX))?;
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => bail!("the connection was closed before the reply was complete"),
            Ok(count) => reply.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("reading a reply"),
        }
        if let Some(length) = reply_length(&reply)? {
            reply.truncate(length);
            return Ok(reply);
        }
    }
}

/// How long the reply at the front is, once all of it is there.
fn reply_length(reply: &[u8]) -> Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(reply)? else {
        return Ok(None);
    };
    if !matches!(parsed.code, Some(200..300)) {
        bail!("the reply is {}", String::from_utf8_lossy(reply));
    }
    let length = parsed
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .context("a reply without Content-Length")?;
    let length: usize = std::str::from_utf8(length.value)?.parse()?;
    Ok((reply.len() >= head + length).then_some(head + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_complete_with_its_last_byte() {
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        for cut in 0..reply.len() {
            assert_eq!(reply_length(&reply[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(reply_length(reply).unwrap(), Some(reply.len()));
        assert!(reply_length(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
