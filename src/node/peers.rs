//! The links to the other members of the cluster: made, greeted, used, lost.
//!
//! Every pair of members has one. Cores of one process are linked by a socket pair from the start;
//! between processes the member of the node with the higher number connects, and tries again until it
//! succeeds. A link is used once both have greeted; who comes again replaces its earlier link.

use super::event::NodeEvent;
use super::link::{self, BadFrame, Frame, Hello};
use super::shards::Shards;
use super::transport::Transport;
use crate::command::Origin;
use crate::limits::{DIAL_NS_MAX, DIAL_NS_MIN, FAULT_LOG_NS, HELLO_NS_MAX, LINK_COMMANDS_MAX};
use crate::machine::{ConnectionId, Effect, Peer, Target};
use crate::members::Members;
use crate::stats::LinkState;

/// This node's end of the link to one other member.
struct Link {
    /// While there is one.
    connection: Option<ConnectionId>,
    /// Which incarnation of the member is at the other end, once it has greeted.
    origin: Option<Origin>,
    /// It stops, or its copies are behind: it wants no shard.
    leaving: bool,
    goodbye_sent: bool,
    goodbye_received: bool,
    /// Commands that it has got on this link and has not answered, also those whose time is over.
    commands: usize,
    /// Shards of which a command of its was refused: what it has sent behind that is, too, up to where
    /// it begins again, so that nothing is carried out before what came before it.
    refusing: Vec<u32>,
    /// Shards for which it was told to begin again, once for each time, and has not yet: its answers are
    /// to what it got before. A refusal that nobody remembers may be among them, and what is sent once
    /// more may then go through.
    stale: Vec<u32>,
    /// It is given no shard before that, because it has not taken one. Monotonic.
    offer_ns: u64,
    /// When to connect; `u64::MAX`: not now, or not our part. Monotonic.
    dial_ns: u64,
    /// From a failure to the next try.
    dial_again_ns: u64,
}

impl Link {
    fn new() -> Link {
        Link {
            connection: None,
            origin: None,
            leaving: false,
            goodbye_sent: false,
            goodbye_received: false,
            commands: 0,
            refusing: Vec::new(),
            stale: Vec::new(),
            offer_ns: 0,
            dial_ns: u64::MAX,
            dial_again_ns: DIAL_NS_MIN,
        }
    }

    /// While the link can be used.
    fn greeted(&self) -> Option<ConnectionId> {
        self.connection.filter(|_| self.origin.is_some())
    }
}

/// What came over a link.
pub(super) enum Received<'a> {
    /// For this part, which has dealt with it.
    Done,
    /// For others: from this incarnation of a member.
    Frame(Origin, Frame<'a>),
}

pub(super) struct Peers {
    /// By member; our own place is never used.
    links: Vec<Link>,
    /// The last line about a peer that is not as it should be, and when it was logged. Monotonic.
    pub(super) last_logged: Option<(String, u64)>,
    /// See [`Peers::set_behind`].
    is_behind: bool,
}

impl Peers {
    /// The first connections are made at once.
    pub(super) fn new(members: &Members) -> Peers {
        let mut peers = Peers {
            links: (0..members.count()).map(|_| Link::new()).collect(),
            last_logged: None,
            is_behind: false,
        };
        for member in 0..members.count() {
            if dials(members, member) {
                peers.links[member].dial_ns = 0;
            }
        }
        peers
    }

    /// Whether copies here are too far behind for shards to be given to us.
    pub(super) fn set_behind(&mut self, io: &mut Transport, is_behind: bool) {
        let is_news = std::mem::replace(&mut self.is_behind, is_behind) != is_behind;
        if is_news && io.stop.is_none() {
            let frame = match is_behind {
                true => Frame::Leaving,
                false => Frame::Taking,
            };
            self.tell_all(io, &frame);
        }
    }

    // ---- What others want to know ---------------------------------------------------

    /// Whether a member would take a shard.
    pub(super) fn takes_shards(&self, member: usize, now_ns: u64) -> bool {
        let link = &self.links[member];
        link.greeted().is_some() && !link.leaving && now_ns >= link.offer_ns
    }

    /// A member has not taken a shard that it was given: it is given none before `at_ns`.
    pub(super) fn offer_at(&mut self, member: usize, at_ns: u64) {
        self.links[member].offer_ns = at_ns;
    }

    /// When to connect, or to offer a shard once more; `u64::MAX`: never. Monotonic.
    pub(super) fn wake_ns(&self, now_ns: u64) -> u64 {
        let dials = self.links.iter().map(|link| link.dial_ns);
        let offers = self.links.iter().map(|link| link.offer_ns);
        let times = dials.chain(offers.filter(|offer_ns| *offer_ns > now_ns));
        times.min().unwrap_or(u64::MAX)
    }

    /// How many commands a member may be sent. One that is paused is not sent more and more, whose time is
    /// over before it has read them.
    pub(super) fn commands_room(&self, member: usize) -> usize {
        LINK_COMMANDS_MAX.saturating_sub(self.links[member].commands)
    }

    pub(super) fn commands_sent(&mut self, member: usize, count: usize) {
        self.links[member].commands += count;
    }

    /// A member has answered a command. Whether it had as many as it may have.
    pub(super) fn command_answered(&mut self, member: usize) -> bool {
        let was_full = self.commands_room(member) == 0;
        let link = &mut self.links[member];
        link.commands = link.commands.saturating_sub(1);
        was_full
    }

    /// Whether a member's answers about a shard are to what it got before it was told to begin again.
    pub(super) fn is_stale(&self, member: usize, shard: u32) -> bool {
        self.links[member].stale.contains(&shard)
    }

    /// Whether commands of a member for a shard are refused until it begins again.
    pub(super) fn refuses(&self, member: usize, shard: usize) -> bool {
        self.links[member].refusing.contains(&(shard as u32))
    }

    /// Neither end of a link to a core of this process will ask anything any more, and both know. (What
    /// another process asks, it asks again when we are gone.)
    pub(super) fn are_done(&self, io: &Transport) -> bool {
        let is_done = |(member, link): (usize, &Link)| match link.connection {
            None => true,
            Some(_) if !io.settings.members.is_in_process(member) => true,
            Some(id) => {
                link.goodbye_sent
                    && link.goodbye_received
                    && io.connections[id.index as usize].output.is_empty()
                    && !io.commit.holds_frames(id)
            }
        };
        self.links.iter().enumerate().all(is_done)
    }

    pub(super) fn count(&self) -> usize {
        self.links.len()
    }

    /// The connection over which a member can be asked.
    pub(super) fn link(&self, member: usize) -> Option<usize> {
        Some(self.links[member].greeted()?.index as usize)
    }

    // ---- Frames out -----------------------------------------------------------------

    /// Sends a frame to a member whose link is greeted. Whether it is.
    pub(super) fn tell(&self, io: &mut Transport, member: usize, frame: &Frame<'_>) -> bool {
        let greeted = self.links[member].greeted();
        if let Some(id) = greeted {
            io.write_frame(id.index as usize, frame);
        }
        greeted.is_some()
    }

    /// Sends a frame to everybody.
    pub(super) fn tell_all(&self, io: &mut Transport, frame: &Frame<'_>) {
        for member in 0..self.links.len() {
            self.tell(io, member, frame);
        }
    }

    /// Tells a member, which is known to serve a shard now, that commands for it come from the oldest on.
    pub(super) fn begin_again(&mut self, io: &mut Transport, member: usize, shard: u32) {
        if self.tell(io, member, &Frame::Again(shard)) {
            self.links[member].stale.push(shard);
        }
    }

    /// A command came for a shard that is not served here: what came behind it is not carried out, either.
    pub(super) fn refuse_command(
        &mut self,
        io: &mut Transport,
        member: usize,
        shard: u32,
        counter: u64,
    ) {
        let refusing = &mut self.links[member].refusing;
        if !refusing.contains(&shard) {
            refusing.push(shard);
        }
        self.tell(io, member, &Frame::NotOwner { shard, counter });
    }

    /// Tells the other cores of this process that no command will follow.
    pub(super) fn say_goodbye(&mut self, io: &mut Transport) {
        for member in 0..self.links.len() {
            if io.settings.members.is_in_process(member)
                && !self.links[member].goodbye_sent
                && self.tell(io, member, &Frame::Goodbye)
            {
                self.links[member].goodbye_sent = true;
            }
        }
    }

    // ---- Links made and lost --------------------------------------------------------

    /// Connects to whom it is time to connect to.
    pub(super) fn dial(&mut self, io: &mut Transport) {
        for (member, link) in self.links.iter_mut().enumerate() {
            if link.dial_ns <= io.now_ns() {
                link.dial_ns = u64::MAX;
                // Who stops has nothing to say to who comes now.
                if io.stop.is_none() {
                    let target = Target::Member(member);
                    io.effects.push_back(Effect::Connect(target));
                }
            }
        }
    }

    /// A link could not be made.
    pub(super) fn failed(&mut self, io: &mut Transport, member: usize) {
        let link = &mut self.links[member];
        link.dial_ns = io.now_ns() + link.dial_again_ns;
        link.dial_again_ns = (2 * link.dial_again_ns).min(DIAL_NS_MAX);
        io.wake_by(link.dial_ns);
    }

    /// A connection to another member, or from one that will say who it is.
    pub(super) fn opened(&mut self, io: &mut Transport, id: ConnectionId, peer: Peer) {
        let index = id.index as usize;
        if let Peer::Member(member) = peer {
            self.links[member].connection = Some(id);
            self.changed(io, member);
        } else {
            io.expect_arrival(index, HELLO_NS_MAX);
        }
        let hello = hello(io);
        io.write_frame(index, &Frame::Hello(hello));
    }

    /// The connection of a link is gone: its member may be, too.
    pub(super) fn lost(&mut self, io: &mut Transport, member: usize, id: ConnectionId) {
        let link = &mut self.links[member];
        if link.connection != Some(id) {
            return; // Another has taken its place.
        }
        let was_greeted = link.origin.is_some();
        let again_ns = link.dial_again_ns;
        *link = Link::new();
        if dials(&io.settings.members, member) {
            link.dial_again_ns = if was_greeted { DIAL_NS_MIN } else { again_ns };
            self.failed(io, member);
        }
        let members = &io.settings.members;
        if was_greeted && !members.is_in_process(member) {
            log::warn!("link with {} lost", members.name(member));
        }
        self.changed(io, member);
        io.events.push_back(NodeEvent::LinkLost(member));
    }

    /// Gives up a link's connection, and logs what is wrong with the peer: one that tries again and again is not
    /// logged as often.
    pub(super) fn reject(&mut self, io: &mut Transport, index: usize, problem: &str) {
        let who = match io.connections[index].peer {
            Peer::Member(member) => io.settings.members.name(member),
            _ => "somebody".to_owned(),
        };
        let line = format!("{who} {problem}; its link is closed");
        let now_ns = io.now_ns();
        let is_known =
            |(before, at_ns): &(String, u64)| *before == line && now_ns < at_ns + FAULT_LOG_NS;
        if !self.last_logged.as_ref().is_some_and(is_known) {
            log::error!("{line}");
            self.last_logged = Some((line, now_ns));
        }
        self.close(io, index);
    }

    fn close(&mut self, io: &mut Transport, index: usize) {
        let id = io.connections[index].id;
        if let Peer::Member(member) = io.connections[index].peer {
            self.lost(io, member, id);
        }
        io.close(index);
    }

    fn changed(&self, io: &Transport, member: usize) {
        let link = &self.links[member];
        let state = match (link.connection, link.origin) {
            (None, _) => LinkState::Down,
            (Some(_), None) => LinkState::Connecting,
            (Some(_), Some(_)) => LinkState::Up,
        };
        let stats = &io.settings.process.stats;
        stats.link(io.settings.members.core, member, state);
    }

    // ---- Frames in ------------------------------------------------------------------

    /// Reads the frame at the front of `input`: what it is, and its length in all. `None`: it is not all there.
    /// The error says what is wrong with the peer.
    pub(super) fn read<'a>(
        &mut self,
        io: &mut Transport,
        index: usize,
        input: &'a [u8],
    ) -> Result<Option<(Received<'a>, usize)>, String> {
        let read = link::read(input);
        let read = read.map_err(|BadFrame| "sent what is no frame of ours".to_owned())?;
        let Some((frame, length)) = read else {
            return Ok(None);
        };
        Ok(Some((self.received(io, index, frame)?, length)))
    }

    fn received<'a>(
        &mut self,
        io: &mut Transport,
        index: usize,
        frame: Frame<'a>,
    ) -> Result<Received<'a>, String> {
        let (id, peer) = (io.connections[index].id, io.connections[index].peer);
        match frame {
            Frame::Hello(hello) => return self.greeted(io, index, &hello),
            Frame::OtherVersion(version) => {
                return Err(format!(
                    "speaks version {version} of the link protocol, this galo speaks {}",
                    link::VERSION
                ));
            }
            _ => {}
        }
        let link = match peer {
            Peer::Member(member) => Some(&mut self.links[member]),
            _ => None,
        };
        let link = link.filter(|link| link.connection == Some(id));
        let greeted = link.and_then(|link| Some((link.origin?, link)));
        let Some((origin, link)) = greeted else {
            return Err("did not greet".to_owned());
        };
        let shards = io.settings.members.shards;
        if frame.shard().is_some_and(|shard| shard as usize >= shards) {
            return Err("names a shard that there is not".to_owned());
        }
        match frame {
            Frame::Again(shard) => {
                link.refusing.retain(|it| *it != shard);
                io.write_frame(index, &Frame::Begun(shard));
            }
            Frame::Begun(shard) => {
                if let Some(at) = link.stale.iter().position(|it| *it == shard) {
                    link.stale.swap_remove(at);
                }
            }
            Frame::Leaving => {
                link.leaving = true;
                let event = NodeEvent::NoSuccessor(origin.member as usize);
                io.events.push_back(event);
            }
            Frame::Taking => {
                link.leaving = false;
                io.events.push_back(NodeEvent::GiveAway);
            }
            Frame::Goodbye => link.goodbye_received = true,
            frame => return Ok(Received::Frame(origin, frame)),
        }
        Ok(Received::Done)
    }

    /// The first frame of a link: who is there, and whether we are of one cluster.
    fn greeted(
        &mut self,
        io: &mut Transport,
        index: usize,
        hello: &Hello,
    ) -> Result<Received<'static>, String> {
        let (id, peer) = (io.connections[index].id, io.connections[index].peer);
        let (ours, member) = (self::hello(io), hello.member as usize);
        let differs = [
            (
                hello.directory != ours.directory,
                "serves another data directory",
            ),
            (hello.nodes != ours.nodes, "has another list of --nodes"),
            (hello.cores != ours.cores, "has other --cores"),
            (hello.shards != ours.shards, "has another number of shards"),
        ];
        if let Some((_, difference)) = differs.iter().find(|(differs, _)| *differs) {
            return Err((*difference).to_owned());
        }
        let members = &io.settings.members;
        let expected = match peer {
            Peer::Member(expected) => expected == member,
            // Those who are to connect to us are of nodes behind ours.
            _ => member < members.count() && member / members.cores > members.node,
        };
        if !expected {
            return Err(format!("calls itself member {member}"));
        }
        let before = self.links[member].connection.filter(|before| *before != id);
        if let Some(before) = before {
            // What comes over it by now is of an earlier incarnation, or will be said again.
            self.close(io, before.index as usize);
        }
        let link = &mut self.links[member];
        if link.origin.is_some() {
            return Err("greets twice".to_owned());
        }
        *link = Link {
            connection: Some(id),
            origin: Some(Origin {
                member: member as u16,
                epoch: hello.epoch,
            }),
            goodbye_sent: link.goodbye_sent,
            ..Link::new()
        };
        io.connections[index].peer = Peer::Member(member);
        let members = &io.settings.members;
        if !members.is_in_process(member) {
            log::info!("linked with {}", members.name(member));
        }
        io.events.push_back(NodeEvent::Linked(member));
        Ok(Received::Done)
    }

    /// A link can be used: its member is told what is served here.
    pub(super) fn introduce(&mut self, io: &mut Transport, shards: &Shards, member: usize) {
        if io.stop.is_some() || self.is_behind {
            self.tell(io, member, &Frame::Leaving);
        }
        for shard in shards.served() {
            self.tell(io, member, &Frame::Owns(shard.identity().shard));
        }
        self.changed(io, member);
    }
}

/// Whether connecting to a member is our part.
fn dials(members: &Members, member: usize) -> bool {
    member / members.cores < members.node
}

fn hello(io: &Transport) -> Hello {
    let members = &io.settings.members;
    Hello {
        directory: io.settings.directory,
        shards: members.shards as u32,
        cores: members.cores as u32,
        nodes: crc32c::crc32c(members.nodes.join(",").as_bytes()),
        member: members.own() as u32,
        epoch: io.settings.epoch,
    }
}
