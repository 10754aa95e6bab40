//! The nodes of a cluster, which are processes on one data directory: their descriptors, the files by which they
//! find each other, and how a node joins.
//!
//! The files are in a directory that all nodes see (`--run`):
//!
//! ```text
//! RUN/links/               0700: for processes of the nodes' user only
//! RUN/links/api01.lock     held for as long as node api01 runs; its content is the node's descriptor
//! RUN/links/api01-0.sock   where other nodes connect to its core 0; 0600
//! ```

mod descriptor;
mod join;

use std::path::PathBuf;

pub use descriptor::{Disagreement, NodeDescriptor};
pub use join::{claim, join, prepare, JoinError};

use crate::limits::{NODES_MAX, NODE_NAME_CHARS_MAX, SOCKET_PATH_BYTES_MAX};

/// The nodes, and which of them this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Their names, in the order that all of them are given: distinct, at least one.
    pub nodes: Vec<String>,
    /// Index of this node in `nodes`.
    pub node: usize,
    /// The directory where nodes meet: `--run`.
    pub run: PathBuf,
}

impl Cluster {
    /// This node's own name.
    pub fn name(&self) -> &str {
        &self.nodes[self.node]
    }

    /// The directory of locks and link sockets.
    pub fn links(&self) -> PathBuf {
        self.run.join("links")
    }

    /// The lock file of a node.
    pub fn lock_path(&self, node: usize) -> PathBuf {
        self.links().join(format!("{}.lock", self.nodes[node]))
    }

    /// The link socket of a core of a node.
    pub fn socket_path(&self, node: usize, core: usize) -> PathBuf {
        let name = format!("{}-{core}.sock", self.nodes[node]);
        self.links().join(name)
    }

    /// The link sockets of all members, by their numbers ([`crate::members::Members`]).
    pub fn socket_paths(&self, cores: usize) -> Vec<PathBuf> {
        let all = (0..self.nodes.len()).flat_map(|node| (0..cores).map(move |core| (node, core)));
        all.map(|(node, core)| self.socket_path(node, core))
            .collect()
    }

    /// Whether every link socket's path is short enough for the kernel; if not, one that is too long.
    pub fn too_long_path(&self, cores: usize) -> Option<PathBuf> {
        let mut paths = self.socket_paths(cores).into_iter();
        paths.find(|path| path.as_os_str().len() > SOCKET_PATH_BYTES_MAX)
    }
}

/// Checks a node's name. It must be good for a file's name and for a list that commas separate.
///
/// # Errors
/// The name that was given, and the rule for names.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=NODE_NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_good) {
        return Ok(());
    }
    Err(format!(
        "'{name}' is not accepted: a name is 1 to {NODE_NAME_CHARS_MAX} of a-z, 0-9 and -"
    ))
}

/// Reads a list of nodes.
///
/// # Errors
/// What is wrong with it, and what is accepted.
pub fn parse_nodes(list: &str) -> Result<Vec<String>, String> {
    let mut nodes: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim) {
        check_name(name)?;
        if nodes.iter().any(|node| node == name) {
            return Err(format!("'{name}' is there twice: names must differ"));
        }
        nodes.push(name.to_owned());
    }
    if nodes.len() > NODES_MAX {
        let count = nodes.len();
        return Err(format!("{count} nodes; accepted: at most {NODES_MAX}"));
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_good_for_files_and_lists() {
        assert_eq!(parse_nodes("api01,b-2").unwrap(), ["api01", "b-2"]);
        let long = "x".repeat(NODE_NAME_CHARS_MAX);
        assert!(check_name(&long).is_ok());
        for name in ["", "Api", "a/b", "a b", "a.b", "ä", &format!("{long}x")] {
            let error = check_name(name).unwrap_err();
            assert!(error.starts_with(&format!("'{name}' is not ")), "{error}");
            assert!(parse_nodes(&format!("a,{name}")).is_err());
        }
        assert!(parse_nodes("a,b,a").unwrap_err().contains("'a' is there"));
        let names = |count| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>();
        assert!(parse_nodes(&names(NODES_MAX).join(",")).is_ok());
        let error = parse_nodes(&names(NODES_MAX + 1).join(",")).unwrap_err();
        assert_eq!(error, "17 nodes; accepted: at most 16");
    }

    #[test]
    fn sockets_go_by_node_and_core() {
        let cluster = |run: &str| Cluster {
            nodes: vec!["a".into(), "bb".into()],
            node: 1,
            run: run.into(),
        };
        let paths = cluster("/run/galo").socket_paths(2);
        let names = ["a-0", "a-1", "bb-0", "bb-1"];
        let expected = names.map(|name| PathBuf::from(format!("/run/galo/links/{name}.sock")));
        assert_eq!(paths, expected);

        // "/" + 90 + "/links/" + "bb-0.sock" is 107.
        let longest = format!("/{}", "x".repeat(90));
        assert_eq!(cluster(&longest).too_long_path(1), None);
        let too_long = cluster(&format!("{longest}x")).too_long_path(1);
        assert!(too_long.unwrap().ends_with("links/bb-0.sock"));
    }
}
