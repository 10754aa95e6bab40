//! The clients of a new data directory: the contest's five, or a file's.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::shard::Client;

/// The contest's clients; limits in cents.
pub const CONTEST: [Client; 5] = [
    Client {
        id: 1,
        limit: 100_000,
        balance: 0,
    },
    Client {
        id: 2,
        limit: 80_000,
        balance: 0,
    },
    Client {
        id: 3,
        limit: 1_000_000,
        balance: 0,
    },
    Client {
        id: 4,
        limit: 10_000_000,
        balance: 0,
    },
    Client {
        id: 5,
        limit: 500_000,
        balance: 0,
    },
];

/// A file of clients that cannot be used.
#[derive(Debug)]
pub enum ClientsError {
    /// The file cannot be read.
    Read(std::io::Error),
    /// It is not a JSON list of objects with id, limite and perhaps saldo.
    Json(serde_json::Error),
    /// One of them breaks a rule.
    Rule {
        /// Number of the client that breaks it.
        id: u32,
        /// The rule, as the message names it.
        rule: &'static str,
    },
    /// The list is empty.
    Empty,
}

impl fmt::Display for ClientsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientsError::Read(error) => write!(f, "cannot be read: {error}"),
            ClientsError::Json(error) => {
                write!(
                    f,
                    "{error}; accepted: [{{\"id\":1,\"limite\":100000,\"saldo\":0}}, …]"
                )
            }
            ClientsError::Rule { id, rule } => write!(f, "client {id}: {rule}"),
            ClientsError::Empty => write!(f, "the list is empty"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientEntry {
    id: u32,
    limite: i64,
    #[serde(default)]
    saldo: i64,
}

/// Reads a file of clients; ascending by id.
///
/// # Errors
/// See [`ClientsError`].
pub fn read(path: &Path) -> Result<Vec<Client>, ClientsError> {
    let file = std::fs::File::open(path).map_err(ClientsError::Read)?;
    parse(std::io::BufReader::new(file))
}

fn parse(json: impl std::io::Read) -> Result<Vec<Client>, ClientsError> {
    let entries: Vec<ClientEntry> = serde_json::from_reader(json).map_err(ClientsError::Json)?;
    let mut clients: Vec<Client> = entries
        .into_iter()
        .map(|entry| Client {
            id: entry.id,
            limit: entry.limite,
            balance: entry.saldo,
        })
        .collect();
    clients.sort_unstable_by_key(|client| client.id);
    let broken = |id, rule| Err(ClientsError::Rule { id, rule });
    for client in &clients {
        if client.limit < 0 {
            return broken(client.id, "limite is not negative");
        }
        if client.balance < -client.limit {
            return broken(client.id, "saldo is at least the negative of limite");
        }
    }
    if let Some(pair) = clients.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return broken(pair[0].id, "an id occurs once");
    }
    if clients.is_empty() {
        return Err(ClientsError::Empty);
    }
    Ok(clients)
}

/// Tells lists of clients apart.
pub fn checksum(clients: &[Client]) -> u32 {
    clients.iter().fold(0, |sum, client| {
        let sum = crc32c::crc32c_append(sum, &client.id.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &client.limit.to_le_bytes());
        crc32c::crc32c_append(sum, &client.balance.to_le_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_sorted_and_checked() {
        let json = r#"[{"id":9,"limite":5,"saldo":-5},{"id":2,"limite":0}]"#;
        let clients = parse(json.as_bytes()).unwrap();
        let fields: Vec<_> = clients.iter().map(|c| (c.id, c.limit, c.balance)).collect();
        assert_eq!(fields, [(2, 0, 0), (9, 5, -5)]);
        for (json, message) in [
            (
                r#"[{"id":1,"limite":-1}]"#,
                "client 1: limite is not negative",
            ),
            (
                r#"[{"id":1,"limite":4,"saldo":-5}]"#,
                "client 1: saldo is at least",
            ),
            (
                r#"[{"id":1,"limite":1},{"id":1,"limite":1}]"#,
                "client 1: an id occurs once",
            ),
            ("[]", "the list is empty"),
            (r#"[{"id":1}]"#, "missing field `limite`"),
            (r#"[{"id":1,"limit":1}]"#, "unknown field `limit`"),
            ("[{", "EOF"),
        ] {
            let error = parse(json.as_bytes())
                .map(|_| ())
                .expect_err(json)
                .to_string();
            assert!(error.starts_with(message), "{json}: {error}");
        }
    }
}
