//! The oracle's book of payments: what clients asked for, what the shards' journals say of it, and what
//! the processors have stored. Whatever is entered must agree with what is there.

use std::collections::{BTreeMap, HashMap};

use galo::payments::{PaymentId, Processor};
use galo::shard::journal::PaymentEvent;
use galo_processor::model::Payment;

use super::Plan;
use crate::trace::Checked;
use crate::{require, violation};
use galo_testkit::Random;

/// A payment that a client made up; a position in the book.
pub type Tag = usize;

/// A processor that has been bad may be avoided for so long: probes, health, `Retry-After`, and what was
/// under way all take their time.
const DISTRUST_NS: u64 = 25_000_000_000;
/// With a shorter deadline nothing can be said of what fallback gets.
const DEADLINE_NS_MIN: u64 = 1_000_000_000;
/// A decision is taken before what the same tick settles is settled.
const SETTLED_MAX: usize = 4;
/// Payments that are open in a shard, of which none waits for the others.
const FEW: usize = 3;
/// The world may let so much time pass before a core has its turns.
const LATE_NS: u64 = 2_000_000_000;
/// The shortest rest of a payment that went wrong, the first time and at most.
const REST_NS_MIN: u64 = galo::limits::RETRY_NS_MIN / 2;
const REST_NS_MAX: u64 = galo::limits::RETRY_NS_MAX / 2;
/// For so long after a change of who owns what, or after a processor has said that it works again, payments may be sent
/// again at any time: whoever acts on it has to hear of it first.
const REST_GRACE_NS: u64 = 15_000_000_000;
/// Between two questions about health.
const HEALTH_NS: u64 = galo::limits::HEALTH_NS_MIN;

/// What a record of a journal says of payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Accepted {
        id: u128,
        cents: u64,
    },
    Bound {
        id: u128,
        to: Processor,
        requested_us: u64,
    },
    Settled {
        id: u128,
        number: u64,
        cents: u64,
        by: Processor,
        requested_us: u64,
    },
    /// All of the shard; by a reset, too.
    Purged,
}

impl From<PaymentEvent> for Entry {
    fn from(event: PaymentEvent) -> Entry {
        match event {
            PaymentEvent::Accepted { id, cents } => Entry::Accepted { id: id.0, cents },
            PaymentEvent::Bound {
                id,
                to,
                requested_us,
            } => Entry::Bound {
                id: id.0,
                to,
                requested_us,
            },
            PaymentEvent::Settled { number, settled } => Entry::Settled {
                id: settled.id.0,
                number,
                cents: settled.cents,
                by: settled.by,
                requested_us: settled.requested_us,
            },
            PaymentEvent::Purged { .. } => Entry::Purged,
        }
    }
}

impl Entry {
    fn id(&self) -> Option<u128> {
        match *self {
            Entry::Accepted { id, .. } | Entry::Bound { id, .. } | Entry::Settled { id, .. } => {
                Some(id)
            }
            Entry::Purged => None,
        }
    }
}

/// Where a payment stands, by the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is not there.
    None,
    /// Nobody may have it.
    Free,
    /// One may.
    Bound { to: Processor, requested_us: u64 },
    /// One has.
    Settled { by: Processor, requested_us: u64 },
    /// It was forgotten.
    Purged,
}

/// What is known of a payment.
#[derive(Clone, Debug)]
pub struct Known {
    /// Not known before it is in a journal, if it was asked for without one.
    pub id: Option<u128>,
    /// Nobody else's.
    pub key: Option<String>,
    /// What was asked for: several, if it was asked for with several.
    pub amounts: Vec<u64>,
    /// It was asked for without an id.
    pub now: bool,
    /// Requests that have reached a server and were not refused.
    pub possible: u32,
    /// It was answered with 200 or 202.
    pub acknowledged: bool,
    /// It was in a journal when all processes had ended: nobody has to ask for it to be there.
    pub kept: bool,
    pub state: State,
    /// What it was accepted with.
    pub cents: u64,
    /// Of its shard's journal: the records that say that it is accepted, and bound.
    pub accepted: u64,
    pub bound: u64,
    /// When these were seen. Monotonic.
    pub accepted_ns: u64,
    pub bound_ns: u64,
    /// Counts what journals said of settled payments. 0: nothing of this one.
    pub settled: u64,
    /// The `requestedAt` with which a processor was asked for it last.
    pub asked_us: u64,
    /// A purge, or a reset, was asked for after it.
    pub purge_asked: bool,
    /// A step of the clock cannot be told from the time for which nobody had its shard: nobody knows its age.
    pub ageless: bool,
    /// By processor: attempts since the last one that may come at any time, and when the last of all came.
    pub attempts: [(u32, u64); 2],
    /// A loss of power took a record that says where it may be; or it was forgotten by a purge and came
    /// again. Nobody can know then whether a processor has it.
    pub doubtful: bool,
}

/// What a processor has stored.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    pub cents: u64,
    pub requested_us: u64,
    /// Counts what both have stored.
    pub number: u64,
}

/// What is known of a processor. Monotonic times.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// When it last was not as it should be.
    bad_ns: u64,
    /// When it last carried out a payment that had been on its way for long, whatever kept it.
    slow_ns: u64,
    /// When it last left a question about a payment without its answer.
    unheard_ns: u64,
    /// When it was last asked about its health.
    health_ns: Option<u64>,
    /// What it said of that.
    failing: bool,
    /// When it last said that it works again.
    works_again_ns: Option<u64>,
}

impl Watched {
    /// A payment was on its way since `bound_ns`.
    fn took(&mut self, bound_ns: u64, now_ns: u64, plan: Option<&Plan>) {
        if plan.is_some_and(|plan| now_ns.saturating_sub(bound_ns) >= plan.deadline_ns / 4) {
            self.slow_ns = now_ns;
        }
    }
}

/// See the module.
pub struct Book {
    pub(super) plan: Option<Plan>,
    pub(super) known: Vec<Known>,
    by_id: HashMap<u128, Tag>,
    /// Those without an id have an amount of their own.
    by_cents: HashMap<u64, Tag>,
    pub(super) stored: [BTreeMap<u128, Stored>; 2],
    /// Both processors'.
    inserts: u64,
    /// A purge, or a reset, was asked for.
    pub purges: bool,
    /// By shard: payments settled so far.
    settled: Vec<u64>,
    /// See [`Known::settled`].
    settles: u64,
    /// By shard: what must survive a loss of power. Kept for [`arrived`](Self::arrived).
    floors: Vec<u64>,
    watched: [Watched; 2],
    /// By shard: the clock has stepped since its last record.
    stepped: Vec<bool>,
    /// By shard: its owner knows the time.
    told: Vec<bool>,
    /// The clock has stepped.
    ever_stepped: bool,
    /// Something went wrong until then that keeps payments waiting. Monotonic.
    disturbed_ns: u64,
    now_ns: u64,
    /// Replies that were checked.
    pub checked: u64,
}

impl Book {
    pub fn new(plan: Option<&Plan>, shards: usize) -> Book {
        Book {
            plan: plan.cloned(),
            known: Vec::new(),
            by_id: HashMap::new(),
            by_cents: HashMap::new(),
            stored: [BTreeMap::new(), BTreeMap::new()],
            inserts: 0,
            purges: false,
            settled: vec![0; shards],
            settles: 0,
            floors: vec![0; shards],
            watched: [Watched::default(); 2],
            stepped: vec![false; shards],
            told: vec![false; shards],
            ever_stepped: false,
            disturbed_ns: 0,
            now_ns: 0,
            checked: 0,
        }
    }

    // ---- Clients -----------------------------------------------------------------

    /// A client is about to ask for this one.
    pub fn begin(&mut self, id: Option<u128>, cents: u64, key: Option<String>) -> Tag {
        let tag = self.known.len();
        match id {
            Some(id) => assert!(self.by_id.insert(id, tag).is_none()),
            None => assert!(self.by_cents.insert(cents, tag).is_none()),
        }
        self.known.push(Known {
            id,
            key,
            amounts: vec![cents],
            now: id.is_none(),
            possible: 0,
            acknowledged: false,
            kept: false,
            state: State::None,
            cents: 0,
            accepted: 0,
            bound: 0,
            accepted_ns: 0,
            bound_ns: 0,
            settled: 0,
            asked_us: 0,
            purge_asked: false,
            ageless: false,
            attempts: [(0, 0); 2],
            doubtful: false,
        });
        tag
    }

    /// It is asked for again, perhaps with another amount.
    pub fn again(&mut self, tag: Tag, cents: u64) {
        let amounts = &mut self.known[tag].amounts;
        if !amounts.contains(&cents) {
            amounts.push(cents);
        }
    }

    /// A purge, or a reset, is about to be asked for.
    pub fn begin_purge(&mut self) {
        for known in &mut self.known {
            known.purge_asked = true;
        }
        self.purges = true;
    }

    /// How many clients have made up.
    pub fn tags(&self) -> usize {
        self.known.len()
    }

    /// One of them.
    pub fn known(&self, tag: Tag) -> &Known {
        &self.known[tag]
    }

    /// One that may be asked for again: with an id or a key, and not to be forgotten.
    pub fn any_again(&self, random: &mut Random, now: bool) -> Option<Tag> {
        // The latest ones: what happens to them happens now.
        let from = self.known.len().saturating_sub(20);
        let fits = |tag: &Tag| {
            let known = &self.known[*tag];
            known.now == now && (!now || known.key.is_some()) && !known.purge_asked
        };
        let tags: Vec<Tag> = (from..self.known.len()).filter(fits).collect();
        (!tags.is_empty()).then(|| *random.pick(&tags))
    }

    /// A request for it has reached a server.
    pub fn delivered(&mut self, tag: Tag) {
        self.known[tag].possible += 1;
    }

    /// One of the requests for it that did is refused.
    pub fn refused(&mut self, tag: Tag) -> Checked {
        let known = &mut self.known[tag];
        known.possible = known.possible.saturating_sub(1);
        let there = !matches!(known.state, State::None | State::Purged);
        require!(
            known.possible > 0 || !there || known.acknowledged || known.kept || known.doubtful,
            "every request for it was refused, and it is in a journal: {known:?}"
        );
        Ok(())
    }

    // ---- Journals ----------------------------------------------------------------

    /// Whether a record that nobody has seen before may be there.
    pub fn check(&mut self, shard: usize, entry: &Entry) -> Checked {
        let Some(id) = entry.id() else {
            return Ok(());
        };
        let tag = match (self.by_id.get(&id), entry) {
            (Some(tag), _) => *tag,
            (None, Entry::Accepted { cents, .. }) => {
                let Some(tag) = self.by_cents.get(cents).copied() else {
                    violation!("accepted, and nobody asked for it: {entry:?}");
                };
                let known = &mut self.known[tag];
                require!(
                    known.id.is_none(),
                    "asked for once, accepted twice: {known:?}, {entry:?}"
                );
                known.id = Some(id);
                self.by_id.insert(id, tag);
                tag
            }
            (None, _) => violation!("nobody asked for it: {entry:?}"),
        };
        let shards = self.settled.len();
        require!(
            PaymentId(id).shard(shards) == shard,
            "shard {shard} has another's payment: {entry:?}"
        );
        let known = &self.known[tag];
        match *entry {
            Entry::Accepted { cents, .. } => {
                require!(
                    known.possible > 0 && known.amounts.contains(&cents),
                    "accepted, and nobody asks for it: {known:?}, {cents} cents"
                );
                require!(
                    matches!(known.state, State::None | State::Purged),
                    "accepted twice: {known:?}"
                );
            }
            Entry::Bound { to, .. } => {
                self.is_late(shard, known)?;
                require!(
                    matches!(known.state, State::Free | State::Bound { .. }),
                    "bound, and not open: {known:?}, {entry:?}"
                );
                let holder = Processor::ALL
                    .into_iter()
                    .find(|by| self.stored[*by as usize].contains_key(&id));
                if let (Some(holder), false) = (holder, known.doubtful) {
                    violation!("{entry:?}, and {holder:?} has it: {known:?}");
                }
                if to == Processor::Fallback {
                    self.is_dear(known)?;
                }
            }
            Entry::Settled {
                cents,
                by,
                requested_us,
                number,
                ..
            } => {
                require!(
                    number == self.settled[shard],
                    "settled as number {number}, and {} are: {entry:?}",
                    self.settled[shard]
                );
                require!(
                    matches!(known.state, State::Bound { to, .. } if to == by),
                    "settled with {by:?}, and not bound to it: {known:?}"
                );
                let Some(stored) = self.stored[by as usize].get(&id) else {
                    violation!("settled, and {by:?} does not have it: {known:?}");
                };
                let same = stored.requested_us == requested_us || known.doubtful;
                require!(
                    cents == known.cents && same,
                    "settled as {entry:?}, and {by:?} has {stored:?}"
                );
            }
            Entry::Purged => {}
        }
        Ok(())
    }

    /// A record of a shard's journal, which was checked.
    pub fn apply(&mut self, shard: usize, sequence: u64, entry: &Entry) {
        let Some(id) = entry.id() else {
            let shards = self.settled.len();
            for known in &mut self.known {
                let id = known.id.map(PaymentId);
                if id.is_some_and(|id| id.shard(shards) == shard) && known.state != State::None {
                    known.state = State::Purged;
                }
            }
            return;
        };
        let known = &mut self.known[self.by_id[&id]];
        match *entry {
            Entry::Accepted { cents, .. } => {
                known.doubtful |= known.state == State::Purged;
                known.state = State::Free;
                known.cents = cents;
                // Or it is only entered again.
                if known.accepted != sequence {
                    known.accepted_ns = self.now_ns;
                    known.ageless = false;
                }
                known.accepted = sequence;
            }
            Entry::Bound {
                to, requested_us, ..
            } => {
                known.state = State::Bound { to, requested_us };
                if known.bound != sequence {
                    known.bound_ns = self.now_ns;
                }
                known.bound = sequence;
            }
            Entry::Settled {
                by, requested_us, ..
            } => {
                known.state = State::Settled { by, requested_us };
                self.watched[by as usize].took(known.bound_ns, self.now_ns, self.plan.as_ref());
                self.settles += 1;
                known.settled = self.settles;
                self.settled[shard] += 1;
            }
            Entry::Purged => {}
        }
    }

    /// A shard's journal is entered again from its beginning.
    pub fn clear(&mut self, shard: usize) {
        let shards = self.settled.len();
        self.settled[shard] = 0;
        for known in &mut self.known {
            let id = known.id.map(PaymentId);
            if id.is_some_and(|id| id.shard(shards) == shard) {
                known.state = State::None;
                known.settled = 0;
            }
        }
    }

    /// A crash took this record. Only losses of power and failed syncs take any; with durability `disk`
    /// none on which something rests that left the machine (see [`arrived`](Self::arrived)). With
    /// durability `process` what is lost may be that a payment went to a processor: it may then be paid
    /// twice.
    pub fn lost(&mut self, entry: &Entry) {
        if let Some(known) = entry.id().and_then(|id| self.by_id.get(&id)) {
            let known = &mut self.known[*known];
            known.doubtful |= !matches!(entry, Entry::Settled { .. });
        }
    }

    /// What is in no journal after all processes have ended never will be, unless it is asked for again.
    pub fn forget_open(&mut self) {
        for known in &mut self.known {
            known.possible = 0;
            known.kept = !matches!(known.state, State::None | State::Purged);
        }
    }

    /// What must survive a loss of power.
    pub fn set_floor(&mut self, shard: usize, floor: u64) {
        self.floors[shard] = floor;
    }

    /// Payments without a known outcome. Somebody may have used the id of one that was lost for another
    /// amount: then a processor has that one, and this one stays as it is, for people to look into.
    pub fn open(&self) -> impl Iterator<Item = &Known> {
        let open = |known: &&Known| {
            let stuck = known.doubtful && known.amounts.len() > 1;
            matches!(known.state, State::Free | State::Bound { .. }) && !stuck
        };
        self.known.iter().filter(open)
    }

    /// By shard and state, to compare: (open, settled).
    pub fn of_shard(&self, shard: usize) -> impl Iterator<Item = &Known> {
        let shards = self.settled.len();
        let own = move |known: &&Known| {
            let id = known.id.map(PaymentId);
            id.is_some_and(|id| id.shard(shards) == shard)
        };
        self.known.iter().filter(own)
    }

    // ---- Processors --------------------------------------------------------------

    /// How a processor is at present.
    pub fn watched(&mut self, which: Processor, now_ns: u64, good: bool, heard: bool) {
        self.now_ns = now_ns;
        let watched = &mut self.watched[which as usize];
        if !good {
            watched.bad_ns = now_ns;
        }
        if !heard {
            watched.unheard_ns = now_ns;
        }
    }

    /// It does not look good to those who ask it, whatever it is like.
    pub fn looks_bad(&mut self, which: Processor, now_ns: u64) {
        self.watched[which as usize].bad_ns = now_ns;
    }

    /// A question about a payment is not answered as it should be.
    pub fn unheard(&mut self, which: Processor, now_ns: u64) {
        self.watched[which as usize].unheard_ns = now_ns;
    }

    /// Whether a processor answered all questions since then.
    pub(super) fn was_heard(&self, which: Processor, since_ns: u64) -> bool {
        self.watched[which as usize].unheard_ns < since_ns
    }

    /// Whether a processor was asked for it before, with this `requestedAt`.
    pub fn was_asked(&self, payment: &Payment) -> bool {
        let known = self.by_id.get(&payment.id).map(|tag| &self.known[*tag]);
        known.is_some_and(|known| known.asked_us == payment.requested_us)
    }

    /// A processor is asked for a payment. `durable`: what it rests on must survive a loss of power.
    pub fn arrived(
        &mut self,
        which: Processor,
        payment: &Payment,
        now_ns: u64,
        durable: bool,
    ) -> Checked {
        self.now_ns = now_ns;
        let Some(tag) = self.by_id.get(&payment.id) else {
            violation!("{which:?} is asked for {payment:?}, and nobody asked us for it");
        };
        let known = &self.known[*tag];
        let bound = match known.state {
            State::Bound { to, requested_us } => (to, requested_us),
            // One that was sent before is late.
            State::Settled { by, requested_us } => (by, requested_us),
            State::Purged => return Ok(()),
            State::None | State::Free if known.doubtful => return Ok(()),
            State::None | State::Free => {
                violation!("{which:?} is asked for {payment:?}, which is not bound: {known:?}")
            }
        };
        require!(
            (bound == (which, payment.requested_us) && known.cents == payment.cents)
                || known.doubtful,
            "{which:?} is asked for {payment:?}, which is {known:?}"
        );
        let shard = PaymentId(payment.id).shard(self.settled.len());
        require!(
            !durable || known.bound <= self.floors[shard] || known.doubtful,
            "{which:?} is asked for a payment whose record is not durable: {known:?}"
        );
        self.known[*tag].asked_us = payment.requested_us;
        Ok(())
    }

    /// A processor is asked for a payment in the tick of this time, once more perhaps: not before it has rested,
    /// longer each time. `shuffled_ns`: as in [`health_asked`](Self::health_asked).
    pub fn comes_again(
        &mut self,
        which: Processor,
        payment: &Payment,
        asked_ns: u64,
        shuffled_ns: u64,
    ) -> Checked {
        let works_again_ns = self.watched[which as usize].works_again_ns;
        let known = &mut self.known[self.by_id[&payment.id]];
        let (count, last_ns) = known.attempts[which as usize];
        let at_any_time = |since_ns: u64| since_ns + REST_GRACE_NS >= last_ns;
        let free = count == 0
            || at_any_time(shuffled_ns)
            || works_again_ns.is_some_and(at_any_time)
            || known.purge_asked
            || known.doubtful;
        if !free {
            let rest_ns = (REST_NS_MIN << (count - 1).min(32)).min(REST_NS_MAX);
            require!(
                asked_ns >= last_ns + rest_ns,
                "{which:?} is asked at {asked_ns} for what it was asked for at {last_ns}, the {count}. time: {known:?}"
            );
        }
        known.attempts[which as usize] = (if free { 1 } else { count + 1 }, asked_ns);
        Ok(())
    }

    /// A processor tells how it is.
    pub fn health_told(&mut self, which: Processor, failing: bool, now_ns: u64) {
        let watched = &mut self.watched[which as usize];
        if std::mem::replace(&mut watched.failing, failing) && !failing {
            watched.works_again_ns = Some(now_ns);
        }
    }

    /// A processor has stored a payment.
    pub fn stored(&mut self, which: Processor, payment: &Payment, now_ns: u64) -> Checked {
        self.now_ns = now_ns;
        let known = &self.known[self.by_id[&payment.id]];
        self.watched[which as usize].took(known.bound_ns, now_ns, self.plan.as_ref());
        let other = self.stored[which.other() as usize].get(&payment.id);
        if let (Some(other), false) = (other, known.doubtful) {
            violation!("paid twice: {payment:?} at {which:?}, {other:?} before: {known:?}");
        }
        self.inserts += 1;
        let stored = Stored {
            cents: payment.cents,
            requested_us: payment.requested_us,
            number: self.inserts,
        };
        let before = self.stored[which as usize].insert(payment.id, stored);
        assert!(before.is_none(), "the processor says 422 then");
        Ok(())
    }

    /// What both have stored so far.
    pub(super) fn inserts(&self) -> u64 {
        self.inserts
    }

    /// What journals have said so far of settled payments.
    pub(super) fn settles(&self) -> u64 {
        self.settles
    }

    pub(super) fn shards(&self) -> usize {
        self.settled.len()
    }

    pub(super) fn tag_of(&self, id: u128) -> Tag {
        self.by_id[&id]
    }

    /// Of a payment in a journal.
    pub fn cents_of(&self, id: u128) -> Option<u64> {
        Some(self.known[*self.by_id.get(&id)?].cents)
    }

    /// Of a payment that is bound.
    pub fn requested_us_of(&self, id: u128) -> Option<u64> {
        match self.known[*self.by_id.get(&id)?].state {
            State::Bound { requested_us, .. } | State::Settled { requested_us, .. } => {
                Some(requested_us)
            }
            _ => None,
        }
    }

    /// A processor is asked about its health. `asked_ns`: by a core, in the tick of this time;
    /// `shuffled_ns`: when a process last came or went, or a shard last changed its owner.
    pub fn health_asked(&mut self, which: Processor, asked_ns: u64, shuffled_ns: u64) -> Checked {
        let before = self.watched[which as usize].health_ns.replace(asked_ns);
        let Some(before_ns) = before else {
            return Ok(());
        };
        require!(
            asked_ns >= before_ns + HEALTH_NS || shuffled_ns >= before_ns,
            "{which:?} is asked about its health at {before_ns} and at {asked_ns}"
        );
        Ok(())
    }

    /// Fallback gets a payment: there must be a reason.
    fn is_dear(&self, known: &Known) -> Checked {
        let Some(plan) = &self.plan else {
            violation!("there are no payments");
        };
        if plan.deadline_ns < DEADLINE_NS_MIN {
            return Ok(()); // Any wait for an answer, of whatever cause, is too long for it.
        }
        let cheap = &self.watched[Processor::Default as usize];
        let since_ns = known.accepted_ns.saturating_sub(DISTRUST_NS);
        // Its window may be full while more come than are allowed to wait, or while some have waited too
        // long already, because nobody was there.
        let id = PaymentId(known.id.expect("it is in a journal"));
        let open = |other: &&Known| matches!(other.state, State::Free | State::Bound { .. });
        let open = self.of_shard(id.shard(self.shards())).filter(open).count();
        let for_room = open + SETTLED_MAX >= plan.open_max * 3 / 4;
        let age_ns = self.now_ns - known.accepted_ns;
        let is_overdue = age_ns >= plan.deadline_ns * 3 / 4 || known.ageless;
        require!(
            for_room || is_overdue || cheap.bad_ns >= since_ns,
            "fallback gets a payment, and default has worked since {}: {known:?}",
            cheap.bad_ns
        );
        // With one that is slow, too, payments are late at once; and so they are while default seems slow, and has as
        // many as it may have.
        let dear = &self.watched[Processor::Fallback as usize];
        let is_late =
            age_ns >= plan.deadline_ns / 4 || dear.bad_ns >= since_ns || cheap.slow_ns >= since_ns;
        require!(
            for_room || is_overdue || is_late,
            "fallback gets a payment after {age_ns} ns of {}, with {open} open of {}: {known:?}",
            plan.deadline_ns,
            plan.open_max
        );
        Ok(())
    }

    /// A payment is bound: if it has waited for long, something kept it.
    fn is_late(&self, shard: usize, known: &Known) -> Checked {
        let Some(plan) = &self.plan else {
            violation!("there are no payments");
        };
        let since_ns = known.accepted_ns.saturating_sub(DISTRUST_NS);
        let dear = &self.watched[Processor::Fallback as usize];
        let open = |other: &&Known| matches!(other.state, State::Free | State::Bound { .. });
        let few = self.of_shard(shard).filter(open).count() <= FEW;
        let kept = known.ageless
            || known.doubtful
            || !few
            || known.state != State::Free
            || dear.bad_ns >= since_ns
            || self.disturbed_ns >= since_ns;
        let age_ns = self.now_ns - known.accepted_ns;
        require!(
            age_ns <= plan.deadline_ns + LATE_NS || kept,
            "bound after {age_ns} ns of {}, and fallback has worked since {}: {known:?}",
            plan.deadline_ns,
            dear.bad_ns
        );
        Ok(())
    }

    // ---- Time --------------------------------------------------------------------

    /// The real-time clock has stepped.
    pub fn clock_stepped(&mut self) {
        self.ever_stepped = true;
        for shard in 0..self.stepped.len() {
            self.stepped[shard] = true;
            if !self.told[shard] {
                self.forget_ages(shard);
            }
        }
    }

    /// A shard has an owner, who has yet to know the time.
    pub fn owner_changed(&mut self, shard: usize, now_ns: u64) {
        self.disturbed(now_ns);
        self.told[shard] = false;
        if self.stepped[shard] {
            self.forget_ages(shard);
        }
    }

    /// Now he does.
    pub fn clock_told(&mut self, shard: usize) {
        self.told[shard] = true;
    }

    /// A record has told where the clock is.
    pub fn told_time(&mut self, shard: usize) {
        self.stepped[shard] = false;
    }

    /// The last records of a shard are lost, and what they told of the clock.
    pub fn cut(&mut self, shard: usize) {
        self.stepped[shard] |= self.ever_stepped;
    }

    /// Whatever waits may wait until then.
    pub fn disturbed(&mut self, until_ns: u64) {
        self.disturbed_ns = self.disturbed_ns.max(until_ns);
    }

    fn forget_ages(&mut self, shard: usize) {
        let shards = self.settled.len();
        for known in &mut self.known {
            let id = known.id.map(PaymentId);
            known.ageless |= id.is_some_and(|id| id.shard(shards) == shard);
        }
    }

    // ---- The end -----------------------------------------------------------------

    /// Nothing is under way any more: everything is where it belongs.
    pub fn settle(&self) -> Checked {
        for known in &self.known {
            let Some(id) = known.id else {
                require!(!known.acknowledged, "acknowledged, and lost: {known:?}");
                continue;
            };
            let at = Processor::ALL.map(|by| self.stored[by as usize].get(&id));
            let count = at.iter().flatten().count();
            if known.doubtful || known.state == State::Purged {
                continue;
            }
            if let State::Free | State::Bound { .. } = known.state {
                violation!("still open: {known:?}");
            }
            let State::Settled { by, requested_us } = known.state else {
                require!(!known.acknowledged, "acknowledged, and lost: {known:?}");
                require!(count == 0, "paid, and in no journal: {known:?}, {at:?}");
                continue;
            };
            let Some(stored) = at[by as usize] else {
                violation!("settled, and {by:?} does not have it: {known:?}");
            };
            require!(
                count == 1 && (stored.cents, stored.requested_us) == (known.cents, requested_us),
                "settled as {known:?}, stored as {at:?}"
            );
        }
        Ok(())
    }
}
