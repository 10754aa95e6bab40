//! Reading replies (RFC 9112), strictly.

use std::io::Read;

use crate::trace::{Checked, Violation};
use crate::{require, violation};

/// Of a reply's line in the trace.
const LINE_CHARS_MAX: usize = 160;

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
    /// For the trace: the beginning of what there is.
    pub fn line(&self) -> String {
        let text = self.text();
        let line = text.lines().next().unwrap_or_default();
        match line.char_indices().nth(LINE_CHARS_MAX) {
            Some((end, _)) => format!("{}...", &line[..end]),
            None => line.trim_end().to_owned(),
        }
    }

    /// For messages.
    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

/// Reads the reply at the front of `input`, and its length; `None`: not all there.
pub fn read(input: &[u8], head_only: bool) -> Checked<Option<(Reply, usize)>> {
    let read = galo_testkit::Reply::read(input, head_only).map_err(Violation)?;
    let Some(reply) = read else {
        return Ok(None);
    };
    let content_length = reply.header("content-length");
    if reply.status != 100 {
        require!(reply.header("date").is_some(), "no date: {reply:?}");
        require!(content_length.is_some(), "no length: {reply:?}");
    }
    let content_length = content_length.map_or(Ok(0), str::parse);
    // Who times out has not said yet, for all that the server knows, that it wants no body.
    let bodyless = head_only && reply.status != 408;
    let gzipped = reply.header("content-encoding") == Some("gzip");
    let mut decoded = Vec::new();
    if gzipped && !bodyless {
        flate2::read::GzDecoder::new(&*reply.body)
            .read_to_end(&mut decoded)
            .map_err(|error| Violation(format!("a body that is no gzip: {error}")))?;
    } else {
        decoded.extend_from_slice(&reply.body);
    }
    let length = reply.length;
    let reply = Reply {
        status: reply.status,
        content_length: content_length
            .map_err(|_| Violation(format!("a bad length: {reply:?}")))?,
        body: decoded,
        close: reply.header("connection") == Some("close"),
        allow: reply.header("allow").is_some(),
        gzipped,
    };
    Ok(Some((reply, length)))
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
