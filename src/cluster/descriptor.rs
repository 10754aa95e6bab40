//! A node's descriptor: one line that identifies a process as a node, for people and for other nodes. It is the
//! content of the node's lock file, and of the lock files of the shards that it owns.
//!
//! `galo node=api01 nodes=api01,api02 cores=1 shards=2 directory=<32 hex digits>
//! processor-default=http://a:8080 processor-fallback=http://b:8080 protocol=3 pid=12`

use std::fmt;
use std::str::FromStr;

use crate::node::link;

/// A node's name and process, and the settings that all nodes of a cluster must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDescriptor {
    /// Name of the node.
    pub node: String,
    /// All nodes' names, in order.
    pub nodes: Vec<String>,
    /// Cores of each node.
    pub cores: usize,
    /// Shards of the data directory.
    pub shards: u32,
    /// Id of the data directory.
    pub directory: u128,
    /// URLs of the payment processors, by number: journals name them by their numbers only, and who
    /// has them the other way round would pay twice.
    pub processors: Option<[String; 2]>,
    /// Version of the link protocol.
    pub protocol: u32,
    /// The process, as it sees itself: in a container that is mostly 1.
    pub pid: u32,
}

const NO_PROCESSOR: &str = "none";

/// The text is no descriptor: another program's, or a later version's that lacks a field of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADescriptor;

/// What two nodes differ in, though they must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The other, and what it says.
    theirs: String,
    /// What this node has.
    ours: String,
    /// The remedy, for the error's text.
    fix: &'static str,
}

impl NodeDescriptor {
    /// What keeps two nodes from being of one cluster.
    pub fn disagreement(&self, other: &NodeDescriptor) -> Option<Disagreement> {
        let differ = |what: fn(&NodeDescriptor) -> String, fix| {
            let (ours, theirs) = (what(self), what(other));
            let theirs = format!("node {} (process {}) has {theirs}", other.node, other.pid);
            (what(self) != what(other)).then_some(Disagreement { theirs, ours, fix })
        };
        let protocol = differ(
            |descriptor| format!("link protocol {}", descriptor.protocol),
            "run the same version of galo in all nodes",
        );
        protocol
            .or_else(|| {
                let what = |descriptor: &NodeDescriptor| {
                    format!("data directory {:032x}", descriptor.directory)
                };
                differ(what, "give all nodes the same --data")
            })
            .or_else(|| {
                let what =
                    |descriptor: &NodeDescriptor| format!("--nodes {}", descriptor.nodes.join(","));
                differ(what, "give all nodes the same --nodes, in the same order")
            })
            .or_else(|| {
                let what = |descriptor: &NodeDescriptor| format!("{} shards", descriptor.shards);
                differ(what, "give all nodes the same --data")
            })
            .or_else(|| {
                let what = |descriptor: &NodeDescriptor| format!("--cores {}", descriptor.cores);
                differ(what, "give all nodes the same --cores")
            })
            .or_else(|| {
                let what = |descriptor: &NodeDescriptor| match &descriptor.processors {
                    None => "no payment processors".to_owned(),
                    Some([default, fallback]) => {
                        format!("--processor-default {default} --processor-fallback {fallback}")
                    }
                };
                differ(what, "give all nodes the same processors")
            })
    }

    /// Whether the other is a node of our cluster, and not one that calls itself as we do.
    pub fn is_peer(&self, other: &NodeDescriptor) -> bool {
        self.disagreement(other).is_none()
            && other.node != self.node
            && self.nodes.contains(&other.node)
    }
}

impl Disagreement {
    /// With a node whose descriptor cannot be read.
    pub(super) fn unreadable(node: &str, descriptor: &str) -> Disagreement {
        Disagreement {
            theirs: format!("node {node} has a descriptor that says '{descriptor}'"),
            ours: format!("link protocol {}", link::VERSION),
            fix: "run the same version of galo in all nodes",
        }
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, this one {}: {}", self.theirs, self.ours, self.fix)
    }
}

impl fmt::Display for NodeDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [default, fallback] = match &self.processors {
            None => [NO_PROCESSOR; 2],
            Some(urls) => urls.each_ref().map(String::as_str),
        };
        write!(
            f,
            "galo node={} nodes={} cores={} shards={} directory={:032x} \
             processor-default={default} processor-fallback={fallback} protocol={} pid={}",
            self.node,
            self.nodes.join(","),
            self.cores,
            self.shards,
            self.directory,
            self.protocol,
            self.pid
        )
    }
}

impl FromStr for NodeDescriptor {
    type Err = NotADescriptor;

    /// Fields that it does not know are for those who do.
    fn from_str(text: &str) -> Result<NodeDescriptor, NotADescriptor> {
        let fields = text.strip_prefix("galo ").ok_or(NotADescriptor)?;
        let field = |name: &str| {
            let mut fields = fields.split(' ').filter_map(|field| field.split_once('='));
            let found = fields.find(|(found, _)| *found == name);
            found.map(|(_, value)| value).ok_or(NotADescriptor)
        };
        fn number<N: FromStr>(digits: &str) -> Result<N, NotADescriptor> {
            digits.parse().map_err(|_| NotADescriptor)
        }
        let processors = match [field("processor-default")?, field("processor-fallback")?] {
            [NO_PROCESSOR, NO_PROCESSOR] => None,
            urls => Some(urls.map(str::to_owned)),
        };
        Ok(NodeDescriptor {
            processors,
            node: field("node")?.to_owned(),
            nodes: field("nodes")?.split(',').map(str::to_owned).collect(),
            cores: number(field("cores")?)?,
            shards: number(field("shards")?)?,
            directory: u128::from_str_radix(field("directory")?, 16).map_err(|_| NotADescriptor)?,
            protocol: number(field("protocol")?)?,
            pid: number(field("pid")?)?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of node `n` of api01 and api02.
    pub fn descriptor(node: usize) -> NodeDescriptor {
        let nodes = ["api01".to_owned(), "api02".to_owned()];
        NodeDescriptor {
            node: nodes[node].clone(),
            nodes: nodes.into(),
            cores: 1,
            shards: 2,
            directory: 0xabc,
            processors: None,
            protocol: link::VERSION,
            pid: 12,
        }
    }

    #[test]
    fn a_descriptor_is_one_line_and_comes_back() {
        let line = descriptor(0).to_string();
        let directory = "00000000000000000000000000000abc";
        assert_eq!(
            line,
            format!(
                "galo node=api01 nodes=api01,api02 cores=1 shards=2 directory={directory} \
                 processor-default=none processor-fallback=none protocol={} pid=12",
                link::VERSION
            )
        );
        assert_eq!(line.parse(), Ok(descriptor(0)));
        let paying = NodeDescriptor {
            processors: Some(["http://a:8080".to_owned(), "http://b/p".to_owned()]),
            ..descriptor(0)
        };
        let line = paying.to_string();
        let urls = "processor-default=http://a:8080 processor-fallback=http://b/p protocol";
        assert!(line.contains(urls), "{line}");
        assert_eq!(format!("{line} mood=good").parse(), Ok(paying));
    }

    #[test]
    fn what_is_no_descriptor_is_none() {
        let good = descriptor(0).to_string();
        for bad in [
            String::new(),
            "process 12".to_owned(),
            good.replace("galo ", ""),
            good.replace("cores=1 ", ""),
            good.replace("shards=2", "shards=two"),
            good.replace(" processor-fallback=none", ""),
            good.replace(" pid=12", ""),
            good.replace(" pid=12", " pid="),
        ] {
            assert_eq!(bad.parse::<NodeDescriptor>(), Err(NotADescriptor), "{bad}");
        }
    }

    #[test]
    fn peers_differ_in_nothing_but_name_and_process() {
        let other = NodeDescriptor {
            pid: 9,
            ..descriptor(1)
        };
        assert_eq!(descriptor(0).disagreement(&other), None);
        assert!(descriptor(0).is_peer(&other));
        assert!(
            !descriptor(0).is_peer(&descriptor(0)),
            "that is our own name"
        );
        let foreign = NodeDescriptor {
            node: "api03".to_owned(),
            ..descriptor(1)
        };
        assert!(!descriptor(0).is_peer(&foreign));
    }

    #[test]
    fn a_disagreement_is_one_line_with_both_sides_and_what_to_do() {
        type Change = fn(&mut NodeDescriptor);
        let ours = format!("link protocol {}", link::VERSION);
        let cases: [(Change, [&str; 3]); 6] = [
            (
                |descriptor| descriptor.protocol = 7,
                ["link protocol 7", &ours, "same version"],
            ),
            (
                |descriptor| descriptor.directory = 0xdef,
                ["def", "abc", "same --data"],
            ),
            (
                |descriptor| descriptor.nodes.reverse(),
                ["api02,api01", "api01,api02", "same --nodes"],
            ),
            (
                |descriptor| descriptor.shards = 3,
                ["3 shards", "2 shards", "same --data"],
            ),
            (
                |descriptor| descriptor.cores = 4,
                ["--cores 4", "--cores 1", "same --cores"],
            ),
            (
                |descriptor| {
                    descriptor.processors = Some(["http://b", "http://a"].map(str::to_owned))
                },
                [
                    "--processor-default http://b --processor-fallback http://a",
                    "this one no payment processors",
                    "same processors",
                ],
            ),
        ];
        for (change, words) in cases {
            let mut other = descriptor(1);
            change(&mut other);
            let line = descriptor(0)
                .disagreement(&other)
                .expect("differs")
                .to_string();
            assert!(!descriptor(0).is_peer(&other));
            assert!(
                line.starts_with("node api02 (process 12) has ") && !line.contains('\n'),
                "{line}"
            );
            for word in words {
                assert!(line.contains(word), "{word}: {line}");
            }
        }
    }
}
