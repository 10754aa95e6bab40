//! Reading replies (RFC 9112), strictly.

use std::io::Read;

use crate::trace::{Checked, Violation};
use crate::{require, violation};

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Of the body, by the header.
    pub content_length: usize,
    /// Decoded; empty when there is none.
    pub body: Vec<u8>,
    /// `Connection: close`.
    pub close: bool,
    /// `Allow`.
    pub allow: bool,
    /// It was gzipped.
    pub gzipped: bool,
}

impl Reply {
    /// For messages.
    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

/// Reads the reply at the front of `input`, and its length; `None`: not all there.
pub fn read(input: &[u8], head_only: bool) -> Checked<Option<(Reply, usize)>> {
    let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let bad = |what: &str| {
        let head = String::from_utf8_lossy(&input[..end]);
        Violation(format!("a reply with {what}: {head:?}"))
    };
    let head = std::str::from_utf8(&input[..end]).map_err(|_| bad("a head that is not text"))?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| bad("a bad status line"))?;
    let (mut length, mut close, mut gzipped, mut allow, mut date) = (None, false, false, false, 0);
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| bad("a bad field"))?;
        match name {
            "Content-Length" => {
                require!(length.is_none(), "two lengths: {head:?}");
                length = Some(value.parse().map_err(|_| bad("a bad length"))?);
            }
            "Connection" => close = value == "close",
            "Content-Encoding" => gzipped = value == "gzip",
            "Allow" => allow = true,
            "Date" => date += 1,
            _ => {}
        }
    }
    let end = end + 4;
    if status == 100 {
        let reply = Reply {
            status,
            content_length: 0,
            body: Vec::new(),
            close,
            allow,
            gzipped,
        };
        return Ok(Some((reply, end)));
    }
    require!(date == 1, "a reply with {date} dates: {head:?}");
    let content_length: usize = length.ok_or_else(|| bad("no length"))?;
    // Who times out has not said yet, for all that the server knows, that it wants no body.
    let bodyless = head_only && status != 408;
    let sent = if bodyless { 0 } else { content_length };
    let Some(body) = input.get(end..end + sent) else {
        return Ok(None);
    };
    let mut decoded = Vec::new();
    if gzipped && !bodyless {
        flate2::read::GzDecoder::new(body)
            .read_to_end(&mut decoded)
            .map_err(|error| Violation(format!("a body that is no gzip: {error}")))?;
    } else {
        decoded.extend_from_slice(body);
    }
    let reply = Reply {
        status,
        content_length,
        body: decoded,
        close,
        allow,
        gzipped,
    };
    Ok(Some((reply, end + sent)))
}

/// The members of `{"limite":…,"saldo":…}`.
pub fn posted(body: &[u8]) -> Checked<(i64, i64)> {
    let json: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| Violation(format!("a body that is no JSON: {error}")))?;
    match (json["limite"].as_i64(), json["saldo"].as_i64()) {
        (Some(limit), Some(balance)) => Ok((limit, balance)),
        _ => violation!("neither limite nor saldo: {json}"),
    }
}
