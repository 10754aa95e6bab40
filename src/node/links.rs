//! The links to the other members of the cluster: made, greeted, used, lost.
//!
//! Every pair of members has one. Cores of one process are linked by a socket pair from the start;
//! between processes the member of the node with the higher number connects, and tries again until it
//! succeeds. A link is used once both have greeted; who comes again replaces its earlier link.

use super::connection::State;
use super::encoder::ReplyTarget;
use super::link::{self, BadFrame, Frame, Hello};
use super::replies::Progress;
use super::Node;
use crate::command::{ForwardId, Ids, Origin};
use crate::limits::{DIAL_NS_MAX, DIAL_NS_MIN, HELLO_NS_MAX, LINK_COMMANDS_MAX, STRANGER_LOG_NS};
use crate::machine::{ConnectionId, Effect, Peer, Target};
use crate::stats::LinkState;

/// This node's end of the link to one other member.
pub(super) struct Link {
    /// While there is one.
    connection: Option<ConnectionId>,
    /// Which life of the member is at the other end, once it has greeted.
    origin: Option<Origin>,
    /// It stops, and wants no shard.
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
    pub(super) fn new() -> Link {
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
    pub(super) fn greeted(&self) -> Option<ConnectionId> {
        self.connection.filter(|_| self.origin.is_some())
    }

    /// Whether its member would take a shard.
    pub(super) fn takes_shards(&self, now_ns: u64) -> bool {
        self.greeted().is_some() && !self.leaving && now_ns >= self.offer_ns
    }

    /// Its member has not taken a shard that it was given.
    pub(super) fn offer_at(&mut self, at_ns: u64) {
        self.offer_ns = at_ns;
    }

    /// When its member may be given a shard again, if it may not now. Monotonic.
    pub(super) fn offer_ns(&self, now_ns: u64) -> Option<u64> {
        Some(self.offer_ns).filter(|offer_ns| *offer_ns > now_ns)
    }

    /// While the link is there, greeted or not.
    pub(super) fn connection(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// Neither end will ask anything any more.
    pub(super) fn is_quiet(&self) -> bool {
        self.goodbye_sent && self.goodbye_received
    }

    /// How many commands it may be sent. One that is paused is not sent more and more, whose time is
    /// over before it has read them.
    pub(super) fn commands_room(&self) -> usize {
        LINK_COMMANDS_MAX.saturating_sub(self.commands)
    }

    /// It is to begin again with a shard.
    pub(super) fn begins_again(&mut self, shard: u32) {
        self.stale.push(shard);
    }

    pub(super) fn commands_sent(&mut self, count: usize) {
        self.commands += count;
    }

    /// When to connect. Monotonic.
    pub(super) fn dial_ns(&self) -> u64 {
        self.dial_ns
    }
}

impl<J> Node<J> {
    /// Whether connecting to a member is our part.
    fn dials(&self, member: usize) -> bool {
        let members = &self.settings.members;
        member / members.cores < members.node
    }

    /// The first connections, when the node starts.
    pub(super) fn dial_first(&mut self) {
        for member in 0..self.links.len() {
            if self.dials(member) {
                self.links[member].dial_ns = 0;
            }
        }
        self.timers_ns = 0;
    }

    /// Connects to whom it is time to connect to.
    pub(super) fn dial(&mut self) {
        let now_ns = self.now.monotonic_ns;
        for member in 0..self.links.len() {
            if self.links[member].dial_ns <= now_ns {
                self.links[member].dial_ns = u64::MAX;
                // Who stops has nothing to say to who comes now.
                if self.stop.is_none() {
                    self.effects
                        .push_back(Effect::Connect(Target::Member(member)));
                }
            }
        }
    }

    /// A link could not be made.
    pub(super) fn link_failed(&mut self, member: usize) {
        let link = &mut self.links[member];
        link.dial_ns = self.now.monotonic_ns + link.dial_again_ns;
        link.dial_again_ns = (2 * link.dial_again_ns).min(DIAL_NS_MAX);
        self.timers_ns = self.timers_ns.min(link.dial_ns);
    }

    /// A connection to another member, or from one that will say who it is.
    pub(super) fn link_opened(&mut self, id: ConnectionId, peer: Peer) {
        let index = id.index as usize;
        if let Peer::Member(member) = peer {
            self.links[member].connection = Some(id);
            self.link_changed(member);
        } else {
            self.expect_arrival(index, HELLO_NS_MAX);
        }
        let hello = self.hello();
        self.write_frame(index, &Frame::Hello(hello));
    }

    fn hello(&self) -> Hello {
        let members = &self.settings.members;
        Hello {
            directory: self.settings.directory,
            shards: members.shards as u32,
            cores: members.cores as u32,
            nodes: crc32c::crc32c(members.nodes.join(",").as_bytes()),
            member: members.own() as u32,
            epoch: self.settings.epoch,
        }
    }

    /// Takes up the frames at the front of `input`: how many bytes that was.
    pub(super) fn process_frames(&mut self, index: usize, input: &[u8]) -> usize {
        let mut taken = 0;
        // A peer has a bounded number of commands open, which bounds what is written for it here.
        while self.connections[index].state == State::Open {
            let done = match link::read(&input[taken..]) {
                Ok(None) => break,
                Ok(Some((frame, length))) => {
                    self.process_frame(index, frame).map(|done| (done, length))
                }
                Err(BadFrame) => Err("sent what is no frame of ours".to_owned()),
            };
            match done {
                Ok((Progress::Done, length)) => taken += length,
                Ok((Progress::Blocked, _)) => break,
                Err(problem) => {
                    let who = match self.connections[index].peer {
                        Peer::Member(member) => self.settings.members.name(member),
                        _ => "somebody".to_owned(),
                    };
                    self.complain(format!("{who} {problem}; its link is closed"));
                    self.close_link(index);
                }
            }
        }
        taken
    }

    /// Logs what is wrong with a peer: one that tries again and again is not logged as often.
    fn complain(&mut self, line: String) {
        let now_ns = self.now.monotonic_ns;
        let is_known =
            |(before, at_ns): &(String, u64)| *before == line && now_ns < at_ns + STRANGER_LOG_NS;
        if !self.complaint.as_ref().is_some_and(is_known) {
            log::error!("{line}");
            self.complaint = Some((line, now_ns));
        }
    }

    fn process_frame(&mut self, index: usize, frame: Frame<'_>) -> Result<Progress, String> {
        let connection = &self.connections[index];
        let (id, peer) = (connection.id, connection.peer);
        match frame {
            Frame::Hello(hello) => return self.greeted(index, &hello).map(|()| Progress::Done),
            Frame::OtherVersion(version) => {
                return Err(format!(
                    "speaks version {version} of the link protocol, this galo speaks {}",
                    link::VERSION
                ));
            }
            _ => {}
        }
        let Peer::Member(member) = peer else {
            return Err("did not greet".to_owned());
        };
        let Some(origin) = self.links[member]
            .origin
            .filter(|_| self.links[member].connection == Some(id))
        else {
            return Err("did not greet".to_owned());
        };
        let known = |shard: u32| {
            let shard = shard as usize;
            (shard < self.settings.members.shards)
                .then_some(shard)
                .ok_or("names a shard that there is not")
        };
        match frame {
            Frame::Hello(_) | Frame::OtherVersion(_) => unreachable!("dealt with above"),
            Frame::Owns(shard) => self.owned_by(known(shard)?, member),
            Frame::Released { shard, to } => {
                self.released_by(known(shard)?, member, to as usize);
            }
            Frame::Who(shard) => {
                if self.serves(known(shard)?) {
                    self.write_frame(index, &Frame::Owns(shard));
                }
            }
            Frame::Again(shard) => {
                let shard = known(shard)? as u32;
                self.links[member].refusing.retain(|it| *it != shard);
                self.write_frame(index, &Frame::Begun(shard));
            }
            Frame::Begun(shard) => {
                let stale = &mut self.links[member].stale;
                if let Some(at) = stale.iter().position(|it| *it == shard) {
                    stale.swap_remove(at);
                }
            }
            Frame::Leaving => {
                self.links[member].leaving = true;
                self.successor_lost(member);
            }
            Frame::Command {
                counter,
                key,
                command,
            } => {
                let shard = command.shard(self.settings.members.shards);
                let ids = Ids {
                    forward: Some(ForwardId { origin, counter }),
                    key,
                };
                let reply_to = ReplyTarget::Member {
                    shard: shard as u32,
                    counter,
                };
                if self.carries_out(member, shard) {
                    return Ok(self.command(index, reply_to, shard, &command, &ids));
                }
                self.refuse_command(member, index, shard as u32, counter);
            }
            Frame::Reset {
                counter,
                shard,
                scope,
            } => {
                let own = known(shard)?;
                if self.carries_out(member, own) {
                    let forward = ForwardId { origin, counter };
                    return Ok(self.reset_for_member(index, own, forward, scope));
                }
                self.refuse_command(member, index, shard, counter);
            }
            Frame::Reply {
                shard,
                counter,
                outcome,
            } => {
                let own = known(shard)?;
                if !self.links[member].stale.contains(&shard) {
                    self.replied(member, own, counter, &outcome);
                }
                self.answered(member);
            }
            Frame::NotOwner { shard, counter } => {
                let own = known(shard)?;
                if !self.links[member].stale.contains(&shard) {
                    self.not_owner(member, own, counter);
                }
                self.answered(member);
            }
            Frame::Ask {
                number,
                shard,
                question,
            } => {
                let own = known(shard)?;
                self.asked(member, own, number, question)?;
            }
            Frame::Answer { number, answer } => self.answer_came(member, number, answer)?,
            Frame::Health {
                processor,
                failing,
                response_min_ms,
            } => {
                if self.settings.payments.is_some() {
                    self.health_told(processor, failing, response_min_ms);
                }
            }
            Frame::Goodbye => self.links[member].goodbye_received = true,
        }
        Ok(Progress::Done)
    }

    fn carries_out(&self, member: usize, shard: usize) -> bool {
        self.serves(shard) && !self.links[member].refusing.contains(&(shard as u32))
    }

    fn refuse_command(&mut self, member: usize, index: usize, shard: u32, counter: u64) {
        let refusing = &mut self.links[member].refusing;
        if !refusing.contains(&shard) {
            refusing.push(shard);
        }
        self.write_frame(index, &Frame::NotOwner { shard, counter });
    }

    /// A member has answered a command.
    fn answered(&mut self, member: usize) {
        let link = &mut self.links[member];
        let was_full = link.commands_room() == 0;
        link.commands = link.commands.saturating_sub(1);
        if was_full {
            self.send_more(member);
        }
    }

    /// The first frame of a link: who is there, and whether we are of one cluster.
    fn greeted(&mut self, index: usize, hello: &Hello) -> Result<(), String> {
        let (id, peer) = (self.connections[index].id, self.connections[index].peer);
        let (ours, member) = (self.hello(), hello.member as usize);
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
        let members = &self.settings.members;
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
            // What that one still had to say is of an earlier life, or will be said again.
            self.close_link(before.index as usize);
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
        self.connections[index].peer = Peer::Member(member);
        if !self.settings.members.is_in_process(member) {
            let name = self.settings.members.name(member);
            log::info!("linked with {name}");
        }
        if self.stop.is_some() {
            self.write_frame(index, &Frame::Leaving);
        }
        for shard in 0..self.settings.members.shards {
            if self.serves(shard) {
                self.write_frame(index, &Frame::Owns(shard as u32));
            }
        }
        self.link_changed(member);
        self.give_away();
        Ok(())
    }

    /// Sends a frame to a member whose link is greeted. Whether it is.
    pub(super) fn tell(&mut self, member: usize, frame: &Frame<'_>) -> bool {
        match self.links[member].greeted() {
            Some(id) => {
                self.write_frame(id.index as usize, frame);
                true
            }
            None => false,
        }
    }

    /// Sends a frame to everybody.
    pub(super) fn tell_all(&mut self, frame: &Frame<'_>) {
        for member in 0..self.links.len() {
            self.tell(member, frame);
        }
    }

    /// Gives up a link's connection.
    fn close_link(&mut self, index: usize) {
        let id = self.connections[index].id;
        if let Peer::Member(member) = self.connections[index].peer {
            self.link_lost(member, id);
        }
        self.close(index);
    }

    /// The connection of a link is gone: its member may be, too.
    pub(super) fn link_lost(&mut self, member: usize, id: ConnectionId) {
        if self.links[member].connection != Some(id) {
            return; // Another has taken its place.
        }
        let was_greeted = self.links[member].origin.is_some();
        let again_ns = self.links[member].dial_again_ns;
        self.links[member] = Link::new();
        self.forget_questions_of(member);
        if self.dials(member) {
            let wait_ns = if was_greeted { DIAL_NS_MIN } else { again_ns };
            self.links[member].dial_again_ns = wait_ns;
            self.link_failed(member);
        }
        if was_greeted && !self.settings.members.is_in_process(member) {
            log::warn!("link with {} lost", self.settings.members.name(member));
        }
        self.link_changed(member);
        for shard in 0..self.routes.len() {
            if self.routes[shard].is_at(member) {
                self.owner_lost(shard, None);
            }
        }
        self.successor_lost(member);
    }

    fn link_changed(&self, member: usize) {
        let link = &self.links[member];
        let state = match (link.connection, link.origin) {
            (None, _) => LinkState::Down,
            (Some(_), None) => LinkState::Connecting,
            (Some(_), Some(_)) => LinkState::Up,
        };
        let stats = &self.settings.process.stats;
        stats.link(self.settings.members.core, member, state);
    }

    /// Tells the other cores of this process that no command will follow.
    pub(super) fn say_goodbye(&mut self) {
        for member in 0..self.links.len() {
            if self.settings.members.is_in_process(member)
                && !self.links[member].goodbye_sent
                && self.tell(member, &Frame::Goodbye)
            {
                self.links[member].goodbye_sent = true;
            }
        }
    }
}
