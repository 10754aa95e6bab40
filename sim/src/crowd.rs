//! A crowd of clients that take much and give little: they pipeline and read nothing or a few bytes now and then, or write a
//! byte now and then. They are in some seeds only, and draw numbers of their own: other seeds are what they were.

use crate::cluster::Cluster;
use crate::socket::{Client, Ended, Pace};
use crate::world::World;

/// From one byte or some to the next.
const PAUSE_NS_MAX: u64 = 3_000_000_000;
/// Bytes that are taken at a time.
const SIP_BYTES_MAX: u64 = 64;

impl World {
    /// Some client of the crowd does something. Whether one did.
    pub fn act_in_crowd(&mut self, cluster: &Cluster) -> bool {
        let Some(crowd) = self.plan.crowd.clone() else {
            return false;
        };
        if self.is_quiescent() || !self.odd.percent(40) {
            return false;
        }
        let is_slow = |client: &Client| client.pace != Pace::Usual;
        let here = self.sockets_that(|socket| socket.client().is_some_and(is_slow));
        let comes = here.is_empty() || self.odd.percent(30);
        if comes && here.len() < crowd.connections_max {
            let doors = self.doors(cluster);
            if !doors.is_empty() {
                let member = *self.odd.pick(&doors);
                let at = self.connect(member);
                let pace = match self.odd.percent(crowd.drips) {
                    true => Pace::Drips,
                    false => *self.odd.pick(&[Pace::Mute, Pace::Mute, Pace::Sips]),
                };
                let client = self.socket(at).client_mut().expect("just made");
                client.pace = pace;
                client.reads = pace != Pace::Mute;
                self.coverage.crowd += 1;
            }
            return true;
        }
        if here.is_empty() {
            return false;
        }
        let at = *self.odd.pick(&here);
        let (goes, hangs_up) = (self.odd.percent(20), self.odd.percent(2));
        let socket = self.sockets.get_mut(&at).expect("just listed");
        let client = socket.client_mut().expect("just listed");
        if client.finished {
            if socket.input_end.is_none() && goes {
                socket.input_end = Some(Ended::Fin);
            }
            return true;
        }
        if hangs_up {
            client.finished = true;
            socket.input_end = Some(Ended::Reset);
            return true;
        }
        let depth = match client.pace {
            Pace::Drips => 1 + self.odd.below(2),
            _ => self.odd.skewed(crowd.pipeline_max as u64),
        };
        for _ in 0..depth {
            match self.odd.percent(50) {
                true => self.ask(at, |author| author.statement()),
                false => self.ask(at, |author| author.any()),
            }
        }
        true
    }

    /// Requests without an answer that a client may have.
    pub fn asked_max(&self, pace: Pace) -> usize {
        let crowd = self.plan.crowd.as_ref();
        match (pace, crowd) {
            (Pace::Mute | Pace::Sips, Some(crowd)) => crowd.pipeline_max,
            (Pace::Drips, _) => 3,
            _ => 20 + self.plan.pipeline_max as usize,
        }
    }

    /// How much of `length` bytes from a client arrives now. The rest comes later.
    pub fn drips(&mut self, at: u64, length: usize) -> usize {
        let now_ns = self.now_ns;
        let drips = |socket: &crate::socket::Socket| {
            socket
                .client()
                .is_some_and(|client| client.pace == Pace::Drips)
        };
        if !self.sockets.get(&at).is_some_and(drips) {
            return length;
        }
        let pause_ns = self.odd.skewed(PAUSE_NS_MAX);
        self.socket(at).stuck_until_ns = now_ns + pause_ns;
        length.min(1 + self.odd.index(2))
    }

    /// How much of `length` bytes to a client is taken now.
    pub fn sips(&mut self, at: u64, length: usize) -> usize {
        let now_ns = self.now_ns;
        let Some(client) = self.sockets.get_mut(&at).and_then(|it| it.client_mut()) else {
            return length;
        };
        if client.pace != Pace::Sips {
            return length;
        }
        client.reads_from_ns = now_ns + self.odd.skewed(PAUSE_NS_MAX);
        length.min(self.odd.skewed(SIP_BYTES_MAX) as usize)
    }
}
