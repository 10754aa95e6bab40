//! Where requests go.

use std::fmt;
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{bail, Context, Result};
use url::Url;

/// A server: `http://host:port/prefix`, `host:port`, or `unix:/path/of/socket`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    text: String,
    address: Address,
    /// Of the `Host` header.
    host: String,
    /// Before every path; empty, or beginning with a slash and not ending with one.
    prefix: String,
}

/// What a socket connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket, by its path.
    Unix(PathBuf),
}

impl Target {
    /// What a socket connects to: the first IPv4 address of its name, or else the first, as it was when the target was read.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Of the `Host` header.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A request's bytes, as [`Target::write_request`] has them.
    pub fn request(&self, method: &'static str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_request(&mut out, method, path, body);
        out
    }

    /// Appends a request's bytes. `path` begins with a slash; `body`: JSON, or empty for none.
    pub fn write_request(&self, out: &mut Vec<u8>, method: &'static str, path: &str, body: &[u8]) {
        self.write_request_with(out, method, path, "", body);
    }

    /// The same with headers of one's own, each of which begins with a line's end: `"\r\nX-Name: value"`.
    pub fn write_request_with(
        &self,
        out: &mut Vec<u8>,
        method: &'static str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) {
        for part in [
            method,
            " ",
            &self.prefix,
            path,
            " HTTP/1.1\r\nHost: ",
            &self.host,
            headers,
        ] {
            out.extend_from_slice(part.as_bytes());
        }
        if method != "GET" {
            let length = body.len();
            write!(
                out,
                "\r\nContent-Type: application/json\r\nContent-Length: {length}"
            )
            .expect("a vector takes all");
        }
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body);
    }
}

impl FromStr for Target {
    type Err = anyhow::Error;

    /// The error says which part of it is wrong, and what would do; so does that of a name without an address.
    fn from_str(text: &str) -> Result<Target> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.starts_with('@') {
                bail!("{text}: abstract sockets are not known: unix:/path");
            }
            if !path.starts_with('/') {
                bail!("{text}: the path of a Unix socket is absolute, such as unix:/run/galo.sock");
            }
            return Ok(Target {
                text: text.to_owned(),
                address: Address::Unix(path.into()),
                host: "localhost".to_owned(),
                prefix: String::new(),
            });
        }
        let with_scheme = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let url = Url::parse(&with_scheme).with_context(|| format!("{text} is no URL"))?;
        if url.scheme() != "http" {
            bail!("{text}: only http:// and unix: are known");
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            bail!("{text}: a host, a port and a path are all that a target has");
        }
        let name = url
            .host_str()
            .with_context(|| format!("{text} has no host"))?;
        let port = url.port().unwrap_or(80);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let addresses = (bare, port)
            .to_socket_addrs()
            .with_context(|| format!("{text}: no address for {name}"))?;
        let address =
            preferred(addresses).with_context(|| format!("{text}: no address for {name}"))?;
        Ok(Target {
            text: text.to_owned(),
            address: Address::Tcp(address),
            host: url
                .port()
                .map_or(name.to_owned(), |port| format!("{name}:{port}")),
            prefix: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// IPv4 first: most machines have `localhost` as ::1 as well, and before it, and most servers listen on 127.0.0.1 or 0.0.0.0.
fn preferred(addresses: impl Iterator<Item = SocketAddr>) -> Option<SocketAddr> {
    // The first of those that are alike.
    addresses.min_by_key(SocketAddr::is_ipv6)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> String {
        let target: Target = target.parse().unwrap();
        String::from_utf8(target.request("GET", "/health", b"")).unwrap()
    }

    #[test]
    fn targets_are_read() {
        assert_eq!(
            request("localhost:9999"),
            "GET /health HTTP/1.1\r\nHost: localhost:9999\r\n\r\n"
        );
        assert_eq!(
            request("http://127.0.0.1:1/api/"),
            "GET /api/health HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n"
        );
        assert_eq!(
            request("http://[::1]:9999"),
            "GET /health HTTP/1.1\r\nHost: [::1]:9999\r\n\r\n"
        );
        assert_eq!(
            request("unix:/run/x.sock"),
            "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        );
        let target: Target = "unix:/run/x.sock".parse().unwrap();
        assert_eq!(target.address(), &Address::Unix("/run/x.sock".into()));
    }

    #[test]
    fn localhost_is_where_servers_listen() {
        let of = |all: &[&str]| {
            let all = all.iter().map(|text| text.parse().unwrap());
            preferred(all).map(|address| address.to_string())
        };
        let both = of(&["[::1]:1", "127.0.0.1:1", "127.0.0.2:1"]);
        assert_eq!(both.as_deref(), Some("127.0.0.1:1"));
        let only = of(&["[::1]:1", "[::2]:1"]);
        assert_eq!(only.as_deref(), Some("[::1]:1"));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn what_is_no_target_is_said_so() {
        for (text, part) in [
            ("https://localhost", "only http://"),
            ("unix:relative", "absolute"),
            ("unix:@galo", "abstract"),
            ("http://localhost:1/?x=1", "all that a target has"),
            ("http://:1", "is no URL"),
        ] {
            let error = format!("{:#}", text.parse::<Target>().unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
