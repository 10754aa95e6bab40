//! Which shards are ours: taken when their owner is gone, given back when their home returns.
//!
//! The shard's lock decides; everything here is about when to try for it, and when to let it go. A
//! node may own the shards that are at home at its core's number in any of the nodes. It tries
//!
//! | when | and then |
//! |---|---|
//! | it starts, and the shard is at home here | at once, and until it has it or knows who has |
//! | it starts, and the shard is at home elsewhere | after a grace: its home may be starting, too |
//! | the link to the owner is lost | at once; or after a grace, if its home is there to do it |
//! | the owner has released it to us | at once |
//! | the owner has released it to another | after a grace, in case that one has failed |
//!
//! and again, at growing intervals, for as long as nobody is known to have it.
//!
//! Where an engine keeps the journals there are no locks, and the replica ([`crate::replicate`]) tries for shards.
//!
//! It releases a shard when the shard's home has come back, and all of them when it stops and
//! somebody else is there: no command is begun any more, background work is done (with durability `disk`
//! what was journalled is synced, for replies wait for it), the lock is dropped, and the others are told.

use std::collections::VecDeque;

use super::event::NodeEvent;
use super::link::Frame;
use super::peers::Peers;
use super::router::Router;
use super::settings::{Durability, Settings};
use super::shards::Shards;
use super::transport::Transport;
use crate::limits::{
    ACQUIRE_AFTER_ERROR_NS, ACQUIRE_GRACE_NS, ACQUIRE_NS_MAX, ACQUIRE_NS_MIN, OFFER_NS,
};
use crate::members::Members;
use crate::shard::Shard;

/// Where this node stands with a shard: it tries only for those that it may own.
#[derive(Clone, Copy)]
struct Candidacy {
    /// When to try for it; `u64::MAX`: not. Monotonic.
    try_ns: u64,
    /// From a try to the next.
    again_ns: u64,
    /// A try is under way.
    trying: bool,
    /// It was ours, and that member was to take it; nobody is known to have it since.
    given_to: Option<usize>,
}

const NEW: Candidacy = Candidacy {
    try_ns: u64::MAX,
    again_ns: ACQUIRE_NS_MIN,
    trying: false,
    given_to: None,
};

pub(super) struct Ownership {
    /// Indexed by shard number.
    candidacies: Vec<Candidacy>,
    /// Shards to try for: the runtime takes them.
    pub(super) wanted: VecDeque<u32>,
}

impl Ownership {
    /// `ours`: what this node owns at its start. Times are counted from the first tick.
    pub(super) fn new(settings: &Settings, ours: &Shards) -> Ownership {
        let members = &settings.members;
        let is_replicated = settings.durability == Durability::Replicated;
        let mut candidacies = vec![NEW; members.shards];
        for (shard, candidacy) in candidacies.iter_mut().enumerate() {
            if !is_replicated && members.is_candidate(shard) && ours.get(shard).is_none() {
                let at_home = members.home(shard) == members.own();
                candidacy.try_ns = if at_home { 0 } else { ACQUIRE_GRACE_NS };
            }
        }
        Ownership {
            candidacies,
            wanted: VecDeque::new(),
        }
    }

    /// The first tick: from here on times are monotonic.
    pub(super) fn started(&mut self, now_ns: u64) {
        for candidacy in &mut self.candidacies {
            candidacy.try_ns = candidacy.try_ns.saturating_add(now_ns);
        }
    }

    /// When to try for a shard; `u64::MAX`: never. Monotonic.
    pub(super) fn try_ns(&self) -> u64 {
        let tries = self.candidacies.iter().map(|it| it.try_ns);
        tries.min().unwrap_or(u64::MAX)
    }

    // ---- Taking over ---------------------------------------------------------------

    /// Finds out for which shards it is time to try.
    pub(super) fn acquire(&mut self, io: &Transport, peers: &Peers, router: &Router) {
        let others = successors(io, peers).next().is_some();
        for (shard, candidacy) in self.candidacies.iter_mut().enumerate() {
            if candidacy.try_ns > io.now_ns() {
                continue;
            }
            candidacy.try_ns = u64::MAX;
            // Who stops takes a shard only when nobody else would.
            let wanted = router.is_nowhere(shard) && (io.stop.is_none() || !others);
            if wanted && !candidacy.trying {
                candidacy.trying = true;
                self.wanted.push_back(shard as u32);
            }
        }
    }

    /// A shard is ours.
    pub(super) fn acquired(
        &mut self,
        io: &mut Transport,
        peers: &mut Peers,
        router: &mut Router,
        shards: &mut Shards,
        mut shard: Shard,
    ) {
        shard.tell_time(io.now);
        let number = shard.identity().shard as usize;
        if let Some(successor) = self.candidacies[number].given_to {
            let again_ns = io.now_ns() + OFFER_NS;
            peers.offer_at(successor, again_ns);
            io.wake_by(again_ns);
        }
        self.candidacies[number] = NEW;
        // With durability `disk` even a read of what was recovered waits until that is synced.
        match io.settings.durability {
            Durability::Replicated => io.commit.disowned(number),
            Durability::Process | Durability::Disk => io.commit.owned(&shard),
        }
        log::info!("shard {number} is ours, at record {}", shard.sequence());
        shards.put(shard);
        let members = &io.settings.members;
        match members.home(number) == members.own() {
            true => io.stats().handbacks.add(1),
            false => io.stats().takeovers.add(1),
        }
        let stats = &io.settings.process.stats;
        stats.shard_owned(number, io.now.realtime_us);
        peers.tell_all(io, &Frame::Owns(number as u32));
        router.owned_by_us(io, number);
        io.events.push_back(NodeEvent::GiveAway);
    }

    /// A shard is not ours; `failed`: nobody else has it either, but it cannot be recovered.
    pub(super) fn not_acquired(
        &mut self,
        io: &mut Transport,
        peers: &Peers,
        router: &Router,
        shard: usize,
        failed: bool,
    ) {
        let candidacy = &mut self.candidacies[shard];
        candidacy.trying = false;
        let again_ns = match failed {
            true => ACQUIRE_AFTER_ERROR_NS,
            false => candidacy.again_ns,
        };
        candidacy.again_ns = (2 * candidacy.again_ns).min(ACQUIRE_NS_MAX);
        if router.is_nowhere(shard) {
            self.try_at(io, shard, io.now_ns() + again_ns);
            peers.tell_all(io, &Frame::Who(shard as u32));
        }
    }

    fn try_at(&mut self, io: &mut Transport, shard: usize, at_ns: u64) {
        if io.settings.durability == Durability::Replicated {
            return; // The replica tries.
        }
        let candidacy = &mut self.candidacies[shard];
        candidacy.try_ns = candidacy.try_ns.min(at_ns);
        io.wake_by(at_ns);
    }

    /// A member says that it serves a shard.
    pub(super) fn owned_by(
        &mut self,
        io: &mut Transport,
        peers: &mut Peers,
        router: &mut Router,
        shards: &Shards,
        (shard, member): (usize, usize),
    ) {
        // Who has the lock knows better; and what is known already needs nothing.
        if shards.get(shard).is_none() && !router.is_at(shard, member) {
            self.candidacies[shard].given_to = None;
            router.owned_by(io, peers, shard, member);
        }
    }

    /// The link to a member is gone, and with it the owner of its shards.
    pub(super) fn member_lost(
        &mut self,
        io: &mut Transport,
        peers: &Peers,
        router: &mut Router,
        member: usize,
    ) {
        for shard in 0..self.candidacies.len() {
            if router.is_at(shard, member) {
                self.owner_lost(io, peers, router, shard, None);
            }
        }
    }

    /// The owner of a shard is gone, or has given it away: to `to`, if that is known.
    pub(super) fn owner_lost(
        &mut self,
        io: &mut Transport,
        peers: &Peers,
        router: &mut Router,
        shard: usize,
        to: Option<usize>,
    ) {
        router.owned_by_nobody(io, shard);
        // Also when it is known who is to have it: that one may have said so already, over a faster link
        // than the one that this news came by.
        peers.tell_all(io, &Frame::Who(shard as u32));
        let members = &io.settings.members;
        if !members.is_candidate(shard) {
            return;
        }
        let now_ns = io.now_ns();
        let successor = to.unwrap_or(members.home(shard));
        let others = successor != members.own() && peers.takes_shards(successor, now_ns);
        let wait_ns = if others { ACQUIRE_GRACE_NS } else { 0 };
        self.candidacies[shard].again_ns = ACQUIRE_NS_MIN;
        self.try_at(io, shard, now_ns + wait_ns);
    }

    /// A member has released a shard to another.
    pub(super) fn released_by(
        &mut self,
        io: &mut Transport,
        peers: &Peers,
        router: &mut Router,
        shards: &Shards,
        (shard, member, to): (usize, usize, usize),
    ) {
        let is_its = router.is_at(shard, member) || router.is_nowhere(shard);
        if shards.get(shard).is_none() && is_its {
            let to = Some(to).filter(|to| *to < peers.count());
            self.owner_lost(io, peers, router, shard, to);
        }
    }

    // ---- Handing over ----------------------------------------------------------------

    /// A shard is not ours any more: its lock was dropped, or it was lost. As it was.
    pub(super) fn released(
        &mut self,
        io: &mut Transport,
        peers: &Peers,
        router: &mut Router,
        shards: &mut Shards,
        shard: usize,
    ) -> Shard {
        let (taken, to) = shards.take(shard);
        io.commit.disowned(shard);
        self.candidacies[shard].given_to = to;
        io.settings.process.stats.shard_lost(shard);
        let released = Frame::Released {
            shard: shard as u32,
            to: to.map_or(u32::MAX, |to| to as u32), // There is no such member.
        };
        peers.tell_all(io, &released);
        self.owner_lost(io, peers, router, shard, to);
        taken
    }

    /// A member takes no shard any more: what was to go to it goes to another, or stays.
    pub(super) fn successor_lost(
        &mut self,
        io: &mut Transport,
        peers: &Peers,
        router: &mut Router,
        shards: &mut Shards,
        member: usize,
    ) {
        for shard in 0..self.candidacies.len() {
            let candidacy = &self.candidacies[shard];
            if shards.releasing_to(shard) == Some(member) {
                let successor = successor(io, peers, shard).filter(|_| io.stop.is_some());
                shards.release_to(shard, successor);
                if successor.is_none() {
                    peers.tell_all(io, &Frame::Owns(shard as u32));
                    router.owned_by_us(io, shard);
                }
            } else if candidacy.given_to == Some(member) && candidacy.try_ns != u64::MAX {
                self.try_at(io, shard, io.now_ns()); // We wait for nobody.
            }
        }
    }

    /// Whether a shard is on its way to somebody else, or to us.
    pub(super) fn is_changing_hands(&self, shards: &Shards, now_ns: u64) -> bool {
        let mut candidacies = self.candidacies.iter().enumerate();
        candidacies.any(|(shard, it)| {
            shards.releasing_to(shard).is_some() || it.trying || it.try_ns <= now_ns
        })
    }
}

/// Begins to release what is not to stay here: the shards whose home is back; of a stop all of them, as far as there
/// is somebody to take them.
pub(super) fn give_away(
    io: &mut Transport,
    peers: &Peers,
    router: &mut Router,
    shards: &mut Shards,
) {
    for shard in 0..shards.count() {
        if !shards.serves(shard) {
            continue;
        }
        let members = &io.settings.members;
        let home = members.home(shard);
        let to = match io.stop {
            Some(_) => successor(io, peers, shard),
            None => Some(home)
                .filter(|home| *home != members.own() && peers.takes_shards(*home, io.now_ns())),
        };
        if let Some(to) = to {
            log::info!("shard {shard} goes to {}", members.name(to));
            shards.release_to(shard, Some(to));
            // From now on commands for it wait for the next owner.
            router.owned_by_nobody(io, shard);
        }
    }
}

/// Others who would take a shard of ours.
fn successors<'a>(io: &'a Transport, peers: &'a Peers) -> impl Iterator<Item = usize> + 'a {
    let Members { core, cores, .. } = io.settings.members;
    let candidates = (0..peers.count()).filter(move |member| member % cores == core);
    candidates.filter(|member| peers.takes_shards(*member, io.now_ns()))
}

/// Who is to take a shard of ours when we stop: its home, if that is there.
fn successor(io: &Transport, peers: &Peers, shard: usize) -> Option<usize> {
    let home = io.settings.members.home(shard);
    successors(io, peers).min_by_key(|successor| *successor != home)
}
