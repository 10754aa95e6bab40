//! HTTP/1.1 as bytes: requests to send, replies and requests that have come.

use std::io::{self, BufRead, ErrorKind};
use std::time::Instant;

use serde_json::Value;

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: galo\r\n\r\n").into_bytes()
}

pub fn post(path: &str, body: &str) -> Vec<u8> {
    request("POST", path, "", body)
}

/// `headers`: more of them, each with its end.
pub fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: galo\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// As a server for tests answers. `headers` as for [`request`].
pub fn reply(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A body in these chunks, none of which is empty (RFC 9112, section 7.1).
pub fn chunked<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in chunks {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// One reply, taken apart.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case, each at most once.
    pub headers: Vec<(String, String)>,
    /// Without the coding of its transfer.
    pub body: Vec<u8>,
    /// Of all of it, as it came.
    pub length: usize,
}

impl Reply {
    /// The reply at the front of `input`, read strictly; `None`: not all of it is there. `to_head`: it answers
    /// HEAD and has no body, whatever its length says.
    pub fn read(input: &[u8], to_head: bool) -> Result<Option<Reply>, String> {
        let Some(end) = find(input, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&input[..end]).map_err(|error| error.to_string())?;
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| format!("a bad status line: {head:?}"))?;
        let headers = lines.map(|line| match line.split_once(": ") {
            Some((name, value)) => Ok((name.to_ascii_lowercase(), value.to_owned())),
            None => Err(format!("a bad field: {head:?}")),
        });
        let headers: Vec<(String, String)> = headers.collect::<Result<_, _>>()?;
        for (number, (name, _)) in headers.iter().enumerate() {
            if headers[..number].iter().any(|(before, _)| before == name) {
                return Err(format!("{name} occurs twice: {head:?}"));
            }
        }
        let mut reply = Reply {
            status,
            headers,
            body: Vec::new(),
            length: end + 4,
        };
        let begin = reply.length;
        if reply.header("transfer-encoding") == Some("chunked") {
            let chunks = read_chunks(&input[begin..])?;
            return Ok(chunks.map(|(body, length)| {
                reply.body = body;
                reply.length += length;
                reply
            }));
        }
        let length = match reply.header("content-length") {
            _ if status < 200 || status == 204 => 0,
            // Who times out may not have read yet that it is HEAD.
            _ if to_head && status != 408 => 0,
            Some(length) => length
                .parse()
                .map_err(|_| format!("a bad length: {head:?}"))?,
            None => return Err(format!("no length: {head:?}")),
        };
        Ok(input.get(begin..begin + length).map(|body| {
            reply.body = body.to_vec();
            reply.length += length;
            reply
        }))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        value_of(&self.headers, name)
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        self.json_as("application/json")
    }

    #[track_caller]
    pub fn json_as(&self, media_type: &str) -> Value {
        assert_eq!(self.header("content-type"), Some(media_type), "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// A chunked body without trailers, and the length of its coding.
fn read_chunks(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = find(&input[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = String::from_utf8_lossy(&input[at..at + line]);
        let size = usize::from_str_radix(&size, 16).map_err(|_| format!("a chunk of {size:?}"))?;
        at += line + 2;
        let Some(chunk) = input.get(at..at + size + 2) else {
            return Ok(None);
        };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk that is longer than it says".to_owned());
        }
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

/// A request that a server for tests has got.
#[derive(Clone, Debug)]
pub struct Request {
    /// When its first line was there.
    pub at: Instant,
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    /// The next one; an error at the end of the stream, too.
    pub fn read(from: &mut impl BufRead) -> io::Result<Request> {
        let mut line = || {
            let mut line = String::new();
            match from.read_line(&mut line)? {
                0 => Err(io::Error::from(ErrorKind::UnexpectedEof)),
                _ => Ok(line.trim_end().to_owned()),
            }
        };
        let first = line()?;
        let at = Instant::now();
        let mut headers = Vec::new();
        loop {
            let line = line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(ErrorKind::InvalidData)?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut words = first.split(' ').map(str::to_owned);
        let mut request = Request {
            at,
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            headers,
            body: String::new(),
        };
        let length = request.header("content-length");
        let length = length.map_or(0, |length| length.parse().expect("a length"));
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        request.body = String::from_utf8(body).expect("text");
        Ok(request)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        value_of(&self.headers, name)
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

fn value_of<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().find(|(found, _)| found == name)?;
    Some(value)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
