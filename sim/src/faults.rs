//! What happens to the processes of a cluster, and to what connects them.

use crate::cluster::Cluster;
use crate::event;
use crate::sabotage::Sabotage;
use crate::socket::Far;
use crate::trace::{Checked, Who};
use crate::world::World;

/// The longest pause of a process.
const PAUSE_NS_MAX: u64 = 6_000_000_000;
/// The longest that connecting fails, or a link stands still.
const OUTAGE_NS_MAX: u64 = 4_000_000_000;

impl World {
    /// Something goes wrong, or right again.
    pub fn trouble(&mut self, cluster: &mut Cluster) -> Checked {
        let node = self.random.index(cluster.processes.len());
        self.model.payments.disturbed(self.now_ns);
        let process = &mut cluster.processes[node];
        if process.is_down() {
            if self.random.percent(60) {
                self.restart(cluster, node);
            }
            return Ok(());
        }
        let serves = process.is_up() && !process.is_stopping();
        match self.random.below(20) {
            0..=2 => self.kill(cluster, node)?,
            3 | 4 => {
                let within = Some(self.random.skewed(30));
                process.disk.set_faults(|faults| faults.kill_in = within);
            }
            5..=7 if serves => {
                let until_ns = self.now_ns + self.random.skewed(PAUSE_NS_MAX);
                process.paused_until_ns = until_ns;
                self.model.payments.disturbed(until_ns);
                let pause_ms = (until_ns - self.now_ns) / 1_000_000;
                event!(self.trace, Who::Node(node), "is paused for {pause_ms} ms");
                self.coverage.node_pauses += 1;
                if self.sabotage == Some(Sabotage::LockLost) {
                    process.disk.lose_locks();
                }
            }
            8 | 9 if serves && process.paused_until_ns <= self.now_ns => {
                self.signal(cluster, node);
            }
            10 => {
                let within = Some(self.random.skewed(30));
                process.disk.set_faults(|faults| faults.fail_in = within);
            }
            11 => {
                let within = Some(self.random.skewed(4));
                process
                    .disk
                    .set_faults(|faults| faults.sync_fails_in = within);
            }
            12 => {
                process.refuses_until_ns = self.now_ns + self.random.skewed(OUTAGE_NS_MAX);
            }
            13..=16 => {
                if let Some(at) = self.any_link(cluster) {
                    self.cut_link(at);
                }
            }
            17 | 18 => {
                if let Some(at) = self.any_link(cluster) {
                    let until_ns = self.now_ns + self.random.skewed(OUTAGE_NS_MAX);
                    let pause_ms = (until_ns - self.now_ns) / 1_000_000;
                    let who = Who::Core(self.socket(at).member);
                    event!(self.trace, who, "hears nothing on a link for {pause_ms} ms");
                    self.socket(at).stuck_until_ns = until_ns;
                    self.coverage.links_stuck += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An end of a link between two processes.
    fn any_link(&mut self, cluster: &Cluster) -> Option<u64> {
        let mut links = Vec::new();
        for (at, socket) in &self.sockets {
            if let Far::Link(far) = socket.far {
                let other = self
                    .sockets
                    .get(&far)
                    .map(|far| cluster.node_of(far.member));
                if other.is_some_and(|other| other != cluster.node_of(socket.member)) {
                    links.push(*at);
                }
            }
        }
        (!links.is_empty()).then(|| *self.random.pick(&links))
    }
}
