//! Keyed requests that are asked again: for want of an answer, or to see that the answer is the same.

use galo::limits::KEY_NS_MAX;

use crate::cluster::Cluster;
use crate::socket::Ended;
use crate::world::World;

/// How old a key may get when it is sent: less than a node has to remember it for, by what it may be on its way.
const ASKED_NS_MAX: u64 = KEY_NS_MAX - 60_000_000_000;

/// Connections beyond the usual number for those who ask again: a storm of them would only show that
/// ticks are small here.
const CONNECTIONS_MORE: usize = 4;

impl World {
    /// Asks once more for one of the answers that are missing, by another connection, perhaps at
    /// another node.
    pub fn ask_again(&mut self, cluster: &Cluster) {
        let doors = self.doors(cluster);
        // From quiescence on, who was in a crowd is a client like any other.
        let crowd = self.plan.crowd.as_ref();
        let crowd = crowd.map_or(0, |crowd| crowd.connections_max);
        let usual = self.plan.connections_max + crowd;
        let busy = self.clients().len() >= usual + CONNECTIONS_MORE;
        if self.unanswered.is_empty() || doors.is_empty() || busy {
            return;
        }
        let at = self.random.index(self.unanswered.len());
        let tag = self.unanswered.swap_remove(at);
        if self.is_too_old(tag) {
            return;
        }
        let member = *self.random.pick(&doors);
        let at = self.connect(member);
        self.coverage.retries += 1;
        self.ask(at, |author| author.again(tag));
        let socket = self.socket(at);
        socket.input_end = Some(Ended::Fin);
        if let Some(client) = socket.client_mut() {
            client.finished = true;
        }
    }

    /// A client that repeats what has an answer, or will have one.
    pub fn ask_twice(&mut self, at: u64) {
        let Some(tag) = self.model.any_keyed(&mut self.random) else {
            return;
        };
        if !self.is_too_old(tag) {
            self.coverage.duplicates += 1;
            self.ask(at, |author| author.again(tag));
        }
    }

    fn is_too_old(&self, tag: crate::request::Tag) -> bool {
        self.now_ns > self.model.asked_ns(tag) + ASKED_NS_MAX
    }
}
