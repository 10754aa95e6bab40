//! Addresses to listen on, as they are written.

use nix::sys::socket::UnixAddr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen: `host:port` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A name or a number (IPv6 in brackets), and a port (0: the kernel chooses).
    Tcp(String, u16),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match UnixAddr::new(path) {
                Ok(_) if path.is_empty() => Err(format!("`{text}` lacks a path: unix:/path")),
                Ok(_) if is_abstract(path) => Err(abstract_refused(text)),
                Ok(_) => Ok(Address::Unix(path.into())),
                Err(_) => Err(format!(
                    "`{text}` is too long: a socket's path has at most 107 bytes"
                )),
            };
        }
        let wanted = || format!("`{text}` is neither host:port nor unix:/path");
        let (host, port) = text.rsplit_once(':').ok_or_else(wanted)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if host.is_empty() || (bare.is_none() && host.contains([':', '[', ']', '/'])) {
            return Err(wanted());
        }
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(port) if digits => Ok(Address::Tcp(bare.unwrap_or(host).into(), port)),
            _ => Err(format!("`{text}`: the port is a number from 0 to 65535")),
        }
    }
}

/// As people write an abstract socket's name (unix(7)): with a `@` for its first byte, which is none.
pub fn is_abstract(path: &str) -> bool {
    path.starts_with('@')
}

/// Why `text`, which names an abstract socket, is refused.
pub fn abstract_refused(text: &str) -> String {
    format!(
        "`{text}` would be an abstract socket, which has no permissions: anybody on this machine could connect; \
         accepted: unix:/path, or unix:./@name for a file of such a name"
    )
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print() {
        for text in [
            "127.0.0.1:9999",
            "localhost:0",
            "[::1]:80",
            "unix:/run/galo.sock",
            "unix:relative.sock",
            "unix:./@name",
            "unix:/run/with a blank.sock",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!(
            "[::]:1".parse(),
            Ok(Address::Tcp("::".into(), 1)),
            "brackets are not part of the host"
        );
    }

    #[test]
    fn bad_addresses_are_named() {
        for text in [
            "",
            "9999",
            ":9999",
            "host",
            "host:",
            "host:x",
            "host:+1",
            "host:65536",
            "::1:80",
            "http://host:80",
            "unix:",
            "unix:@galo",
            "unix:@",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
        let long = format!("unix:/{}", "x".repeat(120));
        assert!(long.parse::<Address>().unwrap_err().contains("107"));
    }
}
