//! The members of a cluster, by number: core `c` of node `n` is member `n * cores + c`. All nodes have
//! the same number of cores, and the same list of nodes.

use crate::stats::Stats;

/// The members of a cluster, which of them this core is, and which member is to own which shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// Names of the nodes (processes), in the order of `--nodes`.
    pub nodes: Vec<String>,
    /// Index of this node in `nodes`.
    pub node: usize,
    /// Number of this core in its node.
    pub core: usize,
    /// Cores of each node.
    pub cores: usize,
    /// Shards of the data directory. Client `c` is in shard `c % shards`.
    pub shards: usize,
}

impl Members {
    /// The members of a node without a cluster.
    pub fn alone(core: usize, cores: usize, shards: usize) -> Members {
        Members {
            nodes: vec!["galo".to_owned()],
            node: 0,
            core,
            cores,
            shards,
        }
    }

    /// Counters for the cores of this node.
    pub fn stats(&self) -> Stats {
        Stats::new(self.cores, self.node, self.nodes.len(), self.shards)
    }

    /// Members of the cluster: nodes times cores.
    pub fn count(&self) -> usize {
        self.nodes.len() * self.cores
    }

    /// This core's member number.
    pub fn own(&self) -> usize {
        self.node * self.cores + self.core
    }

    /// Whether a member is a core of this process.
    pub fn is_in_process(&self, member: usize) -> bool {
        member / self.cores == self.node
    }

    /// A member's name: `api01/0`.
    pub fn name(&self, member: usize) -> String {
        format!(
            "{}/{}",
            self.nodes[member / self.cores],
            member % self.cores
        )
    }

    /// The member that owns a shard when all members are there.
    pub fn home(&self, shard: usize) -> usize {
        shard % self.nodes.len() * self.cores + shard / self.nodes.len() % self.cores
    }

    /// The members that may own a shard, its home first.
    pub fn candidates(&self, shard: usize) -> impl Iterator<Item = usize> {
        let (home, cores, count) = (self.home(shard), self.cores, self.count());
        (0..self.nodes.len()).map(move |step| (home + step * cores) % count)
    }

    /// Whether we may own a shard: it is at home at our core of some node.
    pub fn is_candidate(&self, shard: usize) -> bool {
        self.home(shard) % self.cores == self.core
    }

    /// The shards that are at home here, ascending.
    pub fn own_shards(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.shards).filter(|shard| self.home(*shard) == self.own())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_has_one_home_and_a_candidate_in_every_node() {
        for (nodes, cores, shards) in [(1, 1, 1), (1, 3, 7), (2, 1, 2), (2, 2, 9), (3, 2, 6)] {
            let members = |node, core| Members {
                nodes: (0..nodes).map(|n| format!("api{n}")).collect(),
                node,
                core,
                cores,
                shards,
            };
            for shard in 0..shards {
                let all = (0..nodes).flat_map(|node| (0..cores).map(move |core| (node, core)));
                let all: Vec<Members> = all.map(|(node, core)| members(node, core)).collect();
                let at_home = all.iter().filter(|m| m.own_shards().any(|s| s == shard));
                assert_eq!(at_home.count(), 1);
                let candidates: Vec<_> = all.iter().filter(|m| m.is_candidate(shard)).collect();
                assert_eq!(candidates.len(), nodes);
                assert!(candidates.iter().any(|m| m.own() == m.home(shard)));
            }
        }
    }

    #[test]
    fn alone_shards_go_round_the_cores() {
        let members = Members::alone(1, 3, 7);
        assert_eq!(members.own_shards().collect::<Vec<_>>(), [1, 4]);
        assert_eq!(members.name(1), "galo/1");
    }
}
