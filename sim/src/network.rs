//! What connects the cores with each other and with their clients.

use galo::limits::{SEND_NS_MAX, STOP_NS_MAX};
use galo::machine::{Machine, Peer, Target};
use galo::runtime::Runtime;

use crate::cluster::Cluster;
use crate::disk::SimDisk;
use crate::request::{Asked, Expect};
use crate::socket::{Client, Ended, Far, Pace, Socket};
use crate::trace::{Checked, Who};
use crate::world::World;
use crate::{event, step, violation};

impl World {
    pub fn socket(&mut self, at: u64) -> &mut Socket {
        self.sockets.get_mut(&at).expect("it is there")
    }

    pub fn add_socket(&mut self, socket: Socket) -> u64 {
        let at = self.next_socket;
        self.next_socket += 1;
        self.sockets.insert(at, socket);
        at
    }

    /// The places of such sockets, oldest first.
    pub fn sockets_that(&self, are_so: impl Fn(&Socket) -> bool) -> Vec<u64> {
        let found = self.sockets.iter().filter(|(_, socket)| are_so(socket));
        found.map(|(at, _)| *at).collect()
    }

    /// Connections of clients, oldest first.
    pub fn clients(&self) -> Vec<u64> {
        let is_usual = |client: &Client| client.pace == Pace::Usual;
        self.sockets_that(|socket| socket.client().is_some_and(is_usual))
    }

    /// Members that take up connections of clients.
    pub fn doors(&self, cluster: &Cluster) -> Vec<usize> {
        let open = cluster.cores().filter(|(_, core)| core.accepts);
        open.map(|(member, _)| member).collect()
    }

    /// A client connects with a member; its place.
    pub fn connect(&mut self, member: usize) -> u64 {
        self.names += 1;
        self.add_socket(Socket::of_client(member, self.names))
    }

    /// Whether somebody listens on the link socket of this member.
    pub fn listens(&self, cluster: &Cluster, member: usize) -> bool {
        let process = &cluster.processes[cluster.node_of(member)];
        let refuses = process.refuses_until_ns > self.now_ns;
        let core = cluster.at(member);
        !refuses && core.is_some_and(|core| core.exited.is_none())
    }

    /// What a member hears of its wish to be connected.
    pub fn connected(
        &mut self,
        runtime: &mut Runtime<SimDisk>,
        from: usize,
        to: usize,
        listens: bool,
    ) {
        if !listens {
            let to_name = self.trace.name(Who::Core(to));
            event!(self.trace, Who::Core(from), "cannot connect with {to_name}");
            return runtime.connect_failed(Target::Member(to));
        }
        let ends = [self.next_socket, self.next_socket + 1];
        let to_name = self.trace.name(Who::Core(to));
        event!(self.trace, Who::Core(from), "is connected with {to_name}");
        step!(self.trace, Who::Core(from), "their sockets are {ends:?}");
        let mut near = Socket::new(from, Far::Link(ends[1]));
        near.id = runtime.opened(Peer::Member(to)).ok();
        let refused = near.id.is_none();
        self.add_socket(near);
        self.add_socket(Socket::new(to, Far::Link(ends[0])));
        if refused {
            self.drop_socket(ends[0], Ended::Fin);
        }
    }

    /// A link between two processes breaks, with whatever is on its way.
    pub fn cut_link(&mut self, at: u64) {
        self.coverage.links_cut += 1;
        let Far::Link(far) = self.sockets[&at].far else {
            return;
        };
        let who = Who::Core(self.sockets[&at].member);
        if let Some(other) = self.sockets.get(&far).map(|far| Who::Core(far.member)) {
            let other = self.trace.name(other);
            event!(self.trace, who, "the connection with {other} breaks");
        }
        for end in [at, far] {
            if let Some(socket) = self.sockets.get_mut(&end) {
                let kept = self.random.index(socket.input.len() + 1);
                socket.input.truncate(kept);
                socket.input_end = Some(Ended::Reset);
            }
        }
    }

    /// Whether the server may close this connection now.
    pub fn closed_by_server(&mut self, at: u64, stopped_ns: Option<u64>) -> Checked {
        let socket = &self.sockets[&at];
        let Some(client) = socket.client() else {
            return Ok(());
        };
        let may = client.last_reply_seen
            || socket.input_end == Some(Ended::Reset)
            // It does not read.
            || socket
                .sending_since_ns
                .is_some_and(|since_ns| self.now_ns >= since_ns + SEND_NS_MAX)
            || socket.stalled_ns == socket.closing_ns
            || stopped_ns.is_some_and(|at_ns| self.now_ns >= at_ns + STOP_NS_MAX);
        // What arrives in the tick in which an idle connection is given up is too late.
        let may_be_idle = self.plan.timeouts || stopped_ns.is_some();
        let in_time = |asked: &&Asked| {
            asked.delivered && !(may_be_idle && asked.delivered_ns == socket.closing_ns)
        };
        let unanswered = client.asked.iter().find(in_time);
        if let (false, Some(asked)) = (may, unanswered) {
            violation!(
                "client {}: closed without an answer to {asked:?}",
                client.name
            );
        }
        Ok(())
    }

    /// A connection is over; `ended`: how the other end, if it is another member's, hears of it.
    pub fn drop_socket(&mut self, at: u64, ended: Ended) {
        let socket = self.sockets.remove(&at).expect("it is there");
        match socket.far {
            Far::Link(far) => {
                if let Some(socket) = self.sockets.get_mut(&far) {
                    socket.input_end.get_or_insert(ended);
                }
            }
            Far::Upstream(upstream) => {
                if let Some(token) = upstream.busy {
                    let now_ns = self.now_ns;
                    self.processors.gave_up(upstream.processor, token, now_ns);
                }
            }
            Far::Client(client) => {
                let lost = client.asked.iter().filter(|asked| asked.delivered).count();
                if lost > 0 {
                    let who = Who::Client(client.name);
                    event!(
                        self.trace,
                        who,
                        "loses its connection (requests without a reply: {lost})"
                    );
                }
                for asked in client.asked {
                    if let Expect::Transaction(tag) = asked.expect {
                        self.model.abandoned(tag);
                        if self.model.is_keyed(tag) {
                            self.unanswered.push(tag);
                        }
                    }
                }
            }
        }
    }
}
