//! A member: its lease, what it sees of the others, its copies of all logs, and what it does when.

use std::path::PathBuf;

use super::follower::Follower;
use super::lease::Lease;
use super::outbox::{Alarm, Event, Outbox, Part};
use super::peers::Peer;
use super::position::{Owner, Place, Position};
use super::record::{Digest, Record, Writer};
use super::shard::ShardLog;
use crate::limits::CANDIDATE_NS;
use crate::machine::engine::{Answer, Request, RequestId, Sequence, ShardFile, Subject};

/// What a replica is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Id of the data directory, which all members have in common.
    pub cluster: u128,
    /// Which member this is.
    pub member: u32,
    /// How many there are.
    pub members: u32,
    /// Random: tells this process from others that take themselves for the same member.
    pub process: u64,
    /// By shard: who may own it, whoever should first. A shard for which this member is none has no copy here.
    pub candidates: Vec<Vec<u32>>,
    /// From how many bytes on the log's front may go, once it is kept.
    pub log_bytes_max: u64,
}

/// One member's part in a cluster on several machines.
pub struct Replica {
    settings: Settings,
    now_ns: u64,
    lease: Lease,
    /// By member; our own, too.
    peers: Vec<Peer>,
    shards: Vec<ShardLog>,
    out: Outbox,
    follower: Follower,
    /// The log's front is gone, and so are records that copies here lack: nothing is followed before they are restored.
    behind: bool,
    /// By shard: the record that the file has that was stored last from here.
    kept: Vec<Sequence>,
    leaving: bool,
    stopping: bool,
    /// When something is due.
    wake_ns: u64,
}

impl Replica {
    /// `places`: how far our copies of the shards' logs have come.
    pub fn new(settings: Settings, places: &[Place]) -> Replica {
        let Settings {
            cluster,
            member,
            members,
            process,
            ..
        } = settings;
        assert!(member < members && places.len() == settings.candidates.len());
        for candidates in &settings.candidates {
            assert!(!candidates.is_empty() && candidates.iter().all(|it| *it < members));
        }
        let shards = places.iter().zip(0..);
        let shards = shards.map(|(place, shard)| {
            let is_candidate = settings.candidates[shard as usize].contains(&member);
            ShardLog::new(cluster, shard, *place, is_candidate)
        });
        let shards: Vec<ShardLog> = shards.collect();
        let after = last_of_all(&shards);
        let mut out = Outbox::default();
        Replica {
            now_ns: 0,
            lease: Lease::new(cluster, member, process),
            peers: (0..members).map(Peer::new).collect(),
            kept: vec![0; shards.len()],
            shards,
            follower: Follower::new(&mut out, after),
            behind: false,
            out,
            leaving: false,
            stopping: false,
            wake_ns: 0,
            settings,
        }
    }

    // ---- For whoever has the copies ----------------------------------------------------

    /// Whether a shard is ours, and stays.
    pub fn owns(&self, shard: u32) -> bool {
        let tenure = self.shards[shard as usize].tenure();
        tenure.is_some_and(|tenure| tenure.stays())
    }

    /// Whether what our copies of our shards say is true at `now_ns`: a reply that was made before, and rests on
    /// nothing that is not in the log, may leave.
    pub fn may_read(&self, now_ns: u64) -> bool {
        self.lease.lasts(now_ns)
    }

    /// Whether we are who we take ourselves for: as far as it seems, no other process is.
    pub fn is_somebody(&self, now_ns: u64) -> bool {
        self.lease.seems_ours(now_ns)
    }

    /// Whether our copies are near the log's end: shards may come to us without much waiting.
    pub fn has_caught_up(&self) -> bool {
        !self.behind && self.follower.has_caught_up()
    }

    /// When our lease ends, or has ended.
    pub fn lease_until_ns(&self) -> u64 {
        self.lease.until_ns()
    }

    /// The last record of the log that was delivered, with all before it.
    pub fn log_seen(&self) -> Sequence {
        self.follower.last()
    }

    /// Whether the next batch of a shard may be sent: it is ours, and none is under way.
    pub fn may_append(&self, shard: u32) -> bool {
        let tenure = self.shards[shard as usize].tenure();
        tenure.is_some_and(|tenure| tenure.may_append())
    }

    /// Sends a shard's next batch, while it [may be](Self::may_append): an [`Event::Record`] tells that it is in the log,
    /// [`Event::Lost`] that this will never be known here.
    pub fn append(&mut self, shard: u32, batch: Vec<u8>) {
        self.shards[shard as usize].append(&mut self.out, batch);
        self.wake_ns = 0;
    }

    /// The copy of a shard that was [lost](Event::Lost) is back at what the log has had of it: the records that came
    /// meanwhile come again.
    pub fn resume(&mut self, shard: u32) {
        self.note_followed();
        let after = self.shards[shard as usize].resume();
        self.go_on_from(after);
    }

    /// The copy of a shard that was [behind](Event::Behind), or [differed](Self::differs), is at this place.
    pub fn restored(&mut self, shard: u32, place: Place) {
        self.note_followed();
        self.shards[shard as usize].restored(place);
        self.go_on_from(place.followed);
    }

    fn note_followed(&mut self) {
        if self.behind {
            return; // Some are back, and have not had what others have.
        }
        let last = self.follower.last();
        for shard in &mut self.shards {
            shard.note_followed(last);
        }
    }

    /// How far our copy of a shard is, for the next start. Not of one that is on its way.
    pub fn place(&mut self, shard: u32) -> Place {
        self.note_followed();
        self.shards[shard as usize].place()
    }

    /// Follows the log again: for a copy that is back, from this record on; or for all, if none is on its way any more.
    fn go_on_from(&mut self, after: Sequence) {
        self.wake_ns = 0;
        if !self.behind {
            self.follower.go_back(&mut self.out, after);
        } else if !self.shards.iter().any(ShardLog::is_lost) {
            self.behind = false;
            let after = last_of_all(&self.shards);
            self.follower.go_to(&mut self.out, after);
        }
    }

    /// A shard of ours whose file is to be stored, so that the log's front can go: it is to be [marked](Self::mark)
    /// before.
    pub fn next_to_keep(&self) -> Option<u32> {
        let inspection = self.follower.inspection();
        if inspection.bytes <= self.settings.log_bytes_max {
            return None;
        }
        let due = |shard: &u32| self.owns(*shard) && self.kept[*shard as usize] <= inspection.first;
        (0..self.shards.len() as u32).find(due)
    }

    /// Appends a record to a shard of ours that says nothing, so that its last one is a new one.
    pub fn mark(&mut self, shard: u32) {
        self.shards[shard as usize].mark();
        self.wake_ns = 0;
    }

    /// Tells the other copies what ours is like behind the batch that was [appended](Self::append) last: right after that.
    pub fn digest(&mut self, shard: u32, digest: Digest) {
        self.shards[shard as usize].digest(digest);
    }

    /// Our copy of a shard is not like the owner's behind a record: it starts over ([`Event::Behind`]).
    pub fn differs(&mut self, shard: u32, sequence: Sequence) {
        self.shards[shard as usize].differs(&mut self.out, sequence);
    }

    /// Stores a file that has all of a shard up to a record of it: [`Event::Kept`] tells when.
    pub fn keep(&mut self, shard: u32, sequence: Sequence, path: PathBuf) {
        self.out.keep(ShardFile {
            shard,
            epoch: self.position(shard).epoch,
            sequence,
            path,
        });
    }

    /// Gets the newest file of a shard: [`Event::Fetched`] tells when.
    pub fn fetch(&mut self, shard: u32, file: PathBuf) {
        self.out.fetch(shard, file);
    }

    /// A shard's copy cannot be trusted: it is not served here until the next start.
    pub fn close(&mut self, shard: u32) {
        self.shards[shard as usize].close(&mut self.out);
    }

    /// Gives a shard of ours to another member, once the batch under way is in the log: ends in [`Event::Lost`]. It
    /// is not to be served from now on.
    pub fn hand_over(&mut self, shard: u32, to: u32) {
        self.shards[shard as usize].hand_over(to);
        self.wake_ns = 0;
    }

    /// From now on takes a shard over only while nobody else would.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Gives everything away; then nobody has to wait for our lease to end.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.wake_ns = 0;
    }

    /// Whether all is given away.
    pub fn is_stopped(&self) -> bool {
        self.lease.is_over()
    }

    /// Whether another member's lease was renewed lately.
    pub fn is_alive(&self, member: u32) -> bool {
        let peer = self.peers.get(member as usize);
        peer.is_some_and(|peer| peer.is_alive(self.now_ns))
    }

    /// How far our copy of a shard's log has come.
    pub fn position(&self, shard: u32) -> &Position {
        &self.shards[shard as usize].position
    }

    /// What the engine is to be asked next.
    pub fn next_request(&mut self) -> Option<Request> {
        self.out.requests.pop_front()
    }

    /// What happened next.
    pub fn next_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    // ---- What the engine says -------------------------------------------------------

    /// The answer to a request. Then [`advance`](Self::advance).
    pub fn answered(&mut self, id: RequestId, answer: &Answer, now_ns: u64) {
        self.now_ns = now_ns;
        self.wake_ns = 0;
        let out = &mut self.out;
        match out.answered(id) {
            None => {}
            Some(Part::Lease) => {
                let is_lost = self.lease.answered(out, id, answer, now_ns);
                if is_lost {
                    self.resign();
                }
            }
            Some(Part::Follower) => {
                let is_behind = self.follower.answered(out, id, answer, now_ns);
                if is_behind && !self.behind {
                    self.log_begins();
                }
            }
            Some(Part::Keep(shard, sequence)) => {
                let is_kept = *answer == Answer::Kept;
                if is_kept {
                    self.kept[shard as usize] = sequence;
                }
                out.events.push_back(Event::Kept(shard, is_kept));
            }
            Some(Part::Fetch(shard)) => {
                let is_there = matches!(answer, Answer::Fetched(Some(_)));
                out.events.push_back(Event::Fetched(shard, is_there));
            }
            Some(Part::Peer(member)) => {
                self.peers[member as usize].answered(out, id, answer, now_ns);
            }
            Some(Part::Shard(shard)) => {
                let (peers, us) = (&self.peers, self.lease.writer());
                let is_free = |owner: &Owner| is_free(peers, us, owner);
                let lasts = self.lease.lasts(now_ns);
                let shard = &mut self.shards[shard as usize];
                shard.answered(out, id, answer, is_free, lasts, now_ns);
            }
        }
    }

    /// A record of a lease: the last of each when the engine is connected with, and each that is new. Then
    /// [`advance`](Self::advance).
    pub fn lease_delivered(&mut self, member: u32, sequence: Sequence, record: &[u8], now_ns: u64) {
        self.now_ns = now_ns;
        self.wake_ns = 0;
        let Some(peer) = self.peers.get_mut(member as usize) else {
            return;
        };
        let record = Record::read(Subject::Lease(member), record);
        peer.seen(sequence, record.as_ref(), now_ns);
        if let (true, Some(record)) = (member == self.settings.member, &record) {
            if self.lease.delivered(sequence, record, now_ns) {
                self.resign();
            }
            if self.lease.has_twin() {
                self.out.events.push_back(Event::Twin);
            }
        }
    }

    /// The next record of the log. Then [`advance`](Self::advance).
    pub fn log_delivered(&mut self, shard: u32, sequence: Sequence, record: Vec<u8>, now_ns: u64) {
        self.now_ns = now_ns;
        self.wake_ns = 0;
        if self.behind || !self.follower.is_next(sequence, now_ns) {
            return;
        }
        match self.shards.get_mut(shard as usize) {
            Some(log) => log.delivered(&mut self.out, sequence, record, self.lease.writer()),
            None => self.out.alarm(Alarm::Unreadable { shard, sequence }),
        }
    }

    /// The log begins behind what was followed: copies that lack something are to come from elsewhere.
    fn log_begins(&mut self) {
        let first = self.follower.inspection().first;
        self.note_followed();
        for shard in &mut self.shards {
            self.behind |= shard.log_begins(&mut self.out, first);
        }
        if !self.behind {
            self.follower.go_to(&mut self.out, first - 1);
        }
    }

    fn resign(&mut self) {
        for shard in &mut self.shards {
            shard.resign(&mut self.out);
        }
    }

    // ---- What is due ------------------------------------------------------------------

    /// When to be called again, though the engine says nothing; at once, if that is not later than now.
    pub fn wake_ns(&self) -> u64 {
        self.wake_ns
    }

    /// Does what is due at `now_ns`.
    pub fn advance(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        if now_ns < self.wake_ns {
            return;
        }
        self.wake_ns = u64::MAX;
        if self.stopping {
            self.give_away();
        }
        self.lease.advance(&mut self.out, now_ns);
        self.follower.advance(&mut self.out, now_ns);
        if let (Some(writer), Some(age_ns)) = (self.lease.writer(), self.lease.age_ns(now_ns)) {
            if !self.stopping {
                for shard in 0..self.shards.len() {
                    self.consider(shard, writer, now_ns - age_ns);
                }
            }
        }
        for shard in &mut self.shards {
            shard.advance(&mut self.out, now_ns);
            self.wake_ns = self.wake_ns.min(shard.wake_ns());
        }
        let wake_ns = self.lease.wake_ns().min(self.follower.wake_ns());
        self.wake_ns = self.wake_ns.min(wake_ns);
    }

    /// Of a stop: each shard goes to the first candidate that is there, and when none is left, so does the lease.
    fn give_away(&mut self) {
        let mut is_owner = false;
        for shard in 0..self.shards.len() {
            let candidates = &self.settings.candidates[shard];
            let others = candidates.iter().filter(|it| **it != self.settings.member);
            let successor = others.copied().find(|it| self.is_alive(*it));
            // Without one it is free for whoever comes.
            self.shards[shard].hand_over(successor.unwrap_or(candidates[0]));
            is_owner |= self.shards[shard].tenure().is_some();
        }
        if !is_owner {
            self.resign();
            self.lease.end();
        }
    }

    /// Takes a shard over, or does what has to be done before, if it is time to. `since_ns`: since when our lease
    /// lasts.
    fn consider(&mut self, shard: usize, us: Writer, since_ns: u64) {
        let now_ns = self.now_ns;
        let candidates = &self.settings.candidates[shard];
        let Some(again_ns) = self.shards[shard].again_ns() else {
            return;
        };
        if !candidates.contains(&us.member) {
            return;
        }
        let is_other = |it: &u32| *it != us.member && self.is_alive(*it);
        if self.leaving && candidates.iter().any(is_other) {
            return;
        }
        let owner = self.shards[shard].position.owner;
        if !is_free(&self.peers, Some(us), &owner) {
            self.shards[shard].free_ns = u64::MAX;
            if let Owner::Member(owner) = owner {
                self.suspect(owner, us, since_ns);
            }
            return;
        }
        let free_ns = &mut self.shards[shard].free_ns;
        *free_ns = (*free_ns).min(now_ns);
        let free_ns = *free_ns;
        let successor = match owner {
            Owner::Released(to) => Some(to),
            _ => None,
        };
        let before = |member: &&u32| **member != us.member;
        let others = successor.iter().chain(candidates).take_while(before);
        let there = others.filter(|it| self.is_alive(**it));
        let due_ns = free_ns + there.count() as u64 * CANDIDATE_NS;
        let due_ns = due_ns.max(again_ns);
        if now_ns < due_ns {
            self.wake_ns = self.wake_ns.min(due_ns);
            return;
        }
        if self.follower.is_sound(now_ns) {
            self.shards[shard].take_over(us);
        }
    }

    /// An owner that is not known to be over: its lease is revoked when it is silent for too long.
    fn suspect(&mut self, owner: Writer, us: Writer, since_ns: u64) {
        let Some(peer) = self.peers.get_mut(owner.member as usize) else {
            return;
        };
        let due_ns = peer.revocable_ns(since_ns);
        if self.now_ns < due_ns {
            self.wake_ns = self.wake_ns.min(due_ns);
        } else {
            peer.revoke(&mut self.out, self.settings.cluster, us);
        }
    }
}

/// The last record that all copies have, with all before it.
fn last_of_all(shards: &[ShardLog]) -> Sequence {
    let ours = shards.iter().filter(|it| !it.is_closed());
    ours.map(|it| it.place().followed).min().unwrap_or(0)
}

/// Whether a shard may be taken from its owner, as far as is known here.
fn is_free(peers: &[Peer], us: Option<Writer>, owner: &Owner) -> bool {
    match owner {
        Owner::Nobody | Owner::Released(_) => true,
        // Of ours we know when we have lost it.
        Owner::Member(owner) if us == Some(*owner) => true,
        Owner::Member(owner) => {
            let peer = peers.get(owner.member as usize);
            peer.is_some_and(|peer| peer.is_over(owner.incarnation))
        }
    }
}
