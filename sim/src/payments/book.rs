//! The oracle's book of payments: what clients asked for, what the shards' journals say of it, and what
//! the processors have stored. Whatever is entered must agree with what is there.

use std::collections::{BTreeMap, HashMap};

use galo::payments::{PaymentId, Processor};

use super::Plan;
use crate::trace::Checked;
use crate::{require, violation};
use galo_testkit::Random;

/// A payment that a client made up; a position in the book.
pub type Tag = usize;

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

impl Known {
    fn is_of(&self, shard: usize, shards: usize) -> bool {
        self.id
            .is_some_and(|id| PaymentId(id).shard(shards) == shard)
    }
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
pub struct Watched {
    /// When it last was not as it should be.
    pub bad_ns: u64,
    /// When it last carried out a payment that had been on its way for long, whatever kept it.
    pub slow_ns: u64,
    /// When it last left a question about a payment without its answer.
    pub unheard_ns: u64,
    /// When it was last asked about its health.
    pub health_ns: Option<u64>,
    /// What it said of that.
    pub failing: bool,
    /// When it last said that it works again.
    pub works_again_ns: Option<u64>,
}

impl Watched {
    /// A payment was on its way since `bound_ns`.
    pub fn took(&mut self, bound_ns: u64, now_ns: u64, plan: Option<&Plan>) {
        if plan.is_some_and(|plan| now_ns.saturating_sub(bound_ns) >= plan.deadline_ns / 4) {
            self.slow_ns = now_ns;
        }
    }
}

/// See the module.
pub struct Book {
    pub(super) plan: Option<Plan>,
    pub(super) known: Vec<Known>,
    pub(super) by_id: HashMap<u128, Tag>,
    /// Those without an id have an amount of their own.
    pub(super) by_cents: HashMap<u64, Tag>,
    pub(super) stored: [BTreeMap<u128, Stored>; 2],
    /// Both processors'.
    pub(super) inserts: u64,
    /// A purge, or a reset, was asked for.
    pub purges: bool,
    /// By shard: payments settled so far.
    pub(super) settled: Vec<u64>,
    /// See [`Known::settled`].
    pub(super) settles: u64,
    /// By shard: what must survive a loss of power. Kept for [`arrived`](Self::arrived).
    pub(super) floors: Vec<u64>,
    pub(super) watched: [Watched; 2],
    /// By shard: the clock has stepped since its last record.
    pub(super) stepped: Vec<bool>,
    /// By shard: its owner knows the time.
    pub(super) told: Vec<bool>,
    /// The clock has stepped.
    pub(super) ever_stepped: bool,
    /// Something went wrong until then that keeps payments waiting. Monotonic.
    pub(super) disturbed_ns: u64,
    pub(super) now_ns: u64,
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

    /// What is in no journal after all processes have ended never will be, unless it is asked for again.
    pub fn forget_open(&mut self) {
        for known in &mut self.known {
            known.possible = 0;
            known.kept = !matches!(known.state, State::None | State::Purged);
        }
    }

    // ---- What is known -----------------------------------------------------------

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
        let shards = self.shards();
        let own = move |known: &&Known| known.is_of(shard, shards);
        self.known.iter().filter(own)
    }

    /// The same, to be changed.
    pub fn of_shard_mut(&mut self, shard: usize) -> impl Iterator<Item = &mut Known> {
        let shards = self.shards();
        let own = move |known: &&mut Known| known.is_of(shard, shards);
        self.known.iter_mut().filter(own)
    }

    pub(super) fn shards(&self) -> usize {
        self.settled.len()
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
