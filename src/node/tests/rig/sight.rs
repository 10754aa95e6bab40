//! What a test sees of a [`Rig`].

use super::{members, Client, Core, Rig, Socket};
use crate::machine::Exit;
use crate::node::tests::{get, Reply};
use crate::node::Node;
use crate::stats::Stats;

impl Rig {
    /// What the client has got since the last call, as replies.
    pub fn replies(&mut self, client: Client) -> Vec<Reply> {
        let bytes = std::mem::take(&mut self.socket(client).outbound);
        let mut rest = std::str::from_utf8(&bytes).unwrap();
        let mut replies = Vec::new();
        while !rest.is_empty() {
            let (head, behind) = rest.split_once("\r\n\r\n").expect("a whole head");
            let status = head[9..12].parse().unwrap();
            let length = head
                .split("Content-Length: ")
                .nth(1)
                .map_or(0, |length| length.lines().next().unwrap().parse().unwrap());
            let (body, behind) = behind.split_at(length);
            rest = behind;
            replies.push(Reply {
                status,
                head: head.to_owned(),
                body: body.to_owned(),
            });
        }
        replies
    }

    pub fn statuses(&mut self, client: Client) -> Vec<u16> {
        self.replies(client).iter().map(|it| it.status).collect()
    }

    /// One request, one reply.
    #[track_caller]
    pub fn ask(&mut self, client: Client, request: impl AsRef<[u8]>) -> Reply {
        self.send(client, request);
        self.run();
        let mut replies = self.replies(client);
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.remove(0)
    }

    /// All copies of each shard are at the same record.
    #[track_caller]
    pub fn check_copies(&self) {
        for shard in 0..self.plan.shards {
            let running = self.cores.iter().filter(|core| core.exit.is_none());
            let copies = running.filter_map(|core| core.runtime.copy(shard));
            let ends = copies.map(|copy| (copy.log_end(), copy.digest(0)));
            let ends: Vec<_> = ends.collect();
            let is_equal = !ends.is_empty() && ends.iter().all(|it| *it == ends[0]);
            assert!(is_equal, "shard {shard}: {ends:?}");
        }
    }

    /// What a node's `/health` says: the status, and of the engine.
    pub fn engine_health(&mut self, node: usize) -> (String, serde_json::Value) {
        let client = self.connect(node);
        let body = self.ask(client, get("/health")).body;
        let health: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let status = health["status"].as_str().expect("a status").to_owned();
        (status, health["engine"].clone())
    }

    pub fn is_closed(&mut self, client: Client) -> bool {
        self.socket(client).closed
    }

    pub fn exit(&self, core: usize) -> Option<&Exit> {
        self.cores[core].exit.as_ref()
    }

    pub fn socket(&mut self, client: Client) -> &mut Socket {
        &mut self.cores[client.core].sockets[client.socket]
    }

    pub fn stats_of(&self, node: usize) -> &Stats {
        &self.stats_of[node]
    }

    /// Who has a shard: members.
    pub fn owners(&self, shard: usize) -> Vec<usize> {
        let owns = |core: &Core| {
            let mut shards = core.runtime.shards();
            core.exit.is_none() && shards.any(|it| it.identity().shard as usize == shard)
        };
        let members = 0..self.cores.len();
        members.filter(|it| owns(&self.cores[*it])).collect()
    }

    /// All of a node's cores have ended.
    pub fn is_gone(&self, node: usize) -> bool {
        let mut members = self.members(node);
        members.all(|member| self.cores[member].exit.is_some())
    }

    /// None of a node's cores has ended.
    pub fn is_running(&self, node: usize) -> bool {
        let mut members = self.members(node);
        members.all(|member| self.cores[member].exit.is_none())
    }

    /// The member where a shard is at home.
    pub fn home(&self, shard: usize) -> usize {
        members(&self.plan, 0, 0).home(shard)
    }

    /// What a core keeps of commands is what it says that it keeps.
    #[track_caller]
    pub fn check_counts(&self) {
        for core in self.cores.iter().filter(|core| core.exit.is_none()) {
            check_counts(core.runtime.node());
        }
    }
}

#[track_caller]
fn check_counts(node: &Node) {
    let pending = node.router.check_counts();
    for index in 0..node.io.connections.len() {
        let connection = &node.io.connections[index];
        let commands = pending.iter().filter(|id| **id == connection.id).count();
        let queries = node.queries.of(connection.id);
        if node.resets.begun.is_empty() {
            assert_eq!(connection.waiting as usize, commands + queries);
        }
    }
}
