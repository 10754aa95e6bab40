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
//! It releases a shard when the shard's home has come back, and all of them when it stops and
//! somebody else is there: no command is begun any more, background work is done (with durability `disk`
//! what was journalled is synced, for replies wait for it), the lock is dropped, and the others are told.

use super::link::Frame;
use super::Node;
use crate::limits::{
    ACQUIRE_AFTER_ERROR_NS, ACQUIRE_GRACE_NS, ACQUIRE_NS_MAX, ACQUIRE_NS_MIN, OFFER_NS,
};
use crate::members::Members;
use crate::shard::Shard;

/// Where this node stands with a shard.
#[derive(Clone, Copy)]
pub(super) struct ShardOwnership {
    /// When to try for it; `u64::MAX`: not. Monotonic.
    try_ns: u64,
    /// From a try to the next.
    again_ns: u64,
    /// A try is under way.
    trying: bool,
    /// It is ours, and going to that member.
    releasing_to: Option<usize>,
    /// It was ours, and that member was to take it; nobody is known to have it since.
    given_to: Option<usize>,
}

impl ShardOwnership {
    pub(super) fn new() -> ShardOwnership {
        ShardOwnership {
            try_ns: u64::MAX,
            again_ns: ACQUIRE_NS_MIN,
            trying: false,
            releasing_to: None,
            given_to: None,
        }
    }

    /// When to try for it. Monotonic.
    pub(super) fn try_ns(&self) -> u64 {
        self.try_ns
    }
}

impl<J> Node<J> {
    /// Whether commands for a shard are carried out here.
    pub(super) fn serves(&self, shard: usize) -> bool {
        self.shards[shard].is_some() && self.ownerships[shard].releasing_to.is_none()
    }

    /// What to try for after the start.
    pub(super) fn acquire_first(&mut self) {
        let members = &self.settings.members;
        for shard in 0..members.shards {
            if members.is_candidate(shard) && self.shards[shard].is_none() {
                let at_home = members.home(shard) == members.own();
                self.ownerships[shard].try_ns = if at_home { 0 } else { ACQUIRE_GRACE_NS };
            }
        }
        self.timers_ns = 0;
    }

    /// The times of [`acquire_first`](Self::acquire_first) are counted from the first tick.
    pub(super) fn started(&mut self) {
        for ownership in &mut self.ownerships {
            ownership.try_ns = ownership.try_ns.saturating_add(self.now.monotonic_ns);
        }
    }

    /// Finds out for which shards it is time to try.
    pub(super) fn acquire(&mut self) {
        let others = self.successors().next().is_some();
        for shard in 0..self.ownerships.len() {
            let ownership = &mut self.ownerships[shard];
            if ownership.try_ns > self.now.monotonic_ns {
                continue;
            }
            ownership.try_ns = u64::MAX;
            // Who stops takes a shard only when nobody else would.
            let wanted = self.routes[shard].is_nowhere() && (self.stop.is_none() || !others);
            if wanted && !ownership.trying {
                ownership.trying = true;
                self.wanted.push(shard as u32);
            }
        }
    }

    /// Shards that this node wants to own, each to be answered by [`acquired`](Self::acquired) or
    /// [`not_acquired`](Self::not_acquired).
    pub fn take_wanted(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.wanted)
    }

    /// A shard is ours.
    pub fn acquired(&mut self, mut shard: Shard) {
        shard.tell_time(self.now);
        let number = shard.identity().shard as usize;
        assert!(self.shards[number].is_none());
        if let Some(successor) = self.ownerships[number].given_to {
            let again_ns = self.now.monotonic_ns + OFFER_NS;
            self.links[successor].offer_at(again_ns);
            self.timers_ns = self.timers_ns.min(again_ns);
        }
        self.ownerships[number] = ShardOwnership::new();
        // With durability `disk` even a read of what was recovered waits until that is synced.
        self.commit.owned(&shard);
        log::info!("shard {number} is ours, at record {}", shard.sequence());
        self.shards[number] = Some(shard);
        let members = &self.settings.members;
        if members.home(number) == members.own() {
            self.stats().handbacks.add(1);
        } else {
            self.stats().takeovers.add(1);
        }
        let stats = &self.settings.process.stats;
        stats.shard_owned(number, self.now.realtime_us);
        self.tell_all(&Frame::Owns(number as u32));
        self.owned_by_us(number);
        self.give_away();
    }

    /// A shard is not ours; `failed`: nobody else has it either, but it cannot be recovered.
    pub fn not_acquired(&mut self, shard: usize, failed: bool) {
        let now_ns = self.now.monotonic_ns;
        let ownership = &mut self.ownerships[shard];
        ownership.trying = false;
        let again_ns = match failed {
            true => ACQUIRE_AFTER_ERROR_NS,
            false => ownership.again_ns,
        };
        ownership.again_ns = (2 * ownership.again_ns).min(ACQUIRE_NS_MAX);
        if self.routes[shard].is_nowhere() {
            self.try_at(shard, now_ns + again_ns);
            self.tell_all(&Frame::Who(shard as u32));
        }
    }

    fn try_at(&mut self, shard: usize, at_ns: u64) {
        let ownership = &mut self.ownerships[shard];
        ownership.try_ns = ownership.try_ns.min(at_ns);
        self.timers_ns = self.timers_ns.min(at_ns);
    }

    /// The owner of a shard is gone, or has given it away: to `to`, if that is known.
    pub(super) fn owner_lost(&mut self, shard: usize, to: Option<usize>) {
        self.owned_by_nobody(shard);
        // Also when it is known who is to have it: that one may have said so already, over a faster link
        // than the one that this news came by.
        self.tell_all(&Frame::Who(shard as u32));
        let members = &self.settings.members;
        if !members.is_candidate(shard) {
            return;
        }
        let successor = to.unwrap_or(members.home(shard));
        let others = successor != members.own() && self.takes_shards(successor);
        let wait_ns = if others { ACQUIRE_GRACE_NS } else { 0 };
        self.ownerships[shard].again_ns = ACQUIRE_NS_MIN;
        self.try_at(shard, self.now.monotonic_ns + wait_ns);
    }

    /// A member has released a shard to another.
    pub(super) fn released_by(&mut self, shard: usize, member: usize, to: usize) {
        let route = &self.routes[shard];
        if self.shards[shard].is_none() && (route.is_at(member) || route.is_nowhere()) {
            self.owner_lost(shard, Some(to).filter(|to| *to < self.links.len()));
        }
    }

    // ---- Letting go ----------------------------------------------------------------

    /// Begins to release what is not to stay here.
    pub(super) fn give_away(&mut self) {
        match self.stop {
            None => self.return_home(),
            Some(_) => self.hand_over(),
        }
    }

    /// Begins to release the shards whose home is back.
    pub(super) fn return_home(&mut self) {
        for shard in 0..self.shards.len() {
            let home = self.settings.members.home(shard);
            if home != self.settings.members.own() && self.serves(shard) && self.takes_shards(home)
            {
                self.release_to(shard, home);
            }
        }
    }

    /// Begins to release all shards, as far as there is somebody to take them.
    pub(super) fn hand_over(&mut self) {
        for shard in 0..self.shards.len() {
            if self.serves(shard) {
                if let Some(successor) = self.successor(shard) {
                    self.release_to(shard, successor);
                }
            }
        }
    }

    fn takes_shards(&self, member: usize) -> bool {
        self.links[member].takes_shards(self.now.monotonic_ns)
    }

    /// Others who would take a shard of ours.
    fn successors(&self) -> impl Iterator<Item = usize> + '_ {
        let Members { core, cores, .. } = self.settings.members;
        let candidates = (0..self.links.len()).filter(move |member| member % cores == core);
        candidates.filter(|member| self.takes_shards(*member))
    }

    /// Who is to take a shard of ours when we stop: its home, if that is there.
    fn successor(&self, shard: usize) -> Option<usize> {
        let home = self.settings.members.home(shard);
        self.successors().min_by_key(|successor| *successor != home)
    }

    /// A member takes no shard any more: what was to go to it goes to another, or stays.
    pub(super) fn successor_lost(&mut self, member: usize) {
        let now_ns = self.now.monotonic_ns;
        for shard in 0..self.ownerships.len() {
            let ownership = &self.ownerships[shard];
            if ownership.releasing_to == Some(member) {
                self.ownerships[shard].releasing_to =
                    self.successor(shard).filter(|_| self.stop.is_some());
                if self.serves(shard) {
                    self.tell_all(&Frame::Owns(shard as u32));
                    self.owned_by_us(shard);
                }
            } else if ownership.given_to == Some(member) && ownership.try_ns != u64::MAX {
                self.try_at(shard, now_ns); // We wait for nobody.
            }
        }
    }

    fn release_to(&mut self, shard: usize, successor: usize) {
        let name = self.settings.members.name(successor);
        log::info!("shard {shard} goes to {name}");
        self.ownerships[shard].releasing_to = Some(successor);
        // From now on commands for it wait for the next owner.
        self.owned_by_nobody(shard);
    }

    /// Whether a shard of ours is to be let go, as soon as nothing is under way for it.
    pub fn is_releasing(&self, shard: usize) -> bool {
        self.ownerships[shard].releasing_to.is_some()
    }

    /// A shard's lock was dropped.
    pub fn released(&mut self, shard: usize) {
        let to = self.ownerships[shard]
            .releasing_to
            .take()
            .expect("it was being released");
        self.ownerships[shard].given_to = Some(to);
        self.shards[shard] = None;
        self.settings.process.stats.shard_lost(shard);
        let (number, to_member) = (shard as u32, to as u32);
        self.tell_all(&Frame::Released {
            shard: number,
            to: to_member,
        });
        self.owner_lost(shard, Some(to));
    }

    /// Some member serves a shard.
    pub(super) fn taken(&mut self, shard: usize) {
        self.ownerships[shard].given_to = None;
    }

    /// Whether a shard is on its way to somebody else, or to us.
    pub(super) fn is_changing_hands(&self) -> bool {
        let now_ns = self.now.monotonic_ns;
        let is =
            |it: &ShardOwnership| it.releasing_to.is_some() || it.trying || it.try_ns <= now_ns;
        self.ownerships.iter().any(is)
    }
}
