//! What all nodes of a cluster agree on: in the metadata of the log's stream, from whoever founded the cluster.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The version of records and messages that this code writes, and the only one that it reads.
pub const PROTOCOL: u32 = 1;

const PREFIX: &str = "galo.";
const PROCESSORS: &str = "processors";
/// In the place of a checksum.
const SEEDED: &str = "seeded";

/// What a cluster was founded with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    /// Of records and messages.
    pub protocol: u32,
    /// Id of the data directories.
    pub directory: u128,
    /// Shards of all.
    pub shards: u32,
    /// Names of the nodes, in their order.
    pub nodes: Vec<String>,
    /// Cores of each node.
    pub cores: u32,
    /// Checksum of the first accounts. `None`: it began with a directory that was there, and they are in the store.
    pub clients: Option<u32>,
    /// Which processors payments go to, by number: the one thing that may change. `None`: none was named so far.
    pub processors: Option<String>,
}

impl Charter {
    /// Names and values; a value is at most as long as a node list.
    pub(super) fn to_metadata(&self) -> BTreeMap<String, String> {
        let Charter {
            protocol,
            directory,
            shards,
            nodes,
            cores,
            clients,
            processors,
        } = self;
        let values = [
            ("protocol", protocol.to_string()),
            ("directory", format!("{directory:032x}")),
            ("shards", shards.to_string()),
            ("nodes", nodes.join(",")),
            ("cores", cores.to_string()),
            (
                "clients",
                clients.map_or(SEEDED.to_owned(), |it| format!("{it:08x}")),
            ),
        ];
        let processors = processors.clone().map(|it| (PROCESSORS, it));
        let values = values.into_iter().chain(processors);
        let named = values.map(|(name, value)| (format!("{PREFIX}{name}"), value));
        named.collect()
    }

    /// The other way round. `Err`: the name of what is not there, or not as this code writes it.
    pub(super) fn from_metadata(
        value: impl Fn(&str) -> Option<String>,
    ) -> Result<Charter, &'static str> {
        let text = |name: &'static str| value(&format!("{PREFIX}{name}")).ok_or(name);
        fn number<N: FromStr>(name: &'static str, text: &str) -> Result<N, &'static str> {
            text.parse().map_err(|_| name)
        }
        let directory = text("directory")?;
        let clients = text("clients")?;
        Ok(Charter {
            protocol: number("protocol", &text("protocol")?)?,
            directory: u128::from_str_radix(&directory, 16).map_err(|_| "directory")?,
            shards: number("shards", &text("shards")?)?,
            nodes: text("nodes")?.split(',').map(str::to_owned).collect(),
            cores: number("cores", &text("cores")?)?,
            clients: match &*clients {
                SEEDED => None,
                sum => Some(u32::from_str_radix(sum, 16).map_err(|_| "clients")?),
            },
            processors: text(PROCESSORS).ok(),
        })
    }

    /// What of another one differs that is fixed, with both values; `None`: nothing.
    pub fn difference(&self, other: &Charter) -> Option<String> {
        let (ours, theirs) = (self.to_metadata(), other.to_metadata());
        // The protocol first: if that differs, so may anything.
        let names = [
            "protocol",
            "directory",
            "nodes",
            "cores",
            "shards",
            "clients",
        ];
        names.iter().find_map(|name| {
            let key = format!("{PREFIX}{name}");
            let (ours, theirs) = (&ours[&key], &theirs[&key]);
            (ours != theirs).then(|| format!("{name} is {theirs} there and {ours} here"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charter() -> Charter {
        Charter {
            protocol: PROTOCOL,
            directory: 0xab,
            shards: 12,
            nodes: vec!["a".to_owned(), "b".to_owned()],
            cores: 2,
            clients: Some(0x1234_5678),
            processors: Some("aa,bb".to_owned()),
        }
    }

    #[test]
    fn a_charter_is_read_as_it_was_written() {
        let metadata = charter().to_metadata();
        let read = |metadata: &BTreeMap<String, String>| {
            Charter::from_metadata(|name| metadata.get(name).cloned())
        };
        assert_eq!(read(&metadata), Ok(charter()));
        let seeded = Charter {
            clients: None,
            processors: None,
            ..charter()
        };
        assert_eq!(read(&seeded.to_metadata()), Ok(seeded));
        for name in [
            "protocol",
            "directory",
            "shards",
            "nodes",
            "cores",
            "clients",
        ] {
            let mut without = metadata.clone();
            without.remove(&format!("galo.{name}"));
            assert_eq!(read(&without), Err(name));
        }
        let mut wrong = metadata;
        wrong.insert("galo.cores".to_owned(), "two".to_owned());
        assert_eq!(read(&wrong), Err("cores"));
    }

    #[test]
    fn what_differs_is_named() {
        let other = Charter {
            shards: 13,
            nodes: vec!["a".to_owned()],
            ..charter()
        };
        assert_eq!(charter().difference(&charter()), None);
        let difference = charter().difference(&other).unwrap();
        assert_eq!(difference, "nodes is a there and a,b here");
        let other = Charter {
            processors: None,
            ..charter()
        };
        assert_eq!(charter().difference(&other), None, "that may change");
    }
}
